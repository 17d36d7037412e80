package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
)

func newQueueDead() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dead", Short: "List the dead letters", Args: usageArgs(noArguments), RunE: withQueue(listDead),
		Long: "List the updates that cannot be sent: id, account, code (- if there is none), age since it was stored, reason. The values of attributes are shown only with --attrs.",
	}
	cmd.Flags().Bool("json", false, "an object on each line, for a program")
	cmd.Flags().Bool("attrs", false, "show the attributes with their values too")
	return cmd
}

func newQueuePutBack() *cobra.Command {
	return &cobra.Command{
		Use: "put-back ID...", Short: "Store dead letters again, to be sent", Args: usageArgs(cobra.MinimumNArgs(1)),
		Example: "  timpush queue put-back 3 4\n  timpush queue dead --json | jq 'select(.code == 70107).id' | xargs timpush queue put-back",
		Long:    "Store the updates of dead letters again, once their cause is corrected. They are sent after all that is stored by now, and so may replace newer values of their accounts.",
		RunE: withIDs(func(cmd *cobra.Command, q openQueue, ids []uint64) error {
			return eachLetter(cmd, q, ids, "put back", q.PutBack)
		}),
	}
}

func newQueueDiscard() *cobra.Command {
	cmd := &cobra.Command{
		Use: "discard ID...", Short: "Delete dead letters", Args: usageArgs(cobra.MinimumNArgs(1)),
		Long: "Delete dead letters; they cannot be brought back. Without --yes nothing is deleted, and the exit code is 2.",
		RunE: withIDs(discard),
	}
	cmd.Flags().Bool("yes", false, "really delete them")
	return cmd
}

// withIDs reads all ids before anything is done.
func withIDs(do func(cmd *cobra.Command, q openQueue, ids []uint64) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ids := make([]uint64, len(args))
		for i, arg := range args {
			id, err := strconv.ParseUint(arg, 10, 64)
			if err != nil || id == 0 {
				return usage(fmt.Errorf("%q is not the id of a dead letter: see timpush queue dead", arg))
			}
			ids[i] = id
		}
		return withQueue(func(cmd *cobra.Command, q openQueue, _ []string) error { return do(cmd, q, ids) })(cmd, args)
	}
}

func listDead(cmd *cobra.Command, q openQueue, _ []string) error {
	asJSON, _ := cmd.Flags().GetBool("json")
	values, _ := cmd.Flags().GetBool("attrs")
	for l, err := range q.DeadLetters(cmd.Context()) {
		if err != nil {
			return fatal(err)
		}
		if asJSON {
			err = plainJSON(cmd.OutOrStdout()).Encode(letterOf(l, values))
		} else {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), letterLine(l, values))
		}
		if err != nil {
			return fatal(err)
		}
	}
	return nil
}

// letter is a dead letter for a program.
type letter struct {
	ID         uint64        `json:"id"`
	Account    string        `json:"account"`
	Code       timpush.Code  `json:"code"`
	Reason     string        `json:"reason"`
	Stored     time.Time     `json:"stored"`
	Died       time.Time     `json:"died"`
	AgeSeconds float64       `json:"age_seconds"`
	Foreign    bool          `json:"foreign,omitempty"` // not a message of the package dispatch
	Attrs      timpush.Attrs `json:"attrs,omitempty"`
	Raw        []byte        `json:"raw,omitempty"`
}

func letterOf(l dispatch.DeadLetter, values bool) letter {
	r := letter{
		ID: l.ID, Account: l.User.ToAccount, Code: l.Code, Reason: l.Reason, Stored: l.Stored, Died: l.Died,
		AgeSeconds: time.Since(l.Stored).Seconds(), Foreign: l.Raw != nil,
	}
	if values {
		r.Attrs, r.Raw = l.User.Attrs, l.Raw
	}
	return r
}

func letterLine(l dispatch.DeadLetter, values bool) string {
	code := "-"
	if l.Code != 0 {
		code = strconv.Itoa(int(l.Code))
	}
	line := fmt.Sprintf("%d  %q  %s  %s  %s", l.ID, l.User.ToAccount, code, age(time.Since(l.Stored)), printable(l.Reason))
	switch {
	case values && l.Raw != nil:
		line += fmt.Sprintf("  %q", l.Raw)
	case values:
		line += fmt.Sprintf("  %q", l.User.Attrs)
	}
	return line
}

// printable replaces what could control the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

func discard(cmd *cobra.Command, q openQueue, ids []uint64) error {
	if yes, _ := cmd.Flags().GetBool("yes"); yes {
		return eachLetter(cmd, q, ids, "discarded", q.Discard)
	}
	last := slices.Max(ids)
	for l, err := range q.DeadLetters(cmd.Context()) {
		if err != nil {
			return fatal(err)
		}
		if l.ID > last {
			break
		}
		if slices.Contains(ids, l.ID) {
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), letterLine(l, false))
		}
	}
	return usage(errors.New("nothing was discarded: give --yes to do it"))
}

// eachLetter calls a function for letters. After an error it goes on with the next one.
func eachLetter(cmd *cobra.Command, q openQueue, ids []uint64, done string, do func(context.Context, uint64) error) error {
	some := false
	for _, id := range ids {
		err := do(cmd.Context(), id)
		if err != nil && (cmd.Context().Err() != nil || !q.conn.IsConnected()) {
			return fatal(fmt.Errorf("dead letter %d: %w; it is not known to be %s, and those after it in the command are not", id, err, done))
		}
		if err != nil {
			some = true
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%d: %s\n", id, printable(err.Error()))
			continue
		}
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%d %s\n", id, done)
	}
	return exitStatus(some)
}

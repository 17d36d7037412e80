package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"
)

const getAttrExample = `  timpush get-attr mary bob
  timpush get-attr --file accounts.txt > attributes.ndjson    # an input for set-attr`

const removeAttrExample = `  timpush remove-attr --names city,sex mary bob
  timpush remove-attr --names city --file accounts.txt`

func newGetAttr() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get-attr [ACCOUNT...]", Short: "Read attributes of accounts", Example: getAttrExample,
		Long: "Read the attributes of accounts, given as arguments or in a file with one on each line.\n\n" +
			"Each line of the output is an object, {\"To_Account\":\"mary\",\"Attrs\":{\"city\":\"Rome\"}}. Errors are printed to standard error.",
	}
	list := &accountList{cmd: cmd}
	list.flags()
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		list.args = args
		return list.with(func(client *timpush.Client, _ *gate, accounts iter.Seq2[string, error]) error {
			return getAttr(cmd, client, list.unlessRounded(accounts, timpush.MaxUsersPerRequest))
		})
	}
	return cmd
}

func getAttr(cmd *cobra.Command, client *timpush.Client, accounts iter.Seq2[string, error]) error {
	out := plainJSON(cmd.OutOrStdout())
	some, failing, requests := false, 0, 0
	for batch, err := range client.GetAttrSeq(cmd.Context(), accounts) {
		requests++
		for i, user := range batch.Users {
			if batch.Outcomes[i] != timpush.Done {
				continue
			}
			if err := out.Encode(struct {
				ToAccount string        `json:"To_Account"`
				Attrs     timpush.Attrs `json:"Attrs"`
			}{user.ToAccount, user.Attrs}); err != nil {
				return fatal(err)
			}
		}
		if cmd.Context().Err() != nil {
			return fatal(fmt.Errorf("stopped early: %w", errInterrupted))
		}
		var partial *timpush.PartialError
		switch {
		case errors.As(err, &partial):
			some = true
			printUsers(cmd.ErrOrStderr(), partial)
		case err != nil:
			return fatal(err)
		}
		if failing++; !isOutage(partial, len(batch.Users)) {
			failing = 0
		}
		if failing == partRequests {
			return errOutage
		}
	}
	if failing > 0 && failing == requests {
		return errOutage
	}
	return exitStatus(some)
}

// exitStatus returns the error of a command that has done all, or not some of it.
func exitStatus(some bool) error {
	if some {
		return &exitError{code: exitSome}
	}
	return nil
}

func printUsers(out io.Writer, partial *timpush.PartialError) {
	for u := range partial.Users() {
		_, _ = fmt.Fprintf(out, "%q %s: %v\n", u.ToAccount, u.Outcome, u.Err)
	}
}

func newRemoveAttr() *cobra.Command {
	var names []string
	cmd := &cobra.Command{
		Use: "remove-attr --names NAME,... [ACCOUNT...]", Short: "Remove attributes of accounts", Example: removeAttrExample,
		Long: "Remove the named attributes of accounts, given as arguments or in a file with one on each line.",
	}
	list := &accountList{cmd: cmd}
	list.flags()
	cmd.Flags().StringSliceVar(&names, "names", nil, "`names` of the attributes")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(names) == 0 {
			return usage(errors.New("which attributes? give --names, and see --help"))
		}
		return list.inParts(args, func(ctx context.Context, client *timpush.Client, accounts []string) (*timpush.Result, error) {
			users := make([]timpush.UserAttrNames, len(accounts))
			for i, account := range accounts {
				users[i] = timpush.UserAttrNames{ToAccount: account, Names: names}
			}
			return client.RemoveAttr(ctx, users)
		})
	}
	return cmd
}

package main

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"
)

func newTags() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tags", Short: "Add, replace, remove, read and clear tags of accounts",
		Long: "Add, replace, remove, read and clear tags of accounts, given as arguments or in a file with one on each line.",
		Args: usageArgs(known), RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Example: "  timpush tags add --tags gold,beta mary bob\n  timpush tags get --file accounts.txt\n" +
			"  timpush tags clear mary",
	}
	cmd.AddCommand(
		newTagging("add", "Add tags to accounts", (*timpush.Client).AddTags),
		newTagging("replace", "Give accounts these tags and no others", (*timpush.Client).ReplaceTags),
		newTagging("remove", "Remove tags from accounts", (*timpush.Client).RemoveTags),
		newTagsGet(), newTagsClear(),
	)
	return cmd
}

// newTagging returns a command that sends the same tags for each account.
func newTagging(name, short string, send func(*timpush.Client, context.Context, []timpush.UserTags) (*timpush.Result, error)) *cobra.Command {
	var tags []string
	cmd := &cobra.Command{Use: name + " --tags TAG,... [ACCOUNT...]", Short: short}
	list := &accountList{cmd: cmd}
	list.flags()
	cmd.Flags().StringSliceVar(&tags, "tags", nil, "`tags`, separated by commas")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(tags) == 0 {
			return usage(errors.New("which tags? give --tags, and see --help"))
		}
		return list.inParts(args, func(ctx context.Context, client *timpush.Client, accounts []string) (*timpush.Result, error) {
			users := make([]timpush.UserTags, len(accounts))
			for i, account := range accounts {
				users[i] = timpush.UserTags{ToAccount: account, Tags: tags}
			}
			return send(client, ctx, users)
		})
	}
	return cmd
}

func newTagsClear() *cobra.Command {
	cmd := &cobra.Command{Use: "clear [ACCOUNT...]", Short: "Remove all tags from accounts"}
	list := &accountList{cmd: cmd}
	list.flags()
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return list.inParts(args, func(ctx context.Context, client *timpush.Client, accounts []string) (*timpush.Result, error) {
			return client.ClearTags(ctx, accounts)
		})
	}
	return cmd
}

func newTagsGet() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get [ACCOUNT...]", Short: "Read the tags of accounts",
		Long: "Read the tags of accounts. Each line of the output is an object, {\"To_Account\":\"mary\",\"Tags\":[\"gold\"]}.",
	}
	list := &accountList{cmd: cmd, shows: true}
	list.flags()
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return list.inParts(args, func(ctx context.Context, client *timpush.Client, accounts []string) (*timpush.Result, error) {
			found, err := client.GetTags(ctx, accounts)
			return nil, errors.Join(printTags(cmd, accounts, found), err)
		})
	}
	return cmd
}

func printTags(cmd *cobra.Command, accounts []string, found map[string][]string) error {
	out := plainJSON(cmd.OutOrStdout())
	for _, account := range accounts {
		tags, ok := found[account]
		if !ok {
			continue
		}
		delete(found, account) // an account that comes twice is printed once
		if err := out.Encode(struct {
			ToAccount string   `json:"To_Account"`
			Tags      []string `json:"Tags"`
		}{account, append([]string{}, tags...)}); err != nil {
			return fatal(err)
		}
	}
	return nil
}

// inParts calls do with the accounts, part by part. Do returns no result if it prints what it does.
func (l *accountList) inParts(args []string, do func(context.Context, *timpush.Client, []string) (*timpush.Result, error)) error {
	l.args = args
	return l.with(func(client *timpush.Client, g *gate, accounts iter.Seq2[string, error]) error {
		p := &partRun{cmd: l.cmd, shows: l.shows, do: func(ctx context.Context, part []string) (*timpush.Result, error) { return do(ctx, client, part) }}
		say := func(text string) { _, _ = fmt.Fprintln(l.cmd.ErrOrStderr(), text) }
		return g.untilStopped(l.cmd.Context(), say, func(ctx context.Context) error { return p.all(ctx, l.unlessRounded(accounts, partAccounts)) })
	})
}

// partRun is a running command that works on accounts part by part, so that a file of any size does.
type partRun struct {
	cmd    *cobra.Command
	do     func(context.Context, []string) (*timpush.Result, error)
	part   []string
	done   int
	began  bool   // a part was sent
	last   string // account of those that were sent
	shows  bool   // as in accountList
	counts bool   // there are results to count
	some   bool   // accounts are not done
}

func (p *partRun) all(ctx context.Context, accounts iter.Seq2[string, error]) error {
	defer func() {
		if p.counts {
			_, _ = fmt.Fprintf(p.cmd.OutOrStdout(), "%d done\n", p.done)
		}
	}()
	for account, err := range accounts {
		switch {
		case errors.Is(err, errInterrupted) && p.began:
			return fatal(fmt.Errorf("stopped early: %w; the accounts after %q are not done: to run the command again does no harm", errInterrupted, p.last))
		case err != nil:
			return fatal(err)
		}
		if p.part = append(p.part, account); len(p.part) == partAccounts {
			if err := p.send(ctx); err != nil {
				return err
			}
		}
	}
	if len(p.part) > 0 {
		if err := p.send(ctx); err != nil {
			return err
		}
	}
	p.counts = p.counts || !p.began && !p.shows // an empty list
	return exitStatus(p.some)
}

// send sends the accounts collected so far.
func (p *partRun) send(ctx context.Context) error {
	result, err := p.do(ctx, p.part)
	first, last, n := p.part[0], p.part[len(p.part)-1], len(p.part)
	p.part = p.part[:0]
	if result != nil {
		p.counts, p.done = true, p.done+result.Done
	}
	if err != nil && p.cmd.Context().Err() != nil {
		return fatal(fmt.Errorf("stopped early: %w; %q and the accounts after it are not all done: to run the command again does no harm", errInterrupted, first))
	}
	partial, ok := errors.AsType[*timpush.PartialError](err)
	switch {
	case err != nil && !ok && p.began:
		return fatal(err)
	case err != nil && !ok:
		return callFailed(err, "") // nothing was sent, so that invalid input is a usage error
	}
	p.began, p.last = true, last
	if ok {
		p.some = true
		printUsers(p.cmd.ErrOrStderr(), partial)
	}
	if isOutage(partial, n) {
		return errOutage
	}
	if code := stopOf(partial); code != 0 {
		return fatal(fmt.Errorf("stopped early: the service refuses to go on: %w", code))
	}
	return nil
}

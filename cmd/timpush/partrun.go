package main

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
)

// partRequests is how many requests of a command that works on accounts may fail in a row, until it stops.
const partRequests = 50

// partAccounts is how many accounts are handed to the client at a time, so that a file of any size does.
const partAccounts = partRequests * timpush.MaxUsersPerRequest

var errOutage = fatal(errors.New("stopped early: requests fail for all accounts, and the rest was left out"))

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

// isOutage reports whether none of n accounts is done, and not because the service has refused the data of each of them.
func isOutage(partial *timpush.PartialError, n int) bool {
	if partial == nil {
		return false
	}
	failed := false
	for u := range partial.Users() {
		n--
		failed = failed || u.Outcome != timpush.Rejected || !bulk.AboutData(u)
	}
	return failed && n <= 0
}

// stopOf returns the code for which the service refuses to go on, such as that of a wrong key or of a quota of the day, or 0: accounts were
// then left out.
func stopOf(partial *timpush.PartialError) timpush.Code {
	if partial == nil {
		return 0
	}
	for u := range partial.Users() {
		code, ok := errors.AsType[timpush.Code](u)
		if ok && u.Outcome == timpush.NotSent && !code.Retryable() && !code.DataFault() {
			return code
		}
	}
	return 0
}

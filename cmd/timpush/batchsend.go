package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/checkpoint"
)

// maxFailing is how many requests in a row may fail for all of their accounts, until the run stops.
const maxFailing = 3

// send sends to all accounts that are left, request by request. The context of the command says when to stop; ctx outlives it, so
// that a request in flight gets its answer.
func (b *batch) send(ctx context.Context) error {
	stop := b.cmd.Context()
	for next, ready := 0, time.Now(); next < len(b.accounts); {
		request := b.request(&next)
		if len(request) == 0 {
			break
		}
		if sleepUntil(stop, ready) != nil {
			return errInterrupted
		}
		if err := b.journal.Begin(int(request[0]), int(request[len(request)-1])); err != nil {
			return fmt.Errorf("the journal cannot be written, and the request was not sent: %w", err)
		}
		ready = time.Now().Add(time.Duration(len(request)) * time.Second / time.Duration(b.rate))
		result, err := b.client.PushTo(ctx, b.names(request), b.push)
		// The client itself waits only between the requests of one PushTo.
		if asked := time.Now().Add(min(timpush.RetryAfter(err), time.Minute)); asked.After(ready) {
			ready = asked
		}
		if err := b.record(request, result, err); err != nil {
			return err
		}
	}
	switch {
	case b.counts.NotSent == 0:
		return nil
	case stop.Err() != nil:
		return errInterrupted
	case b.failing > 0:
		return b.failed()
	}
	return nil
}

// failed is the error of a run whose last requests have failed for all accounts: the network is down, for example.
func (b *batch) failed() error {
	if b.failing == 1 {
		return fmt.Errorf("the last request failed for all of its accounts: %w", b.failure)
	}
	return fmt.Errorf("%s in a row failed for all accounts, the last one: %w", count(b.failing, "request"), b.failure)
}

// sleepUntil waits for about the time at which the client's quota has room. If the client waited for all of it, between the entry in
// the journal and the request, a run that is killed would nearly always leave a request of which it is unknown whether it was sent.
func sleepUntil(ctx context.Context, ready time.Time) error {
	timer := time.NewTimer(time.Until(ready))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// request returns the positions of the accounts of the next request, and moves next behind them.
func (b *batch) request(next *int) (positions []int64) {
	size := b.size()
	for ; *next < len(b.accounts) && len(positions) < size; *next++ {
		if b.journal.Outcomes[*next] == timpush.NotSent {
			positions = append(positions, int64(*next))
		}
	}
	return positions
}

// record records the result of a request. Its error ends the run.
func (b *batch) record(request []int64, result *timpush.PushToResult, err error) error {
	if result != nil {
		b.requests += result.Requests
	}
	pushes, ids := pushesOf(result)
	groups, stop := b.groups(request, result, err)
	unwritten := b.journal.End(strings.Join(ids, ","), groups)
	b.counts.NotSent -= len(request)
	before := b.counts
	b.tally(request)
	b.notDone += b.counts.NotSent - before.NotSent + b.counts.Unknown - before.Unknown
	b.report(pushes, ids, len(request))
	if unwritten != nil {
		return fmt.Errorf("the journal cannot be written: the next run will take the accounts of the last request for unknown: %w", unwritten)
	}
	b.failing, b.failure = b.failing+1, err
	if result != nil && result.Done+result.Rejected > 0 {
		b.failing = 0
	}
	// Once the run is to stop, a request may have failed since it waited to be sent again.
	switch goesOn := b.cmd.Context().Err() == nil; {
	case goesOn && stop != nil:
		return stop
	case goesOn && b.failing >= maxFailing:
		return b.failed()
	}
	return nil
}

// pushesOf returns how many accounts have got a push, by its TaskID, and the TaskIDs in order. There are several where accounts were
// throttled alone and sent again.
func pushesOf(result *timpush.PushToResult) (done map[string]int, ids []string) {
	done = map[string]int{}
	if result == nil {
		return done, nil
	}
	for _, id := range result.TaskIDs {
		if id == "" {
			continue
		}
		if done[id]++; done[id] == 1 {
			ids = append(ids, id)
		}
	}
	return done, ids
}

// ending is how an account of a request has ended.
type ending struct {
	outcome timpush.Outcome
	reason  string
}

// groups returns how the accounts of a request have ended, and why the run ends, if it does.
func (b *batch) groups(request []int64, result *timpush.PushToResult, err error) (groups []checkpoint.Group, stop error) {
	endings, stop := endingsOf(len(request), result, err)
	sets := map[ending][]int64{}
	for i, e := range endings {
		sets[e] = append(sets[e], request[i])
	}
	for e, positions := range sets {
		groups = append(groups, checkpoint.Group{Outcome: e.outcome.String(), Reason: e.reason, Accounts: checkpoint.Runs(positions)})
	}
	slices.SortFunc(groups, func(a, b checkpoint.Group) int { return cmp.Compare(a.Accounts[0][0], b.Accounts[0][0]) })
	return groups, stop
}

// endingsOf returns how n accounts have ended. A request that is refused as a whole, for something else than its accounts, stops the
// run. If it is not about the request either, but about the key or the quota of the day for instance, the next run sends it. So it does
// for accounts that were refused alone with a code that passes, such as that of a quota.
func endingsOf(n int, result *timpush.PushToResult, err error) (all []ending, stop error) {
	all = make([]ending, n)
	partial, ok := errors.AsType[*timpush.PartialError](err)
	switch {
	case result == nil: // the input was not valid
		return all, err
	case err != nil && !ok:
		return slices.Repeat([]ending{{timpush.Unknown, bulk.ReasonOf(err)}}, n), err
	}
	for i := range all {
		all[i].outcome = timpush.Done
	}
	if !ok {
		return all, nil
	}
	for u := range partial.Users() {
		if u.Index < 0 {
			continue // not one of the request
		}
		all[u.Index] = ending{u.Outcome, bulk.ReasonOf(u)}
		if result.Rejected < n || aboutAccount(u) {
			continue
		}
		if stop = u.Err; !bulk.AboutData(u) {
			all[u.Index].outcome = timpush.NotSent
		}
	}
	for _, i := range timpush.Remaining(err, positions(n)) {
		all[i].outcome = timpush.NotSent
	}
	return all, stop
}

// aboutAccount reports whether a code is about an account alone: it is not known, or is none.
func aboutAccount(err error) bool {
	code, _ := errors.AsType[timpush.Code](err)
	return code == timpush.ErrNoSuchAccount || code == timpush.ErrAccountDeleted || code >= 70102 && code <= 70145
}

// report shows the pushes of a request, and the progress. The accounts without one count for the last.
func (b *batch) report(done map[string]int, ids []string, of int) {
	r := b.reporter
	for i, id := range ids {
		accounts := done[id]
		if i == len(ids)-1 {
			accounts = of
		}
		of -= accounts
		switch {
		case b.asJSON:
			r.event("push", map[string]any{"task_id": id, "done": done[id], "accounts": accounts})
		case !b.quiet:
			r.show(fmt.Sprintf("TaskID %s: %s", id, count(done[id], "account")))
		}
	}
	c, took := b.counts, time.Since(b.began)
	status := bulk.Status{Counts: checkpoint.Counts{Done: int64(c.Done), Rejected: int64(c.Rejected), Failed: int64(b.notDone)}}
	status.Stream.Requests, status.Stream.Unknown, status.Stream.Elapsed = b.requests, c.Unknown, took
	status.Stream.Rate = min(float64(c.Done-b.before.Done)/took.Seconds(), float64(b.rate)) // the first request needs no time
	status.Fraction = 1 - float64(c.NotSent)/float64(len(b.accounts))
	r.Progress(status)
}

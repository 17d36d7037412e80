package timpush

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// DefaultQPS is the quota of calls a second that the service grants an app for each endpoint
// (tencentcloud.com/document/product/1047/60565).
const DefaultQPS = 100

// defaultShare of the quota is a little below it: a limiter at exactly 100 calls a second was measured to let 101 to 104
// of them arrive within one second, since calls do not all travel equally fast.
const defaultShare = 0.975

// A Limiter limits the rate of calls: Wait returns when the next one may be sent. A *rate.Limiter of golang.org/x/time/rate is one,
// in which callers that are canceled while they wait keep their turns, and so delay all that come later; one of [NewLimiter] forgets them.
//
// The quota belongs to the app, so all clients of one app should share one Limiter. A Limiter that gives up because
// ctx ends too soon should return an error that matches context.DeadlineExceeded; the second one in a row ends the call. The first, which may
// be a timeout of the Limiter's own, and any other error while ctx has not ended cost one attempt each.
// Wait is called concurrently. Its ctx ends also when a throttle code comes: then Wait is called again, after the pause.
//
// A Limiter around one of [NewLimiter] should have a method Behind() Limiter that returns that: it also keeps its rate where calls have waited
// for their connections, and would otherwise leave together.
type Limiter interface {
	Wait(ctx context.Context) error
}

// maxStarts bounds the memory of a limiter with a very high rate.
const maxStarts = 10 * DefaultQPS

// slack is by how much a call may be late without delaying those after it.
const slack = 5 * time.Millisecond

// NewLimiter makes a limiter like the one that a client makes for itself, to be shared by the clients of an app, or to use
// only a part of the quota. It lets callsPerSecond through, evenly and without bursts; [NewClient] refuses a limiter of 0 or less,
// which lets nothing through. Give it 97.5 % of the quota, since calls do not all travel equally fast: 97.5 for 100 calls, or 487.5 for the
// 500 recipients of the standard plan. It does not catch up, as a *rate.Limiter does: also after a call that starts late, because the machine is busy, no
// second has more calls than the quota, callsPerSecond/0.975. It is safe for concurrent use.
func NewLimiter(callsPerSecond float64) Limiter {
	calls := 1
	if callsPerSecond > 0 { // and not NaN either
		calls = int(min(max(1, math.Round(callsPerSecond/defaultShare)), maxStarts))
	}
	span := time.Duration(float64(calls) / callsPerSecond * float64(time.Second))
	return &evenLimiter{
		Limiter: rate.NewLimiter(rate.Limit(callsPerSecond), 1), departures: newDepartures(span-slack, calls),
		many: make(chan struct{}, 1), first: make(chan struct{}, 1), starts: window{span: span - slack, most: calls},
	}
}

// evenLimiter is a rate.Limiter with a bound on the calls that start within a window. Only the first of those that wait reserves a
// time, which the rate.Limiter takes back if the caller gives up: those of others it would keep, and all callers after them would
// wait for nothing.
type evenLimiter struct {
	*rate.Limiter
	departures
	waiting atomic.Int64  // callers of Wait, other than those of LowPriority
	many    chan struct{} // taken by a caller of WaitN
	first   chan struct{} // taken by the first in the queue, who alone uses starts
	starts  window
}

// Wait returns when the next call may start.
func (l *evenLimiter) Wait(ctx context.Context) error {
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	return l.wait(ctx)
}

func (l *evenLimiter) wait(ctx context.Context) error {
	if err := takeLock(ctx, l.first); err != nil {
		return err
	}
	defer func() { <-l.first }()
	if err := l.Limiter.Wait(ctx); err != nil {
		return err
	}
	if err := takeLock(ctx, l.departures.next); err != nil { // those that wait to leave go first, or all that come later would wait there too
		return err
	}
	<-l.departures.next
	if err := l.starts.wait(ctx, 1); err != nil {
		return err
	}
	l.starts.add(1)
	return nil
}

// WaitN returns when n more may have started, one after the other. The method of the rate.Limiter would refuse more than one.
func (l *evenLimiter) WaitN(ctx context.Context, n int) error {
	if err := takeLock(ctx, l.many); err != nil { // else several would take turns, and end together
		return err
	}
	defer func() { <-l.many }()
	for range n {
		if err := l.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// recipientSecond is the second of a recipientLimiter: a little longer, since requests do not all travel equally fast.
const recipientSecond = 1010 * time.Millisecond

// recipientLimiter limits the rate of requests by their recipients, and spaces requests evenly. Those that wait are in a queue
// and reserve nothing ahead.
type recipientLimiter struct {
	departures
	perSecond int
	first     chan struct{} // taken by the first in the queue, who alone uses starts
	starts    window
}

// newRecipientLimiter makes a Limiter with WaitN, for perSecond recipients, 1 or more. One request cannot have more than that.
func newRecipientLimiter(perSecond int) Limiter {
	return &recipientLimiter{
		perSecond: perSecond, departures: newDepartures(recipientSecond-slack, perSecond),
		first: make(chan struct{}, 1), starts: window{span: recipientSecond, most: perSecond},
	}
}

// Wait returns when a request to one recipient may start.
func (l *recipientLimiter) Wait(ctx context.Context) error { return l.WaitN(ctx, 1) }

// WaitN returns when a request to n recipients may start: after the share of the second that the request before it takes, and when enough of
// the last second has passed.
func (l *recipientLimiter) WaitN(ctx context.Context, n int) error {
	if n > l.perSecond {
		return fmt.Errorf("%d recipients in a request, at most %d a second", n, l.perSecond)
	}
	if err := takeLock(ctx, l.first); err != nil {
		return err
	}
	defer func() { <-l.first }()
	if last := len(l.starts.calls) - 1; last >= 0 {
		before := l.starts.calls[last]
		share := recipientSecond * time.Duration(before.n) / time.Duration(l.perSecond)
		if err := sleep(ctx, time.Until(before.at.Add(share))); err != nil {
			return err
		}
	}
	if err := l.starts.wait(ctx, n); err != nil {
		return err
	}
	if err := l.departures.wait(ctx, n); err != nil {
		return err
	}
	l.starts.add(n)
	return nil
}

// waitLimiter waits for l, with WaitN for n recipients if it counts them.
func waitLimiter(ctx context.Context, l Limiter, counts bool, n int) error {
	given := waitFor(ctx, l, counts, n)
	err := foreign(withoutCause(ctx, tooEarly(ctx, given)))
	switch {
	case err == nil || ctx.Err() != nil || tellsDeadline(given):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return &maybeTooEarly{err}
	}
	return fmt.Errorf("limiter: %w", err)
}

// maybeTooEarly is an error of a Limiter that matches context.DeadlineExceeded while ctx has not ended: the deadline may come too early, or the
// Limiter has a timeout of its own, for its server. Those of the packages net and net/http match that too.
type maybeTooEarly struct{ error }

// Unwrap returns the Limiter's error.
func (e *maybeTooEarly) Unwrap() error { return e.error }

func waitFor(ctx context.Context, l Limiter, counts bool, n int) error {
	if many, ok := l.(nWaiter); ok && counts {
		return many.WaitN(ctx, n)
	}
	return l.Wait(ctx)
}

// tooEarly adds context.DeadlineExceeded to the error of a *rate.Limiter, which says only in its text that the deadline of ctx
// comes too early. It may be within another Limiter, whose other errors say nothing of the deadline.
func tooEarly(ctx context.Context, err error) error {
	if ctx.Err() == nil && tellsDeadline(err) {
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}

func tellsDeadline(err error) bool {
	return err != nil && strings.Contains(err.Error(), "would exceed context deadline")
}

// nWaiter is a Limiter that can let n through at once.
type nWaiter interface {
	WaitN(ctx context.Context, n int) error
}

// sleep pauses for d, or until ctx ends, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeLock waits for a lock, or until ctx ends, whose error it returns.
func takeLock(ctx context.Context, lock chan<- struct{}) error {
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package timpush

import (
	"context"
	"time"
)

// window bounds the calls, or the recipients, within a span of time.
type window struct {
	span  time.Duration
	most  int
	calls []counted // of the last span, the oldest first
}

// counted is a call that counts as n.
type counted struct {
	at time.Time
	n  int
}

// wait returns when there is room for n more, or nothing else if n is more than there can be.
func (w *window) wait(ctx context.Context, n int) error {
	room := w.most - n
	for _, call := range w.calls {
		room -= call.n
	}
	for ; len(w.calls) > 0; w.calls = w.calls[1:] {
		over := w.calls[0].at.Add(w.span)
		if room >= 0 && time.Until(over) > 0 {
			break
		}
		if err := sleep(ctx, time.Until(over)); err != nil {
			return err
		}
		room += w.calls[0].n
	}
	return nil
}

func (w *window) add(n int) { w.calls = append(w.calls, counted{time.Now(), n}) }

// departures bounds the calls of a Limiter that leave within a span of time, once they have their connections. Where connecting takes long, as at
// first, many calls wait for that, and would leave together, in addition to those that are let through then.
type departures struct {
	next  chan struct{} // taken by the one that leaves next, who alone uses the following
	calls window
}

func newDepartures(span time.Duration, most int) departures {
	return departures{next: make(chan struct{}, 1), calls: window{span: span, most: most}}
}

// wait returns when a call that counts as n could leave if it had its connection: those that have theirs and wait go first.
func (d *departures) wait(ctx context.Context, n int) error {
	if err := takeLock(ctx, d.next); err != nil {
		return err
	}
	defer func() { <-d.next }()
	return d.calls.wait(ctx, n)
}

// leave returns when a call that counts as n may leave.
func (d *departures) leave(ctx context.Context, n int) error {
	if err := takeLock(ctx, d.next); err != nil {
		return err
	}
	defer func() { <-d.next }()
	if err := d.calls.wait(ctx, n); err != nil {
		return err
	}
	d.calls.add(n)
	return nil
}

// leave returns when a call that l has let through may leave, for n recipients if it counts them, or an error if ctx ends before.
func leave(ctx context.Context, l Limiter, counts bool, n int) error {
	if !counts {
		n = 1
	}
	if l, ok := behind(l).(interface {
		leave(context.Context, int) error
	}); ok {
		return l.leave(ctx, n)
	}
	return nil
}

package timpush

import (
	"context"
	"time"
)

// LowPriority returns a Limiter for a job, such as a nightly run, that gives way to the callers of l and uses what they leave.
// Give the job a Client of its own with that Limiter, and the others a Client with l:
//
//	limiter := timpush.NewLimiter(97.5)
//	logins, err := timpush.NewClient(cfg, timpush.WithLimiter(limiter))
//	nightly, err := timpush.NewClient(cfg, timpush.WithLimiter(timpush.LowPriority(limiter)))
//
// Only one call of the job waits for l at a time, so a caller of l waits for at most one call of the job. If l is of
// [NewLimiter], the job also waits for as long as any caller of l does. Any other Limiter should let its callers through in
// the order in which they come; then the job counts as one caller.
//
// With a service that takes 50 ms and 20 logins a second at random, 99 of 100 logins take at most 64 ms alone, 80 ms with such
// a job at the same time, and 494 ms with a job that uses l itself; logins and job together use the whole rate of l. Through a *rate.Limiter or a
// Redis nearby it is 90 ms. If l asks a machine so far away that a Wait takes longer than the time between two calls, the job
// makes one call in a Wait: 28 a second with these logins and a Redis at 20 ms. Each further LowPriority of the same l, for
// another part of the job, makes that many more.
//
// The Limiter lets its callers through in the order in which they come. It has a method WaitN if l has one, and is safe for
// concurrent use.
func LowPriority(l Limiter) Limiter {
	low := &lowPriority{limiter: l, first: make(chan struct{}, 1)}
	if _, ok := l.(nWaiter); ok {
		return lowPriorityN{low}
	}
	return low
}

// lowPriority is a queue in front of a Limiter: only the first waits for that.
type lowPriority struct {
	limiter Limiter
	first   chan struct{} // taken by the first in the queue
}

// lowPriorityN is a lowPriority of a Limiter with WaitN.
type lowPriorityN struct{ *lowPriority }

// Wait returns when the next call of the job may start.
func (l *lowPriority) Wait(ctx context.Context) error { return l.wait(ctx, false, 1) }

// WaitN returns when a request of the job to n recipients may start.
func (l lowPriorityN) WaitN(ctx context.Context, n int) error { return l.wait(ctx, true, n) }

func (l *lowPriority) wait(ctx context.Context, counts bool, n int) (err error) {
	select {
	case l.first <- struct{}{}:
		defer func() { <-l.first }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if even, ok := l.limiter.(*evenLimiter); ok {
		err = even.waitLast(ctx, n)
	} else if many, ok := l.limiter.(nWaiter); ok && counts {
		err = many.WaitN(ctx, n)
	} else {
		err = l.limiter.Wait(ctx)
	}
	return tooEarly(ctx, l.limiter, err)
}

// waitLast returns when n more have started, each when no caller of Wait waits.
func (l *evenLimiter) waitLast(ctx context.Context, n int) error {
	for range n {
		for l.waiting.Load() > 0 {
			if err := sleep(ctx, l.interval()); err != nil {
				return err
			}
		}
		if err := l.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// interval is the time between two calls.
func (l *evenLimiter) interval() time.Duration {
	return time.Duration(float64(time.Second) / float64(l.Limit()))
}

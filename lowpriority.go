package timpush

import (
	"context"
	"math"
	"sync"
	"time"
)

// LowPriority returns a Limiter for a job, such as a nightly run, that gives way to the callers of l and uses what they leave.
// Give the job a Client of its own with that Limiter, and the others a Client with l:
//
//	limiter := timpush.NewLimiter(97.5)
//	logins, err := timpush.NewClient(cfg, timpush.WithLimiter(limiter))
//	nightly, err := timpush.NewClient(cfg, timpush.WithLimiter(timpush.LowPriority(limiter)))
//
// If l is of [NewLimiter], one call of the job waits for l at a time, and only while no caller of l does. Any other Limiter
// should let its callers through in the order in which they come; then the job counts as one caller. If l asks a machine so far
// away that a Wait takes longer than the time between two calls, as many calls of the job wait at a time as it takes to use the
// rate of l, and a caller of l waits about half longer than without the job. To find that number, the job makes three calls
// every minute one at a time, each after a pause as long as a Wait if its context leaves the time.
//
// With a service that takes 50 ms and 20 logins a second at random, 99 of 100 logins take at most 64 ms alone, 80 ms with such
// a job at the same time, and 500 ms with a job that uses l itself; logins and job together use the whole rate of l. Through a
// *rate.Limiter it is 90 ms. Through Redis:
//
//	round trip   alone    with the job   the job uses, of what they leave
//	0 ms          64 ms    90 ms         all
//	20 ms         90 ms   122 ms         94 %
//	50 ms        139 ms   195 ms         97 %
//	100 ms       222 ms   355 ms         96 %
//
// The Limiter lets its callers through in the order in which they come. It has a method WaitN if l has one, and is safe for
// concurrent use. If l is nil, so is the Limiter, which [NewClient] refuses.
func LowPriority(l Limiter) Limiter {
	if l == nil {
		return nil
	}
	even, _ := l.(*evenLimiter)
	low := &lowPriority{limiter: l, even: even, first: make(chan struct{}, 1), left: make(chan struct{}, 1), most: 1}
	if _, ok := l.(nWaiter); ok {
		return lowPriorityN{low}
	}
	return low
}

// behind returns the Limiter that lets the callers of l through: l, the one that l gives way to, or the one that l watches.
func behind(l Limiter) Limiter {
	switch front := l.(type) {
	case *lowPriority:
		return behind(front.limiter)
	case lowPriorityN:
		return behind(front.limiter)
	case interface{ Behind() Limiter }: // of package oteltimpush
		return behind(front.Behind())
	}
	return l
}

// lowPriority is a queue in front of a Limiter: only as many wait for that as it takes to use it, most often one.
//
// A Limiter that asks a distant machine makes each wait for the answer, so one at a time would leave most of the quota unused.
// Therefore that number follows how much longer a Wait takes than one that nothing delays, as the window of TCP Vegas does: if
// it takes no longer, there is room for more. How long one takes that nothing delays is measured every minute: three come one
// at a time, each after a pause, since callers of the Limiter may delay one of them.
type lowPriority struct {
	limiter Limiter
	even    *evenLimiter  // the same if it is of NewLimiter, which tells who waits: then one at a time is enough
	first   chan struct{} // taken by the first in the queue
	left    chan struct{} // has an element if one has left that waited for the limiter

	mu       sync.Mutex
	waiting  int           // for the limiter
	most     float64       // that may wait for it, at least 1
	began    time.Time     // when measuring began
	measured int           // how many of the three have been
	alone    time.Duration // the shortest Wait since then
	took     time.Duration // the last Wait
}

// lowPriorityN is a lowPriority of a Limiter with WaitN.
type lowPriorityN struct{ *lowPriority }

// Wait returns when the next call of the job may start.
func (l *lowPriority) Wait(ctx context.Context) error { return l.wait(ctx, false, 1) }

// WaitN returns when a request of the job to n recipients may start.
func (l lowPriorityN) WaitN(ctx context.Context, n int) error { return l.wait(ctx, true, n) }

func (l *lowPriority) wait(ctx context.Context, counts bool, n int) (err error) {
	waiting, err := l.enter(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	defer func() { l.leave(waiting, began, err) }()
	if l.even != nil {
		err = l.even.waitLast(ctx, n)
	} else {
		err = waitFor(ctx, l.limiter, counts, n)
	}
	return tooEarly(ctx, err)
}

// enter returns when one more may wait for the limiter, and how many then do.
func (l *lowPriority) enter(ctx context.Context) (waiting int, err error) {
	if err := takeLock(ctx, l.first); err != nil {
		return 0, err
	}
	defer func() { <-l.first }()
	for {
		waiting, pause := l.mayWait()
		if waiting > 0 {
			if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < 3*pause {
				pause = 0 // the caller has no time for it
			}
			if err := sleep(ctx, pause); err != nil {
				l.leave(waiting, time.Time{}, err)
				return 0, err
			}
			return waiting, nil
		}
		select {
		case <-l.left:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// mayWait counts one more that waits, and returns how many these are, or 0 if they would be too many. One that is to be
// measured pauses for as long as the last Wait took, so that it finds the limiter as if that had been the only one.
func (l *lowPriority) mayWait() (waiting int, pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.began) > time.Minute {
		l.began, l.measured, l.alone = now, 0, math.MaxInt64
	}
	most := int(l.most)
	if l.measured < 3 {
		most, pause = 1, l.took
	}
	if l.waiting >= most {
		return 0, 0
	}
	l.waiting++
	return l.waiting, pause
}

// leave counts one less, and adapts how many may wait.
func (l *lowPriority) leave(waiting int, began time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
	if err == nil && l.even == nil && !began.Before(l.began) {
		l.adapt(float64(waiting), time.Since(began))
	}
	select {
	case l.left <- struct{}{}:
	default:
	}
}

// adapt moves the number to those that would wait if nothing delayed them, and one more, or three of ten: so many must be there
// already when an answer comes late.
func (l *lowPriority) adapt(waiting float64, took time.Duration) {
	l.took = max(took, 1)
	l.alone = min(l.alone, l.took)
	if l.measured < 3 {
		l.measured++
		return
	}
	waiting = min(waiting+1, l.most) // not more than the callers there are
	most := waiting*l.alone.Seconds()/l.took.Seconds() + max(1, 0.3*waiting)
	l.most = max(1, l.most+(most-l.most)/l.most)
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

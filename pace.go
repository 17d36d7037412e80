package timpush

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// DefaultQPS is the quota of calls a second that the service grants an app for each endpoint
// (tencentcloud.com/document/product/1047/60565).
const DefaultQPS = 100

// defaultPace keeps a little below the quota: a limiter at exactly 100 calls a second was measured to let 101 to 104
// of them arrive within one second, since calls do not all travel equally fast.
const defaultPace = DefaultQPS * 0.975

// A Limiter paces calls: Wait returns when the next one may be sent. A *rate.Limiter of golang.org/x/time/rate is one.
//
// The quota belongs to the app, so all clients of one app should share one Limiter. A Limiter that gives up because
// ctx ends too soon should return an error that matches context.DeadlineExceeded; any other error while ctx has not
// ended costs one attempt. Wait is called concurrently.
type Limiter interface {
	Wait(ctx context.Context) error
}

func defaultLimiter() Limiter { return rate.NewLimiter(defaultPace, 1) }

// reserver recognizes a *rate.Limiter, also embedded in another type.
type reserver interface{ Reserve() *rate.Reservation }

// waitLimiter waits for l. A *rate.Limiter says with an error of its own that the deadline of ctx comes too early.
func waitLimiter(ctx context.Context, l Limiter) error {
	err := l.Wait(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, ok := l.(reserver); ok {
		if _, ok := ctx.Deadline(); ok {
			return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
		}
	}
	return fmt.Errorf("limiter: %w", err)
}

const (
	minPause   = time.Second // the length of the service's window is not documented; the quota is given per second
	maxPause   = 16 * time.Second
	slowDown   = 0.7  // of the rate that was too high
	speedUp    = 0.05 // of that rate, each second
	recovered  = 1.25 // of that rate: others have stopped using the quota
	lowestRate = 1.0  // calls a second
)

// pace slows all calls of a client after a throttle code, below what the limiter lets through, and lets them come back
// little by little. It settles where the codes stop, since other programs may use a part of the quota.
type pace struct {
	mu      sync.Mutex
	rate    float64   // calls a second; 0: no brake
	tooHigh float64   // the rate that met a throttle code
	next    time.Time // when the next call may start
	updated time.Time // when rate was
	resume  time.Time // end of the last pause
	pause   time.Duration
	slowed  int // how often; a call that waits starts over when it changes

	second   time.Time // the second that is being counted
	now, was int       // calls in it and in the one before
}

// wait returns when the next call may start.
func (p *pace) wait(ctx context.Context) error {
	for {
		start, slowed := p.reserve()
		if err := sleep(ctx, time.Until(start)); err != nil {
			return err
		}
		if p.start(slowed) {
			return nil
		}
	}
}

// reserve takes the next start.
func (p *pace) reserve() (start time.Time, slowed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.rate == 0 {
		return now, p.slowed
	}
	if now.After(p.updated) {
		p.rate += p.tooHigh * speedUp * now.Sub(p.updated).Seconds()
		p.updated = now
	}
	if p.rate > p.tooHigh*recovered {
		p.rate = 0
		return now, p.slowed
	}
	if p.next.Before(now) {
		p.next = now
	}
	start = p.next
	p.next = start.Add(time.Duration(float64(time.Second) / p.rate))
	return start, p.slowed
}

// start counts a call that starts now. It reports false if there was a throttle code since the call took its turn.
func (p *pace) start(slowed int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slowed != p.slowed {
		return false
	}
	now := time.Now()
	switch age := now.Sub(p.second); {
	case age >= 2*time.Second:
		p.second, p.was, p.now = now, 0, 0
	case age >= time.Second:
		p.second, p.was, p.now = p.second.Add(time.Second), p.now, 0
	}
	p.now++
	return true
}

// throttled takes note of a throttle code: nobody starts for a while, and then at a lower rate.
func (p *pace) throttled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Before(p.resume) {
		return // an answer to a call that was sent before the pause
	}
	if p.slowed > 0 && now.Sub(p.resume) < time.Second {
		p.pause = min(2*p.pause, maxPause)
	} else {
		p.pause = minPause
	}
	p.tooHigh = float64(max(p.now, p.was))
	if p.rate > 0 {
		p.tooHigh = min(p.tooHigh, p.rate)
	}
	p.rate = max(p.tooHigh*slowDown, lowestRate)
	p.resume = now.Add(p.pause)
	p.next, p.updated = p.resume, p.resume
	p.slowed++
}

// sleep pauses for d, or until ctx ends, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

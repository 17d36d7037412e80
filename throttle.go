package timpush

import (
	"context"
	"fmt"
	"math"
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

// maxStarts bounds what a limiter remembers, for one that is faster than the service has ever been.
const maxStarts = 10 * DefaultQPS

// slack is how much later a call may start than it should without those after it starting later, too.
const slack = 5 * time.Millisecond

// NewLimiter makes a limiter like the one that a client has of its own, to be shared by the clients of an app, or to use
// only a part of the quota. It lets callsPerSecond through, more than 0, one after the other without bursts. A call that
// starts late, because the machine is busy, does not let more than that many follow within a second, as a *rate.Limiter
// would: it catches up. It is safe for concurrent use.
func NewLimiter(callsPerSecond float64) Limiter {
	calls := int(min(max(1, math.Round(callsPerSecond*DefaultQPS/defaultPace)), maxStarts))
	span := time.Duration(float64(calls) / callsPerSecond * float64(time.Second))
	return &evenLimiter{Limiter: rate.NewLimiter(rate.Limit(callsPerSecond), 1), window: span - min(slack, span/100), starts: make([]time.Time, calls)}
}

// evenLimiter is a rate.Limiter that lets no more calls start within a window than it should.
type evenLimiter struct {
	*rate.Limiter
	window time.Duration

	mu     sync.Mutex
	starts []time.Time // of the last calls, a ring
	oldest int         // its place in starts
}

// Wait returns when the next call may start.
func (l *evenLimiter) Wait(ctx context.Context) error {
	err := l.Limiter.Wait(ctx)
	for err == nil {
		wait := l.start()
		if wait <= 0 {
			return nil
		}
		err = sleep(ctx, wait)
	}
	return err
}

// start lets a call start and returns 0, or returns how long it has to wait before it asks again.
func (l *evenLimiter) start() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if wait := l.window - now.Sub(l.starts[l.oldest]); wait > 0 {
		return wait
	}
	l.starts[l.oldest] = now
	l.oldest = (l.oldest + 1) % len(l.starts)
	return 0
}

// reserver recognizes a *rate.Limiter, also embedded in another type.
type reserver interface{ Reserve() *rate.Reservation }

// waitLimiter waits for l. A *rate.Limiter says with an error of its own that the deadline of ctx comes too early.
func waitLimiter(ctx context.Context, l Limiter, counts bool, n int) error {
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
	slowDown   = 0.7   // of the rate that was too high
	speedUp    = 0.05  // of that rate, or of half the quota if that is more, each second
	nearby     = 0.05  // of that rate, around it: there the speed is
	careful    = 0.005 // since little is to be gained before it, and refusals are to be expected beyond it
	recovered  = 1.25  // of that rate: others have stopped using the quota
	lowestRate = DefaultQPS / 10.0
)

// pace slows all calls of a client after a throttle code, below what the limiter lets through, and lets them come back
// little by little. It settles where the codes stop, since other programs may use a part of the quota.
//
// The calls wait in a queue, and only the first waits for its time: nothing is booked ahead, so that who gives up takes
// no one's time, and a rate that has recovered holds for all.
type throttle struct {
	quota float64
	first chan struct{} // taken by the first in the queue

	mu      sync.Mutex // guards the following
	noted   int        // throttle codes
	rate    float64    // calls a second; 0: no brake
	tooHigh float64    // the rate that met a throttle code
	updated time.Time  // when rate was
	last    time.Time  // start of the last call
	resume  time.Time  // end of the last pause
	pause   time.Duration

	second   time.Time // the second that is being counted
	now, was int       // calls in it and in the one before
}

// wait returns when the next call may start, and its turn: the number of throttle codes that were noted before it.
func (p *throttle) wait(ctx context.Context) (turn int, err error) {
	if turn, free := p.free(); free {
		return turn, nil
	}
	select {
	case p.first <- struct{}{}:
		defer func() { <-p.first }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for {
		turn, wait := p.start()
		if wait <= 0 {
			return turn, nil
		}
		if err := sleep(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// free reports whether there is no brake.
func (p *throttle) free() (turn int, free bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.noted, p.rate == 0 && !time.Now().Before(p.resume)
}

// sends takes note of a call that is being sent. It reports false if its turn is over, since a throttle code came after it.
func (p *throttle) sends(turn int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if turn == p.noted {
		p.count(time.Now())
	}
	return turn == p.noted
}

// start lets a call start and returns 0, or returns how long it has to wait before it asks again.
func (p *throttle) start() (turn int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.recover(now)
	start := p.resume
	if p.rate > 0 {
		next := p.last.Add(time.Duration(float64(time.Second) / p.rate))
		if next.After(start) {
			start = next
		}
	}
	if wait := start.Sub(now); wait > 0 {
		return p.noted, wait
	}
	p.last = now
	return p.noted, 0
}

// recover raises the rate by what has become of it since it was last looked at.
func (p *throttle) recover(now time.Time) {
	left := now.Sub(p.updated).Seconds()
	if p.rate == 0 || left <= 0 {
		return
	}
	p.updated = now
	unit := max(p.tooHigh, DefaultQPS/2)
	for _, stage := range [...]struct{ upTo, speed float64 }{
		{1 - nearby, speedUp}, {1 + nearby, careful}, {recovered, speedUp},
	} {
		if gap := p.tooHigh*stage.upTo - p.rate; gap > 0 {
			took := min(left, gap/(unit*stage.speed))
			p.rate += took * unit * stage.speed
			left -= took
		}
	}
	if left > 0 {
		p.rate = 0
	}
}

func (p *throttle) count(now time.Time) {
	switch age := now.Sub(p.second); {
	case age >= 2*time.Second:
		p.second, p.was, p.now = now, 0, 0
	case age >= time.Second:
		p.second, p.was, p.now = p.second.Add(time.Second), p.now, 0
	}
	p.now++
}

// current is the rate of the calls in the last second or two, or since they began.
func (p *throttle) current(now time.Time) float64 {
	span := now.Sub(p.second)
	if p.was > 0 {
		span += time.Second
	}
	return float64(p.was+p.now) / max(span, 10*time.Millisecond).Seconds()
}

// throttled takes note of a throttle code, the answer to the call of a turn: nobody starts for a while, and then at a lower
// rate. What calls are answered that were sent before the last code tells nothing new.
func (p *throttle) refused(turn int, retryAfter time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if turn != p.noted {
		return false
	}
	p.refuse(retryAfter)
	return true
}

func (p *throttle) refusedNow(retryAfter time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse(retryAfter)
}

func newThrottle(quota float64) *throttle {
	return &throttle{quota: quota, first: make(chan struct{}, 1)}
}

const defaultShare = 0.975

type recipientLimiter struct{ Limiter }

func (l recipientLimiter) WaitN(ctx context.Context, n int) error { return l.Wait(ctx) }

func newRecipientLimiter(perSecond int) Limiter { return recipientLimiter{NewLimiter(0.975)} }

func (p *throttle) refuse(retryAfter time.Duration) {
	p.noted++
	now := time.Now()
	if !p.resume.IsZero() && now.Sub(p.resume) < time.Second {
		p.pause = min(2*p.pause, maxPause)
	} else {
		p.pause = minPause
	}
	p.recover(now)
	p.tooHigh = p.current(now)
	if p.rate > 0 {
		p.tooHigh = min(p.tooHigh, p.rate)
	}
	p.tooHigh = max(p.tooHigh, lowestRate)
	p.rate = max(p.tooHigh*slowDown, lowestRate)
	p.resume = now.Add(max(p.pause, retryAfter))
	p.updated = p.resume
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

package timpush

import (
	"context"
	"math"
	"sync"
	"time"
)

// How a throttle works: after a throttle code no call starts for firstPause. Then calls start at firstStep of the rate that
// was refused, and speed up along a cubic curve, slower the nearer they are to the goal, which they reach after shortRecovery.
// Beyond it they speed up along another cubic curve, up to the whole quota within a third of that: then others have
// stopped using the quota, and the throttle ends. If a call that started less than soon after a pause is refused, the pause
// was too short: the next is nextPause, doubles up to maxPause, and the rate falls to nextStep, at the least to one call a second, since
// many clients may have to share what others leave; otherwise it does not fall below lowestRate. If manyEarly refusals in a row come
// before the goal, others send irregularly, and longPause and longRecovery take the place of firstPause and shortRecovery until one
// comes later.
//
// Measured with others that send half of the quota and requests that take 20 to 40 ms to arrive. Evenly: 93 % of what they
// leave was used, 0.2 to 0.3 % of the calls were refused, and all of the quota was used again at most 13 s after they stopped.
// At random: 69 %, 0.4 to 0.6 % and 27 s. If refused calls count and answers take 100 ms or more, 1 to 2 % are refused:
// all those sent until the first answer comes.
const (
	firstPause    = 100 * time.Millisecond
	longPause     = 300 * time.Millisecond
	nextPause     = time.Second
	maxPause      = 16 * time.Second
	soon          = 1500 * time.Millisecond
	firstStep     = 0.95 // of the rate that was refused, as are the next two
	nextStep      = 0.7
	goal          = 0.985
	lowestRate    = 0.1 // of the quota
	shortRecovery = 9 * time.Second
	longRecovery  = 21 * time.Second
	manyEarly     = 3
)

// throttle slows calls down after a throttle code, to what others leave of the quota.
//
// The calls wait in a queue, and only the first waits for its time: nothing is reserved ahead, so that a caller that gives
// up delays no other, and a rate that has recovered holds for all.
//
// The epoch of a call is when its wait ended, counted from when the throttle was made. A call is out of date if a
// throttle code came later: until it is sent it must wait again, and its answer tells nothing new.
type throttle struct {
	quota float64 // calls a second
	made  time.Time
	first chan struct{} // taken by the first in the queue

	mu      sync.Mutex // guards the following; times are since made
	ceiling float64    // the rate that recovery ends at
	floor   float64    // the rate after the pause
	pause   time.Duration
	resume  time.Duration // the end of the pause
	last    time.Duration // when the last call started
	early   int           // refusals in a row that came before the end of the recovery

	interrupted context.Context // ends at the next refusal, or when a cooldown begins
	interrupt   context.CancelFunc

	sent         float64       // calls without a gap of a second between them, each counted less the older it is
	since, until time.Duration // when the first and the last of them were sent
}

// newThrottle makes a throttle for a quota of calls a second.
func newThrottle(quota float64) *throttle {
	t := &throttle{quota: quota, made: time.Now(), first: make(chan struct{}, 1), ceiling: quota, floor: quota}
	t.interrupted, t.interrupt = context.WithCancel(context.Background())
	return t
}

// wait returns when the next call may start, and its epoch.
func (t *throttle) wait(ctx context.Context) (epoch time.Duration, err error) {
	if epoch, free := t.free(); free {
		return epoch, nil
	}
	if err := takeLock(ctx, t.first); err != nil {
		return 0, err
	}
	defer func() { <-t.first }()
	for {
		epoch, wait := t.start()
		if wait <= 0 {
			return epoch, nil
		}
		if err := sleep(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// free reports whether calls need not wait.
func (t *throttle) free() (epoch time.Duration, free bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.made)
	return now, t.rate(now) >= t.quota
}

// start lets a call start and returns 0, or returns how long it has to wait before it tries again.
func (t *throttle) start() (epoch, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.made)
	next := t.resume
	if rate := t.rate(now); rate < t.quota {
		next = max(next, t.last+time.Duration(float64(time.Second)/rate))
	}
	if next > now {
		return 0, next - now
	}
	t.last = now
	return now, 0
}

// interruption returns a context that ends when calls must not wait for the limiter any longer.
func (t *throttle) interruption() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.interrupted
}

// interruptWaits ends the waits for the limiter.
func (t *throttle) interruptWaits() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interruptLocked()
}

func (t *throttle) interruptLocked() {
	t.interrupt()
	t.interrupted, t.interrupt = context.WithCancel(context.Background())
}

// sends is called just before a call is sent. It reports false if the call has to wait again.
func (t *throttle) sends(epoch time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if epoch < t.resume {
		return false
	}
	now := time.Since(t.made)
	if now-t.until > time.Second {
		t.sent, t.since = 0, now
	}
	t.sent = t.sent*math.Exp(-(now-t.until).Seconds()) + 1
	t.until = now
	return true
}

// recent is the rate of the last calls. After a single one it is the quota, since one says little.
func (t *throttle) recent() float64 {
	if t.since == t.until {
		return t.quota
	}
	return (t.sent - 1) / (1 - math.Exp(-(t.until - t.since).Seconds()))
}

// rate is how many calls a second may start: as many as there are, from the quota on.
func (t *throttle) rate(now time.Duration) float64 {
	recovery := t.recovery()
	x := (max(now, t.resume) - t.resume - recovery).Seconds() / recovery.Seconds()
	if x < 0 {
		return t.ceiling + (t.ceiling-t.floor)*x*x*x
	}
	return t.ceiling + t.quota*math.Pow(3*x, 3)
}

func (t *throttle) recovery() time.Duration {
	if t.irregular() {
		return longRecovery
	}
	return shortRecovery
}

// irregular reports whether others send irregularly.
func (t *throttle) irregular() bool { return t.early >= manyEarly }

// refused slows down after a throttle code that answers the call of an epoch, for at least retryAfter. It reports false if
// that is out of date.
func (t *throttle) refused(epoch, retryAfter time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if epoch < t.resume {
		return false
	}
	step, since, rate := firstStep, epoch-t.resume, t.rate(epoch)
	lowest := min(lowestRate*t.quota, rate)
	switch {
	case t.pause > 0 && since < soon:
		step, lowest, t.pause = nextStep, min(lowest, 1), min(max(nextPause, 2*t.pause), maxPause)
	case t.irregular():
		t.pause = longPause
	default:
		t.pause = firstPause
	}
	refused := min(rate, t.recent(), t.quota)
	t.ceiling = max(lowest, goal*refused)
	t.floor = max(lowest, step*refused)
	if since < t.recovery() {
		t.early++
	} else {
		t.early = 0
	}
	t.resume = time.Since(t.made) + max(t.pause, retryAfter)
	t.interruptLocked()
	return true
}

// refusedNow slows down after a throttle code that a call of another quota got, and that is about all calls.
func (t *throttle) refusedNow(retryAfter time.Duration) {
	t.refused(time.Since(t.made), retryAfter)
}

package redislimiter

import (
	"context"
	"fmt"
	"time"
)

// alone is the share of the quota that a process has while Redis is down. The zero value is none.
type alone struct {
	calls int           // in a second
	step  time.Duration // between two calls
}

// shareOf returns a share in whole calls a second: with 3.3 there would be 4 in some seconds, and that in each process.
func shareOf(quota int, share float64) alone {
	if share == 0 {
		return alone{}
	}
	calls := float64(quota) * share
	if calls >= 1 {
		calls = float64(int(calls + 1e-9)) // 100 x 0.29 is a little less than 29
	}
	return alone{max(1, int(calls)), interval(calls)}
}

// reserveAlone reserves a slot without Redis.
func (l *Limiter) reserveAlone(ctx context.Context, calls int) (slot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.down == nil {
		return slot{at: now}, nil // Redis has just come back
	}
	if l.alone.calls < calls {
		return slot{}, l.noShare(calls)
	}
	at, made := l.fitAlone(later(now, l.nextAlone), calls)
	switch wait := at.Sub(now); {
	case wait > patience(ctx):
		return slot{}, errPastDeadline(wait)
	case at.After(l.retry): // Redis may be back before
		return slot{at: later(l.retry, now.Add(time.Millisecond))}, nil
	}
	l.nextAlone = at.Add(time.Duration(calls) * l.alone.step)
	l.madeAlone = append(made, batch{at, calls})
	return slot{at: at, asked: now, reserved: true}, nil
}

func (l *Limiter) noShare(calls int) error {
	if l.alone.calls == 0 {
		return &RedisError{l.down}
	}
	return &RedisError{fmt.Errorf("%w; the share of the fallback is %d a second, not enough for %d at a time", l.down, l.alone.calls, calls)}
}

// batch is some calls that count at one time.
type batch struct {
	at    time.Time
	calls int
}

// countBatches makes the fallback count what it has let through, which the even pace makes unnecessary for single calls: also where other replicas
// make several at a time, since one of their slots may come just before the fallback begins.
func (l *Limiter) countBatches() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.batches {
		l.countAlone()
	}
}

func (l *Limiter) countAlone() {
	l.batches = true
	l.assumeFull()
}

// assumeFull has the fallback begin as if the quota had been used up until now: what others have made is not known.
func (l *Limiter) assumeFull() {
	l.madeAlone = []batch{{l.nextAlone, l.alone.calls}}
}

// fitAlone returns the earliest time, not before at, with room for calls in the second before it, and the batches that
// still count then.
func (l *Limiter) fitAlone(at time.Time, calls int) (time.Time, []batch) {
	if !l.batches {
		return at, nil
	}
	made, sum := l.madeAlone, calls
	for _, b := range made {
		sum += b.calls
	}
	window := time.Duration(l.alone.calls) * l.alone.step
	for len(made) > 0 {
		over := made[0].at.Add(window)
		if over.After(at) && sum <= l.alone.calls {
			break
		}
		at = later(at, over)
		sum -= made[0].calls
		made = made[1:]
	}
	return at, made
}

// mayAsk reports whether to ask Redis. While it is down, one caller does now and then, and the others do without it.
func (l *Limiter) mayAsk() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.down != nil && now.Before(l.retry) {
		return false
	}
	if l.down != nil {
		l.retry = now.Add(retryEvery)
	}
	return true
}

// returning reports whether Redis was down for so long that replicas have begun to make calls that it does not know of, if
// not this one then others that noticed a little earlier. Some may not know yet that it is back.
func (l *Limiter) returning() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alone.calls > 0 && l.down != nil && time.Since(l.downSince) > horizon/2
}

// failed records that Redis cannot be used. Calls without it begin when all slots that it has given are over. When it is
// back, it may be another server with another clock.
func (l *Limiter) failed(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.down == nil {
		l.nextAlone, l.downSince = later(l.nextAlone, later(l.lastAt, now).Add(horizon+l.alone.step)), now
		l.assumeFull()
	}
	l.down, l.retry, l.measured, l.clock = why, now.Add(retryEvery), false, redisClock{}
	if cluster, ok := l.rdb.(cluster); ok {
		cluster.ReloadState(context.Background()) // it does not wait; by itself go-redis looks once a minute who has replaced a node that is silent
	}
}

// Package redislimiter shares a quota of one app among many processes through Redis. Its [Limiter] is a timpush.Limiter
// and a timpush.Observer:
//
//	limiter, err := redislimiter.New(rdb, cfg.SDKAppID)
//	client, err := timpush.NewClient(cfg, timpush.WithLimiter(limiter), timpush.WithObserver(limiter))
//
// Each call reserves the next free slot in one round trip, on the clock of Redis, and sleeps until then: there is no
// polling, the clocks of the replicas do not matter, and every replica that has calls to make gets an equal share,
// whatever its distance to Redis.
//
// # The quota
//
// Slots are 1 s / (0.965 x quota) apart, so that no second has more calls than the quota, also if some leave up to 36 ms
// late. A slot that a process missed by more than 20 ms, because it was frozen or the answer of Redis came late, is not
// used; another one is reserved. With [Limiter.WaitN] for several calls at a time, such as recipients, what was reserved
// in the last second is counted as well.
//
// All this also holds when Redis loses its data, when it returns with old data, and when its clock is set back or far ahead: the
// slots then start again one second later, when all that were given before are over. So do they at the very first call, and
// at the first after 24 hours without any.
//
// Slots that were given and not yet used can be given again by a fail-over that loses the last writes, and by a clock that
// jumps forward by less than three seconds. After a fail-over that ends with the first process that asks for a slot and has
// been given one beyond the lost writes: about as many slots are repeated as the quota has in a round trip, and no more than
// were lost. After a jump of the clock it can be each: four for each replica, and the quota of one and a half round
// trips of the most distant replica.
//
// Slots bound when calls are handed to the transport. Those that wait there for one connection, as at the start of a process,
// leave together when it comes: with 200 ms to connect, there may be up to a fifth more calls than the quota in that second.
//
// # Distance
//
// A process measures its round trip to Redis, and reserves slots that far ahead of the clock of Redis. It has at most four
// slots in addition to those that its share needs for that distance. Up to a round trip of about 200 ms the quota is used
// in full, in equal shares. The first Wait of a process, and the first after Redis was down, takes two round trips more, to
// measure.
//
// # Without Redis
//
// If Redis cannot be used, Wait fails with a [*RedisError], which costs the Client an attempt: nothing is sent that is
// not counted. With [WithFallback] the process continues alone with a share of the quota instead. Either way Redis is tried
// again every 250 ms as long as there are calls, and used again as soon as it answers.
//
// # Throttle codes
//
// As an Observer, the Limiter pauses all replicas for 0.1 s when the service answers one of them that the rate of its
// quota is too high. How far that one then slows down is up to its Client.
package redislimiter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/timpush/timpush-go"
)

const (
	pace = 0.965 // of the quota, so that no second has more than it even if calls leave up to 36 ms late

	// horizon is how far ahead slots are reserved at most. It bounds what is still to be used when Redis loses its data.
	horizon = time.Second
	maxLead = horizon / 2

	// spare is how many callers of a process may have a slot in addition to those that its distance to Redis needs. It is
	// small, so that a process that dies, is frozen, or learns late of a pause, wastes or delays few.
	spare = 4

	// As many calls as the quota need a second without any others, which they never find where others always make a few. After overtakenFor they
	// are kept the next one. That is not sooner, since little of the quota is used beside them; their question comes to Redis keptMargin after
	// it is within the horizon, before those of others.
	overtakenFor = 2 * horizon
	keptMargin   = time.Millisecond

	retryEvery = 250 * time.Millisecond // while Redis is down

	// A slot that a process has missed by more than missedBy, because it had no processor for a while or the answer came late,
	// is not used: all that it has missed would leave at once.
	missedBy  = 20 * time.Millisecond
	maxMissed = 10 // in one Wait
)

// Limiter paces the calls of all processes that share a key in Redis. It is made by [New] and is safe for concurrent use.
type Limiter struct {
	rdb       redis.Scripter
	node      func(context.Context) (node, error)
	key       string
	quotaName string
	quota     int
	step      time.Duration // between two slots
	timeout   time.Duration // for an answer of Redis
	alone     alone         // the share of this process while Redis is down

	first    chan struct{} // taken by the caller that is next to enter
	released chan struct{} // has an element if a caller has left
	pausing  atomic.Bool   // a pause is being written

	mu       sync.Mutex // guards the following
	entered  int        // callers that ask for a slot or have one
	asking   int        // of these, those that have no answer yet
	rate     rate       // of slots that were reserved
	clock    redisClock
	measured bool          // the distance to Redis is known
	lead     time.Duration // how far ahead of the clock of Redis a slot must be
	longest  time.Duration // the longest lead of all replicas
	free     time.Time     // the next slot by our clock, as far as is known
	last     int64         // the latest slot that Redis has given us, by its clock
	lastAt   time.Time     // the same, by ours
	paused   time.Time     // when a throttle code was last seen here

	usingIdle bool      // the idle connections of the client are being used
	down      error     // why Redis cannot be used; nil: it answers
	downSince time.Time // when that was noticed
	retry     time.Time // when to ask it again
	nextAlone time.Time // the next slot without Redis
	madeAlone []batch   // what still counts, if there are batches
	batches   bool      // WaitN was called for more than one call
}

// New makes a Limiter for an app. rdb is a *redis.Client (also one of redis.NewFailoverClient, for Sentinel), a
// *redis.ClusterClient or a *redis.Ring, and stays the caller's to configure and to close; Redis 5 or later. With a Ring the
// quota can be exceeded: see the README. All options are checked and every fault is reported at once. Nothing is sent.
func New(rdb redis.Scripter, sdkAppID int, opts ...Option) (*Limiter, error) {
	s := settings{quota: timpush.DefaultQPS, endpoint: "all", prefix: "timpush:", timeout: 500 * time.Millisecond}
	s.require(!isNil(rdb), "rdb is nil")
	_, queues := rdb.(redis.Pipeliner)
	s.require(!queues, "rdb is a pipeline, which does not answer at once")
	s.require(sdkAppID > 0, "the SDKAppID is "+strconv.Itoa(sdkAppID)+", want the positive number that the console shows")
	for _, option := range opts {
		if s.require(option != nil, "an Option is nil"); option != nil {
			option(&s)
		}
	}
	if len(s.faults) > 0 {
		return nil, errors.Join(s.faults...)
	}
	key := s.prefix + "{" + strconv.Itoa(sdkAppID) + "}:" + s.endpoint
	return &Limiter{
		rdb: rdb, node: nodeOf(rdb, key), key: key, quotaName: quotaOf(s.endpoint),
		quota: s.quota, step: interval(float64(s.quota)), timeout: s.timeout, alone: shareOf(s.quota, s.share),
		first: make(chan struct{}, 1), released: make(chan struct{}, 1),
	}, nil
}

// isNil reports whether a client is nil, also as a pointer that was never set.
func isNil(rdb redis.Scripter) bool {
	v := reflect.ValueOf(rdb)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

func interval(quota float64) time.Duration {
	return time.Duration(float64(time.Second) / (quota * pace))
}

// Wait reserves the next free slot and returns nil when it has come. It costs one round trip to Redis (about 100 us to one
// on the same machine), and more in a fleet of more than 24 busy replicas, whose callers find the second ahead
// reserved and ask again: 3 round trips with 40 replicas.
//
// When ctx ends first, Wait returns its error; a slot that it had by then is lost. A slot past the deadline of ctx is not
// reserved: the error matches context.DeadlineExceeded and comes at once. A [*RedisError] means that Redis could not be
// used. A Wait that misses ten slots in a row returns an error.
func (l *Limiter) Wait(ctx context.Context) error { return l.WaitN(ctx, 1) }

// WaitN is Wait for n calls that leave at the same time, or for one call with n recipients where the quota is of recipients:
// from 1 to the quota. However calls of different n follow each other, no second has more than the quota. All replicas get
// the same number of slots, whatever their n, as long as there is room for all. Where smaller calls always take it first, a caller that has
// waited for two seconds is kept the next slot with room for its n.
func (l *Limiter) WaitN(ctx context.Context, n int) error {
	if n < 1 || n > l.quota {
		return fmt.Errorf("redislimiter: WaitN for %d at a time, want 1 to the quota of %d", n, l.quota)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if n > 1 {
		l.countBatches()
	}
	if err := l.enter(ctx); err != nil {
		return err
	}
	defer l.leave()
	began := time.Now()
	for missed := 0; missed < maxMissed; {
		keep := time.Duration(0)
		if n > 1 && time.Since(began) > overtakenFor {
			keep = patience(ctx)
		}
		s, err := l.reserve(ctx, n, keep)
		if err != nil {
			return err
		}
		if err := sleepUntil(ctx, s.at); err != nil {
			return err
		}
		switch {
		case !s.reserved || l.pausedSince(s.asked):
		case s.late() > missedBy:
			missed++
		default:
			return nil
		}
	}
	return errMissed
}

// enter returns when the caller may ask for a slot. Callers enter in the order in which they came.
func (l *Limiter) enter(ctx context.Context) error {
	select {
	case l.first <- struct{}{}:
		defer func() { <-l.first }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for !l.mayEnter() {
		select {
		case <-l.released:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	measured := false
	defer func() {
		if !measured { // also after a panic of the client
			l.leave()
		}
	}()
	if err := l.measure(ctx); err != nil {
		return err
	}
	measured = true
	return nil
}

// mayEnter counts the caller among those that have entered, unless these are as many as the process should have: spare,
// and as many as it makes calls from asking for a slot until the longest lead. All replicas have then an equal number beyond
// that lead, and so equal shares. A fraction is reached by chance, or all but whole numbers would be unfair.
func (l *Limiter) mayEnter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	distance := l.longest + l.clock.trip/2
	most := spare + l.rate.perSecond(time.Now())*distance.Seconds()
	if float64(l.entered)+1 > most+rand.Float64() {
		return false
	}
	l.entered++
	return true
}

func (l *Limiter) leave() {
	l.mu.Lock()
	l.entered--
	l.mu.Unlock()
	select {
	case l.released <- struct{}{}:
	default:
	}
}

// measure finds out how far away Redis is before the first slot is reserved, by a second question on a connection that the
// first has opened. If it fails, the caller finds that Redis is down.
func (l *Limiter) measure(ctx context.Context) error {
	l.mu.Lock()
	measured := l.measured
	l.mu.Unlock()
	if measured || !l.mayAsk() {
		return nil
	}
	restart := l.returning()
	for range 2 {
		if _, err := l.ask(ctx, request{calls: 1, patience: noSlot, restart: restart}); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			l.failed(err)
			return nil
		}
		restart = false
	}
	l.mu.Lock()
	l.measured = true
	l.mu.Unlock()
	return nil
}

// slot is a time for a call, or else a time at which to try again.
type slot struct {
	at       time.Time
	asked    time.Time
	reserved bool
}

// late returns how long ago the slot was, also by the wall clock: the monotonic one stands still while a machine sleeps.
func (s slot) late() time.Duration {
	now := time.Now()
	passed := max(now.Sub(s.asked), now.Round(0).Sub(s.asked.Round(0)))
	return passed - s.at.Sub(s.asked)
}

func (l *Limiter) reserve(ctx context.Context, calls int, keep time.Duration) (slot, error) {
	if !l.mayAsk() {
		return l.reserveAlone(ctx, calls)
	}
	if err := l.beginToAsk(patience(ctx)); err != nil {
		return slot{}, err
	}
	defer l.endToAsk()
	a, err := l.ask(ctx, request{calls: calls, patience: l.patienceAtRedis(ctx), keep: keep, restart: l.returning()})
	switch {
	case ctx.Err() != nil:
		return slot{}, ctx.Err()
	case err != nil:
		l.failed(err)
		return l.reserveAlone(ctx, calls)
	case a.reserved && !a.known: // the question was on its way when Redis became silent, for instance: the slot is not used
		return slot{at: time.Now()}, l.measure(ctx)
	case !a.reserved && a.wait() > patience(ctx):
		return slot{}, errPastDeadline(a.wait())
	}
	s := slot{a.local, a.asked, a.reserved}
	switch {
	case a.kept:
		l.mu.Lock()
		trip := l.clock.trip
		l.mu.Unlock()
		s.at = later(s.at.Add(-horizon-trip/2), time.Now()).Add(keptMargin)
	case !a.reserved:
		// So many wait that the horizon is full. Some time within the next one is early enough, and spares Redis a crowd.
		s.at = s.at.Add(rand.N(horizon-a.longest) - horizon)
	}
	return s, nil
}

// beginToAsk counts the caller among those that ask, unless a slot will come too late for it, as far as is known: while it asked
// in vain, others would run out of the time in which they can still have one. One at a time asks a Redis that is too far away,
// since it may be nearer now. Of one that is down nothing is known, and the fallback may have a slot.
func (l *Limiter) beginToAsk(patience time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := time.Until(l.free) + time.Duration(l.asking)*l.step
	if l.entered > 1 {
		wait = max(wait, l.clock.trip/2+l.lead-near)
	}
	if wait > patience && l.down == nil {
		return errPastDeadline(wait)
	}
	l.asking++
	return nil
}

func (l *Limiter) endToAsk() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking--
}

// patienceAtRedis is how far ahead a slot may be when the question has arrived at Redis.
func (l *Limiter) patienceAtRedis(ctx context.Context) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(max(patience(ctx)-l.clock.trip/2, 0), horizon)
}

// patience is the time until the deadline of ctx.
func patience(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 1<<63 - 1
	}
	return max(time.Until(deadline), 0)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sleepUntil pauses until t, or until ctx ends, whose error it returns.
func sleepUntil(ctx context.Context, t time.Time) error {
	d := time.Until(t)
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

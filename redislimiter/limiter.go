// Package redislimiter shares the quota of one app among many processes through Redis. Its [Limiter] is a
// timpush.Limiter and a timpush.Observer:
//
//	limiter, err := redislimiter.New(rdb, cfg.SDKAppID)
//	client, err := timpush.NewClient(cfg, timpush.WithLimiter(limiter), timpush.WithObserver(limiter))
//
// Each call books the next free slot in one round trip, on the clock of Redis, and sleeps until then: nobody polls, the
// clocks of the replicas do not matter, and every replica that has calls to make gets an equal share.
//
// # What is promised
//
// Slots are never closer than 1 s / (0.965 x quota), so that no second has more calls than the quota, also if some are
// held up for 30 ms on their way. That holds too when Redis loses its data, when it comes back with old data, and when
// its clock goes back: the slots then start again one second later, when all that were given before are over. So do they
// at the very first call, and at the first after 24 hours without any. A fail-over that loses the last writes, and a
// clock that jumps forward by less than a second, can repeat the slots that were given and not yet used: at most four for
// each replica.
//
// Redis should answer within 30 ms, for a replica alone to fill the quota. A slot that took more than 50 ms to be answered,
// or that the process missed by 20 ms, is given up for another one, once for each call of Wait.
//
// # Without Redis
//
// If Redis cannot be asked, Wait fails with a [*RedisError], which costs the Client an attempt: nothing is sent that is
// not counted. With [WithFallback] the process goes on alone with a share of the quota instead. Either way Redis is tried
// again every 250 ms as long as there are calls, and used again as soon as it answers.
//
// # Throttle codes
//
// As an Observer, the Limiter pauses all replicas for a second when the service tells one that the rate is too high.
// How far that one then slows down is the business of its Client.
package redislimiter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/timpush/timpush-go"
)

const (
	pace = 0.965 // of the quota, so that no second has more than it even if calls are held up for 30 ms on their way

	// minHorizon is how far ahead slots are booked. It bounds what is still under way when Redis loses its data.
	minHorizon = time.Second

	// bookings is how many callers of a process may have a slot at a time. It is few, so that a process that dies, is frozen,
	// or learns late of a pause, wastes or delays few; and enough for a process alone to fill the quota if a round trip to
	// Redis takes up to 30 ms.
	bookings = 4

	retryEvery = 250 * time.Millisecond // while Redis is away

	// A slot that a process has missed by more than missedBy, since it had no processor for a while, is not used: all that
	// it has missed would go out at once. Nor is one that was answered so slowly that it may be over.
	missedBy   = 20 * time.Millisecond
	slowAnswer = 50 * time.Millisecond
)

// Limiter paces the calls of all processes that share a key in Redis. It is made by [New] and is safe for concurrent use.
type Limiter struct {
	rdb     redis.Scripter
	key     string
	step    time.Duration // between two slots
	horizon time.Duration // no slot farther ahead is booked
	timeout time.Duration // for an answer of Redis
	alone   time.Duration // between two calls of this process while Redis is away; 0: there are none
	turns   chan struct{} // of callers that book or have booked
	slowing atomic.Bool   // a pause is being written

	mu     sync.Mutex // guards the following
	last   time.Time  // the latest slot that Redis has given us
	paused time.Time  // when a throttle code was last seen here
	own    time.Time  // the next slot without Redis
	away   error      // why Redis could not be asked; nil: it answers
	since  time.Time  // when that was noticed
	retry  time.Time  // when to ask it again
}

// Option changes how a [Limiter] works.
type Option func(*settings)

type settings struct {
	quota    int
	share    float64
	endpoint string
	prefix   string
	timeout  time.Duration
	faults   []error
}

func (s *settings) require(ok bool, fault string) {
	if !ok {
		s.faults = append(s.faults, errors.New("redislimiter: "+fault))
	}
}

// WithQuota sets the calls a second that all replicas together may make; at least 1. Give less than the app's quota if
// other programs use a part of it. All replicas should say the same. If not given, it is timpush.DefaultQPS, 100.
func WithQuota(calls int) Option {
	return func(s *settings) { s.quota = calls; s.require(calls >= 1, "WithQuota wants at least 1 call a second") }
}

// WithFallback lets the process go on without Redis when that cannot be asked, with its own share of the quota, above 0
// and at most 1: 0.25 if there are four replicas. A fall back begins and ends with a second without calls.
// The quota holds if the shares sum to at most 1 and if Redis is away for all: while it is for some only, they make
// their calls on top of what it gives to the others. If not given, nothing is sent without Redis.
func WithFallback(share float64) Option {
	return func(s *settings) {
		s.share = share
		s.require(share > 0 && share <= 1, "WithFallback wants a share above 0 and at most 1")
	}
}

// WithEndpoint gives the endpoint, such as "v4/timpush/get_attr", a quota of its own, as the service does: for a Client
// that calls nothing else. If not given, all endpoints share one quota, as they do in a Client without a Limiter.
func WithEndpoint(path string) Option {
	return func(s *settings) { s.endpoint = path; s.require(path != "", "WithEndpoint is empty") }
}

// WithKeyPrefix sets what the key in Redis begins with, for a Redis that is shared and lets a program use some keys only.
// The rest is "{SDKAPPID}:" and the endpoint, or "all". If not given, it is "timpush:".
func WithKeyPrefix(prefix string) Option {
	return func(s *settings) { s.prefix = prefix }
}

// WithTimeout sets how long to wait for an answer before Redis counts as away. It should be less than the deadlines of
// the calls, or they end before the fallback begins. If not given, it is 500 ms. The timeouts and the retries of rdb hold as well.
func WithTimeout(d time.Duration) Option {
	return func(s *settings) { s.timeout = d; s.require(d > 0, "WithTimeout wants more than 0") }
}

// New makes a Limiter for an app. rdb is a *redis.Client, *redis.ClusterClient or *redis.Ring, and stays the caller's to
// configure and to close; Redis 5 or later. All options are checked and every fault is told at once. Nothing is sent.
func New(rdb redis.Scripter, sdkAppID int, opts ...Option) (*Limiter, error) {
	s := settings{quota: timpush.DefaultQPS, endpoint: "all", prefix: "timpush:", timeout: 500 * time.Millisecond}
	s.require(rdb != nil, "rdb is nil")
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
	step := interval(float64(s.quota))
	return &Limiter{
		rdb: rdb, key: s.prefix + "{" + strconv.Itoa(sdkAppID) + "}:" + s.endpoint,
		step: step, horizon: max(minHorizon, bookings*step), alone: aloneInterval(s.quota, s.share),
		timeout: s.timeout, turns: make(chan struct{}, bookings),
	}, nil
}

func interval(quota float64) time.Duration {
	return time.Duration(float64(time.Second) / (quota * pace))
}

// aloneInterval is the time between calls of a process that has a share of the quota. Whole calls a second: with
// 3.3 there would be 4 in some seconds, and that in each process.
func aloneInterval(quota int, share float64) time.Duration {
	if share == 0 {
		return 0
	}
	calls := float64(quota) * share
	if calls >= 1 {
		calls = float64(int(calls + 1e-9)) // 100 x 0.29 is a little less than 29
	}
	return interval(calls)
}

// Wait books the next free slot and returns nil when it has come. It costs one round trip to Redis (about 85 to 120 us to one
// on the same machine), and more in a fleet of more than 24 busy replicas, whose callers find the second ahead booked and ask
// again: 3 round trips with 40 replicas.
//
// When ctx ends first, Wait returns its error; a slot that it had by then is lost. A slot past the deadline
// of ctx is not booked: the error matches context.DeadlineExceeded and comes at once. A [*RedisError] means that Redis
// could not be asked.
func (l *Limiter) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l.turns <- struct{}{}:
		defer func() { <-l.turns }()
	case <-ctx.Done():
		return ctx.Err()
	}
	missed := false
	for {
		s, err := l.book(ctx)
		if err != nil {
			return err
		}
		if err := sleep(ctx, s.wait); err != nil {
			return err
		}
		switch {
		case !s.booked || l.pausedSince(s.asked):
		case s.late() && !missed:
			missed = true // once, or a machine that is always late would get nowhere
		default:
			return nil
		}
	}
}

// slot is a place in time for a call, or else a time at which to try again.
type slot struct {
	asked, answered time.Time
	wait            time.Duration // from a moment between the two
	booked          bool
}

func (s slot) late() bool {
	return time.Since(s.answered.Add(s.wait)) > missedBy || s.answered.Sub(s.asked) > slowAnswer
}

func (l *Limiter) book(ctx context.Context) (slot, error) {
	if !l.mayAsk() {
		return l.bookAlone(ctx)
	}
	asked := time.Now()
	wait, err := l.reserve(ctx, min(patience(ctx), l.horizon), l.returning())
	switch {
	case ctx.Err() != nil:
		return slot{}, ctx.Err()
	case err != nil:
		l.lost(err)
		return l.bookAlone(ctx)
	case wait >= 0:
		l.found(wait)
		return slot{asked, time.Now(), wait, true}, nil
	}
	l.found(0)
	wait = -wait
	if wait > patience(ctx) {
		return slot{}, tooLate(wait)
	}
	// So many wait that the horizon is full. Some time within the next one is early enough, and spares Redis a crowd.
	return slot{wait: wait - l.horizon + rand.N(l.horizon)}, nil
}

// bookAlone does without Redis.
func (l *Limiter) bookAlone(ctx context.Context) (slot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away == nil {
		return slot{}, nil // it has just come back
	}
	if l.alone == 0 {
		return slot{}, &RedisError{l.away}
	}
	now := time.Now()
	at := later(now, l.own)
	switch wait := at.Sub(now); {
	case wait > patience(ctx):
		return slot{}, tooLate(wait)
	case at.After(l.retry): // Redis may be back before
		return slot{wait: max(l.retry.Sub(now), time.Millisecond)}, nil
	default:
		l.own = at.Add(l.alone)
		return slot{now, now, wait, true}, nil
	}
}

// mayAsk reports whether to ask Redis. While it is away, one caller does now and then, and the others go without.
func (l *Limiter) mayAsk() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.away != nil && now.Before(l.retry) {
		return false
	}
	if l.away != nil {
		l.retry = now.Add(retryEvery)
	}
	return true
}

// returning reports whether Redis was away for so long that replicas have begun to make calls that it does not know of, if
// not this one then others that noticed a little earlier. Some may not know yet that it is back.
func (l *Limiter) returning() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alone > 0 && l.away != nil && time.Since(l.since) > l.horizon/2
}

// lost notes that Redis cannot be asked. Without it calls begin when all slots that it has given are over.
func (l *Limiter) lost(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.away == nil {
		l.own, l.since = later(l.own, later(l.last, now).Add(l.horizon)), now
	}
	l.away, l.retry = why, now.Add(retryEvery)
}

// found notes that Redis has answered, with a slot in so long.
func (l *Limiter) found(wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = nil
	l.last = later(l.last, time.Now().Add(wait))
}

// patience is the time until the deadline of ctx.
func patience(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 1<<63 - 1
	}
	return max(time.Until(deadline), 0)
}

// pausedSince reports whether a slot that was asked for at t is void: the Client holds its calls back after a throttle
// code, and would use the slot later, on top of those that are given then.
func (l *Limiter) pausedSince(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused.After(t)
}

func tooLate(wait time.Duration) error {
	return fmt.Errorf("redislimiter: the next free slot, in %v, is past the deadline: %w",
		wait.Round(time.Millisecond), context.DeadlineExceeded)
}

// Observe pauses all replicas for a second after an attempt that was answered with a throttle code or HTTP status 429. It
// does not block: the pause is written in the background, and if Redis is away it holds for this process only. Slots that
// were booked before by other replicas, at most four each, are still used.
func (l *Limiter) Observe(ctx context.Context, e timpush.Event) context.Context {
	if e.Kind != timpush.AttemptEnd || !throttled(e) {
		return ctx
	}
	l.mu.Lock()
	l.paused = time.Now()
	l.own = later(l.own, l.paused.Add(l.horizon))
	l.mu.Unlock()
	if l.slowing.CompareAndSwap(false, true) {
		go l.slow(context.WithoutCancel(ctx))
	}
	return ctx
}

func (l *Limiter) slow(ctx context.Context) {
	defer l.slowing.Store(false)
	_, _ = l.reserve(ctx, nothing, true) // if it fails, so does the next call of Wait, which tells
}

// throttled reports whether an answer slows down the Client that it came to: the same codes do.
func throttled(e timpush.Event) bool {
	return e.Code.Throttling() || e.Status == http.StatusTooManyRequests
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
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

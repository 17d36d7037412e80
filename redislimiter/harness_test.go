package redislimiter_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/redislimiter"
)

const (
	app  = 1400000000
	key  = "timpush:{1400000000}:all"
	step = 10362 * time.Microsecond // at 96.5 calls a second, as the script has it
)

// memory is a Redis in this process, on the clock of the test's bubble.
type memory struct {
	redis.Scripter
	*miniredis.Miniredis
	t    *testing.T
	asks atomic.Int64
	down atomic.Bool                     // no connection is made
	ask  func(ctx context.Context) error // unless nil, what happens before a script is run
	back func()                          // unless nil, what happens before the answer arrives
	skew atomic.Int64                    // of its clock
}

func (m *memory) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	m.asks.Add(1)
	if m.down.Load() {
		return redis.NewCmdResult(nil, errors.New("connection refused"))
	}
	if m.ask != nil {
		if err := m.ask(ctx); err != nil {
			return redis.NewCmdResult(nil, err)
		}
	}
	m.SetTime(time.Now().Add(time.Duration(m.skew.Load())))
	if m.back != nil {
		defer m.back()
	}
	return m.Scripter.EvalSha(ctx, sha, keys, args...)
}

// newMemory starts a Redis in this process.
func newMemory(t *testing.T) (*redis.Client, *miniredis.Miniredis) {
	t.Helper()
	server := miniredis.RunT(t)
	rdb := newClient(server.Addr())
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb, server
}

// set sets the next free slot, from now.
func (m *memory) set(ahead time.Duration) {
	require.NoError(m.t, m.Set(key, strconv.FormatInt(time.Now().Add(ahead).UnixMicro(), 10)))
}

// free is the next free slot, from now, or a very early one if there is none.
func (m *memory) free() time.Duration {
	text, err := m.Get(key)
	if err != nil {
		return math.MinInt64
	}
	us, err := strconv.ParseInt(text, 10, 64)
	require.NoError(m.t, err)
	return time.Until(time.UnixMicro(us))
}

// inFakeTime runs f in a bubble in which time passes only when everything waits. The slots of its Redis are free.
func inFakeTime(t *testing.T, f func(t *testing.T, m *memory)) {
	t.Helper()
	server := miniredis.RunT(t)
	synctest.Test(t, func(t *testing.T) {
		// Its deadlines would be years ago in the time of the network.
		rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), ReadTimeout: -2, WriteTimeout: -2})
		defer rdb.Close()
		m := &memory{Scripter: rdb, Miniredis: server, t: t}
		m.set(-time.Minute)
		f(t, m)
		time.Sleep(time.Second) // until the questions of callers that gave up have ended
	})
}

// assertNear allows for the clock of Redis, which counts microseconds.
func assertNear(t *testing.T, want, got time.Duration) {
	t.Helper()
	assert.InDelta(t, want, got, float64(2*time.Microsecond))
}

func newLimiter(t *testing.T, rdb redis.Scripter, opts ...redislimiter.Option) *redislimiter.Limiter {
	t.Helper()
	l, err := redislimiter.New(rdb, app, opts...)
	require.NoError(t, err)
	return l
}

// within is a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

package redislimiter_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/redislimiter"
	"github.com/timpush/timpush-go/timpushtest"
)

var (
	_ timpush.Limiter  = (*redislimiter.Limiter)(nil)
	_ timpush.Observer = (*redislimiter.Limiter)(nil)
)

func TestNewReportsAllFaults(t *testing.T) {
	t.Parallel()
	_, err := redislimiter.New(nil, 0, redislimiter.WithQuota(0), redislimiter.WithFallback(1.1), redislimiter.WithEndpoint(""),
		redislimiter.WithTimeout(0), nil)
	for _, part := range []string{"rdb is nil", "SDKAppID is 0", "WithQuota", "WithFallback", "WithEndpoint", "WithTimeout", "an Option is nil"} {
		assert.ErrorContains(t, err, part)
	}
	_, err = redislimiter.New(redis.NewClient(&redis.Options{}).Pipeline(), app)
	assert.ErrorContains(t, err, "pipeline", "its commands wait for Exec, which is never called")
}

func TestSlotsAreEvenlySpread(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		limiters := []*redislimiter.Limiter{newLimiter(t, m), newLimiter(t, m), newLimiter(t, m)}
		began := time.Now()
		var mu sync.Mutex
		var slots []time.Duration
		var all sync.WaitGroup
		for i := range 300 {
			all.Go(func() {
				assert.NoError(t, limiters[i%3].Wait(t.Context()))
				mu.Lock()
				defer mu.Unlock()
				slots = append(slots, time.Since(began))
			})
		}
		all.Wait()
		for i, slot := range slots {
			assert.Equal(t, time.Duration(i)*step, slot)
		}
		assert.LessOrEqual(t, m.asks.Load(), int64(307), "one round trip a call, two for each replica to measure, and one to load the script")
	})
}

func TestQuotaAndKey(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m, redislimiter.WithQuota(10), redislimiter.WithEndpoint("v4/timpush/get_attr"), redislimiter.WithKeyPrefix("ours:"))
		require.NoError(t, l.Wait(t.Context()))
		began := time.Now()
		for range 10 {
			require.NoError(t, l.Wait(t.Context()))
		}
		assert.Equal(t, 10*103626*time.Microsecond, time.Since(began))
		assert.ElementsMatch(t, []string{key, "ours:{1400000000}:v4/timpush/get_attr"}, m.Keys())
		assert.Equal(t, 24*time.Hour, m.TTL("ours:{1400000000}:v4/timpush/get_attr"))
	})
}

func TestSlotPastTheDeadlineIsNotReserved(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m)
		for _, free := range []time.Duration{500 * time.Millisecond, 1800 * time.Millisecond} {
			m.set(free)
			began := time.Now()
			err := l.Wait(within(t, 400*time.Millisecond))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, "the next free slot")
			assert.Zero(t, time.Since(began), "it is reported at once")
			assert.Equal(t, free, m.free())
		}
		c := timpushtest.Start(t, timpushtest.WithInMemory()).Client(timpush.WithLimiter(l))
		began := time.Now()
		_, err := c.SetAttr(within(t, 400*time.Millisecond), []timpush.UserAttrs{{ToAccount: "a", Attrs: timpush.Attrs{"city": "Rome"}}})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Zero(t, time.Since(began), "a client does not ask again")
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m)
		m.set(900 * time.Millisecond)
		var all sync.WaitGroup
		began := time.Now()
		for range 6 { // four have a slot, two wait to enter
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(100*time.Millisecond, cancel)
				assert.ErrorIs(t, l.Wait(ctx), context.Canceled)
			})
		}
		all.Wait()
		assert.Equal(t, 100*time.Millisecond, time.Since(began))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		asks := m.asks.Load()
		require.ErrorIs(t, l.Wait(ended), context.Canceled)
		assert.Equal(t, asks, m.asks.Load())
	})
}

func TestHorizonIsNotPassed(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m)
		m.set(1800 * time.Millisecond)
		began := time.Now()
		require.NoError(t, l.Wait(t.Context()))
		assert.GreaterOrEqual(t, time.Since(began), 1800*time.Millisecond-time.Microsecond)
		assert.Less(t, time.Since(began), 1800*time.Millisecond+step, "the slot is taken, unless the second try came later")
		assert.LessOrEqual(t, m.asks.Load(), int64(5), "two of them to measure")
	})
}

// Whatever was given before the loss lies within the horizon of a second.
func TestLostDataRepeatsNoSlot(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(m *memory){
		"all gone":            func(m *memory) { m.FlushAll() },
		"back to an old copy": func(m *memory) { m.set(-time.Hour) },
		"clock went back":     func(m *memory) { m.set(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, m *memory) {
				l := newLimiter(t, m)
				require.NoError(t, l.Wait(t.Context()))
				lose(m)
				began := time.Now()
				require.ErrorIs(t, l.Wait(within(t, time.Second/2)), context.DeadlineExceeded)
				require.NoError(t, l.Wait(t.Context()), "the new start is kept, although no slot was reserved")
				require.NoError(t, l.Wait(t.Context()))
				assertNear(t, time.Second+2*step, time.Since(began))
			})
		})
	}
}

// TestClockThatIsSet: the slots that were given before are not given again.
func TestClockThatIsSet(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{-time.Hour, -500 * time.Millisecond, 3 * time.Second, time.Hour, 48 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, m *memory) {
				var limiters []*redislimiter.Limiter
				for range 3 {
					limiters = append(limiters, newLimiter(t, m))
				}
				set := time.Now().Add(4 * time.Second)
				time.AfterFunc(4*time.Second, func() { m.skew.Store(int64(by)) })
				d := depart(t, 8*time.Second, limiters...)
				assert.LessOrEqual(t, most(d.all()), 100)
				assert.Greater(t, len(after(d.all(), set.Add(2500*time.Millisecond))), 95)
			})
		})
	}
}

func TestIdleTimeIsNoLoss(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m)
		for range 3 {
			require.NoError(t, l.Wait(t.Context()))
			time.Sleep(time.Hour)
			require.NoError(t, l.Wait(within(t, time.Millisecond)))
		}
	})
}

func TestWithoutRedisNothingIsGiven(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		down := errors.New("no such host")
		m.ask = func(context.Context) error { return down }
		l := newLimiter(t, m)
		for range 50 {
			err := l.Wait(t.Context())
			var failed *redislimiter.RedisError
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, down, failed.Err)
		}
		assert.Equal(t, int64(1), m.asks.Load(), "Redis is left alone for a while")
		m.ask = nil
		time.Sleep(250 * time.Millisecond)
		require.NoError(t, l.Wait(t.Context()))
	})
}

// A deadline of the dialer must not pass for that of the caller, since then a Client gives up.
func TestRedisErrorIsNoDeadline(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		m.ask = func(context.Context) error { return context.DeadlineExceeded }
		err := newLimiter(t, m).Wait(t.Context())
		require.Error(t, err)
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestSilentRedis(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		silence := make(chan struct{})
		m.ask = func(context.Context) error { <-silence; return errors.New("too late") }
		l := newLimiter(t, m, redislimiter.WithTimeout(300*time.Millisecond))
		began := time.Now()
		require.ErrorIs(t, l.Wait(within(t, 100*time.Millisecond)), context.DeadlineExceeded)
		assert.Equal(t, 100*time.Millisecond, time.Since(began))
		assert.ErrorContains(t, l.Wait(t.Context()), "no answer within 300ms")
		assert.Equal(t, 400*time.Millisecond, time.Since(began))
		close(silence)
	})
}

// TestSilentRedisForHurriedCallers: none has as much time as Redis may take, and yet they find that it is down and use the fallback.
func TestSilentRedisForHurriedCallers(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		var silent atomic.Bool
		m.ask = func(context.Context) error {
			if silent.Load() {
				time.Sleep(time.Minute)
				return errors.New("too late")
			}
			return nil
		}
		l := newLimiter(t, m, redislimiter.WithFallback(0.5))
		require.NoError(t, l.Wait(t.Context()))
		silent.Store(true)
		hurried := func(d time.Duration) (calls, failed int) {
			for began := time.Now(); time.Since(began) < d; {
				if l.Wait(within(t, 300*time.Millisecond)) == nil {
					calls++
				} else {
					failed++
					time.Sleep(50 * time.Millisecond)
				}
			}
			return calls, failed
		}
		calls, _ := hurried(2 * time.Second)
		assert.Positive(t, calls)
		calls, failed := hurried(10 * time.Second)
		assert.Greater(t, calls, 300)
		assert.Zero(t, failed, "also of those that try Redis again")
		silent.Store(false)
		time.Sleep(time.Minute)
		calls, failed = hurried(10 * time.Second)
		assert.Greater(t, calls, 850)
		assert.LessOrEqual(t, failed, 20, "a second without calls for the others to notice")
	})
}

func TestFallbackKeepsToItsShare(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m, redislimiter.WithFallback(0.25))
		count := func(d time.Duration) (calls int, first time.Duration) {
			began := time.Now()
			for time.Since(began) < d {
				require.NoError(t, l.Wait(t.Context()))
				if calls++; calls == 1 {
					first = time.Since(began)
				}
			}
			return calls, first
		}
		calls, _ := count(time.Second)
		assert.InDelta(t, 98, calls, 1)

		m.down.Store(true)
		calls, first := count(11 * time.Second)
		assert.Equal(t, time.Second+41450777*time.Nanosecond, first, "what Redis has given is over by then")
		assert.InDelta(t, 243, calls, 1)

		m.down.Store(false)
		calls, first = count(10 * time.Second)
		t.Log(calls, first)
		assert.Less(t, first, 50*time.Millisecond, "the next one is due before Redis is tried")
		assert.InDelta(t, 860, calls, 20, "a second without calls for the others to notice")
	})
}

// Whatever happens to Redis and whenever: four replicas, each with more callers than may enter.
func TestNoSecondAboveTheQuota(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]redislimiter.Option{"closed": nil, "fallback": {redislimiter.WithFallback(0.25)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, m *memory) {
				span := 15 * time.Second
				if *figures > 0 {
					span = time.Minute
				}
				ctx := within(t, span)
				slots := callAll(ctx, m, opts...)
				for ctx.Err() == nil {
					time.Sleep(rand.N(4 * time.Second))
					m.down.Store(rand.N(4) > 0)
					time.Sleep(rand.N(4*time.Second) >> rand.N(5))
					switch rand.N(4) {
					case 0:
						m.FlushAll()
					case 1:
						m.set(-rand.N(time.Hour))
					}
					m.down.Store(false)
				}
				times := slots()
				t.Log(len(times), "calls, most in a second:", most(times))
				assert.Greater(t, len(times), 25*int(span.Seconds()))
				assert.LessOrEqual(t, most(times), 100)
			})
		})
	}
}

// callAll lets four replicas make calls until ctx ends. The function that it returns waits for that.
func callAll(ctx context.Context, m *memory, opts ...redislimiter.Option) (slots func() []time.Time) {
	var mu sync.Mutex
	var times []time.Time
	var all sync.WaitGroup
	for range 4 {
		l := newLimiter(m.t, m, opts...)
		for range 6 {
			all.Go(func() {
				for ctx.Err() == nil {
					if l.Wait(ctx) != nil {
						time.Sleep(rand.N(100 * time.Millisecond))
						continue
					}
					mu.Lock()
					times = append(times, time.Now())
					mu.Unlock()
				}
			})
		}
	}
	return func() []time.Time { all.Wait(); return times }
}

// most is the most of times, which are in order, within any one second.
func most(times []time.Time) (n int) {
	from := 0
	for i, now := range times {
		for now.Sub(times[from]) >= time.Second {
			from++
		}
		n = max(n, i-from+1)
	}
	return n
}

// Of 3.3 calls a second there would be 4 in some, in each of 30 replicas.
func TestFallbackCountsWholeCalls(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		m.down.Store(true)
		for share, want := range map[float64]time.Duration{1: step, 1.0 / 30: 345423 * time.Microsecond, 0.29: 35733 * time.Microsecond, 0.001: 10362694 * time.Microsecond} {
			l := newLimiter(t, m, redislimiter.WithFallback(share))
			require.NoError(t, l.Wait(t.Context()))
			began := time.Now()
			require.NoError(t, l.Wait(t.Context()))
			assert.InDelta(t, want, time.Since(began), float64(time.Microsecond), "share %v", share)
			require.ErrorIs(t, l.Wait(within(t, want/2)), context.DeadlineExceeded)
		}
	})
}

func TestShortOutageEndsTheFallbackBeforeItBegins(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		failures := 1
		m.ask = func(context.Context) error {
			if failures--; failures >= 0 {
				return errors.New("connection reset")
			}
			return nil
		}
		l := newLimiter(t, m, redislimiter.WithFallback(1))
		began := time.Now()
		require.NoError(t, l.Wait(t.Context()))
		assert.Equal(t, 250*time.Millisecond, time.Since(began))
		assert.Less(t, m.free(), 2*step, "the others need no pause")
	})
}

func TestProxyThatRewordsNOSCRIPT(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		m.ask = func(context.Context) error { return errors.New("ERR proxy: NOSCRIPT No matching script") }
		require.NoError(t, newLimiter(t, m).Wait(t.Context()))
	})
}

func TestThrottleCodePausesAllReplicas(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		one, other := newLimiter(t, m), newLimiter(t, m)
		require.NoError(t, other.Wait(t.Context()))
		for range 20 { // many answers of the same moment are one pause
			one.Observe(t.Context(), timpush.Event{Kind: timpush.AttemptEnd, Code: timpush.ErrRateLimited})
		}
		synctest.Wait()
		began := time.Now()
		require.NoError(t, other.Wait(t.Context()))
		assertNear(t, 100*time.Millisecond, time.Since(began))
		assertNear(t, step, m.free())

		one.Observe(t.Context(), timpush.Event{Kind: timpush.AttemptEnd, Status: 429})
		synctest.Wait()
		assertNear(t, 100*time.Millisecond, m.free())
	})
}

// The pause of all replicas must not add up with the slowing down of each: after a longer one, the calls that had waited left at
// once and were refused, and half of what others left was used.
func TestQuotaThatOthersLeaveIsUsed(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		const left, span = 80, 20 * time.Second
		s := timpushtest.Start(t, timpushtest.WithInMemory(), timpushtest.WithLatency(50*time.Millisecond, 0), timpushtest.WithQuota(left))
		l := newLimiter(t, m)
		c := s.Client(timpush.WithLimiter(l), timpush.WithObserver(l))
		ctx := within(t, span)
		var callers sync.WaitGroup
		for range 32 {
			callers.Go(func() {
				for ctx.Err() == nil {
					_, _ = c.SetAttr(ctx, []timpush.UserAttrs{{ToAccount: "a", Attrs: timpush.Attrs{"city": "Rome"}}})
				}
			})
		}
		callers.Wait()
		done := 0
		for _, call := range s.Calls() {
			if call.Code == 0 {
				done++
			}
		}
		assert.Greater(t, float64(done)/(left*span.Seconds()), 0.75)
	})
}

// A Client that has seen a throttle code would use the slot after its pause, together with those given then.
func TestThrottleCodeCancelsTheSlotsOfItsReplica(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m)
		m.set(500 * time.Millisecond)
		began := time.Now()
		time.AfterFunc(100*time.Millisecond, func() {
			l.Observe(t.Context(), timpush.Event{Kind: timpush.AttemptEnd, Code: timpush.ErrRateLimited})
		})
		require.NoError(t, l.Wait(t.Context()))
		assertNear(t, 500*time.Millisecond+step, time.Since(began))
	})
}

// An answer that takes long for the first time comes after its slot. The next slot is farther ahead.
func TestMissedSlotIsNotUsed(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		for delay, want := range map[time.Duration]int64{20 * time.Millisecond: 1, 21 * time.Millisecond: 2, 200 * time.Millisecond: 5} {
			l := newLimiter(t, m)
			require.NoError(t, l.Wait(t.Context()))
			time.Sleep(time.Second)
			m.asks.Store(0)
			m.back = func() { time.Sleep(delay) }
			require.NoError(t, l.Wait(t.Context()))
			assert.Equal(t, want, m.asks.Load(), "an answer after %v", delay)
			m.back = nil
		}
	})
}

func TestWaitFailsIfItAlwaysMissesItsSlot(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m, redislimiter.WithTimeout(time.Hour))
		require.NoError(t, l.Wait(t.Context()))
		delay := time.Second
		m.back = func() { time.Sleep(delay); delay *= 2 }
		m.asks.Store(0)
		assert.ErrorContains(t, l.Wait(t.Context()), "10 slots in a row were missed by more than 20ms")
		assert.Equal(t, int64(10), m.asks.Load())
	})
}

func TestThrottleCodePausesTheFallback(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		m.down.Store(true)
		l := newLimiter(t, m, redislimiter.WithFallback(1))
		require.NoError(t, l.Wait(t.Context()))
		l.Observe(t.Context(), timpush.Event{Kind: timpush.AttemptEnd, Code: timpush.ErrRateLimited})
		synctest.Wait()
		began := time.Now()
		require.NoError(t, l.Wait(t.Context()))
		assert.Equal(t, 100*time.Millisecond, time.Since(began))
	})
}

type unlimited struct{}

func (unlimited) Wait(context.Context) error { return nil }

func TestThrottleCodePausesItsOwnQuotaOnly(t *testing.T) {
	t.Parallel()
	quotas := map[string][]string{ // by WithEndpoint
		"":                             {"v4/timpush/set_attr", "v4/timpush/add_tag"},
		"v4/timpush/push":              {"v4/timpush/push"},
		"v4/timpush/batch":             {"v4/timpush/batch"},
		"v4/timpush/revoke":            {"v4/timpush/revoke"},
		"v4/timpush/add_sched_task":    {"v4/timpush/add_sched_task", "v4/timpush/list_sched_task"},
		"v4/timpush/normal_push_trace": {"v4/timpush/normal_push_statistics", "v4/timpush/all_member_push_loss"},
	}
	inFakeTime(t, func(t *testing.T, m *memory) {
		for name, own := range quotas {
			var opts []redislimiter.Option
			key := key
			if name != "" {
				opts, key = append(opts, redislimiter.WithEndpoint(name)), "timpush:{1400000000}:"+name
			}
			l := newLimiter(t, m, opts...)
			pauses := func(e timpush.Event) bool {
				m.Del(key)
				e.Kind = timpush.AttemptEnd
				l.Observe(t.Context(), e)
				synctest.Wait()
				return m.Exists(key)
			}
			for _, endpoint := range slices.Concat(slices.Collect(maps.Values(quotas))...) {
				want := slices.Contains(own, endpoint)
				assert.Equal(t, want, pauses(timpush.Event{Endpoint: endpoint, Code: timpush.ErrRateLimited}), "%q hears of %s", name, endpoint)
				assert.Equal(t, want, pauses(timpush.Event{Endpoint: endpoint, Status: 429}), "%q hears of %s", name, endpoint)
				assert.True(t, pauses(timpush.Event{Endpoint: endpoint, Code: timpush.ErrAppRateLimited}), "that is of all calls of the app")
			}
		}
	})
}

func TestThrottleCodesAreThoseOfTheClient(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		server := timpushtest.Start(t, timpushtest.WithInMemory(), timpushtest.WithQuota(0))
		users := []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}}}
		found := 0
		for code := timpush.Code(60000); code < 100000; code++ {
			if !code.Retryable() {
				continue
			}
			m.set(-time.Minute)
			client := server.Client(timpush.WithLimiter(unlimited{}), timpush.WithObserver(newLimiter(t, m)), timpush.WithMaxAttempts(1))
			server.Inject(timpushtest.ErrorCode(int(code)))
			_, _ = client.SetAttr(t.Context(), users)
			synctest.Wait()
			began := time.Now()
			_, _ = client.SetAttr(t.Context(), users) // waits if the code has throttled the Client
			throttled := time.Since(began) > 0
			assert.Equal(t, throttled, m.free() > -time.Minute, "code %d", code)
			if throttled {
				found++
			}
		}
		assert.GreaterOrEqual(t, found, 4)
	})
}

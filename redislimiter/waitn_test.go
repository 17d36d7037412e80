package redislimiter_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/redislimiter"
)

// departure is a WaitN that returned.
type departure struct {
	at time.Time
	n  int
}

// mostRecipients is the most that leave within any one second.
func mostRecipients(left []departure) (most int) {
	slices.SortFunc(left, func(a, b departure) int { return a.at.Compare(b.at) })
	for i, first := range left {
		sum := 0
		for _, t := range left[i:] {
			if t.at.Sub(first.at) < time.Second {
				sum += t.n
			}
		}
		most = max(most, sum)
	}
	return most
}

// take lets callers of each limiter leave for a while.
func take(t *testing.T, span time.Duration, n func() int, limiters ...*redislimiter.Limiter) (left []departure) {
	var mu sync.Mutex
	var all sync.WaitGroup
	ctx := within(t, span)
	for _, l := range limiters {
		for range 3 {
			all.Go(func() {
				for ctx.Err() == nil {
					n := n()
					if l.WaitN(ctx, n) != nil {
						time.Sleep(rand.N(100 * time.Millisecond))
						continue
					}
					mu.Lock()
					left = append(left, departure{time.Now(), n})
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	return left
}

func TestWaitNIsEven(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ quota, n int }{{800, 400}, {500, 500}, {30, 30}, {800, 300}, {1, 1}, {5, 1}} {
		t.Run(fmt.Sprintf("%d of %d", test.n, test.quota), func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, m *memory) {
				l, other := newLimiter(t, m, redislimiter.WithQuota(test.quota)), newLimiter(t, m, redislimiter.WithQuota(test.quota))
				left := take(t, 20*time.Second, func() int { return test.n }, l, other)
				assert.LessOrEqual(t, mostRecipients(left), test.quota)
				perSecond := test.quota / test.n // that many fit
				rate := float64(len(left)-1) / left[len(left)-1].at.Sub(left[0].at).Seconds()
				assert.InDelta(t, float64(perSecond)*0.965, rate, float64(perSecond)*0.01)
			})
		})
	}
}

func TestAnyMixKeepsTheQuota(t *testing.T) {
	t.Parallel()
	for _, quota := range []int{1, 7, 100, 800} {
		t.Run(fmt.Sprint(quota), func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, m *memory) {
				var limiters []*redislimiter.Limiter
				for range 3 {
					limiters = append(limiters, newLimiter(t, m, redislimiter.WithQuota(quota)))
				}
				left := take(t, 15*time.Second, func() int {
					if rand.N(2) == 0 {
						return 1
					}
					return 1 + rand.N(quota)
				}, limiters...)
				sum := 0
				for _, d := range left {
					sum += d.n
				}
				t.Logf("%d times, %.0f a second, at most %d", len(left), float64(sum)/14, mostRecipients(left))
				assert.LessOrEqual(t, mostRecipients(left), quota)
				assert.Greater(t, sum, quota*5)
			})
		})
	}
}

func TestQuotaOfRecipientsSurvivesLostData(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l, other := newLimiter(t, m, redislimiter.WithQuota(500)), newLimiter(t, m, redislimiter.WithQuota(500))
		for _, after := range []time.Duration{3 * time.Second, 7500 * time.Millisecond, 12200 * time.Millisecond} {
			time.AfterFunc(after, func() { m.FlushAll() })
		}
		left := take(t, 20*time.Second, func() int { return 1 + rand.N(500) }, l, other)
		assert.LessOrEqual(t, mostRecipients(left), 500)
		assert.Greater(t, len(left), 10)
	})
}

func TestFallbackCountsRecipients(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		var limiters []*redislimiter.Limiter
		for range 4 {
			limiters = append(limiters, newLimiter(t, m, redislimiter.WithQuota(800), redislimiter.WithFallback(0.25)))
		}
		time.AfterFunc(5*time.Second, func() { m.down.Store(true) })
		left := take(t, 20*time.Second, func() int { return 1 + rand.N(200) }, limiters...)
		assert.LessOrEqual(t, mostRecipients(left), 800)
		assert.Greater(t, len(slices.DeleteFunc(left, func(d departure) bool { return time.Since(d.at) > 10*time.Second })), 30)

		err := limiters[0].WaitN(t.Context(), 201)
		var failed *redislimiter.RedisError
		require.ErrorAs(t, err, &failed)
		assert.ErrorContains(t, err, "the share of the fallback is 200 a second, not enough for 201 at a time")
	})
}

func TestWaitNWantsAtLeastOneAndAtMostTheQuota(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m, redislimiter.WithQuota(30))
		for _, n := range []int{-1, 0, 31} {
			assert.ErrorContains(t, l.WaitN(t.Context(), n), fmt.Sprintf("WaitN for %d at a time, want 1 to the quota of 30", n))
		}
		assert.Zero(t, m.asks.Load())
	})
}

func TestEachQuotaOfAClient(t *testing.T) {
	t.Parallel()
	rdb, _ := newMemory(t)
	cfg := timpush.Config{SDKAppID: app, Identifier: "admin", SecretKey: "key", Region: timpush.RegionChina}
	for _, q := range []timpush.Quota{
		timpush.QuotaUsers, timpush.QuotaPush, timpush.QuotaRecipients, timpush.QuotaRevoke, timpush.QuotaTasks, timpush.QuotaStats,
	} {
		_, err := timpush.NewClient(cfg, timpush.WithQuota(q, newLimiter(t, rdb)))
		assert.NoError(t, err)
		_, err = timpush.NewClient(cfg, timpush.WithQuota(q, timpush.LowPriority(newLimiter(t, rdb))))
		assert.NoError(t, err)
	}
}

// TestLargeCallDoesNotRefuseSmallOnes: what has no room for many in time has room for one.
func TestLargeCallDoesNotRefuseSmallOnes(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m)
		require.NoError(t, l.WaitN(t.Context(), 50))
		time.Sleep(2 * time.Second)
		require.NoError(t, l.WaitN(t.Context(), 30))
		time.Sleep(400 * time.Millisecond)
		require.ErrorIs(t, l.WaitN(within(t, 300*time.Millisecond), 90), context.DeadlineExceeded)
		require.NoError(t, l.WaitN(within(t, 300*time.Millisecond), 1))
	})
}

// TestSmallCallsDoNotHoldUpLargeOnes: as many recipients as the quota, as a PushTo of a long list has in each request, need a second without any
// others, which programs that push to a few at a time would never leave.
func TestSmallCallsDoNotHoldUpLargeOnes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ quota, few int }{{30, 1}, {500, 10}, {500, 50}} {
		t.Run(fmt.Sprintf("%d of %d", test.few, test.quota), func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, m *memory) {
				limiter := func() *redislimiter.Limiter { return newLimiter(t, m, redislimiter.WithQuota(test.quota)) }
				var all sync.WaitGroup
				var small, large []departure
				all.Go(func() { small = take(t, 40*time.Second, func() int { return test.few }, limiter(), limiter()) })
				time.Sleep(3 * time.Second)
				l, ctx := limiter(), within(t, 37*time.Second)
				for l.WaitN(ctx, test.quota) == nil {
					large = append(large, departure{time.Now(), test.quota})
				}
				all.Wait()
				t.Logf("%d small ones and %d large ones", len(small), len(large))
				assert.LessOrEqual(t, mostRecipients(slices.Concat(small, large)), test.quota)
				assert.Greater(t, len(large), 6)
				assert.Greater(t, len(small)*test.few, 10*test.quota)
			})
		})
	}
}

// TestCallsOneAfterTheOtherDoNotHoldUpLargeOnes: a program that pushes to one account after the other makes few calls, and leaves no gap between them.
func TestCallsOneAfterTheOtherDoNotHoldUpLargeOnes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ quota, answer int }{{500, 20}, {500, 30}, {800, 25}, {30, 40}} {
		t.Run(fmt.Sprintf("%d, each %d ms", test.quota, test.answer), func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, m *memory) {
				ctx := within(t, 40*time.Second)
				var program sync.WaitGroup
				var left []departure
				program.Go(func() {
					for l := newLimiter(t, m, redislimiter.WithQuota(test.quota)); l.WaitN(ctx, 1) == nil; {
						left = append(left, departure{time.Now(), 1})
						time.Sleep(time.Duration(test.answer)*time.Millisecond + rand.N(3*time.Millisecond))
					}
				})
				time.Sleep(3 * time.Second)
				var large []departure
				for l := newLimiter(t, m, redislimiter.WithQuota(test.quota)); l.WaitN(ctx, test.quota) == nil; {
					large = append(large, departure{time.Now(), test.quota})
				}
				program.Wait()
				t.Logf("%d small ones and %d large ones", len(left), len(large))
				assert.LessOrEqual(t, mostRecipients(slices.Concat(left, large)), test.quota)
				assert.Greater(t, len(large), 6)
				assert.Greater(t, len(left), 100)
			})
		})
	}
}

// TestLargeCallsFarFromRedis: what is kept for a caller must not be taken by others while its question is on its way.
func TestLargeCallsFarFromRedis(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		limiter := func() *redislimiter.Limiter {
			return newLimiter(t, &distant{m, 100 * time.Millisecond, 0.5, 0.2}, redislimiter.WithQuota(500))
		}
		require.NoError(t, newLimiter(t, m, redislimiter.WithQuota(500)).Wait(t.Context())) // the script is known
		var all sync.WaitGroup
		var small, large []departure
		all.Go(func() { small = take(t, 40*time.Second, func() int { return 50 }, limiter(), limiter()) })
		time.Sleep(3 * time.Second)
		l, ctx := limiter(), within(t, 37*time.Second)
		for l.WaitN(ctx, 500) == nil {
			large = append(large, departure{time.Now(), 500})
		}
		all.Wait()
		t.Logf("%d small ones and %d large ones", len(small), len(large))
		assert.LessOrEqual(t, mostRecipients(slices.Concat(small, large)), 500)
		assert.Greater(t, len(large), 6)
		assert.Greater(t, len(small), 30)
		assert.Greater(t, 50*len(small)+500*len(large), 40*300, "most of the quota is used")
	})
}

// TestFallbackBesideALargeCall: Redis goes down while another replica waits for a slot with the whole quota. A replica that makes single calls must
// leave the second after it free.
func TestFallbackBesideALargeCall(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		for range 10 { // the slot is at random
			m.down.Store(false)
			time.Sleep(3 * time.Second)
			one := newLimiter(t, m, redislimiter.WithQuota(100), redislimiter.WithFallback(0.5))
			all := newLimiter(t, m, redislimiter.WithQuota(100), redislimiter.WithFallback(0.5))
			require.NoError(t, all.WaitN(t.Context(), 2))
			require.NoError(t, one.Wait(t.Context()))
			var waiting sync.WaitGroup
			var large, alone []departure
			waiting.Go(func() {
				if assert.NoError(t, all.WaitN(t.Context(), 100)) {
					large = append(large, departure{time.Now(), 100})
				}
			})
			for text := ""; !strings.HasSuffix(text, ":100,"); text, _ = m.Get(key) {
				time.Sleep(time.Millisecond)
			}
			m.down.Store(true)
			for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
				if one.Wait(t.Context()) == nil {
					alone = append(alone, departure{time.Now(), 1})
				}
			}
			waiting.Wait()
			assert.Greater(t, len(alone), 50)
			assert.LessOrEqual(t, mostRecipients(slices.Concat(large, alone)), 100)
		}
	})
}

// TestLostDataBesideALargeCall: Redis loses its data while a replica waits for a slot with the whole quota, and one with single calls asks first.
func TestLostDataBesideALargeCall(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		one, all := newLimiter(t, m), newLimiter(t, m)
		require.NoError(t, all.WaitN(t.Context(), 2))
		require.NoError(t, one.Wait(t.Context()))
		for range 10 { // the slot is at random
			time.Sleep(3 * time.Second)
			require.NoError(t, one.Wait(t.Context())) // the large call has to wait for the second after it
			var waiting sync.WaitGroup
			var left []departure
			waiting.Go(func() {
				if assert.NoError(t, all.WaitN(t.Context(), 100)) {
					left = append(left, departure{time.Now(), 100})
				}
			})
			for text := ""; !strings.HasSuffix(text, ":100,"); text, _ = m.Get(key) {
				time.Sleep(time.Millisecond)
			}
			m.FlushAll()
			var alone []departure
			for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
				require.NoError(t, one.Wait(t.Context()))
				alone = append(alone, departure{time.Now(), 1})
			}
			waiting.Wait()
			assert.LessOrEqual(t, mostRecipients(slices.Concat(left, alone)), 100)
		}
	})
}

// TestThrottleCodeWhenRedisIsBack: the pause after a throttle code asks Redis first when that is back, which does not know of the calls that were
// made without it.
func TestThrottleCodeWhenRedisIsBack(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m, redislimiter.WithFallback(1))
		require.NoError(t, l.WaitN(t.Context(), 100))
		m.down.Store(true)
		var left []departure
		for n := range 5 {
			require.NoError(t, l.WaitN(t.Context(), 100))
			left = append(left, departure{time.Now(), 100})
			if n == 2 {
				m.down.Store(false)
				l.Observe(t.Context(), timpush.Event{Kind: timpush.AttemptEnd, Endpoint: "v4/timpush/set_attr", Status: http.StatusTooManyRequests})
				time.Sleep(10 * time.Millisecond)
			}
		}
		assert.LessOrEqual(t, mostRecipients(left), 100)
	})
}

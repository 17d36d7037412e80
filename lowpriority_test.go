package timpush_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// A nightly job and logins share one quota. The logins come first.
func ExampleLowPriority() {
	server := timpushtest.NewServer() // stands for the service
	defer server.Close()

	limiter := timpush.NewLimiter(97.5)
	logins := server.Client(timpush.WithLimiter(limiter))
	nightly := server.Client(timpush.WithLimiter(timpush.LowPriority(limiter)))

	var job sync.WaitGroup
	job.Go(func() {
		users := []timpush.UserAttrs{{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "HangZhou"}}}
		result, err := nightly.SetAttr(context.Background(), users)
		fmt.Println("nightly:", result.Done, err)
	})
	job.Wait()
	result, err := logins.SetAttr(context.Background(), []timpush.UserAttrs{{ToAccount: "xiaohong", Attrs: timpush.Attrs{"city": "ShenZhen"}}})
	fmt.Println("login:", result.Done, err)
	// Output:
	// nightly: 1 <nil>
	// login: 1 <nil>
}

// traffic is what logins and a job get of one quota.
type traffic struct {
	p99  time.Duration // of the logins
	all  float64       // calls a second, of both
	most int           // in any second
}

// TestLoginsAreHardlyLaterBesideAJob has 20 logins a second at random, and a job that makes as many calls as it can.
func TestLoginsAreHardlyLaterBesideAJob(t *testing.T) {
	t.Parallel()
	for name, newLimiter := range map[string]func() timpush.Limiter{
		"ours":               func() timpush.Limiter { return timpush.NewLimiter(97.5) },
		"x/time":             func() timpush.Limiter { return rate.NewLimiter(97.5, 1) },
		"no method but Wait": func() timpush.Limiter { return limiterFunc(timpush.NewLimiter(97.5).Wait) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alone := mixTraffic(t, newLimiter, nil)
			beside := mixTraffic(t, newLimiter, timpush.LowPriority)
			plain := mixTraffic(t, newLimiter, func(l timpush.Limiter) timpush.Limiter { return l })
			t.Logf("p99 of the logins: alone %v, beside a job %v, beside one that does not yield %v; both make %.1f calls a second", alone.p99, beside.p99, plain.p99, beside.all)
			t.Attr(t.Name()+".p99", fmt.Sprint(beside.p99.Seconds()/alone.p99.Seconds()))
			t.Attr(t.Name()+".used", fmt.Sprint(beside.all/97.5))
			assert.Less(t, beside.p99, 2*alone.p99)
			assert.Greater(t, plain.p99, 2*alone.p99)
			assert.Greater(t, beside.all, 0.97*97.5)
			assert.LessOrEqual(t, beside.most, timpush.DefaultQPS)
		})
	}
}

// mixTraffic has a job with the limiter that yield makes, unless that is nil. The service takes 50 ms.
func mixTraffic(t *testing.T, newLimiter func() timpush.Limiter, yield func(timpush.Limiter) timpush.Limiter) (got traffic) {
	t.Helper()
	const length = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s := timpushtest.Start(t, timpushtest.WithInMemory(), timpushtest.WithLatency(50*time.Millisecond, 0))
		start, limiter := time.Now(), newLimiter()
		var took []time.Duration
		var callers sync.WaitGroup
		if yield != nil {
			callers.Go(func() { keepCalling(t, s.Client(timpush.WithLimiter(yield(limiter))), 32, length) })
		}
		logins := s.Client(timpush.WithLimiter(limiter))
		r := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		for ; time.Since(start) < length; time.Sleep(time.Duration(r.ExpFloat64() * float64(time.Second/20))) {
			callers.Go(func() {
				login := time.Now()
				_, err := logins.SetAttr(t.Context(), someUsers(1))
				assert.NoError(t, err)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(login))
			})
		}
		callers.Wait()
		slices.Sort(took)
		calls := 0
		for _, call := range s.Calls() {
			if call.Time.Sub(start) < length {
				calls++
			}
		}
		got = traffic{took[len(took)*99/100], float64(calls) / length.Seconds(), s.PeakRate()}
	})
	return got
}

// TestLowPriorityYieldsAllIfAllIsUsed has callers who use the whole quota for a while.
func TestLowPriorityYieldsAllIfAllIsUsed(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		l := timpush.NewLimiter(100)
		low := timpush.LowPriority(l)
		began := time.Now()
		var callers sync.WaitGroup
		for range 201 {
			callers.Go(func() { assert.NoError(t, l.Wait(t.Context())) })
		}
		synctest.Wait()
		require.NoError(t, low.Wait(t.Context()))
		assert.InDelta(t, 2, time.Since(began).Seconds(), 0.1)
		callers.Wait()
	})
}

// TestLowPriorityAdaptsToADistance has a Limiter that asks a machine, which is then farther away, or nearer, and a job with one
// LowPriority or several. At first the machine often fails, and callers give up.
func TestLowPriorityAdaptsToADistance(t *testing.T) {
	t.Parallel()
	for _, jobs := range []int{1, 4} {
		t.Run(fmt.Sprintf("jobs: %d", jobs), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				var failing atomic.Bool
				var distance, calls, waiting atomic.Int64
				inner := timpush.NewLimiter(100)
				distant := limiterFunc(func(ctx context.Context) error {
					waiting.Add(1)
					defer waiting.Add(-1)
					time.Sleep(time.Duration(distance.Load()))
					if failing.Load() && rand.N(3) == 0 {
						return errors.New("out of order")
					}
					return inner.Wait(ctx)
				})
				ctx, cancel := context.WithCancel(t.Context())
				var callers sync.WaitGroup
				for range jobs {
					low := timpush.LowPriority(distant)
					for range 32 {
						callers.Go(func() {
							for ctx.Err() == nil {
								ctx, cancel := context.WithTimeout(ctx, time.Minute)
								if failing.Load() {
									ctx, cancel = context.WithTimeout(ctx, rand.N(200*time.Millisecond))
								}
								if low.Wait(ctx) == nil {
									calls.Add(1)
								}
								cancel()
							}
						})
					}
				}
				failing.Store(true)
				distance.Store(int64(30 * time.Millisecond))
				time.Sleep(10 * time.Second)
				failing.Store(false)
				for _, d := range []time.Duration{100 * time.Millisecond, 20 * time.Millisecond, 0} {
					distance.Store(int64(d))
					time.Sleep(70 * time.Second)
					before := calls.Load()
					time.Sleep(10 * time.Second)
					t.Logf("%v away: %d calls a second, %d wait", d, (calls.Load()-before)/10, waiting.Load())
					assert.GreaterOrEqual(t, (calls.Load()-before)/10, int64(93), d)
					assert.LessOrEqual(t, waiting.Load(), 2*int64(jobs)+int64(150*d.Seconds()), d)
				}
				cancel()
				callers.Wait()
			})
		})
	}
}

// TestLowPriorityLeavesTimeForTheWait has callers who give up after one and a half times as long as a Wait takes.
func TestLowPriorityLeavesTimeForTheWait(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		const took = 100 * time.Millisecond
		low := timpush.LowPriority(limiterFunc(func(ctx context.Context) error { time.Sleep(took); return ctx.Err() }))
		failed := 0
		for range 5000 {
			ctx, cancel := context.WithTimeout(t.Context(), 3*took/2)
			if low.Wait(ctx) != nil {
				failed++
			}
			cancel()
		}
		assert.Zero(t, failed, "the pauses to measure take no time that they need")
	})
}

// TestLowPriorityLetsGoWhoGivesUp has one of three in the queue give up.
func TestLowPriorityLetsGoWhoGivesUp(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		low := timpush.LowPriority(timpush.NewLimiter(1))
		require.NoError(t, low.Wait(t.Context()))
		began := time.Now()
		var queue sync.WaitGroup
		for i := range 3 {
			queue.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), []time.Duration{time.Hour, 500 * time.Millisecond, time.Hour}[i])
				defer cancel()
				if err := low.Wait(ctx); i == 1 {
					assert.ErrorIs(t, err, context.DeadlineExceeded)
				} else {
					assert.NoError(t, err)
				}
			})
			synctest.Wait()
		}
		queue.Wait()
		assert.Equal(t, 2*time.Second, time.Since(began))
	})
}

// TestLowPriorityIsALimiterLikeItsOwn compares what is asked of a Limiter.
func TestLowPriorityIsALimiterLikeItsOwn(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		failing := timpush.LowPriority(limiterFunc(func(context.Context) error { return errors.New("out of order") }))
		assert.EqualError(t, timpush.WaitLimiter(t.Context(), failing, false, 1), "limiter: out of order")
		_, many := failing.(interface {
			WaitN(ctx context.Context, n int) error
		})
		assert.False(t, many, "since limiterFunc has no WaitN")
		for name, l := range map[string]timpush.Limiter{
			"ours": timpush.NewLimiter(100), "x/time": rate.NewLimiter(100, 50), "recipients": timpush.NewRecipientLimiter(101),
		} {
			low := timpush.LowPriority(l)
			began := time.Now()
			for range 3 {
				require.NoError(t, timpush.WaitLimiter(t.Context(), low, true, 50), name)
			}
			assert.InDelta(t, 1.2, time.Since(began).Seconds(), 0.31, name)
			if name == "recipients" {
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			require.ErrorIs(t, timpush.WaitLimiter(ctx, low, false, 1), context.DeadlineExceeded, name)
			require.NoError(t, ctx.Err(), "it is known at once")
		}
	})
}

// TestLowPriorityGoesOnAfterAPanic: a Limiter that panics once does not stop the job for good.
func TestLowPriorityGoesOnAfterAPanic(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		panics := true
		low := timpush.LowPriority(limiterFunc(func(context.Context) error {
			if panics {
				panics = false
				panic("out of order")
			}
			return nil
		}))
		assert.Panics(t, func() { _ = low.Wait(t.Context()) })
		require.NoError(t, low.Wait(t.Context()))
	})
}

// TestLowPriorityGetsNothingWhileOthersWait has two callers of which one always waits.
func TestLowPriorityGetsNothingWhileOthersWait(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		l := timpush.NewLimiter(10)
		low := timpush.LowPriority(l)
		ctx, stop := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		for range 2 {
			callers.Go(func() {
				for l.Wait(ctx) == nil {
				}
			})
		}
		time.Sleep(time.Second)
		ofTheJob := 0
		callers.Go(func() {
			for low.Wait(ctx) == nil {
				ofTheJob++
			}
		})
		time.Sleep(10 * time.Second)
		stop()
		callers.Wait()
		assert.LessOrEqual(t, ofTheJob, 1)
	})
}

// TestLowPriorityForgetsWhoGivesUpInAPause, which each of the first three calls has to measure.
func TestLowPriorityForgetsWhoGivesUpInAPause(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		low := timpush.LowPriority(limiterFunc(func(context.Context) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}))
		require.NoError(t, low.Wait(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		require.ErrorIs(t, low.Wait(ctx), context.Canceled)
		began := time.Now()
		require.NoError(t, low.Wait(t.Context()))
		assert.Equal(t, 200*time.Millisecond, time.Since(began))
	})
}

// TestLowPriorityMeasuresOneAtATime: the first three calls find the limiter as if each were the only one.
func TestLowPriorityMeasuresOneAtATime(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var waiting, ended, together atomic.Int64
		low := timpush.LowPriority(limiterFunc(func(context.Context) error {
			if n := waiting.Add(1); ended.Load() < 3 {
				together.Store(max(together.Load(), n))
			}
			time.Sleep(100 * time.Millisecond)
			waiting.Add(-1)
			ended.Add(1)
			return nil
		}))
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() { assert.NoError(t, low.Wait(t.Context())) })
		}
		callers.Wait()
		assert.EqualValues(t, 1, together.Load())
	})
}

package timpush_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	timpush "github.com/timpush/timpush-go"
)

// TestLimiterBoundsItsWindow lets calls start as they come after they were all held up, without the limiter's turns.
func TestLimiterBoundsItsWindow(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for rate, most := range map[float64]int{97.5: 100, 48.75: 50, 1: 1, 975: 1000} {
			l := timpush.NewLimiter(rate)
			l.(interface{ SetBurst(int) }).SetBurst(10000)
			time.Sleep(time.Hour)
			var starts []time.Duration
			for began := time.Now(); len(starts) < 3*most; starts = append(starts, time.Since(began)) {
				require.NoError(t, l.Wait(t.Context()))
			}
			for n := range most {
				assert.Zero(t, starts[n])
				assert.InDelta(t, 1.01, starts[most+n].Seconds(), 0.016)
				assert.Equal(t, 2*starts[most], starts[2*most+n])
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			require.ErrorIs(t, l.Wait(ctx), context.DeadlineExceeded)
			cancel()
		}
		fast := timpush.NewLimiter(1e9)
		for range 10000 {
			require.NoError(t, fast.Wait(t.Context()))
		}
	})
}

// TestLimiterForgetsCallersThatGiveUp: those that were canceled delay no other.
func TestLimiterForgetsCallersThatGiveUp(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		l := timpush.NewLimiter(97.5)
		require.NoError(t, l.Wait(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() { assert.ErrorIs(t, l.Wait(ctx), context.Canceled) })
		}
		synctest.Wait()
		cancel()
		callers.Wait()
		began := time.Now()
		require.NoError(t, l.Wait(t.Context()))
		assert.Less(t, time.Since(began), 11*time.Millisecond)
	})
}

// TestRecipientLimiterFillsEverySecond has one sender of requests as large as PushTo makes them, and several of other sizes.
func TestRecipientLimiterFillsEverySecond(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		perSecond int
		sizes     []int // of the requests of each sender
		least     float64
	}{
		"free":             {30, []int{30}, 0.98},
		"standard":         {500, []int{500}, 0.98},
		"advanced":         {800, []int{400}, 0.98},
		"two senders":      {800, []int{400, 400}, 0.98},
		"one by one":       {30, []int{1}, 0.98},
		"not a part of it": {30, []int{20}, 0.65},
		"different":        {500, []int{500, 70, 1}, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				const length = 60 * time.Second
				starts := startRequests(t, timpush.NewRecipientLimiter(test.perSecond), length, test.sizes...)
				all := 0
				for i, first := range starts {
					all += first.n
					second := 0
					for _, s := range starts[i:] {
						if s.at-first.at < time.Second {
							second += s.n
						}
					}
					require.LessOrEqual(t, second, test.perSecond)
					if i+1 < len(starts) {
						require.GreaterOrEqual(t, starts[i+1].at-first.at, time.Duration(first.n)*time.Second/time.Duration(test.perSecond), "evenly")
					}
				}
				assert.GreaterOrEqual(t, float64(all), test.least*float64(test.perSecond)*length.Seconds())
			})
		})
	}
}

type started struct {
	at time.Duration
	n  int
}

// startRequests returns when requests started, from a sender for each size.
func startRequests(t *testing.T, l timpush.Limiter, length time.Duration, sizes ...int) (starts []started) {
	t.Helper()
	began := time.Now()
	var mu sync.Mutex
	var senders sync.WaitGroup
	for _, n := range sizes {
		senders.Go(func() {
			for time.Since(began) < length {
				assert.NoError(t, timpush.WaitLimiter(t.Context(), l, true, n))
				mu.Lock()
				starts = append(starts, started{time.Since(began), n})
				mu.Unlock()
			}
		})
	}
	senders.Wait()
	return starts
}

// TestRecipientLimiterBooksNothingAhead has one give up in the queue.
func TestRecipientLimiterBooksNothingAhead(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		l := timpush.NewRecipientLimiter(500)
		require.NoError(t, timpush.WaitLimiter(t.Context(), l, true, 500))
		began := time.Now()
		order := make(chan int, 3)
		var queue sync.WaitGroup
		for i := range 3 {
			queue.Go(func() {
				ctx := t.Context()
				if i == 1 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 500*time.Millisecond)
					defer cancel()
				}
				if err := timpush.WaitLimiter(ctx, l, true, 500); i == 1 {
					assert.ErrorIs(t, err, context.DeadlineExceeded)
				} else if assert.NoError(t, err) {
					order <- i
				}
			})
			synctest.Wait()
		}
		queue.Wait()
		assert.Equal(t, []int{0, 2}, []int{<-order, <-order})
		assert.Equal(t, 2020*time.Millisecond, time.Since(began))
		require.Error(t, timpush.WaitLimiter(t.Context(), l, true, 501), "they can never start within a second")
	})
}

// TestWaitLimiterTellsADeadlineThatComesTooEarly has the limiters of x/time/rate say so in their own words.
func TestWaitLimiterTellsADeadlineThatComesTooEarly(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for name, l := range map[string]timpush.Limiter{"rate": rate.NewLimiter(1, 1), "ours": timpush.NewLimiter(1)} {
			require.NoError(t, timpush.WaitLimiter(t.Context(), l, false, 1))
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, timpush.WaitLimiter(ctx, l, false, 1), context.DeadlineExceeded, name)
			require.NoError(t, ctx.Err(), name)
			assert.Zero(t, time.Since(began), "it is known at once")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		failing := limiterFunc(func(context.Context) error { return errors.New("out of order") })
		for _, l := range []timpush.Limiter{failing, embedding{rate.NewLimiter(1, 1), failing}} {
			assert.EqualError(t, timpush.WaitLimiter(ctx, l, false, 1), "limiter: out of order", "it says nothing of the deadline")
		}
	})
}

// embedding is a Limiter with the methods of a *rate.Limiter but for Wait.
type embedding struct {
	*rate.Limiter
	other timpush.Limiter
}

func (e embedding) Wait(ctx context.Context) error { return e.other.Wait(ctx) }

// TestNewLimiterCountsRecipients has it count each of them.
func TestNewLimiterCountsRecipients(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		l := timpush.NewLimiter(100)
		began := time.Now()
		require.NoError(t, timpush.WaitLimiter(t.Context(), l, true, 51))
		assert.Equal(t, 500*time.Millisecond, time.Since(began))
		require.NoError(t, timpush.WaitLimiter(t.Context(), l, false, 50))
		assert.Equal(t, 510*time.Millisecond, time.Since(began))
	})
}

// TestNewLimiterOfManyRecipients lets requests of the recipients of a second through one after the other, also if they wait together.
func TestNewLimiterOfManyRecipients(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		starts := startRequests(t, timpush.NewLimiter(29.25), 10*time.Second, 30, 30, 30, 30)
		slices.SortFunc(starts, func(a, b started) int { return cmp.Compare(a.at, b.at) })
		for i := range starts[1:] {
			assert.Greater(t, starts[i+1].at-starts[i].at, time.Second)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		l := timpush.NewLimiter(1)
		var first sync.WaitGroup
		first.Go(func() { assert.NoError(t, timpush.WaitLimiter(t.Context(), l, true, 2)) })
		synctest.Wait()
		assert.ErrorIs(t, timpush.WaitLimiter(ctx, l, true, 2), context.DeadlineExceeded, "while another one waits")
		first.Wait()
		ctx, cancel = context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		assert.ErrorIs(t, timpush.WaitLimiter(ctx, l, true, 3), context.DeadlineExceeded, "in the middle")
	})
}

// TestRecipientLimiterTellsThatAContextHasEnded while a request waits for the last second to pass.
func TestRecipientLimiterTellsThatAContextHasEnded(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		l := timpush.NewRecipientLimiter(100)
		for range 2 {
			require.NoError(t, timpush.WaitLimiter(t.Context(), l, true, 50))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
		defer cancel()
		assert.ErrorIs(t, timpush.WaitLimiter(ctx, l, true, 100), context.DeadlineExceeded)
	})
}

// TestRecipientLimiterOfManyAtOnce lets one after the other through.
func TestRecipientLimiterOfManyAtOnce(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		starts := startRequests(t, timpush.NewRecipientLimiter(100), 3*time.Second, 100, 100, 100, 100)
		slices.SortFunc(starts, func(a, b started) int { return cmp.Compare(a.at, b.at) })
		for i := range starts[1:] {
			assert.Equal(t, 1010*time.Millisecond, starts[i+1].at-starts[i].at)
		}
	})
}

package timpush_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// TestPaceSettlesAtWhatOthersLeave lets others take half of the quota, whatever they are answered, and then stop.
func TestPaceSettlesAtWhatOthersLeave(t *testing.T) {
	t.Parallel()
	for name, window := range map[string]timpushtest.Option{
		"sliding window": timpushtest.WithQuota(100), "fixed window": timpushtest.WithVariant(timpushtest.Variant{FixedWindow: true}),
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := timpushtest.Start(t, timpushtest.WithInMemory(), timpushtest.WithLatency(100*time.Millisecond, 50*time.Millisecond), window)
				const settled, steady, end = 20 * time.Second, 55 * time.Second, 105 * time.Second
				began := time.Now()
				shareQuota(t, s, steady, end)

				var accepted, refused int
				rate := map[time.Duration]int{} // of ours, in each second
				for _, call := range s.Calls() {
					second := call.Time.Sub(began).Truncate(time.Second)
					if call.Accounts[0] != "ours" {
						continue
					}
					rate[second]++
					if second < settled || second >= steady {
						continue
					}
					if call.Code == 0 {
						accepted++
					} else {
						refused++
					}
				}
				t.Logf("accepted %.1f a second, refused %.2f %%", float64(accepted)/(steady-settled).Seconds(), 100*float64(refused)/float64(accepted+refused))
				assert.Less(t, refused*100, 2*(accepted+refused), "less than 2 % are refused")
				assert.Greater(t, accepted, 35*50*7/10, "most of what is left is used")
				assert.GreaterOrEqual(t, rate[end-2*time.Second], 97, "and the whole quota again in the end")
			})
		})
	}
}

// shareQuota lets others call 50 times a second until steady, and our client as often as it can until end.
func shareQuota(t *testing.T, s *timpushtest.Server, steady, end time.Duration) {
	t.Helper()
	began := time.Now()
	var others *http.Request // always the same one: they know of no refusal
	body := `{"UserAttrs":[{"To_Account":"theirs","Attrs":{"city":"x"}}]}`
	theirs := s.Client(through(func(r *http.Request) (*http.Response, error) {
		others = r
		return nil, errors.New("it is only to be signed")
	}), timpush.WithMaxAttempts(1))
	_, err := theirs.SetAttr(t.Context(), someUsers(1))
	require.Error(t, err)
	h := s.HTTPClient()
	var callers sync.WaitGroup
	callers.Go(func() {
		for ; time.Since(began) < steady; time.Sleep(time.Second / 50) {
			callers.Go(func() {
				resp, err := h.Post(others.URL.String(), "application/json", strings.NewReader(body)) //nolint:noctx // it ends with the fake
				if assert.NoError(t, err) {
					assert.NoError(t, resp.Body.Close())
				}
			})
		}
	})
	callers.Go(func() { keepCalling(t, s.Client(), 32, end) })
	callers.Wait()
}

// TestThrottleLetsNoMoreThroughThanBefore has calls in every place where they can wait when a throttle code comes.
func TestThrottleLetsNoMoreThroughThanBefore(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := timpushtest.Start(t, timpushtest.WithInMemory(), timpushtest.WithLatency(100*time.Millisecond, 0))
		var calls atomic.Int64
		s.Handle(func(timpushtest.Call) timpushtest.Fault {
			if calls.Add(1) == 300 {
				return timpushtest.ErrorCode(60007)
			}
			return timpushtest.Fault{}
		})
		c := s.Client(timpush.WithMaxInFlight(200))
		keepCalling(t, c, 300, 15*time.Second)
		assert.LessOrEqual(t, s.PeakRate(), 100)
		for _, call := range s.Calls() {
			assert.True(t, call.Code == 0 || call.Code == 60007)
		}
		assert.Equal(t, 1, refused(s))
	})
}

// TestAnswersFromBeforeThePauseCountOnce has a server that refuses everything for a second, and tells so late.
func TestAnswersFromBeforeThePauseCountOnce(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(1500*time.Millisecond, 0))
		began := time.Now()
		s.Handle(func(call timpushtest.Call) timpushtest.Fault {
			if at := call.Time.Sub(began); at > 5*time.Second && at < 6*time.Second {
				return timpushtest.ErrorCode(60007)
			}
			return timpushtest.Fault{}
		})
		keepCalling(t, client(s, timpush.WithMaxInFlight(200), timpush.WithLimiter(timpush.NewLimiter(90))), 200, 15*time.Second)
		last := 0
		for _, call := range s.Calls() {
			if at := call.Time.Sub(began); at > 12*time.Second && at < 13*time.Second {
				last++
			}
		}
		assert.Greater(t, last, 70, "one congested second is one reason to slow down")
	})
}

// TestUserSigIsGoodWhenItIsSent lets calls wait for longer than a UserSig lasts.
func TestUserSigIsGoodWhenItIsSent(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s, timpush.WithUserSigTTL(time.Minute), timpush.WithLimiter(timpush.NewLimiter(1)))
		var callers sync.WaitGroup
		for range 150 {
			callers.Go(func() {
				_, err := c.SetAttr(t.Context(), someUsers(1))
				assert.NoError(t, err)
			})
		}
		callers.Wait()
		assert.Len(t, s.Calls(), 150)
	})
}

func refused(s *timpushtest.Server) (n int) {
	for _, call := range s.Calls() {
		if call.Code != 0 {
			n++
		}
	}
	return n
}

// keepCalling sets a user from many goroutines, again and again, for some time.
func keepCalling(t *testing.T, c *timpush.Client, goroutines int, d time.Duration) {
	t.Helper()
	began := time.Now()
	var callers sync.WaitGroup
	for range goroutines {
		callers.Go(func() {
			for time.Since(began) < d {
				_, _ = c.SetAttr(t.Context(), []timpush.UserAttrs{userIn("ours", "x")})
			}
		})
	}
	callers.Wait()
}

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
		}
		fast := timpush.NewLimiter(1e9)
		for range 10000 {
			require.NoError(t, fast.Wait(t.Context()))
		}
	})
}

// TestPaceComesBackAsDocumented counts the calls of each second after a throttle code, and after two in a row, of a client that
// makes 50 a second: seven tenths of that after a pause, then a twentieth more each second, slowly around what was refused, and
// in the end as many as before.
func TestPaceComesBackAsDocumented(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		codes int
		again time.Duration // after which one more comes
		want  []int
	}{
		"one code":  {1, 0, []int{1, 37, 39, 42, 45, 47, 48, 49, 49, 49, 50, 50, 50, 50, 50, 50}},
		"one later": {1, 4 * time.Second, []int{1, 37, 39, 42, 1, 31, 34, 36, 38, 41, 40, 41, 42, 41, 42, 42}},
		"two codes": {2, 0, []int{1, 1, 0, 10, 11, 17, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50}},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				c := s.Client(timpush.WithLimiter(timpush.NewLimiter(50)))
				began := time.Now()
				call := func() {
					_, err := c.SetAttr(t.Context(), someUsers(1))
					require.NoError(t, err)
				}
				for time.Since(began) < 3*time.Second {
					call()
				}
				for range test.codes {
					s.Inject(timpushtest.ErrorCode(60007))
				}
				throttled := time.Now()
				if test.again > 0 {
					time.AfterFunc(test.again, func() { s.Inject(timpushtest.ErrorCode(60007)) })
				}
				for time.Since(throttled) < 30*time.Second {
					call()
				}
				counts := make([]int, 30)
				for _, call := range s.Calls() {
					if second := int(call.Time.Sub(throttled).Seconds()); call.Time.After(throttled) && second < len(counts) {
						counts[second]++
					}
				}
				assert.Equal(t, test.want, counts[:16])
				for _, n := range counts[16:] {
					assert.True(t, n == 50 || test.again > 0 && n > 40, n)
				}
			})
		})
	}
}

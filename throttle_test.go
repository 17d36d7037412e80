package timpush_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// sharing is how the quota is used by others, who know of no refusal, and by a client that calls as often as it can.
type sharing struct {
	accepted, refused float64       // calls of the client while the others call
	back              time.Duration // from when the others stop to the first second in which the client makes 95 calls
}

// The others stop after 51 to 55 s. The first 15 s do not count.
const settled, stop, end = 15 * time.Second, 50 * time.Second, 95 * time.Second

// share lets others call 50 times a second, with gaps as next says. Requests take 20 to 40 ms to arrive, and answers 10 to 30.
func share(t *testing.T, seed int64, next func(r *rand.Rand) time.Duration, reading ...timpushtest.Option) (s sharing) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(seed), 0)) // of the others
	synctest.Test(t, func(t *testing.T) {
		server := timpushtest.Start(t, append(reading, timpushtest.WithInMemory(), timpushtest.WithLatency(20*time.Millisecond, 10*time.Millisecond))...)
		network := delayed(server.HTTPClient().Transport, rand.New(rand.NewPCG(uint64(seed), 1)))
		began := time.Now()
		steady := stop + time.Duration(seed)*time.Second
		var callers sync.WaitGroup
		callers.Go(func() { othersCall(t, server, network, func() time.Duration { return next(r) }, steady) })
		callers.Go(func() { keepCalling(t, server.Client(through(network)), 32, end) })
		callers.Wait()
		s = sharingOf(server.Calls(), began, steady)
	})
	return s
}

// delayed is a network on which requests take 20 to 40 ms to arrive.
func delayed(to http.RoundTripper, r *rand.Rand) roundTripper {
	var mu sync.Mutex
	return func(req *http.Request) (*http.Response, error) {
		mu.Lock()
		delay := 20*time.Millisecond + time.Duration(r.Int64N(int64(20*time.Millisecond)))
		mu.Unlock()
		time.Sleep(delay)
		return to.RoundTrip(req)
	}
}

func othersCall(t *testing.T, s *timpushtest.Server, network roundTripper, next func() time.Duration, d time.Duration) {
	t.Helper()
	var signed *http.Request // always the same one
	client := s.Client(through(func(r *http.Request) (*http.Response, error) {
		signed = r
		return nil, errors.New("it is only to be signed")
	}), timpush.WithMaxAttempts(1))
	_, err := client.SetAttr(t.Context(), someUsers(1))
	require.Error(t, err)
	var calls sync.WaitGroup
	for began := time.Now(); time.Since(began) < d; time.Sleep(next()) {
		calls.Go(func() {
			body := strings.NewReader(`{"UserAttrs":[{"To_Account":"theirs","Attrs":{"city":"x"}}]}`)
			resp, err := (&http.Client{Transport: network}).Post(signed.URL.String(), "application/json", body) //nolint:noctx // it ends with the fake
			if assert.NoError(t, err) {
				assert.NoError(t, resp.Body.Close())
			}
		})
	}
	calls.Wait()
}

func sharingOf(calls []timpushtest.Call, began time.Time, steady time.Duration) (s sharing) {
	var after []time.Duration
	for _, call := range calls {
		switch at := call.Time.Sub(began); {
		case call.Accounts[0] != "ours" || at < settled:
		case at >= steady && call.Code == 0:
			after = append(after, at-steady)
		case at < steady && call.Code == 0:
			s.accepted++
		case at < steady:
			s.refused++
		}
	}
	s.back = time.Hour
	for i := range max(0, len(after)-94) {
		if after[i+94]-after[i] < time.Second {
			s.back = after[i]
			break
		}
	}
	return s
}

// together adds up what some seeds give, five with a large -seeds, and says how much of the rest of the quota is used, how much is refused, both as a part
// of 1, and what the longest way back was.
func together(t *testing.T, runs int64, next func(r *rand.Rand) time.Duration, reading ...timpushtest.Option) (used, refused float64, back time.Duration) {
	t.Helper()
	var sum sharing
	var steady float64
	if *seeds > 25 {
		runs = 5
	}
	for seed := range runs {
		s := share(t, seed+1, next, reading...)
		sum.accepted, sum.refused, back = sum.accepted+s.accepted, sum.refused+s.refused, max(back, s.back)
		steady += (stop - settled).Seconds() + float64(seed+1)
	}
	used, refused = sum.accepted/(50*steady), sum.refused/(sum.accepted+sum.refused)
	t.Logf("%.1f %% of the rest used, %.2f %% refused, back within %.1f s", 100*used, 100*refused, back.Seconds())
	t.Attr(t.Name()+".used", fmt.Sprint(used))
	t.Attr(t.Name()+".refused", fmt.Sprint(refused))
	t.Attr(t.Name()+".back", fmt.Sprint(back.Seconds()))
	return used, refused, back
}

var readings = map[string][]timpushtest.Option{"refused calls count": nil, "refused calls are free": {timpushtest.WithVariant(timpushtest.Variant{RefusedCallsFree: true})}}

// TestThrottleUsesWhatOthersLeave lets others take half of the quota evenly, and then stop.
func TestThrottleUsesWhatOthersLeave(t *testing.T) {
	t.Parallel()
	least, most, longest := 0.70, 0.02, 30*time.Second // one run says little: its calls meet those of the others by chance
	if *seeds > 25 {
		least, most, longest = 0.92, 0.0035, 13*time.Second
	}
	for name, reading := range readings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			used, refused, back := together(t, 1, func(*rand.Rand) time.Duration { return time.Second / 50 }, reading...)
			assert.GreaterOrEqual(t, used, least)
			assert.LessOrEqual(t, refused, most)
			assert.LessOrEqual(t, back, longest)
		})
	}
}

// TestThrottleSharesWithRandomArrivals lets others take half of the quota on average.
func TestThrottleSharesWithRandomArrivals(t *testing.T) {
	t.Parallel()
	for name, reading := range readings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			used, refused, _ := together(t, 1, func(r *rand.Rand) time.Duration {
				return time.Duration(r.ExpFloat64() * float64(time.Second/50))
			}, reading...)
			assert.GreaterOrEqual(t, used, 0.45)
			assert.LessOrEqual(t, refused, 0.04)
		})
	}
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

// TestThrottleComesBackAsDocumented counts the calls of each second after a throttle code, and after two in a row, of a client
// that makes 50 a second: 95 % of that after a pause of 0.1 s, or 70 % after one more of 1 s, then slower the nearer it is, as
// many as before after 9 s, and soon beyond.
func TestThrottleComesBackAsDocumented(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		codes int
		again time.Duration // after which one more comes
		want  []int
	}{
		"one code":  {1, 0, []int{43, 48, 48, 48, 49, 48, 49, 49, 49, 49, 50, 50, 50, 50, 50, 50}},
		"one later": {1, 4 * time.Second, []int{43, 48, 48, 48, 42, 46, 46, 47, 47, 46, 47, 47, 47, 48, 50, 50}},
		"two codes": {2, 0, []int{2, 30, 37, 40, 41, 43, 44, 45, 44, 45, 46, 49, 50, 50, 50, 50}},
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
					assert.Equal(t, 50, n)
				}
			})
		})
	}
}

// TestManyClientsShareALittle that others leave: together they must not start so fast after a pause that all of them pause for longer.
func TestManyClientsShareALittle(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := timpushtest.Start(t, timpushtest.WithInMemory(), timpushtest.WithLatency(50*time.Millisecond, 0), timpushtest.WithQuota(10))
		var callers sync.WaitGroup
		limiter := timpush.NewLimiter(97.5)
		for range 4 {
			callers.Go(func() { keepCalling(t, s.Client(timpush.WithLimiter(limiter)), 10, 5*time.Minute) })
		}
		callers.Wait()
		assert.Greater(t, len(s.Calls())-refused(s), 1500, "half of what was left")
	})
}

// TestThrottleOfSmallRequestsToRecipients: there may be as many a second as recipients.
func TestThrottleOfSmallRequestsToRecipients(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := s.Client()
		push := func(calls int) time.Duration {
			began := time.Now()
			var callers sync.WaitGroup
			for range calls {
				callers.Go(func() {
					_, err := c.PushTo(t.Context(), []string{"a"}, hello)
					assert.NoError(t, err)
				})
			}
			callers.Wait()
			return time.Since(began)
		}
		push(60)
		s.Inject(timpushtest.ErrorCode(60007))
		assert.Less(t, push(150), 8*time.Second, "30 a second, but for the pause and the way back")
	})
}

// TestThrottleCodeWhileManyWait tries slow quotas: those that wait for the limiter when a throttle code comes must not each take a
// token for nothing, one after the other, before the first of them is sent.
func TestThrottleCodeWhileManyWait(t *testing.T) {
	t.Parallel()
	recipients := make([]string, 30)
	for i := range recipients {
		recipients[i] = account(i)
	}
	for name, call := range map[string]func(ctx context.Context, c *timpush.Client) error{
		"push": func(ctx context.Context, c *timpush.Client) error {
			_, err := c.Push(ctx, timpush.Audience{Everybody: true}, hello)
			return err
		},
		"recipients": func(ctx context.Context, c *timpush.Client) error {
			_, err := c.PushTo(ctx, recipients, hello)
			return err
		},
		"users": func(ctx context.Context, c *timpush.Client) error { _, err := c.SetAttr(ctx, someUsers(1)); return err },
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Inject(timpushtest.Fault{}, timpushtest.Fault{}, timpushtest.ErrorCode(60007))
				events := &recorder{}
				c := s.Client(timpush.WithLimiter(timpush.NewLimiter(1)), timpush.WithObserver(events))
				const calls = 20
				began := time.Now()
				var callers sync.WaitGroup
				for range calls {
					callers.Go(func() { assert.NoError(t, call(t.Context(), c)) })
				}
				callers.Wait()
				assert.Len(t, s.Calls(), calls+1)
				assert.Less(t, time.Since(began), (calls+5)*time.Second, "one a second, and a little less after the code")
				for _, e := range events.all() {
					assert.NotEqual(t, timpush.WaitBackoff, e.Wait, "the code is no failure of those that wait")
				}
			})
		})
	}
}

// TestThrottleKeepsOneCallASecond, whatever is refused, and begins with no more.
func TestThrottleKeepsOneCallASecond(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(60007) })
		c := client(s, timpush.WithMaxAttempts(1))
		for range 50 {
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.ErrorIs(t, err, timpush.ErrRateLimited)
		}
		s.Handle(nil)
		began := time.Now()
		for range 21 {
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
		}
		assert.LessOrEqual(t, time.Since(began), 16*time.Second+20*time.Second, "the longest pause, and one call a second")
		calls := s.Calls()
		accepted := calls[len(calls)-21:]
		assert.InDelta(t, time.Second, accepted[1].Time.Sub(accepted[0].Time), float64(50*time.Millisecond))
	})
}

// TestThrottlePausesLongerIfOthersAreIrregular: after three codes in a row that come soon after one another, until one comes later.
func TestThrottlePausesLongerIfOthersAreIrregular(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		for i, test := range []struct{ after, pause time.Duration }{
			{0, 100 * time.Millisecond}, {3 * time.Second, 100 * time.Millisecond}, {3 * time.Second, 100 * time.Millisecond},
			{3 * time.Second, 300 * time.Millisecond}, {30 * time.Second, 300 * time.Millisecond}, {30 * time.Second, 100 * time.Millisecond},
		} {
			time.Sleep(test.after)
			s.Inject(timpushtest.ErrorCode(60007))
			began := time.Now()
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			assert.Equal(t, test.pause, time.Since(began).Round(time.Millisecond), i)
		}
	})
}

// heedless lets the first call through, and sees only after a while that the context of another has ended.
type heedless struct{ calls atomic.Int64 }

func (l *heedless) Wait(ctx context.Context) error {
	if l.calls.Add(1) == 1 {
		time.Sleep(time.Second)
		return nil
	}
	time.Sleep(3 * time.Second)
	return ctx.Err()
}

// TestDeadlineAfterAThrottleCode: a limiter that ends its wait late, after the deadline too, does not hide the deadline.
func TestDeadlineAfterAThrottleCode(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.ErrorCode(60007))
		c := s.Client(timpush.WithLimiter(&heedless{}), timpush.WithMaxAttempts(1))
		var callers sync.WaitGroup
		callers.Go(func() { _, _ = c.SetAttr(t.Context(), someUsers(1)) })
		callers.Go(func() {
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := c.SetAttr(ctx, someUsers(1))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.NotErrorIs(t, err, context.Canceled)
		})
		callers.Wait()
	})
}

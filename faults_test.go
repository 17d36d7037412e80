package timpush_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// TestSlowSignerOfShortUserSigsKeepsTheQuota: UserSigs expire while calls wait for the limiter, and new ones take their time.
func TestSlowSignerOfShortUserSigsKeepsTheQuota(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithQuota(timpush.DefaultQPS), timpushtest.WithLatency(100*time.Millisecond, 50*time.Millisecond))
		_, identifier, key := s.App()
		sg := signerFunc(func(context.Context) (string, time.Time, error) {
			time.Sleep(900 * time.Millisecond)
			usersig, err := tencentyun.GenUserSig(1400000000, key, identifier, 2)
			return usersig, time.Now().Add(1500 * time.Millisecond), err
		})
		callAtOnce(t, s.Client(timpush.WithSigner(sg), timpush.WithMaxInFlight(200)), 400)
		assert.LessOrEqual(t, s.PeakRate(), timpush.DefaultQPS)
	})
}

// TestSlowConnectionsKeepTheQuota: calls that have waited for their connections do not leave together.
func TestSlowConnectionsKeepTheQuota(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for _, dialing := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second, 5100 * time.Millisecond} {
			s := fake(t, timpushtest.WithLatency(20*time.Millisecond, 0))
			transport := slowToConnect(t, s, dialing)
			c := client(s, timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithLimiter(timpush.NewLimiter(97.5)))
			began := time.Now()
			var calls sync.WaitGroup
			for range 200 {
				calls.Go(func() {
					_, err := c.SetAttr(t.Context(), someUsers(1))
					assert.NoError(t, err)
				})
			}
			calls.Wait()
			assert.LessOrEqual(t, s.PeakRate(), timpush.DefaultQPS, "%v", dialing)
			assert.Less(t, time.Since(began)-dialing, 2500*time.Millisecond, "%v", dialing)
			transport.CloseIdleConnections()
		}
	})
}

// TestTransportThatDumpsRequests: what httputil.DumpRequestOut does with a request does not count as another one.
func TestTransportThatDumpsRequests(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		next := s.HTTPClient().Transport
		c := s.Client(through(func(r *http.Request) (*http.Response, error) {
			if _, err := httputil.DumpRequestOut(r, true); err != nil {
				return nil, err
			}
			return next.RoundTrip(r)
		}))
		began := time.Now()
		callAtOnce(t, c, 400)
		assert.Less(t, time.Since(began), 4200*time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := c.Push(ctx, timpush.Audience{Everybody: true}, hello)
		require.NoError(t, err)

		down := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("the network is down") }}
		c = s.Client(through(func(r *http.Request) (*http.Response, error) {
			if _, err := httputil.DumpRequestOut(r, false); err != nil {
				return nil, err
			}
			return down.RoundTrip(r)
		}), timpush.WithMaxAttempts(1))
		_, err = c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
		var failed *timpush.CallError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, timpush.NotSent, failed.Outcome)
	})
}

// TestTransportThatRefusesByItself: what a circuit breaker refuses has not been sent, so that a push goes out once that is closed.
func TestTransportThatRefusesByItself(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		next, refusals := s.HTTPClient().Transport, atomic.Int64{}
		c := s.Client(through(func(r *http.Request) (*http.Response, error) {
			if refusals.Add(-1) >= 0 {
				return nil, errors.New("circuit breaker is open")
			}
			return next.RoundTrip(r)
		}))
		refusals.Store(3)
		_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
		require.NoError(t, err)
		refusals.Store(4)
		result, err := c.PushTo(t.Context(), accounts(3), hello)
		require.ErrorContains(t, err, "circuit breaker is open")
		assert.Equal(t, 3, result.NotSent)
		assert.Len(t, s.Pushes(), 1)
	})
}

// TestTransportThatRepeats: what the answer to the last try refuses may have been applied by an earlier one, so that it is not Rejected, and a
// push is not sent once more.
func TestTransportThatRepeats(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		next, tries := s.HTTPClient().Transport, 1
		c := s.Client(timpush.WithMaxAttempts(2), through(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			for range tries - 1 {
				r.Body = io.NopCloser(bytes.NewReader(body))
				if lost, err := next.RoundTrip(r); err == nil {
					_ = lost.Body.Close()
				}
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			return next.RoundTrip(r)
		}))
		var failed *timpush.CallError
		receipt, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
		require.NoError(t, err)
		tries = 2
		for _, refusal := range []timpushtest.Fault{timpushtest.ErrorCode(90047), timpushtest.ErrorCode(90024), timpushtest.ErrorCode(70001), timpushtest.Status(429)} {
			before := len(s.Pushes())
			time.Sleep(time.Minute)
			s.Inject(timpushtest.Fault{}, refusal)
			_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, timpush.Unknown, failed.Outcome, err)
			s.Inject(timpushtest.Fault{}, refusal)
			result, err := c.PushTo(t.Context(), accounts(2), hello)
			require.Error(t, err)
			assert.Equal(t, 2, result.Unknown, err)
			assert.Len(t, s.Pushes(), before+2)
		}
		s.Inject(timpushtest.Fault{}, timpushtest.AccountCode(60007, accounts(2)...))
		result, err := c.PushTo(t.Context(), accounts(2), hello)
		require.Error(t, err)
		assert.Equal(t, 2, result.Unknown, err)

		err = c.Revoke(t.Context(), receipt.TaskID, nil) // the second try finds it revoked
		require.ErrorIs(t, err, timpush.ErrAlreadyRevoked)
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, timpush.Unknown, failed.Outcome)

		s.Inject(timpushtest.Fault{}, timpushtest.ErrorCode(90009))
		set, err := c.SetAttr(t.Context(), someUsers(1))
		require.ErrorIs(t, err, timpush.ErrNotAdmin)
		assert.Equal(t, 1, set.Unknown)
		s.Poison(90033, "user-0")
		set, err = c.SetAttr(t.Context(), []timpush.UserAttrs{userIn("user-0", "Rome")})
		require.ErrorIs(t, err, timpush.ErrInvalidAttr)
		assert.Equal(t, 1, set.Rejected, "both tries were refused")
	})
}

// TestTransportThatGivesUpEarlier: one that ends a request before another one within it does, whose context goes on, sends nothing later of what
// is NotSent, so that a push does not go out twice.
func TestTransportThatGivesUpEarlier(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		next := slowToConnect(t, s, 1500*time.Millisecond)
		next.DisableKeepAlives = true
		var late sync.WaitGroup
		c := s.Client(timpush.WithMaxAttempts(2), through(func(r *http.Request) (*http.Response, error) {
			r = r.WithContext(context.WithoutCancel(r.Context()))
			late.Go(func() {
				if resp, err := next.RoundTrip(r); err == nil {
					_ = resp.Body.Close()
				}
			})
			time.Sleep(time.Second)
			return nil, errors.New("the command took too long")
		}))
		for range 5 {
			_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
			var failed *timpush.CallError
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, timpush.NotSent, failed.Outcome)
		}
		late.Wait()
		assert.Empty(t, s.Pushes())
	})
}

// TestSlowConnectionsKeepTheRateOfRecipients: what is sent after a request that has waited for its connection does not reach more recipients
// within a second than the plan allows, in one PushTo or in several at the same time.
func TestSlowConnectionsKeepTheRateOfRecipients(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for _, limited := range []timpush.Option{timpush.WithRecipientRate(30), timpush.WithQuota(timpush.QuotaRecipients, timpush.NewLimiter(29.25))} {
			for _, calls := range []int{1, 4} {
				s := fake(t, timpushtest.WithLatency(20*time.Millisecond, 0))
				transport := slowToConnect(t, s, 700*time.Millisecond)
				c := client(s, timpush.WithHTTPClient(&http.Client{Transport: transport}), limited)
				began := time.Now()
				var callers sync.WaitGroup
				for range calls {
					callers.Go(func() {
						_, err := c.PushTo(t.Context(), accounts(240/calls), hello)
						assert.NoError(t, err)
					})
				}
				callers.Wait()
				assert.Less(t, time.Since(began), 10*time.Second)
				received := s.Calls()
				assert.Len(t, received, 8, "none was refused")
				for i, call := range received[1:] {
					assert.GreaterOrEqual(t, call.Time.Sub(received[i].Time), time.Second, "each has the recipients of a second")
				}
				transport.CloseIdleConnections()
			}
		}
	})
}

// TestRequestsOfSeveralSizesKeepTheRateOfRecipients: a request that has waited to leave until there was room for all of its recipients counts
// from then on, also for those for whom there was room before.
func TestRequestsOfSeveralSizesKeepTheRateOfRecipients(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for _, limited := range []timpush.Option{timpush.WithRecipientRate(30), timpush.WithQuota(timpush.QuotaRecipients, timpush.NewLimiter(29.25))} {
			s := fake(t, timpushtest.WithLatency(700*time.Millisecond, 0))
			transport := slowToConnect(t, s, 700*time.Millisecond)
			c := client(s, timpush.WithHTTPClient(&http.Client{Transport: transport}), limited)
			var callers sync.WaitGroup
			for i, size := range []int{12, 18, 30, 12, 18, 30} {
				callers.Go(func() {
					time.Sleep(time.Duration(i) * time.Millisecond)
					_, err := c.PushTo(t.Context(), accounts(size), hello)
					assert.NoError(t, err)
				})
			}
			callers.Wait()
			assert.Len(t, s.Calls(), 6, "none was refused")
			assert.LessOrEqual(t, mostRecipients(s.Calls()), 30)
			time.Sleep(time.Second) // for connections that are being made
			transport.CloseIdleConnections()
		}
	})
}

// mostRecipients returns how many recipients were sent to within a second.
func mostRecipients(calls []timpushtest.Call) (most int) {
	for i, call := range calls {
		sum := 0
		for _, later := range calls[i:] {
			if later.Time.Sub(call.Time) < time.Second {
				sum += len(later.Accounts)
			}
		}
		most = max(most, sum)
	}
	return most
}

// TestMoreCallsThanTheQuotaWithDeadlines: those that are let through have the time for their answers, and the others are NotSent.
func TestMoreCallsThanTheQuotaWithDeadlines(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(20*time.Millisecond, 0))
		outcomes := callsWithDeadlines(t, client(s, timpush.WithLimiter(timpush.NewLimiter(97.5))), 120)
		assert.Zero(t, outcomes[timpush.Unknown])
		assert.Greater(t, outcomes[timpush.Done], 950, "the quota of 10 s is 975")
	})
}

// TestDeadlineThatAnAnswerWouldMiss: the usual time of an answer is known after the first, and follows those that differ.
func TestDeadlineThatAnAnswerWouldMiss(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var takes time.Duration
		c := newClient(t, timpush.WithLimiter(timpush.NewLimiter(1)), through(func(r *http.Request) (*http.Response, error) {
			time.Sleep(takes)
			return alwaysOK(r)
		}))
		for _, takes = range []time.Duration{400 * time.Millisecond, 300 * time.Millisecond} {
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 1100*time.Millisecond-takes)
			users := someUsers(1)
			result, err := c.SetAttr(ctx, users)
			cancel()
			partial(t, users, result, err)
			assert.Equal(t, 1, result.NotSent, "it could begin 0.1 s before its deadline")
		}
	})
}

// TestSlowConnectionsWithDeadlines: calls that waited for their connections at first do not make all that come later wait with a connection,
// where no time is left for their answers.
func TestSlowConnectionsWithDeadlines(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(20*time.Millisecond, 0))
		transport := slowToConnect(t, s, 300*time.Millisecond)
		c := client(s, timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithLimiter(timpush.NewLimiter(97.5)))
		outcomes := callsWithDeadlines(t, c, 120)
		assert.Less(t, outcomes[timpush.Unknown], 20)
		assert.Greater(t, outcomes[timpush.Done], 900, "the quota of 10 s is 975")
		assert.LessOrEqual(t, s.PeakRate(), timpush.DefaultQPS)
		time.Sleep(time.Second) // for connections that are being made
		transport.CloseIdleConnections()
	})
}

// TestCallsThatEndBeforeTheyLeaveAreNotSent, also by a transport that does not see that before it writes a request, as net/http may not: the
// limiter has not counted them.
func TestCallsThatEndBeforeTheyLeaveAreNotSent(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		const calls = 190
		began := time.Now()
		var sent atomic.Int64
		c := newClient(t, timpush.WithMaxInFlight(calls), timpush.WithLimiter(timpush.NewLimiter(97.5)), through(func(r *http.Request) (*http.Response, error) {
			trace := httptrace.ContextClientTrace(r.Context())
			trace.GetConn("")
			time.Sleep(2*time.Second - time.Since(began)) // then all have a connection
			trace.GotConn(httptrace.GotConnInfo{})
			if body, err := io.ReadAll(r.Body); len(body) > 0 && err == nil {
				sent.Add(1)
			}
			return alwaysOK(r)
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 2300*time.Millisecond)
		defer cancel()
		var callers sync.WaitGroup
		for _, user := range someUsers(calls) {
			callers.Go(func() { _, _ = c.SetAttr(ctx, []timpush.UserAttrs{user}) })
		}
		callers.Wait()
		assert.EqualValues(t, timpush.DefaultQPS, sent.Load(), "within 0.3 s")
	})
}

// TestMoreCallsThanTheirPlacesWithDeadlines: those that wait for one of few places, or after a throttle code, leave the time for their answers.
func TestMoreCallsThanTheirPlacesWithDeadlines(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(100*time.Millisecond, 0))
		outcomes := callsWithDeadlines(t, client(s, timpush.WithMaxInFlight(2)), 30)
		assert.Zero(t, outcomes[timpush.Unknown])
		assert.Greater(t, outcomes[timpush.Done], 180, "of 200 for which two places have room")

		s = fake(t, timpushtest.WithLatency(20*time.Millisecond, 0), timpushtest.WithQuota(50)) // what others leave
		outcomes = callsWithDeadlines(t, client(s, timpush.WithLimiter(timpush.NewLimiter(97.5))), 120)
		assert.Less(t, outcomes[timpush.Unknown], 20)
		assert.Greater(t, outcomes[timpush.Done], 250, "of 500")
	})
}

// TestSlowerAnswersWithDeadlines: where answers come to take longer than the time that was left for them, more is left.
func TestSlowerAnswersWithDeadlines(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(20*time.Millisecond, 0))
		began := time.Now()
		s.Handle(func(timpushtest.Call) timpushtest.Fault {
			if time.Since(began) < 2*time.Second {
				return timpushtest.Fault{}
			}
			return timpushtest.Delay(100*time.Millisecond, timpushtest.Fault{})
		})
		outcomes := callsWithDeadlines(t, client(s, timpush.WithLimiter(timpush.NewLimiter(97.5))), 120)
		assert.Less(t, outcomes[timpush.Unknown], 100)
		assert.Greater(t, outcomes[timpush.Done], 850, "the quota of 10 s is 975")
	})
}

// TestSlowLimiterWithDeadlinesAfterSlowAnswers: answers that once took long do not keep all calls from being sent where the limiter takes more
// than half of their time.
func TestSlowLimiterWithDeadlinesAfterSlowAnswers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(20*time.Millisecond, 0))
		began := time.Now()
		s.Handle(func(timpushtest.Call) timpushtest.Fault {
			if time.Since(began) < 3*time.Second {
				return timpushtest.Delay(time.Second, timpushtest.Fault{})
			}
			return timpushtest.Fault{}
		})
		c := client(s, timpush.WithLimiter(limiterFunc(func(ctx context.Context) error {
			time.Sleep(250 * time.Millisecond)
			return ctx.Err()
		})))
		callsWithDeadlines(t, c, 10)
		outcomes := callsWithDeadlines(t, c, 10)
		assert.Equal(t, 100, outcomes[timpush.Done], outcomes)
	})
}

// TestSlowAnswersOfMoreCallsThanSlots: also where all requests in flight are answered at about the same time, and then none for long, the calls
// that wait for their places leave the time for an answer.
func TestSlowAnswersOfMoreCallsThanSlots(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := client(fake(t, timpushtest.WithLatency(8*time.Second, 0)), timpush.WithMaxInFlight(10))
		var done atomic.Int64
		var callers sync.WaitGroup
		for i := range 1200 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				if _, err := c.SetAttr(ctx, someUsers(1)); err == nil {
					done.Add(1)
				}
			})
		}
		callers.Wait()
		assert.Greater(t, done.Load(), int64(50), "of 80 that have places within a minute")
	})
}

// callsWithDeadlines calls for ten seconds, with 400 ms for each call, and returns how many had each outcome.
func callsWithDeadlines(t *testing.T, c *timpush.Client, perSecond int) map[timpush.Outcome]int {
	t.Helper()
	outcomes := make(chan timpush.Outcome, 10*perSecond)
	var callers sync.WaitGroup
	for i := range 10 * perSecond {
		callers.Go(func() {
			time.Sleep(time.Duration(i) * time.Second / time.Duration(perSecond))
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			defer cancel()
			users := someUsers(1)
			result, err := c.SetAttr(ctx, users)
			outcome := timpush.Done
			if err != nil {
				for u := range partial(t, users, result, err).Users() {
					outcome = u.Outcome
				}
			}
			outcomes <- outcome
		})
	}
	callers.Wait()
	close(outcomes)
	counts := map[timpush.Outcome]int{}
	for outcome := range outcomes {
		counts[outcome]++
	}
	return counts
}

// slowToConnect returns a client's own transport whose connections take a while.
func slowToConnect(t *testing.T, s *timpushtest.Server, dialing time.Duration) *http.Transport {
	t.Helper()
	base, ok := s.HTTPClient().Transport.(*http.Transport)
	require.True(t, ok)
	base = base.Clone()
	dial := base.DialContext
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		time.Sleep(dialing)
		return dial(ctx, network, address)
	}
	return timpush.OwnTransport(base, 10*time.Second)
}

// TestLimiterThatTimesOutOnce: context.DeadlineExceeded from a limiter may be a timeout of its own, which costs one attempt, also where ctx has
// a deadline.
func TestLimiterThatTimesOutOnce(t *testing.T) {
	t.Parallel()
	once := func() timpush.Limiter {
		var calls atomic.Int64
		return limiterFunc(func(context.Context) error {
			if calls.Add(1) == 3 {
				return context.DeadlineExceeded
			}
			return nil
		})
	}
	users := someUsers(1000)
	t.Run("call", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			_, err := client(fake(t), timpush.WithLimiter(once())).SetAttr(t.Context(), users)
			require.NoError(t, err)
		})
	})
	t.Run("call with a deadline", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err := client(fake(t), timpush.WithLimiter(once())).SetAttr(ctx, users)
			require.NoError(t, err)
		})
	})
	t.Run("push with a deadline", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			limiter := once()
			c := client(fake(t), timpush.WithQuota(timpush.QuotaPush, limiter))
			require.NoError(t, limiter.Wait(ctx))
			require.NoError(t, limiter.Wait(ctx))
			_, err := c.Push(ctx, timpush.Audience{Everybody: true}, hello)
			require.NoError(t, err)
		})
	})
	t.Run("stream with a quiet source", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			all := drain(t, client(fake(t), timpush.WithLimiter(once())).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) {
				for i, u := range users {
					if i == 500 {
						time.Sleep(time.Hour)
					}
					if !yield(u, nil) {
						return
					}
				}
			}))
			assert.Equal(t, 1000, all.last.Progress.Done)
		})
	})
	t.Run("Batcher", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			for _, err := range setEach(t, batcher(t, client(fake(t), timpush.WithLimiter(once()))), users) {
				require.NoError(t, err)
			}
		})
	})
}

// TestLimiterThatFindsTheDeadlineTooEarly says so twice in a row, and the call ends.
func TestLimiterThatFindsTheDeadlineTooEarly(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		asked := 0
		limiter := limiterFunc(func(context.Context) error {
			asked++
			return fmt.Errorf("the next call may start in two hours: %w", context.DeadlineExceeded)
		})
		users := someUsers(1000)
		result, err := client(fake(t), timpush.WithLimiter(limiter), timpush.WithMaxInFlight(1)).SetAttr(ctx, users)
		partial(t, users, result, err)
		assert.Equal(t, timpush.Result{NotSent: 1000}, *result)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 2, asked)
	})
}

// TestStreamWithADeadlineAndAQuietSource ends once the limiter says that there is no more time.
func TestStreamWithADeadlineAndAQuietSource(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		c := client(fake(t), timpush.WithLimiter(limiterFunc(func(context.Context) error { return context.DeadlineExceeded })))
		all := drain(t, c.SetAttrSeq(ctx, func(yield func(timpush.UserAttrs, error) bool) {
			if yield(someUsers(1)[0], nil) {
				<-ctx.Done()
			}
		}))
		assert.Equal(t, map[int64]timpush.Outcome{0: timpush.NotSent}, all.outcomes)
		assert.Less(t, time.Since(began), time.Second)
		cancel()
	})
}

// TestStrayTooManyAccounts: one code 90018 for two accounts makes only requests to that endpoint smaller, and not for long.
func TestStrayTooManyAccounts(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		s.Inject(timpushtest.ErrorCode(90018))
		_, err := c.SetAttr(t.Context(), someUsers(2))
		require.NoError(t, err)
		_, err = c.GetAttr(t.Context(), accounts(100))
		require.NoError(t, err)
		calls := s.Calls()
		assert.Len(t, calls[len(calls)-1].Accounts, 100, "another endpoint is as before")
		time.Sleep(2 * time.Minute)
		result, err := c.SetAttr(t.Context(), someUsers(100))
		require.NoError(t, err)
		assert.Equal(t, 1, result.Requests)
	})
}

func accounts(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = account(i)
	}
	return all
}

// TestCheckpointAgreesWithRemaining for each code, as that of one account and as that of the request: what is worth sending
// again is never passed.
func TestCheckpointAgreesWithRemaining(t *testing.T) {
	t.Parallel()
	codes := []int{60999}
	for _, numbers := range codesByClass(t) {
		codes = append(codes, numbers...)
	}
	for _, code := range codes {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				for i, fault := range []timpushtest.Fault{timpushtest.AccountCode(code, "user-0"), timpushtest.ErrorCode(code)} {
					s := fake(t)
					s.Handle(func(timpushtest.Call) timpushtest.Fault { return fault })
					users := []timpush.UserAttrs{userIn("user-0", "x")}
					checkpoint, remaining := int64(0), 0
					for b, err := range client(s).SetAttrSeq(t.Context(), from(users)) {
						checkpoint = b.Checkpoint()
						remaining += len(timpush.Remaining(err, b.Users))
					}
					assert.False(t, checkpoint == 1 && remaining == 1, "the checkpoint passes what is worth sending again")
					if i == 0 {
						assert.Equal(t, int64(1), checkpoint+int64(remaining), "an account's own code is for good, or worth sending again")
					}
				}
			})
		})
	}
}

// TestContradictingAnswers: an account that the answer lists with different attributes is not Done, in whatever order.
func TestContradictingAnswers(t *testing.T) {
	t.Parallel()
	a, b, none := `{"To_Account":"a","Attrs":{"city":"Rome"}}`, `{"To_Account":"a","Attrs":{"city":"Bonn"}}`, `{"To_Account":"a","Attrs":{}}`
	for _, list := range [][]string{{a, b}, {a, none}, {none, a}, {a, b, none}, {a, none, b}, {none, a, b}, {a, b, a}, {a, a, b}, {b, a, a, a}, {a, b, b, none, none}} {
		t.Run(strings.Join(list, ","), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				c := newClient(t, timpush.WithLimiter(unlimited{}), through(answering(
					`{"ActionStatus":"OK","ErrorCode":0,"UserAttrs":[`+strings.Join(list, ",")+`]}`)))
				found, err := c.GetAttr(t.Context(), []string{"a"})
				assert.Empty(t, found)
				require.ErrorIs(t, err, timpush.ErrNotAnswered)
			})
		})
	}
	t.Run("the same again", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			c := newClient(t, through(answering(`{"ActionStatus":"OK","ErrorCode":0,"UserAttrs":[`+a+`,`+a+`,`+a+`]}`)))
			found, err := c.GetAttr(t.Context(), []string{"a"})
			require.NoError(t, err)
			assert.Equal(t, map[string]timpush.Attrs{"a": {"city": "Rome"}}, found)
		})
	})
}

// TestValuesStayOutOfErrors: what a gateway or the server repeats of a request has no value in it.
func TestValuesStayOutOfErrors(t *testing.T) {
	t.Parallel()
	value := "H\"ell<o> wörld&😀"
	user := timpush.UserAttrs{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": value, "sex": "male-abc", "size": "3%2A4", "area": "3*4*5", "name": "O'Brien", "path": "C:\\a/b\n\\", "unit": `CORP\123&x`}}
	texts := []string{
		`{"UserAttrs":[{"To_Account":"xiaoming"`, value, `H\"ell<o> wörld&😀`, `H\"ell<o> w\u00f6rld&\ud83d\ude00`, `H\"ell<o> w\u00F6rld&\uD83D\uDE00`,
		`H\u0022ell\\u003co\\u003e wörld\\u0026\\ud83d\\ude00`, `H\"ell\u003co\u003e wörld\u0026😀`, "H&#34;ell&lt;o&gt; wörld&amp;😀",
		"H%22ell%3Co%3E+w%C3%B6rld%26%F0%9F%98%80", "male-abc", "3%2A4", "3*4*5",
		"H&quot;ell&lt;o&gt; w&#xf6;rld&amp;&#128512;", "H%22ell%3co%3e%20w%c3%b6rld%26%F0%9F%98%80", `H\"ell<o> w\xc3\xb6rld&\xf0\x9F\x98\x80`, "3%252A4",
		`H\"ell<o> w\303\266rld&\360\237\230\200`,
		"H&amp;quot;ell&amp;lt;o&amp;gt; wörld&amp;amp;😀", "H%2522ell%253Co%253E%2520w%25C3%25B6rld%2526%25F0%259F%2598%2580", "H%26quot%3Bell%26lt%3Bo%26gt%3B+w%C3%B6rld%26amp%3B%F0%9F%98%80",
		"C:\\a/b\n\\", `"C:\\a\/b\n\\"`, `\"C:\\\\a\\/b\\n\\\\\"`, `H\\\"ell<o> wörld&😀`, `H\"ell<o> w\u00f6rld&\U0001f600`, `O\'Brien`, "O&#039;Brien",
		`CORP\123&amp;x`, `CORP\123&x`,
		`H\"ell<o> w\u{f6}rld&\u{1f600}`, `H\"ell<o> w\x{F6}rld&\x{1F600}`, `H\"ell<o> w\xf6rld&😀`, `H\"ell<o> w%F6rld&😀`, `H""ell<o> wörld&😀`, "O''Brien",
	}
	for name, answer := range map[string]func(body string) *http.Response{
		"page": func(text string) *http.Response { return response(http.StatusBadRequest, "<p>you sent "+text+"</p>") },
		"info": func(text string) *http.Response {
			return response(http.StatusOK, fmt.Sprintf(`{"ActionStatus":"FAIL","ErrorCode":90033,"ErrorInfo":%s}`, quoted(t, "bad value "+text)))
		},
		"item": func(text string) *http.Response {
			return response(http.StatusOK, fmt.Sprintf(
				`{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"To_Account":"xiaoming","ErrorCode":90033,"ErrorInfo":%s}]}`, quoted(t, "bad value "+text)))
		},
	} {
		for _, text := range texts {
			t.Run(name+"/"+text, func(t *testing.T) {
				inFakeTime(t, func(t *testing.T) {
					c := newClient(t, timpush.WithMaxAttempts(1), through(func(*http.Request) (*http.Response, error) { return answer(text), nil }))
					_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{user})
					require.Error(t, err)
					printed := fmt.Sprintf("%v %+v %#v", err, err, err)
					for u := range partialOf(t, err).Users() {
						printed += fmt.Sprintf("%+v %#v", u.Err, u.Err)
					}
					for _, secret := range append(texts[1:], "3*4", "a/b", `a\/b`) {
						assert.NotContains(t, printed, secret)
					}
					assert.NotContains(t, printed, "you sent {", "a page that repeats the request is dropped")
					var api *timpush.APIError
					if errors.As(err, &api) && text != texts[0] {
						assert.Equal(t, "bad value REDACTED", strings.NewReplacer(`"`, "", `\`, "").Replace(api.Info), "but for marks around it")
					}
				})
			})
		}
	}
	t.Run("what is no value stays", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			c := newClient(t, through(answering(`{"ActionStatus":"FAIL","ErrorCode":90033,"ErrorInfo":"city of xiaoming is wrong"}`)))
			_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{user})
			require.ErrorContains(t, err, "city of xiaoming is wrong")
		})
	})
	t.Run("transport", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			c := newClient(t, timpush.WithMaxAttempts(1), through(func(*http.Request) (*http.Response, error) {
				return nil, fmt.Errorf("cannot send %s: %w", value, context.DeadlineExceeded)
			}))
			_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{user})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.NotContains(t, err.Error(), value)
		})
	})
}

// TestPartsOfValuesStayOutOfErrors: a server that says of a value that it is too long may show its beginning, also if another value stands in it;
// and one may write a value in several ways.
func TestPartsOfValuesStayOutOfErrors(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		user := userIn("Frankfurt-am-Main-12345", "Frankfurt am Main, Zeil 106, 4. Stock Müller")
		user.Attrs["home"] = "Zeil 10, Offenbach am Main"
		user.Attrs["name"] = "Müller"
		user.Attrs["code"], user.Attrs["work"] = "60313", "Zeil 106, 60313 Frankfurt"
		for info, want := range map[string]string{
			`value Frankfurt am Main, Ze... is too long`:           `value REDACTED... is too long`,
			`M%C3%BCller, Zeil%20106%2C%2060313%20Frankfurt`:       `REDACTED, REDACTED`,
			`wrong: ...106, 4. Stock M\\u00fcller, see the manual`: `wrong: ...REDACTED, see the manual`,
			`wrong: Frankfurt am Main, Zeil`:                       `wrong: REDACTED`,
			`value Frankfurt%20am%20Main%2C%20Z`:                   `value REDACTED`,
			`Frankfurt-am-Main-12345 does not live in Frankfurt`:   `Frankfurt-am-Main-12345 does not live in Frankfurt`,
			`value Zeil+10%2C+Offenbach+am+Main is too long`:       `value REDACTED is too long`,
			`value Zeil 106, 60313 Frank... is too long`:           `value REDACTED... is too long`,
			`wrong: M\\303\\274ller, in name=M%C3%BCller`:          `wrong: REDACTED, in name=REDACTED`,
		} {
			c := newClient(t, through(answering(fmt.Sprintf(`{"ActionStatus":"FAIL","ErrorCode":90033,"ErrorInfo":"%s"}`, info))))
			_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{user})
			var api *timpush.APIError
			require.ErrorAs(t, err, &api)
			assert.Equal(t, want, api.Info)
		}
	})
}

func quoted(t *testing.T, text string) string {
	t.Helper()
	return fmt.Sprintf("%q", text) // the texts have nothing that Go and JSON quote in different ways
}

func partialOf(t *testing.T, err error) *timpush.PartialError {
	t.Helper()
	var p *timpush.PartialError
	require.ErrorAs(t, err, &p)
	return p
}

// panicking calls f once, in the hundredth call of an interface.
type panicking struct {
	calls atomic.Int64
	f     func()
}

func (p *panicking) call() {
	if p.calls.Add(1) == 3 {
		p.f()
	}
}

func (p *panicking) Wait(context.Context) error {
	p.call()
	return nil
}

func (p *panicking) UserSig(context.Context) (string, time.Time, error) {
	p.call()
	return "sig", time.Time{}, nil
}

func (p *panicking) Observe(ctx context.Context, e timpush.Event) context.Context {
	if e.Kind == timpush.AttemptStart {
		p.call()
	}
	return ctx
}

// TestPanicOfACallback comes out of the call that needed it, wherever it happens, and leaves nothing taken or running behind.
func TestPanicOfACallback(t *testing.T) {
	t.Parallel()
	options := map[string]func(*panicking) timpush.Option{
		"Limiter":  func(p *panicking) timpush.Option { return timpush.WithLimiter(p) },
		"Signer":   func(p *panicking) timpush.Option { return timpush.WithSigner(p) },
		"Observer": func(p *panicking) timpush.Option { return timpush.WithObserver(p) },
	}
	users := someUsers(1000)
	ways := map[string]func(t *testing.T, c *timpush.Client){
		"call": func(t *testing.T, c *timpush.Client) { _, _ = c.SetAttr(t.Context(), users) },
		"stream": func(t *testing.T, c *timpush.Client) {
			for _, err := range c.SetAttrSeq(t.Context(), from(users)) {
				_ = err // to the end
			}
		},
		"Batcher": func(t *testing.T, c *timpush.Client) {
			b := timpush.NewBatcher(c, timpush.WithLinger(0))
			defer func() { assert.NoError(t, b.Close(t.Context())) }()
			for i := range users[:5] {
				_ = b.SetAttr(t.Context(), users[i])
			}
		},
	}
	for name, option := range options {
		for way, call := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inFakeTime(t, func(t *testing.T) {
					p := &panicking{f: func() { panic("callback") }}
					c := newClient(t, timpush.WithLimiter(unlimited{}), timpush.WithMaxInFlight(2), through(alwaysOK), option(p))
					assert.PanicsWithValue(t, "callback", func() { call(t, c) })
					requireUsable(t, c, users)

					p = &panicking{f: runtime.Goexit}
					c = newClient(t, timpush.WithLimiter(unlimited{}), timpush.WithMaxInFlight(2), through(alwaysOK), option(p))
					returned := true
					var caller sync.WaitGroup
					caller.Go(func() {
						returned = false
						call(t, c)
						returned = true
					})
					caller.Wait()
					assert.False(t, returned, "runtime.Goexit ends the caller's goroutine")
					requireUsable(t, c, users)
				})
			})
		}
	}
}

func requireUsable(t *testing.T, c *timpush.Client, users []timpush.UserAttrs) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := c.SetAttr(ctx, users)
	require.NoError(t, err, "all slots are free")
}

// observeFunc is an Observer that leaves the context alone.
type observeFunc func(timpush.Event)

func (f observeFunc) Observe(ctx context.Context, e timpush.Event) context.Context {
	f(e)
	return ctx
}

// TestPanicOfAnObserverLeavesNothingOpen: what another observer was told has begun ends for it too, or its span would stay open.
func TestPanicOfAnObserverLeavesNothingOpen(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		for _, kind := range []timpush.EventKind{timpush.CallStart, timpush.AttemptStart, timpush.WaitEnd, timpush.AttemptEnd, timpush.CallEnd} {
			var before, after [timpush.WaitEnd + 1]int
			c := s.Client(timpush.WithObserver(observeFunc(func(e timpush.Event) {
				before[e.Kind]++
			})), timpush.WithObserver(observeFunc(func(e timpush.Event) {
				if e.Kind == kind {
					panic("callback")
				}
			})), timpush.WithObserver(observeFunc(func(e timpush.Event) {
				after[e.Kind]++
			})))
			assert.PanicsWithValue(t, "callback", func() { _, _ = c.SetAttr(t.Context(), someUsers(1)) })
			assert.Equal(t, 1, before[timpush.CallStart])
			for _, events := range [][timpush.WaitEnd + 1]int{before, after} {
				assert.Equal(t, events[timpush.CallStart], events[timpush.CallEnd], kind)
				assert.Equal(t, events[timpush.AttemptStart], events[timpush.AttemptEnd], kind)
			}
		}
	})
}

// TestPanicInAccountTypes comes out of the call, and the names can be read by the next.
func TestPanicInAccountTypes(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		first := true
		c := client(fake(t), timpush.WithPreflight(), timpush.WithAccountTypes(func(string) timpush.AccountType {
			if first {
				first = false
				panic("callback")
			}
			return timpush.AccountTypeUserID
		}))
		assert.PanicsWithValue(t, "callback", func() { _, _ = c.SetAttr(t.Context(), someUsers(1)) })
		requireUsable(t, c, someUsers(1))
		first = true
		assert.PanicsWithValue(t, "callback", func() {
			for _, err := range c.SetAttrSeq(t.Context(), from(someUsers(1))) {
				_ = err // to the end
			}
		})
		requireUsable(t, c, someUsers(1))
	})
}

// TestOptionsThatDoNothing: an option that is nil is none, and the largest number of requests in flight can be used.
func TestOptionsThatDoNothing(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := client(fake(t), timpush.WithMaxInFlight(math.MaxInt))
		all := drain(t, c.SetAttrSeq(t.Context(), from(someUsers(300)), nil))
		assert.Equal(t, 300, all.last.Progress.Done)
		require.NoError(t, batcher(t, c, nil).SetAttr(t.Context(), userIn("a", "x")))
	})
}

// TestSignerIsAskedAgainAfterTheKeyWasChanged: a code that says that the UserSig is wrong drops it, for the next call.
func TestSignerIsAskedAgainAfterTheKeyWasChanged(t *testing.T) {
	t.Parallel()
	for code, again := range map[int]bool{
		70002: true, 70003: true, 70004: true, 70005: true, 70006: true, 70007: true, 70008: true, 70009: true, 70010: true, 70013: true,
		70014: true, 70015: true, 70019: true, 60025: true, 70018: true, 70214: true, 70236: true, 70346: true, 60010: false, 70016: false, 70020: false, 90009: false,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				_, identifier, key := s.App()
				sg := &signer{sign: func(call int) (string, time.Time, error) {
					usersig, err := tencentyun.GenUserSig(1400000000, key, identifier, 86400)
					return usersig, time.Now().Add(24 * time.Hour), err
				}}
				c := client(s, timpush.WithSigner(sg))
				_, err := c.SetAttr(t.Context(), someUsers(1))
				require.NoError(t, err)
				want := 1
				for _, fault := range []timpushtest.Fault{timpushtest.ErrorCode(code), timpushtest.AccountCode(code, someUsers(1)[0].ToAccount)} {
					s.Inject(fault)
					result, err := c.SetAttr(t.Context(), someUsers(1))
					require.ErrorIs(t, err, timpush.Code(code))
					assert.Equal(t, 1, result.Requests, "the request itself is not repeated")
					assert.Equal(t, want, sg.calls)
					_, err = c.SetAttr(t.Context(), someUsers(1))
					require.NoError(t, err)
					if again {
						want++
					}
					assert.Equal(t, want, sg.calls)
				}
			})
		})
	}
}

// TestAccountCheckIsRepeatedWithANewUserSig: after 60004 and 60005 it may be the signature that is wrong, and the request is repeated.
func TestAccountCheckIsRepeatedWithANewUserSig(t *testing.T) {
	t.Parallel()
	for _, code := range []int{60004, 60005} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				_, identifier, key := s.App()
				sg := &signer{sign: func(int) (string, time.Time, error) {
					usersig, err := tencentyun.GenUserSig(1400000000, key, identifier, 86400)
					return usersig, time.Now().Add(24 * time.Hour), err
				}}
				c := client(s, timpush.WithSigner(sg))
				_, err := c.SetAttr(t.Context(), someUsers(1))
				require.NoError(t, err)
				time.Sleep(10 * time.Second)
				s.Inject(timpushtest.ErrorCode(code))
				result, err := c.SetAttr(t.Context(), someUsers(1))
				require.NoError(t, err)
				assert.Equal(t, 2, result.Requests)
				assert.Equal(t, 2, sg.calls)
			})
		})
	}
}

// TestAccountChecksDoNotSignEachTime: where the service cannot check a part of the accounts, the rest has the whole quota.
func TestAccountChecksDoNotSignEachTime(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		_, identifier, key := s.App()
		var signed, requests atomic.Int64
		s.Handle(func(timpushtest.Call) timpushtest.Fault {
			if requests.Add(1)%4 == 0 {
				return timpushtest.ErrorCode(60004)
			}
			return timpushtest.Fault{}
		})
		c := client(s, timpush.WithLimiter(timpush.NewLimiter(97.5)), timpush.WithSigner(signerFunc(func(context.Context) (string, time.Time, error) {
			signed.Add(1)
			time.Sleep(200 * time.Millisecond)
			usersig, err := tencentyun.GenUserSig(1400000000, key, identifier, 86400)
			return usersig, time.Now().Add(24 * time.Hour), err
		})))
		began := time.Now()
		var calls sync.WaitGroup
		for range 64 {
			calls.Go(func() {
				for time.Since(began) < 20*time.Second {
					_, _ = c.SetAttr(t.Context(), someUsers(1))
				}
			})
		}
		calls.Wait()
		assert.Greater(t, requests.Load(), int64(1800), "the quota of 20 s is 1950")
		assert.LessOrEqual(t, signed.Load(), int64(4))
	})
}

// TestCallsThatWaitWhenTheKeyIsChanged have a UserSig already: a new one is made as soon as the server calls it wrong, also since
// too many wrong ones stop the client.
func TestCallsThatWaitWhenTheKeyIsChanged(t *testing.T) {
	t.Parallel()
	for life, signings := range map[time.Duration]int{24 * time.Hour: 2, 0: 11} { // 0: it is not kept; one for each attempt, and a new one
		t.Run(life.String(), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				began, refused := time.Now(), 0
				changed := func() bool { return time.Since(began) > 1500*time.Millisecond }
				sg := &signer{sign: func(int) (string, time.Time, error) {
					var expires time.Time
					if life > 0 {
						expires = time.Now().Add(life)
					}
					return fmt.Sprint("key", changed()), expires, nil
				}}
				c := newClient(t, timpush.WithSigner(sg), timpush.WithMaxInFlight(1), timpush.WithLimiter(unlimited{}), through(
					func(r *http.Request) (*http.Response, error) {
						time.Sleep(time.Second)
						if r.URL.Query().Get("usersig") == "keyfalse" && changed() {
							refused++
							return response(http.StatusOK, `{"ActionStatus":"FAIL","ErrorCode":70009}`), nil
						}
						return response(http.StatusOK, `{"ActionStatus":"OK","ErrorCode":0}`), nil
					}))
				var callers sync.WaitGroup
				for range 10 {
					callers.Go(func() { _, _ = c.SetAttr(t.Context(), someUsers(1)) })
				}
				callers.Wait()
				assert.Equal(t, 1, refused)
				assert.Equal(t, signings, sg.calls)
			})
		})
	}
}

// TestWrongClockIsNamed: with 70001 the Date of the answer tells by how much.
func TestWrongClockIsNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		off  time.Duration // of the server
		want time.Duration
		text string
	}{{-5 * time.Minute, 5 * time.Minute, "5m0s ahead of"}, {2 * time.Hour, -2 * time.Hour, "2h0m0s behind"}, {30 * time.Second, 0, ""}} {
		t.Run(test.off.String(), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				c := newClient(t, timpush.WithLimiter(unlimited{}), through(func(*http.Request) (*http.Response, error) {
					resp := response(http.StatusOK, `{"ActionStatus":"FAIL","ErrorCode":70001,"ErrorInfo":"expired"}`)
					resp.Header = http.Header{"Date": {time.Now().Add(test.off).UTC().Format(http.TimeFormat)}}
					return resp, nil
				}))
				_, err := c.SetAttr(t.Context(), someUsers(1))
				var api *timpush.APIError
				require.ErrorAs(t, err, &api)
				assert.Equal(t, test.want, api.ClockAhead)
				require.ErrorContains(t, err, test.text)
			})
		})
	}
}

// TestFullBatcherThatFailsFast refuses instead of waiting.
func TestFullBatcherThatFailsFast(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		b := batcher(t, client(s), timpush.WithMaxWaiting(1), timpush.WithFailFast(), timpush.WithLinger(0))
		var first sync.WaitGroup
		first.Go(func() { assert.NoError(t, b.SetAttr(t.Context(), userIn("a", "x"))) })
		time.Sleep(time.Millisecond)
		err := b.SetAttr(t.Context(), userIn("b", "x"))
		require.ErrorIs(t, err, timpush.ErrBatcherFull)
		var user *timpush.UserError
		require.ErrorAs(t, err, &user)
		assert.Equal(t, timpush.NotSent, user.Outcome)
		first.Wait()
		require.NoError(t, b.SetAttr(t.Context(), userIn("b", "x")))
	})
}

// TestStoppedCallIsNotCanceled: requests that wait when a code stops the call have that code as their cause. context.Canceled would say
// that the caller's context has ended.
func TestStoppedCallIsNotCanceled(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for _, opts := range [][]timpush.Option{nil, {timpush.WithMaxInFlight(1)}, {timpush.WithMaxInFlight(2)}} {
			s := fake(t, timpushtest.WithLatency(15*time.Millisecond, 0))
			c := client(s, append(opts, timpush.WithLimiter(timpush.NewLimiter(97.5)))...) // some wait for it when the first answer comes
			users := someUsers(500)
			s.Inject(timpushtest.ErrorCode(90009))
			result, err := c.SetAttr(t.Context(), users)
			for user := range partial(t, users, result, err).Users() {
				require.ErrorIs(t, user, timpush.ErrNotAdmin)
				require.NotErrorIs(t, user, context.Canceled)
				require.NotContains(t, user.Error(), "then:")
			}

			s.Inject(timpushtest.ErrorCode(90009))
			for _, err := range c.SetAttrSeq(t.Context(), from(users)) {
				require.NotErrorIs(t, err, context.Canceled)
			}

			s.Inject(timpushtest.ErrorCode(90009))
			b := timpush.NewBatcher(c)
			var wg sync.WaitGroup
			for _, user := range users {
				wg.Go(func() {
					assert.NotErrorIs(t, b.SetAttr(t.Context(), user), context.Canceled)
				})
			}
			wg.Wait()
			require.NoError(t, b.Close(t.Context()))
		}
	})
}

// TestRemainingOfEachKindOfInput.
func TestRemainingOfEachKindOfInput(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s, timpush.WithMaxAttempts(1))
		names := []timpush.UserAttrNames{{ToAccount: "user-0", Names: []string{"city"}}, {ToAccount: "user-1", Names: []string{"city"}}, {ToAccount: "user-2", Names: []string{"city"}}}
		s.Inject(timpushtest.AccountCode(91000, "user-1"))
		_, err := c.RemoveAttr(t.Context(), names)
		assert.Equal(t, names[1:2], timpush.Remaining(err, names))
		assert.Equal(t, names[1:2], timpush.Remaining(fmt.Errorf("job: %w", err), names))

		s.Inject(timpushtest.CutAfter())
		_, err = c.GetAttr(t.Context(), []string{"user-0"})
		assert.Equal(t, []string{"user-0"}, timpush.Remaining(err, []string{"user-0"}))

		users := []timpush.UserAttrs{userIn("", "x"), userIn("a", "x"), userIn("b", strings.Repeat("x", 51))}
		_, err = c.SetAttr(t.Context(), users)
		assert.Equal(t, users[1:2], timpush.Remaining(err, users))

		assert.Empty(t, timpush.Remaining(nil, users))
		assert.Empty(t, timpush.Remaining(errors.New("other"), users))
		assert.Empty(t, timpush.Remaining(c.SetAttrNames(t.Context(), nil), users), "the fault is of no item")
		assert.Panics(t, func() { timpush.Remaining(err, users[:1]) })
		s.Inject(timpushtest.CutAfter())
		_, err = c.SetAttr(t.Context(), someUsers(3))
		assert.Panics(t, func() { timpush.Remaining(err, someUsers(2)) }, "shorter than the input of the call")
		assert.Panics(t, func() { timpush.Remaining(err, someUsers(3)[:2]) }, "likewise, though the array is long enough")
		s.Inject(timpushtest.AccountCode(91000, "user-0"))
		_, err = c.SetAttr(t.Context(), someUsers(3))
		want := "timpush: Remaining: 2 items, want the input of the call, which had 3"
		assert.PanicsWithValue(t, want, func() { timpush.Remaining(err, someUsers(3)[:2]) }, "though only the first is worth sending again")
	})
}

// TestCallsThatAreNotAboutUsers have an outcome, too.
func TestCallsThatAreNotAboutUsers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault timpushtest.Fault
		want  timpush.Outcome
	}{
		"refused":  {timpushtest.ErrorCode(90033), timpush.Rejected},
		"lost":     {timpushtest.CutAfter(), timpush.Unknown},
		"fatal":    {timpushtest.ErrorCode(60020), timpush.Rejected},
		"throttle": {timpushtest.ErrorCode(60007), timpush.Rejected},
		"too long": {timpushtest.Status(413), timpush.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Handle(func(timpushtest.Call) timpushtest.Fault { return test.fault })
				err := client(s).SetAttrNames(t.Context(), []timpush.AttrName{{Index: 4, Name: "level"}})
				var call *timpush.CallError
				require.ErrorAs(t, err, &call)
				assert.Equal(t, test.want, call.Outcome)
				assert.Equal(t, "v4/timpush/set_attr_name", call.Endpoint)
				if test.want == timpush.Rejected {
					assert.Equal(t, 1, strings.Count(err.Error(), "set_attr_name"), "the endpoint is printed once: %v", err)
				}
			})
		})
	}
	t.Run("not sent", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := client(fake(t)).AttrNames(ctx)
			var call *timpush.CallError
			require.ErrorAs(t, err, &call)
			assert.Equal(t, timpush.NotSent, call.Outcome)
			require.ErrorIs(t, err, context.Canceled)
		})
	})
}

// TestTextsOfResults are for people.
func TestTextsOfResults(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s, timpush.WithMaxAttempts(1))
		assert.Equal(t, 1400000000, c.SDKAppID())
		s.Inject(timpushtest.ErrorCode(90033))
		result, err := c.SetAttr(t.Context(), someUsers(1))
		assert.Equal(t, "0 done, 1 rejected, 0 unknown, 0 not sent; 1 requests", fmt.Sprint(result))
		assert.Equal(t, 1, strings.Count(err.Error(), "v4/timpush/set_attr"), "the endpoint is printed once: %v", err)
		for b, err := range c.SetAttrSeq(t.Context(), from(someUsers(1))) {
			require.NoError(t, err)
			assert.Equal(t, "1 done, 0 rejected, 0 unknown, 0 not sent; 1 requests", fmt.Sprint(b))
		}
		require.NoError(t, userIn("a", "x").Validate())
		var input *timpush.InputErrors
		require.ErrorAs(t, userIn("", strings.Repeat("x", 51)).Validate(), &input)
		assert.Len(t, input.Faults, 2)
	})
}

// TestCodeOfTheCallBesideAList: a code that is about the whole call ends it, also if ErrorList names each account of the request.
func TestCodeOfTheCallBesideAList(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var list []string
		for _, u := range someUsers(100) {
			list = append(list, fmt.Sprintf(`{"To_Account":%q,"ErrorCode":90033,"ErrorInfo":"x"}`, u.ToAccount))
		}
		requests := 0
		c := newClient(t, timpush.WithMaxInFlight(1), through(func(r *http.Request) (*http.Response, error) {
			requests++
			return answering(`{"ActionStatus":"FAIL","ErrorCode":70009,"ErrorInfo":"x","ErrorList":[` + strings.Join(list, ",") + `]}`)(r)
		}))
		result, err := c.SetAttr(t.Context(), someUsers(300))
		require.ErrorIs(t, err, timpush.ErrUserSigMismatch)
		assert.Equal(t, 1, requests, "the others would be refused too")
		assert.Equal(t, 100, result.Rejected)
		assert.Equal(t, 200, result.NotSent)

		answer := `{"ActionStatus":"FAIL","ErrorCode":60007,"ErrorInfo":"x","ErrorList":[` + strings.Join(list, ",") + `]}`
		c = newClient(t, timpush.WithLimiter(unlimited{}), through(func(r *http.Request) (*http.Response, error) { return answering(answer)(r) }))
		_, err = c.SetAttr(t.Context(), someUsers(100))
		require.ErrorIs(t, err, timpush.ErrInvalidAttr)
		answer = okAnswer
		began := time.Now()
		_, err = c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		assert.Greater(t, time.Since(began), 50*time.Millisecond, "the throttle code counts")
	})
}

// TestNothingIsSentAfterAPanic: requests that wait for the quota are not sent.
func TestNothingIsSentAfterAPanic(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var requests atomic.Int64
		c := newClient(t, timpush.WithLimiter(timpush.NewLimiter(1)), through(func(*http.Request) (*http.Response, error) {
			requests.Add(1)
			time.Sleep(100 * time.Millisecond)
			panic("transport")
		}))
		assert.PanicsWithValue(t, "transport", func() { _, _ = c.SetAttr(t.Context(), someUsers(300)) })
		assert.EqualValues(t, 1, requests.Load())

		b := batcher(t, c)
		var panicked, notSent atomic.Int64
		var callers sync.WaitGroup
		for _, user := range someUsers(300) {
			callers.Go(func() {
				defer func() {
					if recover() != nil {
						panicked.Add(1)
					}
				}()
				var failed *timpush.UserError
				if err := b.SetAttr(t.Context(), user); errors.As(err, &failed) && failed.Outcome == timpush.NotSent {
					notSent.Add(1)
				}
			})
		}
		callers.Wait()
		assert.EqualValues(t, 2, requests.Load())
		assert.EqualValues(t, 100, panicked.Load(), "those of the request")
		assert.EqualValues(t, 200, notSent.Load())
	})
}

// TestLongestValueIsRedactedFirst, since another may be a part of it; numbers of four digits are values too.
func TestLongestValueIsRedactedFirst(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, through(answering(`{"ActionStatus":"FAIL","ErrorCode":90033,"ErrorInfo":"Rome-West-End, Rome-West, Rome, 1234"}`)))
		_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{{ToAccount: "a", Attrs: timpush.Attrs{"a": "Rome", "b": "Rome-West-End", "c": "Rome-West"}}})
		require.ErrorContains(t, err, "(server: REDACTED, REDACTED, REDACTED, 1234)")
		p := hello
		p.Extra = timpush.Extra{"Number": 1234}
		_, err = c.Push(t.Context(), timpush.Audience{Everybody: true}, p)
		require.ErrorContains(t, err, "Rome, REDACTED)")
	})
}

// TestSlowConnectionsKeepTheQuotaOfRecipients: pushes that have waited for their connections do not leave together.
func TestSlowConnectionsKeepTheQuotaOfRecipients(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		try := func(dialing time.Duration, size int, opts ...timpush.Option) {
			s := fake(t, timpushtest.WithLatency(20*time.Millisecond, 0))
			transport := slowToConnect(t, s, dialing)
			defer transport.CloseIdleConnections()
			c := client(s, append(opts, timpush.WithHTTPClient(&http.Client{Transport: transport}))...)
			began := time.Now()
			var calls sync.WaitGroup
			for range 1000 / size {
				calls.Go(func() {
					_, err := c.PushTo(t.Context(), accounts(size), hello)
					assert.NoError(t, err)
				})
			}
			calls.Wait()
			assert.Less(t, time.Since(began)-2*dialing, 2500*time.Millisecond, "%v, %d", dialing, size)
			assert.LessOrEqual(t, mostRecipients(s.Calls()), 500, "%v, %d", dialing, size)
		}
		for _, dialing := range []time.Duration{100 * time.Millisecond, time.Second} {
			for _, size := range []int{5, 100} {
				try(dialing, size, timpush.WithRecipientRate(500))
			}
			try(dialing, 5, timpush.WithQuota(timpush.QuotaRecipients, timpush.NewLimiter(487.5)))
		}
	})
}

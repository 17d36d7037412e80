package timpush_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// TestTransientFaultIsRetried: whatever happens once, all users are Done after a later attempt.
func TestTransientFaultIsRetried(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]timpushtest.Fault{
		"60007": timpushtest.ErrorCode(60007), "60011": timpushtest.ErrorCode(60011), "60018": timpushtest.ErrorCode(60018),
		"60019": timpushtest.ErrorCode(60019), "60004": timpushtest.ErrorCode(60004), "60014": timpushtest.ErrorCode(60014),
		"60008 applied": timpushtest.ErrorCodeApplied(60008), "91000": timpushtest.ErrorCode(91000), "70169": timpushtest.ErrorCode(70169),
		"70500": timpushtest.ErrorCode(70500), "70001": timpushtest.ErrorCode(70001),
		"502": timpushtest.Status(502), "502 applied": timpushtest.StatusApplied(502), "429": timpushtest.Status(429), "408": timpushtest.Status(408),
		"204": timpushtest.Answer(204, ""), "cut before": timpushtest.CutBefore(), "cut after": timpushtest.CutAfter(),
		"truncated": timpushtest.TruncateBody(20), "garbage": timpushtest.Garbage(), "endless": timpushtest.EndlessBody(),
		"hang": timpushtest.Hang(), "hang applied": timpushtest.HangApplied(),
		"one account 91000": timpushtest.AccountCode(91000, "user-1"), "one account 60007": timpushtest.AccountCode(60007, "user-1"),
		"one account 90018": timpushtest.AccountCode(90018, "user-1"), "one account 93000": timpushtest.AccountCode(93000, "user-1"),
		"FAIL with code 0": timpushtest.Answer(200, `{"ActionStatus":"FAIL","ErrorCode":0}`),
		"no status":        timpushtest.Answer(200, `{"ErrorCode":0}`),
		"no code":          timpushtest.Answer(200, `{"ActionStatus":"OK"}`),
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Inject(fault)
				users := someUsers(3)
				result, err := client(s).SetAttr(t.Context(), users)
				require.NoError(t, err)
				assert.Equal(t, timpush.Result{Done: 3, Requests: 2}, *result)
				assertStored(t, s, users...)
			})
		})
	}
}

func TestOnlyOpenAccountsAreSentAgain(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.AccountCode(91000, "user-1", "user-7"), timpushtest.AccountCode(60014, "user-7"))
		users := someUsers(10)
		_, err := client(s).SetAttr(t.Context(), users)
		require.NoError(t, err)
		calls := s.Calls()
		require.Len(t, calls, 3)
		assert.Equal(t, []string{"user-1", "user-7"}, calls[1].Accounts)
		assert.Equal(t, []string{"user-7"}, calls[2].Accounts)
	})
}

func TestUnreachableIsNotSent(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]error{
		"refused": &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")},
		"both":    errors.Join(&net.OpError{Op: "dial", Err: errors.New("IPv6")}, fmt.Errorf("then: %w", &net.OpError{Op: "dial", Err: errors.New("IPv4")})),
		"proxy":   &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("connection refused")},
		"DNS":     &net.DNSError{Err: "no such host", Name: "adminapisgp.im.qcloud.com"},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				mock := httpmock.NewMockTransport()
				mock.RegisterNoResponder(httpmock.NewErrorResponder(fault))
				users := someUsers(2)
				result, err := newClient(t, timpush.WithHTTPClient(&http.Client{Transport: mock})).SetAttr(t.Context(), users)
				p := partial(t, users, result, err)
				assert.Equal(t, timpush.Result{NotSent: 2, Requests: 4}, *result)
				require.ErrorIs(t, err, fault)
				assert.Equal(t, users, p.Remaining(users))
			})
		})
	}
}

func TestLostAnswerStaysUnknownUnlessSettled(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		then timpushtest.Fault
		want timpush.Outcome
		is   error
	}{
		"then throttled":     {timpushtest.ErrorCode(60007), timpush.Unknown, timpush.ErrRateLimited},
		"then fatal":         {timpushtest.ErrorCode(60020), timpush.Unknown, timpush.ErrUnavailable},
		"then undocumented":  {timpushtest.ErrorCode(60999), timpush.Unknown, timpush.Code(60999)},
		"then no room":       {timpushtest.AccountCode(70398, "user-0"), timpush.Unknown, timpush.ErrTooManyAccountsInApp},
		"then its own fault": {timpushtest.AccountCode(90035, "user-0"), timpush.Rejected, timpush.ErrAccountType},
		"then the data's":    {timpushtest.ErrorCode(90033), timpush.Rejected, timpush.ErrInvalidAttr},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Inject(timpushtest.CutAfter())
				s.Handle(func(timpushtest.Call) timpushtest.Fault { return test.then })
				users := someUsers(1)
				result, err := client(s).SetAttr(t.Context(), users)
				p := partial(t, users, result, err)
				assert.Equal(t, test.want, outcomes(p)["user-0"])
				require.ErrorIs(t, err, test.is)
				var lost *url.Error
				assert.Equal(t, test.want == timpush.Unknown, errors.As(err, &lost), "the reason of Unknown is kept: %v", err)
			})
		})
	}
}

func TestFatalCodeStopsTheCall(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(100*time.Millisecond, 0))
		s.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(90009) })
		users := someUsers(10000)
		result, err := client(s, timpush.WithMaxInFlight(4)).SetAttr(t.Context(), users)
		p := partial(t, users, result, err)
		assert.LessOrEqual(t, result.Requests, 4)
		assert.Equal(t, 100*result.Requests, result.Rejected)
		assert.Equal(t, 10000-result.Rejected, result.NotSent)
		for u := range p.Users() {
			require.ErrorIs(t, u, timpush.ErrNotAdmin)
			require.NotErrorIs(t, u, context.Canceled)
		}
		assert.Len(t, p.Remaining(users), result.NotSent)
		_, err = client(s).SetAttr(t.Context(), users[:1])
		require.ErrorIs(t, err, timpush.ErrNotAdmin, "the next call tries again")
	})
}

func TestThreeUnknownCodesInARowStopTheCall(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		strange := timpushtest.ErrorCode(60999)
		s.Inject(strange, strange, timpushtest.Fault{}, strange, strange, strange)
		users := someUsers(1000)
		result, err := client(s, timpush.WithMaxInFlight(1)).SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Equal(t, timpush.Result{Done: 100, Rejected: 500, NotSent: 400, Requests: 6}, *result)
	})
}

func TestCooldownLastsAMinute(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s, waits := fake(t), 0
		c := client(s, timpush.WithLimiter(limiterFunc(func(context.Context) error {
			waits++
			return nil
		})))
		s.Inject(timpushtest.ErrorCode(70050))
		users := someUsers(1)
		result, err := c.SetAttr(t.Context(), users)
		assert.Equal(t, timpush.Result{Rejected: 1, Requests: 1}, *result)
		require.ErrorIs(t, err, timpush.ErrTooManyBadUserSigs)
		time.Sleep(59 * time.Second)
		began := time.Now()
		result, err = c.SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Zero(t, time.Since(began), "there is nothing to wait for")
		assert.Equal(t, timpush.Result{NotSent: 1}, *result)
		require.ErrorIs(t, err, timpush.ErrTooManyBadUserSigs)
		assert.Equal(t, 1, waits, "the limiter may be shared, and what it lets through would be lost")
		time.Sleep(2 * time.Second)
		_, err = c.SetAttr(t.Context(), users)
		require.NoError(t, err)
	})
}

// TestCooldownWhileManyWait: those that wait for a slow limiter, or for a slot before it, end when a cooldown begins: none takes a token
// of the limiter, one after the other.
func TestCooldownWhileManyWait(t *testing.T) {
	t.Parallel()
	for name, inFlight := range map[string]int{"for the limiter": 20, "for a slot": 2} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Inject(timpushtest.ErrorCode(70050))
				c := s.Client(timpush.WithLimiter(timpush.NewLimiter(1)), timpush.WithMaxInFlight(inFlight))
				began := time.Now()
				var callers sync.WaitGroup
				for range 20 {
					callers.Go(func() {
						_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
						assert.ErrorIs(t, err, timpush.ErrTooManyBadUserSigs)
					})
				}
				callers.Wait()
				assert.Less(t, time.Since(began), time.Second)
				assert.Len(t, s.Calls(), 1)
			})
		})
	}
}

func TestTooManyAccountsHalvesAndRemembers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithMaxUsers(30))
		c := client(s, timpush.WithMaxInFlight(1))
		users := someUsers(200)
		result, err := c.SetAttr(t.Context(), users)
		require.NoError(t, err)
		assertStored(t, s, users...)
		assert.Equal(t, 10, result.Requests, "100 and 50 were refused once each, then 8 of 25 went")
		before := len(s.Calls())
		result, err = c.SetAttr(t.Context(), users)
		require.NoError(t, err)
		assert.Equal(t, 8, result.Requests)
		assert.Equal(t, slices.Repeat([]int{25}, 8), sizes(s.Calls()[before:]))
	})
}

func TestRequestSizeRecovers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		users := someUsers(100)
		s.Inject(timpushtest.ErrorCode(90018), timpushtest.Status(413))
		result, err := c.SetAttr(t.Context(), users)
		require.NoError(t, err)
		assert.Equal(t, 6, result.Requests)
		time.Sleep(9 * time.Second)
		result, err = c.SetAttr(t.Context(), users)
		require.NoError(t, err)
		assert.Greater(t, result.Requests, 1)
		time.Sleep(2 * time.Minute)
		result, err = c.SetAttr(t.Context(), users)
		require.NoError(t, err)
		assert.Equal(t, 1, result.Requests)
	})
}

// TestSizeCodeOfOneAccountDoesNotLimitRequests: a code for three accounts says nothing about how many a request may have.
func TestSizeCodeOfOneAccountDoesNotLimitRequests(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		s.Inject(timpushtest.AccountCode(90018, "user-1", "user-2", "user-3"), timpushtest.AccountCode(93000, "user-1"))
		result, err := c.SetAttr(t.Context(), someUsers(100))
		require.NoError(t, err)
		assert.Equal(t, 3, result.Requests)
		result, err = c.SetAttr(t.Context(), someUsers(100))
		require.NoError(t, err)
		assert.Equal(t, 1, result.Requests)
	})
}

func TestTooLongABodyIsHalvedAndRemembered(t *testing.T) {
	t.Parallel()
	for _, fault := range []timpushtest.Fault{
		timpushtest.ErrorCode(93000), timpushtest.ErrorCode(90056), timpushtest.ErrorCode(80002), timpushtest.Status(413),
	} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Handle(func(c timpushtest.Call) timpushtest.Fault {
					if len(c.Body) > 2000 {
						return fault
					}
					return timpushtest.Fault{}
				})
				c := client(s)
				long, short := someUsers(100), someUsers(100)
				for i := range long {
					long[i].Attrs["sex"] = strings.Repeat("x", 50)
				}
				result, err := c.SetAttr(t.Context(), long)
				require.NoError(t, err)
				assert.Greater(t, result.Requests, 6)
				result, err = c.SetAttr(t.Context(), long)
				require.NoError(t, err)
				assert.Equal(t, 8, result.Requests, "12.5 users of 118 bytes fit; no call is wasted")
				_, err = c.SetAttr(t.Context(), short[:20])
				require.NoError(t, err)
				time.Sleep(10 * time.Minute)
				s.Handle(nil)
				result, err = c.SetAttr(t.Context(), long)
				require.NoError(t, err)
				assert.Equal(t, 1, result.Requests, "the limit is gone")
			})
		})
	}
}

// TestOneAccountCannotBeHalved: it is sent although the server has refused a smaller request.
func TestOneAccountCannotBeHalved(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		s.Inject(timpushtest.ErrorCode(93000))
		result, err := c.SetAttr(t.Context(), someUsers(2))
		require.NoError(t, err)
		assert.Equal(t, 3, result.Requests)
		long := userIn(strings.Repeat("x", 200), "Rome")
		result, err = c.SetAttr(t.Context(), []timpush.UserAttrs{long})
		require.NoError(t, err)
		assert.Equal(t, 1, result.Requests)
		result, err = c.SetAttr(t.Context(), []timpush.UserAttrs{long, userIn("mary", "Rome")})
		require.NoError(t, err)
		assert.Equal(t, 2, result.Requests)
	})
}

func TestAccountsRefusedForTheirDataAreIsolated(t *testing.T) {
	t.Parallel()
	for _, code := range []int{90001, 90033, 60003, 70107, 70402} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Poison(code, "user-17")
				users := someUsers(100)
				result, err := client(s).SetAttr(t.Context(), users)
				p := partial(t, users, result, err)
				assert.Equal(t, map[string]timpush.Outcome{"user-17": timpush.Rejected}, outcomes(p))
				assert.LessOrEqual(t, result.Requests, 15)
				require.ErrorIs(t, err, timpush.Code(code))
				assert.Nil(t, s.Attrs("user-17"))
				assertStored(t, s, slices.Delete(users, 17, 18)...)
			})
		})
	}
}

func TestIsolationIsBounded(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users := someUsers(5000)
		for i := range users {
			s.Poison(90033, users[i].ToAccount)
		}
		result, err := client(s, timpush.WithMaxInFlight(1)).SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Equal(t, 199+49*2, result.Requests, "each account of the first request alone, then one of each request")
		assert.Equal(t, 5000, result.Rejected)
	})
}

func TestBadAccountsFirstDoNotRejectTheOthers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users := someUsers(1000)
		for i := range users {
			if i < 100 || i%100 == 50 {
				s.Poison(90033, users[i].ToAccount)
			}
		}
		for { // the one of 100 that is tried first may be the bad one
			result, err := client(s, timpush.WithMaxInFlight(1)).SetAttr(t.Context(), users)
			partial(t, users, result, err)
			if result.Done == 891 {
				break
			}
			require.Zero(t, (891-result.Done)%99)
			require.GreaterOrEqual(t, result.Done, 891-3*99)
		}
	})
}

func TestLostAnswerStaysUnknownBehindBadAccounts(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users := someUsers(200)
		for i := range 100 {
			s.Poison(90033, users[i].ToAccount)
		}
		lost := false
		s.Handle(func(c timpushtest.Call) timpushtest.Fault {
			switch {
			case c.Accounts[0] == "user-100" && !lost:
				lost = true
				return timpushtest.CutAfter()
			case lost:
				return timpushtest.ErrorCode(90001)
			}
			return timpushtest.Fault{}
		})
		result, err := client(s, timpush.WithMaxInFlight(1)).SetAttr(t.Context(), users)
		p := partial(t, users, result, err)
		assert.Equal(t, 99, result.Unknown, "all but the one that was refused alone")
		for account, outcome := range outcomes(p) {
			if outcome == timpush.Unknown {
				assert.NotNil(t, s.Attrs(account))
			}
		}
	})
}

func TestAGoodAccountAmongBadOnesIsFound(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users := someUsers(100)
		for i := range users[:99] {
			s.Poison(90033, users[i].ToAccount)
		}
		result, err := client(s).SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Equal(t, 1, result.Done)
		assertStored(t, s, users[99])
	})
}

func TestFailWithAnErrorListSettlesTheNamedAndFindsTheRest(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.Answer(200, `{"ActionStatus":"FAIL","ErrorCode":90033,"ErrorList":[{"To_Account":"user-2","ErrorCode":90035}]}`))
		users := someUsers(4)
		result, err := client(s).SetAttr(t.Context(), users)
		p := partial(t, users, result, err)
		assert.Equal(t, timpush.Result{Done: 3, Rejected: 1, Requests: 2}, *result, "the rest is sent again as a whole")
		require.ErrorIs(t, err, timpush.ErrAccountType)
		assert.Equal(t, map[string]timpush.Outcome{"user-2": timpush.Rejected}, outcomes(p))
	})
}

func TestErrorListThatNamesAllOverridesTheCodeOfTheRequest(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithVariant(timpushtest.Variant{FailWhenAllFail: true}))
		users := someUsers(300)
		for _, u := range users[:100] {
			s.Refuse(70051, u.ToAccount) // fatal for a request, data for an account
		}
		result, err := client(s, timpush.WithMaxInFlight(1)).SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Equal(t, timpush.Result{Done: 200, Rejected: 100, Requests: 3}, *result)
	})
}

func TestThrottleSlowsEveryCallerAndPasses(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		users := someUsers(1)
		for range 50 { // so that there is a rate to slow down from
			_, err := c.SetAttr(t.Context(), users)
			require.NoError(t, err)
			time.Sleep(20 * time.Millisecond)
		}
		s.Inject(timpushtest.ErrorCode(60007))
		began := time.Now()
		var callers sync.WaitGroup
		for k := range 10 {
			callers.Go(func() {
				time.Sleep(time.Duration(k+1) * time.Millisecond) // after the throttled one
				_, err := c.SetAttr(t.Context(), users)
				assert.NoError(t, err)
				assert.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond, "no call starts for 0.1 s")
			})
		}
		_, err := c.SetAttr(t.Context(), users)
		require.NoError(t, err)
		callers.Wait()
		assert.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond+9*20*time.Millisecond, "then calls start more slowly than before")

		for time.Since(began) < time.Minute {
			_, err := c.SetAttr(t.Context(), users)
			require.NoError(t, err)
			time.Sleep(100 * time.Millisecond)
		}
		before := len(s.Calls())
		for range 200 {
			_, err := c.SetAttr(t.Context(), users)
			require.NoError(t, err)
		}
		assert.Less(t, time.Since(began), time.Minute+time.Second, "then at full speed again")
		assert.Len(t, s.Calls(), before+200)
	})
}

func TestOneThrottleCostsLittle(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithQuota(timpush.DefaultQPS), timpushtest.WithLatency(20*time.Millisecond, 0))
		s.Inject(timpushtest.ErrorCode(60007))
		began := time.Now()
		callAtOnce(t, s.Client(), 200)
		assert.Less(t, time.Since(began), 5*time.Second, "it takes 2 s without the code")
	})
}

// TestGatewayThatThrottles: its status slows the client down as a code does, each time.
func TestGatewayThatThrottles(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.Status(429), timpushtest.Status(429))
		began := time.Now()
		_, err := client(s).SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		assert.Equal(t, 1100*time.Millisecond, time.Since(began).Round(100*time.Millisecond), "0.1 s and then 1 s")
	})
}

// TestCallersThatGiveUpDoNotDelayOthers: after a throttle, short calls end before they are sent, and others still get through.
func TestCallersThatGiveUpDoNotDelayOthers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		s.Inject(timpushtest.ErrorCode(60007))
		var callers sync.WaitGroup
		began := time.Now()
		for range 50 {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				_, _ = c.SetAttr(ctx, someUsers(1))
			})
			time.Sleep(100 * time.Millisecond)
		}
		callers.Wait()
		seconds := map[int]int{}
		for _, call := range s.Calls() {
			seconds[int(call.Time.Sub(began)/time.Second)]++
		}
		for second := 1; second < 5; second++ {
			assert.Greater(t, seconds[second], 3, "in second %d", second)
		}
	})
}

func TestPauseGrowsWhileThrottlesGoOn(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(60007) })
		_, err := client(s, timpush.WithMaxAttempts(8)).SetAttr(t.Context(), someUsers(1))
		require.ErrorIs(t, err, timpush.ErrRateLimited)
		var pauses []time.Duration
		calls := s.Calls()
		for i := range calls[1:] {
			pauses = append(pauses, calls[i+1].Time.Sub(calls[i].Time).Round(100*time.Millisecond))
		}
		assert.Equal(t, []time.Duration{1e8, 1e9, 2e9, 4e9, 8e9, 16e9, 16e9}, pauses)
	})
}

func TestBackoffIsJitteredAndCapped(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(91000) })
		bounds := map[int]time.Duration{}
		different := map[time.Duration]bool{}
		for range 50 {
			before := len(s.Calls())
			_, err := client(s, timpush.WithMaxAttempts(12)).SetAttr(t.Context(), someUsers(1))
			require.ErrorIs(t, err, timpush.ErrInternal)
			calls := s.Calls()[before:]
			for i := range calls[1:] {
				pause := calls[i+1].Time.Sub(calls[i].Time)
				bounds[i] = max(bounds[i], pause)
				different[pause] = true
			}
		}
		for i := range 11 {
			bound := min(20*time.Second, 200*time.Millisecond<<i)
			assert.LessOrEqual(t, bounds[i], bound)
			assert.Greater(t, bounds[i], bound/2, "the whole range is used")
		}
		assert.Greater(t, len(different), 500)
	})
}

func TestContextThatEnds(t *testing.T) {
	t.Parallel()
	stop := errors.New("stopped by the operator")
	for name, test := range map[string]struct {
		fault timpushtest.Fault
		want  timpush.Outcome
		is    error
	}{
		"in flight":        {timpushtest.Hang(), timpush.Unknown, nil},
		"before the retry": {timpushtest.ErrorCode(91000), timpush.Unknown, timpush.ErrInternal},
		"in the throttle":  {timpushtest.ErrorCode(60007), timpush.Rejected, timpush.ErrRateLimited},
		"after a refusal":  {timpushtest.ErrorCode(60014), timpush.Rejected, timpush.ErrAccountCheckTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Handle(func(timpushtest.Call) timpushtest.Fault { return test.fault })
				ctx, cancel := context.WithCancelCause(t.Context())
				began := time.Now()
				time.AfterFunc(time.Second/2, func() { cancel(stop) })
				users := someUsers(500)
				c := client(s, timpush.WithMaxInFlight(1), timpush.WithMaxAttempts(1000))
				result, err := c.SetAttr(ctx, users)
				p := partial(t, users, result, err)
				assert.Equal(t, time.Second/2, time.Since(began))
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, err, stop)
				if test.is != nil {
					require.ErrorIs(t, err, test.is, "the last failure before it is kept")
				}
				assert.Equal(t, test.want, outcomes(p)["user-0"])
				assert.Equal(t, timpush.NotSent, outcomes(p)["user-499"])
				assert.Positive(t, result.NotSent)
				for u := range p.Users() {
					require.ErrorIs(t, u, context.Canceled)
				}
			})
		})
	}
}

func TestContextThatHasEndedSendsNothing(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		users := someUsers(3)
		result, err := client(s).SetAttr(ctx, users)
		partial(t, users, result, err)
		assert.Equal(t, timpush.Result{NotSent: 3}, *result)
		assert.Empty(t, s.Calls())
		_, err = client(s).SetAttr(ctx, []timpush.UserAttrs{{}})
		var fault *timpush.InputError
		require.ErrorAs(t, err, &fault, "validation comes first")
	})
}

func TestContextEndsTheWaitForASlot(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(5*time.Second, 0))
		c := client(s, timpush.WithMaxInFlight(1))
		go func() { _, _ = c.SetAttr(t.Context(), someUsers(1)) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		result, err := c.SetAttr(ctx, someUsers(1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, timpush.Result{NotSent: 1}, *result)
		time.Sleep(10 * time.Second)
	})
}

// TestStoppedCallEndsAllWaits: the limiter here lets no other request through.
func TestStoppedCallEndsAllWaits(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(context.Context, *timpush.Client) error{
		"SetAttr": func(ctx context.Context, c *timpush.Client) error {
			_, err := c.SetAttr(ctx, someUsers(300))
			return err
		},
		"SetAttrSeq": func(ctx context.Context, c *timpush.Client) (last error) {
			for _, err := range c.SetAttrSeq(ctx, from(someUsers(300))) {
				last = err
			}
			return last
		},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t, timpushtest.WithLatency(time.Second, 0))
				s.Inject(timpushtest.ErrorCode(90009))
				var first sync.Once
				began := time.Now()
				err := set(t.Context(), client(s, timpush.WithLimiter(limiterFunc(func(ctx context.Context) error {
					wait := true
					if first.Do(func() { wait = false }); wait {
						<-ctx.Done()
					}
					return ctx.Err()
				}))))
				require.ErrorIs(t, err, timpush.ErrNotAdmin)
				assert.Equal(t, time.Second, time.Since(began))
			})
		})
	}
}

func TestRequestsInFlightFinishWhenTheCallStops(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.Delay(time.Second, timpushtest.Fault{}), timpushtest.Delay(time.Second/2, timpushtest.ErrorCode(90009)))
		users := someUsers(300)
		result, err := client(s, timpush.WithMaxInFlight(2)).SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Equal(t, timpush.Result{Done: 100, Rejected: 100, NotSent: 100, Requests: 2}, *result)
	})
}

// TestUserWithATransientFailureRemains, although a code of another request stopped the call.
func TestUserWithATransientFailureRemains(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]timpushtest.Fault{"code": timpushtest.ErrorCode(60014), "gateway": timpushtest.Status(429)} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Handle(func(c timpushtest.Call) timpushtest.Fault {
					if c.Accounts[0] == "user-0" {
						return fault
					}
					return timpushtest.Delay(100*time.Millisecond, timpushtest.ErrorCode(60020))
				})
				users := someUsers(200)
				result, err := client(s, timpush.WithMaxAttempts(1000)).SetAttr(t.Context(), users)
				p := partial(t, users, result, err)
				assert.Equal(t, 200, result.Rejected)
				assert.Equal(t, users[:100], p.Remaining(users))
				for u := range p.Users() {
					require.ErrorIs(t, u, timpush.ErrUnavailable)
				}
			})
		})
	}
}

// TestHalfThatIsNotSentAnyMoreRemains: the call ends before it has sent the other half of a request that was too large, or whose account
// at fault was to be found.
func TestHalfThatIsNotSentAnyMoreRemains(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]timpushtest.Fault{
		"too many": timpushtest.ErrorCode(90018), "too large for a gateway": timpushtest.Status(413),
		"an account at fault": timpushtest.ErrorCode(90033), "malformed": timpushtest.ErrorCode(90001),
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Inject(fault, timpushtest.Hang())
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				users := someUsers(100)
				result, err := client(s).SetAttr(ctx, users)
				p := partial(t, users, result, err)
				assert.Equal(t, 50, result.Rejected)
				assert.Len(t, p.Remaining(users), 100)
			})
		})
	}
}

func TestFailureBeforeTheEndIsNotForgotten(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.Hang())
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := client(s).SetAttr(ctx, someUsers(1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, timpush.ErrInternal)
	})
}

func TestSlotsAreReleasedAfterAPanic(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		first := true
		c := client(s, timpush.WithMaxInFlight(1), timpush.WithLimiter(limiterFunc(func(context.Context) error {
			if first {
				first = false
				panic("limiter")
			}
			return nil
		})))
		assert.Panics(t, func() { _, _ = c.SetAttr(t.Context(), someUsers(1)) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.SetAttr(ctx, someUsers(1))
		require.NoError(t, err)
	})
}

// TestManyUnexpectedAccountsMakeAShortError and a bounded number of requests.
func TestManyUnexpectedAccountsMakeAShortError(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var list strings.Builder
		for i := range 900 {
			fmt.Fprintf(&list, `,{"To_Account":"other-%d","ErrorCode":90035}`, i)
		}
		answer := `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[` + list.String()[1:] + `]}`
		c := newClient(t, timpush.WithLimiter(unlimited{}), timpush.WithMaxInFlight(1), through(func(*http.Request) (*http.Response, error) {
			return response(http.StatusOK, answer), nil
		}))
		users := someUsers(1000)
		result, err := c.SetAttr(t.Context(), users)
		p := partial(t, users, result, err)
		assert.Equal(t, 1000, result.Unknown)
		assert.Equal(t, 199+9*2, result.Requests)
		for u := range p.Users() {
			require.Less(t, len(u.Error()), 2000)
			break
		}
	})
}

func TestLimiterThatKnowsTheDeadline(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		type embedded struct{ *rate.Limiter }
		for _, l := range []timpush.Limiter{rate.NewLimiter(1, 1), embedded{rate.NewLimiter(1, 1)}} {
			s := fake(t)
			c := client(s, timpush.WithLimiter(l))
			ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
			defer cancel()
			users := someUsers(1000)
			began := time.Now()
			result, err := c.SetAttr(ctx, users)
			partial(t, users, result, err)
			assert.Equal(t, 3, result.Requests)
			assert.Equal(t, 700, result.NotSent)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, 2*time.Second, time.Since(began).Round(10*time.Millisecond), "the limiter says so at once")
		}
	})
}

func TestLimiterThatKnowsTheDeadlineOfTheOnlyRequest(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		l := rate.NewLimiter(0.1, 1)
		require.True(t, l.Allow())
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := client(fake(t), timpush.WithLimiter(l)).SetAttr(ctx, someUsers(1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Zero(t, time.Since(began), "there is no time for another attempt")
	})
}

func TestLimiterThatFailsForAWhile(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		failures := 2
		c := client(s, timpush.WithLimiter(limiterFunc(func(context.Context) error {
			if failures--; failures >= 0 {
				return errors.New("no connection to the limiter")
			}
			return nil
		})))
		result, err := c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		assert.Equal(t, 1, result.Requests)
	})
}

func TestLimiterThatFailsForGood(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		down := errors.New("no connection to the limiter")
		c := client(s, timpush.WithLimiter(limiterFunc(func(context.Context) error { return down })))
		users := someUsers(1)
		result, err := c.SetAttr(t.Context(), users)
		partial(t, users, result, err)
		require.ErrorIs(t, err, down)
		assert.Equal(t, timpush.Result{NotSent: 1}, *result)
	})
}

func TestLimiterOfTwoClients(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithQuota(timpush.DefaultQPS))
		shared := timpush.WithLimiter(rate.NewLimiter(97.5, 1))
		began := time.Now()
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() {
				callAtOnce(t, s.Client(shared), 78)
			})
		}
		calls.Wait()
		assert.Len(t, s.Calls(), 2*78, "none was refused")
		assert.InDelta(t, 1.6, time.Since(began).Seconds(), 0.1)
	})
}

type limiterFunc func(context.Context) error

func (f limiterFunc) Wait(ctx context.Context) error { return f(ctx) }

// TestAnswers: the outcomes after an answer to a request for "a" and "B".
func TestAnswers(t *testing.T) {
	t.Parallel()
	const done, rejected, unknown = timpush.Done, timpush.Rejected, timpush.Unknown
	for name, test := range map[string]struct {
		answer string
		a, b   timpush.Outcome
		is     error
	}{
		"documented":               {`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`, done, done, nil},
		"no ErrorInfo":             {`{"ActionStatus":"OK","ErrorCode":0}`, done, done, nil},
		"ErrorInfo on success":     {`{"ActionStatus":"OK","ErrorInfo":"fine","ErrorCode":0}`, done, done, nil},
		"ErrorInfo a number":       {`{"ActionStatus":"OK","ErrorInfo":1,"ErrorCode":0}`, done, done, nil},
		"ErrorInfo an object":      {`{"ActionStatus":"OK","ErrorInfo":{"a":[1]},"ErrorCode":0}`, done, done, nil},
		"ErrorInfo not UTF-8":      {"{\"ActionStatus\":\"OK\",\"ErrorInfo\":\"\xb2\xbb\",\"ErrorCode\":0}", done, done, nil},
		"quoted code":              {`{"ActionStatus":"OK","ErrorCode":"0"}`, done, done, nil},
		"status in lower case":     {`{"ActionStatus":"ok","ErrorCode":0}`, done, done, nil},
		"unknown fields":           {`{"ActionStatus":"OK","ErrorCode":0,"RequestId":"x","More":{"a":[null]}}`, done, done, nil},
		"ErrorList null":           {`{"ActionStatus":"OK","ErrorCode":0,"ErrorList":null}`, done, done, nil},
		"ErrorList empty":          {`{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[]}`, done, done, nil},
		"white space":              {" \n{\"ActionStatus\" : \"OK\", \"ErrorCode\" : 0}\n", done, done, nil},
		"listed":                   {`{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":90035,"To_Account":"a"}]}`, rejected, done, timpush.ErrAccountType},
		"listed with info":         {`{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":90035,"To_Account":"a","ErrorInfo":"wrong type"}]}`, rejected, done, timpush.ErrAccountType},
		"listed, quoted code":      {`{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":"90035","To_Account":"a"}]}`, rejected, done, timpush.ErrAccountType},
		"other account on failure": {`{"ActionStatus":"FAIL","ErrorCode":90009,"ErrorList":[{"ErrorCode":70107,"To_Account":"x"}]}`, rejected, rejected, timpush.ErrNoSuchAccount},
		"Fail with code 0":         {`{"ActionStatus":"Fail","ErrorCode":"0"}`, unknown, unknown, nil},
		"fail in lower case":       {`{"ActionStatus":"fail","ErrorCode":90009}`, rejected, rejected, timpush.ErrNotAdmin},
		"no status, a code":        {`{"ErrorCode":90009}`, rejected, rejected, timpush.ErrNotAdmin},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				c := newClient(t, timpush.WithLimiter(unlimited{}), through(func(*http.Request) (*http.Response, error) {
					return response(http.StatusOK, test.answer), nil
				}))
				users := []timpush.UserAttrs{userIn("a", "x"), userIn("B", "y")}
				result, err := c.SetAttr(t.Context(), users)
				requireSum(t, users, result, err)
				got := map[string]timpush.Outcome{}
				var p *timpush.PartialError
				if errors.As(err, &p) {
					got = outcomes(p)
				}
				of := func(account string) timpush.Outcome {
					if o, failed := got[account]; failed {
						return o
					}
					return done
				}
				assert.Equal(t, test.a, of("a"), "a: %v", err)
				assert.Equal(t, test.b, of("B"), "B: %v", err)
				switch {
				case test.is != nil:
					require.ErrorIs(t, err, test.is)
				case err != nil:
					var page *timpush.HTTPError
					require.ErrorAs(t, err, &page, "a malformed answer")
					assert.Equal(t, 200, page.StatusCode)
				}
			})
		})
	}
}

// TestSameTextIsNotTheSameAnswer: a body that has meant success once means it only with the same status, on the same endpoint
// and as a whole.
func TestSameTextIsNotTheSameAnswer(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s, timpush.WithMaxAttempts(1))
		users := someUsers(1)
		for range 2 {
			s.Inject(timpushtest.Answer(200, okAnswer))
			_, err := c.SetAttr(t.Context(), users)
			require.NoError(t, err)
		}
		for _, fault := range []timpushtest.Fault{
			timpushtest.Answer(502, okAnswer), timpushtest.Answer(204, okAnswer), timpushtest.Answer(200, okAnswer[:len(okAnswer)-1]),
			timpushtest.Answer(200, strings.Replace(okAnswer, "OK", "NO", 1)), timpushtest.Answer(200, strings.Replace(okAnswer, ":0", ":1", 1)),
		} {
			s.Inject(fault)
			_, err := c.SetAttr(t.Context(), users)
			require.Error(t, err)
		}
		s.Inject(timpushtest.Answer(200, okAnswer))
		_, err := c.GetAttr(t.Context(), []string{"a"})
		require.ErrorIs(t, err, timpush.ErrNotAnswered)
		s.Inject(timpushtest.Answer(200, okAnswer))
		_, err = c.RemoveAttr(t.Context(), []timpush.UserAttrNames{{ToAccount: "a", Names: []string{"city"}}})
		require.NoError(t, err)
	})
}

func TestUnexpectedAccountIsNarrowedDownAndReported(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, timpush.WithLimiter(unlimited{}), through(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			answer := okAnswer
			if strings.Contains(string(body), `" user-5"`) { // a server that trims names
				answer = `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"To_Account":"user-5","ErrorCode":90035}]}`
			}
			return response(http.StatusOK, answer), err
		}))
		users := someUsers(8)
		users[5].ToAccount = " user-5"
		result, err := c.SetAttr(t.Context(), users)
		p := partial(t, users, result, err)
		assert.Equal(t, map[string]timpush.Outcome{" user-5": timpush.Unknown}, outcomes(p))
		require.ErrorIs(t, err, timpush.ErrAccountType)
		assert.ErrorContains(t, err, `"user-5", which was not in the request`)
		var ours, unexpected *timpush.UserError
		require.ErrorAs(t, err, &ours)
		require.ErrorAs(t, ours.Err, &unexpected)
		assert.Equal(t, -1, unexpected.Index)
	})
}

func TestTransportsMadeForTests(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for name, f := range map[string]roundTripper{
			"no body":   func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 200}, nil },
			"no answer": func(*http.Request) (*http.Response, error) { return nil, nil }, //nolint:nilnil // that is the test
		} {
			users := someUsers(1)
			result, err := newClient(t, through(f)).SetAttr(t.Context(), users)
			partial(t, users, result, err)
			assert.Equal(t, 1, result.Unknown, name)
		}
	})
}

func TestEachAttemptHasItsOwnTimeout(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		began := time.Now()
		patience := 5 * time.Second
		ends := map[string]time.Duration{}
		var mu sync.Mutex
		c := newClient(t, timpush.WithLimiter(unlimited{}), timpush.WithMaxAttempts(1), timpush.WithAttemptTimeout(5*time.Second),
			through(func(r *http.Request) (*http.Response, error) { // which reports only that its context has ended
				end, ok := r.Context().Deadline()
				assert.True(t, ok)
				assert.Equal(t, patience, time.Until(end))
				body, _ := io.ReadAll(r.Body)
				if bytes.Contains(body, []byte("user-1")) {
					r.Body = io.NopCloser(bytes.NewReader(body))
					return alwaysOK(r)
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			}))
		var calls sync.WaitGroup
		for i := range 4 {
			calls.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{userIn(account(i), "x")})
				if i == 1 {
					assert.NoError(t, err)
				} else {
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					assert.NotErrorIs(t, err, context.Canceled)
				}
				mu.Lock()
				defer mu.Unlock()
				ends[account(i)] = time.Since(began)
			})
		}
		calls.Wait()
		assert.Equal(t, map[string]time.Duration{
			"user-0": 5 * time.Second, "user-1": time.Second, "user-2": 7 * time.Second, "user-3": 8 * time.Second,
		}, ends)
		patience = 3 * time.Second // until the deadline of the call
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := c.SetAttr(ctx, someUsers(1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// A second attempt that comes too late for the deadline does not tell how the first ended.
func TestLostAnswerStaysUnknownIfTheLimiterRefusesTheNextAttempt(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.CutAfter())
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		users := someUsers(1)
		result, err := client(s, timpush.WithLimiter(rate.NewLimiter(0.1, 1))).SetAttr(ctx, users)
		assertStored(t, s, users...)
		assert.Equal(t, &timpush.Result{Unknown: 1, Requests: 1}, result)
		assert.ErrorContains(t, err, "would exceed context deadline")
	})
}

// TestThrottleCodesInAnErrorList slow down as those of a whole request do.
func TestThrottleCodesInAnErrorList(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		for range 4 {
			s.Inject(timpushtest.AccountCode(60007, "user-0"))
		}
		_, err := client(s, timpush.WithMaxAttempts(5)).SetAttr(t.Context(), someUsers(2))
		require.NoError(t, err)
		calls := s.Calls()
		require.Len(t, calls, 5)
		for i, want := range []time.Duration{1e8, 1e9, 2e9, 4e9} {
			assert.InDelta(t, want, calls[i+1].Time.Sub(calls[i].Time), 5e7)
		}
	})
}

// TestAccountChecksCountOnlyInARow: what comes between two of them says that they are transient.
func TestAccountChecksCountOnlyInARow(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.ErrorCode(60004), timpushtest.Status(502), timpushtest.ErrorCode(60004), timpushtest.ErrorCode(60005))
		_, err := client(s, timpush.WithMaxAttempts(5)).SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
	})
}

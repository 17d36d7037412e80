package timpush_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func userSigs(s *timpushtest.Server) []string {
	var all []string
	for _, c := range s.Calls() {
		all = append(all, c.Query.Get("usersig"))
	}
	return all
}

func TestUserSigIsKeptForFourFifthsOfItsLife(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t) // refuses an expired UserSig
		c := client(s)
		began := time.Now()
		for time.Since(began) < 3*24*time.Hour {
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			time.Sleep(10 * time.Minute)
		}
		different := map[string]int{}
		for _, usersig := range userSigs(s) {
			different[usersig]++
		}
		assert.Len(t, different, 4, "72 hours are 3.75 times four fifths of 24")
		for usersig := range different {
			app, identifier, key := s.App()
			require.NoError(t, tencentyun.VerifyUserSig(uint64(app), key, identifier, usersig, began))
			require.NoError(t, tencentyun.VerifyUserSig(uint64(app), key, identifier, usersig, began.Add(23*time.Hour)))
			require.Error(t, tencentyun.VerifyUserSig(uint64(app), key+"x", identifier, usersig, began))
		}
	})
}

func TestUserSigTTL(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s, timpush.WithUserSigTTL(time.Hour))
		for range 3 {
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			time.Sleep(47 * time.Minute)
		}
		sigs := userSigs(s)
		assert.Equal(t, sigs[0], sigs[1], "47 minutes old")
		assert.NotEqual(t, sigs[1], sigs[2], "94 minutes old")
	})
}

func TestExpiredUserSigIsRenewedOnce(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		_, err := c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		first := userSigs(s)[0]
		s.Handle(func(c timpushtest.Call) timpushtest.Fault {
			if c.Query.Get("usersig") == first {
				return timpushtest.ErrorCode(70001)
			}
			return timpushtest.Fault{}
		})
		users := someUsers(1000)
		result, err := c.SetAttr(t.Context(), users)
		require.NoError(t, err)
		assert.LessOrEqual(t, result.Requests, 20)
		different := map[string]bool{}
		for _, usersig := range userSigs(s) {
			different[usersig] = true
		}
		assert.Len(t, different, 2, "ten requests met the expired one, and one new one was made")
	})
}

// TestExpiredUserSigAndASlowSigner: no call uses what the server has called expired, while another waits for a new one.
func TestExpiredUserSigAndASlowSigner(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		sg := &signer{sign: func(n int) (string, time.Time, error) {
			if n > 1 {
				time.Sleep(5 * time.Second)
			}
			return "sig" + strconv.Itoa(n), time.Now().Add(time.Hour), nil
		}}
		var refused atomic.Int64
		c := newClient(t, timpush.WithSigner(sg), through(func(r *http.Request) (*http.Response, error) {
			if r.URL.Query().Get("usersig") == "sig1" {
				refused.Add(1)
				return response(http.StatusOK, `{"ActionStatus":"FAIL","ErrorCode":70001}`), nil
			}
			return alwaysOK(r)
		}))
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				_, err := c.SetAttr(t.Context(), someUsers(1))
				assert.NoError(t, err)
			})
			time.Sleep(20 * time.Millisecond)
		}
		calls.Wait()
		assert.EqualValues(t, 1, refused.Load())
		assert.Equal(t, 2, sg.calls)
	})
}

// signer counts what it signs, and can fail.
type signer struct {
	mu    sync.Mutex
	calls int
	sign  func(call int) (string, time.Time, error)
}

func (s *signer) UserSig(context.Context) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.sign(s.calls)
}

func TestSigner(t *testing.T) {
	t.Parallel()
	users := someUsers(1)
	for name, test := range map[string]struct {
		sign  func(call int) (string, time.Time, error)
		after time.Duration // between two calls of SetAttr
		calls int
		err   string
	}{
		"keeps":               {func(int) (string, time.Time, error) { return "sig", time.Now().Add(time.Hour), nil }, time.Minute, 1, ""},
		"renews":              {func(int) (string, time.Time, error) { return "sig", time.Now().Add(time.Hour), nil }, 50 * time.Minute, 2, ""},
		"keeps nothing":       {func(int) (string, time.Time, error) { return "sig", time.Time{}, nil }, 0, 2, ""},
		"this clock is wrong": {func(int) (string, time.Time, error) { return "sig", time.Now().Add(-time.Minute), nil }, 0, 2, ""},
		"empty":               {func(int) (string, time.Time, error) { return "", time.Now().Add(time.Hour), nil }, 0, 8, "cannot be a UserSig"},
		"no UserSig":          {func(int) (string, time.Time, error) { return "a&b=c", time.Now().Add(time.Hour), nil }, 0, 8, "cannot be a UserSig"},
		"down":                {func(int) (string, time.Time, error) { return "", time.Time{}, errors.New("vault sealed") }, 0, 8, "vault sealed"},
		"down for a moment":   {func(n int) (string, time.Time, error) { return "sig", time.Now().Add(time.Hour), failFirst(n, 1) }, 0, 2, ""},
		"down when renewing":  {func(n int) (string, time.Time, error) { return "sig", time.Now().Add(time.Hour), failAfter(n, 1) }, 50 * time.Minute, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				sg := &signer{sign: test.sign}
				config := testConfig
				config.SecretKey = ""
				c, err := timpush.NewClient(config, timpush.WithSigner(sg), timpush.WithLimiter(unlimited{}), through(func(r *http.Request) (*http.Response, error) {
					assert.Equal(t, "sig", r.URL.Query().Get("usersig"))
					return alwaysOK(r)
				}))
				require.NoError(t, err)
				for range 2 {
					result, err := c.SetAttr(t.Context(), users)
					if test.err == "" {
						require.NoError(t, err)
					} else {
						partial(t, users, result, err)
						require.ErrorContains(t, err, test.err)
						assert.Equal(t, timpush.Result{NotSent: 1}, *result)
					}
					time.Sleep(test.after)
				}
				assert.Equal(t, test.calls, sg.calls)
			})
		})
	}
}

func failFirst(n, first int) error {
	if n <= first {
		return errors.New("down")
	}
	return nil
}

func failAfter(n, first int) error {
	if n > first {
		return errors.New("down")
	}
	return nil
}

// TestSlowRenewalDelaysNoCall: while one call waits for a new UserSig, the others use the old one, and the quota holds.
func TestSlowRenewalDelaysNoCall(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		slow := false
		sg := signerFunc(func(ctx context.Context) (string, time.Time, error) {
			if slow {
				<-ctx.Done()
				return "", time.Time{}, ctx.Err()
			}
			return "sig", time.Now().Add(10 * time.Hour), nil
		})
		c, err := timpush.NewClient(testConfig, timpush.WithSigner(sg), timpush.WithLimiter(unlimited{}), through(alwaysOK))
		require.NoError(t, err)
		_, err = c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		time.Sleep(9 * time.Hour)
		slow = true
		began := time.Now()
		var first sync.WaitGroup
		first.Go(func() {
			_, err := c.SetAttr(t.Context(), someUsers(1))
			assert.NoError(t, err)
			assert.Equal(t, 10*time.Second, time.Since(began), "the attempt timeout bounds it")
		})
		synctest.Wait()
		_, err = c.SetAttr(t.Context(), someUsers(1000))
		require.NoError(t, err)
		assert.Zero(t, time.Since(began))
		first.Wait()
		_, err = c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		assert.Equal(t, 10*time.Second, time.Since(began), "it is not called again at once")

		time.Sleep(5 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err = c.SetAttr(ctx, someUsers(1))
		require.NoError(t, err, "a call with a deadline has time left for the last UserSig")
	})
}

func TestSlowSignerDoesNotBreakTheQuota(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithQuota(timpush.DefaultQPS))
		_, identifier, key := s.App()
		sg := signerFunc(func(context.Context) (string, time.Time, error) {
			time.Sleep(2 * time.Second)
			usersig, err := tencentyun.GenUserSig(1400000000, key, identifier, 86400)
			return usersig, time.Now().Add(24 * time.Hour), err
		})
		callAtOnce(t, s.Client(timpush.WithSigner(sg)), 120)
		assert.Len(t, s.Calls(), 120, "none was refused")
	})
}

func TestHangingSignerDelaysNoCallBeyondItsContext(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		release := make(chan struct{})
		sg := signerFunc(func(context.Context) (string, time.Time, error) {
			<-release
			return "sig", time.Now().Add(time.Hour), nil
		})
		config := testConfig
		c, err := timpush.NewClient(config, timpush.WithSigner(sg), timpush.WithLimiter(unlimited{}), through(alwaysOK))
		require.NoError(t, err)
		var slow sync.WaitGroup
		slow.Go(func() {
			_, err := c.SetAttr(t.Context(), someUsers(1))
			assert.NoError(t, err)
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		result, err := c.SetAttr(ctx, someUsers(1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, timpush.Result{NotSent: 1}, *result)
		close(release)
		slow.Wait()
	})
}

// TestFailingSignerDelaysManyAsOne: those that wait for a Signer do not wait one after the other, so that no call takes longer than
// docs/timing.md says. It may take all of its time, or give up by itself.
func TestFailingSignerDelaysManyAsOne(t *testing.T) {
	t.Parallel()
	for name, patience := range map[string]time.Duration{"hangs": time.Hour, "gives up": 5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				sg := signerFunc(func(ctx context.Context) (string, time.Time, error) {
					select {
					case <-ctx.Done():
					case <-time.After(patience):
					}
					return "", time.Time{}, errors.New("no answer")
				})
				c := newClient(t, timpush.WithSigner(sg), through(alwaysOK))
				users := someUsers(3200)
				began := time.Now()
				var others sync.WaitGroup
				for range 100 {
					others.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), time.Second)
						defer cancel()
						_, err := c.SetAttr(ctx, someUsers(1))
						assert.Error(t, err)
					})
				}
				result, err := c.SetAttr(t.Context(), users)
				partial(t, users, result, err)
				assert.Equal(t, len(users), result.NotSent)
				assert.Less(t, time.Since(began), 45*time.Second)
				others.Wait()
			})
		})
	}
}

type signerFunc func(context.Context) (string, time.Time, error)

func (f signerFunc) UserSig(ctx context.Context) (string, time.Time, error) { return f(ctx) }

func TestUserSigsAreMadeOfLettersThatNeedNoEscape(t *testing.T) {
	t.Parallel()
	for range 20 {
		s := timpushtest.Start(t, timpushtest.WithQuota(0), timpushtest.WithInMemory())
		_, err := client(s).SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		assert.Empty(t, strings.Trim(userSigs(s)[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-_"))
		time.Sleep(time.Millisecond)
	}
}

// TestUserSigThatExpiresBeforeItIsSent: the limiter takes longer than a UserSig lasts, which is not made again without end, and the slot
// is free afterwards.
func TestUserSigThatExpiresBeforeItIsSent(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		waits := 0
		c := newClient(t, timpush.WithUserSigTTL(time.Second), timpush.WithMaxInFlight(1), through(alwaysOK), timpush.WithLimiter(limiterFunc(func(context.Context) error {
			waits++
			time.Sleep(2 * time.Second)
			return nil
		})))
		for range 2 {
			waits = 0
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			assert.Equal(t, 3, waits)
		}
	})
}

package timpush_test

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func TestSetAttrStoresWhatItIsGiven(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 99, 100, 101, 200, 250} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				users := someUsers(n)
				result, err := client(s).SetAttr(t.Context(), users)
				require.NoError(t, err)
				requests := (n + 99) / 100
				assert.Equal(t, timpush.Result{Done: n, Requests: requests}, *result)
				assert.Len(t, s.Calls(), requests)
				assertStored(t, s, users...)
			})
		})
	}
}

func TestOverTLSWithTheDefaultLimiter(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t)
	result, err := s.Client().SetAttr(t.Context(), someUsers(3))
	require.NoError(t, err)
	assert.Equal(t, 3, result.Done)
	call := s.Calls()[0]
	assert.Equal(t, "POST", call.Method)
	assert.Equal(t, "/v4/timpush/set_attr", call.Path)
	assert.Equal(t, "application/json", call.Header.Get("Content-Type"))
	assert.True(t, strings.HasPrefix(call.Header.Get("User-Agent"), "timpush-go/"), call.Header)
}

func TestOverHTTP2(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t, timpushtest.WithHTTP2(), timpushtest.WithQuota(0))
	users := someUsers(1000)
	result, err := client(s).SetAttr(t.Context(), users)
	require.NoError(t, err)
	assert.Equal(t, 10, result.Requests)
	assertStored(t, s, users...)
}

func TestQueryIsEscaped(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		identifier := "管理员 & admin=1#?%&usersig=x"
		s := fake(t, timpushtest.WithApp(1400000001, identifier, "another-key-that-is-not-real"))
		_, err := client(s).SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err, "the fake verifies the UserSig and each parameter")
		query := s.Calls()[0].Query
		assert.Equal(t, []string{identifier}, query["identifier"])
		assert.Len(t, query, 5)
	})
}

func TestRandomIsFreshForEachAttempt(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s, timpush.WithMaxAttempts(64))
		s.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(91000) })
		_, err := c.SetAttr(t.Context(), someUsers(1))
		require.ErrorIs(t, err, timpush.ErrInternal)
		seen := map[string]bool{}
		var high int
		for _, call := range s.Calls() {
			random := call.Query.Get("random")
			seen[random] = true
			n, err := strconv.ParseUint(random, 10, 32)
			require.NoError(t, err)
			if n > math.MaxInt32 {
				high++
			}
		}
		assert.Len(t, seen, 64)
		assert.Greater(t, high, 8, "the upper half of the range is used")
	})
}

func TestSameAccountTwiceIsMergedInOrder(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users := []timpush.UserAttrs{
			{ToAccount: "a", Attrs: timpush.Attrs{"city": "Rome", "sex": "f"}},
			{ToAccount: "b", Attrs: timpush.Attrs{"city": "Bonn"}},
			{ToAccount: "a", Attrs: timpush.Attrs{"city": "Oslo", "country": "NO"}},
		}
		result, err := client(s).SetAttr(t.Context(), users)
		require.NoError(t, err)
		assert.Equal(t, timpush.Result{Done: 3, Requests: 1}, *result)
		assert.Equal(t, []string{"a", "b"}, s.Calls()[0].Accounts)
		assert.Equal(t, map[string]string{"city": "Oslo", "sex": "f", "country": "NO"}, s.Attrs("a"))
		assert.Equal(t, timpush.Attrs{"city": "Rome", "sex": "f"}, users[0].Attrs, "the caller's maps are left alone")

		s.Refuse(90035, "a")
		result, err = client(s).SetAttr(t.Context(), users)
		p := partial(t, users, result, err)
		assert.Equal(t, timpush.Result{Done: 1, Rejected: 2, Requests: 1}, *result)
		var indexes []int
		for u := range p.Users() {
			indexes = append(indexes, u.Index)
		}
		assert.Equal(t, []int{0, 2}, indexes, "each entry of the account has the outcome of the one sent")
	})
}

// TestUsersWithOtherAttributes: names are written once for users that have the same ones.
func TestUsersWithOtherAttributes(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithAttrNames("a", "b", "c", `"d"`))
		var users []timpush.UserAttrs
		for i, attrs := range []timpush.Attrs{
			{"a": "1", "b": "2"}, {"a": "3", "b": "4"}, {"a": "5", "c": "6"}, {"c": "7"}, {"b": "8"}, {"b": "9", "c": "10"},
			{"c": "11", "b": `"`}, {`"d"`: "12"}, {`"d"`: ""}, {"a": "13", "b": "14", "c": "15", `"d"`: "16"},
		} {
			users = append(users, timpush.UserAttrs{ToAccount: account(i), Attrs: attrs})
		}
		_, err := client(s).SetAttr(t.Context(), users)
		require.NoError(t, err)
		assertStored(t, s, users...)

		long := strings.Repeat("x", 51)
		_, err = client(s).SetAttr(t.Context(), []timpush.UserAttrs{
			{ToAccount: "a", Attrs: timpush.Attrs{long: "x"}}, {ToAccount: "b", Attrs: timpush.Attrs{long: "x"}}, userIn("c", "x"), userIn("d", long),
		})
		require.ErrorContains(t, err, "3 faults in the input")
	})
}

func TestAnyTextIsSentUnchanged(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users := []timpush.UserAttrs{
			userIn(`quote " and \ backslash`, "tab\tand line\nand NUL\x00"),
			userIn("小明", "深圳 \u2028 😀"),
			userIn("<a&b>", ""),
			userIn(strings.Repeat("long", 20), strings.Repeat("字", 16)+"xx"),
		}
		_, err := client(s).SetAttr(t.Context(), users)
		require.NoError(t, err)
		assertStored(t, s, users...)
	})
}

func TestInputIsValidatedAsAWhole(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users, want := []timpush.UserAttrs{userIn("fine", "fine"), userIn("just fits", strings.Repeat("x", 50))}, []int{}
		for i, bad := range badUsers {
			if bad.user.ToAccount == "a" {
				bad.user.ToAccount = account(i) // together they would have more attributes than an account may
			}
			users, want = append(users, bad.user), append(want, i+2)
		}
		want = append(want, len(users), len(users)) // one with two faults
		users = append(users, timpush.UserAttrs{ToAccount: "two", Attrs: timpush.Attrs{"a": strings.Repeat("x", 51), "b": strings.Repeat("x", 51)}})
		result, err := client(s).SetAttr(t.Context(), users)
		assert.Nil(t, result)
		assert.Empty(t, s.Calls(), "nothing is sent")
		var faults []int
		for _, fault := range err.(interface{ Unwrap() []error }).Unwrap() {
			var in *timpush.InputError
			require.ErrorAs(t, fault, &in)
			assert.Equal(t, users[in.Index].ToAccount, in.ToAccount)
			faults = append(faults, in.Index)
		}
		assert.Equal(t, want, faults)
		assert.Less(t, len(err.Error()), 1200)
		assert.NotContains(t, err.Error(), "xxxx", "no value")
	})
}

func TestNewClientReportsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := timpush.NewClient(timpush.Config{}, nil, timpush.WithMaxAttempts(0), timpush.WithMaxInFlight(0),
		timpush.WithAttemptTimeout(0), timpush.WithUserSigTTL(time.Millisecond), timpush.WithHTTPClient(nil),
		timpush.WithLimiter(nil), timpush.WithLogger(nil), timpush.WithObserver(nil), timpush.WithUserAgent("a\nb"),
		timpush.WithBaseURL("ftp://x"))
	for _, want := range []string{
		"SDKAppID", "Identifier", "SecretKey", "Region", "an Option is nil", "WithMaxAttempts", "WithMaxInFlight", "WithAttemptTimeout",
		"WithUserSigTTL", "WithHTTPClient", "WithLimiter", "WithLogger", "WithObserver", "WithUserAgent", "WithBaseURL",
	} {
		assert.ErrorContains(t, err, want)
	}
	_, err = timpush.NewClient(timpush.Config{SDKAppID: 1, Identifier: "a"}, timpush.WithSigner(nil))
	assert.ErrorContains(t, err, "WithSigner")
}

func TestBaseURLWithAPath(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for base, want := range map[string]string{
			"https://example.com/a/proxy//": "https://example.com/a/proxy/v4/timpush/set_attr",
			"https://example.com/a%2Fb":     "https://example.com/a%2Fb/v4/timpush/set_attr",
			"http://[::1]:8080":             "http://[::1]:8080/v4/timpush/set_attr",
		} {
			c := newClient(t, timpush.WithBaseURL(base), through(func(r *http.Request) (*http.Response, error) {
				got, _, _ := strings.Cut(r.URL.String(), "?")
				assert.Equal(t, want, got)
				return alwaysOK(r)
			}))
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
		}
	})
}

// TestMergedAttributesAreCounted: entries that are valid alone may ask together for more attributes than can exist.
func TestMergedAttributesAreCounted(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		users := make([]timpush.UserAttrs, 3)
		for i := range users {
			users[i] = timpush.UserAttrs{ToAccount: "a", Attrs: timpush.Attrs{}}
			for k := range 4 {
				users[i].Attrs[fmt.Sprint(i, k)] = "x"
			}
		}
		_, err := client(fake(t)).SetAttr(t.Context(), users)
		var fault *timpush.InputError
		require.ErrorAs(t, err, &fault)
		assert.Equal(t, 2, fault.Index)
		assert.ErrorContains(t, err, "more than 10")
	})
}

func TestNewClientAccepts(t *testing.T) {
	t.Parallel()
	for _, base := range []string{
		"https://example.com", "https://example.com:8443/a/proxy/", "http://localhost:1", "http://127.0.0.1:1/", "http://127.9.9.9", "http://[::1]:1",
	} {
		newClient(t, timpush.WithBaseURL(base))
	}
	newClient(t, timpush.WithLimiter(rate.NewLimiter(rate.Inf, 0)))
	for _, region := range timpush.Regions() {
		config := testConfig
		config.Region, config.SDKAppID = region, 1
		_, err := timpush.NewClient(config)
		require.NoError(t, err, region)
	}
}

func TestBadCertificateStopsAtOnce(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t, timpushtest.WithQuota(0))
	c, err := timpush.NewClient(s.Config(), timpush.WithBaseURL(s.URL), timpush.WithMaxInFlight(1))
	require.NoError(t, err)
	users := someUsers(300)
	result, err := c.SetAttr(t.Context(), users)
	partial(t, users, result, err)
	assert.Equal(t, timpush.Result{NotSent: 300, Requests: 1}, *result, "no second attempt: %v", err)
	assert.Empty(t, s.Calls())
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var requests int
		c := newClient(t, timpush.WithLimiter(unlimited{}), through(func(r *http.Request) (*http.Response, error) {
			requests++
			h := http.Header{"Location": {"https://elsewhere.example/"}}
			return &http.Response{StatusCode: 302, Header: h, Body: http.NoBody, Request: r}, nil
		}))
		users := someUsers(1)
		result, err := c.SetAttr(t.Context(), users)
		partial(t, users, result, err)
		var page *timpush.HTTPError
		require.ErrorAs(t, err, &page)
		assert.Equal(t, 302, page.StatusCode)
		assert.Equal(t, timpush.Result{Rejected: 1, Requests: 1}, *result)
		assert.Equal(t, 1, requests)
	})
}

func TestRequestsRunInParallelUpToMaxInFlight(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		c := client(s, timpush.WithMaxInFlight(4))
		began := time.Now()
		var calls sync.WaitGroup
		for range 3 { // the bound is the client's, whoever calls
			calls.Go(func() {
				_, err := c.SetAttr(t.Context(), someUsers(400))
				assert.NoError(t, err)
			})
		}
		calls.Wait()
		assert.Equal(t, 3*time.Second, time.Since(began), "12 requests of a second, 4 at a time")
		assert.LessOrEqual(t, s.Connections(), 4)
	})
}

func TestNoMoreConnectionsThanMaxInFlight(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t, timpushtest.WithPlainHTTP(), timpushtest.WithQuota(0))
	c, err := timpush.NewClient(s.Config(), timpush.WithBaseURL(s.URL), timpush.WithLimiter(unlimited{}), timpush.WithMaxInFlight(5))
	require.NoError(t, err)
	var callers sync.WaitGroup
	for range 10 {
		callers.Go(func() {
			_, err := c.SetAttr(t.Context(), someUsers(500))
			assert.NoError(t, err)
		})
	}
	callers.Wait()
	assert.LessOrEqual(t, s.Connections(), 5)
}

func TestDefaultRateKeepsTheQuota(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithQuota(timpush.DefaultQPS), timpushtest.WithLatency(50*time.Millisecond, 0))
		began := time.Now()
		callAtOnce(t, s.Client(), 195)
		assert.Len(t, s.Calls(), 195, "none was refused")
		assert.InDelta(t, 2, time.Since(began).Seconds(), 0.1)
		assert.LessOrEqual(t, s.PeakRate(), timpush.DefaultQPS)
	})
}

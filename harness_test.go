package timpush_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// inFakeTime runs f in a bubble in which time passes only when everything waits.
func inFakeTime(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// fake starts a fake in memory, without a quota so that tests run at full speed, and a client of it.
func fake(t *testing.T, opts ...timpushtest.Option) *timpushtest.Server {
	t.Helper()
	return timpushtest.Start(t, append([]timpushtest.Option{timpushtest.WithInMemory(), timpushtest.WithQuota(0)}, opts...)...)
}

// callAtOnce makes n calls of one user each at the same time, which is cheaper than requests of 100 users.
func callAtOnce(t *testing.T, c *timpush.Client, n int) {
	t.Helper()
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{userIn(account(i), "x")})
			assert.NoError(t, err)
		})
	}
	calls.Wait()
}

type unlimited struct{}

func (unlimited) Wait(context.Context) error { return nil }

func client(s *timpushtest.Server, opts ...timpush.Option) *timpush.Client {
	return s.Client(append([]timpush.Option{timpush.WithLimiter(unlimited{})}, opts...)...)
}

// someUsers returns n users, "user-0" and on, whose city is their account.
func someUsers(n int) []timpush.UserAttrs {
	users := make([]timpush.UserAttrs, n)
	for i := range users {
		users[i] = userIn(account(i), account(i))
	}
	return users
}

func account(i int) string { return fmt.Sprintf("user-%d", i) }

func userIn(account, city string) timpush.UserAttrs {
	return timpush.UserAttrs{ToAccount: account, Attrs: timpush.Attrs{"city": city}}
}

// partial returns err as a *PartialError after checking that it and the result agree with each other.
func partial(t *testing.T, users []timpush.UserAttrs, result *timpush.Result, err error) *timpush.PartialError {
	t.Helper()
	requireSum(t, users, result, err)
	var p *timpush.PartialError
	require.ErrorAs(t, err, &p)
	return p
}

// requireSum checks what holds after every call whose input is valid.
func requireSum(t *testing.T, users []timpush.UserAttrs, r *timpush.Result, err error) {
	t.Helper()
	require.NotNil(t, r)
	require.Equal(t, len(users), r.Done+r.Rejected+r.Unknown+r.NotSent, "outcomes sum to the input: %+v", *r)
	require.Equal(t, err == nil, r.Done == len(users), "err is nil exactly if all are Done: %v", err)
	var p *timpush.PartialError
	if err == nil {
		return
	}
	require.ErrorAs(t, err, &p)
	var seen timpush.Result
	last := -1
	for u := range p.Users() {
		require.Greater(t, u.Index, last, "users come in the order of the input, once each")
		last = u.Index
		require.Equal(t, users[u.Index].ToAccount, u.ToAccount)
		require.Error(t, u.Err)
		switch u.Outcome {
		case timpush.Rejected:
			seen.Rejected++
		case timpush.Unknown:
			seen.Unknown++
		case timpush.NotSent:
			seen.NotSent++
		default:
			t.Fatalf("%v is no outcome of a failed user", u.Outcome)
		}
	}
	seen.Done, seen.Requests = r.Done, r.Requests
	require.Equal(t, seen, *r)
	require.LessOrEqual(t, len(err.Error()), 1200, "the text is bounded")
	require.NotContains(t, err.Error(), "%!", "what fmt writes for an argument that is not there")
}

func outcomes(p *timpush.PartialError) map[string]timpush.Outcome {
	all := map[string]timpush.Outcome{}
	for u := range p.Users() {
		all[u.ToAccount] = u.Outcome
	}
	return all
}

// roundTripper is a transport made of a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func through(f roundTripper) timpush.Option {
	return timpush.WithHTTPClient(&http.Client{Transport: f})
}

var testConfig = timpush.Config{
	SDKAppID: 1400000000, Identifier: "administrator", SecretKey: "this-is-no-real-key", Region: timpush.RegionSingapore,
}

func newClient(t *testing.T, opts ...timpush.Option) *timpush.Client {
	t.Helper()
	c, err := timpush.NewClient(testConfig, opts...)
	require.NoError(t, err)
	return c
}

// assertStored checks that each of users has exactly its attributes in the fake.
func assertStored(t *testing.T, s *timpushtest.Server, users ...timpush.UserAttrs) {
	t.Helper()
	for _, u := range users {
		assert.Equal(t, map[string]string(u.Attrs), s.Attrs(u.ToAccount), u.ToAccount)
	}
}

// sizes returns the number of accounts in each call.
func sizes(calls []timpushtest.Call) []int {
	var n []int
	for _, c := range calls {
		n = append(n, len(c.Accounts))
	}
	slices.Sort(n)
	return n
}

// alwaysOK is a transport whose server applies everything.
var alwaysOK = answering(okAnswer)

const okAnswer = `{"ActionStatus":"OK","ErrorCode":0}`

// applying is alwaysOK, and gives each account of a request to apply.
func applying(t *testing.T, apply func(account string, attrs map[string]string)) roundTripper {
	t.Helper()
	return func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		var wire struct {
			UserAttrs []struct {
				ToAccount string `json:"To_Account"`
				Attrs     map[string]string
			}
		}
		assert.NoError(t, json.Unmarshal(body, &wire))
		seen := map[string]bool{}
		for _, user := range wire.UserAttrs {
			assert.False(t, seen[user.ToAccount], "an account comes once in a request")
			seen[user.ToAccount] = true
			apply(user.ToAccount, user.Attrs)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		return alwaysOK(r)
	}
}

// answering is a transport that answers everything with one body.
func answering(body string) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		_, err := io.Copy(io.Discard, r.Body)
		return response(http.StatusOK, body), err
	}
}

func response(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}
}

package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"

	"github.com/timpush/timpush-go/cmd/timpush/internal/dashboard"
)

// site is a page and its fake.
type site struct {
	t    *testing.T
	url  string
	fake *timpushtest.Server
	page *dashboard.Handler
}

func newSite(t *testing.T, quota int) *site {
	t.Helper()
	fake := timpushtest.Start(t, timpushtest.WithInMemory(), timpushtest.WithQuota(quota), timpushtest.WithKeptCalls(1))
	page := dashboard.New(fake, dashboard.Options{Quota: quota})
	server := httptest.NewServer(page)
	t.Cleanup(server.Close)
	return &site{t, server.URL, fake, page}
}

func (s *site) client(options ...timpush.Option) *timpush.Client {
	s.t.Helper()
	client, err := timpush.NewClient(s.fake.Config(), append([]timpush.Option{timpush.WithBaseURL(s.url)}, options...)...)
	require.NoError(s.t, err)
	return client
}

// state is what a page is told first.
type state struct {
	Last     int64
	Busiest  string
	Seconds  [][2]int64
	Outcomes []struct {
		Text            string
		Requests, Users int64
	}
	Accounts []struct {
		Account string
		Tags    []string
	}
	Waiting int
	Pending []struct{ At, Title, Kind string }
	Pushes  []struct {
		Task, Title, Scheduled, Kind, State string
		Accounts, Sent, Reached, Clicked    int
	}
	Requests []struct{ Command, Head, Body, Outcome string }
}

func (s *site) state() (st state, text string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/events", http.NoBody)
	require.NoError(s.t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	text, err = bufio.NewReader(resp.Body).ReadString('\n')
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal([]byte(strings.TrimPrefix(text, "data: ")), &st))
	return st, text
}

// post sends what no client of this module would.
func (s *site) post(path, body string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	resp.Body.Close()
}

// Whatever arrives, what is kept of it stays the same size.
func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	for i := range 1200 {
		s.post(fmt.Sprintf("/path%d?parameter%d=x", i, i), strings.Repeat("x", 5000))
	}
	_, before := s.state()
	for i := range 1200 {
		s.post(fmt.Sprintf("/other%d?parameter%d=x", i, i), strings.Repeat("x", 5000))
	}
	st, after := s.state()
	assert.InDelta(t, len(before), len(after), 1000)
	assert.Len(t, st.Requests, 50)
	assert.Len(t, st.Seconds, 60)
	assert.EqualValues(t, 2400, st.Last)
	assert.Equal(t, "other", st.Busiest)
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	client := s.client(timpush.WithMaxAttempts(1))
	var users []timpush.UserAttrs
	for i := range 100 {
		users = append(users, timpush.UserAttrs{ToAccount: fmt.Sprint("u", i), Attrs: timpush.Attrs{"city": "Rome"}})
	}
	s.fake.Inject(timpushtest.AccountCode(70107, "u1", "u2"), timpushtest.ErrorCode(91000), timpushtest.Status(502), timpushtest.CutAfter())
	for range 4 {
		_, _ = client.SetAttr(t.Context(), users) // the page shows the outcome
	}
	st, _ := s.state()
	got := map[string][2]int64{}
	for _, o := range st.Outcomes {
		name, _, _ := strings.Cut(o.Text, ":")
		got[name] = [2]int64{o.Requests, o.Users}
	}
	assert.Equal(t, map[string][2]int64{"done": {1, 98}, "70107": {0, 2}, "91000": {1, 100}, "HTTP 502": {1, 100}, "no answer": {1, 100}}, got)
	assert.Len(t, st.Accounts, 10)
	requests, done := s.page.Totals()
	assert.EqualValues(t, 4, requests)
	assert.EqualValues(t, 98, done)
}

// Calls that the quota refuses are told apart.
func TestQuota(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	refusal := timpushtest.ErrorCode(60007)
	s.fake.Inject(refusal, refusal, refusal)
	for range 5 {
		_, _ = s.client(timpush.WithMaxAttempts(1)).AttrNames(t.Context()) // one client would wait after the first refusal
	}
	st, _ := s.state()
	var calls, refused int64
	for _, second := range st.Seconds {
		calls, refused = calls+second[0], refused+second[1]
	}
	assert.Equal(t, "get_attr_name", st.Busiest)
	assert.EqualValues(t, 5, calls)
	assert.EqualValues(t, 3, refused)
}

// Secrets are not shown, also where a client has put them by mistake.
func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	_, _, key := s.fake.App()
	sig := "eJ" + strings.Repeat("wtW1-c*", 20) + "_"
	for _, path := range []string{
		"/v4/timpush/set_attr?usersig=" + sig, "/v4/timpush/set_attr&usersig=" + sig, "/v4/timpush/set_attr?UserSig=" + sig,
		"/v4/timpush/set_attr?identifier=" + sig, "/v4/timpush/set_attr?" + sig, "/" + key, "/?secret=" + key, "/?usersig=short", "/?identifier=" + key,
	} {
		s.post(path, `{"UserSig":"`+sig+`","SecretKey":"`+key+`"}`)
	}
	st, text := s.state()
	require.Len(t, st.Requests, 9)
	assert.NotContains(t, text, key)
	assert.NotContains(t, text, "wtW1")
	assert.NotContains(t, text, "short")
	assert.Contains(t, st.Requests[0].Head, "usersig=[not shown]")
	assert.JSONEq(t, `{"UserSig":"[not shown]","SecretKey":"[not shown]"}`, st.Requests[0].Body)
}

// The page is there for those who read it, and takes nothing.
func TestPageIsForReading(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	s.post("/", "")
	st, _ := s.state()
	assert.Contains(t, st.Requests[0].Outcome, "60009", "it is the fake that is posted to")
	for _, path := range []string{"/", "/page.js", "/page.css", "/icon.svg", "/favicon.ico", "/account?name=x"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, http.NoBody)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		assert.Equal(t, 200, resp.StatusCode, path)
		assert.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
		assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "require-trusted-types-for 'script'")
	}
	st, _ = s.state()
	assert.EqualValues(t, 1, st.Last, "to look at the page is no call")
}

// signed posts a body to a command, in place of the request of a client.
func (s *site) signed(command, body string) {
	s.t.Helper()
	via := roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.URL.Path, r.Body, r.ContentLength = "/v4/timpush/"+command, io.NopCloser(strings.NewReader(body)), int64(len(body))
		return http.DefaultTransport.RoundTrip(r)
	})
	_, err := s.client(timpush.WithHTTPClient(&http.Client{Transport: via})).AttrNames(s.t.Context())
	require.NoError(s.t, err)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPushes(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	s.signed("add_tag", `{"UserTags":[{"To_Account":"mary","Tags":["gold"]}]}`)
	s.signed("push", `{"MsgRandom":1,"Condition":{"TagsOr":["gold"]},"OfflinePushInfo":{"Title":"x"}}`)
	s.signed("batch", `{"From_Account":"x","MsgRandom":1,"To_Account":["a","b"],"OfflinePushInfo":{"Title":"x"}}`)
	task := s.fake.Pushes()[0].TaskID // of the batch: one is kept
	s.signed("revoke", `{"TaskId":"`+task+`","OfflinePushInfo":{}}`)
	st, _ := s.state()
	require.Len(t, st.Pushes, 1)
	assert.Equal(t, []any{task, "batch", "revoked", 2}, []any{st.Pushes[0].Task, st.Pushes[0].Kind, st.Pushes[0].State, st.Pushes[0].Accounts})
	assert.Equal(t, []int{2, 2, 0}, []int{st.Pushes[0].Sent, st.Pushes[0].Reached, st.Pushes[0].Clicked})
	require.Len(t, st.Accounts, 1, "who is pushed to is not changed")
	assert.Equal(t, "mary", st.Accounts[0].Account)
	assert.Equal(t, []string{"gold"}, st.Accounts[0].Tags)
	var commands []string
	for _, r := range st.Requests {
		commands = append(commands, r.Command+" "+r.Outcome)
	}
	assert.Equal(t, []string{"add_tag done", "push done", "batch done", "revoke done"}, commands)

	s.signed("add_sched_task", `{"Sdkappid":1400000000,"Type":"All","SchedAt":"2099-01-01 00:00:00","Content":{"OfflinePushInfo":{"Title":"x"}}}`)
	st, _ = s.state()
	require.Len(t, st.Pending, 1)
	assert.Equal(t, []string{"x", "all"}, []string{st.Pending[0].Title, st.Pending[0].Kind})
	assert.Contains(t, st.Pending[0].At, ":00:00")
	s.fake.RunTasks(time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
	st, _ = s.state()
	assert.Empty(t, st.Pending)
	require.Len(t, st.Pushes, 1)
	assert.Equal(t, "x", st.Pushes[0].Title)
	assert.NotEmpty(t, st.Pushes[0].Scheduled)
	assert.Contains(t, st.Pushes[0].State, "sent for task ")
	assert.Equal(t, 1, st.Pushes[0].Accounts)
}

// TestScheduled: of many tasks the next ones are shown, and no title shows a secret.
func TestScheduled(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	_, _, key := s.fake.App()
	for i := range 12 {
		s.signed("add_sched_task", fmt.Sprintf(
			`{"Sdkappid":1400000000,"Type":"User","SchedAt":"2099-01-%02d 00:00:00","Content":{"From_Account":"administrator","To_Account":["a"],"OfflinePushInfo":{"Title":"%d %s"}}}`, 28-i, i, key))
	}
	st, text := s.state()
	assert.Equal(t, 12, st.Waiting)
	require.Len(t, st.Pending, 10)
	assert.Equal(t, "11 [not shown]", st.Pending[0].Title, "the next one first")
	assert.NotContains(t, text, key)
}

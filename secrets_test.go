package timpush_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// secrets remembers the key and every UserSig that passes, in the forms in which they could be printed.
type secrets struct {
	mu   sync.Mutex
	next http.RoundTripper
	seen map[string]string // text to what it is
}

func watch(next http.RoundTripper, key string) *secrets {
	s := &secrets{next: next, seen: map[string]string{}}
	s.add("key", key)
	return s
}

func (s *secrets) add(what, text string) {
	s.seen[text] = what
	for i := 0; i+20 <= len(text); i += 10 {
		s.seen[text[i:i+20]] = "part of the " + what
	}
	s.seen[url.QueryEscape(text)] = what
	s.seen[fmt.Sprintf("%x", text)] = what
	s.seen[fmt.Sprintf("%X", text)] = what
	s.seen[strings.Trim(fmt.Sprint([]byte(text)), "[]")] = what
}

func (s *secrets) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.add("UserSig", r.URL.Query().Get("usersig"))
	s.mu.Unlock()
	return s.next.RoundTrip(r)
}

// search fails the test if any of the texts holds a secret.
func (s *secrets) search(t *testing.T, texts ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Greater(t, len(s.seen), 5, "a UserSig has passed")
	for _, text := range texts {
		for secret, what := range s.seen {
			if strings.Contains(text, secret) {
				t.Fatalf("the %s is in %.600q", what, text)
			}
		}
	}
}

// printed returns everything that fmt and JSON make of v, and of all that it wraps if it is an error.
func printed(v any) []string {
	var texts []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T"} {
		texts = append(texts, fmt.Sprintf(verb, v))
	}
	if data, err := json.Marshal(v); err == nil {
		texts = append(texts, string(data))
	}
	switch e := v.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			texts = append(texts, printed(inner)...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			texts = append(texts, printed(inner)...)
		}
	}
	return texts
}

// TestSecretsDoNotLeak drives every path that fails and searches all that comes out of it.
func TestSecretsDoNotLeak(t *testing.T) {
	t.Parallel()
	for name, fault := range leaks() {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) { searchCalls(t, fault) })
		})
	}
}

// leaks are faults of the fake, and transports that do worse.
func leaks() map[string]any {
	echo := func(r *http.Request, status int) (*http.Response, error) {
		page := "<p>cannot serve " + r.URL.String() + " or " + r.URL.Query().Get("usersig") + "</p>"
		return httpmock.NewStringResponse(status, page), nil
	}
	pageOf := func(make func(usersig string) string) roundTripper {
		return func(r *http.Request) (*http.Response, error) {
			return httpmock.NewStringResponse(502, make(r.URL.Query().Get("usersig"))), nil
		}
	}
	return map[string]any{
		"cut off":      pageOf(func(u string) string { return "bad sig " + u[:len(u)-7] + "..." }),
		"in lines":     pageOf(func(u string) string { return u[:64] + "\n" + u[64:128] + "\n" + u[128:192] + "\n" + u[192:] }),
		"at the edge":  pageOf(func(u string) string { return strings.Repeat(u+" ", 40) }),
		"near the end": pageOf(func(u string) string { return strings.Repeat("x", 150) + u }),
		"as an account": roundTripper(func(r *http.Request) (*http.Response, error) {
			return httpmock.NewStringResponse(200, `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":90035,"To_Account":"`+r.URL.Query().Get("usersig")+`"}]}`), nil
		}),
		"error with a URL": roundTripper(func(r *http.Request) (*http.Response, error) { return nil, &withURL{r.URL} }),
		"code":             timpushtest.ErrorCode(90009), "item code": timpushtest.AccountCode(90035, "user-0"), "throttle": timpushtest.ErrorCode(60007),
		"expired": timpushtest.ErrorCode(70001), "bad signature": timpushtest.ErrorCode(70009), "undocumented": timpushtest.ErrorCode(1),
		"poison": timpushtest.ErrorCode(90033), "internal": timpushtest.ErrorCode(91000), "502": timpushtest.Status(502),
		"cut": timpushtest.CutBefore(), "cut after": timpushtest.CutAfter(), "truncated": timpushtest.TruncateBody(10),
		"endless": timpushtest.EndlessBody(), "hang": timpushtest.Hang(), "garbage": timpushtest.Garbage(),
		"other account":        timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":90035,"To_Account":"x"}]}`),
		"page echoes the URL":  roundTripper(func(r *http.Request) (*http.Response, error) { return echo(r, 502) }),
		"200 echoes the URL":   roundTripper(func(r *http.Request) (*http.Response, error) { return echo(r, 200) }),
		"redirect":             roundTripper(func(r *http.Request) (*http.Response, error) { return echo(r, 302) }),
		"no responder":         http.RoundTripper(httpmock.NewMockTransport()),
		"error prints the URL": roundTripper(func(r *http.Request) (*http.Response, error) { return nil, fmt.Errorf("cannot reach %s", r.URL) }),
		"error holds the URL": roundTripper(func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: errors.New("x")}
		}),
		"error within an error": roundTripper(func(r *http.Request) (*http.Response, error) {
			return nil, nested{fmt.Errorf("layer: %w", &url.Error{Op: "Post", URL: r.URL.String(), Err: context.DeadlineExceeded})}
		}),
		"error with fields": roundTripper(func(r *http.Request) (*http.Response, error) { return nil, &withRequest{r.URL.RawQuery} }),
		"ErrorInfo echoes": roundTripper(func(r *http.Request) (*http.Response, error) {
			return httpmock.NewStringResponse(200, `{"ActionStatus":"FAIL","ErrorCode":70009,"ErrorInfo":"bad sig `+r.URL.Query().Get("usersig")+
				`","ErrorList":[{"To_Account":"user-1","ErrorCode":1,"ErrorInfo":"`+url.QueryEscape(r.URL.Query().Get("usersig"))+`"}]}`), nil
		}),
	}
}

// searchCalls makes all calls while one thing goes wrong.
func searchCalls(t *testing.T, fault any) {
	t.Helper()
	s := fake(t)
	var next http.RoundTripper
	switch f := fault.(type) {
	case timpushtest.Fault:
		s.Handle(func(timpushtest.Call) timpushtest.Fault { return f })
		next = s.HTTPClient().Transport
	case http.RoundTripper:
		next = f
	}
	_, _, key := s.App()
	transport := watch(next, key)
	var log bytes.Buffer
	events := &recorder{}
	c := client(s, timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithObserver(events),
		timpush.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 10}))))
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second) // ends some paths by the context
	defer cancel()
	users := someUsers(3)
	for i := range users {
		users[i].Attrs["city"] = "a-city-of-no-concern"
	}
	result, err := c.SetAttr(ctx, users)
	p := partial(t, users, result, err)
	transport.search(t, printed(err)...)
	for u := range p.Users() {
		transport.search(t, printed(u)...)
	}
	for _, call := range otherCalls(t, c, users) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := call(ctx); err != nil {
			transport.search(t, printed(err)...)
			assert.NotContains(t, fmt.Sprintf("%+v", err), "a-city-of-no-concern")
		}
		cancel()
	}
	transport.search(t, printed(c)...)
	transport.search(t, printed(result)...)
	transport.search(t, printed(s.Config())[:8]...)
	transport.search(t, log.String(), fmt.Sprintf("%#v", events.all()))
	for _, text := range append(printed(err), log.String()) {
		assert.NotContains(t, text, "a-city-of-no-concern", "no attribute value")
	}
	assert.NotContains(t, log.String(), "user-0", "no account in the log")
}

// otherCalls are all ways to call the API but SetAttr.
func otherCalls(t *testing.T, c *timpush.Client, users []timpush.UserAttrs) []func(context.Context) error {
	t.Helper()
	names := []timpush.UserAttrNames{{ToAccount: "user-0", Names: []string{"city"}}}
	return []func(context.Context) error{
		func(ctx context.Context) error { _, err := c.GetAttr(ctx, []string{"user-0", "user-1"}); return err },
		func(ctx context.Context) error { _, err := c.RemoveAttr(ctx, names); return err },
		func(ctx context.Context) error { _, err := c.AttrNames(ctx); return err },
		func(ctx context.Context) error { return c.SetAttrNames(ctx, []timpush.AttrName{{Index: 1, Name: "x"}}) },
		func(ctx context.Context) error { return c.Preflight(ctx, users) },
		func(ctx context.Context) error { _, err := c.Verify(ctx, users); return err },
		func(ctx context.Context) error {
			var errs []error
			for _, err := range c.SetAttrSeq(ctx, from(users)) {
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
		func(ctx context.Context) error {
			b := timpush.NewBatcher(c)
			return errors.Join(b.SetAttr(ctx, users[0]), b.Close(ctx))
		},
	}
}

// TestRedactedErrorsStillMatch: what a caller may want to know of a transport's error survives.
func TestRedactedErrorsStillMatch(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, timpush.WithMaxAttempts(1), through(func(r *http.Request) (*http.Response, error) {
			return nil, nested{&url.Error{Op: "Post", URL: r.URL.String(), Err: context.DeadlineExceeded}}
		}))
		_, err := c.SetAttr(t.Context(), someUsers(1))
		var transport *url.Error
		require.ErrorAs(t, err, &transport)
		assert.Equal(t, "https://adminapisgp.im.qcloud.com/v4/timpush/set_attr", transport.URL)
		assert.True(t, transport.Timeout())
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// TestPasswordOfAProxy is in no error: the package net/url prints a URL that it cannot parse.
func TestPasswordOfAProxy(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for _, proxy := range []string{
			"http://user:S3cret@proxy:port", "http://user:S3cret@pro xy", "http://user:S3c ret@proxy", "http://user:S3c@ret@proxy:port", "http://user:S3cret@[::1",
			"http://user:S3c/ret@proxy", "http://user:S3c#ret@proxy", "http://user:S3c%ret@proxy", `http://user:S3c"ret@proxy`, "1user:S3cret@proxy:1",
		} {
			_, invalid := url.Parse(proxy)
			require.Error(t, invalid, proxy)
			for _, cause := range []error{invalid, fmt.Errorf("the proxy: %w", invalid), fmt.Errorf("the proxy: %v", invalid)} { //nolint:errorlint // as some do
				searchForPassword(t, &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, cause }})
			}
		}
		for _, cause := range []error{ // where what should be the whole URL is its Host
			&net.DNSError{Err: "no such host", Name: "user:S3cret@proxy", IsNotFound: true}, &net.AddrError{Err: "too many colons in address", Addr: "user:S3c@ret@proxy:1:2"},
			&net.DNSError{Err: "no such host", Name: `us er:S3c"ret@proxy`, IsNotFound: true},
		} {
			searchForPassword(t, &http.Transport{
				Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy"}),
				DialContext: func(_ context.Context, network, _ string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Net: network, Err: cause}
				},
			})
		}
	})
}

// searchForPassword makes a call that fails, and searches all that comes out of it for a password, S3cret with a sign within.
func searchForPassword(t *testing.T, transport *http.Transport) {
	t.Helper()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := newClient(t, timpush.WithMaxAttempts(1), timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithLogger(logger))
	_, err := c.SetAttr(t.Context(), someUsers(1))
	require.Error(t, err)
	require.NotErrorAs(t, err, new(*timpush.InputErrors))
	for _, text := range append(printed(err), log.String()) {
		assert.NotContains(t, text, "S3c")
		assert.NotContains(t, text, "ret@")
		assert.NotContains(t, text, "%re")
	}
	assert.Contains(t, err.Error(), "REDACTED")
}

type nested struct{ error }

func (n nested) Unwrap() error { return n.error }

type withURL struct{ URL *url.URL }

func (*withURL) Error() string { return "something went wrong" }

type withRequest struct{ query string }

func (*withRequest) Error() string { return "something went wrong" }

// TestTextsOfAnErrorList: what was sent is looked for in the request once, and not for each text of an answer. The test is not
// parallel, since AllocsPerRun counts what others allocate.
func TestTextsOfAnErrorList(t *testing.T) {
	users := someUsers(100)
	allocations := func(text string) float64 {
		var items []map[string]any
		for _, user := range users {
			items = append(items, map[string]any{"To_Account": user.ToAccount, "ErrorCode": 90035, "ErrorInfo": text})
		}
		answer, err := json.Marshal(map[string]any{"ActionStatus": "OK", "ErrorCode": 0, "ErrorList": items})
		require.NoError(t, err)
		c := newClient(t, timpush.WithLimiter(unlimited{}), through(answering(string(answer))))
		return testing.AllocsPerRun(3, func() {
			result, err := c.SetAttr(t.Context(), users)
			partial(t, users, result, err)
		})
	}
	assert.Less(t, allocations("the account is of another type"), 5*allocations(""))
}

// TestCostOfAnErrorPage: an outage brings pages as fast as requests. To look for each part of one in the request took half a second of a core.
func TestCostOfAnErrorPage(t *testing.T) {
	t.Parallel()
	users := someUsers(100)
	for i := range users {
		for k := range 9 {
			users[i].Attrs[fmt.Sprintf("%049d%d", i, k)] = "a city that has a name of some length, near another"[:50]
		}
	}
	fastest := func(page string) time.Duration {
		c := newClient(t, timpush.WithMaxAttempts(1), timpush.WithLimiter(unlimited{}), through(func(*http.Request) (*http.Response, error) {
			return response(http.StatusBadGateway, page), nil
		}))
		least := time.Hour
		for range 4 {
			began := time.Now()
			result, err := c.SetAttr(t.Context(), users)
			least = min(least, time.Since(began))
			partial(t, users, result, err)
		}
		return least
	}
	page := strings.Repeat("<p style='width:100%'>The service is not available now. Please try again later &amp; be patient.</p>\n", 50)
	assert.Less(t, fastest(page), 10*fastest("down"))
}

// TestTextBehindAPage: a gateway counts the characters of its page in place of the bytes, so that the end of the page follows the answer.
func TestTextBehindAPage(t *testing.T) { // not parallel: all write to the standard logger
	for _, answer := range []string{"502 <p>暂无 %s", "200 <p>暂无 %s", `200 {"code":500,"message":"系统繁忙，请稍后再试","path":"%s"}`} {
		gateway := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			conn, out, err := http.NewResponseController(rw).Hijack()
			if err == nil {
				status, page, _ := strings.Cut(answer, " ")
				page = fmt.Sprintf(page, r.URL)
				_, _ = fmt.Fprintf(out, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, utf8.RuneCountInString(page), page)
				_ = out.Flush()
				_, _ = conn.Read(make([]byte, 1)) // until the client closes it
				_ = conn.Close()
			}
		}))
		var logged bytes.Buffer
		log.SetOutput(&logged)
		c := newClient(t, timpush.WithMaxAttempts(1), timpush.WithBaseURL(gateway.URL))
		_, err := c.SetAttr(t.Context(), someUsers(1))
		gateway.Close()
		time.Sleep(50 * time.Millisecond) // the transport would write it soon after the answer
		log.SetOutput(os.Stderr)
		require.ErrorAs(t, err, new(*timpush.HTTPError))
		assert.Empty(t, logged.String())
	}
}

// TestAnswerLongerThanItsContentLength: a caller's transport has changed it, as where texts of a recorded answer were replaced.
func TestAnswerLongerThanItsContentLength(t *testing.T) {
	t.Parallel()
	requests := 0
	c := newClient(t, through(func(*http.Request) (*http.Response, error) {
		requests++
		answer := response(http.StatusOK, `{"ActionStatus":"OK","ErrorInfo":"a longer text than there was","ErrorCode":0}`)
		answer.ProtoMajor, answer.ContentLength = 1, 50
		return answer, nil
	}))
	_, err := c.SetAttr(t.Context(), someUsers(1))
	require.NoError(t, err)
	assert.Equal(t, 1, requests)
}

// TestKeyInPlaceOfTheRegion, as where two settings of a program were swapped.
func TestKeyInPlaceOfTheRegion(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("0123456789abcdef", 4)
	_, err := timpush.ParseRegion(key)
	require.ErrorContains(t, err, "unknown region")
	assert.NotContains(t, err.Error(), key[:8])
	_, err = timpush.NewClient(timpush.Config{SDKAppID: 1, Identifier: "administrator", SecretKey: key, Region: timpush.Region(key)}, timpush.WithBackupHost())
	require.ErrorContains(t, err, "Config.Region is")
	assert.NotContains(t, err.Error(), key[:8])
}

// TestKeyInPlaceOfTheIdentifier: it would be sent in each URL, and a Config shows its Identifier and its Region.
func TestKeyInPlaceOfTheIdentifier(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("0123456789abcdef", 4)
	for want, swapped := range map[string]timpush.Config{
		"were the two swapped?": {SDKAppID: 1, Identifier: key, SecretKey: "administrator", Region: timpush.RegionSingapore},
		"a secret key":          {SDKAppID: 1, Identifier: key + " ", SecretKey: "administrator", Region: timpush.RegionSingapore},
		"control characters":    {SDKAppID: 1, Identifier: key + "\n", SecretKey: "administrator", Region: timpush.RegionSingapore},
		"Config.Region is":      {SDKAppID: 1, Identifier: "administrator", SecretKey: "singapore", Region: timpush.Region(key)},
	} {
		_, err := timpush.NewClient(swapped)
		require.ErrorContains(t, err, want)
		data, fails := json.Marshal(swapped)
		require.NoError(t, fails)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v %s %v %v", swapped, swapped, swapped, data, swapped.LogValue(), err), key[:8])
	}
}

package timpush_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
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

// Limits are inclusive: a value at a limit is accepted, also when another value has a fault.
func TestLimitsAreInclusive(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		name, value := strings.Repeat("n", 50), strings.Repeat("v", 50)
		names := []string{name}
		for i := range 9 {
			names = append(names, strconv.Itoa(i))
		}
		s := fake(t, timpushtest.WithAttrNames(names...))
		full := timpush.UserAttrs{ToAccount: "full", Attrs: timpush.Attrs{}}
		for _, n := range names {
			full.Attrs[n] = value
		}
		first, second := timpush.UserAttrs{ToAccount: "merged", Attrs: timpush.Attrs{name: value}}, timpush.UserAttrs{ToAccount: "merged", Attrs: full.Attrs}
		_, err := client(s).SetAttr(t.Context(), []timpush.UserAttrs{full, first, second})
		require.NoError(t, err)
		assert.Equal(t, map[string]string(full.Attrs), s.Attrs("full"))
		assert.Equal(t, map[string]string(full.Attrs), s.Attrs("merged"))

		full.Attrs[name] = value + "v"
		_, err = client(s).SetAttr(t.Context(), []timpush.UserAttrs{full, first})
		require.ErrorContains(t, err, "timpush: invalid input, nothing was sent: user 0 \"full\" attribute ")
		_, err = client(s).RemoveAttr(t.Context(), []timpush.UserAttrNames{{ToAccount: "merged", Names: names}})
		require.NoError(t, err)
		require.NoError(t, client(s).SetAttrNames(t.Context(), []timpush.AttrName{{Index: 9, Name: strings.Repeat("m", 50)}}))
	})
}

// TestOutcomeOfEachCode: by the documentation, these codes leave open whether the request was applied.
func TestOutcomeOfEachCode(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		open := []int{
			60008, 60013, 70169, 70500, 91000, // of this service; those below are internal errors and timeouts of its sisters
			70017, 70201, 70202, 70203, 70205, 70207, 70208, 70212, 70213, 70222, 70225, 70231, 70308, 70348, 70362, 70401,
			90992, 90994, 90995,
		}
		for _, code := range slices.Concat(slices.Collect(maps.Values(codesByClass(t)))...) {
			s := fake(t)
			s.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(code) })
			result, err := client(s, timpush.WithMaxAttempts(1)).SetAttr(t.Context(), someUsers(1))
			require.ErrorIs(t, err, timpush.Code(code))
			want := timpush.Result{Rejected: 1, Requests: result.Requests}
			if slices.Contains(open, code) {
				want = timpush.Result{Unknown: 1, Requests: 1}
			}
			assert.Equal(t, want, *result, code)
		}
	})
}

func TestOptionBoundsAreInclusive(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		const agent = " printable ASCII ~"
		c := client(s, timpush.WithUserAgent(agent), timpush.WithMaxInFlight(1), timpush.WithMaxAttempts(1), timpush.WithUserSigTTL(time.Second))
		_, err := c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		assert.Equal(t, strings.TrimSpace(agent), strings.TrimSpace(s.Calls()[0].Header.Get("User-Agent")))
		newClient(t, timpush.WithUserSigTTL((1<<31-1)*time.Second), timpush.WithAttemptTimeout(1))

		slow := fake(t, timpushtest.WithLatency(time.Second, 0))
		b, began := timpush.NewBatcher(client(slow), timpush.WithMaxWaiting(1), timpush.WithLinger(0)), time.Now()
		var callers sync.WaitGroup
		for i := range 2 {
			callers.Go(func() { assert.NoError(t, b.SetAttr(t.Context(), userIn(account(i), "x"))) })
		}
		callers.Wait()
		assert.Equal(t, 2*time.Second, time.Since(began), "there is room for one")
		require.NoError(t, b.Close(t.Context()))
	})
}

func TestDefaults(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		c := client(s)
		for users, want := range map[int]time.Duration{3200: time.Second, 3300: 2 * time.Second} {
			began := time.Now()
			_, err := c.SetAttr(t.Context(), someUsers(users))
			require.NoError(t, err)
			assert.Equal(t, want, time.Since(began), "32 requests at a time")
		}

		usersig := func() string {
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			calls := s.Calls()
			return calls[len(calls)-1].Query.Get("usersig")
		}
		s, began := fake(t), time.Now()
		c = client(s)
		first := usersig()
		time.Sleep(24*time.Hour*4/5 - time.Since(began) - 2*time.Second)
		assert.Equal(t, first, usersig(), "it is kept for four fifths of a day")
		time.Sleep(4 * time.Second)
		assert.NotEqual(t, first, usersig())
	})
}

// The endpoints of names are retried as set_attr is.
func TestOtherEndpointsAreRetried(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		for what, call := range map[string]func(*timpush.Client) error{
			"AttrNames": func(c *timpush.Client) error { _, err := c.AttrNames(t.Context()); return err },
			"SetAttrNames": func(c *timpush.Client) error {
				return c.SetAttrNames(t.Context(), []timpush.AttrName{{Index: 5, Name: "x"}})
			},
			"Preflight": func(c *timpush.Client) error { return c.Preflight(t.Context(), someUsers(1)) },
		} {
			s.Inject(timpushtest.ErrorCode(91000))
			require.NoError(t, call(client(s)), what)
		}
	})
}

// brokenBody is a body that cannot be read to its end.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (brokenBody) Close() error             { return nil }

func TestStatusDecidesWithoutItsPage(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, timpush.WithMaxAttempts(1), through(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusBadGateway, Body: brokenBody{}, Request: r}, nil
		}))
		_, err := c.SetAttr(t.Context(), someUsers(1))
		var page *timpush.HTTPError
		require.ErrorAs(t, err, &page)
		assert.Equal(t, http.StatusBadGateway, page.StatusCode)
	})
}

func TestErrorTextsAtTheirBounds(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	empty := func(n int) string {
		var users []timpush.UserAttrs
		for range n {
			users = append(users, userIn("", "x"))
		}
		_, err := c.SetAttr(t.Context(), users)
		return err.Error()
	}
	assert.NotContains(t, empty(5), "more")
	assert.True(t, strings.HasSuffix(empty(6), "; and 1 more"), empty(6))

	cause := errors.New("x")
	assert.Equal(t, `user 0 "a" rejected: x`, (&timpush.UserError{ToAccount: "a", Outcome: timpush.Rejected, Err: cause}).Error())
	fault := &timpush.InputError{Index: 3, ToAccount: "a", Attr: "city", Reason: "x"}
	assert.Equal(t, `user 3 "a" rejected: attribute "city": x`, (&timpush.UserError{Index: 3, ToAccount: "a", Outcome: timpush.Rejected, Err: fault}).Error(), "the user is printed once")
	assert.Equal(t, `user 3 "a" attribute "city": x`, fault.Error(), "alone it names the user")
	account := func(n int) string {
		return (&timpush.UserError{ToAccount: strings.Repeat("a", n), Err: cause}).Error()
	}
	assert.Contains(t, account(64), `"`+strings.Repeat("a", 64)+`"`)
	assert.Contains(t, account(65), `"`+strings.Repeat("a", 61)+`..."`)
	info := func(text string) string {
		return (&timpush.APIError{Code: 60999, Info: text, Endpoint: "e"}).Error()
	}
	assert.Contains(t, info(strings.Repeat("i", 200)), strings.Repeat("i", 200))
	assert.Contains(t, info(strings.Repeat("i", 201)), strings.Repeat("i", 197)+"...")
	assert.Contains(t, info("a\x7fb c\n"), "a b c")
	assert.NotContains(t, info("a\x7fb c\n"), "\x7f")

	for n, want := range map[int]string{20: strings.Repeat("r", 20), 21: "..."} {
		config := testConfig
		config.Region = timpush.Region(strings.Repeat("r", n))
		_, err := timpush.NewClient(config)
		require.ErrorContains(t, err, `"`+want+`"`)
	}
	for _, format := range []string{"%v", "%s", "%d", "%+v"} {
		assert.Contains(t, fmt.Sprintf(format, testConfig), "administrator")
	}
	assert.Contains(t, fmt.Sprintf("%#v", testConfig), "timpush.Config{")
	assert.NotContains(t, fmt.Sprintf("%v", testConfig), "timpush.Config{")
}

func TestPartialErrorCounts(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Refuse(90035, "user-1")
		_, err := client(s).SetAttr(t.Context(), someUsers(3))
		require.ErrorContains(t, err, `timpush: v4/timpush/set_attr: 1 of 3 users not done (1 rejected, 0 unknown, 0 not sent), the first: user 1 "user-1" rejected: `)
	})
}

// A gateway's page may repeat the query, escaped or not. What is left of it tells that something was there.
func TestRedactedTextSaysSo(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, timpush.WithMaxAttempts(1), through(func(r *http.Request) (*http.Response, error) {
			usersig := r.URL.Query().Get("usersig")
			body := "was " + usersig + " or " + strings.ReplaceAll(usersig, "*", "%2A") + " and short"
			return response(http.StatusBadGateway, body), nil
		}))
		_, err := c.SetAttr(t.Context(), someUsers(1))
		var page *timpush.HTTPError
		require.ErrorAs(t, err, &page)
		assert.Equal(t, "was REDACTED or REDACTED and short", page.Snippet)

		c = newClient(t, timpush.WithMaxAttempts(1), through(func(r *http.Request) (*http.Response, error) {
			return response(http.StatusBadGateway, r.URL.Query().Get("usersig")[:16]), nil
		}))
		_, err = c.SetAttr(t.Context(), someUsers(1))
		require.ErrorAs(t, err, &page)
		assert.Equal(t, "REDACTED", page.Snippet, "sixteen characters of it are enough")

		const stars = "eJwVjEEL*gjAUhf-L*5xC7u9OE"
		c = newClient(t, timpush.WithMaxAttempts(1), timpush.WithSigner(signerFunc(func(context.Context) (string, time.Time, error) {
			return stars, time.Now().Add(time.Hour), nil
		})), through(func(*http.Request) (*http.Response, error) {
			return response(http.StatusBadGateway, strings.ReplaceAll(stars, "*", "%2a")), nil
		}))
		_, err = c.SetAttr(t.Context(), someUsers(1))
		require.ErrorAs(t, err, &page)
		assert.Equal(t, "REDACTED", page.Snippet, "also where no part between two escapes is that long")
	})
}

func TestOwnTransport(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]timpush.Option{nil, {timpush.WithHTTPClient(&http.Client{Timeout: time.Minute})}} {
		s := timpushtest.Start(t, timpushtest.WithPlainHTTP())
		c, err := timpush.NewClient(s.Config(), append(opts, timpush.WithBaseURL(s.URL))...)
		require.NoError(t, err)
		_, err = c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		assert.Empty(t, s.Calls()[0].Header.Values("Accept-Encoding"), "an answer is too short to be worth it")
	}
}

// TestTimesOfTheTransport: dialing, a handshake and a dead connection end within an attempt, so that there is time for more.
func TestTimesOfTheTransport(t *testing.T) {
	t.Parallel()
	var dialing time.Duration
	base := &http.Transport{TLSHandshakeTimeout: 10 * time.Second, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		deadline, ok := ctx.Deadline()
		require.True(t, ok)
		dialing = time.Until(deadline).Round(100 * time.Millisecond)
		return nil, errors.New("refused")
	}}
	transport := timpush.OwnTransport(base, 10*time.Second)
	_, err := transport.DialContext(t.Context(), "tcp", "localhost:1")
	require.Error(t, err)
	assert.Equal(t, 6*time.Second, dialing)
	assert.Equal(t, 4*time.Second, transport.TLSHandshakeTimeout)
	assert.Equal(t, http.HTTP2Config{SendPingTimeout: 3 * time.Second, PingTimeout: 2 * time.Second}, *transport.HTTP2)
	assert.Greater(t, transport.WriteBufferSize, 10_000, "a request of 100 users goes out at once")
	short := timpush.OwnTransport(&http.Transport{TLSHandshakeTimeout: time.Second}, 10*time.Second)
	assert.Equal(t, time.Second, short.TLSHandshakeTimeout)
	unlimited := timpush.OwnTransport(&http.Transport{}, 10*time.Second)
	assert.Equal(t, 4*time.Second, unlimited.TLSHandshakeTimeout, "one that hangs would keep its place among the connections")
	require.NotNil(t, unlimited.DialContext, "as above")
}

// TestNameServerThatIsDown: the resolver asks the second one after five seconds, each time. Also those with less time get a connection then.
func TestNameServerThatIsDown(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		base, ok := s.HTTPClient().Transport.(*http.Transport)
		require.True(t, ok)
		base = base.Clone()
		dial := base.DialContext
		base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			select {
			case <-time.After(5100 * time.Millisecond):
				return dial(ctx, network, address)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		for _, patience := range []time.Duration{time.Minute, 2 * time.Second} {
			transport := timpush.OwnTransport(base.Clone(), 10*time.Second)
			c := client(s, timpush.WithHTTPClient(&http.Client{Transport: transport}))
			began := time.Now()
			for {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				_, err := c.SetAttr(ctx, someUsers(1))
				cancel()
				if err == nil {
					break
				}
				require.Less(t, time.Since(began), 10*time.Second, "%v", err)
			}
			transport.CloseIdleConnections()
		}
	})
}

func TestNamesOfQuotas(t *testing.T) {
	t.Parallel()
	for quota, name := range map[timpush.Quota]string{
		-1: "unknown", timpush.QuotaUsers: "users", timpush.QuotaPush: "push", timpush.QuotaRecipients: "recipients",
		timpush.QuotaRevoke: "revoke", timpush.QuotaTasks: "tasks", timpush.QuotaStats: "stats", timpush.QuotaStats + 1: "unknown",
	} {
		assert.Equal(t, name, quota.String())
	}
}

// TestSmallestNumbers are accepted.
func TestSmallestNumbers(t *testing.T) {
	t.Parallel()
	for _, option := range []timpush.Option{timpush.WithRecipientRate(1), timpush.WithMaxAttempts(1), timpush.WithMaxInFlight(1), timpush.WithRetryBudget(1)} {
		_, err := timpush.NewClient(testConfig, option)
		require.NoError(t, err)
	}
	_, err := timpush.NewCallbackHandler(timpush.Callbacks{SDKAppID: 1})
	require.NoError(t, err)
}

// TestCallThatCannotGoOnEndsAtOnce: the limiter says that the deadline comes too early.
func TestCallThatCannotGoOnEndsAtOnce(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := client(fake(t), timpush.WithLimiter(rate.NewLimiter(rate.Every(time.Hour), 1)), timpush.WithMaxInFlight(1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		result, err := c.SetAttr(ctx, someUsers(300))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, timpush.Result{Done: 100, NotSent: 200, Requests: 1}, *result)
		assert.Zero(t, time.Since(began))
	})
}

// The Timeout of an http.Client bounds an attempt as it would one of its own requests.
func TestTimeoutOfTheHTTPClient(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.Hang())
		own := s.HTTPClient()
		own.Timeout = time.Second
		began := time.Now()
		_, err := client(s, timpush.WithHTTPClient(own), timpush.WithMaxAttempts(1)).SetAttr(t.Context(), someUsers(1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(began))
	})
}

func TestObserverSeesTheWaitForASlot(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(100*time.Millisecond, 0))
		events := &recorder{}
		c := client(s, timpush.WithObserver(events), timpush.WithMaxInFlight(1))
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() {
				_, err := c.SetAttr(t.Context(), someUsers(1))
				assert.NoError(t, err)
			})
		}
		calls.Wait()
		var waits []time.Duration
		for _, e := range events.all() {
			if e.Wait == timpush.WaitSlot {
				waits = append(waits, e.Duration)
			}
		}
		assert.ElementsMatch(t, []time.Duration{0, 100 * time.Millisecond}, waits)
	})
}

func TestInvalidAttributeNames(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"AttrNames":{"0":"a","1":"b","2":"c"},"AttrTypes":{"0":2,"1":-1,"2":1}}`))
		names, err := client(s).AttrNames(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []timpush.AttrName{
			{Index: 0, Name: "a"}, {Index: 1, Name: "b"}, {Index: 2, Name: "c", AccountType: timpush.AccountTypeRegistrationID},
		}, names, "types that there are not are not known")
		s.Inject(timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"AttrNames":["city"]}`))
		_, err = client(s, timpush.WithMaxAttempts(1)).AttrNames(t.Context())
		require.Error(t, err, "a list has no indexes")
		s.Inject(timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"AttrNames":{"0":"a"},"AttrTypes":{"0":1,"1":"x"}}`))
		names, err = client(s).AttrNames(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []timpush.AttrName{{Index: 0, Name: "a"}}, names, "types that cannot be read are not known")
	})
}

// TestPreflightNeedsClearNames: no user is refused because the server lists the app's names in an unusual way.
func TestPreflightNeedsClearNames(t *testing.T) {
	t.Parallel()
	for _, names := range []string{
		`{"0":{"Name":"city","Type":0}}`, `{"0":["city"]}`, `{"10":"city"}`, `{"00":"city"}`, `{"a":"city"}`, `["city"]`, `"city"`, "{\"0\":\"\xb3\xc7\xca\xd0\"}",
		`{"0":"city","1":"city"},"AttrTypes":{"0":0,"1":1}`, `{"0":"city","x":"city"},"AttrTypes":{"0":1,"x":0}`,
	} {
		t.Run(names, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				c := newClient(t, timpush.WithLimiter(unlimited{}), timpush.WithPreflight(),
					timpush.WithAccountTypes(func(string) timpush.AccountType { return timpush.AccountTypeUserID }),
					through(func(r *http.Request) (*http.Response, error) {
						if strings.HasSuffix(r.URL.Path, "/get_attr_name") {
							return response(http.StatusOK, `{"ActionStatus":"OK","ErrorCode":0,"AttrNames":`+names+`}`), nil
						}
						return alwaysOK(r)
					}))
				_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{userIn("a", "Rome")})
				require.NoError(t, err)
			})
		})
	}
}

// closer tells that a body is closed.
type closer struct {
	io.Reader
	closed *bool
}

func (c closer) Close() error { *c.closed = true; return nil }

func TestBodyOfAnAnswerIsClosed(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var closed bool
		c := newClient(t, through(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: closer{strings.NewReader(okAnswer), &closed}, Request: r}, nil
		}))
		_, err := c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		assert.True(t, closed)
	})
}

func TestLostAnswerHasNoStatus(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.CutBefore(), timpushtest.TruncateBody(5))
		events := &recorder{}
		_, err := client(s, timpush.WithObserver(events)).SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		var status []int
		for _, e := range events.all() {
			if e.Kind == timpush.AttemptEnd {
				status = append(status, e.Status)
			}
		}
		assert.Equal(t, []int{0, 200, 200}, status)
	})
}

func TestMissingTextIsEmpty(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.Answer(200, `{"ActionStatus":"FAIL","ErrorCode":90009,"ErrorInfo":null}`))
		_, err := client(s).SetAttr(t.Context(), someUsers(1))
		var api *timpush.APIError
		require.ErrorAs(t, err, &api)
		assert.Empty(t, api.Info)
	})
}

func TestAccountListedTwice(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		const item = `{"To_Account":"user-0","ErrorCode":%d}`
		list := fmt.Sprintf(item+","+item+","+item, 90035, 70107, 90033)
		s.Inject(timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[`+list+`]}`))
		users := someUsers(2)
		result, err := client(s).SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Equal(t, timpush.Result{Done: 1, Rejected: 1, Requests: 1}, *result)
		var first *timpush.APIError
		require.ErrorAs(t, err, &first)
		assert.Equal(t, timpush.ErrAccountType, first.Code, "the first code counts")
		require.ErrorIs(t, err, timpush.ErrNoSuchAccount, "the other codes are in the error too")
		require.ErrorIs(t, err, timpush.ErrInvalidAttr)

		s.Inject(timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[`+strings.Repeat(fmt.Sprintf(item, 90035)+",", 50)+fmt.Sprintf(item, 70107)+`]}`))
		_, err = client(s).SetAttr(t.Context(), users)
		require.NotErrorIs(t, err, timpush.ErrNoSuchAccount, "but not any number of them")
		assert.Less(t, len(err.Error()), 1100)
	})
}

func TestAccountListedInAnotherCase(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		const answer = `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"To_Account":"MARY","ErrorCode":90035}]}`
		s := fake(t)
		s.Inject(timpushtest.Answer(200, answer))
		users := []timpush.UserAttrs{userIn("Mary", "x"), userIn("bob", "x")}
		result, err := client(s).SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Equal(t, timpush.Result{Done: 1, Rejected: 1, Requests: 1}, *result, "it can only be Mary")

		s.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.Answer(200, answer) })
		users = append(users, userIn("mary", "x"))
		result, err = client(s, timpush.WithMaxAttempts(1)).SetAttr(t.Context(), users)
		failed := outcomes(partial(t, users, result, err))
		assert.Greater(t, result.Requests, 1, "which of the two is meant shows only when they are sent alone")
		assert.Equal(t, timpush.Rejected, failed["Mary"])
		assert.Equal(t, timpush.Rejected, failed["mary"])
	})
}

// TestErrorListInAnotherCase: the API is not strict with the case of names (TaskId and TaskID), and a list that is overlooked would
// make users Done.
func TestErrorListInAnotherCase(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		for _, name := range []string{"Errorlist", "errorList", "error_list"} {
			s.Inject(timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"`+name+`":[{"To_Account":"user-1","ErrorCode":70107}]}`))
			users := someUsers(2)
			result, err := client(s).SetAttr(t.Context(), users)
			assert.Equal(t, map[string]timpush.Outcome{"user-1": timpush.Rejected}, outcomes(partial(t, users, result, err)), name)
		}
	})
}

func TestStatusAtItsBounds(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for status, want := range map[int]timpush.Result{
			299: {Unknown: 1, Requests: 4}, 300: {Rejected: 1, Requests: 1}, 499: {Rejected: 1, Requests: 1}, 500: {Unknown: 1, Requests: 4},
		} {
			s := fake(t)
			s.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.Status(status) })
			result, _ := client(s).SetAttr(t.Context(), someUsers(1))
			assert.Equal(t, want, *result, status)
		}
	})
}

func TestPartialErrorCountsAllOutcomes(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.CutAfter(), timpushtest.ErrorCode(90009))
		users := someUsers(300)
		result, err := client(s, timpush.WithMaxInFlight(1), timpush.WithMaxAttempts(1)).SetAttr(t.Context(), users)
		partial(t, users, result, err)
		require.ErrorContains(t, err, "300 of 300 users not done (100 rejected, 100 unknown, 100 not sent)")
	})
}

// An account may become known a moment after its attributes were set.
func TestVerifyWaitsForAnAccountThatIsNotKnownYet(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users := someUsers(3)
		_, err := client(s).SetAttr(t.Context(), users)
		require.NoError(t, err)
		s.Refuse(70107, "user-0", "user-1")
		time.AfterFunc(300*time.Millisecond, func() { s.Refuse(0, "user-0") })
		result, err := client(s).Verify(t.Context(), users)
		p := partial(t, users, result, err)
		assert.Equal(t, map[string]timpush.Outcome{"user-1": timpush.Rejected}, outcomes(p))
		require.ErrorIs(t, err, timpush.ErrNotStored)
		require.ErrorIs(t, err, timpush.ErrNoSuchAccount)
		assert.Equal(t, users[1:2], p.Remaining(users), "it is worth setting again")

		s.Refuse(0, "user-1")
		users[2].Attrs = timpush.Attrs{"city": "elsewhere"}
		result, err = client(s).Verify(t.Context(), users)
		p = partial(t, users, result, err)
		assert.Equal(t, users[2:], p.Remaining(users))
		require.ErrorContains(t, err, "timpush: v4/timpush/get_attr: 1 of 3 users", "the endpoint that was called")
	})
}

func TestStreamReturnsASingleFaultUnwrapped(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		users := []timpush.UserAttrs{userIn("", "x"), {}}
		all := drain(t, client(fake(t)).SetAttrSeq(t.Context(), from(users)))
		for i, text := range []string{"ToAccount is empty", "timpush: 2 faults in the input, nothing was sent: "} {
			_, alone := all.errs[int64(i)].(*timpush.InputError) //nolint:errorlint // this very one
			assert.Equal(t, i == 0, alone)
			assert.ErrorContains(t, all.errs[int64(i)], text)
		}
	})
}

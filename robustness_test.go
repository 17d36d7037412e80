package timpush_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
)

// TestSignerThatTimesOutOnce: an error of a Signer costs one attempt, also one that matches context.DeadlineExceeded, as that of
// an http.Client with a Timeout does, in a call with a deadline that is far away.
func TestSignerThatTimesOutOnce(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var calls atomic.Int64
		c := newClient(t, through(alwaysOK), timpush.WithSigner(signerFunc(func(context.Context) (string, time.Time, error) {
			if calls.Add(1) == 1 {
				return "", time.Time{}, fmt.Errorf("vault: %w", context.DeadlineExceeded)
			}
			return "sig", time.Time{}, nil
		})))
		_, err := c.SetAttr(ctx, someUsers(1000))
		require.NoError(t, err)
	})
}

// TestLargestNumbersInOptions do not overflow.
func TestLargestNumbersInOptions(t *testing.T) {
	t.Parallel()
	const longest = time.Duration(math.MaxInt64)
	t.Run("attempt timeout", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, okAnswer) }))
		t.Cleanup(s.Close)
		c := newClient(t, timpush.WithBaseURL(s.URL), timpush.WithAttemptTimeout(longest), timpush.WithRetryBudget(longest), timpush.WithMaxAttempts(1))
		_, err := c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
	})
	t.Run("recipients", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			_, c := pusher(t, timpush.WithRecipientRate(math.MaxInt))
			_, err := c.PushTo(t.Context(), accounts(1000), hello)
			var p *timpush.PartialError
			if err != nil {
				require.ErrorAs(t, err, &p)
			}
		})
	})
	t.Run("Batcher", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			b := timpush.NewBatcher(client(fake(t)), timpush.WithLinger(time.Second), timpush.WithMaxWaiting(math.MaxInt))
			require.NoError(t, b.SetAttr(t.Context(), someUsers(1)[0]))
			require.NoError(t, b.Close(t.Context()))
		})
	})
	t.Run("invalid users", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			all := drain(t, client(fake(t)).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) {
				for range 10 {
					if !yield(timpush.UserAttrs{}, nil) {
						return
					}
				}
			}, timpush.WithMaxInvalid(math.MinInt)))
			assert.Less(t, all.last.Progress.Rejected, 10)
		})
	})
}

// TestAnswerBesideAnError: a transport that returns both may have reached the server, whatever the error says.
func TestAnswerBesideAnError(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		closed := 0
		c := newClient(t, timpush.WithMaxAttempts(1), through(func(*http.Request) (*http.Response, error) {
			r := response(http.StatusOK, okAnswer)
			r.Body = closing{r.Body, func() { closed++ }}
			return r, &net.OpError{Op: "dial", Err: errors.New("refused")}
		}))
		result, err := c.SetAttr(t.Context(), someUsers(1))
		require.Error(t, err)
		assert.Equal(t, timpush.Result{Unknown: 1, Requests: 1}, *result)
		assert.Equal(t, 1, closed)
		_, err = c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
		var call *timpush.CallError
		require.ErrorAs(t, err, &call)
		assert.Equal(t, timpush.Unknown, call.Outcome)
	})
}

type closing struct {
	io.Reader
	closed func()
}

func (c closing) Close() error {
	c.closed()
	return nil
}

// TestPushWhoseAnswerContradictsItself may have gone out: it is Unknown, and not repeated.
func TestPushWhoseAnswerContradictsItself(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"throttle code and a TaskID":   `{"ActionStatus":"FAIL","ErrorCode":60007,"TaskId":"task"}`,
		"throttle code and OK":         `{"ActionStatus":"OK","ErrorCode":60007}`,
		"expired UserSig and OK":       `{"ActionStatus":"OK","ErrorCode":70001}`,
		"refusal and a TaskID":         `{"ActionStatus":"FAIL","ErrorCode":90001,"TaskId":"task"}`,
		"refusal and OK":               `{"ActionStatus":"OK","ErrorCode":90001,"TaskId":""}`,
		"refusal and a numeric TaskID": `{"ActionStatus":"FAIL","ErrorCode":90104,"TaskId":7,"TaskID":7}`,
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				var requests atomic.Int64
				c := newClient(t, through(func(r *http.Request) (*http.Response, error) {
					requests.Add(1)
					return answering(answer)(r)
				}))
				var call *timpush.CallError
				_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
				require.ErrorAs(t, err, &call)
				assert.Equal(t, timpush.Unknown, call.Outcome, "Push")
				_, err = c.AddTask(t.Context(), timpush.Schedule{At: time.Now().Add(time.Hour), TaskContent: timpush.TaskContent{To: timpush.Audience{Everybody: true}, Push: hello}})
				require.ErrorAs(t, err, &call)
				assert.Equal(t, timpush.Unknown, call.Outcome, "AddTask")
				assert.EqualValues(t, 2, requests.Load())
				result, err := c.PushTo(t.Context(), accounts(2), hello)
				require.Error(t, err)
				assert.Equal(t, timpush.Result{Unknown: 2, Requests: 1}, result.Result)
				assert.Empty(t, timpush.Remaining(err, accounts(2)))
			})
		})
	}
}

// TestInputThatIsNotUTF8 is a fault of the input.
func TestInputThatIsNotUTF8(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := client(fake(t))
		now := time.Now()
		for name, err := range map[string]error{
			"Type of DeleteTask": c.DeleteTask(t.Context(), 1, "\xff"),
			"Type of ModifyTask": c.ModifyTask(t.Context(), 1, timpush.TaskChange{Type: "\xff", At: now.Add(time.Hour)}),
			"Keyword":            firstError(c, timpush.TaskQuery{BeginTime: now, EndTime: now, Keyword: "\xff"}),
			"OrderBy":            firstError(c, timpush.TaskQuery{BeginTime: now, EndTime: now, OrderBy: "\xff"}),
		} {
			var faulty *timpush.InputErrors
			assert.ErrorAs(t, err, &faulty, name)
		}
	})
}

func firstError(c *timpush.Client, q timpush.TaskQuery) error {
	for _, err := range c.Tasks(context.Background(), q) {
		return err
	}
	return nil
}

// TestTasksWithoutNumbers are listed too.
func TestTasksWithoutNumbers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, through(answering(`{"ActionStatus":"OK","ErrorCode":0,"Total":1,"Tasks":[{"Status":"pending"}]}`)))
		n := 0
		for task, err := range c.Tasks(t.Context(), timpush.TaskQuery{BeginTime: time.Now(), EndTime: time.Now()}) {
			require.NoError(t, err)
			assert.Equal(t, "pending", task.Status)
			n++
		}
		assert.Equal(t, 1, n)
	})
}

// TestValueAtTheBoundOfAText is not left in half.
func TestValueAtTheBoundOfAText(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		user := userIn("a", strings.Repeat("v", 50))
		for _, before := range []int{950, 960, 990} {
			info := strings.Repeat("-", before) + user.Attrs["city"]
			for _, answer := range []string{
				`{"ActionStatus":"FAIL","ErrorCode":90033,"ErrorInfo":"` + info + `"}`,
				`{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"To_Account":"a","ErrorCode":90033,"ErrorInfo":"` + info + `"}]}`,
			} {
				_, err := newClient(t, through(answering(answer))).SetAttr(t.Context(), []timpush.UserAttrs{user})
				var api *timpush.APIError
				require.ErrorAs(t, err, &api)
				assert.NotContains(t, api.Info, "vvvv")
				assert.LessOrEqual(t, len(api.Info), 1000)
			}
		}
	})
}

// TestValuesOfAPushStayOutOfErrors: texts in lists and numbers too.
func TestValuesOfAPushStayOutOfErrors(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		p := timpush.Push{Notification: timpush.Notification{
			Title: "title-abc", TemplateParam: map[string]any{"names": []string{"Zhang San"}, "account": 6222021001}, Extra: timpush.Extra{"More": []any{[]string{"nested one"}}},
		}}
		for _, value := range []string{"title-abc", "Zhang San", "nested one", "6222021001"} {
			c := newClient(t, through(answering(`{"ActionStatus":"FAIL","ErrorCode":90001,"ErrorInfo":"bad value `+value+`"}`)))
			_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, p)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), value)
		}
	})
}

// TestValueOfAnAttributeCalledTags: names that a program chooses may be those of members that have no values.
func TestValueOfAnAttributeCalledTags(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		attrs := timpush.Attrs{"Tags": "a value of a user"}
		c := newClient(t, through(answering(`{"ActionStatus":"FAIL","ErrorCode":90001,"ErrorInfo":"bad value a value of a user"}`)))
		_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{{ToAccount: "mary", Attrs: attrs}})
		require.Error(t, err)
		assert.NotContains(t, err.Error(), attrs["Tags"])
		p := timpush.Push{Notification: timpush.Notification{TemplateParam: map[string]any{"OrderBy": "a value of a user"}}}
		for _, to := range []timpush.Audience{{AttrsAnd: attrs}, {AttrsOr: attrs}, {Everybody: true}} {
			_, err = c.Push(t.Context(), to, p)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), attrs["Tags"])
		}
	})
}

// TestNothingLeavesAfterTheEndOfItsContext, also where a Limiter or a Signer does not look at it.
func TestNothingLeavesAfterTheEndOfItsContext(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for name, opt := range map[string]timpush.Option{
			"Limiter": timpush.WithLimiter(limiterFunc(func(context.Context) error {
				time.Sleep(time.Minute)
				return nil
			})),
			"Signer": timpush.WithSigner(signerFunc(func(context.Context) (string, time.Time, error) {
				time.Sleep(time.Minute)
				return "sig", time.Time{}, nil
			})),
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			s := fake(t)
			result, err := client(s, opt).SetAttr(ctx, someUsers(1000))
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded, name)
			assert.Equal(t, timpush.Result{NotSent: 1000}, *result, name)
			assert.Empty(t, s.Calls(), name)
		}
	})
}

// TestContextsThatHaveEnded: nothing is sent, by any method.
func TestContextsThatHaveEnded(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var requests atomic.Int64
		c := newClient(t, timpush.WithLimiter(unlimited{}), through(func(r *http.Request) (*http.Response, error) {
			requests.Add(1)
			return alwaysOK(r)
		}))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		now := time.Now()
		everybody := timpush.Audience{Everybody: true}
		for range 20 {
			_, push := c.Push(ctx, everybody, hello)
			_, task := c.AddTask(ctx, timpush.Schedule{At: now.Add(time.Hour), TaskContent: timpush.TaskContent{To: everybody, Push: hello}})
			_, names := c.AttrNames(ctx)
			_, stats := c.PushStats(ctx, now, now.Add(time.Hour))
			for _, err := range []error{push, task, names, stats, c.Revoke(ctx, "task", nil), c.DeleteTask(ctx, 1, timpush.TaskAll)} {
				var call *timpush.CallError
				require.ErrorAs(t, err, &call)
				assert.Equal(t, timpush.NotSent, call.Outcome)
				require.ErrorIs(t, err, context.Canceled)
			}
			result, err := c.PushTo(ctx, accounts(2), hello)
			require.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, timpush.Result{NotSent: 2}, result.Result)
			_, err = c.GetTags(ctx, accounts(2))
			require.ErrorIs(t, err, context.Canceled)
			_, err = c.Verify(ctx, someUsers(2))
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, c.Preflight(ctx, someUsers(2)), context.Canceled)
			require.ErrorIs(t, timpush.NewBatcher(c).SetAttr(ctx, someUsers(1)[0]), context.Canceled)
		}
		assert.Zero(t, requests.Load())
	})
}

// TestContextsThatEndWithACause: the standard transport returns the cause and nothing else. It may be the failure of something else, so
// that it says nothing about the host, and the error matches that of the context too.
func TestContextsThatEndWithACause(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var hosts []string
		wait := true
		events := &recorder{}
		c := newClient(t, timpush.WithBackupHost(), timpush.WithObserver(events), through(func(r *http.Request) (*http.Response, error) {
			hosts = append(hosts, r.URL.Host)
			if !wait {
				return alwaysOK(r)
			}
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		}))
		other := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("the database refuses")}
		calls := map[string]func(context.Context) error{
			"Push": func(ctx context.Context) error {
				_, err := c.Push(ctx, timpush.Audience{Everybody: true}, hello)
				return err
			},
			"PushTo":  func(ctx context.Context) error { _, err := c.PushTo(ctx, accounts(1), hello); return err },
			"SetAttr": func(ctx context.Context) error { _, err := c.SetAttr(ctx, someUsers(1)); return err },
		}
		for name, call := range calls {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(other) })
			err := call(ctx)
			require.ErrorIs(t, err, context.Canceled, name)
			require.ErrorIs(t, err, other, name)
			ctx, release := context.WithTimeoutCause(t.Context(), time.Second, other)
			err = call(ctx)
			release()
			require.ErrorIs(t, err, context.DeadlineExceeded, name)
			require.ErrorIs(t, err, other, name)
			stopping := fmt.Errorf("the program stops: %w", context.Canceled)
			ctx, cancel = context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(stopping) })
			require.ErrorIs(t, call(ctx), stopping, name)
		}
		failures := map[string]int{}
		for _, e := range events.all() {
			if e.Kind == timpush.AttemptEnd {
				failures[e.Failure]++
			}
		}
		assert.Equal(t, map[string]int{"canceled": 6, "timeout": 3}, failures)
		wait = false
		require.NoError(t, calls["SetAttr"](t.Context()))
		assert.Equal(t, slices.Repeat([]string{timpush.RegionSingapore.Host()}, 10), hosts, "never the backup")
	})
}

// TestAttemptEndsWithAPanicOfTheTransport: what an Observer counts as under way must not remain so.
func TestAttemptEndsWithAPanicOfTheTransport(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		events := &recorder{}
		c := newClient(t, timpush.WithObserver(events), through(func(*http.Request) (*http.Response, error) { panic("the transport") }))
		assert.PanicsWithValue(t, "the transport", func() { _, _ = c.SetAttr(t.Context(), someUsers(1)) })
		kinds := map[timpush.EventKind]string{}
		for _, e := range events.all() {
			kinds[e.Kind] += e.Failure
		}
		assert.Equal(t, "panic", kinds[timpush.AttemptEnd])
		assert.Equal(t, "panic", kinds[timpush.CallEnd])
	})
}

// waitingForTheCause is a Limiter and a Signer that return the cause with which their context ends.
type waitingForTheCause struct{}

func (waitingForTheCause) Wait(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("the service: %w", context.Cause(ctx))
}

func (w waitingForTheCause) UserSig(ctx context.Context) (string, time.Time, error) {
	return "", time.Time{}, w.Wait(ctx)
}

// TestCauseThatIsTheFailureOfAnotherCall: an errgroup ends the context of the calls beside one that has failed with its error, whose
// outcomes and code are not theirs.
func TestCauseThatIsTheFailureOfAnotherCall(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		events := &recorder{}
		refuse := newClient(t, through(answering(`{"ActionStatus":"FAIL","ErrorCode":70009}`)))
		c := newClient(t, timpush.WithObserver(events), timpush.WithLimiter(unlimited{}), through(func(r *http.Request) (*http.Response, error) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		}))
		_, other := refuse.SetAttr(t.Context(), someUsers(300))
		require.Error(t, other)
		began := func() context.Context {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(other) })
			return ctx
		}
		all := drain(t, c.SetAttrSeq(began(), func(yield func(timpush.UserAttrs, error) bool) {
			for i := 0; yield(userIn(account(i), "x"), nil); i++ {
				time.Sleep(time.Millisecond)
			}
		}))
		require.Len(t, all.others, 1)
		early := all.others[0]
		assert.Empty(t, timpush.Remaining(early, []timpush.UserAttrs(nil)))
		_, push := c.Push(began(), timpush.Audience{Everybody: true}, hello)
		b := timpush.NewBatcher(c)
		one := b.SetAttr(began(), someUsers(1)[0])
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, b.Close(ended))
		waits := waitingForTheCause{}
		_, limited := newClient(t, timpush.WithLimiter(waits)).SetAttr(began(), someUsers(1))
		_, unsigned := newClient(t, timpush.WithSigner(waits)).SetAttr(began(), someUsers(1))
		for _, err := range []error{early, push, one, limited, unsigned} {
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, other)
			require.NotErrorIs(t, err, timpush.ErrUserSigMismatch)
			require.NotErrorAs(t, err, new(timpush.Code))
		}
		for _, err := range []error{early, push, one} {
			require.NotErrorAs(t, err, new(*timpush.PartialError))
			assert.Empty(t, timpush.Remaining(err, someUsers(1)))
		}
		for _, e := range events.all() {
			if e.Kind == timpush.AttemptEnd {
				assert.Equal(t, "canceled", e.Failure)
				assert.Zero(t, e.Code)
			}
		}
		assert.Empty(t, timpush.Remaining(other, []timpush.UserAttrs(nil)), "as an error of a source")
	})
}

// TestZeroValuesPrint: those of types that must be made by a function too.
func TestZeroValuesPrint(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		&timpush.Client{}, &timpush.Batcher{}, timpush.Notification{}, &timpush.BatchResult{}, &timpush.PushToResult{}, timpush.Callbacks{}, timpush.Config{},
		&timpush.APIError{}, &timpush.HTTPError{}, &timpush.InputErrors{}, &timpush.InputError{}, &timpush.UserError{}, &timpush.CallError{}, &timpush.PartialError{},
	} {
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v %s", v, v, v, v), "PANIC", "%T", v)
	}
}

// TestCallbackWithoutABody, as adapters of other servers make it.
func TestCallbackWithoutABody(t *testing.T) {
	t.Parallel()
	h, err := timpush.NewCallbackHandler(timpush.Callbacks{SDKAppID: 1400000000})
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://app.example/callback"+callbackQuery+"x", nil)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	assert.Equal(t, http.StatusBadRequest, w.Code)
}

// TestObserverThatReturnsNoContext keeps that which it was given.
func TestObserverThatReturnsNoContext(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		_, err := client(fake(t), timpush.WithObserver(nilObserver{})).SetAttr(t.Context(), someUsers(200))
		require.NoError(t, err)
	})
}

type nilObserver struct{}

func (nilObserver) Observe(context.Context, timpush.Event) context.Context { return nil }

// errorOf is a Limiter, a Signer and a transport that return an error.
type errorOf struct{ err error }

func (e errorOf) Wait(context.Context) error { return e.err }

func (e errorOf) UserSig(context.Context) (string, time.Time, error) { return "", time.Time{}, e.err }

func (e errorOf) RoundTrip(*http.Request) (*http.Response, error) { return nil, e.err }

// TestErrorsOfYourOwnCode: an error of a Limiter, a Signer or a transport may be one of this package, also without content. It costs one
// attempt, and says nothing about the call.
func TestErrorsOfYourOwnCode(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		zero := []error{
			&timpush.PartialError{}, &timpush.InputErrors{}, &timpush.CallError{}, &timpush.UserError{}, &timpush.InputError{}, &timpush.APIError{},
			&timpush.HTTPError{}, timpush.Code(0), timpush.ErrUserSigMismatch, timpush.ErrTooManyBadUserSigs, timpush.ErrNotStored,
		}
		for _, own := range zero {
			for _, err := range []error{own, fmt.Errorf("within: %w", own), errors.Join(context.DeadlineExceeded, own)} {
				f := errorOf{err}
				events := &recorder{}
				for name, option := range map[string]timpush.Option{
					"Limiter": timpush.WithLimiter(f), "Signer": timpush.WithSigner(f), "transport": timpush.WithHTTPClient(&http.Client{Transport: f}),
				} {
					c := newClient(t, option, timpush.WithQuota(timpush.QuotaPush, f), timpush.WithPreflight(), timpush.WithMaxAttempts(2), timpush.WithObserver(events))
					users := someUsers(101)
					result, err := c.SetAttr(t.Context(), users)
					requireNotOfACall(t, partial(t, users, result, err), name)
					assert.Empty(t, timpush.Remaining(c.SetAttrNames(t.Context(), []timpush.AttrName{{Name: "x"}}), []int{1}), name)
					_, err = c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
					requireNotOfACall(t, errors.Unwrap(err), name)
					result, err = c.Verify(t.Context(), users)
					assert.NotErrorIs(t, partial(t, users, result, err), timpush.ErrNotStored)
				}
				for _, e := range events.all() {
					assert.Zero(t, e.Code)
					assert.Zero(t, e.Status)
				}
			}
		}
	})
}

// requireNotOfACall checks that a cause tells no outcome and no code.
func requireNotOfACall(t *testing.T, err error, name string) {
	t.Helper()
	require.NotErrorAs(t, err, new(*timpush.APIError), name)
	require.NotErrorAs(t, err, new(*timpush.HTTPError), name)
	require.NotErrorAs(t, err, new(*timpush.InputErrors), name)
	require.NotErrorAs(t, err, new(*timpush.CallError), name)
	require.NotErrorAs(t, err, new(timpush.Code), name)
}

// manyErrors cannot be compared, and so neither can what holds it.
type manyErrors []error

func (m manyErrors) Error() string { return fmt.Sprint([]error(m)) }

// TestCauseThatCannotBeCompared: comparing it would panic.
func TestCauseThatCannotBeCompared(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		c := newClient(t, through(func(r *http.Request) (*http.Response, error) {
			cancel(nested{manyErrors{errors.New("x")}})
			return nil, context.Cause(r.Context())
		}))
		users := someUsers(1)
		result, err := c.SetAttr(ctx, users)
		require.ErrorIs(t, partial(t, users, result, err), context.Canceled)
	})
}

// unreadable is the body of an answer that says, when it is read, that there was no connection.
type unreadable struct{ io.Closer }

func (unreadable) Read([]byte) (int, error) {
	return 0, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}
}

// dripping is a body that comes byte by byte, or empty without end, and knows no context.
type dripping struct {
	io.Closer
	bytes int // of each Read
}

func (d dripping) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	p[0] = ' '
	return d.bytes, nil
}

// TestAnswerThatDoesNotEnd: the timeout of the attempt holds for its body too.
func TestAnswerThatDoesNotEnd(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for _, status := range []int{http.StatusOK, http.StatusServiceUnavailable} {
			for n := range 2 {
				c := newClient(t, timpush.WithMaxAttempts(1), through(func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: status, Body: dripping{http.NoBody, n}}, nil
				}))
				began := time.Now()
				result, err := c.SetAttr(t.Context(), someUsers(1))
				require.Error(t, err)
				assert.Equal(t, 1, result.Unknown)
				assert.LessOrEqual(t, time.Since(began), 11*time.Second)
			}
		}
	})
}

// TestAnswerWhoseBodyCannotBeRead: it came, so that the request was sent.
func TestAnswerWhoseBodyCannotBeRead(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, timpush.WithMaxAttempts(1), through(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: unreadable{http.NoBody}}, nil
		}))
		result, err := c.SetAttr(t.Context(), someUsers(1))
		require.Error(t, err)
		assert.Equal(t, 1, result.Unknown)
	})
}

// TestAccountThatLooksEscaped: what is undone in texts, to find a UserSig in them, is not undone in the accounts of an ErrorList.
func TestAccountThatLooksEscaped(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for _, odd := range []string{"user%2Awith-a-long-name", `user\u00fcwith-a-long-name`} {
			s := fake(t)
			s.Refuse(90035, odd)
			users := append(someUsers(99), userIn(odd, "Rome"))
			result, err := client(s).SetAttr(t.Context(), users)
			p := partial(t, users, result, err)
			assert.Equal(t, map[string]timpush.Outcome{odd: timpush.Rejected}, outcomes(p))
		}
	})
}

// TestFailureWhoseTextIsRedacted: that it holds what may be a value, such as the word "false", does not change what it is.
func TestFailureWhoseTextIsRedacted(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		events := &recorder{}
		c := newClient(t, timpush.WithMaxAttempts(1), timpush.WithObserver(events), through(func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "im.example"}}
		}))
		for _, value := range []string{"Rome", "false", "dial"} {
			_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{userIn("a", value)})
			require.Error(t, err)
		}
		for _, e := range events.all() {
			if e.Kind == timpush.AttemptEnd || e.Kind == timpush.CallEnd {
				assert.Equal(t, "unreachable", e.Failure)
			}
		}
	})
}

package oteltimpush_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/oteltimpush"
	"github.com/timpush/timpush-go/timpushtest"
)

// watcher is a transport that records the queries it has seen.
type watcher struct {
	next http.RoundTripper
	mu   sync.Mutex
	seen []string
}

func (w *watcher) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.seen = append(w.seen, r.URL.Query().Get("usersig"), r.URL.Query().Get("random"), r.URL.RawQuery)
	w.mu.Unlock()
	return w.next.RoundTrip(r)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// everything returns all that is exported, in each form that an exporter or a debugger may give it, and the log.
func (out *telemetry) everything(t *testing.T) string {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, out.reader.Collect(t.Context(), &all))
	var texts []string
	for _, v := range []any{all, out.spans.GetSpans(), out.values(t), out.exported()} {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		texts = append(texts, string(text), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v))
	}
	return strings.Join(append(texts, out.logs.String()), "\n")
}

// TestNothingSecretIsExported drives every failure path of every call and searches everything that is exported, and the log, for
// accounts, tags, names and values of attributes, titles and texts, TaskIDs, the key, the UserSig and the rest of the query.
func TestNothingSecretIsExported(t *testing.T) {
	t.Parallel()
	for name, fault := range faults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T) {
				s := fake(t, timpushtest.WithApp(1400000123, "identifier-of-no-concern", "a-key-of-no-concern"))
				out := newTelemetry(t)
				transport := &watcher{next: s.HTTPClient().Transport}
				switch f := fault.(type) {
				case timpushtest.Fault:
					s.Handle(func(timpushtest.Call) timpushtest.Fault { return f })
				case http.RoundTripper:
					transport.next = f
				}
				opts := []timpush.Option{timpush.WithHTTPClient(&http.Client{Transport: transport})}
				if option, ok := fault.(timpush.Option); ok {
					opts = append(opts, option)
				}
				c := client(s, out, opts...)
				for _, call := range append(allCalls(c, someUsers(3)), allPushCalls(c)...) {
					ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second) // ends some paths by the context
					call(ctx)
					cancel()
				}
				searchAll(t, out, s, transport)
			})
		})
	}
}

func searchAll(t *testing.T, out *telemetry, s *timpushtest.Server, w *watcher) {
	t.Helper()
	text := out.everything(t)
	require.Contains(t, text, "v4/timpush/set_attr", "the search finds what is there")
	require.Contains(t, text, "timpush.users")
	require.True(t, strings.Contains(text, `"msg":"timpush call"`), "the log is searched too")
	for _, endpoint := range pushEndpoints {
		require.True(t, strings.Contains(text, `"v4/timpush/`+endpoint+`"`), endpoint)
	}
	_, identifier, key := s.App()
	secrets := []string{"user-", "a-city-of-no-concern", "city", "usersig", "contenttype", "sdkappid", "SECRET", identifier, key, "1400000123",
		"of-no-concern", "4242424242424242"}
	w.mu.Lock()
	defer w.mu.Unlock()
	forms := map[string]bool{}
	for _, secret := range append(secrets, w.seen...) {
		forms[secret], forms[url.QueryEscape(secret)] = true, true
	}
	delete(forms, "")
	for form := range forms {
		if strings.Contains(text, form) {
			t.Errorf("%q is exported", form)
		}
	}
}

type signer func(context.Context) (string, time.Time, error)

func (f signer) UserSig(ctx context.Context) (string, time.Time, error) { return f(ctx) }

func echo(r *http.Request, status int, body string) (*http.Response, error) {
	recorder := http.Response{StatusCode: status, Header: http.Header{}, Request: r}
	recorder.Body = readCloser{strings.NewReader(body)}
	return &recorder, nil
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func faults() map[string]any {
	all := map[string]any{
		"none": timpushtest.Fault{}, "throttled": timpushtest.ErrorCode(60007), "not admin": timpushtest.ErrorCode(90009),
		"expired": timpushtest.ErrorCode(70001), "bad signature": timpushtest.ErrorCode(70009), "undocumented": timpushtest.ErrorCode(1),
		"poison": timpushtest.ErrorCode(90033), "internal": timpushtest.ErrorCode(91000), "account": timpushtest.AccountCode(90035, "user-0", "user-1"),
		"account throttled": timpushtest.AccountCode(60007, "user-0"), "502": timpushtest.Status(502), "403": timpushtest.Status(403),
		"too large": timpushtest.Status(413), "cut": timpushtest.CutBefore(), "cut after": timpushtest.CutAfter(),
		"truncated": timpushtest.TruncateBody(10), "endless": timpushtest.EndlessBody(), "hang": timpushtest.Hang(), "garbage": timpushtest.Garbage(),
		"other account": timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":90035,"To_Account":"user-x"}]}`),
		"no vault": timpush.WithSigner(signer(func(context.Context) (string, time.Time, error) {
			return "", time.Time{}, errors.New("user-0 SECRET")
		})),
	}
	for name, f := range map[string]roundTripper{
		"page echoes the URL": func(r *http.Request) (*http.Response, error) { return echo(r, 502, r.URL.String()) },
		"200 echoes the URL":  func(r *http.Request) (*http.Response, error) { return echo(r, 200, r.URL.String()) },
		"redirect":            func(r *http.Request) (*http.Response, error) { return echo(r, 302, r.URL.String()) },
		"error prints the URL": func(r *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("cannot reach %s for user-0", r.URL)
		},
		"error holds the URL": func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: context.DeadlineExceeded}
		},
		"ErrorInfo echoes": func(r *http.Request) (*http.Response, error) {
			q := r.URL.Query().Get("usersig")
			return echo(r, 200, `{"ActionStatus":"FAIL","ErrorCode":70009,"ErrorInfo":"bad sig `+q+` of user-0","ErrorList":[{"To_Account":"user-1","ErrorCode":1,"ErrorInfo":"`+q+`"}]}`)
		},
	} {
		all[name] = http.RoundTripper(f)
	}
	return all
}

// allCalls makes every call of the API, whatever it returns.
func allCalls(c *timpush.Client, users []timpush.UserAttrs) []func(context.Context) {
	names := []timpush.UserAttrNames{{ToAccount: "user-0", Names: []string{"city"}}}
	return []func(context.Context){
		func(ctx context.Context) { _, _ = c.SetAttr(ctx, users) },
		func(ctx context.Context) { _, _ = c.GetAttr(ctx, []string{"user-0", "user-1"}) },
		func(ctx context.Context) { _, _ = c.RemoveAttr(ctx, names) },
		func(ctx context.Context) { _, _ = c.AttrNames(ctx) },
		func(ctx context.Context) { _ = c.SetAttrNames(ctx, []timpush.AttrName{{Index: 1, Name: "city"}}) },
		func(ctx context.Context) { _ = c.Preflight(ctx, users) },
		func(ctx context.Context) { _, _ = c.Verify(ctx, users) },
		func(ctx context.Context) {
			source := func(yield func(timpush.UserAttrs, error) bool) {
				for _, u := range users {
					if !yield(u, nil) {
						return
					}
				}
			}
			for _, err := range c.SetAttrSeq(ctx, source) {
				_ = err
			}
		},
		func(ctx context.Context) {
			b := timpush.NewBatcher(c)
			_ = b.SetAttr(ctx, users[0])
			_ = b.Close(ctx)
		},
	}
}

// pushEndpoints are those of allPushCalls.
var pushEndpoints = []string{
	"add_tag", "remove_tag", "clear_all_tags", "get_tag", "push", "batch", "revoke",
	"add_sched_task", "modify_sched_task", "delete_sched_task", "get_sched_task", "list_sched_task",
	"all_member_push_statistics", "all_member_push_loss", "all_member_push_trace",
	"normal_push_statistics", "normal_push_loss", "normal_push_trace",
}

// allPushCalls makes every call about tags and pushes, whatever it returns.
func allPushCalls(c *timpush.Client) []func(context.Context) {
	tags := []timpush.UserTags{{ToAccount: "user-0", Tags: []string{"tag-of-no-concern"}}, {ToAccount: "user-1", Tags: []string{"tag-of-no-concern"}}}
	notification := timpush.Notification{Title: "title-of-no-concern", Desc: "text-of-no-concern", Ext: `{"k":"ext-of-no-concern"}`}
	p := timpush.Push{From: "user-from", Notification: notification, DataID: "data-of-no-concern"}
	accounts, taskID := []string{"user-0", "user-1"}, "task-of-no-concern"
	byTag := timpush.Audience{TagsOr: []string{"tag-of-no-concern"}}
	byAttr := timpush.Audience{AttrsAnd: timpush.Attrs{"city": "a-city-of-no-concern"}}
	content := timpush.TaskContent{Accounts: accounts, Push: timpush.Push{Notification: notification}}
	from, to := time.Now().Add(-time.Hour), time.Now()
	return []func(context.Context){
		func(ctx context.Context) { _, _ = c.AddTags(ctx, tags) },
		func(ctx context.Context) { _, _ = c.ReplaceTags(ctx, tags) },
		func(ctx context.Context) { _, _ = c.RemoveTags(ctx, tags) },
		func(ctx context.Context) { _, _ = c.ClearTags(ctx, accounts) },
		func(ctx context.Context) { _, _ = c.GetTags(ctx, accounts) },
		func(ctx context.Context) { _, _ = c.Push(ctx, byTag, p) },
		func(ctx context.Context) { _, _ = c.Push(ctx, byAttr, p) },
		func(ctx context.Context) { _, _ = c.PushTo(ctx, accounts, p) },
		func(ctx context.Context) { _ = c.Revoke(ctx, taskID, nil) },
		func(ctx context.Context) { _ = c.Revoke(ctx, taskID, &notification) },
		func(ctx context.Context) {
			_, _ = c.AddTask(ctx, timpush.Schedule{At: time.Now().Add(time.Hour), TaskContent: content})
		},
		func(ctx context.Context) {
			_ = c.ModifyTask(ctx, 4242424242424242, timpush.TaskChange{Type: timpush.TaskUser, Content: &content})
		},
		func(ctx context.Context) { _ = c.DeleteTask(ctx, 4242424242424242, timpush.TaskUser) },
		func(ctx context.Context) { _, _ = c.Task(ctx, 4242424242424242) },
		func(ctx context.Context) {
			for _, err := range c.Tasks(ctx, timpush.TaskQuery{BeginTime: from, EndTime: to, Keyword: "title-of-no-concern"}) {
				_ = err
			}
		},
		func(ctx context.Context) { _, _ = c.PushStats(ctx, from, to, taskID) },
		func(ctx context.Context) { _, _ = c.PushLoss(ctx, from, to, taskID) },
		func(ctx context.Context) { _, _ = c.PushTrace(ctx, taskID, "user-0") },
		func(ctx context.Context) { _, _ = c.ChatStats(ctx, from, to) },
		func(ctx context.Context) { _, _ = c.ChatLoss(ctx, from, to) },
		func(ctx context.Context) { _, _ = c.ChatTrace(ctx, "push-id-of-no-concern") },
	}
}

// TestTheSearchFindsSecrets: a secret in any place that is exported would be found.
func TestTheSearchFindsSecrets(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		for _, e := range []timpush.Event{
			{Kind: timpush.CallStart, Endpoint: "user-0"}, {Kind: timpush.CallStart, Host: "user-0"},
			{Kind: timpush.CallEnd, Failure: "user-0"}, {Kind: timpush.WaitEnd, Wait: "user-0"},
			{Kind: timpush.WaitEnd, Wait: "user-0", Duration: time.Second}, {Kind: timpush.AttemptEnd, Failure: "user-0"},
		} {
			out := newTelemetry(t)
			ctx := out.observer.Observe(t.Context(), timpush.Event{Kind: timpush.CallStart})
			out.observer.Observe(out.observer.Observe(ctx, e), timpush.Event{Kind: timpush.CallEnd})
			assert.Contains(t, out.everything(t), "user-0", "%+v", e)
		}
		out := newTelemetry(t, oteltimpush.WithAttributes(attribute.String("k", "user-0")))
		assert.Contains(t, out.everything(t), "user-0")
	})
}

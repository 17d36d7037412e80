package oteltimpush_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/oteltimpush"
	"github.com/timpush/timpush-go/timpushtest"
)

const setAttr = "v4/timpush/set_attr"

func TestSpans(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t, timpushtest.WithLatency(100*time.Millisecond, 0)), newTelemetry(t)
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.Status(502), timpushtest.CutBefore(), timpushtest.AccountCode(90035, "user-0"))
		ctx, parent := out.tracers.Tracer("test").Start(t.Context(), "login")
		_, err := client(s, out).SetAttr(ctx, someUsers(2))
		parent.End()
		require.ErrorIs(t, err, timpush.ErrAccountType)

		attempt := func(status string, more map[string]any) span {
			attrs := map[string]any{"timpush.endpoint": setAttr, "server.address": "localhost", "timpush.users": int64(2), "http.request.method": "POST"}
			for k, v := range more {
				attrs[k] = v
			}
			return span{"POST /" + setAttr, "timpush set_attr", "client", status, attrs, nil}
		}
		got := out.exported()
		require.Len(t, got, 6)
		events := got[4].events
		got[4].events = nil
		assert.NotEmpty(t, events)
		assert.Subset(t, []string{"timpush.wait backoff"}, events, "those of 1 ms or more; a backoff is random")
		assert.LessOrEqual(t, len(events), 3)
		assert.Equal(t, []span{
			attempt("Error "+timpush.ErrInternal.Error(), map[string]any{"http.response.status_code": int64(200),
				"error.type": "91000", "timpush.code": int64(91000)}),
			attempt("Error http", map[string]any{"http.response.status_code": int64(502), "error.type": "502", "http.request.resend_count": int64(1)}),
			attempt("Error connection", map[string]any{"error.type": "connection", "http.request.resend_count": int64(2)}),
			attempt("Unset", map[string]any{"http.response.status_code": int64(200), "http.request.resend_count": int64(3)}),
			{"timpush set_attr", "login", "internal", "Error 1 of 2 users not done, the first: " + timpush.ErrAccountType.Error(), map[string]any{
				"timpush.endpoint": setAttr, "server.address": "localhost", "timpush.users": int64(2), "timpush.done": int64(1),
				"timpush.rejected": int64(1), "timpush.unknown": int64(0), "timpush.not_sent": int64(0), "timpush.requests": int64(4),
				"error.type": "90035", "timpush.code": int64(90035),
			}, nil},
			{"login", "", "internal", "Unset", map[string]any{}, nil},
		}, got)
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t, timpushtest.WithLatency(100*time.Millisecond, 0)), newTelemetry(t)
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.Status(502), timpushtest.AccountCode(90035, "user-0"))
		c := client(s, out)
		_, err := c.SetAttr(t.Context(), someUsers(3))
		require.ErrorIs(t, err, timpush.ErrAccountType)
		_, err = c.SetAttr(t.Context(), someUsers(250))
		require.NoError(t, err)
		assert.Equal(t, map[string]float64{
			"http.client.request.duration{error.type=502,http.request.method=POST,http.response.status_code=502,server.port=443}": 1,
			"http.client.request.duration{http.request.method=POST,http.response.status_code=200,server.port=443}":                5,
			"timpush.active_attempts{}": 0,
			"timpush.active_calls{}":    0,
			"timpush.attempt.duration{error.type=502,http.response.status_code=502}":   1,
			"timpush.attempt.duration{error.type=91000,http.response.status_code=200}": 1,
			"timpush.attempt.duration{http.response.status_code=200}":                  4,
			"timpush.attempts{}":                                 6,
			"timpush.call.duration{}":                            1,
			"timpush.call.duration{error.type=90035}":            1,
			"timpush.quota.limit{}":                              100,
			"timpush.retries{error.type=502}":                    1,
			"timpush.retries{error.type=91000}":                  1,
			"timpush.users{timpush.outcome=done}":                252,
			"timpush.users{timpush.outcome=not_sent}":            0,
			"timpush.users{timpush.outcome=rejected}":            1,
			"timpush.users{timpush.outcome=unknown}":             0,
			"timpush.wait.duration{timpush.wait.reason=backoff}": 2,
			"timpush.wait.duration{timpush.wait.reason=quota}":   6,
			"timpush.wait.duration{timpush.wait.reason=slot}":    6,
		}, out.values(t))
		for _, m := range out.collect(t) {
			h, ok := m.Data.(metricdata.Histogram[float64])
			if ok && (m.Name == "timpush.attempt.duration" || m.Name == "http.client.request.duration") {
				for _, p := range h.DataPoints {
					assert.InDelta(t, .1*float64(p.Count), p.Sum, 1e-9, "seconds")
				}
			}
		}
	})
}

func TestRetriesByCode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		users  int
		faults []timpushtest.Fault
		want   map[string]float64
	}{
		"throttled": {1, []timpushtest.Fault{timpushtest.ErrorCode(60007), timpushtest.ErrorCode(60007)}, map[string]float64{"60007": 2}},
		"halved": {4, []timpushtest.Fault{timpushtest.ErrorCode(90033), timpushtest.ErrorCode(91000)},
			map[string]float64{"90033": 2, "91000": 1}},
		"an account of many": {2, []timpushtest.Fault{timpushtest.ErrorCode(91000), timpushtest.AccountCode(60008, "user-1")},
			map[string]float64{"91000": 1, "_OTHER": 1}},
		"several requests": {300, []timpushtest.Fault{timpushtest.ErrorCode(91000), timpushtest.ErrorCode(91000)}, map[string]float64{"91000": 2}},
		"no answer":        {1, []timpushtest.Fault{timpushtest.Hang()}, map[string]float64{"timeout": 1}},
		"garbage":          {1, []timpushtest.Fault{timpushtest.Garbage()}, map[string]float64{"malformed": 1}},
		"none":             {300, nil, map[string]float64{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T) {
				s, out := fake(t), newTelemetry(t)
				s.Inject(test.faults...)
				_, err := client(s, out).SetAttr(t.Context(), someUsers(test.users))
				require.NoError(t, err)
				got := map[string]float64{}
				for line, n := range out.values(t) {
					if code, ok := strings.CutPrefix(line, "timpush.retries{error.type="); ok {
						got[strings.TrimSuffix(code, "}")] = n
					}
				}
				assert.Equal(t, test.want, got)
			})
		})
	}
}

func TestInFlight(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t, timpushtest.WithLatency(time.Second, 0)), newTelemetry(t)
		var done sync.WaitGroup
		c := client(s, out, timpush.WithMaxInFlight(2))
		for range 3 {
			done.Go(func() { _, _ = c.SetAttr(t.Context(), someUsers(1)) })
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		during := out.values(t)
		assert.InDelta(t, 3, during["timpush.active_calls{}"], 0)
		assert.InDelta(t, 2, during["timpush.active_attempts{}"], 0)
		done.Wait()
		after := out.values(t)
		assert.Zero(t, after["timpush.active_calls{}"])
		assert.Zero(t, after["timpush.active_attempts{}"])
		spans := out.exported()
		assert.Equal(t, []string{"timpush.wait slot"}, spans[len(spans)-1].events, "the third had to wait for a slot")
	})
}

// TestCallsWithoutUsers: a call about the app's attribute names has no users, and its span fails with its error.
func TestCallsWithoutUsers(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t), newTelemetry(t)
		s.Inject(timpushtest.ErrorCode(90009))
		c := client(s, out)
		_, err := c.AttrNames(t.Context())
		require.ErrorIs(t, err, timpush.ErrNotAdmin)
		_, err = c.AttrNames(t.Context())
		require.NoError(t, err)
		const getAttrName = "v4/timpush/get_attr_name"
		spans := out.exported()
		require.Len(t, spans, 4)
		assert.Equal(t, span{"timpush get_attr_name", "", "internal", "Error " + timpush.ErrNotAdmin.Error(), map[string]any{
			"timpush.endpoint": getAttrName, "server.address": "localhost", "timpush.requests": int64(1),
			"error.type": "90009", "timpush.code": int64(90009),
		}, nil}, spans[1])
		assert.Equal(t, "Unset", spans[3].status)
		for line := range out.values(t) {
			assert.NotContains(t, line, "timpush.users{")
		}
	})
}

// TestPushes: a push to an audience has no users, one to accounts has theirs.
func TestPushes(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t), newTelemetry(t)
		c := client(s, out)
		p := timpush.Push{Notification: timpush.Notification{Title: "t", Desc: "d"}}
		_, err := c.AddTags(t.Context(), []timpush.UserTags{{ToAccount: "user-0", Tags: []string{"a"}}})
		require.NoError(t, err)
		receipt, err := c.Push(t.Context(), timpush.Audience{TagsOr: []string{"a"}}, p)
		require.NoError(t, err)
		_, err = c.PushTo(t.Context(), []string{"user-0", "user-1"}, p)
		require.NoError(t, err)
		require.NoError(t, c.Revoke(t.Context(), receipt.TaskID, nil))
		s.Inject(timpushtest.ErrorCode(91000))
		_, err = c.Push(t.Context(), timpush.Audience{TagsOr: []string{"a"}}, p)
		require.ErrorIs(t, err, timpush.ErrInternal)

		var got []string
		for _, s := range out.exported() {
			got = append(got, fmt.Sprintln(s.name, s.attrs["timpush.users"], s.attrs["timpush.done"], s.status))
		}
		assert.Equal(t, []string{
			"POST /v4/timpush/add_tag 1 <nil> Unset\n", "timpush add_tag 1 1 Unset\n",
			"POST /v4/timpush/push <nil> <nil> Unset\n", "timpush push <nil> <nil> Unset\n",
			"POST /v4/timpush/batch 2 <nil> Unset\n", "timpush batch 2 2 Unset\n",
			"POST /v4/timpush/revoke <nil> <nil> Unset\n", "timpush revoke <nil> <nil> Unset\n",
			"POST /v4/timpush/push <nil> <nil> Error " + timpush.ErrInternal.Error() + "\n",
			"timpush push <nil> <nil> Error " + timpush.ErrInternal.Error() + "\n",
		}, got)
	})
}

// TestPanic: a call that panics ends for its span and for the metrics.
func TestPanic(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t), newTelemetry(t)
		c := client(s, out, timpush.WithSigner(panickingSigner{}))
		assert.PanicsWithValue(t, "no vault", func() { _, _ = c.SetAttr(t.Context(), someUsers(1)) })
		assert.Zero(t, out.values(t)["timpush.active_calls{}"])
		assert.InDelta(t, 1, out.values(t)["timpush.call.duration{error.type=panic}"], 0)
		spans := out.exported()
		require.Len(t, spans, 1)
		assert.Equal(t, "Error panic", spans[0].status)
		assert.Equal(t, "panic", spans[0].attrs["error.type"])
	})
}

type panickingSigner struct{}

func (panickingSigner) UserSig(context.Context) (string, time.Time, error) { panic("no vault") }

func TestAllOutcomes(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t), newTelemetry(t)
		s.Inject(timpushtest.HangApplied())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client(s, out, timpush.WithMaxInFlight(1)).SetAttr(ctx, someUsers(101))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		got := out.values(t)
		assert.Equal(t, []float64{0, 0, 101}, []float64{got["timpush.users{timpush.outcome=done}"], got["timpush.users{timpush.outcome=rejected}"],
			got["timpush.users{timpush.outcome=unknown}"] + got["timpush.users{timpush.outcome=not_sent}"]})
		assert.NotZero(t, got["timpush.users{timpush.outcome=unknown}"])
		assert.NotZero(t, got["timpush.users{timpush.outcome=not_sent}"])
	})
}

// TestSumsUnderLoad: with faults at the same time, everything that began has ended, and nothing is counted twice.
func TestSumsUnderLoad(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t, timpushtest.WithLatency(50*time.Millisecond, 50*time.Millisecond)), newTelemetry(t)
		var mu sync.Mutex
		n := 0
		s.Handle(func(timpushtest.Call) timpushtest.Fault {
			mu.Lock()
			defer mu.Unlock()
			n++
			return [...]timpushtest.Fault{{}, timpushtest.ErrorCode(91000), {}, timpushtest.CutAfter(), timpushtest.ErrorCode(60007), {}}[n%6]
		})
		c := client(s, out)
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() { _, _ = c.SetAttr(t.Context(), someUsers(150)) })
		}
		callers.Wait()
		got := out.values(t)
		users, attempts := 0., 0.
		for line, n := range got {
			if strings.HasPrefix(line, "timpush.users{") {
				users += n
			}
			if strings.HasPrefix(line, "timpush.attempt.duration{") {
				attempts += n
			}
		}
		assert.InDelta(t, 20*150, users, 0)
		assert.InDelta(t, len(s.Calls()), attempts, 0)
		assert.InDelta(t, attempts, got["timpush.attempts{}"], 0)
		assert.Zero(t, got["timpush.active_calls{}"])
		assert.Zero(t, got["timpush.active_attempts{}"])
		assert.Len(t, out.exported(), len(s.Calls())+20)
	})
}

// otherObserver replaces the span, or the whole context, of the observers before it.
type otherObserver struct {
	tracer trace.Tracer
	drop   bool
}

func (m otherObserver) Observe(ctx context.Context, e timpush.Event) context.Context {
	if m.drop {
		return context.Background() // this is the fault
	}
	if e.Kind == timpush.CallStart || e.Kind == timpush.AttemptStart {
		ctx, _ = m.tracer.Start(ctx, "another")
	}
	return ctx
}

func TestOtherObservers(t *testing.T) {
	t.Parallel()
	for name, drop := range map[string]bool{"own spans": false, "dropped context": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T) {
				s, out, second := fake(t), newTelemetry(t), newTelemetry(t)
				other := otherObserver{out.tracers.Tracer("test"), drop}
				s.Inject(timpushtest.ErrorCode(91000))
				_, err := client(s, out, timpush.WithObserver(other), timpush.WithObserver(second.observer)).SetAttr(t.Context(), someUsers(1))
				require.NoError(t, err)
				if drop { // it counts what it can, and does not panic
					assert.InDelta(t, 1, out.values(t)["timpush.retries{error.type=_OTHER}"], 0)
					assert.Zero(t, out.values(t)["timpush.active_attempts{}"])
					return
				}
				for _, each := range []*telemetry{out, second} {
					assert.Len(t, each.exported(), 3, "two attempts and a call, each ended")
				}
			})
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t), newTelemetry(t, oteltimpush.WithQuota(50), oteltimpush.WithAttributes(attribute.String("app", "shop")))
		_, err := client(s, out).SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		got := out.values(t)
		assert.InDelta(t, 50, got["timpush.quota.limit{app=shop}"], 0)
		for line := range got {
			assert.Contains(t, line, "app=shop")
		}
		for _, s := range out.exported() {
			assert.Equal(t, "shop", s.attrs["app"], s.name)
		}
	})
	_, err := oteltimpush.New(nil, oteltimpush.WithTracerProvider(nil), oteltimpush.WithMeterProvider(nil), oteltimpush.WithQuota(0))
	for _, fault := range []string{"an Option is nil", "WithTracerProvider", "WithMeterProvider", "WithQuota"} {
		require.ErrorContains(t, err, fault)
	}
}

// global is an Observer without options. The global providers can be set once in a process, here after New.
var global = sync.OnceValues(func() (*telemetry, error) {
	observer, err := oteltimpush.New()
	out := &telemetry{observer: observer, spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(out.spans)))
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(out.reader)))
	return out, err
})

func TestGlobalProviders(t *testing.T) {
	t.Parallel()
	out, err := global()
	require.NoError(t, err)
	spans, attempts := len(out.exported()), out.values(t)["timpush.attempts{}"]
	inFakeTime(t, func(t *testing.T) {
		_, err := client(fake(t), out).SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
	})
	assert.Len(t, out.exported(), spans+2)
	assert.InDelta(t, attempts+1, out.values(t)["timpush.attempts{}"], 0)
}

func TestServerPort(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"127.0.0.1:8443":         "server.address=127.0.0.1 server.port=8443",
		"[::1]:8443":             "server.address=::1 server.port=8443",
		"[::1]":                  "server.address=::1",
		"adminapi.im.qcloud.com": "server.address=adminapi.im.qcloud.com",
	} {
		out := newTelemetry(t)
		ctx := out.observer.Observe(t.Context(), timpush.Event{Kind: timpush.CallStart, Endpoint: setAttr, Host: host})
		out.observer.Observe(ctx, timpush.Event{Kind: timpush.CallEnd, Endpoint: setAttr, Host: host})
		var got []string
		for _, kv := range out.spans.GetSpans()[0].Attributes {
			if strings.HasPrefix(string(kv.Key), "server.") {
				got = append(got, string(kv.Key)+"="+kv.Value.String())
			}
		}
		assert.Equal(t, want, strings.Join(got, " "))
	}
}

// TestInventedCodesAreBounded: a server that invents codes cannot make any number of series.
func TestInventedCodesAreBounded(t *testing.T) {
	t.Parallel()
	out := newTelemetry(t)
	for code := range 5000 {
		e := timpush.Event{Endpoint: setAttr, Host: "h", Attempt: 1, Status: 200, Failure: "api", Code: timpush.Code(100000 + code)}
		e.Kind = timpush.AttemptStart
		ctx := out.observer.Observe(t.Context(), e)
		e.Kind = timpush.AttemptEnd
		out.observer.Observe(ctx, e)
	}
	got := out.values(t)
	assert.Less(t, len(got), 1050)
	assert.Greater(t, got["timpush.attempt.duration{error.type=_OTHER}"], 3950.)
	assert.InDelta(t, 5000, got["timpush.attempts{}"], 0)
}

// TestTablesAreComplete: README.md and the package documentation describe what is exported.
func TestTablesAreComplete(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t), newTelemetry(t)
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.Status(502), timpushtest.AccountCode(90035, "user-0"))
		limiter := out.observer.WatchLimiter("users", timpush.NewLimiter(97.5))
		out.observer.WatchQueue(func(context.Context) (oteltimpush.QueueStats, error) { return oteltimpush.QueueStats{MaxBytes: 1}, nil })
		_, err := client(s, out, timpush.WithLimiter(limiter)).SetAttr(t.Context(), someUsers(2))
		require.ErrorIs(t, err, timpush.ErrAccountType)
		for _, m := range out.collect(t) {
			row := "| `" + m.Name + "` | " + kindOf(t, m) + " | `" + m.Unit + "` |"
			assert.Contains(t, string(readme), row)
			assert.Regexp(t, `//\t`+strings.ReplaceAll(m.Name, ".", `\.`)+` +`+kindOf(t, m)+` +`+strings.NewReplacer("{", `\{`, "}", `\}`).Replace(m.Unit), string(doc))
		}
		for _, s := range out.exported() {
			for _, text := range []string{string(readme), string(doc)} {
				assert.Contains(t, text, s.name)
				for key := range s.attrs {
					if key != "server.address" {
						assert.Contains(t, text, key)
					}
				}
			}
		}
		assert.Contains(t, string(readme), "`server.address`")
	})
}

func kindOf(t *testing.T, m metricdata.Metrics) string {
	t.Helper()
	switch data := m.Data.(type) {
	case metricdata.Histogram[float64]:
		return "histogram"
	case metricdata.Gauge[float64], metricdata.Gauge[int64]:
		return "gauge"
	case metricdata.Sum[int64]:
		if data.IsMonotonic {
			return "counter"
		}
	}
	return "up-down counter"
}

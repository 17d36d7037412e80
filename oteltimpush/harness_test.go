package oteltimpush_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/oteltimpush"
	"github.com/timpush/timpush-go/timpushtest"
)

// telemetry is what an Observer exports to in a test.
type telemetry struct {
	observer *oteltimpush.Observer
	spans    *tracetest.InMemoryExporter
	tracers  *sdktrace.TracerProvider
	reader   *metric.ManualReader
	logs     lockedBuffer // of client
}

// lockedBuffer can be written and read at the same time.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newTelemetry(t testing.TB, opts ...oteltimpush.Option) *telemetry {
	t.Helper()
	out := &telemetry{spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	out.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(out.spans))
	meters := metric.NewMeterProvider(metric.WithReader(out.reader))
	opts = append([]oteltimpush.Option{oteltimpush.WithTracerProvider(out.tracers), oteltimpush.WithMeterProvider(meters)}, opts...)
	var err error
	out.observer, err = oteltimpush.New(opts...)
	require.NoError(t, err)
	return out
}

func (out *telemetry) collect(t testing.TB) []metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, out.reader.Collect(t.Context(), &all))
	require.Len(t, all.ScopeMetrics, 1)
	require.Equal(t, oteltimpush.ScopeName, all.ScopeMetrics[0].Scope.Name)
	return all.ScopeMetrics[0].Metrics
}

// values returns what the metrics have as lines of "name{attributes}": counts and sums, and of histograms how many
// there were. The attributes that all have are left out.
func (out *telemetry) values(t testing.TB) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, m := range out.collect(t) {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				all[m.Name+labels(p.Attributes)] = float64(p.Value)
			}
		case metricdata.Gauge[int64]:
			for _, p := range data.DataPoints {
				all[m.Name+labels(p.Attributes)] = float64(p.Value)
			}
		case metricdata.Gauge[float64]:
			for _, p := range data.DataPoints {
				all[m.Name+labels(p.Attributes)] = p.Value
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				all[m.Name+labels(p.Attributes)] = float64(p.Count)
			}
		default:
			t.Fatalf("%s is a %T", m.Name, data)
		}
	}
	return all
}

func labels(set attribute.Set) string {
	var texts []string
	for _, kv := range set.ToSlice() {
		if kv.Key != "timpush.endpoint" && kv.Key != "server.address" {
			texts = append(texts, fmt.Sprintf("%s=%s", kv.Key, kv.Value.String()))
		}
	}
	return "{" + strings.Join(texts, ",") + "}"
}

// span is an exported span without times and numbers.
type span struct {
	name, parent, kind, status string
	attrs                      map[string]any
	events                     []string
}

func (out *telemetry) exported() []span {
	stubs := out.spans.GetSpans()
	names := map[string]string{}
	for _, s := range stubs {
		names[s.SpanContext.SpanID().String()] = s.Name
	}
	all := make([]span, len(stubs))
	for i, s := range stubs {
		all[i] = span{name: s.Name, parent: names[s.Parent.SpanID().String()], kind: s.SpanKind.String(), attrs: map[string]any{},
			status: strings.TrimSuffix(s.Status.Code.String()+" "+s.Status.Description, " ")}
		for _, kv := range s.Attributes {
			all[i].attrs[string(kv.Key)] = kv.Value.AsInterface()
		}
		for _, e := range s.Events {
			all[i].events = append(all[i].events, fmt.Sprint(e.Name, " ", e.Attributes[0].Value.String()))
		}
	}
	return all
}

// inFakeTime runs f in a bubble in which time passes only when everything waits.
func inFakeTime(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

type unlimited struct{}

func (unlimited) Wait(context.Context) error { return nil }

// fake starts a fake in memory, without a quota so that tests run at full speed.
func fake(t *testing.T, opts ...timpushtest.Option) *timpushtest.Server {
	t.Helper()
	return timpushtest.Start(t, append([]timpushtest.Option{timpushtest.WithInMemory(), timpushtest.WithQuota(0)}, opts...)...)
}

func client(s *timpushtest.Server, out *telemetry, opts ...timpush.Option) *timpush.Client {
	log := slog.New(slog.NewJSONHandler(&out.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return s.Client(append([]timpush.Option{timpush.WithLimiter(unlimited{}), timpush.WithObserver(out.observer), timpush.WithLogger(log)}, opts...)...)
}

func someUsers(n int) []timpush.UserAttrs {
	users := make([]timpush.UserAttrs, n)
	for i := range users {
		users[i] = timpush.UserAttrs{ToAccount: fmt.Sprintf("user-%d", i), Attrs: timpush.Attrs{"city": "a-city-of-no-concern"}}
	}
	return users
}

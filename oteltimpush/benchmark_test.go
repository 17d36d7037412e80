package oteltimpush_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/oteltimpush"
)

// observeCall sends o the events of a call of one request: six.
func observeCall(ctx context.Context, o timpush.Observer) {
	e := timpush.Event{Endpoint: setAttr, Host: "adminapisgp.im.qcloud.com", Users: 100}
	tell := func(ctx context.Context, kind timpush.EventKind, change func(e *timpush.Event)) context.Context {
		next := e
		next.Kind = kind
		change(&next)
		return o.Observe(ctx, next)
	}
	call := tell(ctx, timpush.CallStart, func(*timpush.Event) {})
	tell(call, timpush.WaitEnd, func(e *timpush.Event) { e.Wait, e.Attempt = timpush.WaitSlot, 1 })
	tell(call, timpush.WaitEnd, func(e *timpush.Event) { e.Wait, e.Attempt = timpush.WaitQuota, 1 })
	attempt := tell(call, timpush.AttemptStart, func(e *timpush.Event) { e.Attempt = 1 })
	tell(attempt, timpush.AttemptEnd, func(e *timpush.Event) { e.Attempt, e.Status, e.Duration = 1, 200, 30*time.Millisecond })
	tell(call, timpush.CallEnd, func(e *timpush.Event) { e.Result.Done, e.Result.Requests = 100, 1 })
}

// discard is an exporter that does nothing, so that the cost is that of the Observer and the SDK.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }

// BenchmarkCall is the cost of a call of one request, which is six events.
func BenchmarkCall(b *testing.B) {
	meters := oteltimpush.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())))
	noMeters := oteltimpush.WithMeterProvider(metricnoop.NewMeterProvider())
	tracers := func(s sdktrace.Sampler) oteltimpush.Option {
		return oteltimpush.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(s), sdktrace.WithSyncer(discard{})))
	}
	for _, test := range []struct {
		name string
		opts []oteltimpush.Option
	}{
		{"nothing", []oteltimpush.Option{noMeters, oteltimpush.WithTracerProvider(tracenoop.NewTracerProvider())}},
		{"metrics", []oteltimpush.Option{meters, oteltimpush.WithTracerProvider(tracenoop.NewTracerProvider())}},
		{"metrics and traces not sampled", []oteltimpush.Option{meters, tracers(sdktrace.NeverSample())}},
		{"metrics and traces", []oteltimpush.Option{meters, tracers(sdktrace.AlwaysSample())}},
	} {
		b.Run(test.name, func(b *testing.B) {
			o, err := oteltimpush.New(test.opts...)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				observeCall(b.Context(), o)
			}
		})
	}
}

// BenchmarkCallParallel shows whether the calls of a busy process slow each other down.
func BenchmarkCallParallel(b *testing.B) {
	o, err := oteltimpush.New(oteltimpush.WithTracerProvider(tracenoop.NewTracerProvider()),
		oteltimpush.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))))
	require.NoError(b, err)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			observeCall(b.Context(), o)
		}
	})
}

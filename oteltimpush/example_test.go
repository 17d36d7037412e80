package oteltimpush_test

import (
	"context"
	"fmt"
	"log"
	"slices"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/oteltimpush"
	"github.com/timpush/timpush-go/timpushtest"
)

// The exporters of a real program are those of its tracing and metrics backends. These keep everything in memory.
func Example() {
	spans, reader := tracetest.NewInMemoryExporter(), metric.NewManualReader()
	observer, err := oteltimpush.New(
		oteltimpush.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))),
		oteltimpush.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))),
	)
	if err != nil {
		log.Fatal(err)
	}
	server := timpushtest.NewServer()
	defer server.Close()
	server.Inject(timpushtest.ErrorCode(91000)) // the first request fails, and the client tries again
	client := server.Client(timpush.WithObserver(observer))

	users := []timpush.UserAttrs{{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}}}
	if _, err := client.SetAttr(context.Background(), users); err != nil {
		log.Fatal(err)
	}
	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name, span.Status.Code)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		log.Fatal(err)
	}
	var names []string
	for _, m := range all.ScopeMetrics[0].Metrics {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Println(name)
	}
	// Output:
	// POST /v4/timpush/set_attr Error
	// POST /v4/timpush/set_attr Unset
	// timpush set_attr Unset
	// http.client.request.duration
	// timpush.active_attempts
	// timpush.active_calls
	// timpush.attempt.duration
	// timpush.attempts
	// timpush.call.duration
	// timpush.quota.limit
	// timpush.retries
	// timpush.users
	// timpush.wait.duration
}

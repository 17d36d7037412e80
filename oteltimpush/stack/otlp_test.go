package main

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	pb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/oteltimpush"
	"github.com/timpush/timpush-go/timpushtest"
)

// collector is an endpoint for OTLP over HTTP that keeps what it gets.
type collector struct {
	mu      sync.Mutex
	raw     strings.Builder
	spans   map[string]string                // names by the hexadecimal trace and span ID
	metrics map[string][]*pb.NumberDataPoint // gauges and sums, the latest
	samples map[string][]*pb.Exemplar        // of histograms, the latest
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	data, err := io.ReadAll(body)
	if err == nil {
		err = c.keep(r.URL.Path, data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf") // an empty message: all is taken
}

func (c *collector) keep(path string, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.raw.Write(data)
	if path == "/v1/traces" {
		var request tracepb.ExportTraceServiceRequest
		err := proto.Unmarshal(data, &request)
		c.keepSpans(&request)
		return err
	}
	var request metricspb.ExportMetricsServiceRequest
	err := proto.Unmarshal(data, &request)
	for _, r := range request.GetResourceMetrics() {
		for _, s := range r.GetScopeMetrics() {
			for _, m := range s.GetMetrics() {
				c.keepMetric(m)
			}
		}
	}
	return err
}

func (c *collector) keepSpans(request *tracepb.ExportTraceServiceRequest) {
	for _, r := range request.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				c.spans[hex.EncodeToString(span.GetTraceId())+hex.EncodeToString(span.GetSpanId())] = span.GetName()
			}
		}
	}
}

func (c *collector) keepMetric(m *pb.Metric) {
	c.metrics[m.GetName()] = append(m.GetGauge().GetDataPoints(), m.GetSum().GetDataPoints()...)
	for _, p := range m.GetHistogram().GetDataPoints() {
		c.samples[m.GetName()] = append(c.samples[m.GetName()], p.GetExemplars()...)
	}
}

// TestOTLP exports to a collector's endpoint: spans, metrics, and exemplars that lead from a metric to a span.
func TestOTLP(t *testing.T) {
	t.Parallel()
	c := &collector{spans: map[string]string{}, metrics: map[string][]*pb.NumberDataPoint{}, samples: map[string][]*pb.Exemplar{}}
	endpoint := httptest.NewServer(c)
	t.Cleanup(endpoint.Close)
	observer, flush := exportTo(t, endpoint.URL)

	queue, err := openQueue(t.Context(), t.TempDir(), observer)
	require.NoError(t, err)
	t.Cleanup(func() { _ = queue.Close() })
	require.NoError(t, queue.SetAttr(t.Context(), someone())) // stays, since nothing sends
	service := timpushtest.Start(t)
	service.Inject(timpushtest.Status(http.StatusBadGateway))
	client := service.Client(timpush.WithObserver(observer))
	_, err = client.SetAttr(t.Context(), many(3))
	require.NoError(t, err)
	flush()

	c.mu.Lock()
	defer c.mu.Unlock()
	for name, spanName := range map[string]string{
		"http.client.request.duration": "POST /v4/timpush/set_attr", "timpush.attempt.duration": "POST /v4/timpush/set_attr",
		"timpush.call.duration": "timpush set_attr",
	} {
		require.NotEmpty(t, c.samples[name], "%s has no exemplars", name)
		for _, e := range c.samples[name] {
			assert.Equal(t, spanName, c.spans[hex.EncodeToString(e.GetTraceId())+hex.EncodeToString(e.GetSpanId())], name)
		}
	}
	for name, want := range map[string]int64{"timpush.attempts": 2, "timpush.retries": 1, "timpush.queue.backlog": 1, "timpush.queue.lost": 0, "timpush.queue.paused": 0} {
		require.Len(t, c.metrics[name], 1, name)
		assert.Equal(t, want, c.metrics[name][0].GetAsInt(), name)
	}
	for _, secret := range []string{"user-", "city", "usersig", "ShenZhen"} {
		assert.False(t, strings.Contains(c.raw.String(), secret), "%s is exported", secret)
	}
}

// exportTo returns an Observer that exports by OTLP, and a function that exports all that there is.
func exportTo(t *testing.T, url string) (observer *oteltimpush.Observer, flush func()) {
	t.Helper()
	metrics, err := otlpmetrichttp.New(t.Context(), otlpmetrichttp.WithEndpointURL(url+"/v1/metrics"))
	require.NoError(t, err)
	traces, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(url+"/v1/traces"), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	require.NoError(t, err)
	meters := metric.NewMeterProvider(metric.WithReader(metric.NewPeriodicReader(metrics, metric.WithInterval(time.Hour))))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(traces))
	observer, err = oteltimpush.New(oteltimpush.WithMeterProvider(meters), oteltimpush.WithTracerProvider(tracers))
	require.NoError(t, err)
	return observer, func() {
		require.NoError(t, tracers.Shutdown(t.Context()))
		require.NoError(t, meters.Shutdown(t.Context()))
	}
}

// TestExemplarsForPrometheus: a scrape that accepts OpenMetrics gets the trace IDs too.
func TestExemplarsForPrometheus(t *testing.T) {
	t.Parallel()
	observer, metrics, err := newObserver()
	require.NoError(t, err)
	_, err = timpushtest.Start(t).Client(timpush.WithObserver(observer)).SetAttr(t.Context(), many(1))
	require.NoError(t, err)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	answer := httptest.NewRecorder()
	metrics.ServeHTTP(answer, request)
	assert.Regexp(t, `http_client_request_duration_seconds_bucket\{.*\} 1 # \{.*trace_id="[0-9a-f]{32}".*\}`, answer.Body.String())
}

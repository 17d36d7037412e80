package oteltimpush_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// httpKeys are the attributes that are not this package's own, by their names in the semantic conventions.
var httpKeys = []attribute.Key{
	semconv.ErrorTypeKey, semconv.HTTPRequestMethodKey, semconv.HTTPRequestResendCountKey, semconv.HTTPResponseStatusCodeKey,
	semconv.ServerAddressKey, semconv.ServerPortKey,
}

// TestSemanticConventions: http.client.request.duration has the name, the unit, the buckets and the required attributes of the
// conventions, and every attribute elsewhere is theirs or begins with timpush.
func TestSemanticConventions(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t, timpushtest.WithLatency(100*time.Millisecond, 0)), newTelemetry(t)
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.Status(502), timpushtest.CutBefore())
		_, err := client(s, out).SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		for _, m := range out.collect(t) {
			if m.Name == "http.client.request.duration" {
				isConventional(t, m)
			}
		}
		for _, span := range out.exported() {
			for key := range span.attrs {
				assert.True(t, strings.HasPrefix(key, "timpush.") || assert.Contains(t, httpKeys, attribute.Key(key)), key)
			}
		}
	})
}

func isConventional(t *testing.T, m metricdata.Metrics) {
	t.Helper()
	var want httpconv.ClientRequestDuration
	assert.Equal(t, want.Name(), m.Name)
	assert.Equal(t, want.Unit(), m.Unit)
	assert.Equal(t, want.Description(), m.Description)
	points := m.Data.(metricdata.Histogram[float64]).DataPoints
	require.Len(t, points, 3, "an answer, also with an ErrorCode; 502; no answer")
	for _, p := range points {
		assert.Equal(t, []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}, p.Bounds)
		for _, required := range []attribute.Key{semconv.HTTPRequestMethodKey, semconv.ServerAddressKey, semconv.ServerPortKey} {
			assert.True(t, p.Attributes.HasValue(required), required)
		}
		for _, kv := range p.Attributes.ToSlice() {
			assert.Contains(t, httpKeys, kv.Key)
		}
	}
}

// TestHTTPFailures: an answer of the service with an ErrorCode is no failure of HTTP.
func TestHTTPFailures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		event timpush.Event
		want  string
	}{
		"done":                 {timpush.Event{Status: 200}, ""},
		"an ErrorCode":         {timpush.Event{Status: 200, Code: 91000, Failure: "api"}, ""},
		"no JSON":              {timpush.Event{Status: 200, Failure: "malformed"}, ""},
		"a redirect":           {timpush.Event{Status: 302, Failure: "http"}, ""},
		"a page":               {timpush.Event{Status: 502, Failure: "http"}, "502"},
		"an ErrorCode and 401": {timpush.Event{Status: 401, Code: 70009, Failure: "api"}, "401"},
		"no answer":            {timpush.Event{Failure: "timeout"}, "timeout"},
		"half an answer":       {timpush.Event{Status: 200, Failure: "connection"}, "connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, e := newTelemetry(t), test.event
			e.Kind, e.Endpoint, e.Host, e.Attempt = timpush.AttemptEnd, setAttr, "h:8443", 1
			out.observer.Observe(t.Context(), e)
			found := false
			for _, m := range out.collect(t) {
				if m.Name == "http.client.request.duration" {
					found = true
					set := m.Data.(metricdata.Histogram[float64]).DataPoints[0].Attributes
					got, _ := set.Value(semconv.ErrorTypeKey)
					assert.Equal(t, test.want, got.AsString())
					port, _ := set.Value(semconv.ServerPortKey)
					assert.Equal(t, int64(8443), port.AsInt64())
				}
			}
			assert.True(t, found)
		})
	}
}

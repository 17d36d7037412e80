package oteltimpush

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"
	"go.opentelemetry.io/otel/trace"

	timpush "github.com/timpush/timpush-go"
)

// outcomes are the values of timpush.outcome, in the order of the fields of [timpush.Result].
var outcomes = [...]string{"done", "rejected", "unknown", "not_sent"}

type meters struct {
	callDuration, attemptDuration, waits metric.Float64Histogram
	users, attempts, retries             metric.Int64Counter
	activeCalls, activeAttempts          metric.Int64UpDownCounter
	limiterWaiting                       metric.Int64UpDownCounter
	httpDuration                         httpconv.ClientRequestDuration
}

// An attempt ends with its timeout, which is 10 s if not set. A call or a wait may last for several of them.
var (
	attemptBounds = []float64{.005, .01, .025, .05, .075, .1, .15, .2, .3, .5, .75, 1, 2.5, 5, 7.5, 10, 30}
	callBounds    = []float64{.005, .01, .025, .05, .1, .15, .2, .3, .5, .75, 1, 2.5, 5, 10, 25, 50, 100, 300}
	waitBounds    = []float64{.0001, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 60}
)

// makeMeters makes the instruments of o.
func (o *Observer) makeMeters(m metric.Meter, quota float64, extra []attribute.KeyValue) error {
	f := &factory{meter: m}
	o.meters = meters{
		callDuration:    f.seconds("timpush.call.duration", "Time from the start of a call to its end, waits and retries included.", callBounds),
		attemptDuration: f.seconds("timpush.attempt.duration", "Time from the start of an HTTP request to its whole answer, or its failure.", attemptBounds),
		waits:           f.seconds("timpush.wait.duration", "Time that a request waited before an attempt.", waitBounds),
		users:           f.counter("timpush.users", "{user}", "Users of calls that have ended, by outcome."),
		attempts:        f.counter("timpush.attempts", "{attempt}", "HTTP requests that have begun: the quota counts these."),
		retries:         f.counter("timpush.retries", "{retry}", "Attempts after the first of a request, by the failure before."),
		activeCalls:     f.inFlight("timpush.active_calls", "{call}", "Calls in flight."),
		activeAttempts:  f.inFlight("timpush.active_attempts", "{attempt}", "HTTP requests in flight."),
		limiterWaiting:  f.inFlight("timpush.limiter.waiting", "{call}", "Calls that wait for a limiter."),
	}
	var err error
	o.meters.httpDuration, err = httpconv.NewClientRequestDuration(m)
	f.faults = append(f.faults, err)
	f.gauge("timpush.limiter.tokens", "{token}", "Calls that a limiter would let through at once; below 0 if some wait.", o.limiters.tokens)
	all := metric.WithAttributes(extra...)
	f.gauge("timpush.quota.limit", "{attempt}/s", "Attempts a second that the app may make for each endpoint of attributes and tags, as configured.",
		func(observe observeFloat) { observe(quota, all) })
	o.watchQueue(f, extra)
	return errors.Join(f.faults...)
}

// factory makes instruments and collects the errors.
type factory struct {
	meter  metric.Meter
	faults []error
}

func (f *factory) seconds(name, description string, bounds []float64) metric.Float64Histogram {
	made, err := f.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(bounds...))
	f.faults = append(f.faults, err)
	return made
}

func (f *factory) counter(name, unit, description string) metric.Int64Counter {
	made, err := f.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	f.faults = append(f.faults, err)
	return made
}

func (f *factory) inFlight(name, unit, description string) metric.Int64UpDownCounter {
	made, err := f.meter.Int64UpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	f.faults = append(f.faults, err)
	return made
}

type observeFloat func(value float64, opts ...metric.ObserveOption)

// gauge makes a gauge. Its callback is registered afterwards: the SDK ignores one that is given with an instrument that there is already, of
// another Observer.
func (f *factory) gauge(name, unit, description string, values func(observeFloat)) {
	made, err := f.meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	f.faults = append(f.faults, err)
	_, err = f.meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		values(func(value float64, opts ...metric.ObserveOption) { to.ObserveFloat64(made, value, opts...) })
		return nil
	}, made)
	f.faults = append(f.faults, err)
}

// observed makes a gauge whose values come from a callback that is registered later.
func (f *factory) observed(name, unit, description string) metric.Int64ObservableGauge {
	made, err := f.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	f.faults = append(f.faults, err)
	return made
}

// failure is the failure of an attempt or a call. Its name is empty if there was none.
type failure struct {
	code   timpush.Code
	status int // of a failure "http"
	name   string
}

func failureOf(e timpush.Event) failure {
	if e.Failure == "http" {
		return failure{status: e.Status, name: e.Failure}
	}
	return failure{code: e.Code, name: e.Failure}
}

// httpFailure is the failure of an attempt as HTTP sees it: an answer with an ErrorCode is none.
func httpFailure(e timpush.Event) failure {
	switch {
	case e.Status >= http.StatusBadRequest:
		return failure{status: e.Status, name: "http"}
	case e.Failure == "api" || e.Failure == "malformed" || e.Failure == "http":
		return failure{}
	}
	return failure{name: e.Failure}
}

const otherError = "_OTHER" // of the semantic conventions

// errorType is the attribute error.type: the code, the status or the kind of failure.
func (f failure) errorType() string {
	switch {
	case f.code != 0:
		return strconv.Itoa(int(f.code))
	case f.status != 0:
		return strconv.Itoa(f.status)
	}
	return f.name
}

// labels are the values that the attributes of a measurement are made from.
type labels struct {
	endpoint, host string
	failure        failure
	status         int
	outcome        string
	wait           timpush.WaitReason
	http           bool // of http.client.request.duration, without an endpoint
}

// set is labels in the forms that the API of OpenTelemetry takes. Making one for each event would cost several allocations.
type set struct {
	record                []metric.RecordOption
	add                   []metric.AddOption
	callName, attemptName string
	call, attempt         []trace.SpanStartOption
}

// maxSets bounds how many sets there are, whatever codes a server invents. It is below the 2,000 at which the SDK merges
// all further ones of a metric, and above what occurs in practice: an endpoint has a few dozen documented codes.
const maxSets = 1000

// sets caches a set for each labels.
type sets struct {
	extra []attribute.KeyValue

	mu    sync.RWMutex
	known map[labels]*set
}

func (s *sets) of(l labels) *set {
	s.mu.RLock()
	found := s.known[l]
	s.mu.RUnlock()
	if found != nil {
		return found
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxSets && l.failure != (failure{}) {
		l.failure, l.status = failure{name: otherError}, 0
	}
	if s.known[l] == nil {
		s.known[l] = s.make(l)
	}
	return s.known[l]
}

func (s *sets) make(l labels) *set {
	attrs := append(s.base(l), s.extra...)
	option := metric.WithAttributeSet(attribute.NewSet(attrs...))
	made := &set{record: []metric.RecordOption{option}, add: []metric.AddOption{option}}
	if l == (labels{endpoint: l.endpoint, host: l.host}) {
		made.callName, made.attemptName = "timpush "+path.Base(l.endpoint), "POST /"+strings.TrimPrefix(l.endpoint, "/")
		made.call = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(attrs...)}
		made.attempt = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...),
			trace.WithAttributes(semconv.HTTPRequestMethodPost)}
	}
	return made
}

// base returns the attributes of the tables in the package documentation.
func (s *sets) base(l labels) []attribute.KeyValue {
	attrs := server(l.host)
	if l.http {
		attrs = append(withPort(attrs), semconv.HTTPRequestMethodPost)
	} else {
		attrs = append(attrs, endpointKey.String(l.endpoint))
	}
	if l.failure.name != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(l.failure.errorType()))
	}
	if l.status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(l.status))
	}
	if l.outcome != "" {
		attrs = append(attrs, outcomeKey.String(l.outcome))
	}
	if l.wait != "" {
		attrs = append(attrs, reasonKey.String(string(l.wait)))
	}
	return attrs
}

// server returns the attributes of a host, and of its port if the base URL names one.
func server(host string) []attribute.KeyValue {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return []attribute.KeyValue{semconv.ServerAddress(strings.Trim(host, "[]"))}
	}
	attrs := []attribute.KeyValue{semconv.ServerAddress(name)}
	if n, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, semconv.ServerPort(n))
	}
	return attrs
}

const httpsPort = 443

// withPort adds the port where the base URL names none: the semantic conventions want it.
func withPort(attrs []attribute.KeyValue) []attribute.KeyValue {
	if len(attrs) > 1 {
		return attrs
	}
	return append(attrs, semconv.ServerPort(httpsPort))
}

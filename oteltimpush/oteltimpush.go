package oteltimpush

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	timpush "github.com/timpush/timpush-go"
)

// ScopeName is the name of the instrumentation scope of all spans and metrics.
const ScopeName = "github.com/timpush/timpush-go/oteltimpush"

// The attributes that the semantic conventions have no name for.
const (
	endpointKey = attribute.Key("timpush.endpoint")
	usersKey    = attribute.Key("timpush.users")
	outcomeKey  = attribute.Key("timpush.outcome")
	limiterKey  = attribute.Key("timpush.limiter")
	reasonKey   = attribute.Key("timpush.wait.reason")
	waitedKey   = attribute.Key("timpush.wait.duration")
	codeKey     = attribute.Key("timpush.code")
	doneKey     = attribute.Key("timpush.done")
	rejectedKey = attribute.Key("timpush.rejected")
	unknownKey  = attribute.Key("timpush.unknown")
	notSentKey  = attribute.Key("timpush.not_sent")
	requestsKey = attribute.Key("timpush.requests")
)

// shownWait is the shortest wait that is an event of a span: most waits take no time.
const shownWait = time.Millisecond

// Observer is a [timpush.Observer] that makes spans and metrics. It is made by [New], and is safe for concurrent use, also by
// several clients.
type Observer struct {
	tracer trace.Tracer
	meters meters
	sets   sets

	limiters limiters
	queue    atomic.Pointer[func(context.Context) (QueueStats, error)]
}

var _ timpush.Observer = (*Observer)(nil)

// Option changes how an [Observer] works.
type Option func(*settings)

type settings struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider
	quota   float64
	extra   []attribute.KeyValue
	faults  []error
}

func (s *settings) require(ok bool, fault string) {
	if !ok {
		s.faults = append(s.faults, errors.New("oteltimpush: "+fault))
	}
}

// WithTracerProvider sends spans to p. If not given, they go to [otel.GetTracerProvider], also when that is set later.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(s *settings) {
		s.tracers = p
		s.require(p != nil, "WithTracerProvider(nil): want a trace.TracerProvider")
	}
}

// WithMeterProvider sends metrics to p. If not given, they go to [otel.GetMeterProvider], also when that is set later.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(s *settings) {
		s.meters = p
		s.require(p != nil, "WithMeterProvider(nil): want a metric.MeterProvider")
	}
}

// WithQuota sets the value of the metric timpush.quota.limit: how many attempts a second the app may make for each endpoint of attributes and tags,
// more than 0. It limits nothing; a dashboard can show the share of the quota that is used. If not given, it is
// [timpush.DefaultQPS].
func WithQuota(perSecond float64) Option {
	return func(s *settings) {
		s.quota = perSecond
		s.require(perSecond > 0 && !math.IsInf(perSecond, 1), fmt.Sprintf("WithQuota(%v): want a number of attempts a second, more than 0", perSecond))
	}
}

// WithAttributes adds attributes to all spans and all metrics, for example the app's name where a process has several
// apps and so several Observers. They should be few and constant: each set of them is a separate series. They are
// exported as they are, so they must not be secrets. If not given, there are only those of the tables above.
func WithAttributes(attrs ...attribute.KeyValue) Option {
	return func(s *settings) { s.extra = append(s.extra, attrs...) }
}

// New makes an Observer. Its error has every fault of the options.
func New(opts ...Option) (*Observer, error) {
	s := settings{tracers: otel.GetTracerProvider(), meters: otel.GetMeterProvider(), quota: timpush.DefaultQPS}
	for _, option := range opts {
		if s.require(option != nil, "an Option is nil"); option != nil {
			option(&s)
		}
	}
	if len(s.faults) > 0 {
		return nil, errors.Join(s.faults...)
	}
	o := &Observer{sets: sets{extra: s.extra, known: map[labels]*set{}}}
	o.tracer = s.tracers.Tracer(ScopeName, trace.WithInstrumentationVersion(version()), trace.WithSchemaURL(semconv.SchemaURL))
	meter := s.meters.Meter(ScopeName, metric.WithInstrumentationVersion(version()), metric.WithSchemaURL(semconv.SchemaURL))
	if err := o.makeMeters(meter, s.quota, s.extra); err != nil {
		return nil, fmt.Errorf("oteltimpush: %w", err)
	}
	return o, nil
}

// version has the version of this module in the running program.
var version = sync.OnceValue(func() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == ScopeName && m.Version != "" {
				return strings.Trim(m.Version, "()")
			}
		}
	}
	return "devel"
})

// Observe implements [timpush.Observer]: the client calls it.
func (o *Observer) Observe(ctx context.Context, e timpush.Event) context.Context {
	at := o.sets.of(labels{endpoint: e.Endpoint, host: e.Host})
	switch e.Kind {
	case timpush.CallStart:
		return o.callStart(ctx, e, at)
	case timpush.CallEnd:
		o.callEnd(ctx, e, at)
	case timpush.AttemptStart:
		return o.attemptStart(ctx, e, at)
	case timpush.AttemptEnd:
		o.attemptEnd(ctx, e, at)
	case timpush.WaitEnd:
		o.waitEnd(ctx, e)
	}
	return ctx
}

// Each Observer has its own keys, since another one may have put its span into the context.
type (
	callKey    struct{ of *Observer }
	attemptKey struct{ of *Observer }
)

// call is a call in flight.
type call struct {
	span   trace.Span
	single bool // it needs only one request, unless that is halved

	mu     sync.Mutex
	failed []failure // of the latest attempt with each number
}

// callOf returns the call that a context belongs to. There is one, unless another observer has dropped the values of the
// context.
func (o *Observer) callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{o}).(*call); ok {
		return c
	}
	return &call{span: trace.SpanFromContext(context.Background())}
}

func (o *Observer) attemptOf(ctx context.Context) trace.Span {
	if span, ok := ctx.Value(attemptKey{o}).(trace.Span); ok {
		return span
	}
	return trace.SpanFromContext(context.Background())
}

func (o *Observer) callStart(ctx context.Context, e timpush.Event, at *set) context.Context {
	ctx, span := o.tracer.Start(ctx, at.callName, at.call...)
	if span.IsRecording() && e.Users > 0 {
		span.SetAttributes(usersKey.Int(e.Users))
	}
	o.meters.activeCalls.Add(ctx, 1, at.add...)
	return context.WithValue(ctx, callKey{o}, &call{span: span, single: e.Users <= timpush.MaxUsersPerRequest})
}

func (o *Observer) callEnd(ctx context.Context, e timpush.Event, at *set) {
	why := failureOf(e)
	o.meters.activeCalls.Add(ctx, -1, at.add...)
	o.meters.callDuration.Record(ctx, e.Duration.Seconds(), o.sets.of(labels{endpoint: e.Endpoint, host: e.Host, failure: why}).record...)
	if e.Users > 0 {
		o.countUsers(ctx, e)
	}
	span := o.callOf(ctx).span
	if span.IsRecording() {
		describeCall(span, e, why)
	}
	span.End()
}

// countUsers adds 0 too: the rate of a series that begins with its first failure would not show that failure.
func (o *Observer) countUsers(ctx context.Context, e timpush.Event) {
	for i, n := range [...]int{e.Result.Done, e.Result.Rejected, e.Result.Unknown, e.Result.NotSent} {
		o.meters.users.Add(ctx, int64(n), o.sets.of(labels{endpoint: e.Endpoint, host: e.Host, outcome: outcomes[i]}).add...)
	}
}

func describeCall(span trace.Span, e timpush.Event, why failure) {
	r, prefix := e.Result, ""
	span.SetAttributes(requestsKey.Int(r.Requests))
	if e.Users > 0 {
		span.SetAttributes(doneKey.Int(r.Done), rejectedKey.Int(r.Rejected), unknownKey.Int(r.Unknown), notSentKey.Int(r.NotSent))
		prefix = fmt.Sprintf("%d of %d users not done, the first: ", e.Users-r.Done, e.Users)
	}
	switch {
	case why.name == panicked:
		fail(span, why, "")
	case why.name != "":
		fail(span, why, prefix)
	}
}

const panicked = "panic" // the Failure of a call that has panicked

func (o *Observer) attemptStart(ctx context.Context, e timpush.Event, at *set) context.Context {
	c := o.callOf(ctx)
	ctx, span := o.tracer.Start(ctx, at.attemptName, at.attempt...)
	if span.IsRecording() && e.Users > 0 {
		span.SetAttributes(usersKey.Int(e.Users))
	}
	o.meters.attempts.Add(ctx, 1, at.add...)
	o.meters.activeAttempts.Add(ctx, 1, at.add...)
	if e.Attempt > 1 {
		o.meters.retries.Add(ctx, 1, o.sets.of(labels{endpoint: e.Endpoint, host: e.Host, failure: c.before(e.Attempt)}).add...)
		if span.IsRecording() {
			span.SetAttributes(semconv.HTTPRequestResendCount(e.Attempt - 1))
		}
	}
	return context.WithValue(ctx, attemptKey{o}, span)
}

func (o *Observer) attemptEnd(ctx context.Context, e timpush.Event, at *set) {
	why := failureOf(e)
	o.callOf(ctx).record(e.Attempt, why)
	o.meters.activeAttempts.Add(ctx, -1, at.add...)
	o.meters.attemptDuration.Record(ctx, e.Duration.Seconds(),
		o.sets.of(labels{endpoint: e.Endpoint, host: e.Host, failure: why, status: e.Status}).record...)
	o.meters.httpDuration.Inst().Record(ctx, e.Duration.Seconds(),
		o.sets.of(labels{http: true, host: e.Host, failure: httpFailure(e), status: e.Status}).record...)
	span := o.attemptOf(ctx)
	if span.IsRecording() {
		if e.Status != 0 {
			span.SetAttributes(semconv.HTTPResponseStatusCode(e.Status))
		}
		if e.Failure != "" {
			fail(span, why, "")
		}
	}
	span.End()
}

func (o *Observer) waitEnd(ctx context.Context, e timpush.Event) {
	o.meters.waits.Record(ctx, e.Duration.Seconds(), o.sets.of(labels{endpoint: e.Endpoint, host: e.Host, wait: e.Wait}).record...)
	if e.Duration < shownWait {
		return
	}
	if span := o.callOf(ctx).span; span.IsRecording() {
		span.AddEvent("timpush.wait", trace.WithAttributes(
			reasonKey.String(string(e.Wait)), waitedKey.Float64(e.Duration.Seconds())))
	}
}

// fail gives a span the status error. Its text has only texts of this library: an error or an answer of the server may
// name an account.
func fail(span trace.Span, why failure, prefix string) {
	span.SetAttributes(semconv.ErrorTypeKey.String(why.errorType()))
	if why.code != 0 {
		span.SetAttributes(codeKey.Int(int(why.code)))
		span.SetStatus(codes.Error, prefix+why.code.Error())
		return
	}
	span.SetStatus(codes.Error, prefix+why.name)
}

// maxAttempts bounds how many attempts a call keeps. There are more only if a request is halved many times.
const maxAttempts = 64

// record keeps how an attempt went. In a call of several requests only failures count, since the attempt of one
// request says nothing about the others.
func (c *call) record(attempt int, why failure) {
	if attempt < 1 || attempt > maxAttempts || why.name == "" && !c.single {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.failed) < attempt {
		c.failed = append(c.failed, failure{})
	}
	c.failed[attempt-1] = why
}

// before returns why there is an attempt with this number.
func (c *call) before(attempt int) failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := attempt - 2; k < len(c.failed) && c.failed[k].name != "" {
		return c.failed[k]
	}
	return failure{name: otherError}
}

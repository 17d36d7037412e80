package oteltimpush

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/time/rate"

	timpush "github.com/timpush/timpush-go"
)

// WatchLimiter returns a Limiter that lets through what l lets through, and adds two metrics to o: timpush.limiter.waiting, the
// calls that wait for l; and timpush.limiter.tokens, how many l would let through at once, if l has a method Tokens, as a
// Limiter of [timpush.NewLimiter] and a *rate.Limiter have. Give the Limiter that it returns to the client:
//
//	timpush.NewClient(config, timpush.WithLimiter(observer.WatchLimiter("users", limiter)), timpush.WithObserver(observer))
//
// The name is the attribute timpush.limiter; it is exported as it is, and each Limiter should have its own. For a job of low
// priority, watch what [timpush.LowPriority] returns, and give that the Limiter itself. The Limiter has a method WaitN if l
// has one. If l is nil, so is what WatchLimiter returns.
func (o *Observer) WatchLimiter(name string, l timpush.Limiter) timpush.Limiter {
	if standard, ok := l.(*rate.Limiter); l == nil || ok && standard == nil {
		return nil
	}
	attrs := append([]attribute.KeyValue{limiterKey.String(name)}, o.sets.extra...)
	w := &watchedLimiter{limiter: l, waiting: o.meters.limiterWaiting, option: metric.WithAttributes(attrs...)}
	o.limiters.add(w)
	if many, ok := l.(nWaiter); ok {
		return watchedLimiterN{w, many}
	}
	return w
}

type nWaiter interface {
	WaitN(ctx context.Context, n int) error
}

// watchedLimiter counts those who wait for a Limiter.
type watchedLimiter struct {
	limiter timpush.Limiter
	waiting metric.Int64UpDownCounter
	option  metric.MeasurementOption
}

// watchedLimiterN is a watchedLimiter of a Limiter with WaitN.
type watchedLimiterN struct {
	*watchedLimiter
	many nWaiter
}

func (w *watchedLimiter) Wait(ctx context.Context) error {
	w.waiting.Add(ctx, 1, w.option)
	defer w.waiting.Add(ctx, -1, w.option)
	return w.limiter.Wait(ctx)
}

func (w watchedLimiterN) WaitN(ctx context.Context, n int) error {
	w.waiting.Add(ctx, 1, w.option)
	defer w.waiting.Add(ctx, -1, w.option)
	return w.many.WaitN(ctx, n)
}

// Behind returns the Limiter that is watched, for the checks of [timpush.NewClient].
func (w *watchedLimiter) Behind() timpush.Limiter { return w.limiter }

// limiters are those that an Observer watches.
type limiters struct {
	mu  sync.Mutex
	all []*watchedLimiter
}

func (s *limiters) add(w *watchedLimiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, w)
}

// tokens is called at each collection of the metrics.
func (s *limiters) tokens(observe observeFloat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.all {
		if l, ok := w.limiter.(interface{ Tokens() float64 }); ok {
			observe(l.Tokens(), w.option)
		}
	}
}

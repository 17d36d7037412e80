package oteltimpush

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// statsTimeout bounds how long a collection of the metrics waits for the numbers of a queue: a scrape of Prometheus ends after
// some seconds and would lose all other metrics too.
const statsTimeout = 2 * time.Second

// QueueStats are the numbers of a queue of package dispatch whose Stats has fields with the same names. This package does not
// import dispatch, so that its users do not download it.
type QueueStats struct {
	Backlog     int           // updates that are stored and not settled
	Oldest      time.Duration // age of the oldest of them; 0 if there is none
	Waiting     int           // updates of the backlog whose accounts fail while others do not
	DeadLetters int
	Lost        int   // messages, of 1 to 100 updates each, that were stored and are gone before they were settled
	Bytes       int64 // that the stream of updates takes
	MaxBytes    int64 // that it can take; 0 if there is no limit, or it is not known
	Paused      bool  // nothing is sent, no updates are taken, or dead letters have no room
}

// WatchQueue adds the metrics timpush.queue.* to o, with the numbers that stats returns. It is called at each collection of the
// metrics, also concurrently, and gets 2 s for its answer. If it fails, only timpush.queue.paused is exported, with the value 1. A panic in
// it is not recovered, as in any callback of OpenTelemetry.
//
// An Observer watches one queue: a further call replaces stats, and WatchQueue(nil) ends it, which is to be done before the
// queue is closed. All processes of a queue export the same numbers.
func (o *Observer) WatchQueue(stats func(ctx context.Context) (QueueStats, error)) {
	o.queue.Store(&stats)
}

// queueMeters are the instruments of a queue.
type queueMeters struct {
	backlog, waiting, deadLetters, lost, bytes, maxBytes, paused metric.Int64ObservableGauge
	oldest                                                       metric.Float64ObservableGauge
}

// watchQueue makes the instruments of a queue, which have no values until there is one.
func (o *Observer) watchQueue(f *factory, extra []attribute.KeyValue) {
	m := queueMeters{
		backlog:     f.observed("timpush.queue.backlog", "{update}", "Updates that are stored and not settled."),
		waiting:     f.observed("timpush.queue.waiting", "{update}", "Updates of the backlog whose accounts fail while others do not."),
		deadLetters: f.observed("timpush.queue.dead_letters", "{update}", "Updates that the service has refused for their own data, or that were too old."),
		lost:        f.observed("timpush.queue.lost", "{message}", "Messages, of 1 to 100 updates each, that were stored and are gone, until this is acknowledged."),
		bytes:       f.observed("timpush.queue.bytes", "By", "Bytes that the stream of updates takes."),
		maxBytes:    f.observed("timpush.queue.max_bytes", "By", "Bytes that the stream of updates can take."),
		paused:      f.observed("timpush.queue.paused", "{queue}", "1 if nothing is sent, no updates are taken, or dead letters have no room, or the queue does not answer; else 0."),
	}
	var err error
	m.oldest, err = f.meter.Float64ObservableGauge("timpush.queue.oldest", metric.WithUnit("s"), metric.WithDescription("Age of the oldest update that is not settled."))
	f.faults = append(f.faults, err)
	option := metric.WithAttributes(extra...)
	_, err = f.meter.RegisterCallback(func(ctx context.Context, to metric.Observer) error {
		if stats := o.queue.Load(); stats != nil && *stats != nil {
			m.observe(ctx, to, *stats, option)
		}
		return nil
	}, m.backlog, m.waiting, m.deadLetters, m.lost, m.bytes, m.maxBytes, m.paused, m.oldest)
	f.faults = append(f.faults, err)
}

func (m *queueMeters) observe(ctx context.Context, to metric.Observer, stats func(context.Context) (QueueStats, error), option metric.ObserveOption) {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	s, err := stats(ctx)
	if err != nil {
		to.ObserveInt64(m.paused, 1, option)
		return
	}
	paused := int64(0)
	if s.Paused {
		paused = 1
	}
	to.ObserveInt64(m.paused, paused, option)
	to.ObserveInt64(m.backlog, int64(s.Backlog), option)
	to.ObserveFloat64(m.oldest, s.Oldest.Seconds(), option)
	to.ObserveInt64(m.waiting, int64(s.Waiting), option)
	to.ObserveInt64(m.deadLetters, int64(s.DeadLetters), option)
	to.ObserveInt64(m.lost, int64(s.Lost), option)
	to.ObserveInt64(m.bytes, s.Bytes, option)
	if s.MaxBytes > 0 {
		to.ObserveInt64(m.maxBytes, s.MaxBytes, option)
	}
}

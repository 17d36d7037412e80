package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/timpush/timpush-go/internal/beforesend"
)

// WithDelay makes all pauses shorter: d stands for a second.
func WithDelay(d time.Duration) Option { return func(s *settings) { s.delay = d } }

// Steal takes the lease as another process would that holds it for dead, and keeps it.
func (q *Queue) Steal(ctx context.Context) error {
	l := &lease{state: q.state, length: time.Second}
	if err := l.load(ctx); err != nil {
		return err
	}
	l.record.Owner = "thief"
	return l.save(ctx)
}

// Crash leaves a record as of a process that has crashed: what lies up to the horizon may have been sent.
func (q *Queue) Crash(ctx context.Context, horizon uint64) error {
	info, err := q.stream.Info(ctx)
	if err != nil {
		return err
	}
	value, err := json.Marshal(record{Created: info.Created, Horizon: horizon})
	if err != nil {
		return err
	}
	_, err = q.state.Put(ctx, recordKey, value)
	return err
}

// Floor returns how far the record says that all is settled.
func (q *Queue) Floor(ctx context.Context) (uint64, error) {
	l := &lease{state: q.state, length: time.Second}
	err := l.load(ctx)
	return l.record.Floor, err
}

// JetStream returns what the queue is on, and the subject that its updates begin with.
func (q *Queue) JetStream() (jetstream.JetStream, string) { return q.js, q.subject }

// WithReserve sets how many bytes of the disk are kept free.
func WithReserve(n int64) Option { return func(s *settings) { s.reserve = n } }

// WithLeaseCheck gives a call the check that a dispatcher's calls have, with a lease that is held as long as a function says so.
func WithLeaseCheck(ctx context.Context, held func() bool) context.Context {
	now, past := time.Now(), time.Now().Add(-time.Hour)
	l := &lease{length: time.Minute}
	return beforesend.With(ctx, func() error {
		l.renewed.Store(&past)
		if held() {
			l.renewed.Store(&now)
		}
		return l.checkLease()
	})
}

// WithStoreTimeout sets how long a message is tried to be stored.
func WithStoreTimeout(d time.Duration) Option { return func(s *settings) { s.store = d } }

// WithPatience sets how long messages are tried that a server has and cannot read; an embedded one a tenth of it.
func WithPatience(d time.Duration) Option { return func(s *settings) { s.patience = d } }

// ReadSlowly reads n messages, with a pause before each.
func (q *Queue) ReadSlowly(ctx context.Context, n int, pause time.Duration) error {
	info, err := q.stream.Info(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	feed, ended := make(chan *message), make(chan error)
	r := &reader{queue: q, created: info.Created, next: 1, feed: feed}
	go func() { ended <- r.read(ctx) }()
	for range n {
		time.Sleep(pause)
		<-feed
	}
	cancel()
	if err = <-ended; errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

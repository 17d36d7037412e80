package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var errGap = errors.New("messages were lost on the way")

// read reads the stream in order, for as long as ctx lasts.
func (q *Queue) read(ctx context.Context, from uint64, feed chan<- *message) {
	for {
		err := q.readOn(ctx, &from, feed)
		if ctx.Err() == nil {
			q.settings.logger.WarnContext(ctx, "dispatch: reading begins anew", "error", err)
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return
		}
	}
}

// readOn reads from a sequence on, which it moves, until something is wrong. This is what an ordered consumer of the
// library does too, but that one waits for a lost server beyond the end of ctx, and ever longer.
func (q *Queue) readOn(ctx context.Context, from *uint64, feed chan<- *message) error {
	messages, err := q.consume(ctx, *from)
	if err != nil {
		return err
	}
	defer messages.Stop()
	for expected := uint64(1); ; expected++ {
		next, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := next.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != expected {
			return errGap
		}
		m := readMessage(next.Data(), meta)
		select {
		case feed <- m:
			*from = m.seq + 1
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// consume makes a consumer that remembers nothing: a lost server is missed within two seconds, and the next one begins
// where this one has ended.
func (q *Queue) consume(ctx context.Context, from uint64) (jetstream.MessagesContext, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	consumer, err := q.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
	})
	if err != nil {
		return nil, err
	}
	return consumer.Messages(jetstream.PullMaxMessages(500), jetstream.PullExpiry(10*time.Second), jetstream.PullHeartbeat(time.Second))
}

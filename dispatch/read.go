package dispatch

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

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

// readOn reads from a sequence on, which it moves.
func (q *Queue) readOn(ctx context.Context, from *uint64, feed chan<- *message) error {
	consumer, err := q.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: *from, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(500))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		next, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		m, err := readMessage(next)
		if err != nil {
			return err
		}
		select {
		case feed <- m:
			*from = m.seq + 1
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

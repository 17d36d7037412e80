package dispatch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	errGap = errors.New("messages did not arrive")

	// errUnread says that the server has messages and cannot read them, which may pass.
	errUnread = errors.New("the server has messages that it cannot read at the moment: see its log, and whether it may open more files")

	// errChanged says that the stream is not the one that was read so far: it was deleted and made again, or has lost its end.
	errChanged = errors.New("the stream has been replaced or has lost its end")
)

const (
	idleTime = 2 * time.Second // after which the reader looks whether something was not delivered
	logEvery = 5 * time.Second // of a fault that is tried again many times a second
)

// reader reads the stream in order, and finds out which messages are missing.
type reader struct {
	queue   *Queue
	created time.Time // of the stream
	next    uint64    // the sequence to be read next
	last    position  // what was read last
	feed    chan<- *message
	logged  time.Time // when it last said that it starts over
	unread  time.Time // since when messages cannot be read although the stream has them; zero: they can
}

// read reads until ctx ends or the stream turns out to be another one.
func (r *reader) read(ctx context.Context) error {
	for {
		err := r.readOn(ctx)
		if errors.Is(err, errChanged) {
			return err
		}
		if err = errors.Join(err, r.queue.deniedToRead()); ctx.Err() == nil {
			r.queue.idle.Store(&err)
			if time.Since(r.logged) >= logEvery {
				r.logged = time.Now()
				r.queue.settings.logger.WarnContext(ctx, "dispatch: reading starts over", "error", err)
			}
		}
		pause := 100 * time.Millisecond
		if !r.unread.IsZero() { // for minutes, in which no more than maxConsumers may be left over
			pause = r.queue.settings.patience / 100
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// deniedToRead returns what a reader may not do.
func (q *Queue) deniedToRead() error {
	return q.denied("CONSUMER.CREATE."+q.name, "CONSUMER.MSG.NEXT."+q.name, "STREAM.MSG.GET."+q.name, "STREAM.INFO."+q.name+`"`)
}

// readOn reads with one consumer until something is wrong. An ordered consumer of the library does this too, but that one waits
// for a lost server beyond the end of ctx, and longer each time.
func (r *reader) readOn(ctx context.Context) error {
	messages, err := r.queue.consume(ctx, r.next)
	if err != nil {
		return err
	}
	defer messages.Stop()
	if err := r.checkStream(ctx); err != nil {
		return err
	}
	if r.unread.IsZero() {
		r.queue.idle.Store(nil)
	}
	for expected := uint64(1); ; {
		m, err := nextMessage(ctx, messages, expected)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			err = r.checkTail(ctx)
		case err == nil:
			expected++
			err = r.take(ctx, m)
		}
		if err != nil {
			return err
		}
	}
}

func nextMessage(ctx context.Context, messages jetstream.MessagesContext, expected uint64) (*message, error) {
	ctx, cancel := context.WithTimeout(ctx, idleTime)
	defer cancel()
	next, err := messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return nil, err
	}
	meta, err := next.Metadata()
	if err != nil {
		return nil, err
	}
	if meta.Sequence.Consumer != expected {
		return nil, errGap
	}
	return readMessage(next.Data(), meta.Sequence.Stream, meta.Timestamp), nil
}

// take passes a message on, after those before it that the consumer has left out.
func (r *reader) take(ctx context.Context, m *message) error {
	if m.seq < r.next {
		return nil // checkTail has read it
	}
	if m.seq > r.next {
		if err := r.takeMissing(ctx, m.seq-1); err != nil {
			return err
		}
	}
	return r.pass(ctx, m)
}

// takeMissing looks for what the consumer has left out, up to a sequence.
func (r *reader) takeMissing(ctx context.Context, to uint64) error {
	found, err := r.queue.missing(ctx, r.next, to)
	if err == nil && slices.ContainsFunc(found, func(m *message) bool { return m.unproven }) {
		err = r.mayPass()
	}
	if err != nil {
		return err
	}
	for _, m := range found {
		if err := r.pass(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// mayPass returns nil once messages that cannot be read count as lost. The server says of them what it says of those that are not there,
// whatever its reason is, such as too many open files.
func (r *reader) mayPass() error {
	patience := r.queue.settings.patience
	if r.queue.embedded { // its files can be opened, so that no other reason is left than damage
		patience /= 10
	}
	err := r.queue.disk.cannotOpen(r.queue.name)
	if r.unread.IsZero() || err != nil {
		r.unread = time.Now()
	}
	if err != nil || time.Since(r.unread) < patience {
		return errors.Join(errUnread, err)
	}
	return nil
}

func (r *reader) pass(ctx context.Context, m *message) error {
	select {
	case r.feed <- m:
		r.next = m.seq + 1
		if m.lost == 0 {
			r.last = position{m.seq, m.at}
		}
		if !m.unproven { // what cannot be read right behind it needs no time of its own
			r.goesOn()
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// goesOn says that nothing is in the way.
func (r *reader) goesOn() {
	r.unread = time.Time{}
	r.queue.idle.Store(nil)
}

// checkTail reads what is stored and was not delivered: a consumer leaves out messages that are damaged, and a damaged block may
// keep it from going on.
func (r *reader) checkTail(ctx context.Context) error {
	info, err := r.queue.info(ctx, r.queue.stream)
	if err != nil {
		return err
	}
	if info.State.LastSeq < r.next {
		r.goesOn()
		return nil
	}
	return r.takeMissing(ctx, min(info.State.LastSeq, r.next+1000))
}

// checkStream reports whether the stream of a new consumer is the one that was read so far.
func (r *reader) checkStream(ctx context.Context) error {
	info, err := r.queue.infoWith(ctx, r.created, r.next-1, func(context.Context) error { return nil }) // the dispatcher renews the lease
	if err != nil {
		return err
	}
	if !info.Created.Equal(r.created) || info.State.LastSeq+1 < r.next {
		return errChanged
	}
	same, err := r.queue.holds(ctx, info, r.last)
	if err == nil && !same {
		return errChanged
	}
	return err
}

// consume makes a consumer that remembers nothing: a lost server is noticed within a second, and the next consumer begins
// where this one has ended. It has few bytes on their way: what renews the lease is answered behind them. It asks for more only
// when it has all that it has asked for: the client of NATS has no place for more messages, and would drop some, and print that.
func (q *Queue) consume(ctx context.Context, from uint64) (jetstream.MessagesContext, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	consumer, err := q.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: consumerLife,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
	})
	if err != nil {
		return nil, err
	}
	largest := int(q.js.Conn().MaxPayload()) + 8<<10 // with its subjects
	return consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(500, largest), jetstream.PullThresholdMessages(1),
		jetstream.PullExpiry(10*time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
}

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stats is what an operator looks at.
type Stats struct {
	Backlog     int           // updates that are stored and not settled; within a quarter of a second, and exact when nothing moves
	Oldest      time.Duration // age of the oldest of them; 0 if there is none
	Waiting     int           // of the backlog: of accounts that fail while others do not, to be sent again later
	Redelivered int           // updates sent again since the queue was made, after a fault or a crash; at most so many
	DeadLetters int
	Bytes       int64  // that the stream of updates takes, which can be MaxBytes at most
	MaxBytes    int64  // as the stream has it
	Active      string // the host of the process that sends, and its name there; "" if none does
	Paused      string // why nothing is sent at the moment; "": it is
}

// Stats returns the numbers of the queue, whichever process sends.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	s, err := q.stats(ctx)
	if err != nil {
		return Stats{}, fmt.Errorf("dispatch: %w", err)
	}
	return s, nil
}

func (q *Queue) stats(ctx context.Context) (Stats, error) {
	l := &lease{state: q.state, length: q.settings.lease}
	if err := l.load(ctx); err != nil {
		return Stats{}, err
	}
	r := l.record
	info, err := q.stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return Stats{}, err
	}
	dead, err := q.dead.Info(ctx)
	if err != nil {
		return Stats{}, err
	}
	s := Stats{
		Backlog: stored(info.State.Subjects) - int(r.Passed-r.Purged), Redelivered: int(r.Redelivered),
		DeadLetters: int(dead.State.Msgs), Bytes: int64(info.State.Bytes), MaxBytes: info.Config.MaxBytes, Active: r.Owner, Paused: r.Paused,
	}
	for _, p := range r.Later {
		s.Waiting += len(p.Updates)
		s.Oldest = max(s.Oldest, time.Since(p.Updates[0].At))
	}
	s.Backlog = max(s.Backlog, 0) + s.Waiting
	first := max(r.Floor+1, info.State.FirstSeq)
	if first > info.State.LastSeq {
		return s, nil
	}
	m, err := q.stream.GetMsg(ctx, first)
	if err == nil {
		s.Oldest = max(s.Oldest, time.Since(m.Time))
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) { // it has just been deleted
		err = nil
	}
	return s, err
}

// stored counts updates by the subjects of their messages.
func stored(subjects map[string]uint64) int {
	total := 0
	for subject, messages := range subjects {
		n, err := strconv.Atoi(subject[strings.LastIndexByte(subject, '.')+1:])
		if err != nil {
			n = 1 // a message that is not of this package
		}
		total += n * int(messages)
	}
	return total
}

package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stats is the state of a queue for operators.
type Stats struct {
	Backlog     int           // updates that are stored and not settled; within a quarter of a second, and exact when nothing moves
	Oldest      time.Duration // age of the oldest of them; 0 if there is none
	Waiting     int           // of the backlog: of accounts that fail while others do not, to be sent again later
	Redelivered int           // updates sent again since the queue was made, after a fault or a crash; an upper bound
	DeadLetters int
	Lost        int    // messages, of 1 to 100 updates each, that were stored and are gone before they were settled, until AcknowledgeLost
	LostAt      string // the last of their sequences in the stream, such as "17, 20-31", or "dead letters"
	Bytes       int64  // that the stream of updates takes, which can be MaxBytes at most
	MaxBytes    int64  // as the stream has it
	Active      string // the host of the process that sends, and its name there; "" if none does, and 30 s after one has died (10 times WithLease)
	Paused      string // why nothing is sent, no updates are taken, or dead letters cannot be stored, at the moment, as far as is known; "": none of them
}

// Stats returns the numbers of the queue, whichever process sends. Where the bucket or a stream is missing, Paused says so and the
// numbers that cannot be known are 0.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	s, err := q.stats(ctx)
	if paused := q.whyPaused(ctx); paused != "" && s.Paused == "" {
		s.Paused = paused
	}
	if err != nil && s.Paused == "" {
		return Stats{}, fmt.Errorf("dispatch: %w", err)
	}
	if why := q.idle.Load(); why != nil && s.Paused == "" {
		s.Paused = "nothing is sent: " + oneLine(*why)
	}
	return s, nil
}

// whyPaused returns why no updates are taken as far as this process knows.
func (q *Queue) whyPaused(ctx context.Context) string {
	if err := q.disk.refuse(0); err != nil {
		return strings.TrimPrefix(err.Error(), ErrFull.Error()+": ")
	}
	if err := q.checkConfig(ctx); err != nil {
		return oneLine(err)
	}
	return q.whyUntaken()
}

func (q *Queue) stats(ctx context.Context) (Stats, error) {
	r, lost, recordErr := q.loss(ctx)
	info, err := q.info(ctx, q.stream, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return Stats{}, err
	}
	dead, err := q.info(ctx, q.dead)
	if err != nil {
		return Stats{}, err
	}
	if !r.Created.Equal(info.Created) && !r.copiedTo(info) || r.Floor > info.State.LastSeq { // the record is of another stream: all of this one will be sent
		r.rewind(info)
	}
	if !r.written.IsZero() && info.TimeStamp.Sub(r.written) > 10*cmp.Or(r.Lease, q.settings.lease) { // it is written each quarter of a lease
		r.Owner = ""
	}
	settled := int(r.Passed - r.Purged)
	if info.State.FirstSeq > r.Floor { // none of them is stored any more, and an operator can have deleted more than the record says
		settled = 0
	}
	s := Stats{
		Backlog: stored(info.State.Subjects) - settled - int(r.Ahead), Redelivered: int(r.Redelivered), DeadLetters: int(dead.State.Msgs),
		Lost: int(lost), LostAt: r.lostAt(lost), Bytes: int64(info.State.Bytes), MaxBytes: info.Config.MaxBytes, Active: r.Owner, Paused: r.Paused,
	}
	first := max(r.Floor+1, info.State.FirstSeq)
	if first > info.State.LastSeq {
		s.Backlog = 0
	} else {
		s.Backlog = max(s.Backlog, 1) // the record's counts are wrong for a second after damage
	}
	for _, p := range r.Later {
		s.Waiting += len(p.Updates)
		s.Oldest = max(s.Oldest, time.Since(p.Updates[0].At))
	}
	s.Backlog += s.Waiting
	if recordErr != nil || first > info.State.LastSeq {
		return s, recordErr
	}
	m, err := q.stream.GetMsg(ctx, first, jetstream.WithGetMsgSubject(q.subject+".set.*")) // or the next one, if that is lost
	if err == nil {
		s.Oldest = max(s.Oldest, time.Since(m.Time))
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) { // all have just been deleted, or are lost
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

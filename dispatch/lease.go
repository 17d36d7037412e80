package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// errLost is why a dispatcher stops: another one has taken over, or it could not renew its lease in time.
var errLost = errors.New("the lease is lost")

// record is all that one dispatcher leaves to the next. It is one value, written under the condition that nobody else
// has written it since: so a dispatcher that has been taken over cannot change anything any more.
type record struct {
	Owner       string    `json:"owner"`            // "": nobody
	Created     time.Time `json:"created"`          // of the stream that the sequences are of
	Floor       uint64    `json:"floor"`            // all messages up to it are settled, or their rest is in Later
	Horizon     uint64    `json:"horizon"`          // nothing after it can have been sent
	Passed      uint64    `json:"passed"`           // updates up to the floor, ever
	Purged      uint64    `json:"purged"`           // of these, in messages that have been deleted
	Redelivered uint64    `json:"redelivered"`      // updates sent again, ever
	Marks       []mark    `json:"marks,omitempty"`  // floors of the last minutes, the oldest first
	Later       []parked  `json:"later,omitempty"`  // accounts that fail while others do not
	Paused      string    `json:"paused,omitempty"` // why nothing is sent at the moment
}

// mark is a floor and when it was one.
type mark struct {
	Seq    uint64    `json:"seq"`
	Passed uint64    `json:"passed"`
	At     time.Time `json:"at"`
}

// parked is an account whose updates are kept in the record, so that they do not hold the floor.
type parked struct {
	Tries   int      `json:"tries"`
	Updates []update `json:"updates"`
}

const recordKey = "dispatcher"

// lease is the right to send, for as long as it is renewed.
type lease struct {
	state    jetstream.KeyValue
	length   time.Duration
	revision uint64
	record   record
	renewed  time.Time
}

// acquire waits until it has the lease, or until ctx ends. It never compares clocks of two machines: a lease is free
// when its record has not changed for longer than its owner would have gone on without renewing it.
func (q *Queue) acquire(ctx context.Context, owner string) (*lease, error) {
	var seen uint64
	var since time.Time
	for {
		l := &lease{state: q.state, length: q.settings.lease}
		err := l.load(ctx)
		free := l.record.Owner == "" || l.record.Owner == owner
		if err == nil && l.revision != seen {
			seen, since = l.revision, time.Now()
		}
		if err == nil && (free || time.Since(since) > l.length+l.length/4) {
			l.record.Owner = owner
			if err = l.save(ctx); err == nil {
				return l, nil
			}
		}
		if err != nil && !errors.Is(err, errLost) && ctx.Err() == nil {
			q.settings.logger.WarnContext(ctx, "dispatch: the lease cannot be read or taken", "error", err)
		}
		if !sleep(ctx, l.length/10) {
			return nil, ctx.Err()
		}
	}
}

// freeLease gives the lease away that a crashed process had.
func (q *Queue) freeLease(ctx context.Context) error {
	l := &lease{state: q.state, length: q.settings.lease}
	if err := l.load(ctx); err != nil || l.record.Owner == "" {
		return err
	}
	return l.release(ctx)
}

// load reads the record; where there is none yet, it is the zero value.
func (l *lease) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.length)
	defer cancel()
	entry, err := l.state.Get(ctx, recordKey)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil
	case err != nil:
		return err
	}
	l.revision = entry.Revision()
	if err := json.Unmarshal(entry.Value(), &l.record); err != nil {
		return fmt.Errorf("the record in the bucket cannot be read: %w", err)
	}
	return nil
}

// save writes the record and renews the lease from the moment at which it began to write. It tries until the lease is over.
func (l *lease) save(ctx context.Context) error {
	value, err := json.Marshal(l.record)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(l.length)
	if l.until().After(time.Now()) {
		deadline = l.until()
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for {
		began := time.Now()
		revision, err := l.write(ctx, value)
		if err == nil {
			l.revision, l.renewed = revision, began
			return nil
		}
		if conflict(err) {
			return errLost
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%w: %w", errLost, err)
		}
	}
}

func (l *lease) write(ctx context.Context, value []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, l.length/2)
	defer cancel()
	if l.revision == 0 {
		return l.state.Create(ctx, recordKey, value)
	}
	return l.state.Update(ctx, recordKey, value, l.revision)
}

// conflict tells whether somebody else has written the record.
func conflict(err error) bool {
	if errors.Is(err, jetstream.ErrKeyExists) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// until is when the lease is over, if it is not renewed.
func (l *lease) until() time.Time { return l.renewed.Add(l.length) }

// valid tells whether the lease is not over, also by the wall clock: the other one stands still while a machine sleeps.
func (l *lease) valid() bool {
	now := time.Now()
	return now.Before(l.until()) && now.Round(0).Before(l.until().Round(0))
}

// release lets another dispatcher take over at once.
func (l *lease) release(ctx context.Context) error {
	l.record.Owner = ""
	return l.save(ctx)
}

// newOwner returns a name that tells an operator where a dispatcher runs.
func newOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "/" + nuid.Next()
}

package dispatch

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// errLeaseLost is why a dispatcher stops: another one has taken over, or it could not renew its lease in time.
var errLeaseLost = errors.New("the lease is lost")

// errWritePending is why a write is refused where an earlier one is not done, as by a server that leads the bucket while the others are gone.
var errWritePending = errors.New("an earlier write of the record is not done; more than half of the servers of its cluster must be up")

// record is all that one dispatcher leaves to the next. It is one value, written under the condition that no other process
// has written it since: a dispatcher that has been replaced can change nothing any more.
type record struct {
	Owner       string        `json:"owner"`             // "": none
	Lease       time.Duration `json:"lease,omitempty"`   // of the owner: others may have another one during a deploy
	Created     time.Time     `json:"created"`           // of the stream that the sequences belong to
	Floor       uint64        `json:"floor"`             // all messages up to it are settled, or their rest is in Later
	Horizon     uint64        `json:"horizon"`           // nothing after it can have been sent
	Read        position      `json:"read,omitzero"`     // the last message that was read
	Passed      uint64        `json:"passed"`            // updates up to the floor, since the queue was made
	Purged      uint64        `json:"purged"`            // of these, in messages that have been deleted
	Ahead       uint64        `json:"ahead,omitempty"`   // updates after the floor that are settled, or in Later
	Redelivered uint64        `json:"redelivered"`       // updates sent again since the queue was made
	Lost        uint64        `json:"lost,omitempty"`    // messages found missing since the queue was made
	Missing     []span        `json:"missing,omitempty"` // which, the latest of them
	Settled     uint64        `json:"settled,omitempty"` // messages up to it were settled before a rewind: what is missing there is not lost
	LostTop     uint64        `json:"lostTop,omitempty"` // the highest sequence that the server has reported as lost
	Counted     uint64        `json:"counted,omitempty"` // the generation of the acknowledgements whose lost end is in Lost
	Marks       []mark        `json:"marks,omitempty"`   // floors of the last minutes, the oldest first
	Later       []parked      `json:"later,omitempty"`   // accounts that fail while others do not
	Paused      string        `json:"paused,omitempty"`  // why nothing is sent at the moment

	written time.Time // to the bucket, by the clock of the server
}

// position is a message by its sequence and the time at which it was stored, so that another one which has got the same
// sequence can be told from it.
type position struct {
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
}

// span is consecutive messages that are missing.
type span struct {
	From  uint64 `json:"from"` // 0: dead letters
	To    uint64 `json:"to"`
	Total uint64 `json:"total"` // of record.Lost with these
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

// badBucket is how many writes in a row are refused although the lease is free, or are stored and not answered, before the bucket is
// called damaged: one or two may be due to another process, or to the network.
const badBucket = 3

// lease is the right to send, for as long as it is renewed.
type lease struct {
	state    jetstream.KeyValue
	length   time.Duration
	kept     *copyFile // of the record; nil: none
	revision uint64
	record   record
	restored bool // the record is from the copy
	silent   int  // writes in a row that were stored and not answered
	renewed  atomic.Pointer[time.Time]
}

func (q *Queue) newLease() *lease {
	return &lease{state: q.state, length: q.settings.lease, kept: q.kept}
}

// acquire waits until it has the lease, or until ctx ends. It never compares clocks of two machines: a lease is free
// when its record has not changed for longer than its owner would have gone on without renewing it.
func (q *Queue) acquire(ctx context.Context, owner string) (*lease, error) {
	seen, since := q.seen.revision, q.seen.since
	refused := 0 // writes in a row, although the lease was free
	var logged time.Time
	for {
		l := q.newLease()
		err := l.load(ctx)
		free := l.record.Owner == "" || l.record.Owner == owner
		if err == nil && l.revision != seen {
			seen, since = l.revision, time.Now()
		}
		length := cmp.Or(l.record.Lease, l.length) // none: an earlier version has written the record
		if err == nil && (free || time.Since(since) > length+length/4) {
			l.record.Owner = owner
			if err = l.save(ctx); err == nil {
				q.idle.Store(nil)
				return l, nil
			}
		}
		denied := q.denied("$KV."+q.name, "KV_"+q.name)
		known := denied != nil || full(err)
		conflicts := err == errLeaseLost //nolint:errorlint // with a cause it was not written in time
		if refused++; known || !free || !conflicts {
			refused = 0
		}
		if refused == badBucket {
			q.logBadBucket(ctx, "nothing is sent: the bucket of the record takes no writes")
		}
		switch {
		case q.js.Conn().IsClosed():
			return nil, errors.Join(errConnClosed, denied)
		case err == nil:
			q.idle.Store(nil)
		case ctx.Err() == nil && (known || !conflicts):
			err = errors.Join(err, denied)
			q.idle.Store(&err)
			if time.Since(logged) >= logEvery {
				logged = time.Now()
				q.settings.logger.WarnContext(ctx, "dispatch: the lease cannot be read or taken", "error", err)
			}
		}
		if !sleep(ctx, l.length/10) {
			return nil, ctx.Err()
		}
	}
}

func (q *Queue) logBadBucket(ctx context.Context, what string) {
	q.settings.logger.ErrorContext(ctx, "dispatch: "+what+", its data may be damaged; delete it, and restart the processes that use the queue", "bucket", q.name)
}

// sighting is a revision of the record and since when it has been the last one, as far as is known.
type sighting struct {
	revision uint64
	since    time.Time
}

// observe looks at the record until ctx ends. Any server of a cluster answers that, so that the time of a dead owner's lease
// passes while the others still elect a leader.
func (q *Queue) observe(ctx context.Context) (s sighting) {
	subject := q.api("DIRECT.GET.KV_" + q.name + ".$KV." + q.name + "." + recordKey)
	for {
		attempt, cancel := context.WithTimeout(ctx, requestTimeout)
		m, err := q.js.Conn().RequestWithContext(attempt, subject, nil)
		cancel()
		if err == nil {
			revision, _ := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64) // 0: there is no record
			if revision != s.revision {
				s = sighting{revision, time.Now()}
			}
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return s
		}
	}
}

// load reads the record; where there is none yet, it is the zero value. A server with damaged data may lose it at any time, and
// may even lose again what is written then: the copy is used if it is newer.
func (l *lease) load(ctx context.Context) error {
	if err := l.loadBucket(ctx); err != nil {
		return err
	}
	if kept, ok := l.kept.newer(l.revision); ok {
		l.record, l.restored = kept, true
	}
	return nil
}

func (l *lease) loadBucket(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
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
	l.record.written = entry.Created()
	return nil
}

// save writes the record and renews the lease from the moment at which it began to write. It tries until the lease is over.
func (l *lease) save(ctx context.Context) error {
	l.record.Lease = l.length
	value, err := json.Marshal(l.record)
	if err != nil {
		return err
	}
	if err := l.store(ctx, value); err != nil {
		return err
	}
	l.kept.write(l.revision, value)
	return nil
}

// store writes until it is written, or until the lease is over.
func (l *lease) store(ctx context.Context, value []byte) error {
	deadline := time.Now().Add(l.length)
	if l.until().After(time.Now()) {
		deadline = l.until()
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var cause error
	for first, known := time.Now(), l.revision; ; {
		began, silent := time.Now(), 0
		revision, err := l.write(ctx, value)
		if conflict(err) {
			began, silent = first, l.silent+1
			revision, err = l.refused(ctx, value, known, err)
		}
		if err == nil {
			l.revision, l.silent = revision, silent
			l.renewed.Store(&began)
			return nil
		}
		if errors.Is(err, errLeaseLost) {
			return err
		}
		if cause == nil || ctx.Err() == nil { // the last try may have been cut off
			cause = err
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%w: %w", errLeaseLost, cause)
		}
	}
}

func (l *lease) write(ctx context.Context, value []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, min(l.length/2, requestTimeout))
	defer cancel()
	if l.revision == 0 {
		return l.state.Create(ctx, recordKey, value)
	}
	return l.state.Update(ctx, recordKey, value, l.revision)
}

// conflict reports whether another process has written the record.
func conflict(err error) bool {
	if errors.Is(err, jetstream.ErrKeyExists) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// until is when the lease is over, if it is not renewed.
func (l *lease) until() time.Time {
	if renewed := l.renewed.Load(); renewed != nil {
		return renewed.Add(l.length)
	}
	return time.Time{}
}

// valid reports whether the lease is not over, also by the wall clock: the monotonic one stands still while a machine sleeps.
func (l *lease) valid() bool {
	now, until := time.Now(), l.until()
	return now.Before(until) && now.Round(0).Before(until.Round(0))
}

// checkLease is asked immediately before each request leaves: a process that was frozen must not send what another one has
// overtaken meanwhile.
func (l *lease) checkLease() error {
	if !l.valid() {
		return errLeaseLost
	}
	return nil
}

// refused finds out why a write was refused since the record had a known revision, and returns the new one if an earlier try was
// written after its timeout. A server that is behind answers with an older one, which proves nothing. Where there is no record any
// more, the lease is to write a new one: a bucket that was deleted and made again is empty, and all that was in it is in memory.
// Otherwise another process may have written the record, unless the write was refused only since an earlier one is not done.
func (l *lease) refused(ctx context.Context, value []byte, known uint64, refusal error) (revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	entry, err := l.state.Get(ctx, recordKey)
	none := errors.Is(err, jetstream.ErrKeyNotFound)
	api, ok := errors.AsType[*jetstream.APIError](refusal)
	pending := ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
	switch {
	case err == nil && entry.Revision() > known && bytes.Equal(entry.Value(), value):
		return entry.Revision(), nil
	case none && l.revision != 0:
		l.revision = 0
		return 0, err
	case err != nil && !none:
		return 0, err
	case pending && (none || entry.Revision() <= known):
		return 0, errWritePending
	}
	return 0, errLeaseLost
}

// release lets another dispatcher take over at once.
func (l *lease) release(ctx context.Context) error {
	l.record.Owner = ""
	return l.save(ctx)
}

// newOwner returns a name that tells an operator where a dispatcher runs: host, process and a unique part.
func newOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), nuid.Next())
}

package dispatch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	timpush "github.com/timpush/timpush-go"
)

// DeadLetter is an update that cannot be sent.
type DeadLetter struct {
	ID     uint64            // for PutBack and Discard
	User   timpush.UserAttrs // zero if Raw is not nil
	Reason string            // with what the server said
	Code   timpush.Code      // 0 if there is none: too old, or not valid
	Stored time.Time         // when SetAttr stored it
	Died   time.Time
	Raw    []byte // of a message that is not of this package
}

// letter is how a DeadLetter is stored.
type letter struct {
	Account string        `json:"account,omitempty"`
	Attrs   timpush.Attrs `json:"attrs,omitempty"`
	Reason  string        `json:"reason"`
	Code    timpush.Code  `json:"code,omitempty"`
	Stored  time.Time     `json:"stored"`
	Raw     []byte        `json:"raw,omitempty"`
}

// storeLetters makes dead letters of what was refused for its own data. It takes at most the time wait. An update that cannot become one, since
// their stream is full, for instance, is sent again later.
func (q *Queue) storeLetters(ctx context.Context, batch []item, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var all sync.WaitGroup
	for k := range batch {
		if i := &batch[k]; i.fatal != nil {
			all.Go(func() { i.err = q.storeLetter(ctx, i) })
		}
	}
	all.Wait()
}

func (q *Queue) storeLetter(ctx context.Context, i *item) error {
	l := letter{Account: i.user.ToAccount, Attrs: i.user.Attrs, Reason: i.fatal.Error(), Stored: i.first.At, Raw: i.first.Raw}
	if l.Raw != nil {
		l.Account = ""
	}
	l.Code, _ = errors.AsType[timpush.Code](i.fatal)
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	m := nats.NewMsg(q.subject + ".dead")
	m.Data = data
	ack, err := q.publishLetter(ctx, m, "dead-"+i.first.ID) // it may be stored again after a crash
	if err != nil {
		return fmt.Errorf("the dead letter was not stored: %w", err)
	}
	if !ack.Duplicate {
		q.acknowledged.letters(1)
	}
	return nil
}

// publishLetter asks again where no answer comes, and for a second where no server takes the letter, as while one hands its streams over to
// another. PublishMsgAsync would not do: the client of NATS keeps each message that is never answered, and takes no more once these are 4,000.
func (q *Queue) publishLetter(ctx context.Context, m *nats.Msg, id string) (*jetstream.PubAck, error) {
	for untaken := 0; ; {
		ack, err := q.publishOnce(ctx, m, id, q.name+"_DEAD")
		switch {
		case ctx.Err() != nil && err != nil:
			return nil, cmp.Or(q.denied(m.Subject), err)
		case errors.Is(err, context.DeadlineExceeded):
		case unheard(err) && untaken < 10 && sleep(ctx, 100*time.Millisecond):
			untaken++
		default:
			return ack, err
		}
	}
}

// letterFault is why dead letters cannot be stored.
type letterFault struct {
	text string    // "": they can
	at   time.Time // when one was refused last
}

// noteLetters says if dead letters cannot be stored. The accounts of those wait, which otherwise looks like a fault of the service, and thousands
// of them hold up all others.
func (d *dispatcher) noteLetters(batch []item) {
	stored, fault, stream := false, "", d.queue.name+"_DEAD"
	for _, i := range batch {
		switch {
		case i.fatal == nil || d.sends.Err() != nil: // it was cut off here
		case i.err == nil:
			stored = true
		case full(i.err):
			fault = fmt.Sprintf("dead letters have no room, and what would become one waits: discard some or put them back (see timpush queue dead, or Queue.DeadLetters), or let stream %s "+
				"hold more (nats stream edit %s --max-bytes, or WithMaxBytes of OpenEmbedded): %v", stream, stream, i.err)
		default:
			fault = fmt.Sprintf("dead letters cannot be stored, and what would become one waits: %v", i.err)
		}
	}
	if fault != "" {
		d.letters.at = time.Now()
	}
	if fault != "" || stored {
		d.setLetterFault(fault)
	}
}

// forgetLetterFault forgets why dead letters cannot be stored, once every account that waited has been asked again and none becomes one.
func (d *dispatcher) forgetLetterFault() {
	if time.Since(d.letters.at) > 2*maxDelay*d.delay {
		d.setLetterFault("")
	}
}

func (d *dispatcher) setLetterFault(text string) {
	if text == d.letters.text {
		return
	}
	if d.letters.text = text; text != "" {
		d.queue.settings.logger.ErrorContext(d.sends, "dispatch: "+text)
	}
	if d.paused == 0 {
		d.record.Paused, d.changed = text, true
	}
}

// DeadLetters returns the updates that were refused for their own data, became too old, or are not of this package, the
// oldest first. An error ends it. A letter stays until [Queue.PutBack] or [Queue.Discard].
func (q *Queue) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		info, err := q.dead.Info(ctx)
		if err != nil {
			yield(DeadLetter{}, fmt.Errorf("dispatch: %w", err))
			return
		}
		for id := info.State.FirstSeq; id <= info.State.LastSeq && info.State.Msgs > 0; id++ {
			l, err := q.deadLetter(ctx, id, q.subject+".dead")
			if errors.Is(err, ErrNoLetter) || !yield(l, err) || err != nil {
				return
			}
			id = l.ID
		}
	}
}

// ErrNoLetter says that there is no dead letter with the ID.
var ErrNoLetter = errors.New("dispatch: no such dead letter")

// deadLetter returns a letter, or with its subject the first one from an ID on: thousands may have been discarded between two.
func (q *Queue) deadLetter(ctx context.Context, id uint64, subject string) (DeadLetter, error) {
	m, err := q.fetch(ctx, q.name+"_DEAD", id, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return DeadLetter{}, ErrNoLetter
	case err != nil:
		return DeadLetter{}, fmt.Errorf("dispatch: dead letter %d: %w", id, err)
	}
	l := letter{}
	if err := json.Unmarshal(m.Data, &l); err != nil {
		return DeadLetter{}, fmt.Errorf("dispatch: dead letter %d: %w", id, err)
	}
	return DeadLetter{m.Sequence, timpush.UserAttrs{ToAccount: l.Account, Attrs: l.Attrs}, l.Reason, l.Code, l.Stored, m.Time, l.Raw}, nil
}

// PutBack stores the update of a dead letter again and discards the letter. Call it once the cause is corrected. The update is
// sent after all that has been stored for the account meanwhile, and so may replace newer values. If it fails, the letter may
// still be there; putting it back again does not store it twice within the duplicate window.
func (q *Queue) PutBack(ctx context.Context, id uint64) error {
	l, err := q.deadLetter(ctx, id, "")
	if err != nil {
		return err
	}
	if l.Raw != nil {
		return errors.New("dispatch: the message is not of this package and cannot be put back")
	}
	if err := q.SetAttrOnce(ctx, fmt.Sprintf("dead letter %d of %d", id, l.Died.UnixNano()), l.User); err != nil {
		return err
	}
	return q.Discard(ctx, id)
}

// Discard deletes a dead letter.
func (q *Queue) Discard(ctx context.Context, id uint64) error {
	q.acknowledged.letters(-1)
	err := q.dead.DeleteMsg(ctx, id)
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		q.acknowledged.letters(1)
		if _, none := q.deadLetter(ctx, id, ""); errors.Is(none, ErrNoLetter) { // not if the disk is full, for example
			return fmt.Errorf("%w: %w", ErrNoLetter, err)
		}
	}
	if err != nil {
		return fmt.Errorf("dispatch: %w", err)
	}
	return nil
}

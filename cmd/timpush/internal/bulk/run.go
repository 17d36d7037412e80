// Package bulk sets the attributes of all rows of an input, and sees to it that each row is accounted for: it is done, or in
// a file of failures, or another run goes on with it.
package bulk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/checkpoint"
	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
)

// Reporter is told how a run goes on.
type Reporter interface {
	Bad(*input.Fault) // a row was refused
	Progress(Status)
}

// Status is how far a run has come.
type Status struct {
	Counts   checkpoint.Counts // of all runs
	Stream   timpush.Progress  // of this one
	Fraction float64           // of the input that has been dealt with, negative if it is not known
}

// Run is one run over an input.
type Run struct {
	Client   *timpush.Client
	Input    *input.Input
	Log      *checkpoint.Log // nil: nothing is remembered
	Failures *Sink           // rows that are worth another try; nil: dropped
	Rejects  *Sink           // rows that are not; nil: dropped
	Reporter Reporter
	GiveUp   int // so many requests in a row without a user done end the run; 0: never

	Counts  checkpoint.Counts
	Stream  timpush.Progress
	Reasons Reasons
	Names   map[string]int64 // rows that set an attribute, if it is not nil

	stopping atomic.Bool  // no more rows are to be read
	cut      atomic.Bool  // and there would have been some
	seen     atomic.Int64 // rows that have been read
	settled  atomic.Int64 // those that have been dealt with
	all      atomic.Bool  // there are no more rows
	fraction float64
	window   window
	retried  accounts
	pending  []held
	batches  int // that have been told of
	failing  int // in a row, the last ones
	synced   time.Time
	ended    error // why the stream has ended early; what was under way is still told
	abort    error // why this run ends at once: the disk, or nothing goes through
}

// ErrInterrupted is why a run that was told to stop has ended.
var ErrInterrupted = errors.New("interrupted")

// ErrChanged is why a run cannot go on: what it reads is not what an earlier run has read.
var ErrChanged = errors.New("the input is not the one that the interrupted run has read: give --restart to begin anew")

// Stop lets the run end when the requests under way have ended.
func (r *Run) Stop() { r.stopping.Store(true) }

// Do sends all rows that earlier runs have not dealt with. The error is why it has ended too early; what has been dealt
// with until then is remembered.
func (r *Run) Do(ctx context.Context) error {
	if err := r.resume(); err != nil {
		return err
	}
	for batch, err := range r.Client.SetAttrSeq(ctx, r.users()) {
		r.take(ctx, batch, err)
		if r.abort != nil {
			break
		}
	}
	if r.ended == nil && r.cut.Load() {
		r.ended = ErrInterrupted
	}
	if r.ended == nil && r.failing > 0 && slices.ContainsFunc(r.pending, func(h held) bool { return h.grave }) {
		r.ended = r.hopeless() // a code has stopped the stream when all rows had been read
	}
	if r.ended == nil && r.abort == nil {
		r.flush()
		_, unset := r.window.drain()
		r.Counts.Unset += unset
	}
	err := cmp.Or(r.abort, r.ended)
	if synced := r.sync(); err == nil {
		err = synced
	}
	return err
}

// resume goes on from what earlier runs have done.
func (r *Run) resume() error {
	r.synced = time.Now()
	if r.Log == nil {
		return nil
	}
	r.Counts = r.Log.Last.Counts
	return r.Failures.each(func(account string) { r.retried.add(account) })
}

// users reads the users that are to be sent.
func (r *Run) users() iter.Seq2[timpush.UserAttrs, error] {
	return func(yield func(timpush.UserAttrs, error) bool) {
		position := int64(0)
		defer r.all.Store(true)
		for row, err := range r.Input.Rows(r.handled()) {
			switch {
			case err != nil:
				yield(timpush.UserAttrs{}, &sourceError{err})
				return
			case r.stopping.Load():
				r.cut.Store(true)
				return
			case r.changed():
				yield(timpush.UserAttrs{}, &sourceError{ErrChanged})
				return
			case row.Skip:
				r.seen.Add(1)
				r.settled.Add(1)
				continue
			case row.Fault != nil:
				err = &badRow{row.Number, row.Fault}
			case len(row.User.Attrs) == 0:
				r.window.unset(row.Number)
				r.seen.Add(1)
				r.settled.Add(1)
				continue
			default:
				r.window.put(position, row)
				position++
			}
			r.seen.Add(1)
			if !yield(row.User, err) {
				return
			}
		}
	}
}

// sourceError is why the input cannot be read on.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// badRow is a row that cannot be used.
type badRow struct {
	number int64
	fault  *input.Fault
}

func (b *badRow) Error() string { return b.fault.Error() }

func (r *Run) handled() func(int64) bool {
	if r.Log == nil || !r.Log.Resumed {
		return nil
	}
	return r.Log.Handled.Contains()
}

// changed tells whether the input differs from what an earlier run has read.
func (r *Run) changed() bool {
	if r.Log == nil || !r.Log.Resumed {
		return false
	}
	mark := r.Input.Mark()
	sum, known := r.Log.Marks[mark.Row]
	return known && sum != mark.Sum
}

// take takes what the stream tells.
func (r *Run) take(ctx context.Context, batch *timpush.BatchResult, err error) {
	r.Stream = batch.Progress
	bad, isBad := err.(*badRow)                 //nolint:errorlint // the stream passes it on as it is
	source, isSource := err.(*sourceError)      //nolint:errorlint // likewise
	_, isPartial := err.(*timpush.PartialError) //nolint:errorlint // likewise
	switch {
	case isBad:
		r.settled.Add(1)
		r.settle([]outcome{{place: place{row: bad.number, Place: bad.fault.Place}, fate: rejected, fault: bad.fault}})
	case isSource:
		r.ended = source.error
	case err != nil && !isPartial:
		r.ended = r.why(ctx, err)
	default:
		r.settled.Add(int64(len(batch.Users)))
		r.outcomes(ctx, batch, err)
	}
	r.Reporter.Progress(Status{r.Counts, r.Stream, r.progress()})
	if time.Since(r.synced) > time.Second {
		if err := r.sync(); err != nil && r.abort == nil {
			r.abort = err
		}
	}
}

// progress is how much of the input has been dealt with. What has been read is more: that may be all of a small file at once.
func (r *Run) progress() float64 {
	const enough = 5000 // rows, from which on their share is no accident
	read := r.Input.Fraction()
	if read < 0 {
		return read
	}
	if seen := r.seen.Load(); seen >= enough || r.all.Load() {
		r.fraction = max(r.fraction, read*float64(r.settled.Load())/float64(max(seen, 1)))
	}
	return r.fraction
}

// why says why the stream has ended before its source.
func (r *Run) why(ctx context.Context, err error) error {
	if ctx.Err() != nil || r.stopping.Load() {
		return ErrInterrupted
	}
	if code, ok := errors.AsType[timpush.Code](err); ok {
		return fmt.Errorf("the service refuses to go on: %w", code)
	}
	return err
}

// outcomes decides what becomes of the users of a request.
//
// Where not one of them is done the decision waits for a request that does better: if none comes, it is no fault of these
// users, and they are left to the next run instead of filling the files of failures.
func (r *Run) outcomes(ctx context.Context, batch *timpush.BatchResult, err error) {
	all := r.judge(ctx, batch, err)
	r.batches++
	switch {
	case batch.Done > 0:
		r.failing = 0
		r.release(all)
		r.settle(all)
	case batch.Requests == 0 && batch.Rejected == len(batch.Users):
		r.settle(all) // refused here, which says nothing of the service
	default:
		r.hold(all)
		if r.failing++; r.GiveUp > 0 && r.failing >= r.GiveUp && r.abort == nil && ctx.Err() == nil {
			r.abort = r.hopeless()
		}
	}
}

// held is the users of a request that has failed.
type held struct {
	users []outcome
	since int  // the request before
	grave bool // the stream may be about to stop for it
}

// patience is how many requests can end after the one that stops the stream: those under way and those that wait.
const patience = 512

func (r *Run) hold(all []outcome) {
	h := held{users: all, since: r.batches}
	for i := range all {
		h.grave = h.grave || all[i].fate == again && grave(all[i].err)
		if all[i].fate == again {
			r.retried.add(all[i].user.ToAccount)
		}
	}
	r.pending = append(r.pending, h)
}

// release settles what has been held, now that a request has done better. A code that an operator has to mend is held for
// longer, since the stream may be about to stop; but not if a later row of an account is done, which must not be left
// behind an earlier one.
func (r *Run) release(better []outcome) {
	if len(r.pending) == 0 {
		return
	}
	overtaken := slices.ContainsFunc(better, func(o outcome) bool { return o.fate == done && r.retried.has(o.user.ToAccount) })
	kept := r.pending[:0]
	for _, h := range r.pending {
		if h.grave && !overtaken && r.batches-h.since < patience {
			kept = append(kept, h)
			continue
		}
		r.settle(h.users)
	}
	r.pending = kept
}

func (r *Run) hopeless() error {
	var reasons Reasons
	for _, h := range r.pending {
		for i := range h.users {
			reasons.Add(h.users[i].reason())
		}
	}
	why := "no reason"
	if most := reasons.Most(1); len(most) > 0 {
		why = most[0].Text
	}
	if r.failing == 1 {
		return fmt.Errorf("a request, and not one user done: %s", why)
	}
	return fmt.Errorf("%d requests in a row, and not one user done: %s", r.failing, why)
}

// flush settles what has been waiting.
func (r *Run) flush() {
	for _, h := range r.pending {
		r.settle(h.users)
	}
	r.pending = nil
}

// judge finds the fate of each user of a batch.
func (r *Run) judge(ctx context.Context, batch *timpush.BatchResult, err error) []outcome {
	all := make([]outcome, len(batch.Users))
	r.window.take(batch.Positions, all)
	failed := map[int]*timpush.UserError{}
	if partial, ok := errors.AsType[*timpush.PartialError](err); ok {
		for u := range partial.Users() {
			failed[u.Index] = u
		}
	}
	for i := range all {
		o := &all[i]
		o.user = batch.Users[i]
		if batch.Outcomes[i] != timpush.Done {
			o.err = failed[int(batch.Positions[i])]
			o.fate = fateOf(ctx, o.err)
		}
	}
	return all
}

// sync brings what is remembered to the disk: first the failures, then the log that counts on them.
func (r *Run) sync() error {
	r.synced = time.Now()
	if err := errors.Join(r.Failures.sync(), r.Rejects.sync()); err != nil {
		return err
	}
	if r.Log == nil {
		return nil
	}
	return r.Log.Sync()
}

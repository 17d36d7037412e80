// Package bulk sets the attributes of all rows of an input. Each row ends as done, in a result file, or left for the next run
// that resumes this one.
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

// Reporter shows the progress of a run.
type Reporter interface {
	Bad(*input.Fault) // a row was rejected
	Progress(Status)
}

// Status is the progress of a run.
type Status struct {
	Counts   checkpoint.Counts // of this run and those that it resumes
	Stream   timpush.Progress  // of this run
	Fraction float64           // of the input that is finished, negative if it is not known
}

// Run is one run over an input.
type Run struct {
	Client   *timpush.Client
	Input    *input.Input
	Log      *checkpoint.Log // nil: the run cannot be resumed
	Failures *Sink           // rows that are worth sending again; nil: dropped
	Rejects  *Sink           // rows that are not; nil: dropped
	Reporter Reporter
	GiveUp   int                            // requests in a row without a user done that end the run; 0: any number
	Declared map[string]timpush.AccountType // the app's attributes; nil if they are not known

	Before  checkpoint.Counts // of the runs that this one resumes
	Counts  checkpoint.Counts // of this run, too
	Stream  timpush.Progress
	Reasons Reasons          // of this run
	Names   map[string]int64 // rows that set an attribute, if it is not nil

	stopping atomic.Bool  // no more rows are to be read
	cut      atomic.Bool  // and there would have been some
	seen     atomic.Int64 // rows that have been read
	finished atomic.Int64 // those with an outcome
	all      atomic.Bool  // there are no more rows
	fraction float64
	window   window
	retried  accounts
	pending  []failedRequest
	batches  int  // results of the stream
	failing  int  // in a row, the last ones
	left     bool // there are rows that the end of ctx has kept from an outcome
	synced   time.Time
	ended    error // why the stream has ended early; results of requests in flight still come
	abort    error // why this run ends at once: the disk, or nothing goes through
}

// ErrInterrupted is why a run has ended that was told to stop.
var ErrInterrupted = errors.New("interrupted")

// ErrChanged is why a run cannot resume another: it does not read what the other has read.
var ErrChanged = errors.New("the input is not the one that the interrupted run has read")

// errNoRows is why a run cannot resume another for now: the program that writes the input may have failed.
var errNoRows = errors.New("there are no rows, and the interrupted run has read some")

// Stop ends the run: no further row is read.
func (r *Run) Stop() { r.stopping.Store(true) }

// Rows returns how many rows the run has read, including those of the runs that it resumes.
func (r *Run) Rows() int64 { return r.seen.Load() }

// Do sends all rows that the resumed runs have not finished. The error is why it has ended too early; what is finished by
// then is in the log.
func (r *Run) Do(ctx context.Context) error {
	if err := r.resume(); err != nil {
		return err
	}
	for batch, err := range r.Client.SetAttrSeq(ctx, r.users()) {
		r.handle(ctx, batch, err)
		if r.abort != nil {
			break
		}
	}
	if r.ended == nil {
		r.ended = r.endOfRows(ctx)
	}
	if r.ended == nil && r.abort == nil {
		r.recordPending()
		r.Counts.Unset += int64(len(r.window.drain()))
	}
	return cmp.Or(r.abort, r.ended, r.sync())
}

// endOfRows returns why the run has ended too early although the stream has not: rows were left unread, or all had been read
// when something kept the last requests from being sent.
func (r *Run) endOfRows(ctx context.Context) error {
	unsent := slices.ContainsFunc(r.pending, func(f failedRequest) bool { return f.unsent })
	operator := slices.ContainsFunc(r.pending, func(f failedRequest) bool { return f.operator })
	switch {
	case r.cut.Load(), r.left, unsent && (r.stopping.Load() || ctx.Err() != nil):
		return ErrInterrupted
	case r.failing > 0 && (unsent || operator):
		return r.nothingDone()
	}
	return nil
}

// resume starts with the counts of the runs that this one resumes.
func (r *Run) resume() error {
	r.synced = time.Now()
	if r.Log == nil {
		return nil
	}
	r.Counts, r.Before = r.Log.Last.Counts, r.Log.Last.Counts
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
				r.finished.Add(1)
				continue
			case row.Fault != nil:
				err = &badRow{row.Number, row.Fault}
			case len(row.User.Attrs) == 0:
				r.window.unset(row.Number)
				r.seen.Add(1)
				r.finished.Add(1)
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
		switch seen := r.seen.Load(); {
		case r.Log == nil || r.Log.Handled.End() <= seen:
		case seen == 0:
			yield(timpush.UserAttrs{}, &sourceError{errNoRows})
		default: // it has fewer rows than the resumed run has finished
			yield(timpush.UserAttrs{}, &sourceError{ErrChanged})
		}
	}
}

// sourceError is why the rest of the input cannot be read.
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

// changed reports whether the input differs from what a resumed run has read.
func (r *Run) changed() bool {
	if r.Log == nil || !r.Log.Resumed {
		return false
	}
	mark := r.Input.Mark()
	sum, known := r.Log.Marks[mark.Row]
	return known && sum != mark.Sum
}

// handle handles a result of the stream.
func (r *Run) handle(ctx context.Context, batch *timpush.BatchResult, err error) {
	r.Stream = batch.Progress
	bad, isBad := err.(*badRow)                 //nolint:errorlint // the stream passes it on as it is
	source, isSource := err.(*sourceError)      //nolint:errorlint // likewise
	_, isPartial := err.(*timpush.PartialError) //nolint:errorlint // likewise
	switch {
	case isBad:
		r.finished.Add(1)
		r.record([]outcome{{place: place{row: bad.number, Place: bad.fault.Place}, action: reject, fault: bad.fault}})
	case isSource:
		r.ended = source.error
	case err != nil && !isPartial:
		r.ended = r.endReason(ctx, err)
	default:
		r.finished.Add(int64(len(batch.Users)))
		r.outcomes(ctx, batch, err)
	}
	r.Reporter.Progress(Status{r.Counts, r.Stream, r.progress()})
	if time.Since(r.synced) > time.Second {
		if err := r.sync(); err != nil && r.abort == nil {
			r.abort = err
		}
	}
}

// progress returns how much of the input is finished. What has been read is more: of a small file it is all at once.
func (r *Run) progress() float64 {
	const enough = 5000 // rows that make their share mean something
	read := r.Input.Fraction()
	if read < 0 {
		return read
	}
	if seen := r.seen.Load(); seen >= enough || r.all.Load() {
		r.fraction = max(r.fraction, read*float64(r.finished.Load())/float64(max(seen, 1)))
	}
	return r.fraction
}

// endReason returns why the stream has ended before its source.
func (r *Run) endReason(ctx context.Context, err error) error {
	if ctx.Err() != nil || r.stopping.Load() {
		return ErrInterrupted
	}
	if code, ok := errors.AsType[timpush.Code](err); ok {
		return fmt.Errorf("the service refuses to go on: %w", code)
	}
	return err
}

// outcomes handles the users of a request.
//
// Where none of them is done, recording them waits for a request that succeeds. If there is none, the users are not at
// fault: they are left for the next run instead of filling the result files.
func (r *Run) outcomes(ctx context.Context, batch *timpush.BatchResult, err error) {
	all := r.classify(ctx, batch, err)
	r.batches++
	switch {
	case batch.Done > 0:
		r.failing = 0
		r.recordOlder(all)
		r.record(all)
	case batch.Requests == 0 && batch.Rejected == len(batch.Users):
		r.record(all) // rejected before sending, which says nothing about the service
	default:
		r.postpone(batch, all)
		if r.failing++; r.GiveUp > 0 && r.failing >= r.GiveUp && r.abort == nil && ctx.Err() == nil {
			r.abort = r.nothingDone()
		}
	}
}

// failedRequest is the users of a request of which none is done.
type failedRequest struct {
	users    []outcome
	batch    int  // its number
	operator bool // an operator has to correct something, and the stream may be about to stop for it
	unsent   bool // nothing has reached the service
}

// maxAfterStop is how many requests can end after the one that stops the stream: those in flight and those that wait.
const maxAfterStop = 512

func (r *Run) postpone(batch *timpush.BatchResult, all []outcome) {
	f := failedRequest{users: all, batch: r.batches, unsent: batch.NotSent == len(batch.Users)}
	for i := range all {
		if all[i].action == retry {
			f.operator = f.operator || needsOperator(all[i].err)
			r.retried.add(all[i].user.ToAccount)
		}
	}
	r.pending = append(r.pending, f)
}

// recordOlder records the failed requests, now that one has succeeded. One that needs an operator stays pending for longer,
// since the stream may be about to stop; but not if a later row of one of its accounts is done, which the earlier row must
// not replace in the next run.
func (r *Run) recordOlder(succeeded []outcome) {
	if len(r.pending) == 0 {
		return
	}
	overtaken := slices.ContainsFunc(succeeded, func(o outcome) bool { return o.action == done && r.retried.has(o.user.ToAccount) })
	kept := r.pending[:0]
	for _, f := range r.pending {
		if f.operator && !overtaken && r.batches-f.batch < maxAfterStop {
			kept = append(kept, f)
			continue
		}
		r.record(f.users)
	}
	r.pending = kept
}

// nothingDone is the error of a run whose last requests have all failed.
func (r *Run) nothingDone() error {
	var reasons Reasons
	for _, f := range r.pending {
		for i := range f.users {
			reasons.Add(f.users[i].reason())
		}
	}
	why := "no reason"
	if most := reasons.Most(1); len(most) > 0 {
		why = most[0].Text
	}
	if r.failing == 1 {
		return fmt.Errorf("the last request failed for all of its users: %s", why)
	}
	return fmt.Errorf("the last %d requests failed for all of their users: %s", r.failing, why)
}

// recordPending records the failed requests.
func (r *Run) recordPending() {
	for _, f := range r.pending {
		r.record(f.users)
	}
	r.pending = nil
}

// classify finds the action for each user of a batch.
func (r *Run) classify(ctx context.Context, batch *timpush.BatchResult, err error) []outcome {
	all := make([]outcome, len(batch.Users))
	r.window.remove(batch.Positions, all)
	failed, places := map[int]*timpush.UserError{}, make([]int, len(all))
	if partial, ok := errors.AsType[*timpush.PartialError](err); ok {
		for u := range partial.Users() {
			failed[u.Index] = u
		}
	}
	for i := range places {
		places[i] = i
	}
	again := timpush.Remaining(err, places)
	for i := range all {
		o := &all[i]
		o.user = batch.Users[i]
		if batch.Outcomes[i] != timpush.Done {
			o.err = failed[int(batch.Positions[i])]
			if o.action = actionFor(ctx, o.err); o.action == reject && slices.Contains(again, i) {
				o.action = retry // refused together with others, of whom one is at fault
			}
			r.left = r.left || o.action == leave
		}
	}
	return all
}

// sync writes to the disk: first the result files, then the log that refers to them.
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

package timpush

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrTooManyInvalid ends a stream with more invalid users than [WithMaxInvalid] allows.
var ErrTooManyInvalid = errors.New("too many invalid users")

// sourceGrace is how long a stream that has ended waits for its source to return. A source that blocks for longer cannot
// be interrupted.
const sourceGrace = 100 * time.Millisecond

// SeqOption changes how [Client.SetAttrSeq] works. A nil one changes nothing.
type SeqOption func(*seqSettings)

type seqSettings struct{ maxInvalid int }

// WithMaxInvalid ends the stream with [ErrTooManyInvalid] when more than n of its users are invalid: the input may be the
// wrong one. Less than 0 counts as 0. If not given, there is no limit.
func WithMaxInvalid(n int) SeqOption { return func(s *seqSettings) { s.maxInvalid = max(n, 0) } }

// BatchResult has the outcomes of some users of a stream: those of one request, or one that was not valid.
type BatchResult struct {
	Result                // of these users
	Users     []UserAttrs // in the order of the stream
	Outcomes  []Outcome   // of the users
	Positions []int64     // of the users in the stream, from 0

	Progress Progress // of the stream, with these users

	checkpoint int64
}

// String returns the counts of the batch as one line.
func (b *BatchResult) String() string { return b.Result.String() }

// Checkpoint returns how many users at the beginning of the stream are all settled, in this result or an earlier one:
// Done, or Rejected for their own data. Another stream can continue from this position. It stays below a user that is
// Unknown, NotSent, or Rejected for another reason, such as a wrong key or a transient fault, since that one is worth
// sending again.
func (b *BatchResult) Checkpoint() int64 { return b.checkpoint }

// SetAttrSeq sets attributes for users as they come, any number of them in constant memory. It sends full requests in
// parallel, at the rate of the limiter; if the source is slow, one that is not full is sent 20 ms after its first user.
//
// Each step of the result has the outcomes of the users of a request, as soon as they are known and so not in the order of
// the stream. The *BatchResult is never nil. The error is a [*PartialError] if some users of this step are not
// [Done]; its indexes are positions in the stream, and its Remaining takes BatchResult.Users. An error that the source
// yields is passed on, and the stream goes on; it takes no position, and the BatchResult has no users. A stream that
// ends before its source, or that was stopped after that, yields the reason last, with no users either: the error matches
// that of ctx, the [Code] that stopped it (see the package documentation), or [ErrTooManyInvalid]. So the loop gets the
// outcome of each user that the source has yielded exactly once, and those of one account in their order.
//
// To send users again that are not Done, see [Remaining]. If an account may come more than once, send its later users again too, in their
// order, even those that are Done: otherwise an old value replaces a newer one.
//
// Nothing can be checked in advance here: an invalid user is Rejected alone, with an [*InputError], and the others are
// sent. See [WithMaxInvalid].
//
// Two values for one account are never in flight together, and so a later one is never overtaken; it waits for the
// request of the earlier one to end, retries included, while the rest of the stream goes on. Those that wait together
// are merged. While 200 x MaxInFlight users have no outcome that was yielded, the source has to wait.
//
// The source runs in a goroutine of its own. When the loop is left or ctx ends, requests in flight are canceled; when a code
// stops the stream, they finish. In either case the next yield of the source returns false. SetAttrSeq waits 100 ms for the
// source to return: one that can block for longer should watch ctx, or it may still be running when the loop is over, and
// what it yields then is dropped. A panic in the source comes out of the loop. A map must not be changed before the user's
// outcome has been yielded.
//
// API: tencentcloud.com/document/product/1047/60565.
func (c *Client) SetAttrSeq(ctx context.Context, users iter.Seq2[UserAttrs, error], opts ...SeqOption) iter.Seq2[*BatchResult, error] {
	return stream(ctx, c.engine, c.setAttr, users, opts, func(user UserAttrs, _ any) UserAttrs { return user })
}

// stream runs a stream of items. user makes the user of a BatchResult from an item and what was read for it.
func stream[T any](
	ctx context.Context, e *engine, to *endpoint[T], items iter.Seq2[T, error], opts []SeqOption, user func(item T, found any) UserAttrs,
) iter.Seq2[*BatchResult, error] {
	return func(yield func(*BatchResult, error) bool) {
		s := newStreaming(ctx, e, to, opts, user)
		defer s.leave()
		go s.run(items)
		for n := range s.notices {
			if !yield(s.resultOf(n), n.err) {
				s.leave()
				break
			}
		}
		s.source.resume()
		s.panicked.Load().resume()
		if s.early != nil && !s.left {
			yield(s.resultOf(notice{batch: &BatchResult{}}), s.early)
		}
	}
}

// streaming is a stream that is running. The source's goroutine puts items into the collector, its batches and the invalid
// items become notices, and the loop takes these.
type streaming[T any] struct {
	ctx        context.Context // ends when the loop is left
	cancel     context.CancelFunc
	endpoint   *endpoint[T]
	user       func(item T, found any) UserAttrs
	maxInvalid int
	collector  *collector[T, int64] // tickets are positions
	call       *call
	room       chan struct{} // a place for each item in the collector, until its outcome is yielded
	notices    chan notice
	source     source
	panicked   atomic.Pointer[escape] // of a request
	early      error                  // why the stream has ended before its source, or was stopped after it; set before notices is closed

	mu     sync.Mutex
	over   bool           // what the source yields is dropped
	taking sync.WaitGroup // items that the source has just yielded

	refused *notice // of the item that came when the stream had ended; told last, since an earlier one of its account may be in flight

	left     bool // the following is the loop's
	began    time.Time
	progress Progress
	settled  settled
	rate     rateMeter
}

// notice becomes the next step of the loop.
type notice struct {
	batch *BatchResult
	err   error
	room  int // places that its users had
}

func newStreaming[T any](
	ctx context.Context, e *engine, to *endpoint[T], opts []SeqOption, user func(item T, found any) UserAttrs,
) *streaming[T] {
	settings := seqSettings{maxInvalid: math.MaxInt}
	for _, option := range opts {
		if option != nil {
			option(&settings)
		}
	}
	s := &streaming[T]{
		endpoint: to, user: user, maxInvalid: settings.maxInvalid, notices: make(chan notice), room: make(chan struct{}, 2*to.size*e.maxInFlight),
		began: time.Now(), settled: settled{open: math.MaxInt64}, source: source{returned: make(chan struct{})},
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.collector = newCollector(s.ctx, e, to, defaultLinger, false, s.finish)
	s.call = s.collector.call
	return s
}

// run takes the stream from its source until it is over.
func (s *streaming[T]) run(items iter.Seq2[T, error]) {
	go readSource(&s.source, items, s.take)
	select {
	case <-s.source.returned:
	case <-s.call.ctx.Done():
	}
	if cause := s.cause(); cause != nil {
		s.early = fmt.Errorf("timpush: the stream ended before its source: %w", cause)
	}
	s.collector.close()
	s.source.wait(sourceGrace)
	s.collector.wait()
	if cause := s.call.stopCause(); cause != nil && s.early == nil { // the source had been read to its end
		s.early = fmt.Errorf("timpush: the stream was stopped: %w", cause)
	}
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.taking.Wait()
	if s.refused != nil {
		s.notices <- *s.refused
	}
	close(s.notices)
}

// cause returns why the stream goes no further, or nil.
func (s *streaming[T]) cause() error {
	if err := ended(s.ctx); err != nil {
		return err
	}
	return s.call.stopCause()
}

// leave ends the stream, if it has not ended, and returns when nothing of it is left.
func (s *streaming[T]) leave() {
	s.left = true
	s.cancel()
	for range s.notices {
	}
}

// take takes what the source yields, and returns false to end the source.
func (s *streaming[T]) take(position int64, item T, err error) bool {
	if !s.beginTaking() {
		return false
	}
	defer s.taking.Done()
	if err != nil {
		s.notices <- notice{batch: &BatchResult{}, err: err}
		return s.call.ctx.Err() == nil
	}
	if faults := s.endpoint.check(int(position), item); len(faults) > 0 {
		return s.reject(position, item, faults)
	}
	if !s.add(position, item) {
		refused := s.noticeOf(position, item, NotSent, s.cause())
		s.refused = &refused
		return false
	}
	return true
}

// beginTaking reports whether what the source yields is still taken. If so, taking.Done must follow.
func (s *streaming[T]) beginTaking() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.taking.Add(1)
	}
	return !s.over
}

// add puts an item into the collector as soon as there is room, or returns false once the stream has ended.
func (s *streaming[T]) add(position int64, item T) bool {
	select {
	case s.room <- struct{}{}:
	case <-s.call.ctx.Done():
		return false
	}
	return s.collector.add(item, position)
}

func (s *streaming[T]) reject(position int64, item T, faults []*InputError) bool {
	err := invalid(faults)
	if len(faults) == 1 {
		err = faults[0]
	}
	s.notices <- s.noticeOf(position, item, Rejected, err)
	if s.maxInvalid--; s.maxInvalid < 0 {
		s.call.stop(ErrTooManyInvalid)
	}
	return s.call.ctx.Err() == nil
}

// noticeOf is about one item that was not sent.
func (s *streaming[T]) noticeOf(position int64, item T, outcome Outcome, err error) notice {
	failed := failure{
		UserError: &UserError{int(position), s.endpoint.account(item), outcome, err},
		again:     outcome == NotSent, settled: outcome == Rejected,
	}
	result := Result{}
	result.count(outcome)
	return notice{
		batch: &BatchResult{Result: result, Users: []UserAttrs{s.user(item, nil)}, Outcomes: []Outcome{outcome}, Positions: []int64{position}},
		err:   &PartialError{s.endpoint.path, result, []failure{failed}},
	}
}

// finish makes a notice of a batch.
func (s *streaming[T]) finish(b *batch[T, int64]) {
	if b.panicked != nil {
		s.panicked.CompareAndSwap(nil, b.panicked)
		return
	}
	n := len(b.items)
	result := &BatchResult{Result: *b.result, Users: make([]UserAttrs, n), Outcomes: make([]Outcome, n), Positions: make([]int64, n)}
	failed := make([]failure, n)
	for _, u := range b.failed {
		failed[u.Index] = u
	}
	partial := &PartialError{endpoint: s.endpoint.path, result: *b.result}
	for k, i := range inOrder(b.tickets) {
		result.Users[k], result.Positions[k], result.Outcomes[k] = s.user(b.items[i], b.found[i]), b.tickets[i], Done
		if u := failed[i]; u.UserError != nil {
			u.Index, u.place, result.Outcomes[k] = int(b.tickets[i]), k, u.Outcome
			partial.failed = append(partial.failed, u)
		}
	}
	next := notice{batch: result, room: n}
	if len(partial.failed) > 0 {
		next.err = partial
	}
	s.notices <- next
}

// inOrder returns the places of the positions in their order: an item that waited for a request comes after later ones.
func inOrder(positions []int64) []int {
	order := places(len(positions))
	if !slices.IsSorted(positions) {
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(positions[a], positions[b]) })
	}
	return order
}

// resultOf makes the result of the next step, in the loop's goroutine.
func (s *streaming[T]) resultOf(n notice) *BatchResult {
	for range n.room {
		<-s.room
	}
	b, p := n.batch, &s.progress
	var failed []failure
	if partial, ok := n.err.(*PartialError); ok { //nolint:errorlint // an error of the source is not ours, whatever it wraps
		failed = partial.failed
	}
	for _, position := range b.Positions {
		open := false
		if len(failed) > 0 && failed[0].Index == int(position) {
			open = !failed[0].settled
			failed = failed[1:]
		}
		s.settled.add(position, open)
	}
	p.add(b.Result)
	p.Retries += max(b.Requests-1, 0)
	p.Elapsed = time.Since(s.began)
	p.Rate = s.rate.at(p.Elapsed, p.users())
	b.Progress, b.checkpoint = *p, s.settled.upTo()
	return b
}

// source runs the caller's iterator.
type source struct {
	returned chan struct{} // closed when it has
	panicked *escape
}

func readSource[T any](s *source, items iter.Seq2[T, error], take func(int64, T, error) bool) {
	defer close(s.returned)
	guard(func() {
		position := int64(0)
		for item, err := range items {
			if !take(position, item, err) {
				break
			}
			if err == nil {
				position++
			}
		}
	}, func(e *escape) { s.panicked = e })
}

// wait returns when the source has returned, or after the grace.
func (s *source) wait(grace time.Duration) {
	select {
	case <-s.returned:
	case <-time.After(grace):
	}
}

// resume lets a panic of the source go on in the loop's goroutine.
func (s *source) resume() {
	select {
	case <-s.returned:
		s.panicked.resume()
	default:
	}
}

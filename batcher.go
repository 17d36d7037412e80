package timpush

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// ErrBatcherClosed is returned by a [Batcher] that takes no more users, or that was closed before a request ended.
var ErrBatcherClosed = errors.New("timpush: the Batcher is closed")

// ErrBatcherFull is returned by a full [Batcher] with [WithFailFast].
var ErrBatcherFull = errors.New("timpush: the Batcher is full")

const defaultMaxWaiting = 20000 // two seconds of the whole quota

// Batcher puts users that many goroutines set one by one into requests of up to [MaxUsersPerRequest], and returns to each
// goroutine the outcome of its user. So the quota of 100 calls a second is good for 10,000 users a second instead of 100.
//
// A request is sent when 100 accounts have joined it, or 20 ms after the first (see [WithLinger]), as soon as fewer than
// MaxInFlight are in flight. A request that is half full is sent sooner when no other is in flight. While
// an account is in a request, later values for it wait until that request has ended, so they are never overtaken; those
// that wait together are merged.
//
// A Batcher is safe for concurrent use. It has goroutines only while requests are in flight.
type Batcher struct {
	collector *collector[UserAttrs, *waiter]
	room      chan struct{} // a place for each user in it
	closing   context.Context
	refuse    context.CancelFunc // ends closing
	failFast  bool
	stop      context.CancelCauseFunc
	waiters   sync.Pool // to use again
}

// waiter is a goroutine that waits for its user's outcome.
type waiter struct{ outcome chan userOutcome }

type userOutcome struct {
	err      error
	panicked *escape
}

// result passes on a panic, and else returns the error.
func (o userOutcome) result() error {
	o.panicked.resume()
	return o.err
}

// BatcherOption changes how a [Batcher] works. A nil one changes nothing.
type BatcherOption func(*batcherSettings)

type batcherSettings struct {
	linger     time.Duration
	maxWaiting int
	failFast   bool
}

// WithLinger sets how long the first user of a request waits for others; 0 or less: it does not wait. A longer linger makes
// fewer and fuller requests, and adds to the time of a call that shares its request with no other. If not given, it is 20 ms.
func WithLinger(d time.Duration) BatcherOption {
	return func(s *batcherSettings) { s.linger = max(d, 0) }
}

// WithMaxWaiting bounds how many users can be in the Batcher, waiting or in flight; less than 1 counts as 1. A call that
// finds it full waits for room. If not given, it is 20,000: what the quota lets through in two seconds.
func WithMaxWaiting(n int) BatcherOption {
	return func(s *batcherSettings) { s.maxWaiting = max(n, 1) }
}

// WithFailFast makes a call that finds the Batcher full return [ErrBatcherFull] at once; the user is NotSent. If not given, the
// call waits for room.
func WithFailFast() BatcherOption { return func(s *batcherSettings) { s.failFast = true } }

// NewBatcher makes a Batcher that sends through c. Call [Batcher.Close] when it is no longer needed.
func NewBatcher(c *Client, opts ...BatcherOption) *Batcher {
	s := batcherSettings{linger: defaultLinger, maxWaiting: defaultMaxWaiting}
	for _, option := range opts {
		if option != nil {
			option(&s)
		}
	}
	ctx, stop := context.WithCancelCause(context.Background())
	b := &Batcher{room: make(chan struct{}, s.maxWaiting), failFast: s.failFast, stop: stop}
	b.closing, b.refuse = context.WithCancel(ctx)
	b.waiters.New = func() any { return &waiter{make(chan userOutcome, 1)} }
	b.collector = newCollector(ctx, c.engine, c.setAttr, s.linger, true, tellWaiters)
	return b
}

// SetAttr sets attributes of one user and returns when its outcome is known: nil if it is [Done]. Otherwise the error
// is an [*InputErrors] with each fault of the user, and nothing was sent; or it is a [*UserError] with the outcome.
//
// When ctx ends it returns at once: the outcome is NotSent if the user's request had not begun, and the user is not sent later; it is
// Unknown otherwise, although the request may still wait for its turn. A request is sent again only while at least one of its callers waits,
// and then with all of its users. A user with a deadline whose request has not begun when there is too little time for it is NotSent then:
// twice the time that one usually takes, but at most half of what ctx left after the linger. The values of ctx do not reach an [Observer],
// since a request has many callers. A code that stops a call of [Client.SetAttr] ends all
// pending users, too; later calls try again.
//
// API: tencentcloud.com/document/product/1047/60565.
func (b *Batcher) SetAttr(ctx context.Context, user UserAttrs) error {
	if err := invalid(b.collector.endpoint.check(0, user)); err != nil {
		return err
	}
	notSent := func(cause error) error { return &UserError{0, user.ToAccount, NotSent, cause} }
	before, cancel := b.collector.batchTime.leaveTime(ctx, b.collector.linger) // to which it may wait to be in a request
	defer cancel()
	if err := b.enter(before); err != nil {
		return notSent(err)
	}
	defer func() { <-b.room }()
	me := b.waiters.Get().(*waiter)
	user.Attrs = maps.Clone(user.Attrs) // the caller may return early and change it
	if !b.collector.add(user, me) {
		return notSent(ErrBatcherClosed)
	}
	select {
	case outcome := <-me.outcome:
		b.waiters.Put(me)
		return outcome.result()
	case <-before.Done():
	}
	if b.collector.remove(user.ToAccount, me) {
		return notSent(ended(before))
	}
	select {
	case outcome := <-me.outcome:
		return outcome.result()
	case <-ctx.Done():
	}
	select { // an outcome that has come counts, also if ctx has ended
	case outcome := <-me.outcome:
		return outcome.result()
	default:
		b.collector.leave(user.ToAccount, me)
		return &UserError{0, user.ToAccount, Unknown, ended(ctx)}
	}
}

// enter takes a place in the Batcher.
func (b *Batcher) enter(ctx context.Context) error {
	if err := ended(ctx); err != nil {
		return err
	}
	select {
	case b.room <- struct{}{}:
		return nil
	default:
	}
	switch {
	case b.closing.Err() != nil:
		return ErrBatcherClosed
	case b.failFast:
		return ErrBatcherFull
	}
	select {
	case b.room <- struct{}{}:
		return nil
	case <-b.closing.Done():
		return ErrBatcherClosed
	case <-ctx.Done():
		return ended(ctx)
	}
}

// tellWaiters gives each waiter the outcome of its user.
func tellWaiters(b *batch[UserAttrs, *waiter]) {
	failed := b.failed
	for i, waiter := range b.tickets {
		outcome := userOutcome{panicked: b.panicked}
		if len(failed) > 0 && failed[0].Index == i {
			outcome.err = &UserError{0, failed[0].ToAccount, failed[0].Outcome, ownCause(failed[0].Err)}
			failed = failed[1:]
		}
		waiter.outcome <- outcome
	}
}

// ownCause leaves out of a user's error that its request was refused for the data of one user, if the call ended before it was known whose.
// That would look like a fault of this user, and no [Remaining] tells the caller that it is worth sending again.
func ownCause(err error) error {
	if both, ok := err.(*followed); ok && codeOf(both.earlier).DataFault() { //nolint:errorlint // made here
		return both.later
	}
	return err
}

// Close takes no more users, whose SetAttr returns [ErrBatcherClosed], sends the pending ones, and returns when each caller
// has its outcome. If ctx ends before that, requests in flight are canceled, all callers return at once with an error that
// matches ErrBatcherClosed, and Close returns the error of ctx. Closing again does no harm.
func (b *Batcher) Close(ctx context.Context) error {
	defer b.stop(ErrBatcherClosed)
	b.refuse()
	if b.collector.close() {
		return nil
	}
	drained := make(chan struct{})
	go func() {
		b.collector.wait()
		close(drained)
	}()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		b.stop(ErrBatcherClosed)
		<-drained
		return ended(ctx)
	}
}

package timpush

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// ErrBatcherClosed is why a [Batcher] does not take a user, or did not wait for the end of its request.
var ErrBatcherClosed = errors.New("timpush: the Batcher is closed")

const defaultMaxWaiting = 20000 // two seconds of the whole quota

// Batcher joins users that many goroutines set one by one into requests of up to [MaxUsersPerRequest], and tells each
// goroutine what became of its user. It turns the quota of 100 calls a second from 100 users a second into 10,000.
//
// A request goes when 100 accounts have joined it, or 20 ms after the first (see [WithLinger]), as soon as fewer than
// MaxInFlight are under way. When half of 100 wait and no other request is under way any more, they linger no longer. While
// an account is in a request, later values for it wait until that request has ended, so they are never overtaken; those
// that wait together are merged.
//
// A Batcher is safe for concurrent use. It has goroutines only while requests are under way.
type Batcher struct {
	joiner  *joiner[*caller]
	room    chan struct{} // a place for each user in it
	stop    context.CancelCauseFunc
	callers sync.Pool // whose users have ended
}

// caller is a goroutine that waits for its user's outcome.
type caller struct{ outcome chan error }

// BatcherOption changes how a [Batcher] works.
type BatcherOption func(*batcherSettings)

type batcherSettings struct {
	linger     time.Duration
	maxWaiting int
}

// WithLinger sets how long the first user of a request waits for others; 0 or less: not at all. A longer linger makes
// fewer and fuller requests, and adds to the time of a call that meets no others. If not given, it is 20 ms.
func WithLinger(d time.Duration) BatcherOption {
	return func(s *batcherSettings) { s.linger = max(d, 0) }
}

// WithMaxWaiting bounds how many users can be in the Batcher, waiting or under way; at least 1. A call that finds it full
// waits for room. If not given, it is 20,000: what the quota lets through in two seconds.
func WithMaxWaiting(n int) BatcherOption {
	return func(s *batcherSettings) { s.maxWaiting = max(n, 1) }
}

// NewBatcher makes a Batcher that sends through c. Call [Batcher.Close] when it is no longer needed.
func NewBatcher(c *Client, opts ...BatcherOption) *Batcher {
	s := batcherSettings{linger: defaultLinger, maxWaiting: defaultMaxWaiting}
	for _, option := range opts {
		option(&s)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	b := &Batcher{room: make(chan struct{}, s.maxWaiting), stop: stop}
	b.callers.New = func() any { return &caller{make(chan error, 1)} }
	b.joiner = newJoiner(ctx, c, &setAttr, s.linger, true, tellCallers)
	return b
}

// SetAttr sets attributes of one user and returns when its outcome is known: nil if it is [Done]. Otherwise the error
// holds an [*InputError] for each fault of the user, and nothing was sent; or it is a [*UserError] with the outcome.
//
// When ctx ends it returns at once: the outcome is NotSent if the user's request had not been taken yet, and the user is
// not sent later; it is Unknown otherwise. Others that share the request notice nothing. The values of ctx do not
// reach an [Observer], since a request has many callers. A code that stops the client's call ([Client.SetAttr]) ends all
// that wait; calls made after it try anew.
//
// API: tencentcloud.com/document/product/1047/60565.
func (b *Batcher) SetAttr(ctx context.Context, user UserAttrs) error {
	if faults := setAttr.inputFaults(0, user); len(faults) > 0 {
		return &inputErrors{faults}
	}
	notSent := func(cause error) error { return &UserError{0, user.ToAccount, NotSent, cause} }
	if err := ended(ctx); err != nil {
		return notSent(err)
	}
	select {
	case b.room <- struct{}{}:
	case <-ctx.Done():
		return notSent(ended(ctx))
	}
	defer func() { <-b.room }()
	me := b.callers.Get().(*caller)
	if b.joiner.client.preflight {
		user.Attrs = maps.Clone(user.Attrs) // which is looked at later, when the caller may have given up
	}
	if !b.joiner.add(user, me) {
		return notSent(ErrBatcherClosed)
	}
	select {
	case err := <-me.outcome:
		b.callers.Put(me)
		return err
	case <-ctx.Done():
	}
	if b.joiner.remove(user.ToAccount, me) {
		return notSent(ended(ctx))
	}
	select {
	case err := <-me.outcome:
		return err
	default:
		return &UserError{0, user.ToAccount, Unknown, ended(ctx)}
	}
}

// tellCallers tells each caller what became of its user.
func tellCallers(b *joined[*caller]) {
	failed := b.failed
	for i, caller := range b.tickets {
		var err error
		if len(failed) > 0 && failed[0].Index == i {
			err = &UserError{0, failed[0].ToAccount, failed[0].Outcome, failed[0].Err}
			failed = failed[1:]
		}
		caller.outcome <- err
	}
}

// Close lets no more users in, whose SetAttr then returns [ErrBatcherClosed], sends those that are in, and returns when
// each caller has its outcome. If ctx ends before that, requests under way are broken off, all callers return at once with
// an error that matches ErrBatcherClosed, and so does Close, with the error of ctx. Closing again does no harm.
func (b *Batcher) Close(ctx context.Context) error {
	defer b.stop(ErrBatcherClosed)
	if b.joiner.close() {
		return nil
	}
	drained := make(chan struct{})
	go func() {
		b.joiner.wait()
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

package timpush

import (
	"context"
	"sync"
	"time"
)

// deadlines ends attempts that take too long. All may take equally long, so they end in the order in which they began, and
// one timer, set for the first, serves all. A timer for each attempt would cost three percent of a fast exchange.
type deadlines struct {
	after time.Duration

	mu          sync.Mutex
	first, last *deadline // attempts under way, in the order of their ends
	armed       bool      // the timer runs; it is not stopped when the attempt that it was set for ends
}

// deadline is the context of an attempt.
type deadline struct {
	context.Context
	cancel         context.CancelCauseFunc
	end            time.Time
	before, behind *deadline
}

// Deadline returns the end of the attempt, or that of the call if it is earlier.
func (d *deadline) Deadline() (time.Time, bool) {
	if end, ok := d.Context.Deadline(); ok && end.Before(d.end) {
		return end, true
	}
	return d.end, true
}

// why returns the error of an attempt, which is errTimeout if it was ended for its length: a transport may know no more
// than that its context was canceled.
func (d *deadline) why(err error) error {
	if err != nil && context.Cause(d.Context) == errTimeout { //nolint:errorlint // this very one
		return errTimeout
	}
	return err
}

var errTimeout error = timeout{}

type timeout struct{}

func (timeout) Error() string { return "no answer within the attempt's timeout" }
func (timeout) Unwrap() error { return context.DeadlineExceeded }
func (timeout) Timeout() bool { return true }

// start begins an attempt. Its context must be given back by end.
func (q *deadlines) start(ctx context.Context) *deadline {
	d := new(deadline)
	d.Context, d.cancel = context.WithCancelCause(ctx)
	q.mu.Lock()
	defer q.mu.Unlock()
	d.end = time.Now().Add(q.after)
	d.before, q.last = q.last, d
	if d.before == nil {
		q.first = d
	} else {
		d.before.behind = d
	}
	if !q.armed {
		q.armed = true
		time.AfterFunc(q.after, q.expire)
	}
	return d
}

// end takes an attempt out of the queue, whether it has ended in time or not.
func (q *deadlines) end(d *deadline) {
	d.cancel(nil)
	q.mu.Lock()
	defer q.mu.Unlock()
	if d.before == nil {
		q.first = d.behind
	} else {
		d.before.behind = d.behind
	}
	if d.behind == nil {
		q.last = d.before
	} else {
		d.behind.before = d.before
	}
}

// expire cancels the attempts whose time is over and sets the timer for the next.
func (q *deadlines) expire() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for d := q.first; d != nil; d = d.behind {
		if left := d.end.Sub(now); left > 0 {
			time.AfterFunc(left, q.expire)
			return
		}
		d.cancel(errTimeout)
	}
	q.armed = false
}

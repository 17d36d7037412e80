package timpush

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// engine has what the calls of a client share. It knows no endpoint.
type engine struct {
	hosts          *hosts
	query          string // the common part of all queries
	userAgent      []string
	signing        signing
	transports     [quotaCount]http.RoundTripper
	limiters       [quotaCount]Limiter
	suspects       [quotaCount]suspects
	answers        [quotaCount]answerTime
	throttles      [quotaCount]*throttle
	maxInFlight    int                       // of each quota
	slots          [quotaCount]chan struct{} // one for each request in flight
	observers      []Observer
	maxAttempts    int
	retryBudget    time.Duration // 0: no limit
	attemptTimeout time.Duration
	cooldown       atomic.Pointer[cooldown]

	mu     sync.Mutex
	limits map[string]sizeLimit // of the requests to a path, where the server has refused larger ones
}

// slowDown makes the throttle of a quota slower after a throttle code, or all of them if the code is about the whole app.
func (e *engine) slowDown(q Quota, epoch time.Duration, code Code, retryAfter time.Duration) {
	pause := min(retryAfter, maxRetryAfter)
	if e.throttles[q].refused(epoch, pause) && code == ErrAppRateLimited {
		for other, t := range e.throttles {
			if Quota(other) != q {
				t.refusedNow(pause)
			}
		}
	}
}

const maxRetryAfter = time.Minute

// observe notifies the observers, and returns the context that they have made at a start. Also if one of them panics, each gets the end
// of what it was told has begun: it may have a span open.
func (e *engine) observe(ctx context.Context, event Event) context.Context {
	event.Host = e.hosts.base.Host
	if event.Kind != CallStart && event.Kind != AttemptStart {
		tell(ctx, event, e.observers)
		return ctx
	}
	told := 0
	defer func() {
		if told < len(e.observers) {
			event.Kind, event.Failure = event.Kind+1, "panic"
			tell(ctx, event, e.observers[:told])
		}
	}()
	for _, o := range e.observers {
		if next := o.Observe(ctx, event); next != nil {
			ctx = next
		}
		told++
	}
	return ctx
}

// tell notifies observers, also those after one that panics.
func tell(ctx context.Context, event Event, observers []Observer) {
	if len(observers) > 0 {
		defer tell(ctx, event, observers[1:])
		observers[0].Observe(ctx, event)
	}
}

// cooldown is a period in which the client sends nothing, because of err. It is the error of what it holds back.
type cooldown struct {
	until time.Time
	err   error
}

// Error returns when the cooldown ends, and its cause.
func (c *cooldown) Error() string {
	return fmt.Sprintf("the client sends nothing until %s: %v", c.until.Format(time.TimeOnly), c.err)
}

// Unwrap returns the cause.
func (c *cooldown) Unwrap() error { return c.err }

const cooldownTime = time.Minute // the advice that comes with 70050

// coolDown begins a cooldown. Calls that wait for a limiter end at once.
func (e *engine) coolDown(err error) {
	e.cooldown.Store(&cooldown{time.Now().Add(cooldownTime), err})
	for _, t := range e.throttles {
		t.interruptWaits()
	}
}

// cooling returns why nothing is sent now, or nil.
func (e *engine) cooling() error {
	if c := e.cooldown.Load(); c != nil && time.Now().Before(c.until) {
		return c
	}
	return nil
}

// call has what the requests of one call share. A stream is one call, and so is a Batcher until a code stops it.
type call struct {
	*engine
	ctx    context.Context // ends with the caller's, or when the call is stopped; nil until the call begins
	cancel context.CancelFunc
	cause  atomic.Pointer[error] // why it was stopped
	hurry  bool                  // no attempt is repeated after a pause

	unknownCodes   atomic.Int64 // requests in a row that failed with an undocumented code
	unknowns       atomic.Int64 // requests in a row that may have been applied and must not be repeated
	singleFailures atomic.Int64 // accounts in a row that were sent alone and not accepted
}

// newCall makes a call for one execute.
func newCall(e *engine) *call { return &call{engine: e} }

// newLongCall begins a call for several executes, which ctx ends.
func newLongCall(ctx context.Context, e *engine) *call {
	c := newCall(e)
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// stopNew lets no further request begin, because of cause. Those that wait already go on.
func (c *call) stopNew(cause error) { c.cause.CompareAndSwap(nil, &cause) }

// stop lets no further request be sent, because of cause. Those in flight go on.
func (c *call) stop(cause error) {
	c.stopNew(cause)
	c.end()
}

// end releases what the call holds.
func (c *call) end() {
	if c.cancel != nil {
		c.cancel()
	}
}

// stopCause returns why the call was stopped, or nil.
func (c *call) stopCause() error {
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// sender sends the requests of one execute.
type sender struct {
	*call
	command  *command
	ctx      context.Context // of requests: the caller's, and what observers have added
	waiting  context.Context // of the waits before them: ends also when the call is stopped
	requests atomic.Int64

	retryAfter time.Duration // of the last answer, for a serial command
}

// begin returns the sender of an execute and reports its start to the observers; finish reports its end.
func (c *call) begin(ctx context.Context, cmd *command, users int) (s *sender, finish func(*Result, error)) {
	began := time.Now()
	s = &sender{call: c, command: cmd}
	s.ctx = c.observe(ctx, Event{Kind: CallStart, Endpoint: cmd.path, Users: users})
	var release func()
	s.waiting, release = c.waitingContext(s.ctx)
	return s, func(result *Result, err error) {
		release()
		e := Event{Kind: CallEnd, Endpoint: cmd.path, Users: users, Duration: time.Since(began), Failure: "panic"}
		if result != nil {
			e.Result = *result
			e.Code, e.Failure, e.Status = firstFailure(err)
		}
		c.observe(s.ctx, e)
	}
}

// waitingContext returns a context for the waits of a sender, which ends with ctx or when the call is stopped. It has the values of
// ctx, to which observers may have added some.
func (c *call) waitingContext(ctx context.Context) (waiting context.Context, release func()) {
	if c.ctx == nil { // the only execute of the call
		c.ctx, c.cancel = context.WithCancel(ctx)
		return c.ctx, c.cancel
	}
	return endsWith(ctx, c.ctx)
}

// endsWith returns a context with the values of ctx, which ends with ctx or with other.
func endsWith(ctx, other context.Context) (both context.Context, release func()) {
	both, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(other, cancel)
	return both, func() {
		unlink()
		cancel()
	}
}

// halfTheTime returns a context for what a call can do without, which leaves half of the time to a deadline for the rest.
func halfTheTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// stopped returns why the sender goes no further, or nil: its context has ended, or the call was stopped.
func (s *sender) stopped() error {
	if err := ended(s.ctx); err != nil {
		return err
	}
	if cause := s.stopCause(); cause != nil {
		return cause
	}
	return ended(s.call.ctx)
}

func (s *sender) over() bool { return s.stopped() != nil }

// sizeLimit is what the server accepts in one request to an endpoint, as far as is known.
type sizeLimit struct {
	entries, bytes int
	since          time.Time
}

// sizeLimitStep is the time in which a limit doubles, until it is gone: a single code must not slow down a client for long, and a
// limit that is real costs one refused request each time.
const sizeLimitStep = 10 * time.Second

// maxBody is more bytes than any request has.
const maxBody = 1 << 30

// now returns the limit after the time that has passed.
func (l sizeLimit) now(size int) sizeLimit {
	doubled := min(int(time.Since(l.since)/sizeLimitStep), 20)
	return sizeLimit{min(l.entries<<doubled, size), min(l.bytes<<doubled, maxBody), l.since}
}

func (e *engine) sizeLimit(c *command) sizeLimit {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l, ok := e.limits[c.path]; ok {
		return l.now(c.size)
	}
	return sizeLimit{entries: c.size, bytes: maxBody}
}

// limit returns how many entries a request to an endpoint may have.
func (e *engine) limit(c *command) int { return e.sizeLimit(c).entries }

func (e *engine) tooLarge(c *command, entries, bytes int) bool {
	l := e.sizeLimit(c)
	return entries > l.entries || bytes > l.bytes
}

// lower records that the server has refused a request with more entries or bytes than these.
func (e *engine) lower(c *command, entries, bytes int) {
	now := e.sizeLimit(c)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.limits[c.path] = sizeLimit{min(now.entries, entries), min(now.bytes, bytes), time.Now()}
}

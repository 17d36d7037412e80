package timpush

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// defaultLinger is how long a user waits for others to share its request: short compared with the latency of a request, and
// long enough that requests that are not full take at most half of the quota.
const defaultLinger = 20 * time.Millisecond

// shortLinger is for a batch that is half full when nothing is in flight: items that arrive at the same time still join it.
const shortLinger = time.Millisecond

// collector makes batches of items that come one by one. A batch is sent when it is full or when its first item has waited
// for the linger, which is shorter for a batch that is half full when nothing else is in flight.
//
// An account is in one batch at a time, so that a later value never overtakes an earlier one: what comes for it joins that
// batch until it is sent, and waits for its end from then on.
//
// Every item comes with a ticket, by which its owner knows it.
type collector[T any, K comparable] struct {
	engine    *engine
	endpoint  *endpoint[T]
	ctx       context.Context // of all batches
	linger    time.Duration
	restarts  bool               // a new call replaces one that was stopped
	batchTime answerTime         // from the start of a batch to its end
	finish    func(*batch[T, K]) // is called, concurrently, with each batch whose items have their outcomes

	mu       sync.Mutex
	call     *call
	queue    []*batch[T, K]          // not sent yet; all but the last are full
	batchOf  map[string]*batch[T, K] // the one that an account is in
	inFlight int
	closed   bool // nothing more is added, and nothing lingers
	working  sync.WaitGroup
}

// batch is items that share a request.
type batch[T any, K comparable] struct {
	items    []T
	tickets  []K
	accounts int             // distinct ones among the items
	due      bool            // it does not wait for others
	linger   *time.Timer     // until it is due
	call     *call           // in which it is sent; nil while it is in the queue
	owners   atomic.Int64    // of its items, who still wait, once it is sent
	waiting  []pending[T, K] // for its end, because their accounts are in it
	rest     *batch[T, K]    // of those, where its call was stopped: not sent, and told after it, since they are later; nil: none

	result   *Result
	failed   []failure // with their index in items
	found    []any     // what was read, by index
	panicked *escape
}

type pending[T any, K comparable] struct {
	item   T
	ticket K
}

// newCollector makes a collector. Its items have been validated, one by one.
func newCollector[T any, K comparable](
	ctx context.Context, e *engine, to *endpoint[T], linger time.Duration, restarts bool, finish func(*batch[T, K]),
) *collector[T, K] {
	return &collector[T, K]{
		engine: e, endpoint: to, ctx: ctx, linger: linger, restarts: restarts, finish: finish,
		call: newLongCall(ctx, e), batchOf: map[string]*batch[T, K]{},
	}
}

// add adds an item, or returns false if the collector is closed.
func (c *collector[T, K]) add(item T, ticket K) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.place(pending[T, K]{item, ticket})
	c.sendDue()
	return true
}

// remove removes an item, or returns false if its batch has been sent.
func (c *collector[T, K]) remove(account string, ticket K) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.batchOf[account]
	if b == nil {
		return false
	}
	if k := slices.IndexFunc(b.waiting, func(p pending[T, K]) bool { return p.ticket == ticket }); k >= 0 {
		b.waiting = slices.Delete(b.waiting, k, k+1)
	} else if k := slices.Index(b.tickets, ticket); k >= 0 && b.call == nil {
		b.items, b.tickets = slices.Delete(b.items, k, k+1), slices.Delete(b.tickets, k, k+1)
		if !c.has(b, account) {
			b.accounts--
		}
	} else {
		return false
	}
	if !c.has(b, account) && !slices.ContainsFunc(b.waiting, func(p pending[T, K]) bool { return c.endpoint.account(p.item) == account }) {
		delete(c.batchOf, account)
	}
	return true
}

// leave says that the owner of an item that has been sent waits no longer. A batch for which no one waits is not sent again: after an outage it
// could replace what another process has set since.
func (c *collector[T, K]) leave(account string, ticket K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.batchOf[account]; b != nil && b.call != nil && slices.Contains(b.tickets, ticket) {
		b.owners.Add(-1)
	}
}

func (c *collector[T, K]) has(b *batch[T, K], account string) bool {
	return slices.ContainsFunc(b.items, func(item T) bool { return c.endpoint.account(item) == account })
}

// close lets nothing more be added and sends what is pending. It reports whether all has ended; otherwise wait returns when
// it has.
func (c *collector[T, K]) close() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.sendDue()
	return c.inFlight == 0
}

func (c *collector[T, K]) wait() {
	c.working.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.call.end()
}

func (c *collector[T, K]) place(p pending[T, K]) {
	account := c.endpoint.account(p.item)
	b := c.batchOf[account]
	if b != nil && (b.call != nil || c.crowded(b)) {
		b.waiting = append(b.waiting, p)
		return
	}
	if b == nil {
		b = c.open()
		b.accounts++
		c.batchOf[account] = b
	}
	b.items, b.tickets = append(b.items, p.item), append(b.tickets, p.ticket)
}

// crowded reports whether a batch has so many items for its accounts that more have to wait: merging takes time. It remains
// so when some are removed, since those that wait came earlier than new ones.
func (c *collector[T, K]) crowded(b *batch[T, K]) bool {
	return len(b.items) >= 10*c.endpoint.size || len(b.waiting) > 0
}

// open returns the batch that is being filled.
func (c *collector[T, K]) open() *batch[T, K] {
	if n := len(c.queue); n > 0 && c.queue[n-1].accounts < c.full() {
		return c.queue[n-1]
	}
	b := &batch[T, K]{items: make([]T, 0, c.endpoint.size), tickets: make([]K, 0, c.endpoint.size)}
	b.linger = time.AfterFunc(c.linger, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		b.due = true
		c.sendDue()
	})
	c.queue = append(c.queue, b)
	return b
}

// full returns how many accounts make a batch full.
func (c *collector[T, K]) full() int { return c.engine.limit(&c.endpoint.command) }

// sendDue sends all batches that need not wait, as many as the client may have in flight.
func (c *collector[T, K]) sendDue() {
	for len(c.queue) > 0 && c.inFlight < c.engine.maxInFlight {
		if b := c.queue[0]; !b.due && len(c.queue) == 1 && !c.closed && b.accounts < c.full() {
			return
		}
		c.sendFirst()
	}
}

// sendFirst sends the first batch of the queue.
func (c *collector[T, K]) sendFirst() {
	b := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	b.linger.Stop()
	if len(b.items) > 0 {
		c.start(b, c.call)
	} else { // all of them have been removed
		c.readmit(b)
	}
}

func (c *collector[T, K]) start(b *batch[T, K], in *call) {
	b.call = in
	b.separate(c.endpoint)
	b.owners.Store(int64(len(b.tickets)))
	c.inFlight++
	began := time.Now()
	c.working.Go(func() {
		defer c.release(b)
		defer func() { c.batchTime.took(time.Since(began)) }()
		defer c.finish(b)
		defer c.abandonIfStopped(b) // first: an item's owner may add another as soon as it is told
		guard(func() { b.execute(c.ctx, c.endpoint) }, func(e *escape) {
			b.panicked = e
			b.call.stop(errPanic)
		})
	})
}

// separate postpones items until the rest can be merged: the items of an account may be more than one request can hold for it.
func (b *batch[T, K]) separate(e *endpoint[T]) {
	for b.accounts < len(b.items) {
		_, _, err := merge(e, b.items, new(buffer))
		faulty, ok := errors.AsType[*InputErrors](err)
		if !ok {
			return
		}
		b.postpone(e, faulty.Faults[0])
	}
}

// postpone makes the items of an account, from a faulty one on, wait for the end of their batch, before those that came too
// late for it.
func (b *batch[T, K]) postpone(e *endpoint[T], fault *InputError) {
	from := fault.Index
	items, tickets := b.items[:from:from], b.tickets[:from:from]
	var waiting []pending[T, K]
	for k, item := range b.items[from:] {
		if ticket := b.tickets[from+k]; e.account(item) == fault.ToAccount {
			waiting = append(waiting, pending[T, K]{item, ticket})
		} else {
			items, tickets = append(items, item), append(tickets, ticket)
		}
	}
	b.items, b.tickets, b.waiting = items, tickets, append(waiting, b.waiting...)
}

func (b *batch[T, K]) execute(ctx context.Context, to *endpoint[T]) {
	e := *to
	b.found = make([]any, len(b.items))
	e.left = func() bool { return b.owners.Load() == 0 }
	e.onFound = func(i int, value any) { b.found[i] = value }
	result, err := execute(ctx, b.call, &e, b.items)
	b.result = result
	if partial, ok := errors.AsType[*PartialError](err); ok {
		b.failed = partial.failed
	}
}

// release ends a batch and lets the items that wait for it join others.
func (c *collector[T, K]) release(b *batch[T, K]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	for _, item := range b.items {
		c.forget(item, b)
	}
	c.readmit(b)
	if b.rest != nil {
		c.start(b.rest, b.call)
	}
	if c.inFlight == 0 && len(c.queue) > 0 && 2*c.queue[0].accounts >= c.full() {
		c.queue[0].linger.Reset(min(c.linger, shortLinger))
	}
	c.sendDue()
	if cause := b.call.stopCause(); cause != nil && c.inFlight == 0 {
		b.call.stop(cause) // the last one that was waiting has ended
	}
}

// readmit lets the items that wait for a batch join others.
func (c *collector[T, K]) readmit(b *batch[T, K]) {
	for _, p := range b.waiting {
		c.forget(p.item, b)
	}
	for _, p := range b.waiting {
		c.place(p)
	}
}

func (c *collector[T, K]) forget(item T, b *batch[T, K]) {
	if account := c.endpoint.account(item); c.batchOf[account] == b {
		delete(c.batchOf, account)
	}
}

// abandonIfStopped ends all items that wait for the call of a batch, if that has been stopped.
func (c *collector[T, K]) abandonIfStopped(b *batch[T, K]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.call.stopCause() != nil {
		c.abandon(b)
	}
}

// abandon ends all items that wait, after their call has been stopped: sent in that call, they end at once.
func (c *collector[T, K]) abandon(b *batch[T, K]) {
	if len(b.waiting) > 0 {
		b.rest = &batch[T, K]{}
		for _, p := range b.waiting {
			b.rest.items, b.rest.tickets = append(b.rest.items, p.item), append(b.rest.tickets, p.ticket)
			c.forget(p.item, b)
		}
		b.waiting = nil
	}
	if c.call != b.call {
		return
	}
	for len(c.queue) > 0 {
		c.sendFirst()
	}
	if c.closed = c.closed || !c.restarts; !c.closed {
		c.call = newLongCall(c.ctx, c.engine)
	}
}

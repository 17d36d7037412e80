package timpush

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// defaultLinger is how long a user waits for others to share its request: short beside the latency of a request, and
// so long that requests that are not full take half of the quota at most.
const defaultLinger = 20 * time.Millisecond

// shortLinger is for a request that is half full when nothing is under way any more: those who arrive at the same time
// still join it.
const shortLinger = time.Millisecond

// joiner makes requests of users that come one by one. A request is taken to be sent when it is full or when its first
// user has waited for the linger, which is cut short when it is half full and nothing else is under way any more.
//
// An account is in one request at a time, so that a later value never overtakes an earlier one: what comes for it joins
// that request until it is taken, and waits behind it from then on.
//
// Every user comes with a ticket, by which its owner knows it.
type joiner[T comparable] struct {
	client   *Client
	endpoint *endpoint
	ctx      context.Context // of all requests
	linger   time.Duration
	renews   bool             // a call that stops is followed by another
	finish   func(*joined[T]) // is told of each request when its users have their outcomes; called concurrently

	mu       sync.Mutex
	call     *call
	queue    []*joined[T]          // not taken yet; all but the last are full
	carriers map[string]*joined[T] // the request that an account is in
	underWay int
	closed   bool // nobody joins any more, and nobody lingers
	working  sync.WaitGroup
}

// joined is users that share a request.
type joined[T comparable] struct {
	users    []UserAttrs
	tickets  []T
	accounts int         // different ones among the users
	ripe     bool        // not to wait for others
	linger   *time.Timer // until it is ripe
	call     *call       // that it is taken for
	plan     *plan       // made when it is taken
	behind   []rider[T]  // wait until it has ended, since their accounts are in it

	result *Result
	failed []failure // with their index in users
}

type rider[T comparable] struct {
	user   UserAttrs
	ticket T
}

// newJoiner makes a joiner. Its users have been validated, one by one.
func newJoiner[T comparable](ctx context.Context, c *Client, e *endpoint, linger time.Duration, renews bool, finish func(*joined[T])) *joiner[T] {
	return &joiner[T]{
		client: c, endpoint: e, ctx: ctx, linger: linger, renews: renews, finish: finish,
		call: newCall(ctx, c), carriers: map[string]*joined[T]{},
	}
}

// newCall makes a call that will have several plans.
func newCall(ctx context.Context, c *Client) *call {
	r := &call{client: c}
	r.lasts, r.cancel = context.WithCancel(ctx)
	return r
}

// add lets a user join, or returns false if nobody joins any more.
func (j *joiner[T]) add(user UserAttrs, ticket T) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return false
	}
	j.place(rider[T]{user, ticket})
	j.dispatch()
	return true
}

// remove takes a user out again, or returns false if its request has been taken.
func (j *joiner[T]) remove(account string, ticket T) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	b := j.carriers[account]
	if b == nil {
		return false
	}
	if k := slices.IndexFunc(b.behind, func(r rider[T]) bool { return r.ticket == ticket }); k >= 0 {
		b.behind = slices.Delete(b.behind, k, k+1)
	} else if k := slices.Index(b.tickets, ticket); k >= 0 && b.call == nil {
		b.users, b.tickets = slices.Delete(b.users, k, k+1), slices.Delete(b.tickets, k, k+1)
		if !b.has(account) {
			b.accounts--
		}
	} else {
		return false
	}
	if !b.has(account) && !slices.ContainsFunc(b.behind, func(r rider[T]) bool { return r.user.ToAccount == account }) {
		delete(j.carriers, account)
	}
	return true
}

func (b *joined[T]) has(account string) bool {
	return slices.ContainsFunc(b.users, func(u UserAttrs) bool { return u.ToAccount == account })
}

// close lets nobody join any more and sends what has joined. It reports whether all has ended; otherwise wait returns when
// it has.
func (j *joiner[T]) close() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	j.dispatch()
	return j.underWay == 0
}

func (j *joiner[T]) wait() {
	j.working.Wait()
	j.call.cancel()
}

func (j *joiner[T]) place(r rider[T]) {
	b := j.carriers[r.user.ToAccount]
	if b != nil && (b.call != nil || b.stuffed()) {
		b.behind = append(b.behind, r)
		return
	}
	if b == nil {
		b = j.open()
		b.accounts++
		j.carriers[r.user.ToAccount] = b
	}
	b.users, b.tickets = append(b.users, r.user), append(b.tickets, r.ticket)
}

// stuffed reports whether a request has so many users for its accounts that more have to wait: to merge them takes time.
// It stays so when some are removed, since those who wait came before those to come.
func (b *joined[T]) stuffed() bool { return len(b.users) >= 10*MaxUsersPerRequest || len(b.behind) > 0 }

// open returns the request that is being filled.
func (j *joiner[T]) open() *joined[T] {
	if n := len(j.queue); n > 0 && j.queue[n-1].accounts < j.client.limits().users {
		return j.queue[n-1]
	}
	b := &joined[T]{users: make([]UserAttrs, 0, MaxUsersPerRequest), tickets: make([]T, 0, MaxUsersPerRequest)}
	b.linger = time.AfterFunc(j.linger, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		b.ripe = true
		j.dispatch()
	})
	j.queue = append(j.queue, b)
	return b
}

// dispatch takes all requests that are not to wait, as many as the client may have under way.
func (j *joiner[T]) dispatch() {
	full := j.client.limits().users
	for len(j.queue) > 0 && j.underWay < cap(j.client.slots) {
		if b := j.queue[0]; !b.ripe && b.accounts < full && len(j.queue) == 1 && !j.closed {
			return
		}
		j.take()
	}
}

// take takes the first request of the queue.
func (j *joiner[T]) take() {
	b := j.queue[0]
	j.queue[0] = nil
	j.queue = j.queue[1:]
	b.linger.Stop()
	if len(b.users) > 0 {
		j.start(b, j.call)
	} else { // all have been removed
		j.readmit(b)
	}
}

func (j *joiner[T]) start(b *joined[T], r *call) {
	b.call, b.plan = r, b.makePlan(j.endpoint)
	j.underWay++
	j.working.Go(func() { j.send(b) })
}

func (j *joiner[T]) send(b *joined[T]) {
	defer b.plan.free()
	result, err := b.call.run(j.ctx, b.plan)
	b.result = result
	if partial, ok := errors.AsType[*PartialError](err); ok {
		b.failed = partial.failed
	}
	j.finish(b)
	j.release(b)
}

// makePlan makes the plan of a request that is taken. Where all that is wanted of an account is more than a request can say
// of it, a part goes behind.
func (b *joined[T]) makePlan(e *endpoint) *plan {
	for {
		p := newPlan(e, b.users)
		p.validate()
		faults := p.merge()
		if len(faults) == 0 {
			p.begin()
			return p
		}
		p.free()
		if e, ok := errors.AsType[*InputError](faults[0]); ok {
			b.postpone(e.ToAccount, e.Index)
		}
	}
}

// postpone puts the users of an account from an index on behind their request, before those who came too late for it.
func (b *joined[T]) postpone(account string, from int) {
	users, tickets := b.users[:from:from], b.tickets[:from:from]
	var behind []rider[T]
	for k, user := range b.users[from:] {
		if ticket := b.tickets[from+k]; user.ToAccount == account {
			behind = append(behind, rider[T]{user, ticket})
		} else {
			users, tickets = append(users, user), append(tickets, ticket)
		}
	}
	b.users, b.tickets, b.behind = users, tickets, append(behind, b.behind...)
}

// release ends a request and lets those behind it join others. If its call has stopped, that ends them all.
func (j *joiner[T]) release(b *joined[T]) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.underWay--
	for _, user := range b.users {
		j.unload(user.ToAccount, b)
	}
	if b.call.cause.Load() != nil {
		j.abandon(b)
	}
	j.readmit(b)
	if j.underWay == 0 && len(j.queue) > 0 && 2*j.queue[0].accounts >= j.client.limits().users {
		j.queue[0].linger.Reset(min(j.linger, shortLinger))
	}
	j.dispatch()
}

// readmit lets those behind a request join others.
func (j *joiner[T]) readmit(b *joined[T]) {
	for _, r := range b.behind {
		j.unload(r.user.ToAccount, b)
	}
	for _, r := range b.behind {
		j.place(r)
	}
}

func (j *joiner[T]) unload(account string, b *joined[T]) {
	if j.carriers[account] == b {
		delete(j.carriers, account)
	}
}

// abandon takes all that waits for a call that has stopped, so that it ends at once.
func (j *joiner[T]) abandon(b *joined[T]) {
	if len(b.behind) > 0 {
		rest := &joined[T]{}
		for _, r := range b.behind {
			rest.users, rest.tickets = append(rest.users, r.user), append(rest.tickets, r.ticket)
			j.unload(r.user.ToAccount, b)
		}
		b.behind = nil
		j.start(rest, b.call)
	}
	if j.call != b.call {
		return
	}
	for len(j.queue) > 0 {
		j.take()
	}
	if j.closed = j.closed || !j.renews; !j.closed {
		j.call = newCall(j.ctx, j.client)
	}
}

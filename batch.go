package timpush

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// plan is what a call has to do, and what is known of it. Plans are used again, for their memory.
type plan struct {
	entries []entry
	attrs   []attr         // holds the attributes of the entries
	index   map[string]int // number of the entry of each account
	entryOf []int          // number of the entry of each user
	numbers []int          // 0, 1, 2, ... up to the number of entries
	states  []state        // of the entries
}

// state is what is known of one entry. While its request is under way only the goroutine that sends it uses it.
type state struct {
	outcome Outcome
	err     error
}

var plans = sync.Pool{New: func() any { return &plan{index: map[string]int{}} }}

func newPlan() *plan { return plans.Get().(*plan) }

// free forgets the users, whose strings it would keep from being collected, and gives the memory back. The memory of a
// large call is not kept: it would stay for ever.
func (p *plan) free() {
	if cap(p.entries) > 10*MaxUsersPerRequest {
		return
	}
	clear(p.entries)
	clear(p.attrs)
	clear(p.states)
	clear(p.index)
	p.entries, p.attrs, p.states = p.entries[:0], p.attrs[:0], p.states[:0]
	p.entryOf, p.numbers = p.entryOf[:0], p.numbers[:0]
	plans.Put(p)
}

func (p *plan) grow(users, attrs int) {
	p.entries = slices.Grow(p.entries, users)
	p.attrs = slices.Grow(p.attrs, attrs)
	p.entryOf = slices.Grow(p.entryOf, users)
	p.numbers = slices.Grow(p.numbers, users)
	p.states = slices.Grow(p.states, users)
}

// run takes a plan whose users have been validated through the rest of its way.
func (c *Client) run(ctx context.Context, e *endpoint, p *plan) (*Result, error) {
	began, users := time.Now(), len(p.entries)
	ctx = c.observe(ctx, Event{Kind: CallStart, Endpoint: e.name(), Users: users})
	p.merge()
	requests := p.split(int(c.maxUsers.Load()))
	sent := c.send(ctx, e, p, requests)
	result, err := p.gather(e.name(), sent)
	c.observe(ctx, Event{
		Kind: CallEnd, Endpoint: e.name(), Users: users, Duration: time.Since(began), Result: *result,
	})
	return result, err
}

// merge makes one entry of all those of an account, so that no two requests under way can carry the same account and
// overtake each other.
func (p *plan) merge() {
	merged := p.entries[:0]
	for _, e := range p.entries {
		n, seen := p.index[e.account]
		if !seen {
			n = len(merged)
			p.index[e.account] = n
			merged = append(merged, e)
		} else {
			merged[n] = merged[n].with(e)
		}
		p.entryOf = append(p.entryOf, n)
	}
	p.entries = merged
}

// with returns the attributes of e with those of a later entry of the same account set over them.
func (e entry) with(later entry) entry {
	merged := slices.Clip(e.attrs) // its neighbour's memory follows
	for _, a := range later.attrs {
		same := slices.IndexFunc(e.attrs, func(b attr) bool { return b.name == a.name })
		if same >= 0 {
			merged[same].value = a.value
		} else {
			merged = append(merged, a)
		}
	}
	return entry{e.account, merged, e.plain && later.plain}
}

// split returns the numbers of the entries in requests of at most size.
func (p *plan) split(size int) [][]int {
	for n := range p.entries {
		p.numbers = append(p.numbers, n)
	}
	p.states = p.states[:len(p.entries)]
	requests := make([][]int, 0, (len(p.entries)+size-1)/size)
	for request := range slices.Chunk(p.numbers, size) {
		requests = append(requests, request)
	}
	return requests
}

// send sends the requests, as many at a time as the client may have under way, and returns when each of their entries
// has its outcome. It returns the number of HTTP requests that it took.
func (c *Client) send(ctx context.Context, e *endpoint, p *plan, requests [][]int) int {
	r := &call{client: c, endpoint: e, plan: p}
	r.waits, r.stop = context.WithCancelCause(ctx)
	defer r.stop(nil)
	if len(requests) == 1 {
		r.deliver(ctx, requests[0], tries{})
		return int(r.sent.Load())
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(len(requests), cap(c.slots)) {
		workers.Go(func() {
			for n := next.Add(1); n <= int64(len(requests)); n = next.Add(1) {
				r.deliver(ctx, requests[n-1], tries{})
			}
		})
	}
	workers.Wait()
	return int(r.sent.Load())
}

// gather counts the outcomes of the users and makes an error of those that are not Done.
func (p *plan) gather(endpoint string, requests int) (*Result, error) {
	result := &Result{Requests: requests}
	var failed []*UserError
	for i, n := range p.entryOf {
		s := &p.states[n]
		switch s.outcome {
		case Done:
			result.Done++
			continue
		case Rejected:
			result.Rejected++
		case Unknown:
			result.Unknown++
		case NotSent:
			result.NotSent++
		}
		failed = append(failed, &UserError{i, p.entries[n].account, s.outcome, s.err})
	}
	if failed == nil {
		return result, nil
	}
	return result, &PartialError{endpoint, *result, failed}
}

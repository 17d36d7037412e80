package timpush

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// endpoint is what differs between the commands of the API.
type endpoint struct {
	path         string // with a slash before it
	open, close  string // of the request's JSON; the entries stand between them
	accountsOnly bool   // users have no attributes
	onceOnly     bool   // the server may refuse what it has already done

	// write appends the JSON of a user, and a comma, to the plan's. It reports whether the user is within the limits.
	write func(p *plan, user *UserAttrs) bool

	// read takes from an answer what it says besides. nil: nothing. What the answer of such an endpoint holds is never
	// printed.
	read func(a *answer) error

	// keep keeps what an answer has for an entry, or returns what it lacks.
	keep func(p *plan, n int, a *answer) error
}

// name is the path as the documentation writes it.
func (e *endpoint) name() string { return e.path[1:] }

// plan is what a call has to do, and what is known of it. The JSON of all users lies in one piece, and so has no pointers:
// most of what a call touches is this. Plans are used again, for their memory.
type plan struct {
	endpoint *endpoint
	users    []UserAttrs
	json     []byte
	columns  []column // of the user that was written last
	entries  []entry
	entryOf  []int        // number of the entry of each user
	table    []int32      // hash table of the accounts: numbers of entries, from 1
	numbers  []int        // 0, 1, 2, ... up to the number of entries
	requests [][]int      // parts of numbers
	states   []state      // of the entries
	sent     atomic.Int64 // HTTP requests
	read     []Attrs      // what the server has of the entries, if the endpoint reads that
	names    []AttrName   // what it has of the app, if the endpoint reads that
}

// entry is one account and all that a call wants of it.
type entry struct {
	user     int // the first with this account
	from, to int // its JSON in the plan's, with a comma behind it
}

// state is what is known of one entry. While its request is under way only the goroutine that sends it uses it.
type state struct {
	outcome Outcome
	err     error
	settled bool // it is Done, or Rejected for what is the entry's own
}

var plans = sync.Pool{New: func() any { return new(plan) }}

func newPlan(e *endpoint, users []UserAttrs) *plan {
	p := plans.Get().(*plan)
	p.endpoint, p.users = e, users
	return p
}

// account returns the account of an entry.
func (p *plan) account(entry int) string { return p.users[p.entries[entry].user].ToAccount }

// free gives the memory back. That of a large call is not kept: it would stay for ever.
func (p *plan) free() {
	if len(p.json) > 1<<20 {
		return
	}
	clear(p.states)
	clear(p.columns)
	*p = plan{
		json: p.json[:0], columns: p.columns[:0], entries: p.entries[:0], entryOf: p.entryOf[:0], table: p.table[:0],
		numbers: p.numbers[:0], requests: p.requests[:0], states: p.states[:0],
	}
	plans.Put(p)
}

// run takes a plan with valid and merged users through the rest of its way.
func (r *call) run(ctx context.Context, p *plan) (*Result, error) {
	began, users, endpoint := time.Now(), len(p.entryOf), p.endpoint.name()
	ctx = r.client.observe(ctx, Event{Kind: CallStart, Endpoint: endpoint, Users: users})
	d := delivery{r, p, ctx}
	if r.lasts != nil {
		waits, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(r.lasts, cancel)()
		d.waits = waits
	}
	d.foresee()
	d.send(ctx, p.split(r.client.limits().users))
	result, err := p.gather()
	code, failure := firstFailure(err)
	r.client.observe(ctx, Event{
		Kind: CallEnd, Endpoint: endpoint, Users: users, Duration: time.Since(began), Result: *result, Code: code, Failure: failure,
	})
	return result, err
}

// merge makes one entry of all those of an account, so that no two requests under way can carry the same account and
// overtake each other. What cannot be said of an account in one request is a fault of the input.
func (p *plan) merge() (faults []error) {
	p.growTable(len(p.entries))
	merged := p.entries[:0]
	var repeated []int     // entries of accounts that come more than once
	var same map[int][]int // their users
	for user, e := range p.entries {
		n := p.find(p.users[user].ToAccount, merged)
		p.entryOf = append(p.entryOf, n)
		if n == len(merged) {
			merged = append(merged, e)
			continue
		}
		if same == nil {
			same = map[int][]int{}
		}
		if same[n] == nil {
			repeated = append(repeated, n)
			same[n] = []int{merged[n].user}
		}
		same[n] = append(same[n], user)
	}
	p.entries = merged
	for _, n := range repeated {
		p.entries[n].from = len(p.json)
		if err := p.writeMerged(same[n]); err != nil {
			faults = append(faults, err)
		}
		p.entries[n].to = len(p.json)
	}
	return faults
}

var hashSeed = maphash.MakeSeed()

// growTable makes room for n accounts, and as much again so that lookups stay short.
func (p *plan) growTable(n int) {
	size := 16
	for size < 2*n {
		size *= 2
	}
	p.table = slices.Grow(p.table[:0], size)[:size]
	clear(p.table)
}

// find returns the number of the entry of an account, or gives it the next number, len(entries). It is a map[string]int
// in a quarter of the time, since it neither holds the strings nor is made anew for each call.
func (p *plan) find(account string, entries []entry) int {
	last := len(p.table) - 1
	for at := int(maphash.String(hashSeed, account)) & last; ; at = (at + 1) & last {
		switch n := int(p.table[at]) - 1; {
		case n < 0:
			p.table[at] = int32(len(entries) + 1)
			return len(entries)
		case p.users[entries[n].user].ToAccount == account:
			return n
		}
	}
}

// begin makes room for what becomes of the entries.
func (p *plan) begin() {
	for n := range p.entries {
		p.numbers = append(p.numbers, n)
	}
	p.states = slices.Grow(p.states, len(p.entries))[:len(p.entries)]
	if p.endpoint.read != nil {
		p.read = make([]Attrs, len(p.entries))
	}
}

// split returns the numbers of the entries in requests of at most size, without those that have an outcome already.
func (p *plan) split(size int) [][]int {
	open := slices.DeleteFunc(p.numbers, func(n int) bool { return p.states[n].err != nil })
	for request := range slices.Chunk(open, size) {
		p.requests = append(p.requests, request)
	}
	return p.requests
}

// appendRequest appends the JSON of a request for the entries with the given numbers.
func (p *plan) appendRequest(dst []byte, numbers []int) []byte {
	dst = append(dst, p.endpoint.open...)
	for len(numbers) > 0 {
		from, to := p.entries[numbers[0]].from, p.entries[numbers[0]].to
		for numbers = numbers[1:]; len(numbers) > 0 && p.entries[numbers[0]].from == to; numbers = numbers[1:] {
			to = p.entries[numbers[0]].to // most entries stand one after the other
		}
		dst = append(dst, p.json[from:to]...)
	}
	return append(withoutComma(dst), p.endpoint.close...)
}

// send sends the requests, as many at a time as the client may have under way, and returns when each of their entries
// has its outcome.
func (d delivery) send(ctx context.Context, requests [][]int) {
	if len(requests) == 1 {
		d.deliver(ctx, requests[0], tries{})
		return
	}
	if d.lasts == nil {
		d.waits, d.cancel = context.WithCancel(ctx)
		defer d.cancel()
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(len(requests), cap(d.client.slots)) {
		workers.Go(func() {
			for n := next.Add(1); n <= int64(len(requests)); n = next.Add(1) {
				d.deliver(ctx, requests[n-1], tries{})
			}
		})
	}
	workers.Wait()
}

// gather counts the outcomes of the users and makes an error of those that are not Done.
func (p *plan) gather() (*Result, error) {
	result := &Result{Requests: int(p.sent.Load())}
	var failed []failure
	for i, n := range p.entryOf {
		s := &p.states[n]
		result.count(s.outcome)
		if s.outcome == Done {
			continue
		}
		failed = append(failed, failure{&UserError{i, p.users[i].ToAccount, s.outcome, s.err}, i, s.settled})
	}
	if failed == nil {
		return result, nil
	}
	return result, &PartialError{endpoint: p.endpoint.name(), result: *result, failed: failed}
}

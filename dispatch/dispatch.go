package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/internal/beforesend"
)

const (
	maxPending  = 50_000  // updates in memory: five seconds of the whole quota
	maxReplay   = 300_000 // the same, while what may have been sent is read again, about 200 MB: more than a crash leaves
	maxUnpassed = 20_000  // messages from the first that is not settled to the last that was read
	maxBatches  = 32      // in flight: what a Client has by default
	leastAhead  = 50      // messages that the horizon lies before what is read
	mostAhead   = 2000    // the same, when they come fast
	maxParked   = 400_000 // bytes of the record; a server takes messages of 1 MiB
	maxMarks    = 100     // of the record; about 25 while messages can be deleted
	parkAfter   = 3       // failures

	saveEvery    = 250 * time.Millisecond // while there is something to save: it bounds what is sent twice after a crash
	tick         = 20 * time.Millisecond  // how long an account waits for others to share its request, as in a Batcher
	auditEvery   = time.Second
	drainTime    = 2 * time.Second
	resumedEvery = 500 * time.Millisecond // how often a paused dispatcher looks whether Resume was called

	// In units of the first delay, which is a second.
	maxDelay   = 60 // of an account
	maxPause   = 5  // of all, after transient faults
	fatalPause = 5  // after codes that an operator has to correct, at first
	maxFatal   = 15 // and at most
)

// Run sends what is stored until ctx ends; then it waits at most 2 s for the requests in flight, sends no others, and returns nil. Any number
// of processes may run it: one is active, the others stand by, and one of them takes over at once when Run returns, and
// within twice the time of [WithLease] when the process of the active one is gone or cut off. Give each the same app's
// Client; they need no shared limiter for this, since only one of them sends. Run returns two errors: a Client of another app than
// the queue's, and a connection to NATS that is closed (see [Open]). A panic in a callback of the Client, such as a Signer, comes out of
// Run.
//
// What happens to an update, after all attempts of the Client:
//
//   - Done: it is gone.
//   - Rejected for its own data: it becomes a dead letter, see [Queue.DeadLetters]. Updates that were merged are sent
//     in smaller and smaller parts before, so that only those at fault are.
//   - Rejected with a transient code, Unknown or NotSent: it is sent again, after 1 s and then after longer and longer
//     delays, up to a minute, until it is older than [WithMaxAge]. Others go on.
//   - When nothing gets through, or a code says that an operator has to correct something (a wrong key, no administrator,
//     an app disabled), all sending pauses, and one request at a time tries whether it works again, at most 15 s apart or
//     when [Queue.Resume] is called. Everything is kept. After a Retry-After it waits as long as that says, at most a minute.
//
// Values of an account arrive in the order in which they were stored, also across replicas, crashes and retries, except
// for what the network holds back: a request that was cut off may be applied late. An update can be sent twice: after a
// crash those that were in flight or settled within the last quarter of a second, and those stored behind one that had failed
// up to three times. It is then merged with everything that the crashed dispatcher may have sent of the account, so that no
// value goes back to an earlier one, unless one of these updates is refused for its own data: then they are sent one after the
// other.
//
// Messages that are stored and cannot be read any more, since the disk or an operator has lost them, are counted in
// [Stats].Lost and logged as errors. The others are sent.
func (q *Queue) Run(ctx context.Context, c *timpush.Client) error {
	if app := c.SDKAppID(); app != q.app {
		return fmt.Errorf("dispatch: the queue is of app %d, and the Client of app %d", q.app, app)
	}
	owner := newOwner()
	defer q.idle.Store(nil)
	for {
		l, err := q.acquire(ctx, owner)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("dispatch: nothing can be sent any more: %w", err)
		}
		q.settings.logger.InfoContext(ctx, "dispatch: this process sends", "owner", owner)
		err = q.send(ctx, c, l)
		if ctx.Err() != nil {
			return nil // what is not settled stays in the stream
		}
		q.settings.logger.WarnContext(ctx, "dispatch: this process stops sending and stands by", "owner", owner, "error", err)
		if !sleep(ctx, l.length/10) {
			return nil
		}
	}
}

// dispatcher is a Run that has the lease. All of it belongs to one goroutine, except for the requests in flight.
type dispatcher struct {
	queue  *Queue
	client *timpush.Client
	*lease
	ctx    context.Context // of Run: no request leaves once it has ended
	sends  context.Context // of requests: ends when the lease is over
	revoke context.CancelFunc
	expiry *time.Timer
	failed chan error // of the reader

	log      []*message // not passed, in order
	readTo   uint64     // the last sequence in the log
	accounts map[string]*account
	ready    []*account
	delayed  []*account
	parked   map[*account]bool
	crowded  bool   // the record has no room for all of them
	pending  int    // updates of the accounts
	answers  uint64 // one more than the requests that were answered
	replay   uint64 // nothing is sent before this sequence has been read; 0: it has
	batches  int    // in flight
	results  chan []item
	panicked chan any // of a callback of the Client; nil: runtime.Goexit
	working  sync.WaitGroup
	purging  atomic.Bool
	auditor  auditor

	delay   time.Duration // after a first failure
	paused  time.Duration // 0: not
	probe   int           // accounts of a request that tries whether sending works again
	resumes time.Time     // when another request may try
	holds   time.Time     // until when the service has asked to wait
	resumed resumeWatch
	letters letterFault
	saved   time.Time // all of the record; a new horizon alone does not count
	changed bool      // there is something to save soon
	urgent  bool      // it is to be saved at once

	extended   time.Time // the horizon, by ahead
	ahead      uint64
	duplicates time.Duration // how long the stream remembers message ids
}

// send dispatches until ctx ends, the lease is lost or the stream is another one.
func (q *Queue) send(ctx context.Context, c *timpush.Client, l *lease) error {
	d := &dispatcher{
		queue: q, client: c, lease: l, delay: q.settings.delay, accounts: map[string]*account{}, parked: map[*account]bool{},
		results: make(chan []item, maxBatches), panicked: make(chan any, maxBatches), failed: make(chan error, 1), auditor: newAuditor(),
		probe: timpush.MaxUsersPerRequest, answers: 1,
		resumed: resumeWatch{results: make(chan uint64, 1)},
	}
	d.ctx = ctx
	d.sends, d.revoke = context.WithCancel(beforesend.With(context.WithoutCancel(ctx), d.mayLeave))
	defer d.working.Wait()
	defer d.revoke()
	d.expiry = time.AfterFunc(time.Until(l.until()), d.revoke)
	defer d.expiry.Stop()
	r, err := d.begin(d.sends)
	if err != nil {
		return err
	}
	feed := make(chan *message, 64)
	r.feed = feed
	d.working.Go(func() { d.failed <- r.read(d.sends) })
	err = d.loop(ctx, feed)
	if errors.Is(err, errLeaseLost) {
		return err
	}
	return errors.Join(err, d.end())
}

// mayLeave is asked immediately before each request leaves. Up to 32 may wait for the limiter when Run is to end: they stay stored.
func (d *dispatcher) mayLeave() error { return cmp.Or(d.ctx.Err(), d.checkLease()) }

// begin takes over where the record says, and returns a reader of what comes next.
//
// Up to its horizon the last dispatcher may have sent what lies there. Nothing is sent before all of that is read, so
// that the accounts have their latest values: to begin with the first would set them back to values of the past.
func (d *dispatcher) begin(ctx context.Context) (*reader, error) {
	info, err := d.checkStream(ctx)
	if err != nil {
		return nil, err
	}
	r := &d.record
	for _, p := range r.Later {
		d.addParked(p)
	}
	d.readTo, d.duplicates, d.resumed.seen = r.Floor, info.Config.Duplicates, d.queue.resumedAt(ctx)
	if end := min(r.Horizon, info.State.LastSeq); end > r.Floor {
		d.replay = end
	}
	r.Paused, r.Ahead = "", 0
	return &reader{queue: d.queue, created: r.Created, next: r.Floor + 1}, d.save(ctx)
}

func (d *dispatcher) loop(ctx context.Context, feed <-chan *message) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		open := feed
		if !d.replaying() && (d.pending >= maxPending || len(d.log) >= maxUnpassed) {
			open = nil
		}
		var err error
		select {
		case m := <-open:
			err = d.add(m)
			d.startFull()
		case batch := <-d.results:
			d.finish(batch)
			d.startFull()
		case <-ticker.C:
			err = d.tick()
		case a := <-d.auditor.results:
			d.audited(a)
		case value := <-d.panicked:
			passOn(value)
		case err = <-d.failed:
		case <-d.sends.Done():
			err = errLeaseLost
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// passOn ends the goroutine of Run as a callback of the Client has ended its own.
func passOn(panicked any) {
	if panicked == nil {
		runtime.Goexit()
	}
	panic(panicked)
}

func (d *dispatcher) tick() error {
	d.audit()
	d.checkResumed()
	d.forgetLetterFault()
	d.startAll()
	return d.saveIfDue()
}

// add takes a message into memory, or messages that are missing.
func (d *dispatcher) add(m *message) error {
	if m.seq > d.record.Horizon {
		if err := d.extend(m.seq); err != nil {
			return err
		}
	}
	if m.seq <= d.replay {
		d.record.Redelivered += uint64(m.total)
	}
	if m.seq >= d.replay {
		d.replay = 0
	}
	d.log, d.readTo = append(d.log, m), m.seq
	if m.lost > 0 {
		d.pass()
		return nil
	}
	d.record.Read = position{m.seq, m.at}
	for _, u := range m.updates {
		a := d.account(u.Account)
		d.pending -= a.withdraw(u.ID)
		a.updates = append(a.updates, u)
		d.enqueue(a)
	}
	d.pending += m.total
	m.updates = nil
	return nil
}

// extend moves the horizon: no farther than it has to, since what lies before it counts as sent again after a crash.
func (d *dispatcher) extend(seq uint64) error {
	if time.Since(d.extended) > 100*time.Millisecond {
		d.ahead = leastAhead
	}
	d.extended, d.ahead = time.Now(), min(2*d.ahead, mostAhead)
	d.record.Horizon = seq + d.ahead
	return d.save(d.sends)
}

func (d *dispatcher) account(name string) *account {
	a := d.accounts[name]
	if a == nil {
		a = &account{name: name}
		d.accounts[name] = a
	}
	return a
}

func (d *dispatcher) addParked(p parked) {
	if len(p.Updates) == 0 {
		return
	}
	a := d.account(p.Updates[0].Account)
	a.updates, a.recorded, a.tries = p.Updates, len(p.Updates), p.Tries
	d.parked[a] = true
	d.pending += len(p.Updates)
	d.enqueue(a)
}

// enqueue makes an account ready, unless it has nothing to send or has to wait.
func (d *dispatcher) enqueue(a *account) {
	if a.ready || a.taken > 0 || len(a.updates) == 0 || time.Now().Before(a.notUntil) {
		return
	}
	a.ready = true
	d.ready = append(d.ready, a)
}

// replaying reports whether more is to be read before anything is sent. After a crash that is little. A restored backup, or a stream whose record
// is lost, may hold more than the memory takes: then as much is read ahead as it may take, and an account can get an earlier value before a later one.
func (d *dispatcher) replaying() bool { return d.replay > 0 && d.pending < maxReplay }

// startFull sends full requests.
func (d *dispatcher) startFull() {
	for len(d.ready) >= timpush.MaxUsersPerRequest && d.maySend() {
		d.start()
	}
}

// startAll sends all that is ready, which includes accounts whose delay is over.
func (d *dispatcher) startAll() {
	d.delayed = slices.DeleteFunc(d.delayed, func(a *account) bool {
		due := !time.Now().Before(a.notUntil)
		if due {
			d.enqueue(a)
		}
		return due
	})
	for len(d.ready) > 0 && d.maySend() {
		d.start()
	}
}

// maySend reports whether another request may go. In a pause it is one at a time.
func (d *dispatcher) maySend() bool {
	if d.replaying() || d.batches >= maxBatches || !d.valid() {
		return false
	}
	return d.paused == 0 || d.batches == 0 && time.Now().After(d.resumes)
}

func (d *dispatcher) start() {
	n := min(len(d.ready), timpush.MaxUsersPerRequest)
	if d.paused > 0 { // those that have failed may be at fault themselves, and there may be thousands of them
		slices.SortStableFunc(d.ready, func(a, b *account) int { return a.failures - b.failures })
		n = min(n, d.probe)
		d.probe = n
	}
	suspect := d.ready[0].suspect() // others would fail with it
	if k := slices.IndexFunc(d.ready[:n], func(a *account) bool { return a.suspect() != suspect }); k > 0 {
		n = k
	}
	oldest := time.Now().Add(-d.queue.settings.maxAge)
	batch := make([]item, n)
	for k, a := range d.ready[:n] {
		a.ready = false
		batch[k] = a.take(oldest)
	}
	clear(d.ready[:n])
	d.ready = d.ready[n:]
	d.batches++
	wait := d.queue.settings.store
	if d.letters.text != "" { // the other accounts of each request would wait, too
		wait = requestTimeout
	}
	d.working.Go(func() {
		returned := false
		defer func() {
			if !returned { // the end of the goroutine would be that of the process, or leave the batch without a result
				d.panicked <- recover()
			}
		}()
		d.queue.deliver(d.sends, d.client, batch)
		d.queue.storeLetters(d.sends, batch, wait)
		returned = true
		d.results <- batch
	})
}

// finish applies the outcomes of a request.
func (d *dispatcher) finish(batch []item) {
	d.batches--
	asked, answered, first := false, false, false // first: an account had not failed before
	own := true                                   // others were answered since each account failed as a whole
	var failure error
	for _, i := range batch {
		if !i.asked { // it says nothing about the service
			continue
		}
		asked, answered, first = true, answered || i.answered, first || i.account.tries == 0
		own = own && i.account.othersSince(d.answers)
		if failure == nil {
			failure = i.err
		}
	}
	switch { // accounts that have failed before while others had not say nothing about the others
	case answered:
		d.answers++
		d.resume()
	case asked && (first || timpush.RetryAfter(failure) > 0 || needsOperator(failure) && !own):
		d.pause(failure)
	}
	for _, i := range batch {
		a := i.account
		counts := answered || !first || i.fatal != nil || a.othersSince(d.answers)
		a.failedAt = d.answers
		if answered {
			a.failedAt = 0
		}
		d.apply(i, counts)
	}
	d.noteLetters(batch)
	d.pass()
}

// apply applies the outcome of an account. Its tries count where the fault seems to be its own.
func (d *dispatcher) apply(i item, counts bool) {
	a := i.account
	if i.err == nil && i.fatal == nil {
		a.most = min(2*a.most, maxPending)
	}
	switch {
	case i.err == nil && a.recorded > 0:
		a.closing, d.urgent = true, true // its next value waits until the record no longer has this one
		return
	case i.err == nil:
		d.settle(a)
		return
	case errors.Is(i.err, errMerged):
		a.most = i.count / 2
	case counts:
		a.tries++
		delay := min(d.delay<<min(a.tries-1, 10), maxDelay*d.delay)
		a.notUntil = time.Now().Add(delay/2 + rand.N(delay))
		d.delayed = append(d.delayed, a)
	}
	if i.asked && !i.notSent {
		d.record.Redelivered += uint64(i.count)
	}
	a.taken = 0
	a.failures++
	d.enqueue(a)
}

// settle ends the updates of an account that were taken.
func (d *dispatcher) settle(a *account) {
	for _, u := range a.updates[:a.taken] {
		if u.message != nil {
			u.message.open--
		}
	}
	a.recorded = max(a.recorded-a.taken, 0)
	d.changed = true
	d.pending -= a.taken
	a.updates = a.updates[a.taken:]
	a.taken, a.failures, a.tries, a.failedAt, a.notUntil, a.closing = 0, 0, 0, 0, time.Time{}, false
	if len(a.updates) == 0 {
		delete(d.accounts, a.name)
		return
	}
	d.enqueue(a)
}

// pass moves the floor.
func (d *dispatcher) pass() {
	for len(d.log) > 0 && d.log[0].open == 0 {
		if m := d.log[0]; m.lost > 0 {
			d.lost(m.seq-m.lost+1, m.seq, "they cannot be read")
		}
		d.record.Floor = d.log[0].seq
		d.record.Passed += uint64(d.log[0].total)
		d.log[0] = nil
		d.log = d.log[1:]
		d.changed = true
	}
}

// resume ends a pause after an answer, but not one that the service has asked for: the request may have left before it.
func (d *dispatcher) resume() {
	if d.paused > 0 && !time.Now().Before(d.holds) {
		d.queue.settings.logger.InfoContext(d.sends, "dispatch: sending resumes")
		d.paused, d.resumes, d.record.Paused, d.changed, d.urgent = 0, time.Time{}, d.letters.text, true, true
		d.probe = min(2*d.probe, timpush.MaxUsersPerRequest)
	}
}

// pause stops sending for a while, longer each time. The request that tries again is smaller each time: one account may make all requests fail
// that it is in. After a single account it is full again: thousands that fail alone would take hours one by one, before others that have failed
// more often.
func (d *dispatcher) pause(err error) {
	if time.Now().Before(d.resumes) || d.ctx.Err() != nil || d.sends.Err() != nil {
		return // a request that was in flight when the pause began, or that was held back or cut off here
	}
	if d.paused > 0 {
		d.probe = cmp.Or(d.probe/2, timpush.MaxUsersPerRequest)
	}
	least, most := 1, maxPause
	if needsOperator(err) {
		least, most = fatalPause, maxFatal
	}
	d.paused = min(max(2*d.paused, time.Duration(least)*d.delay), time.Duration(most)*d.delay)
	asked := min(timpush.RetryAfter(err), maxDelay*d.delay)
	wait := max(d.paused, asked)
	d.holds, d.resumes = time.Now().Add(asked), time.Now().Add(wait)
	d.record.Paused, d.changed = reason(err), true
	d.queue.settings.logger.WarnContext(d.sends, "dispatch: sending pauses", "for", wait, "cause", d.record.Paused)
}

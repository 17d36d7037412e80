package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	timpush "github.com/timpush/timpush-go"
)

const (
	maxPending  = 50_000  // updates in memory: five seconds of the whole quota
	maxUnpassed = 20_000  // messages from the first that is not settled to the last that was read
	maxBatches  = 32      // under way: what a Client has by default
	leastAhead  = 50      // messages that the horizon lies before what is read
	mostAhead   = 2000    // the same, when they come fast
	maxParked   = 400_000 // bytes of the record; a server takes messages of 1 MiB
	parkAfter   = 3       // failures

	saveEvery = 250 * time.Millisecond // while there is something to save: it bounds what is sent twice after a crash
	tick      = 20 * time.Millisecond  // how long an account waits for others to share its request, as in a Batcher
	drainTime = 2 * time.Second

	// In units of the first delay, which is a second.
	maxDelay   = 60 // of an account
	maxPause   = 5  // of all, after faults that pass
	fatalPause = 5  // after codes that an operator has to mend, at first
	maxFatal   = 60 // and in the end
)

// Run sends what is stored, until ctx ends; then it waits 2 s at most for what is under way and returns nil. Any number
// of processes may run it: one is active, the others stand by, and one of them takes over at once when Run returns, and
// within twice the time of [WithLease] when the process of the active one is gone or cut off. Give each the same app's
// Client; they need no shared limiter for this, since only one of them sends.
//
// What becomes of an update, after all attempts of the Client:
//
//   - Done: it is gone.
//   - Rejected for its own data: it becomes a dead letter, see [Queue.DeadLetters]. Updates that were merged are sent
//     one by one before, so that only those at fault are.
//   - Rejected with a passing code, Unknown or NotSent: it is sent again, after 1 s and then ever later, up to a minute,
//     until it is older than [WithMaxAge]. Others go on.
//   - When nothing gets through, or a code is the operator's to mend (a wrong key, no administrator, an app disabled),
//     all sending pauses, and one request at a time tries whether it works again. Everything is kept.
//
// Values of an account arrive in the order in which they were stored, also across replicas, crashes and repetitions, but
// for what the network holds back: a request that was cut off may be applied late. An update can be sent twice: after a
// crash those that were under way or settled within the last quarter of a second. It is then merged with all that
// the crashed dispatcher may have sent of the account, so that no value goes back to an earlier one.
func (q *Queue) Run(ctx context.Context, c *timpush.Client) error {
	owner := newOwner()
	for {
		l, err := q.acquire(ctx, owner)
		if err != nil {
			return nil //nolint:nilerr // ctx has ended, as it should
		}
		q.settings.logger.InfoContext(ctx, "dispatch: this process sends", "owner", owner)
		err = q.send(ctx, c, l)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // what is not settled stays in the stream
		}
		q.settings.logger.WarnContext(ctx, "dispatch: this process stops sending, and stands by", "owner", owner, "error", err)
		if !sleep(ctx, l.length/10) {
			return nil
		}
	}
}

// dispatcher is a Run that has the lease. All of it belongs to one goroutine, but for the requests under way.
type dispatcher struct {
	queue  *Queue
	client *timpush.Client
	*lease
	sends  context.Context // of requests: ends when the lease is over
	revoke context.CancelFunc
	lapse  *time.Timer

	log      []*message // not passed, in order
	accounts map[string]*account
	ready    []*account
	delayed  []*account
	parked   map[*account]bool
	pending  int    // updates of the accounts
	replay   uint64 // nothing is sent before this sequence has been read; 0: it has
	batches  int    // under way
	results  chan []item
	working  sync.WaitGroup
	purging  atomic.Bool

	delay   time.Duration // after a first failure
	paused  time.Duration // 0: not
	resumes time.Time     // when another request may try
	saved   time.Time     // all of the record; a new horizon alone does not count
	changed bool          // there is something to save soon
	urgent  bool          // an account waits for it

	extended time.Time // the horizon, by ahead
	ahead    uint64
}

// send dispatches until ctx ends or the lease is lost.
func (q *Queue) send(ctx context.Context, c *timpush.Client, l *lease) error {
	d := &dispatcher{
		queue: q, client: c, lease: l, delay: q.settings.delay, accounts: map[string]*account{}, parked: map[*account]bool{},
		results: make(chan []item, maxBatches),
	}
	d.sends, d.revoke = context.WithCancel(context.WithoutCancel(ctx))
	defer d.working.Wait()
	defer d.revoke()
	d.lapse = time.AfterFunc(time.Until(l.until()), d.revoke)
	defer d.lapse.Stop()
	from, err := d.begin(d.sends)
	if err != nil {
		return err
	}
	feed := make(chan *message, 64)
	d.working.Go(func() { q.read(d.sends, from, feed) })
	err = d.loop(ctx, feed)
	if errors.Is(err, errLost) {
		return err
	}
	return errors.Join(err, d.end())
}

// begin takes over where the record says, and returns where to read on.
//
// Up to its horizon the last dispatcher may have sent what lies there. Nothing is sent before all of that is read, so
// that the accounts have their latest values: to begin with the first would set them back to values of the past.
func (d *dispatcher) begin(ctx context.Context) (from uint64, err error) {
	info, err := d.queue.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	r := &d.record
	if !r.Created.Equal(info.Created) { // the stream was made anew, and its sequences begin at 1
		*r = record{Owner: r.Owner, Created: info.Created, Redelivered: r.Redelivered, Later: r.Later}
	}
	for _, p := range r.Later {
		d.addParked(p)
	}
	from = max(r.Floor+1, info.State.FirstSeq)
	if r.Horizon >= from && info.State.LastSeq >= from {
		d.replay = min(r.Horizon, info.State.LastSeq)
	}
	r.Paused = ""
	return from, d.save(ctx)
}

func (d *dispatcher) loop(ctx context.Context, feed <-chan *message) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		open := feed
		if d.replay == 0 && (d.pending >= maxPending || len(d.log) >= maxUnpassed) {
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
			d.startAll()
			err = d.saveIfDue()
		case <-d.sends.Done():
			err = errLost
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// add takes a message into memory.
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
	d.log = append(d.log, m)
	for _, u := range m.updates {
		a := d.account(u.Account)
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
	a.updates, a.recorded, a.tries, a.tried = p.Updates, len(p.Updates), p.Tries, true
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

// startFull sends full requests.
func (d *dispatcher) startFull() {
	for len(d.ready) >= timpush.MaxUsersPerRequest && d.maySend() {
		d.start()
	}
}

// startAll sends all that is ready, and finds out what has become so.
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

// maySend tells whether another request may go. In a pause it is one at a time.
func (d *dispatcher) maySend() bool {
	if d.replay > 0 || d.batches >= maxBatches || !d.valid() {
		return false
	}
	return d.paused == 0 || d.batches == 0 && time.Now().After(d.resumes)
}

func (d *dispatcher) start() {
	oldest := time.Now().Add(-d.queue.settings.maxAge)
	n := min(len(d.ready), timpush.MaxUsersPerRequest)
	batch := make([]item, n)
	for k, a := range d.ready[:n] {
		a.ready = false
		batch[k] = a.take(oldest)
	}
	clear(d.ready[:n])
	d.ready = d.ready[n:]
	d.batches++
	d.working.Go(func() {
		d.queue.deliver(d.sends, d.client, batch)
		d.results <- batch
	})
}

// finish does what the outcomes of a request ask for.
func (d *dispatcher) finish(batch []item) {
	d.batches--
	asked, answered, fresh := false, false, false
	var failure error
	for _, i := range batch {
		asked, answered, fresh = asked || i.asked, answered || i.answered, fresh || i.account.tries == 0
		if failure == nil {
			failure = i.err
		}
	}
	switch { // accounts that have failed before, while others had not, say nothing of the others
	case answered:
		d.resume()
	case asked && (fresh || operators(failure)):
		d.pause(failure)
	}
	for _, i := range batch {
		d.conclude(i, answered || !fresh || i.fatal != nil)
	}
	d.pass()
}

// conclude does it for an account. Its tries count where the fault seems to be its own.
func (d *dispatcher) conclude(i item, counts bool) {
	a := i.account
	switch {
	case i.err == nil && a.recorded > 0:
		a.closing, d.urgent = true, true // its next value has to wait until the record does not have this one any more
		return
	case i.err == nil:
		d.settle(a)
		return
	case errors.Is(i.err, errTogether):
		a.alone = i.count
	case counts:
		a.tries++
		delay := min(d.delay<<min(a.tries-1, 10), maxDelay*d.delay)
		a.notUntil = time.Now().Add(delay/2 + rand.N(delay))
		d.delayed = append(d.delayed, a)
	}
	if i.asked && !i.notSent {
		a.tried = true
		d.record.Redelivered += uint64(i.count)
	}
	a.taken = 0
	d.enqueue(a)
}

// settle ends the updates of an account that were taken.
func (d *dispatcher) settle(a *account) {
	for _, u := range a.updates[:a.taken] {
		if u.message != nil {
			u.message.open--
		}
	}
	a.alone, a.recorded = max(a.alone-a.taken, 0), max(a.recorded-a.taken, 0)
	d.pending -= a.taken
	a.updates = a.updates[a.taken:]
	a.taken, a.tries, a.tried, a.notUntil, a.closing = 0, 0, false, time.Time{}, false
	if len(a.updates) == 0 {
		delete(d.accounts, a.name)
		return
	}
	d.enqueue(a)
}

// pass moves the floor.
func (d *dispatcher) pass() {
	for len(d.log) > 0 && d.log[0].open == 0 {
		d.record.Floor = d.log[0].seq
		d.record.Passed += uint64(d.log[0].total)
		d.log[0] = nil
		d.log = d.log[1:]
		d.changed = true
	}
}

func (d *dispatcher) resume() {
	if d.paused > 0 {
		d.queue.settings.logger.InfoContext(d.sends, "dispatch: sending goes on")
		d.paused, d.record.Paused, d.changed = 0, "", true
	}
}

// pause stops sending for a while, longer each time.
func (d *dispatcher) pause(err error) {
	if time.Now().Before(d.resumes) {
		return // a request that was under way when the pause began
	}
	least, most := 1, maxPause
	if operators(err) {
		least, most = fatalPause, maxFatal
	}
	d.paused = min(max(2*d.paused, time.Duration(least)*d.delay), time.Duration(most)*d.delay)
	d.resumes = time.Now().Add(d.paused)
	d.record.Paused, d.changed = reason(err), true
	d.queue.settings.logger.WarnContext(d.sends, "dispatch: sending pauses", "for", d.paused, "cause", d.record.Paused)
}

// saveIfDue keeps the lease and what the next dispatcher has to know.
func (d *dispatcher) saveIfDue() error {
	age := time.Since(d.saved)
	if !d.urgent && age < d.length/4 && (!d.changed || age < saveEvery) {
		return nil
	}
	recorded := d.park()
	done := d.mark()
	if err := d.save(d.sends); err != nil {
		return err
	}
	d.saved, d.changed, d.urgent = time.Now(), false, false
	d.release(recorded)
	d.purge(done)
	return nil
}

// save renews the lease with the record.
func (d *dispatcher) save(ctx context.Context) error {
	if err := d.lease.save(ctx); err != nil {
		return err
	}
	if !d.lapse.Reset(time.Until(d.lease.until())) {
		return errLost
	}
	return nil
}

// park puts into the record the accounts that fail while others do not, so that they do not hold the floor. It returns
// how many updates of each account are in the record now. While there is no room, they go on to hold it.
func (d *dispatcher) park() map[*account]int {
	for _, a := range d.accounts {
		if a.tries >= parkAfter && d.paused == 0 {
			d.parked[a] = true
		}
	}
	room := maxParked
	recorded := make(map[*account]int, len(d.parked))
	for a := range d.parked {
		for _, u := range a.rest()[:a.recordedRest()] {
			room -= u.size()
		}
	}
	d.record.Later = d.record.Later[:0:0]
	for a := range d.parked {
		n, rest := a.recordedRest(), a.rest()
		for ; n < len(rest) && rest[n].size() <= room; n++ {
			room -= rest[n].size()
		}
		recorded[a] = n
		if n > 0 {
			d.record.Later = append(d.record.Later, parked{a.tries, slices.Clone(rest[:n])})
		}
	}
	return recorded
}

// release lets go of the messages whose updates are in the record, and ends the accounts that are no longer in it.
func (d *dispatcher) release(recorded map[*account]int) {
	for a, n := range recorded {
		for k := range a.rest()[:n] {
			if u := &a.rest()[k]; u.message != nil {
				u.message.open--
				u.message = nil
			}
		}
		a.recorded = n
		if a.closing {
			a.recorded += a.taken // settle takes them off
			d.settle(a)
		}
		if a.recorded == 0 {
			delete(d.parked, a)
		}
	}
	d.pass()
}

// mark notes the floor, and returns the latest one that all message ids up to it are no longer to be remembered.
func (d *dispatcher) mark() (done mark) {
	r, now, window := &d.record, time.Now(), d.queue.settings.duplicate
	last := mark{Seq: 0}
	if len(r.Marks) > 0 {
		last = r.Marks[len(r.Marks)-1]
	}
	if r.Floor > last.Seq && now.Sub(last.At) >= window/24 {
		r.Marks = append(r.Marks, mark{r.Floor, r.Passed, now})
	}
	for len(r.Marks) > 0 && now.Sub(r.Marks[0].At) > window {
		done, r.Marks = r.Marks[0], r.Marks[1:]
		r.Purged = done.Passed
	}
	return done
}

// purge deletes the messages up to a mark. If it fails, another one will delete them.
func (d *dispatcher) purge(to mark) {
	if to.Seq == 0 || d.purging.Swap(true) {
		return
	}
	d.working.Go(func() {
		defer d.purging.Store(false)
		if err := d.queue.stream.Purge(d.sends, jetstream.WithPurgeSequence(to.Seq+1)); err != nil && d.sends.Err() == nil {
			d.queue.settings.logger.WarnContext(d.sends, "dispatch: messages that are done cannot be deleted", "error", err)
		}
	})
}

// end waits for what is under way and gives the lease away.
func (d *dispatcher) end() error {
	patience := time.AfterFunc(drainTime, d.revoke)
	defer patience.Stop()
	for d.batches > 0 {
		d.finish(<-d.results)
	}
	recorded := d.park()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.sends), d.length)
	defer cancel()
	if err := d.lease.save(ctx); err != nil {
		return err
	}
	d.release(recorded)
	if !d.tried() {
		d.record.Horizon = d.record.Floor
	}
	return d.lease.release(ctx)
}

// tried tells whether something may have been sent that is not settled.
func (d *dispatcher) tried() bool {
	for _, a := range d.accounts {
		if a.tried {
			return true
		}
	}
	return false
}

package dispatch

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

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
	d.forget(recorded)
	d.purge(done)
	return nil
}

// save renews the lease with the record.
func (d *dispatcher) save(ctx context.Context) error {
	if err := d.lease.save(ctx); err != nil {
		return err
	}
	if d.silent == badBucket {
		d.queue.logBadBucket(ctx, "sending is slow: the bucket of the record stores what is written and does not answer")
	}
	if !d.expiry.Reset(time.Until(d.lease.until())) {
		return errLeaseLost
	}
	return nil
}

// park puts into the record the accounts that fail while others do not, so that they do not hold the floor. It returns
// how many updates of each account are in the record now. While there is no room, they hold it, except those that later ones replace:
// a single account that is updated often would fill the record, and then stop all sending.
func (d *dispatcher) park() map[*account]int {
	for _, a := range d.accounts {
		if a.tries >= parkAfter && d.paused == 0 {
			d.parked[a] = true
		}
	}
	if d.crowded && d.replay == 0 { // while messages are read again, the updates of an account are not in their order
		for a := range d.parked {
			d.pending -= a.dropReplaced()
		}
	}
	room := maxParked
	recorded := make(map[*account]int, len(d.parked))
	for a := range d.parked {
		for _, u := range a.rest()[:a.recordedRest()] {
			room -= u.size()
		}
	}
	d.record.Later, d.record.Ahead = d.record.Later[:0:0], 0
	for _, m := range d.log {
		d.record.Ahead += uint64(m.total - m.open)
	}
	for a := range d.parked {
		n, rest := a.recordedRest(), a.rest()
		for ; n < len(rest) && room > 0; n++ {
			if room -= rest[n].size(); room < 0 {
				break // also of the accounts that follow: each would be encoded only to find that there is no room
			}
		}
		recorded[a] = n
		d.record.Ahead += uint64(n - a.recordedRest()) // forget takes them off their messages
		if n > 0 {
			d.record.Later = append(d.record.Later, parked{a.tries, slices.Clone(rest[:n])})
		}
	}
	d.crowded = room <= 0
	return recorded
}

// forget drops the messages whose updates are in the record now, and the accounts that are no longer in it.
func (d *dispatcher) forget(recorded map[*account]int) {
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

// mark adds the floor to the marks, and takes off and returns the latest one that is older than the duplicate window. While the disk is too
// full to delete messages, it takes off none.
func (d *dispatcher) mark() (done mark) {
	r, now, window := &d.record, time.Now(), d.duplicates
	for k := range r.Marks {
		if m := &r.Marks[k]; m.At.After(now) { // of a host whose clock is ahead: nothing would be deleted until then
			m.At = now
		}
	}
	last := mark{Seq: 0}
	if len(r.Marks) > 0 {
		last = r.Marks[len(r.Marks)-1]
	}
	if r.Floor > last.Seq && now.Sub(last.At) >= window/24 && len(r.Marks) < maxMarks {
		r.Marks = append(r.Marks, mark{r.Floor, r.Passed, now})
	}
	for len(r.Marks) > 0 && now.Sub(r.Marks[0].At) > window && d.queue.disk.mayDelete() {
		done, r.Marks = r.Marks[0], r.Marks[1:]
		r.Purged = done.Passed
	}
	return done
}

// purge deletes the messages up to a mark, unless the stream was made again or has lost its end, and has new messages with the same
// sequences. If it fails, a later one deletes them.
func (d *dispatcher) purge(to mark) {
	if to.Seq == 0 || d.purging.Swap(true) {
		return
	}
	created, read := d.record.Created, d.record.Read
	d.working.Go(func() {
		defer d.purging.Store(false)
		info, err := d.queue.info(d.sends, d.queue.stream)
		same := err == nil && info.Created.Equal(created) && info.State.LastSeq >= read.Seq
		if same {
			same, err = d.queue.holds(d.sends, info, read)
		}
		if same {
			err = d.queue.stream.Purge(d.sends, jetstream.WithPurgeSequence(to.Seq+1))
		}
		if err != nil && d.sends.Err() == nil {
			d.queue.settings.logger.WarnContext(d.sends, "dispatch: settled messages cannot be deleted", "error", err)
		}
	})
}

// end waits for the requests in flight and releases the lease.
func (d *dispatcher) end() error {
	timeout := time.AfterFunc(drainTime, d.revoke)
	defer timeout.Stop()
	for d.batches > 0 {
		select {
		case batch := <-d.results:
			d.finish(batch)
		case value := <-d.panicked:
			passOn(value)
		}
	}
	recorded := d.park()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.sends), d.length)
	defer cancel()
	if err := d.lease.save(ctx); err != nil {
		return err
	}
	d.forget(recorded)
	if d.replay == 0 { // what the last dispatcher had sent has been read
		d.record.Horizon = d.readTo
	}
	return d.lease.release(ctx)
}

package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const resumeKey = "resume"

// auditor looks at the stream every second while a dispatcher runs.
type auditor struct {
	results chan *jetstream.StreamInfo
	running bool
	last    time.Time
	skew    int64 // of the record's count of updates, when it was last looked at
}

func newAuditor() auditor { return auditor{results: make(chan *jetstream.StreamInfo, 1)} }

// audit asks for the state of the stream.
func (d *dispatcher) audit() {
	if d.auditor.running || time.Since(d.auditor.last) < auditEvery {
		return
	}
	d.auditor.running, d.auditor.last = true, time.Now()
	d.working.Go(func() {
		info, err := d.queue.info(d.sends, d.queue.stream, jetstream.WithSubjectFilter(">"))
		if err != nil {
			info = nil
		}
		d.auditor.results <- info
	})
}

// audited corrects the count of updates that are settled and not deleted, which Stats subtracts from what is stored. Damage makes
// it wrong, since nothing tells how many updates a message had that is gone. The correction has to be the same twice,
// since messages are stored and deleted meanwhile.
func (d *dispatcher) audited(info *jetstream.StreamInfo) {
	d.auditor.running = false
	if info == nil || info.State.LastSeq != d.readTo {
		return
	}
	settled := int64(stored(info.State.Subjects))
	for _, m := range d.log {
		settled -= int64(m.total)
	}
	skew := settled - int64(d.record.Passed-d.record.Purged)
	if skew != 0 && skew == d.auditor.skew && settled >= 0 {
		d.record.Passed, d.changed, skew = d.record.Purged+uint64(settled), true, 0
	}
	d.auditor.skew = skew
}

// resumeWatch looks whether [Queue.Resume] was called.
type resumeWatch struct {
	looked  time.Time
	running bool
	results chan uint64
	seen    uint64 // the last revision of the key
}

// checkResumed ends the wait of a pause if an operator says so.
func (d *dispatcher) checkResumed() {
	w := &d.resumed
	select {
	case revision := <-w.results:
		if revision > w.seen {
			w.seen, d.holds, d.resumes = revision, time.Time{}, time.Time{}
		}
		w.running = false
	default:
	}
	if d.paused == 0 || w.running || time.Since(w.looked) < resumedEvery {
		return
	}
	w.running, w.looked = true, time.Now()
	d.working.Go(func() { w.results <- d.queue.resumedAt(d.sends) })
}

// resumedAt returns a number that grows when Resume is called, or 0 if it is not known.
func (q *Queue) resumedAt(ctx context.Context) uint64 {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	entry, err := q.state.Get(ctx, resumeKey)
	if err != nil {
		return 0
	}
	return entry.Revision()
}

// Resume lets the active dispatcher try again within a second when it pauses, whichever process it is in. Call it once the cause
// of the pause is corrected; otherwise it takes up to 15 s until the next try.
func (q *Queue) Resume(ctx context.Context) error {
	_, err := q.state.PutString(ctx, resumeKey, time.Now().UTC().Format(time.RFC3339))
	if err != nil {
		return fmt.Errorf("dispatch: %w", err)
	}
	return nil
}

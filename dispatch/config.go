package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	consumerLife  = time.Minute       // of a consumer that is no longer used
	maxConsumers  = 10                // that are left over within consumerLife, when dispatchers change often
	maxStoredSize = 512 << 10         // bytes that a message can have
	leastBucket   = 8 * maxStoredSize // bytes of the bucket with the record
	checkEvery    = time.Second       // of the configuration, by Stats and while it is wrong
	checkGood     = 5 * checkEvery    // of the configuration while it is right and updates are stored: many processes may store
)

// role is what a stream is for: it says what its configuration has to be.
type role struct {
	subject string
	bucket  bool // the record, of which a stream keeps the last value only
	updates bool // read with consumers and purged
	deletes bool // messages are deleted one by one
}

// setting is a part of a stream's configuration that could lose or refuse updates.
type setting struct {
	wrong bool
	text  string // what it is, and what it should be
	edit  string // the option of `nats stream edit` that corrects it; "": it cannot be edited
}

// faults returns what is wrong with the configuration of a stream, and how to correct it.
func (r role) faults(c *jetstream.StreamConfig) error {
	var faults []error
	for _, s := range slices.Concat(r.losing(c), r.refusing(c)) {
		if !s.wrong {
			continue
		}
		how := "nats stream edit " + c.Name + " " + s.edit
		if s.edit == "" {
			how = "it cannot be edited: once nothing is left in it that is needed, delete the stream, and Open makes it again"
		}
		faults = append(faults, fmt.Errorf("stream %s: %s (%s)", c.Name, s.text, how))
	}
	return errors.Join(faults...)
}

// losing returns the settings with which a stream drops what it has acknowledged, or does not store it durably.
func (r role) losing(c *jetstream.StreamConfig) []setting {
	return []setting{
		{c.Retention != jetstream.LimitsPolicy, fmt.Sprintf("the retention is %v, want limits", c.Retention), ""},
		{c.Storage != jetstream.FileStorage, fmt.Sprintf("the storage is %v, want file", c.Storage), ""},
		{c.Discard != jetstream.DiscardNew && (!r.bucket || c.MaxBytes > 0), "it discards old messages, want new", "--discard=new"},
		{c.MaxAge != 0, fmt.Sprintf("the maximum age is %v, want none", c.MaxAge), "--max-age=-1"},
		{c.MaxMsgsPerSubject > 0 && !r.bucket, fmt.Sprintf("it keeps %d messages of a subject, want no limit", c.MaxMsgsPerSubject), "--max-msgs-per-subject=-1"},
		{c.NoAck, "it acknowledges nothing", "--ack"},
		{c.PersistMode != jetstream.DefaultPersistMode, "it acknowledges before a message is stored (persist mode async)", ""},
		{c.SubjectTransform != nil, "it changes subjects", "--no-transform"},
		{c.SubjectDeleteMarkerTTL != 0 && !r.bucket, "it stores markers for what has expired", ""},
	}
}

// refusing returns the settings with which a stream does not take updates, or does not let them be read or deleted.
func (r role) refusing(c *jetstream.StreamConfig) []setting {
	subjects := fmt.Sprintf("the subjects are %q, want %q", c.Subjects, r.subject)
	return []setting{
		{c.Mirror != nil, "it is a mirror", ""},
		{len(c.Sources) > 0, "it has sources", ""},
		{c.Sealed, "it is sealed", ""},
		{c.Mirror == nil && !slices.Equal(c.Subjects, []string{r.subject}), subjects, "--subjects='" + r.subject + "'"},
		{c.MaxMsgs > 0, fmt.Sprintf("it holds %d messages at most, want no limit", c.MaxMsgs), "--max-msgs=-1"},
		{c.MaxMsgSize > 0 && c.MaxMsgSize < maxStoredSize, fmt.Sprintf("a message has %d bytes at most, want no limit", c.MaxMsgSize), "--max-msg-size=-1"},
		{r.bucket && c.MaxBytes > 0 && c.MaxBytes < leastBucket, fmt.Sprintf("it holds %d bytes at most, want no limit", c.MaxBytes), "--max-bytes=-1"},
		{r.bucket && (c.MaxMsgsPerSubject < 1 || c.MaxBytes > 0 && c.MaxBytes < c.MaxMsgsPerSubject*maxStoredSize),
			fmt.Sprintf("it keeps %d values of a key, which fill it, want 1", c.MaxMsgsPerSubject), "--max-msgs-per-subject=1"},
		{c.AllowMsgCounter, "it counts instead of storing messages", ""},
		{r.updates && c.MaxConsumers > 0 && c.MaxConsumers < maxConsumers, fmt.Sprintf("it has %d consumers at most, want no limit", c.MaxConsumers), ""},
		{r.updates && c.ConsumerLimits.InactiveThreshold > 0 && c.ConsumerLimits.InactiveThreshold < consumerLife,
			fmt.Sprintf("consumers that are not used live for %v at most, want no limit", c.ConsumerLimits.InactiveThreshold), ""},
		{r.updates && c.DenyPurge, "messages cannot be purged", ""},
		{r.deletes && c.DenyDelete, "messages cannot be deleted", ""},
	}
}

// asset is a stream of the queue with its role.
type asset struct {
	jetstream.Stream
	role
}

// configFault returns what is wrong with the streams now, or nil. Those that cannot be asked are left out.
func (q *Queue) configFault(ctx context.Context) error {
	faults := []error{q.acknowledged.removed()}
	for _, a := range q.assets {
		info, err := q.info(ctx, a)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			faults = append(faults, fmt.Errorf("stream %s does not exist any more: %s", a.CachedInfo().Config.Name, a.afterwards()))
		}
		if err == nil {
			faults = append(faults, a.faults(&info.Config))
		}
	}
	return errors.Join(faults...)
}

// afterwards says what to do about a stream that was deleted.
func (r role) afterwards() string {
	if r.bucket {
		return "nothing can be sent; restart a program that calls Open, which makes it again"
	}
	return "restart a program that calls Open, which makes it again"
}

// lastFault returns what was wrong with the streams when they were last looked at, and looks again if that is some time ago. It
// does not wait for that: while a leader is elected, it would take as long as storing an update.
func (q *Queue) lastFault() error {
	q.config.Lock()
	defer q.config.Unlock()
	every := checkEvery
	if q.config.fault == nil {
		every = checkGood
	}
	if time.Since(q.config.checked) >= every && !q.config.checking {
		q.config.checking = true
		q.work.Go(func() { _ = q.checkConfig(context.Background()) })
	}
	return q.config.fault
}

// checkConfig looks what is wrong with the streams, unless it did within the last second, and returns it. A queue that would lose
// updates must not take any.
func (q *Queue) checkConfig(ctx context.Context) error {
	q.looking.Lock()
	defer q.looking.Unlock()
	q.config.Lock()
	checked, fault := q.config.checked, q.config.fault
	q.config.Unlock()
	if time.Since(checked) >= checkEvery {
		fault, checked = q.lookAtConfig(ctx, fault), time.Now()
	}
	q.config.Lock()
	defer q.config.Unlock()
	q.config.checked, q.config.fault, q.config.checking = checked, fault, false
	return fault
}

// lookAtConfig returns what is wrong with the streams now, or what was wrong before if they cannot be asked.
func (q *Queue) lookAtConfig(ctx context.Context, before error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	fault := q.configFault(ctx)
	if ctx.Err() != nil {
		return before
	}
	if fault != nil && (before == nil || fault.Error() != before.Error()) {
		q.settings.logger.ErrorContext(ctx, "dispatch: a stream is not as it has to be: no updates are taken", "error", fault)
	}
	return fault
}

// oneLine joins the lines of an error's text.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

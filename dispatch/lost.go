package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	maxMissing      = 20 // spans in the record
	acknowledgedKey = "lost-acknowledged"
	catchUpTime     = 5 * time.Second // of a new leader, until it has all that is stored
)

// lose counts messages that are missing: all of a span, which may be empty.
func (r *record) lose(from, to uint64) bool {
	if from > to {
		return false
	}
	r.miss(from, to, to-from+1)
	return true
}

// loseLetters counts dead letters that are missing. They have sequences of their own, which nothing tells.
func (r *record) loseLetters(n uint64) { r.miss(0, 0, n) }

func (r *record) miss(from, to, n uint64) {
	r.Lost += n
	r.Missing = append(r.Missing, span{from, to, r.Lost})
	r.Missing = slices.Clone(r.Missing[max(len(r.Missing)-maxMissing, 0):])
}

// rewind makes the record say that everything in the stream may have been sent and nothing is settled. It is used where
// nothing better is known: all is sent again, and each account gets its latest value only.
func (r *record) rewind(info *jetstream.StreamInfo) {
	r.Settled = max(r.Settled, r.Floor)
	r.Created, r.Floor, r.Horizon = info.Created, max(info.State.FirstSeq, 1)-1, info.State.LastSeq
	r.Read, r.Passed, r.Purged, r.Ahead, r.Marks = position{}, 0, 0, 0, nil
}

// copiedTo reports whether a stream is a copy of the one that the record is of, such as a restored backup. It was made at another time, and has
// messages from before the last one that was read, or begins behind it, where the bucket's backup is older; in a stream that was made again all are
// from later, and it begins with 1.
func (r *record) copiedTo(info *jetstream.StreamInfo) bool {
	older := info.State.Msgs > 0 && !info.State.FirstTime.After(r.Read.At)
	behind := r.Read.Seq > 0 && info.State.FirstSeq > max(r.Read.Seq, r.Floor)
	return !r.Created.Equal(info.Created) && (older || behind)
}

// shorten makes the record fit a stream that has lost its end, all of which was stored before.
func (r *record) shorten(last uint64) {
	r.Floor, r.Horizon, r.Ahead = min(r.Floor, last), min(r.Horizon, last), 0
	r.Marks = slices.DeleteFunc(r.Marks, func(m mark) bool { return m.Seq > last })
	if r.Read.Seq > last {
		r.Read = position{}
	}
}

// lost counts missing messages and says so, except those that had been settled.
func (d *dispatcher) lost(from, to uint64, cause string) {
	from = max(from, d.record.Settled+1)
	if d.record.lose(from, to) {
		d.changed = true
		d.queue.logLost(d.sends, from, to, cause)
	}
}

func (q *Queue) logLost(ctx context.Context, from, to uint64, cause string) {
	q.settings.logger.ErrorContext(ctx, "dispatch: stored messages are lost", "messages", to-from+1, "from", from, "to", to,
		"cause", cause, "stream", q.name)
}

// checkStream compares the stream with the record, which may be of another one, and takes from the record what does not hold.
func (d *dispatcher) checkStream(ctx context.Context) (*jetstream.StreamInfo, error) {
	r := &d.record
	known := max(r.Read.Seq, r.Floor)
	info, err := d.queue.infoWith(ctx, r.Created, known, d.save)
	if err != nil {
		return nil, err
	}
	state := info.State
	if top := lostTop(&state); d.queue.acknowledged == nil && top != r.LostTop {
		r.LostTop, known = top, max(known, top)
	}
	if r.copiedTo(info) { // what is behind the horizon may have been sent after the copy of the bucket was made, and what is deleted was settled
		r.Created, r.Horizon, r.Floor = info.Created, max(r.Horizon, state.LastSeq), max(r.Floor, max(state.FirstSeq, 1)-1)
	}
	switch {
	case r.Created.IsZero(): // the bucket has been made again, or its data is damaged
		d.queue.settings.logger.ErrorContext(ctx, "dispatch: the record of the dispatcher is missing: what is in the stream is sent again, "+
			"and updates that were in the record alone are lost: those of accounts that failed for longer than the duplicate window", "bucket", d.queue.name)
		r.rewind(info)
	case !r.Created.Equal(info.Created):
		d.lost(r.Floor+1, known, "the stream was deleted")
		r.rewind(info)
		r.Settled, r.Horizon = 0, 0
	case known > state.LastSeq:
		d.lost(r.Floor+1, min(max(state.FirstSeq, 1)-1, state.LastSeq), "the stream has lost its beginning")
		d.lost(max(state.LastSeq, r.Floor)+1, known, "the stream has lost its end")
		r.rewind(info)
	default:
		return info, d.checkRead(ctx, info)
	}
	return info, nil
}

// checkRead looks whether the message that was read last is still the same one. If it is not, the stream has lost its end and
// has grown again.
func (d *dispatcher) checkRead(ctx context.Context, info *jetstream.StreamInfo) error {
	r := &d.record
	same, err := d.queue.holds(ctx, info, r.Read)
	if err != nil || same {
		return err
	}
	first, err := d.queue.firstAfter(ctx, info, r.Read)
	if err != nil {
		return err
	}
	d.lost(max(first, r.Floor+1), r.Read.Seq, "the stream has lost its end")
	r.rewind(info)
	return nil
}

// holds reports whether a stream has the message of a position, or has deleted it.
func (q *Queue) holds(ctx context.Context, info *jetstream.StreamInfo, p position) (bool, error) {
	if p.At.IsZero() || p.Seq < info.State.FirstSeq {
		return true, nil
	}
	m, err := q.fetch(ctx, q.name, p.Seq, "")
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true, nil
	}
	return err == nil && m.Time.Equal(p.At), err
}

// firstAfter returns the first message that was stored after the one of a position.
func (q *Queue) firstAfter(ctx context.Context, info *jetstream.StreamInfo, p position) (uint64, error) {
	low, high := info.State.FirstSeq, p.Seq
	for low < high {
		middle := low + (high-low)/2
		m, err := q.fetch(ctx, q.name, middle, "")
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound), err == nil && !m.Time.After(p.At):
			low = middle + 1
		case err != nil:
			return 0, err
		default:
			high = middle
		}
	}
	return low, nil
}

// infoWith returns the state of the stream. While it is the one that is known and ends before a message that it had, it asks
// again for some time: a server that has just been elected may have to catch up. That is longer than a lease, which is renewed meanwhile.
func (q *Queue) infoWith(ctx context.Context, created time.Time, known uint64, renew func(context.Context) error) (*jetstream.StreamInfo, error) {
	began := time.Now()
	for {
		info, err := q.info(ctx, q.stream, jetstream.WithDeletedDetails(true))
		if err != nil || info.State.LastSeq >= known || !info.Created.Equal(created) || info.Config.Replicas <= 1 || time.Since(began) > catchUpTime {
			return info, err
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return nil, ctx.Err()
		}
		if err := renew(ctx); err != nil {
			return nil, err
		}
	}
}

// lostTop returns the highest sequence that the server knows to be lost.
func lostTop(state *jetstream.StreamState) uint64 {
	if state.Lost == nil || len(state.Lost.Msgs) == 0 {
		return 0
	}
	return slices.Max(state.Lost.Msgs)
}

// fetch reads one message, or the next one of a subject if that is not "", on the server that leads the stream: others may not have it
// yet, and a mirror keeps what was deleted.
func (q *Queue) fetch(ctx context.Context, stream string, seq uint64, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := q.js.Conn().RequestWithContext(ctx, q.api("STREAM.MSG.GET."+stream), fmt.Appendf(nil, `{"seq":%d,"next_by_subj":%q}`, seq, subject))
	if err != nil {
		return nil, err
	}
	var got struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Seq  uint64    `json:"seq"`
			Data []byte    `json:"data"`
			Time time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return nil, err
	}
	switch {
	case got.Error != nil && got.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, jetstream.ErrMsgNotFound
	case got.Error != nil:
		return nil, got.Error
	case got.Message == nil:
		return nil, jetstream.ErrInvalidJetStreamResponse
	}
	return &jetstream.RawStreamMsg{Sequence: got.Message.Seq, Data: got.Message.Data, Time: got.Message.Time}, nil
}

// api returns the subject of a request to JetStream.
func (q *Queue) api(request string) string {
	options := q.js.Options()
	switch {
	case options.APIPrefix != "":
		return strings.TrimSuffix(options.APIPrefix, ".") + "." + request
	case options.Domain != "":
		return "$JS." + options.Domain + ".API." + request
	}
	return "$JS.API." + request
}

// missing returns those messages of a range that are there although the reader was not given them, and the spans between them.
func (q *Queue) missing(ctx context.Context, from, to uint64) ([]*message, error) {
	info, err := q.info(ctx, q.stream, jetstream.WithDeletedDetails(true))
	if err != nil {
		return nil, err
	}
	found, err := q.findAll(ctx, info, from, to)
	if err != nil || info.Cluster == nil {
		return found, err
	}
	// A server that has just become the leader may not have them yet: one leader must have had all of them the whole time.
	after, err := q.info(ctx, q.stream)
	if err == nil && (info.State.LastSeq < to || after.Cluster == nil || after.Cluster.Leader != info.Cluster.Leader) {
		err = errGap
	}
	return found, err
}

func (q *Queue) findAll(ctx context.Context, info *jetstream.StreamInfo, from, to uint64) ([]*message, error) {
	var found []*message
	for seq := from; seq <= to; seq++ {
		m, err := q.find(ctx, info, seq)
		if err != nil {
			return nil, err
		}
		if last := len(found) - 1; m.lost > 0 && last >= 0 && found[last].lost > 0 {
			m.lost += found[last].lost
			m.unproven = m.unproven || found[last].unproven
			found = found[:last]
		}
		found = append(found, m)
	}
	return found, nil
}

// find returns a message, or one that is lost: on the leader, and where there are more servers on these too.
func (q *Queue) find(ctx context.Context, info *jetstream.StreamInfo, seq uint64) (*message, error) {
	alone := info.Config.Replicas <= 1
	_, deleted := slices.BinarySearch(info.State.Deleted, seq)
	if seq < info.State.FirstSeq || alone && deleted {
		return &message{seq: seq, lost: 1}, nil
	}
	m, err := q.fetch(ctx, q.name, seq, "")
	for tries := 0; errors.Is(err, jetstream.ErrMsgNotFound) && !alone && tries < 2*info.Config.Replicas; tries++ {
		m, err = q.stream.GetMsg(ctx, seq) // of any server
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return &message{seq: seq, lost: 1, unproven: !deleted}, nil
	}
	if err != nil {
		return nil, err
	}
	return readMessage(m.Data, seq, m.Time), nil
}

// AcknowledgeLost sets [Stats.Lost] back to 0 once an operator has dealt with the loss, and returns what it was.
func (q *Queue) AcknowledgeLost(ctx context.Context) (int, error) {
	r, lost, err := q.loss(ctx)
	if err == nil && lost > 0 {
		_, err = q.state.PutString(ctx, acknowledgedKey, strconv.FormatUint(r.Lost, 10))
	}
	if err != nil {
		return 0, fmt.Errorf("dispatch: %w", err)
	}
	return int(lost), nil
}

// loss returns the record and how many messages are lost that have not been acknowledged.
func (q *Queue) loss(ctx context.Context) (record, uint64, error) {
	l := q.newLease()
	if err := l.load(ctx); err != nil {
		return record{}, 0, err
	}
	if l.record.Lost == 0 {
		return l.record, 0, nil
	}
	entry, err := q.state.Get(ctx, acknowledgedKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return l.record, l.record.Lost, nil
	}
	if err != nil {
		return record{}, 0, err
	}
	seen, err := strconv.ParseUint(string(entry.Value()), 10, 64)
	if err != nil || seen > l.record.Lost { // the record is a new one
		seen = 0
	}
	return l.record, l.record.Lost - seen, nil
}

// lostAt returns the sequences of the last messages that were lost, such as "17, 20-31", and whether dead letters are among them.
func (r *record) lostAt(unseen uint64) string {
	var all []string
	for _, s := range r.Missing {
		switch {
		case s.Total <= r.Lost-unseen:
		case s.From == 0:
			all = append(all, "dead letters")
		case s.From == s.To:
			all = append(all, strconv.FormatUint(s.From, 10))
		default:
			all = append(all, fmt.Sprintf("%d-%d", s.From, s.To))
		}
	}
	return strings.Join(all, ", ")
}

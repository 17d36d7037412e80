package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// group is the updates of one message.
type group struct {
	id      string          // of the message
	ctx     context.Context // in which it is tried
	giveUp  context.CancelFunc
	updates [][]byte      // nil: its caller has left
	size    int           // of all of them, in bytes
	waiting int           // callers
	message *nats.Msg     // that may be stored; nil: there is none
	stored  chan struct{} // closed when err is set
	err     error
}

func (q *Queue) newGroup(ctx context.Context, id string) *group {
	g := &group{id: id, stored: make(chan struct{})}
	g.ctx, g.giveUp = context.WithTimeout(ctx, q.settings.store)
	return g
}

func (g *group) add(update []byte) {
	g.updates = append(g.updates, update)
	g.size += len(update)
	g.waiting++
}

// join adds an update to the group that is being filled, and returns its place there.
func (q *Queue) join(body []byte) (g *group, place int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, 0, ErrClosed
	}
	if n := len(q.groups); n > 0 && q.groups[n-1].takes(body) {
		g = q.groups[n-1]
	} else {
		g = q.newGroup(context.Background(), "group-"+nuid.Next())
		q.groups = append(q.groups, g)
	}
	g.add(body)
	if !q.writing {
		q.writing = true
		q.work.Go(q.write)
	}
	return g, len(g.updates) - 1, nil
}

// takes reports whether an update can be added to a group. One that is given up is not stored, also if others come.
func (g *group) takes(body []byte) bool {
	return g.ctx.Err() == nil && len(g.updates) < maxGroup && g.size+len(body) < 4*maxUpdateBytes
}

// leave takes an update out of its group: what is stored long after SetAttr has failed can replace a later value of another process. Where the
// group may be stored already, it is tried until that is known, and with it this update: otherwise it could be stored behind the next group.
func (q *Queue) leave(g *group, place int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g.updates[place] = nil
	g.waiting--
	g.giveUpIfLeft()
}

func (g *group) giveUpIfLeft() {
	if g.waiting == 0 && g.message == nil {
		g.giveUp()
	}
}

// takeBack says that a group is certainly not stored.
func (q *Queue) takeBack(g *group) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g.message = nil
	g.giveUpIfLeft()
}

// write stores the groups, one after the other: two at a time could change places where a connection is lost. A group whose time
// is over before its turn comes is not tried, or they would fail one after the other, each after its whole time.
func (q *Queue) write() {
	for g := q.next(); g != nil; g = q.next() {
		g.err = errWaited
		if g.ctx.Err() == nil {
			g.err = q.publish(g)
		}
		g.giveUp()
		close(g.stored)
	}
}

func (q *Queue) next() *group {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.groups) == 0 {
		q.writing = false
		return nil
	}
	g := q.groups[0]
	q.groups[0] = nil
	q.groups = q.groups[1:]
	return g
}

// message returns the message of a group, and makes it of the updates whose callers have not left if there is none. Its subject has their number,
// so that the server can count them.
func (q *Queue) message(g *group) *nats.Msg {
	q.mu.Lock()
	defer q.mu.Unlock()
	if g.message == nil {
		updates := slices.DeleteFunc(slices.Clone(g.updates), func(body []byte) bool { return body == nil })
		g.message = nats.NewMsg(fmt.Sprintf("%s.set.%d", q.subject, len(updates)))
		g.message.Data = slices.Concat([]byte("["), bytes.Join(updates, []byte(",")), []byte("]"))
	}
	return g.message
}

// publish stores a group. It retries with the same id after transient faults, so that the message is stored once: after a try that may have
// been stored, for no longer than the server remembers the id.
func (q *Queue) publish(g *group) error {
	if err := q.disk.refuse(g.size); err != nil {
		return err
	}
	if err := q.lastFault(); err != nil {
		return fmt.Errorf("dispatch: not stored: %w", err)
	}
	var doubtful time.Time // since when it may be stored
	for waited := false; ; {
		began := time.Now()
		ack, err := q.publishOnce(g.ctx, q.message(g), g.id, q.name)
		if err == nil {
			q.untaken.Store(nil)
			q.acknowledged.advance(ack.Sequence)
			return nil
		}
		if err, final := refused(err); final {
			if errors.Is(err, ErrFull) {
				q.noteUntaken("no updates are taken: " + strings.TrimPrefix(oneLine(err), "dispatch: "))
			}
			return err
		}
		switch {
		case !doubtful.IsZero():
		case unheard(err):
			q.takeBack(g)
		default:
			doubtful = began
		}
		waited = waited || g.ctx.Err() == nil
		if q.disk.giveUp(q.isClosed()) || q.isForgotten(doubtful) || !sleep(g.ctx, 100*time.Millisecond) {
			return fmt.Errorf("dispatch: not known to be stored: %w", q.explain(err, waited))
		}
	}
}

// unheard reports whether no server has taken a try.
func unheard(err error) bool {
	return errors.Is(err, nats.ErrConnectionReconnecting) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// isForgotten reports whether the server may not know the id of a try any more when the next one comes: it would be stored twice, and the
// second time behind later values of other processes.
func (q *Queue) isForgotten(try time.Time) bool {
	return !try.IsZero() && time.Since(try)+requestTimeout > q.stream.CachedInfo().Config.Duplicates
}

func (q *Queue) publishOnce(ctx context.Context, m *nats.Msg, id, stream string) (*jetstream.PubAck, error) {
	if err := q.disconnected(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	// The client of NATS would try again by itself where no server takes it, also when the connection has gone down meanwhile.
	return q.js.PublishMsg(ctx, m, jetstream.WithMsgID(id), jetstream.WithExpectStream(stream), jetstream.WithRetryAttempts(0))
}

// disconnected returns an error while the connection is down. The client of NATS would keep a message and store it when the connection
// is up again: perhaps long after SetAttr has failed, and after later values that another process has stored.
func (q *Queue) disconnected() error {
	if q.js.Conn().IsReconnecting() {
		return nats.ErrConnectionReconnecting
	}
	return nil
}

// explain adds to the last failure to store a message what is known of its cause. Where no try was waited for, since the caller
// had no time for it, nothing says that the server is at fault.
func (q *Queue) explain(failure error, waited bool) error {
	if err := q.disk.refuse(0); err != nil {
		return fmt.Errorf("the disk was full: %w", failure)
	}
	if denied := q.denied(q.subject + ".set."); denied != nil {
		return fmt.Errorf("%w: %w", denied, failure)
	}
	if !waited {
		return failure
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	info, err := q.stream.Info(ctx)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("stream %s does not exist any more: %s: %w", q.name, q.assets[0].afterwards(), failure)
	case err != nil, info.Cluster != nil && info.Cluster.Leader == "" && q.whyUntaken() == "", unsettled(info): // or a leader is being elected
		return failure
	}
	why := silentText
	switch {
	case !hasQuorum(info.Cluster, goneAfter):
		why = noQuorumText
	case unheard(failure): // the server was not asked to store it, and is there again
		return failure
	}
	q.noteUntaken(why)
	return fmt.Errorf("%s: %w", why, failure)
}

// untaken is why an update was not stored.
type untaken struct {
	why string
	at  time.Time
}

func (q *Queue) noteUntaken(why string) { q.untaken.Store(&untaken{why, time.Now()}) }

// whyUntaken returns why the last update was not stored, or "". It may be long until this process has another one, which would be.
func (q *Queue) whyUntaken() string {
	if u := q.untaken.Load(); u != nil && time.Since(u.at) < 10*q.settings.lease {
		return u.why
	}
	return ""
}

// The leader of a stream hears of the other servers once a second.
const (
	quietAfter = 1500 * time.Millisecond // from then on one may be gone
	goneAfter  = 3 * time.Second
)

// unsettled reports whether it cannot be told yet why the last try has failed: it may have gone to the leader before, or the leader has
// not heard of some servers for a while and will know in a moment whether they are gone.
func unsettled(info *jetstream.StreamInfo) bool {
	c := info.Cluster
	if c == nil {
		return false
	}
	elected := c.LeaderSince != nil && info.TimeStamp.Sub(*c.LeaderSince) < 3*requestTimeout
	return elected || hasQuorum(c, goneAfter) && !hasQuorum(c, quietAfter)
}

// hasQuorum reports whether the leader of a stream can write, where a server counts as gone after some time.
func hasQuorum(c *jetstream.ClusterInfo, gone time.Duration) bool {
	if c == nil {
		return true
	}
	up := 1
	for _, other := range c.Replicas {
		if !other.Offline && other.Active > 0 && other.Active < gone { // 0: it has not heard of it yet
			up++
		}
	}
	return c.Leader != "" && up > (len(c.Replicas)+1)/2
}

// denied returns why the server takes no connection, or what it last said that it does not permit, if its subject contains one of some
// parts: the request itself gets no answer. What other calls may not do says nothing.
func (q *Queue) denied(parts ...string) error {
	err, up := q.js.Conn().LastError(), q.js.Conn().IsConnected()
	if !errors.Is(err, nats.ErrPermissionViolation) {
		if up {
			return nil
		}
		return err
	}
	if slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(err.Error(), p) }) {
		return err
	}
	return nil
}

const silentText = "the NATS server answers requests but stores nothing: its disk is full or has failed " +
	"(its /healthz says \"write error\"); free space on it and restart it"

const noQuorumText = "the NATS server stores nothing: more than half of the servers of its cluster must be up"

// refused reports whether it does not help to store the same message again.
func refused(err error) (error, bool) {
	api, ok := errors.AsType[*jetstream.APIError](err)
	switch {
	case full(err):
		return fmt.Errorf("%w: %w", ErrFull, err), true
	case errors.Is(err, nats.ErrConnectionClosed):
		return fmt.Errorf("dispatch: not known to be stored: %w", errConnClosed), true // it may have been closed before the answer came
	case ok && (api.Code == http.StatusConflict || api.Code == http.StatusTooManyRequests): // the try before is still being stored, or many are
		return err, false
	case ok && api.Code < 500, errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("dispatch: not stored: %w", err), true
	}
	return err, false
}

// full reports whether a message was not stored since there is no room.
func full(err error) bool {
	const storeFailed = 10077
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == noStorage || api.ErrorCode == noAccountSpace || api.ErrorCode == storeFailed && strings.Contains(api.Description, "maximum"))
}

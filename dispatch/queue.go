package dispatch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	timpush "github.com/timpush/timpush-go"
)

var (
	// ErrFull is why an update was not stored: the stream is as large as [WithMaxBytes] allows, the disk is full, or the NATS account
	// has used up its storage. Nothing was dropped for it. Set it again later.
	ErrFull = errors.New("dispatch: the queue is full")

	// ErrClosed is why a Queue takes no update: [Queue.Close] was called.
	ErrClosed = errors.New("dispatch: the queue is closed")

	errConnClosed = fmt.Errorf("%w, and opens again only with nats.MaxReconnects(-1) and nats.IgnoreAuthErrorAbort()", nats.ErrConnectionClosed)

	errWaited = errors.New("dispatch: not stored: the updates before it could not be stored in time")

	// ErrNoQueue is why [OpenExisting] returns none: a stream or the bucket of the app is missing.
	ErrNoQueue = errors.New("dispatch: there is no queue of the app")
)

const (
	requestTimeout = time.Second      // of one request to a server, and of one attempt to store a message
	makeTimeout    = 15 * time.Second // of a request that makes or changes a stream
	openTimeout    = 20 * time.Second // of servers that are electing a leader, with a vote that is repeated
	noStorage      = 10047            // the code of JetStream for storage that is used up
	noAccountSpace = 10002            // the same, of the account
	maxGroup       = timpush.MaxUsersPerRequest
	maxUpdateBytes = 64 << 10 // as stored; a server takes messages of 1 MiB
)

// Queue stores updates of attributes durably and sends them. Make one with [Open] or [OpenEmbedded]; the zero value is
// not usable. It is safe for concurrent use, and any number of processes can have one for the same app.
type Queue struct {
	js       jetstream.JetStream
	app      int
	name     string           // of the stream of updates, and of the bucket
	stream   jetstream.Stream // the updates
	dead     jetstream.Stream // the dead letters
	state    jetstream.KeyValue
	assets   []asset // the streams of all three
	subject  string
	settings settings

	embedded     bool
	shutdown     func() error // of the embedded server
	acknowledged *ackFile     // of the embedded server
	kept         *copyFile    // of the embedded server
	disk         *diskWatch   // of the embedded server

	looking sync.Mutex // at the settings of the streams
	config  struct {
		sync.Mutex
		checked  time.Time
		checking bool
		fault    error // of the streams; nil: none
	}
	seen   sighting               // of the record, while the Queue was opened
	silent atomic.Pointer[string] // why the server stores nothing although it answers; nil: it stores
	idle   atomic.Pointer[error]  // why a Run of this process cannot send; nil: it can, or another process does

	mu      sync.Mutex
	groups  []*group // not being written; all but the last take no more updates
	writing bool
	closed  bool
	work    sync.WaitGroup // the writer, and updates that are stored alone
}

// group is the updates of one message.
type group struct {
	updates [][]byte  // nil: its caller has left
	size    int       // of all of them, in bytes
	waiting int       // callers
	message *nats.Msg // that may be stored; nil: there is none
	ctx     context.Context
	giveUp  context.CancelFunc
	stored  chan struct{} // closed when err is set
	err     error
}

// Option changes how a [Queue] works.
type Option func(*settings)

type settings struct {
	replicas  int
	change    bool            // the number of replicas of what exists
	given     map[string]bool // options
	maxBytes  int64
	maxAge    time.Duration
	duplicate time.Duration
	lease     time.Duration
	delay     time.Duration // after a first failure
	store     time.Duration // how long a message is tried: longer than a cluster takes to elect a leader
	patience  time.Duration // how long messages are tried that a server has and cannot read
	reserve   int64         // bytes of the disk of an embedded server that are kept free
	logger    *slog.Logger
	existing  bool // nothing is made
	faults    []error
}

func newSettings(sdkAppID int, opts []Option) (settings, error) {
	s := settings{
		given: map[string]bool{}, replicas: 1, maxBytes: 1 << 30, maxAge: 7 * 24 * time.Hour, duplicate: 2 * time.Minute, lease: 3 * time.Second, delay: time.Second,
		store: 30 * time.Second, patience: 10 * time.Minute, reserve: reserve,
		logger: slog.New(slog.DiscardHandler),
	}
	for _, option := range opts {
		if s.require(option != nil, "an Option is nil"); option != nil {
			option(&s)
		}
	}
	s.require(sdkAppID > 0, "the SDKAppID is not positive")
	return s, errors.Join(s.faults...)
}

func (s *settings) require(ok bool, fault string) {
	if !ok {
		s.faults = append(s.faults, errors.New("dispatch: "+fault))
	}
}

// WithReplicas sets on how many servers of a cluster an update is stored, 1 to 5. With 3 an update outlives any one server.
// Streams that exist with another number are an error of [Open], see [WithReplicaChange]. If not given, new streams have 1,
// and those that exist are taken as they are.
func WithReplicas(n int) Option {
	return func(s *settings) {
		s.replicas, s.given["replicas"] = n, true
		s.require(n >= 1 && n <= 5, "WithReplicas wants 1 to 5")
	}
}

// WithReplicaChange lets [Open] change the number of replicas of streams that exist to that of [WithReplicas]. It takes some
// seconds, and fails while one of the servers is away.
func WithReplicaChange() Option { return func(s *settings) { s.change = true } }

// WithMaxBytes sets how large the stream of updates can grow, when it is first made; with [OpenEmbedded] also later. A message
// with a single update takes about 200 bytes, one with a hundred about 8 KiB, and it stays for the duplicate window after
// all of it has been sent. A full stream refuses with [ErrFull]. The stream of dead letters has a quarter of that on top;
// while it is full, updates that would go there wait, and [Stats].Paused says so. If not given, it is 1 GiB.
func WithMaxBytes(n int64) Option {
	return func(s *settings) {
		s.maxBytes, s.given["bytes"] = n, true
		s.require(n >= 1<<16, "WithMaxBytes wants at least 64 KiB")
	}
}

// WithMaxAge sets how old an update may become before it is sent. An older one is not dropped: it becomes a dead letter.
// If not given, it is 7 days.
func WithMaxAge(d time.Duration) Option {
	return func(s *settings) { s.maxAge = d; s.require(d > 0, "WithMaxAge wants more than 0") }
}

// WithDuplicateWindow sets for how long message ids are remembered (see [Queue.SetAttrOnce]), when the stream is first
// made; with [OpenEmbedded] also later. An update whose answer was lost is tried again for no longer than that, so that with less than 30 s
// SetAttr fails earlier. If not given, it is 2 minutes.
func WithDuplicateWindow(d time.Duration) Option {
	return func(s *settings) {
		s.duplicate, s.given["window"] = d, true
		s.require(d >= 100*time.Millisecond, "WithDuplicateWindow wants at least 100 ms")
	}
}

// WithLease sets after how long without a sign of life another dispatcher takes over; give all processes the same, except while a
// deploy changes it: that of the active one counts. If it is shorter than the pauses of the network and the processes, they
// change without need. It need not be longer than a cluster takes to elect a leader: longer leases were measured to make a
// failover slower. If not given, it is 3 s.
func WithLease(d time.Duration) Option {
	return func(s *settings) {
		s.lease = d
		s.require(d >= 200*time.Millisecond, "WithLease wants at least 200 ms")
	}
}

// WithLogger logs what an operator should know: who dispatches, pauses and their cause, messages that are lost, a full disk,
// faults of NATS. Accounts and values are not logged. If not given, nothing is logged.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) {
		s.logger = l
		s.require(l != nil, "WithLogger(nil)")
	}
}

// Open returns the queue of an app on NATS JetStream; it is tested with server 2.15, and was tried with 2.10, 2.11 and 2.12. It makes
// two streams and a bucket if they are missing, named TIMPUSH_ and the SDKAppID. Those that exist keep their limits, which can be
// changed with the nats tool.
// Open refuses streams with settings that could lose or refuse updates, and its error says which and how to correct them. When
// they are changed later, [Queue.SetAttr] refuses updates with the same error.
//
// How durable "stored" is, depends on the servers: with the default of JetStream a write is synced to disk within two
// minutes, so that a power failure can take stored updates away. Set sync_interval to always. See [WithReplicas].
//
// While the servers elect a leader, Open waits at most 20 s. The connection stays the caller's, to be closed after the Queue. It must
// always reconnect: nats.MaxReconnects(-1), and nats.IgnoreAuthErrorAbort(), without which it is closed for good when the servers refuse
// its credentials twice, for example while they are replaced. And it must notice a server that is silent, since it hangs or its machine
// has lost power: nats.PingInterval(2*time.Second), without which SetAttr fails for up to 6 minutes before another server is used. And
// it must drop what it has not delivered when it is given up, by a dialer that calls SetLinger(0), as in the example: otherwise the kernel
// goes on for up to two minutes, and after an outage an update whose SetAttr has failed can be stored behind later ones.
func Open(ctx context.Context, js jetstream.JetStream, sdkAppID int, opts ...Option) (*Queue, error) {
	s, err := newSettings(sdkAppID, opts)
	if err != nil {
		return nil, err
	}
	return open(ctx, js, sdkAppID, s, false)
}

func open(ctx context.Context, js jetstream.JetStream, sdkAppID int, s settings, embedded bool) (*Queue, error) {
	q := &Queue{
		js: js, settings: s, app: sdkAppID, embedded: embedded,
		subject: fmt.Sprintf("timpush.%d", sdkAppID), name: fmt.Sprintf("TIMPUSH_%d", sdkAppID),
	}
	observing, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { q.seen = q.observe(observing) })
	err := q.prepare(ctx)
	stop()
	work.Wait()
	if errors.Is(err, ErrNoQueue) {
		return nil, ErrNoQueue
	}
	if err != nil {
		return nil, fmt.Errorf("dispatch: %w", errors.Join(err, q.denied(q.name, q.subject+".")))
	}
	return q, nil
}

// OpenExisting is [Open] for a tool that looks at a queue: it makes and changes nothing, and where the queue is not there
// its error matches [ErrNoQueue]. It takes the streams with whatever settings they have; [Queue.Stats] says what is wrong with them.
func OpenExisting(ctx context.Context, js jetstream.JetStream, sdkAppID int, opts ...Option) (*Queue, error) {
	return Open(ctx, js, sdkAppID, append(opts[:len(opts):len(opts)], func(s *settings) { s.existing = true })...)
}

// SetAttr stores attributes to be set for a user, and returns nil when they are stored durably. They are sent by the
// active [Queue.Run], after all that was stored for the account before.
//
// It checks the user as the Client does: an error with an [*timpush.InputError] for each fault, or one that matches
// [ErrFull] or [ErrClosed], says that nothing was stored. After any other error, also when ctx has ended, the update may be
// stored or not: set it again. The error says if a stream was changed so that it would lose updates, or if the server answers
// but stores nothing. Once ctx has ended, the update is not tried any more, unless the answer to an earlier try may have been lost.
//
// Updates that come while another one is being written are written together next, up to a hundred in a message, so that
// many goroutines share the cost of a synced write. While a cluster elects a leader SetAttr waits, usually 4 to 9 s and at
// most 30 s.
func (q *Queue) SetAttr(ctx context.Context, user timpush.UserAttrs) error {
	body, err := q.check(ctx, user)
	if err != nil {
		return err
	}
	g, place, err := q.join(body)
	if err != nil {
		return err
	}
	select {
	case <-g.stored:
		return g.err
	case <-ctx.Done():
		q.leave(g, place)
		return fmt.Errorf("dispatch: not known to be stored: %w", ctx.Err())
	}
}

// SetAttrOnce is [Queue.SetAttr] for an update that may be set again, after a crash of the program that sets it: if one with
// the same id was stored within the duplicate window, it returns nil and stores nothing. The id is any text except "", one
// for each update. The update is stored in a message of its own, so that many of them are slower.
func (q *Queue) SetAttrOnce(ctx context.Context, id string, user timpush.UserAttrs) error {
	if id == "" {
		return errors.New("dispatch: the message id is empty")
	}
	body, err := q.check(ctx, user)
	if err != nil {
		return err
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	q.work.Add(1)
	q.mu.Unlock()
	defer q.work.Done()
	hash := sha256.Sum256([]byte(id)) // any text would not fit into a header
	ctx, cancel := context.WithTimeout(ctx, q.settings.store)
	defer cancel()
	return q.publish(ctx, &group{updates: [][]byte{body}, size: len(body), waiting: 1}, "once-"+base64.RawURLEncoding.EncodeToString(hash[:]))
}

// check validates a user and returns it as it is stored.
func (q *Queue) check(ctx context.Context, user timpush.UserAttrs) ([]byte, error) {
	if err := user.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("dispatch: not stored: %w", err)
	}
	body, err := json.Marshal(update{Account: user.ToAccount, Attrs: user.Attrs})
	if err == nil && len(body) > maxUpdateBytes {
		err = &timpush.InputError{ToAccount: user.ToAccount, Reason: "the update has more than 64 KiB as JSON"}
	}
	return body, err
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
		g = &group{stored: make(chan struct{})}
		g.ctx, g.giveUp = context.WithTimeout(context.Background(), q.settings.store)
		q.groups = append(q.groups, g)
	}
	g.updates = append(g.updates, body)
	g.size += len(body)
	g.waiting++
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
			g.err = q.publish(g.ctx, g, "group-"+nuid.Next())
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
func (q *Queue) publish(ctx context.Context, g *group, id string) error {
	if err := q.disk.refuse(g.size); err != nil {
		return err
	}
	if err := q.lastFault(); err != nil {
		return fmt.Errorf("dispatch: not stored: %w", err)
	}
	var doubtful time.Time // since when it may be stored
	for waited := false; ; {
		began := time.Now()
		ack, err := q.publishOnce(ctx, q.message(g), id, q.name)
		if err == nil {
			q.silent.Store(nil)
			q.acknowledged.advance(ack.Sequence)
			return nil
		}
		if err, final := refused(err); final {
			return err
		}
		switch {
		case !doubtful.IsZero():
		case unheard(err):
			q.takeBack(g)
		default:
			doubtful = began
		}
		waited = waited || ctx.Err() == nil
		if q.disk.giveUp(q.isClosed()) || q.isForgotten(doubtful) || !sleep(ctx, 100*time.Millisecond) {
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
	return q.js.PublishMsg(ctx, m, jetstream.WithMsgID(id), jetstream.WithExpectStream(stream))
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
	case err != nil, info.Cluster != nil && info.Cluster.Leader == "" && q.silent.Load() == nil: // a leader is being elected
		return failure
	}
	why := silentText
	switch {
	case !hasQuorum(info.Cluster):
		why = noQuorumText
	case unheard(failure): // the server was not asked to store it, and is there again
		return failure
	}
	q.silent.Store(&why)
	return fmt.Errorf("%s: %w", why, failure)
}

// hasQuorum reports whether the leader of a stream can write: it hears of the other servers once a second.
func hasQuorum(c *jetstream.ClusterInfo) bool {
	if c == nil {
		return true
	}
	up := 1
	for _, other := range c.Replicas {
		if !other.Offline && other.Active > 0 && other.Active < 3*time.Second { // 0: it has not heard of it yet
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

func (q *Queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

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

// Close takes no more updates and returns when those that are being stored are. End every [Queue.Run] before. It stops
// the server of [OpenEmbedded], and leaves a connection given to [Open] alone. Closing again has no
// effect.
func (q *Queue) Close() error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.work.Wait()
	if q.shutdown == nil {
		return nil
	}
	return q.shutdown()
}

// sleep returns false if ctx ends before d is over.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

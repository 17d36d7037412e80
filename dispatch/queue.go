package dispatch

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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
	seen    sighting                // of the record, while the Queue was opened
	untaken atomic.Pointer[untaken] // why the last update was not stored; nil: it was, as far as is known
	idle    atomic.Pointer[error]   // why a Run of this process cannot send; nil: it can, or another process does

	mu      sync.Mutex
	groups  []*group // not being written; all but the last take no more updates
	writing bool
	closed  bool
	work    sync.WaitGroup // the writer, and updates that are stored alone
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
	switch {
	case errors.Is(err, ErrNoQueue):
		return nil, ErrNoQueue
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("dispatch: JetStream does not answer on this NATS server: start it with -js, or enable JetStream for the account: %w", nats.ErrNoResponders)
	case err != nil:
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
	g := q.newGroup(ctx, "once-"+base64.RawURLEncoding.EncodeToString(hash[:]))
	defer g.giveUp()
	g.add(body)
	return q.publish(g)
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

func (q *Queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
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

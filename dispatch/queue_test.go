package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/timpushtest"
)

const appID = 1400000000

func user(account, city string) timpush.UserAttrs {
	return timpush.UserAttrs{ToAccount: account, Attrs: timpush.Attrs{"city": city}}
}

// open opens a queue on an embedded server and closes it when the test ends.
func open(t *testing.T, dir string, opts ...dispatch.Option) *dispatch.Queue {
	t.Helper()
	q, err := dispatch.OpenEmbedded(t.Context(), dir, appID, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, q.Close()) })
	return q
}

// stats asks again where a question took too long: on a busy machine one may, which says nothing about the queue.
func stats(t *testing.T, q *dispatch.Queue) (s dispatch.Stats) {
	t.Helper()
	var err error
	eventually(t, "the server answers in time", func() bool {
		s, err = q.Stats(t.Context())
		return !errors.Is(err, context.DeadlineExceeded)
	})
	require.NoError(t, err)
	return s
}

func TestStoredUpdatesOutliveTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q, err := dispatch.OpenEmbedded(t.Context(), dir, appID)
	require.NoError(t, err)
	require.NoError(t, q.SetAttr(t.Context(), user("mary", "Rome")))
	require.NoError(t, q.Close())
	require.ErrorIs(t, q.SetAttr(t.Context(), user("mary", "Rome")), dispatch.ErrClosed)
	require.ErrorIs(t, q.SetAttrOnce(t.Context(), "1", user("mary", "Rome")), dispatch.ErrClosed)
	require.NoError(t, q.Close())
	s := stats(t, open(t, dir))
	assert.Equal(t, 1, s.Backlog)
	assert.Positive(t, s.Oldest)
	assert.Empty(t, s.Active)
}

func TestFolderServesOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir)
	_, err := dispatch.OpenEmbedded(t.Context(), dir, appID)
	require.ErrorContains(t, err, "in use, by another queue of this process")
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	_, err := dispatch.OpenEmbedded(t.Context(), "", appID)
	require.ErrorContains(t, err, `the folder is ""`)
	_, err = dispatch.OpenEmbedded(t.Context(), t.TempDir(), 0, dispatch.WithReplicas(0), dispatch.WithMaxBytes(1), dispatch.WithMaxAge(0),
		dispatch.WithDuplicateWindow(0), dispatch.WithLease(0), dispatch.WithLogger(nil), nil)
	require.Error(t, err)
	assert.Len(t, strings.Split(err.Error(), "\n"), 8, "%v", err)
}

func TestInvalidUpdatesAreRefused(t *testing.T) {
	t.Parallel()
	q := open(t, t.TempDir())
	for name, u := range map[string]timpush.UserAttrs{
		"no account": user("", "Rome"), "no attributes": {ToAccount: "mary"}, "long value": user("mary", strings.Repeat("x", 51)),
		"not UTF-8": user("mary", "\xff"), "endless account": user(strings.Repeat("x", 1<<17), "Rome"),
	} {
		err := q.SetAttr(t.Context(), u)
		_, ok := errors.AsType[*timpush.InputError](err)
		assert.True(t, ok, "%s: %v", name, err)
		_, ok = errors.AsType[*timpush.InputError](q.SetAttrOnce(t.Context(), "1", u))
		assert.True(t, ok, "%s: %v", name, err)
	}
	assert.Zero(t, stats(t, q).Backlog)
}

func TestEndedContextStoresNothing(t *testing.T) {
	t.Parallel()
	q := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, q.SetAttr(ctx, user("mary", "Rome")), context.Canceled)
	assert.Zero(t, stats(t, q).Backlog)
}

// concurrently calls f n times at once.
func concurrently(n int, f func(k int)) {
	var all sync.WaitGroup
	for k := range n {
		all.Go(func() { f(k) })
	}
	all.Wait()
}

func TestUpdatesShareMessages(t *testing.T) {
	t.Parallel()
	q := open(t, t.TempDir())
	concurrently(1000, func(k int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", k), "Rome"))) })
	s := stats(t, q)
	assert.Equal(t, 1000, s.Backlog)
	assert.Less(t, s.Bytes, int64(150*1000), "a message alone takes more for each")
}

func TestFullStreamRefuses(t *testing.T) {
	t.Parallel()
	q := open(t, t.TempDir(), dispatch.WithMaxBytes(1<<16))
	stored, err := 0, error(nil)
	for err == nil && stored < 10000 {
		if err = q.SetAttr(t.Context(), user("mary", fmt.Sprint(stored))); err == nil {
			stored++
		}
	}
	require.ErrorIs(t, err, dispatch.ErrFull)
	s := stats(t, q)
	assert.Equal(t, stored, s.Backlog, "nothing that was stored has been dropped")
	assert.LessOrEqual(t, s.Bytes, s.MaxBytes)
	assert.Contains(t, s.Paused, "no updates are taken")
}

func TestMessageIDs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q, err := dispatch.OpenEmbedded(t.Context(), dir, appID)
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, q.SetAttrOnce(t.Context(), "row 1\r\n", user("mary", "Rome")))
	}
	require.NoError(t, q.SetAttrOnce(t.Context(), "row 2", user("mary", "Rome")))
	require.Error(t, q.SetAttrOnce(t.Context(), "", user("mary", "Rome")))
	require.NoError(t, q.Close())
	q = open(t, dir)
	require.NoError(t, q.SetAttrOnce(t.Context(), "row 2", user("mary", "Rome")))
	assert.Equal(t, 2, stats(t, q).Backlog)
}

func TestOpenExistingMakesAndChangesNothing(t *testing.T) {
	t.Parallel()
	js, _ := open(t, t.TempDir(), dispatch.WithMaxBytes(1<<20)).JetStream()
	_, err := dispatch.OpenExisting(t.Context(), js, appID+1)
	require.ErrorIs(t, err, dispatch.ErrNoQueue)
	_, err = dispatch.OpenExisting(t.Context(), js, appID+1)
	require.ErrorIs(t, err, dispatch.ErrNoQueue, "the first did not make one")
	q, err := dispatch.OpenExisting(t.Context(), js, appID, dispatch.WithMaxBytes(1<<21))
	require.NoError(t, err)
	assert.Equal(t, int64(1<<20), stats(t, q).MaxBytes)
	require.NoError(t, q.Close())
}

// TestCallerWithoutTimeSaysNothingOfTheServer: a deadline that ends while the server stores.
func TestCallerWithoutTimeSaysNothingOfTheServer(t *testing.T) {
	t.Parallel()
	q := open(t, t.TempDir())
	short := 50 * time.Microsecond
	eventually(t, "it ends under way", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		short += 10 * time.Microsecond
		err := q.SetAttrOnce(ctx, short.String(), user("mary", "Rome"))
		if err == nil || !strings.Contains(err.Error(), "not known") {
			return false
		}
		assert.NotContains(t, err.Error(), "stores nothing")
		return assert.Empty(t, stats(t, q).Paused)
	})
}

// network is one that can be taken away.
type network struct {
	shut atomic.Bool
	last net.Conn
}

func (g *network) Dial(kind, address string) (net.Conn, error) {
	if g.shut.Load() {
		return nil, errors.New("the network is down")
	}
	conn, err := net.Dial(kind, address) //nolint:noctx // the interface of the NATS client
	g.last = conn
	return conn, err
}

// connectThrough connects to a server through a network.
func connectThrough(t *testing.T, url string) (*network, jetstream.JetStream) {
	t.Helper()
	g := &network{}
	conn, err := nats.Connect(url, nats.SetCustomDialer(g), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return g, js
}

// down takes the network away.
func (g *network) down(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	g.shut.Store(true)
	require.NoError(t, g.last.Close())
	eventually(t, "the connection is down", js.Conn().IsReconnecting)
}

// TestOutageSaysNothingOfTheServer: a caller whose time is over before the connection is up again.
func TestOutageSaysNothingOfTheServer(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*dispatch.Queue, context.Context, timpush.UserAttrs) error{
		"SetAttr": (*dispatch.Queue).SetAttr,
		"SetAttrOnce": func(q *dispatch.Queue, ctx context.Context, u timpush.UserAttrs) error {
			return q.SetAttrOnce(ctx, "1", u)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, url := startServer(t, t.TempDir())
			g, js := connectThrough(t, url)
			q := openOn(t, js)
			g.down(t, js)
			time.AfterFunc(500*time.Millisecond, func() { g.shut.Store(false) })
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			require.Error(t, set(q, ctx, user("mary", "Rome")))
			eventually(t, "the connection is up", js.Conn().IsConnected)
			require.NoError(t, q.Close())
			assert.Empty(t, stats(t, q).Paused)
		})
	}
}

// TestFailedUpdateIsNotStoredLater: what was refused while the connection was down must not be stored when it is up again, after later
// values of other processes.
func TestFailedUpdateIsNotStoredLater(t *testing.T) {
	t.Parallel()
	other, url := startServer(t, t.TempDir())
	g, js := connectThrough(t, url)
	q := openOn(t, js, dispatch.WithStoreTimeout(50*time.Millisecond))

	g.down(t, js)
	require.ErrorIs(t, q.SetAttr(t.Context(), user("mary", "Rome")), nats.ErrConnectionReconnecting)
	require.ErrorIs(t, q.SetAttrOnce(t.Context(), "1", user("mary", "Rome")), nats.ErrConnectionReconnecting)

	g.shut.Store(false)
	eventually(t, "the connection is up", js.Conn().IsConnected)
	set(t, openOn(t, other), user("mary", "Oslo"))
	assert.Equal(t, 1, stats(t, q).Backlog)
}

// TestUpdateThatNoServerTookIsNotStoredLater: where a server ends, it first takes nothing, and then the connection is down. An update that failed
// meanwhile must not be stored when it is up again, after later values of other processes.
func TestUpdateThatNoServerTookIsNotStoredLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(soon))
	g, js := connectThrough(t, s.ClientURL())
	q := openOn(t, js)

	require.NoError(t, s.DisableJetStream())
	ended := make(chan struct{})
	go func() { defer close(ended); leave(t, q, user("mary", "Rome")) }()
	time.Sleep(50 * time.Millisecond) // the first try has failed
	g.down(t, js)
	<-ended
	time.Sleep(300 * time.Millisecond) // until the client of NATS would have tried again
	require.NoError(t, s.EnableJetStream(&server.JetStreamConfig{StoreDir: filepath.Join(dir, "jetstream")}))
	_, other := connectThrough(t, s.ClientURL())
	set(t, openOn(t, other), user("mary", "Oslo"))

	g.shut.Store(false)
	eventually(t, "the connection is up", js.Conn().IsConnected)
	set(t, q, user("john", "Rome")) // behind what the client of NATS has kept
	assert.Equal(t, 2, stats(t, q).Backlog)
}

// TestUpdateOfACallerThatHasLeft: once the time of its callers is over, an update must not be stored when the servers are there again, after
// later values of other processes. Others of its group are.
func TestUpdateOfACallerThatHasLeft(t *testing.T) {
	t.Parallel()
	other, url := startServer(t, t.TempDir())
	g, js := connectThrough(t, url)
	servers := &unanswered{JetStream: js}
	q := openOn(t, servers)

	g.down(t, js)
	var all sync.WaitGroup
	for _, account := range []string{"mary", "anna", "otto"} { // some in a group of their own, some together
		all.Go(func() { leave(t, q, user(account, "Rome")) })
	}
	for _, account := range []string{"john", "paul"} {
		all.Go(func() { assert.NoError(t, q.SetAttr(t.Context(), user(account, "Rome"))) })
	}
	time.Sleep(500 * time.Millisecond)
	g.shut.Store(false)
	all.Wait()

	servers.away.Store(true) // and where the servers have no leader
	leave(t, q, user("mary", "Rome"))
	set(t, openOn(t, other), user("mary", "Oslo"))
	servers.away.Store(false)
	set(t, q, user("paul", "Oslo"))
	time.Sleep(300 * time.Millisecond) // longer than between two tries

	fake := timpushtest.Start(t)
	run(t, q, quickClient(fake))
	drained(t, q)
	got := cities(fake)
	assert.Equal(t, []string{"Oslo"}, got["mary"])
	assert.Equal(t, "Rome", fake.Attrs("john")["city"])
	assert.NotContains(t, got, "anna")
	assert.NotContains(t, got, "otto")
}

// TestUpdateBehindCallersThatHaveLeft: those who come when all others who wait have left must not share their lot.
func TestUpdateBehindCallersThatHaveLeft(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	servers := &unanswered{JetStream: js}
	q := openOn(t, servers)
	servers.away.Store(true)
	var all sync.WaitGroup
	for _, account := range []string{"mary", "john"} {
		all.Go(func() { assert.NoError(t, q.SetAttr(t.Context(), user(account, "Rome"))) })
		time.Sleep(50 * time.Millisecond) // mary's is being stored
		leave(t, q, user("anna", "Rome"))
	}
	servers.away.Store(false)
	all.Wait()
	assert.Equal(t, 2, stats(t, q).Backlog)
}

// leave sets a user with a deadline that ends before it can be stored.
func leave(t *testing.T, q *dispatch.Queue, u timpush.UserAttrs) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, q.SetAttr(ctx, u), context.DeadlineExceeded)
}

// unanswered is a cluster that at times has no leader.
type unanswered struct {
	jetstream.JetStream
	away atomic.Bool
}

func (u *unanswered) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if u.away.Load() {
		return nil, jetstream.ErrNoStreamResponse
	}
	return u.JetStream.PublishMsg(ctx, m, opts...)
}

// TestUpdateIsNotStoredTwice: where the answer is lost, and the server there again only after it has forgotten the id, the update must not be stored
// again, behind later values of other processes.
func TestUpdateIsNotStoredTwice(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	other := openOn(t, js, dispatch.WithDuplicateWindow(time.Second))
	q := openOn(t, &forgetful{js, func() {
		time.Sleep(1100 * time.Millisecond)
		set(t, other, user("mary", "Oslo"))
	}})
	require.ErrorContains(t, q.SetAttr(t.Context(), user("mary", "Rome")), "not known to be stored")
	fake := timpushtest.Start(t)
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Equal(t, "Oslo", fake.Attrs("mary")["city"])
}

// forgetful is a server whose first answer is lost.
type forgetful struct {
	jetstream.JetStream
	lose func() // nil: it was
}

func (f *forgetful) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := f.JetStream.PublishMsg(ctx, m, opts...)
	if lose := f.lose; lose != nil {
		f.lose = nil
		lose()
		return nil, context.DeadlineExceeded
	}
	return ack, err
}

// heldBack is a network that delivers what was given to it only after an outage, unless the connection was reset.
type heldBack struct {
	net.Listener
	server string
	down   chan struct{} // closed: the first connection delivers nothing
	up     chan struct{} // closed: it delivers the rest
	done   chan struct{} // closed: it has
}

func holdBack(t *testing.T, url string) *heldBack {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // to loopback
	require.NoError(t, err)
	h := &heldBack{listener, strings.TrimPrefix(url, "nats://"), make(chan struct{}), make(chan struct{}), make(chan struct{})}
	t.Cleanup(func() { _ = h.Close() })
	go h.accept()
	return h
}

func (h *heldBack) accept() {
	for first := true; ; first = false {
		from, err := h.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", h.server) //nolint:noctx // to loopback
		if err != nil {
			return
		}
		if first {
			go h.forward(from, to) // which ends at the first answer in the outage
			go h.deliver(to, from)
			continue
		}
		go func() { _, _ = io.Copy(from, to) }()
		go func() { _, _ = io.Copy(to, from) }()
	}
}

// deliver forwards until the outage, and afterwards what the other side has not dropped.
func (h *heldBack) deliver(to, from net.Conn) {
	last := h.forward(to, from)
	<-h.up
	if rest, err := io.ReadAll(from); err == nil { // else the connection was reset
		_, _ = to.Write(append(last, rest...))
	}
	close(h.done)
}

// forward forwards until the outage, and returns what came first in it.
func (h *heldBack) forward(to, from net.Conn) []byte {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-h.down:
			return buffer[:n]
		default:
		}
		if err != nil {
			return nil
		}
		_, _ = to.Write(buffer[:n])
	}
}

// TestUpdateThatWasGivenUp: what an outage has held back of an update whose SetAttr has failed must not be stored behind a later one.
func TestUpdateThatWasGivenUp(t *testing.T) {
	t.Parallel()
	other, url := startServer(t, t.TempDir())
	network := holdBack(t, url)
	conn, err := nats.Connect("nats://"+network.Addr().String(), nats.SetCustomDialer(&dropping{}), nats.PingInterval(500*time.Millisecond),
		nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	q := openOn(t, js, dispatch.WithStoreTimeout(200*time.Millisecond))

	close(network.down)
	require.Error(t, q.SetAttr(t.Context(), user("mary", "Rome")))
	eventually(t, "another connection is up", func() bool { return conn.Stats().Reconnects > 0 && conn.IsConnected() })
	eventually(t, "it stores", func() bool { return q.SetAttr(t.Context(), user("mary", "Oslo")) == nil })
	close(network.up)
	<-network.done
	time.Sleep(100 * time.Millisecond)
	fake := timpushtest.Start(t)
	q = openOn(t, other)
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Equal(t, "Oslo", fake.Attrs("mary")["city"])
}

// busy is a cluster that stores an update so slowly that the next try comes before it has ended.
type busy struct {
	jetstream.JetStream
	answers []error
}

func (b *busy) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := b.JetStream.PublishMsg(ctx, m, opts...)
	if len(b.answers) > 0 {
		ack, err, b.answers = nil, b.answers[0], b.answers[1:]
	}
	return ack, err
}

// TestUpdateThatIsBeingStoredIsNotRefused: the answers say that the same message is being stored, and that there are too many.
func TestUpdateThatIsBeingStoredIsNotRefused(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	q := openOn(t, &busy{js, []error{&jetstream.APIError{Code: 409, ErrorCode: 10158}, &jetstream.APIError{Code: 429, ErrorCode: 10167}}})
	set(t, q, user("mary", "Rome"))
	assert.Equal(t, 1, stats(t, q).Backlog)
}

// TestConnectionThatIsClosedWhileAnUpdateIsStored: nothing tells whether it was.
func TestConnectionThatIsClosedWhileAnUpdateIsStored(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	q := openOn(t, &busy{js, []error{nats.ErrConnectionClosed}})
	require.ErrorContains(t, q.SetAttr(t.Context(), user("mary", "Rome")), "not known to be stored")
	assert.Equal(t, 1, stats(t, q).Backlog)
}

// TestSlowReading: a dispatcher that waits for room is sent no more than it has asked for. The client of NATS dropped what it had no place for.
func TestSlowReading(t *testing.T) {
	t.Parallel()
	_, url := startServer(t, t.TempDir())
	faults := make(chan error, 10)
	conn, err := nats.Connect(url, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { faults <- err }))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	log := &records{}
	q := openOn(t, js, dispatch.WithLogger(log.logger()))
	const messages = 2000
	for range messages {
		_, err := js.PublishAsync(fmt.Sprintf("timpush.%d.set.1", appID), []byte(`[{"account":"mary","attrs":{"city":"Rome"}}]`))
		require.NoError(t, err)
	}
	<-js.PublishAsyncComplete()
	require.NoError(t, q.ReadSlowly(t.Context(), messages, time.Millisecond))
	assert.Empty(t, faults)
	assert.Empty(t, log.text())
}

//go:build unix

package outbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/dispatch/examples/internal/pgtest"
	"github.com/timpush/timpush-go/dispatch/examples/outbox"
	"github.com/timpush/timpush-go/timpushtest"
)

func TestRowAndAttributeChangeTogether(t *testing.T) {
	t.Parallel()
	db, _ := pgtest.Start(t, outbox.Schema)
	fake := timpushtest.Start(t)
	q, err := dispatch.OpenEmbedded(t.Context(), t.TempDir(), 1400000000)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, q.Close()) })
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { assert.NoError(t, q.Run(ctx, fake.Client())) })
	for range 2 {
		all.Go(func() { assert.NoError(t, outbox.Feed(ctx, db, q)) })
	}
	for n := range 10 {
		for k := range 10 {
			require.NoError(t, outbox.Move(t.Context(), db, fmt.Sprint("user", k), fmt.Sprint(n)))
		}
	}
	require.Error(t, outbox.Move(t.Context(), db, "user1", "\x00"), "PostgreSQL refuses it, and so nothing changes")
	require.Eventually(t, func() bool {
		for k := range 10 {
			if fake.Attrs(fmt.Sprint("user", k))["city"] != "9" {
				return false
			}
		}
		return true
	}, 20*time.Second, 10*time.Millisecond)
	stop()
	all.Wait()
}

// silent is a connection that has died without a word, once a query is to be sent.
type silent struct {
	net.Conn
	query string
	dead  chan struct{}
}

func (s *silent) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.query)) {
		close(s.dead)
	}
	select {
	case <-s.dead:
		return len(p), nil
	default:
		return s.Conn.Write(p)
	}
}

// DialTimeout and Dial make a *silent a Dialer of the driver, for one connection.
func (s *silent) DialTimeout(network, address string, _ time.Duration) (net.Conn, error) {
	return s.Dial(network, address)
}

func (s *silent) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).Dial(network, address)
	s.Conn = conn
	return s, err
}

// TestFeederThatHasGone: where the machine of a feeder has gone in the middle of a transaction, another feeder goes on.
func TestFeederThatHasGone(t *testing.T) {
	t.Parallel()
	db, address := pgtest.Start(t, outbox.Schema)
	q, err := dispatch.OpenEmbedded(t.Context(), t.TempDir(), 1400000000)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, q.Close()) })
	require.NoError(t, outbox.Move(t.Context(), db, "mary", "Rome"))
	gone := &silent{query: "from outbox order by id", dead: make(chan struct{})}
	connector, err := pq.NewConnector(address)
	require.NoError(t, err)
	connector.Dialer(gone)
	other := sql.OpenDB(connector)
	go func() { _ = outbox.Feed(t.Context(), other, q) }()
	<-gone.dead
	go func() { _ = outbox.Feed(t.Context(), db, q) }()
	require.Eventually(t, func() bool {
		var n int
		return assert.NoError(t, db.QueryRowContext(t.Context(), `select count(*) from outbox`).Scan(&n)) && n == 0
	}, 20*time.Second, 50*time.Millisecond)
	_ = gone.Close()
}

// late is a connection over which the answer to the first deletion comes late, as where the machine or its network stands still.
type late struct {
	net.Conn
	until    chan struct{}
	prepared bool
	held     atomic.Bool
}

func (l *late) Write(p []byte) (int, error) {
	if l.prepared {
		l.held.Store(true) // it is executed
	}
	l.prepared = bytes.Contains(p, []byte("delete from outbox"))
	return l.Conn.Write(p)
}

func (l *late) Read(p []byte) (int, error) {
	if l.held.Load() {
		<-l.until
	}
	return l.Conn.Read(p)
}

func (l *late) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).Dial(network, address)
	l.Conn = conn
	return l, err
}

func (l *late) DialTimeout(network, address string, _ time.Duration) (net.Conn, error) {
	return l.Dial(network, address)
}

// TestFeederThatStoodStill: a feeder stands still in the middle of a batch, for longer than PostgreSQL keeps its lock and the queue its ids.
// Another one moves the entries meanwhile.
func TestFeederThatStoodStill(t *testing.T) {
	t.Parallel()
	const window = 3 * time.Second // 2 minutes if not given
	db, address := pgtest.Start(t, outbox.Schema)
	fake := timpushtest.Start(t)
	q, err := dispatch.OpenEmbedded(t.Context(), t.TempDir(), 1400000000, dispatch.WithDuplicateWindow(window))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, q.Close()) })
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() { assert.NoError(t, q.Run(ctx, fake.Client())) })
	for n := range 10 {
		require.NoError(t, outbox.Move(t.Context(), db, "mary", strconv.Itoa(n)))
	}
	conn := &late{until: make(chan struct{})}
	connector, err := pq.NewConnector(address)
	require.NoError(t, err)
	connector.Dialer(conn)
	all.Go(func() { _ = outbox.Feed(ctx, sql.OpenDB(connector), q) })
	require.Eventually(t, conn.held.Load, 20*time.Second, time.Millisecond)
	all.Go(func() { assert.NoError(t, outbox.Feed(ctx, db, q)) })
	hasLast := func() bool { return fake.Attrs("mary")["city"] == "9" }
	require.Eventually(t, hasLast, 20*time.Second, 10*time.Millisecond)
	time.Sleep(window + time.Second)
	close(conn.until)
	assert.Never(t, func() bool { return !hasLast() }, time.Second, 10*time.Millisecond, "no value goes back")
}

//go:build unix

package pushevents

import (
	"database/sql"
	"net/http"
	"net/http/httptest"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch/examples/internal/pgtest"
	"github.com/timpush/timpush-go/timpushtest"
)

// count counts the events at a stage.
func count(t *testing.T, db *sql.DB, stage timpush.PushStage) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), `select count(*) from push_events where stage = $1`, stage).Scan(&n))
	return n
}

// TestEvents uses one PostgreSQL for all, which takes a second to start.
func TestEvents(t *testing.T) {
	t.Parallel()
	db, address := pgtest.Start(t, Schema)
	silentConnection(t, address)
	for _, test := range []func(*testing.T, *sql.DB){storedOnce, hard, answeredInTime} {
		_, err := db.ExecContext(t.Context(), `truncate push_events`)
		require.NoError(t, err)
		test(t, db)
	}
}

// storedOnce follows a push to a hundred accounts from the fake into the table. Each callback comes twice.
func storedOnce(t *testing.T, db *sql.DB) {
	t.Helper()
	var accounts []string
	for i := range 100 {
		accounts = append(accounts, "user"+strconv.Itoa(i))
	}
	fake := timpushtest.Start(t, timpushtest.WithKnownAccounts(accounts...), timpushtest.WithReach(90, 60, 20), timpushtest.WithCallbackToken("token"))
	app, _, _ := fake.App()
	handler, err := Handler(app, "token", db)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	defer server.Close()
	receipt, err := fake.Client().Push(t.Context(), timpush.Audience{Everybody: true}, timpush.Push{Notification: timpush.Notification{Title: "x"}})
	require.NoError(t, err)
	for range 2 {
		events := fake.PushEvents(receipt.TaskID)
		for len(events) > 0 {
			n := min(100, len(events))
			began := time.Now()
			answer, err := fake.SendCallback(t.Context(), server.URL, events[:n]...)
			require.NoError(t, err)
			assert.Equal(t, http.StatusOK, answer.Status)
			assert.Equal(t, 0, answer.ErrorCode)
			assert.Less(t, time.Since(began), time.Second)
			events = events[n:]
		}
	}
	to := time.Now().Add(time.Second)
	stats, err := fake.Client().PushStats(t.Context(), to.Add(-time.Hour), to, receipt.TaskID)
	require.NoError(t, err)
	assert.Equal(t, stats[0].ClickCount, count(t, db, timpush.PushStageClicked), "as the statistics have it")
	assert.Equal(t, 100, count(t, db, timpush.PushStageSent), "with those that could not be sent")
	var failed int
	require.NoError(t, db.QueryRowContext(t.Context(), `select count(*) from push_events where err_code <> 0`).Scan(&failed))
	assert.Equal(t, 40, failed)
}

// hard: what an event has, or has not, keeps no other one out.
func hard(t *testing.T, db *sql.DB) {
	t.Helper()
	event := timpush.PushEvent{TaskID: "t", ToAccount: "mary", PushStage: timpush.PushStageClicked, EventTime: time.Unix(1700000000, 0)}
	later, elsewhere, hostile := event, event, event
	later.EventTime = later.EventTime.Add(time.Second)
	elsewhere.PushPlatform = timpush.PushPlatformHonor
	hostile.ToAccount = "'); drop table push_events; --\x00\xff"
	events := []timpush.PushEvent{event, later, elsewhere, hostile, {}, event, {}}
	require.NoError(t, store(t.Context(), db, events))
	require.NoError(t, store(t.Context(), db, events))
	assert.Equal(t, 4, count(t, db, timpush.PushStageClicked))
	assert.Equal(t, 1, count(t, db, 0), "what the service did not send")
}

// answeredInTime: if the database does not answer, the service has its answer within a second.
func answeredInTime(t *testing.T, db *sql.DB) {
	t.Helper()
	lock, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = lock.ExecContext(t.Context(), `lock table push_events`)
	require.NoError(t, err)
	began := time.Now()
	require.Error(t, store(t.Context(), db, []timpush.PushEvent{{TaskID: "t"}}))
	assert.Less(t, time.Since(began), time.Second)
	require.NoError(t, lock.Rollback())
	require.NoError(t, store(t.Context(), db, []timpush.PushEvent{{TaskID: "t"}}), "and the next one is stored")
	assert.Equal(t, 1, count(t, db, 0))
}

// silentConnection: where a connection has died without a word, the service has its answer within a second too, and the next events
// are stored over another one.
func silentConnection(t *testing.T, address string) {
	t.Helper()
	connector, err := pq.NewConnector(address)
	require.NoError(t, err)
	connector.Dialer(&Dialer{})
	db := sql.OpenDB(connector)
	defer func() { assert.NoError(t, db.Close()) }()
	db.SetMaxOpenConns(1)
	var process int
	require.NoError(t, db.QueryRowContext(t.Context(), `select pg_backend_pid()`).Scan(&process))
	require.NoError(t, syscall.Kill(process, syscall.SIGSTOP))
	defer func() { assert.NoError(t, syscall.Kill(process, syscall.SIGCONT)) }()
	stored := make(chan error, 1)
	go func() { stored <- store(t.Context(), db, []timpush.PushEvent{{TaskID: "silent"}}) }()
	select {
	case err := <-stored:
		require.Error(t, err)
	case <-time.After(5 * time.Second):
		require.Fail(t, "no answer")
	}
	require.NoError(t, store(t.Context(), db, []timpush.PushEvent{{TaskID: "silent"}}))
}

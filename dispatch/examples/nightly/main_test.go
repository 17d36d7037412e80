//go:build unix

package main

import (
	"bytes"
	"database/sql"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch/examples/internal/pgtest"
	"github.com/timpush/timpush-go/timpushtest"
)

// TestMain is the program itself, if a test starts it.
func TestMain(m *testing.M) {
	if os.Getenv("NIGHTLY") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// started is the program that a test has started.
type started struct {
	*exec.Cmd
	log bytes.Buffer
}

func start(t *testing.T, database string, fake *timpushtest.Server) *started {
	t.Helper()
	id, identifier, key := fake.App()
	cmd := &started{Cmd: exec.CommandContext(t.Context(), os.Args[0])}
	cmd.Stderr = &cmd.log
	cmd.Env = append(os.Environ(), "NIGHTLY=1", "GORACE=atexit_sleep_ms=0", "DATABASE_URL="+database, "TIMPUSH_SDKAPPID="+strconv.Itoa(id), "TIMPUSH_IDENTIFIER="+identifier,
		"TIMPUSH_SECRET_KEY="+key, "TIMPUSH_REGION=singapore", "TIMPUSH_BASE_URL="+fake.URL)
	require.NoError(t, cmd.Start())
	return cmd
}

// ended waits for the program and returns its exit code.
func (s *started) ended(t *testing.T) int {
	t.Helper()
	err := s.Wait()
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok, err)
	return exit.ExitCode()
}

// left returns the account that is stored for the next run, or "".
func left(t *testing.T, db *sql.DB) (account string) {
	t.Helper()
	err := db.QueryRowContext(t.Context(), `select account from nightly`).Scan(&account)
	if !errors.Is(err, sql.ErrNoRows) {
		require.NoError(t, err)
	}
	return account
}

// customersOfTest are more than a stream reads ahead.
const customersOfTest = 10_000

// TestNightly runs the job on one database, which takes long to start.
func TestNightly(t *testing.T) {
	t.Parallel()
	db, address := pgtest.Start(t, Schema)
	insert := `insert into customers select 'u' || lpad(n::text, 6, '0'), 'city ' || n % 7, n % 5 from generate_series(0, $1) n`
	_, err := db.ExecContext(t.Context(), insert, customersOfTest-1)
	require.NoError(t, err)
	userThatIsLeft(t, db)
	stopped(t, db, address)
	tableThatIsGone(t, db)
}

// TestPasswordStaysOutOfTheLog: drivers repeat a URL that they cannot read, as with a percent sign in its password.
func TestPasswordStaysOutOfTheLog(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"postgres://job:100%hunter2@localhost/db", "postgres://job:hunter2#1@localhost/db"} {
		job := start(t, database, timpushtest.Start(t, timpushtest.WithPlainHTTP()))
		require.Equal(t, 3, job.ended(t))
		assert.Contains(t, job.log.String(), "DATABASE_URL is not valid")
		assert.NotContains(t, job.log.String(), "hunter2")
	}
}

// TestSecondSignal: the driver waits for a database that hangs, whatever its context says.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	job := start(t, "postgres://job@"+silent.Addr().String()+"/db?sslmode=disable", timpushtest.Start(t, timpushtest.WithPlainHTTP()))
	conn, err := silent.Accept()
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	began := time.Now()
	ended := make(chan int, 1)
	go func() { ended <- job.ended(t) }()
	for range 8 {
		_ = job.Process.Signal(os.Interrupt)
		select {
		case <-ended:
			return
		case <-time.After(time.Second):
		}
	}
	t.Error("it does not end after", time.Since(began))
}

// userThatIsLeft has a user that fails for a reason that passes: it comes again, and so do those after it.
func userThatIsLeft(t *testing.T, db *sql.DB) {
	t.Helper()
	fake := timpushtest.Start(t, timpushtest.WithQuota(0), timpushtest.WithAttrNames("city", "level"))
	fake.Refuse(91000, "u000150")
	_, err := send(t.Context(), db, fake.Client(timpush.WithMaxAttempts(2), timpush.WithLimiter(timpush.NewLimiter(5000))))
	require.ErrorContains(t, err, "for reasons that pass")
	assert.Equal(t, "u000149", left(t, db))
	assert.Equal(t, customersOfTest-1, fake.NumAccounts())
}

// stopped is stopped by a signal, and continued by the next run, which has a user that is rejected.
func stopped(t *testing.T, db *sql.DB, address string) {
	t.Helper()
	fake := timpushtest.Start(t, timpushtest.WithPlainHTTP(), timpushtest.WithQuota(0), timpushtest.WithAttrNames("city", "level"))
	var sent, done atomic.Int64
	enough := make(chan struct{})
	fake.Watch(func(call timpushtest.Call) {
		done.Add(int64(len(call.Accounts)))
		if sent.Add(1) == 10 {
			close(enough)
		}
	})
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.Delay(time.Second, timpushtest.Fault{}) })
	first := start(t, address, fake)
	<-enough
	for range 2 { // as timeout(1) sends it to the program, and at once to its group
		require.NoError(t, first.Process.Signal(os.Interrupt))
		time.Sleep(time.Millisecond)
	}
	require.Equal(t, 3, first.ended(t), "%s", &first.log)
	fake.Handle(nil)
	assert.Less(t, sent.Load(), int64(2*10+32), "what was read ahead is not sent after the signal")
	assert.Contains(t, first.log.String(), "ended early")
	assert.NotContains(t, first.log.String(), "user is not done", "those are for the next run")
	at := left(t, db)
	require.Greater(t, at, "u000149")
	assert.Less(t, fake.NumAccounts(), customersOfTest)
	assert.NotNil(t, fake.Attrs(at))

	_, err := db.ExecContext(t.Context(), `delete from customers where account < 'u000100'`) // positions change
	require.NoError(t, err)
	fake.Refuse(90033, "u009999")
	second := start(t, address, fake)
	require.Equal(t, 1, second.ended(t), "%s", &second.log)
	assert.Contains(t, second.log.String(), "account=u009999")
	assert.Empty(t, left(t, db), "the next run begins with the first user")
	assert.Equal(t, customersOfTest-150-1, fake.NumAccounts(), "those up to u000149 were settled before")
	assert.Equal(t, map[string]string{"city": "city 2", "level": "3"}, fake.Attrs("u009998"))
	assert.Less(t, done.Load(), int64(customersOfTest+1500), "what was done is not sent again")
}

// tableThatIsGone fails for the database, and keeps its place.
func tableThatIsGone(t *testing.T, db *sql.DB) {
	t.Helper()
	fake := timpushtest.Start(t)
	_, err := db.ExecContext(t.Context(), `insert into nightly values ('customers', 'u005000'); drop table customers`)
	require.NoError(t, err)
	_, err = send(t.Context(), db, fake.Client())
	_, ok := errors.AsType[*sourceError](err)
	require.True(t, ok, err)
	assert.Equal(t, "u005000", left(t, db))
	assert.Zero(t, fake.NumAccounts())
}

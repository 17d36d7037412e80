//go:build unix

package pushevents_test

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch/examples/internal/pgtest"
	"github.com/timpush/timpush-go/dispatch/examples/pushevents"
	"github.com/timpush/timpush-go/timpushtest"
)

// asProgram makes the test binary the program of the example.
const asProgram = "PUSHEVENTS_IS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		Example()
		return
	}
	os.Exit(m.Run())
}

// program makes a command that runs the program, and has not begun.
func program(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), env...)
	return cmd
}

// With an empty token, as of a secret that is missing, everybody could post events.
func TestProgramRefusesAnEmptyToken(t *testing.T) {
	t.Parallel()
	out, err := program(t, "TIMPUSH_SDKAPPID=1400000000", "TIMPUSH_CALLBACK_TOKEN=", "DATABASE_URL=host=/nowhere").CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "TIMPUSH_CALLBACK_TOKEN is empty")
}

// SIGTERM, which systemd and Docker send, lets the callback that is being stored have its answer.
func TestProgramIsStoppedWhileItStores(t *testing.T) {
	t.Parallel()
	const address = "127.0.0.1:7171"
	if l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address); err != nil {
		t.Skip(err)
	} else {
		require.NoError(t, l.Close())
	}
	db, database := pgtest.Start(t, pushevents.Schema)
	fake := timpushtest.Start(t, timpushtest.WithKnownAccounts("mary"), timpushtest.WithCallbackToken("token"))
	app, _, _ := fake.App()
	receipt, err := fake.Client().Push(t.Context(), timpush.Audience{Everybody: true}, timpush.Push{Notification: timpush.Notification{Title: "x"}})
	require.NoError(t, err)
	cmd := program(t, "TIMPUSH_SDKAPPID="+strconv.Itoa(app), "TIMPUSH_CALLBACK_TOKEN=token", "DATABASE_URL="+database)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		return err == nil && c.Close() == nil
	}, 20*time.Second, 20*time.Millisecond)
	lock, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = lock.ExecContext(t.Context(), `lock table push_events`)
	require.NoError(t, err)
	time.AfterFunc(200*time.Millisecond, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	time.AfterFunc(400*time.Millisecond, func() { _ = lock.Rollback() })
	answer, err := fake.SendCallback(t.Context(), "http://"+address, fake.PushEvents(receipt.TaskID)...)
	require.NoError(t, err)
	assert.Equal(t, 0, answer.ErrorCode)
	require.NoError(t, cmd.Wait())
	var stored int
	require.NoError(t, db.QueryRowContext(t.Context(), `select count(*) from push_events`).Scan(&stored))
	assert.NotZero(t, stored)
}

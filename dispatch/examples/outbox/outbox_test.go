//go:build unix

package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/dispatch/examples/outbox"
	"github.com/timpush/timpush-go/timpushtest"
)

// postgres starts a PostgreSQL that listens on a socket in a folder.
func postgres(t *testing.T) *sql.DB {
	t.Helper()
	initdb, err := findProgram("initdb")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("PostgreSQL is not installed: on Debian, apt-get install postgresql")
	}
	require.NoError(t, err)
	server, err := findProgram("postgres")
	require.NoError(t, err)
	folder, err := os.MkdirTemp("", "outbox") //nolint:usetesting // only this user may enter t.TempDir, and PostgreSQL is run by another user
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	data := filepath.Join(folder, "data")
	out, err := unprivileged(t, folder, initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync").CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := unprivileged(t, folder, server, "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	db, err := sql.Open("postgres", "host="+folder+" user=postgres dbname=postgres sslmode=disable")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() }) // the server has gone with the context of the test
	require.Eventually(t, func() bool { return db.PingContext(t.Context()) == nil }, 20*time.Second, 50*time.Millisecond)
	_, err = db.ExecContext(t.Context(), outbox.Schema)
	require.NoError(t, err)
	return db
}

func findProgram(name string) (string, error) {
	if debian, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); err == nil && len(debian) > 0 {
		return debian[len(debian)-1], nil
	}
	return exec.LookPath(name)
}

func TestRowAndAttributeChangeTogether(t *testing.T) {
	t.Parallel()
	db, fake := postgres(t), timpushtest.Start(t)
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

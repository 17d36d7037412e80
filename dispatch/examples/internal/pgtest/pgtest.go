//go:build unix

// Package pgtest starts a PostgreSQL for the tests of the examples.
package pgtest

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver
	"github.com/stretchr/testify/require"
)

// Start starts a PostgreSQL that listens on a socket in a folder until the test ends, and makes the tables of the schema. It
// returns its address, too. The test is skipped where PostgreSQL is not installed, but not in CI.
func Start(t *testing.T, schema string) (db *sql.DB, address string) {
	t.Helper()
	initdb, err := findProgram("initdb")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("PostgreSQL is not installed: on Debian, apt-get install postgresql")
	}
	require.NoError(t, err)
	server, err := findProgram("postgres")
	require.NoError(t, err)
	folder, err := os.MkdirTemp("", "postgres") //nolint:usetesting // only this user may enter t.TempDir, and PostgreSQL is run by another user
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
	address = "host=" + folder + " user=postgres dbname=postgres sslmode=disable"
	db, err = sql.Open("postgres", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() }) // the server has gone with the context of the test
	require.Eventually(t, func() bool { return db.PingContext(t.Context()) == nil }, 20*time.Second, 50*time.Millisecond)
	_, err = db.ExecContext(t.Context(), schema)
	require.NoError(t, err)
	return db, address
}

func findProgram(name string) (string, error) {
	if debian, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); err == nil && len(debian) > 0 {
		return debian[len(debian)-1], nil
	}
	return exec.LookPath(name)
}

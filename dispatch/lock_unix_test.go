//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dispatch

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFolderIsFreeAfterItIsUnlocked, although a process that has just been started has the lock's file open as well, for which a second
// descriptor stands here.
func TestFolderIsFreeAfterItIsUnlocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := lock(dir)
	require.NoError(t, err)
	require.NoError(t, unlock())

	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, lockFile(f))
	_, err = lock(dir)
	require.ErrorContains(t, err, "in use")
	inherited, err := syscall.Dup(int(f.Fd()))
	require.NoError(t, err)
	defer func() { require.NoError(t, syscall.Close(inherited)) }()
	require.NoError(t, unlockFile(f))
	require.NoError(t, f.Close())
	unlock, err = lock(dir)
	require.NoError(t, err)
	require.NoError(t, unlock())
}

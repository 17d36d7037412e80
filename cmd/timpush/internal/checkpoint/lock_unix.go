//go:build unix

package checkpoint

import (
	"os"

	"golang.org/x/sys/unix"
)

// Lock locks a file until it is closed, also by the end of the process. It returns [ErrLocked] if it is locked already, also by
// this process through another os.File.
func Lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		return ErrLocked
	}
	return err
}

func syncOpenDir(dir *os.File) error { return dir.Sync() }

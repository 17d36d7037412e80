package checkpoint

import (
	"os"

	"golang.org/x/sys/windows"
)

// Lock locks a file until it is closed, also by the end of the process. It returns [ErrLocked] if it is locked already, also by
// this process through another os.File.
func Lock(f *os.File) error {
	const far = 1 << 30 // beyond the content: a lock here is mandatory, and the file is read by others
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0,
		&windows.Overlapped{OffsetHigh: far})
	if err == windows.ERROR_LOCK_VIOLATION {
		return ErrLocked
	}
	return err
}

// syncOpenDir does nothing: there a folder cannot be synced.
func syncOpenDir(*os.File) error { return nil }

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dispatch

import (
	"os"
	"syscall"
)

func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// unlockFile unlocks a file that is to be closed: until a process that this one has just started runs its program, it has the file open too.
func unlockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }

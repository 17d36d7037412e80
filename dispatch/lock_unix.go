//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dispatch

import (
	"os"
	"syscall"
)

func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

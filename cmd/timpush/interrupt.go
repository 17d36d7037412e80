package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyAgain returns a channel that tells of the next signal to end.
func notifyAgain() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	return c
}

// Timpush sets, reads and removes attributes of users of Tencent Cloud Chat's push service, from files of any size.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// The exit codes.
const (
	exitDone  = 0 // all done
	exitSome  = 1 // some are not
	exitUsage = 2 // the command line or the configuration is wrong; nothing was done
	exitFatal = 3 // it could not be done, or not to its end
)

// exitError is an error with its exit code. One without a text has been told of already.
type exitError struct {
	code int
	error
}

func (e *exitError) Unwrap() error { return e.error }

func usage(err error) error { return coded(exitUsage, err) }
func fatal(err error) error { return coded(exitFatal, err) }

func coded(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

func main() { os.Exit(run()) }

// once leaves out the name of the library, which is that of the program.
func once(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, "timpush: "), "\ntimpush: ", "\n")
}

func run() int {
	limitMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, out := newRoot(), &output{}
	root.SetOut(out)
	code, err := ended(root.ExecuteContext(ctx))
	if code < exitFatal && out.err != nil {
		code, err = exitFatal, fmt.Errorf("standard output: %w", out.err)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "timpush:", once(err.Error()))
	}
	return code
}

// ended returns the exit code of what a command has returned, and what is still to be told.
func ended(err error) (int, error) {
	if err == nil {
		return exitDone, nil
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code, e.error
	}
	return exitFatal, err
}

// output is standard output. It keeps its first error: who reads a file that was cut off by a full disk must be able to tell.
type output struct{ err error }

func (o *output) Write(p []byte) (int, error) {
	n, err := os.Stdout.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

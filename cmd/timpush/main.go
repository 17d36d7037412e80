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
	err := newRoot().ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	code := exitFatal
	if e, ok := errors.AsType[*exitError](err); ok {
		code = e.code
		err = e.error
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "timpush:", once(err.Error()))
	}
	return code
}

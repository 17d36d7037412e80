// Timpush sets attributes and tags of users of Tencent Cloud Chat's push service, from files of any size, and sends pushes.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// The exit codes.
const (
	exitDone  = 0 // all done
	exitSome  = 1 // some are not, or what is asked for may be done already
	exitUsage = 2 // the command line or the configuration is wrong; nothing was done
	exitFatal = 3 // failed, or stopped early
)

// exitError is an error with its exit code. Without an error in it, nothing more is printed.
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

// once removes the name of the library, which is that of the program, too.
func once(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, "timpush: "), "\ntimpush: ", "\n")
}

func run() int {
	limitMemory()
	ending := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as it is under nohup
		ending = append(ending, syscall.SIGHUP) // of a terminal that was closed
	}
	ctx, stop := signal.NotifyContext(context.Background(), ending...)
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(2*together, stop) }) // the second signal ends the program, unless a command waits for it
	root, out, errs := newRoot(), &output{file: os.Stdout}, &output{file: os.Stderr}
	root.SetOut(out)
	root.SetErr(errs)
	root.SetIn(&interruptible{ctx: ctx, r: os.Stdin})
	code, err := exitOf(root.ExecuteContext(ctx))
	if err != nil && wantsJSON() && out.err == nil {
		if writeJSONError(out, code, err); out.err == nil {
			err = nil
		}
	}
	if code < exitFatal && err == nil && out.err != nil {
		code, err = exitFatal, fmt.Errorf("standard output: %w", out.err)
	}
	if err != nil {
		_, _ = fmt.Fprintln(errs, "timpush:", once(err.Error()))
	}
	return code
}

// wantsJSON reports whether the command line asks for JSON, also where it is wrong in other ways.
func wantsJSON() bool {
	args := os.Args[1:]
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return slices.ContainsFunc(args, func(arg string) bool {
		value, given := strings.CutPrefix(arg, "--json=")
		yes, err := strconv.ParseBool(value)
		return arg == "--json" || given && (err != nil || yes)
	})
}

// writeJSONError writes an error for the program that reads standard output.
func writeJSONError(out io.Writer, code int, err error) {
	_ = plainJSON(out).Encode(map[string]any{"event": "error", "error": map[string]any{"exit_code": code, "message": once(err.Error())}}) // out keeps its error
}

// exitOf returns the exit code of what a command has returned, and the error that is still to be printed.
func exitOf(err error) (int, error) {
	if err == nil {
		return exitDone, nil
	}
	if e, ok := errors.AsType[*exitError](err); ok && !errors.Is(err, errInterrupted) {
		return e.code, e.error
	}
	return exitFatal, err
}

// output is standard output or standard error. It keeps its first error: the exit code must show that a full disk has cut a file off.
// Control characters come as JSON has them, since names of files and what a server sends could otherwise control the terminal.
type output struct {
	file *os.File
	mu   sync.Mutex
	err  error
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := o.file.Write(visible(p)); err != nil {
		o.err = cmp.Or(o.err, err)
		return 0, err
	}
	return len(p), nil
}

// visible returns a text with the control characters written out that are neither the end of a line nor a tab.
func visible(p []byte) []byte {
	hidden := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if bytes.IndexFunc(p, hidden) < 0 {
		return p
	}
	var shown []byte
	for len(p) > 0 {
		r, size := utf8.DecodeRune(p)
		if hidden(r) {
			shown = fmt.Appendf(shown, "\\u%04x", r)
		} else {
			shown = append(shown, p[:size]...) // as it is, also if it is not UTF-8
		}
		p = p[size:]
	}
	return shown
}

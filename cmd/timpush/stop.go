package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
)

// stopTimeout is how long requests in flight may take to end after Ctrl-C.
const stopTimeout = 10 * time.Second

// errInterrupted is why a command that was told to stop has ended.
var errInterrupted = bulk.ErrInterrupted

// gate is a Limiter that lets no request through once it is closed, and an Observer that counts the requests in flight.
// Those that wait at a closed gate wait until their context ends, so that the client does not repeat them.
type gate struct {
	limiter  timpush.Limiter // nil if the gate only observes
	closed   context.Context
	close    context.CancelFunc
	passed   atomic.Int64 // let through, and not begun yet
	inFlight atomic.Int64
}

func newGate() *gate {
	g := &gate{}
	g.closed, g.close = context.WithCancel(context.Background())
	return g
}

// options puts the gate into a client.
func (g *gate) options() []timpush.Option {
	return []timpush.Option{timpush.WithLimiter(g), timpush.WithObserver(g)}
}

// Wait waits for the limiter, or for the end of ctx once the gate is closed.
func (g *gate) Wait(ctx context.Context) error {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.closed, cancel)()
	err := g.limiter.Wait(waiting)
	if g.closed.Err() != nil {
		<-ctx.Done()
		return ctx.Err()
	}
	if err == nil {
		g.passed.Add(1)
	}
	return err
}

// Behind returns the limiter, at whose rate those leave that have waited for their connections.
func (g *gate) Behind() timpush.Limiter { return g.limiter }

// Observe counts the requests in flight.
func (g *gate) Observe(ctx context.Context, e timpush.Event) context.Context {
	switch e.Kind {
	case timpush.AttemptStart:
		g.passed.Add(-1)
		g.inFlight.Add(1)
	case timpush.AttemptEnd:
		g.inFlight.Add(-1)
	}
	return ctx
}

// idle waits until no request is in flight, or done is closed.
func (g *gate) idle(done <-chan struct{}) <-chan struct{} {
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		const pause, start = 5 * time.Millisecond, 100 * time.Millisecond // the latter for one that has passed to begin
		for waited := time.Duration(0); ; waited += pause {
			if g.inFlight.Load() == 0 && (g.passed.Load() <= 0 || waited > start) {
				return
			}
			select {
			case <-done:
				return
			case <-time.After(pause):
			}
		}
	}()
	return idle
}

// untilStopped runs do with a context that outlives ctx: once ctx ends, by Ctrl-C for instance, the gate lets no further
// request through, those in flight may end, and then the context of do ends. A second Ctrl-C or stopTimeout ends it at once.
func (g *gate) untilStopped(ctx context.Context, say func(string), do func(context.Context) error) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	defer context.AfterFunc(ctx, func() { // not when ctx ends after do
		survive()
		second := nextSignal()
		g.close()
		say("stopping: waiting for the requests in flight (Ctrl-C again: do not wait)")
		select {
		case <-second:
		case <-time.After(stopTimeout):
		case <-g.idle(ended):
		}
		cancel()
	})()
	return do(running)
}

// interruptible is a reader that gives up once ctx ends: where nothing comes from a terminal or a pipe, a read has no end. Nor does it
// end where a signal ends the program that writes to the pipe, too: what has come is not all, and its last line may be a part of one.
type interruptible struct {
	ctx   context.Context //nolint:containedctx // it is that of the program
	r     *os.File
	ended bool
}

func (i *interruptible) Read(p []byte) (int, error) {
	text, err := untilEnd(i.ctx, func() ([]byte, error) {
		b := make([]byte, len(p)) // p is the caller's again if it gives up
		n, err := i.r.Read(b)
		return b[:n], err
	})
	if errors.Is(err, io.EOF) && !i.ended && !regular(i.r) {
		select {
		case <-i.ctx.Done():
			return 0, errInterrupted
		case <-time.After(together):
			i.ended = true
		}
	}
	return copy(p, text), err
}

func regular(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// openFile opens a file for reading. It may be a named pipe, which is open once its writer is there, and whose text may come slowly.
func openFile(ctx context.Context, name string) (f *os.File, from io.Reader, err error) {
	f, err = untilEnd(ctx, func() (*os.File, error) { return os.Open(name) })
	return f, &interruptible{ctx: ctx, r: f}, err
}

// untilEnd calls read. If ctx ends before it returns, it is left alone and the error is errInterrupted.
func untilEnd[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, errInterrupted
	}
}

// survive lets the program live on when it has been told to stop, until what is under way has ended: Ctrl-C ends the program that reads its
// output as well, such as tee, and a shell tells once more that its terminal was closed.
func survive() { signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP) }

// together is how long signals count as one: timeout(1) sends its own to the program, and at once to the program's group.
const together = 50 * time.Millisecond

// nextSignal returns a channel that receives the next signal to end.
func nextSignal() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	time.AfterFunc(together, func() { signal.Notify(c, os.Interrupt, syscall.SIGTERM) })
	return c
}

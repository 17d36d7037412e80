package main

import (
	"context"
	"errors"
	"time"
)

// withEnd returns a context that is cancelled at a time. It has no deadline: a client does not begin what it cannot end before
// a deadline, and a run would thin out before its end.
func withEnd(ctx context.Context, end time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(time.Until(end), cancel)
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}

// failure returns why a run was stopped with a cause, and nil if it has just reached its end.
func failure(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// pause returns after a time, or when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

package main

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	timpush "github.com/timpush/timpush-go"
)

const crowdSize = 10_000

// TestBatcher measures how long many goroutines wait that set one user each.
func TestBatcher(t *testing.T) { //nolint:paralleltest // it measures
	server := distantFake(t)
	b := timpush.NewBatcher(server.Client())
	rate := crowd(t, "Batcher", scaled(t, 30*time.Second), b.SetAttr)
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	report(t, "rate", rate)
	report(t, "refused", float64(refusedOf(server.Calls())))
	c := distantFake(t).Client()
	crowd(t, "SetAttr", scaled(t, 10*time.Second), func(ctx context.Context, u timpush.UserAttrs) error {
		_, err := c.SetAttr(ctx, []timpush.UserAttrs{u})
		return err
	})
}

// crowd lets many goroutines set their user again and again. It reports the rate and the waits of the calls that ended
// within a time after the warm-up.
func crowd(t *testing.T, name string, length time.Duration, set func(context.Context, timpush.UserAttrs) error) float64 {
	t.Helper()
	warmUp := scaled(t, 5*time.Second)
	from := time.Now().Add(warmUp)
	ctx, stop := context.WithCancelCause(until(t, from.Add(length)))
	defer stop(nil)
	each := make([][]time.Duration, crowdSize)
	var all sync.WaitGroup
	for k := range crowdSize {
		if k%100 == 0 { // they start in the first fifth of the warm-up: all at once they would delay their own requests
			time.Sleep(warmUp / 5 / (crowdSize / 100))
		}
		all.Go(func() {
			var err error
			if each[k], err = setAgain(ctx, from, user(k), set); err != nil {
				stop(err)
			}
		})
	}
	all.Wait()
	if err := failure(ctx); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	waits := slices.Concat(each...)
	slices.Sort(waits)
	at := func(share float64) float64 { return 1000 * waits[int(share*float64(len(waits)-1))].Seconds() }
	rate := float64(len(waits)) / length.Seconds()
	report(t, name, rate, at(0.5), at(0.99))
	return rate
}

// setAgain sets a user until ctx ends and returns how long the calls took that ended from a time on.
func setAgain(ctx context.Context, from time.Time, u timpush.UserAttrs, set func(context.Context, timpush.UserAttrs) error) ([]time.Duration, error) {
	var took []time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		err := set(ctx, u)
		switch now := time.Now(); {
		case err == nil && !now.Before(from):
			took = append(took, now.Sub(began))
		case err != nil && ctx.Err() == nil:
			return took, err
		}
	}
	return took, nil
}

package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/timpush/timpush-go"
)

var batcherFigure = figure{
	name:  "batcher",
	title: "ten thousand goroutines with one user each",
	about: "10,000 goroutines set one user each, again and again, through a `Batcher`, for 30 s after 5 s of warm-up; the fake " +
		"has 200 ms ± 100 ms latency and its quota of 100 calls a second. Beside it, for 10 s, the same goroutines call " +
		"`SetAttr` of the client, so that each user is a request.",
	measure: measureBatcher,
}

const callers = 10_000

// setOne sets one user's attributes.
type setOne func(context.Context, timpush.UserAttrs) error

func measureBatcher(ctx context.Context, s scale) (*report, error) {
	warmUp := s.duration(5 * time.Second)
	joined, refused, err := joinedWaits(ctx, warmUp, s.duration(30*time.Second))
	if err != nil {
		return nil, err
	}
	alone, err := aloneWaits(ctx, warmUp, s.duration(10*time.Second))
	if err != nil {
		return nil, err
	}
	return batcherReport(joined, alone, refused), nil
}

// waits is how long the calls that ended within a time had taken.
type waits struct {
	sorted []time.Duration
	within time.Duration
}

func (w waits) rate() float64 { return float64(len(w.sorted)) / w.within.Seconds() }

// quantile returns the wait that a share of the calls did not exceed.
func (w waits) quantile(share float64) time.Duration {
	if len(w.sorted) == 0 {
		return 0
	}
	return w.sorted[int(share*float64(len(w.sorted)-1))]
}

func joinedWaits(ctx context.Context, warmUp, within time.Duration) (w waits, refused int, err error) {
	server := distantFake()
	defer server.Close()
	b := timpush.NewBatcher(server.Client())
	w, err = crowd(ctx, warmUp, within, b.SetAttr)
	if closed := b.Close(ctx); err == nil {
		err = closed
	}
	return w, refusedOf(server.Calls()), err
}

func aloneWaits(ctx context.Context, warmUp, within time.Duration) (waits, error) {
	server := distantFake()
	defer server.Close()
	c := server.Client()
	return crowd(ctx, warmUp, within, func(ctx context.Context, u timpush.UserAttrs) error {
		_, err := c.SetAttr(ctx, []timpush.UserAttrs{u})
		return err
	})
}

// crowd lets all callers call again and again, and returns the waits of the calls that ended after the warm-up.
func crowd(ctx context.Context, warmUp, within time.Duration, set setOne) (waits, error) {
	from := time.Now().Add(warmUp)
	ctx, cancel := withEnd(ctx, from.Add(within))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	each := make([][]time.Duration, callers)
	var wg sync.WaitGroup
	for i := range callers {
		if i%100 == 0 { // they come in the first fifth of the warm-up: all at once, they would hold up their own requests
			pause(ctx, warmUp/5/(callers/100))
		}
		wg.Go(func() {
			var err error
			if each[i], err = callAgain(ctx, from, user(i), set); err != nil {
				stop(err)
			}
		})
	}
	wg.Wait()
	all := slices.Concat(each...)
	slices.Sort(all)
	return waits{all, within}, failure(ctx)
}

// callAgain calls until ctx ends and returns the waits of the calls that ended from a time on.
func callAgain(ctx context.Context, from time.Time, u timpush.UserAttrs, set setOne) ([]time.Duration, error) {
	var took []time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		err := set(ctx, u)
		switch now := time.Now(); {
		case err == nil && !now.Before(from):
			took = append(took, now.Sub(began))
		case err != nil && ctx.Err() == nil: // else err is that ctx has ended
			return took, err
		}
	}
	return took, nil
}

func batcherReport(joined, alone waits, refused int) *report {
	beside := table{head: []string{"", "users/s", "wait, p50", "wait, p99"}}
	beside.add("Batcher", thousands(joined.rate()), milliseconds(joined.quantile(0.5)), milliseconds(joined.quantile(0.99)))
	beside.add("SetAttr for each user", thousands(alone.rate()), milliseconds(alone.quantile(0.5)), milliseconds(alone.quantile(0.99)))
	return &report{
		checks: []check{
			atLeast("users done per second", joined.rate(), 9000, thousands).beside("SetAttr for each user", joined.rate()/alone.rate()),
			atMost("calls refused", float64(refused), 0, thousands),
		},
		tables: []table{beside},
		notes: []string{"With 10,000 callers and a quota of 10,000 users a second nobody can wait for much less than a second on average. " +
			"Without a Batcher only the calls that ended within the 10 s are counted; the last of the callers would wait for 100 s."},
		picture: waitPicture(joined),
	}
}

func waitPicture(w waits) *picture {
	p := newPicture("How long a call of Batcher.SetAttr takes, 10,000 callers", "wait (ms)", "share of the calls (%)")
	var points []point
	for percent := range 1001 {
		share := float64(percent) / 1000
		points = append(points, point{inMilliseconds(w.quantile(share)), 100 * share})
	}
	p.line("calls that took no longer", palette[0], points)
	for i, share := range []float64{0.5, 0.99} {
		at := w.quantile(share)
		p.mark(percent(share)+" within "+milliseconds(at), palette[i+1], inMilliseconds(at), 100)
	}
	p.yFrom(0, 100)
	p.xFromZero()
	return p
}

package redislimiter_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/timpush/timpush-go"
)

// beside is what logins and a job get of one quota through Redis.
type beside struct {
	p99  time.Duration // of the logins, with a service that takes 50 ms
	used float64       // by the job, of what the logins leave
	most int           // calls in a second
}

// TestLowPriorityAtADistance has 20 logins a second at random, and a job that makes as many calls as it can, with a Limiter for
// both or one for each. The figures of the documentation: go test -run LowPriority -v -figures 30s.
func TestLowPriorityAtADistance(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	span, trips := *figures, []time.Duration{0, 20 * ms, 50 * ms, 100 * ms}
	if span == 0 {
		span, trips = 6*time.Second, trips[2:3]
	}
	for _, trip := range trips {
		t.Run(trip.String(), func(t *testing.T) {
			t.Parallel()
			later, used := 0.0, 1.0 // of one process and of two, the worse
			for _, processes := range []int{1, 2} {
				inFakeTime(t, func(t *testing.T, m *memory) {
					logins := newLimiter(t, &distant{m, trip, 0.5, 0.2})
					job := logins
					if processes == 2 {
						job = newLimiter(t, &distant{m, trip, 0.5, 0.2})
					}
					alone := loginsBeside(t, span, logins, nil)
					with := loginsBeside(t, span, logins, timpush.LowPriority(job))
					t.Logf("%d processes: p99 of the logins: alone %v, beside a job %v, which uses %.1f %% of what they leave; at most %d calls in a second", processes, alone.p99.Round(ms), with.p99.Round(ms), 100*with.used, with.most)
					later, used = max(later, with.p99.Seconds()/alone.p99.Seconds()), min(used, with.used)
					assert.LessOrEqual(t, with.most, timpush.DefaultQPS)
				})
			}
			t.Attr(fmt.Sprintf("logins-%v-p99", trip), fmt.Sprint(later))
			t.Attr(fmt.Sprintf("logins-%v-used", trip), fmt.Sprint(used))
			assert.Less(t, later, 2.0)
			assert.Greater(t, used, 0.9)
		})
	}
}

// loginsBeside measures after two seconds, in which a job finds out how much it can use.
func loginsBeside(t *testing.T, span time.Duration, logins, job timpush.Limiter) (got beside) {
	t.Helper()
	const service, from = 50 * time.Millisecond, 2 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	start, d := time.Now(), &departures{by: make([][]time.Time, 2)}
	call := func(l timpush.Limiter, who int) {
		if l.Wait(ctx) == nil {
			d.add(who)
			time.Sleep(service)
		}
	}
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			for job != nil && ctx.Err() == nil {
				call(job, 1)
			}
		})
	}
	var took []time.Duration
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(1, 2))
	for ; time.Since(start) < from+span; time.Sleep(time.Duration(r.ExpFloat64() * float64(time.Second/20))) {
		callers.Go(func() {
			login := time.Now()
			call(logins, 0)
			mu.Lock()
			defer mu.Unlock()
			if login.Sub(start) > from {
				took = append(took, time.Since(login))
			}
		})
	}
	cancel()
	callers.Wait()
	time.Sleep(time.Second)
	slices.Sort(took)
	_, by := d.rates(start.Add(from), span)
	return beside{took[len(took)*99/100], by[1] / (96.5 - by[0]), most(d.all())}
}

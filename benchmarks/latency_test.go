package main

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

const (
	pacedRate = 97.5 * timpush.MaxUsersPerRequest // users per second that the client's own pace allows
	atATime   = 4                                 // keeps two cores below their limit
)

// TestLatency measures the users per second by latency and MaxInFlight.
func TestLatency(t *testing.T) { //nolint:paralleltest // it measures
	inFlights := []int{8, 16, 32, 64, 128, 200}
	warmUp, least := scaled(t, time.Second), scaled(t, 4*time.Second)
	slots := make(chan struct{}, atATime)
	lowest := math.Inf(1)
	for _, latency := range []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second} {
		rates := make([]float64, len(inFlights))
		var all sync.WaitGroup
		for k, n := range inFlights {
			all.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				rates[k] = rateAt(t, latency, warmUp+latency, least, n)
			})
		}
		all.Wait()
		report(t, latency.String(), append(rates, max(1, math.Ceil(quota*latency.Seconds())))...)
		if latency <= 300*time.Millisecond { // that the default of 32 is made for
			lowest = min(lowest, rates[2])
		}
	}
	report(t, "share", lowest/pacedRate)
}

// rateAt measures for a whole number of waves, since answers come in waves of MaxInFlight, one each latency.
func rateAt(t *testing.T, latency, warmUp, least time.Duration, inFlight int) float64 {
	t.Helper()
	server := timpushtest.NewServer(timpushtest.WithLatency(latency, 0), timpushtest.WithQuota(0))
	defer server.Close()
	window := least
	if latency > 0 {
		window = latency * time.Duration(max(3, math.Ceil(float64(least)/float64(latency))))
	}
	from := time.Now().Add(warmUp)
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(time.Until(from.Add(window)), cancel).Stop()
	answers, err := stream(ctx, server.Client(timpush.WithMaxInFlight(inFlight)))
	if err != nil {
		t.Errorf("latency %v, MaxInFlight %d: %v", latency, inFlight, err)
	}
	return ratePerSecond(answers, from, from.Add(window))
}

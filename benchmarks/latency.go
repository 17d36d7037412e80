package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

var latencyFigure = figure{
	name:  "latency",
	title: "what MaxInFlight a latency needs",
	about: "`SetAttrSeq` at several `WithMaxInFlight` against fakes of several latencies, each for at least 4 s after a warm-up of a " +
		"second and the latency, four at a time. The fakes refuse nothing: it is the client's own pace, 97.5 calls a second, that bounds the rate. " +
		"The rule: **MaxInFlight must be at least 100/s x latency**, since that many requests are under way at the full quota.",
	measure: measureLatency,
}

const (
	defaultInFlight = 32
	pacedRate       = 97.5 * timpush.MaxUsersPerRequest // users a second that the client's own pace lets through
	untunedUpTo     = 300 * time.Millisecond
	atATime         = 4 // keeps two cores below their limit
)

var (
	latencies = []time.Duration{
		0, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond,
		300 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
	}
	inFlights = []int{8, 16, defaultInFlight, 64, 128, 200}
)

// grid has the users a second by latency and MaxInFlight, in the order of the lists above.
type grid [][]float64

func measureLatency(ctx context.Context, s scale) (*report, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	rates := make(grid, len(latencies))
	places := make(chan struct{}, atATime)
	var wg sync.WaitGroup
	for i, latency := range latencies {
		rates[i] = make([]float64, len(inFlights))
		for j, inFlight := range inFlights {
			wg.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				rate, err := rateAt(ctx, s, latency, inFlight)
				if err != nil {
					stop(err)
				}
				rates[i][j] = rate
			})
		}
	}
	wg.Wait()
	return latencyReport(rates), failure(ctx)
}

// rateAt measures the users a second at a latency.
func rateAt(ctx context.Context, s scale, latency time.Duration, inFlight int) (float64, error) {
	server := timpushtest.NewServer(timpushtest.WithLatency(latency, 0), timpushtest.WithQuota(0))
	defer server.Close()
	from := time.Now().Add(s.duration(time.Second) + latency)
	to := from.Add(window(s, latency))
	ctx, cancel := withEnd(ctx, to)
	defer cancel()
	deliveries, err := stream(ctx, server.Client(timpush.WithMaxInFlight(inFlight)))
	if err != nil {
		return 0, fmt.Errorf("latency %v, MaxInFlight %d: %w", latency, inFlight, err)
	}
	return donePerSecond(deliveries, from, to), nil
}

// window is how long a rate is measured. Answers come in waves of MaxInFlight, one each latency, so it is a whole number
// of waves.
func window(s scale, latency time.Duration) time.Duration {
	least := s.duration(4 * time.Second)
	if latency == 0 {
		return least
	}
	waves := math.Ceil(float64(least) / float64(latency))
	return latency * time.Duration(max(waves, 3))
}

func latencyReport(rates grid) *report {
	head := []string{"latency"}
	for _, n := range inFlights {
		head = append(head, fmt.Sprintf("MaxInFlight %d", n))
	}
	t := table{head: append(head, "needed")}
	for i, latency := range latencies {
		row := []string{milliseconds(latency)}
		for _, rate := range rates[i] {
			row = append(row, thousands(rate))
		}
		t.add(append(row, fmt.Sprint(max(1, math.Ceil(quota*latency.Seconds()))))...)
	}
	return &report{
		checks:  []check{atLeast("users/s with the default up to 300 ms, of 9,750", rates.untuned()/pacedRate, 0.97, percent)},
		tables:  []table{t},
		notes:   []string{"The table has users a second, of which 9,750 is the most, and the least MaxInFlight by the rule."},
		picture: latencyPicture(rates),
	}
}

// untuned is the lowest rate of the default up to the latency that it is made for.
func (g grid) untuned() float64 {
	lowest, column := math.Inf(1), slices.Index(inFlights, defaultInFlight)
	for i, latency := range latencies {
		if latency <= untunedUpTo {
			lowest = min(lowest, g[i][column])
		}
	}
	return lowest
}

func latencyPicture(rates grid) *picture {
	p := newPicture("Throughput by latency and MaxInFlight", "latency of the service (ms)", "users done per second")
	names := make([]string, len(latencies))
	for i, latency := range latencies {
		names[i] = fmt.Sprint(latency.Milliseconds())
	}
	for j, n := range inFlights {
		points := make([]point, len(latencies))
		for i := range latencies {
			points[i] = point{float64(i), rates[i][j]}
		}
		name := fmt.Sprintf("MaxInFlight %d", n)
		if n == defaultInFlight {
			name += " (default)"
		}
		p.dottedLine(name, palette[j], points)
	}
	p.xNames(names)
	p.yFrom(0, 1.1*fullRate)
	p.legendBelow()
	return p
}

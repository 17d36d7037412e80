package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

var paceFigure = figure{
	name:  "pace",
	title: "the pace settles at what others leave of the quota",
	about: "`SetAttrSeq` for 120 s against a fake with 200 ms ± 100 ms latency, while a `net/http` loop, which knows nothing of the client, " +
		"sends 50 of the 100 calls a second until 80 s. Refused calls count for the fake's quota. The client's own limiter stands at 97.5 " +
		"calls a second all the time. The steady state is from 20 s to 80 s.",
	measure: measurePace,
}

const (
	othersRate = 50 // calls a second
	recovered  = 95 // calls a second
)

// schedule is when things happen, since the beginning.
type schedule struct{ steady, alone, end time.Duration }

// second counts the calls that arrived in a second.
type second struct{ accepted, refused, others int }

func measurePace(ctx context.Context, s scale) (*report, error) {
	plan := schedule{s.duration(20 * time.Second), s.duration(80 * time.Second), s.duration(120 * time.Second)}
	server := distantFake()
	defer server.Close()
	others, err := newBare(ctx, server)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	ctx, cancel := withEnd(ctx, began.Add(plan.end))
	defer cancel()
	othersFailed := make(chan error, 1)
	go func() { othersFailed <- others.steadily(ctx, othersRate, plan.alone) }()
	_, err = stream(ctx, server.Client())
	if err := <-othersFailed; err != nil {
		return nil, fmt.Errorf("others: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return paceReport(countSeconds(server.Calls(), began, plan.end), plan), nil
}

// steadily sends calls at a steady rate for a time, whatever comes of them.
func (b *bare) steadily(ctx context.Context, perSecond int, length time.Duration) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	body := bodyOf(someUsers(0, timpush.MaxUsersPerRequest))
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	end := time.NewTimer(length)
	defer end.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return failure(ctx)
		case <-end.C:
			return nil
		case <-ticker.C:
			wg.Go(func() {
				if _, err := b.post(ctx, body); err != nil {
					stop(err) // does nothing if ctx has ended: it then is the reason
				}
			})
		}
	}
}

func countSeconds(calls []timpushtest.Call, began time.Time, length time.Duration) []second {
	seconds := make([]second, int(length/time.Second))
	for _, c := range calls {
		i := int(c.Time.Sub(began) / time.Second)
		if i >= len(seconds) {
			break
		}
		switch {
		case c.Header.Get("User-Agent") == bareAgent:
			seconds[i].others++
		case c.Code != 0:
			seconds[i].refused++
		default:
			seconds[i].accepted++
		}
	}
	return seconds
}

func sum(seconds []second) second {
	var all second
	for _, s := range seconds {
		all.accepted, all.refused, all.others = all.accepted+s.accepted, all.refused+s.refused, all.others+s.others
	}
	return all
}

func paceReport(seconds []second, plan schedule) *report {
	steady, alone := int(plan.steady/time.Second), int(plan.alone/time.Second)
	n := float64(alone - steady)
	all := sum(seconds[steady:alone])
	facts := table{head: []string{"steady state", "calls/s"}}
	facts.add("accepted", fmt.Sprintf("%.1f", float64(all.accepted)/n))
	facts.add("refused", fmt.Sprintf("%.2f", float64(all.refused)/n))
	facts.add("others'", fmt.Sprintf("%.1f", float64(all.others)/n))
	left := float64(quota-othersRate) * n
	return &report{
		checks: []check{below("calls refused in the steady state", float64(all.refused)/float64(all.accepted+all.refused), 0.02, percent)},
		tables: []table{facts},
		notes: []string{
			fmt.Sprintf("The client's accepted calls are %s of the 50 a second that the others leave.", percent(float64(all.accepted)/left)),
			"After the others have stopped, " + recovery(seconds[alone:]),
		},
		picture: pacePicture(seconds),
	}
}

// recovery tells when the calls are back at the quota.
func recovery(seconds []second) string {
	for i, s := range seconds {
		if s.accepted >= recovered {
			return fmt.Sprintf("%d calls a second are reached within %d s.", recovered, i+1)
		}
	}
	return fmt.Sprintf("%d calls a second are not reached within %d s.", recovered, len(seconds))
}

func pacePicture(seconds []second) *picture {
	p := newPicture("Calls in each second, half of the quota used by others until 80 s", "time (s)", "calls per second")
	floor := make([]float64, len(seconds))
	for i, band := range []struct {
		name  string
		count func(second) int
	}{
		{"others", func(s second) int { return s.others }},
		{"client, accepted", func(s second) int { return s.accepted }},
		{"client, refused", func(s second) int { return s.refused }},
	} {
		top := make([]float64, len(seconds))
		for j, s := range seconds {
			top[j] = floor[j] + float64(band.count(s))
		}
		p.band(band.name, bandPalette[i], floor, top)
		floor = top
	}
	p.level("quota: 100 calls", quota)
	p.yFrom(0, 1.5*quota)
	p.legendRight()
	return p
}

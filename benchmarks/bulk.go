package main

import (
	"context"
	"fmt"
	"time"

	"github.com/timpush/timpush-go/timpushtest"
)

var bulkFigure = figure{
	name:  "bulk",
	title: "one stream uses the whole quota, and keeps it",
	about: "`SetAttrSeq` with users without end for a minute, against a fake with 200 ms ± 100 ms latency that refuses what is " +
		"beyond 100 calls in any one second. Beside it, on fakes of their own for 15 s, what is quickly written with `net/http`: " +
		"a loop that sends 100 users a request one after the other, and a pool of 32 such loops that repeats at once what is refused.",
	measure: bulk,
}

// sender sends users without end until its context does.
type sender func(context.Context, *timpushtest.Server) ([]delivery, error)

// bulkRun is what came of a sender.
type bulkRun struct {
	name       string
	deliveries []delivery
	calls      []timpushtest.Call
	peak       int // calls in a second
	from, to   time.Time
}

func bulk(ctx context.Context, s scale) (*report, error) {
	var runs []*bulkRun
	for _, r := range []struct {
		name   string
		length time.Duration
		send   sender
	}{
		{"SetAttrSeq", time.Minute, streamSender},
		{"pool of 32 net/http loops", 15 * time.Second, poolSender(32)},
		{"net/http loop", 15 * time.Second, poolSender(1)},
	} {
		run, err := runSender(ctx, r.name, s.duration(r.length), r.send)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		runs = append(runs, run)
	}
	return bulkReport(runs), nil
}

func streamSender(ctx context.Context, server *timpushtest.Server) ([]delivery, error) {
	return stream(ctx, server.Client())
}

func poolSender(workers int) sender {
	return func(ctx context.Context, server *timpushtest.Server) ([]delivery, error) {
		b, err := newBare(ctx, server)
		if err != nil {
			return nil, err
		}
		return b.pool(ctx, workers)
	}
}

func runSender(ctx context.Context, name string, length time.Duration, send sender) (*bulkRun, error) {
	server := distantFake()
	defer server.Close()
	end := time.Now().Add(length)
	ctx, cancel := withEnd(ctx, end)
	defer cancel()
	deliveries, err := send(ctx, server)
	if err != nil {
		return nil, err
	}
	calls := server.Calls()
	if len(calls) == 0 {
		return nil, fmt.Errorf("no call has arrived within %v", length)
	}
	return &bulkRun{name, deliveries, calls, server.PeakRate(), calls[0].Time, end}, nil
}

func (r *bulkRun) rate() float64 { return donePerSecond(r.deliveries, r.from, r.to) }

func (r *bulkRun) undone() int {
	n := 0
	for _, d := range r.deliveries {
		n += d.undone
	}
	return n
}

func bulkReport(runs []*bulkRun) *report {
	ours, loop := runs[0], runs[len(runs)-1]
	beside := table{head: []string{"", "users/s", "of the quota", "calls", "refused", "most calls in a second"}}
	for _, r := range runs {
		refused := refusedOf(r.calls)
		beside.add(r.name, thousands(r.rate()), percent(r.rate()/fullRate), thousands(float64(len(r.calls))),
			percent(float64(refused)/float64(len(r.calls))), fmt.Sprint(r.peak))
	}
	return &report{
		checks: []check{
			atLeast("users done per second, of 10,000", ours.rate()/fullRate, 0.97, percent).beside("the net/http loop", ours.rate()/loop.rate()),
			atMost("most calls in any one second", float64(ours.peak), quota, thousands),
			atMost("calls refused", float64(refusedOf(ours.calls)), 0, thousands),
			atMost("users answered and not done", float64(ours.undone()), 0, thousands),
		},
		tables:  []table{beside},
		notes:   []string{"The client paces its calls at 97.5 a second, so 97.5 % is what there is to reach, less the first answer's time."},
		picture: bulkPicture(runs),
	}
}

func bulkPicture(runs []*bulkRun) *picture {
	p := newPicture("Users done in each second, 200 ms ± 100 ms latency", "time since the first request (s)", "users done per second")
	for i, r := range runs {
		p.line(r.name, palette[i], perSecond(r))
	}
	p.xFromZero()
	p.level("quota: 100 calls x 100 users", fullRate)
	p.yFrom(0, 1.5*fullRate)
	return p
}

// perSecond returns the users done in each full second.
func perSecond(r *bulkRun) []point {
	var points []point
	for at := r.from; !at.Add(time.Second).After(r.to); at = at.Add(time.Second) {
		n := doneBetween(r.deliveries, at, at.Add(time.Second))
		points = append(points, point{at.Sub(r.from).Seconds() + 0.5, float64(n)})
	}
	return points
}

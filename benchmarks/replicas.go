package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

var replicasFigure = figure{
	name:  "replicas",
	title: "four processes share one quota through Redis",
	about: "Four processes with 32 callers each and a [redislimiter](redislimiter/README.md), one `redis-server`, and a fake with 200 ms ± 100 ms latency that refuses " +
		"what is beyond 100 calls in any one second: 20 s with all four, 20 s with one killed, 20 s after Redis was killed and started without its data. Its test fails if " +
		"the quota is not filled again in the latter two.",
	measure: replicas,
}

func replicas(ctx context.Context, s scale) (*report, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, fmt.Errorf("%w: it needs a redis-server (apt-get install redis-server): %w", errNotMeasured, err)
	}
	v, err := goTest(ctx, "../redislimiter", nil, "-run", "Figures", ".", "-figures", s.duration(20*time.Second).String())
	if err != nil {
		return nil, err
	}
	checks, err := v.judge(
		judgement{"together", func(x float64) check { return atLeast("calls a second together, of 100", x/100, 0.95, percent) }},
		judgement{"peak", func(x float64) check {
			return atMost("most calls in any one second, through all of it", x, 100, thousands)
		}},
		none("refused", "calls refused"),
		judgement{"unfair", func(x float64) check { return atMost("greatest difference from a fair share", x, 0.2, percent) }},
		judgement{"takeover", func(x float64) check { return atMost("one killed: 95 calls in a second again after", x, 2, seconds) }},
	)
	if err != nil {
		return nil, err
	}
	stall, err := v.last("stall")
	if err != nil {
		return nil, err
	}
	note := fmt.Sprintf("The machine held the fake up for %s at most. What waits for a server that stands still arrives at once, whatever the limiter: "+
		"above some 30 ms more than 100 calls in a second are the machine's.", milliseconds(time.Duration(stall*float64(time.Second))))
	return &report{checks: checks, notes: []string{note}}, nil
}

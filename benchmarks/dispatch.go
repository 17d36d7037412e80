package main

import (
	"context"
	"fmt"
)

var dispatchFigure = figure{
	name:  "dispatch",
	title: "what is stored is sent, whatever is killed",
	about: "A queue of [dispatch](dispatch/README.md), every write synced, and a fake with 50 ms latency. *throughput*: one process stores 10,000 updates a second for 20 s " +
		"and sends them. *workers*: 1,000 updates a second, and 100 times one of three workers is ended by `kill -9`; after each fifth, one is stopped for 6 s and woken. " +
		"*servers*: 500 updates a second to a cluster of three, and 100 times one of its servers or one of two workers is ended by `kill -9`. *start*: a process is killed " +
		"with a million updates pending, and starts again.",
	measure: measureDispatch,
}

func measureDispatch(ctx context.Context, s scale) (*report, error) {
	v, err := goTest(ctx, "../dispatch", nil, "-run", "Figure", ".", "-figures", "-kills", fmt.Sprint(s.count(100)))
	if err != nil {
		return nil, err
	}
	all := []judgement{
		{"throughput.stored", func(x float64) check {
			return atLeast("throughput: updates stored a second, of 10,000", x/fullRate, 0.99, percent)
		}},
		{"throughput.sent", func(x float64) check {
			return atLeast("throughput: updates sent a second, of 10,000", x/fullRate, 0.95, percent)
		}},
		none("throughput.lost", "throughput: updates lost"),
	}
	for _, figure := range []string{"workers", "servers"} {
		all = append(all,
			none(figure+".lost", figure+": updates lost"),
			none(figure+".refused", figure+": updates refused"),
			none(figure+".disordered", figure+": accounts with an earlier value after a later one"),
			judgement{figure + ".bound", func(x float64) check {
				return atMost(figure+": sent twice, of what may be under way at each cut", x, 1, percent)
			}},
		)
	}
	all = append(all, judgement{"start.first", func(x float64) check { return below("start: first request after", x, 2, seconds) }})
	checks, err := v.judge(all...)
	if err != nil {
		return nil, err
	}
	facts, err := killings(v)
	return &report{checks: checks, tables: []table{facts}}, err
}

// killings tells what has no goal.
func killings(v values) (table, error) {
	t := table{head: []string{"", "updates", "sent twice", "`SetAttr` took at most", "nothing was sent for at most"}}
	for _, figure := range []string{"workers", "servers"} {
		row := []string{figure}
		for _, fact := range []struct {
			name   string
			format func(float64) string
		}{{"updates", thousands}, {"again", thousands}, {"slowest", seconds}, {"silence", seconds}} {
			x, err := v.last(figure + "." + fact.name)
			if err != nil {
				return t, err
			}
			row = append(row, fact.format(x))
		}
		t.add(row...)
	}
	return t, nil
}

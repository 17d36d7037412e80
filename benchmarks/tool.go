package main

import (
	"context"
	"fmt"
)

var toolFigure = figure{
	name:  "tool",
	title: "files of any size from the command line",
	about: "`timpush set-attr` with CSV files, against a server on loopback that says yes to everything, without a limit of calls. The library is fed with the same users " +
		"from memory. The start is the median of eleven.",
	measure: tool,
}

func tool(ctx context.Context, s scale) (*report, error) {
	v := values{}
	for name, users := range map[string]int{"Memory": 5_000_000, "CPU": 1_000_000, "Start": 10} {
		one, err := goTest(ctx, "../cmd/timpush", []string{fmt.Sprint("TIMPUSH_FIGURES=", s.count(users))}, "-run", "TestFigures"+name+"$", ".")
		if err != nil {
			return nil, err
		}
		for key, all := range one {
			v[key] = append(v[key], all...)
		}
	}
	checks, err := v.judge(
		judgement{"memory", func(x float64) check { return atMost("resident memory at most, 10 million rows", x, 96, mebibytes) }},
		judgement{"cpu", func(x float64) check { return atMost("CPU time of a million rows, of the library's", x, 1.5, percent) }},
		judgement{"start", func(x float64) check {
			return below("from the start to the first request", x, 100, func(x float64) string { return thousands(x) + " ms" })
		}},
	)
	return &report{checks: checks}, err
}

package main

import (
	"context"
	"fmt"
)

var callFigure = figure{
	name:  "call",
	title: "a call costs hardly more than net/http",
	about: "`SetAttr` of 100 users with 3 attributes each, and a bare `net/http` loop that posts a body made before to the same server, the cheapest " +
		"there is, over loopback with TLS and keep-alive. Both run in turn, in blocks of 250 calls; a run's share is that of its median block, and what is " +
		"told is the median of five runs. Below, what a stream and a `Batcher` cost the client for each user beyond `SetAttr` with ready slices.",
	measure: call,
}

func call(ctx context.Context, s scale) (*report, error) {
	const root = ".."
	single, err := goTest(ctx, root, nil, "-run", "^$", "-bench", "SetAttr/callers=(1|8|16)$", "-benchtime", fmt.Sprint(s.count(6000), "x"), "-count", "5", ".")
	if err != nil {
		return nil, err
	}
	user, err := goTest(ctx, root, nil, "-run", "^$", "-bench", "PerUser", "-benchtime", fmt.Sprint(s.count(20), "x"), "-count", "3", ".")
	if err != nil {
		return nil, err
	}
	r, ranges := &report{}, table{head: []string{"callers", "of the bare loop's throughput, five runs", "allocations more"}}
	for _, callers := range []string{"1", "8", "16"} {
		name := "SetAttr/callers=" + callers
		share, least, most, err := single.middle(name + " of-bare-throughput")
		if err != nil {
			return nil, err
		}
		allocs, _, _, err := single.middle(name + " more-allocs/op")
		if err != nil {
			return nil, err
		}
		r.checks = append(r.checks,
			atLeast("throughput, of the bare loop's, callers: "+callers, share, 0.9, percent),
			atMost("allocations of a call beyond the bare loop's, callers: "+callers, allocs, 15, number))
		ranges.add(callers, percent(least)+" to "+percent(most), number(allocs))
	}
	for _, way := range []string{"SetAttrSeq", "Batcher"} {
		time, _, _, err := user.middle("PerUser/" + way + " more-ns/user")
		if err != nil {
			return nil, err
		}
		allocs, _, _, err := user.middle("PerUser/" + way + " more-allocs/user")
		if err != nil {
			return nil, err
		}
		r.checks = append(r.checks,
			atMost(way+", time for each user beyond `SetAttr`", time/1000, 5, microseconds),
			atMost(way+", allocations for each user beyond `SetAttr`", allocs, 3, number))
	}
	r.tables = []table{ranges}
	return r, nil
}

package main

import (
	"maps"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got := parse(`goos: linux
=== ATTR  TestFigures together 96.5
BenchmarkSetAttr/callers=1-2         	    6000	    150000 ns/op	         0.9100 of-bare-throughput	        -5.000 more-allocs/op
BenchmarkSetAttr/callers=1-2         	    6000	    150000 ns/op	         0.8900 of-bare-throughput	        -4.000 more-allocs/op
--- PASS: TestFigures (60.00s)
`)
	want := values{
		"together": {96.5}, "SetAttr/callers=1 ns/op": {150000, 150000}, "SetAttr/callers=1 of-bare-throughput": {0.91, 0.89},
		"SetAttr/callers=1 more-allocs/op": {-5, -4},
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := got.last("nothing"); err == nil {
		t.Error("what was not measured is no 0")
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	v := values{"users": {1, 3}, failures: {0, 1, 0}}
	atLeast2 := func(x float64) check { return atLeast("users", x, 2, thousands) }
	checks, err := v.judge(judgement{"users", atLeast2})
	if err != nil || len(checks) != 2 || !checks[0].reached || checks[1].reached {
		t.Errorf("got %+v, %v: the last value counts, and a test that failed", checks, err)
	}
	if _, err := v.judge(judgement{"calls", atLeast2}); err == nil {
		t.Error("what was not measured cannot be judged")
	}
}

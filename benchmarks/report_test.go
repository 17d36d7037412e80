package main

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got := values{}
	got.parse(`goos: linux
=== ATTR  TestFigures together 96
=== ATTR  TestFigures together 96.5
=== ATTR  TestFigures series 1,2.5,3
BenchmarkSetAttr/callers=1-2         	    6000	    150000 ns/op	         0.9100 of-bare	        -5.000 more-allocs/op
BenchmarkSetAttr/callers=1-2         	    6000	    150000 ns/op	         0.8900 of-bare	        -4.000 more-allocs/op
--- PASS: TestFigures (60.00s)
`)
	want := values{
		"together": {96.5}, "series": {1, 2.5, 3}, "SetAttr/callers=1 ns/op": {150000, 150000}, "SetAttr/callers=1 of-bare": {0.91, 0.89},
		"SetAttr/callers=1 more-allocs/op": {-5, -4},
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestResults(t *testing.T) {
	t.Parallel()
	f := figure{
		name: "f",
		goals: []goal{
			{"users", "users", atLeast, 2000, thousands}, {"calls", "calls", atMost, 0.5, percent}, {"stall", "stall", reported, 0, unit("%.1f s")},
		},
		table: table{head: []string{"", "a", "b"}, rows: []row{{"x", "list"}}, formats: []func(float64) string{thousands, percent}},
	}
	for calls, verdict := range map[float64]string{0.5: "reached", 0.51: "**missed**"} {
		v := values{"users": {2000, 1000, 3000}, "calls": {calls}, "stall": {0.25}, failedRuns: {0}, "list": {1000, 0.5}}
		text, reached := f.results(v)
		want := "| what | goal | measured | |\n| --- | --- | --- | --- |\n| users | at least 2,000 | 2,000 | reached |\n" +
			"| calls | at most 50 % | " + percent(calls) + " | " + verdict + " |\n| stall |  | 0.2 s |  |\n| runs of its tests that failed | at most 0 | 0 | reached |\n" +
			"\n|  | a | b |\n| --- | --- | --- |\n| x | 1,000 | 50 % |\n\nMeasured on "
		if !strings.HasPrefix(text, want) || reached != (verdict == "reached") {
			t.Errorf("got %t\n%s\nwant\n%s", reached, text, want)
		}
	}
	if _, reached := f.results(values{"users": {3000}, failedRuns: {0}}); reached {
		t.Error("a value that was not measured misses its goal")
	}
	if _, reached := (figure{}).results(values{failedRuns: {1}}); reached {
		t.Error("a test that failed misses the goal")
	}
}

func TestWithResults(t *testing.T) {
	t.Parallel()
	const results = resultsHead + "new\n"
	for document, want := range map[string]string{
		"# A\n\n## a: x\n\none\n\n## b: y\n\ntwo\n\n" + resultsHead + "old\n\n## c: z\n\nthree\n": "# A\n\n## a: x\n\none\n\n## b: y\n\ntwo\n\n" + results + "\n## c: z\n\nthree\n",
		"# A\n\n## b: y\n\ntwo\n": "# A\n\n## b: y\n\ntwo\n\n" + results,
	} {
		got, err := withResults(document, "b", results)
		again, _ := withResults(got, "b", results)
		if err != nil || strings.TrimRight(got, "\n") != strings.TrimRight(want, "\n") || strings.TrimRight(again, "\n") != strings.TrimRight(got, "\n") {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestEachFigureHasASection(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(documentPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range figures {
		if _, err := withResults(string(document), f.name, ""); err != nil {
			t.Error(err)
		}
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{0: "0", 999.4: "999", 1000: "1,000", 9750.2: "9,750", -100: "-100", 10_000_000: "10,000,000"} {
		if got := thousands(x); got != want {
			t.Errorf("%v is %q, want %q", x, got, want)
		}
	}
}

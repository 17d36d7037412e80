package main

import "strings"

// figure is a set of values that are measured together. BENCHMARKS.md says in a section "## name: title" what runs.
type figure struct {
	name  string
	runs  []goRun
	goals []goal
	table table
}

// goRun is a run of go test.
type goRun struct {
	dir  string
	env  []string
	args []string
}

// goal is a value and what it should be. Of a value that was measured several times the median counts.
type goal struct {
	what, value string
	bound       bound
	limit       float64
	format      func(float64) string
}

type bound string

const (
	atLeast  bound = "at least"
	atMost   bound = "at most"
	reported bound = "" // there is no goal
)

// table has a row for each value that is a list. The zero table is not written.
type table struct {
	head    []string
	rows    []row
	formats []func(float64) string // of the columns, in turn
}

type row struct{ name, value string }

// here is a run of the tests of this module.
func here(test string) []goRun {
	return []goRun{{dir: ".", args: []string{"-run", "^" + test + "$", ".", "-figures", "1"}}}
}

func bench(args ...string) goRun {
	return goRun{dir: ".", args: append([]string{"-run", "^$", "-bench"}, append(args, ".")...)}
}

func tool(test, users string) goRun {
	return goRun{dir: "../cmd/timpush", env: []string{"TIMPUSH_FIGURES=" + users}, args: []string{"-run", test + "$", "."}}
}

var figures = []figure{
	{
		name: "call",
		runs: []goRun{
			bench("SetAttr/", "-benchtime", "2000x", "-count", "5"),
			bench("InMemory", "-benchtime", "5000x", "-count", "5"),
			bench("PerUser", "-benchtime", "5x", "-count", "3"),
		},
		goals: callGoals(),
	},
	{
		name: "bulk",
		runs: here("TestBulk"),
		goals: []goal{
			{"users done per second, of 10,000", "share", atLeast, 0.97, percent},
			{"most calls in any one second", "peak", atMost, 100, thousands},
			{"calls refused", "refused", atMost, 0, thousands},
			{"users answered and not done", "undone", atMost, 0, thousands},
		},
		table: table{
			head:    []string{"", "users/s", "calls", "refused", "most calls in a second"},
			rows:    []row{{"SetAttrSeq", "SetAttrSeq"}, {"32 net/http loops", "pool"}, {"net/http loop", "loop"}},
			formats: []func(float64) string{thousands, thousands, percent, thousands},
		},
	},
	{
		name: "batcher",
		runs: here("TestBatcher"),
		goals: []goal{
			{"users done per second", "rate", atLeast, 9000, thousands},
			{"calls refused", "refused", atMost, 0, thousands},
		},
		table: table{
			head:    []string{"", "users/s", "wait, p50 (ms)", "wait, p99 (ms)"},
			rows:    []row{{"Batcher", "Batcher"}, {"SetAttr for each user", "SetAttr"}},
			formats: []func(float64) string{thousands},
		},
	},
	{
		name: "memory",
		runs: here("TestMemory"),
		goals: []goal{
			{"most resident memory", "most", atMost, 64, unit("%.1f MiB")},
			{"last tenth of the run, of the second tenth", "growth", atMost, 1.1, percent},
			{"users per second", "rate", reported, 0, thousands},
		},
	},
	{
		name:  "latency",
		runs:  here("TestLatency"),
		goals: []goal{{"users per second with the default up to 300 ms, of 9,750", "share", atLeast, 0.97, percent}},
		table: table{
			head: []string{"latency", "MaxInFlight 8", "16", "32", "64", "128", "200", "needed"},
			rows: []row{
				{"0 ms", "0s"}, {"50 ms", "50ms"}, {"100 ms", "100ms"}, {"200 ms", "200ms"},
				{"300 ms", "300ms"}, {"500 ms", "500ms"}, {"1,000 ms", "1s"}, {"2,000 ms", "2s"},
			},
			formats: []func(float64) string{thousands},
		},
	},
	{
		name: "pace",
		runs: here("TestPace"),
		goals: []goal{
			{"accepted in the steady state, of the 50 calls a second that the others leave", "used", atLeast, 0.92, percent},
			{"calls refused in the steady state", "refused", atMost, 0.0035, percent},
			{"95 calls a second again after the others stop", "recovery", atMost, 13, unit("%.0f s")},
			{"calls of the others per second", "others", reported, 0, unit("%.1f")},
		},
	},
	{
		name:  "sharing",
		runs:  []goRun{{dir: "..", args: []string{"-run", "Throttle(Uses|Shares)|LoginsAreHardly|RateOfRecipients", ".", "-seeds", "30"}}, {dir: "../redislimiter", args: []string{"-run", "LowPriorityAtADistance", ".", "-figures", "30s"}}},
		goals: sharingGoals(),
	},
	{
		name: "replicas",
		runs: []goRun{{dir: "../redislimiter", args: []string{"-run", "RealTime/figures", ".", "-figures", "20s"}}},
		goals: []goal{
			{"calls per second together, of 100", "together", atLeast, 95, number},
			{"most calls in any one second, in the whole run", "peak", atMost, 100, thousands},
			{"calls refused", "refused", atMost, 0, thousands},
			{"greatest difference from a fair share", "unfair", atMost, 0.2, percent},
			{"one killed: 95 calls in a second again after", "takeover", atMost, 2, unit("%.2f s")},
			{"at a distance: calls per second together, of 100", "distance-together", atLeast, 95, number},
			{"at a distance: most calls in any one second", "distance-peak", atMost, 100, thousands},
			{"at a distance: greatest difference from a fair share", "distance-unfair", atMost, 0.2, percent},
			{"longest stall of the machine", "stall", reported, 0, unit("%.3f s")},
		},
	},
	{
		name:  "dispatch",
		runs:  []goRun{{dir: "../dispatch", args: []string{"-run", "Figure", ".", "-figures", "-kills", "100"}}},
		goals: dispatchGoals(),
	},
	{
		name: "tool",
		runs: []goRun{
			tool("TestFiguresMemory", "5000000"), tool("TestFiguresExcel", "500000"), tool("TestFiguresCPU", "1000000"), tool("TestFiguresStart", "10"),
		},
		goals: []goal{
			{"resident memory at most, 10 million rows", "memory", atMost, 96, unit("%.1f MiB")},
			{"resident memory at most, 500,000 rows of a workbook", "workbook", atMost, 256, unit("%.1f MiB")},
			{"CPU time of a million rows, of the library's", "cpu", atMost, 1.5, percent},
			{"from the start to the first request", "start", atMost, 100, unit("%.0f ms")},
		},
	},
}

func callGoals() []goal {
	goals := []goal{{"in memory: time, of `encoding/json` for the body alone", "InMemory of-json", atMost, 0.5, percent}}
	for _, callers := range []string{"1", "8", "16"} {
		where, name := "over loopback, callers: "+callers+": ", "SetAttr/callers="+callers+" "
		goals = append(goals,
			goal{where + "speed, of the loop by hand", name + "of-hand", atLeast, 1.4, percent},
			goal{where + "speed, of the bare loop", name + "of-bare", atLeast, 0.5, percent},
			goal{where + "speed, of a raw TLS socket", name + "of-socket", reported, 0, percent},
			goal{where + "allocations more than the bare loop", name + "more-allocs/op", atMost, 30, number},
		)
	}
	for _, way := range []string{"SetAttrSeq", "Batcher"} {
		goals = append(goals,
			goal{"for each user: time of " + way + " beyond `SetAttr`", "PerUser/" + way + " more-ns/user", atMost, 5000, unit("%.0f ns")},
			goal{"for each user: allocations of " + way + " beyond `SetAttr`", "PerUser/" + way + " more-allocs/user", atMost, 3, number},
		)
	}
	return goals
}

func sharingGoals() (goals []goal) {
	for _, reading := range []string{"refused calls count", "refused calls are free"} {
		evenly, randomly := "TestThrottleUsesWhatOthersLeave/", "TestThrottleSharesWithRandomArrivals/"
		key := strings.ReplaceAll(reading, " ", "_")
		goals = append(goals,
			goal{"others evenly, " + reading + ": of the rest used", evenly + key + ".used", atLeast, 0.92, percent},
			goal{"others evenly, " + reading + ": calls refused", evenly + key + ".refused", atMost, 0.0035, percent},
			goal{"others evenly, " + reading + ": 95 calls a second again", evenly + key + ".back", atMost, 13, unit("%.1f s")},
			goal{"others at random, " + reading + ": of the rest used", randomly + key + ".used", reported, 0, percent},
			goal{"others at random, " + reading + ": calls refused", randomly + key + ".refused", reported, 0, percent},
		)
	}
	logins := "TestLoginsAreHardlyLaterBesideAJob/ours"
	for _, trip := range []string{"0s", "20ms", "50ms", "100ms"} {
		through, key := "logins through Redis at "+strings.Replace(trip, "0s", "0ms", 1)+": ", "logins-"+trip
		goals = append(goals,
			goal{through + "p99 beside the job, of that alone", key + "-p99", atMost, 2, percent},
			goal{through + "of what they leave used", key + "-used", atLeast, 0.9, percent},
		)
	}
	return append(goals,
		goal{"logins: p99 beside the job, of that alone", logins + ".p99", atMost, 2, percent},
		goal{"logins: of the quota used together", logins + ".used", atLeast, 0.97, percent},
		goal{"push: of the recipients a second used", "recipients", atLeast, 0.97, percent},
	)
}

func dispatchGoals() []goal {
	goals := []goal{
		{"throughput: updates stored per second, of 10,000", "throughput.stored", atLeast, 9900, thousands},
		{"throughput: updates sent per second, of 10,000", "throughput.sent", atLeast, 9500, thousands},
		{"throughput: updates lost", "throughput.lost", atMost, 0, thousands},
	}
	for _, part := range []string{"workers", "servers"} {
		goals = append(goals,
			goal{part + ": updates lost", part + ".lost", atMost, 0, thousands},
			goal{part + ": updates refused", part + ".refused", atMost, 0, thousands},
			goal{part + ": accounts with an earlier value after a later one", part + ".disordered", atMost, 0, thousands},
			goal{part + ": sent twice, of what may be in flight at each kill", part + ".bound", atMost, 1, percent},
			goal{part + ": updates", part + ".updates", reported, 0, thousands},
			goal{part + ": sent twice", part + ".again", reported, 0, thousands},
			goal{part + ": longest `SetAttr`", part + ".slowest", reported, 0, unit("%.2f s")},
			goal{part + ": longest time without a request", part + ".silence", reported, 0, unit("%.2f s")},
		)
	}
	return append(goals, goal{"start: first request after", "start.first", atMost, 2, unit("%.2f s")})
}

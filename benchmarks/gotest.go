package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// values are what tests and benchmarks of another module have measured, by name. A benchmark that ran several times has several.
type values map[string][]float64

// failures has for each run of go test whether it failed: 1, or 0.
const failures = "failures"

// goTest runs tests or benchmarks in a folder of this repository. A test that fails because a figure falls short is no error: it
// is counted in failures, beside what it has measured.
func goTest(ctx context.Context, dir string, env []string, args ...string) (values, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-v", "-timeout", "60m"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	v, failed := parse(out.String()), 0.0
	if err != nil {
		if exit := new(exec.ExitError); !errors.As(err, &exit) || len(v) == 0 {
			return nil, fmt.Errorf("go test in %s: %w: %s", dir, err, out.String())
		}
		failed = 1
	}
	v[failures] = []float64{failed}
	return v, nil
}

// parse reads the attributes of tests, "=== ATTR  Test name value", and the lines of benchmarks, "Benchmark-2 N value unit ...".
func parse(out string) values {
	v := values{}
	add := func(name, text string) {
		if x, err := strconv.ParseFloat(text, 64); err == nil {
			v[name] = append(v[name], x)
		}
	}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 5 && fields[0] == "===" && fields[1] == "ATTR":
			add(fields[3], fields[4])
		case len(fields) > 3 && strings.HasPrefix(fields[0], "Benchmark"):
			name, _, _ := strings.Cut(strings.TrimPrefix(fields[0], "Benchmark"), "-")
			for k := 2; k+1 < len(fields); k += 2 {
				add(name+" "+fields[k+1], fields[k])
			}
		}
	}
	return v
}

// middle returns the median of a value, and the range that it was in.
func (v values) middle(name string) (median, least, most float64, err error) {
	all := slices.Sorted(slices.Values(v[name]))
	if len(all) == 0 {
		return 0, 0, 0, fmt.Errorf("%q was not measured", name)
	}
	return all[len(all)/2], all[0], all[len(all)-1], nil
}

// judge judges values by name, and then whether a test failed: it also holds what no value tells.
func (v values) judge(all ...judgement) (checks []check, err error) {
	for _, j := range all {
		x, err := v.last(j.name)
		if err != nil {
			return nil, err
		}
		checks = append(checks, j.check(x))
	}
	return append(checks, atMost("runs of its tests that failed", slices.Max(v[failures]), 0, thousands)), nil
}

// judgement is the name of a value, and the check of it.
type judgement struct {
	name  string
	check func(float64) check
}

// none judges a count that must be 0.
func none(name, what string) judgement {
	return judgement{name, func(x float64) check { return atMost(what, x, 0, thousands) }}
}

// last returns a value that was measured once, or what it was in the end.
func (v values) last(name string) (float64, error) {
	all := v[name]
	if len(all) == 0 {
		return 0, fmt.Errorf("%q was not measured", name)
	}
	return all[len(all)-1], nil
}

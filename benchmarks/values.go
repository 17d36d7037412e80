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

// values has what tests and benchmarks have measured, by name.
type values map[string][]float64

// failedRuns is the value that counts the runs of go test that failed.
const failedRuns = "failed-runs"

// goTest runs tests or benchmarks and adds what they measured. A test that fails because it misses a goal is no error:
// it counts in failedRuns.
func (v values) goTest(ctx context.Context, r goRun) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-v", "-timeout", "60m"}, r.args...)...)
	cmd.Dir, cmd.Env = r.dir, append(os.Environ(), r.env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		if exit := new(exec.ExitError); !errors.As(err, &exit) {
			return err
		}
		v[failedRuns][0]++
		fmt.Fprintf(os.Stderr, "go test in %s: %v\n%s\n", r.dir, err, out.String())
	}
	v.parse(out.String())
	return nil
}

// parse reads attributes of tests, "=== ATTR  Test name value,value", and results of benchmarks,
// "Benchmark-2 N value unit value unit".
func (v values) parse(out string) {
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 5 && fields[0] == "===" && fields[1] == "ATTR":
			v[fields[3]] = nil // a test that measures twice means the last value
			for text := range strings.SplitSeq(fields[4], ",") {
				v.add(fields[3], text)
			}
		case len(fields) > 3 && strings.HasPrefix(fields[0], "Benchmark"):
			name, _, _ := strings.Cut(strings.TrimPrefix(fields[0], "Benchmark"), "-")
			for k := 2; k+1 < len(fields); k += 2 {
				v.add(name+" "+fields[k+1], fields[k])
			}
		}
	}
}

func (v values) add(name, text string) {
	if x, err := strconv.ParseFloat(text, 64); err == nil {
		v[name] = append(v[name], x)
	}
}

// median returns the median of a value that was measured several times, and whether it was measured at all.
func (v values) median(name string) (float64, bool) {
	all := slices.Sorted(slices.Values(v[name]))
	if len(all) == 0 {
		return 0, false
	}
	return all[len(all)/2], true
}

func thousands(x float64) string {
	digits := fmt.Sprintf("%.0f", x)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// A value is printed by one of these, or by unit.
func number(x float64) string  { return fmt.Sprintf("%.3g", x) }
func percent(x float64) string { return fmt.Sprintf("%.4g %%", 100*x) }

// unit prints a value with a verb and a unit: "%.1f MiB".
func unit(format string) func(float64) string {
	return func(x float64) string { return fmt.Sprintf(format, x) }
}

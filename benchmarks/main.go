// Benchmarks runs the tests and benchmarks that measure what this repository promises, compares each value with its
// goal, and writes the results to BENCHMARKS.md.
//
//	cd benchmarks
//	go run .            # lists the figures
//	go run . bulk pace  # measures two of them
//	go run . all        # measures all, about half an hour
//
// The exit status is 1 if a value misses its goal or was not measured. The measuring itself is in the tests of this
// module and of those that a figure names; each can be run alone with go test.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
)

// documentPath is where the results are written.
const documentPath = "../BENCHMARKS.md"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	for _, name := range names {
		if name != "all" && !slices.ContainsFunc(figures, func(f figure) bool { return f.name == name }) {
			return fmt.Errorf("there is no figure %q; run without arguments to list them", name)
		}
	}
	var missed []string
	for _, f := range figures {
		if len(names) == 0 {
			fmt.Println(f.name)
		}
		if !slices.Contains(names, f.name) && !slices.Contains(names, "all") {
			continue
		}
		reached, err := f.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if !reached {
			missed = append(missed, f.name)
		}
	}
	if len(missed) > 0 {
		return errors.New("goals missed: " + strings.Join(missed, ", "))
	}
	return nil
}

// measure runs the tests of a figure, prints the results and writes them to BENCHMARKS.md.
func (f figure) measure(ctx context.Context) (reached bool, err error) {
	fmt.Print(f.name, ":\n\n")
	v := values{failedRuns: {0}}
	for _, r := range f.runs {
		if err := v.goTest(ctx, r); err != nil {
			return false, err
		}
	}
	text, reached := f.results(v)
	fmt.Println(text)
	old, err := os.ReadFile(documentPath)
	if err != nil {
		return false, err
	}
	document, err := withResults(string(old), f.name, text)
	if err != nil {
		return false, err
	}
	return reached, os.WriteFile(documentPath, []byte(document), 0o644)
}

// Mutate measures what the tests of the client notice: it changes the code in many small ways, one at a time, and counts the
// changes that no test fails for.
//
//	go run ./tools/mutate                      # all, half an hour; writes docs/mutation.md
//	go run ./tools/mutate -again               # the same, but takes those for killed that were when it ran last: after new tests
//	go run ./tools/mutate -match 'retry.go'    # those whose line in survivors.txt would match; writes nothing
//
// It is run in the root of the repository. All mutants are compiled into one test program, and an environment variable tells
// which one is on; so a mutant costs no compilation. survivors.txt has the reason of each that survives: one without a reason
// makes it fail, and so does a share of killed ones below 90 %.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

const (
	page = "docs/mutation.md"
	last = ".bin/mutants.txt" // names of those that were killed
	goal = 90                 // per cent
)

func main() {
	match := flag.String("match", "", "try only mutants whose name matches, and write nothing")
	again := flag.Bool("again", false, "do not try what was killed when it ran last")
	workers := flag.Int("workers", runtime.NumCPU(), "how many mutants are tried at a time")
	flag.Parse()
	pattern, err := regexp.Compile(*match)
	if err == nil {
		err = run(pattern, *again, *workers)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(pattern *regexp.Regexp, again bool, workers int) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	before := map[string]bool{}
	if again {
		if before, err = readLast(); err != nil {
			return err
		}
	}
	results, err := mutate(dir, pattern, before, workers)
	if err != nil {
		return err
	}
	r := &report{results: results}
	r.reasons, r.order = parseReasons(reasons)
	all, dead := r.count("")
	fmt.Printf("mutate: %d of %d killed, %.1f %%\n", dead, all, percent(dead, all))
	survivors, stale := r.unexplained()
	for _, one := range survivors {
		fmt.Println("survived, and has no reason:", one)
	}
	if pattern.String() == "" {
		for _, key := range stale {
			fmt.Println("has a reason, and does not survive:", key)
		}
		if err := writeLast(results); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, page), r.page(time.Now()), 0o644); err != nil {
			return err
		}
	}
	switch {
	case percent(dead, all) < goal:
		return fmt.Errorf("less than %d %% are killed", goal)
	case len(survivors) > 0:
		return errors.New("some survive without a reason in tools/mutate/survivors.txt")
	}
	return nil
}

func readLast() (map[string]bool, error) {
	text, err := os.ReadFile(last)
	killed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		killed[strings.TrimSuffix(line, "\n")] = true
	}
	return killed, err
}

func writeLast(results []result) error {
	var text strings.Builder
	for _, one := range results {
		if one.outcome == killed {
			fmt.Fprintln(&text, one.key())
		}
	}
	if err := os.MkdirAll(filepath.Dir(last), 0o755); err != nil {
		return err
	}
	return os.WriteFile(last, []byte(text.String()), 0o600)
}

// mutate tries the mutants of the package in dir whose names match, but for those that were killed before.
func mutate(dir string, pattern *regexp.Regexp, before map[string]bool, workers int) ([]result, error) {
	scratch, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	program, mutants, err := build(dir, scratch)
	if err != nil {
		return nil, err
	}
	r := &runner{program: program, dir: dir}
	if err := r.record(scratch, workers); err != nil {
		return nil, err
	}
	var results []result
	var ids []int
	for k, one := range mutants {
		if pattern.MatchString(one.key()) {
			results, ids = append(results, result{mutant: one}), append(ids, k+1)
		}
	}
	var done atomic.Int64
	concurrently(workers, len(ids), func(n int) {
		if before[results[n].key()] {
			done.Add(1)
			return // killed is the zero value
		}
		results[n].outcome = r.try(ids[n])
		if results[n].outcome != killed {
			fmt.Println(strings.Repeat(" ", 4), []string{survived: "survived ", unreached: "unreached"}[results[n].outcome], results[n].key())
		}
		if n := done.Add(1); n%100 == 0 {
			fmt.Printf("%d of %d\n", n, len(ids))
		}
	})
	return results, nil
}

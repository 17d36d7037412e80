// Mutate measures how many small changes of the client's code its tests notice. Each change, a mutant, is made alone; it is
// killed if a test fails, and survives otherwise.
//
//	go run ./tools/mutate                     # all, half an hour
//	go run ./tools/mutate -match '^answer.go' # only mutants whose key matches
//	go run ./tools/mutate -write              # all, and writes the survivors to survivors.txt
//
// It runs in the root of the repository, and fails if less than 90 % are killed or if one survives that is not in
// survivors.txt. It reports entries whose mutant is gone or killed: -write removes them, adds what survives, and keeps the
// reasons of the others. Review the diff: what is new there needs a test, or a reason. All mutants are compiled into one
// test program, and an environment variable selects one; so a mutant costs no compilation.
package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

const (
	list = "tools/mutate/survivors.txt"
	goal = 90 // per cent
)

func main() {
	match := flag.String("match", "", "try only mutants whose key matches this regular expression")
	write := flag.Bool("write", false, "write "+list)
	flag.Parse()
	if err := run(*match, *write); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(match string, write bool) error {
	pattern, err := regexp.Compile(match)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	results, err := mutate(".", pattern, runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	r := compare(results, parseSurvivors(string(text)))
	fmt.Printf("mutate: %d of %d killed, %.1f %%\n", r.killed, len(results), r.share)
	for _, key := range r.unknown {
		fmt.Println("survives, and is not in the list:", key)
	}
	if match == "" {
		for _, key := range r.stale {
			fmt.Println("in the list, and does not survive:", key)
		}
		if write {
			return os.WriteFile(list, []byte(r.list), 0o644)
		}
	}
	switch {
	case r.share < goal:
		return fmt.Errorf("less than %d %% are killed", goal)
	case len(r.unknown) > 0:
		return errors.New("some survive that are not in " + list)
	}
	return nil
}

// report compares results with the list of survivors.
type report struct {
	killed         int
	share          float64 // of those killed, in per cent
	unknown, stale []string
	list           string // the text of the list as it should be
}

// parseSurvivors reads the list: in each line the key of a mutant, and behind "  # " a reason if there is one. It returns the
// lines by their keys.
func parseSurvivors(text string) map[string]string {
	known := map[string]string{}
	for line := range strings.Lines(text) {
		key, _, _ := strings.Cut(strings.TrimSpace(line), "  # ")
		known[key] = line
	}
	return known
}

// compare removes from known what survives: the rest is stale.
func compare(results []result, known map[string]string) (r report) {
	var lines []string
	for _, one := range results {
		if one.killed {
			r.killed++
			continue
		}
		line, listed := known[one.key()]
		delete(known, one.key())
		if !listed {
			line = one.key() + "\n"
			r.unknown = append(r.unknown, fmt.Sprintf("%s (%s:%d)", one.key(), one.file, one.line))
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	r.list = strings.Join(lines, "")
	r.stale = slices.Sorted(maps.Keys(known))
	r.share = 100 * float64(r.killed) / float64(max(len(results), 1))
	return r
}

// mutate tries the mutants of the package in dir whose keys match.
func mutate(dir string, pattern *regexp.Regexp, workers int) ([]result, error) {
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
	var all errgroup.Group
	all.SetLimit(workers)
	for n, id := range ids {
		all.Go(func() error {
			results[n].killed = r.try(id)
			if n := done.Add(1); n%100 == 0 {
				fmt.Printf("%d of %d\n", n, len(ids))
			}
			return nil
		})
	}
	_ = all.Wait() // there are no errors
	return results, nil
}

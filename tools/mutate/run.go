package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// test is a test of the package and what it reaches.
type test struct {
	name string
	took time.Duration
	hits map[int]bool // numbers of mutants
}

// runner runs a test program with one mutant switched on.
type runner struct {
	program, dir string
	tests        []test
}

// result is a mutant and whether a test noticed it.
type result struct {
	mutant
	killed bool // false also where no test reaches it
}

// record runs each test alone, and keeps which mutants it reaches.
func (r *runner) record(scratch string, workers int) error {
	list, err := r.command(context.Background(), 0, "-test.list", "^(Test|Fuzz|Example)").Output()
	if err != nil {
		return err
	}
	names := strings.Fields(string(list))
	r.tests = make([]test, len(names))
	var all errgroup.Group
	all.SetLimit(workers)
	for n, name := range names {
		all.Go(func() error {
			file := filepath.Join(scratch, "hits"+strconv.Itoa(n))
			cmd := r.command(context.Background(), 0, "-test.run", "^"+name+"$")
			cmd.Env = append(cmd.Env, "MUTANT_HITS="+file)
			began := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%s fails without any mutant: %s", name, out)
			}
			r.tests[n] = test{name, time.Since(began), map[int]bool{}}
			text, err := os.ReadFile(file)
			for _, id := range strings.Fields(string(text)) {
				number, _ := strconv.Atoi(id)
				r.tests[n].hits[number] = true
			}
			return err
		})
	}
	err = all.Wait()
	slices.SortFunc(r.tests, func(a, b test) int { return cmp.Compare(a.cost(), b.cost()) })
	return err
}

// cost is low for a fast test, and for one that reaches little, which looks at that more closely.
func (t test) cost() float64 { return t.took.Seconds() * float64(len(t.hits)) }

// try runs the tests that reach a mutant, the cheapest first, and each time twice as many: most are killed by one of the first. It
// reports whether one was.
func (r *runner) try(id int) (killed bool) {
	var reach []test
	for _, t := range r.tests {
		if t.hits[id] {
			reach = append(reach, t)
		}
	}
	for size := 12; len(reach) > 0; size *= 2 {
		n := min(size, len(reach))
		if r.fails(id, reach[:n]) {
			return true
		}
		reach = reach[n:]
	}
	return false
}

// fails reports whether one of some tests fails with a mutant twice in a row, since once may be due to a busy machine, or does not
// end.
func (r *runner) fails(id int, tests []test) bool {
	limit := 5 * time.Second
	var names []string
	for _, t := range tests {
		names = append(names, t.name)
		limit += t.took // alone; they run beside each other
	}
	for range 2 {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		err := r.command(ctx, id, "-test.failfast", "-test.run", "^("+strings.Join(names, "|")+")$").Run()
		endless := ctx.Err() != nil
		cancel()
		if err == nil || endless {
			return endless
		}
	}
	return true
}

func (r *runner) command(ctx context.Context, id int, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.program, args...)
	cmd.Dir, cmd.Env = r.dir, append(os.Environ(), "MUTANT="+strconv.Itoa(id))
	cmd.WaitDelay = time.Second
	return cmd
}

// Soak runs random callers of the client against the fake, which injects random faults, and checks the outcomes after each
// run. The seed decides all that is random in a run, except the timing.
//
//	go run ./tools/soak                  # 50 runs, seeds 1 to 50, half a minute
//	go run ./tools/soak -seeds 1000      # about twelve minutes
//	go run ./tools/soak -seed 37 -seeds 1 -v
//
// In each run SetAttr, streams, a Batcher, removals, readings, tags and pushes share one or two clients and one limiter, and in every fifth
// a queue of updates too, whose data is damaged, whose disk is full for a while or whose stream is made again. Half of the runs go through
// a proxy that delays, cuts and resets connections, half use HTTP/2, in a third some UserSigs are days old, and in a fourth the quota is
// shared through a Redis behind such a proxy.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"time"
)

func main() {
	seed := flag.Uint64("seed", 1, "the first seed")
	seeds := flag.Int("seeds", 50, "how many runs, with the seeds that follow")
	verbose := flag.Bool("v", false, "print a summary of each run")
	flag.Parse()
	if err := soak(*seed, *seeds, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// together is how many runs there are at a time: they wait more than they work.
const together = 8

func soak(first uint64, seeds int, verbose bool) error {
	fmt.Printf("soak: %d runs from seed %d\n", seeds, first)
	began, early := time.Now(), uint64(0)
	all := summary{}
	for n := 0; n < seeds; n += together {
		if err := group(first+uint64(n), min(together, seeds-n), verbose, all); err != nil {
			return err
		}
		if early == 0 && n >= seeds/10 {
			early = heap()
		}
	}
	late := heap()
	fmt.Printf("soak: %v\nsoak: no faults in %v; memory in use after a tenth %.1f MiB, in the end %.1f MiB\n",
		all, time.Since(began).Round(time.Second), float64(early)/(1<<20), float64(late)/(1<<20))
	if late > early+8<<20+uint64(all["queues"])<<19 {
		return errors.New("memory has grown")
	}
	return nil
}

// group makes some runs at the same time, adds what they did to all, and checks that no goroutine is left.
func group(first uint64, seeds int, verbose bool, all summary) error {
	before := runtime.NumGoroutine()
	sums, faults := make([]summary, seeds), make([][]string, seeds)
	var work sync.WaitGroup
	for k := range seeds {
		work.Go(func() { sums[k], faults[k] = run(first+uint64(k), nil) })
	}
	work.Wait()
	for k := range seeds {
		seed := first + uint64(k)
		if verbose || len(faults[k]) > 0 {
			fmt.Printf("seed %d: %v\n", seed, sums[k])
		}
		if len(faults[k]) > 0 {
			return fmt.Errorf("seed %d:\n%s\nrepeat it: go run ./tools/soak -seed %d -seeds 1 -v", seed, strings.Join(faults[k], "\n"), seed)
		}
		for name, n := range sums[k] {
			all[name] += n
		}
	}
	if n := goroutinesLeft(before); n > 0 {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		return fmt.Errorf("seeds %d to %d leave %d goroutines behind", first, first+uint64(seeds)-1, n)
	}
	return nil
}

// heap returns the bytes in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // the second one empties what a sync.Pool kept
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// summary counts what runs did, by name. Each queue leaves 0.2 MiB that nats-server keeps of a server that was shut down.
// What depends on time is not checked in runs in which the machine stalled.
type summary map[string]int

func (s summary) String() string {
	return fmt.Sprintf("%d users, %d done, %d unknown, the others refused or not sent; %d pushes went out; %d calls, %d of them disturbed; %d updates through %d queues, %d of them damaged, %d full for a while, %d recreated; %d runs in which the machine stalled",
		s["users"], s["done"], s["unknown"], s["pushed"], s["calls"], s["faulty"], s["queued"], s["queues"], s["damaged"], s["full"], s["recreated"], s["stalled"])
}

// Benchmarks measures the figures that the client is made to reach, in real time and over loopback, and draws them.
//
//	cd benchmarks
//	go run .            # lists the figures
//	go run . bulk pace  # measures two of them
//	go run . all
//
// It prints each figure beside its goal, writes a picture into figures/ and the figure's section of ../BENCHMARKS.md, and
// prints all verdicts in the end. The exit status is 1 if a figure falls short of its goal or cannot be measured here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// figure is something to measure.
type figure struct {
	name    string
	title   string
	about   string // what is run, for BENCHMARKS.md
	measure func(context.Context, scale) (*report, error)
}

func figures() []figure {
	return []figure{callFigure, bulkFigure, batcherFigure, memoryFigure, latencyFigure, paceFigure, replicasFigure, dispatchFigure, toolFigure}
}

// scale shortens what a figure runs.
type scale struct{ divisor int }

func (s scale) duration(d time.Duration) time.Duration { return d / time.Duration(s.divisor) }
func (s scale) count(n int) int                        { return n / s.divisor }

var (
	errFallsShort  = errors.New("a figure falls short of its goal")
	errNotMeasured = errors.New("not measured") // for want of something that this machine has not
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && helpers[args[0]] != nil {
		return helpers[args[0]](ctx, args[1:])
	}
	flags := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	short := flags.Bool("short", false, "make every run about a tenth as long, judge nothing and write no files: a smoke test")
	flags.Usage = func() { usage(flags) }
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		list(out)
		return nil
	}
	chosen, err := choose(flags.Args())
	if err != nil {
		return err
	}
	if *short {
		return smoke(ctx, chosen, out)
	}
	return measureAll(ctx, chosen, out)
}

func usage(flags *flag.FlagSet) {
	out := flags.Output()
	_, _ = fmt.Fprintln(out, "usage: go run . [-short] NAME...\n\nMeasures figures, prints them, and writes figures/NAME.svg and the section of ../BENCHMARKS.md.")
	flags.PrintDefaults()
	_, _ = fmt.Fprintln(out)
	list(out)
}

func list(out io.Writer) {
	t := table{}
	for _, f := range figures() {
		t.add(f.name, f.title)
	}
	t.add("all", "all of them, about half an hour")
	t.text(out)
}

func choose(names []string) ([]figure, error) {
	if slices.Equal(names, []string{"all"}) {
		return figures(), nil
	}
	var chosen []figure
	for _, name := range names {
		i := slices.IndexFunc(figures(), func(f figure) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no figure %q; without a name they are listed", name)
		}
		chosen = append(chosen, figures()[i])
	}
	return chosen, nil
}

// smoke runs figures shortly. It judges nothing: what a connection costs to make is a good part of so short a run.
func smoke(ctx context.Context, chosen []figure, out io.Writer) error {
	for _, f := range chosen {
		r, err := f.run(ctx, scale{10})
		if err != nil {
			return err
		}
		r.print(out, f, false)
	}
	return nil
}

// measureAll measures figures, and goes on with the next one where one falls short or cannot be measured.
func measureAll(ctx context.Context, chosen []figure, out io.Writer) error {
	var short []string
	all := table{head: summaryColumns}
	for _, f := range chosen {
		r, err := f.run(ctx, scale{1})
		if errors.Is(err, errNotMeasured) {
			_, _ = fmt.Fprintf(out, "%v\n\n", err)
			all.add(f.name, f.title, "", "", "", "not measured")
			short = append(short, f.name+" (not measured)")
			continue
		}
		if err != nil {
			return err
		}
		r.print(out, f, true)
		if err := r.write(f); err != nil {
			return err
		}
		if !r.reached() {
			short = append(short, f.name)
		}
		for _, row := range r.verdicts("falls short").rows {
			all.add(append([]string{f.name}, row...)...)
		}
	}
	all.text(out)
	if len(short) > 0 {
		return fmt.Errorf("%w: %s", errFallsShort, strings.Join(short, ", "))
	}
	return nil
}

func (f figure) run(ctx context.Context, s scale) (*report, error) {
	r, err := f.measure(ctx, s)
	if ctx.Err() != nil { // what was cut short is no measurement
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	return r, nil
}

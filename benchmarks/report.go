package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// resultsHead begins the results in the section of a figure.
const resultsHead = "| what | goal | measured | |\n"

// results is the Markdown of what was measured. It also tells whether all goals are reached.
func (f figure) results(v values) (text string, reached bool) {
	var b strings.Builder
	b.WriteString(resultsHead + "| --- | --- | --- | --- |\n")
	reached = true
	for _, g := range append(f.goals, goal{"runs of its tests that failed", failedRuns, atMost, 0, thousands}) {
		measured, verdict := g.compare(v)
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", g.what, g.text(), measured, verdict)
		reached = reached && (verdict == "reached" || verdict == "")
	}
	f.table.write(&b, v)
	fmt.Fprintf(&b, "\nMeasured on %s on %s by `go run . %s`.\n", time.Now().Format(time.DateOnly), machine(), f.name)
	return b.String(), reached
}

// text is the goal as a table has it; "" if a value is only reported.
func (g goal) text() string {
	if g.bound == reported {
		return ""
	}
	return string(g.bound) + " " + g.format(g.limit)
}

// compare compares a goal with what was measured.
func (g goal) compare(v values) (measured, verdict string) {
	x, ok := v.median(g.value)
	switch {
	case !ok:
		return "", "**not measured**"
	case g.bound == reported:
		return g.format(x), ""
	case g.bound == atLeast && x < g.limit, g.bound == atMost && x > g.limit:
		return g.format(x), "**missed**"
	}
	return g.format(x), "reached"
}

// write adds a table that has a list of values in each row.
func (t table) write(b *strings.Builder, v values) {
	if len(t.head) == 0 {
		return
	}
	fmt.Fprintf(b, "\n| %s |\n|%s\n", strings.Join(t.head, " | "), strings.Repeat(" --- |", len(t.head)))
	for _, row := range t.rows {
		b.WriteString("| " + row.name)
		for k, x := range v[row.value] {
			b.WriteString(" | " + t.formats[k%len(t.formats)](x))
		}
		b.WriteString(" |\n")
	}
}

// withResults returns a document with the results in the section of a figure replaced or added.
func withResults(document, name, results string) (string, error) {
	sections := strings.Split(document, "\n## ")
	for k, section := range sections {
		if k > 0 && strings.HasPrefix(section, name+":") {
			text, _, _ := strings.Cut(section, resultsHead)
			sections[k] = strings.TrimRight(text, "\n") + "\n\n" + results
			return strings.Join(sections, "\n## "), nil
		}
	}
	return "", fmt.Errorf("%s has no section of %s", documentPath, name)
}

// machine tells what the figures were measured on.
func machine() string {
	return fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

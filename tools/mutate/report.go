package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

//go:embed survivors.txt
var reasons string

// result is a mutant and what became of it.
type result struct {
	mutant
	outcome outcome
}

// report is what docs/mutation.md tells.
type report struct {
	results []result
	reasons map[string]string // by the key of a mutant
	order   []string          // of the reasons
}

// parseReasons reads survivors.txt: a line with a reason, "= ", and below it the keys of the mutants that survive for it.
func parseReasons(text string) (byKey map[string]string, order []string) {
	byKey = map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if reason, ok := strings.CutPrefix(line, "= "); ok {
			order = append(order, reason)
		} else if line != "" {
			byKey[line] = order[len(order)-1]
		}
	}
	return byKey, order
}

func (r *report) count(file string) (all, dead int) {
	for _, one := range r.results {
		if file == "" || one.file == file {
			all++
			if one.outcome == killed {
				dead++
			}
		}
	}
	return all, dead
}

// unexplained returns the survivors that have no reason, and the reasons whose mutants are gone or killed.
func (r *report) unexplained() (survivors, stale []string) {
	left := maps.Clone(r.reasons)
	for _, one := range r.results {
		if one.outcome == killed {
			continue
		}
		if left[one.key()] == "" {
			survivors = append(survivors, fmt.Sprintf("%s (line %d)", one.key(), one.line))
		}
		delete(left, one.key())
	}
	return survivors, slices.Sorted(maps.Keys(left))
}

// page is docs/mutation.md.
func (r *report) page(when time.Time) []byte {
	var b bytes.Buffer
	all, dead := r.count("")
	fmt.Fprintf(&b, `# Mutation testing

Each mutant is the code of the client with one change: a comparison, a condition, a number, an operator, a statement left out, an error that is not
returned. It is killed if a test fails twice in a row, and survives otherwise. `+"`make mutate`"+` wrote this page on %s: **%d of %d mutants are killed, %.1f %%**, of at
least %d %% wanted, with the tests of package timpush alone, without the race detector.

| file | mutants | killed | |
| --- | --- | --- | --- |
`, when.Format(time.DateOnly), dead, all, percent(dead, all), goal)
	files := map[string]bool{}
	for _, one := range r.results {
		files[one.file] = true
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		all, dead := r.count(file)
		fmt.Fprintf(&b, "| `%s` | %d | %d | %.0f %% |\n", file, all, dead, percent(dead, all))
	}
	b.WriteString("\n## Survivors\n")
	for _, reason := range r.order {
		r.section(&b, reason)
	}
	r.section(&b, "")
	return b.Bytes()
}

// section lists the survivors that have a reason.
func (r *report) section(b *bytes.Buffer, reason string) {
	var rows []string
	for _, one := range r.results {
		if one.outcome != killed && r.reasons[one.key()] == reason {
			rows = append(rows, fmt.Sprintf("| `%s` %s | %s | %s |\n", one.file, code(one.function), code(one.from), code(one.to)))
		}
	}
	if len(rows) == 0 {
		return
	}
	if reason == "" {
		reason = "No reason is known"
	}
	fmt.Fprintf(b, "\n**%s** (%d)\n\n| where | code | mutant |\n| --- | --- | --- |\n%s", reason, len(rows), strings.Join(rows, ""))
}

// code writes code into a table.
func code(text string) string {
	if strings.Contains(text, "`") {
		return "`` " + strings.ReplaceAll(text, "|", `\|`) + " ``"
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

func percent(part, all int) float64 { return 100 * float64(part) / float64(max(all, 1)) }

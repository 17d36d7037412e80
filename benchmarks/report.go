package main

import (
	"fmt"
	"io"
	"path"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what came of a figure.
type report struct {
	checks  []check
	tables  []table
	notes   []string // paragraphs
	picture *picture // nil: there is nothing to draw
}

// check is a value that was measured, beside its goal.
type check struct {
	what, goal, measured string
	reached              bool
	ratio                string // to a baseline; "" where what is measured is one, or has none
}

// beside adds what the measured value is of that of a baseline.
func (c check) beside(baseline string, ratio float64) check {
	c.ratio = number(ratio) + " × " + baseline
	return c
}

func atLeast(what string, measured, goal float64, format func(float64) string) check {
	return check{what: what, goal: "at least " + format(goal), measured: format(measured), reached: measured >= goal}
}

func atMost(what string, measured, goal float64, format func(float64) string) check {
	return check{what: what, goal: "at most " + format(goal), measured: format(measured), reached: measured <= goal}
}

func below(what string, measured, goal float64, format func(float64) string) check {
	return check{what: what, goal: "below " + format(goal), measured: format(measured), reached: measured < goal}
}

func (r *report) reached() bool {
	for _, c := range r.checks {
		if !c.reached {
			return false
		}
	}
	return true
}

var (
	verdictColumns = []string{"what", "goal", "measured", "ratio to a baseline", ""}
	summaryColumns = append([]string{"figure"}, verdictColumns...) // of the verdicts of several figures
)

// verdictHead is the head of the table of verdicts in a document.
var verdictHead = markdownRow(verdictColumns)

// verdicts has what is below a goal marked as given. Without a mark nothing is judged.
func (r *report) verdicts(short string) table {
	t := table{head: verdictColumns}
	for _, c := range r.checks {
		verdict := "reached"
		switch {
		case short == "":
			verdict = "not judged"
		case !c.reached:
			verdict = short
		}
		t.add(c.what, c.goal, c.measured, c.ratio, verdict)
	}
	return t
}

func (r *report) print(out io.Writer, f figure, judged bool) {
	_, _ = fmt.Fprintf(out, "%s: %s\n\n", f.name, f.title)
	short := ""
	if judged {
		short = "falls short"
	}
	for _, t := range append([]table{r.verdicts(short)}, r.tables...) {
		t.text(out)
		_, _ = fmt.Fprintln(out)
	}
	for _, note := range r.notes {
		_, _ = fmt.Fprintln(out, note)
	}
	_, _ = fmt.Fprintln(out)
}

// write saves the picture and the section of a figure.
func (r *report) write(f figure) error {
	file := path.Join("figures", f.name+".svg")
	if r.picture != nil {
		if err := r.picture.save(file); err != nil {
			return err
		}
	}
	return rewriteSection(documentPath, f.name, r.section(f, file))
}

// section is the text below the heading of a figure.
func (r *report) section(f figure, file string) string {
	parts := []string{sectionHeading(f.name) + " " + f.title, f.about, r.verdicts("**falls short**").markdown()}
	for _, t := range r.tables {
		parts = append(parts, t.markdown())
	}
	parts = append(parts, r.notes...)
	if r.picture != nil {
		parts = append(parts, fmt.Sprintf("![%s](%s)", r.picture.plot.Title.Text, path.Join("benchmarks", file)))
	}
	parts = append(parts, fmt.Sprintf("Measured on %s on %s by `go run . %s`.", time.Now().Format(time.DateOnly), machine(), f.name))
	return strings.Join(parts, "\n\n") + "\n"
}

// table is rows of cells. Without a head it is a list.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// text writes the table for a terminal.
func (t table) text(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		if len(row) > 0 {
			_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
		}
	}
	_ = w.Flush() // like all printing here: a terminal that is gone needs no error
}

func (t table) markdown() string {
	lines := []string{markdownRow(t.head), "|" + strings.Repeat(" --- |", len(t.head))}
	for _, row := range t.rows {
		lines = append(lines, markdownRow(row))
	}
	return strings.Join(lines, "\n")
}

func markdownRow(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" }

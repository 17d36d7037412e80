package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/rivo/uniseg"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// describe shows how the input is read, by the beginning of each file.
func (j *job) describe() (all []*input.Description, err error) {
	for n := range j.input.Files() {
		d, err := j.input.Describe(n)
		if err != nil {
			return nil, err
		}
		if d != nil {
			all = append(all, d)
		}
	}
	if len(all) > 0 {
		j.reporter.understood(all[0], len(all)-1, j.dryRun)
	}
	return all, nil
}

// compare compares the columns with the app's attributes, and keeps these for the run, before a single user is sent.
func (j *job) compare(ctx context.Context, all []*input.Description, r *bulk.Run) (err error) {
	r.Declared, err = j.declaredNames(ctx, r.Client)
	if err != nil || r.Declared == nil {
		return err
	}
	r.Input.Declare(r.Declared)
	for _, d := range all {
		if err := checkColumns(d, r.Declared); err != nil {
			return err
		}
	}
	return nil
}

// declaredNames reads the app's attributes. Where the service cannot tell them just now, the run does without, unless what it
// says would stop the run as well.
func (j *job) declaredNames(ctx context.Context, client *timpush.Client) (map[string]timpush.AccountType, error) {
	if j.settings.SDKAppID == 0 {
		j.reporter.note("the app is not configured: the columns are not compared with its attributes")
		return nil, nil
	}
	asking, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	names, err := client.AttrNames(asking)
	if err == nil {
		declared := map[string]timpush.AccountType{}
		for _, n := range names {
			declared[n.Name] = n.AccountType
		}
		return declared, nil
	}
	code, isCode := errors.AsType[timpush.Code](err)
	page, isPage := errors.AsType[*timpush.HTTPError](err)
	switch {
	case ctx.Err() != nil:
		return nil, errInterrupted
	case j.preflight, isCode && !code.Retryable(), isPage && page.StatusCode < http.StatusInternalServerError && page.StatusCode != http.StatusTooManyRequests:
		return nil, fmt.Errorf("the app's attributes cannot be read: %w", err)
	}
	j.reporter.note("the app's attributes cannot be read, and the columns are not compared with them: %v", once(err.Error()))
	return nil, nil
}

// checkColumns refuses a file with a column that is not an attribute of the app, or with a member that all of its rows have.
func checkColumns(d *input.Description, declared map[string]timpush.AccountType) error {
	names := slices.Sorted(maps.Keys(declared))
	var faults []error
	wrong := 0
	for _, c := range d.Columns {
		if _, ok := declared[c.Attr]; !ok && c.Use == "attribute" && (d.Always || c.Always) {
			if wrong++; wrong <= maxColumnFaults {
				faults = append(faults, undeclared(text.Plain(d.File), c, names))
			}
		}
	}
	switch {
	case wrong == 0:
		return nil
	case wrong > len(faults):
		faults = append(faults, fmt.Errorf("%s: so are %d more columns", text.Plain(d.File), wrong-len(faults)))
	}
	return usage(fmt.Errorf("%w\nThe app has: %s. See also: timpush names set --help", errors.Join(faults...), strings.Join(names, ", ")))
}

// maxColumnFaults is how many columns are named that the app does not have: more is another file.
const maxColumnFaults = 10

// undeclared is the error of a column that is not one of the app's attributes, which has these names.
func undeclared(file string, c input.Column, names []string) error {
	what, suggestion := fmt.Sprintf("%s: the column %q is the attribute %q, which the app does not have", file, c.Name, c.Attr), "ATTRIBUTE"
	if near := bulk.Nearest(c.Attr, names); near != "" {
		what, suggestion = what+fmt.Sprintf("; the nearest that it has is %q", near), near
	}
	pair, quote := c.Name+"="+suggestion, text.Quote
	if strings.ContainsAny(pair, "\r\n") {
		quote = text.QuoteItem // other pairs are taken as they are
	}
	return fmt.Errorf("%s: give --map %s or --ignore %s", what, quote(pair), text.QuoteItem(c.Name))
}

// understood shows how a file is read, and how many more there are.
func (r *reporter) understood(d *input.Description, more int, withRows bool) {
	switch {
	case r.asJSON:
		r.event("input", describedInput(d))
	case r.quiet:
	case withRows:
		writeDescription(r.out, d, more, true)
	default:
		writeDescription(r.err, d, more, r.bar != nil)
	}
}

// maxColumnsShown is how many columns a description has: an app has ten attributes.
const maxColumnsShown = 40

func writeDescription(out io.Writer, d *input.Description, more int, withRows bool) {
	parts := []string{describeFormat(d)}
	if d.Rows >= 0 {
		about := ""
		if d.About {
			about = "about "
		}
		parts = append(parts, about+count(d.Rows, "row"))
	}
	if more > 0 {
		parts = append(parts, "and "+count(more, "more file"))
	}
	_, _ = fmt.Fprintf(out, "%s: %s\n", text.Plain(d.File), strings.Join(parts, ", "))
	var rows [][]string
	for _, c := range d.Columns[:min(len(d.Columns), maxColumnsShown)] {
		use := c.Use
		if c.Use == "attribute" {
			use = fmt.Sprintf("attribute %q", c.Attr)
		}
		if c.Name != "" {
			rows = append(rows, []string{shown(c.Name), use})
		}
	}
	if more := len(d.Columns) - maxColumnsShown; more > 0 {
		rows = append(rows, []string{"and " + count(more, "more column")})
	}
	writeTable(out, rows)
	if withRows {
		writeSample(out, d)
	}
}

func describeFormat(d *input.Description) string {
	text := map[input.Format]string{input.CSV: "CSV", input.NDJSON: "NDJSON", input.Parquet: "Parquet", input.Excel: "Excel"}[d.Format]
	if d.Sheet != "" {
		text += fmt.Sprintf(", sheet %q", d.Sheet)
	}
	if d.Delimiter != "" {
		name := fmt.Sprintf("%q", d.Delimiter)
		if d.Delimiter == "\t" {
			name = "tab"
		}
		text += " with " + name + " between fields"
	}
	if d.Encoding != "" {
		text += ", " + d.Encoding
	}
	if d.Compression != "" {
		text += ", compressed with " + d.Compression
	}
	return text
}

// writeSample shows the first rows. Values are shortened: they may be personal.
func writeSample(out io.Writer, d *input.Description) {
	if len(d.Sample) == 0 {
		return
	}
	_, _ = fmt.Fprintln(out, "The first rows:")
	var rows [][]string
	for _, row := range d.Sample {
		var cells []string
		for i, cell := range row[:min(len(row), maxColumnsShown)] {
			if d.Columns[i].Use != "ignored" {
				cells = append(cells, shown(cell))
			}
		}
		rows = append(rows, cells)
	}
	writeTable(out, rows)
}

// writeTable writes rows with their columns below each other, also where a character takes two columns of a terminal.
func writeTable(out io.Writer, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], uniseg.StringWidth(cell))
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += "  " + cell + strings.Repeat(" ", widths[i]-uniseg.StringWidth(cell))
		}
		_, _ = fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
}

// shown is a cell that fits into a table on a terminal.
func shown(text string) string {
	const most = 12
	if text == "" {
		return "-"
	}
	whole := []rune(printable(text))
	cut := whole[:min(len(whole), most)]
	for uniseg.StringWidth(string(cut)) > most {
		cut = cut[:len(cut)-1]
	}
	if len(cut) < len(whole) {
		cut = append(cut, '…')
	}
	return string(cut)
}

// describedInput is a description for a program. It has no values.
func describedInput(d *input.Description) map[string]any {
	columns := []map[string]string{}
	for _, c := range d.Columns {
		columns = append(columns, map[string]string{"name": c.Name, "use": c.Use, "attribute": c.Attr})
	}
	m := map[string]any{"file": d.File, "format": d.Format, "columns": columns}
	for key, value := range map[string]string{"compression": d.Compression, "encoding": d.Encoding, "delimiter": d.Delimiter, "sheet": d.Sheet} {
		if value != "" {
			m[key] = value
		}
	}
	if d.Rows >= 0 {
		m["rows"], m["rows_estimated"] = d.Rows, d.About
	}
	return m
}

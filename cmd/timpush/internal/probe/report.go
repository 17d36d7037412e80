package probe

import (
	"fmt"
	"io"
	"strings"
)

// Verdict is a line that says if the client should be changed.
func (r *Report) Verdict() string {
	unknown, changes := 0, 0
	for _, f := range r.Findings {
		if !f.Asked {
			unknown++
		}
		if f.Change != "" && !strings.HasPrefix(f.Change, "no") {
			changes++
		}
	}
	text := "The client need not be changed."
	if unknown == len(r.Findings) {
		text = "Nothing was found out."
	} else if changes > 0 {
		text = fmt.Sprintf("The client should be changed for %d of the questions.", changes)
	}
	return fmt.Sprintf("%s %d questions in %d calls, %d of them not settled.", text, len(r.Findings), r.Calls, unknown)
}

func (f Finding) change() string {
	if f.Change == "" {
		return "no"
	}
	return f.Change
}

func (f Finding) app() string {
	if !f.Asked {
		return "not settled: " + f.Found
	}
	return f.Found
}

// WriteText writes the findings for a terminal.
func (r *Report) WriteText(w io.Writer) {
	for _, f := range r.Findings {
		_, _ = fmt.Fprintf(w, "%s\n", f.Question) // the caller's writer keeps its errors
		if len(f.Readings) > 0 {
			_, _ = fmt.Fprintf(w, "  readings  %s\n", strings.Join(f.Readings, "; "))
		}
		_, _ = fmt.Fprintf(w, "  this app  %s\n  client    %s\n  change    %s\n", f.app(), f.Client, f.change())
	}
	_, _ = fmt.Fprintf(w, "\n%s\n", r.Verdict())
}

// WriteMarkdown writes the findings as a table that is fit for an issue: it has no account, no value and no name of the app.
func (r *Report) WriteMarkdown(w io.Writer, title string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n\n| question | readings | this app | the client assumes | change the client? |\n| --- | --- | --- | --- | --- |\n", title, r.Verdict())
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "| %s (`%s`) | %s | %s | %s | %s |\n", f.Question, f.Key, strings.Join(f.Readings, "; "), f.app(), f.Client, f.change())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

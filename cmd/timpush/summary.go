package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// topReasons is how many reasons the summary has.
const topReasons = 8

// summary is the result of a run. Requests, seconds and reasons are of this run alone; the counts include those of the runs
// that it resumes, which Earlier has.
type summary struct {
	rowCounts
	Earlier   *rowCounts    `json:"earlier_runs,omitempty"`
	Requests  int           `json:"requests"`
	Seconds   float64       `json:"seconds"`
	Reasons   []bulk.Reason `json:"reasons,omitempty"`
	Notes     []string      `json:"notes,omitempty"`
	Failures  string        `json:"failures_file,omitempty"`
	Rejects   string        `json:"rejects_file,omitempty"`
	Resumable bool          `json:"resumable,omitempty"`
	Error     string        `json:"error,omitempty"`
}

// rowCounts are checkpoint.Counts with the names that the manual has.
type rowCounts struct {
	Done     int64 `json:"done"`
	Rejected int64 `json:"rejected"`
	Failed   int64 `json:"failed"`
	Unset    int64 `json:"nothing_to_set"`
}

// finish closes the files, shows the summary, and returns the error with the exit code.
func (j *job) finish(r *bulk.Run, err error) error {
	j.reporter.end()
	complete := err == nil || errors.Is(err, errNoMember) || errors.Is(err, errOtherStdin)
	sum := summary{
		rowCounts: rowCounts(r.Counts), Requests: r.Stream.Requests, Seconds: r.Stream.Elapsed.Seconds(), Reasons: r.Reasons.Most(topReasons), Notes: notes(j.input.Notes()),
		Failures: r.Failures.Name(), Rejects: r.Rejects.Name(), Resumable: !complete && r.Log != nil && r.Rows() > 0,
	}
	if before := rowCounts(r.Before); before != (rowCounts{}) {
		sum.Earlier = &before
	}
	err = errors.Join(err, closeState(r, complete))
	if r.Rows() == 0 && err != nil && sum.Earlier == nil {
		return sum.result(err) // nothing to summarize
	}
	if err != nil {
		sum.Error = once(err.Error())
	}
	if j.asJSON {
		j.reporter.event("summary", sum)
	} else {
		sum.write(j.reporter.out, sameApp(j.cmd))
	}
	return sum.result(err)
}

func (s *summary) result(err error) error {
	coded, ok := errors.AsType[*exitError](err)
	switch {
	case ok:
		return coded
	case err == nil:
		return exitStatus(s.Rejected+s.Failed > 0)
	case s.Resumable:
		err = toResume(err)
	case s.Requests > 0:
		err = fmt.Errorf("stopped early: %w", err)
	}
	return fatal(err)
}

// toResume says how to go on after the error that has ended a run.
func toResume(err error) error {
	if errors.Is(err, errInterrupted) {
		return fmt.Errorf("stopped early: %w\nRun the same command again to resume", err)
	}
	return fmt.Errorf("stopped early: %w\nCorrect this and run the same command again to resume", err)
}

// write writes the summary, with the flags about the app for the command that it advises.
func (s *summary) write(out io.Writer, app string) {
	var e rowCounts
	if s.Earlier != nil {
		e = *s.Earlier
	}
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	line := func(n, before int64, what, file string) {
		if before > 0 {
			what += ofRuns(n, before)
		}
		if file != "" {
			what += ", in " + file
		}
		p("%d %s\n", n, what)
	}
	line(s.Done, e.Done, "done", "")
	if s.Rejected > 0 {
		line(s.Rejected, e.Rejected, "rejected: invalid or refused", s.Rejects)
	}
	if s.Failed > 0 {
		line(s.Failed, e.Failed, "failed and worth sending again", s.Failures)
	}
	if s.Unset > 0 {
		line(s.Unset, e.Unset, "with nothing to set", "")
	}
	took := time.Duration(s.Seconds * float64(time.Second)).Round(time.Millisecond)
	of := ""
	if s.Earlier != nil {
		of = " in this run"
	}
	p("%s in %v%s\n", count(s.Requests, "request"), took, of)
	writeReasons(out, of, s.Reasons, s.Notes)
	if s.Failures != "" && !s.Resumable {
		p("To send the failed ones again: timpush set-attr%s %s\n", app, text.Quote(s.Failures))
	}
}

// ofRuns says how much of a count is of the runs before.
func ofRuns[N int | int64](n, before N) string {
	return fmt.Sprintf(", of them %d in this run and %d in earlier ones", n-before, before)
}

// writeReasons writes why rows are not done, of which runs, and the notes.
func writeReasons(out io.Writer, of string, reasons []bulk.Reason, notes []string) {
	if len(reasons) > 0 {
		_, _ = fmt.Fprintf(out, "The most frequent reasons%s:\n", of)
	}
	for _, reason := range reasons {
		_, _ = fmt.Fprintf(out, "%8d  %s\n", reason.Count, reason.Text)
	}
	for _, note := range notes {
		_, _ = fmt.Fprintln(out, note)
	}
}

// notes says which cells were read differently from what is written.
func notes(n input.Notes) (all []string) {
	for _, note := range []struct {
		count int64
		one   string
		text  string
	}{
		{n.Accounts, "account", "with white space around, which was removed"},
		{n.Empty, "cell", "taken for empty: white space, \\N, or a text of --null"},
		{n.Shortened, "value", "such as 4.91512E+12, as spreadsheets shorten long numbers, sent as it is"},
		{n.NA, "value", "NA, which R writes where there is none, sent as it is: --null NA leaves the attribute alone"},
		{n.Spaces, "value", "with white space around, sent as it is: --trim removes it"},
	} {
		if note.count > 0 {
			all = append(all, count(note.count, note.one)+" "+note.text)
		}
	}
	if len(n.Sheets) > 0 {
		all = append(all, count(len(n.Sheets), "sheet")+" with accounts not read: "+n.Sheets[0]+" is one, and --sheet reads it")
	}
	return all
}

// count returns a number with its noun.
func count[N int | int64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// finishDry shows what would be sent. The requests of a real run are full, since users collect while requests wait for the
// quota; those of a dry run are not.
func (j *job) finishDry(r *bulk.Run, err error) error {
	j.reporter.end()
	if coded, ok := errors.AsType[*exitError](err); ok {
		return coded
	} else if err != nil && r.Rows() == 0 {
		return fatal(err)
	}
	requests := (r.Counts.Done + timpush.MaxUsersPerRequest - 1) / timpush.MaxUsersPerRequest
	seconds := math.Ceil(float64(requests) / j.settings.Rate)
	if j.asJSON {
		j.reporter.event("dry_run", map[string]any{
			"users": r.Counts.Done, "requests": requests, "seconds": seconds, "rejected": r.Counts.Rejected,
			"nothing_to_set": r.Counts.Unset, "attributes": r.Names, "reasons": r.Reasons.Most(topReasons), "notes": notes(j.input.Notes()),
		})
	} else {
		j.writeDry(r, requests, time.Duration(seconds)*time.Second, err)
	}
	if err != nil {
		return fatal(err)
	}
	return exitStatus(r.Counts.Rejected+r.Counts.Failed > 0)
}

func (j *job) writeDry(r *bulk.Run, requests int64, takes time.Duration, ended error) {
	out := j.reporter.out
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	so := "It would be"
	if ended != nil {
		so = "Of the rows that were read it would be"
	}
	p("Nothing was sent. %s %s in %s, about %v.\n", so, count(r.Counts.Done, "user"), count(requests, "request"), takes)
	for _, name := range slices.Sorted(maps.Keys(r.Names)) {
		p("%8d  set %q\n", r.Names[name], name)
	}
	if r.Counts.Rejected > 0 {
		p("%s cannot be sent\n", count(r.Counts.Rejected, "row"))
	}
	if r.Counts.Unset > 0 {
		p("%s with nothing to set\n", count(r.Counts.Unset, "row"))
	}
	writeReasons(out, "", r.Reasons.Most(topReasons), notes(j.input.Notes()))
	if len(r.Names) > timpush.MaxAttrsPerUser {
		p("These are %d attributes: an app has at most %d.\n", len(r.Names), timpush.MaxAttrsPerUser)
	}
}

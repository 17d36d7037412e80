package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
)

// topReasons is how many reasons the summary has.
const topReasons = 8

// summary is what a run has come to.
type summary struct {
	Done      int64         `json:"done"`
	Rejected  int64         `json:"rejected"`
	Failed    int64         `json:"failed"`
	Unset     int64         `json:"nothing_to_set"`
	Requests  int           `json:"requests"`
	Seconds   float64       `json:"seconds"`
	Reasons   []bulk.Reason `json:"reasons,omitempty"`
	Failures  string        `json:"failures_file,omitempty"`
	Rejects   string        `json:"rejects_file,omitempty"`
	Resumable bool          `json:"resumable,omitempty"`
	Error     string        `json:"error,omitempty"`
}

// finish closes the files, tells what the run has come to, and returns its exit code.
func (j *job) finish(r *bulk.Run, reporter *reporter, err error) error {
	reporter.end()
	sum := summary{
		Done: r.Counts.Done, Rejected: r.Counts.Rejected, Failed: r.Counts.Failed, Unset: r.Counts.Unset,
		Requests: r.Stream.Requests, Seconds: r.Stream.Elapsed.Seconds(), Reasons: r.Reasons.Most(topReasons),
		Failures: r.Failures.Name(), Rejects: r.Rejects.Name(), Resumable: err != nil && r.Log != nil,
	}
	err = errors.Join(err, r.Failures.Close(), r.Rejects.Close())
	if r.Log != nil {
		if err == nil {
			err = r.Log.Remove()
		} else {
			err = errors.Join(err, r.Log.Close())
		}
	}
	if err != nil {
		sum.Error = err.Error()
	}
	if j.asJSON {
		reporter.event("summary", sum)
	} else {
		sum.write(reporter.out)
	}
	return sum.verdict(err)
}

func (s *summary) verdict(err error) error {
	switch {
	case errors.Is(err, bulk.ErrInterrupted) && s.Resumable:
		return fatal(fmt.Errorf("stopped before the end: %w\nRun the same command again: it goes on from here", err))
	case err != nil && s.Resumable:
		return fatal(fmt.Errorf("stopped before the end: %w\nMend it and run the same command again: it goes on from here", err))
	case err != nil:
		return fatal(fmt.Errorf("stopped before the end: %w", err))
	case s.Rejected+s.Failed > 0:
		return &exitError{code: exitSome}
	}
	return nil
}

func (s *summary) write(out io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	p("%d done\n", s.Done)
	if s.Rejected > 0 {
		p("%d rejected for good%s\n", s.Rejected, in(s.Rejects))
	}
	if s.Failed > 0 {
		p("%d failed and worth another try%s\n", s.Failed, in(s.Failures))
	}
	if s.Unset > 0 {
		p("%d with nothing to set\n", s.Unset)
	}
	took := time.Duration(s.Seconds * float64(time.Second))
	p("%s in %v\n", count(s.Requests, "request"), took.Round(time.Millisecond))
	writeReasons(out, s.Reasons)
	if s.Failures != "" && !s.Resumable {
		p("To try again: timpush set-attr %s\n", s.Failures)
	}
}

func writeReasons(out io.Writer, reasons []bulk.Reason) {
	if len(reasons) > 0 {
		_, _ = fmt.Fprintln(out, "The most frequent reasons:")
	}
	for _, reason := range reasons {
		_, _ = fmt.Fprintf(out, "%8d  %s\n", reason.Count, reason.Text)
	}
}

// count says how many there are of something.
func count[N int | int64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func in(file string) string {
	if file == "" {
		return ""
	}
	return ", in " + file
}

// finishDry tells what would be sent. Requests of a real run are full, as they wait for their turn: those of this one are not.
func (j *job) finishDry(r *bulk.Run, reporter *reporter, s *settings.Settings, err error) error {
	reporter.end()
	requests := (r.Counts.Done + timpush.MaxUsersPerRequest - 1) / timpush.MaxUsersPerRequest
	seconds := math.Ceil(float64(requests) / s.Rate)
	if j.asJSON {
		reporter.event("dry_run", map[string]any{
			"users": r.Counts.Done, "requests": requests, "seconds": seconds, "rejected": r.Counts.Rejected,
			"nothing_to_set": r.Counts.Unset, "attributes": r.Names, "reasons": r.Reasons.Most(topReasons),
		})
	} else {
		j.writeDry(r, reporter.out, requests, time.Duration(seconds)*time.Second)
	}
	switch {
	case err != nil:
		return fatal(err)
	case r.Counts.Rejected+r.Counts.Failed > 0:
		return &exitError{code: exitSome}
	}
	return nil
}

func (j *job) writeDry(r *bulk.Run, out io.Writer, requests int64, takes time.Duration) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	p("Nothing was sent. It would be %s in %s, about %v.\n", count(r.Counts.Done, "user"), count(requests, "request"), takes)
	for _, name := range sortedKeys(r.Names) {
		p("%8d  set %q\n", r.Names[name], name)
	}
	if r.Counts.Rejected > 0 {
		p("%s cannot be sent\n", count(r.Counts.Rejected, "row"))
	}
	if r.Counts.Unset > 0 {
		p("%s with nothing to set\n", count(r.Counts.Unset, "row"))
	}
	writeReasons(out, r.Reasons.Most(topReasons))
	if len(r.Names) > timpush.MaxAttrsPerUser {
		p("These are %d attributes: an app has at most %d.\n", len(r.Names), timpush.MaxAttrsPerUser)
	}
}

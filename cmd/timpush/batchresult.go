package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
)

// What the names of the result files of a batch end with.
const (
	rejectsFile = ".refused.ndjson"
	unknownFile = ".unknown.ndjson"
	notSentFile = ".notsent.ndjson"
)

// batchCounts are accounts by outcome.
type batchCounts struct {
	Done     int `json:"done"`
	Rejected int `json:"rejected"`
	Unknown  int `json:"unknown"`
	NotSent  int `json:"not_sent"`
}

// batchSummary is the result of a batch. The counts are of all its runs, Rejected with the rows that are invalid; requests and
// seconds are of this one.
type batchSummary struct {
	batchCounts
	Duplicates int           `json:"duplicates,omitempty"`
	Earlier    *batchCounts  `json:"earlier_runs,omitempty"`
	Requests   int           `json:"requests"`
	Seconds    float64       `json:"seconds"`
	Reasons    []bulk.Reason `json:"reasons,omitempty"`
	Notes      []string      `json:"notes,omitempty"`
	Journal    string        `json:"journal"`
	Rejects    string        `json:"rejects_file,omitempty"`
	Unknowns   string        `json:"unknown_file,omitempty"`
	Left       string        `json:"not_sent_file,omitempty"`
	Resumable  bool          `json:"resumable,omitempty"`
	Error      string        `json:"error,omitempty"`
}

// result returns the name of a result file.
func (b *batch) result(suffix string) string {
	return strings.TrimSuffix(b.journalName, ".journal") + suffix
}

// tally adds accounts to the counts.
func (b *batch) tally(positions []int64) {
	for _, p := range positions {
		switch b.journal.Outcomes[p] {
		case timpush.Done:
			b.counts.Done++
		case timpush.Rejected:
			b.counts.Rejected++
		case timpush.Unknown:
			b.counts.Unknown++
		case timpush.NotSent:
			b.counts.NotSent++
		}
	}
}

// finish writes the result files, shows the summary, and returns the error with the exit code.
func (b *batch) finish(err error) error {
	b.reporter.end()
	sum := batchSummary{
		batchCounts: b.counts, Duplicates: b.doubles, Requests: b.requests, Seconds: time.Since(b.began).Seconds(),
		Notes: notes(b.input.Notes()), Journal: b.journalName, Resumable: b.counts.NotSent > 0,
	}
	sum.Rejected += len(b.faults)
	if b.journal.Resumed {
		sum.Earlier = &b.before
	}
	err = errors.Join(err, b.writeResults(&sum), b.journal.Close())
	if err != nil {
		sum.Error = once(err.Error())
	}
	if b.asJSON {
		b.reporter.event("summary", sum)
	} else {
		sum.write(b.reporter.out)
	}
	switch {
	case errors.Is(err, errInterrupted), err != nil && sum.Resumable:
		return fatal(toResume(err))
	case err != nil:
		return fatal(err)
	}
	return exitStatus(sum.Rejected+sum.Unknown+sum.NotSent > 0)
}

// writeResults writes the result files, which together have every account that is not done.
func (b *batch) writeResults(sum *batchSummary) (err error) {
	var reasons bulk.Reasons
	rejects := make([]any, 0, len(b.faults))
	var unknown, left []any
	for _, fault := range b.faults {
		reasons.Add(fault.Reason)
		rejects = append(rejects, fault)
	}
	for i, outcome := range b.journal.Outcomes {
		r, reason := b.accounts[i], b.journal.Reasons[i]
		if reason != "" {
			reasons.Add(reason)
		}
		switch outcome {
		case timpush.Rejected:
			rejects = append(rejects, &input.Fault{Place: r.place, Account: r.account, Reason: reason})
		case timpush.Unknown:
			unknown = append(unknown, r.row(outcome, reason))
		case timpush.NotSent:
			left = append(left, r.row(outcome, reason))
		}
	}
	sum.Reasons = reasons.Most(topReasons)
	for _, file := range []struct {
		name *string
		path string
		rows []any
	}{{&sum.Rejects, b.result(rejectsFile), rejects}, {&sum.Unknowns, b.result(unknownFile), unknown}, {&sum.Left, b.result(notSentFile), left}} {
		written, writing := writeRows(file.path, file.rows)
		*file.name, err = written, errors.Join(err, writing)
	}
	return err
}

// row is the line of an account in a result file.
func (r *recipient) row(outcome timpush.Outcome, reason string) any {
	type note struct {
		Outcome string `json:"outcome"`
		Reason  string `json:"reason,omitempty"`
		From    string `json:"from"`
	}
	return struct {
		ToAccount string `json:"To_Account"`
		Note      note   `json:"_timpush"`
	}{r.account, note{outcome.String(), reason, r.place.String()}}
}

// writeRows replaces a file, or removes it if there are no rows, and returns its name or "". The file has either its old contents
// or all of the new ones.
func writeRows(name string, rows []any) (written string, err error) {
	if len(rows) == 0 {
		if info, err := os.Stat(name); err == nil && info.IsDir() { // it would be removed if it is empty
			return "", nil
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		return "", nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return "", err
	}
	buffered := bufio.NewWriter(f)
	lines := json.NewEncoder(buffered)
	for _, row := range rows {
		if err = lines.Encode(row); err != nil {
			break // a full disk fails for each row
		}
	}
	err = cmp.Or(err, buffered.Flush(), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return name, nil
}

func (s *batchSummary) write(out io.Writer) {
	line := func(n int, what, file string) {
		if n > 0 {
			_, _ = fmt.Fprintf(out, "%d %s, in %s\n", n, what, file)
		}
	}
	done := fmt.Sprintf("%d done", s.Done)
	if s.Earlier != nil {
		done += ofRuns(s.Done, s.Earlier.Done)
	}
	_, _ = fmt.Fprintln(out, done)
	line(s.Rejected, "rejected: invalid or refused", s.Rejects)
	line(s.Unknown, "unknown: they may have got the push, and are not sent again", s.Unknowns)
	line(s.NotSent, "not sent", s.Left)
	took := time.Duration(s.Seconds * float64(time.Second)).Round(time.Millisecond)
	_, _ = fmt.Fprintf(out, "%s in %v\n", count(s.Requests, "request"), took)
	writeReasons(out, "", s.Reasons, s.Notes)
	if s.Resumable && s.Error == "" {
		_, _ = fmt.Fprintln(out, "To send to those who were not sent: run the same command again")
	}
}

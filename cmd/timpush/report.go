package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
)

// maxShown is how many bad rows are shown one by one. The rejects have all of them.
const maxShown = 20

// reporter shows the progress of a run to a person at a terminal, in a log, or to a program.
type reporter struct {
	out, err io.Writer
	asJSON   bool
	quiet    bool
	rejects  string  // file that has all bad rows, or ""
	dry      bool    // nothing is sent
	quota    float64 // calls a second, or 0
	most     float64 // users a second, where these are what the quota counts
	bar      *progressbar.ProgressBar

	mu    sync.Mutex // a signal is reported during the run
	shown int
	next  time.Time
	first time.Time
	from  float64 // fraction at the first progress
	calls meter
}

// meter measures how many calls a second are made.
type meter struct {
	at    time.Time
	count int
	rate  float64
}

func (m *meter) update(now time.Time, count int) float64 {
	d := now.Sub(m.at)
	if d >= time.Second || m.count == 0 && d >= time.Second/5 { // at the beginning a guess is better than nothing
		m.rate = float64(count-m.count) / d.Seconds()
	}
	if d >= time.Second {
		m.at, m.count = now, count
	}
	return m.rate
}

func newReporter(out, err io.Writer, asJSON, quiet bool) *reporter {
	now := time.Now()
	r := &reporter{out: out, err: err, asJSON: asJSON, quiet: quiet, calls: meter{at: now}, first: now, next: now.Add(5 * time.Second)}
	if o, ok := err.(*output); ok && !asJSON && !quiet && term.IsTerminal(int(o.file.Fd())) {
		r.bar = progressbar.NewOptions(1000, progressbar.OptionSetWriter(o.file), progressbar.OptionSetWidth(10),
			progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetTheme(progressbar.ThemeASCII), progressbar.OptionUseANSICodes(runtime.GOOS != "windows" && os.Getenv("TERM") != "dumb")) // without them a ^C stays
		r.next = now
	}
	return r
}

// Bad shows a row that was rejected.
func (r *reporter) Bad(f *input.Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asJSON {
		r.event("row", f)
		return
	}
	r.shown++
	if r.quiet || r.shown > maxShown+1 {
		return
	}
	r.clear()
	switch {
	case r.shown <= maxShown:
		_, _ = fmt.Fprintln(r.err, f)
	case r.rejects != "":
		_, _ = fmt.Fprintf(r.err, "more rejected rows: %s has all of them\n", r.rejects)
	default:
		_, _ = fmt.Fprintln(r.err, "more rejected rows, which are only counted")
	}
}

// Progress shows the progress of the run at intervals.
func (r *reporter) Progress(s bulk.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.from == 0 {
		r.from = s.Fraction
	}
	share := s.Stream.Rate / r.most
	if r.quota > 0 {
		share = r.calls.update(now, s.Stream.Requests) / r.quota
	}
	if r.quiet || now.Before(r.next) {
		return
	}
	left := r.left(now, s.Fraction)
	switch {
	case r.asJSON:
		r.next = now.Add(time.Second)
		r.event("progress", progressOf(s, share, left))
	case r.bar != nil:
		r.next = now.Add(200 * time.Millisecond)
		r.bar.Describe(r.fit(r.short(s, share, left)))
		if s.Fraction < 0 {
			r.bar.ChangeMax(-1)
		} else {
			_ = r.bar.Set(int(s.Fraction * 999)) // what the bar cannot write is only a picture
		}
	default:
		r.next = now.Add(5 * time.Second)
		_, _ = fmt.Fprintln(r.err, r.line(s, share, left))
	}
}

// left returns how long the rest will take, or a negative time if that is not known.
func (r *reporter) left(now time.Time, fraction float64) time.Duration {
	gone := fraction - r.from
	if fraction < 0 || gone <= 0 {
		return -1
	}
	return time.Duration((1 - fraction) / gone * float64(now.Sub(r.first))).Round(time.Second)
}

func (r *reporter) line(s bulk.Status, share float64, left time.Duration) string {
	parts := []string{
		fmt.Sprintf("%d done", s.Counts.Done), fmt.Sprintf("%.0f users/s", s.Stream.Rate), fmt.Sprintf("%.0f %% of the quota", 100*share),
		fmt.Sprintf("%d rejected", s.Counts.Rejected), fmt.Sprintf("%d failed", s.Counts.Failed),
	}
	if r.dry {
		parts = []string{fmt.Sprintf("%d checked", s.Counts.Done), fmt.Sprintf("%d rejected", s.Counts.Rejected)}
	}
	if s.Fraction >= 0 {
		parts = append(parts, fmt.Sprintf("%.0f %%", 100*s.Fraction))
	}
	if left >= 0 {
		parts = append(parts, left.String()+" left")
	}
	return strings.Join(parts, ", ")
}

// short returns the parts of the text beside the bar, the most important first.
func (r *reporter) short(s bulk.Status, share float64, left time.Duration) []string {
	var parts []string
	if s.Fraction < 0 {
		parts = append(parts, fmt.Sprintf("%d done", s.Counts.Done))
	}
	if !r.dry {
		parts = append(parts, fmt.Sprintf("%.0f users/s", s.Stream.Rate))
	}
	if left >= 0 {
		parts = append(parts, left.String()+" left")
	}
	if r.dry {
		return append(parts, fmt.Sprintf("%d rejected", s.Counts.Rejected))
	}
	return append(parts, fmt.Sprintf("%d rejected", s.Counts.Rejected), fmt.Sprintf("%d failed", s.Counts.Failed), fmt.Sprintf("quota %.0f %%", 100*share))
}

// fit drops what has no room beside the bar: a line that wraps, as a full one does on some terminals, could not be erased.
func (r *reporter) fit(parts []string) string {
	const bar = len("  100% [=========>] ")
	width := 80
	if o, ok := r.err.(*output); ok {
		if columns, _, err := term.GetSize(int(o.file.Fd())); err == nil && columns > 0 {
			width = columns
		}
	}
	for len(parts) > 0 && len(strings.Join(parts, ", "))+bar >= width {
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts, ", ")
}

// progressOf returns the members that the manual has; what is not known is null.
func progressOf(s bulk.Status, share float64, left time.Duration) map[string]any {
	var fraction, secondsLeft any
	if s.Fraction >= 0 {
		fraction = s.Fraction
	}
	if left >= 0 {
		secondsLeft = left.Seconds()
	}
	return map[string]any{
		"done": s.Counts.Done, "rejected": s.Counts.Rejected, "failed": s.Counts.Failed, "unknown": s.Stream.Unknown,
		"users_per_second": s.Stream.Rate, "quota_share": share, "fraction": fraction, "seconds_left": secondsLeft,
	}
}

// note shows a line, unless only the summary is wanted.
func (r *reporter) note(format string, args ...any) { r.say(fmt.Sprintf(format, args...)) }

// say shows a line in the place of the bar, which comes back below it.
func (r *reporter) say(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.asJSON:
		r.event("note", text)
	case !r.quiet:
		r.clear()
		_, _ = fmt.Fprintln(r.err, text)
	}
}

// show shows a line on standard output, in the place of the bar.
func (r *reporter) show(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear()
	_, _ = fmt.Fprintln(r.out, text)
}

// end erases the bar. It does not come back.
func (r *reporter) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear()
	r.bar = nil
}

// clear erases the bar, so that a line can be written in its place.
func (r *reporter) clear() {
	if r.bar != nil {
		_ = r.bar.Clear()
	}
}

// event writes a line for a program.
func (r *reporter) event(kind string, v any) {
	text, err := json.Marshal(map[string]any{"event": kind, kind: v})
	if err == nil {
		_, _ = fmt.Fprintf(r.out, "%s\n", text)
	}
}

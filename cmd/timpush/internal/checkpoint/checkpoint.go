// Package checkpoint records which rows of an input are finished, so that an interrupted run can be resumed.
//
// It is a log: a line is appended for each request that has ended, and nothing is ever rewritten. So the lines survive
// whatever ends the process, and a full disk or a torn write costs the last line only. Each line has a checksum over itself
// and all lines before it. It also has the length and a checksum of the result files: after a power failure the log may be on
// the disk and they not, and then the line does not count.
package checkpoint

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// ErrLocked is why a checkpoint cannot be opened: another run has it open.
var ErrLocked = errors.New("another run is using it")

// ErrOtherInput is why a checkpoint cannot be resumed: its files have changed, or are others.
var ErrOtherInput = errors.New("it was begun with another file")

var errVersion = errors.New("it is not a checkpoint of this version of the tool: finish that run with the version that began it, or give --restart to begin again")

const version = 1

// Job identifies what a checkpoint belongs to. A run with another Job must not resume it.
type Job struct {
	App     string            `json:"app"`     // SDKAppID and host
	Reading map[string]string `json:"reading"` // flags that decide how rows become users
	Inputs  []Fingerprint     `json:"inputs"`
}

// Fingerprint identifies a file by its beginning and its size.
type Fingerprint struct {
	Name string `json:"name"`           // for messages
	Size int64  `json:"size"`           // -1 if it is not known
	Head string `json:"head,omitempty"` // of its first MiB
}

// Counts are rows by outcome, of a run and those that it resumes.
type Counts struct {
	Done     int64 `json:"done"`
	Rejected int64 `json:"rejected"`
	Failed   int64 `json:"failed"` // in the failures file
	Unset    int64 `json:"unset"`  // nothing to set
}

// Extent is the length and the checksum of a result file when a line of the log was written.
type Extent struct {
	Size int64  `json:"size"`
	Sum  uint32 `json:"sum"`
}

// Line is a line of the log.
type Line struct {
	Rows    [][2]int64 `json:"rows"` // first and last of rows that are finished
	Counts  Counts     `json:"counts"`
	Extents []Extent   `json:"extents"`
	Row     int64      `json:"row"` // the row of the mark
	Mark    uint64     `json:"mark"`
}

type header struct {
	Version int       `json:"timpush-checkpoint"`
	Begun   time.Time `json:"begun"`
	Job     Job       `json:"job"`
}

// Log is an open checkpoint.
type Log struct {
	Handled Rows             // by earlier runs
	Marks   map[int64]uint64 // of the input, as earlier runs read it
	Last    Line             // the last line of earlier runs
	Resumed bool             // there were earlier runs
	Lost    bool             // lines did not count: the result files have changed, or the last write was torn

	chain
}

// Open opens the checkpoint of a job, or creates it. The results are the names of the result files.
func Open(name string, job Job, results []string) (*Log, error) {
	f, err := lock(name, whatLog)
	if err != nil {
		return nil, err
	}
	l := &Log{chain: chain{file: f}, Marks: map[int64]uint64{}, Last: Line{Extents: make([]Extent, len(results))}}
	if err := l.load(job, results); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

func (l *Log) load(job Job, results []string) error {
	r := bufio.NewReader(l.file)
	text, end, ok := l.line(r, 0)
	if !ok {
		if err := l.ours(beginning, whatLog); err != nil {
			return err
		}
		return l.restart(header{version, time.Now().Truncate(time.Second), job})
	}
	var h header
	if err := json.Unmarshal(text, &h); err != nil || h.Version != version {
		return errVersion
	}
	for flag, value := range job.Reading {
		job.Reading[flag] = string([]rune(value)) // as JSON has it: the name of a file need not be UTF-8
	}
	if err := h.Job.differs(job); err != nil {
		return err
	}
	l.Resumed = true
	files := openExtents(results)
	defer closeExtents(files)
	for {
		text, next, ok := l.line(r, end)
		var line Line
		if !ok || json.Unmarshal(text, &line) != nil || !match(files, line.Extents) {
			break
		}
		l.Handled.add(line.Rows)
		l.Marks[line.Row], l.Last, end = line.Mark, line, next
	}
	l.Handled.merge()
	return l.cut(end)
}

// cut removes what does not count, so that the next line follows one that does.
func (l *Log) cut(end int64) error {
	size, err := l.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if l.Lost = size > end; !l.Lost {
		return nil
	}
	return l.cutTo(end) // the sum may have gone on to a line that does not count for its extents
}

// beginning is that of the first line, after its sum of nine characters.
const (
	beginning = `{"timpush-checkpoint":`
	whatLog   = "checkpoint"
)

// Append adds a line.
func (l *Log) Append(line *Line) error { return l.write(line) }

// differs looks at the files first: with others no command can resume the run, whatever else has changed since.
func (j Job) differs(now Job) error {
	const hint = "; finish that run with its own command, or give --restart to forget it"
	if len(j.Inputs) != len(now.Inputs) {
		return fmt.Errorf("%w: there were %d, and there are %d", ErrOtherInput, len(j.Inputs), len(now.Inputs))
	}
	for i, f := range j.Inputs {
		if f.Size != now.Inputs[i].Size || f.Head != now.Inputs[i].Head {
			return fmt.Errorf("%w %s than %s is now", ErrOtherInput, f.Name, now.Inputs[i].Name)
		}
	}
	switch {
	case j.App != now.App:
		return fmt.Errorf("it belongs to the app %s, not to %s%s", j.App, now.App, hint)
	case !slices.Equal(slices.Sorted(maps.Keys(j.Reading)), slices.Sorted(maps.Keys(now.Reading))):
		return errVersion // it has other flags
	case !maps.Equal(j.Reading, now.Reading):
		return fmt.Errorf("it was begun with other flags: %s%s", difference(j.Reading, now.Reading), hint)
	}
	return nil
}

func difference(then, now map[string]string) string {
	var parts []string
	for k, v := range then {
		if now[k] != v {
			parts = append(parts, fmt.Sprintf("--%s was %q and is %q", k, v, now[k]))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// Forget removes a checkpoint, unless another run has it open.
func Forget(name string) error {
	if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	f, err := lock(name, whatLog)
	if err != nil {
		return err
	}
	l := &Log{chain: chain{file: f}}
	if err := l.ours(beginning, whatLog); err != nil {
		_ = f.Close()
		return fmt.Errorf("%s: %w", name, err)
	}
	return l.Remove()
}

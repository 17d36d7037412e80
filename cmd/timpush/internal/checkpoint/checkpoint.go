// Package checkpoint records which rows of an input are finished, so that an interrupted run can be resumed.
//
// It is a log: a line is appended for each request that has ended, and nothing is ever rewritten. So the lines survive
// whatever ends the process, and a full disk or a torn write costs the last line only. Each line has a checksum over itself
// and all lines before it. It also has the length and a checksum of the result files: after a power failure the log may be on
// the disk and they not, and then the line does not count.
package checkpoint

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrLocked is why a checkpoint cannot be opened: another run has it open.
var ErrLocked = errors.New("another run is using it")

// ErrOtherInput is why a checkpoint cannot be resumed: its files have changed, or are others.
var ErrOtherInput = errors.New("it was begun with another file")

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

	file *os.File
	sum  uint32
	buf  []byte
}

// Open opens the checkpoint of a job, or creates it. The results are the names of the result files.
func Open(name string, job Job, results []string) (*Log, error) {
	f, err := lock(name)
	if err != nil {
		return nil, err
	}
	l := &Log{file: f, Marks: map[int64]uint64{}, Last: Line{Extents: make([]Extent, len(results))}}
	if err := l.load(job, results); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// lock opens a file for this process alone.
func lock(name string) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		mine, err2 := f.Stat()
		if err2 == nil && !mine.Mode().IsRegular() {
			_ = f.Close()
			return nil, fmt.Errorf("%s: a checkpoint must be a regular file", name)
		}
		if err := lockFile(f); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		there, err := os.Stat(name)
		if err == nil && err2 == nil && os.SameFile(there, mine) {
			return f, nil
		}
		_ = f.Close() // the run that had it has just removed it
	}
}

func (l *Log) load(job Job, results []string) error {
	r := bufio.NewReader(l.file)
	text, end, ok := l.line(r, 0)
	if !ok {
		if err := l.ours(); err != nil {
			return err
		}
		return l.begin(job)
	}
	var h header
	if err := json.Unmarshal(text, &h); err != nil || h.Version != version {
		return fmt.Errorf("it is not a checkpoint of this version of the tool: give --restart to begin again")
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

// line reads a line that begins at an offset, and returns its text and where it ends. The sum of the log goes on only if
// the line is whole.
func (l *Log) line(r *bufio.Reader, from int64) (text []byte, end int64, ok bool) {
	raw, err := readLine(r)
	if err != nil || len(raw) < 10 || raw[8] != ' ' {
		return nil, from, false
	}
	want, err := strconv.ParseUint(string(raw[:8]), 16, 32)
	sum := crc32.Update(l.sum, crc32.IEEETable, raw[9:])
	if err != nil || uint32(want) != sum {
		return nil, from, false
	}
	l.sum = sum
	return raw[9:], from + int64(len(raw)), true
}

// maxLine is more than any line of the log has. A longer one is not the log's.
const maxLine = 64 << 20

func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine {
			return line, err
		}
	}
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
	// The sum may have gone on to a line that does not count for its extents.
	if err := l.file.Truncate(end); err != nil {
		return err
	}
	if err := l.resum(); err != nil {
		return err
	}
	return l.file.Sync()
}

func (l *Log) resum() error {
	if _, err := l.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	l.sum = 0
	r := bufio.NewReader(l.file)
	for at, ok := int64(0), true; ok; {
		_, at, ok = l.line(r, at)
	}
	_, err := l.file.Seek(0, io.SeekEnd)
	return err
}

// beginning is that of the first line, after its sum of nine characters.
const beginning = `{"timpush-checkpoint":`

// ours refuses a file that was never a log: its name may have been given by mistake. What a crash leaves of a log is cut off,
// or has nothing but NULs.
func (l *Log) ours() error {
	head := make([]byte, 9+len(beginning))
	n, err := l.file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	head = head[:n]
	sum, text := head[:min(n, 9)], head[min(n, 9):]
	torn := len(text) > 0 || len(bytes.Trim(sum, "0123456789abcdef ")) == 0
	if torn && bytes.HasPrefix([]byte(beginning), text) || len(bytes.Trim(head, "\x00")) == 0 {
		return nil
	}
	return errors.New("it is not a checkpoint, and is not touched: give another --checkpoint, or move it away")
}

// begin begins a new log. Whatever is in the file has no whole line, so that nothing can have been sent.
func (l *Log) begin(job Job) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	if _, err := l.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := l.write(header{version, time.Now().Truncate(time.Second), job}); err != nil {
		return err
	}
	return l.Sync()
}

// Append adds a line.
func (l *Log) Append(line *Line) error { return l.write(line) }

func (l *Log) write(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	l.sum = crc32.Update(l.sum, crc32.IEEETable, text)
	l.buf = fmt.Appendf(l.buf[:0], "%08x ", l.sum)
	l.buf = append(l.buf, text...)
	_, err = l.file.Write(l.buf)
	return err
}

// Sync writes the log to the disk. The result files must be there before.
func (l *Log) Sync() error { return l.file.Sync() }

// Close closes the log; another run may resume it.
func (l *Log) Close() error { return l.file.Close() }

// Remove removes the log: nothing is left to resume.
func (l *Log) Remove() error {
	if os.Remove(l.file.Name()) == nil { // while it is still locked
		return l.file.Close()
	}
	return errors.Join(l.file.Close(), os.Remove(l.file.Name())) // Windows does not remove what is open
}

func (j Job) differs(now Job) error {
	const hint = "; finish that run with its own command, or give --restart to forget it"
	switch {
	case j.App != now.App:
		return fmt.Errorf("it belongs to the app %s, not to %s%s", j.App, now.App, hint)
	case !reflect.DeepEqual(j.Reading, now.Reading):
		return fmt.Errorf("it was begun with other flags: %s%s", difference(j.Reading, now.Reading), hint)
	case len(j.Inputs) != len(now.Inputs):
		return fmt.Errorf("%w: there were %d, and there are %d", ErrOtherInput, len(j.Inputs), len(now.Inputs))
	}
	for i, f := range j.Inputs {
		if f.Size != now.Inputs[i].Size || f.Head != now.Inputs[i].Head {
			return fmt.Errorf("%w %s than %s is now", ErrOtherInput, f.Name, now.Inputs[i].Name)
		}
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
	f, err := lock(name)
	if err != nil {
		return err
	}
	l := &Log{file: f}
	if err := l.ours(); err != nil {
		_ = f.Close()
		return fmt.Errorf("%s: %w", name, err)
	}
	return l.Remove()
}

// Package input reads users and their attributes from CSV, NDJSON, Parquet and Excel files, row by row in constant memory.
package input

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/text/encoding"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// Stdin is the name of standard input among the files.
const Stdin = "-"

// maxRecord bounds what one row may take in memory. A user has at most a few kilobytes of attributes; whatever is larger is
// an unclosed quote, another kind of file or a decompression bomb.
const maxRecord = 1 << 20

// Format is how rows are written.
type Format string

// The formats. Auto goes by the name of the file, and for standard input by its first byte.
const (
	Auto    Format = "auto"
	CSV     Format = "csv"
	NDJSON  Format = "ndjson"
	Parquet Format = "parquet"
	Excel   Format = "xlsx"
)

// Options says how rows become users.
type Options struct {
	Format    Format
	Account   string            // column of the account
	Names     map[string]string // column to attribute, where they differ
	Ignore    []string          // columns that are no attributes
	Only      []string          // columns that are attributes; nil: all
	Delimiter rune              // of CSV; 0: found by the first line
	Encoding  encoding.Encoding // of CSV; nil: UTF-8 or UTF-16, found by the first bytes
	Sheet     string            // of a workbook; "": the first
	Null      []string          // cells that count as empty beside \N; what is doubtful is a fault of its row. Empty but not nil: all are values
	Trim      bool              // white space around values is left out
	Stopped   func() error      // why a text is not read on, or nil, before each part; a line can be of any length. nil: it always is

	AllowEmpty   bool // a CSV file or a sheet may have not even a header
	AccountsOnly bool // every column but that of the account is ignored
	NoHeader     bool // of CSV with AccountsOnly: the first row is an account, and does not name the column

	declared map[string]timpush.AccountType // see Input.Declare
}

// Row is one row of the input.
type Row struct {
	Number int64 // from 0, over all files, rows that cannot be used included
	Place  Place
	User   timpush.UserAttrs // without attributes if there is nothing to set
	Fault  *Fault            // why the row cannot be used, or nil
	Skip   bool              // it was not asked for, and has only a number
}

// Place is where a row is.
type Place struct {
	File string
	Line int64 // from 1; the number of the row in a Parquet file
}

// String returns the place as editors know it.
func (p Place) String() string { return fmt.Sprintf("%s:%d", text.Plain(p.File), p.Line) }

// Fault is why a row cannot be used.
type Fault struct {
	Place    Place
	Position int    // of the fault's cell, or of the fault, in the line: bytes, from 1; 0 if it is not known
	Column   string // name; "" if it is the whole row
	Account  string // if it is known
	Reason   string
}

// Error tells the place and the reason.
func (f *Fault) Error() string {
	switch {
	case f.Column != "":
		return fmt.Sprintf("%s: column %s: %s", f.Place, text.Plain(f.Column), f.Reason)
	case f.Position > 0:
		return fmt.Sprintf("%s:%d: %s", f.Place, f.Position, f.Reason)
	}
	return fmt.Sprintf("%s: %s", f.Place, f.Reason)
}

// MarshalJSON writes the members that the manual has.
func (f *Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		File     string `json:"file"`
		Line     int64  `json:"line"`
		Position int    `json:"position,omitempty"`
		Column   string `json:"column,omitempty"`
		Account  string `json:"account,omitempty"`
		Reason   string `json:"reason"`
	}{f.Place.File, f.Place.Line, f.Position, f.Column, f.Account, f.Reason})
}

// Input is all files in their order.
type Input struct {
	files   []string
	options Options
	notes   Notes
	stdin   io.Reader
	book    *book

	whole  bool          // all rows have been read, and none was passed over
	absent []string      // the column of the account and those that flags name, of which no row has been seen yet
	number int64         // of the next row
	sum    uint64        // of all rows before it
	states []os.FileInfo // of the files, when New looked at them
	size   int64         // of all files in bytes, 0 if not known
	before int64         // bytes of the files that are finished
	at     atomic.Int64  // bytes taken
	mark   atomic.Pointer[Mark]
}

// Mark is a row, and a sum of everything up to it. It tells whether two inputs begin the same way.
type Mark struct {
	Row int64
	Sum uint64
}

// markEvery is how many rows apart marks are. What differs behind the last one is not found.
const markEvery = 32

// reader reads the rows of one file. Its error is io.EOF, or why nothing more can be read.
type reader interface {
	// next reads a row; where skip is set only its sum is needed.
	next(skip bool) (record, error)
}

// record is a row as it comes from a file.
type record struct {
	line    int64
	account string
	attrs   timpush.Attrs
	reason  string // why the row cannot be used
	sum     uint64

	column   string // of the fault, if it is one's
	cell     int    // the number of that column, from 0
	position int    // of the fault
}

// New finds the files and reads the beginning of each, so that what can be wrong there is known before anything is sent.
// The caller closes the Input.
func New(args []string, options Options, stdin io.Reader) (*Input, error) {
	files, err := Expand(args)
	if err != nil {
		return nil, err
	}
	in := &Input{files: files, options: options, stdin: stdin, book: &book{}}
	in.absent = slices.Concat([]string{options.Account}, options.Only, slices.Sorted(maps.Keys(options.Names)))
	for _, name := range files {
		if name == Stdin {
			return in, nil
		}
		if err := in.probe(name); err != nil {
			in.Close()
			return nil, err
		}
	}
	return in, nil
}

// Close removes temporary files. It may be called again.
func (in *Input) Close() {
	if in != nil {
		in.book.close()
	}
}

// Changed returns [ErrChanged] if a file has been written to since it was looked at, also after its end was read: a program may still be
// writing it. One that has taken its place is another file.
func (in *Input) Changed() error {
	for i, was := range in.states {
		if was == nil || i >= len(in.files) {
			continue
		}
		if info, err := os.Stat(in.files[i]); err == nil && os.SameFile(was, info) && !same(was, info) {
			return fmt.Errorf("%s: %w", Display(in.files[i]), ErrChanged)
		}
	}
	return nil
}

// Declare says which attributes the app has, so that a line that names columns can be told from a user.
func (in *Input) Declare(attrs map[string]timpush.AccountType) { in.options.declared = attrs }

// Files returns the names of the files.
func (in *Input) Files() []string { return in.files }

// Fraction returns how much of the input has been read, from 0 to 1, or a negative number if that cannot be known.
func (in *Input) Fraction() float64 {
	if in.size == 0 {
		return -1
	}
	return min(float64(in.at.Load())/float64(in.size), 1)
}

// Mark returns the last mark that was passed, or nil.
func (in *Input) Mark() *Mark { return in.mark.Load() }

// Notes returns what was read differently from what is written.
func (in *Input) Notes() Notes { return in.notes }

// Absent returns the columns of Options.Only and Options.Names that no row has had, and Options.Account if no row has had an account. A table
// without one of them is refused, but the members of NDJSON objects are known only at their end; before that, and where rows were passed
// over, Absent returns nil.
func (in *Input) Absent() []string {
	if !in.whole {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(in.absent)))
}

// resultEnd is the end of the name of a result file, with a time if a later run has set it aside.
const resultEnd = `(?:\.\d{8}T\d{6}Z(?:-\d+)?)?\.ndjson$`

var (
	resultFile = regexp.MustCompile(`^(.+)\.(?:failed|rejected)` + resultEnd) // with the name of the file whose rows are in it
	endOfName  = regexp.MustCompile(resultEnd)
)

// ResultName returns the name that a result file had before a later run set it aside.
func ResultName(name string) string { return endOfName.ReplaceAllString(name, ".ndjson") }

// Expand resolves patterns that the shell has left alone. These leave out hidden files, what an interrupted run of a file has written to be
// resumed, and the result files of earlier runs, whose values are older, unless it is the failures that are wanted.
func Expand(args []string) (files []string, err error) {
	for _, arg := range args {
		if arg == Stdin || exists(arg) || !strings.ContainsAny(arg, "*?[") {
			files = append(files, arg)
			continue
		}
		found, err := filepath.Glob(arg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", arg, err)
		}
		found = slices.DeleteFunc(found, func(name string) bool { return hidden(name) > hidden(filepath.Clean(arg)) || isState(name) })
		if !strings.Contains(arg, ".failed") {
			found = slices.DeleteFunc(found, resultFile.MatchString)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s: no file matches", arg)
		}
		slices.Sort(found)
		files = append(files, found...)
	}
	if n := len(files); n > 1 && slices.Contains(files, Stdin) {
		return nil, flagErrorf("- (standard input) cannot be combined with files")
	}
	for _, name := range files {
		if m := resultFile.FindStringSubmatch(name); m != nil && slices.Contains(files, m[1]) {
			return nil, flagErrorf("%s: it was written by a run of %s, and its values may be older: send it alone, or put the pattern that matches both into quotes", name, m[1])
		}
	}
	return files, nil
}

// hidden returns how many parts of a path are hidden, as are files that are still being copied, or are locks of Excel: a shell leaves
// them out of a pattern that does not have them.
func hidden(name string) int {
	name = "/" + filepath.ToSlash(name)
	return strings.Count(name, "/.") + strings.Count(name, "/~$")
}

// isState reports whether a file is the checkpoint of set-attr or the journal of batch for the file beside it.
func isState(name string) bool {
	ext := filepath.Ext(name)
	return (ext == ".checkpoint" || ext == ".journal") && exists(strings.TrimSuffix(name, ext))
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// probe opens a file and reads its beginning.
func (in *Input) probe(name string) error {
	f, err := in.open(name)
	if err != nil {
		return err
	}
	in.size += f.size
	in.states = append(in.states, f.state)
	f.close()
	return nil
}

// Rows reads all rows in order. Those for which skip is true are passed over quickly. An error is why the rest cannot be read; it comes last.
// The input is read once.
func (in *Input) Rows(skip func(row int64) bool) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		in.sum, in.whole = 14695981039346656037, false
		skipped := false
		for i, name := range in.files {
			f, err := in.open(name)
			if err != nil {
				yield(Row{}, err)
				return
			}
			if i < len(in.states) && !same(in.states[i], f.state) {
				f.close()
				yield(Row{}, fmt.Errorf("%s: %w", Display(f.name), ErrChanged))
				return
			}
			if _, members := f.reader.(*ndjsonReader); !members {
				in.absent = nil // it has all of them
			}
			more := in.rowsOf(f, skip, func(row Row, err error) bool {
				skipped = skipped || row.Skip
				return yield(row, err)
			})
			f.close()
			if !more {
				return
			}
			in.before += f.size
			in.at.Store(in.before)
		}
		in.whole = !skipped
	}
}

func (in *Input) rowsOf(f *file, skip func(int64) bool, yield func(Row, error) bool) bool {
	for {
		unwanted := skip != nil && skip(in.number)
		r, err := f.reader.next(unwanted)
		if in.number%64 == 0 {
			in.at.Store(in.before + f.taken())
		}
		if errors.Is(err, io.EOF) {
			if err = Unchanged(f.disk, f.state); err == nil {
				return true
			}
		}
		if err != nil {
			yield(Row{}, fmt.Errorf("%s: %w", Display(f.name), err))
			return false
		}
		in.sum = (in.sum ^ r.sum) * prime
		if in.number%markEvery == 0 {
			in.mark.Store(&Mark{in.number, in.sum})
		}
		row := Row{Number: in.number, Place: Place{f.name, r.line}, Skip: unwanted}
		if !unwanted {
			row.User = timpush.UserAttrs{ToAccount: r.account, Attrs: r.attrs}
			if r.reason != "" {
				row.Fault = &Fault{row.Place, r.position, r.column, r.account, r.reason}
			}
		}
		in.number++
		if !yield(row, nil) {
			return false
		}
	}
}

const prime = 1099511628211

// fnv adds a text to a sum, and something that ends it. It is FNV by words of eight bytes.
func fnv[T string | []byte](sum uint64, text T) uint64 {
	i := 0
	for ; i+8 <= len(text); i += 8 {
		t := text[i : i+8]
		word := uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 | uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
		sum = (sum ^ word) * prime
		sum ^= sum >> 29
	}
	for ; i < len(text); i++ {
		sum = (sum ^ uint64(text[i])) * prime
	}
	return (sum ^ 0x1ff) * prime
}

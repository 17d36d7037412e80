package input

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// errTooLong is why a CSV file is not read on: where its next row begins cannot be known.
var errTooLong = fmt.Errorf("a row of more than %d KiB: is a quote not closed, or the file damaged?", maxRecord>>10)

// csvReader reads CSV with the names of the columns in the first row.
type csvReader struct {
	csv    *csv.Reader
	bound  *bound
	cols   *layout
	before int // lines before the first that csv sees

	guessed bool // the delimiter, as there is no header to find it by
}

// bound bounds what is read for one row: encoding/csv keeps a whole row, whatever its length.
type bound struct {
	r    io.Reader
	room int
}

func (b *bound) Read(p []byte) (int, error) {
	if b.room <= 0 {
		return 0, errTooLong
	}
	n, err := b.r.Read(p[:min(len(p), b.room)])
	b.room -= n
	return n, err
}

func newCSV(plain *bufio.Reader, o *Options, notes *Notes) (*csvReader, error) {
	c := &csvReader{bound: &bound{plain, maxRecord}}
	head, _ := plain.Peek(plain.Size()) // an error comes again
	head = bytes.Clone(head)            // since what is read next takes its place
	notUTF8 := o.Encoding == nil && !isMeantAsUTF8(head)
	delimiter, err := c.delimiter(plain, o)
	if err != nil {
		return nil, err
	}
	c.csv = csv.NewReader(bufio.NewReaderSize(c.bound, 32<<10))
	c.csv.FieldsPerRecord, c.csv.ReuseRecord, c.csv.Comma = -1, true, delimiter
	columns := []string{o.Account}
	if !o.NoHeader {
		columns, err = c.csv.Read()
	}
	switch {
	case errors.Is(err, io.EOF) && o.AllowEmpty:
		c.cols = noColumns(o, notes)
		return c, nil
	case errors.Is(err, io.EOF):
		return nil, errors.New("it is empty: the first line must name the columns")
	case err != nil:
		return nil, fmt.Errorf("the first line, which names the columns, cannot be read: %w", explained(err))
	}
	if c.cols, err = newLayout(slices.Clone(columns), o, notes); err != nil {
		return c, err
	}
	c.cols.notUTF8 = notUTF8
	return c, roundedFault(head, delimiter, c.cols.account)
}

// roundedFault returns an error if the accounts in the beginning of a file are rounded.
func roundedFault(head []byte, delimiter rune, column int) error {
	r := csv.NewReader(bytes.NewReader(head[:bytes.LastIndexByte(head, '\n')+1])) // the last row may go on
	r.FieldsPerRecord, r.ReuseRecord, r.LazyQuotes, r.Comma = -1, true, true, delimiter
	var accounts Rounding
	for {
		fields, err := r.Read()
		if err != nil {
			return accounts.Fault("as NDJSON")
		}
		if len(fields) > column {
			accounts.Add(text.Trim(fields[column]))
		}
	}
}

// delimiters are the characters that are looked for if none is given, the most usual first.
const delimiters = ",;\t|"

// delimiter finds the character between the fields: the one that is given, or is named by a first line such as "sep=;",
// which Excel writes and which is skipped, or that makes the account one of several columns. Where no column is the account,
// that which makes most columns is found, so that the error names them.
func (c *csvReader) delimiter(plain *bufio.Reader, o *Options) (rune, error) {
	head, err := plain.Peek(plain.Size())
	if err != nil && !errors.Is(err, io.EOF) && len(head) == 0 {
		return 0, err
	}
	first, _, _ := bytes.Cut(head, []byte{'\n'})
	given := o.Delimiter
	if named, ok := strings.CutPrefix(strings.Trim(text.Trim(string(first)), `"`), "sep="); ok && len(named) <= 1 {
		if _, err := plain.Discard(min(len(first)+1, len(head))); err != nil {
			return 0, err
		}
		c.before = 1
		if given == 0 && named != "" && ValidDelimiter(rune(named[0])) {
			given = rune(named[0])
		}
		head = head[min(len(first)+1, len(head)):]
	}
	if given != 0 {
		return given, nil
	}
	c.guessed = o.NoHeader
	found, most := ',', 1
	for _, d := range delimiters {
		r := csv.NewReader(bytes.NewReader(head))
		r.Comma = d
		columns, err := r.Read()
		if err != nil || len(columns) < 2 || o.NoHeader {
			continue
		}
		if hasAccount(columns, o.Account) {
			return d, nil
		}
		if len(columns) > most {
			found, most = d, len(columns)
		}
	}
	return found, nil
}

func hasAccount(columns []string, account string) bool {
	return slices.ContainsFunc(columns, func(c string) bool { return isColumn(c, account) })
}

// ValidDelimiter reports whether encoding/csv takes a character as the delimiter.
func ValidDelimiter(r rune) bool { return r != 0 && !strings.ContainsRune("\"\r\n\ufffd", r) }

func (c *csvReader) layout() *layout { return c.cols }

func (c *csvReader) offset() int64 { return c.csv.InputOffset() }

func (c *csvReader) next(skip bool) (record, error) {
	c.bound.room = maxRecord
	fields, err := c.csv.Read()
	var fault *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return record{}, io.EOF
	case errors.As(err, &fault):
		return c.malformed(fault)
	case errors.Is(err, errTooLong):
		line, _ := c.csv.FieldPos(0)
		return record{}, fmt.Errorf("at line %d or after it: %w", line+c.before, err)
	case err != nil:
		return record{}, err
	}
	line, _ := c.csv.FieldPos(0)
	r := record{line: int64(line + c.before)}
	for _, field := range fields {
		r.sum = fnv(r.sum, field)
	}
	if skip {
		return r, nil
	}
	if c.cols.namesOthers(fields) {
		return record{}, fmt.Errorf("line %d names other columns than the first line: were files joined? Send each alone", r.line)
	}
	c.user(fields, &r)
	return r, nil
}

func (c *csvReader) user(fields []string, r *record) {
	if c.swallowed(fields, r) {
		return
	}
	if len(fields) != len(c.cols.columns) {
		r.reason = fmt.Sprintf("the number of its fields is %d, that of the first line %d", len(fields), len(c.cols.columns))
		return
	}
	if at := strings.IndexAny(fields[0], ";\t|"); at >= 0 && c.guessed {
		r.reason = fmt.Sprintf("there is %q in it: give --delimiter %q if that is between the fields, and else --delimiter ,", fields[0][at], fields[0][at])
		return
	}
	if c.cols.user(fields, r); r.reason != "" {
		_, r.position = c.csv.FieldPos(r.cell)
	}
}

// swallowed finds rows that have become a part of a value, since a quote was not closed.
func (c *csvReader) swallowed(fields []string, r *record) bool {
	for i, field := range fields {
		if strings.IndexByte(field, '\n') >= 0 && c.holdsRows(i, field, len(fields) == len(c.cols.columns)) {
			line, column := c.csv.FieldPos(i)
			line += c.before
			r.position, r.reason = column, fmt.Sprintf("a quoted value spans the lines %d to %d: is a quote not closed?", line, line+strings.Count(field, "\n"))
			return true
		}
	}
	return false
}

// holdsRows reports whether a value of several lines is too long for one, or has a line with as many delimiters as a row. A column that is
// ignored may have texts of any length, such as addresses, unless the row does not have the fields of one.
func (c *csvReader) holdsRows(i int, field string, whole bool) bool {
	each := len(c.cols.columns) - 1
	if whole && i != c.cols.account && c.cols.attrs[i] == "" {
		return c.isRows(i, field)
	}
	if len(field) > timpush.MaxValueBytes {
		return true
	}
	first := true
	for line := range strings.Lines(field) {
		if !first && strings.Count(line, string(c.csv.Comma)) >= each {
			return true
		}
		first = false
	}
	return false
}

// isRows reports whether a field is the end of a row, whole rows, and the beginning of one, by the delimiters of its lines. Half of the lines
// between may be no rows; then a delimiter before a space does not count, since in a text a space follows a comma.
func (c *csvReader) isRows(i int, field string) bool {
	each, lines := len(c.cols.columns)-1, strings.Split(field, "\n")
	exact, ends, rows, others := true, true, 0, 0
	for n, line := range lines {
		all := strings.Count(line, string(c.csv.Comma))
		want, tight := each, all-strings.Count(line, string(c.csv.Comma)+" ")
		switch {
		case n == 0:
			want = each - i
			ends = tight >= want
		case n == len(lines)-1:
			want = i
			ends = ends && tight >= want
		case tight >= each:
			rows++
		case text.Trim(line) != "":
			others++
		}
		exact = exact && all == want
	}
	return exact || ends && rows >= others
}

// malformed makes a fault of one row of what cannot be read, if it has only one line. Otherwise rows may have been swallowed.
func (c *csvReader) malformed(fault *csv.ParseError) (record, error) {
	if fault.StartLine != fault.Line {
		return record{}, fmt.Errorf("the quote that begins in the row of line %d is not closed: nothing after it can be told apart", fault.StartLine+c.before)
	}
	r := record{line: int64(fault.Line + c.before), position: fault.Column, reason: explained(fault.Err).Error()}
	r.sum = fnv(r.sum, r.reason)
	return r, nil
}

// explained says what encoding/csv means in the words of somebody who looks at the file.
func explained(err error) error {
	switch {
	case errors.Is(err, csv.ErrBareQuote):
		return errors.New(`a quote (") within a value that does not begin with one: double it, and put the value into quotes`)
	case errors.Is(err, csv.ErrQuote):
		return errors.New(`a quote (") is not closed, or something follows it`)
	}
	return err
}

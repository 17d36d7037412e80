package input

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/timpush/timpush-go"
)

// errTooLong is why a CSV file is not read on: where its next row begins cannot be known.
var errTooLong = fmt.Errorf("a row of more than %d KiB: is a quote not closed, or the file damaged?", maxRecord>>10)

// csvReader reads CSV with the names of the columns in the first row.
type csvReader struct {
	csv   *csv.Reader
	guard *guard
	cols  *layout
}

// guard bounds what is read for one row: encoding/csv keeps a whole row, whatever its length.
type guard struct {
	r    io.Reader
	room int
}

func (g *guard) Read(p []byte) (int, error) {
	if g.room <= 0 {
		return 0, errTooLong
	}
	n, err := g.r.Read(p[:min(len(p), g.room)])
	g.room -= n
	return n, err
}

func newCSV(plain *bufio.Reader, o Options) (*csvReader, error) {
	c := &csvReader{guard: &guard{plain, maxRecord}}
	c.csv = csv.NewReader(bufio.NewReaderSize(c.guard, 32<<10))
	c.csv.FieldsPerRecord, c.csv.ReuseRecord = -1, true
	if o.Delimiter != 0 {
		c.csv.Comma = o.Delimiter
	}
	columns, err := c.csv.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("it is empty: the first line must name the columns")
	case err != nil:
		return nil, fmt.Errorf("the first line, which names the columns, cannot be read: %w", unwrapped(err))
	}
	c.cols, err = newLayout(append([]string(nil), columns...), o)
	return c, err
}

func (c *csvReader) layout() *layout { return c.cols }

func (c *csvReader) next(skip bool) (record, error) {
	c.guard.room = maxRecord
	fields, err := c.csv.Read()
	var fault *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return record{}, io.EOF
	case errors.As(err, &fault):
		return malformed(fault)
	case errors.Is(err, errTooLong):
		line, _ := c.csv.FieldPos(0)
		return record{}, fmt.Errorf("after line %d: %w", line, err)
	case err != nil:
		return record{}, err
	}
	line, _ := c.csv.FieldPos(0)
	r := record{line: int64(line)}
	for _, field := range fields {
		r.sum = fnv(r.sum, field)
	}
	switch {
	case skip:
	case len(fields) != len(c.cols.columns):
		r.reason = fmt.Sprintf("the number of its fields is %d, that of the first line %d", len(fields), len(c.cols.columns))
	default:
		c.cols.user(fields, &r)
		c.swallowed(fields, line, &r)
	}
	return r, nil
}

// swallowed finds rows that have become a part of a value, since a quote was not closed.
func (c *csvReader) swallowed(fields []string, line int, r *record) {
	for i, field := range fields {
		if len(field) <= timpush.MaxValueBytes {
			continue
		}
		if n := strings.Count(field, "\n"); n > 0 {
			r.column, r.reason = c.cols.columns[i], fmt.Sprintf("a quoted value spans the lines %d to %d: is a quote not closed?", line, line+n)
			return
		}
	}
}

// malformed makes a fault of one row of what cannot be read, if it has only one line. Otherwise rows may have been swallowed.
func malformed(fault *csv.ParseError) (record, error) {
	if fault.StartLine != fault.Line {
		return record{}, fmt.Errorf("the quote that begins in the row of line %d is not closed: nothing after it can be told apart", fault.StartLine)
	}
	r := record{line: int64(fault.Line), column: strconv.Itoa(fault.Column), reason: unwrapped(fault.Err).Error()}
	r.sum = fnv(r.sum, r.reason)
	return r, nil
}

// unwrapped says in other words what encoding/csv means.
func unwrapped(err error) error {
	switch {
	case errors.Is(err, csv.ErrBareQuote):
		return errors.New(`a quote (") within a value that does not begin with one: double it, and put the value into quotes`)
	case errors.Is(err, csv.ErrQuote):
		return errors.New(`a quote (") is not closed, or something follows it`)
	}
	return err
}

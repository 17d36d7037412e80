package input

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/xuri/excelize/v2"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// A workbook is an archive, which can unpack to any size. What is larger than maxInMemory goes to a temporary file.
const (
	maxWorkbook = 128 << 20
	maxUnpacked = 4 << 30
	maxInMemory = 1 << 20
)

// excelReader reads the rows of a sheet. Its cells are the texts that the sheet shows.
type excelReader struct {
	name string // of the sheet
	book *excelize.File
	rows *excelize.Rows
	cols *layout
	row  int64 // of the sheet, from 1
}

// workbookOptions show a date whose order depends on the reader's country in the order that all can read.
var workbookOptions = excelize.Options{UnzipSizeLimit: maxUnpacked, UnzipXMLSizeLimit: maxInMemory, ShortDatePattern: "yyyy-mm-dd"}

func newExcel(f *os.File, size int64, o *Options, notes *Notes) (*excelReader, error) {
	if size > maxWorkbook {
		return nil, fmt.Errorf("a workbook of %d MiB is too large to be read: save the sheet as CSV (UTF-8)", size>>20)
	}
	e := &excelReader{}
	err := e.open(f, size, o, notes)
	if err != nil {
		e.close()
	}
	return e, err
}

// open reads the workbook up to the first row of the sheet.
func (e *excelReader) open(f *os.File, size int64, o *Options, notes *Notes) (err error) {
	defer rescue("workbook", &err)
	if e.book, err = excelize.OpenReader(io.NewSectionReader(f, 0, size), workbookOptions); err != nil {
		return fmt.Errorf("damaged workbook: %w", err)
	}
	if e.name, err = sheetOf(e.book.GetSheetList(), o.Sheet); err != nil {
		return err
	}
	if e.rows, err = e.book.Rows(e.name); err != nil {
		return fmt.Errorf("the sheet %q cannot be read: %w", e.name, err)
	}
	if o.NoHeader {
		return flagErrorf("--no-header is for CSV: the first row of a sheet must name the columns")
	}
	header, err := e.nextRow()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the sheet %q is empty: its first row must name the columns; other sheets are read with --sheet", e.name)
	}
	if err == nil {
		e.cols, err = newLayout(header, o, notes)
	}
	return err
}

// sheetOf finds a sheet by its name; without one it is the first.
func sheetOf(sheets []string, wanted string) (string, error) {
	switch {
	case len(sheets) == 0:
		return "", fmt.Errorf("there is no sheet in it")
	case wanted == "":
		return sheets[0], nil
	case slices.Contains(sheets, wanted):
		return wanted, nil
	}
	return "", flagErrorf("there is no sheet %q, which --sheet names; the sheets are %s", wanted, list(sheets))
}

func (e *excelReader) layout() *layout { return e.cols }

// nextRow returns the next row that has anything in it.
func (e *excelReader) nextRow() ([]string, error) {
	for e.rows.Next() {
		e.row++
		fields, err := e.rows.Columns()
		if err != nil {
			return nil, fmt.Errorf("damaged workbook: row %d: %w", e.row, err)
		}
		if slices.ContainsFunc(fields, func(f string) bool { return text.Trim(f) != "" }) {
			return fields, nil
		}
	}
	if err := e.rows.Error(); err != nil {
		return nil, fmt.Errorf("damaged workbook: %w", err)
	}
	return nil, io.EOF
}

func (e *excelReader) next(skip bool) (r record, err error) {
	defer rescue("workbook", &err)
	fields, err := e.nextRow()
	if err != nil {
		return r, err
	}
	r.line = e.row
	for _, field := range fields {
		r.sum = fnv(r.sum, field)
	}
	if skip {
		return r, nil
	}
	columns := len(e.cols.columns)
	for i := columns; i < len(fields); i++ {
		if text.Trim(fields[i]) != "" {
			r.reason = fmt.Sprintf("it has a cell in column %d, and the first row names %d columns", i+1, columns)
			return r, nil
		}
	}
	for len(fields) < columns {
		fields = append(fields, "")
	}
	e.cols.user(fields[:columns], &r)
	return r, nil
}

func (e *excelReader) close() {
	if e.rows != nil {
		_ = e.rows.Close()
	}
	if e.book != nil {
		_ = e.book.Close() // removes the temporary files
	}
}

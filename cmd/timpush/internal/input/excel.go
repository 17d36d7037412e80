package input

import (
	"archive/zip"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// A workbook is an archive, which can unpack to any size. What is larger than maxInMemory goes to a temporary file.
const (
	maxWorkbook = 128 << 20
	maxUnpacked = 4 << 30
	maxInMemory = 1 << 20
)

// book is the workbook that was opened last. It stays open, since a file is opened to check, to describe and to read it, and
// for a large workbook that takes seconds.
type book struct {
	name    string
	file    *excelize.File
	checked map[string]*sheetCheck // by the names of the sheets
	styles  map[string]cellFormat  // by their numbers
	noted   bool                   // its sheets that are not read
}

func (b *book) open(f *os.File, size int64, archive *zip.Reader) error {
	if b.file != nil && b.name == f.Name() {
		return nil
	}
	b.close()
	if err := checkArchive(archive); err != nil {
		return err
	}
	file, err := excelize.OpenReader(io.NewSectionReader(f, 0, size), workbookOptions)
	if err != nil {
		return fmt.Errorf("damaged workbook: %w", err)
	}
	if err := roomForTexts(archive); err != nil {
		_ = file.Close() // removes the temporary files
		return err
	}
	b.styles = correctFormats(file)
	b.name, b.file, b.checked, b.noted = f.Name(), file, map[string]*sheetCheck{}, false
	return nil
}

// roomForTexts refuses a workbook whose shared texts do not fit into the directory for temporary files. The library copies them to a file
// there where they are large, and takes what it cannot write for empty cells, so that values and whole rows would be missing.
func roomForTexts(archive *zip.Reader) error {
	part := findPart(archive, partTexts)
	if part == nil || part.UncompressedSize64 <= maxInMemory {
		return nil
	}
	texts, err := part.Open()
	if err != nil {
		return nil // the check of the sheet says what is wrong
	}
	defer func() { _ = texts.Close() }()
	f, err := os.CreateTemp("", "timpush-*")
	if err != nil {
		return nil // the library cannot create one either, and keeps the texts in memory
	}
	_, err = io.Copy(f, texts) // as XML, which is no shorter than the texts in it
	err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	if failed, ok := errors.AsType[*os.PathError](err); ok && failed.Path == f.Name() { // and it is not the workbook that cannot be read
		return fmt.Errorf("there is no room for the texts of the workbook in %s: make some, or set TMPDIR to another directory: %w", os.TempDir(), failed.Err)
	}
	return nil
}

// correctFormats changes the formats that the library does not show as spreadsheets do. Of numbers in the format General it
// shows ten digits, unless they are in the first of the styles; LibreOffice gives that format a number of its own. Formats whose
// text depends on the reader's country, and which East Asian programs use without defining them, it shows as the bare number.
// It returns the formats that even then do not come as the sheet shows them, by the numbers of their styles. Of the first style it is all
// numbers, as its format is left out.
func correctFormats(file *excelize.File) map[string]cellFormat {
	asStored, date, clock := -1, 14, 21
	formats := map[int]*int{0: &asStored, 49: &asStored} // General, and texts
	props, err := file.GetWorkbookProps()
	since1904 := err == nil && props.Date1904 != nil && *props.Date1904
	codes := map[int]cellFormat{}
	for code, ids := range map[string][]int{
		"yyyy-mm-dd": {14, 15, 16, 17, 22}, "h:mm:ss": {18, 19, 20, 21, 45}, "0.00": {2, 4, 39, 40, 43, 44}, "0%": {9}, "0.00%": {10}, "# ?/?": {12, 13}, "[h]:mm:ss": {46}, "mm:ss.0": {47}, "##0.0E+0": {48},
	} {
		for _, id := range ids {
			codes[id] = cellFormatOf(code, since1904)
		}
	}
	styles := map[string]cellFormat{}
	for id := 27; id <= 58; id++ {
		switch {
		case id <= 31, id == 36, id >= 50:
			formats[id] = &date
		case id <= 35:
			formats[id] = &clock
		}
	}
	if defined := file.Styles.NumFmts; defined != nil {
		for _, f := range defined.NumFmt {
			delete(formats, f.NumFmtID)
			if general.MatchString(f.FormatCode) {
				formats[f.NumFmtID] = &asStored
			} else {
				codes[f.NumFmtID] = cellFormatOf(f.FormatCode, since1904)
			}
		}
	}
	if file.Styles.CellXfs == nil {
		return nil
	}
	for i := range file.Styles.CellXfs.Xf {
		style := &file.Styles.CellXfs.Xf[i]
		if style.NumFmtID == nil {
			style.NumFmtID = &asStored
		} else if other, ok := formats[*style.NumFmtID]; ok {
			style.NumFmtID = other
		}
		styles[strconv.Itoa(i)] = codes[*style.NumFmtID]
		if i == 0 && style.NumFmtID != &asStored {
			styles["0"] = cellFormat{number: always}
		}
	}
	return styles
}

// check checks a sheet, once.
func (b *book) check(archive *zip.Reader, sheet, part string) error {
	if _, ok := b.checked[sheet]; ok {
		return nil
	}
	c := newSheetCheck(b.file.CharsetReader)
	c.styles = b.styles
	calculation, err := b.file.GetCalcProps()
	c.stale = err == nil && calculation.FullCalcOnLoad != nil && *calculation.FullCalcOnLoad
	if err := c.check(archive, part); err != nil {
		return err
	}
	b.checked[sheet] = c
	return nil
}

func (b *book) close() {
	if b.file != nil {
		_ = b.file.Close() // removes the temporary files
		b.file = nil
	}
}

// excelReader reads the rows of a sheet. Its cells are the texts that the sheet shows.
type excelReader struct {
	name  string // of the sheet
	rows  *excelize.Rows
	cols  *layout
	row   int64 // of the sheet, from 1
	last  int64 // that the sheet states, or 0
	found *sheetCheck
}

// workbookOptions show a date whose order depends on the reader's country in the order that all can read.
var workbookOptions = excelize.Options{UnzipSizeLimit: maxUnpacked, UnzipXMLSizeLimit: maxInMemory, ShortDatePattern: "yyyy-mm-dd"}

func newExcel(b *book, f *os.File, size int64, o *Options, notes *Notes) (*excelReader, error) {
	if size > maxWorkbook {
		return nil, fmt.Errorf("a workbook of %d MiB is too large to be read: save the sheet as CSV (UTF-8)", size>>20)
	}
	e := &excelReader{}
	err := e.open(b, f, size, o, notes)
	if err != nil {
		e.close()
	}
	if err != nil && o.Stopped != nil { // parts that could not be read for that may have been taken for missing
		err = cmp.Or(o.Stopped(), err)
	}
	return e, err
}

// open reads the workbook up to the first row of the sheet.
func (e *excelReader) open(b *book, f *os.File, size int64, o *Options, notes *Notes) (err error) {
	defer rescue("workbook", &err)
	archive, err := zip.NewReader(stoppable{f, o.Stopped}, size)
	if err != nil {
		return fmt.Errorf("damaged workbook: %w", err)
	}
	if err = b.open(f, size, archive); err != nil {
		return err
	}
	if e.name, err = sheetOf(b.file, o.Sheet); err != nil {
		return err
	}
	part := partOf(archive, e.name)
	e.last = lastRow(archive, part)
	if err = b.check(archive, e.name, part); err != nil {
		return err
	}
	e.found = b.checked[e.name]
	if e.rows, err = b.file.Rows(e.name); err != nil {
		return fmt.Errorf("the sheet %q cannot be read: %w", e.name, err)
	}
	header, err := e.nextRow()
	if errors.Is(err, io.EOF) && o.AllowEmpty {
		e.cols = noColumns(o, notes)
		return nil
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the sheet %q is empty: its first row must name the columns; other sheets are read with --sheet", e.name)
	}
	if err == nil {
		e.cols, err = newLayout(header, o, notes)
	}
	if err == nil {
		err = e.cols.checkSheet(e.found, e.row)
	}
	if err == nil && o.Sheet == "" && !b.noted {
		b.noted = true
		e.noteOthers(b, o, notes)
	}
	return err
}

// noteOthers notes the sheets that are not read and have the column of the account, too: a program with more rows than a sheet can have, or
// with pages, goes on in the next sheet.
func (e *excelReader) noteOthers(b *book, o *Options, notes *Notes) {
	for _, sheet := range b.file.GetSheetList() {
		name := fmt.Sprintf("%q of %s", sheet, Display(b.name))
		if sheet == e.name || isHidden(b.file, sheet) || slices.Contains(notes.Sheets, name) {
			continue
		}
		rows, err := b.file.Rows(sheet)
		if err != nil {
			continue // a chart, for example
		}
		other := &excelReader{rows: rows, found: newSheetCheck(nil)} // only its header is read
		if first, err := other.nextRow(); err == nil && hasAccount(first, o.Account) {
			notes.Sheets = append(notes.Sheets, name)
		}
		other.close()
	}
}

// sheetOf finds a sheet by its name; without one it is the first that is not hidden.
func sheetOf(file *excelize.File, wanted string) (string, error) {
	sheets := file.GetSheetList()
	shown := slices.DeleteFunc(slices.Clone(sheets), func(sheet string) bool { return isHidden(file, sheet) })
	switch {
	case len(sheets) == 0:
		return "", fmt.Errorf("there is no sheet in it")
	case wanted == "":
		return append(shown, sheets...)[0], nil
	case slices.Contains(sheets, wanted):
		return wanted, nil
	}
	return "", flagErrorf("there is no sheet %q, which --sheet names; the sheets are %s", wanted, list(sheets))
}

func isHidden(file *excelize.File, sheet string) bool {
	visible, err := file.GetSheetVisible(sheet)
	return err == nil && !visible
}

// stoppable is a file that is not read on once there is a reason for that: to check a large sheet takes half a minute.
type stoppable struct {
	io.ReaderAt
	stopped func() error // as in Options
}

// ReadAt reads a part of the file.
func (s stoppable) ReadAt(p []byte, at int64) (int, error) {
	if s.stopped != nil {
		if err := s.stopped(); err != nil {
			return 0, err
		}
	}
	return s.ReaderAt.ReadAt(p, at)
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
		for i := range fields { // the library undoes the escapes of the other texts
			if e.found.column(i + 1).escaped {
				fields[i] = unescaped(fields[i])
			}
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
	if e.cols.namesOthers(fields[:columns]) {
		return r, fmt.Errorf("row %d names other columns than the first row: are there several tables in the sheet? Give each a sheet of its own", r.line)
	}
	e.cols.user(fields[:columns], &r)
	return r, nil
}

// share returns the part of a size that the rows read are of all.
func (e *excelReader) share(size int64) int64 {
	if e.last == 0 {
		return 0
	}
	return size * min(e.row, e.last) / e.last
}

func (e *excelReader) close() {
	if e.rows != nil {
		_ = e.rows.Close()
	}
}

// lastRow returns the number of the last row of a sheet, as it is stated at the beginning of the sheet, or 0. Rows that have a
// format and no contents count, too.
func lastRow(archive *zip.Reader, name string) int64 {
	part, err := openPart(archive, name)
	if err != nil {
		return 0
	}
	defer func() { _ = part.Close() }()
	head, _ := io.ReadAll(io.LimitReader(part, 4<<10)) // what is missing is not found
	found := dimension.FindSubmatch(head)
	if found == nil {
		return 0
	}
	last, _ := strconv.ParseInt(string(found[1]), 10, 32)
	return last
}

var dimension = regexp.MustCompile(`dimension ref="[A-Z]+[0-9]+:[A-Z]+([0-9]+)"`)

// partOf returns the name of the part of a workbook that is a sheet, or "".
func partOf(archive *zip.Reader, sheet string) string {
	var workbook struct {
		Sheets []struct {
			Name string `xml:"name,attr"`
			ID   string `xml:"id,attr"`
		} `xml:"sheets>sheet"`
	}
	main := workbookPart(archive)
	if readXML(archive, main, &workbook) != nil {
		return ""
	}
	relations := relationsOf(archive, main)
	for _, s := range workbook.Sheets {
		for _, r := range relations {
			if s.Name == sheet && s.ID == r.ID {
				return target(main, r.Target)
			}
		}
	}
	return ""
}

// workbookPart returns the name of the part that lists the sheets. Excel in a browser calls it xl/workbook2.xml or the like.
func workbookPart(archive *zip.Reader) string {
	for _, r := range relationsOf(archive, "") {
		if strings.HasSuffix(r.Type, "/officeDocument") {
			return target("", r.Target)
		}
	}
	return "xl/workbook.xml"
}

// relation is what a part says about another one.
type relation struct {
	ID     string `xml:"Id,attr"`
	Type   string `xml:"Type,attr"`
	Target string `xml:"Target,attr"`
}

// relationsOf returns the relations of a part, or of the whole archive.
func relationsOf(archive *zip.Reader, part string) []relation {
	var relations struct {
		All []relation `xml:"Relationship"`
	}
	if readXML(archive, path.Join(path.Dir(part), "_rels", path.Base("/"+part)+".rels"), &relations) != nil {
		return nil
	}
	return relations.All
}

// target returns the name of the part that a relation of a part names.
func target(part, name string) string {
	if !strings.HasPrefix(name, "/") {
		name = path.Join("/", path.Dir(part), name)
	}
	return strings.TrimPrefix(path.Clean(name), "/")
}

func readXML(archive *zip.Reader, name string, v any) error {
	part, err := openPart(archive, name)
	if err != nil {
		return err
	}
	defer func() { _ = part.Close() }()
	return xml.NewDecoder(io.LimitReader(part, maxInMemory)).Decode(v)
}

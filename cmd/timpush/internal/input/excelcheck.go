package input

import (
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"
)

// The library that reads workbooks ends a sheet without an error where its XML is damaged, takes a text that is not there for
// an empty cell, and keeps some parts in memory, however large they unpack. So a workbook is checked before the library reads it.
const (
	maxOther   = 256 << 20 // unpacked bytes of all parts that are kept in memory
	maxTexts   = 8 << 20   // shared texts, of which some 50 bytes each are kept in memory
	maxElement = 1 << 20   // bytes between two tags
	partTexts  = "xl/sharedstrings.xml"
)

// checkArchive refuses a workbook that would not fit into memory. What a part unpacks to is stated, and to unpack more is an error.
func checkArchive(archive *zip.Reader) error {
	var other uint64
	if part, err := openPart(archive, "[Content_Types].xml"); err == nil {
		_ = part.Close()
	} else if errors.Is(err, os.ErrNotExist) {
		return errors.New("it is a zip archive and no .xlsx workbook: unpack it, or save it as .xlsx")
	}
	for _, part := range archive.File {
		name := partName(part)
		if size := part.UncompressedSize64; !strings.HasPrefix(name, "xl/worksheets/sheet") && name != partTexts {
			other += min(size, maxOther+1)
		}
	}
	if other > maxOther {
		return fmt.Errorf("damaged workbook: beside its sheets it unpacks to more than %d MiB", maxOther>>20)
	}
	return nil
}

// partName returns the name of a part in small letters, as some programs write these in other letters or with backslashes.
func partName(part *zip.File) string { return strings.ToLower(strings.ReplaceAll(part.Name, `\`, "/")) }

// findPart finds a part of a workbook, or returns nil.
func findPart(archive *zip.Reader, name string) *zip.File {
	for _, part := range archive.File {
		if partName(part) == strings.ToLower(name) {
			return part
		}
	}
	return nil
}

// openPart opens a part of a workbook.
func openPart(archive *zip.Reader, name string) (io.ReadCloser, error) {
	part := findPart(archive, name)
	if part == nil {
		return nil, os.ErrNotExist
	}
	return part.Open()
}

// sheetCheck checks the cells of a sheet.
type sheetCheck struct {
	decode   func(charset string, r io.Reader) (io.Reader, error)
	texts    int                   // that are shared
	styles   map[string]cellFormat // by their numbers
	stale    bool                  // no formula has been calculated since the workbook was written, whatever it has as its result
	row, col int                   // of the cell
	cell     string                // its name, or "" outside of cells
	kind     string                // its type
	format   cellFormat            // of its style
	rowHides bool                  // the row is hidden
	formula  bool                  // it has one
	value    bool                  // it has a value
	content  []byte                // of its element
	other    bool                  // it does not come as the sheet shows it
	found    map[int]*columnCheck  // by columns
}

// columnCheck is what has been found in a column: the first cell of each kind, or "".
type columnCheck struct {
	missing string      // whose formula has no result
	long    string      // with a number of more digits than a spreadsheet keeps
	added   string      // to which its style may add what the sheet does not show
	unshown string      // with a number or a date that does not come as the sheet shows it
	hidden  string      // in a hidden row
	date    string      // with a date or a time
	merged  mergedCells // the last
	escaped bool        // there are escapes in texts, which the library takes as they are
}

// mergedCells are several rows of one or more columns, of which only the first cell has a value.
type mergedCells struct {
	first, last string // cells
	row         int    // the first
}

func newSheetCheck(decode func(string, io.Reader) (io.Reader, error)) *sheetCheck {
	return &sheetCheck{decode: decode, found: map[int]*columnCheck{}}
}

// column returns what has been found in a column.
func (c *sheetCheck) column(col int) *columnCheck {
	if c.found[col] == nil {
		c.found[col] = new(columnCheck)
	}
	return c.found[col]
}

// check reads a sheet and the texts that it may share to their end.
func (c *sheetCheck) check(archive *zip.Reader, sheet string) error {
	if err := c.part(archive, partTexts, c.text); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("damaged workbook: its texts: %w", err)
	}
	if err := c.part(archive, sheet, c.token); errors.Is(err, os.ErrNotExist) {
		return errors.New("damaged workbook: the sheet is not there: open it in Excel and save it")
	} else if err != nil {
		return fmt.Errorf("damaged workbook: near row %d: %w", c.row, err)
	}
	return nil
}

// text counts the texts that cells share.
func (c *sheetCheck) text(token xml.Token) error {
	if start, ok := token.(xml.StartElement); ok && start.Name.Local == "si" {
		c.texts++
	}
	if c.texts > maxTexts {
		return fmt.Errorf("there are more than %d", maxTexts)
	}
	return nil
}

// part calls check with each token of a part, which must be XML to its end.
func (c *sheetCheck) part(archive *zip.Reader, name string, check func(xml.Token) error) error {
	part, err := openPart(archive, name)
	if err != nil {
		return err
	}
	defer func() { _ = part.Close() }()
	d := xml.NewDecoder(bufio.NewReaderSize(&shortElements{r: part}, 64<<10))
	d.CharsetReader = c.decode
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = check(token)
		}
		if err != nil {
			return err
		}
	}
}

// token follows the rows and cells of a sheet.
func (c *sheetCheck) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return c.start(t)
	case xml.CharData:
		if c.cell != "" {
			c.content = append(c.content, t...)
		}
	case xml.EndElement:
		return c.end(t.Name.Local)
	}
	return nil
}

func (c *sheetCheck) start(t xml.StartElement) (err error) {
	c.content = c.content[:0]
	switch t.Name.Local {
	case "row":
		last := c.row
		c.rowHides = attr(t, "hidden") == "1" || attr(t, "hidden") == "true"
		if c.row++; attr(t, "r") != "" {
			c.row, err = strconv.Atoi(attr(t, "r"))
		}
		if c.col = 0; err != nil || c.row <= last {
			c.row = last
			return fmt.Errorf("the next row has the number %q", attr(t, "r"))
		}
	case "c":
		last := c.col
		c.cell, c.kind, c.format = attr(t, "r"), cmp.Or(attr(t, "t"), "n"), c.styles[cmp.Or(attr(t, "s"), "0")]
		c.other, c.formula, c.value = c.kind == "d", false, false
		if c.col++; c.cell != "" {
			c.col, _, err = excelize.CellNameToCoordinates(c.cell)
		}
		if err == nil && c.col <= last {
			err = fmt.Errorf("the cell %s is not in order", c.cell)
		}
		if c.cell == "" {
			c.cell, _ = excelize.CoordinatesToCellName(c.col, c.row)
		}
	case "f":
		c.formula = true
	case "v", "is":
		c.value = true
	case "mergeCell":
		c.merge(attr(t, "ref"))
	}
	return err
}

// merge records merged cells, such as B2:C4, in each of their columns.
func (c *sheetCheck) merge(cells string) {
	first, last, _ := strings.Cut(cells, ":")
	col, row, errFirst := excelize.CellNameToCoordinates(first)
	lastCol, lastRow, errLast := excelize.CellNameToCoordinates(last)
	if errFirst != nil || errLast != nil || lastRow <= row {
		return
	}
	for ; col <= lastCol; col++ {
		if found := c.column(col); row > found.merged.row {
			found.merged = mergedCells{first, last, row}
		}
	}
}

func (c *sheetCheck) end(element string) error {
	switch element {
	case "v":
		text := strings.TrimSpace(string(c.content))
		if text == "" && c.kind != "str" { // as some programs write what is not calculated; a text can be empty
			c.value = false
		}
		if i, err := strconv.Atoi(text); c.kind == "s" && text != "" && (err != nil || i < 0 || i >= c.texts) {
			return fmt.Errorf("the cell %s has the text %s of %d", c.cell, strconv.Quote(text), c.texts)
		}
		if c.kind == "n" {
			c.checkNumber(text)
		}
		if c.kind == "str" && strings.Contains(text, "_x") && escape.MatchString(text) {
			c.column(c.col).escaped = true
		}
	case "c":
		found := c.column(c.col)
		c.note(&found.missing, c.formula && (!c.value || c.stale))
		c.note(&found.unshown, c.other && c.value)
		shown := c.kind == "s" || c.kind == "inlineStr" || c.kind == "n" && c.value // with what the format adds, or without, as in the sheet
		c.note(&found.added, c.format.words && !shown)
		c.note(&found.date, c.format.date && c.kind == "n" && c.value)
		c.note(&found.hidden, c.rowHides && c.value)
		c.cell = ""
	}
	return nil
}

// note records the cell as the first of a kind, if it is of that kind.
func (c *sheetCheck) note(first *string, isOne bool) {
	if isOne && *first == "" {
		*first = c.cell
	}
}

// checkNumber checks the value of a cell that is a number.
func (c *sheetCheck) checkNumber(value string) {
	n, _ := strconv.ParseFloat(value, 64) // 0 if it is none
	c.note(&c.column(c.col).long, math.Abs(n) >= 1e15)
	c.other = c.format.number != nil && c.format.number(n)
}

// escape is how workbooks have characters that XML does not, such as the carriage return of a text with line ends of Windows.
var escape = regexp.MustCompile(`_x[0-9A-Fa-f]{4}_`)

// unescaped returns a text with its escapes undone.
func unescaped(text string) string {
	return escape.ReplaceAllStringFunc(text, func(e string) string {
		code, _ := strconv.ParseUint(e[len("_x"):len(e)-1], 16, 16) // it has four hexadecimal digits
		return string(rune(code))
	})
}

func attr(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// shortElements is XML without long texts between tags, and without long tags, which would be kept in memory.
type shortElements struct {
	r    io.Reader
	long int // bytes since the last tag
}

func (s *shortElements) Read(p []byte) (int, error) {
	n, err := s.r.Read(p[:min(len(p), 64<<10)])
	if at := bytes.LastIndexByte(p[:n], '<'); at >= 0 {
		s.long = n - at
	} else {
		s.long += n
	}
	if s.long > maxElement {
		return 0, fmt.Errorf("a text of more than %d KiB", maxElement>>10)
	}
	return n, err
}

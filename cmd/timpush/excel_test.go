package main_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/xuri/excelize/v2"

	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
	"github.com/timpush/timpush-go/timpushtest"
)

// workbook makes one with a sheet "Users" of rows. Times are shown as days.
func workbook(t *testing.T, rows [][]any) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer func() { require.NoError(t, f.Close()) }()
	require.NoError(t, f.SetSheetName("Sheet1", "Users"))
	format := `yyyy"-"mm"-"dd`
	day, err := f.NewStyle(&excelize.Style{CustomNumFmt: &format})
	require.NoError(t, err)
	stream, err := f.NewStreamWriter("Users")
	require.NoError(t, err)
	for i, row := range rows {
		for j := range row {
			if at, ok := row[j].(time.Time); ok {
				row[j] = excelize.Cell{StyleID: day, Value: at}
			}
		}
		require.NoError(t, stream.SetRow(fmt.Sprintf("A%d", i+1), row))
	}
	require.NoError(t, stream.Flush())
	var b bytes.Buffer
	require.NoError(t, f.Write(&b))
	return b.Bytes()
}

// formatted makes a workbook whose second sheet has cells of each format.
func formatted(t *testing.T) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer func() { require.NoError(t, f.Close()) }()
	_, err := f.NewSheet("Kunden 客户")
	require.NoError(t, err)
	set := func(cell string, value any, format string, builtin int) {
		require.NoError(t, f.SetCellValue("Kunden 客户", cell, value))
		style := &excelize.Style{NumFmt: builtin}
		if format != "" {
			style.CustomNumFmt = &format
		}
		id, err := f.NewStyle(style)
		require.NoError(t, err)
		require.NoError(t, f.SetCellStyle("Kunden 客户", cell, cell, id))
	}
	when := time.Date(2026, 11, 28, 14, 30, 0, 0, time.UTC)
	for i, row := range []struct {
		value   any
		format  string
		builtin int
	}{
		{"Zürich", "", 0}, {12.5, "", 0}, {12.5, "0.00", 0}, {0.25, "", 9}, {1234567, "", 3}, {when, "dd.mm.yyyy", 0}, {when, "", 14}, {when, "yyyy-mm-dd hh:mm", 0},
		{true, "", 0}, {"007", "", 49}, {4915112345678, "", 0}, {"北京", "", 0},
	} {
		require.NoError(t, f.SetCellValue("Kunden 客户", fmt.Sprintf("A%d", 3+2*i), fmt.Sprintf("u%d", i)))
		set(fmt.Sprintf("B%d", 3+2*i), row.value, row.format, row.builtin)
	}
	require.NoError(t, f.SetSheetRow("Kunden 客户", "A1", &[]any{"To_Account", " city "}))
	require.NoError(t, f.SetSheetRow("Sheet1", "A1", &[]any{"To_Account", "city"}))
	require.NoError(t, f.SetSheetRow("Sheet1", "A2", &[]any{"first", "Oslo"}))
	require.NoError(t, f.SetSheetRow("Sheet1", "A3", &[]any{"error", "#N/A"}))
	require.NoError(t, f.SetSheetRow("Sheet1", "A4", &[]any{"more", "Oslo", "beside"}))
	require.NoError(t, f.SetSheetRow("Sheet1", "A9", &[]any{nil, "Oslo"}))
	var b bytes.Buffer
	require.NoError(t, f.Write(&b))
	return b.Bytes()
}

// Cells are sent as the sheet shows them.
func TestExcel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("Kunden.xlsx", string(formatted(t)))
	r := w.run("set-attr", "--sheet", "Kunden 客户", "Kunden.xlsx")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.err, "Kunden.xlsx: Excel, sheet \"Kunden 客户\", 12 rows\n")
	for i, want := range []string{
		"Zürich", "12.5", "12.50", "25%", "1,234,567", "28.11.2026", "2026-11-28", "2026-11-28 14:30", "TRUE", "007", "4915112345678", "北京",
	} {
		assert.Equal(t, want, w.fake.Attrs(fmt.Sprintf("u%d", i))["city"])
	}
	r = w.run("set-attr", "Kunden.xlsx")
	require.Equal(t, 1, r.code, r.err)
	assert.Equal(t, "Oslo", w.fake.Attrs("first")["city"], "without --sheet it is the first one")
	for _, want := range []string{
		`Excel, sheet "Sheet1", 4 rows`, "Kunden.xlsx:3: column city: the value is #N/A", "Kunden.xlsx:4: it has a cell in column 3, and the first row names 2 columns",
		"Kunden.xlsx:9: column To_Account: the account is empty",
	} {
		assert.Contains(t, r.err, want)
	}
	assert.Contains(t, r.out, "1 sheet with accounts not read: \"Kunden 客户\" of Kunden.xlsx is one, and --sheet reads it\n")
	assert.NotContains(t, w.run("set-attr", "--sheet", "Kunden 客户", "Kunden.xlsx").out, "not read")
	r = w.run("set-attr", "--sheet", "Customers", "Kunden.xlsx")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, `there is no sheet "Customers", which --sheet names; the sheets are "Sheet1", "Kunden 客户"`)
	w.in = w.read("Kunden.xlsx")
	assert.Contains(t, w.run("set-attr", "-").err, "xlsx must be a plain file")
}

// LibreOffice and East Asian Excel and WPS refer to formats that Excel elsewhere does not use. A number keeps its digits in a
// style that is not the first, and a date does not become a number.
func TestExcelOfOtherPrograms(t *testing.T) {
	t.Parallel()
	styles := `<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><numFmts><numFmt numFmtId="164" formatCode="General"/><numFmt numFmtId="57" formatCode="yyyy/m"/></numFmts><cellXfs>` +
		`<xf numFmtId="164"/><xf numFmtId="164" fontId="4"/><xf numFmtId="0" fontId="4"/><xf fontId="4"/><xf numFmtId="31"/><xf numFmtId="32"/><xf numFmtId="57"/></cellXfs></styleSheet>`
	rows := ""
	wants := []struct{ style, value, shown string }{
		{"0", "4915112345678", "4915112345678"}, {"1", "4915112345678", "4915112345678"}, {"2", "46354.604166667", "46354.604166667"},
		{"3", "0.30000000000000004", "0.3"}, {"4", "46354", "2026-11-28"}, {"5", "0.604166667", "14:30:00"}, {"6", "46354", "2026/11"},
	}
	for i, w := range wants {
		rows += fmt.Sprintf(`<row r="%d"><c r="A%d" s="1"><v>%d</v></c><c r="B%d" s="%s"><v>%s</v></c></row>`, i+2, i+2, 123456789012+i, i+2, w.style, w.value)
	}
	w := newWorld(t)
	w.write("u.xlsx", withParts(t, map[string]string{"xl/styles.xml": styles, "xl/worksheets/sheet1.xml": sheetXML(rows)}))
	r := w.run("set-attr", "u.xlsx")
	require.Equal(t, 0, r.code, r.err)
	assert.NotContains(t, r.out+r.err, "4.91512E+12")
	for i, want := range wants {
		assert.Equal(t, want.shown, w.fake.Attrs(fmt.Sprint(123456789012 + i))["city"])
	}
}

// writeWorkbook writes a workbook of n users as Excel does, with the texts in a part of their own. It keeps nothing in memory:
// what this process takes would be counted as the tool's.
func writeWorkbook(t *testing.T, name string, n int) {
	t.Helper()
	empty, err := os.ReadFile(filepath.Join("testdata", "empty.xlsx"))
	require.NoError(t, err)
	from, err := zip.NewReader(bytes.NewReader(empty), int64(len(empty)))
	require.NoError(t, err)
	f, err := os.Create(name)
	require.NoError(t, err)
	to := zip.NewWriter(f)
	for _, part := range from.File {
		require.NoError(t, to.Copy(part))
	}
	w, err := to.Create("xl/sharedStrings.xml")
	require.NoError(t, err)
	const main = `xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"`
	_, _ = fmt.Fprintf(w, `<sst %s><si><t>To_Account</t></si><si><t>city</t></si><si><t>level</t></si><si><t>Zürich</t></si><si><t>北京</t></si>`, main)
	for i := range n {
		_, _ = fmt.Fprintf(w, "<si><t>user%08d@example.com</t></si>", i)
	}
	_, _ = io.WriteString(w, "</sst>")
	w, err = to.Create("xl/worksheets/sheet1.xml")
	require.NoError(t, err)
	_, _ = fmt.Fprintf(w, `<worksheet %s><dimension ref="A1:C%d"/><sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="s"><v>2</v></c></row>`, main, n+1)
	for i := range n {
		_, _ = fmt.Fprintf(w, `<row r="%d"><c r="A%d" t="s"><v>%d</v></c><c r="B%d" t="s"><v>%d</v></c><c r="C%d" s="1"><v>%d</v></c></row>`, i+2, i+2, 5+i, i+2, 3+i%2, i+2, 36526+i%9000)
	}
	_, _ = io.WriteString(w, "</sheetData></worksheet>")
	require.NoError(t, to.Close())
	require.NoError(t, f.Close())
}

// The rows of a sheet are known before they are read, and so is how much is left.
func TestExcelProgress(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "u.xlsx")
	writeWorkbook(t, name, 3000)
	in, err := input.New([]string{name}, input.Options{Account: "To_Account"}, nil)
	require.NoError(t, err)
	defer in.Close()
	d, err := in.Describe(0)
	require.NoError(t, err)
	assert.EqualValues(t, 3000, d.Rows)
	for row, err := range in.Rows(nil) {
		require.NoError(t, err)
		assert.InDelta(t, float64(row.Number)/3000, in.Fraction(), 0.05)
	}
	assert.InDelta(t, 1, in.Fraction(), 0)
}

// A person who knows Excel sends a sheet in a run that is interrupted once, and knows at the end what happened to each row.
func TestExcelInterrupted(t *testing.T) {
	t.Parallel()
	rows := [][]any{{"To_Account", "city", "sex"}}
	for i := range 8000 {
		rows = append(rows, []any{fmt.Sprintf("u%d", i), fmt.Sprintf("c%d", i%97), []any{"f", "m", nil}[i%3]})
	}
	rows = append(rows, []any{"", "Zürich"}, []any{"x", strings.Repeat("长", 20)})
	w := newWorld(t, timpushtest.WithLatency(30*time.Millisecond, 0)).with("TIMPUSH_RATE=50")
	w.write("u.xlsx", string(workbook(t, rows)))
	killed, code, errs := w.killAtCall(10, 2, "set-attr", "u.xlsx")
	require.True(t, killed, errs)
	require.Equal(t, 3, code, errs)
	r := w.with("TIMPUSH_RATE=2000").run("set-attr", "u.xlsx")
	require.Equal(t, 1, r.code, r.err)
	assert.Regexp(t, `(?m)^8000 done, of them \d+ in this run and \d+ in earlier ones$`, r.out)
	w.stored(8000)
	assert.Equal(t, 8000, w.sent(0), "each is sent once")
	rejects := lines(t, w.read("u.xlsx.rejected.ndjson"))
	require.Len(t, rejects, 2)
	assert.InDelta(t, 8002, rejects[0]["line"], 0)
	assert.Contains(t, rejects[1]["reason"], "60 bytes")
}

// Whatever is wrong with a workbook, nothing panics and nothing fills the memory.
func TestDamagedExcel(t *testing.T) {
	t.Parallel()
	whole := workbook(t, [][]any{{"To_Account", "city"}, {"a", "Rome"}})
	w := newWorld(t)
	for at := 0; at < len(whole); at += len(whole)/16 + 1 {
		broken := bytes.Clone(whole)
		for i := at; i < min(at+30, len(broken)); i++ {
			broken[i] ^= 0x5a
		}
		w.write("u.xlsx", string(broken))
		r := w.run("set-attr", "--dry-run", "u.xlsx")
		assert.NotContains(t, r.err, "goroutine")
		assert.Contains(t, []int{0, 1, 2, 3}, r.code, r.err)
	}
	w.write("u.xlsx", string(whole[:len(whole)/2]))
	assert.Contains(t, w.run("set-attr", "u.xlsx").err, "damaged workbook")
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	part, err := z.Create("u.csv")
	require.NoError(t, err)
	_, err = part.Write([]byte("To_Account,city\nmary,Rome\n"))
	require.NoError(t, errors.Join(err, z.Close()))
	w.write("zipped.csv", archive.String())
	assert.Contains(t, w.run("set-attr", "zipped.csv").err, "it is a zip archive and no .xlsx workbook: unpack it")
	w.write("u.xlsx", string(bomb(t, whole)))
	r := w.run("set-attr", "u.xlsx")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "damaged workbook")
}

// bomb replaces the sheet of a workbook by one that unpacks to 5 GiB, or says so.
func bomb(t *testing.T, book []byte) []byte {
	t.Helper()
	from, err := zip.NewReader(bytes.NewReader(book), int64(len(book)))
	require.NoError(t, err)
	var b bytes.Buffer
	to := zip.NewWriter(&b)
	for _, f := range from.File {
		if strings.HasSuffix(f.Name, "sheet1.xml") {
			header := f.FileHeader
			header.UncompressedSize64 = 5 << 30
			raw, err := to.CreateRaw(&header)
			require.NoError(t, err)
			text, err := f.OpenRaw()
			require.NoError(t, err)
			_, err = io.Copy(raw, text)
			require.NoError(t, err)
			continue
		}
		require.NoError(t, to.Copy(f))
	}
	require.NoError(t, to.Close())
	return b.Bytes()
}

// sheetXML is a sheet whose rows follow its first row, To_Account and city.
func sheetXML(rows string) string {
	return `<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>` +
		`<row r="1">` + inline("A1", "To_Account") + inline("B1", "city") + `</row>` + rows + `</sheetData></worksheet>`
}

func inline(cell, value string) string {
	return `<c r="` + cell + `" t="inlineStr"><is><t>` + value + `</t></is></c>`
}

// withParts returns a workbook with some parts replaced or added.
func withParts(t *testing.T, parts map[string]string) string {
	t.Helper()
	book := workbook(t, [][]any{{"To_Account", "city"}})
	from, err := zip.NewReader(bytes.NewReader(book), int64(len(book)))
	require.NoError(t, err)
	var b bytes.Buffer
	to := zip.NewWriter(&b)
	for _, f := range from.File {
		if _, replaced := parts[f.Name]; !replaced {
			require.NoError(t, to.Copy(f))
		}
	}
	for name, text := range parts {
		part, err := to.Create(name)
		require.NoError(t, err)
		_, err = io.WriteString(part, text)
		require.NoError(t, err)
	}
	require.NoError(t, to.Close())
	return b.String()
}

// TestExcelWithDamagedParts: a workbook that is whole as an archive, with a sheet that is not. Nothing of it is sent, rather
// than the rows before the damage, or cells without their texts.
func TestExcelWithDamagedParts(t *testing.T) {
	t.Parallel()
	const sheet, texts = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
	row := func(cell string) string { return `<row r="2">` + inline("A2", "a") + cell + `</row>` }
	good := sheetXML(row(inline("B2", "Rome")) + `<row r="3">` + inline("A3", "b") + inline("B3", "Oslo") + `</row>`)
	// Excel in a browser gives the part that lists the sheets other names.
	moved := func(text string) map[string]string {
		return map[string]string{
			sheet: text, "xl/workbook.xml": "", "xl/_rels/workbook.xml.rels": "",
			"xl/workbook2.xml":            `<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Users" sheetId="1" r:id="rId1"/></sheets></workbook>`,
			"xl/_rels/workbook2.xml.rels": `<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="/xl/worksheets/sheet1.xml"/></Relationships>`,
			"_rels/.rels":                 `<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook2.xml"/></Relationships>`,
		}
	}
	book := func(more, hidden string) string {
		return `<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>` +
			hidden + `<sheet name="Users" sheetId="1" r:id="rId1"/></sheets>` + more + `</workbook>`
	}
	oneText := `<?xml version="1.0"?><sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>Rome</t></si></sst>`
	shared := func(index string) map[string]string {
		return map[string]string{sheet: sheetXML(row(`<c r="B2" t="s"><v>` + index + `</v></c>`)), texts: oneText}
	}
	for name, test := range map[string]struct {
		parts map[string]string
		want  string // "" if it is read
	}{
		"whole":                      {map[string]string{sheet: good}, ""},
		"cut off in a row":           {map[string]string{sheet: good[:strings.Index(good, "Oslo")]}, "near row 3: XML syntax error on line 1: unexpected EOF"},
		"cut off after a row":        {map[string]string{sheet: strings.TrimSuffix(good, "</sheetData></worksheet>")}, "near row 3: XML syntax error"},
		"ampersand as it is":         {map[string]string{sheet: strings.Replace(good, "Rome", "R&D", 1)}, "near row 2: XML syntax error"},
		"rows that are not in order": {map[string]string{sheet: sheetXML(`<row r="3"/>` + row(""))}, `near row 3: the next row has the number "2"`},
		"cells that are not in order": {map[string]string{sheet: sheetXML(`<row r="2">` + inline("B2", "Rome") + inline("A2", "a") + `</row>`)},
			"near row 2: the cell A2 is not in order"},
		"shared text":                   {shared("0"), ""},
		"shared text that is not there": {shared("1"), `near row 2: the cell B2 has the text "1" of 1`},
		"shared text without a number":  {shared("x"), `near row 2: the cell B2 has the text "x" of 1`},
		"shared texts that are cut off": {map[string]string{sheet: good, texts: oneText[:len(oneText)-20]}, "its texts: XML syntax error"},
		"formula with a result":         {map[string]string{sheet: sheetXML(row(`<c r="B2" t="str"><f>CONCAT("Ro","me")</f><v>Rome</v></c>`))}, ""},
		"formula that the program that wrote it has not calculated": {map[string]string{"xl/workbook.xml": book(`<calcPr fullCalcOnLoad="1"/>`, ""), sheet: sheetXML(row(`<c r="B2"><f>CONCAT("Ro","me")</f><v>0</v></c>`))},
			`the column "city" has a formula without a result, in B2`},
		"no formula to be calculated":    {map[string]string{"xl/workbook.xml": book(`<calcPr fullCalcOnLoad="1"/>`, ""), sheet: good}, ""},
		"hidden sheet before the first":  {map[string]string{"xl/workbook.xml": book("", `<sheet name="Old" sheetId="2" state="veryHidden" r:id="rId2"/>`), sheet: good}, ""},
		"formula that is not calculated": {map[string]string{sheet: sheetXML(row(`<c r="B2"><f>CONCAT("Ro","me")</f><v></v></c>`))}, `the column "city" has a formula without a result, in B2`}, // of tealeg/xlsx
		"formula without a result":       {map[string]string{sheet: sheetXML(row(`<c r="B2"><f>CONCAT("Ro","me")</f></c>`))}, `the column "city" has a formula without a result, in B2`},
		"long number as an account": {map[string]string{sheet: sheetXML(`<row r="2"><c r="A2" s="1"><v>1234567890123456</v></c>` + inline("B2", "Rome") + `</row>`)},
			"the account in A2 is a number of more than 15 digits"},
		"long number as a text":     {map[string]string{sheet: sheetXML(row(inline("B2", "Rome")) + `<row r="3">` + inline("A3", "1234567890123456") + inline("B3", "Rome") + `</row>`)}, ""},
		"date of the strict format": {map[string]string{sheet: sheetXML(row(`<c r="B2" t="d"><v>2026-11-28T00:00:00</v></c>`))}, `the column "city" has a number or a date in B2 whose format may not be read as the sheet shows it`},
		"date in the first style": {map[string]string{sheet: sheetXML(`<row r="2">` + inline("A2", "a") + `<c r="B2"/></row><row r="3">` + inline("A3", "a") + `<c r="B3" s="0"><v>46354</v></c></row>`), "xl/styles.xml": `<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs><xf numFmtId="14"/></cellXfs></styleSheet>`},
			`the column "city" has a number or a date in B3 whose format may not be read as the sheet shows it`},
		"workbook by another name":              {moved(good), ""},
		"workbook by another name, and cut off": {moved(good[:strings.Index(good, "Oslo")]), "near row 3: XML syntax error"},
		"cell that unpacks to much":             {map[string]string{sheet: sheetXML(row(inline("B2", strings.Repeat(" ", 2<<20))))}, "near row 2: a text of more than 1024 KiB"},
		"picture that unpacks to much":          {map[string]string{sheet: good, "xl/media/a.png": strings.Repeat("\x00", 257<<20)}, "beside its sheets it unpacks to more than 256 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("u.xlsx", withParts(t, test.parts))
			r := w.run("set-attr", "u.xlsx")
			if test.want == "" {
				assert.Equal(t, 0, r.code, r.err)
				assert.Contains(t, w.fake.Accounts(), "a")
				return
			}
			assert.Equal(t, 3, r.code, r.err)
			assert.Contains(t, r.err, test.want)
			assert.Empty(t, w.fake.Accounts())
		})
	}
	w := newWorld(t)
	w.write("u.xlsx", withParts(t, map[string]string{sheet: sheetXML(`<row r="2">` + inline("A2", "a") + inline("B2", "Rome") + `<c r="C2"><f>NOW()</f></c></row>`)}))
	assert.Contains(t, w.run("set-attr", "u.xlsx").out, "1 done", "a formula in a column that is not used")
}

// TestExcelWithMergedCells: only the first of them has the value, so that the other users kept what they had.
func TestExcelWithMergedCells(t *testing.T) {
	t.Parallel()
	for cells, want := range map[string]string{
		"B3:B4": `the column "city" has merged cells, in B3:B4, of which only the first has the value`, "B3:C4": `the column "city" has merged cells, in B3:C4`,
		"B1:B2": "", "B3:C3": "", "C3:C4": "", // of the header, of one row, and in a column that is ignored
	} {
		w := newWorld(t)
		book := excelize.NewFile()
		first, last, _ := strings.Cut(cells, ":")
		require.NoError(t, book.MergeCell("Sheet1", first, last))
		for i, row := range [][]any{{"To_Account", "city", "note"}, {"mary", "Rome", "x"}, {"bob", "Oslo"}, {"ann"}} {
			for j, value := range row {
				cell, err := excelize.CoordinatesToCellName(j+1, i+1)
				require.NoError(t, err)
				if j == 1 && i == 1 && cells == "B1:B2" {
					continue // a part of the header
				}
				require.NoError(t, book.SetCellValue("Sheet1", cell, value))
			}
		}
		require.NoError(t, book.SaveAs(filepath.Join(w.dir, "u.xlsx")))
		r := w.run("set-attr", "--ignore", "note", "u.xlsx")
		if want == "" {
			assert.Equal(t, 0, r.code, "%s: %s", cells, r.err)
			continue
		}
		assert.Equal(t, 3, r.code, cells)
		assert.Contains(t, r.err, want)
		if cells == "B3:C4" {
			assert.Contains(t, w.run("set-attr", "--ignore", "city", "u.xlsx").err, `the column "note" has merged cells, in B3:C4`)
		}
		assert.Empty(t, w.fake.Accounts())
	}
}

// TestExcelWithAFilter: no push goes to accounts that the sheet does not show.
func TestExcelWithAFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sheet := func(more string) {
		w.write("u.xlsx", withParts(t, map[string]string{"xl/worksheets/sheet1.xml": sheetXML(
			`<row r="2" hidden="false">` + inline("A2", "a") + inline("B2", "Rome") + `</row><row r="3" hidden="1"><c r="A3" s="0"/>` + inline("B3", "Sum") + `</row>` + more)}))
	}
	sheet(`<row r="4" hidden="true">` + inline("A4", "b") + inline("B4", "Oslo") + `</row>`)
	r := w.run("batch", "--title", "x", "--yes", "u.xlsx")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "the account in A4 is hidden, by a filter for instance")
	assert.Empty(t, w.fake.Calls())
	assert.Contains(t, w.run("set-attr", "u.xlsx").out, "2 done")
	sheet("")
	r = w.run("batch", "--title", "x", "--yes", "u.xlsx")
	assert.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.err, "u.xlsx:3: column To_Account: the account is empty")
}

// An account that is a number is not the text that a format with separators shows, and a push to that would go to another user or none.
func TestExcelAccountWithSeparators(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book := excelize.NewFile()
	defer func() { require.NoError(t, book.Close()) }()
	style, err := book.NewStyle(&excelize.Style{NumFmt: 3})
	require.NoError(t, err)
	require.NoError(t, book.SetSheetRow("Sheet1", "A1", &[]any{"To_Account"}))
	require.NoError(t, book.SetSheetRow("Sheet1", "A2", &[]any{1234567}))
	require.NoError(t, book.SetSheetRow("Sheet1", "A3", &[]any{"mary"}))
	require.NoError(t, book.SetCellStyle("Sheet1", "A2", "A2", style))
	require.NoError(t, book.SaveAs(filepath.Join(w.dir, "u.xlsx")))
	r := w.run("batch", "--title", "x", "--dry-run", "u.xlsx")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "u.xlsx:2: column To_Account: the account is a number with separators between its digits")
	assert.NotContains(t, r.out, "1,234,567")
}

// Large workbooks need room for temporary files. Without it, texts would be missing, and rows that have nothing else with them.
func TestWorkbookWithoutRoomForItsTexts(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("ulimit -f counts other units there, or is missing")
	}
	const n = 20_000
	f := excelize.NewFile()
	for i := range n {
		row := []any{fmt.Sprintf("u%d", i), fmt.Sprintf("a text that no other row has: %020d", i)}
		if i == 0 {
			row = []any{"To_Account", "city"}
		}
		require.NoError(t, f.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &row)) // with texts that are shared
	}
	w := newWorld(t)
	require.NoError(t, f.SaveAs(filepath.Join(w.dir, "u.xlsx")))
	require.NoError(t, f.Close())
	for _, args := range [][]string{{"set-attr", "u.xlsx"}, {"batch", "--title", "Hello", "--yes", "u.xlsx"}} {
		cmd := w.command(args...)
		cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `ulimit -f 1000; exec "$0" "$@"`, tool}, args...)
		out, err := cmd.CombinedOutput()
		require.Error(t, err, string(out))
		assert.Equal(t, 3, cmd.ProcessState.ExitCode(), string(out))
		assert.Contains(t, string(out), "u.xlsx: there is no room for the texts of the workbook in "+os.TempDir())
		assert.Empty(t, w.fake.Accounts())
		assert.Empty(t, w.pushed())
	}
	assert.Contains(t, w.run("set-attr", "--quiet", "u.xlsx").out, fmt.Sprint(n-1, " done"))
}

// A format can show one number as the opposite of another. What the library does not show as the sheet does is refused.
func TestFormatsOfSigns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format string
		values []any
		cell   string // that is named, or ""
		sent   []string
	}{
		"flags":                {`"yes";"yes";"no"`, []any{1, 0}, "B3", nil},
		"flags without zero":   {`"yes";"yes";"no"`, []any{1, 1}, "", []string{"yes", "yes"}},
		"escaped":              {`\y;;\n`, []any{1, 0.0}, "B3", nil},
		"conditions":           {`[=1]"yes";[=0]"no";0`, []any{1, 0}, "B2", nil},
		"thousands":            {`[>=1000]0.0,"K";0`, []any{1500, 15}, "B2", nil},
		"accounting":           {`#,##0.00;-#,##0.00;"-"??`, []any{5, 0}, "", []string{"5.00", "0.00"}},
		"accounting in crowns": {`#,##0.00\ "kr";-#,##0.00\ "kr";"-"??\ "kr"`, []any{0}, "", []string{"0.00 kr"}},
		"unit":                 {`0" kr";-0" kr";0" kr"`, []any{5, 0}, "", []string{"5 kr", "0 kr"}},
		"colours":              {`[Red]0;[Blue]-0`, []any{5, 0}, "", []string{"5", "0"}},

		// The library shows 12 34.50, 1235, 1234.6 and 1235.
		"spaces in a number with a fraction": {`# ##0.00`, []any{1234.5}, "B2", nil},
		"escaped spaces":                     {`#\ ##0.00\ "kr";-#\ ##0.00\ "kr"`, []any{1234.5}, "B2", nil},
		"quoted apostrophes":                 {`#"'"##0.00`, []any{1234.5}, "B2", nil},
		"aligned points":                     {`0.??`, []any{1234.56}, "B2", nil},
		"one place or two":                   {`#,##0.0?`, []any{1234.56}, "B2", nil},
		"points and a text":                  {`???.???;@`, []any{1234.56}, "B2", nil},
		"spaces in a whole number":           {`#\ ##0`, []any{1234567}, "", []string{"1234 567"}},
		"phone number":                       {`0#" "##" "##" "##" "##`, []any{612345678}, "", []string{"06 12 34 56 78"}},
		"unit behind a fraction":             {`#,##0.00\ [$€-407];[Red]-#,##0.00" kr."`, []any{1234.5}, "", []string{"1,234.50 €"}},
		"tens of thousands":                  {`0!.0,"万"`, []any{12345}, "B2", nil}, // shown as 12.!3万
		"tens of thousands and a backslash":  {`0\.0,"万"`, []any{12345}, "", []string{"1.2万"}},
		"last half second of a day":          {`yyyy-mm-dd`, []any{45296.5, 45296.99999998843}, "B3", nil}, // 23:59:59.999, shown as the next day
		"last second of a day":               {`yyyy-mm-dd`, []any{45296.99998842592}, "", []string{"2024-01-05"}},
		"midnight":                           {`yyyy-mm-dd`, []any{45296.99999999999}, "", []string{"2024-01-06"}}, // by the arithmetic of some programs
		"date in Russian":                    {`[$-FC19]dd\ mmmm\ yyyy\ \г\.;@`, []any{45292}, "B2", nil},          // shown as 45292
		"date in Ukrainian":                  {`[$-uk-UA-x-genlower]d mmmm yyyy" р.";@`, []any{45292}, "B2", nil},
		"date in western digits":             {`[$-2010000]yyyy/mm/dd;@`, []any{45292}, "B2", nil},
		"date in German with a slash":        {`[$-407]d/\ mmmm\ yyyy;@`, []any{45292}, "B2", nil},    // shown as 1/ Januar 2024
		"date in German by its tag":          {`[$-de-DE]d\.\ mmmm\ yyyy;@`, []any{45292}, "B2", nil}, // shown as 1. január 2024
		"date in Polish":                     {`[$-415]d\ mmmm\ yyyy;@`, []any{45292}, "B2", nil},     // shown as 1 styczeń 2024
		"figures in Polish":                  {`[$-415]dd\.mm\.yyyy;@`, []any{45292}, "", []string{"01.01.2024"}},
		"date in English":                    {`[$-409]m/d/yy\ h:mm\ AM/PM;@`, []any{45292.75}, "", []string{"1/1/24 6:00 PM"}},
		"date in Singapore":                  {`[$-14809]d/m/yyyy;@`, []any{45292}, "", []string{"1/1/2024"}},
		"date in India":                      {`[$-14009]dd\-mmm\-yy;@`, []any{45292}, "", []string{"01-Jan-24"}},
		"number in India":                    {`[$-14009]"₹"#,##0.00`, []any{1234.5}, "", []string{"₹1,234.50"}},
		"date in Arabia":                     {`[$-1010000]d/m/yyyy;@`, []any{45292}, "", []string{"1/1/2024"}},
		"time behind a text":                 {`[$-412]yyyy"-"m"-"d\ AM/PM\ h:mm;@`, []any{45292.75}, "", []string{"2024-1-1 오후 6:00"}},
		"time behind a text in Chinese":      {`yyyy"年"m"月"d"日"\ 上午/下午h"时"mm"分"`, []any{45292.75}, "", []string{"2024年1月1日 下午6时00分"}},
		"date in English of Indonesia":       {`[$-3809]dd\ mmmm\ yyyy;@`, []any{45292}, "B2", nil}, // shown as 45292
		"date in Chinese, of Java":           {`yyyy年MM月dd日HH时mm分ss秒`, []any{45292.75}, "", []string{"2024年01月01日18时00分00秒"}},
		"date of R":                          {`yyyy-mm-dd HH:mm:ss UTC`, []any{45292.75}, "", []string{"2024-01-01 18:00:00 UTC"}},
		"date in Spanish":                    {`[$-C0A]d\ "de"\ mmmm\ "de"\ yyyy;@`, []any{45292}, "", []string{"1 de enero de 2024"}},
		"era":                                {`[$-411]ggge"年"m"月"d"日";@`, []any{45292}, "", []string{"令和6年1月1日"}},
		"date of databases":                  {`yyyy-mm-dd hh:mm:ss`, []any{45292.75}, "", []string{"2024-01-01 18:00:00"}},
		"milliseconds":                       {`yyyy-mm-dd hh:mm:ss.000`, []any{45366.99951}, "B2", nil}, // shown as 23:59:18.000 for 23:59:17.664
		"tenths of seconds":                  {`mm:ss.0`, []any{0.00071}, "B2", nil},
		"hours":                              {`[h]:mm:ss`, []any{1.75}, "", []string{"42:00:00"}},
		"fraction":                           {`# ?/?`, []any{0.99}, "B2", nil},     // shown as 0 1/1
		"engineering":                        {`##0.0E+0`, []any{12345}, "B2", nil}, // shown as 12345
		"number with an exponent":            {`0.00E+00`, []any{12345}, "", []string{"1.23E+04"}},
		"zero in a text":                     {`"Top 10: "0`, []any{7}, "B2", nil}, // shown as Top 17:
		"digits in a text":                   {`"A1-"0`, []any{7}, "", []string{"A1-7"}},
		"text behind General":                {`General" kg"`, []any{7}, "B2", nil},           // shown as 7
		"General in a text":                  {`"General "0`, []any{7}, "B2", nil},            // shown as 7
		"mark behind a percentage":           {`[Green]0%▲;[Red]0%▼`, []any{0.05}, "B2", nil}, // shown as 0%▲
		"mark before a percentage":           {`[Green]▲0%;[Red]▼0%`, []any{0.05}, "", []string{"▲5%"}},
		"unit behind an optional digit":      {`#,###₫`, []any{45292}, "B2", nil}, // shown as 45###₫
		"unit behind a digit":                {`#,##0₫`, []any{45292}, "", []string{"45,292₫"}},
		"marks":                              {`"✓";"✗";"-"`, []any{1, 0}, "B3", nil}, // shown as ✓
		"percentages":                        {`+0.0%;-0.0%;0.0%`, []any{0.075, -0.5}, "", []string{"+7.5%", "-50.0%"}},
		"half that is rounded up":            {`#,##0.00`, []any{9.085, 9.075}, "B3", nil}, // shown as 9.07 for 9.08
		"half of a debt":                     {`0.00;[Red]-0.00`, []any{9.075, -1.005}, "B2", nil},
		"half of a percentage":               {`0%`, []any{0.145, 0.285}, "B2", nil}, // shown as 14% for 15%
		"half of a thousand":                 {`0.00,"K"`, []any{1005.0, 2675.0}, "B2", nil},
		"zero that is not shown":             {`#,##0.##`, []any{12.5, 12.8044}, "B3", nil}, // shown as 12.80 for 12.8
		"zeros that are not shown":           {`0.0##`, []any{98.9999}, "B2", nil},
		"zero of a percentage":               {`0.##%`, []any{0.5}, "B2", nil}, // shown as 50.0% for 50%
		"zero of a thousand":                 {`0.##,"K"`, []any{1500.0, 1504.0}, "B3", nil},
		"places that are not shown":          {`#,##0.##`, []any{4875.4, 12.25, 7.0, 12.8144}, "", []string{"4,875.4", "12.25", "7", "12.81"}},
		"less than a half":                   {`0.00`, []any{9.0749999, 9.085}, "", []string{"9.07", "9.09"}},
		"millions":                           {`0.0,,"M"`, []any{1234567.891}, "", []string{"1.2M"}},
		"date in German":                     {`[$-407]d\.\ mmmm\ yyyy;@`, []any{45292}, "", []string{"1. Januar 2024"}},
		"long date":                          {`[$-F800]dddd\,\ mmmm\ dd\,\ yyyy`, []any{45292}, "", []string{"Monday, January 01, 2024"}},
		"number of a country":                {`[$-419]General;[Red]-General`, []any{45292.75}, "", []string{"45292.75"}},
		"red debts":                          {`[$-407]0.00;[Red]\-0.00" days"`, []any{45292.75}, "", []string{"45292.75"}},
		"accounting of spreadsheets":         {`_-* #,##0.00\ _€_-;-* #,##0.00\ _€_-;_-* "-"??\ _€_-;_-@_-`, []any{1234.5}, "", []string{" 1,234.50  "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := excelize.NewFile()
			style, err := f.NewStyle(&excelize.Style{CustomNumFmt: &c.format})
			require.NoError(t, err)
			require.NoError(t, f.SetSheetRow("Sheet1", "A1", &[]any{"To_Account", "city"}))
			for i, value := range c.values {
				require.NoError(t, f.SetSheetRow("Sheet1", fmt.Sprint("A", i+2), &[]any{fmt.Sprint("u", i), value}))
			}
			require.NoError(t, f.SetCellStyle("Sheet1", "B2", fmt.Sprint("B", len(c.values)+1), style))
			w := newWorld(t)
			require.NoError(t, f.SaveAs(filepath.Join(w.dir, "u.xlsx")))
			require.NoError(t, f.Close())
			r := w.run("set-attr", "u.xlsx")
			if c.cell != "" {
				assert.Equal(t, 3, r.code, r.err)
				assert.Contains(t, r.err, `the column "city" has a number or a date in `+c.cell+` whose format may not be read as the sheet shows it`)
				assert.Empty(t, w.fake.Accounts())
				return
			}
			require.Equal(t, 0, r.code, r.err)
			for i, value := range c.sent {
				assert.Equal(t, value, w.fake.Attrs(fmt.Sprint("u", i))["city"])
			}
		})
	}
}

// TestExcelTextsWithEscapes: SheetJS, which web applications export with, has a carriage return as an escape and its texts in the cells
// themselves, as Excel has the results of formulas.
func TestExcelTextsWithEscapes(t *testing.T) {
	t.Parallel()
	const shared = `<?xml version="1.0"?><sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>a_x005F_x000D_b</t></si></sst>`
	text := func(cell, value string) string { return `<c r="` + cell + `" t="str"><v>` + value + `</v></c>` }
	w := newWorld(t, timpushtest.WithAttrNames("city", "level"))
	w.write("u.xlsx", withParts(t, map[string]string{"xl/sharedStrings.xml": shared, "xl/worksheets/sheet1.xml": sheetXML(
		`<row r="2">` + text("A2", "a_x000d_") + text("B2", "12 High St_x000D_\nRome") + `</row>` +
			`<row r="3">` + text("A3", "b") + text("B3", "_x005F_x0041_ _x41_") + `</row>` +
			`<row r="4">` + inline("A4", "c") + inline("B4", "x_x000D_\ny") + `</row>`)}))
	r := w.run("set-attr", "u.xlsx")
	require.Equal(t, 0, r.code, r.err)
	for account, city := range map[string]string{"a": "12 High St\r\nRome", "b": "_x0041_ _x41_", "c": "x\r\ny"} {
		assert.Equal(t, city, w.fake.Attrs(account)["city"], account)
	}

	w.write("u.xlsx", withParts(t, map[string]string{"xl/sharedStrings.xml": shared, "xl/worksheets/sheet1.xml": sheetXML(
		`<row r="2">` + inline("A2", "d") + `<c r="B2" t="s"><v>0</v></c></row>`)}))
	require.Equal(t, 0, w.run("set-attr", "u.xlsx").code)
	assert.Equal(t, "a_x000D_b", w.fake.Attrs("d")["city"], "the escape of a text that looks like one")
}

// TestExcelFormatsThatAddToTexts: with "No. "@ the library shows No. in an empty cell, which the sheet does not.
func TestExcelFormatsThatAddToTexts(t *testing.T) {
	t.Parallel()
	empty, formula := `<c r="B3" s="1"/>`, `<c r="B3" s="1" t="str"><f>A3</f><v>b</v></c>`
	for name, c := range map[string]struct {
		format, cell string
		refused      bool
	}{
		"empty cell":                     {`"No. "@`, empty, true},
		"unit":                           {`@\ \k\g`, empty, true},
		"dash":                           {`0;-0;0;"-"@`, empty, true},
		"formula":                        {`"No. "@`, formula, true},
		"no empty cell":                  {`"No. "@`, inline("B3", "7"), false},
		"number":                         {`0;-0;0;"-"@`, `<c r="B3" s="1"><v>7</v></c>`, false},
		"text alone":                     {`@`, empty, false},
		"accounting":                     {`_-* #,##0.00_-;-* #,##0.00_-;_-* "-"??_-;_-@_-`, empty, false},
		"space and a colour":             {`0;-0;0;[Red]\ " "@`, empty, false},
		"no text for texts":              {`0" kg"`, empty, false},
		"text alone behind other parts":  {`0" kg";-0" kg";0" kg";@`, empty, false},
		"formula in a column that fits":  {`@`, formula, false},
		"empty cell outside the columns": {`"No. "@`, `<c r="C3" s="1"/>`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("u.xlsx", withParts(t, map[string]string{
				"xl/styles.xml": `<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><numFmts><numFmt numFmtId="164" formatCode="` + html.EscapeString(c.format) + `"/></numFmts>` +
					`<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs></styleSheet>`,
				"xl/worksheets/sheet1.xml": sheetXML(`<row r="2">` + inline("A2", "a") + inline("B2", "Rome") + `</row><row r="3">` + inline("A3", "b") + c.cell + `</row>`),
			}))
			r := w.run("set-attr", "u.xlsx")
			if c.refused {
				assert.Equal(t, 3, r.code, r.err)
				assert.Contains(t, r.err, `the column "city" has a format in B3 that adds to texts, such as "No. "@, which may not be read as the sheet shows it`)
				assert.Empty(t, w.fake.Accounts())
				return
			}
			assert.NotContains(t, r.err, "that adds to texts")
			assert.Equal(t, "Rome", w.fake.Attrs("a")["city"])
		})
	}
}

// TestExcelHoursSince1904: workbooks of older Macs, and those that show hours below zero, count their days from 1904.
func TestExcelHoursSince1904(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		style excelize.Style
		value float64
		want  string // "" if it is refused
	}{
		{excelize.Style{CustomNumFmt: new(`[h]:mm`)}, 1.2535, ""}, {excelize.Style{NumFmt: 46}, 1.2535, ""},
		{excelize.Style{CustomNumFmt: new(`hh:mm`)}, 0.378, "09:04"}, {excelize.Style{CustomNumFmt: new(`yyyy-mm-dd`)}, 40000, "2013-07-07"},
	} {
		f := excelize.NewFile()
		require.NoError(t, f.SetWorkbookProps(&excelize.WorkbookPropsOptions{Date1904: new(true)}))
		style, err := f.NewStyle(&c.style)
		require.NoError(t, err)
		require.NoError(t, f.SetSheetRow("Sheet1", "A1", &[]any{"To_Account", "city"}))
		require.NoError(t, f.SetSheetRow("Sheet1", "A2", &[]any{"a", c.value}))
		require.NoError(t, f.SetCellStyle("Sheet1", "B2", "B2", style))
		w := newWorld(t)
		require.NoError(t, f.SaveAs(filepath.Join(w.dir, "u.xlsx")))
		require.NoError(t, f.Close())
		r := w.run("set-attr", "u.xlsx")
		assert.Equal(t, c.want, w.fake.Attrs("a")["city"])
		if c.want == "" {
			assert.Contains(t, r.err, `the column "city" has a number or a date in B2 whose format may not be read as the sheet shows it`)
		}
	}
}

// TestExcelAccountsThatAreDates: no account is a date, whatever the sheet shows.
func TestExcelAccountsThatAreDates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for format, isDate := range map[string]bool{"d-mmm": true, "mmm-yy": true, `m"月"d"日"`: true, "h:mm": true, "[$-F800]dddd, mmmm dd, yyyy": true, "[h]:mm": true, `"day "000`: false, "[Red]000-000": false, "0": false} {
		book := excelize.NewFile()
		style, err := book.NewStyle(&excelize.Style{CustomNumFmt: &format})
		require.NoError(t, err)
		for cell, value := range map[string]any{"A1": "To_Account", "B1": "city", "A2": 45577, "B2": "Rome"} {
			require.NoError(t, book.SetCellValue("Sheet1", cell, value))
		}
		require.NoError(t, book.SetCellStyle("Sheet1", "A2", "A2", style))
		require.NoError(t, book.SaveAs(filepath.Join(w.dir, "u.xlsx")))
		r := w.run("set-attr", "u.xlsx")
		if !isDate {
			assert.Equal(t, 0, r.code, "%s: %s", format, r.err)
			continue
		}
		assert.Equal(t, 3, r.code, format)
		assert.Contains(t, r.err, "the account in A2 is a date or a time, as a spreadsheet makes of accounts such as 10-12", format)
	}
}

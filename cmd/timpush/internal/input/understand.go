package input

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

const (
	sampleRows = 1000 // rows that are read to describe a file
	shownRows  = 5
)

// Column is a column, or a member of NDJSON objects, and its use.
type Column struct {
	Name string
	Attr string // the attribute, or "" for none
	Use  string // account, attribute or ignored

	Always bool // all rows that were read have it
}

// Description is what was understood of a file.
type Description struct {
	Kind
	File    string
	Columns []Column
	Always  bool       // all columns are in every row, as in a table; in NDJSON other rows may have others
	Rows    int64      // without the header; -1 if they are not known
	About   bool       // Rows is an estimate
	Sample  [][]string // the first rows, by column
}

// Describe reads the beginning of a file by its place among the files. Standard input cannot be described, as it is read once.
func (in *Input) Describe(n int) (*Description, error) {
	name := in.files[n]
	if name == Stdin {
		return nil, nil
	}
	sample := &Input{files: in.files, options: in.options, book: in.book}
	f, err := sample.open(name)
	if err != nil {
		return nil, err
	}
	defer f.close()
	d := &Description{Kind: f.kind, File: f.name, Rows: -1}
	if table, ok := f.reader.(interface{ layout() *layout }); ok {
		d.tableColumns(table.layout())
	}
	rows, ended := d.read(f.reader)
	d.count(f, rows, ended)
	return d, nil
}

func (d *Description) tableColumns(l *layout) {
	d.Always = true
	for i, name := range l.columns {
		c := Column{Name: name, Attr: l.attrs[i], Use: "ignored", Always: true}
		switch {
		case i == l.account:
			c.Use = "account"
		case c.Attr != "":
			c.Use = "attribute"
		}
		d.Columns = append(d.Columns, c)
	}
}

// read reads rows for the sample, and returns how many there were and whether these are all.
func (d *Description) read(r reader) (rows int, ended bool) {
	var seen, first []record
	for rows = 0; rows < sampleRows; rows++ {
		row, err := r.next(false)
		if err != nil {
			ended = errors.Is(err, io.EOF)
			break
		}
		if strings.HasPrefix(row.reason, text.NotUTF8) {
			d.Encoding = "not all of it UTF-8"
		}
		if row.reason == "" {
			seen = append(seen, row)
		}
	}
	first = seen[:min(len(seen), shownRows)]
	if !d.Always {
		d.memberColumns(seen)
	}
	for _, row := range first {
		cells := make([]string, len(d.Columns))
		for i, c := range d.Columns {
			if cells[i] = row.attrs[c.Attr]; c.Use == "account" {
				cells[i] = row.account
			}
		}
		d.Sample = append(d.Sample, cells)
	}
	return rows, ended
}

// memberColumns finds the attributes that NDJSON rows have. Those that all of them have come first.
func (d *Description) memberColumns(rows []record) {
	counts := map[string]int{}
	for _, row := range rows {
		for name := range row.attrs {
			counts[name]++
		}
	}
	d.Columns = []Column{{Use: "account"}}
	for name := range counts {
		d.Columns = append(d.Columns, Column{name, name, "attribute", counts[name] == len(rows)})
	}
	slices.SortFunc(d.Columns[1:], func(a, b Column) int {
		return cmp.Or(counts[b.Name]-counts[a.Name], strings.Compare(a.Name, b.Name))
	})
}

// count finds the number of rows, or estimates it by the bytes of those in the sample.
func (d *Description) count(f *file, rows int, ended bool) {
	p, parquet := f.reader.(*parquetReader)
	sheet, excel := f.reader.(*excelReader)
	switch {
	case parquet:
		d.Rows = p.rows
	case ended:
		d.Rows = int64(rows)
	case excel && sheet.last > 0:
		d.Rows, d.About = rounded(sheet.last), true
	case f.size > 0 && f.kind.Compression == "" && rows == sampleRows:
		plain, ok := f.reader.(interface{ offset() int64 })
		if !ok {
			return
		}
		size := f.size
		if strings.HasPrefix(f.kind.Encoding, "UTF-16") {
			size /= 2
		}
		d.Rows, d.About = rounded(size*int64(rows)/max(plain.offset(), 1)), true
	}
}

// rounded returns an estimate with two digits that mean something.
func rounded(n int64) int64 {
	unit := int64(1)
	for n/unit >= 100 {
		unit *= 10
	}
	return (n + unit/2) / unit * unit
}

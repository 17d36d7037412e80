package input

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// A Parquet file states how large its parts are, and in a damaged or malicious one that is wrong. What can be compared with
// the size of the file is compared before anything is allocated for it.
const (
	maxFooter   = 16 << 20
	maxChunk    = 1 << 30 // of one column in one row group, uncompressed
	maxExpanded = 1 << 13 // rows for each byte of the file
	maxPlaces   = 76      // of a decimal number, and what its 256 bits can hold
	valueBatch  = 256     // values of a column that are read at a time
	footerTail  = 8       // length of the footer and the magic bytes
)

// parquetReader reads flat columns side by side.
type parquetReader struct {
	file    *parquet.File
	cols    *layout
	leaves  []int // index of the leaf of each column that is read, or -1
	rows    int64 // of the file
	row     int64 // that have been read
	group   int   // the next row group
	left    int64 // rows in the current one
	columns []*columnReader
	fields  []string
}

func newParquet(f *os.File, size int64, o *Options, notes *Notes) (p *parquetReader, err error) {
	defer rescue("Parquet", &err)
	if err := checkFooter(f, size); err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("damaged Parquet: %w", err)
	}
	p = &parquetReader{file: file, rows: file.NumRows()}
	if err := p.checkSizes(size); err != nil {
		return nil, err
	}
	return p, p.choose(o, notes)
}

// rescue makes an error of a panic: readers of binary formats panic on some damaged files, such as that of
// github.com/parquet-go/parquet-go/issues/537.
func rescue(what string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("damaged %s: %v", what, r)
	}
}

func checkFooter(f *os.File, size int64) error {
	var tail [footerTail]byte
	if size < footerTail+4 {
		return errors.New("damaged Parquet: the file is too short")
	}
	if _, err := f.ReadAt(tail[:], size-footerTail); err != nil {
		return err
	}
	if string(tail[4:]) != "PAR1" {
		return errors.New("damaged Parquet: it has no end; is the copy complete?")
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > min(size-footerTail-4, maxFooter) {
		return fmt.Errorf("damaged Parquet: a footer of %d bytes", n)
	}
	return nil
}

// checkSizes refuses a file whose parts cannot be in it.
func (p *parquetReader) checkSizes(size int64) error {
	total := int64(0)
	for _, g := range p.file.Metadata().RowGroups {
		for i := range g.Columns {
			c := &g.Columns[i].MetaData
			if c.TotalCompressedSize < 0 || c.TotalCompressedSize > size || c.TotalUncompressedSize < 0 || c.TotalUncompressedSize > maxChunk ||
				c.DataPageOffset < 0 || c.DataPageOffset > size || c.NumValues < 0 {
				return errors.New("damaged Parquet, or a decompression bomb: a column is larger than the file can hold")
			}
		}
		if g.NumRows < 0 {
			return errors.New("damaged Parquet: a negative number of rows")
		}
		total += g.NumRows
	}
	if total != p.rows || p.rows/maxExpanded > size {
		return fmt.Errorf("damaged Parquet: %d rows in %d bytes", p.rows, size)
	}
	return nil
}

// choose finds the columns that are read.
func (p *parquetReader) choose(o *Options, notes *Notes) (err error) {
	var names []string
	top := p.file.Root().Columns()
	for _, c := range top {
		names = append(names, c.Name())
	}
	if p.cols, err = newLayout(names, o, notes); err != nil {
		return err
	}
	p.fields = make([]string, len(top))
	for i, c := range top {
		p.leaves = append(p.leaves, -1)
		if i != p.cols.account && p.cols.attrs[i] == "" || c.Type().String() == "NULL" { // pandas writes a column without any value so
			continue
		}
		if reason := p.unreadable(c); reason != "" {
			return fmt.Errorf("the column %q %s: make it a text, or leave it out: --ignore %s", c.Name(), reason, text.QuoteItem(c.Name()))
		}
		if c.Compression() == &parquet.Lz4Raw {
			// The library takes what was in its memory before for the values: github.com/parquet-go/parquet-go/issues/608.
			return errors.New("it is compressed with LZ4, which is not read: write it with zstd or snappy")
		}
		p.leaves[i] = c.Index()
	}
	return nil
}

// unreadable says why a column is no text, number or bool, or is not read.
func (p *parquetReader) unreadable(c *parquet.Column) string {
	if !c.Leaf() || c.MaxRepetitionLevel() > 0 {
		return "has lists or objects in it"
	}
	t, kind := c.Type().String(), c.Type().Kind()
	if kind == parquet.Boolean && p.hasRuns(c.Index()) {
		return "has bools in the encoding RLE, which is not read"
	}
	switch kind {
	case parquet.Boolean, parquet.Int32, parquet.Int64, parquet.Float, parquet.Double, parquet.ByteArray:
		if t == kind.String() || strings.HasPrefix(t, "INT(") || t == "STRING" || t == "ENUM" || t == "JSON" {
			return ""
		}
	}
	if d := decimal(c.Type()); d != nil && d.Scale >= 0 && d.Scale <= maxPlaces {
		return ""
	}
	return "is a " + t
}

// hasRuns reports whether the bools of a column are in the encoding RLE. Of eight or more that are true the library reads all but each eighth
// as false. Where the encodings of levels are listed too, RLE beside another one is theirs.
func (p *parquetReader) hasRuns(leaf int) bool {
	return slices.ContainsFunc(p.file.Metadata().RowGroups, func(g format.RowGroup) bool {
		c := &g.Columns[leaf].MetaData
		return slices.Contains(c.Encoding, format.RLE) && !slices.Contains(c.Encoding, format.Plain) ||
			slices.ContainsFunc(c.EncodingStats, func(pages format.PageEncodingStats) bool { return pages.Encoding == format.RLE })
	})
}

func (p *parquetReader) layout() *layout { return p.cols }

// share returns how much of the file has been read, by its rows.
func (p *parquetReader) share(size int64) int64 {
	if p.rows == 0 {
		return size
	}
	hi, lo := bits.Mul64(uint64(size), uint64(p.row))
	quotient, _ := bits.Div64(hi, lo, uint64(p.rows))
	return int64(quotient)
}

func (p *parquetReader) next(skip bool) (r record, err error) {
	defer rescue("Parquet", &err)
	for p.left == 0 {
		if err := p.nextGroup(); err != nil {
			return r, err
		}
	}
	p.row++
	p.left--
	r.line = p.row
	for i, c := range p.columns {
		if c == nil {
			continue
		}
		text, err := c.next()
		if err != nil {
			return r, fmt.Errorf("damaged Parquet: row %d: %w", p.row, err)
		}
		p.fields[i] = text
		r.sum = fnv(r.sum, text)
	}
	if !skip {
		p.cols.user(p.fields, &r)
	}
	return r, nil
}

func (p *parquetReader) nextGroup() error {
	for _, c := range p.columns {
		if c != nil {
			c.close()
		}
	}
	p.columns = nil
	groups := p.file.RowGroups()
	if p.group == len(groups) {
		return io.EOF
	}
	g := groups[p.group]
	p.group++
	p.left = g.NumRows()
	chunks := g.ColumnChunks()
	for _, leaf := range p.leaves {
		if leaf < 0 {
			p.columns = append(p.columns, nil)
			continue
		}
		t := chunks[leaf].Type()
		p.columns = append(p.columns, &columnReader{pages: chunks[leaf].Pages(), unsigned: unsigned(t), decimal: decimal(t)})
	}
	return nil
}

// columnReader reads the values of a column one by one.
type columnReader struct {
	pages    parquet.Pages
	page     parquet.Page
	values   parquet.ValueReader
	buf      [valueBatch]parquet.Value
	ready    []parquet.Value
	unsigned bool // its whole numbers are not negative, though the library takes them for such
	decimal  *format.DecimalType
}

// unsigned reports whether a type is INT(BITS,SIGNED) without a sign.
func unsigned(t parquet.Type) bool {
	return strings.HasSuffix(t.String(), ",false)") && strings.HasPrefix(t.String(), "INT(")
}

// decimal returns what a type says of the places of decimal numbers, or nil. Some databases write all their whole numbers as DECIMAL(38,0).
func decimal(t parquet.Type) *format.DecimalType {
	if logical := t.LogicalType(); logical != nil {
		d, _ := logical.Value.(*format.DecimalType)
		return d
	}
	return nil
}

// places returns a decimal number with its places, as databases show it: 1250 with two places is 12.50.
func places(v parquet.Value, scale int) (string, error) {
	n := new(big.Int)
	switch v.Kind() {
	case parquet.Int32:
		n.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		n.SetInt64(v.Int64())
	default: // in two's complement, the highest byte first
		b := v.ByteArray()
		if len(b) > 32 {
			return "", fmt.Errorf("a decimal number of %d bytes", len(b))
		}
		if n.SetBytes(b); len(b) > 0 && b[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	return new(big.Rat).SetFrac(n, unit).FloatString(scale), nil
}

// next returns a value as a text; "" if there is none.
func (c *columnReader) next() (string, error) {
	for len(c.ready) == 0 {
		if err := c.fill(); err != nil {
			return "", err
		}
	}
	v := c.ready[0]
	c.ready = c.ready[1:]
	switch {
	case v.IsNull():
		return "", nil
	case c.decimal != nil:
		return places(v, int(c.decimal.Scale))
	case v.Kind() == parquet.ByteArray:
		if len(v.ByteArray()) > maxRecord {
			return "", fmt.Errorf("a value of more than %d KiB", maxRecord>>10)
		}
		return string(v.ByteArray()), nil
	case c.unsigned && v.Kind() == parquet.Int32:
		return strconv.FormatUint(uint64(v.Uint32()), 10), nil
	case c.unsigned && v.Kind() == parquet.Int64:
		return strconv.FormatUint(v.Uint64(), 10), nil
	case v.Kind() == parquet.Double:
		return number(v.Double(), 1<<53, 64), nil
	case v.Kind() == parquet.Float:
		return number(float64(v.Float()), 1<<24, 32), nil
	}
	return v.String(), nil
}

// number returns a number as people write it: whole numbers come as such where another column has empty cells. From limit on not
// every whole number can be told from the next one, and these have an exponent, as no account does.
func number(f, limit float64, bits int) string {
	if math.Abs(f) >= limit {
		return strconv.FormatFloat(f, 'e', -1, bits)
	}
	return strconv.FormatFloat(f, 'f', -1, bits)
}

func (c *columnReader) fill() error {
	if c.values != nil {
		n, err := c.values.ReadValues(c.buf[:])
		c.ready = c.buf[:n]
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		c.release()
	}
	page, err := c.pages.ReadPage()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF // the row group has more rows than the column has values
	}
	if err != nil {
		return err
	}
	c.page, c.values = page, page.Values()
	return nil
}

func (c *columnReader) release() {
	if c.page != nil {
		parquet.Release(c.page)
		c.page, c.values = nil, nil
	}
}

func (c *columnReader) close() {
	c.ready = nil
	c.release()
	_ = c.pages.Close()
}

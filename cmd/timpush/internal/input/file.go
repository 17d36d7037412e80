package input

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/htmlindex"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// maxWindow is how much a zstd stream may make the decoder keep: level 19 needs 8 MiB, only --long and --ultra more.
const maxWindow = 16 << 20

// file is a file that is open.
type file struct {
	name   string
	size   int64 // in bytes, 0 if not known
	disk   *os.File
	state  os.FileInfo // of disk when it was opened; nil if it is no regular file
	reader reader
	closes []func()
	bytes  *counter
	kind   Kind
}

// Kind is how the rows of a file are written.
type Kind struct {
	Format      Format
	Compression string // gzip or zstd, or ""
	Encoding    string // of a text, or ""
	Delimiter   string // of CSV, or ""
	Sheet       string // of a workbook, or ""
}

// counter counts what is taken from a file, before decompression.
type counter struct {
	r       io.Reader
	n       atomic.Int64
	stopped func() error // as in Options
}

func (c *counter) Read(p []byte) (int, error) {
	if c.stopped != nil {
		if err := c.stopped(); err != nil {
			return 0, err
		}
	}
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (f *file) taken() int64 {
	if table, ok := f.reader.(interface{ share(size int64) int64 }); ok {
		return table.share(f.size)
	}
	return f.bytes.n.Load()
}

func (f *file) close() {
	for i := len(f.closes) - 1; i >= 0; i-- {
		f.closes[i]()
	}
}

// open opens a file and reads as much of it as it takes to know that rows follow.
func (in *Input) open(name string) (*file, error) {
	f := &file{name: name}
	err := in.begin(f)
	if err != nil {
		f.close()
		if at, ok := errors.AsType[*os.PathError](err); ok {
			at.Path = text.Plain(at.Path)
			return nil, err // it has the name
		}
		return nil, fmt.Errorf("%s: %w", Display(name), err)
	}
	if name == Stdin {
		f.name = Display(name)
	}
	return f, nil
}

// Display returns the name of a file for messages.
func Display(name string) string {
	if name == Stdin {
		return "stdin"
	}
	return text.Plain(name)
}

func (in *Input) begin(f *file) error {
	raw := in.stdin
	if f.name != Stdin {
		opened, err := f.openRegular()
		if err != nil {
			return err
		}
		raw = opened
	}
	f.bytes = &counter{r: raw, stopped: in.options.Stopped}
	plain, err := f.decompress(f.bytes)
	if err != nil {
		return err
	}
	if f.kind.Format, err = in.format(f.name, plain); err != nil {
		return err
	}
	if err := in.options.fits(f.kind.Format); err != nil {
		return err
	}
	switch f.kind.Format {
	case Parquet, Excel:
		opened, ok := raw.(*os.File)
		if f.name == Stdin || f.kind.Compression != "" || !ok {
			return fmt.Errorf("%s must be a plain file, neither compressed once more nor standard input: it is not read from its beginning to its end", f.kind.Format)
		}
		return f.beginBinary(opened, in)
	}
	return f.beginText(plain, in)
}

// fits refuses options that files of a format do not have.
func (o *Options) fits(format Format) error {
	for _, option := range []struct {
		flag  string
		given bool
		only  Format
	}{{"--encoding", o.Encoding != nil, CSV}, {"--delimiter", o.Delimiter != 0, CSV}, {"--no-header", o.NoHeader, CSV}, {"--sheet", o.Sheet != "", Excel}} {
		if option.given && format != option.only {
			return flagErrorf("%s is for %s, and this is %s", option.flag, formatNames[option.only], formatNames[format])
		}
	}
	return nil
}

var formatNames = map[Format]string{CSV: "CSV", NDJSON: "NDJSON", Parquet: "Parquet", Excel: "Excel"}

func (f *file) beginBinary(opened *os.File, in *Input) (err error) {
	if f.kind.Format == Parquet {
		f.reader, err = newParquet(opened, f.size, &in.options, &in.notes)
		return err
	}
	sheet, err := newExcel(in.book, opened, f.size, &in.options, &in.notes)
	if err != nil {
		return err
	}
	f.reader, f.kind.Sheet = sheet, sheet.name
	if sheet.last == 0 {
		f.size = 0 // how much of it has been read is not known
	}
	f.closes = append(f.closes, sheet.close)
	return nil
}

func (f *file) beginText(plain *bufio.Reader, in *Input) error {
	given := in.options.Encoding
	var raw io.Reader = plain
	if given != nil {
		head, _ := plain.Peek(plain.Size()) // before a row is sent; an error comes again
		if (&utf8Finder{given: given}).finds(head) {
			return notGiven(text.UTF8)
		}
		raw = given.NewDecoder().Reader(&utf8Finder{r: plain, given: given})
	}
	decoded, err := text.NewReader(raw)
	if err != nil {
		return err
	}
	f.kind.Encoding = decoded.Encoding()
	switch {
	case given != nil && f.kind.Encoding != text.UTF8: // its bytes, one by one
		return notGiven("UTF-16")
	case given != nil:
		f.kind.Encoding, _ = htmlindex.Name(given) // of those that the flag takes, each has a name
	}
	plain = bufio.NewReaderSize(decoded, 64<<10)
	if head, _ := plain.Peek(4096); IsPage(string(head)) { // an error comes again
		return ErrPage
	}
	if f.kind.Format == NDJSON {
		f.reader = newNDJSON(plain, &in.options, &in.absent)
		return checkArray(plain)
	}
	rows, err := newCSV(plain, &in.options, &in.notes)
	if err != nil {
		return err
	}
	f.reader, f.kind.Delimiter = rows, string(rows.csv.Comma)
	return nil
}

// openRegular keeps the state of a regular file. It refuses a pipe, which could be read only once, and whose opening waits for a writer.
func (f *file) openRegular() (*os.File, error) {
	if info, err := os.Stat(f.name); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		return nil, errors.New("it is a pipe, and a file is read more than once: give - as the file, and the pipe as standard input")
	}
	opened, err := os.Open(f.name)
	if err != nil {
		return nil, err
	}
	f.closes = append(f.closes, func() { _ = opened.Close() })
	info, err := opened.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("it is a directory: name the files in it, such as %s", filepath.Join(f.name, "*.csv"))
	}
	if info.Mode().IsRegular() {
		f.size, f.disk, f.state = info.Size(), opened, info
	}
	return opened, nil
}

// ErrChanged is why a file that was read to its end may lack rows, or have half of one.
var ErrChanged = errors.New("it was changed while it was read, so that rows may be missing")

// Unchanged returns [ErrChanged] if an open file is not as it was. Nil as its state means that it is no regular file.
func Unchanged(opened *os.File, was os.FileInfo) error {
	if was == nil || !was.Mode().IsRegular() {
		return nil
	}
	info, err := opened.Stat()
	if err == nil && !same(was, info) {
		err = ErrChanged
	}
	return err
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// decompress goes by the first bytes, not by the name: where these are wrong, reading fails.
func (f *file) decompress(raw io.Reader) (*bufio.Reader, error) {
	buffered := bufio.NewReaderSize(raw, 64<<10)
	head, err := buffered.Peek(text.PackedHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch what := text.Packed(head); what {
	case "", text.Zip: // a workbook is one
	case "gzip":
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("damaged gzip: %w", err)
		}
		f.kind.Compression = "gzip"
		return bufio.NewReaderSize(damage{"gzip", z}, 64<<10), nil
	case "zstd":
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("damaged zstd: %w", err)
		}
		f.closes = append(f.closes, z.Close)
		f.kind.Compression = "zstd"
		return bufio.NewReaderSize(damage{"zstd", z}, 64<<10), nil
	default:
		return nil, fmt.Errorf("it is compressed with %s: unpack it, or use gzip or zstd", what)
	}
	return buffered, nil
}

// damage is a reader whose errors say what is damaged.
type damage struct {
	what string
	r    io.Reader
}

func (d damage) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		err = fmt.Errorf("this zstd stream needs more than %d MiB of memory: compress it without --long and --ultra", maxWindow>>20)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("damaged %s: it ends too early; is the copy complete?", d.what)
	default:
		err = fmt.Errorf("damaged %s: %w", d.what, err)
	}
	return n, err
}

func (in *Input) format(name string, plain *bufio.Reader) (Format, error) {
	if in.options.Format != Auto && in.options.Format != "" {
		return in.options.Format, nil
	}
	head, err := plain.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	switch {
	case bytes.Equal(head, []byte("PAR1")):
		return Parquet, nil
	case bytes.Equal(head, []byte("PK\x03\x04")):
		return Excel, nil
	case bytes.Equal(head, []byte{0xd0, 0xcf, 0x11, 0xe0}):
		return "", errors.New("it is a workbook that has a password, or is in Excel's format from before 2007: save it as .xlsx without a password")
	}
	base := strings.ToLower(filepath.Base(name))
	for _, suffix := range []string{".gz", ".zst", ".zstd"} {
		base = strings.TrimSuffix(base, suffix)
	}
	switch filepath.Ext(base) {
	case ".ndjson", ".jsonl", ".json":
		return NDJSON, nil
	case ".csv", ".tsv", ".txt":
		return CSV, nil
	case ".parquet":
		return Parquet, nil
	case ".xlsx", ".xlsm":
		return Excel, nil
	}
	if name != Stdin {
		return "", errors.New("its name does not tell the format: give --format csv, ndjson, parquet or xlsx")
	}
	if len(head) > 0 && (head[0] == '{' || head[0] == '[') {
		return NDJSON, nil
	}
	return CSV, nil
}

// ErrPage is why a text that is a page or a document is not read: its lines would be taken for accounts.
var ErrPage = errors.New("it is a page or a document (HTML, XML, RTF or PDF), as servers send one in place of a file that they cannot give, and has neither rows nor accounts")

var page = regexp.MustCompile(`^(?:<[!?]|</?[A-Za-z][\w:.-]*[\s/>]|\{\\rtf|%PDF-)`)

// IsPage reports whether a text is a page or a document, by its beginning.
func IsPage(beginning string) bool {
	beginning = text.Trim(beginning)
	first, _, _ := strings.Cut(beginning, "\n")
	return page.MatchString(beginning) && !NoAccount(text.Trim(first)) // <NULL>
}

// checkArray refuses an array of objects, which would otherwise be a bad row on each of its lines.
func checkArray(plain *bufio.Reader) error {
	head, err := plain.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) && len(head) == 0 {
		return err
	}
	if bytes.HasPrefix(bytes.TrimSpace(head), []byte{'['}) {
		return errors.New("it is a JSON array, and NDJSON has an object on each line: jq -c '.[]' makes one of the other, but jq before 1.7 rounds numbers of more than 15 digits")
	}
	return nil
}

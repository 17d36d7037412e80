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
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is how much a zstd stream may make the decoder keep: level 19 needs 8 MiB, only --long and --ultra more.
const maxWindow = 16 << 20

// file is a file that is open.
type file struct {
	name   string
	size   int64 // in bytes, 0 if not known
	reader reader
	closes []func()
	bytes  *counter
}

// counter counts what is taken from a file, before decompression.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (f *file) taken() int64 {
	if p, ok := f.reader.(*parquetReader); ok {
		return p.share(f.size)
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
		if _, ok := errors.AsType[*os.PathError](err); ok {
			return nil, err // it has the name
		}
		return nil, fmt.Errorf("%s: %w", display(name), err)
	}
	f.name = display(name)
	return f, nil
}

func display(name string) string {
	if name == Stdin {
		return "stdin"
	}
	return name
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
	f.bytes = &counter{r: raw}
	plain, compressed, err := f.decompress(f.bytes)
	if err != nil {
		return err
	}
	format, err := in.format(f.name, plain)
	if err != nil {
		return err
	}
	if format == Parquet {
		opened, ok := raw.(*os.File)
		if f.name == Stdin || compressed || !ok {
			return errors.New("Parquet is read from its end: it must be a plain file, neither compressed once more nor standard input") //nolint:staticcheck // a proper name
		}
		f.reader, err = newParquet(opened, f.size, in.options)
		return err
	}
	if err := checkText(plain); err != nil {
		return err
	}
	if format == NDJSON {
		if err := checkArray(plain); err != nil {
			return err
		}
		f.reader = newNDJSON(plain, in.options)
		return nil
	}
	f.reader, err = newCSV(plain, in.options)
	return err
}

func (f *file) openRegular() (*os.File, error) {
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
		f.size = info.Size()
	}
	return opened, nil
}

// decompress goes by the first bytes, not by the name: both lie, but only the name does so unnoticed.
func (f *file) decompress(raw io.Reader) (*bufio.Reader, bool, error) {
	buffered := bufio.NewReaderSize(raw, 64<<10)
	head, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, false, fmt.Errorf("damaged gzip: %w", err)
		}
		return bufio.NewReaderSize(damage{"gzip", z}, 64<<10), true, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, false, fmt.Errorf("damaged zstd: %w", err)
		}
		f.closes = append(f.closes, z.Close)
		return bufio.NewReaderSize(damage{"zstd", z}, 64<<10), true, nil
	}
	return buffered, false, nil
}

// damage tells what is damaged.
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
	if bytes.Equal(head, []byte("PAR1")) {
		return Parquet, nil
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
	}
	if name != Stdin {
		return "", errors.New("its name does not tell the format: give --format csv, ndjson or parquet")
	}
	if len(head) > 0 && (head[0] == '{' || head[0] == '[') {
		return NDJSON, nil
	}
	return CSV, nil
}

// checkArray refuses an array of objects, which would otherwise be a bad row on each of its lines.
func checkArray(plain *bufio.Reader) error {
	head, err := plain.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) && len(head) == 0 {
		return err
	}
	if bytes.HasPrefix(bytes.TrimSpace(head), []byte{'['}) {
		return errors.New("it is a JSON array, and NDJSON has an object on each line: jq -c '.[]' makes one of the other")
	}
	return nil
}

// checkText passes over a byte order mark and refuses what is not UTF-8 from its first character on.
func checkText(plain *bufio.Reader) error {
	head, err := plain.Peek(4096)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && len(head) == 0:
		return err
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		_, err = plain.Discard(3)
		return err
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return errors.New("it is UTF-16, not UTF-8: save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8")
	case len(head) >= 4 && (head[0] == 0 && head[1] != 0 || head[0] != 0 && head[1] == 0 && head[3] == 0):
		return errors.New("it looks like UTF-16, not UTF-8: convert it: iconv -f UTF-16LE -t UTF-8 (or UTF-16BE)")
	}
	return nil
}

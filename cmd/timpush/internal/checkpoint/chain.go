package checkpoint

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
)

// chain is a file of lines that is only appended to. Each line begins with a checksum over itself and all lines before it.
type chain struct {
	file *os.File
	sum  uint32
	buf  []byte
}

// lock opens a file, which is a checkpoint or the like, for this process alone.
func lock(name, what string) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("a %s must be a regular file", what)
		}
		if err == nil {
			err = Lock(f)
		}
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if !Removed(f) {
			return f, nil
		}
		_ = f.Close()
	}
}

// Removed reports whether the run that had a file before this one has removed it since this one opened it. Ask when it is locked.
func Removed(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(f.Name())
	return err != nil || !os.SameFile(there, mine)
}

// Remove removes a locked file and closes it.
func Remove(f *os.File) error {
	if os.Remove(f.Name()) == nil { // while it is still locked
		return f.Close()
	}
	return errors.Join(f.Close(), os.Remove(f.Name())) // Windows does not remove what is open
}

// line reads a line that begins at an offset, and returns its text and where it ends. The sum goes on only if the line is
// whole.
func (c *chain) line(r *bufio.Reader, from int64) (text []byte, end int64, ok bool) {
	raw, err := readLine(r)
	if err != nil || len(raw) < 10 || raw[8] != ' ' {
		return nil, from, false
	}
	want, err := strconv.ParseUint(string(raw[:8]), 16, 32)
	sum := crc32.Update(c.sum, crc32.IEEETable, raw[9:])
	if err != nil || uint32(want) != sum {
		return nil, from, false
	}
	c.sum = sum
	return raw[9:], from + int64(len(raw)), true
}

// maxLine is more than any line has: what is longer was not written here.
const maxLine = 64 << 20

func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine {
			return line, err
		}
	}
}

// cutTo removes what follows the lines up to end.
func (c *chain) cutTo(end int64) error {
	if err := c.file.Truncate(end); err != nil {
		return err
	}
	if err := c.resum(); err != nil {
		return err
	}
	return c.file.Sync()
}

func (c *chain) resum() error {
	if _, err := c.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	c.sum = 0
	r := bufio.NewReader(c.file)
	for at, ok := int64(0), true; ok; {
		_, at, ok = c.line(r, at)
	}
	_, err := c.file.Seek(0, io.SeekEnd)
	return err
}

// ours refuses a file that was never a log: its name may have been given by mistake. What a crash leaves of a log is cut off,
// or has nothing but NULs.
func (c *chain) ours(beginning, what string) error {
	head := make([]byte, 9+len(beginning))
	n, err := c.file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	head = head[:n]
	sum, text := head[:min(n, 9)], head[min(n, 9):]
	torn := len(text) > 0 || len(bytes.Trim(sum, "0123456789abcdef ")) == 0
	if torn && bytes.HasPrefix([]byte(beginning), text) || len(bytes.Trim(head, "\x00")) == 0 {
		return nil
	}
	return fmt.Errorf("it is not a %s, and is not touched: give another --%s, or move it away", what, what)
}

// restart begins the file again with a header. Whatever is in it has no whole line, so that nothing can have been sent.
func (c *chain) restart(header any) error {
	if err := c.file.Truncate(0); err != nil {
		return err
	}
	if _, err := c.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := c.write(header); err != nil {
		return err
	}
	return c.Sync()
}

func (c *chain) write(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	c.sum = crc32.Update(c.sum, crc32.IEEETable, text)
	c.buf = fmt.Appendf(c.buf[:0], "%08x ", c.sum)
	c.buf = append(c.buf, text...)
	_, err = c.file.Write(c.buf)
	return err
}

// Sync writes the log to the disk. The result files must be there before.
func (c *chain) Sync() error { return c.file.Sync() }

// Close closes the log; another run may resume it.
func (c *chain) Close() error { return c.file.Close() }

// Remove removes the log: nothing is left to resume.
func (c *chain) Remove() error { return Remove(c.file) }

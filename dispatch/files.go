package dispatch

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// acks is what the file of acknowledgements says, in 32 bytes and a checksum.
type acks struct {
	Created    int64  // of the stream, in nanoseconds
	Generation uint64 // of the file's use, at least 1
	Sequence   uint64 // the last that was acknowledged
	Letters    int64  // dead letters that there are at least
}

// ackFile says how far an embedded queue has acknowledged messages, so that a lost end of its data is noticed, and how many dead letters
// there are: those that are lost look like those that were discarded. It is written after each acknowledgement, without a sync: it
// has to outlive the process. After a power failure it may be old or unreadable, and then tells less.
type ackFile struct {
	read acks // when it was opened; the zero value if it could not be read

	mu   sync.Mutex
	file *os.File
	acks
}

func openAckFile(path string) (*ackFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	a := &ackFile{file: f}
	data := make([]byte, binary.Size(acks{})+crc32.Size)
	if n, _ := f.ReadAt(data, 0); n == len(data) { // else it is new, or cut
		body, sum := data[:len(data)-crc32.Size], binary.BigEndian.Uint32(data[len(data)-crc32.Size:])
		if crc32.ChecksumIEEE(body) == sum {
			_, err = binary.Decode(body, binary.BigEndian, &a.read)
		}
	}
	return a, err
}

// begin starts a generation of the file, for a stream that ends at a sequence.
func (a *ackFile) begin(created time.Time, last, letters uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acks = acks{created.UnixNano(), a.read.Generation + 1, last, int64(letters)}
	if err := a.write(); err != nil {
		return err
	}
	return a.file.Sync()
}

// advance writes that a message was acknowledged. It is not an error if that fails: a lost end could then not be counted in full.
func (a *ackFile) advance(seq uint64) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if seq > a.Sequence {
		a.Sequence = seq
		_ = a.write()
	}
}

// letters writes that there are more dead letters, after they were stored, or fewer, before they are deleted.
func (a *ackFile) letters(more int64) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Letters += more
	_ = a.write()
}

// removed returns an error if the folder of the file, or the data beside it, was removed or replaced: the server would go on, and what it
// stores would be gone with the process.
func (a *ackFile) removed() error {
	if a == nil {
		return nil
	}
	mine, err := a.file.Stat()
	if err != nil {
		return nil //nolint:nilerr // it is closed
	}
	dir := filepath.Dir(a.file.Name())
	there, err := os.Stat(a.file.Name())
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "jetstream"))
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, there) {
		return fmt.Errorf("the data in %s was removed or replaced under the running queue: a restart loses what it holds; restart the process once the backlog is sent", dir)
	}
	return nil
}

func (a *ackFile) write() error {
	data, err := binary.Append(nil, binary.BigEndian, a.acks)
	if err != nil {
		return err
	}
	_, err = a.file.WriteAt(binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE(data)), 0)
	return err
}

func (a *ackFile) close() error {
	if a == nil {
		return nil
	}
	return a.file.Close()
}

// copyFile is a copy of the record beside the data of an embedded server: revision, checksum and value. It is not synced, for the
// same reason as an ackFile.
type copyFile struct {
	path    string
	created time.Time // of the stream; a copy of another one says nothing
}

func (c *copyFile) write(revision uint64, value []byte) {
	if c == nil {
		return
	}
	data := binary.BigEndian.AppendUint64(nil, revision)
	data = append(data, value...)
	data = binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE(data))
	if os.WriteFile(c.path+".new", data, 0o600) == nil {
		_ = os.Rename(c.path+".new", c.path) // an old copy has an old revision
	}
}

// newer returns the copy if it is newer than the record in the bucket.
func (c *copyFile) newer(revision uint64) (r record, ok bool) {
	if c == nil {
		return record{}, false
	}
	data, err := os.ReadFile(c.path)
	if err != nil || len(data) < 12 {
		return record{}, false
	}
	body, sum := data[:len(data)-4], data[len(data)-4:]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(sum) || binary.BigEndian.Uint64(body) <= revision {
		return record{}, false
	}
	return r, json.Unmarshal(body[8:], &r) == nil && r.Created.Equal(c.created)
}

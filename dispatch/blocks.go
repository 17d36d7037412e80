package dispatch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/highwayhash"
)

// A block of an embedded server is a file with records: length (4 bytes, the top bit says that it has headers), sequence (8, the
// top bit says that the message is erased, the next one that the record only says that a message of this sequence was deleted), time
// (8), length of the subject (2), subject, length of the headers (4) if there are any, headers, message, checksum (8).
const (
	recordHeader   = 22
	recordChecksum = 8
	emptyRecord    = recordHeader + recordChecksum // of no message
	hasHeaders     = 1 << 31
	isErased       = 1 << 63
	isTombstone    = 1 << 62
)

// correctBlocks corrects damaged records in the blocks of an embedded server, which must not run. After a gap in the sequences
// nats-server 2.15 notes each number as deleted, before it looks at a checksum: for one flipped bit it takes all memory of the
// machine, or drops the next messages that it acknowledges. After a crash it cuts a block off where a checksum is wrong.
//
// A record whose checksum is wrong gets the sequence after the one before it. If nothing else of it was damaged, its checksum is
// then right, and nothing is lost. Otherwise it becomes a tombstone of nothing, so that the server counts the message as deleted, and
// the reader as lost. In a bucket it stays damaged: without it the value before would be there again, and an old record of the
// dispatcher is worse than none.
func correctBlocks(ctx context.Context, dir string, log *slog.Logger) error {
	paths, err := fs.Glob(os.DirFS(dir), "jetstream/*/streams/*/msgs/*.blk")
	if err != nil {
		return err
	}
	for _, path := range paths {
		n, err := correctBlock(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		if n > 0 {
			log.ErrorContext(ctx, "dispatch: stored messages were damaged and are corrected where that is possible", "messages", n, "file", path)
		}
	}
	return nil
}

// correctBlock corrects a block, and returns how many messages were damaged. The key of its checksums is the name of the stream and the
// number of the block.
func correctBlock(path string) (n int, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	stream, number := filepath.Base(filepath.Dir(filepath.Dir(path))), strings.TrimSuffix(filepath.Base(path), ".blk")
	key := sha256.Sum256([]byte(stream + "-" + number))
	sum, err := highwayhash.New64(key[:])
	if err != nil {
		return 0, err
	}
	last, changed, bucket := uint64(0), false, strings.HasPrefix(stream, "KV_")
	for rest := data; len(rest) >= recordHeader; {
		size := binary.LittleEndian.Uint32(rest) &^ hasHeaders
		if size < emptyRecord || uint64(size) > uint64(len(rest)) {
			break // the server ends the block here
		}
		record := rest[:size]
		rest = rest[size:]
		seq := binary.LittleEndian.Uint64(record[4:])
		if !intact(record, sum) {
			changed = true
			if size > emptyRecord {
				n++
			}
			seq = correct(record, last, bucket, sum)
		}
		if seq&isTombstone == 0 {
			last = seq &^ isErased
		}
	}
	if !changed {
		return 0, nil
	}
	if n > 0 && !bucket { // what the server has noted beside the blocks does not hold any more: it reads them instead
		err = os.Remove(filepath.Join(filepath.Dir(path), "index.db"))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	return n, overwrite(path, data)
}

// correct corrects a damaged record behind a sequence, which is 0 at the beginning of a block, and returns its new one.
func correct(record []byte, last uint64, bucket bool, sum hash.Hash64) uint64 {
	if last > 0 && len(record) > emptyRecord {
		binary.LittleEndian.PutUint64(record[4:], last+1)
	}
	if bucket && len(record) > emptyRecord || intact(record, sum) {
		return binary.LittleEndian.Uint64(record[4:])
	}
	binary.LittleEndian.PutUint32(record, binary.LittleEndian.Uint32(record)&^hasHeaders)
	binary.LittleEndian.PutUint64(record[4:], isTombstone)
	binary.LittleEndian.PutUint16(record[20:], 0)
	copy(record[len(record)-recordChecksum:], checksum(record, sum))
	return isTombstone
}

// intact reports whether the checksum of a record is right.
func intact(record []byte, sum hash.Hash64) bool {
	return bytes.Equal(checksum(record, sum), record[len(record)-recordChecksum:])
}

// checksum returns the checksum of a record, or nil if it cannot be one.
func checksum(record []byte, sum hash.Hash64) []byte {
	body := record[recordHeader : len(record)-recordChecksum]
	subject, headers := int(binary.LittleEndian.Uint16(record[20:])), 0
	if binary.LittleEndian.Uint32(record)&hasHeaders != 0 {
		headers = 4
	}
	if subject+headers > len(body) {
		return nil
	}
	sum.Reset()
	for _, part := range [][]byte{record[4:20], body[:subject], body[subject+headers:]} {
		_, _ = sum.Write(part) // as the documentation of hash.Hash says, it returns no error
	}
	return sum.Sum(nil)
}

// overwrite writes and syncs a file that exists and keeps its size.
func overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

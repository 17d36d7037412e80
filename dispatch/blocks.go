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
	hasHeaders     = 1 << 31
	isErased       = 1 << 63
	isTombstone    = 1 << 62
)

// correctSequences corrects damaged sequences in the blocks of an embedded server, which must not run. After a gap in the sequences
// nats-server 2.15 notes each number as deleted, before it looks at a checksum: for one flipped bit it takes all memory of the
// machine, or drops the next messages that it acknowledges.
//
// A record whose checksum is wrong gets the sequence after the one before it. If nothing else of it was damaged, its checksum is
// then right, and nothing is lost. Otherwise the server leaves the message out, and the reader counts it.
func correctSequences(ctx context.Context, dir string, log *slog.Logger) error {
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
			log.ErrorContext(ctx, "dispatch: the sequences of stored messages were damaged and are corrected", "messages", n, "file", path)
		}
	}
	return nil
}

// correctBlock corrects a block, and returns how many sequences were wrong. The key of its checksums is the name of the stream and the
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
	last := uint64(0)
	for rest := data; len(rest) >= recordHeader; {
		size := binary.LittleEndian.Uint32(rest) &^ hasHeaders
		if size < recordHeader+recordChecksum || uint64(size) > uint64(len(rest)) {
			break // the server ends the block here
		}
		record := rest[:size]
		rest = rest[size:]
		seq := binary.LittleEndian.Uint64(record[4:])
		if seq&isTombstone != 0 && size == recordHeader+recordChecksum {
			continue
		}
		if last > 0 && seq != last+1 && !intact(record, sum) {
			seq, n = last+1, n+1
			binary.LittleEndian.PutUint64(record[4:], seq)
		}
		last = seq &^ isErased
	}
	if n == 0 {
		return 0, nil
	}
	return n, overwrite(path, data)
}

// intact reports whether the checksum of a record is right.
func intact(record []byte, sum hash.Hash64) bool {
	body, checksum := record[recordHeader:len(record)-recordChecksum], record[len(record)-recordChecksum:]
	subject, headers := int(binary.LittleEndian.Uint16(record[20:])), 0
	if binary.LittleEndian.Uint32(record)&hasHeaders != 0 {
		headers = 4
	}
	if subject+headers > len(body) {
		return false
	}
	sum.Reset()
	for _, part := range [][]byte{record[4:20], body[:subject], body[subject+headers:]} {
		_, _ = sum.Write(part) // as the documentation of hash.Hash says, it returns no error
	}
	return bytes.Equal(sum.Sum(nil), checksum)
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

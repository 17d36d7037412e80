package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
)

// headSize is how much of a file goes into its fingerprint. What follows is compared by marks, as it is read again.
const headSize = 1 << 20

// FingerprintOf reads the beginning of a file. What is not a regular file, such as standard input, has a fingerprint without
// a size and a head.
func FingerprintOf(name string) (Fingerprint, error) {
	print := Fingerprint{Name: name, Size: -1}
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return print, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return print, err
	}
	defer func() { _ = f.Close() }()
	if print.Size, err = f.Seek(0, io.SeekEnd); err != nil {
		return print, err
	}
	if _, err = f.Seek(0, io.SeekStart); err != nil {
		return print, err
	}
	sum := sha256.New()
	if _, err = io.CopyN(sum, f, headSize); err != nil && !errors.Is(err, io.EOF) {
		return print, err
	}
	print.Head = hex.EncodeToString(sum.Sum(nil)[:16])
	return print, nil
}

package checkpoint

import (
	"hash/crc32"
	"io"
	"os"
)

// extentReader reads a result file along with the lines of the log.
type extentReader struct {
	file *os.File // nil if it does not exist
	at   Extent
}

func openExtents(names []string) []*extentReader {
	readers := make([]*extentReader, len(names))
	for i, name := range names {
		readers[i] = &extentReader{}
		if f, err := os.Open(name); err == nil {
			readers[i].file = f
		}
	}
	return readers
}

func closeExtents(readers []*extentReader) {
	for _, r := range readers {
		if r.file != nil {
			_ = r.file.Close()
		}
	}
}

// match reports whether the files begin as they did when the line was written.
func match(readers []*extentReader, extents []Extent) bool {
	if len(readers) != len(extents) {
		return false
	}
	for i, r := range readers {
		if !r.matches(extents[i]) {
			return false
		}
	}
	return true
}

func (r *extentReader) matches(e Extent) bool {
	if e.Size == r.at.Size {
		return e.Sum == r.at.Sum
	}
	if r.file == nil || e.Size < r.at.Size {
		return false
	}
	sum := sumWriter(r.at.Sum)
	n, err := io.CopyN(&sum, r.file, e.Size-r.at.Size)
	r.at = Extent{r.at.Size + n, uint32(sum)}
	return err == nil && r.at == e
}

type sumWriter uint32

func (s *sumWriter) Write(p []byte) (int, error) {
	*s = sumWriter(crc32.Update(uint32(*s), crc32.IEEETable, p))
	return len(p), nil
}

// Grow returns the extent with more at its end.
func (e Extent) Grow(p []byte) Extent {
	return Extent{e.Size + int64(len(p)), crc32.Update(e.Sum, crc32.IEEETable, p)}
}

package bulk

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/timpush/timpush-go/cmd/timpush/internal/checkpoint"
)

// Sink is a file of failures that is appended to. A nil Sink takes everything and keeps nothing.
type Sink struct {
	file   *os.File
	extent checkpoint.Extent
	dirty  bool
}

// ErrThere is why a file is not written: it is from an earlier run.
var ErrThere = errors.New("is there already, from an earlier run")

// OpenSink opens a file, or makes it. Of a file of an interrupted run it keeps what the checkpoint knows of. A file of
// another run is not touched.
func OpenSink(name string, resumed bool, known checkpoint.Extent) (*Sink, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &Sink{file: f, extent: known}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
	case !resumed && info.Size() > 0:
		err = fmt.Errorf("%s %w", name, ErrThere)
	default:
		err = f.Truncate(known.Size)
		if err == nil {
			_, err = f.Seek(0, io.SeekEnd)
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return s, nil
}

// Name returns the name of the file, or "" if nothing is in it.
func (s *Sink) Name() string {
	if s == nil || s.extent.Size == 0 {
		return ""
	}
	return s.file.Name()
}

func (s *Sink) write(text []byte) error {
	if s == nil || len(text) == 0 {
		return nil
	}
	if _, err := s.file.Write(text); err != nil {
		return err
	}
	s.extent, s.dirty = s.extent.Grow(text), true
	return nil
}

func (s *Sink) sync() error {
	if s == nil || !s.dirty {
		return nil
	}
	s.dirty = false
	if info, err := s.file.Stat(); err != nil || !info.Mode().IsRegular() {
		return err
	}
	return s.file.Sync()
}

// Close closes the file, and removes it if nothing is in it.
func (s *Sink) Close() error {
	if s == nil {
		return nil
	}
	info, err := s.file.Stat()
	if err == nil && s.extent.Size == 0 && info.Mode().IsRegular() {
		return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
	}
	return s.file.Close()
}

// each calls f with the account of each row in the file.
func (s *Sink) each(f func(account string)) error {
	if s == nil || s.extent.Size == 0 {
		return nil
	}
	r := bufio.NewReader(io.NewSectionReader(s.file, 0, s.extent.Size))
	for {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		var row struct {
			ToAccount string `json:"To_Account"`
		}
		if err := errors.Join(err, json.Unmarshal(line, &row)); err != nil {
			return fmt.Errorf("%s: %w", s.file.Name(), err)
		}
		f(row.ToAccount)
	}
}

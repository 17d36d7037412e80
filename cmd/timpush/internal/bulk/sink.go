package bulk

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/timpush/timpush-go/cmd/timpush/internal/checkpoint"
)

// Sink is a result file that is appended to. A nil Sink drops everything.
type Sink struct {
	file   *os.File
	extent checkpoint.Extent
	dirty  bool
}

// SetAside renames the result file of an earlier run, so that the next run can write its own, and returns the new name: that
// of the file with the time of its last change. It returns "" if there is no such file.
func SetAside(name string) (string, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Size() == 0:
		return "", nil
	}
	if err := inUse(name); err != nil {
		return "", err
	}
	base := strings.TrimSuffix(name, ".ndjson")
	for n := 1; ; n++ {
		aside := base + info.ModTime().UTC().Format(".20060102T150405Z")
		if n > 1 {
			aside += fmt.Sprintf("-%d", n)
		}
		aside += strings.TrimPrefix(name, base)
		if _, err := os.Lstat(aside); errors.Is(err, os.ErrNotExist) {
			return aside, os.Rename(name, aside)
		} else if err != nil {
			return "", err
		}
	}
}

// inUse returns an error if a run is writing the file. One that cannot be read can still be renamed: it is another user's.
func inUse(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	return lock(f)
}

// lock locks a result file for this run. Where files cannot be locked, it does nothing.
func lock(f *os.File) error {
	if err := checkpoint.Lock(f); errors.Is(err, checkpoint.ErrLocked) {
		return errInUse(f.Name())
	}
	return nil
}

func errInUse(name string) error { return fmt.Errorf("%s: another run is writing it", name) }

// OpenSink opens a file, or creates it. Of the file of an interrupted run it keeps what the checkpoint refers to.
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
		err = errInUse(name)
	default:
		if err = lock(f); err == nil && checkpoint.Removed(f) {
			_ = f.Close()
			return OpenSink(name, resumed, known)
		}
		if err == nil {
			err = f.Truncate(known.Size)
		}
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
		return checkpoint.Remove(s.file)
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

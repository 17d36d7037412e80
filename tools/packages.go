package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Package is what the go command tells of a package.
type Package struct {
	ImportPath, Name string
	GoFiles          []string
	Export           string // the file with what the compiler has written of its API
	Module           struct{ Path string }
}

// Packages returns the packages that match a pattern in dir, each behind those that it depends on, which are among them.
func Packages(dir, pattern string) (all []Package, err error) {
	cmd := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Name,GoFiles,Export,Module", pattern) //nolint:noctx // it ends by itself
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var one Package
		if err := d.Decode(&one); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, one)
	}
}

// Importer returns the types of packages from what the compiler has written of them.
func Importer(files *token.FileSet, packages []Package) types.Importer {
	exports := map[string]string{}
	for _, one := range packages {
		exports[one.ImportPath] = one.Export
	}
	return importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
}

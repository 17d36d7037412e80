package main

import (
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"

	"github.com/timpush/timpush-go/tools"
)

// root is the module in the root of the repository.
const root = "github.com/timpush/timpush-go"

// load returns the packages that users can import, from what the compiler writes of their API.
func load() ([]*types.Package, error) {
	// Dependencies too, since the API mentions types of theirs.
	cmd := exec.Command("go", "list", "-deps", "-export", //nolint:noctx // it ends by itself
		"-f", "{{.ImportPath}}\t{{.Name}}\t{{with .Module}}{{.Path}}{{end}}\t{{.Export}}", root+"/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	exports, public := map[string]string{}, []string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		exports[fields[0]] = fields[3]
		if fields[1] != "main" && isPublic(fields[0], fields[2]) {
			public = append(public, fields[0])
		}
	}
	imports := importer.ForCompiler(token.NewFileSet(), "gc", func(importPath string) (io.ReadCloser, error) {
		return os.Open(exports[importPath])
	})
	packages := make([]*types.Package, len(public))
	for i, importPath := range public {
		if packages[i], err = imports.Import(importPath); err != nil {
			return nil, err
		}
	}
	return packages, nil
}

// isPublic reports whether users can import a package of a module. Examples are for reading.
func isPublic(importPath, module string) bool {
	for _, part := range []string{"/internal/", "/examples/"} {
		if strings.Contains(importPath+"/", part) {
			return false
		}
	}
	for _, dir := range tools.Published() {
		if module == path.Join(root, dir) {
			return true
		}
	}
	return false
}

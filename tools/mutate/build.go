package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/timpush/timpush-go/tools"
)

var (
	//go:embed support.go.txt
	support string
	//go:embed testmain.go.txt
	testMain string
)

// build compiles the tests of the package in dir with all its mutants into a program in scratch.
func build(dir, scratch string) (program string, mutants []mutant, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", nil, err
	}
	m := &mutator{
		fset: token.NewFileSet(), alike: map[string]int{},
		info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}},
	}
	files, err := m.check(dir)
	if err != nil {
		return "", nil, err
	}
	texts := map[string]string{
		"mutant.go":           strings.Replace(support, "PACKAGE", m.pkg.Name(), 1),
		"mutant_main_test.go": strings.Replace(testMain, "PACKAGE", m.pkg.Name(), 1),
	}
	for _, file := range files {
		name := m.fset.Position(file.Package).Filename
		source, err := os.ReadFile(name)
		if err != nil {
			return "", nil, err
		}
		texts[filepath.Base(name)] = string(m.file(filepath.Base(name), source, file))
	}
	program = filepath.Join(scratch, "mutants.test")
	return program, m.mutants, compile(dir, scratch, program, texts)
}

// compile builds the tests of the package in dir with other texts of some files.
func compile(dir, scratch, program string, texts map[string]string) error {
	replace := map[string]string{}
	for name, text := range texts {
		replace[filepath.Join(dir, name)] = filepath.Join(scratch, name)
		if err := os.WriteFile(filepath.Join(scratch, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	path := filepath.Join(scratch, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		return err
	}
	_, err = tools.Run(dir, nil, "go", "test", "-c", "-vet=off", "-overlay", path, "-o", program, ".")
	return err
}

// check parses and type-checks the package in dir.
func (m *mutator) check(dir string) (files []*ast.File, err error) {
	out, err := tools.Run(dir, nil, "go", "list", "-deps", "-export", "-json=ImportPath,GoFiles,Export", ".")
	if err != nil {
		return nil, err
	}
	type listed struct {
		ImportPath, Export string
		GoFiles            []string
	}
	exports, own := map[string]string{}, listed{} // in the end own is the package in dir: it comes after its dependencies
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); exports[own.ImportPath] = own.Export {
		own = listed{}
		if err := d.Decode(&own); err != nil {
			return nil, err
		}
	}
	for _, name := range own.GoFiles {
		file, err := parser.ParseFile(m.fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	config := types.Config{Importer: importer.ForCompiler(m.fset, "gc", lookup)}
	m.pkg, err = config.Check(own.ImportPath, m.fset, files, m.info)
	return files, err
}

package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

var (
	//go:embed support.go.txt
	support string
	//go:embed testmain.go.txt
	testMain string
)

// build compiles the tests of the package in dir with all its mutants in it, into a program in scratch.
func build(dir, scratch string) (program string, mutants []mutant, err error) {
	m := &mutator{
		fset: token.NewFileSet(), alike: map[string]int{},
		info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}},
	}
	names, files, err := m.check(dir)
	if err != nil {
		return "", nil, err
	}
	overlay := map[string]string{} // instead of which file the compiler reads which
	replace := func(name, text string) {
		path := filepath.Join(scratch, name)
		overlay[filepath.Join(dir, name)] = path
		err = orElse(err, os.WriteFile(path, []byte(text), 0o600))
	}
	for i, name := range names {
		source, failed := os.ReadFile(filepath.Join(dir, name))
		err = orElse(err, failed)
		replace(name, string(m.file(name, source, files[i])))
	}
	replace("mutant.go", strings.Replace(support, "PACKAGE", m.pkg.Name(), 1))
	replace("mutant_main_test.go", strings.Replace(testMain, "PACKAGE", m.pkg.Name(), 1))
	list, failed := json.Marshal(map[string]any{"Replace": overlay})
	err = orElse(err, failed)
	path := filepath.Join(scratch, "overlay.json")
	if err = orElse(err, os.WriteFile(path, list, 0o600)); err != nil {
		return "", nil, err
	}
	program = filepath.Join(scratch, "mutants.test")
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", path, "-o", program, ".") //nolint:noctx // it ends by itself
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("with the mutants it does not compile: %s", out)
	}
	return program, m.mutants, nil
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// check parses and type-checks the package in dir.
func (m *mutator) check(dir string) (names []string, files []*ast.File, err error) {
	cmd := exec.Command("go", "list", "-deps", "-export", "-f", "{{.ImportPath}}\t{{.Export}}\t{{.Dir}}\t{{join .GoFiles \" \"}}", ".") //nolint:noctx // it ends by itself
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("go list: %w", err)
	}
	exports, importPath := map[string]string{}, ""
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		exports[fields[0]] = fields[1]
		importPath, names = fields[0], strings.Fields(fields[3]) // the last one is the package itself
	}
	for _, name := range names {
		file, err := parser.ParseFile(m.fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, file)
	}
	config := types.Config{Importer: importer.ForCompiler(m.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	m.pkg, err = config.Check(importPath, m.fset, files, m.info)
	return names, files, err
}

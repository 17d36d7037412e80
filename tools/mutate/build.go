package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
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
	all, err := tools.Packages(dir, ".")
	if err != nil {
		return nil, nil, err
	}
	own := all[len(all)-1]
	for _, name := range own.GoFiles {
		file, err := parser.ParseFile(m.fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, file)
	}
	config := types.Config{Importer: tools.Importer(m.fset, all)}
	m.pkg, err = config.Check(own.ImportPath, m.fset, files, m.info)
	return own.GoFiles, files, err
}

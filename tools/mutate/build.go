package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"go/ast"
	"go/format"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"

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
	pkg, err := load(dir)
	if err != nil {
		return "", nil, err
	}
	m := &mutator{fset: pkg.Fset, info: pkg.TypesInfo, pkg: pkg.Types, alike: map[string]int{}, conditions: map[ast.Node]bool{}, unused: map[ast.Node]bool{}}
	texts := map[string]string{
		"mutant.go":           strings.Replace(support, "PACKAGE", pkg.Name, 1),
		"mutant_main_test.go": strings.Replace(testMain, "PACKAGE", pkg.Name, 1),
	}
	for k, path := range pkg.CompiledGoFiles {
		source, err := os.ReadFile(path)
		if err != nil {
			return "", nil, err
		}
		name, file := filepath.Base(path), pkg.Syntax[k]
		m.file(name, source, file)
		file.Comments = nil // their places are not those of the new code
		var text bytes.Buffer
		if err := format.Node(&text, pkg.Fset, file); err != nil {
			return "", nil, err
		}
		texts[name] = text.String()
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

// load parses and type-checks the package in dir.
func load(dir string) (*packages.Package, error) {
	mode := packages.NeedName | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedTypes | packages.NeedTypesSizes |
		packages.NeedSyntax | packages.NeedTypesInfo
	all, err := packages.Load(&packages.Config{Mode: mode, Dir: dir}, ".")
	if err != nil {
		return nil, err
	}
	if len(all[0].Errors) > 0 {
		return nil, all[0].Errors[0]
	}
	return all[0], nil
}

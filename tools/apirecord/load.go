package main

import (
	"go/token"
	"go/types"
	"path"
	"strings"

	"github.com/timpush/timpush-go/tools"
)

// root is the module in the root of the repository.
const root = "github.com/timpush/timpush-go"

// load returns the packages that users can import, from what the compiler writes of their API.
func load() ([]*types.Package, error) {
	all, err := tools.Packages(".", root+"/...") // dependencies too, since the API mentions types of theirs
	if err != nil {
		return nil, err
	}
	imports, public := tools.Importer(token.NewFileSet(), all), []string{}
	for _, one := range all {
		if one.Name != "main" && isPublic(one.ImportPath, one.Module.Path) {
			public = append(public, one.ImportPath)
		}
	}
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

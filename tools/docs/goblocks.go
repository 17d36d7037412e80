package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/timpush/timpush-go/tools"
)

// indent is left out of comparisons: a piece is deeper in a function than in a document.
var indent = regexp.MustCompile(`(?m)^[\t ]+`)

// checkGo finds each piece of Go in a file of the module that its document is in, and lets go vet compile the packages of
// these files. It returns how many pieces there are.
func (c *checker) checkGo() (n int) {
	faults := map[string]func(string){} // for the folder of each package
	for _, d := range c.docs {
		for _, b := range d.blocks {
			if b.lang != "go" {
				continue
			}
			n++
			dir := c.compiled(c.module(d), strings.Join(b.lines, "\n"))
			faults[dir] = func(text string) { c.fault(d, b.line, "this Go %s", text) }
			if dir == "" {
				faults[dir]("is in no file of its module, so that nothing compiles it")
			}
		}
	}
	delete(faults, "")
	for dir, fault := range faults {
		if _, err := tools.Run(dir, nil, "go", "vet", "."); err != nil {
			fault("does not compile: " + err.Error())
		}
	}
	return n
}

// compiled returns the folder of a Go file in or below dir that has the piece, but not one of another module.
func (c *checker) compiled(dir, piece string) (found string) {
	piece = indent.ReplaceAllString(piece, "")
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || found != "":
			return fs.SkipAll
		case entry.IsDir():
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			if path != dir && err == nil || slices.Contains([]string{"testdata", ".git", ".bin"}, entry.Name()) {
				return fs.SkipDir
			}
		case strings.HasSuffix(path, ".go"):
			source, err := os.ReadFile(path)
			if err == nil && strings.Contains(indent.ReplaceAllString(string(source), ""), piece) {
				found = filepath.Dir(path)
			}
		}
		return nil
	})
	return found
}

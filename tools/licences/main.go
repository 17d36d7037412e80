// Licences lists the modules that this repository's modules are built on, with their licences.
//
//	go run ./tools/licences          # compares docs/dependencies.md with what is so
//	go run ./tools/licences -write   # writes it
//
// It is run in the root of the repository. A licence that it does not know makes it fail.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/timpush/timpush-go/tools"
)

// page is where the list is, from the root of the repository.
const page = "docs/dependencies.md"

func main() {
	write := flag.Bool("write", false, "write "+page)
	flag.Parse()
	if err := run(".", tools.Published(), *write); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

// run writes the page of the modules in some folders of the repository at root, or compares it.
func run(root string, folders []string, write bool) error {
	found, err := survey(root, folders)
	if err != nil {
		return err
	}
	text := found.page()
	path := filepath.Join(root, page)
	if write {
		return os.WriteFile(path, text, 0o644)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(old, text) {
		return errors.New(page + " is not what is built: go run ./tools/licences -write")
	}
	return nil
}

// Rehearse rehearses a release without publishing anything. It makes the zips that the Go proxy would make of what is added
// to git, serves them from a folder, and does what users will do: it tidies the tool, builds a new program on each library,
// and installs the tool. Other modules come from the local module cache, or from GOPROXY.
//
//	go run ./tools/rehearse          # in the root of the repository
//	go run ./tools/rehearse -write   # writes the go.mod and the go.sum of the tool, for the commit of a release
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"

	"github.com/timpush/timpush-go/tools"
)

func main() {
	write := flag.Bool("write", false, "write what `go mod tidy` makes of the tool's go.mod and go.sum")
	flag.Parse()
	if err := run(*write); err != nil {
		fmt.Fprintln(os.Stderr, "rehearse:", err)
		os.Exit(1)
	}
}

func run(write bool) error {
	dir, err := os.MkdirTemp("", "rehearse")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tree := filepath.Join(dir, "tree")
	files, err := export(tree)
	if err != nil {
		return err
	}
	mods, err := parseModules(tree, files)
	if err != nil {
		return err
	}
	version, err := checkModules(mods, files)
	if err != nil {
		return err
	}
	fmt.Printf("ok  %d modules have a licence, none that is installed has a replace, and all require %s\n", len(mods), version)

	proxy := filepath.Join(dir, "proxy")
	for _, name := range tools.Published() {
		if err := publish(proxy, filepath.Join(tree, name), mods[name].Module.Mod.Path, version); err != nil {
			return fmt.Errorf("zip of %s: %w", name, err)
		}
	}
	return use(dir, proxy, version, mods, write)
}

// use does what users do with what was published, in a Go environment of its own.
func use(dir, proxy, version string, mods map[string]*modfile.File, write bool) error {
	env, err := environment(dir, proxy)
	if err != nil {
		return err
	}
	root := mods["."].Module.Mod.Path
	if err := env.tidyTool(filepath.Join(dir, "tree", tools.ToolDir), root, write); err != nil {
		return fmt.Errorf("go mod tidy of %s: %w", tools.ToolDir, err)
	}
	for _, name := range tools.Published() {
		if name == tools.ToolDir {
			continue
		}
		if err := env.consume(filepath.Join(dir, "consumers"), mods[name].Module.Mod.Path, version); err != nil {
			return fmt.Errorf("a program on %s: %w", mods[name].Module.Mod.Path, err)
		}
	}
	if err := env.install(dir, mods[tools.ToolDir].Module.Mod.Path, version); err != nil {
		return fmt.Errorf("go install: %w", err)
	}
	fmt.Println("ok  the release of", version, "works")
	return nil
}

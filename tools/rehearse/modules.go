package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/timpush/timpush-go/tools"
)

// export writes the files as they are added to git into a folder, and returns their slash-separated names.
func export(tree string) ([]string, error) {
	git := func(args ...string) ([]byte, error) {
		// A clone may belong to another user; git then answers only with this.
		return tools.Run(".", nil, "git", append([]string{"-c", "safe.directory=*"}, args...)...)
	}
	if _, err := git("diff", "--exit-code", "--name-only"); err != nil {
		return nil, fmt.Errorf("there are changes that are not added to git: %w", err)
	}
	if _, err := git("checkout-index", "--all", "--prefix="+tree+"/"); err != nil {
		return nil, err
	}
	names, err := git("ls-files", "-z")
	return strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00"), err
}

// parseModules reads the go.mod files among the files below tree, by their folders.
func parseModules(tree string, files []string) (map[string]*modfile.File, error) {
	mods := map[string]*modfile.File{}
	for _, name := range files {
		if path.Base(name) != "go.mod" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(tree, name))
		if err != nil {
			return nil, err
		}
		if mods[path.Dir(name)], err = modfile.Parse(name, data, nil); err != nil {
			return nil, err
		}
	}
	return mods, nil
}

// checkModules returns the version that the modules require of each other, and an error if they are not ready for a release.
func checkModules(mods map[string]*modfile.File, files []string) (version string, err error) {
	for _, dir := range tools.Published() {
		if mods[dir] == nil {
			return "", fmt.Errorf("there is no module in %s", dir)
		}
	}
	for dir := range mods {
		// The go command adds the licence of the repository to the zip of a module that has none, but x/mod/zip
		// does not: the hashes would differ.
		if license := path.Join(dir, "LICENSE"); !slices.Contains(files, license) {
			return "", fmt.Errorf("%s is missing", license)
		}
	}
	if len(mods[tools.ToolDir].Replace) > 0 {
		return "", fmt.Errorf("%s/go.mod has a replace: go install would refuse it", tools.ToolDir)
	}
	return requiredVersion(mods)
}

// requiredVersion returns the one version at which the modules require each other.
func requiredVersion(mods map[string]*modfile.File) (string, error) {
	root, version := mods["."].Module.Mod.Path, ""
	for dir, mod := range mods {
		for _, require := range mod.Require {
			switch {
			case !isSibling(root, require.Mod.Path):
			case version == "":
				version = require.Mod.Version
			case version != require.Mod.Version:
				return "", fmt.Errorf("%s/go.mod requires %s, another one %s", dir, require.Mod, version)
			}
		}
	}
	if version == "" {
		return "", errors.New("no module requires another one, so there is no version to release")
	}
	return version, nil
}

// isSibling reports whether a module is one of this repository.
func isSibling(root, modulePath string) bool {
	return modulePath == root || strings.HasPrefix(modulePath, root+"/")
}

// withoutSiblings drops the checksums of the modules of this repository from a go.sum.
func withoutSiblings(root, sum string) string {
	var kept strings.Builder
	for line := range strings.Lines(sum) {
		modulePath, _, _ := strings.Cut(line, " ")
		if !isSibling(root, modulePath) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

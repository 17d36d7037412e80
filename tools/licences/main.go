// Licences lists the modules that this repository's modules are built on, with their licences.
//
//	go run ./tools/licences          # compares docs/dependencies.md with the builds
//	go run ./tools/licences -write   # writes it
//
// It runs in the root of the repository, and fails if a licence is missing, unknown or not one of those allowed.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"

	"github.com/timpush/timpush-go/tools"
)

const (
	page  = "docs/dependencies.md"
	known = 75 // per cent of a file that must be the text of licences
)

var (
	platforms = []string{"linux", "darwin", "windows"} // some modules are linked on one of them only
	allowed   = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}
)

func main() {
	write := flag.Bool("write", false, "write "+page)
	flag.Parse()
	if err := run(".", tools.Published(), *write); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

// run compares the page with the modules in some folders of the repository at root, or writes it.
func run(root string, folders []string, write bool) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	found := listing{}
	for _, folder := range folders {
		if err := found.add(root, folder); err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
	}
	for m, u := range found {
		if u.licence, err = licenceOf(u.dir); err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
	}
	text, name := found.page(), filepath.Join(root, page)
	if write {
		return os.WriteFile(name, text, 0o644)
	}
	old, err := os.ReadFile(name)
	if err == nil && !bytes.Equal(old, text) {
		err = errors.New(page + " is out of date: go run ./tools/licences -write")
	}
	return err
}

// licenceOf recognises the licences in the folder of a module.
func licenceOf(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return "", err
	}
	names := map[string]bool{}
	for _, file := range files {
		if name := strings.ToLower(filepath.Base(file)); !strings.HasPrefix(name, "licen") && !strings.HasPrefix(name, "copying") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		found := licensecheck.Scan(text)
		if found.Percent < known {
			return "", fmt.Errorf("%s: only %.0f %% of it is a known licence", file, found.Percent)
		}
		for _, m := range found.Match {
			if names[m.ID] = true; !slices.Contains(allowed, m.ID) {
				return "", fmt.Errorf("%s: the licence %s is not allowed", file, m.ID)
			}
		}
	}
	if len(names) == 0 {
		return "", errors.New(dir + " has no licence file")
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), " and "), nil
}

// module is one version of a dependency.
type module struct{ path, version string }

// use is where a module is used, and where its files are.
type use struct {
	dir, licence string
	by           []string // folders of the repository's modules
}

// listing has the dependencies of all published modules.
type listing map[module]*use

// add lists the dependencies of one module, in the versions that the workspace has. No user builds its examples.
func (l listing) add(root, folder string) error {
	dir := filepath.Join(root, folder)
	for _, platform := range platforms {
		list := func(args ...string) ([]string, error) {
			out, err := tools.Run(dir, []string{"CGO_ENABLED=0", "GOOS=" + platform}, "go", append([]string{"list"}, args...)...)
			return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' || r == '\r' }), err
		}
		packages, err := list("./...")
		if err != nil {
			return err
		}
		packages = slices.DeleteFunc(packages, func(p string) bool { return strings.Contains(p, "/examples/") })
		found, err := list(append([]string{"-deps", "-f", `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}`}, packages...)...)
		if err != nil {
			return err
		}
		for _, line := range found {
			f := strings.SplitN(line, " ", 3)
			m := module{f[0], f[1]}
			if l[m] == nil {
				l[m] = &use{dir: f[2]}
			}
			if !slices.Contains(l[m].by, folder) {
				l[m].by = append(l[m].by, folder)
			}
		}
	}
	return nil
}

// page is the Markdown of the list.
func (l listing) page() []byte {
	var b bytes.Buffer
	b.WriteString(`# Dependencies

Every module whose code is linked into a build of the repository's published modules, on Linux, macOS or Windows, with its licence and
the version that the workspace has.
This page is written by ` + "`go run ./tools/licences -write`" + `, and ` + "`make licences`" + ` compares it with the builds. The licences are read from the
files in the modules; one that is not MIT, ISC, BSD, Apache-2.0 or MPL-2.0 fails the check. Go's own library is BSD-3-Clause.

| module | version | licence | linked into |
| --- | --- | --- | --- |
`)
	sorted := slices.SortedFunc(maps.Keys(l), func(a, b module) int {
		return cmp.Or(strings.Compare(a.path, b.path), strings.Compare(a.version, b.version))
	})
	for _, m := range sorted {
		names := strings.Replace(strings.Join(slices.Sorted(slices.Values(l[m].by)), ", "), ".", "timpush", 1)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.path, m.version, l[m].licence, names)
	}
	return b.Bytes()
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/timpush/timpush-go/tools"
)

// platforms whose builds are looked at: some modules are linked on one of them only.
var platforms = []string{"linux", "darwin", "windows"}

// own is how the paths of the repository's modules begin.
const own = "github.com/timpush/timpush-go"

// module is one version of a dependency.
type module struct{ Path, Version string }

// use is where a module is used, and where its files are.
type use struct {
	dir          string
	linked, test map[string]bool // by which of the repository's modules
	licence      string
}

// listing has the dependencies of all published modules.
type listing map[module]*use

// survey looks at the modules in some folders of the repository at root.
func survey(root string, folders []string) (listing, error) {
	found := listing{}
	for _, folder := range folders {
		if err := found.add(root, folder); err != nil {
			return nil, fmt.Errorf("%s: %w", folder, err)
		}
	}
	for m, u := range found {
		var err error
		if u.licence, err = licenceOf(u.dir); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Path, err)
		}
	}
	return found, nil
}

// add asks for the dependencies of one module as it is for those who depend on it, outside of the workspace.
func (l listing) add(root, folder string) error {
	temp, err := os.MkdirTemp("", "licences")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	modfile, err := standalone(root, folder, temp)
	if err != nil {
		return err
	}
	for _, platform := range platforms {
		env := []string{"GOWORK=off", "CGO_ENABLED=0", "GOOS=" + platform}
		for _, test := range []bool{false, true} {
			args := []string{"list", "-modfile", modfile, "-mod=mod", "-deps", "-json=Module", "./..."}
			if test {
				args = slices.Insert(args, 1, "-test")
			}
			out, err := golang(filepath.Join(root, folder), env, args...)
			if err != nil {
				return err
			}
			if err := l.take(out, folder, test); err != nil {
				return err
			}
		}
	}
	return nil
}

// standalone copies the go.mod of a folder to temp, with the repository's own modules taken from their folders: their
// versions need not be published.
func standalone(root, folder, temp string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, folder, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(temp, name), text, 0o600); err != nil {
			return "", err
		}
	}
	modfile := filepath.Join(temp, "go.mod")
	text, err := os.ReadFile(modfile)
	if err != nil {
		return "", err
	}
	for _, sibling := range tools.Published() {
		required := path.Join(own, sibling)
		if !strings.Contains(string(text), "\t"+required+" v") {
			continue
		}
		replace := "-replace=" + required + "=" + filepath.Join(root, sibling)
		if _, err := golang(root, nil, "mod", "edit", replace, modfile); err != nil {
			return "", err
		}
	}
	return modfile, nil
}

// take reads what go list has printed.
func (l listing) take(out []byte, folder string, test bool) error {
	for packages := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Module *struct {
				module
				Dir  string
				Main bool
			}
		}
		switch err := packages.Decode(&p); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case p.Module == nil || p.Module.Main || strings.HasPrefix(p.Module.Path, own):
			continue // the standard library, and ours
		}
		u := l[p.Module.module]
		if u == nil {
			u = &use{dir: p.Module.Dir, linked: map[string]bool{}, test: map[string]bool{}}
			l[p.Module.module] = u
		}
		if test {
			u.test[folder] = true
		} else {
			u.linked[folder] = true
		}
	}
}

func golang(dir string, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(context.Background(), "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, errs.Bytes())
	}
	return out, nil
}

// page is the Markdown of the list.
func (l listing) page() []byte {
	var b bytes.Buffer
	b.WriteString(`# Dependencies

Every module whose code is linked into a build of the repository's published modules, on Linux, macOS or Windows, and its licence.
This page is written by ` + "`go run ./tools/licences -write`" + `, and ` + "`make licences`" + ` compares it with what is built. The licences are read from the
files in the modules; one that is not MIT, ISC, BSD, Apache-2.0 or MPL-2.0 fails the check. Go's own library is BSD-3-Clause.
`)
	b.WriteString("\n| module | version | licence | linked into |\n| --- | --- | --- | --- |\n")
	l.rows(&b, func(u *use) map[string]bool { return u.linked })
	b.WriteString("\n## In tests only\n\nNot in any build, but in the module graph of those who depend on these modules.\n")
	b.WriteString("\n| module | version | licence | tests of |\n| --- | --- | --- | --- |\n")
	l.rows(&b, func(u *use) map[string]bool {
		if len(u.linked) > 0 {
			return nil
		}
		return u.test
	})
	return b.Bytes()
}

// rows writes the modules for which by names somebody.
func (l listing) rows(b *bytes.Buffer, by func(*use) map[string]bool) {
	sorted := slices.SortedFunc(maps.Keys(l), func(a, b module) int {
		return strings.Compare(a.Path+" "+a.Version, b.Path+" "+b.Version)
	})
	for _, m := range sorted {
		var names []string
		for _, folder := range slices.Sorted(maps.Keys(by(l[m]))) {
			names = append(names, strings.Replace(folder, ".", "timpush", 1))
		}
		if len(names) > 0 {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", m.Path, m.Version, l[m].licence, strings.Join(names, ", "))
		}
	}
}

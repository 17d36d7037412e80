// Apirecord compares the exported API of the published packages with the record of it in the folder api, which has a line for
// each name, method and field. A line that is gone is a change that can break a program; a new one is an addition.
//
//	go run ./tools/apirecord          # in the root of the repository
//	go run ./tools/apirecord -write   # writes the record anew
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// folder has the record, in a file for each package.
const folder = "api"

func main() {
	write := flag.Bool("write", false, "write the record anew")
	flag.Parse()
	if err := run(*write); err != nil {
		fmt.Fprintln(os.Stderr, "apirecord:", err)
		os.Exit(1)
	}
}

func run(write bool) error {
	packages, err := load()
	if err != nil {
		return err
	}
	now := map[string][]string{}
	for _, pkg := range packages {
		now[pkg.Name()+".txt"] = describe(pkg)
	}
	before, err := read()
	if err != nil {
		return err
	}
	gone, added := compare(before, now)
	for _, line := range gone {
		fmt.Println("-", line)
	}
	for _, line := range added {
		fmt.Println("+", line)
	}
	switch {
	case write:
		return record(now)
	case len(gone) > 0:
		return errors.New("what has a minus above is gone or has changed, which breaks programs; if that must be: make api-record, and tell it in CHANGELOG.md")
	case len(added) > 0:
		return errors.New("what has a plus above is new: make api-record")
	}
	fmt.Printf("apirecord: the API of %d packages is as recorded\n", len(now))
	return nil
}

// compare returns what is only before, and what is only now, each with the file that it is from.
func compare(before, now map[string][]string) (gone, added []string) {
	return without(before, now), without(now, before)
}

// without returns the lines of some files that others do not have, sorted.
func without(files, others map[string][]string) (lines []string) {
	for file, all := range files {
		for _, line := range all {
			if !slices.Contains(others[file], line) {
				lines = append(lines, strings.TrimSuffix(file, ".txt")+": "+line)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// read returns the lines of each file of the record.
func read() (map[string][]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		return nil, err
	}
	lines := map[string][]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		lines[filepath.Base(file)] = strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	}
	return lines, nil
}

// record writes the files anew. That of a package which is gone goes too.
func record(files map[string][]string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	for name, lines := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Package doctable keeps tables of the documentation equal to what tests check.
package doctable

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

var write = flag.Bool("badinput", false, "write the tables of docs/bad-input.md instead of comparing them")

// Document is the path of a Markdown document.
type Document string

// Table has the rows that a table must have.
type Table struct{ rows strings.Builder }

var space = regexp.MustCompile(`\s`)

// Add adds a bad input, its result, and the test that checks it.
func (t *Table) Add(input, gives, test string) {
	test = space.ReplaceAllString(test, "_") // as go test -run wants it
	fmt.Fprintf(&t.rows, "| %s | %s | `%s` |\n", input, gives, test)
}

// documents guards the files, which parallel tests write.
var documents sync.Mutex

// Require compares the table of a section with what it must have, or writes it with -badinput.
func (d Document) Require(t testing.TB, section string, table *Table) {
	t.Helper()
	documents.Lock()
	defer documents.Unlock()
	text, err := os.ReadFile(string(d))
	if err != nil {
		t.Fatal(err)
	}
	place := regexp.MustCompile(`(?s)(\n## ` + regexp.QuoteMeta(section) + `\n[^|#]*\n\n)((?:\|[^\n]*\n)*)`)
	found := place.FindStringSubmatch(string(text))
	want := "| input | what it gives | test |\n| --- | --- | --- |\n" + table.rows.String()
	switch {
	case found == nil:
		t.Fatalf("%s has no section %s", d, section)
	case *write:
		changed := strings.Replace(string(text), found[0], found[1]+want, 1)
		if err := os.WriteFile(string(d), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	case found[2] != want:
		t.Errorf("%s, %s: it differs from what is tested (go test -run TestBad -badinput . writes it):\n%s", d, section, want)
	}
}

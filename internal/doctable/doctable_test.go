package doctable

import (
	"os"
	"path/filepath"
	"testing"
)

// judge counts what would fail a test.
type judge struct {
	testing.TB
	failed bool
}

func (j *judge) Helper()               {}
func (j *judge) Errorf(string, ...any) { j.failed = true }

func TestRequire(t *testing.T) {
	t.Parallel()
	const text = "# Bad\n\n## A (b)\n\nWhat it is.\n\n| input | what it gives | test |\n| --- | --- | --- |\n| x | y | `TestX/a_b` |\n\n## B\n\nNothing yet.\n\n"
	name := filepath.Join(t.TempDir(), "bad.md")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for gives, right := range map[string]bool{"y": true, "z": false} {
		j := &judge{TB: t}
		var table Table
		table.Add("x", gives, "TestX/a b")
		Document(name).Require(j, "A (b)", &table)
		if j.failed == right {
			t.Errorf("a table that is right: %t, and the test failed: %t", right, j.failed)
		}
	}
}

package doctable

import (
	"os"
	"path/filepath"
	"testing"
)

// recorder records whether a test would fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestRequire(t *testing.T) {
	t.Parallel()
	const text = "# Bad\n\n## A (b)\n\nWhat it is.\n\n| input | what it gives | test |\n| --- | --- | --- |\n| x | y | `TestX/a_b` |\n\n## B\n\nNothing yet.\n\n"
	name := filepath.Join(t.TempDir(), "bad.md")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for gives, right := range map[string]bool{"y": true, "z": false} {
		r := &recorder{TB: t}
		var table Table
		table.Add("x", gives, "TestX/a b")
		Document(name).Require(r, "A (b)", &table)
		if r.failed == right {
			t.Errorf("the table is right: %t, and the test failed: %t", right, r.failed)
		}
	}
}

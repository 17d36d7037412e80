package input

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
)

// read reads all rows of a file, and returns how many there were.
func read(t *testing.T, name string, data []byte) (n int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	in, err := New([]string{path}, Options{Account: "a"}, nil)
	if err != nil {
		return 0
	}
	for row, err := range in.Rows(nil) {
		if err != nil {
			break
		}
		require.EqualValues(t, n, row.Number)
		n++
	}
	return n
}

// FuzzParquet feeds damaged files in: none may panic.
func FuzzParquet(f *testing.F) {
	type row struct {
		A string  `parquet:"a"`
		B *string `parquet:"b,optional,dict,snappy"`
	}
	text := "x"
	var b bytes.Buffer
	require.NoError(f, parquet.Write(&b, []row{{"1", &text}, {"2", nil}, {"3", &text}}))
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) { read(t, "x.parquet", data) })
}

// FuzzText feeds anything in as CSV and NDJSON.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "a,b\n\"1\n\",2\n", "\ufeffa,b\r\n", `{"a":"x","b":null}`, "\x1f\x8b", "a,b\n\"x\"y,\n", "sep=;\na;b\n1;2\n", "a;b\r1;NULL\r", "\xff\xfea\x00,\x00b\x00\n\x00", "sep=", "a\tb\n\\N\t \n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read(t, "x.csv", data)
		read(t, "x.ndjson", data)
	})
}

// A sum does not depend on whether the rows are wanted, and tells other rows apart.
func TestMarks(t *testing.T) {
	t.Parallel()
	sum := func(text string, skip func(int64) bool) uint64 {
		path := filepath.Join(t.TempDir(), "x.csv")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		in, err := New([]string{path}, Options{Account: "a"}, nil)
		require.NoError(t, err)
		for _, err := range in.Rows(skip) {
			require.NoError(t, err)
		}
		return in.Mark().Sum
	}
	all := func(int64) bool { return true }
	require.Equal(t, sum("a,b\n12345678,x\n", nil), sum("a,b\n12345678,x\n", all))
	for _, other := range []string{"a,b\n12345679,x\n", "a,b\n12345678x,\n", "a,b\n1234567,8x\n"} {
		require.NotEqual(t, sum("a,b\n12345678,x\n", nil), sum(other, nil), other)
	}
}

package main_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

type person struct {
	Account string  `parquet:"To_Account"`
	City    *string `parquet:"city,optional,dict,snappy"`
	Sex     string  `parquet:"sex,zstd"`
	Level   int64   `parquet:"level"`
}

func parquetFile(t *testing.T, n int) string {
	t.Helper()
	var people []person
	for i := range n {
		city, sex := fmt.Sprintf("c%d", i%97), []string{"f", "m", ""}[i%3]
		people = append(people, person{fmt.Sprintf("u%d", i), &city, sex, int64(i)})
	}
	people[1].City = nil
	var b bytes.Buffer
	require.NoError(t, parquet.Write(&b, people, parquet.MaxRowsPerRowGroup(700), parquet.PageBufferSize(1000)))
	return b.String()
}

func TestParquet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.parquet", parquetFile(t, 3000))
	r := w.run("set-attr", "--map", "level=country", "u.parquet")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.out, "3000 done")
	assert.Equal(t, map[string]string{"city": "c20", "country": "2542", "sex": "m"}, w.fake.Attrs("u2542"))
	assert.Equal(t, map[string]string{"sex": "m", "country": "1"}, w.fake.Attrs("u1"))
	r = w.run("set-attr", "--ignore", "level", "--dry-run", "u.parquet")
	require.Equal(t, 0, r.code, r.err)
	w.in = w.read("u.parquet")
	r = w.run("set-attr", "-")
	require.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "neither compressed once more nor standard input")
}

func TestParquetColumnsThatAreNoTexts(t *testing.T) {
	t.Parallel()
	type row struct {
		Account string   `parquet:"To_Account"`
		Tags    []string `parquet:"tags"`
		Day     int32    `parquet:"day,date"`
		City    string   `parquet:"city"`
	}
	var b bytes.Buffer
	require.NoError(t, parquet.Write(&b, []row{{"a", []string{"x", "y"}, 1, "Rome"}}))
	w := newWorld(t)
	w.write("u.parquet", b.String())
	assert.Contains(t, w.run("set-attr", "u.parquet").err, `the column "tags" has lists or objects in it`)
	assert.Contains(t, w.run("set-attr", "--ignore", "tags", "u.parquet").err, `the column "day" is a DATE`)
	require.Equal(t, 0, w.run("set-attr", "--only", "city", "u.parquet").code)
	assert.Equal(t, "Rome", w.fake.Attrs("a")["city"])
}

// Whatever is wrong with a file, the message says so, nothing panics, and what could be read is sent.
func TestDamagedParquet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	whole := parquetFile(t, 1000)
	for _, at := range []int{10, len(whole) / 4, len(whole) / 2, len(whole) - 300, len(whole) - 60, len(whole) - 6} {
		broken := []byte(whole)
		for i := at; i < min(at+40, len(broken)); i++ {
			broken[i] ^= 0x5a
		}
		w.write("u.parquet", string(broken))
		r := w.run("set-attr", "--dry-run", "--map", "level=country", "u.parquet")
		assert.NotContains(t, r.err, "goroutine")
		assert.Contains(t, []int{0, 1, 3}, r.code, "a changed value need not be found: %s", r.err)
	}
	for name, text := range map[string]string{"cut": whole[:len(whole)-500], "short": "PAR1", "footer": "PAR1xxxx\xff\xff\xff\x7fPAR1"} {
		w.write("u.parquet", text)
		r := w.run("set-attr", "u.parquet")
		assert.Equal(t, 3, r.code, name)
		assert.Contains(t, r.err, "damaged Parquet", name)
	}
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.String()
}

func utf16le(text string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

// The table of what is wrong with files: exit code 3, a clear message, and nothing is sent.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	const header = "To_Account,city\n"
	for name, c := range map[string]struct{ file, text, want string }{
		"missing":         {"nobody.csv", "", "no such file"},
		"directory":       {"dir", "", "it is a directory: name the files in it"},
		"empty":           {"u.csv", "", "it is empty: the first line must name the columns"},
		"utf-16":          {"u.csv", utf16le(header + "a,b\n"), "it is UTF-16, not UTF-8: save it as UTF-8"},
		"utf-16 no bom":   {"u.csv", utf16le(header + "a,b\n")[2:], "it looks like UTF-16"},
		"latin-1 header":  {"u.csv", "To_Account,caf\xe9\na,b\n", "not UTF-8 (perhaps it is Latin-1)"},
		"no account":      {"u.csv", "uid,city\na,b\n", `there is no column "To_Account": name the column of the account: --account COLUMN; the columns are "uid", "city"`},
		"delimiter":       {"u.csv", "To_Account;city\na;b\n", "is another character between them?"},
		"twice":           {"u.csv", "To_Account,city,city\na,b,c\n", `the column "city" comes twice`},
		"no name":         {"u.csv", "To_Account,city,\na,b,c\n", "column 3 has no name"},
		"array":           {"u.json", " [\n{\"To_Account\":\"a\"}]", "it is a JSON array, and NDJSON has an object on each line"},
		"only accounts":   {"u.csv", "To_Account\na\n", "there is no column of an attribute"},
		"nul header":      {"u.csv", "To_Account,ci\x00ty\na,b\n", "NUL"},
		"unknown name":    {"users.xlsx", "PK", "its name does not tell the format"},
		"gzip header":     {"u.csv.gz", "\x1f\x8bxxxxxxxx", "damaged gzip"},
		"header too long": {"u.csv", strings.Repeat("x", 3<<20), "a row of more than 1024 KiB"},
		"pattern":         {"nothing*.csv", "", "no file matches"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			require.NoError(t, os.Mkdir(filepath.Join(w.dir, "dir"), 0o700))
			w.write("good.csv", header+"a,b\n")
			if name == "empty" || c.text != "" {
				w.write(c.file, c.text)
			}
			r := w.run("set-attr", "good.csv", c.file)
			assert.Equal(t, 3, r.code)
			assert.Contains(t, r.err, c.want)
			assert.Contains(t, r.err, c.file)
			assert.Empty(t, w.fake.Accounts(), "also the good file is not sent before all have been looked at")
			assert.False(t, w.has("good.csv.checkpoint"))
		})
	}
}

// A file that ends badly: what comes before is sent, and the run goes on when it has been mended.
func TestFilesThatEndBadly(t *testing.T) {
	t.Parallel()
	good := users(2000)
	packed := gzipped(t, good)
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	long := z.EncodeAll([]byte(good), nil)
	for name, c := range map[string]struct{ file, text, mended, want string }{
		"gzip cut":  {"u.csv.gz", packed[:len(packed)/2], packed, "damaged gzip: it ends too early; is the copy complete?"},
		"gzip":      {"u.csv.gz", packed[:len(packed)-8] + "xxxxxxxx", packed, "damaged gzip"},
		"zstd":      {"u.csv.zst", string(long[:len(long)/2]), string(long), "damaged zstd"},
		"quote":     {"u.csv", good + "x,\"a,f\ny,b,f\n", good, "is not closed: nothing after it can be told apart"},
		"huge line": {"u.csv", good + "x,\"" + strings.Repeat("y", 3<<20) + "\",f\n", good, "a row of more than 1024 KiB"},
		"bomb":      {"u.csv.gz", packed + strings.Repeat(gzipped(t, strings.Repeat("\n", 1<<20)), 100), packed, "a row of more than 1024 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write(c.file, c.text)
			r := w.run("set-attr", c.file)
			require.Equal(t, 3, r.code, r.out)
			assert.Contains(t, r.err, c.want)
			assert.NotContains(t, r.err, "yyy")
			w.write(c.file, c.mended)
			r = w.run("set-attr", "--restart", c.file)
			require.Equal(t, 0, r.code, r.err)
			w.stored(2000)
		})
	}
}

func TestHugeLineOfNDJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.ndjson", `{"To_Account":"a","city":"Rome"}`+"\n"+`{"To_Account":"`+strings.Repeat("x", 5<<20)+"\"}\n"+`{"To_Account":"b","city":"Rome"}`)
	r := w.run("set-attr", "u.ndjson")
	require.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.err, "u.ndjson:2: a line of more than 1024 KiB")
	assert.Equal(t, []string{"a", "b"}, w.fake.Accounts())
}

func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "\ufeffTo_Account,city\r\na,Rome\r\n")
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "Rome", w.fake.Attrs("a")["city"])
}

func TestAQuoteThatSwallowsRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\na,\"Rome\n"+many(10)+"b,Rome\"\nc,Rome\n")
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.err, "u.csv:2: column city: a quoted value spans the lines 2 to 13: is a quote not closed?")
}

func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(w.dir, "in")
	require.NoError(t, os.Mkdir(dir, 0o700))
	w.write("in/u.csv", users(10))
	require.NoError(t, os.Chmod(dir, 0o500))
	if f, err := os.Create(filepath.Join(dir, "x")); err == nil {
		_ = f.Close()
		t.Skip("this user may write everywhere")
	}
	r := w.run("set-attr", "in/u.csv")
	require.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "give --checkpoint in a directory that can be written to")
}

func TestWrongRegion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithRegionHost("adminapisgp.im.qcloud.com"))
	w.write("u.csv", users(300))
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 3, r.code, r.out)
	assert.Contains(t, r.err, "60026: the host does not belong to the app's region; choose the app's Region")
	assert.Contains(t, w.run("check").out, "The console shows where the app is: give --region. It is now singapore.")
	assert.False(t, w.has("u.csv.failed.ndjson"))
}

func TestNoNetworkAndWrongApp(t *testing.T) {
	t.Parallel()
	for want, env := range map[string]string{
		"connection refused": "TIMPUSH_BASE_URL=http://" + freeAddress(t),
		"70009":              "TIMPUSH_SECRET_KEY=" + strings.Repeat("y", 64),
		"70020":              "TIMPUSH_SDKAPPID=1400000001",
		"90009":              "TIMPUSH_IDENTIFIER=mary",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("u.csv", users(1500))
			env0 := w.env
			w.env = append([]string{}, w.env...)
			r := w.with(env).run("set-attr", "--give-up", "5", "u.csv")
			require.Equal(t, 3, r.code, r.out)
			assert.Contains(t, r.err, want)
			assert.False(t, w.has("u.csv.failed.ndjson"), "it is not the fault of the users")
			w.env = env0
			r = w.run("set-attr", "--restart", "u.csv")
			require.Equal(t, 0, r.code, r.err)
			w.stored(1500)
		})
	}
}

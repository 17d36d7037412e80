package main_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
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
		if i == 1 {
			people[i].City = nil
		}
	}
	return parquetOf(t, people, parquet.MaxRowsPerRowGroup(700), parquet.PageBufferSize(1000))
}

func parquetOf[T any](t *testing.T, rows []T, options ...parquet.WriterOption) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, parquet.Write(&b, rows, options...))
	return b.String()
}

// parquetRows is for columns that no struct has.
func parquetRows(t *testing.T, columns parquet.Group, rows []parquet.Row) string {
	t.Helper()
	var b bytes.Buffer
	p := parquet.NewWriter(&b, parquet.NewSchema("users", columns))
	_, err := p.WriteRows(rows)
	require.NoError(t, err)
	require.NoError(t, p.Close())
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

// TestParquetWithoutSign: ClickHouse and pandas write accounts so.
func TestParquetWithoutSign(t *testing.T) {
	t.Parallel()
	type row struct {
		Account uint64 `parquet:"To_Account"`
		City    uint32 `parquet:"city"`
		Country *uint8 `parquet:"country,optional"`
		Sex     int8   `parquet:"sex"`
	}
	country := uint8(200)
	w := newWorld(t)
	w.write("u.parquet", parquetOf(t, []row{{18446744073709551615, 4000000000, &country, -5}, {7, 0, nil, 0}}))
	r := w.run("set-attr", "u.parquet")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, map[string]string{"city": "4000000000", "country": "200", "sex": "-5"}, w.fake.Attrs("18446744073709551615"))
	assert.Equal(t, map[string]string{"city": "0", "sex": "0"}, w.fake.Attrs("7"))
}

// plainType is a whole number that is not said to be one.
type plainType struct{ parquet.Type }

func (plainType) LogicalType() *format.LogicalType { return nil }

// TestParquetPlainNumbers: pyarrow, Spark and Polars write whole numbers so.
func TestParquetPlainNumbers(t *testing.T) {
	t.Parallel()
	columns := parquet.Group{
		"To_Account": parquet.Leaf(plainType{parquet.Int64Type}), "city": parquet.Optional(parquet.Leaf(plainType{parquet.Int64Type})),
		"country": parquet.Leaf(plainType{parquet.Int32Type}),
	}
	w := newWorld(t)
	w.write("u.parquet", parquetRows(t, columns, []parquet.Row{
		{parquet.Int64Value(4915112345678).Level(0, 0, 0), parquet.Int64Value(-7).Level(0, 1, 1), parquet.Int32Value(12).Level(0, 0, 2)},
		{parquet.Int64Value(2).Level(0, 0, 0), parquet.NullValue().Level(0, 0, 1), parquet.Int32Value(0).Level(0, 0, 2)},
	}))
	r := w.run("set-attr", "u.parquet")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, map[string]string{"city": "-7", "country": "12"}, w.fake.Attrs("4915112345678"))
	assert.Equal(t, map[string]string{"country": "0"}, w.fake.Attrs("2"))
}

// TestParquetWithLZ4: the library reads other values than those in the file.
func TestParquetWithLZ4(t *testing.T) {
	t.Parallel()
	type row struct {
		Account string `parquet:"To_Account"`
		City    int64  `parquet:"city,plain,lz4"`
	}
	rows := make([]row, 1000)
	for i := range rows {
		rows[i] = row{fmt.Sprintf("u%d", i), int64(i*7919%1000 + 1000)}
	}
	w := newWorld(t)
	w.write("u.parquet", parquetOf(t, rows))
	r := w.run("set-attr", "u.parquet")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "u.parquet: it is compressed with LZ4, which is not read: write it with zstd or snappy")
	assert.Empty(t, w.fake.Attrs("u1")["city"])
}

// TestParquetColumnWithoutValues: pandas has no type for a column whose cells are all empty, as in a file of one day's changes.
func TestParquetColumnWithoutValues(t *testing.T) {
	t.Parallel()
	columns := parquet.Group{"To_Account": parquet.String(), "city": parquet.Optional(parquet.Leaf(parquet.NullType)), "country": parquet.String()}
	w := newWorld(t)
	w.write("u.parquet", parquetRows(t, columns, []parquet.Row{
		{parquet.ByteArrayValue([]byte("a")).Level(0, 0, 0), parquet.NullValue().Level(0, 0, 1), parquet.ByteArrayValue([]byte("IT")).Level(0, 0, 2)},
	}))
	w.write("before.csv", "To_Account,city\na,Rome\n")
	require.Equal(t, 0, w.run("set-attr", "before.csv").code)
	r := w.run("set-attr", "u.parquet")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, map[string]string{"city": "Rome", "country": "IT"}, w.fake.Attrs("a"))
	r = w.run("set-attr", "--account", "city", "--only", "country", "u.parquet")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "u.parquet:1: column city: the account is empty")
}

// TestParquetBools: Athena, pyarrow and others can write bools in a way of which the library reads 10000000 for eight that are true.
func TestParquetBools(t *testing.T) {
	t.Parallel()
	type row struct {
		Account string `parquet:"To_Account"`
		City    bool   `parquet:"city"`
		Sex     *bool  `parquet:"sex,optional"`
	}
	rows := make([]row, 20)
	for i := range rows {
		rows[i] = row{fmt.Sprintf("u%d", i), i < 18, new(i < 18)}
	}
	rows[3].Sex = nil
	w := newWorld(t)
	w.write("u.parquet", parquetOf(t, rows, parquet.DataPageVersion(1)))
	r := w.run("set-attr", "u.parquet")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, map[string]string{"city": "true", "sex": "true"}, w.fake.Attrs("u17"))
	assert.Equal(t, map[string]string{"city": "true"}, w.fake.Attrs("u3"))
	assert.Equal(t, map[string]string{"city": "false", "sex": "false"}, w.fake.Attrs("u18"))

	runs, err := os.ReadFile("testdata/bools.parquet") // by hyparquet-writer 0.17; as above, without sex
	require.NoError(t, err)
	w.write("runs.parquet", string(runs))
	r = w.run("set-attr", "runs.parquet")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, `the column "city" has bools in the encoding RLE, which is not read: make it a text, or leave it out: --ignore city`)
	assert.Equal(t, "true", w.fake.Attrs("u17")["city"])
}

// TestParquetFloats: a column of whole numbers with empty cells is one of floating-point numbers in pandas.
func TestParquetFloats(t *testing.T) {
	t.Parallel()
	type row struct {
		Account float64 `parquet:"To_Account"`
		City    float64 `parquet:"city"`
		Country float32 `parquet:"country"`
	}
	w := newWorld(t)
	w.write("u.parquet", parquetOf(t, []row{{4915112345678, 1234567.25, 1234567}, {123456789012345680, 1, 1}}))
	r := w.run("set-attr", "u.parquet")
	assert.Equal(t, 1, r.code, r.err)
	assert.Equal(t, map[string]string{"city": "1234567.25", "country": "1234567"}, w.fake.Attrs("4915112345678"))
	assert.Contains(t, r.err, "u.parquet:2: column To_Account: the account is a number that a spreadsheet or another program has shortened")
}

// TestParquetDecimals: Snowflake writes whole numbers as DECIMAL(38,0), and DuckDB and Spark prices in as few bytes as they need.
func TestParquetDecimals(t *testing.T) {
	t.Parallel()
	columns := parquet.Group{
		"To_Account": parquet.Decimal(0, 38, parquet.FixedLenByteArrayType(16)), "city": parquet.Optional(parquet.Decimal(2, 9, parquet.Int32Type)),
		"country": parquet.Decimal(3, 18, parquet.Int64Type), "sex": parquet.Decimal(4, 20, parquet.ByteArrayType),
	}
	row := func(account [16]byte, city parquet.Value, country int64, sex ...byte) parquet.Row {
		return parquet.Row{parquet.FixedLenByteArrayValue(account[:]).Level(0, 0, 0), city, parquet.Int64Value(country).Level(0, 0, 2), parquet.ByteArrayValue(sex).Level(0, 0, 3)}
	}
	w := newWorld(t)
	w.write("u.parquet", parquetRows(t, columns, []parquet.Row{
		row([16]byte{8: 0x11, 15: 0x22}, parquet.Int32Value(1250).Level(0, 1, 1), -5, 0x80),
		row([16]byte{15: 7}, parquet.NullValue().Level(0, 0, 1), math.MaxInt64, 0x01, 0x00, 0x00),
	}))
	r := w.run("set-attr", "u.parquet")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, map[string]string{"city": "12.50", "country": "-0.005", "sex": "-0.0128"}, w.fake.Attrs("1224979098644774946"))
	assert.Equal(t, map[string]string{"country": "9223372036854775.807", "sex": "6.5536"}, w.fake.Attrs("7"))

	columns = parquet.Group{"To_Account": parquet.String(), "city": parquet.Decimal(2, 100, parquet.ByteArrayType)}
	w.write("u.parquet", parquetRows(t, columns, []parquet.Row{{parquet.ByteArrayValue([]byte("a")).Level(0, 0, 0), parquet.ByteArrayValue(make([]byte, 33)).Level(0, 0, 1)}}))
	r = w.run("set-attr", "u.parquet")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "damaged Parquet: row 1: a decimal number of 33 bytes")
}

func TestParquetColumnsThatAreNoTexts(t *testing.T) {
	t.Parallel()
	type row struct {
		Account string   `parquet:"To_Account"`
		Tags    []string `parquet:"tags"`
		Day     int32    `parquet:"day,date"`
		City    string   `parquet:"city"`
	}
	w := newWorld(t)
	w.write("u.parquet", parquetOf(t, []row{{"a", []string{"x", "y"}, 1, "Rome"}}))
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
	w.write("u.parquet", whole[:len(whole)-500])
	r := w.run("set-attr", "u.parquet")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "damaged Parquet")
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

// The flags about columns and values hold for NDJSON in both of its forms. A file of failures, whose names are those of attributes
// already, is read as before with the flags of the run that has written it.
func TestFlagsOfNDJSON(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]map[string]string{
		"--only city":                           {"city": " Rome "},
		"--ignore sex --ignore country":         {"city": " Rome "},
		"--trim --null f":                       {"city": "Rome", "country": "NULL"},
		"--null NULL --null f":                  {"city": " Rome "},
		"--only town --map town=city":           {"city": " Rome "},
		"--map land=country --ignore sex":       {"city": " Rome ", "country": "NULL"},
		"--map sex=city,city=sex --ignore city": {"city": " Rome ", "country": "NULL"},
	} {
		t.Run(flags, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("u.ndjson", `{"To_Account":"a","Attrs":{"city":" Rome ","sex":"f","country":"NULL"}}`)
			r := w.run(append([]string{"set-attr", "u.ndjson"}, strings.Fields(flags)...)...)
			assert.Equal(t, 0, r.code, r.err)
			assert.Equal(t, want, w.fake.Attrs("a"))
			if !strings.Contains(flags, "--map") {
				w.write("b.ndjson", `{"To_Account":"b","city":" Rome ","sex":"f","country":"NULL"}`)
				require.Equal(t, 0, w.run(append([]string{"set-attr", "b.ndjson"}, strings.Fields(flags)...)...).code)
				assert.Equal(t, want, w.fake.Attrs("b"))
			}
		})
	}
}

// A column that --ignore names in other capitals would be sent. A file need not have the column.
func TestIgnoreAColumnInOtherCapitals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city,sex\na,Rome,f\n")
	r := w.run("set-attr", "--quiet", "--ignore", "Sex", "u.csv")
	assert.Equal(t, 2, r.code, r.out)
	assert.Contains(t, r.err, `there is no column "Sex", which --ignore names, but "sex"`)
	assert.Empty(t, w.fake.Accounts())
	assert.Equal(t, 0, w.run("set-attr", "--ignore", "sex,note", "u.csv").code)
	assert.Equal(t, map[string]string{"city": "Rome"}, map[string]string(w.fake.Attrs("a")))
}

// A run for a member that no row has would do nothing, and say that all is done.
func TestOnlyAMemberThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, text := range map[string]string{
		"u.ndjson": `{"To_Account":"a","city":"Rome"}`, "api.ndjson": `{"To_Account":"a","Attrs":{"city":"Rome"}}`, "-": `{"To_Account":"a","city":"Rome"}`,
	} {
		w.in = text
		w.write(name, text)
		for _, command := range []string{"set-attr --dry-run", "set-attr"} {
			r := w.run(append(strings.Fields(command), "--only", "village", name)...)
			assert.Equal(t, 2, r.code, r.out)
			assert.Contains(t, r.err, `no row has the member "village", which --only names: there is nothing to set`, command+" "+name)
			r = w.run(append(strings.Fields(command), "--only", "To_Account,village", name)...)
			assert.Equal(t, 2, r.code, "the account is no attribute: "+r.out)
		}
		r := w.run("set-attr", "--only", "city,village", "--map", "land=country", name)
		assert.Equal(t, 0, r.code, "nothing is left to resume: "+r.err)
		assert.Contains(t, r.err, `no row has the member "village", which --only or --map names`)
		if name != "api.ndjson" { // its names are those of attributes
			assert.Contains(t, r.err, `no row has the member "land", which --only or --map names`)
		}
		r = w.run("set-attr", "--only", "city,To_Account", name)
		assert.Equal(t, 0, r.code, r.err)
		assert.NotContains(t, r.err, "no row has")
	}
	w.write("bad.ndjson", "{\n")
	assert.Equal(t, 1, w.run("set-attr", "--only", "city", "bad.ndjson").code, "whether it is there is not known")
}

// TestWrongAccountOfNDJSON ends with the exit code of a table without that column, and nothing is left to resume.
func TestWrongAccountOfNDJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.ndjson", `{"id":"mary","city":"Rome"}`+"\n"+`{"id":"bob","city":"Oslo"}`+"\n")
	for args, member := range map[string]string{
		"batch --account uid --title x --dry-run":       "uid",
		"batch --account uid --title x --yes":           "uid",
		"set-attr --account uid --only city --dry-run":  "uid",
		"set-attr --account uid --only city":            "uid",
		"set-attr --only city":                          "To_Account",
		"batch --title x --yes --journal other.journal": "To_Account",
	} {
		r := w.run(append(strings.Fields(args), "u.ndjson")...)
		assert.Equal(t, 2, r.code, "%s: %s", args, r.err)
		assert.Contains(t, r.err, `no row has the member "`+member+`", which is to hold the account: --account names another`, args)
	}
	w.write("long.ndjson", strings.Repeat(`{"To_Account":"mary","city":"Rome"}`, 40_000)) // without line ends
	for _, args := range []string{"set-attr long.ndjson", "batch --title x --yes long.ndjson"} {
		assert.NotContains(t, w.run(strings.Fields(args)...).err, "no row has the member", "that is not known")
	}
	assert.Empty(t, w.fake.Pushes())
	for _, args := range []string{"set-attr --account id --only city", "batch --account id --title x --yes"} {
		r := w.run(append(strings.Fields(args), "u.ndjson")...)
		assert.Equal(t, 0, r.code, "%s: %s", args, r.err)
	}
}

func TestAccountsOfNDJSONThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.ndjson", `{"To_Account":"NULL"}`+"\n"+`{"To_Account":"mary"}`+"\n"+`{"To_Account":"undefined"}`+"\n"+`{"To_Account":true}`+"\n")
	r := w.run("batch", "--title", "x", "--null", "NULL", "--yes", "u.ndjson")
	assert.Equal(t, 1, r.code, r.out)
	assert.Contains(t, r.err, "u.ndjson:1: column To_Account: the account is NULL, which means that there is none")
	assert.Contains(t, r.err, "u.ndjson:3: column To_Account: the account is undefined, which may mean that there is none")
	assert.Contains(t, r.err, "u.ndjson:4: column To_Account: the account is a bool, want a text")
	require.Len(t, w.fake.Pushes(), 1)
	assert.Equal(t, []string{"mary"}, w.fake.Pushes()[0].Accounts)
}

// Not only a push goes to whoever has such a name.
func TestAccountsThatMayBeNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\nNULL,Rome\n#N/A,Rome\nundefined,Rome\nmary,Rome\n")
	w.write("u.ndjson", `{"To_Account":"nan","city":"Rome"}`+"\n"+`{"To_Account":"mary","city":"Rome"}`)
	w.write("list", "NULL\n\\N\n#N/A\nmary\n")
	for _, line := range []string{"set-attr u.csv", "set-attr u.ndjson", "tags add --tags gold --file list", "get-attr --file list"} {
		r := w.run(strings.Fields(line)...)
		assert.Equal(t, 1, r.code, line)
		assert.Contains(t, r.err, "may mean that there is n", line)
		assert.Equal(t, []string{"mary"}, w.fake.Accounts(), line)
	}
	assert.Equal(t, 0, w.run("set-attr", "--null=", "u.csv").code)
	assert.Equal(t, 0, w.run("get-attr", "NULL").code)
}

func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "\ufeffTo_Account,city\r\na,Rome\r\n")
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "Rome", w.fake.Attrs("a")["city"])
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

// Where nothing reaches the service, the users are left for the next run, also those of a file that one request holds.
func TestDeadServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", users(3))
	r := w.run("set-attr", "--base-url", "http://"+freeAddress(t), "u.csv")
	require.Equal(t, 3, r.code, r.out)
	assert.Contains(t, r.err, "connection refused")
	assert.Contains(t, r.err, "run the same command again to resume")
	assert.False(t, w.has("u.csv.failed.ndjson"))
	assert.True(t, w.has("u.csv.checkpoint"))
	r = w.run("set-attr", "--restart", "u.csv")
	require.Equal(t, 0, r.code, r.err)
	w.stored(3)
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

// Two columns are one attribute only by --map, which another command line corrects.
func TestMapToAnAttributeOfAnotherColumn(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"set-attr", "--map", "town=city", "u.csv"},
		{"set-attr", "--dry-run", "--map", "town=city", "u.csv"},
		{"set-attr", "--map", "town=sex,city=sex", "u.csv"},
	} {
		w := newWorld(t)
		w.write("u.csv", "To_Account,town,city\nmary,Roma,Rome\n")
		r := w.run(args...)
		assert.Equal(t, 2, r.code, r.err)
	}
}

// Records of a program may end with a NUL and a line end. They are not UTF-16, whose characters would be other accounts.
func TestRecordsThatEndWithNUL(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"batch", "--title", "x", "--no-header", "--yes", "--recipient-rate", "500", "l.txt"},
		{"tags", "add", "--tags", "gold", "--file", "l.txt"},
	} {
		w := newWorld(t)
		for _, list := range []string{strings.Repeat("A0000001\x00\n", 100), strings.Repeat("A0000001\n\x00", 100), "mary\x00\nbob\n",
			strings.Repeat("A0000001\x00\n", 50) + "Müller1\x00\n" + strings.Repeat("A0000001\x00\n", 50),
		} {
			w.write("l.txt", list)
			r := w.run(args...)
			assert.NotEqual(t, 0, r.code, r.out)
			assert.Contains(t, r.out+r.err, "NUL")
			for _, p := range w.fake.Pushes() {
				assert.Subset(t, []string{"A0000001", "bob"}, p.Accounts, "whose lines have none")
			}
		}
	}
}

// TestValuesInFaultsOfNDJSON: a path of Windows in JSON that was written by hand, and a text that was cut within an emoji. The JSON package shows
// a part of the text, and rejects have no values.
func TestValuesInFaultsOfNDJSON(t *testing.T) {
	t.Parallel()
	for _, value := range []string{`\ud83d491511`, `C:\users\mary`, "`\\ud83d4\\u915"} {
		w := newWorld(t)
		w.write("u.ndjson", `{"To_Account":"mary","city":"`+value+`"}`+"\n")
		r := w.run("set-attr", "u.ndjson")
		assert.Equal(t, 1, r.code)
		assert.Contains(t, r.err, "it is not a JSON object: invalid ")
		assert.NotRegexp(t, `d83d|\\u`, r.out+r.err+w.read("u.ndjson.rejected.ndjson"))
	}
}

// TestListOfTwoEncodings: a program appended to a list in UTF-16, as `cat *.txt` and PowerShell do, or one in UTF-16 to another list. Each
// two characters of the ASCII were one, and so were all its lines.
func TestListOfTwoEncodings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, text := range map[string]string{
		"ASCII behind UTF-16":           utf16le("mary\r\nbob\r\n") + "first1\nfirst2\n",
		"the same from Windows":         utf16le("mary\r\nbob\r\n") + "first1\r\nfirst2\r\n",
		"one line behind UTF-16":        utf16le("mary\r\nbob\r\n") + "ann1\r\n",
		"ASCII far behind":              utf16le(strings.Repeat("mary\r\n", 20_000)) + "first1\nfirst2\n",
		"UTF-16 behind ASCII":           "first1\nfirst2\n" + utf16le(strings.Repeat("more\r\n", 40))[2:],
		"UTF-16 behind ASCII, odd":      "first\nfirst22\n\n" + utf16le(strings.Repeat("more\r\n", 40))[2:],
		"a little UTF-16 behind ASCII":  "first1\nfirst2\n" + utf16le("more\r\n")[2:],
		"UTF-16 with a mark behind one": "first1\nfirst2\n" + utf16le("more\r\n"),
		"the other order behind UTF-16": utf16le("mary\r\n") + "\x00b\x00o\x00b\x00\n",
		"a mark of the other order":     utf16le("mary\r\n") + "\xfe\xff\x00b\x00o\x00b",
	} {
		w.write("l.txt", text)
		w.write("t.csv", text)
		for _, args := range [][]string{
			{"tags", "add", "--tags", "gold", "--file", "l.txt"}, {"remove-attr", "--names", "city", "--file", "l.txt"},
			{"batch", "--title", "x", "--no-header", "--yes", "t.csv"},
		} {
			r := w.run(args...)
			assert.NotEqual(t, 0, r.code, "%s: %s: %s", name, args, r.out)
		}
	}
	for _, call := range w.fake.Calls() {
		for _, account := range call.Accounts {
			assert.Contains(t, []string{"mary", "bob", "first1", "first2"}, account)
		}
	}
}

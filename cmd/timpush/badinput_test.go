package main_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/internal/doctable"
	"github.com/timpush/timpush-go/timpushtest"
)

const badInput = doctable.Document("../../docs/bad-input.md")

const header = "To_Account,city\n"

// badFiles are files of which not a row is read.
var badFiles = []struct{ input, file, text, want string }{
	{"file that is not there", "missing.csv", "", "no such file"},
	{"directory", "dir", "", "it is a directory: name the files in it"},
	{"directory with the name of a file", "dir.csv", "", "it is a directory: name the files in it"},
	{"pattern that nothing matches", "nothing*.csv", "", "no file matches"},
	{"name that tells no format", "users.dat", "PK", "its name does not tell the format: give --format csv, ndjson, parquet or xlsx"},
	{"empty file", "empty.csv", "", "it is empty: the first line must name the columns"},
	{"UTF-16 cut off in a character", "u.csv", utf16le(header)[:21], "its UTF-16 ends in the middle of a character: is the copy complete?"},
	{"UTF-32", "u.csv", "\xff\xfe\x00\x00T\x00\x00\x00", "it is UTF-32: save it as UTF-8, or convert it: iconv -f UTF-32 -t UTF-8"},
	{"Latin-1 in the header", "u.csv", "To_Account,caf\xe9\na,b\n", "the name of column 2 cannot be read, at character 4: it is not UTF-8: save the file as CSV UTF-8, or give its encoding, such as --encoding windows-1252 or gbk"},
	{"NUL byte in the header", "u.csv", "To_Account,ci\x00ty\na,b\n", "the name of column 2 has a NUL byte at character 3: it is no text"},
	{"workbook from before 2007", "u.xls", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save it as .xlsx without a password"},
	{"workbook that is no archive", "u.xlsx", "PK\x03\x04xxxxxxxx", "damaged workbook"},
	{"workbook that is a text", "u.xlsx", header + "a,b\n", "damaged workbook"},
	{"no column of accounts", "u.csv", "uid,city\na,b\n", `name the column of the account: --account COLUMN; the columns are "uid", "city"`},
	{"only a column of accounts", "u.csv", "To_Account\na\n", "there is no column of an attribute beside that of the account"},
	{"other character between columns", "u.csv", "To_Account#city\na#b\n", `the columns are "To_Account#city"`},
	{"no column of accounts, semicolons", "u.csv", "uid;city\na;b\n", `the columns are "uid", "city"`},
	{"column twice", "u.csv", "To_Account,city,city\na,b,c\n", `the column "city" comes twice: rename one of them, or leave both out: --ignore city`},
	{"column of accounts twice", "u.csv", "To_Account,To_Account,city\na,b,c\n", `the column "To_Account" comes twice`},
	{"column without a name", "u.csv", "To_Account,city,\na,b,c\n", "column 3 has no name: give it one in the first line, or name the columns that are meant: --only COLUMN"},
	{"header of 3 MiB", "u.csv", strings.Repeat("x", 3<<20), "a row of more than 1024 KiB: is a quote not closed, or the file damaged?"},
	{"JSON array", "u.json", " [\n{\"To_Account\":\"a\"}]", "it is a JSON array, and NDJSON has an object on each line: jq -c '.[]' makes one of the other, but jq before 1.7 rounds numbers of more than 15 digits"},
	{"damaged gzip", "u.csv.gz", "\x1f\x8bxxxxxxxx", "damaged gzip"},
	{"damaged zstd", "u.csv.zst", "\x28\xb5\x2f\xfdxxxxxxxx", "damaged zstd"},
	{"xz", "u.csv.xz", "\xfd7zXZ\x00\x00\x04xxxxxxxx", "it is compressed with xz: unpack it, or use gzip or zstd"},
	{"bzip2", "u.csv.bz2", "BZh91AY&SYxxxxxxxx", "it is compressed with bzip2: unpack it, or use gzip or zstd"},
	{"7-Zip", "u.csv.7z", "7z\xbc\xaf\x27\x1cxxxxxxxx", "it is compressed with 7-Zip: unpack it, or use gzip or zstd"},
	{"Parquet that is too short", "u.parquet", "PAR1", "damaged Parquet: the file is too short"},
	{"Parquet without its end", "u.parquet", "PAR1" + strings.Repeat("x", 500), "damaged Parquet: it has no end; is the copy complete?"},
	{"Parquet with a footer of 2 GiB", "u.parquet", "PAR1xxxx\xff\xff\xff\x7fPAR1", "damaged Parquet: a footer of 2147483647 bytes"},
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badFiles {
		table.Add(test.input, "`"+test.want+"`", t.Name()+"/"+test.input)
		t.Run(test.input, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, dir := range []string{"dir", "dir.csv"} {
				require.NoError(t, os.Mkdir(filepath.Join(w.dir, dir), 0o700))
			}
			w.write("good.csv", header+"a,b\n")
			w.write("empty.csv", "")
			if test.text != "" {
				w.write(test.file, test.text)
			}
			r := w.run("set-attr", "good.csv", test.file)
			code := 3
			if strings.Contains(test.want, "the columns are") {
				code = 2 // another --account is what it takes
			}
			assert.Equal(t, code, r.code)
			assert.Contains(t, r.err, test.want)
			assert.Contains(t, r.err, test.file)
			assert.Empty(t, w.fake.Accounts(), "also the good file is not sent before all have been looked at")
			assert.False(t, w.has("good.csv.checkpoint"))
		})
	}
	badInput.Require(t, "Files", &table)
}

// badEnds are files that begin with 2000 good rows.
func badEnds(t *testing.T) []struct{ input, file, text, whole, want string } {
	t.Helper()
	good := users(2000)
	packed := gzipped(t, good)
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	long := string(z.EncodeAll([]byte(good), nil))
	bomb := strings.Repeat(gzipped(t, strings.Repeat("\n", 1<<20)), 100)
	return []struct{ input, file, text, whole, want string }{
		{"gzip that is cut off", "u.csv.gz", packed[:len(packed)/2], packed, "damaged gzip: it ends too early; is the copy complete?"},
		{"gzip with a wrong checksum", "u.csv.gz", packed[:len(packed)-8] + "xxxxxxxx", packed, "damaged gzip"},
		{"zstd that is cut off", "u.csv.zst", long[:len(long)/2], long, "damaged zstd"},
		{"decompression bomb", "u.csv.gz", packed + bomb, packed, "a row of more than 1024 KiB: is a quote not closed, or the file damaged?"},
		{"quote that is not closed", "u.csv", good + "x,\"a,f\ny,b,f\n", good, "is not closed: nothing after it can be told apart"},
		{"row of 3 MiB", "u.csv", good + "x,\"" + strings.Repeat("y", 3<<20) + "\",f\n", good, "a row of more than 1024 KiB"},
	}
}

func TestBadEnds(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badEnds(t) {
		table.Add(test.input, "`"+test.want+"`", t.Name()+"/"+test.input)
		t.Run(test.input, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write(test.file, test.text)
			r := w.run("set-attr", test.file)
			require.Equal(t, 3, r.code, r.out)
			assert.Contains(t, r.err, test.want)
			assert.NotContains(t, r.err, "yyy")
			w.write(test.file, test.whole)
			r = w.run("set-attr", "--restart", test.file)
			require.Equal(t, 0, r.code, r.err)
			w.stored(2000)
		})
	}
	badInput.Require(t, "Files that end badly", &table)
}

// badRows are rows between two good ones. CSV has the columns To_Account, city and sex.
var badRows = []struct{ input, format, row, want string }{
	{"value of 51 bytes", "csv", "b," + strings.Repeat("x", 51) + ",f", "column city: the value has 51 bytes, at most 50 are allowed"},
	{"empty account", "csv", ",Rome,f", "column To_Account: the account is empty"},
	{"fields that are missing", "csv", "b,Rome", "the number of its fields is 2, that of the first line 3"},
	{"fields that are too many", "csv", "b,Rome,f,x", "the number of its fields is 4, that of the first line 3"},
	{"quote within a value", "csv", `b,R"ome,f`, "a quote"},
	{"NUL byte", "csv", "b,a\x00b,f", "column city: there is a NUL byte"},
	{"Latin-1", "csv", "b,caf\xe9,f", "column city: it is not UTF-8"},
	{"quote that swallows ten rows", "csv", "b,\"Rome" + strings.Repeat("\nx,Oslo,f", 10) + "\",f", "a quoted value spans the lines 3 to 13: is a quote not closed?"},
	{"JSON that is cut off", "ndjson", `{"To_Account":"b","city":"Ro`, "it is not a JSON object"},
	{"JSON that is no object", "ndjson", `["b","Rome"]`, "it is not a JSON object"},
	{"something after the object", "ndjson", `{"To_Account":"b","city":"Rome"} x`, "something follows"},
	{"object as a value", "ndjson", `{"To_Account":"b","city":{"x":"y"}}`, "column city: it is an object or an array"},
	{"no account in an object", "ndjson", `{"city":"Rome"}`, "column To_Account: the account is missing"},
	{"attribute twice in an object", "ndjson", `{"To_Account":"b","city":"Rome","city":"Bonn"}`, "it is not a JSON object"},
	{"line of 5 MiB", "ndjson", `{"To_Account":"` + strings.Repeat("x", 5<<20) + `"}`, "a line of more than 1024 KiB"},
}

func TestBadRows(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badRows {
		table.Add(test.input+" ("+test.format+")", "`"+test.want+"`", t.Name()+"/"+test.input)
		t.Run(test.input, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			place := "u.ndjson:2: "
			text := `{"To_Account":"a","city":"Rome"}` + "\n" + test.row + "\n" + `{"To_Account":"c","city":"Rome"}` + "\n"
			if test.format == "csv" {
				place, text = "u.csv:3: ", "To_Account,city,sex\na,Rome,f\n"+test.row+"\nc,Rome,f\n"
			}
			w.write("u."+test.format, text)
			r := w.run("set-attr", "u."+test.format)
			assert.Equal(t, 1, r.code, r.err)
			assert.Contains(t, r.err, test.want)
			assert.Contains(t, r.err, strings.TrimSuffix(place, " "))
			assert.Contains(t, r.out, "2 done")
			assert.Equal(t, []string{"a", "c"}, w.fake.Accounts())
			assert.Len(t, lines(t, w.read("u."+test.format+".rejected.ndjson")), 1)
			assert.NotContains(t, r.err, "xxx", "values are not shown")
		})
	}
	badInput.Require(t, "Rows of files", &table)
}

// badSettings are configurations with which nothing is done.
var badSettings = []struct {
	input string
	env   string
	args  string // of check
	want  string
}{
	{input: "no SDKAppID", env: "TIMPUSH_SDKAPPID=", want: "sdkappid is missing (the number of the app, from the console): give --sdkappid, or set TIMPUSH_SDKAPPID"},
	{input: "no Identifier", env: "TIMPUSH_IDENTIFIER=", want: "identifier is missing (the UserID of an administrator of the app)"},
	{input: "no region", env: "TIMPUSH_REGION=", want: "region is missing (where the app is"},
	{input: "no key", env: "TIMPUSH_SECRET_KEY=", want: "the secret key is missing: set TIMPUSH_SECRET_KEY"},
	{input: "SDKAppID that is a word", env: "TIMPUSH_SDKAPPID=mine", want: "sdkappid (from TIMPUSH_SDKAPPID) is no whole number above 0"},
	{input: "SDKAppID that is a fraction", env: "TIMPUSH_SDKAPPID=1400000000.5", want: "sdkappid (from TIMPUSH_SDKAPPID) is no whole number above 0"},
	{input: "SDKAppID with a space", env: "TIMPUSH_SDKAPPID= 1400000000", want: "sdkappid (from TIMPUSH_SDKAPPID) is no whole number above 0"},
	{input: "SDKAppID beyond 64 bits", env: "TIMPUSH_SDKAPPID=99999999999999999999", want: "sdkappid (from TIMPUSH_SDKAPPID) is no whole number above 0"},
	{input: "rate of 0", env: "TIMPUSH_RATE=0", want: "rate (from TIMPUSH_RATE) is no number above 0"},
	{input: "rate of NaN", env: "TIMPUSH_RATE=NaN", want: "rate (from TIMPUSH_RATE) is no number above 0"},
	{input: "rate without end", env: "TIMPUSH_RATE=Inf", want: "rate (from TIMPUSH_RATE) is no number above 0"},
	{input: "rate of 0 by a flag", args: "--rate 0", want: "rate (from --rate) is no number above 0"},
	{input: "rate of NaN by a flag", args: "--rate NaN", want: "rate (from --rate) is no number above 0"},
	{input: "rate without end by a flag", args: "--rate Inf", want: "rate (from --rate) is no number above 0"},
	{input: "SDKAppID that is a fraction by a flag", args: "--sdkappid 1400000000.5", want: "sdkappid (from --sdkappid) is no whole number above 0"},
	{input: "half a request in flight by a flag", args: "--in-flight 0.5", want: "in-flight (from --in-flight) is no whole number above 0"},
	{input: "requests in flight by a flag that are no number", args: "--in-flight NaN", want: "in-flight (from --in-flight) is no whole number above 0"},
	{input: "half a request in flight", env: "TIMPUSH_IN_FLIGHT=0.5", want: "in-flight (from TIMPUSH_IN_FLIGHT) is no whole number above 0"},
	{input: "requests in flight that are no number", env: "TIMPUSH_IN_FLIGHT=NaN", want: "in-flight (from TIMPUSH_IN_FLIGHT) is no whole number above 0"},
	{input: "region that there is not", env: "TIMPUSH_REGION=mars", want: `unknown region "mars", want one of china, singapore`},
	{input: "base URL with plain HTTP", env: "TIMPUSH_BASE_URL=http://example.com", want: "http would show the UserSig to everybody on the way"},
	{input: "base URL with plain HTTP by a flag", args: "--base-url http://example.com", want: "http on a loopback host"},
	{input: "base URL without a scheme", env: "TIMPUSH_BASE_URL=example.com", want: "there is no scheme"},
	{input: "key in quotes", env: `TIMPUSH_SECRET_KEY="quoted"`, want: "Config.SecretKey begins or ends with a quotation mark"},
	{input: "key of white space", env: "TIMPUSH_SECRET_KEY=  ", want: "Config.SecretKey is empty"},
	{input: "key that is a PEM text", env: "TIMPUSH_SECRET_KEY=-----BEGIN PRIVATE KEY-----", want: "ECDSA keys are not supported"},
	{input: "key on the command line", args: "--secret-key x", want: "unknown flag: --secret-key"},
	{input: "the key itself as the name of its file", args: "--secret-key-file 0123456789abcdef0123456789abcdef", want: "its name is not shown, since it may be the secret itself"},
	{input: "key file that is not there", args: "--secret-key-file nowhere", want: "the secret key: stat nowhere: no such file or directory"},
	{input: "key file that others can read", args: "--secret-key-file open", want: "the secret key: others can read open: chmod 600 open, or, where it is mounted for reading only: --secret-key-file - < open"},
	{input: "key file that is empty", args: "--secret-key-file nothing", want: "the secret key: there is nothing in nothing"},
	{input: "key file that is a directory", args: "--secret-key-file dir", want: "the secret key: read dir: is a directory"},
	{input: "configuration that is not there", args: "--config nowhere", want: "the configuration: open nowhere: no such file or directory"},
	{input: "configuration that is a directory", env: "TIMPUSH_CONFIG=dir", want: "the configuration: read dir: is a directory"},
	{input: "configuration with an unknown setting", args: "--config colour", want: `colour:2:1: there is no setting "colour", but sdkappid, identifier`},
	{input: "configuration with a setting twice", args: "--config twice", want: "twice:2:1: region is set a second time, to something else"},
	{input: "configuration with half a line", args: "--config half", want: "half:1:1: want a line such as: region = singapore"},
	{input: "configuration with a line of 1 MiB", args: "--config long", want: "long:2: the line is too long"},
	{input: "configuration with a key that others can read", env: "TIMPUSH_SECRET_KEY=", args: "--config open.conf", want: "the secret key: others can read open.conf: chmod 600 open.conf"},
	{input: "configuration with a key that the group can read", env: "TIMPUSH_SECRET_KEY=", args: "--config group.conf", want: "the secret key: others can read group.conf: chmod 600 group.conf"},
	{input: "flag that there is not", args: "--nonsense", want: "unknown flag: --nonsense"},
	{input: "argument too many", args: "users.csv", want: `want flags only, and got 1 argument`},
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badSettings {
		table.Add(test.input, "`"+test.want+"`", t.Name()+"/"+test.input)
		t.Run(test.input, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			require.NoError(t, os.Mkdir(filepath.Join(w.dir, "dir"), 0o700))
			w.write("open", w.key)
			w.write("nothing", " \n")
			w.write("colour", "region = seoul\ncolour = red\n")
			w.write("twice", "region = seoul\nTIMPUSH_REGION=singapore\n")
			w.write("half", "region\n")
			w.write("long", "region = seoul\nidentifier = "+strings.Repeat("x", 1<<20))
			w.write("open.conf", "secret-key = "+w.key)
			w.write("group.conf", "secret-key = "+w.key)
			for name, mode := range map[string]os.FileMode{"open": 0o644, "open.conf": 0o644, "group.conf": 0o640} {
				require.NoError(t, os.Chmod(filepath.Join(w.dir, name), mode))
			}
			if test.env != "" {
				w.with(test.env)
			}
			r := w.run(append([]string{"check"}, strings.Fields(test.args)...)...)
			assert.Equal(t, 2, r.code, r.out+r.err)
			assert.Contains(t, r.err, test.want)
			assert.Less(t, len(r.err), 2000)
			assert.NotContains(t, r.err, "PRIVATE KEY")
			assert.NotContains(t, r.err, "0123456789abcdef")
			assert.Empty(t, w.fake.Calls())
		})
	}
	badInput.Require(t, "Environment and flags", &table)
}

// A key is not shown either where the name of its file is the key as a variable of a CI has it, with a line end, or one in PEM.
func TestKeyAsTheNameOfItsFile(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef0123456789abcdef"
	for _, name := range []string{key + "\n", key + "\r\n", " " + key, "-----BEGIN PRIVATE KEY-----\nMIGH/" + key + "\n"} {
		for _, args := range [][]string{{"check"}, {"init", "--config", "new"}} {
			w := newWorld(t)
			r := w.run(append(args, "--secret-key-file", name)...)
			assert.Equal(t, 2, r.code, r.out+r.err)
			assert.Contains(t, r.err, "its name is not shown, since it may be the secret itself")
			assert.NotContains(t, r.err, key)
		}
	}
}

// Nor is a secret shown where the text of a file was given as its name.
func TestTextOfAFileAsItsName(t *testing.T) {
	t.Parallel()
	for variable, command := range map[string]string{
		"TIMPUSH_CONFIG=sdkappid = 1\nsecret-key = TOPSECRET\n": "check", "TIMPUSH_CONFIG=secret-key=TOPSECRET": "callbacks",
		"TIMPUSH_NATS_CREDS=-----BEGIN USER NKEY SEED-----\nTOPSECRET\n": "queue --nats nats://127.0.0.1:1",
	} {
		r := newWorld(t).with(variable).run(strings.Fields(command)...)
		assert.Equal(t, 2, r.code, command)
		assert.Contains(t, r.err, "its name is not shown, since it may be the secret itself")
		assert.NotContains(t, r.err, "TOPSECRET")
	}
}

// badServices are what can be wrong between this machine and the service; each returns the environment.
var badServices = []struct {
	input string
	env   func(*testing.T, *world) string
	want  string
}{
	{"key of another app", fixed("TIMPUSH_SECRET_KEY=" + strings.Repeat("x", 64)), "Copy the SecretKey of the app 1400000000 from the console once more; it now comes from TIMPUSH_SECRET_KEY."},
	{"Identifier that is no administrator", fixed("TIMPUSH_IDENTIFIER=mary"), "Make mary an administrator of the app in the console, or give --identifier."},
	{"other app", fixed("TIMPUSH_SDKAPPID=1400000001"), "The console shows where the app is: give --region. It is now singapore."},
	{"wrong region", func(*testing.T, *world) string { return "X=y" }, "The console shows where the app is: give --region. It is now singapore."},
	{"server that does not listen", func(t *testing.T, _ *world) string { return "TIMPUSH_BASE_URL=http://" + freeAddress(t) }, "Is a firewall in between?"},
	{"host that DNS does not know", fixed("TIMPUSH_BASE_URL=https://no-such-host.invalid"), "Is --base-url spelled correctly? Is this machine on the internet, and does its DNS server answer?"},
	{"plain HTTP where TLS should be", func(_ *testing.T, w *world) string {
		return "TIMPUSH_BASE_URL=" + strings.Replace(w.fake.URL, "http:", "https:", 1)
	}, "A firewall or a proxy in between blocks TLS."},
	{"certificate of somebody else", func(t *testing.T, _ *world) string { return "TIMPUSH_BASE_URL=" + timpushtest.Start(t).URL }, "The certificate is not the service's, or this machine's clock or root certificates"},
	{"server that is no HTTP server", func(t *testing.T, _ *world) string {
		return "TIMPUSH_BASE_URL=http://" + speaking(t, "SSH-2.0-OpenSSH\r\n")
	}, "The server can be reached but does not speak HTTP. Is --base-url right?"},
	{"clock that is 10 minutes late", func(t *testing.T, _ *world) string {
		return "TIMPUSH_BASE_URL=" + dated(t, 10*time.Minute+30*time.Second)
	}, "differs from the server's by -10m"},
	{"clock that is a year fast", func(t *testing.T, _ *world) string {
		return "TIMPUSH_BASE_URL=" + dated(t, -365*24*time.Hour)
	}, "Let NTP set it (timedatectl set-ntp true)"},
	{"gateway that says 403", func(_ *testing.T, w *world) string {
		w.fake.Inject(timpushtest.Fault{}, timpushtest.Status(403))
		return "X=y"
	}, "What answers is not the service: a gateway or a proxy is in between, or --base-url is wrong."},
	{"proxy that is no URL", fixed("HTTPS_PROXY=http://%zz", "TIMPUSH_BASE_URL=https://example.invalid"), "does its DNS server answer? A proxy is taken from HTTPS_PROXY."},
	{"proxy that DNS does not know", fixed("HTTPS_PROXY=http://no-such-proxy.invalid:3128", "TIMPUSH_BASE_URL=https://example.invalid"), "The proxy cannot be reached. Is HTTPS_PROXY right?"},
}

// fixed is an environment; of two settings the second one is set by the way.
func fixed(env string, more ...string) func(*testing.T, *world) string {
	return func(_ *testing.T, w *world) string {
		w.with(more...)
		return env
	}
}

// speaking listens, says something to whoever comes, and hangs up.
func speaking(t *testing.T, text string) (address string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// dated is a server whose clock is ahead.
func dated(t *testing.T, ahead time.Duration) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestBadServices(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badServices {
		table.Add(test.input, "`"+test.want+"`", t.Name()+"/"+test.input)
		t.Run(test.input, func(t *testing.T) {
			t.Parallel()
			var options []timpushtest.Option
			if test.input == "wrong region" {
				options = append(options, timpushtest.WithRegionHost("adminapisgp.im.qcloud.com"))
			}
			w := newWorld(t, options...)
			r := w.with(test.env(t, w)).run("check")
			assert.Equal(t, 3, r.code, r.out+r.err)
			assert.Contains(t, r.out, "WRONG ")
			assert.Contains(t, r.out, test.want)
			assert.Empty(t, w.fake.Accounts())
		})
	}
	badInput.Require(t, "The way to the service", &table)
}

package main_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

func TestCSV(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("users.csv", users(2345))
	r := w.run("set-attr", "users.csv")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.out, "2345 done")
	w.stored(2345)
	assert.Regexp(t, `(?m)^\d+ requests in `, r.out)
	w.write("one.csv", "To_Account,city\na,Rome\n")
	assert.Contains(t, w.run("set-attr", "one.csv").out, "\n1 request in ")
	assert.Contains(t, w.run("set-attr", "--dry-run", "one.csv").out, "1 user in 1 request,")
	assert.Less(t, len(w.fake.Calls()), 40)
	assert.False(t, w.has("users.csv.checkpoint"))
	assert.False(t, w.has("users.csv.failed.ndjson"))
	assert.False(t, w.has("users.csv.rejected.ndjson"))
}

func TestSeveralFilesAndGlobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("a1.csv", "To_Account,city\na,Rome\n")
	w.write("a2.csv", "city,To_Account\nParis,b\n")
	w.write("c.jsonl", `{"To_Account":"c","city":"Bonn"}`)
	r := w.run("set-attr", "a*.csv", "c.jsonl")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "Rome", w.fake.Attrs("a")["city"])
	assert.Equal(t, "Paris", w.fake.Attrs("b")["city"])
	assert.Equal(t, "Bonn", w.fake.Attrs("c")["city"])
}

// The result files of earlier runs have older values. A pattern of every night matches them, too.
func TestPatternsLeaveOutResultFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fake.Refuse(60008, "b")
	const rows = `{"To_Account":"a","city":"new"}` + "\n" + `{"To_Account":"b","city":"new"}` + "\n" + `{"To_Account":""}` + "\n"
	w.write("u.ndjson", rows)
	w.write("u.ndjson.failed.20261127T020000Z-2.ndjson", `{"To_Account":"a","Attrs":{"city":"old"}}`)
	for range 2 {
		r := w.run("set-attr", "*.ndjson")
		require.Equal(t, 1, r.code, r.err)
		assert.Equal(t, "new", w.fake.Attrs("a")["city"])
		assert.True(t, w.has("u.ndjson.failed.ndjson") && w.has("u.ndjson.rejected.ndjson"))
	}
	w.fake.Refuse(0, "b")
	r := w.run("set-attr", "u.ndjson", "u.ndjson.failed.20261127T020000Z-2.ndjson")
	assert.Equal(t, 2, r.code, r.err)
	assert.Contains(t, r.err, "it was written by a run of u.ndjson")
	r = w.run("set-attr", "*.failed.ndjson")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "new", w.fake.Attrs("b")["city"])
}

// TestPatternsLeaveOutCheckpoints: the same command resumes what was interrupted.
func TestPatternsLeaveOutCheckpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, os.Mkdir(filepath.Join(w.dir, "out"), 0o700))
	w.write("out/a.csv", "To_Account,city\nmary,Rome\n")
	w.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if strings.HasSuffix(c.Path, "set_attr") {
			return timpushtest.ErrorCode(70009)
		}
		return timpushtest.Fault{}
	})
	r := w.run("set-attr", "out/*")
	require.Equal(t, 3, r.code, r.err)
	require.True(t, w.has("out/a.csv.checkpoint"), r.err)
	w.fake.Handle(nil)
	w.write("out/b.csv.journal", "1\n") // of a file that is not there
	r = w.run("set-attr", "out/*")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "b.csv.journal")
	require.NoError(t, os.Remove(filepath.Join(w.dir, "out/b.csv.journal")))
	r = w.run("set-attr", "out/*")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "Rome", w.fake.Attrs("mary")["city"])
}

// TestPatternsLeaveOutHiddenFiles: those are copies in progress, locks and backups, as to a shell.
func TestPatternsLeaveOutHiddenFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const older = "To_Account,city\nmary,older\n"
	require.NoError(t, os.MkdirAll(filepath.Join(w.dir, "out/.snapshot"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(w.dir, "out/day"), 0o700))
	for _, name := range []string{"out/.z.csv", "out/._z.csv", "out/~$z.csv", "out/.snapshot/z.csv"} {
		w.write(name, older)
	}
	w.write("out/a.csv", "To_Account,city\nmary,Rome\n")
	w.write("out/day/a.csv", "To_Account,city\nmary,Oslo\n")
	for pattern, want := range map[string]string{"out/*.csv": "Rome", "./out/*.csv": "Rome", "out/*/*.csv": "Oslo", "out/.z*.csv": "older", "out/.snap*/*.csv": "older"} {
		require.Equal(t, 0, w.run("set-attr", pattern).code, pattern)
		assert.Equal(t, want, w.fake.Attrs("mary")["city"], pattern)
	}
}

func TestColumns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("x.csv", "uid;town;note\nmary;Rome;hello\n")
	r := w.run("set-attr", "--account", "uid", "--map", "town=city", "--ignore", "note", "--delimiter", ";", "x.csv")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, map[string]string{"city": "Rome"}, w.fake.Attrs("mary"))
	r = w.run("set-attr", "--account", "uid", "--only", "town", "--map", "town=country", "--delimiter", ";", "x.csv")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "Rome", w.fake.Attrs("mary")["country"])
}

func TestNDJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("x.ndjson", `{"uid":"a","town":"Rome","sex":null}
{"To_Account":"b","Attrs":{"city":"Paris","sex":"f"},"_timpush":{"reason":"x"}}

{"uid":"c","town":7}
{"uid":"d","town":["x"]}
{"uid":"e","town":"x"
{"town":"x"}
{"uid":"f","town":"x"} x
[1]
{"uid":"g","town":"x","town":"y"}
`)
	r := w.run("set-attr", "--account", "uid", "--map", "town=city", "x.ndjson")
	require.Equal(t, 1, r.code, r.err)
	assert.Equal(t, map[string]string{"city": "Rome"}, w.fake.Attrs("a"))
	assert.Equal(t, map[string]string{"city": "Paris", "sex": "f"}, w.fake.Attrs("b"))
	assert.Equal(t, "7", w.fake.Attrs("c")["city"])
	for _, want := range []string{
		"x.ndjson:5: column town: it is an object or an array", "x.ndjson:6:22: it is not a JSON object", "x.ndjson:7: column uid: the account is missing",
		"x.ndjson:8: something follows", "x.ndjson:9:4: it is not a JSON object", "x.ndjson:10:22: it is not a JSON object",
	} {
		assert.Contains(t, r.err, want)
	}
	assert.Len(t, w.fake.Accounts(), 3)
}

// Which of two members is the account must not depend on which comes first, or is null.
func TestNDJSONWithTwoAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.ndjson", `{"uid":"a","city":"Rome"}
{"uid":"b","To_Account":"x","city":"Rome"}
{"To_Account":"x","uid":"c","city":"Rome"}
{"uid":null,"To_Account":"x","city":"Rome"}
{"To_Account":"d","Attrs":{"city":"Rome"}}
`)
	r := w.run("set-attr", "--account", "uid", "u.ndjson")
	assert.Equal(t, 1, r.code, r.err)
	assert.Equal(t, []string{"a", "d"}, w.fake.Accounts())
	for _, reject := range lines(t, w.read("u.ndjson.rejected.ndjson")) {
		assert.Equal(t, `"uid" and "To_Account" are both in it: which is the account? --ignore To_Account leaves the latter out`, reject["reason"])
	}
	r = w.run("set-attr", "--account", "uid", "--ignore", "To_Account", "u.ndjson")
	assert.Equal(t, 1, r.code, r.err)
	assert.Equal(t, []string{"a", "b", "c", "d"}, w.fake.Accounts())
	assert.Len(t, lines(t, w.read("u.ndjson.rejected.ndjson")), 2, "the fourth and the fifth row have no account")
}

func TestCompression(t *testing.T) {
	t.Parallel()
	var gz, zst bytes.Buffer
	zip := gzip.NewWriter(&gz)
	_, _ = zip.Write([]byte("To_Account,city\na,Rome\n"))
	require.NoError(t, zip.Close())
	z, err := zstd.NewWriter(&zst)
	require.NoError(t, err)
	_, _ = z.Write([]byte(`{"To_Account":"b","city":"Paris"}`))
	require.NoError(t, z.Close())
	w := newWorld(t)
	w.write("a.csv.gz", gz.String())
	w.write("b.ndjson.zst", zst.String())
	r := w.run("set-attr", "a.csv.gz", "b.ndjson.zst")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "Rome", w.fake.Attrs("a")["city"])
	assert.Equal(t, "Paris", w.fake.Attrs("b")["city"])

	w.in = gz.String()
	w.fake.Refuse(90035, "a")
	r = w.run("set-attr", "-")
	require.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.err, "stdin:2: column city: 90035")
	assert.True(t, w.has("stdin.rejected.ndjson"))
	assert.False(t, w.has("stdin.checkpoint"))
}

func TestBadRowsTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city,sex\na,Rome,f\nb,"+strings.Repeat("x", 51)+",f\n,Rome,f\nd,Rome\ne,R\"ome,f\nf,,\ng,a\x00b,f\nh,caf\xe9,f\ni,\"two\nlines\",f\nj,Rome,f\n")
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 1, r.code, r.err)
	for _, want := range []string{
		"u.csv:3: column city: the value has 51 bytes", "u.csv:4: column To_Account: the account is empty", "u.csv:5: the number of its fields is 2, that of the first line 3",
		"u.csv:6:4: a quote", "u.csv:8: column city: there is a NUL byte", "u.csv:9: column city: it is not UTF-8",
	} {
		assert.Contains(t, r.err, want)
	}
	assert.Contains(t, r.out, "3 done")
	assert.Contains(t, r.out, "6 rejected: invalid or refused, in u.csv.rejected.ndjson")
	assert.Contains(t, r.out, "1 with nothing to set")
	assert.Equal(t, []string{"a", "i", "j"}, w.fake.Accounts())
	rejects := lines(t, w.read("u.csv.rejected.ndjson"))
	assert.Len(t, rejects, 6)
	assert.NotContains(t, r.out+r.err+w.read("u.csv.rejected.ndjson"), "xxx", "values are not shown")
	for _, reject := range rejects { // a column is a name, and a position is a number
		if column, ok := reject["column"]; ok {
			assert.Contains(t, []any{"To_Account", "city", "sex"}, column)
		}
	}
	assert.Contains(t, rejects, map[string]any{"file": "u.csv", "line": 6.0, "position": 4.0, "reason": `a quote (") within a value that does not begin with one: double it, and put the value into quotes`})
	assert.Contains(t, rejects, map[string]any{"file": "u.csv", "line": 9.0, "position": 3.0, "column": "city", "account": "h", "reason": "it is not UTF-8: save the file as CSV UTF-8, or give its encoding, such as --encoding windows-1252 or gbk"})
}

func TestManyBadRowsAreNotAllShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\n"+strings.Repeat(",x\n", 500))
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 1, r.code)
	assert.Less(t, strings.Count(r.err, "\n"), 25)
	assert.Contains(t, r.err, "u.csv.rejected.ndjson")
	assert.Len(t, lines(t, w.read("u.csv.rejected.ndjson")), 500)
}

func TestFailuresAreFedInAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", users(300))
	w.fake.Refuse(91000, "u7", "u250")
	w.fake.Refuse(90035, "u8")
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.out, "297 done")
	assert.Contains(t, r.out, "1 rejected: invalid or refused")
	assert.Contains(t, r.out, "2 failed and worth sending again, in u.csv.failed.ndjson")
	assert.Contains(t, r.out, " u.csv.failed.ndjson\n")
	assert.Contains(t, r.out, "       2  91000: internal error")
	failures := lines(t, w.read("u.csv.failed.ndjson"))
	require.Len(t, failures, 2)
	assert.Contains(t, []any{"u.csv:9", "u.csv:252"}, failures[0]["_timpush"].(map[string]any)["from"])
	assert.Equal(t, "unknown", failures[0]["_timpush"].(map[string]any)["outcome"])

	w.fake.Refuse(0, "u7", "u8", "u250")
	r = w.run("set-attr", "u.csv.failed.ndjson")
	require.Equal(t, 0, r.code, r.err)
	assert.Len(t, w.fake.Accounts(), 299)
}

// TestFailuresAreFedInAgainForTheirApp follows to the letter what is advised where flags name another app than the environment does.
func TestFailuresAreFedInAgainForTheirApp(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t), newWorld(t)
	id, _, key := other.fake.App()
	w.write("u.csv", users(300))
	w.write("the key.txt", key)
	other.fake.Refuse(91000, "u7")
	r := w.run("set-attr", "--base-url", other.fake.URL, "--sdkappid", strconv.Itoa(id), "--secret-key-file", "the key.txt", "u.csv")
	require.Equal(t, 1, r.code, r.err)
	_, advice, ok := strings.Cut(r.out, "To send the failed ones again: timpush ")
	require.True(t, ok, r.out)

	other.fake.Refuse(0, "u7")
	shell := exec.CommandContext(t.Context(), "sh", "-c", tool+" "+advice)
	shell.Dir, shell.Env = w.dir, w.env
	said, err := shell.CombinedOutput()
	require.NoError(t, err, "%s%s", advice, said)
	assert.Equal(t, "c7", other.fake.Attrs("u7")["city"], advice)
	assert.Empty(t, w.fake.Accounts(), "those of the app of the environment")
}

// A job of cron has the app of the default file, and who reads its mail may have the variables of another app in the shell.
func TestFailuresOfTheDefaultFile(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t), newWorld(t, timpushtest.WithApp(1400000777, "administrator", strings.Repeat("7", 64)))
	id, identifier, key := w.fake.App()
	require.NoError(t, os.MkdirAll(filepath.Join(w.dir, ".config", "timpush"), 0o700))
	w.write(".config/timpush/config", fmt.Sprintf("sdkappid=%d\nidentifier=%s\nsecret-key=%s\nregion=singapore\nbase-url=%s\n", id, identifier, key, w.fake.URL))
	w.write("u.csv", users(3))
	w.fake.Refuse(91000, "u1")
	w.env = []string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH")}
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 1, r.code, r.err)
	_, advice, ok := strings.Cut(r.out, "To send the failed ones again: timpush ")
	require.True(t, ok, r.out)
	shell := exec.CommandContext(t.Context(), "sh", "-c", tool+" "+advice)
	shell.Dir, shell.Env = w.dir, append([]string{"HOME=" + w.dir}, other.env[:5]...)
	said, err := shell.CombinedOutput()
	require.Error(t, err, "%s%s", advice, said)
	assert.Empty(t, other.fake.Accounts(), "those of another app")
	w.fake.Refuse(0, "u1")
	shell = exec.CommandContext(t.Context(), "sh", "-c", tool+" "+advice)
	shell.Dir, shell.Env = w.dir, w.env
	said, err = shell.CombinedOutput()
	require.NoError(t, err, "%s%s", advice, said)
}

// A program may still be writing the file when its end is read: the last value may be half of one, and rows may follow.
func TestFileThatIsStillWritten(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"set-attr", "batch --title Hello --yes"} {
		w := newWorld(t)
		w.fake.Handle(func(timpushtest.Call) timpushtest.Fault {
			w.write("u.csv", "To_Account,city\nmary,Rome\nbob,Oslo\n")
			return timpushtest.Fault{}
		})
		w.write("u.csv", "To_Account,city\nmary,Ro")
		r := w.run(append(strings.Fields(args), "u.csv")...)
		assert.Equal(t, 3, r.code, r.out)
		assert.Contains(t, r.err, "u.csv: it was changed while it was read, so that rows may be missing")
		if args == "set-attr" {
			require.Equal(t, 3, w.run("set-attr", "u.csv").code, "written again")
			w.fake.Handle(nil)
			require.Equal(t, 0, w.run("set-attr", "u.csv").code)
			assert.Equal(t, "Oslo", w.fake.Attrs("bob")["city"])
			assert.Equal(t, "Rome", w.fake.Attrs("mary")["city"])
		}
	}
	for _, command := range []string{"tags add --tags gold", "tags get", "get-attr"} {
		w := newWorld(t)
		w.fake.Handle(func(timpushtest.Call) timpushtest.Fault {
			w.write("vip.txt", "mary\nbob\n")
			return timpushtest.Fault{}
		})
		w.write("vip.txt", "ma")
		r := w.run(append(strings.Fields(command), "--file", "vip.txt")...)
		assert.Equal(t, 3, r.code, r.out)
		assert.Contains(t, r.err, "vip.txt: it was changed while it was read")
	}
}

// A job of every night must not stop for the result files of the night before, nor lose them.
func TestResultFilesOfEarlierRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", users(300)+",x,f\n")
	w.fake.Refuse(70398, "u7") // for the moment
	var failures []string
	for range 3 {
		r := w.run("set-attr", "u.csv")
		require.Equal(t, 1, r.code, r.err)
		failures = append(failures, w.read("u.csv.failed.ndjson"))
	}
	w.write("u.csv", users(300))
	w.fake.Refuse(0, "u7")
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 0, r.code, "what an earlier run has left is not an error of this one: %s", r.err)
	assert.Contains(t, r.err, "u.csv.failed.ndjson is from an earlier run: it is now u.csv.failed.2")
	assert.False(t, w.has("u.csv.failed.ndjson"))
	kept, err := filepath.Glob(filepath.Join(w.dir, "u.csv.failed.*Z*.ndjson"))
	require.NoError(t, err)
	require.Len(t, kept, 3)
	for _, name := range kept {
		assert.Contains(t, failures, w.read(filepath.Base(name)))
	}
	rejects, err := filepath.Glob(filepath.Join(w.dir, "u.csv.rejected.*Z*.ndjson"))
	require.NoError(t, err)
	assert.Len(t, rejects, 3)
}

// A run that is refused as nothing was done leaves the result files of the run before where its summary said.
func TestResultFilesAfterARefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,nosuch\na,Rome\n")
	w.write("u.csv.failed.ndjson", `{"To_Account":"b","Attrs":{"city":"Rome"}}`)
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 2, r.code, r.err)
	assert.True(t, w.has("u.csv.failed.ndjson"))
	assert.False(t, w.has("u.csv.checkpoint"))
}

// TestTwoRunsWithTheSameResultFiles: without a checkpoint, as for standard input, they hold the second run back. It would remove the
// files of the first one at its end, with the rows that are written to them later.
func TestTwoRunsWithTheSameResultFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held := make(chan struct{})
	w.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if strings.HasSuffix(c.Path, "/set_attr") {
			<-held
		}
		return timpushtest.Fault{}
	})
	w.write("u.csv", "To_Account,city\na,NULL\nb,Rome\n")
	cmd, text := w.started("set-attr", "--no-checkpoint", "u.csv")
	require.Eventually(t, func() bool { return len(w.fake.Calls()) > 1 || w.has("u.csv.rejected.ndjson") }, 20*time.Second, time.Millisecond)
	r := w.run("set-attr", "--no-checkpoint", "u.csv")
	close(held)
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "another run is writing it")
	_, code, errs := ended(cmd, text)
	assert.Equal(t, 1, code, errs)
	assert.Len(t, lines(t, w.read("u.csv.rejected.ndjson")), 1)
}

// A later row of an account that failed must not be undone by feeding the earlier one in.
func TestFailuresKeepTheOrderOfAnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\nmary,Rome\n"+many(5000)+"mary,Paris\n")
	refused := false
	w.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if len(c.Accounts) > 0 && c.Accounts[0] == "mary" && !refused {
			refused = true
			return timpushtest.AccountCode(70398, "mary")
		}
		return timpushtest.Fault{}
	})
	r := w.run("set-attr", "--rate", "300", "u.csv")
	require.Equal(t, 1, r.code, r.err)
	assert.Equal(t, "Paris", w.fake.Attrs("mary")["city"])
	require.Equal(t, 2, strings.Count(w.read("u.csv.failed.ndjson"), `"mary"`), "another account is there by chance, once in 1,700 runs")
	r = w.run("set-attr", "u.csv.failed.ndjson")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "Paris", w.fake.Attrs("mary")["city"])
}

func many(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "x%d,Oslo\n", i)
	}
	return text.String()
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t).without("TIMPUSH_SDKAPPID", "TIMPUSH_SECRET_KEY")
	w.write("u.csv", users(1000)+"x,"+strings.Repeat("y", 60)+",f\n")
	r := w.run("set-attr", "--dry-run", "u.csv")
	require.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.out, "It would be 1000 users in 10 requests")
	assert.Contains(t, r.out, `1000  set "city"`)
	assert.Contains(t, r.err, "u.csv:1002: column city: the value has 60 bytes")
	assert.Zero(t, len(w.fake.Calls()))
	assert.False(t, w.has("u.csv.rejected.ndjson"))
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,town\na,Rome\n")
	r := w.run("set-attr", "--preflight", "u.csv")
	require.Equal(t, 2, r.code)
	assert.Contains(t, r.err, `the column "town" is the attribute "town", which the app does not have`)
	w.write("u.ndjson", `{"To_Account":"a","city":"Rome"}`+"\n"+`{"To_Account":"b","town":"Rome"}`)
	r = w.run("set-attr", "--preflight", "--dry-run", "u.ndjson")
	require.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.err, "u.ndjson:2: column town: 90033")
	assert.Empty(t, w.fake.Accounts())
	r = w.run("set-attr", "--preflight", "u.ndjson")
	require.Equal(t, 1, r.code, r.err)
	assert.Equal(t, []string{"a"}, w.fake.Accounts())
}

func TestJSONEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", users(100)+",x,f\n")
	r := w.run("set-attr", "--json", "u.csv")
	require.Equal(t, 1, r.code, r.err)
	events := lines(t, r.out)
	assert.Equal(t, "input", events[0]["event"])
	assert.Equal(t, "row", events[1]["event"])
	last := events[len(events)-1]
	assert.Equal(t, "summary", last["event"])
	assert.InDelta(t, 100, last["summary"].(map[string]any)["done"], 0)
	assert.Empty(t, r.err)
}

// An error for all users must not turn a whole file into failures.
func TestNothingGoesThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", users(3000))
	w.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if strings.HasSuffix(c.Path, "/set_attr") {
			return timpushtest.ErrorCode(90033)
		}
		return timpushtest.Fault{}
	})
	r := w.run("set-attr", "--give-up", "3", "--in-flight", "2", "u.csv")
	require.Equal(t, 3, r.code, r.out)
	assert.Contains(t, r.err, "the last 3 requests failed for all of their users: 90033")
	assert.Contains(t, r.err, "run the same command again")
	assert.False(t, w.has("u.csv.rejected.ndjson"))
}

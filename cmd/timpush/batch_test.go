package main_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

var killsOfBatch = flag.Int("kills", 4, "how often TestBatchKilled kills the tool; with 100 or more it sends to 20,000 accounts")

// hello is a batch of the accounts in u.csv.
var hello = strings.Fields("batch --title Hello --yes u.csv --recipient-rate")

func helloAt(rate int, more ...string) []string {
	return append(slices.Concat(hello, []string{strconv.Itoa(rate)}), more...)
}

// accounts makes a CSV file of n accounts.
func accounts(n int) string {
	var text strings.Builder
	text.WriteString("To_Account\n")
	for i := range n {
		fmt.Fprintf(&text, "u%d\n", i)
	}
	return text.String()
}

// pushed returns how many pushes each account has got.
func (w *world) pushed() map[string]int {
	all := map[string]int{}
	for _, p := range w.fake.Pushes() {
		for _, account := range p.Accounts {
			all[account]++
		}
	}
	return all
}

// listed returns the accounts in a result file, which may be missing.
func (w *world) listed(name string) (all []string) {
	if !w.has(name) {
		return nil
	}
	for _, line := range lines(w.t, w.read(name)) {
		account, ok := line["To_Account"].(string)
		if !ok {
			account, _ = line["account"].(string)
		}
		all = append(all, account)
	}
	return all
}

// once checks that n accounts have got one push each, and no other has got any.
func (w *world) once(n int) {
	w.t.Helper()
	pushed := w.pushed()
	assert.Len(w.t, pushed, n)
	for account, times := range pushed {
		assert.Equal(w.t, 1, times, account)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fake.Refuse(int(timpush.ErrNoSuchAccount), "ann")
	w.write("u.csv", "\xef\xbb\xbfcity;To_Account\r\nRome;mary\r\nOslo;ann\r\n;bob\r\nRome;mary\r\nbad\r\n")
	r := w.run(helloAt(2)...)
	require.Equal(t, 1, r.code, r.err)
	pushes := w.fake.Pushes()
	require.Len(t, pushes, 2)
	assert.Equal(t, [][]string{{"mary"}, {"bob"}}, [][]string{pushes[0].Accounts, pushes[1].Accounts})
	for _, p := range pushes {
		assert.Contains(t, r.out, "TaskID "+p.TaskID+": 1 account\n")
		assert.Contains(t, w.read("u.csv.journal"), p.TaskID)
	}
	assert.Contains(t, r.out, "2 done\n2 rejected: invalid or refused, in u.csv.refused.ndjson\n2 requests in")
	rejects := lines(t, w.read("u.csv.refused.ndjson"))
	require.Len(t, rejects, 2)
	assert.EqualValues(t, 6, rejects[0]["line"])
	assert.Equal(t, "ann", rejects[1]["account"])
	assert.EqualValues(t, 3, rejects[1]["line"])
	assert.False(t, w.has("u.csv.unknown.ndjson") || w.has("u.csv.notsent.ndjson"))

	r = w.run(helloAt(2)...)
	assert.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.err, "was sent by earlier runs. Nothing is sent now")
	assert.Contains(t, r.out, "2 done, of them 0 in this run and 2 in earlier ones\n2 rejected")
	assert.Len(t, w.fake.Calls(), 2, "a complete batch is not sent again")
}

// TestBatchWithoutANetwork: the exit code is not that of some accounts alone, also where the batch has fewer requests than may fail in a row.
func TestBatchWithoutANetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", accounts(2))
	r := w.with("TIMPUSH_BASE_URL=http://127.0.0.1:1").run(helloAt(2)...)
	assert.Equal(t, 3, r.code, r.err)
	assert.Contains(t, r.out, "0 done\n2 not sent, in u.csv.notsent.ndjson\n")
	assert.Contains(t, r.err, "stopped early: the last request failed for all of its accounts: ")
	assert.Contains(t, r.err, "run the same command again to resume")
	r = w.with("TIMPUSH_BASE_URL=" + w.fake.URL).run(helloAt(2)...)
	assert.Equal(t, 0, r.code, r.err)
	w.once(2)
}

// TestBatchShowsEachTaskID: an account that was throttled alone is sent again, and its push has a TaskID of its own.
func TestBatchShowsEachTaskID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", accounts(5))
	w.fake.Inject(timpushtest.AccountCode(int(timpush.ErrRateLimited), "u1"))
	r := w.run(helloAt(30)...)
	require.Equal(t, 0, r.code, r.err)
	pushes := w.fake.Pushes()
	require.Len(t, pushes, 2)
	assert.Contains(t, r.out, fmt.Sprintf("TaskID %s: 4 accounts\nTaskID %s: 1 account\n5 done\n", pushes[0].TaskID, pushes[1].TaskID))
	for _, p := range pushes {
		assert.Contains(t, w.read("u.csv.journal"), p.TaskID)
	}
}

// TestBatchProgress: what has not been tried yet has not failed.
func TestBatchProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", accounts(270)) // the first progress is shown after five seconds
	w.fake.Inject(timpushtest.CutAfter())
	r := w.run(helloAt(30)...)
	require.Equal(t, 1, r.code, r.err)
	assert.Regexp(t, `\n1[25]0 done, .* 30 failed, `, r.err)
}

// TestBatchSendsAgainWhatPasses: an account that was refused alone with a code that passes has not got its push, and is worth sending again.
func TestBatchSendsAgainWhatPasses(t *testing.T) {
	t.Parallel()
	for _, code := range []timpush.Code{timpush.ErrRateLimited, timpush.ErrPushTooFrequent, timpush.ErrUserSigExpired, 70221, timpush.ErrTooManyAccounts} {
		t.Run(strconv.Itoa(int(code)), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fake.Refuse(int(code), "u1")
			w.write("u.csv", accounts(3))
			r := w.run(helloAt(30)...)
			require.Equal(t, 1, r.code, r.err)
			assert.Contains(t, r.out, "2 done\n1 not sent, in u.csv.notsent.ndjson\n")
			assert.Equal(t, []string{"u1"}, w.listed("u.csv.notsent.ndjson"))
			assert.False(t, w.has("u.csv.refused.ndjson"))
			w.fake.Refuse(0, "u1")
			r = w.run(helloAt(30)...)
			assert.Equal(t, 0, r.code, r.err)
			w.once(3)
		})
	}
}

// Each format has its accounts in the same way as for set-attr. A program gets JSON.
func TestBatchReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.ndjson", `{"To_Account":"mary","Attrs":{"x":"1"}}`+"\n"+`{"To_Account":"bob","n":[1]}`+"\n")
	w.write("list.txt", "mary\r\nbob\r\n")
	w.write("push.json", "\xef\xbb\xbf"+`{"OfflinePushInfo":{"Title":"Hello","Ext":"{}"},"DataId":"d"}`)
	r := w.run("batch", "--file", "push.json", "--json", "--yes", "u.ndjson")
	require.Equal(t, 0, r.code, r.out)
	events := lines(t, r.out)
	last := events[len(events)-1]["summary"].(map[string]any)
	assert.EqualValues(t, 2, last["done"])
	assert.Equal(t, "u.ndjson.journal", last["journal"])
	assert.Contains(t, r.out, `"task_id":"`+w.fake.Pushes()[0].TaskID)
	assert.Contains(t, string(w.fake.Pushes()[0].Body), `"DataId":"d"`)

	r = w.run("batch", "--title", "Hello", "--yes", "list.txt")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, "--no-header")
	w.write("named.txt", "\xef\xbb\xbfTo_Account\r\nmary\r\n")
	r = w.run("batch", "--title", "Hello", "--yes", "--no-header", "named.txt")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "named.txt:1:1: it names the columns, and is no user")
	assert.Equal(t, []string{"mary"}, w.fake.Pushes()[1].Accounts)
	w.in = "mary\nbob\n"
	for _, file := range []string{"list.txt", "-"} {
		r = w.run("batch", "--title", "Hello", "--yes", "--no-header", "--journal", file+"1.journal", file)
		require.Equal(t, 0, r.code, r.err)
	}
	for _, p := range slices.Delete(w.fake.Pushes(), 1, 2) {
		assert.Equal(t, []string{"mary", "bob"}, p.Accounts)
	}
	w.write("semicolons.txt", "mary;Rome\nbob\n\"a,b\"\n")
	r = w.run("batch", "--title", "Hello", "--dry-run", "--no-header", "semicolons.txt")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "semicolons.txt:1: there is ';' in it: give --delimiter ';' if that is between the fields, and else --delimiter ,")
	assert.NotContains(t, r.out, "Rome")
	assert.Equal(t, 0, w.run("batch", "--title", "Hello", "--dry-run", "--no-header", "--delimiter", ",", "semicolons.txt").code)
	w.write("bad.csv", "To_Account\nmary\n"+strings.Repeat("a,b\n", 30))
	r = w.run("batch", "--title", "Hello", "--yes", "bad.csv")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "more rejected rows: bad.csv.refused.ndjson has all of them")
}

func TestBatchDryRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", accounts(61))
	r := w.run("batch", "--title", "Hello", "--dry-run", "u.csv")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.out, `"u29"`)
	assert.NotContains(t, r.out, `"u30"`)
	assert.Contains(t, r.err, "Nothing was sent. It would be a push to 61 accounts in 3 requests, about 2s")
	assert.Empty(t, w.fake.Calls())
	assert.False(t, w.has("u.csv.journal"))
}

// TestBatchByAccident: nothing is sent that was not meant.
func TestBatchByAccident(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", accounts(2))
	w.write("other.csv", accounts(3))
	require.Equal(t, 0, w.run(helloAt(500)...).code)
	journal, calls := w.read("u.csv.journal"), len(w.fake.Calls())
	for name, test := range map[string]struct {
		in   string
		args string
		says string
	}{
		"no --yes":                 {"", "--title x other.csv", "give --yes"},
		"no notification":          {"", "--yes other.csv", "Notification"},
		"no file":                  {"", "--title x --yes", "want one file"},
		"two files":                {"", "--title x --yes other.csv u.csv", "want one file"},
		"a pattern":                {"", "--title x --yes *.csv", "want one file"},
		"a Condition":              {`{"OfflinePushInfo":{"Title":"x"},"Condition":{"TagsOr":["a"]}}`, "--file - --yes other.csv", "has a Condition"},
		"a null Condition":         {`{"OfflinePushInfo":{"Title":"x"},"Condition":null}`, "--file - --yes other.csv", "has a Condition"},
		"accounts in the push":     {`{"OfflinePushInfo":{"Title":"x"},"To_Account":["a"]}`, "--file - --yes other.csv", "To_Account"},
		"a MsgRandom":              {`{"OfflinePushInfo":{"Title":"x"},"MsgRandom":7}`, "--file - --yes other.csv", "MsgRandom"},
		"file and flags":           {`{}`, "--file - --title x --yes other.csv", "not both"},
		"no JSON":                  {`{`, "--file - --yes other.csv", "JSON"},
		"no such push file":        {"", "--file nothing.json --yes other.csv", "nothing.json"},
		"standard input twice":     {"", "--file - --yes -", "only one of"},
		"standard input unnamed":   {"", "--title x --yes -", "--journal"},
		"the unknown of a batch":   {"", "--title x --yes u.csv.unknown.ndjson", "may have got their push"},
		"an older unknown":         {"", "--title x --yes u.csv.unknown.20261127T020000Z-2.ndjson", "may have got their push"},
		"those not sent":           {"", "--title x --yes u.csv.notsent.ndjson", "run the command that has written it again"},
		"another notification":     {"", "--title x --yes u.csv", "it belongs to another batch: the notification is another one"},
		"the refused of a batch":   {"", "--title x --yes u.csv.refused.ndjson", "with a file of your own"},
		"other accounts":           {"", "--title Hello --yes other.csv --journal u.csv.journal", "it belongs to another batch: there were 2 accounts, and now there are others, 3"},
		"another app":              {"", "--title Hello --yes u.csv --sdkappid 1400000999", "it belongs to another batch: the app was"},
		"no recipients":            {"", "--title Hello --yes u.csv --recipient-rate 0", "want 1 or more"},
		"a column that is missing": {"", "--title Hello --yes --account uid other.csv", `there is no column "uid"`},
	} {
		w.in = test.in
		r := w.run(append([]string{"batch"}, strings.Fields(test.args)...)...)
		assert.Equal(t, 2, r.code, name)
		assert.Contains(t, r.err, test.says, name)
	}
	for name, args := range map[string]string{
		"no such file": "nothing.csv", "an empty file": "empty.csv", "no accounts": "none.csv", "a file that is no journal": "other.csv --journal u.csv",
	} {
		w.write("empty.csv", "")
		w.write("none.csv", "To_Account\n")
		r := w.run(append([]string{"batch", "--title", "x", "--yes"}, strings.Fields(args)...)...)
		assert.Equal(t, 3, r.code, name)
	}
	assert.Equal(t, 0, w.run("batch", "--title", "Hello", "--yes", "[u].csv").code, "a pattern of one file is this file")
	w.write("u.csv.notsent.ndjson", `{"To_Account":"u1"}`)
	assert.Equal(t, 2, w.run("batch", "--title", "Hello", "--yes", "*.notsent.*").code, "a pattern of a result file")
	assert.Len(t, w.fake.Calls(), calls, "nothing was sent")
	assert.Equal(t, journal, w.read("u.csv.journal"))
	assert.Equal(t, accounts(2), w.read("u.csv"))
}

// TestBatchWithCorrectedRows: the documentation says to correct what is rejected, and the advice was to send to all accounts of the file.
func TestBatchWithCorrectedRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account\nmary\nNULL\n")
	require.Equal(t, 1, w.run(helloAt(500)...).code)
	w.write("u.csv", "To_Account\nmary\nbob\n")
	r := w.run(helloAt(500)...)
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, "Those that were corrected or added since belong in a file of their own")
	assert.Contains(t, r.err, "to all accounts of this file, also to those of that batch, give another --journal")
	w.write("own.csv", "To_Account\nbob\n")
	assert.Equal(t, 0, w.run("batch", "--title", "Hello", "--yes", "own.csv").code)
	assert.Equal(t, map[string]int{"mary": 1, "bob": 1}, w.pushed())
}

// TestBatchWhoseFileIsRenamed: where another file has taken the name, as of the next day's export, to finish the batch with its own file alone
// was to begin it again.
func TestBatchWhoseFileIsRenamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", accounts(4))
	require.Equal(t, 0, w.run(helloAt(2)...).code)
	whole := strings.SplitAfter(w.read("u.csv.journal"), "\n")
	w.write("u.csv.journal", strings.Join(whole[:3], "")) // as after an interruption between the two requests
	w.write("old.csv", accounts(4))
	w.write("u.csv", accounts(5))
	r := w.run(helloAt(2)...)
	require.Equal(t, 2, r.code)
	const advice = "--journal u.csv.journal"
	require.Contains(t, r.err, "Finish that batch with its own file and notification, and "+advice+" if its file has another name now")
	r = w.run(append(strings.Fields("batch --title Hello --yes old.csv"), strings.Fields(advice)...)...)
	assert.Equal(t, 0, r.code, r.err)
	assert.Equal(t, map[string]int{"u0": 1, "u1": 1, "u2": 2, "u3": 2}, w.pushed(), "those who are done in the journal get no other push")
}

// What a run was doing when it was killed may have gone out: it is listed, and not sent again.
func TestBatchResumes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		keep    int    // lines of the journal
		tail    string // and this
		says    string
		unknown []string
		want    int // code
	}{
		"killed before the first request":      {1, "", "0 accounts done by earlier runs, 4 left", nil, 0},
		"killed before the result":             {4, "", "2 accounts may have got the push", []string{"u2", "u3"}, 1},
		"entry that is torn":                   {3, `b0b0b0b0 {"beg`, "was not complete", nil, 0},
		"entry that is torn, with its sum":     {3, "b0b0b0b0 ", "was not complete", nil, 0},
		"result that is torn":                  {4, `b0b0b0b0 {"end":[{"outcome`, "was not complete", []string{"u2", "u3"}, 1},
		"end of the file that is NULs":         {4, strings.Repeat("\x00", 5000), "was not complete", []string{"u2", "u3"}, 1},
		"header that is torn":                  {0, `b0b0b0b0 {"timpush-jou`, "", nil, 0},
		"damaged last line":                    {4, "b0b0b0b0 {}\n", "line 5 is damaged", nil, 3},
		"damaged line and a good one after it": {2, "\x00\n@4\n", "line 3 is damaged", nil, 3},
		"another file":                         {0, "To_Account\nmary\n", "it is not a journal, and is not touched", nil, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("u.csv", accounts(4))
			require.Equal(t, 0, w.run(helloAt(1000)...).code)
			whole := journalOfPairs(t, w)
			w.write("u.csv.journal", strings.Join(whole[:test.keep], "")+test.tail)
			before := len(w.fake.Pushes())
			r := w.run(helloAt(1000)...)
			require.Equal(t, test.want, r.code, r.err)
			assert.Contains(t, r.err, test.says)
			again := map[string]int{}
			for _, p := range w.fake.Pushes()[before:] {
				for _, account := range p.Accounts {
					again[account]++
				}
			}
			if test.want == 3 {
				assert.Empty(t, again)
				return
			}
			assert.Equal(t, test.unknown, w.listed("u.csv.unknown.ndjson"))
			for i := range 4 {
				account := "u" + strconv.Itoa(i)
				sent := test.keep >= 3 && i < 2 || slices.Contains(test.unknown, account)
				assert.Equal(t, !sent, again[account] == 1, account)
			}
		})
	}
}

// journalOfPairs returns the lines of the journal of a batch of u.csv with two requests, each for two of the four accounts.
func journalOfPairs(t *testing.T, w *world) []string {
	t.Helper()
	require.NoError(t, os.Remove(filepath.Join(w.dir, "u.csv.journal")))
	r := w.run(helloAt(2)...)
	require.Equal(t, 0, r.code, r.err)
	all := strings.SplitAfter(w.read("u.csv.journal"), "\n")
	require.Len(t, all, 6, "a header and two lines for each request")
	return all
}

// Another run of the batch is refused as long as one goes on.
func TestBatchTwiceAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arrived, other := make(chan struct{}, 1), make(chan struct{})
	w.fake.Handle(func(timpushtest.Call) timpushtest.Fault {
		arrived <- struct{}{}
		<-other
		return timpushtest.Fault{}
	})
	w.write("u.csv", accounts(3))
	cmd, text := w.started(helloAt(500)...)
	<-arrived
	r := w.run(helloAt(500)...)
	close(other)
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "u.csv.journal: another run is using it")
	_, code, errs := ended(cmd, text)
	assert.Equal(t, 0, code, errs)
	w.once(3)
}

// A journal that the next run would not find ends the batch before that could send to all again.
func TestBatchWhoseJournalIsMoved(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file is not moved there")
	}
	for _, n := range []int{2, 4} { // during the last request, and before it
		w := newWorld(t)
		w.fake.Inject(timpushtest.Delay(time.Second, timpushtest.Fault{}))
		w.write("u.csv", accounts(n))
		journal, aside := filepath.Join(w.dir, "u.csv.journal"), filepath.Join(w.dir, "aside")
		cmd, text := w.started(helloAt(2)...)
		require.Eventually(t, func() bool { return w.has("u.csv.journal") && strings.Contains(w.read("u.csv.journal"), "begin\"") }, 20*time.Second, time.Millisecond)
		require.NoError(t, os.Rename(journal, aside))
		_, code, errs := ended(cmd, text)
		assert.Equal(t, 3, code, errs)
		assert.Contains(t, errs, "moved, removed or replaced during the run: put it back")
		assert.Len(t, w.pushed(), 2, "the accounts of the request in flight")
		require.NoError(t, os.Rename(aside, journal))
		require.Equal(t, 0, w.run(helloAt(2)...).code)
		w.once(n)
	}
}

// A journal that cannot be written ends the batch before the request is sent. With space again it goes on.
func TestBatchOnAFullDisk(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("ulimit -f counts other units there, or is missing")
	}
	w := newWorld(t)
	w.write("u.csv", accounts(3000))
	limited := w.command("-c", `ulimit -f 1; exec "$0" "$@"`, tool)
	limited.Path, limited.Args = "/bin/sh", append([]string{"sh", "-c", `ulimit -f 1; exec "$0" "$@"`, tool}, helloAt(100000)...)
	out, err := limited.CombinedOutput()
	require.Error(t, err)
	assert.Equal(t, 3, limited.ProcessState.ExitCode(), string(out))
	assert.Contains(t, string(out), "the journal cannot be written")
	assert.Equal(t, 1, strings.Count(string(out), "u.csv.notsent.ndjson: "), string(out))
	assert.LessOrEqual(t, strings.Count(string(out), "file too large"), 4, "once for each file, and not for each account")
	sent := len(w.pushed())
	assert.NotZero(t, sent)
	assert.Contains(t, string(out), fmt.Sprintf("\n%d done\n%d not sent", sent, 3000-sent), "also those whose result could not be written")
	assert.Equal(t, (sent+499)/500, strings.Count(string(out), "TaskID "), string(out))
	r := w.run(helloAt(100000)...)
	require.LessOrEqual(t, r.code, 1, r.err)
	unknown := w.listed("u.csv.unknown.ndjson")
	assert.LessOrEqual(t, len(unknown), 500, "only where the result of a request could not be written")
	w.once(3000)
}

// Ctrl-C sends nothing more. What is in flight gets its answer, or is unknown if it is pressed twice.
func TestBatchIsInterrupted(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]bool{"waiting for the rate": false, "in flight": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("u.csv", accounts(6))
			if hangs {
				w.fake.Inject(timpushtest.Fault{}, timpushtest.HangApplied())
			}
			cmd, text := w.started(helloAt(2)...)
			want := 1
			if hangs {
				want = 2
			}
			require.Eventually(t, func() bool { return len(w.pushed()) == 2*want }, 20*time.Second, time.Millisecond)
			time.Sleep(30 * time.Millisecond) // until the result is recorded
			require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			if hangs {
				time.Sleep(300 * time.Millisecond)
				require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			}
			_, code, errs := ended(cmd, text)
			assert.Equal(t, 3, code, errs)
			assert.Contains(t, errs, "stopped early: interrupted\nRun the same command again to resume")
			assert.Len(t, w.pushed(), 2*want)
			unknown := w.listed("u.csv.unknown.ndjson")
			assert.Len(t, unknown, 2*(want-1))
			assert.Len(t, w.listed("u.csv.notsent.ndjson"), 6-2*want)
			r := w.run(helloAt(500)...)
			assert.Equal(t, want-1, r.code, r.err)
			assert.Equal(t, unknown, w.listed("u.csv.unknown.ndjson"))
			assert.False(t, w.has("u.csv.notsent.ndjson"))
			w.once(6)
		})
	}
}

// A request that is throttled waits to be sent again. It was taken for refused, with the advice to correct that.
func TestBatchIsInterruptedWhileItIsThrottled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", accounts(6))
	w.fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(60007) })
	cmd, text := w.started(helloAt(2)...)
	require.Eventually(t, func() bool { return len(w.fake.Calls()) > 0 }, 20*time.Second, time.Millisecond)
	time.Sleep(100 * time.Millisecond) // until it waits
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	_, code, errs := ended(cmd, text)
	assert.Equal(t, 3, code, errs)
	assert.Contains(t, errs, "stopped early: interrupted\nRun the same command again to resume")
	assert.Len(t, w.listed("u.csv.notsent.ndjson"), 6)
	w.fake.Handle(nil)
	assert.Equal(t, 0, w.run(helloAt(500)...).code)
	w.once(6)
}

// The two signals of timeout(1), which come together, are one: the request in flight gets its answer.
func TestBatchIsInterruptedByTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithLatency(500*time.Millisecond, 0))
	w.write("u.csv", accounts(6))
	cmd, text := w.started(helloAt(2)...)
	require.Eventually(t, func() bool { return len(w.fake.Calls()) > 0 }, 20*time.Second, time.Millisecond)
	for range 2 {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		time.Sleep(5 * time.Millisecond)
	}
	_, code, errs := ended(cmd, text)
	assert.Equal(t, 3, code, errs)
	assert.False(t, w.has("u.csv.unknown.ndjson"))
	assert.Len(t, w.listed("u.csv.notsent.ndjson"), 4)
}

// Ctrl-C ends tee and the like, too, and a shell tells twice that its terminal was closed: the request in flight gets its answer even so.
func TestBatchIsInterruptedWithItsReader(t *testing.T) {
	t.Parallel()
	for name, signals := range map[string][]os.Signal{"Ctrl-C": {os.Interrupt}, "SIGHUP": {syscall.SIGHUP, syscall.SIGHUP}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inherits(t, syscall.SIGHUP)
			w := newWorld(t, timpushtest.WithLatency(500*time.Millisecond, 0))
			w.write("u.csv", accounts(6))
			cmd := w.command(helloAt(2)...)
			reader, pipe, err := os.Pipe()
			require.NoError(t, err)
			cmd.Stdout, cmd.Stderr = pipe, pipe
			require.NoError(t, cmd.Start())
			require.NoError(t, pipe.Close())
			require.Eventually(t, func() bool { return len(w.fake.Calls()) > 0 }, 20*time.Second, time.Millisecond)
			require.NoError(t, reader.Close())
			for _, s := range signals {
				require.NoError(t, cmd.Process.Signal(s))
				time.Sleep(150 * time.Millisecond)
			}
			require.Error(t, cmd.Wait())
			assert.Equal(t, 3, cmd.ProcessState.ExitCode(), cmd.ProcessState)
			assert.Len(t, w.listed("u.csv.notsent.ndjson"), 4)
			r := w.run(helloAt(500)...)
			assert.Equal(t, 0, r.code, r.err)
			w.once(6)
		})
	}
}

// A batch and a set-attr of the same file leave each other's result files alone.
func TestBatchKeepsTheRejectsOfSetAttr(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\nmary,Rome\nbob,NULL\n")
	require.Equal(t, 0, w.run(helloAt(500)...).code)
	require.Equal(t, 1, w.run("set-attr", "u.csv").code)
	rejects := w.read("u.csv.rejected.ndjson")
	require.Equal(t, 0, w.run(helloAt(500)...).code)
	assert.Equal(t, rejects, w.read("u.csv.rejected.ndjson"))
}

// What is no file of a batch is not removed for having the name of one.
func TestBatchKeepsAFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", accounts(2))
	require.NoError(t, os.Mkdir(filepath.Join(w.dir, "u.csv.unknown.ndjson"), 0o700))
	r := w.run(helloAt(500)...)
	assert.Equal(t, 0, r.code, r.err)
	assert.True(t, w.has("u.csv.unknown.ndjson"))
}

// A push without an answer is not repeated. Those that were certainly not sent are sent by the next run.
func TestBatchWithFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault   timpushtest.Fault
		times   int
		code    int
		says    string
		unknown int
		left    int
	}{
		"a lost answer":         {timpushtest.CutAfter(), 1, 1, "", 500, 0},
		"answers that are lost": {timpushtest.CutAfter(), 3, 3, "3 requests in a row failed for all accounts", 1500, 500},
		"a transient code":      {timpushtest.ErrorCode(91000), 1, 1, "", 500, 0},
		"no administrator":      {timpushtest.ErrorCode(90009), 1, 3, "administrator", 0, 2000},
		"the day's pushes":      {timpushtest.ErrorCode(90047), 1, 3, "90047", 0, 2000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("u.csv", accounts(2000))
			for range test.times {
				w.fake.Inject(test.fault)
			}
			r := w.run(helloAt(100000)...)
			assert.Equal(t, test.code, r.code, r.err)
			assert.Contains(t, r.err, test.says)
			assert.NotContains(t, r.err, "Hello", "no titles in errors")
			unknown := w.listed("u.csv.unknown.ndjson")
			assert.Len(t, unknown, test.unknown)
			assert.Len(t, w.listed("u.csv.notsent.ndjson"), test.left)
			r = w.run(helloAt(100000)...)
			assert.Equal(t, min(test.unknown, 1), r.code, r.err)
			assert.Equal(t, unknown, w.listed("u.csv.unknown.ndjson"))
			for account, times := range w.pushed() {
				assert.Equal(t, 1, times, account)
			}
			assert.GreaterOrEqual(t, len(w.pushed())+test.unknown, 2000)
		})
	}
}

// A gateway that is busy says when to send again, which holds for the next request where the same one is not repeated.
func TestBatchWaitsAsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	to, err := url.Parse(w.fake.URL)
	require.NoError(t, err)
	next := httputil.NewSingleHostReverseProxy(to)
	var sent []time.Time
	gateway := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if sent = append(sent, time.Now()); len(sent) > 1 {
			next.ServeHTTP(rw, r)
			return
		}
		rw.Header().Set("Retry-After", "1")
		rw.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(gateway.Close)
	w.write("u.csv", accounts(1500))
	r := w.with("TIMPUSH_BASE_URL=" + gateway.URL).run(helloAt(100000)...)
	assert.Equal(t, 1, r.code, r.err)
	require.Len(t, sent, 3)
	assert.GreaterOrEqual(t, sent[1].Sub(sent[0]), time.Second)
	assert.Less(t, sent[2].Sub(sent[1]), time.Second)
	assert.Len(t, w.listed("u.csv.unknown.ndjson"), 500)
}

// killInFlight runs the tool and kills it when its first request arrives, or when the push has gone out and is not answered.
func (w *world) killInFlight(applied bool, args ...string) {
	w.t.Helper()
	var arrived atomic.Bool
	before := len(w.fake.Pushes())
	w.fake.Handle(func(timpushtest.Call) timpushtest.Fault {
		arrived.Store(true)
		if applied {
			return timpushtest.HangApplied()
		}
		return timpushtest.Fault{}
	})
	defer w.fake.Handle(nil)
	cmd, text := w.started(args...)
	require.Eventually(w.t, func() bool {
		return arrived.Load() && (!applied || len(w.fake.Pushes()) > before)
	}, 20*time.Second, time.Millisecond)
	_ = cmd.Process.Kill()
	ended(cmd, text)
}

// Whatever the moment of a kill, no account gets two pushes, and those that are not known to have got one are listed.
// go test -run TestBatchKilled -kills 100 kills a batch of 20,000 accounts so often.
func TestBatchKilled(t *testing.T) {
	t.Parallel()
	n := 1000
	if *killsOfBatch >= 100 {
		n = 20000
	}
	w := newWorld(t, timpushtest.WithLatency(20*time.Millisecond, 15*time.Millisecond))
	w.write("u.csv", accounts(n))
	random := rand.New(rand.NewPCG(1, 2))
	killed := 0
	for killed < *killsOfBatch {
		args := helloAt(60 + random.IntN(60)) // requests of as many accounts
		if killed++; killed%2 == 0 {
			w.killInFlight(killed%4 == 0, args...)
			continue
		}
		dead, code, errs := w.killAfter(time.Duration(random.IntN(int(150*time.Millisecond))), syscall.SIGKILL, args...)
		require.True(t, dead, "exit code %d: %s", code, errs)
	}
	require.Less(t, len(w.pushed()), n, "the kills must come during the batch")
	r := w.run(helloAt(100000)...)
	require.LessOrEqual(t, r.code, 1, r.err)
	unknown, pushed := w.listed("u.csv.unknown.ndjson"), w.pushed()
	out := 0
	for i := range n {
		account := "u" + strconv.Itoa(i)
		require.LessOrEqual(t, pushed[account], 1, account)
		if pushed[account] == 0 {
			require.Contains(t, unknown, account, "it has got no push and is not listed")
			out++
		}
	}
	assert.Contains(t, r.out, fmt.Sprintf("%d done", n-len(unknown)))
	assert.LessOrEqual(t, len(unknown), killed*120, "at most one request a kill")
	t.Logf("%d kills, %d accounts: %d got one push, none two; %d are listed as unknown, of which %d got none", killed, n, len(pushed), len(unknown), out)
}

// TestBatchOfManyRows: what a batch holds may be more than the memory limit that suits the other commands. Garbage was collected without end
// then, hundreds of times here, which took four times as long.
func TestBatchOfManyRows(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("memory is another with the race detector")
	}
	w := newWorld(t).with("GODEBUG=gctrace=1")
	w.write("u.csv", "To_Account,city\n"+strings.Repeat("user-n\xfamero,City\n", 350_000))
	r := w.run("batch", "--title", "Hello", "--dry-run", "--json", "u.csv")
	assert.Contains(t, r.out, "there are no accounts in it")
	assert.Less(t, strings.Count("\n"+r.err, "\ngc "), 60)
}

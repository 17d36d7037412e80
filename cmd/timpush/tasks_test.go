package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// done runs a command that must succeed, and returns its output.
func (w *world) done(args ...string) string {
	w.t.Helper()
	r := w.run(args...)
	require.Equal(w.t, 0, r.code, "%v: %s", args, r.err)
	return r.out
}

// TestTasks follows a task from its first day to its push.
func TestTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.done("tags", "add", "--tags", "gold", "mary")
	added := w.done("tasks", "add", "--tags", "gold", "--title", "Hello\x1b[2J", "--at", "2099-01-01 09:00 Asia/Shanghai", "--yes")
	require.Regexp(t, `^task \d+ is scheduled for 2099-01-01 01:00:00 UTC\n$`, added)
	id := strings.Fields(added)[1]
	w.done("tasks", "add", "--accounts", "mary,bob", "--title", "Other", "--in", "2h", "--yes")

	list := w.done("tasks", "list")
	assert.Regexp(t, `(?m)^`+id+`  Tag   2099-01-01 01:00:00 UTC  pending  Hello \[2J  -$`, list, "no control characters")
	assert.Len(t, lines(t, w.done("tasks", "list", "--json")), 2)
	assert.Equal(t, 1, strings.Count(w.done("tasks", "list", "--order", "schedAt", "--from", "2099-01-01T00:00:00Z", "--to", "2099-01-02 00:00 UTC"), "Tag"))
	assert.NotContains(t, w.done("tasks", "list", "--keyword", "Other"), "Hello")

	w.done("tasks", "change", id, "--in", "1h", "--yes")
	shown := w.done("tasks", "show", id)
	assert.Contains(t, shown, `to         {"TagsAnd":["gold"]}`)
	assert.NotContains(t, shown, "2099")
	w.in = `{"OfflinePushInfo":{"Title":"Changed"},"Condition":{"TagsOr":["gold"]}}`
	w.done("tasks", "change", id, "--file", "-", "--yes")
	shown = w.done("tasks", "show", id, "--json")
	assert.Contains(t, shown, `"OfflinePushInfo":{"Title":"Changed"}`)
	assert.Contains(t, shown, `"Condition":{"TagsOr":["gold"]}`)

	require.Equal(t, 2, w.fake.RunTasks(time.Now().Add(3*time.Hour)))
	assert.Contains(t, w.done("tasks", "show", id), w.fake.Pushes()[0].TaskID)
	r := w.run("tasks", "delete", id, "--yes")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "90107", "it was sent")
	w.done("tasks", "add", "--accounts", "mary", "--title", "x", "--in", "1h", "--yes")
	number, err := strconv.Atoi(id)
	require.NoError(t, err)
	assert.Equal(t, "deleted\n", w.done("tasks", "delete", fmt.Sprint(number+2), "--yes"))
}

// TestTaskFiles: what show --json has is a file for add, for each type of task.
func TestTaskFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _, _ := w.fake.App()
	app := strconv.Itoa(id)
	for file, args := range map[string][]string{
		`{"OfflinePushInfo":{"Title":"a","Desc":"b"},"To_Account":["mary"],"DataId":"d"}`:              nil,
		`{"OfflinePushInfo":{"Title":"a"},"Condition":{"AttrsAnd":{"city":"Rome"}},"TaskName":"name"}`: nil,
		`{"OfflinePushInfo":{"Title":"a"}}`:                                                            {"--everybody", app},
	} {
		w.in = file
		args = append([]string{"tasks", "add", "--file", "-", "--at", "2099-01-01T00:00:00Z", "--yes"}, args...)
		first := strings.Fields(w.done(args...))[1]
		var task struct{ Content json.RawMessage }
		require.NoError(t, json.Unmarshal([]byte(w.done("tasks", "show", "--json", first)), &task))
		w.in = string(task.Content)
		second := strings.Fields(w.done(args...))[1]
		var again struct{ Content json.RawMessage }
		require.NoError(t, json.Unmarshal([]byte(w.done("tasks", "show", "--json", second)), &again))
		assert.JSONEq(t, string(task.Content), string(again.Content))
	}
}

// TestTasksByAccident: nothing is scheduled, changed or deleted that was not meant.
func TestTasksByAccident(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	push := []string{"add", "--tags", "gold", "--title", "x"}
	for _, test := range []struct {
		says string
		args []string
	}{
		{"give --yes", append(push, "--in", "1h")},
		{"when? give --at", append(push, "--yes")},
		{"not both", append(push, "--in", "1h", "--at", "2099-01-01T00:00:00Z", "--yes")},
		{"still to come", append(push, "--in", "-1h", "--yes")},
		{"is in the past", append(push, "--at", "2020-01-01T00:00:00Z", "--yes")},
		{"a time with its zone", append(push, "--at", "2099-01-01 09:00", "--yes")},
		{"a time with its zone", append(push, "--at", "tomorrow", "--yes")},
		{"no time zone", append(push, "--at", "2099-01-01 09:00 Shanghai", "--yes")},
		{"skip this time", append(push, "--at", "2030-03-31 02:30 Europe/Rome", "--yes")},
		{"twice; write +01:00 or +02:00", append(push, "--at", "2030-10-27 02:30 Europe/Rome", "--yes")},
		{"twice; write +01:00 or +02:00", append(push, "--at", "2030-10-27 02:00:00 Europe/Rome", "--yes")},
		{"--at is empty", append(push, "--at", "", "--yes")},
		{"not both", append(push, "--at", "2099-01-01 00:00 UTC", "--in", "1h", "--yes")},
		{"still to come", append(push, "--in", "0", "--yes")},
		{"still to come", append(push, "--at", "0001-01-01 00:00 UTC", "--yes")},
		{"the configured app is", append(push, "--everybody", "0", "--in", "1h", "--yes")},
		{"to whom?", []string{"add", "--title", "x", "--in", "1h", "--yes"}},
		{"want one of them", append(push, "--accounts", "mary", "--in", "1h", "--yes")},
		{"the configured app is", []string{"add", "--everybody", "7", "--title", "x", "--in", "1h", "--yes"}},
		{"change what?", []string{"change", "7", "--yes"}},
		{"--file is empty", []string{"change", "7", "--in", "1h", "--file", "", "--yes"}},
		{"--title is empty", []string{"change", "7", "--in", "1h", "--title", "", "--yes"}},
		{"--at is empty", []string{"change", "7", "--at", "", "--tags", "gold", "--title", "x", "--yes"}},
		{"want createAt or schedAt", []string{"list", "--order", "x"}},
		{"give --from and --to", []string{"list", "--order", "schedAt"}},
		{"give --from and --to", []string{"list", "--order", "schedat", "--to", "2099-01-01T00:00:00Z"}},
		{"--from is empty", []string{"list", "--from", ""}},
		{"give --yes", []string{"change", "7", "--in", "1h"}},
		{"give --yes", []string{"delete", "7"}},
		{"is not the number of a task", []string{"delete", "x", "--yes"}},
		{"is not the number of a task", []string{"show", "0"}},
		{"accepts 1 arg", []string{"show"}},
		{"a time with its zone", []string{"list", "--from", "yesterday"}},
		{"EndTime", []string{"list", "--from", "2020-01-02T00:00:00Z", "--to", "2020-01-01T00:00:00Z"}},
		{"there is no command", []string{"remove"}},
	} {
		r := w.run(append([]string{"tasks"}, test.args...)...)
		assert.Equal(t, 2, r.code, "%v", test.args)
		assert.Contains(t, r.err, test.says, "%v", test.args)
	}
	assert.Empty(t, w.fake.Calls(), "nothing was sent")
	assert.Contains(t, w.done("tasks", "add", "--tags", "gold", "--title", "x", "--in", "1h", "--dry-run"), `"SchedAt": "`)
	assert.Empty(t, w.fake.Calls())
	r := w.run("tasks", "show", "7")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "Is there a task 7? See: timpush tasks list --base-url ")
	assert.Contains(t, w.run("tasks", "list").err, "there are no tasks from 20")
}

// TestTimesNextToASetBack: what the clocks show once is read, and with an offset also what they show twice.
func TestTimesNextToASetBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for at, want := range map[string]string{
		"2030-10-27 01:59:59 Europe/Rome": "2030-10-26 23:59:59 UTC",
		"2030-10-27 03:00 Europe/Rome":    "2030-10-27 02:00:00 UTC",
		"2030-10-27 02:30 +02:00":         "2030-10-27 00:30:00 UTC",
		"2030-10-27 02:30 +01:00":         "2030-10-27 01:30:00 UTC",
		"2030-03-31 03:00 Europe/Rome":    "2030-03-31 01:00:00 UTC",
		"2030-03-31 9:00 UTC":             "2030-03-31 09:00:00 UTC",
	} {
		assert.Contains(t, w.done("tasks", "add", "--tags", "gold", "--title", "x", "--at", at, "--yes"), want, at)
	}
}

// TestTaskWhoseAnswerIsLost is not added a second time, and says what to do.
func TestTaskWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fake.Inject(timpushtest.CutAfter())
	r := w.run("tasks", "add", "--tags", "gold", "--title", "Hello", "--in", "1h", "--yes")
	assert.Equal(t, 1, r.code, "what tries again after 3 must not repeat it")
	assert.Contains(t, r.err, "look at timpush tasks list --base-url "+w.fake.URL+" --region singapore --sdkappid ", "a shell may have another app")
	assert.Contains(t, r.err, " before you add it again")
	assert.NotContains(t, r.err, "Hello", "no titles in errors")
	assert.Len(t, lines(t, w.done("tasks", "list", "--json")), 1)

	w.fake.Inject(timpushtest.CutAfter())
	r = w.run("tasks", "add", "--base-url", w.fake.URL, "--tags", "gold", "--title", "Hello", "--in", "1h", "--yes")
	assert.Contains(t, r.err, "look at timpush tasks list --base-url "+w.fake.URL+" ", "another server has other tasks")
}

// TestTaskOfAClockThatIsAhead is listed: it may have been added just now, without an answer, and would be added again.
func TestTaskOfAClockThatIsAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked struct{ BeginTime, EndTime string }
	w.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		assert.NoError(t, json.Unmarshal(c.Body, &asked))
		return timpushtest.Fault{}
	})
	w.done("tasks", "list")
	begin, err := time.Parse(time.DateTime, asked.BeginTime)
	require.NoError(t, err)
	end, err := time.Parse(time.DateTime, asked.EndTime)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Hour), end, time.Minute)
	assert.Equal(t, 30*24*time.Hour, end.Sub(begin), "a longer span may be refused")
}

// TestAdviceForTheAppOfTheEnvironment follows to the letter, in a shell with another app, what is advised to a command that has its app from
// its own environment.
func TestAdviceForTheAppOfTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, byFile := range []bool{true, false} {
		w, shell := newWorld(t), newWorld(t)
		if byFile {
			w.write("staging.conf", strings.Join(w.env[:5], "\n"))
			w.without("TIMPUSH_SDKAPPID", "TIMPUSH_IDENTIFIER", "TIMPUSH_SECRET_KEY", "TIMPUSH_REGION", "TIMPUSH_BASE_URL").with("TIMPUSH_CONFIG=staging.conf")
		}
		w.write("config", strings.Join(shell.env[:5], "\n")) // the default file of that shell
		require.NoError(t, os.MkdirAll(filepath.Join(w.dir, ".config", "timpush"), 0o700))
		require.NoError(t, os.Rename(filepath.Join(w.dir, "config"), filepath.Join(w.dir, ".config", "timpush", "config")))
		follow := func(said, before, after string) (string, error) {
			_, advice, ok := strings.Cut(said, before)
			advice, _, _ = strings.Cut(advice, after)
			require.True(t, ok, said)
			sh := exec.CommandContext(t.Context(), "sh", "-c", tool+" "+advice)
			sh.Dir, sh.Env = w.dir, []string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH")}
			out, err := sh.CombinedOutput()
			return string(out), err
		}

		w.write("u.csv", users(3))
		w.fake.Refuse(91000, "u1")
		r := w.run("set-attr", "u.csv")
		require.Equal(t, 1, r.code, r.err)
		w.fake.Refuse(0, "u1")
		out, err := follow(r.out, "To send the failed ones again: timpush ", "\n")
		assert.Empty(t, shell.fake.Accounts(), "those of the app of the shell: "+out)
		require.NoError(t, err, out)
		assert.Equal(t, "c1", w.fake.Attrs("u1")["city"], out)

		w.fake.Inject(timpushtest.CutAfter())
		r = w.run("tasks", "add", "--tags", "gold", "--title", "Hello", "--in", "1h", "--yes")
		require.Equal(t, 1, r.code, r.err)
		out, err = follow(r.err, "look at timpush ", " before you add it again")
		require.NoError(t, err, out)
		assert.Contains(t, out, "Hello", "or it would be added again")
	}
}

// TestTextsStayOutOfErrors: what fails does not say what a push shows or what was searched for, also if the service repeats it.
func TestTextsStayOutOfErrors(t *testing.T) {
	t.Parallel()
	const title = "Private title"
	for _, repeat := range []timpushtest.Fault{
		timpushtest.Answer(200, `{"ActionStatus":"FAIL","ErrorCode":90104,"ErrorInfo":"cannot take Private title"}`),
		timpushtest.Answer(400, `<p>cannot take {"OfflinePushInfo":{"Title":"Private title"}}</p>`),
	} {
		w := newWorld(t)
		w.fake.Handle(func(timpushtest.Call) timpushtest.Fault { return repeat })
		for _, args := range [][]string{
			{"push", "--tags", "gold", "--title", title, "--yes"},
			{"tasks", "add", "--accounts", "mary", "--title", title, "--in", "1h", "--yes"},
			{"tasks", "list", "--keyword", title},
		} {
			r := w.run(args...)
			assert.Equal(t, 3, r.code, "%v: %s", args, r.err)
			assert.NotContains(t, r.out+r.err, title, "%v", args)
		}
	}
}

// TestTextBehindAnAnswer: a gateway counts the characters of its page in place of the bytes, so that the end of the page follows the answer.
func TestTextBehindAnAnswer(t *testing.T) {
	t.Parallel()
	gateway := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		conn, out, err := http.NewResponseController(rw).Hijack()
		if err == nil {
			_, _ = fmt.Fprintf(out, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<p>no %s %s", r.URL, body)
			_ = out.Flush()
			time.AfterFunc(time.Second, func() { _ = conn.Close() })
		}
	}))
	t.Cleanup(gateway.Close)
	r := newWorld(t).with("TIMPUSH_BASE_URL="+gateway.URL).run("tags", "add", "--tags", "Private tag", "mary") // it looks for UserSigs
	assert.Equal(t, 3, r.code, r.err)
	assert.NotContains(t, r.out+r.err, "Private tag")
}

// TestAccountsOfATaskThatMayBeNone: a script writes "undefined" or "None" where it has no account.
func TestAccountsOfATaskThatMayBeNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, account := range []string{"undefined", "None", "NULL"} {
		w.write("p.json", `{"To_Account":["mary","`+account+`"],"OfflinePushInfo":{"Title":"x"}}`)
		r := w.run("tasks", "add", "--file", "p.json", "--in", "2h", "--yes")
		assert.Equal(t, 2, r.code, r.out)
		assert.Contains(t, r.err, "To_Account: "+account+" is the account, which may mean that there is none")
	}
}

package main_test

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

func TestPushCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, 0, w.run("tags", "add", "--tags", "gold", "mary", "bob").code)
	r := w.run("push", "--tags", "gold", "--title", "Hello", "--desc", "New", "--yes")
	require.Equal(t, 0, r.code, r.err)
	pushes := w.fake.Pushes()
	require.Len(t, pushes, 1)
	assert.Equal(t, []string{"bob", "mary"}, pushes[0].Accounts)
	assert.Equal(t, "TaskID "+pushes[0].TaskID+"\n", r.out)

	require.Equal(t, 2, w.run("revoke", pushes[0].TaskID).code, "without --yes")
	r = w.run("revoke", pushes[0].TaskID, "--yes")
	require.Equal(t, 0, r.code, r.err)
	assert.True(t, w.fake.Pushes()[0].Revoked)
}

// TestPushWithAMsgRandom: a job that sends the file each day would send it once, with exit code 0 each time.
func TestPushWithAMsgRandom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithVariant(timpushtest.Variant{MsgRandomWindow: 7 * 24 * time.Hour}))
	push := func(random string) result {
		w.in = `{"Condition":{"TagsOr":["gold"]},"OfflinePushInfo":{"Title":"Hello"}` + random + `}`
		return w.run("push", "--file", "-", "--yes")
	}
	for range 2 {
		r := push(`,"MsgRandom":3674128`)
		require.Equal(t, 0, r.code, r.err)
		assert.Contains(t, r.err, "timpush: warning: the file has a MsgRandom: the service may take another push with it")
	}
	require.Len(t, w.fake.Pushes(), 1, "the second was taken for a repeat")
	assert.Empty(t, push("").err)
	assert.Len(t, w.fake.Pushes(), 2)
}

// TestPushByAccident: no one gets a push that was not meant.
func TestPushByAccident(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _, _ := w.fake.App()
	app := strconv.Itoa(id)
	calls := len(w.fake.Calls())
	for name, test := range map[string]struct {
		in   string
		args []string
		says string
	}{
		"no --yes":                         {"", []string{"--tags", "gold", "--title", "x"}, "give --yes"},
		"no audience":                      {"", []string{"--title", "x", "--yes"}, "to whom?"},
		"another app":                      {"", []string{"--everybody", "1400000999", "--title", "x", "--yes"}, "the configured app is"},
		"everybody without --yes":          {"", []string{"--everybody", app, "--title", "x"}, "give --yes"},
		"everybody and tags":               {"", []string{"--everybody", app, "--tags", "gold", "--title", "x", "--yes"}, "Everybody excludes"},
		"file without a Condition":         {`{"OfflinePushInfo":{"Title":"x"}}`, []string{"--file", "-", "--yes"}, "has no Condition, which means everybody"},
		"file with a null Condition":       {`{"OfflinePushInfo":{"Title":"x"},"Condition":null}`, []string{"--file", "-", "--yes"}, "Audience"},
		"file with an empty Condition":     {`{"OfflinePushInfo":{"Title":"x"},"Condition":{}}`, []string{"--file", "-", "--yes"}, "Audience"},
		"file with an empty list":          {`{"OfflinePushInfo":{"Title":"x"},"Condition":{"TagsOr":[]}}`, []string{"--file", "-", "--yes"}, "empty"},
		"file with an unknown condition":   {`{"OfflinePushInfo":{"Title":"x"},"Condition":{"TagOr":["a"]}}`, []string{"--file", "-", "--yes"}, "unknown object member"},
		"file with two Conditions":         {`{"OfflinePushInfo":{"Title":"x"},"Condition":{"TagsOr":["a"]},"Condition":{"TagsOr":["b"]}}`, []string{"--file", "-", "--yes"}, "Condition"},
		"file with a tag list twice":       {`{"OfflinePushInfo":{"Title":"x"},"Condition":{"TagsOr":["a"],"TagsOr":["b"]}}`, []string{"--file", "-", "--yes"}, "TagsOr"},
		"file without an end":              {strings.Repeat(" ", 2<<20), []string{"--file", "-", "--yes"}, "more than 1024 KiB"},
		"file with accounts":               {`{"OfflinePushInfo":{"Title":"x"},"To_Account":["a"],"Condition":{"TagsOr":["a"]}}`, []string{"--file", "-", "--yes"}, "To_Account"},
		"file with a Condition, everybody": {`{"OfflinePushInfo":{"Title":"x"},"Condition":{"TagsOr":["a"]}}`, []string{"--file", "-", "--everybody", app, "--yes"}, "want one of them"},
		"file and flags":                   {`{}`, []string{"--file", "-", "--title", "x", "--yes"}, "not both"},
		"no JSON":                          {`{`, []string{"--file", "-", "--yes"}, "JSON"},
		"no notification":                  {"", []string{"--tags", "gold", "--yes"}, "Notification"},
		"attribute without a value":        {"", []string{"--attr", "level", "--title", "x", "--yes"}, "want NAME=VALUE"},
		"attribute of an unset variable":   {"", []string{"--attr", "level=", "--title", "x", "--yes"}, "want NAME=VALUE"},
		"two attributes":                   {"", []string{"--attr", "level=gold,city=Rome", "--title", "x", "--yes"}, "give the flag once for each NAME=VALUE"},
		"one of two attributes":            {"", []string{"--attr-or", "level=gold, city=Rome", "--title", "x", "--yes"}, "give the flag once for each NAME=VALUE"},
		"attribute with a space":           {"", []string{"--attr", "level = gold", "--title", "x", "--yes"}, "no white space around the name"},
		"value with a line end of Windows": {"", []string{"--attr", "level=gold\r", "--title", "x", "--yes"}, "there is white space around the value"},
		"value with a space":               {"", []string{"--attr-or", "level=gold\u00a0", "--title", "x", "--yes"}, "there is white space around the value"},
	} {
		w.in = test.in
		r := w.run(append([]string{"push"}, test.args...)...)
		assert.Equal(t, 2, r.code, name)
		assert.Contains(t, r.err, test.says, name)
	}
	assert.Len(t, w.fake.Calls(), calls, "nothing was sent")
}

func TestPushDryRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.in = `{"Condition":{"AttrsAnd":{"city":"Rome"}},"OfflinePushInfo":{"Title":"Hello","New":1}}`
	r := w.run("push", "--file", "-", "--dry-run")
	require.Equal(t, 0, r.code, r.err)
	for _, part := range []string{`"city": "Rome"`, `"Title": "Hello"`, `"New": 1`, `"MsgRandom"`} {
		assert.Contains(t, r.out, part)
	}
	assert.Empty(t, w.fake.Calls())
}

// TestPushWhoseAnswerIsLost is not repeated, and says what to do.
// TestNumbersOfAPushFile are sent as they are: a float64 would round an ID of 64 bits.
func TestNumbersOfAPushFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.in = `{"Condition":{"TagsOr":["a"]},"OfflinePushInfo":{"Title":"x","PushTemplateParam":{"order":1745678901234567891}},` +
		`"MsgBody":[{"MsgType":"TIMCustomElem","MsgContent":{"Data":9007199254740993}}]}`
	r := w.run("push", "--file", "-", "--dry-run")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.out, "1745678901234567891")
	assert.Contains(t, r.out, "9007199254740993")
}

// TestResultThatCannotBeWritten: what was asked for is done, which is said where it can be, so that it is not done once more.
func TestResultThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		"push --tags gold --title Hello --yes", "tasks add --in 2h --tags gold --title Hello --yes", "tasks change TASK --in 3h --yes",
		"tasks delete TASK --yes", "revoke TASKID --yes",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, id, _ := strings.Cut(strings.TrimSpace(w.done("push", "--tags", "gold", "--title", "Hello", "--yes")), " ")
			task := strings.Fields(w.done("tasks", "add", "--in", "2h", "--tags", "gold", "--title", "Hello", "--yes"))[1]
			args := strings.Fields(strings.NewReplacer("TASKID", id, "TASK", task).Replace(command))
			r, broken, err := os.Pipe()
			require.NoError(t, err)
			require.NoError(t, r.Close())
			cmd := w.command(args...)
			var errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = broken, &errs
			_ = cmd.Run()
			require.NoError(t, broken.Close())
			assert.Equal(t, 1, cmd.ProcessState.ExitCode())
			assert.Contains(t, errs.String(), "it is done, do not repeat it: ")
			for _, push := range w.fake.Pushes()[1:] {
				assert.Contains(t, errs.String(), "TaskID "+push.TaskID)
			}
		})
	}
}

func TestPushWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, 0, w.run("tags", "add", "--tags", "gold", "mary").code)
	w.fake.Inject(timpushtest.CutAfter())
	r := w.run("push", "--tags", "gold", "--title", "Hello", "--yes")
	assert.Equal(t, 1, r.code, "what tries again after 3 must not repeat it")
	assert.Contains(t, r.err, "The push may have gone out")
	assert.Len(t, w.fake.Pushes(), 1)
	assert.False(t, strings.Contains(r.err, "Hello"), "no titles in errors")
}

// A person writes such a file, over many lines.
func TestFaultsOfAPushFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for says, file := range map[string]string{
		"push.json:3:16: it is not the JSON of a request: invalid character '}' at start of string":             "{\n  \"OfflinePushInfo\": {\n    \"Title\": 1,}\n}",
		"push.json:2:21: it is not the JSON of a request: invalid character '\\u00a0' at start of value":        "{\r\n  \"OfflinePushInfo\":\u00a0{}\r\n}",
		`push.json:1:1: it is not the JSON of a request: want an object`:                                        `[]`,
		`push.json:1:1: it is not the JSON of a request: unexpected EOF`:                                        ``,
		`push.json:1:15: it is not the JSON of a request: duplicate object member name, in "/DataId"`:           `{"DataId":"a","DataId":"b"}`,
		`push.json:2:1: it is not the JSON of a request: want a whole number up to 4294967295, in "/MsgRandom"`: "{\"MsgRandom\":\n4294967296}",
		`push.json:1:29: it is not the JSON of a request: want a text, in "/OfflinePushInfo/Title"`:             `{"OfflinePushInfo":{"Title":7}}`,
		`push.json:1:30: it is not the JSON of a request: invalid surrogate pair in string, in`:                 `{"OfflinePushInfo":{"Title":"\ud800secret"}}`,
		`push.json:1:15: it is not the JSON of a request: unknown object member name, in "/Condition/TagOr"`:    `{"Condition":{"TagOr":["a"]}}`,
		`push.json:1:24: it is not the JSON of a request: want a list, in "/Condition/TagsOr"`:                  `{"Condition":{"TagsOr":"a"}}`,
		`push.json:1:34: it is not the JSON of a request: there is a null in it, want a text, in`:               `{"Condition":{"AttrsAnd":{"city":null}}}`,
	} {
		w.write("push.json", file)
		r := w.run("push", "--file", "push.json", "--dry-run")
		assert.Equal(t, 2, r.code, says)
		assert.Contains(t, r.err, says)
		assert.NotContains(t, r.err, "secret")
	}
}

// A program that has no value writes null. Taken for an empty text, it is a push to those whose attribute is empty.
func TestNullInACondition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.ndjson", `{"To_Account":"mary","city":"Rome"}`+"\n"+`{"To_Account":"bob","city":""}`+"\n")
	assert.Equal(t, 0, w.run("set-attr", "u.ndjson").code)
	for _, condition := range []string{`{"AttrsAnd":{"city":null}}`, `{"AttrsOr":{"city":null}}`} {
		w.write("push.json", `{"Condition":`+condition+`,"OfflinePushInfo":{"Title":"For Rome"}}`)
		r := w.run("push", "--file", "push.json", "--yes")
		assert.Equal(t, 2, r.code, r.out+r.err)
		r = w.run("tasks", "add", "--file", "push.json", "--in", "1h", "--yes")
		assert.Equal(t, 2, r.code, r.out+r.err)
	}
	assert.Empty(t, w.fake.Pushes())
	assert.Equal(t, 2, w.run("push", "--attr", "city=", "--title", "x", "--yes").code, "as with flags")
}

package main_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

func TestStats(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithReach(90, 50, 20))
	accounts := strings.Fields("a b c d e f g h i j")
	w.done(append([]string{"tags", "add", "--tags", "gold"}, accounts...)...)
	w.done("push", "--tags", "gold", "--title", "x", "--yes")
	id := w.fake.Pushes()[0].TaskID

	out := w.done("stats", id)
	assert.Contains(t, out, "push "+id+"\n  devices         10  ############################## 100 %\n")
	assert.Contains(t, out, "  reached          5  ###############                 50 %\n  clicked          2  ######                          20 %\n")
	assert.Contains(t, out, "PLATFORM")
	out = w.done("stats", "--loss", id)
	assert.Regexp(t, `(?m)^  NOT SENT +CODE +REASON$\n^  1 +-2 +token not uploaded$`, out)
	assert.Regexp(t, `(?m)^  4 +410 +Unregistered$`, out)
	figures := lines(t, w.done("stats", "--json", id))
	require.Len(t, figures, 1)
	assert.EqualValues(t, 2, figures[0]["ClickCount"])
	assert.Contains(t, w.done("stats"), "all pushes\n  devices         10")

	for _, test := range []struct {
		code int
		says string
		args []string
	}{
		{1, "no figures in this time of the push batch_ [2J", []string{id, "batch_\x1b[2J"}},
		{1, "no figures in this time of the push " + id, []string{"--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z", id}},
		{2, "more than 30 days", []string{"--from", "2020-01-01T00:00:00Z", id}},
		{2, "taskIDs[0]", []string{""}},
		{2, "a time with its zone", []string{"--to", "now", id}},
	} {
		r := w.run(append([]string{"stats"}, test.args...)...)
		assert.Equal(t, test.code, r.code, "%v: %s", test.args, r.err)
		assert.Contains(t, r.err, test.says)
		assert.NotContains(t, r.err+r.out, "\x1b")
	}
	events := lines(t, w.run("stats", "--json", id, "other").out)
	require.Len(t, events, 2, "a program reads that there is no figure of the other")
	assert.Equal(t, map[string]any{"exit_code": 1.0, "message": "the service has no figures in this time of the push other"}, events[1]["error"])
}

// TestStatsThatAreNoNumbers: what the service gets wrong is shown as unknown.
func TestStatsThatAreNoNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fake.Inject(timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"","Results":[{"TaskID":"x","TotalCount":"many","SentCount":"3"}]}`))
	out := w.done("stats", "x")
	assert.Contains(t, out, "devices          ?  \n  sent             3  \n")
}

func TestNoStats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fake.Inject(timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"","Results":[]}`))
	r := w.run("stats")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "no figures in this time")
}

package main_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/timpushtest"
)

// newProbed makes an app with an account that has attributes.
func newProbed(t *testing.T, options ...timpushtest.Option) *world {
	t.Helper()
	w := newWorld(t, options...)
	_, err := w.fake.Client().SetAttr(t.Context(), []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}}})
	require.NoError(t, err)
	return w
}

func TestProbe(t *testing.T) {
	t.Parallel()
	w := newProbed(t, timpushtest.WithVariant(timpushtest.Variant{Replace: true}))
	before := len(w.fake.Calls())
	r := w.run("probe", "--account", "mary", "--report", "r.md")
	require.Equal(t, 2, r.code)
	assert.Contains(t, r.out, `It would change, and then restore, attributes of ["mary"] of app 1400000000`)
	assert.Contains(t, r.err, "give --yes")
	assert.Len(t, w.fake.Calls(), before)
	assert.False(t, w.has("r.md"))

	r = w.run("probe", "--account", "mary", "--pushes", "--yes", "--report", "r.md")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.out, "What does an empty value do?\n  readings  it is stored; it deletes the attribute; 90033\n  this app  it is stored\n")
	assert.Contains(t, r.out, "The client should be changed for 1 of the questions.")
	assert.Contains(t, r.err, "Restoring")
	report := w.read("r.md")
	assert.Contains(t, report, "| Does set_attr keep the attributes that it does not name? (`merge`) | it keeps them; it deletes them | it deletes them | it does | yes: ")
	for _, private := range []string{"mary", "Rome", "city", "1400000000", "administrator@", w.key} {
		assert.NotContains(t, report, private)
	}
	assert.Equal(t, map[string]string{"city": "Rome"}, w.fake.Attrs("mary"))
	assert.Len(t, w.fake.Accounts(), 1)
}

func TestProbeIsStopped(t *testing.T) {
	t.Parallel()
	w := newProbed(t)
	w.with("TIMPUSH_RATE=20")
	cmd := w.command("probe", "--account", "mary", "--yes")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { return w.fake.Attrs("mary")["city"] != "Rome" }, 10*time.Second, time.Millisecond)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Error(t, cmd.Wait())
	assert.Equal(t, 3, cmd.ProcessState.ExitCode())
	assert.Contains(t, errs.String(), "stopping: what was changed is restored")
	assert.Contains(t, errs.String(), "stopped early: interrupted")
	assert.Contains(t, out.String(), "not settled: stopped early")
	assert.Equal(t, map[string]string{"city": "Rome"}, w.fake.Attrs("mary"))
}

// TestProbeWithoutAReader restores what it has changed, also where no one reads what it prints.
func TestProbeWithoutAReader(t *testing.T) {
	t.Parallel()
	w := newProbed(t)
	cmd := w.command("probe", "--account", "mary", "--yes")
	r, closed, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	defer func() { _ = closed.Close() }()
	cmd.Stdout, cmd.Stderr = closed, closed
	require.Error(t, cmd.Run())
	assert.Equal(t, 3, cmd.ProcessState.ExitCode())
	assert.Equal(t, map[string]string{"city": "Rome"}, w.fake.Attrs("mary"))
}

func TestProbeUsage(t *testing.T) {
	t.Parallel()
	w := newProbed(t)
	w.write("users.csv", header)
	for want, args := range map[string][]string{
		"which accounts may be changed?": {}, "takes no accounts": {"--quota", "--account", "mary"}, "is given twice": {"--account", "mary", "--unknown-account", "mary"},
		"control character": {"--account", "a\tb"}, "it is empty": {"--account", ""}, "no such file": {"--account", "mary", "--yes", "--report", "missing/r.md"},
		"is not replaced": {"--account", "mary", "--yes", "--report", "users.csv"},
	} {
		r := w.run(append([]string{"probe"}, args...)...)
		assert.Equal(t, 2, r.code, args)
		assert.Contains(t, r.err, want)
	}
	assert.Equal(t, map[string]string{"city": "Rome"}, w.fake.Attrs("mary"))
}

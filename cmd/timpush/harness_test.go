package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// tool is the program under test.
var tool string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "timpush")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tool = filepath.Join(dir, "timpush")
	args := []string{"build", "-o", tool}
	if raceDetector {
		args = append(args, "-race")
	}
	build := exec.CommandContext(context.Background(), "go", append(args, ".")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s\n", out)
		return 1
	}
	return m.Run()
}

// world is a directory, a fake and an environment for the tool.
type world struct {
	t    *testing.T
	fake *timpushtest.Server
	dir  string
	key  string // that must not be printed
	env  []string
	in   string // standard input
}

func newWorld(t *testing.T, options ...timpushtest.Option) *world {
	t.Helper()
	options = append([]timpushtest.Option{timpushtest.WithPlainHTTP(), timpushtest.WithQuota(0)}, options...)
	w := &world{t: t, fake: timpushtest.Start(t, options...), dir: t.TempDir()}
	id, identifier, key := w.fake.App()
	w.key = key
	w.env = []string{
		"TIMPUSH_SDKAPPID=" + strconv.Itoa(id), "TIMPUSH_IDENTIFIER=" + identifier, "TIMPUSH_SECRET_KEY=" + key,
		"TIMPUSH_REGION=singapore", "TIMPUSH_BASE_URL=" + w.fake.URL, "TIMPUSH_RATE=2000",
		"HOME=" + w.dir, "PATH=" + os.Getenv("PATH"),
	}
	return w
}

// write makes a file.
func (w *world) write(name, text string) {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600))
}

func (w *world) read(name string) string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, name))
	require.NoError(w.t, err)
	return string(text)
}

func (w *world) has(name string) bool {
	_, err := os.Stat(filepath.Join(w.dir, name))
	return err == nil
}

// without leaves out variables of the environment, and with sets some.
func (w *world) without(names ...string) *world {
	w.env = slices.DeleteFunc(w.env, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(names, name)
	})
	return w
}

func (w *world) with(values ...string) *world {
	for _, v := range values {
		name, _, _ := strings.Cut(v, "=")
		w.without(name)
	}
	w.env = append(w.env, values...)
	return w
}

// command makes a command that has not begun.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), tool, args...)
	// With the race detector a program waits for a second before it ends, unless it is told not to.
	cmd.Dir, cmd.Env, cmd.Stdin = w.dir, append([]string{"GORACE=atexit_sleep_ms=0"}, w.env...), strings.NewReader(w.in)
	return cmd
}

// inherits lets a signal do what it does to a program on a terminal. Where nohup runs the tests, the program would inherit that it is
// ignored, but what its parent handles it does not inherit.
func inherits(t *testing.T, s os.Signal) {
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, s)
	t.Cleanup(func() { signal.Stop(handled) })
}

// result is the result of a run.
type result struct {
	code     int
	out, err string
}

func (w *world) run(args ...string) result {
	w.t.Helper()
	cmd := w.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		require.NoError(w.t, err)
	}
	r := result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
	require.NotContains(w.t, r.out+r.err, w.key, "the secret key must not be printed")
	require.NotContains(w.t, r.out+r.err, "usersig=", "no UserSig must be printed")
	return r
}

// users makes a CSV file of n users.
func users(n int) string {
	var text strings.Builder
	text.WriteString("To_Account,city,sex\n")
	for i := range n {
		fmt.Fprintf(&text, "u%d,c%d,%s\n", i, i%97, []string{"f", "m", ""}[i%3])
	}
	return text.String()
}

// stored checks that the fake has the users of the file.
func (w *world) stored(n int) {
	w.t.Helper()
	require.Len(w.t, w.fake.Accounts(), n)
	for i := range n {
		attrs := w.fake.Attrs("u" + strconv.Itoa(i))
		if attrs["city"] != fmt.Sprintf("c%d", i%97) {
			require.Failf(w.t, "wrong", "user %d has %v", i, attrs)
		}
		_, sex := attrs["sex"]
		require.Equal(w.t, i%3 != 2, sex, "an empty cell leaves the attribute alone")
	}
}

func lines(t *testing.T, text string) (objects []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var object map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &object), line)
		objects = append(objects, object)
	}
	return objects
}

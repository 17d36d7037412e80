package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/internal/doctable"
	"github.com/timpush/timpush-go/timpushtest"
)

// machine is a world in which set-attr of the 2,000 users of u.csv is started once with something wrong.
type machine struct {
	*world
	cmd     *exec.Cmd
	errs    *bytes.Buffer
	correct func() // what is wrong
}

// badMachines are faults of a machine and its users. wrong changes the machine before the run begins, and
// during is called while it runs.
var badMachines = []struct {
	input  string
	args   string // beside u.csv
	wrong  func(*machine)
	during func(*machine)
	want   string
	unsent bool   // nothing is
	again  string // arguments of the second run beside u.csv
}{
	{input: "Ctrl-C (SIGINT)", during: signals(syscall.SIGINT), want: "exit status 3, `interrupted`"},
	{input: "SIGTERM", during: signals(syscall.SIGTERM), want: "exit status 3, `interrupted`"},
	{input: "Ctrl-C twice, while the server never answers", wrong: hanging, during: signals(syscall.SIGINT, syscall.SIGINT), want: "exit status 3, `interrupted`"},
	{input: "terminal that is closed (SIGHUP)", wrong: func(m *machine) { inherits(m.t, syscall.SIGHUP) }, during: signals(syscall.SIGHUP), want: "exit status 3, `interrupted`"},
	{input: "kill -9", during: signals(syscall.SIGKILL), want: "signal: killed"},
	{input: "reader of standard output that is gone (EPIPE)", args: "--json", wrong: deafReader, want: "signal: broken pipe"},
	{input: "standard output on a full disk", wrong: fullOutput, want: "exit status 3, `standard output: write /dev/stdout: no space left on device`"},
	{input: "rejects on a full disk", args: "--rejects /dev/full", wrong: refusing, want: "exit status 3, `no space left on device`", again: "--rejects /dev/full"},
	{input: "checkpoint on a device", args: "--checkpoint /dev/full", want: "exit status 3, `a checkpoint must be a regular file`", unsent: true},
	{input: "folder that is read-only", wrong: readOnly, want: "exit status 3, `give --checkpoint in a directory that can be written to`", unsent: true},
	{input: "users that may not be read", wrong: unreadable("u.csv"), want: "exit status 3, `open u.csv: permission denied`", unsent: true},
	{input: "key file that may not be read", args: "--secret-key-file key", wrong: unreadable("key"), want: "exit status 2, `the secret key: open key: permission denied`", unsent: true},
	{input: "second run at the same time", wrong: another, want: "exit status 3, `another run is using it`"},
	{input: "second run at the same time, with --restart", args: "--restart", wrong: another, want: "exit status 3, `another run is using it`"},
	{input: "file that has changed since the interrupted run", wrong: changed, want: "exit status 0, `it was begun with another file u.csv than u.csv is now: beginning again with the first row`"},
	{input: "checkpoint that is none", wrong: there("u.csv.checkpoint"), want: "exit status 3, `u.csv.checkpoint: it is not a checkpoint, and is not touched: give another --checkpoint, or move it away`", unsent: true},
	{input: "checkpoint that is the input", args: "--checkpoint u.csv", want: "exit status 3, `u.csv: it is not a checkpoint, and is not touched: give another --checkpoint, or move it away`", unsent: true},
	{input: "checkpoint that is the input, with --restart", args: "--restart --checkpoint u.csv", want: "exit status 3, `u.csv: it is not a checkpoint, and is not touched: give another --checkpoint, or move it away`", unsent: true},
	{input: "failures that are the input", args: "--restart --failures u.csv", want: "exit status 2, `--failures u.csv: it is the input: give another file`", unsent: true},
	{input: "failures that are the rejects", args: "--failures r --rejects ./r", want: "exit status 2, `--rejects ./r: it is the file of --failures, too: give another one`", unsent: true},
	{input: "rejects that are the checkpoint", args: "--rejects u.csv.checkpoint", want: "exit status 2, `--checkpoint u.csv.checkpoint: it is the file of --rejects, too: give another one`", unsent: true},
	{input: "failures of an earlier run", wrong: there("u.csv.failed.ndjson"), want: "exit status 0, `u.csv.failed.ndjson is from an earlier run: it is now u.csv.failed.20`"},
}

// signals sends signals once requests are in flight, with a pause between them.
func signals(all ...os.Signal) func(*machine) {
	return func(m *machine) {
		require.Eventually(m.t, func() bool { return len(m.fake.Calls()) > 2 }, 20*time.Second, 5*time.Millisecond)
		for _, s := range all {
			require.NoError(m.t, m.cmd.Process.Signal(s))
			time.Sleep(200 * time.Millisecond)
		}
	}
}

func hanging(m *machine) {
	m.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if strings.HasSuffix(c.Path, "/set_attr") {
			return timpushtest.Hang()
		}
		return timpushtest.Fault{}
	})
	m.correct = func() { m.fake.Handle(nil) }
}

func deafReader(m *machine) {
	r, w, err := os.Pipe()
	require.NoError(m.t, err)
	require.NoError(m.t, r.Close())
	m.t.Cleanup(func() { _ = w.Close() })
	m.cmd.Stdout = w
}

func fullOutput(m *machine) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		m.t.Skip("there is no /dev/full here")
	}
	m.t.Cleanup(func() { _ = full.Close() })
	m.cmd.Stdout = full
}

func refusing(m *machine) {
	m.fake.Refuse(90035, "u500")
	m.correct = func() { m.fake.Refuse(0, "u500") }
}

// unprivileged lets the run be that of a user for whom permissions hold, which they do not for root.
func (m *machine) unprivileged() {
	const unprivileged = 65534
	if os.Getuid() != 0 {
		return
	}
	require.NoError(m.t, os.Chmod(filepath.Dir(tool), 0o755))
	require.NoError(m.t, os.Chmod(filepath.Dir(m.dir), 0o755))
	for _, name := range []string{".", "u.csv", "key"} {
		require.NoError(m.t, os.Chown(filepath.Join(m.dir, name), unprivileged, unprivileged))
	}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: unprivileged, Gid: unprivileged}}
}

func readOnly(m *machine) {
	m.unprivileged()
	require.NoError(m.t, os.Chmod(m.dir, 0o500))
	m.correct = func() { require.NoError(m.t, os.Chmod(m.dir, 0o700)) }
}

func unreadable(name string) func(*machine) {
	return func(m *machine) {
		m.unprivileged()
		path := filepath.Join(m.dir, name)
		require.NoError(m.t, os.Chmod(path, 0o200))
		m.correct = func() { require.NoError(m.t, os.Chmod(path, 0o600)) }
	}
}

func another(m *machine) {
	m.with("TIMPUSH_RATE=8")
	first := m.command("set-attr", "u.csv")
	require.NoError(m.t, first.Start())
	m.correct = func() {
		_ = first.Process.Kill()
		_ = first.Wait()
		m.with("TIMPUSH_RATE=2000")
	}
	require.Eventually(m.t, func() bool { return len(m.fake.Calls()) > 2 }, 20*time.Second, 5*time.Millisecond)
}

func changed(m *machine) {
	killed := m.command("set-attr", "u.csv")
	require.NoError(m.t, killed.Start())
	require.Eventually(m.t, func() bool { return len(m.fake.Calls()) > 6 }, 20*time.Second, 5*time.Millisecond)
	require.NoError(m.t, killed.Process.Kill())
	_ = killed.Wait()
	good := m.read("u.csv")
	m.write("u.csv", strings.Replace(good, "c5", "c6", 1))
	m.correct = func() { m.write("u.csv", good) }
}

// there puts a file where the run would make one.
func there(name string) func(*machine) {
	return func(m *machine) {
		m.write(name, "{\"To_Account\":\"mary\"}\n")
		m.correct = func() { _ = os.Remove(filepath.Join(m.dir, name)) }
	}
}

// newMachine makes one whose run has not begun.
func newMachine(t *testing.T, args string) *machine {
	t.Helper()
	m := &machine{world: newWorld(t, timpushtest.WithLatency(20*time.Millisecond, 0)), errs: &bytes.Buffer{}}
	m.write("u.csv", users(2000))
	m.write("key", m.key)
	m.with("TIMPUSH_RATE=8") // so that it still runs when a busy machine gets to disturbing it
	m.cmd = m.command(append([]string{"set-attr", "u.csv"}, strings.Fields(args)...)...)
	m.cmd.Stderr = m.errs
	return m
}

// ending describes how the run has ended, with the message of want if that was printed.
func (m *machine) ending(want string) string {
	text := m.cmd.ProcessState.String()
	if _, message, ok := strings.Cut(want, "`"); ok {
		if message = strings.TrimSuffix(message, "`"); strings.Contains(m.errs.String(), message) {
			return fmt.Sprintf("%s, `%s`", text, message)
		}
		return text + ": " + m.errs.String()
	}
	return text
}

func TestBadMachines(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badMachines {
		name := strings.NewReplacer("(", "", ")", "").Replace(test.input)
		table.Add(test.input, test.want, t.Name()+"/"+name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, test.args)
			if test.wrong != nil {
				test.wrong(m)
			}
			require.NoError(t, m.cmd.Start())
			if test.during != nil {
				test.during(m)
			}
			_ = m.cmd.Wait()
			assert.Equal(t, test.want, m.ending(test.want))
			assert.NotContains(t, m.errs.String(), m.key)
			if test.unsent {
				assert.Empty(t, m.fake.Calls())
			}
			if m.correct != nil {
				m.correct()
			}
			again := append([]string{"set-attr", "u.csv"}, strings.Fields(test.again)...)
			r := m.with("TIMPUSH_RATE=2000").run(again...)
			require.Equal(t, 0, r.code, r.err)
			m.stored(2000)
		})
	}
	badInput.Require(t, "Signals, disks and permissions", &table)
}

// TestPipeAsFile: a pipe is looked at and then read, which would lose its first rows, or wait for a second writer without an end.
func TestPipeAsFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, syscall.Mkfifo(filepath.Join(w.dir, "u.csv"), 0o600))
	r := w.run("set-attr", "u.csv")
	assert.Equal(t, 3, r.code, r.err)
	assert.Contains(t, r.err, "u.csv: it is a pipe, and a file is read more than once: give - as the file")
	assert.Empty(t, w.fake.Calls())
}

// TestBatchOfAnotherUser: who cannot write to the journal, as after a run by root, must not be told to give another one, with which those who
// have got the push get it again.
func TestBatchOfAnotherUser(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	m.with("TIMPUSH_RATE=2000")
	m.write("u.csv", accounts(60))
	require.Equal(t, 0, m.run(helloAt(500)...).code)
	require.NoError(t, os.Chmod(filepath.Join(m.dir, "u.csv.journal"), 0o400))
	for args, want := range map[string]string{
		"":                     "u.csv.journal: permission denied: it may be of an earlier run, and with another --journal all accounts get the push again",
		"--journal /u.journal": "/u.journal: permission denied: give --journal in a directory that can be written to", // it is not there
	} {
		m.errs.Reset()
		m.cmd = m.command(helloAt(500, strings.Fields(args)...)...)
		m.cmd.Stderr = m.errs
		m.unprivileged()
		assert.Error(t, m.cmd.Run())
		assert.Equal(t, 3, m.cmd.ProcessState.ExitCode())
		assert.Contains(t, m.errs.String(), want)
		assert.NotContains(t, m.errs.String(), m.key)
	}
	assert.Len(t, m.pushed(), 60)
	assert.Len(t, m.fake.Pushes(), 1)
}

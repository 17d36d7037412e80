package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/timpush/timpush-go/timpushtest"
)

// pseudoterminal opens both ends of one.
func pseudoterminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	fd := int(master.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = slave.Close(), master.Close() })
	return master, slave
}

// terminal runs a command on a terminal of so many columns, and returns all that was written there. Ctrl-C is pressed after
// a time, unless that is 0.
func terminal(t *testing.T, cmd *exec.Cmd, columns uint16, interrupt time.Duration) string {
	t.Helper()
	master, slave := pseudoterminal(t)
	require.NoError(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	require.NoError(t, slave.Close())
	if interrupt > 0 {
		timer := time.AfterFunc(interrupt, func() { _, _ = master.WriteString("\x03") })
		defer timer.Stop()
	}
	var all bytes.Buffer
	_, _ = all.ReadFrom(master) // it ends with an error when the other side is closed
	_ = cmd.Wait()
	return all.String()
}

var erase = regexp.MustCompile(`\x1b\[\d*K`)

// screen returns the lines that are on the screen at the end.
func screen(text string) (lines []string) {
	for line := range strings.Lines(strings.ReplaceAll(text, "\r\n", "\n")) {
		var shown []rune
		for _, written := range strings.Split(erase.ReplaceAllString(strings.TrimSuffix(line, "\n"), "\x00"), "\r") {
			if i := strings.LastIndexByte(written, 0); i >= 0 {
				shown, written = nil, written[i+1:]
			}
			new := []rune(written)
			shown = append(new, shown[min(len(new), len(shown)):]...)
		}
		lines = append(lines, strings.TrimRight(string(shown), " "))
	}
	return lines
}

// afterDescription checks that the lines begin with what was understood of the file, and returns the others.
func afterDescription(t *testing.T, lines []string) []string {
	t.Helper()
	require.Regexp(t, `^u.csv: CSV with "," between fields, UTF-8, about \d+ rows$`, lines[0])
	i := slices.Index(lines, "The first rows:")
	require.Positive(t, i)
	for i++; strings.HasPrefix(lines[i], "  "); i++ {
	}
	return lines[i:]
}

// The bar moves, and leaves nothing behind.
func TestBar(t *testing.T) {
	t.Parallel()
	for _, columns := range []uint16{80, 100, 40, 34, 33, 32} {
		t.Run(strconv.Itoa(int(columns)), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, timpushtest.WithLatency(20*time.Millisecond, 0)).with("TIMPUSH_RATE=120")
			w.write("u.csv", "To_Account,city\n,x\n"+many(18000)+",y\n") // so many that the last row is read late
			text := terminal(t, w.command("set-attr", "u.csv"), columns, 0)
			var shares []int
			for _, m := range regexp.MustCompile(`(\d+)% \[[=>.]+\]`).FindAllStringSubmatch(text, -1) {
				share, err := strconv.Atoi(m[1])
				require.NoError(t, err)
				shares = append(shares, share)
			}
			require.Greater(t, len(shares), 4, text)
			assert.IsIncreasing(t, slices.Compact(shares))
			for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
				if strings.Contains(line, "users/s") {
					assert.Less(t, len(erase.ReplaceAllString(line, "")), int(columns), "a line that is wrapped cannot be taken away")
				}
			}
			if columns >= 80 {
				assert.Regexp(t, `\d+ users/s, \d+s left, 1 rejected, 0 failed, quota \d+ %`, text)
			}
			assert.NotContains(t, text, w.key)
			assert.NotContains(t, text, "usersig")

			lines := afterDescription(t, screen(text))
			assert.Equal(t, "u.csv:2: column To_Account: the account is empty", lines[0])
			assert.Equal(t, "18000 done", lines[2], "%q", lines)
			assert.Regexp(t, `^(1[89]|2\d)\d requests in `, lines[4], "more than 180 on a busy machine")
			assert.Equal(t, "       2  the account is empty", lines[len(lines)-1])
			assert.NotContains(t, strings.Join(lines, "\n"), "users/s", "the bar has gone")
		})
	}
}

// TestBarOnADumbTerminal: that of Emacs shows the codes of others as they are.
func TestBarOnADumbTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t).with("TERM=dumb")
	w.write("u.csv", users(300))
	text := terminal(t, w.command("set-attr", "u.csv"), 80, 0)
	assert.Contains(t, text, "users/s")
	assert.NotContains(t, text, "\x1b")
	assert.Contains(t, screen(text), "300 done")
}

// The message for Ctrl-C is on a line of its own.
func TestBarAndCtrlC(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithLatency(300*time.Millisecond, 0)).with("TIMPUSH_RATE=60")
	w.write("u.csv", "To_Account,city\n"+many(30000))
	lines := afterDescription(t, screen(terminal(t, w.command("set-attr", "u.csv"), 80, 1200*time.Millisecond)))
	// The terminal itself shows the ^C, before the bar is erased or after it.
	require.Equal(t, "stopping: waiting for the requests in flight (Ctrl-C again: do not wait)", strings.TrimPrefix(lines[0], "^C"), "%q", lines)
	assert.Regexp(t, `^\d+ done$`, lines[1])
	assert.Equal(t, "Run the same command again to resume", lines[len(lines)-1])
}

// TestSignalWhileNothingIsRead: a command that waits for standard input ends.
func TestSignalWhileNothingIsRead(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"check --secret-key-file -", "set-attr -", "preflight -", "batch --title Hello --yes --journal j -", "remove-attr --names city --file -",
		"push --file - --yes", "tasks add --in 1h --file - --yes", "usersig inspect", "init",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if strings.Contains(args, "key-file") || args == "init" {
				w.without("TIMPUSH_SECRET_KEY")
			}
			cmd := w.command(strings.Fields(args)...)
			quiet, ours, err := os.Pipe()
			require.NoError(t, err)
			t.Cleanup(func() { _, _ = quiet.Close(), ours.Close() })
			var errs bytes.Buffer
			cmd.Stdin, cmd.Stderr = quiet, &errs
			_, err = ours.WriteString("\n")
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			require.Eventually(t, func() bool { // once this is read, the command waits for more
				left, err := unix.IoctlGetInt(int(quiet.Fd()), unix.TIOCINQ)
				return err == nil && left == 0
			}, 30*time.Second, 5*time.Millisecond)
			require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			_ = cmd.Wait()
			assert.Equal(t, 3, cmd.ProcessState.ExitCode(), errs.String())
			assert.Contains(t, errs.String(), "interrupted")
			assert.Empty(t, w.fake.Accounts())
		})
	}
}

// TestCtrlCWhileTheKeyIsEntered ends init, and the terminal shows again what is entered.
func TestCtrlCWhileTheKeyIsEntered(t *testing.T) {
	t.Parallel()
	master, slave := pseudoterminal(t)
	w := newWorld(t).without("TIMPUSH_SECRET_KEY")
	cmd := w.command("init")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	echoes := func() bool {
		state, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
		require.NoError(t, err)
		return state.Lflag&unix.ECHO != 0
	}
	require.Eventually(t, func() bool { return !echoes() }, 30*time.Second, 5*time.Millisecond)
	_, err := master.WriteString("\x03")
	require.NoError(t, err)
	_ = cmd.Wait()
	assert.Equal(t, 3, cmd.ProcessState.ExitCode())
	assert.True(t, echoes())
	assert.False(t, w.has(".config/timpush/config"))
}

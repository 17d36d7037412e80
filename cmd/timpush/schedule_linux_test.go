package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// manual returns README.md with the paths of a world.
func (w *world) manual() string {
	w.t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(w.t, err)
	return strings.NewReplacer("/usr/local/bin/timpush", tool, "/srv/export", w.dir).Replace(string(text))
}

// TestCrontabOfTheManual runs the lines of the crontab as cron does, night after night. What they print is mailed.
func TestCrontabOfTheManual(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lines := regexp.MustCompile(`(?m)^    [0-9]+ +[0-9]+ \* \* \*  (.*)$`).FindAllStringSubmatch(w.manual(), -1)
	require.Len(t, lines, 3)
	mailed := func(line int) string {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", lines[line][1])
		cmd.Dir, cmd.Env = w.dir, []string{"HOME=" + w.dir, "PATH=/usr/bin:/bin", "GORACE=atexit_sleep_ms=0"}
		out, err := cmd.CombinedOutput()
		if _, isExit := err.(*exec.ExitError); !isExit { //nolint:errorlint // Run does not wrap it
			require.NoError(t, err)
		}
		return string(out)
	}
	assert.Contains(t, mailed(0), "timpush: ", "there is no configuration yet")
	require.Equal(t, 0, w.run("init").code)

	assert.Contains(t, mailed(0), "users.csv: no such file")
	w.write("users.csv", users(3000)+",x,f\n")
	assert.Contains(t, mailed(0), "1 rejected")
	assert.Empty(t, mailed(1), "nothing is left to do")
	w.write("users.csv", users(3000))
	assert.Empty(t, mailed(0), "all is done, and what the night before has left does not matter")

	var calls atomic.Int64
	w.fake.Handle(func(timpushtest.Call) timpushtest.Fault {
		if calls.Add(1) > 10 {
			return timpushtest.ErrorCode(90009)
		}
		return timpushtest.Fault{}
	})
	assert.Contains(t, mailed(0), "stopped early")
	w.fake.Handle(nil)
	assert.Contains(t, mailed(1), "3000 done, of them ")
	assert.Empty(t, mailed(1))

	old, err := filepath.Glob(filepath.Join(w.dir, "users.csv.rejected.*Z.ndjson"))
	require.NoError(t, err)
	require.Len(t, old, 1)
	assert.Empty(t, mailed(2))
	assert.FileExists(t, old[0])
	long := time.Now().Add(-40 * 24 * time.Hour)
	require.NoError(t, os.Chtimes(old[0], long, long))
	assert.Empty(t, mailed(2))
	assert.NoFileExists(t, old[0])
	assert.True(t, w.has("users.csv"))
}

// TestUnitsOfTheManual has systemd read them.
func TestUnitsOfTheManual(t *testing.T) {
	t.Parallel()
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze")
	}
	w := newWorld(t)
	var units []string
	for _, m := range regexp.MustCompile(`(?m)^    # /etc/systemd/system/([a-z@.]+).*\n((?:    .*\n|\n    \[.*\n)+)`).FindAllStringSubmatch(w.manual(), -1) {
		w.write(m[1], strings.ReplaceAll(m[2], "\n    ", "\n")[4:])
		units = append(units, filepath.Join(w.dir, m[1]))
	}
	require.Len(t, units, 3)
	cmd := exec.CommandContext(t.Context(), verify, append([]string{"verify", "--man=no"}, units...)...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+w.dir+":")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Empty(t, string(out))
	for unit, setting := range map[string]string{"timpush.service": "RestartPreventExitStatus=2", "timpush.timer": "[Install]", "alert@.service": "%i"} {
		assert.Contains(t, w.read(unit), setting)
	}
}

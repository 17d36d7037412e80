package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLog(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "log")
	l, err := Open(name, Job{App: "a"}, nil)
	require.NoError(t, err)
	assert.False(t, l.Resumed)
	_, err = Open(name, Job{App: "a"}, nil)
	require.ErrorIs(t, err, ErrLocked)
	for _, runs := range [][][2]int64{{{300, 399}}, {{0, 99}, {110, 112}}, {{100, 109}}} {
		require.NoError(t, l.Append(&Line{Rows: runs, Extents: []Extent{}}))
	}
	require.NoError(t, l.Close())
	l, err = Open(name, Job{App: "a"}, nil)
	require.NoError(t, err)
	assert.True(t, l.Resumed)
	assert.Equal(t, [][2]int64{{0, 112}, {300, 399}}, l.Handled.runs)
	assert.EqualValues(t, 213, l.Handled.Len())
	has := l.Handled.Contains()
	for row, want := range map[int64]bool{0: true, 112: true} {
		assert.Equal(t, want, l.Handled.Contains()(row))
	}
	assert.True(t, has(5))
	assert.False(t, has(113))
	assert.True(t, has(399))
	assert.False(t, has(400))
	require.NoError(t, l.Remove())
	assert.NoFileExists(t, name)
}

// A run is resumed also where the name of a file is not UTF-8, as of one from Windows.
func TestLogOfANameThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "log")
	for _, resumed := range []bool{false, true} {
		l, err := Open(name, Job{Reading: map[string]string{"failures": "\xc3\xa4\xd3\xc3\xbb\xa7.csv.failed.ndjson"}}, nil)
		require.NoError(t, err)
		assert.Equal(t, resumed, l.Resumed)
		require.NoError(t, l.Close())
	}
	_, err := Open(name, Job{Reading: map[string]string{"failures": "other"}}, nil)
	require.ErrorContains(t, err, "other flags")
}

// Whatever byte of the log is lost or spoiled, the lines before it count and no other.
func TestLogThatIsSpoiled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "log")
	l, err := Open(name, Job{}, nil)
	require.NoError(t, err)
	for i := range int64(3) {
		require.NoError(t, l.Append(&Line{Rows: [][2]int64{{i * 10, i*10 + 9}}}))
	}
	require.NoError(t, l.Close())
	whole, err := os.ReadFile(name)
	require.NoError(t, err)
	for at := range whole {
		spoiled := append([]byte(nil), whole...)
		spoiled[at] ^= 0x40
		for _, text := range [][]byte{whole[:at], spoiled} {
			require.NoError(t, os.WriteFile(name, text, 0o600))
			l, err := Open(name, Job{}, nil)
			if len(text) > at && at >= 9 && at < 9+len(beginning) {
				require.ErrorContains(t, err, "it is not a checkpoint", "what does not begin as one may be anything")
				continue
			}
			require.NoError(t, err)
			n := l.Handled.Len()
			require.LessOrEqual(t, n, int64(20))
			require.NoError(t, l.Append(&Line{Rows: [][2]int64{{100, 104}}}))
			require.NoError(t, l.Close())
			l, err = Open(name, Job{}, nil)
			require.NoError(t, err)
			require.Equal(t, n+5, l.Handled.Len(), "what is appended must follow a line that counts")
			require.NoError(t, l.Close())
		}
	}
}

func TestLogOnAFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	l := &Log{chain: chain{file: full}}
	require.ErrorIs(t, l.Append(&Line{}), syscall.ENOSPC)
	require.NoError(t, l.Close())
}

func TestForget(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "log")
	require.NoError(t, Forget(name))
	l, err := Open(name, Job{}, nil)
	require.NoError(t, err)
	assert.ErrorIs(t, Forget(name), ErrLocked)
	require.NoError(t, l.Close())
	require.NoError(t, Forget(name))
	_, err = os.Stat(name)
	assert.True(t, errors.Is(err, os.ErrNotExist))
}

// A name that was given by mistake must not cost the file.
func TestFilesThatAreNoLog(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "notes")
	for _, text := range []string{"x", "a,b\n", "To_Account,city\na,Rome\n", "{}\n", "0123456\n", strings.Repeat("note\n", 1000)} {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		_, err := Open(name, Job{}, nil)
		require.ErrorContains(t, err, "it is not a checkpoint, and is not touched")
		require.ErrorContains(t, Forget(name), "it is not a checkpoint, and is not touched")
		left, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, text, string(left))
	}
	for _, torn := range []string{"", "01234567", "01234567 ", "01234567 {\"timpush", strings.Repeat("\x00", 4096)} {
		require.NoError(t, os.WriteFile(name, []byte(torn), 0o600))
		l, err := Open(name, Job{}, nil)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}

// A version of the tool with other flags has read the rows in another way, and no flag of today's makes it the same.
func TestLogOfAnotherVersion(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "log")
	for _, flags := range []map[string]string{{"map": ""}, {"map": "", "trim": "false", "locale": ""}} {
		l, err := Open(name, Job{Reading: flags}, nil)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		_, err = Open(name, Job{Reading: map[string]string{"map": "", "trim": "false"}}, nil)
		require.ErrorContains(t, err, "it is not a checkpoint of this version of the tool: finish that run with the version that began it")
		require.NoError(t, Forget(name))
	}
}

package checkpoint

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
)

var sixAccounts = Batch{App: "a", Notification: "n", Accounts: "x", Count: 6}

func group(outcome timpush.Outcome, reason string, first, last int64) Group {
	return Group{outcome.String(), reason, [][2]int64{{first, last}}}
}

// writeJournal writes a journal with two requests that have ended, and one that has not.
func writeJournal(t *testing.T, name string) {
	t.Helper()
	j, err := OpenJournal(name, sixAccounts)
	require.NoError(t, err)
	assert.False(t, j.Resumed)
	_, err = OpenJournal(name, sixAccounts)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, j.Begin(0, 1))
	require.NoError(t, j.End("task", []Group{group(timpush.Done, "", 0, 1)}))
	require.NoError(t, j.Begin(2, 3))
	require.NoError(t, j.End("", []Group{group(timpush.NotSent, "no network", 2, 2), group(timpush.Rejected, "unknown", 3, 3)}))
	require.NoError(t, j.Begin(4, 5))
	require.NoError(t, j.Close())
}

func TestJournal(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "journal")
	writeJournal(t, name)
	for run := range 2 {
		j, err := OpenJournal(name, sixAccounts)
		require.NoError(t, err)
		assert.True(t, j.Resumed)
		assert.Equal(t, 2-2*run, j.InFlight, "the request without a result gets one")
		assert.Equal(t, []timpush.Outcome{timpush.Done, timpush.Done, timpush.NotSent, timpush.Rejected, timpush.Unknown, timpush.Unknown}, j.Outcomes)
		assert.Equal(t, []int64{2}, j.Unsent(0, 5))
		assert.Equal(t, "unknown", j.Reasons[3])
		require.NoError(t, j.Close())
	}
	for _, other := range []Batch{{"b", "n", "x", 6}, {"a", "m", "x", 6}, {"a", "n", "y", 6}} {
		_, err := OpenJournal(name, other)
		require.ErrorIs(t, err, ErrOtherBatch)
	}
}

// Whatever byte is damaged, nothing that may have gone out becomes unsent. What is cut off was not followed by a request.
func TestJournalThatIsDamaged(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "journal")
	writeJournal(t, name)
	whole, err := os.ReadFile(name)
	require.NoError(t, err)
	for at := range whole[:len(whole)-1] {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x40
		require.NoError(t, os.WriteFile(name, damaged, 0o600))
		_, err := OpenJournal(name, sixAccounts)
		require.Error(t, err, "byte %d", at)
		left, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, damaged, left)
	}
	for at := 0; at < len(whole); at += 7 {
		require.NoError(t, os.WriteFile(name, whole[:at], 0o600))
		j, err := OpenJournal(name, sixAccounts)
		require.NoError(t, err)
		lines := bytes.Count(whole[:at], []byte("\n"))
		want := [6]timpush.Outcome{}
		if lines >= 2 {
			want[0], want[1] = timpush.Unknown, timpush.Unknown
		}
		if lines >= 3 {
			want[0], want[1] = timpush.Done, timpush.Done
		}
		if lines >= 4 {
			want[2], want[3] = timpush.Unknown, timpush.Unknown
		}
		if lines >= 5 {
			want[2], want[3] = timpush.NotSent, timpush.Rejected
		}
		require.Equal(t, want[:], j.Outcomes, "%d bytes", at)
		first := j.Unsent(0, 5)
		require.NoError(t, j.Begin(int(first[0]), int(first[0])))
		require.NoError(t, j.Close())
		j, err = OpenJournal(name, sixAccounts)
		require.NoError(t, err, "what is appended follows a whole line")
		require.Equal(t, timpush.Unknown, j.Outcomes[first[0]])
		require.NoError(t, j.Close())
	}
}

// A batch of which no one has got anything does not stand in the way of another.
func TestJournalOfABatchThatSentNothing(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(name, sixAccounts)
	require.NoError(t, err)
	require.NoError(t, j.Begin(0, 5))
	require.NoError(t, j.End("", []Group{group(timpush.NotSent, "the key is wrong", 0, 5)}))
	require.NoError(t, j.Close())
	other := Batch{"b", "n", "y", 2}
	j, err = OpenJournal(name, other)
	require.NoError(t, err)
	assert.False(t, j.Resumed)
	assert.Equal(t, []int64{0, 1}, j.Unsent(0, 1))
	require.NoError(t, j.Begin(0, 1))
	require.NoError(t, j.Close())
	_, err = OpenJournal(name, sixAccounts)
	require.ErrorIs(t, err, ErrOtherBatch, "a request that has no result may have gone out")
}

// A line that cannot be written changes nothing, and a result must have all accounts of its request.
func TestJournalThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(name, sixAccounts)
	require.NoError(t, err)
	require.NoError(t, j.Begin(0, 1))
	require.Error(t, j.End("", []Group{group(timpush.Done, "", 0, 0)}), "account 1 has no outcome")
	require.NoError(t, j.Close())
	require.ErrorIs(t, j.Begin(2, 3), os.ErrClosed)
}

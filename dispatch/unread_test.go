//go:build unix

package dispatch_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/timpushtest"
)

// TestMessagesThatCannotBeReadForAWhile: where a server may open no more files, it says of messages that are stored that there are none.
// They were counted as lost, and deleted.
func TestMessagesThatCannotBeReadForAWhile(t *testing.T) {
	t.Parallel()
	openFolder := func(t *testing.T, dir string) *dispatch.Queue { t.Helper(); return open(t, dir, quick) }
	for name, reopen := range map[string]func(*testing.T, string) *dispatch.Queue{
		"embedded": openFolder,
		"a server": func(t *testing.T, dir string) *dispatch.Queue {
			t.Helper()
			js, _ := startServer(t, dir)
			return openOn(t, js)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, dir := timpushtest.Start(t, timpushtest.WithQuota(0)), t.TempDir()
			q := openFolder(t, dir)
			storeMessages(t, q, 0, 300)
			require.NoError(t, q.Close())
			q = reopen(t, dir)
			path := blocks(t, dir, streamName)[0]
			require.NoError(t, os.Rename(path, path+"-away"))
			require.NoError(t, os.Symlink(filepath.Base(path), path)) // opening it fails, as with too many open files

			run(t, q, quickClient(fake))
			eventually(t, "it is reported", func() bool { return strings.Contains(stats(t, q).Paused, "cannot read") })
			time.Sleep(3 * time.Second)
			require.Zero(t, stats(t, q).Lost)
			require.NoError(t, os.Rename(path+"-away", path))
			drained(t, q)
			assert.Equal(t, 300, fake.NumAccounts())
			assert.Zero(t, stats(t, q).Lost)
			assert.Empty(t, stats(t, q).Paused)
			require.NoError(t, q.Close())
		})
	}
}

// TestDamageBeforeWhatCanBeRead: the consumer leaves a message of a server out that is damaged, and goes on. Since others came, the time
// after which it counts as damaged began again and again, and none of them was sent.
func TestDamageBeforeWhatCanBeRead(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), oneDamaged(t, dispatch.WithPatience(time.Second))
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Len(t, fake.Accounts(), 29)
	assert.Equal(t, 1, stats(t, q).Lost)
	assert.Empty(t, stats(t, q).Paused)
}

// TestFewConsumersWhileNothingCanBeRead: each try leaves one over for a minute. There were hundreds.
func TestFewConsumersWhileNothingCanBeRead(t *testing.T) {
	t.Parallel()
	q := oneDamaged(t)
	run(t, q, quickClient(timpushtest.Start(t)))
	eventually(t, "it is reported", func() bool { return strings.Contains(stats(t, q).Paused, "cannot read") })
	time.Sleep(3 * time.Second)
	js, _ := q.JetStream()
	stream, err := js.Stream(t.Context(), streamName)
	require.NoError(t, err)
	assert.LessOrEqual(t, stream.CachedInfo().State.Consumers, 2)
}

// oneDamaged returns a queue of 30 messages on a server, one of which is damaged.
func oneDamaged(t *testing.T, opts ...dispatch.Option) *dispatch.Queue {
	t.Helper()
	dir := t.TempDir()
	q := open(t, dir, quick)
	storeMessages(t, q, 0, 30)
	require.NoError(t, q.Close())
	path := blocks(t, dir, streamName)[0]
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[bytes.Index(data, []byte("user15"))] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o600))
	js, _ := startServer(t, dir)
	return openOn(t, js, opts...)
}

package dispatch_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/timpushtest"
)

// smallDisk mounts a file system of 24 MB, and skips the test where that is not possible.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("a small file system cannot be mounted, which needs root: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// fillDisk takes all but some bytes of a disk with a file, which the returned function removes.
func fillDisk(t *testing.T, dir string, except int64) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	require.NoError(t, err)
	var s syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &s))
	size := int64(s.Bavail)*s.Bsize - except
	require.NoError(t, syscall.Fallocate(int(f.Fd()), 0, 0, size))
	require.NoError(t, f.Close())
	return func() { require.NoError(t, os.Remove(path)) }
}

func bigUser(n int) timpush.UserAttrs {
	value := strings.Repeat("x", 40)
	return timpush.UserAttrs{ToAccount: fmt.Sprint("user", n), Attrs: timpush.Attrs{"city": value, "country": value}}
}

// TestFullDiskRefusesAndRecovers: updates are refused before the server has to write what the disk does not take.
func TestFullDiskRefusesAndRecovers(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	var log records
	q, err := dispatch.OpenEmbedded(t.Context(), dir, appID, quick, dispatch.WithLogger(log.logger()))
	require.NoError(t, err)
	assert.Contains(t, log.text(), "less space than WithMaxBytes")
	set(t, q, user("mary", "1"))
	empty := fillDisk(t, dir, 7<<20)
	began := time.Now()
	require.ErrorIs(t, q.SetAttr(t.Context(), user("mary", "2")), dispatch.ErrFull)
	require.ErrorIs(t, q.SetAttrOnce(t.Context(), "1", user("mary", "2")), dispatch.ErrFull)
	assert.Less(t, time.Since(began), time.Second)
	assert.Contains(t, stats(t, q).Paused, "disk")
	eventually(t, "it is logged", func() bool { return strings.Contains(log.text(), "the disk is full") })
	fake := timpushtest.Start(t)
	stop := run(t, q, quickClient(fake))
	drained(t, q)
	assert.Equal(t, "1", fake.Attrs("mary")["city"], "what is stored is sent meanwhile")

	empty()
	began = time.Now()
	require.NoError(t, q.SetAttr(t.Context(), user("mary", "3")))
	assert.Less(t, time.Since(began), time.Second)
	drained(t, q)
	assert.Empty(t, stats(t, q).Paused)
	stop()
	require.NoError(t, q.Close())
}

// TestFullDiskLosesNothing: others take all of the disk at once, so that the server fails to write.
func TestFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	var log records
	q, err := dispatch.OpenEmbedded(t.Context(), dir, appID, quick, dispatch.WithLogger(log.logger()), dispatch.WithReserve(-1<<40))
	require.NoError(t, err)
	var stored [2000]atomic.Bool
	set1 := func(n int) error {
		err := q.SetAttr(t.Context(), bigUser(n))
		stored[n].Store(err == nil)
		return err
	}
	fake := timpushtest.Start(t, timpushtest.WithQuota(0))
	stop := run(t, q, fake.Client())
	concurrently(500, func(n int) { assert.NoError(t, set1(n)) })
	empty := fillDisk(t, dir, 20<<10)
	concurrently(500, func(n int) {
		err := set1(500 + n)
		if err != nil {
			assert.True(t, errors.Is(err, dispatch.ErrFull) || strings.Contains(err.Error(), "the disk was full"), "%v", err)
		}
	})
	eventually(t, "it is told", func() bool { return strings.Contains(stats(t, q).Paused, "cannot write") })
	require.ErrorIs(t, q.SetAttr(t.Context(), user("mary", "1")), dispatch.ErrFull)

	empty()
	began := time.Now()
	eventually(t, "it stores again", func() bool { return q.SetAttr(t.Context(), user("mary", "1")) == nil })
	assert.Less(t, time.Since(began), 3*time.Second)
	t.Logf("it stores again after %v", time.Since(began))
	for n := 1000; n < 1500; n++ {
		require.NoError(t, set1(n))
	}
	drained(t, q)
	stop()
	sent := map[string]bool{}
	for _, account := range fake.Accounts() {
		sent[account] = true
	}
	for _, l := range letters(t, q) {
		sent[l.User.ToAccount] = true
	}
	for n := range stored {
		if stored[n].Load() {
			assert.True(t, sent[fmt.Sprint("user", n)], "user%d was acknowledged", n)
		}
	}
	assert.Zero(t, stats(t, q).Lost)
	began = time.Now()
	require.NoError(t, q.Close())
	assert.Less(t, time.Since(began), time.Second)
}

func TestCloseOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	q, err := dispatch.OpenEmbedded(t.Context(), dir, appID, quick, dispatch.WithReserve(-1<<40))
	require.NoError(t, err)
	fillDisk(t, dir, 20<<10)
	var storing sync.WaitGroup
	storing.Go(func() {
		concurrently(500, func(n int) { _ = q.SetAttr(t.Context(), bigUser(n)) })
	})
	defer storing.Wait()
	eventually(t, "it is noticed", func() bool { return strings.Contains(stats(t, q).Paused, "cannot write") })
	began := time.Now()
	require.NoError(t, q.Close())
	assert.Less(t, time.Since(began), 3*time.Second)
}

// TestSettledMessagesAreKeptOnAFullDisk: the server writes a note of each message that it deletes. One that the disk did not take made it wait
// for itself, so that nothing was stored or sent any more, also with space again, and Close did not return.
func TestSettledMessagesAreKeptOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	q, err := dispatch.OpenEmbedded(t.Context(), dir, appID, quick, dispatch.WithDuplicateWindow(3*time.Second))
	require.NoError(t, err)
	for n := range 1000 {
		set(t, q, user("mary", fmt.Sprint(n)))
	}
	fake := timpushtest.Start(t)
	stop := run(t, q, quickClient(fake))
	drained(t, q)
	time.Sleep(time.Second)
	set(t, q, user("mary", "Oslo")) // is to be deleted later, and so keeps the block of the others
	drained(t, q)
	empty := fillDisk(t, dir, 20<<10)
	time.Sleep(4 * time.Second) // the others are older than the duplicate window
	assert.Zero(t, stats(t, q).Backlog)
	empty()
	eventually(t, "it stores again", func() bool { return q.SetAttr(t.Context(), user("mary", "Rome")) == nil })
	drained(t, q)
	assert.Equal(t, "Rome", fake.Attrs("mary")["city"])
	eventually(t, "what is settled is deleted then", func() bool { return stats(t, q).Bytes == 0 })
	stop()
	require.NoError(t, q.Close())
}

// TestServerWithAFullDiskIsNamed: a server of one's own keeps its first write error, and answers everything but what is stored.
func TestServerWithAFullDiskIsNamed(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	js, _ := startServer(t, dir)
	q := openOn(t, js, dispatch.WithStoreTimeout(2*time.Second), dispatch.WithMaxBytes(4<<20))
	set(t, q, user("mary", "1"))
	fillDisk(t, dir, 0)
	var err error
	for n := 0; err == nil && n < 1000; n++ {
		err = q.SetAttr(t.Context(), bigUser(n))
	}
	require.ErrorContains(t, err, "not known to be stored")
	require.ErrorContains(t, err, "stores nothing")
	require.ErrorContains(t, err, "free space")
	assert.Contains(t, stats(t, q).Paused, "stores nothing")
	require.NoError(t, q.Close())
}

package dispatch_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
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

var (
	damages    = flag.Int("damages", 0, "how many random damages of an embedded queue of 5,000 messages are tried; 0: 10, of one of 1,000")
	damageSeed = flag.Uint64("damageseed", 1, "of the random damages; 0: a new one")
)

// image is a copy of an embedded queue's folder.
type image struct {
	name    string
	dir     string
	settled int // of the messages
}

// copyQueue copies the folder of a queue as it is: while the queue is open, that is what a crash leaves.
func copyQueue(t *testing.T, from string) string {
	t.Helper()
	for {
		to := t.TempDir()
		err := os.CopyFS(to, os.DirFS(from))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a file was renamed under the copy
		}
		require.NoError(t, err)
		return to
	}
}

// queueImages makes a queue of some messages with an update each, and returns images of it: after a crash and after Close, with
// nothing settled and with half of it settled.
func queueImages(t *testing.T, messages int) []image {
	t.Helper()
	dir := t.TempDir()
	q, err := dispatch.OpenEmbedded(t.Context(), dir, appID, quick)
	require.NoError(t, err)
	storeMessages(t, q, 0, messages/2)
	half := copyQueue(t, dir)
	storeMessages(t, q, messages/2, messages)
	all := []image{{"crash", copyQueue(t, dir), 0}}
	require.NoError(t, q.Close())
	all = append(all, image{"close", dir, 0})

	q, err = dispatch.OpenEmbedded(t.Context(), half, appID, quick)
	require.NoError(t, err)
	stop := run(t, q, timpushtest.Start(t, timpushtest.WithQuota(0)).Client())
	drained(t, q)
	storeMessages(t, q, messages/2, messages/2+10)
	drained(t, q)
	stop()
	storeMessages(t, q, messages/2+10, messages)
	all = append(all, image{"crash, half settled", copyQueue(t, half), messages/2 + 10})
	require.NoError(t, q.Close())
	return append(all, image{"close, half settled", half, messages/2 + 10})
}

func storeMessages(t *testing.T, q *dispatch.Queue, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		set(t, q, user(fmt.Sprint("user", n), "1"))
	}
}

// damage damages a file: a flipped bit, a zeroed part, a zeroed end or a cut end.
func damage(t *testing.T, r *rand.Rand, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	at, kind := r.IntN(len(data)), r.IntN(4)
	end := min(at+1+r.IntN(5000), len(data))
	switch kind {
	case 0:
		data[at] ^= 1 << r.IntN(8)
	case 1:
		clear(data[at:end])
	case 2:
		clear(data[at:])
	case 3:
		data = data[:at]
	}
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return fmt.Sprintf("%s: %s at %d to %d", filepath.Base(path), []string{"flip", "zeroed part", "zeroed end", "cut"}[kind], at, end)
}

// blocks returns the files of a stream with messages.
func blocks(t *testing.T, dir, stream string) (all []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(filepath.Join(dir, "jetstream", "$G", "streams", stream, "msgs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".blk" {
			all = append(all, path)
		}
		return err
	}))
	require.NotEmpty(t, all)
	return all
}

// TestDamageIsCounted damages a stored queue at random: what is delivered then and what is reported as lost are together what was
// acknowledged.
func TestDamageIsCounted(t *testing.T) {
	t.Parallel()
	seed := *damageSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	r := rand.New(rand.NewPCG(seed, 0))
	messages, tries := 5000, *damages
	if tries == 0 {
		messages, tries = 1000, 10
	}
	images := queueImages(t, messages)
	for n := range tries {
		i := images[r.IntN(len(images))]
		dir := copyQueue(t, i.dir)
		stream := fmt.Sprintf("TIMPUSH_%d", appID)
		if r.IntN(10) == 0 {
			stream = "KV_" + stream
		}
		files := blocks(t, dir, stream)
		what := damage(t, r, files[r.IntN(len(files))])
		name := fmt.Sprintf("%d of seed %d: %s, %s %s", n, seed, i.name, stream, what)
		delivered, lost := recovered(t, dir)
		t.Logf("%s: %d delivered, %d lost", name, delivered, lost)
		assert.Equal(t, messages-i.settled, delivered+lost, name)
		if t.Failed() {
			return
		}
	}
}

// TestDamagedBucketRepeatsNothing damages the bucket, so that the server loses the record, refuses to write it, or loses it again
// at once.
func TestDamagedBucketRepeatsNothing(t *testing.T) {
	t.Parallel()
	stream := fmt.Sprintf("KV_TIMPUSH_%d", appID)
	settled := queueImages(t, 100)[3]
	for name, damage := range map[string]func(data []byte, dir string){
		"beginning": func(data []byte, _ string) { clear(data[:1000]) },
		"part":      func(data []byte, _ string) { clear(data[1000:2000]) },
		"later":     func(data []byte, _ string) { clear(data[1500:2500]) },
		"last":      func(data []byte, _ string) { data[len(data)-100] ^= 1 },
		"copy too": func(data []byte, dir string) {
			data[len(data)-100] ^= 1
			assert.NoError(t, os.WriteFile(filepath.Join(dir, streamName+".record"), nil, 0o600))
		},
	} {
		dir := copyQueue(t, settled.dir)
		path := blocks(t, dir, stream)[0]
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		damage(data, dir)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		want := 100 - settled.settled
		if name == "copy too" {
			want = 100 // nothing tells what was settled
		}
		delivered, lost := recovered(t, dir)
		assert.Equal(t, want, delivered, name)
		assert.Zero(t, lost, name)
	}
}

// TestDamagedBucketOfAServerIsNamed: the server stores what is written and does not answer. There is no copy of the record, and another
// process may be writing one, so that an operator has to empty the bucket. All is then sent again.
func TestDamagedBucketOfAServerIsNamed(t *testing.T) {
	t.Parallel()
	var log records
	fake, dir := timpushtest.Start(t), queueImages(t, 10)[3].dir // of a server that was stopped: it does not look at all of it again
	path := blocks(t, dir, "KV_"+streamName)[0]
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)-100] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o600))

	js, _ := startServer(t, dir)
	stop := run(t, openOn(t, js, dispatch.WithLogger(log.logger())), quickClient(fake))
	eventually(t, "it is said", func() bool { return strings.Contains(log.text(), "its data may be damaged") })
	stop()
	require.NoError(t, js.DeleteKeyValue(t.Context(), streamName))
	q := openOn(t, js)
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Len(t, fake.Accounts(), 15)
}

// recovered opens a damaged queue, sends everything and returns how many messages were delivered and how many are reported as lost.
func recovered(t *testing.T, dir string) (delivered, lost int) {
	t.Helper()
	fake := timpushtest.Start(t, timpushtest.WithQuota(0))
	defer fake.Close()
	q, err := dispatch.OpenEmbedded(t.Context(), dir, appID, quick)
	require.NoError(t, err)
	defer func() { assert.NoError(t, q.Close()) }()
	stop := run(t, q, fake.Client())
	defer stop()
	set(t, q, user("last", "1"))
	eventually(t, "everything is sent", func() bool { return fake.Attrs("last") != nil && stats(t, q).Backlog == 0 })
	return len(fake.Accounts()) - 1, stats(t, q).Lost
}

func TestDamageIsReported(t *testing.T) {
	t.Parallel()
	var log records
	fake, dir := timpushtest.Start(t), t.TempDir()
	q := open(t, dir, quick, dispatch.WithLogger(log.logger()))
	storeMessages(t, q, 0, 300)
	require.NoError(t, q.Close())
	path := blocks(t, dir, fmt.Sprintf("TIMPUSH_%d", appID))[0]
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o600))

	q = open(t, dir, quick, dispatch.WithLogger(log.logger()))
	run(t, q, quickClient(fake))
	drained(t, q)
	s := stats(t, q)
	assert.Equal(t, 300, len(fake.Accounts())+s.Lost)
	assert.Equal(t, 1, s.Lost)
	assert.Contains(t, log.text(), "stored messages are lost")
	assert.Contains(t, log.text(), "from="+s.LostAt)
	js, _ := q.JetStream()
	tool, err := dispatch.OpenExisting(t.Context(), js, appID)
	require.NoError(t, err)
	n, err := tool.AcknowledgeLost(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Zero(t, stats(t, q).Lost)
	assert.Empty(t, stats(t, q).LostAt)
	require.NoError(t, q.Close())
}

// TestLostDeadLettersAreCounted: those that are lost look like those that were discarded.
func TestLostDeadLettersAreCounted(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(data []byte) []byte{
		"flip": func(data []byte) []byte { data[len(data)/2] ^= 1; return data }, "cut": func(data []byte) []byte { return data[:len(data)/2] },
		"all of it": func([]byte) []byte { return nil }, "nothing": func(data []byte) []byte { return data },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log records
			fake, dir := timpushtest.Start(t), t.TempDir()
			fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(70107) })
			q := open(t, dir, quick)
			stop := run(t, q, quickClient(fake))
			storeMessages(t, q, 0, 20)
			drained(t, q)
			stop()
			require.NoError(t, q.Discard(t.Context(), 5))
			require.ErrorIs(t, q.Discard(t.Context(), 5), dispatch.ErrNoLetter)
			require.NoError(t, q.PutBack(t.Context(), 15))
			require.NoError(t, q.Close())
			path := blocks(t, dir, streamName+"_DEAD")[0]
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, damage(data), 0o600))

			q = open(t, dir, quick, dispatch.WithLogger(log.logger()))
			s := stats(t, q)
			assert.Len(t, letters(t, q), s.DeadLetters)
			assert.Equal(t, 18, s.DeadLetters+s.Lost)
			assert.Equal(t, name == "nothing", s.Lost == 0)
			assert.Equal(t, s.Lost > 0, strings.Contains(log.text(), "dead letters are lost"))
			if s.Lost > 0 {
				assert.Equal(t, "dead letters", s.LostAt)
			}
			require.NoError(t, q.Close())
			assert.Equal(t, s.Lost, stats(t, open(t, dir, quick)).Lost, "once")
		})
	}
}

// TestSettledLossIsNoLoss: the end of the stream is lost after all of it was sent. Nothing is missing, and what comes next, with
// the same sequences, is sent.
func TestSettledLossIsNoLoss(t *testing.T) {
	t.Parallel()
	fake, dir := timpushtest.Start(t), t.TempDir()
	q := open(t, dir, quick)
	stop := run(t, q, quickClient(fake))
	storeMessages(t, q, 0, 300)
	drained(t, q)
	crashed := copyQueue(t, dir)
	stop()
	path := blocks(t, crashed, fmt.Sprintf("TIMPUSH_%d", appID))[0]
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, info.Size()/2))

	q = open(t, crashed, quick)
	storeMessages(t, q, 300, 400)
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Equal(t, 400, len(fake.Accounts()), "%+v", stats(t, q))
	assert.Zero(t, stats(t, q).Lost)
	for account, values := range cities(fake) {
		assert.Equal(t, []string{"1"}, values, account)
	}
}

// TestRestartsAreNoLoss: a queue that is closed or crashes again and again reports nothing.
func TestRestartsAreNoLoss(t *testing.T) {
	t.Parallel()
	fake, dir := timpushtest.Start(t, timpushtest.WithQuota(0)), t.TempDir()
	for k := range 8 {
		q, err := dispatch.OpenEmbedded(t.Context(), dir, appID, quick, dispatch.WithDuplicateWindow(100*time.Millisecond))
		require.NoError(t, err)
		stop := run(t, q, fake.Client())
		concurrently(200, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprintf("user%d-%d", k, n), "1"))) })
		if k%2 == 0 {
			drained(t, q)
			time.Sleep(200 * time.Millisecond) // messages are deleted
		}
		crashed := copyQueue(t, dir)
		stop()
		require.Zero(t, stats(t, q).Lost)
		require.NoError(t, q.Close())
		dir = crashed
	}
	q := open(t, dir, quick)
	run(t, q, fake.Client())
	drained(t, q)
	assert.Zero(t, stats(t, q).Lost)
	assert.Len(t, fake.Accounts(), 8*200)
}

func TestUnreadableStreamIsNotReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q := open(t, dir, quick)
	storeMessages(t, q, 0, 10)
	require.NoError(t, q.Close())
	meta := filepath.Join(dir, "jetstream", "$G", "streams", fmt.Sprintf("TIMPUSH_%d", appID), "meta.inf")
	data, err := os.ReadFile(meta)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(meta, data[:len(data)/2], 0o600))
	_, err = dispatch.OpenEmbedded(t.Context(), dir, appID, quick)
	require.ErrorContains(t, err, "cannot be read")
	require.NoError(t, os.WriteFile(meta, data, 0o600))
	assert.Equal(t, 10, stats(t, open(t, dir, quick)).Backlog)
}

// partlySent returns the folder of a closed queue of messages, of which the first have been sent.
func partlySent(t *testing.T, fake *timpushtest.Server, sent, messages int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	q := open(t, dir, quick)
	stop := run(t, q, quickClient(fake))
	storeMessages(t, q, 0, sent)
	drained(t, q)
	stop()
	storeMessages(t, q, sent, messages)
	require.NoError(t, q.Close())
	return dir
}

// TestDamagedFilesBesideTheData: the files with which damage is found are damaged themselves.
func TestDamagedFilesBesideTheData(t *testing.T) {
	t.Parallel()
	fake := timpushtest.Start(t)
	dir := partlySent(t, fake, 20, 40)
	for _, name := range []string{".acknowledged", ".record"} {
		path := filepath.Join(dir, streamName+name)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		data[3] ^= 0xff
		require.NoError(t, os.WriteFile(path, data[:len(data)-1], 0o600))
	}
	q := open(t, dir, quick)
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Len(t, fake.Accounts(), 40)
	assert.Zero(t, stats(t, q).Lost)
}

// TestRemovedDataIsCounted: an operator, or a repair of the file system, has taken the data and left the files beside it.
func TestRemovedDataIsCounted(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"", "$G", "$G/streams", "$G/streams/" + streamName} {
		fake := timpushtest.Start(t)
		dir := partlySent(t, fake, 20, 50)
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "jetstream", part)))
		for range 2 {
			q := open(t, dir, quick)
			s := stats(t, q)
			assert.Equal(t, 30, s.Lost, part)
			assert.Equal(t, "21-50", s.LostAt, part)
			require.NoError(t, q.Close())
		}
		q := open(t, dir, quick)
		run(t, q, quickClient(fake))
		storeMessages(t, q, 50, 60)
		drained(t, q)
		assert.Len(t, fake.Accounts(), 30, part)
		assert.Equal(t, 30, stats(t, q).Lost, part)
	}
}

// TestFolderRemovedWhileOpen: the server goes on without its files, and must not acknowledge what is gone with the process.
func TestFolderRemovedWhileOpen(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"", "jetstream"} {
		var log records
		fake, dir := timpushtest.Start(t), filepath.Join(t.TempDir(), "queue")
		q := open(t, dir, quick, dispatch.WithLogger(log.logger()))
		storeMessages(t, q, 0, 20)
		require.NoError(t, os.RemoveAll(filepath.Join(dir, part)))
		if part == "" {
			open(t, dir) // by another process, which knows nothing of this one
		}
		eventually(t, "it is noticed", func() bool { return strings.Contains(stats(t, q).Paused, "removed") })
		require.ErrorContains(t, q.SetAttr(t.Context(), user("mary", "Rome")), "the data in "+dir+" was removed")
		assert.Contains(t, log.text(), "no updates are taken")
		run(t, q, quickClient(fake))
		drained(t, q)
		assert.Len(t, fake.Accounts(), 20, "what it still has is sent")
	}
}

// TestProcessChangesFolder: the folder of a queue is the one that it was when it was opened.
func TestProcessChangesFolder(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	t.Chdir(first)
	fake, q := timpushtest.Start(t), open(t, "queue", quick)
	t.Chdir(second)
	run(t, q, quickClient(fake))
	storeMessages(t, q, 0, 20)
	drained(t, q)
	assert.Empty(t, stats(t, q).Paused)
	files, err := os.ReadDir(second)
	require.NoError(t, err)
	assert.Empty(t, files)
}

// TestFolderOfAnotherApp: the wrong SDKAppID opens a folder. What it finds is not damage, and it leaves the other queue as it is.
func TestFolderOfAnotherApp(t *testing.T) {
	t.Parallel()
	fake, dir := timpushtest.Start(t), t.TempDir()
	q := open(t, dir, quick)
	js, subject := q.JetStream()
	_, err := js.Publish(t.Context(), subject+".set.1", []byte("not of this package"))
	require.NoError(t, err)
	stop := run(t, q, quickClient(fake))
	eventually(t, "it is a dead letter", func() bool { return stats(t, q).DeadLetters == 1 })
	stop()
	storeMessages(t, q, 0, 20)
	require.NoError(t, q.Close())
	for range 2 {
		q, err = dispatch.OpenEmbedded(t.Context(), dir, appID+1)
		require.NoError(t, err)
		assert.Zero(t, stats(t, q).Lost)
		require.NoError(t, q.Close())
		q = open(t, dir)
		s := stats(t, q)
		assert.Equal(t, []int{20, 1, 0}, []int{s.Backlog, s.DeadLetters, s.Lost})
		require.NoError(t, q.Close())
	}
}

func TestDamageWhileOpen(t *testing.T) {
	t.Parallel()
	fake, dir := timpushtest.Start(t), t.TempDir()
	q := open(t, dir, quick, dispatch.WithPatience(time.Second))
	storeMessages(t, q, 0, 300)
	damage(t, rand.New(rand.NewPCG(1, 1)), blocks(t, dir, fmt.Sprintf("TIMPUSH_%d", appID))[0])
	run(t, q, quickClient(fake))
	drained(t, q)
	storeMessages(t, q, 300, 310)
	eventually(t, "all are sent or counted", func() bool { return len(fake.Accounts())+stats(t, q).Lost == 310 })
}

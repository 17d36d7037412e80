package dispatch_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/timpushtest"
)

var streamName = fmt.Sprintf("TIMPUSH_%d", appID)

// startServer starts a NATS server of one's own, with its data in a folder.
func startServer(t *testing.T, dir string, change ...func(*server.Options)) (js jetstream.JetStream, url string) {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir, SyncAlways: true}
	for _, f := range change {
		f(o)
	}
	s, err := server.NewServer(o)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(soon))
	conn, js, err := connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return js, s.ClientURL()
}

func openOn(t *testing.T, js jetstream.JetStream, opts ...dispatch.Option) *dispatch.Queue {
	t.Helper()
	q, err := dispatch.Open(t.Context(), js, appID, append(opts, quick)...)
	require.NoError(t, err)
	return q
}

// shortened is a server whose stream of 300 settled messages has lost its second half in a crash.
func shortened(t *testing.T, fake *timpushtest.Server) jetstream.JetStream {
	t.Helper()
	dir := t.TempDir()
	js, _ := startServer(t, dir)
	q := openOn(t, js)
	stop := run(t, q, quickClient(fake))
	storeMessages(t, q, 0, 300)
	drained(t, q)
	stop()
	crashed := copyQueue(t, dir)
	path := blocks(t, crashed, streamName)[0]
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, info.Size()/2))
	js, _ = startServer(t, crashed)
	return js
}

func TestShortenedStreamIsReadOn(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]int{"it ends before the floor": 100, "it has grown beyond it": 300} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := timpushtest.Start(t)
			q := openOn(t, shortened(t, fake))
			storeMessages(t, q, 300, 300+more)
			run(t, q, quickClient(fake))
			eventually(t, "everything is sent", func() bool { return len(fake.Accounts()) == 300+more })
			drained(t, q)
			assert.Zero(t, stats(t, q).Lost, "all that is missing was sent")
		})
	}
}

// replicated answers as a server does whose streams have three replicas.
func replicated(t *testing.T, js jetstream.JetStream) jetstream.JetStream {
	t.Helper()
	conn := js.Conn()
	_, err := conn.Subscribe("replicated.>", func(m *nats.Msg) {
		to := strings.TrimPrefix(m.Subject, "replicated.")
		if !strings.HasPrefix(to, "$KV.") {
			to = "$JS.API." + to
		}
		if !strings.Contains(to, "STREAM.INFO") {
			assert.NoError(t, conn.PublishMsg(&nats.Msg{Subject: to, Reply: m.Reply, Data: m.Data, Header: m.Header}))
			return
		}
		answer, err := conn.Request(to, m.Data, soon)
		if assert.NoError(t, err) {
			assert.NoError(t, m.Respond([]byte(strings.ReplaceAll(string(answer.Data), `"num_replicas":1`, `"num_replicas":3`))))
		}
	})
	require.NoError(t, err)
	js, err = jetstream.NewWithAPIPrefix(conn, "replicated")
	require.NoError(t, err)
	return js
}

// TestEndLostByAllReplicas: a new leader is given more time to catch up than a lease has.
func TestEndLostByAllReplicas(t *testing.T) {
	t.Parallel()
	fake := timpushtest.Start(t)
	q := openOn(t, replicated(t, shortened(t, fake)), dispatch.WithLease(time.Second))
	set(t, q, user("mary", "Rome"))
	run(t, q, quickClient(fake))
	eventually(t, "it is sent", func() bool { return fake.Attrs("mary")["city"] == "Rome" })
}

func TestUnreadMessagesAreLostWithTheEnd(t *testing.T) {
	t.Parallel()
	dir, fake := t.TempDir(), timpushtest.Start(t)
	js, _ := startServer(t, dir)
	q := openOn(t, js)
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(90009) })
	stop := run(t, q, quickClient(fake))
	storeMessages(t, q, 0, 300)
	time.Sleep(500 * time.Millisecond) // all of it is read, and recorded
	stop()
	crashed := copyQueue(t, dir)
	path := blocks(t, crashed, streamName)[0]
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, info.Size()/2))
	js, _ = startServer(t, crashed)
	q = openOn(t, js)
	fake.Handle(nil)
	run(t, q, quickClient(fake))
	drained(t, q)
	eventually(t, "all are counted", func() bool { return len(fake.Accounts())+stats(t, q).Lost == 300 })
	assert.Positive(t, stats(t, q).Lost)
}

func TestRecreatedStreamIsRead(t *testing.T) {
	t.Parallel()
	var log records
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick, dispatch.WithDuplicateWindow(200*time.Millisecond), dispatch.WithLogger(log.logger()))
	run(t, q, quickClient(fake))
	storeMessages(t, q, 0, 100)
	drained(t, q)
	js, _ := q.JetStream()
	recreateStream(t, js)
	storeMessages(t, q, 100, 150)
	began := time.Now()
	eventually(t, "all are sent", func() bool { return len(fake.Accounts()) == 150 })
	assert.Less(t, time.Since(began), 5*time.Second)
	drained(t, q)
	assert.Zero(t, stats(t, q).Lost)
	assert.Contains(t, log.text(), "replaced")
}

func recreateStream(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	old, err := js.Stream(t.Context(), streamName)
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), streamName))
	_, err = js.CreateStream(t.Context(), old.CachedInfo().Config)
	require.NoError(t, err)
}

// TestBacklogOfARecreatedStream: while no dispatcher has seen it, the record is of the old one.
func TestBacklogOfARecreatedStream(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	stop := run(t, q, quickClient(fake))
	storeMessages(t, q, 0, 10)
	drained(t, q)
	stop()
	js, _ := q.JetStream()
	recreateStream(t, js)
	assert.Zero(t, stats(t, q).Backlog)
	storeMessages(t, q, 10, 15)
	assert.Equal(t, 5, stats(t, q).Backlog)
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Len(t, fake.Accounts(), 15)
}

// TestRecreatedStreamIsNotPurged: what is settled in the old stream is to be deleted before it is known that there is a new one.
func TestRecreatedStreamIsNotPurged(t *testing.T) {
	t.Parallel()
	const window = 10 * time.Second // longer than the first part takes
	js, url := startServer(t, t.TempDir())
	require.NoError(t, openOn(t, js, dispatch.WithDuplicateWindow(window)).Close())
	var blind atomic.Bool
	q := openOn(t, silentAPI(t, url, func(subject string, _ int) bool { return blind.Load() && strings.Contains(subject, "CONSUMER.CREATE") }))
	fake := timpushtest.Start(t, timpushtest.WithQuota(0))
	run(t, q, fake.Client())
	storeMessages(t, q, 0, 100)
	eventually(t, "they are sent", func() bool { return len(fake.Accounts()) == 100 })
	blind.Store(true)
	recreateStream(t, js)
	storeMessages(t, q, 100, 150)
	time.Sleep(window + time.Second)
	blind.Store(false)
	eventually(t, "all are sent", func() bool { return len(fake.Accounts()) == 150 })
}

// TestStreamOfAnotherNameTakesNothing: an operator has made a stream with the same subjects, which no dispatcher reads.
func TestStreamOfAnotherNameTakesNothing(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	q := openOn(t, js)
	set(t, q, user("mary", "1"))
	config := goodConfig(t, js, streamName)
	require.NoError(t, js.DeleteStream(t.Context(), streamName))
	config.Name = "OTHER"
	_, err := js.CreateStream(t.Context(), config)
	require.NoError(t, err)
	require.ErrorContains(t, q.SetAttr(t.Context(), user("mary", "2")), "not stored")
	require.ErrorContains(t, q.SetAttrOnce(t.Context(), "1", user("mary", "2")), "not stored")
}

// TestDeadLettersOfARecreatedStream: its messages have the sequences of the old ones, whose dead letters have just been stored.
func TestDeadLettersOfARecreatedStream(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(70107) })
	run(t, q, quickClient(fake))
	storeMessages(t, q, 0, 10)
	eventually(t, "they are dead", func() bool { return len(letters(t, q)) == 10 })
	js, _ := q.JetStream()
	recreateStream(t, js)
	storeMessages(t, q, 10, 20)
	eventually(t, "the new ones too", func() bool { return len(letters(t, q)) == 20 })
}

func TestDeletedStreamsMessagesAreLost(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(90009) })
	run(t, q, quickClient(fake))
	storeMessages(t, q, 0, 50)
	eventually(t, "all are read", func() bool { return stats(t, q).Paused != "" })
	time.Sleep(400 * time.Millisecond) // and recorded
	js, _ := q.JetStream()
	recreateStream(t, js)
	eventually(t, "the loss is reported", func() bool { return stats(t, q).Lost == 50 })
}

func TestPurgedMessagesAreLost(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	storeMessages(t, q, 0, 50)
	js, _ := q.JetStream()
	s, err := js.Stream(t.Context(), streamName)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context(), jetstream.WithPurgeSequence(21)))
	require.NoError(t, s.DeleteMsg(t.Context(), 30))
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Len(t, fake.Accounts(), 29)
	assert.Equal(t, 21, stats(t, q).Lost)
	assert.Equal(t, "1-20, 30", stats(t, q).LostAt)
}

// TestStatsAfterAPurge: what an operator has deleted counts neither as settled nor as waiting, also while nothing is sent.
func TestStatsAfterAPurge(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	fake, q := timpushtest.Start(t), openOn(t, js)
	run(t, q, quickClient(fake))
	storeMessages(t, q, 0, 30)
	drained(t, q)
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(70009) })
	storeMessages(t, q, 30, 50)
	eventually(t, "it pauses", func() bool { s := stats(t, q); return s.Paused != "" && s.Backlog == 20 })
	stream, err := js.Stream(t.Context(), streamName)
	require.NoError(t, err)
	require.NoError(t, stream.DeleteMsg(t.Context(), 31))
	assert.Positive(t, stats(t, q).Oldest, "of the next one")
	require.NoError(t, stream.Purge(t.Context(), jetstream.WithPurgeKeep(10)))
	assert.Equal(t, 10, stats(t, q).Backlog)
	fake.Handle(nil)
	drained(t, q)
}

// backUp returns a function that restores a stream as it is now, in place of what is there then.
func backUp(t *testing.T, js jetstream.JetStream, name string) (restore func()) {
	t.Helper()
	conn := js.Conn()
	request := func(subject string, body, answer any) {
		data, err := json.Marshal(body)
		require.NoError(t, err)
		m, err := conn.Request("$JS.API.STREAM."+subject+"."+name, data, soon)
		require.NoError(t, err)
		require.NotContains(t, string(m.Data), `"error"`)
		require.NoError(t, json.Unmarshal(m.Data, answer))
	}
	parts, err := conn.SubscribeSync(conn.NewInbox())
	require.NoError(t, err)
	var stream map[string]any
	request("SNAPSHOT", map[string]string{"deliver_subject": parts.Subject}, &stream)
	var data [][]byte
	for {
		part, err := parts.NextMsg(soon)
		require.NoError(t, err)
		if len(part.Data) == 0 {
			break
		}
		data = append(data, part.Data)
		if part.Reply != "" {
			require.NoError(t, part.Respond(nil))
		}
	}
	return func() {
		require.NoError(t, js.DeleteStream(t.Context(), name))
		var to struct {
			Subject string `json:"deliver_subject"`
		}
		request("RESTORE", map[string]any{"config": stream["config"], "state": stream["state"]}, &to)
		for _, part := range append(data, nil) {
			m, err := conn.Request(to.Subject, part, soon)
			require.NoError(t, err)
			require.NotContains(t, string(m.Data), `"error"`)
		}
	}
}

// TestRestoredBackup: the server gives a stream that is restored a new time of creation.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	bucket := "KV_" + streamName
	for name, order := range map[string][]string{
		"stream and bucket":                     {streamName, bucket},
		"bucket from before the stream's end":   {bucket, "", streamName},
		"stream from before the bucket's end":   {streamName, "", bucket},
		"stream alone, under a running process": {streamName},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log records
			js, _ := startServer(t, t.TempDir())
			fake, q := timpushtest.Start(t), openOn(t, js, dispatch.WithLogger(log.logger()))
			stop := run(t, q, quickClient(fake))
			city := 0
			setNext := func() {
				city++
				concurrently(300, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", n), fmt.Sprint(city)))) })
			}
			for range 3 {
				setNext()
				drained(t, q)
			}
			time.Sleep(400 * time.Millisecond) // and that is recorded
			var restore []func()
			for _, stream := range order {
				if stream == "" {
					setNext()
					drained(t, q)
					time.Sleep(400 * time.Millisecond)
					continue
				}
				restore = append(restore, backUp(t, js, stream))
			}
			if len(order) > 1 {
				stop()
			}
			for _, f := range restore {
				f()
			}
			setNext()
			if len(order) > 1 {
				run(t, q, quickClient(fake))
			}
			eventually(t, "the last values are sent", func() bool {
				for n := range 300 {
					if fake.Attrs(fmt.Sprint("user", n))["city"] != fmt.Sprint(city) {
						return false
					}
				}
				return true
			})
			for _, values := range cities(fake) {
				requireOrder(t, values)
			}
			drained(t, q)
			assert.Zero(t, stats(t, q).Lost)
			assert.NotContains(t, log.text(), "are lost")
		})
	}
}

// TestBacklogOfARestoredBackup: of what was read and is not settled, only that is lost which was stored after the backup.
func TestBacklogOfARestoredBackup(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]int{"all of it": 0, "without the end": 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js, _ := startServer(t, t.TempDir())
			fake, q := timpushtest.Start(t), openOn(t, js)
			stop := run(t, q, quickClient(fake))
			storeMessages(t, q, 0, 30)
			drained(t, q)
			fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(70009) })
			storeMessages(t, q, 30, 50)
			eventually(t, "it pauses", func() bool { s := stats(t, q); return s.Paused != "" && s.Backlog == 20 })
			restore := backUp(t, js, streamName)
			storeMessages(t, q, 50, 50+more)
			time.Sleep(400 * time.Millisecond) // they are read, and that is recorded
			stop()
			fake.Handle(nil)
			restore()
			assert.Equal(t, 20, stats(t, q).Backlog)
			run(t, q, quickClient(fake))
			drained(t, q)
			assert.Len(t, fake.Accounts(), 50)
			assert.Equal(t, more, stats(t, q).Lost)
		})
	}
}

// TestOlderBackupOfTheBucket: until the stream is backed up, too, what the bucket's backup has as not settled is sent and deleted.
func TestOlderBackupOfTheBucket(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	fake, q := timpushtest.Start(t), openOn(t, js, dispatch.WithDuplicateWindow(300*time.Millisecond))
	stop := run(t, q, quickClient(fake))
	city := 0
	setNext := func() {
		city++
		concurrently(100, func(n int) {
			assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", n), fmt.Sprintf("%02d", city))))
		})
	}
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(70009) })
	setNext()
	eventually(t, "it pauses", func() bool { return stats(t, q).Paused != "" })
	time.Sleep(400 * time.Millisecond) // that is recorded
	restoreBucket := backUp(t, js, "KV_"+streamName)
	fake.Handle(nil)
	for range 8 {
		setNext()
		drained(t, q)
		time.Sleep(50 * time.Millisecond)
	}
	restoreStream := backUp(t, js, streamName)
	stop()
	restoreBucket()
	restoreStream()
	run(t, q, quickClient(fake))
	setNext()
	eventually(t, "the last values are sent", func() bool { return fake.Attrs("user99")["city"] == fmt.Sprintf("%02d", city) })
	drained(t, q)
	for account, values := range cities(fake) {
		assert.True(t, slices.IsSorted(values), "%s got %v", account, values)
	}
	assert.Zero(t, stats(t, q).Lost)
}

// TestMemoryOfALargeReplay: all of a stream may have been sent, and it has more than the memory takes.
func TestMemoryOfALargeReplay(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir(), func(o *server.Options) { o.SyncAlways = false })
	fake, q := timpushtest.Start(t, timpushtest.WithQuota(0)), openOn(t, js)
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(70009) })
	const messages = 4000
	for n := range messages {
		var updates []string
		for k := range 100 {
			updates = append(updates, fmt.Sprintf(`{"account":"user%d","attrs":{"city":"Rome"}}`, n*100+k))
		}
		_, err := js.PublishAsync(fmt.Sprintf("timpush.%d.set.100", appID), fmt.Appendf(nil, "[%s]", strings.Join(updates, ",")))
		require.NoError(t, err)
	}
	<-js.PublishAsyncComplete()
	require.NoError(t, q.Crash(t.Context(), messages))
	run(t, q, quickClient(fake))
	eventually(t, "it sends, which pauses", func() bool { return stats(t, q).Paused != "" })
	assert.Less(t, stats(t, q).Redelivered, 350_000, "updates in memory")
	fake.Handle(nil)
	eventually(t, "it goes on", func() bool { return stats(t, q).Backlog < 100*messages })
}

func recreateBucket(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	require.NoError(t, js.DeleteKeyValue(t.Context(), streamName))
	_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: streamName})
	require.NoError(t, err)
}

// TestRecreatedBucketSetsNothingBack: the settled updates are still in the stream, and the record is gone that says so.
func TestRecreatedBucketSetsNothingBack(t *testing.T) {
	t.Parallel()
	fake := timpushtest.Start(t)
	js, _ := startServer(t, t.TempDir())
	var log records
	q := openOn(t, js, dispatch.WithLogger(log.logger()))
	stop := run(t, q, quickClient(fake))
	setAll := func(city int) {
		concurrently(300, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", n), fmt.Sprint(city)))) })
	}
	for city := 1; city <= 2; city++ {
		setAll(city)
		drained(t, q)
	}
	recreateBucket(t, js) // under the running dispatcher, which still knows
	setAll(3)
	drained(t, q)
	stop()
	assert.NotContains(t, log.text(), "is missing")
	recreateBucket(t, js) // and while none runs
	run(t, q, quickClient(fake))
	setAll(4)
	drained(t, q)
	eventually(t, "the last values are sent", func() bool {
		for n := range 300 {
			if fake.Attrs(fmt.Sprint("user", n))["city"] != "4" {
				return false
			}
		}
		return true
	})
	for _, values := range cities(fake) {
		requireOrder(t, values)
	}
	assert.Zero(t, stats(t, q).Lost)
	assert.Contains(t, log.text(), "the record of the dispatcher is missing")
}

func TestDeletedBucketIsReported(t *testing.T) {
	t.Parallel()
	var log records
	fake := timpushtest.Start(t)
	js, _ := startServer(t, t.TempDir())
	q := openOn(t, js, dispatch.WithLogger(log.logger()))
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "1"))
	drained(t, q)
	require.NoError(t, js.DeleteKeyValue(t.Context(), streamName))
	var err error
	eventually(t, "no updates are taken", func() bool { err = q.SetAttr(t.Context(), user("mary", "2")); return err != nil })
	require.ErrorContains(t, err, "KV_"+streamName)
	s, err := q.Stats(t.Context())
	require.NoError(t, err)
	assert.Contains(t, s.Paused, "KV_"+streamName+" does not exist")
	assert.Contains(t, log.text(), "does not exist")

	q = openOn(t, js) // makes it again
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "3"))
	eventually(t, "it is sent", func() bool { return fake.Attrs("mary")["city"] == "3" })
	requireOrder(t, cities(fake)["mary"])
}

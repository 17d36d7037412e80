package dispatch_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
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

// streamWith makes one of the queue's streams with a setting changed, in place of the one that Open makes.
func streamWith(t *testing.T, js jetstream.JetStream, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	config := goodConfig(t, js, name)
	change(&config)
	require.NoError(t, js.DeleteStream(t.Context(), name))
	_, err := js.CreateStream(t.Context(), config)
	require.NoError(t, err)
}

func goodConfig(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	require.NoError(t, err)
	return s.CachedInfo().Config
}

// TestOtherPermissionsAreNotNamed: what another call may not do is no cause of what happens to the reader.
func TestOtherPermissionsAreNotNamed(t *testing.T) {
	t.Parallel()
	var log records
	js, _ := startServer(t, t.TempDir(), func(o *server.Options) {
		permissions := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.MSG.DELETE.>"}}}
		o.NoAuthUser, o.Users = "a", []*server.User{{Username: "a", Permissions: permissions}}
	})
	fake, q := timpushtest.Start(t), openOn(t, js, dispatch.WithLogger(log.logger()))
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "Rome"))
	drained(t, q)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.Error(t, q.Discard(ctx, 1))
	require.ErrorIs(t, js.Conn().LastError(), nats.ErrPermissionViolation)
	s, err := js.Stream(t.Context(), streamName)
	require.NoError(t, err)
	for name := range s.ConsumerNames(t.Context()).Name() {
		require.NoError(t, s.DeleteConsumer(t.Context(), name))
	}
	eventually(t, "reading starts over", func() bool { return strings.Contains(log.text(), "starts over") })
	assert.NotContains(t, strings.ToLower(log.text()), "violation")
}

func goodInfo(t *testing.T, js jetstream.JetStream) *jetstream.StreamInfo {
	t.Helper()
	s, err := js.Stream(t.Context(), streamName)
	require.NoError(t, err)
	return s.CachedInfo()
}

func TestOpenRefusesStreamsThatLoseOrRefuse(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	require.NoError(t, openOn(t, js).Close())
	good := map[string]jetstream.StreamConfig{}
	updates, letters, bucket := streamName, streamName+"_DEAD", "KV_"+streamName
	for _, name := range []string{updates, letters, bucket} {
		good[name] = goodConfig(t, js, name)
	}
	for _, c := range []struct {
		streams []string
		change  func(*jetstream.StreamConfig)
		want    string
	}{
		{[]string{updates, letters}, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }, "--max-msgs-per-subject=-1"},
		{[]string{updates, letters, bucket}, func(c *jetstream.StreamConfig) { c.MaxMsgs = 5 }, "--max-msgs=-1"},
		{[]string{updates, letters, bucket}, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 }, "--max-msg-size=-1"},
		{[]string{updates, letters, bucket}, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "--max-age=-1"},
		{[]string{updates, letters}, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "--discard=new"},
		{[]string{updates, letters, bucket}, func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "storage"},
		{[]string{updates, letters, bucket}, func(c *jetstream.StreamConfig) { c.NoAck = true }, "--ack"},
		{[]string{updates, letters}, func(c *jetstream.StreamConfig) { c.Subjects = []string{"other.>"} }, "--subjects="},
		{[]string{updates, letters}, func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy; c.AllowDirect = false }, "retention"},
		{[]string{updates, letters, bucket}, func(c *jetstream.StreamConfig) {
			c.Subjects, c.Mirror, c.AllowRollup = nil, &jetstream.StreamSource{Name: "OTHER"}, false
		}, "mirror"},
		{[]string{updates, letters, bucket}, func(c *jetstream.StreamConfig) { c.Sources = []*jetstream.StreamSource{{Name: "OTHER"}} }, "sources"},
		{[]string{updates}, func(c *jetstream.StreamConfig) { c.DenyPurge = true }, "purged"},
		{[]string{letters}, func(c *jetstream.StreamConfig) { c.DenyDelete = true }, "deleted"},
		{[]string{updates}, func(c *jetstream.StreamConfig) { c.MaxConsumers = 1 }, "consumers"},
		{[]string{updates}, func(c *jetstream.StreamConfig) { c.ConsumerLimits.InactiveThreshold = time.Second }, "consumers"},
		{[]string{bucket}, func(c *jetstream.StreamConfig) { c.MaxBytes = 1000 }, "--max-bytes=-1"},
		{[]string{bucket}, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 64 }, "--max-msgs-per-subject=1"},
		{[]string{updates}, func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: ">", Destination: "x.>"}
		}, "subjects"},
	} {
		for _, name := range c.streams {
			streamWith(t, js, name, c.change)
			_, err := dispatch.Open(t.Context(), js, appID)
			require.ErrorContains(t, err, "stream "+name+": ")
			assert.ErrorContains(t, err, c.want, name)
			q, err := dispatch.OpenExisting(t.Context(), js, appID)
			require.NoError(t, err, "a tool can look")
			eventually(t, "the reason is told", func() bool { return strings.Contains(stats(t, q).Paused, c.want) })
			require.NoError(t, q.Close())
			streamWith(t, js, name, func(now *jetstream.StreamConfig) { *now = good[name] })
		}
	}
	s, err := js.Stream(t.Context(), updates)
	require.NoError(t, err)
	config := s.CachedInfo().Config
	config.Sealed = true
	_, err = js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	_, err = dispatch.Open(t.Context(), js, appID)
	require.ErrorContains(t, err, "sealed")
}

// TestSmallMessagesAreRefused: single updates would be stored, and those that come together would not.
func TestSmallMessagesAreRefused(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir(), func(o *server.Options) { o.MaxPayload = 256 << 10 })
	_, err := dispatch.Open(t.Context(), js, appID)
	require.ErrorContains(t, err, "max_payload")
}

// TestMissingPermissionsAreNamed: the server does not answer a request that it does not permit.
func TestMissingPermissionsAreNamed(t *testing.T) {
	t.Parallel()
	fake, dir := timpushtest.Start(t), t.TempDir()
	js, _ := startServer(t, dir)
	require.NoError(t, openOn(t, js).Close()) // by another user
	for deny, want := range map[string]string{"$JS.API.CONSUMER.CREATE.>": "$JS.API.CONSUMER.CREATE.", "$KV.*.dispatcher": "$KV."} {
		var log records
		js, _ := startServer(t, copyQueue(t, dir), func(o *server.Options) {
			permissions := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{deny}}}
			o.NoAuthUser, o.Users = "a", []*server.User{{Username: "a", Permissions: permissions}}
		})
		run(t, openOn(t, js, dispatch.WithLogger(log.logger()), dispatch.WithLease(time.Second)), quickClient(fake))
		eventually(t, "it is named", func() bool { return strings.Contains(log.text(), want) })
		assert.NotContains(t, log.text(), "may be damaged")
	}
}

// TestPermissionsOfTheREADME: a user who has no others makes a queue and does all there is to do with it.
func TestPermissionsOfTheREADME(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, block, _ := strings.Cut(string(readme), "```text\npermissions")
	block, _, _ = strings.Cut(block, "```")
	path := filepath.Join(t.TempDir(), "server.conf")
	users := "no_auth_user: a, authorization { users: [ { user: a, password: a, permissions" + block + "} ] }"
	require.NoError(t, os.WriteFile(path, []byte(users), 0o600))
	config, err := server.ProcessConfigFile(path)
	require.NoError(t, err)
	js, _ := startServer(t, t.TempDir(), func(o *server.Options) { o.Users, o.NoAuthUser = config.Users, config.NoAuthUser })
	fake, q := timpushtest.Start(t), openOn(t, js, dispatch.WithDuplicateWindow(100*time.Millisecond))
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(70107) })
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "Rome"), user("anna", "Oslo"))
	require.NoError(t, q.SetAttrOnce(t.Context(), "1", user("john", "Lima")))
	eventually(t, "they are dead", func() bool { return len(letters(t, q)) == 3 })
	fake.Handle(nil)
	require.NoError(t, q.PutBack(t.Context(), 1))
	require.NoError(t, q.Discard(t.Context(), 2))
	require.NoError(t, q.Resume(t.Context()))
	drained(t, q)
	_, err = dispatch.OpenExisting(t.Context(), js, appID)
	require.NoError(t, err)
	eventually(t, "messages are deleted", func() bool {
		set(t, q, user("mary", "Bern"))
		return goodInfo(t, js).State.FirstSeq > 4
	})
	require.NoError(t, js.Conn().LastError())
}

// TestLettersOfAMirroredStream: a mirror, such as a backup, keeps the letters that were discarded, and answers requests for them.
func TestLettersOfAMirroredStream(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	fake, q := timpushtest.Start(t), openOn(t, js)
	mirror, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BACKUP", Mirror: &jetstream.StreamSource{Name: streamName + "_DEAD"}})
	require.NoError(t, err)
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(70107) })
	run(t, q, quickClient(fake))
	for n := range 3 {
		set(t, q, user(fmt.Sprint("user", n), "Rome"))
		eventually(t, "it is dead", func() bool { return len(letters(t, q)) == n+1 })
	}
	eventually(t, "the mirror has them", func() bool {
		info, err := mirror.Info(t.Context())
		return err == nil && info.State.Msgs == 3
	})
	require.NoError(t, q.Discard(t.Context(), 2))
	for range 30 { // one of the streams answers each
		require.Len(t, letters(t, q), 2)
		require.ErrorIs(t, q.PutBack(t.Context(), 2), dispatch.ErrNoLetter)
	}
	drained(t, q)
	assert.Len(t, letters(t, q), 2)
}

// accountWith starts a server whose only account has some limits of its JetStream.
func accountWith(t *testing.T, limits string) jetstream.JetStream {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server.conf")
	require.NoError(t, os.WriteFile(path, []byte(`accounts { A { jetstream { `+limits+` }, users [ { user: a, password: a } ] } }, no_auth_user: a`), 0o600))
	js, _ := startServer(t, t.TempDir(), func(o *server.Options) {
		config, err := server.ProcessConfigFile(path)
		require.NoError(t, err)
		o.Accounts, o.Users, o.NoAuthUser = config.Accounts, config.Users, config.NoAuthUser
	})
	return js
}

// TestAccountThatWantsLimits: hosted accounts take no stream without a limit of its bytes.
func TestAccountThatWantsLimits(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), openOn(t, accountWith(t, "max_bytes_required: true"))
	set(t, q, user("mary", "Rome"))
	run(t, q, quickClient(fake))
	drained(t, q)
}

// TestAccountWithOneConsumer: that of the dispatcher before is there for a minute, while reading is tried ten times a second.
func TestAccountWithOneConsumer(t *testing.T) {
	t.Parallel()
	var log records
	fake, q := timpushtest.Start(t), openOn(t, accountWith(t, "max_consumers: 1"), dispatch.WithLogger(log.logger()))
	for _, city := range []string{"Rome", "Oslo"} {
		set(t, q, user("mary", city))
		stop := run(t, q, quickClient(fake))
		if city == "Rome" {
			drained(t, q)
			stop()
		}
	}
	eventually(t, "it is named", func() bool { return strings.Contains(log.text(), "maximum consumers limit reached") })
	assert.Contains(t, stats(t, q).Paused, "maximum consumers limit reached")
	time.Sleep(500 * time.Millisecond)
	assert.Equal(t, 1, strings.Count(log.text(), "starts over"))
}

// TestAccountWithoutSpace: another stream takes all that the account may store. The record cannot be written either, which is no damage.
func TestAccountWithoutSpace(t *testing.T) {
	t.Parallel()
	var log records
	js := accountWith(t, "max_file: 16M")
	fake, q := timpushtest.Start(t), openOn(t, js, dispatch.WithMaxBytes(1<<20), dispatch.WithLogger(log.logger()), dispatch.WithLease(time.Second))
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "Rome"))
	drained(t, q)
	other, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}})
	require.NoError(t, err)
	for size := 1 << 19; size > 10; {
		if _, err = js.Publish(t.Context(), "other", make([]byte, size)); err != nil {
			size /= 2
		}
	}
	require.ErrorIs(t, q.SetAttr(t.Context(), user("mary", "Oslo")), dispatch.ErrFull)
	eventually(t, "it is said", func() bool {
		s, err := q.Stats(t.Context()) // which fails where the disk takes a second for a write
		return err == nil && strings.Contains(s.Paused, "limits exceeded for account")
	})
	time.Sleep(4 * time.Second) // more tries than make a bucket count as damaged
	assert.NotContains(t, log.text(), "damaged")

	require.NoError(t, other.Purge(t.Context()))
	set(t, q, user("mary", "Lima"))
	drained(t, q)
	assert.Equal(t, "Lima", fake.Attrs("mary")["city"])
	assert.Empty(t, stats(t, q).Paused)
}

// TestRefusedCredentials: a client of NATS closes a connection for good when its credentials are refused twice, unless it is told not to.
func TestRefusedCredentials(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), server.RANDOM_PORT
	serve := func(password string) (url string, stop func()) {
		s, err := server.NewServer(&server.Options{
			Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir,
			Users: []*server.User{{Username: "app", Password: password}},
		})
		require.NoError(t, err)
		s.Start()
		stop = func() { s.Shutdown(); s.WaitForShutdown() }
		t.Cleanup(stop)
		require.True(t, s.ReadyForConnections(soon))
		port = s.Addr().(*net.TCPAddr).Port
		return s.ClientURL(), stop
	}
	url, stop := serve("1")
	fake := timpushtest.Start(t)
	start := func(log *records, options ...nats.Option) (*dispatch.Queue, <-chan error) {
		options = append(options, nats.UserInfo("app", "1"), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		conn, err := nats.Connect(url, options...)
		require.NoError(t, err)
		t.Cleanup(conn.Close)
		js, err := jetstream.New(conn)
		require.NoError(t, err)
		q, ended := openOn(t, js, dispatch.WithLogger(log.logger()), dispatch.WithLease(200*time.Millisecond)), make(chan error, 1)
		go func() { ended <- q.Run(t.Context(), quickClient(fake)) }()
		return q, ended
	}
	var log records
	closed, closedEnded := start(&log)
	q, ended := start(&log, nats.IgnoreAuthErrorAbort())

	stop()
	_, stop = serve("2")
	for err := range map[error]bool{<-closedEnded: true, closed.SetAttr(t.Context(), user("mary", "Oslo")): true} {
		require.ErrorIs(t, err, nats.ErrConnectionClosed)
		require.ErrorContains(t, err, "IgnoreAuthErrorAbort")
	}
	eventually(t, "it is named", func() bool { return strings.Contains(log.text(), "Authorization Violation") })

	stop()
	serve("1")
	set(t, q, user("mary", "Rome"))
	drained(t, q)
	assert.Empty(t, ended)
}

func TestReplicasAreChecked(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	require.NoError(t, openOn(t, js).Close())
	_, err := dispatch.Open(t.Context(), js, appID, dispatch.WithReplicas(3))
	require.ErrorContains(t, err, "1 replicas, and WithReplicas says 3")
	require.ErrorContains(t, err, "WithReplicaChange")
	_, err = dispatch.Open(t.Context(), js, appID, dispatch.WithReplicas(3), dispatch.WithReplicaChange())
	require.ErrorContains(t, err, "replicas", "one server cannot")
}

// TestStreamEditedUnderWay: an operator lets the stream drop messages while it is used.
func TestStreamEditedUnderWay(t *testing.T) {
	t.Parallel()
	var log records
	fake := timpushtest.Start(t)
	js, _ := startServer(t, t.TempDir())
	q := openOn(t, js, dispatch.WithLogger(log.logger()))
	set(t, q, user("mary", "1"))
	config := goodConfig(t, js, streamName)
	good := config
	config.Discard, config.MaxMsgs = jetstream.DiscardOld, 5
	_, err := js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	acknowledged := 1
	for n := range 50 {
		if q.SetAttr(t.Context(), user(string(rune('A'+n)), "1")) == nil {
			acknowledged++
		}
	}
	eventually(t, "no updates are taken", func() bool {
		_ = stats(t, q) // often, as for several dashboards
		if err = q.SetAttr(t.Context(), user(fmt.Sprint("late", acknowledged), "1")); err == nil {
			acknowledged++
		}
		return err != nil
	})
	require.ErrorContains(t, err, "--max-msgs=-1")
	require.ErrorContains(t, err, "--discard=new")
	assert.Contains(t, stats(t, q).Paused, "--discard=new")
	assert.Contains(t, log.text(), "discard")
	run(t, q, quickClient(fake))
	drained(t, q)
	s := stats(t, q)
	assert.Equal(t, acknowledged, len(fake.Accounts())+s.Lost)
	assert.Positive(t, s.Lost)

	_, err = js.UpdateStream(t.Context(), good)
	require.NoError(t, err)
	eventually(t, "updates are taken again", func() bool { return q.SetAttr(t.Context(), user("john", "1")) == nil })
	drained(t, q)
	assert.Empty(t, stats(t, q).Paused)
}

func TestEmbeddedLimitsCanBeChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q, err := dispatch.OpenEmbedded(t.Context(), dir, appID, dispatch.WithMaxBytes(1<<20))
	require.NoError(t, err)
	set(t, q, user("mary", "1"))
	require.NoError(t, q.Close())
	q, err = dispatch.OpenEmbedded(t.Context(), dir, appID)
	require.NoError(t, err)
	assert.Equal(t, int64(1<<20), stats(t, q).MaxBytes)
	require.NoError(t, q.Close())
	q = open(t, dir, dispatch.WithMaxBytes(1<<40))
	assert.Equal(t, int64(1<<40), stats(t, q).MaxBytes)
	assert.Equal(t, 1, stats(t, q).Backlog)
}

// TestUpdatesThatCannotBeStoredFailTogether: a user of NATS that may not publish updates. Those that wait for others do not fail one
// after the other, and the error names the cause.
func TestUpdatesThatCannotBeStoredFailTogether(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		Users: []*server.User{{Username: "app", Password: "secret", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"$JS.API.>", "$KV.>"}},
		}}},
	})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(soon))
	conn, err := nats.Connect(s.ClientURL(), nats.UserInfo("app", "secret"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	q := openOn(t, js, dispatch.WithStoreTimeout(500*time.Millisecond))

	began := time.Now()
	err = q.SetAttr(t.Context(), user("mary", "Rome"))
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	assert.NotContains(t, err.Error(), "disk")
	concurrently(6000, func(k int) { assert.Error(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", k), "Rome"))) })
	require.NoError(t, q.Close())
	assert.Less(t, time.Since(began), 15*time.Second, "60 messages, not one after the other")
}

package dispatch_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// sampleConfig writes cluster/server.conf for a test: with other ports, so that it can run beside a real one, and so that
// tests can run beside each other.
func sampleConfig(t *testing.T, folder string, base int) string {
	t.Helper()
	sample, err := os.ReadFile("cluster/server.conf")
	require.NoError(t, err)
	config := string(sample)
	for n := 1; n <= 3; n++ {
		config = strings.ReplaceAll(config, fmt.Sprintf("127.0.0.1:622%d", n), fmt.Sprintf("127.0.0.1:%d", base+10+n))
	}
	path := filepath.Join(folder, "server.conf")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	return path
}

// serverEnv has the variables of server n of the sample configuration.
func serverEnv(folder string, base, n int) map[string]string {
	return map[string]string{
		"NAME": fmt.Sprint("server", n), "FOLDER": filepath.Join(folder, fmt.Sprint(n)),
		"PORT": fmt.Sprint(base + n), "CLUSTER_PORT": fmt.Sprint(base + 10 + n),
	}
}

func serverURLs(base int) string {
	return fmt.Sprintf("nats://127.0.0.1:%d,nats://127.0.0.1:%d,nats://127.0.0.1:%d", base+1, base+2, base+3)
}

// serveCluster is the main function of a process that is a server.
func serveCluster(config string) error {
	options, err := server.ProcessConfigFile(config)
	if err != nil {
		return err
	}
	if !options.SyncAlways {
		return fmt.Errorf("%s does not sync every write", config)
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.Start()
	s.WaitForShutdown()
	return nil
}

// process starts this test program in another role; see TestMain.
func process(t *testing.T, role string, env map[string]string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testProgram)
	cmd.Env = append(os.Environ(), "DISPATCH_ROLE="+role)
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { kill(cmd) })
	return cmd
}

// kill is kill -9.
func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// startCluster starts three servers as processes.
func startCluster(t *testing.T, base int) (url string, servers []*exec.Cmd, restart func(n int)) {
	t.Helper()
	folder := t.TempDir()
	config := sampleConfig(t, folder, base)
	start := func(n int) *exec.Cmd {
		env := serverEnv(folder, base, n+1)
		env["CONFIG"] = config
		return process(t, "server", env)
	}
	for n := range 3 {
		servers = append(servers, start(n))
	}
	return serverURLs(base), servers, func(n int) { servers[n] = start(n) }
}

func connect(url string) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.RetryOnFailedConnect(true))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn)
	return conn, js, err
}

// openCluster opens a queue on a cluster, which may be electing its leaders yet.
func openCluster(t *testing.T, url string, opts ...dispatch.Option) *dispatch.Queue {
	t.Helper()
	conn, js, err := connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	var q *dispatch.Queue
	require.Eventually(t, func() bool {
		q, err = dispatch.Open(t.Context(), js, appID, append(opts, dispatch.WithReplicas(3))...)
		return err == nil
	}, 40*time.Second, 200*time.Millisecond, "the cluster comes up")
	t.Cleanup(func() { assert.NoError(t, q.Close()) })
	return q
}

func TestSampleCluster(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts three servers")
	}
	url, servers, restart := startCluster(t, 13220)
	var log records
	q := openCluster(t, url, quick, dispatch.WithLease(time.Second), dispatch.WithLogger(log.logger()))
	fake := timpushtest.Start(t)
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "1"), user("mary", "2"))
	drained(t, q)
	storeLettersWhileTheLeaderChanges(t, q, fake, url)
	assert.NotContains(t, log.text(), "dead letters cannot be stored")
	concurrently(12, func(k int) { openNew(t, url, appID+1+k%4) })
	kill(servers[0])
	set(t, q, user("mary", "3")) // waits for the election of a leader, if it was the one
	eventually(t, "it is sent", func() bool { return fake.Attrs("mary")["city"] == "3" })
	requireOrder(t, cities(fake)["mary"])

	_, js, err := connect(url)
	require.NoError(t, err)
	defer js.Conn().Close()
	stream, err := js.Stream(t.Context(), streamName)
	require.NoError(t, err)
	for n := 1; n < 3; n++ {
		if stream.CachedInfo().Cluster.Leader != fmt.Sprint("server", n+1) {
			kill(servers[n])
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err = q.SetAttrOnce(ctx, "1", user("mary", "4"))
	require.ErrorContains(t, err, "more than half of the servers of its cluster must be up")
	assert.NotContains(t, err.Error(), "disk")
	assert.Contains(t, stats(t, q).Paused, "more than half of the servers")
	restart(0)
	require.Eventually(t, func() bool {
		s, err := q.Stats(t.Context())
		return err == nil && s.Paused == ""
	}, 40*time.Second, 100*time.Millisecond, "it is over, though this process stores nothing any more")
}

// storeLettersWhileTheLeaderChanges makes dead letters while one server after the other hands their stream over, as in a rolling restart.
func storeLettersWhileTheLeaderChanges(t *testing.T, q *dispatch.Queue, fake *timpushtest.Server, url string) {
	t.Helper()
	conn, _, err := connect(url)
	require.NoError(t, err)
	defer conn.Close()
	letters := 0
	for range 5 {
		_, err := conn.Request("$JS.API.STREAM.LEADER.STEPDOWN."+streamName+"_DEAD", nil, 5*time.Second)
		require.NoError(t, err)
		for end := time.Now().Add(time.Second); time.Now().Before(end); letters++ {
			name := fmt.Sprint("refused", letters)
			fake.Refuse(70107, name)
			set(t, q, user(name, "1"))
		}
	}
	drained(t, q)
	assert.Equal(t, letters, stats(t, q).DeadLetters)
}

// openNew opens the queue of another app, which other processes make at the same time: not all servers know of the streams at once.
func openNew(t *testing.T, url string, app int) {
	t.Helper()
	conn, js, err := connect(url)
	if !assert.NoError(t, err) {
		return
	}
	defer conn.Close()
	q, err := dispatch.Open(t.Context(), js, app, dispatch.WithReplicas(3), dispatch.WithMaxBytes(1<<20))
	if assert.NoError(t, err) {
		assert.NoError(t, q.Close())
	}
}

// silentAPI forwards requests to the JetStream of a server, and their answers except those that are silent, by the subject and how
// many requests it has had.
func silentAPI(t *testing.T, url string, silent func(subject string, n int) bool) jetstream.JetStream {
	t.Helper()
	return refusingAPI(t, url, silent, func(string) string { return "" })
}

// refusingAPI is silentAPI which also answers requests by itself, unless the answer is "".
func refusingAPI(t *testing.T, url string, silent func(subject string, n int) bool, refusal func(subject string) string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	seen := map[string]int{}
	_, err = conn.Subscribe("silent.>", func(m *nats.Msg) {
		if text := refusal(m.Subject); text != "" {
			assert.NoError(t, m.Respond([]byte(text)))
			return
		}
		seen[m.Subject]++
		to := nats.NewMsg(strings.TrimPrefix(m.Subject, "silent."))
		if !strings.HasPrefix(to.Subject, "$KV.") {
			to.Subject = "$JS.API." + to.Subject
		}
		to.Reply, to.Data, to.Header = m.Reply, m.Data, m.Header
		if silent(m.Subject, seen[m.Subject]) {
			to.Reply = ""
		}
		assert.NoError(t, conn.PublishMsg(to))
	})
	require.NoError(t, err)
	js, err := jetstream.NewWithAPIPrefix(conn, "silent")
	require.NoError(t, err)
	return js
}

// TestLostAnswerIsNoLostLease: the record is written, and the answer does not come.
func TestLostAnswerIsNoLostLease(t *testing.T) {
	t.Parallel()
	js, url := startServer(t, t.TempDir())
	require.NoError(t, openOn(t, js).Close())
	var log records
	lost := make(chan struct{})
	q, err := dispatch.Open(t.Context(), silentAPI(t, url, func(subject string, n int) bool {
		if !strings.HasPrefix(subject, "silent.$KV.") || n != 3 {
			return false
		}
		close(lost)
		return true
	}), appID, quick, dispatch.WithLogger(log.logger()))
	require.NoError(t, err)
	fake := timpushtest.Start(t)
	run(t, q, quickClient(fake))
	<-lost
	set(t, q, user("mary", "1"))
	eventually(t, "it is sent", func() bool { return fake.Attrs("mary") != nil })
	drained(t, q)
	assert.NotContains(t, log.text(), "stands by")
}

// TestNoQuorumIsNoDamage: a server that leads the bucket while the others are gone refuses to write the record, since an earlier write is not
// done. It was said that the bucket may be damaged and should be deleted.
func TestNoQuorumIsNoDamage(t *testing.T) {
	t.Parallel()
	js, url := startServer(t, t.TempDir())
	require.NoError(t, openOn(t, js).Close())
	var log records
	var alone atomic.Bool
	never := func(string, int) bool { return false }
	q, err := dispatch.Open(t.Context(), refusingAPI(t, url, never, func(subject string) string {
		if alone.Load() && strings.HasPrefix(subject, "silent.$KV.") {
			return `{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}`
		}
		return ""
	}), appID, quick, dispatch.WithLease(4*time.Second), dispatch.WithLogger(log.logger()))
	require.NoError(t, err)
	fake := timpushtest.Start(t)
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "1"))
	drained(t, q)
	alone.Store(true)
	time.Sleep(800 * time.Millisecond)
	alone.Store(false)
	set(t, q, user("mary", "2"))
	drained(t, q)
	assert.NotContains(t, log.text(), "stands by", "the lease is not over")

	alone.Store(true)
	eventually(t, "it is said", func() bool {
		return strings.Contains(stats(t, q).Paused, "nothing is sent: the lease is lost: an earlier write of the record is not done")
	})
	time.Sleep(time.Second)
	alone.Store(false)
	set(t, q, user("mary", "3"))
	drained(t, q)
	assert.Equal(t, "3", fake.Attrs("mary")["city"])
	assert.Empty(t, stats(t, q).Paused)
	assert.NotContains(t, log.text(), "damaged")
}

// TestOpenWithoutAServer: a connection that was not made yet knows nothing of its server. It was said that its max_payload is too small.
func TestOpenWithoutAServer(t *testing.T) {
	t.Parallel()
	conn, js, err := connect("nats://127.0.0.1:1") // nothing listens there
	require.NoError(t, err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = dispatch.Open(ctx, js, appID)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NotContains(t, err.Error(), "max_payload")
}

// TestOpenWithoutJetStream: nats-server has it only with a flag.
func TestOpenWithoutJetStream(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(soon))
	conn, js, err := connect(s.ClientURL())
	require.NoError(t, err)
	defer conn.Close()
	for _, open := range []func(context.Context, jetstream.JetStream, int, ...dispatch.Option) (*dispatch.Queue, error){dispatch.Open, dispatch.OpenExisting} {
		_, err = open(t.Context(), js, appID)
		require.ErrorIs(t, err, nats.ErrNoResponders)
		assert.EqualError(t, err, "dispatch: JetStream does not answer on this NATS server: start it with -js, or enable JetStream for the account: "+nats.ErrNoResponders.Error())
	}
}

func TestOpenDoesNotWaitForOneAnswer(t *testing.T) {
	t.Parallel()
	js, url := startServer(t, t.TempDir())
	require.NoError(t, openOn(t, js).Close())
	began := time.Now()
	q, err := dispatch.Open(t.Context(), silentAPI(t, url, func(subject string, n int) bool { return strings.Contains(subject, "STREAM.INFO") && n == 1 }), appID, quick)
	require.NoError(t, err)
	assert.Less(t, time.Since(began), 4*time.Second)
	fake := timpushtest.Start(t)
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "1"))
	eventually(t, "it is sent", func() bool { return fake.Attrs("mary") != nil })
	assert.Less(t, time.Since(began), 6*time.Second)
}

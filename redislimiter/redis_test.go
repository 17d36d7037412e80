package redislimiter_test

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/redislimiter"
)

var figures = flag.Duration("figures", 0, "how long each part of a figure is measured; 0: briefly, and with bounds that hold on a busy machine")

// engine is a redis-server of the test's own, on a free loopback port. It keeps nothing on disk.
type engine struct {
	t    testing.TB
	path string
	addr string
	args []string
	cmd  *exec.Cmd
}

func startRedis(t testing.TB, args ...string) *engine {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal("redis-server is missing: apt-get install redis-server")
	}
	if err != nil {
		t.Skip("redis-server is missing, this is not tested without it: apt-get install redis-server")
	}
	e := &engine{t: t, path: path, addr: "127.0.0.1:" + freePort(t), args: args}
	e.start()
	t.Cleanup(e.kill)
	return e
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a numeric loopback address never waits
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

func (e *engine) start() {
	e.t.Helper()
	args := append([]string{"--port", e.port(), "--bind", "127.0.0.1", "--dir", e.t.TempDir(), "--save", "", "--appendonly", "no"}, e.args...)
	e.cmd = exec.Command(e.path, args...) //nolint:noctx // kill ends it
	require.NoError(e.t, e.cmd.Start())
	rdb := e.client()
	require.Eventually(e.t, func() bool { return rdb.Ping(e.t.Context()).Err() == nil }, 10*time.Second, 10*time.Millisecond)
}

func (e *engine) port() string {
	_, port, err := net.SplitHostPort(e.addr)
	require.NoError(e.t, err)
	return port
}

func (e *engine) kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

func (e *engine) client() *redis.Client {
	rdb := newClient(e.addr)
	e.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// noNotices keeps a client from asking for notices of maintenance, which an ordinary server does not have.
var noNotices = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

func newClient(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addr, MaintNotificationsConfig: noNotices})
}

// More callers than there are slots within the horizon: 40 replicas with four callers each.
func manyReplicas(t *testing.T) {
	rdb := startRedis(t).client()
	ctx := within(t, 4*time.Second)
	var mu sync.Mutex
	var times []time.Time
	var all sync.WaitGroup
	for range 40 {
		l := newLimiter(t, rdb)
		for range 4 {
			all.Go(func() {
				for l.Wait(ctx) == nil {
					mu.Lock()
					times = append(times, time.Now())
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	asks := asked(t, rdb)
	steady := after(times, times[0].Add(time.Second))
	rate := float64(len(steady)-1) / steady[len(steady)-1].Sub(steady[0]).Seconds()
	t.Logf("40 replicas: %.1f calls/s, most in a second %d, %.1f round trips a call", rate, most(times), float64(asks)/float64(len(times)))
	assert.Greater(t, rate, 90.0)
	assert.LessOrEqual(t, most(times), 110)
}

// asked is how often a script was run.
func asked(t *testing.T, rdb *redis.Client) (n int) {
	t.Helper()
	line := rdb.InfoMap(t.Context(), "commandstats").Item("Commandstats", "cmdstat_evalsha")
	_, err := fmt.Sscanf(line, "calls=%d,", &n)
	require.NoError(t, err)
	return n
}

func after(times []time.Time, t time.Time) []time.Time {
	for i := range times {
		if !times[i].Before(t) {
			return times[i:]
		}
	}
	return nil
}

// What a call costs beside its wait: a million slots a second are always free.
func BenchmarkWait(b *testing.B) {
	rdb := startRedis(b).client()
	l, err := redislimiter.New(rdb, app, redislimiter.WithQuota(1_000_000))
	require.NoError(b, err)
	require.NoError(b, l.Wait(b.Context()))
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, l.Wait(b.Context()))
	}
}

package dispatch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/timpushtest"
)

func figure(t *testing.T) {
	t.Helper()
	if !*figures {
		t.Skip("takes minutes; run it with -figures")
	}
}

// fakeConfig is the Config of every fake that has no options for it.
func fakeConfig() timpush.Config {
	return timpush.Config{
		SDKAppID: appID, Identifier: "administrator", SecretKey: strings.Repeat("0123456789abcdef", 4), Region: timpush.RegionSingapore,
	}
}

// load is goroutines that set attributes, and remembers what was acknowledged. Each has an account of its own, for which
// it sets growing numbers. Between these it sets attributes of accounts that come once, so that what comes again is seen.
type load struct {
	latest  []atomic.Int64 // acknowledged number of each goroutine's account
	once    sync.Map       // acknowledged accounts that come once
	stored  atomic.Int64
	refused atomic.Int64
	slowest atomic.Int64
}

// run sets perSecond updates in all until ctx ends.
func (l *load) run(ctx context.Context, q *dispatch.Queue, perSecond int) {
	var all sync.WaitGroup
	interval := time.Second * time.Duration(len(l.latest)) / time.Duration(perSecond)
	for n := range l.latest {
		all.Go(func() {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			for value := int64(1); ctx.Err() == nil; value++ {
				if once := fmt.Sprintf("once%d-%d", n, value); value%10 != 0 {
					if l.set(q, user(once, "1")) {
						l.once.Store(once, true)
					}
				} else if l.set(q, user(fmt.Sprint("user", n), fmt.Sprint(value))) {
					l.latest[n].Store(value)
				}
				select {
				case <-ticker.C:
				case <-ctx.Done():
				}
			}
		})
	}
	all.Wait()
}

func (l *load) set(q *dispatch.Queue, u timpush.UserAttrs) bool {
	began := time.Now()
	if err := q.SetAttr(context.Background(), u); err != nil { // what is begun is ended
		l.refused.Add(1)
		return false
	}
	l.stored.Add(1)
	if took := int64(time.Since(began)); took > l.slowest.Load() {
		l.slowest.Store(took)
	}
	return true
}

// found is the result of a load.
type found struct{ lost, disordered, again int }

// check compares what the fake has seen with what was acknowledged.
func (l *load) check(t *testing.T, fake *timpushtest.Server) (f found) {
	t.Helper()
	for account, values := range cities(fake) {
		if !ordered(t, values) {
			f.disordered++
		}
		f.again += len(values) - len(slices.Compact(values))
		if _, ok := l.once.LoadAndDelete(account); !ok && strings.HasPrefix(account, "once") {
			require.Positive(t, l.refused.Load(), "%s was never set", account)
		}
	}
	for account := range l.once.Range {
		t.Logf("%v was never sent", account)
		f.lost++
	}
	for n := range l.latest {
		last := 0
		if number := l.latest[n].Load(); number > 0 {
			_, _ = fmt.Sscan(fake.Attrs(fmt.Sprint("user", n))["city"], &last) // else it is 0, which is less
			if int64(last) < number {
				t.Logf("the latest of user%d is %d, and %d was acknowledged", n, last, number)
				f.lost++
			}
		}
	}
	return f
}

// report requires that nothing was lost or out of order, and prints all numbers of a figure by name.
func (f found) report(t *testing.T, figure string) {
	t.Helper()
	attr(t, figure+".lost", f.lost)
	attr(t, figure+".disordered", f.disordered)
	attr(t, figure+".again", f.again)
	assert.Zero(t, f.lost, "acknowledged updates were lost")
	assert.Zero(t, f.disordered, "accounts had an earlier value after a later one")
}

func attr[T int | int64 | float64](t *testing.T, name string, value T) {
	t.Helper()
	t.Attr(name, fmt.Sprint(value))
}

func TestFigureThroughput(t *testing.T) { //nolint:paralleltest // it measures
	figure(t)
	// Without the fake's quota: it is the client's to keep, and a busy machine would measure the pauses after a refusal.
	fake := timpushtest.Start(t, timpushtest.WithLatency(50*time.Millisecond, 20*time.Millisecond), timpushtest.WithQuota(0))
	q := open(t, t.TempDir(), dispatch.WithDuplicateWindow(5*time.Second)) // so that it also deletes
	run(t, q, fake.Client())
	l := &load{latest: make([]atomic.Int64, 2000)}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	began := time.Now()
	l.run(ctx, q, 10_000)
	published, backlog := time.Since(began), stats(t, q).Backlog
	drained(t, q)
	sent := time.Since(began)
	attr(t, "throughput.stored", float64(l.stored.Load())/published.Seconds())
	attr(t, "throughput.slowest", time.Duration(l.slowest.Load()).Seconds())
	attr(t, "throughput.backlog", backlog)
	attr(t, "throughput.sent", float64(l.stored.Load())/sent.Seconds())
	attr(t, "throughput.peak", fake.PeakRate())
	l.check(t, fake).report(t, "throughput")
}

// workers keeps n workers alive, and kills them.
type workers struct {
	t     *testing.T
	env   map[string]string
	alive []*exec.Cmd
}

func startWorkers(t *testing.T, n int, nats, fake, lease string) *workers {
	t.Helper()
	w := &workers{t: t, env: map[string]string{"NATS": nats, "FAKE": fake, "LEASE": lease}}
	for range n {
		w.alive = append(w.alive, process(t, "worker", w.env))
	}
	return w
}

func (w *workers) killOne() {
	k := rand.IntN(len(w.alive))
	kill(w.alive[k])
	w.alive[k] = process(w.t, "worker", w.env)
}

// pauseOne stops a worker for long enough that another one takes over, and lets it go on.
func (w *workers) pauseOne() {
	pid := fmt.Sprint(w.alive[rand.IntN(len(w.alive))].Process.Pid)
	require.NoError(w.t, exec.CommandContext(w.t.Context(), "kill", "-STOP", pid).Run())
	time.Sleep(6 * time.Second)
	require.NoError(w.t, exec.CommandContext(w.t.Context(), "kill", "-CONT", pid).Run())
}

// killing is a figure: a load while trouble is made, which cuts off a sender a number of times at most.
type killing struct {
	name            string
	perSecond, cuts int
	trouble         func()
}

func (k killing) measure(t *testing.T, q *dispatch.Queue, fake *timpushtest.Server) {
	t.Helper()
	l := &load{latest: make([]atomic.Int64, 500)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); l.run(ctx, q, k.perSecond) }()
	time.Sleep(5 * time.Second)
	k.trouble()
	cancel()
	<-ended
	calls := fake.Calls()
	require.Eventually(t, func() bool { s, err := q.Stats(t.Context()); return err == nil && s.Backlog == 0 }, time.Minute, 100*time.Millisecond)
	var silence time.Duration
	for n := 1; n < len(calls); n++ {
		silence = max(silence, calls[n].Time.Sub(calls[n-1].Time))
	}
	found, s, bound := l.check(t, fake), stats(t, q), k.cuts*32*timpush.MaxUsersPerRequest
	attr(t, k.name+".updates", l.stored.Load())
	attr(t, k.name+".refused", l.refused.Load())
	attr(t, k.name+".slowest", time.Duration(l.slowest.Load()).Seconds())
	attr(t, k.name+".silence", silence.Seconds())
	attr(t, k.name+".redelivered", s.Redelivered)
	attr(t, k.name+".bound", float64(found.again)/float64(bound))
	found.report(t, k.name)
	assert.Zero(t, s.DeadLetters)
	assert.LessOrEqual(t, found.again, bound, "what was in flight when a sender was cut off")
}

func TestFigureKilledWorkers(t *testing.T) { //nolint:paralleltest // it measures
	figure(t)
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(10*time.Second))
	conn, js, err := connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	q, err := dispatch.Open(t.Context(), js, appID)
	require.NoError(t, err)
	fake := timpushtest.Start(t, timpushtest.WithPlainHTTP(), timpushtest.WithLatency(50*time.Millisecond, 40*time.Millisecond))
	w := startWorkers(t, 3, s.ClientURL(), fake.URL, "")
	killing{"workers", 1000, *kills + (*kills+4)/5, func() {
		for k := range *kills {
			if w.killOne(); k%5 == 0 {
				w.pauseOne()
			}
			time.Sleep(time.Second + rand.N(4*time.Second))
		}
	}}.measure(t, q, fake)
	require.NoError(t, q.Close())
}

func TestFigureKilledServers(t *testing.T) { //nolint:paralleltest // it measures
	figure(t)
	url, servers, restart := startCluster(t, 14220)
	q := openCluster(t, url)
	fake := timpushtest.Start(t, timpushtest.WithPlainHTTP(), timpushtest.WithLatency(50*time.Millisecond, 40*time.Millisecond))
	conn, js, err := connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	w := startWorkers(t, 2, url, fake.URL, "")
	killed := 0 // servers
	killing{"servers", 500, *kills, func() {
		for range *kills {
			if rand.IntN(2) == 0 {
				w.killOne()
				time.Sleep(rand.N(4 * time.Second))
				continue
			}
			n := rand.IntN(3)
			kill(servers[n])
			killed++
			time.Sleep(rand.N(4 * time.Second))
			restart(n)
			requireCaughtUp(t, js)
		}
	}}.measure(t, q, fake)
	attr(t, "servers.killed", killed)
}

// TestFigureAllKilled kills the server that leads the stream together with both dispatchers, which are started again at once.
func TestFigureAllKilled(t *testing.T) { //nolint:paralleltest // it measures
	figure(t)
	url, servers, restart := startCluster(t, 15220)
	q := openCluster(t, url)
	fake := timpushtest.Start(t, timpushtest.WithPlainHTTP(), timpushtest.WithLatency(50*time.Millisecond, 40*time.Millisecond))
	conn, js, err := connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	w := startWorkers(t, 2, url, fake.URL, "")
	var all []float64
	rounds := (*kills + 2) / 3 // each takes 8 s
	killing{"together", 500, 2 * rounds, func() {
		for range rounds {
			s, err := js.Stream(t.Context(), streamName)
			require.NoError(t, err)
			leader := int(s.CachedInfo().Cluster.Leader[len("server")] - '1')
			began := time.Now()
			kill(servers[leader])
			for k := range w.alive {
				kill(w.alive[k])
			}
			calls := len(fake.Calls())
			for k := range w.alive {
				w.alive[k] = process(t, "worker", w.env)
			}
			eventually(t, "another one sends", func() bool { return len(fake.Calls()) > calls })
			all = append(all, time.Since(began).Seconds())
			restart(leader)
			requireCaughtUp(t, js)
		}
	}}.measure(t, q, fake)
	slices.Sort(all)
	t.Log(all)
	attr(t, "together.median", all[len(all)/2])
	attr(t, "together.longest", all[len(all)-1])
}

// TestElections kills one server after the other while many streams are written to, and measures how long it takes until each stream
// that the server led stores again.
func TestElections(t *testing.T) { //nolint:paralleltest // it measures
	if *elections == 0 {
		t.Skip("measured with -elections")
	}
	const streams = 45
	url, servers, restart := startCluster(t, 16220)
	openCluster(t, url)
	conn, js, err := connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	store := func(stream string) bool {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond) //nolint:usetesting // it goes on until the end
		defer cancel()
		_, err := js.Publish(ctx, stream, nil)
		return err == nil
	}
	for k := range streams {
		name := fmt.Sprint("S", k)
		eventually(t, "the stream is made", func() bool {
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}, Replicas: 3, MaxBytes: 1 << 20})
			return err == nil
		})
		go func() {
			for ; t.Context().Err() == nil; time.Sleep(20 * time.Millisecond) {
				store(name)
			}
		}()
	}
	var all []float64
	for round := range *elections {
		requireCaughtUp(t, js)
		var led []string
		for info := range js.ListStreams(t.Context()).Info() {
			if info.Cluster.Leader == fmt.Sprint("server", round%3+1) && info.Config.Name[0] == 'S' {
				led = append(led, info.Config.Name)
			}
		}
		kill(servers[round%3])
		began, took := time.Now(), make([]float64, len(led))
		concurrently(len(led), func(n int) {
			for !store(led[n]) {
				time.Sleep(50 * time.Millisecond)
			}
			took[n] = time.Since(began).Seconds()
		})
		all = append(all, took...)
		restart(round % 3)
	}
	slices.Sort(all)
	t.Logf("%d elections, median %.1f s, longest %.1f", len(all), all[len(all)/2], all[max(len(all)-5, 0):])
}

// requireCaughtUp waits until all three servers have all that is stored: then one more may be killed.
func requireCaughtUp(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		streams := js.ListStreams(ctx)
		for info := range streams.Info() {
			if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != 2 {
				return false
			}
			for _, peer := range info.Cluster.Replicas {
				if !peer.Current || peer.Offline {
					return false
				}
			}
		}
		return streams.Err() == nil
	}, time.Minute, 100*time.Millisecond)
}

// fill stores updates in a folder until it is killed, and says when there are enough.
func fill(folder string) error {
	ctx := context.Background()
	q, err := dispatch.OpenEmbedded(ctx, folder, appID, dispatch.WithMaxBytes(8<<30))
	if err != nil {
		return err
	}
	var failed atomic.Pointer[error]
	concurrently(500, func(n int) {
		for k := range pendingUpdates / 500 {
			if err := q.SetAttr(ctx, user(fmt.Sprintf("user%d-%d", n, k), "Rome")); err != nil {
				failed.Store(&err)
			}
		}
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	fmt.Println("filled")
	select {}
}

const pendingUpdates = 1_000_000

func TestFigureStartAfterCrash(t *testing.T) { //nolint:paralleltest // it measures
	figure(t)
	folder := t.TempDir()
	cmd := exec.CommandContext(t.Context(), testProgram)
	cmd.Env = []string{"DISPATCH_ROLE=filler", "FOLDER=" + folder}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	began := time.Now()
	_, err = fmt.Fscanln(out, new(string))
	require.NoError(t, err)
	filled := time.Since(began)
	kill(cmd)

	fake := timpushtest.Start(t)
	began = time.Now()
	q := open(t, folder)
	opened := time.Since(began)
	run(t, q, fake.Client())
	eventually(t, "the first request", func() bool { return len(fake.Calls()) > 0 })
	first := time.Since(began)
	attr(t, "start.filled", filled.Seconds())
	attr(t, "start.opened", opened.Seconds())
	attr(t, "start.first", first.Seconds())
	attr(t, "start.backlog", stats(t, q).Backlog)
	assert.Less(t, first, 2*time.Second)
}

package redislimiter_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/redislimiter"
)

// TestValueThatAsksForTheWholeHorizon: a lead in the key that no replica can have.
func TestValueThatAsksForTheWholeHorizon(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m)
		require.NoError(t, l.Wait(t.Context()))
		require.NoError(t, m.Set(key, strconv.FormatInt(time.Now().Add(1500*time.Millisecond).UnixMicro(), 10)+" 90000000"))
		began := time.Now()
		for range 5 {
			require.NoError(t, l.Wait(t.Context()))
		}
		assert.Less(t, time.Since(began), 10*time.Second)
	})
}

// panicking is a Redis client with a fault.
type panicking struct{ redis.Scripter }

func (panicking) EvalSha(context.Context, string, []string, ...any) *redis.Cmd {
	panic("a hook of the client")
}

// TestPanicOfTheClient comes out of the Wait that needed it, and leaves nothing behind.
func TestPanicOfTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, panicking{})
		for range 20 { // more than may wait at a time
			assert.PanicsWithValue(t, "a hook of the client", func() { _ = l.Wait(t.Context()) })
		}
		l.Observe(t.Context(), timpush.Event{Kind: timpush.AttemptEnd, Code: timpush.ErrAppRateLimited})
		synctest.Wait()
	})
}

func TestClientThatIsNil(t *testing.T) {
	t.Parallel()
	for _, rdb := range []redis.Scripter{nil, (*redis.Client)(nil), (*redis.ClusterClient)(nil)} {
		_, err := redislimiter.New(rdb, app)
		require.ErrorContains(t, err, "rdb is nil")
	}
}

// clusterClient counts how often it is told to look which node has what.
type clusterClient struct {
	*memory
	reloads int
}

func (c *clusterClient) ReloadState(context.Context) { c.reloads++ }

// TestSilentNodeOfAClusterIsReplaced: go-redis would ask it for up to a minute after another node has taken over.
func TestSilentNodeOfAClusterIsReplaced(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		c := &clusterClient{memory: m}
		l := newLimiter(t, c)
		require.NoError(t, l.Wait(t.Context()))
		assert.Zero(t, c.reloads)
		m.ask = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		require.Error(t, l.Wait(t.Context()))
		assert.Equal(t, 1, c.reloads)
	})
}

// dialled is a Redis 60 ms away, and counts the connections beside those of its pool.
type dialled struct {
	*memory
	connections atomic.Int64
	dial        func(context.Context) // unless nil, what happens then
}

func (d *dialled) Options() *redis.Options {
	return &redis.Options{Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
		d.connections.Add(1)
		if d.dial != nil {
			d.dial(ctx)
		}
		return nil, errors.New("not needed")
	}}
}

func (*dialled) PoolStats() *redis.PoolStats { return &redis.PoolStats{} }

func TestCallersThatGiveUpOpenNoConnections(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		rdb := &dialled{memory: m}
		l := newLimiter(t, rdb)
		m.back = func() { time.Sleep(60 * time.Millisecond) }
		for range 20 {
			require.ErrorIs(t, l.Wait(within(t, 30*time.Millisecond)), context.DeadlineExceeded)
		}
		time.Sleep(time.Second)
		assert.Zero(t, rdb.connections.Load(), "Redis has answered, if too late for them")
	})
}

// TestTraceOfACallerSeesNoRedis: its hooks are for the requests of the call, and it may be over when a slow Redis is dialled.
func TestTraceOfACallerSeesNoRedis(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		var seen atomic.Int64
		rdb := &dialled{memory: m, dial: func(ctx context.Context) { // as the package net does
			if trace := httptrace.ContextClientTrace(ctx); trace != nil {
				trace.ConnectStart("tcp", "redis:6379")
			}
		}}
		l := newLimiter(t, rdb)
		m.ask = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		ctx := httptrace.WithClientTrace(within(t, 100*time.Millisecond), &httptrace.ClientTrace{ConnectStart: func(string, string) { seen.Add(1) }})
		require.ErrorIs(t, l.Wait(ctx), context.DeadlineExceeded)
		time.Sleep(time.Second)
		assert.EqualValues(t, 1, rdb.connections.Load())
		assert.Zero(t, seen.Load())
	})
}

// TestPanicOfADialer does not end the process: go-redis makes an error of it.
func TestPanicOfADialer(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, &dialled{memory: m, dial: func(context.Context) { panic("no tunnel") }})
		m.ask = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		var down *redislimiter.RedisError
		require.ErrorAs(t, l.Wait(t.Context()), &down)
	})
}

// TestHurriedCallersOfTheFallback: they have less time than Redis took to answer before it was down, and one of them is to try it.
func TestHurriedCallersOfTheFallback(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, m *memory) {
		l := newLimiter(t, m, redislimiter.WithFallback(0.1))
		m.back = func() { time.Sleep(400 * time.Millisecond) }
		for range 10 {
			require.NoError(t, l.Wait(t.Context()))
		}
		m.ask = func(context.Context) error { return errors.New("down") }
		require.NoError(t, l.Wait(t.Context()))
		var waits sync.WaitGroup
		for range 50 {
			for range 3 {
				waits.Go(func() { assert.NoError(t, l.Wait(within(t, 350*time.Millisecond))) })
			}
			time.Sleep(330 * time.Millisecond)
		}
		waits.Wait()
	})
}

// TestIdleConnectionsThatDieSilently: each question took one of them, and most often its whole time, until none was left.
func TestIdleConnectionsThatDieSilently(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]redis.Options{
		"timeouts of go-redis": {},
		"shorter timeouts":     {ReadTimeout: 400 * time.Millisecond, MaxRetries: -1}, // than that of the limiter
		"resets":               {MaxRetries: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, startRedis(t).addr, 0, 0)
			p.resets = name == "resets"
			o.Addr = p.addr
			usesRedisAgain(t, p, withIdle(t, o))
		})
	}
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		addr := startNode(t).addr
		p := startProxy(t, addr, 0, 0)
		rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, Dialer: p.dial, PoolSize: idle, MaintNotificationsConfig: noNotices})
		t.Cleanup(func() { _ = rdb.Close() })
		require.NoError(t, rdb.ForEachShard(t.Context(), fillPool))
		usesRedisAgain(t, p, rdb)
	})
	t.Run("ring", func(t *testing.T) {
		t.Parallel()
		addr := startRedis(t).addr
		p := startProxy(t, addr, 0, 0)
		rdb := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": addr}, Dialer: p.dial, PoolSize: idle})
		t.Cleanup(func() { _ = rdb.Close() })
		require.NoError(t, rdb.ForEachShard(t.Context(), fillPool))
		usesRedisAgain(t, p, rdb)
	})
}

// usesRedisAgain lets all connections die, and looks how soon Redis is used again.
func usesRedisAgain(t *testing.T, p *proxy, rdb redis.Scripter) {
	l := newLimiter(t, rdb)
	require.NoError(t, l.Wait(t.Context()))
	p.letConnectionsDie()
	began := time.Now()
	require.Error(t, l.Wait(t.Context()))
	for l.Wait(t.Context()) != nil {
		time.Sleep(20 * time.Millisecond)
	}
	assert.Less(t, time.Since(began), 10*time.Second, "as long as go-redis reads, and a little more")
}

// TestClusterWhoseNodesDisagree: each of two nodes says that the other one has the key, as for seconds of a fail-over, and after a resharding
// that was interrupted. The program has the client for a cluster.
func TestClusterWhoseNodesDisagree(t *testing.T) {
	t.Parallel()
	addrs := startCluster(t)
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, MaintNotificationsConfig: noNotices})
	t.Cleanup(func() { _ = rdb.Close() })
	l := newLimiter(t, rdb, redislimiter.WithTimeout(5*time.Second))
	require.NoError(t, l.Wait(t.Context()))
	require.NoError(t, rdb.Del(t.Context(), key).Err())
	slot := rdb.ClusterKeySlot(t.Context(), key).Val()
	owner, err := rdb.MasterForKey(t.Context(), key)
	require.NoError(t, err)
	for _, addr := range addrs {
		if addr != owner.Options().Addr {
			do(t, owner, "cluster", "setslot", slot, "node", newClient(addr).Do(t.Context(), "cluster", "myid").Val())
			break
		}
	}
	err = l.Wait(t.Context())
	require.ErrorContains(t, err, "MOVED")
	assert.ErrorContains(t, err, "the nodes of this cluster do not agree")
}

// TestRefusedNodeOfAClusterIsNoSilence: it is killed while it is used.
func TestRefusedNodeOfAClusterIsNoSilence(t *testing.T) {
	t.Parallel()
	server := startNode(t)
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.addr}, MaintNotificationsConfig: noNotices})
	t.Cleanup(func() { _ = rdb.Close() })
	l := newLimiter(t, rdb)
	require.NoError(t, l.Wait(t.Context()))
	server.kill()
	for range 6 {
		assert.NotContains(t, l.Wait(t.Context()).Error(), "no answer within")
		time.Sleep(300 * time.Millisecond)
	}
}

// TestMasterBecomesReplica with its connections open, as where an operator moves the master, and the name of the host leads to the new one.
func TestMasterBecomesReplica(t *testing.T) {
	t.Parallel()
	old, master := startRedis(t), startRedis(t)
	p := startProxy(t, old.addr, 0, 0)
	l := newLimiter(t, withIdle(t, redis.Options{Addr: p.addr, MaxRetries: -1}))
	require.NoError(t, l.Wait(t.Context()))

	require.NoError(t, old.client().ReplicaOf(t.Context(), "127.0.0.1", master.port()).Err())
	p.target.Store(&master.addr)
	began := time.Now()
	require.ErrorContains(t, l.Wait(t.Context()), "read-only replica")
	for l.Wait(t.Context()) != nil {
		time.Sleep(20 * time.Millisecond)
	}
	assert.Less(t, time.Since(began), 5*time.Second, "questions a quarter of a second apart, each over another connection, took 10 s")
}

const idle = 40 // connections

// withIdle returns a client that has them.
func withIdle(t *testing.T, o redis.Options) *redis.Client {
	t.Helper()
	o.PoolSize, o.MaintNotificationsConfig = idle, noNotices
	rdb := redis.NewClient(&o)
	t.Cleanup(func() { _ = rdb.Close() })
	require.NoError(t, fillPool(t.Context(), rdb))
	require.EqualValues(t, idle, rdb.PoolStats().IdleConns)
	return rdb
}

// fillPool leaves idle connections in the pool of a client.
func fillPool(ctx context.Context, rdb *redis.Client) error {
	for range idle {
		conn := rdb.Conn()
		defer conn.Close()
		if err := conn.Ping(ctx).Err(); err != nil {
			return err
		}
	}
	return nil
}

// refusing is a Redis that refuses every command.
type refusing string

func (r refusing) Error() string                               { return string(r) }
func (r refusing) RedisError()                                 {}
func (r refusing) DialHook(next redis.DialHook) redis.DialHook { return next }
func (r refusing) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(context.Context, []redis.Cmder) error { return r }
}

func (r refusing) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		cmd.SetErr(r)
		return r
	}
}

// refused is the error of a Wait whose Redis answers with a text.
func refused(t *testing.T, text refusing) error {
	t.Helper()
	rdb := newClient("127.0.0.1:1")
	t.Cleanup(func() { _ = rdb.Close() })
	rdb.AddHook(text)
	return newLimiter(t, rdb).Wait(t.Context())
}

// TestLackingRightsAreNamed in the words of servers that are not installed here.
func TestLackingRightsAreNamed(t *testing.T) {
	t.Parallel()
	for server, text := range map[string]refusing{
		"Redis 6":           "ERR Error running script (call to f_caeeee): @user_script:29: @user_script: 29: The user executing the script can't run this command or subcommand",
		"Redis 8, Valkey 8": "ERR ACL failure in script: User less has no permissions to run the 'set' command script: d2e297, on @user_script:29.",
	} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			assert.ErrorContains(t, refused(t, text), "the Redis user lacks rights")
		})
	}
}

// TestPasswordInTheAddress: net repeats an address that is a whole URL, as where a program gives Addr what is meant for redis.ParseURL.
func TestPasswordInTheAddress(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"redis://:pass-word@127.0.0.1:6379/0", "rediss://user:p@ss-word@127.0.0.1:6379", "user:pass-word@127.0.0.1:6379", "pass-word@127.0.0.1:6379", "redis://:p w\"word@127.0.0.1:6379"} {
		for name, rdb := range map[string]redis.UniversalClient{
			"slow":    redis.NewClient(&redis.Options{Addr: addr, MaintNotificationsConfig: noNotices}), // tries to connect for longer than the timeout
			"quick":   redis.NewClient(&redis.Options{Addr: addr, MaintNotificationsConfig: noNotices, MaxRetries: -1, DialerRetries: 1}),
			"cluster": redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, MaintNotificationsConfig: noNotices}),
		} {
			t.Run(name+"/"+addr, func(t *testing.T) {
				t.Parallel()
				defer rdb.Close()
				err := newLimiter(t, rdb, redislimiter.WithTimeout(2*time.Second)).Wait(t.Context())
				var down *redislimiter.RedisError
				require.ErrorAs(t, err, &down)
				for _, text := range []string{err.Error(), fmt.Sprintf("%+v %#v", down.Err, down.Err)} {
					assert.NotContains(t, text, "word")
					assert.Contains(t, text, "@127.0.0.1", "the host is shown")
				}
			})
		}
	}
}

// TestPasswordOfAnUnknownCommand: Redis repeats the arguments of a command that it does not know, as where AUTH has been renamed.
func TestPasswordOfAnUnknownCommand(t *testing.T) {
	t.Parallel()
	for server, text := range map[string]refusing{
		"Redis 5": "ERR unknown command `AUTH`, with args beginning with: `app`, `pass-word`, ",
		"Redis 7": "ERR unknown command 'AUTH', with args beginning with: 'app' 'pass-word' ",
	} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			err := refused(t, text)
			require.ErrorContains(t, err, "unknown command")
			var down *redislimiter.RedisError
			require.ErrorAs(t, err, &down)
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, down.Err, down.Err), "word")
		})
	}
}

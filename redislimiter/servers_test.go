package redislimiter_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/redislimiter"
)

func do(t *testing.T, rdb *redis.Client, args ...any) {
	t.Helper()
	require.NoError(t, rdb.Do(t.Context(), args...).Err())
}

// startNode starts a cluster of one node.
func startNode(t *testing.T) *engine {
	t.Helper()
	node := startRedis(t, "--cluster-enabled", "yes", "--cluster-port", freePort(t))
	rdb := node.client()
	do(t, rdb, "cluster", "addslotsrange", 0, 16383)
	require.Eventually(t, func() bool { return strings.Contains(rdb.ClusterInfo(t.Context()).Val(), "cluster_state:ok") }, 20*time.Second, 50*time.Millisecond)
	return node
}

// startCluster starts three masters with a third of the keys each.
func startCluster(t *testing.T) (addrs []string) {
	t.Helper()
	var nodes []*redis.Client
	var meet [][]any
	for i, slots := range [][2]int{{0, 5460}, {5461, 10921}, {10922, 16383}} {
		bus := freePort(t)
		node := startRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000")
		addrs, nodes = append(addrs, node.addr), append(nodes, node.client())
		do(t, nodes[i], "cluster", "addslotsrange", slots[0], slots[1])
		for _, other := range meet { // each of them, since they would tell each other only after seconds
			do(t, nodes[i], other...)
		}
		meet = append(meet, []any{"cluster", "meet", "127.0.0.1", node.port(), bus})
	}
	for _, node := range nodes {
		require.Eventually(t, func() bool {
			info := node.ClusterInfo(t.Context()).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		}, 20*time.Second, 50*time.Millisecond)
	}
	return addrs
}

func cluster(t *testing.T) {
	addrs := startCluster(t)
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs[:1], MaintNotificationsConfig: noNotices})
	t.Cleanup(func() { _ = rdb.Close() })
	var told atomic.Int64
	t.Run("keys", func(t *testing.T) {
		for id := app; id < app+8; id++ { // on different nodes
			t.Run(strconv.Itoa(id), func(t *testing.T) {
				t.Parallel() // each begins with a second without slots
				if clusterIsUsed(t, rdb, newClient(addrs[0]), id) {
					told.Add(1)
				}
			})
		}
	})
	assert.NotZero(t, told.Load())
	t.Run("rights", func(t *testing.T) { rightsInACluster(t, addrs) })
}

// clusterIsUsed uses the key of an app, and reports whether a client of one node only is told that this is a cluster. If not,
// the key is on this node.
func clusterIsUsed(t *testing.T, cluster *redis.ClusterClient, node *redis.Client, id int) (told bool) {
	l, err := redislimiter.New(cluster, id)
	require.NoError(t, err)
	require.NoError(t, l.Wait(t.Context()))
	require.NoError(t, l.Wait(t.Context()))

	plain, err := redislimiter.New(node, id)
	require.NoError(t, err)
	if err = plain.Wait(t.Context()); err == nil {
		return false
	}
	var down *redislimiter.RedisError
	require.ErrorAs(t, err, &down)
	assert.ErrorContains(t, err, "this Redis is a cluster: use redis.NewClusterClient")
	return true
}

// The rights for a cluster are those that the README names.
func rightsInACluster(t *testing.T, addrs []string) {
	for _, addr := range addrs {
		do(t, newClient(addr), append(append([]any{"acl", "setuser", "push", "on", ">secret"}, rights...), "+cluster|slots")...)
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs[:1], Username: "push", Password: "secret", MaintNotificationsConfig: noNotices})
	t.Cleanup(func() { _ = rdb.Close() })
	for id := app; id < app+8; id++ { // their keys are on different nodes
		l, err := redislimiter.New(rdb, id)
		require.NoError(t, err)
		require.NoError(t, l.Wait(t.Context()))
	}
}

// startReplica starts a replica of a master, which has all its data when it returns.
func startReplica(t *testing.T, master *engine) *engine {
	t.Helper()
	do(t, master.client(), "config", "set", "repl-diskless-sync-delay", "0")
	replica := startRedis(t, "--replicaof", "127.0.0.1", master.port())
	rdb := replica.client()
	require.Eventually(t, func() bool {
		return rdb.InfoMap(t.Context(), "replication").Item("Replication", "master_link_status") == "up"
	}, 20*time.Second, 20*time.Millisecond)
	return replica
}

// startSentinel starts a sentinel that watches a master, and returns its address.
func startSentinel(t *testing.T, master *engine) string {
	t.Helper()
	port := freePort(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join([]string{
		"port " + port, "bind 127.0.0.1", "dir " + filepath.Dir(file), "sentinel monitor main 127.0.0.1 " + master.port() + " 1",
		"sentinel down-after-milliseconds main 300", "sentinel failover-timeout main 2000",
	}, "\n")), 0o600))
	cmd := exec.Command(master.path, file, "--sentinel") //nolint:noctx // the cleanup ends it
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { stop(cmd) })
	return net.JoinHostPort("127.0.0.1", port)
}

// A master is killed while calls are made, and its replica takes over.
func sentinel(t *testing.T) {
	master := startRedis(t)
	replica := startReplica(t, master)
	addr := startSentinel(t, master)
	watcher := redis.NewSentinelClient(&redis.Options{Addr: addr, MaintNotificationsConfig: noNotices})
	t.Cleanup(func() { _ = watcher.Close() })
	require.Eventually(t, func() bool {
		replicas, err := watcher.Replicas(t.Context(), "main").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	}, 20*time.Second, 50*time.Millisecond)
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "main", SentinelAddrs: []string{addr},
	})
	t.Cleanup(func() { _ = rdb.Close() })

	l := newLimiter(t, rdb)
	require.NoError(t, l.Wait(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	killed := time.Now()
	time.AfterFunc(time.Second, master.kill)
	var times []time.Time
	for len(after(times, killed.Add(4*time.Second))) < 100 && time.Since(killed) < 30*time.Second {
		if l.Wait(ctx) == nil {
			times = append(times, time.Now())
		} else {
			time.Sleep(10 * time.Millisecond)
		}
	}
	cancel()
	assert.Equal(t, "master", replica.client().InfoMap(t.Context(), "replication").Item("Replication", "role"))
	t.Log(len(times), "calls, most in a second:", most(times))
	assert.LessOrEqual(t, most(times), 100)
	assert.GreaterOrEqual(t, len(after(times, killed.Add(4*time.Second))), 100)
}

func readOnlyReplicaIsNamed(t *testing.T) {
	master := startRedis(t)
	replica := startReplica(t, master)
	assert.ErrorContains(t, newLimiter(t, replica.client()).Wait(t.Context()), "this Redis is a read-only replica: connect to the master")
}

func foreignValueIsNamed(t *testing.T) {
	rdb := startRedis(t).client()
	inMemory, _ := newMemory(t)
	for name, rdb := range map[string]*redis.Client{"redis-server": rdb, "miniredis": inMemory} {
		for value, set := range map[string][]any{
			"text": {"set", key, "ours"}, "list": {"rpush", key, "a"}, "hash": {"hset", key, "a", "b"}, "fraction": {"set", key, "1.5"},
		} {
			do(t, rdb, "del", key)
			do(t, rdb, set...)
			began := time.Now()
			err := newLimiter(t, rdb).Wait(t.Context())
			var down *redislimiter.RedisError
			require.ErrorAs(t, err, &down, "%s, %s", name, value)
			assert.ErrorContains(t, err, `the key "`+key+`" holds a value that redislimiter did not write: delete it`)
			assert.Less(t, time.Since(began), time.Second)
			kept, err := rdb.Type(t.Context(), key).Result()
			require.NoError(t, err)
			assert.NotEqual(t, "none", kept, "it is not ours to delete")
		}
		do(t, rdb, "del", key)
		require.NoError(t, newLimiter(t, rdb).Wait(t.Context()))
	}
}

var rights = []any{"resetkeys", "~timpush:*", "resetchannels", "-@all", "+evalsha", "+eval", "+get", "+set", "+time"}

// The rights are those that the README names.
func rightsOfAUser(t *testing.T) {
	rdb := startRedis(t).client()
	do(t, rdb, append([]any{"acl", "setuser", "push", "on", ">secret"}, rights...)...)
	do(t, rdb, "acl", "setuser", "less", "on", ">secret", "~timpush:*", "-@all", "+evalsha", "+eval", "+get", "+time")
	login := func(user string) *redis.Client {
		c := redis.NewClient(&redis.Options{Addr: rdb.Options().Addr, Username: user, Password: "secret", MaintNotificationsConfig: noNotices})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	l := newLimiter(t, login("push"))
	require.NoError(t, l.Wait(t.Context()))
	require.NoError(t, l.WaitN(t.Context(), 10))
	lacks := "the Redis user lacks rights, it needs ~" + key + " +evalsha +eval +get +set +time"
	assert.ErrorContains(t, newLimiter(t, login("less")).Wait(t.Context()), lacks)
	ours := newLimiter(t, login("push"), redislimiter.WithKeyPrefix("ours:"))
	assert.ErrorContains(t, ours.Wait(t.Context()), "the Redis user lacks rights, it needs ~ours:{1400000000}:all")
	assert.ErrorContains(t, newLimiter(t, login("other")).Wait(t.Context()), "WRONGPASS")
	do(t, rdb, "config", "set", "requirepass", "secret")
	assert.ErrorContains(t, newLimiter(t, newClient(rdb.Options().Addr)).Wait(t.Context()), "this Redis wants a password")
}

// A full Redis that may not evict refuses to write; one that evicts the key costs a second.
func fullRedis(t *testing.T) {
	rdb := startRedis(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction").client()
	assert.ErrorContains(t, newLimiter(t, rdb).Wait(t.Context()), "OOM")
}

func refusedConnectionIsNoSilence(t *testing.T) {
	addr := "127.0.0.1:" + freePort(t)
	for name, test := range map[string]struct {
		rdb  redis.UniversalClient
		want string
	}{
		"plain":   {newClient(addr), "connection refused"},
		"cluster": {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}}), "connection refused"},
		// go-redis tries each sentinel for longer than the timeout before it reports an error
		"sentinel": {redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: []string{addr}}), "no connection within 500ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() { _ = test.rdb.Close() })
			began := time.Now()
			assert.ErrorContains(t, newLimiter(t, test.rdb).Wait(t.Context()), test.want)
			assert.Less(t, time.Since(began), 2*time.Second)
		})
	}
}

func silentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a numeric loopback address never waits
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	assert.ErrorContains(t, newLimiter(t, newClient(l.Addr().String())).Wait(t.Context()), "no answer within 500ms")
}

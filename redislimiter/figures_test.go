package redislimiter_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/redislimiter"
	"github.com/timpush/timpush-go/timpushtest"
)

const replicas = 4

// The test binary is also the program of the replicas.
func TestMain(m *testing.M) {
	logging.Disable() // go-redis reports every lost connection to standard error
	if os.Getenv("REDISLIMITER_REPLICA") != "" {
		replica()
		return
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // most tests sleep most of the time
	debug.SetGCPercent(400)            // the Redis in this process makes much garbage
	os.Exit(m.Run())
}

// replica makes calls, each for one user that bears its name, until its standard input ends.
func replica() {
	sdkAppID, _ := strconv.Atoi(os.Getenv("REDISLIMITER_APP"))
	limiter, err := redislimiter.New(newClient(os.Getenv("REDISLIMITER_REDIS")), sdkAppID)
	orExit(err)
	client, err := timpush.NewClient(timpush.Config{
		SDKAppID: sdkAppID, Identifier: os.Getenv("REDISLIMITER_IDENTIFIER"), SecretKey: os.Getenv("REDISLIMITER_KEY"), Region: timpush.RegionChina,
	}, timpush.WithBaseURL(os.Getenv("REDISLIMITER_SERVER")), timpush.WithLimiter(limiter), timpush.WithObserver(limiter))
	orExit(err)
	for i := range 32 { // as many as a Client has in flight
		user := timpush.UserAttrs{ToAccount: fmt.Sprintf("%s-%d", os.Getenv("REDISLIMITER_REPLICA"), i), Attrs: timpush.Attrs{"city": "Rome"}}
		go func() {
			for {
				_, _ = client.SetAttr(context.Background(), []timpush.UserAttrs{user})
			}
		}()
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func orExit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// fleet is some replicas, the fake service that they call, and their Redis.
type fleet struct {
	t        *testing.T
	service  *timpushtest.Server
	redis    *engine
	replicas []*exec.Cmd
}

func startFleet(t *testing.T, opts ...timpushtest.Option) *fleet {
	t.Helper()
	f := &fleet{t: t, redis: startRedis(t)}
	f.service = timpushtest.Start(t, append(opts, timpushtest.WithPlainHTTP(), timpushtest.WithLatency(200*time.Millisecond, 100*time.Millisecond))...)
	id, identifier, key := f.service.App()
	for i := range replicas {
		cmd := exec.Command(os.Args[0]) //nolint:noctx // stop ends it, and so does the end of this process
		cmd.Env = append(os.Environ(), "REDISLIMITER_REPLICA="+strconv.Itoa(i), "REDISLIMITER_REDIS="+f.redis.addr, "REDISLIMITER_SERVER="+f.service.URL,
			"REDISLIMITER_APP="+strconv.Itoa(id), "REDISLIMITER_IDENTIFIER="+identifier, "REDISLIMITER_KEY="+key)
		cmd.Stderr = os.Stderr
		_, err := cmd.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		f.replicas = append(f.replicas, cmd)
		t.Cleanup(func() { stop(cmd) })
	}
	require.Eventually(t, func() bool { return len(f.service.Calls()) > 0 }, 10*time.Second, 10*time.Millisecond)
	return f
}

func stop(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// calls returns the times of the calls in a span, and how many each replica made.
func (f *fleet) calls(from time.Time, d time.Duration) (times []time.Time, by [replicas]int) {
	f.t.Helper()
	for _, call := range f.service.Calls() {
		if call.Time.Before(from) || call.Time.Sub(from) >= d {
			continue
		}
		name, _, _ := strings.Cut(call.Accounts[0], "-")
		i, err := strconv.Atoi(name)
		require.NoError(f.t, err)
		by[i]++
		times = append(times, call.Time)
	}
	return times, by
}

// TestRealTime runs the tests that depend on real time together, since they mostly sleep, and before the others, which would
// take their processor. The figures of the README: go test -run RealTime/figures -v -figures 20s.
func TestRealTime(t *testing.T) { //nolint:paralleltest // see above
	for name, test := range map[string]func(t *testing.T){
		"figures of processes": figuresOfProcesses, "figures at a distance": figuresAtADistance,
		"many replicas": manyReplicas,
		"cluster":       cluster, "sentinel": sentinel, "read-only replica": readOnlyReplicaIsNamed, "foreign value": foreignValueIsNamed,
		"rights": rightsOfAUser, "full Redis": fullRedis, "refused connection": refusedConnectionIsNoSilence, "silent server": silentServer,
	} {
		t.Run(name, func(t *testing.T) {
			if *figures == 0 {
				t.Parallel()
			}
			test(t)
		})
	}
}

// figuresOfProcesses measures four processes, of which one is killed, and a Redis that is restarted without its data.
//
// Without the flag the service refuses nothing: a busy machine holds the service up, too, and the calls of that time arrive
// at once. If the bounds are missed, see how long the stall was that the last line tells of.
func figuresOfProcesses(t *testing.T) {
	span, least, fair, peak, quota := *figures, 95.0, 0.2, 100, timpushtest.WithQuota(100)
	if span == 0 {
		span, least, fair, peak, quota = 1500*time.Millisecond, 50, 0.5, 110, timpushtest.WithQuota(0)
	}
	f, stall := startFleet(t, quota), longestStall(t)
	time.Sleep(time.Second)

	began := time.Now()
	time.Sleep(span)
	times, by := f.calls(began, span)
	t.Logf("four processes: %.1f calls/s of 100, most in a second %d, by process %v", rate(times, span), f.service.PeakRate(), by)
	assert.GreaterOrEqual(t, rate(times, span), least)
	t.Attr("together", fmt.Sprint(rate(times, span)))
	t.Attr("unfair", fmt.Sprint(unfair(by, len(times))))
	for _, n := range by {
		assert.InEpsilon(t, float64(len(times))/replicas, n, fair, "a fair share")
	}

	killed := time.Now()
	stop(f.replicas[0])
	time.Sleep(span + 2*time.Second)
	times, by = f.calls(killed.Add(2*time.Second), span)
	t.Logf("one killed: %.1f calls/s from 2 s after, 95 in a second again %v after, most in a second so far %d, by process %v",
		rate(times, span), f.filled(killed).Round(10*time.Millisecond), f.service.PeakRate(), by)
	assert.GreaterOrEqual(t, rate(times, span), least)
	t.Attr("takeover", fmt.Sprint(f.filled(killed).Seconds()))

	restarted := time.Now()
	f.redis.kill()
	f.redis.start()
	up := time.Since(restarted)
	time.Sleep(span + 3*time.Second)
	t.Logf("Redis restarted without its data, up again after %v: 95 in a second again %v after, most in a second %d, refused %d",
		up.Round(time.Millisecond), f.filled(restarted).Round(10*time.Millisecond), f.service.PeakRate(), len(f.refused()))
	t.Logf("the machine has held this process up for %v at most", stall().Round(time.Millisecond))
	t.Attr("peak", strconv.Itoa(f.service.PeakRate()))
	t.Attr("refused", strconv.Itoa(len(f.refused())))
	t.Attr("stall", fmt.Sprint(stall().Seconds()))
	assert.LessOrEqual(t, f.service.PeakRate(), peak)
	assert.Empty(t, f.refused())
	assert.Less(t, f.filled(restarted), span+2*time.Second)
}

// longestStall measures how late this process wakes up.
func longestStall(t *testing.T) func() time.Duration {
	var most atomic.Int64
	go func() {
		for t.Context().Err() == nil {
			began := time.Now()
			time.Sleep(time.Millisecond)
			most.Store(max(most.Load(), int64(time.Since(began))))
		}
	}()
	return func() time.Duration { return time.Duration(most.Load()) }
}

// refused returns the times of the calls that met a throttle code.
func (f *fleet) refused() (times []time.Time) {
	for _, call := range f.service.Calls() {
		if call.Code == int(timpush.ErrRateLimited) {
			times = append(times, call.Time)
		}
	}
	return times
}

// unfair is the greatest difference of a replica from its fair share, as a part of that.
func unfair(by [replicas]int, all int) (most float64) {
	share := float64(all) / replicas
	for _, n := range by {
		most = max(most, math.Abs(float64(n)-share)/share)
	}
	return most
}

func rate(times []time.Time, d time.Duration) float64 { return float64(len(times)) / d.Seconds() }

// filled is how long after a moment the first second begins that has 95 calls.
func (f *fleet) filled(since time.Time) time.Duration {
	times, _ := f.calls(since, time.Hour)
	for i, first := range times {
		if len(times) > i+94 && times[i+94].Sub(first) < time.Second {
			return first.Sub(since)
		}
	}
	return time.Hour
}

package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/internal/beforesend"
	"github.com/timpush/timpush-go/timpushtest"
)

// gate is a limiter that lets a request through when it is opened.
type gate chan struct{}

func (g gate) Wait(ctx context.Context) error {
	select {
	case <-g:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestNothingIsSentWithoutTheLease: a request has waited for the limiter while the lease ended, as in a process that was frozen.
func TestNothingIsSentWithoutTheLease(t *testing.T) {
	t.Parallel()
	fake, g := timpushtest.Start(t), make(gate)
	var held atomic.Bool
	held.Store(true)
	ctx := dispatch.WithLeaseCheck(t.Context(), held.Load)
	result := make(chan error)
	go func() {
		_, err := fake.Client(timpush.WithLimiter(g)).SetAttr(ctx, []timpush.UserAttrs{user("mary", "1")})
		result <- err
	}()
	time.Sleep(20 * time.Millisecond)
	held.Store(false)
	g <- struct{}{}
	err := <-result
	partial, ok := errors.AsType[*timpush.PartialError](err)
	require.True(t, ok, "%v", err)
	for u := range partial.Users() {
		assert.Equal(t, timpush.NotSent, u.Outcome)
		assert.ErrorContains(t, u.Err, "lease")
	}
	assert.Empty(t, fake.Calls())
}

// TestNothingIsSentOnceRunIsToEnd: requests have waited for the limiter until then.
func TestNothingIsSentOnceRunIsToEnd(t *testing.T) {
	t.Parallel()
	fake, g, q := timpushtest.Start(t), make(gate), open(t, t.TempDir())
	require.NoError(t, q.SetAttr(t.Context(), user("mary", "1")))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx, fake.Client(timpush.WithLimiter(g))) }()
	time.Sleep(200 * time.Millisecond) // until one waits
	cancel()
	select {
	case g <- struct{}{}:
		require.NoError(t, <-ended)
	case <-ended:
		t.Fatal("nothing has waited")
	}
	assert.Empty(t, fake.Calls())
	assert.Empty(t, stats(t, q).Paused)
	run(t, q, quickClient(fake))
	eventually(t, "it is sent", func() bool { return fake.Attrs("mary")["city"] == "1" })
}

// lastCall is an observer that keeps the context of the last call.
type lastCall struct {
	ctx atomic.Pointer[context.Context]
}

func (l *lastCall) Observe(ctx context.Context, e timpush.Event) context.Context {
	if e.Kind == timpush.CallStart {
		l.ctx.Store(&ctx)
	}
	return ctx
}

// TestCallsOfADispatcherAskForItsLease: its calls carry the check, which fails by the clock alone once the lease is over.
func TestCallsOfADispatcherAskForItsLease(t *testing.T) {
	t.Parallel()
	var last lastCall
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick, dispatch.WithLease(300*time.Millisecond))
	stop := run(t, q, fake.Client(timpush.WithObserver(&last)))
	set(t, q, user("mary", "1"))
	drained(t, q)
	require.NoError(t, beforesend.Check(*last.ctx.Load()))
	stop()
	eventually(t, "the lease is over", func() bool { return beforesend.Check(*last.ctx.Load()) != nil })
}

// TestDeployThatChangesTheLease: a new process with a short lease leaves a dispatcher alone that renews a long one, and takes over from
// one that is gone.
func TestDeployThatChangesTheLease(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	var log records
	fake, old := timpushtest.Start(t), openOn(t, js, dispatch.WithLease(10*time.Second), dispatch.WithLogger(log.logger()))
	stop := run(t, old, quickClient(fake))
	eventually(t, "the old process sends", func() bool { return stats(t, old).Active != "" })
	update := openOn(t, js, dispatch.WithLease(200*time.Millisecond))
	run(t, update, quickClient(fake))
	time.Sleep(time.Second)
	set(t, update, user("mary", "1"))
	drained(t, update)
	assert.NotContains(t, log.text(), "stops sending")
	stop()
	set(t, update, user("mary", "2"))
	drained(t, update)
	requireOrder(t, cities(fake)["mary"]) // on a busy machine its lease may end, and "2" be sent again
	assert.Equal(t, "2", fake.Attrs("mary")["city"])
}

// TestFrozenDispatcher stops the active one of two processes for longer than its lease, again and again, while there is a
// backlog: whatever it was about to send must not arrive after what its successor has sent.
func TestFrozenDispatcher(t *testing.T) {
	t.Parallel()
	if *freezes == 0 {
		t.Skip("tried with -freezes, on a quiet machine")
	}
	const lease, accounts = 500 * time.Millisecond, 2000
	_, url := startServer(t, t.TempDir())
	conn, js, err := connect(url)
	require.NoError(t, err)
	defer conn.Close()
	q, err := dispatch.Open(t.Context(), js, appID)
	require.NoError(t, err)
	fake := timpushtest.Start(t, timpushtest.WithPlainHTTP(), timpushtest.WithLatency(20*time.Millisecond, 10*time.Millisecond))
	w := startWorkers(t, 2, url, fake.URL, lease.String())
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() { rounds(t, q, accounts, stop) })
	require.Eventually(t, func() bool { return stats(t, q).Backlog > 4*accounts && stats(t, q).Active != "" }, 2*time.Minute, 50*time.Millisecond)
	for range *freezes {
		active := stats(t, q).Active
		w.signal("-STOP", active)
		eventually(t, "another one takes over", func() bool { now := stats(t, q).Active; return now != "" && now != active })
		time.Sleep(300 * time.Millisecond) // it sends
		w.signal("-CONT", active)
		time.Sleep(300 * time.Millisecond)
	}
	close(stop)
	load.Wait()
	require.Eventually(t, func() bool { return stats(t, q).Backlog == 0 }, time.Minute, 50*time.Millisecond)
	for account, values := range cities(fake) {
		if !ordered(t, values) {
			t.Errorf("%s went back: %v", account, values)
		}
	}
	require.NoError(t, q.Close())
}

// rounds sets growing numbers for all accounts until stop is closed. It keeps some rounds ahead of what is sent.
func rounds(t *testing.T, q *dispatch.Queue, accounts int, stop chan struct{}) {
	t.Helper()
	for round := 1; ; round++ {
		concurrently(500, func(n int) {
			for ; n < accounts; n += 500 {
				assert.NoError(t, q.SetAttr(context.Background(), user(fmt.Sprint("user", n), fmt.Sprint(round)))) //nolint:usetesting // what is begun is ended
			}
		})
		for stats(t, q).Backlog > 6*accounts {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// signal sends a signal to the worker whose dispatcher has a name.
func (w *workers) signal(sig, owner string) {
	w.t.Helper()
	for _, cmd := range w.alive {
		pid := fmt.Sprint(cmd.Process.Pid)
		if strings.HasSuffix(owner, "/"+pid) || strings.Contains(owner, "/"+pid+"/") {
			require.NoError(w.t, exec.CommandContext(w.t.Context(), "kill", sig, pid).Run())
		}
	}
}

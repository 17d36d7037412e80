package main_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// listener is a running callbacks command.
type listener struct {
	*world
	url  string
	out  *bufio.Reader
	errs *bufio.Reader
	end  func() (code int, rest string)
}

func (w *world) listen(args ...string) *listener {
	w.t.Helper()
	cmd := w.command(append([]string{"callbacks", "--listen", "127.0.0.1:0"}, args...)...)
	out, err := cmd.StdoutPipe()
	require.NoError(w.t, err)
	errs, err := cmd.StderrPipe()
	require.NoError(w.t, err)
	require.NoError(w.t, cmd.Start())
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	l := &listener{world: w, out: bufio.NewReader(out), errs: bufio.NewReader(errs)}
	first, err := l.errs.ReadString('\n')
	require.NoError(w.t, err)
	l.url = strings.Fields(first)[2]
	l.end = func() (int, string) {
		require.NoError(w.t, cmd.Process.Signal(syscall.SIGINT))
		rest, err := io.ReadAll(l.errs)
		require.NoError(w.t, err)
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode(), string(rest)
	}
	return l
}

func (l *listener) line() string {
	l.t.Helper()
	text, err := l.out.ReadString('\n')
	require.NoError(l.t, err)
	return text
}

// send sends events, which must be answered within a second.
func (l *listener) send(events ...timpushtest.Event) timpushtest.CallbackAnswer {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Second)
	defer cancel()
	answer, err := l.fake.SendCallback(ctx, l.url, events...)
	require.NoError(l.t, err)
	return answer
}

func TestCallbacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithCallbackToken("token"))
	w.with("TIMPUSH_CALLBACK_TOKEN=token")
	l := w.listen()
	answer := l.send(timpushtest.Event{"EventType": 1, "EventTime": 1700000000, "TaskId": "t\x1b[2J", "DataId": "d", "To_Account": "mary", "PushPlatform": "4", "PushStage": 3})
	assert.Equal(t, 0, answer.ErrorCode)
	assert.Equal(t, "2023-11-14 22:13:20 UTC  clicked  mary  FCM  push t [2J  data d\n", l.line())
	l.send(timpushtest.Event{"EventType": 2, "To_Account": "bob", "DeviceType": 1, "PushStage": 2, "ErrCode": 410, "ErrInfo": "Unregistered"})
	assert.Equal(t, "-  not reached: 410 Unregistered  bob  connected APNs  push -\n", l.line())
	l.send(timpushtest.Event{"CallbackCommand": "Push.OfflinePush", "To_Account": "ann", "PushPlatform": 2, "PushStage": 1, "PushID": "p"})
	assert.Equal(t, "-  sent     ann  Xiaomi  chat push p\n", l.line())
	l.send(timpushtest.Event{"CallbackCommand": "Push.New", "X": 1})
	assert.Equal(t, `Push.New  {"CallbackCommand":"Push.New","X":1}`+"\n", l.line())
	code, rest := l.end()
	assert.Equal(t, 0, code)
	assert.Equal(t, "\n4 events.\n", rest)
}

func TestCallbacksForPrograms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.listen("--json")
	l.send(timpushtest.Event{"To_Account": "mary", "PushStage": 3, "TaskId": "t"}, timpushtest.Event{"To_Account": "bob"})
	l.send(timpushtest.Event{"CallbackCommand": "Push.New", "X": 1})
	events := lines(t, l.line()+l.line()+l.line())
	assert.Equal(t, []any{"mary", float64(3), "t"}, []any{events[0]["To_Account"], events[0]["PushStage"], events[0]["TaskId"]})
	assert.Equal(t, "bob", events[1]["To_Account"])
	assert.Equal(t, map[string]any{"CallbackCommand": "Push.New", "X": float64(1)}, events[2]["Item"])
}

func TestCallbacksCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.listen("--json", "--count", "2")
	l.send(timpushtest.Event{"To_Account": "a"}, timpushtest.Event{"To_Account": "b"}, timpushtest.Event{"To_Account": "c"})
	out, err := io.ReadAll(l.out)
	require.NoError(t, err, "it ends by itself")
	assert.Len(t, lines(t, string(out)), 2)
	_, rest := l.end()
	assert.Equal(t, "2 events. 1 more came at the same time, and are not printed.\n", rest)
	assert.Equal(t, 2, w.run("callbacks", "--count", "-1").code)
}

// TestCallbacksRefused: requests of others are not printed, and the command says once why.
func TestCallbacksRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithCallbackToken("wrong"))
	w.with("TIMPUSH_CALLBACK_TOKEN=secret-token")
	l := w.listen()
	for range 3 {
		assert.Equal(t, 403, l.send(timpushtest.Event{"To_Account": "mary"}).Status)
	}
	code, rest := l.end()
	assert.Equal(t, 0, code)
	assert.Equal(t, 1, strings.Count(rest, "refused"))
	assert.Contains(t, rest, "0 events.")
	assert.NotContains(t, rest, "secret-token")
}

// TestCallbacksTooLong: the command says why it refuses a body that is too long.
func TestCallbacksTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.listen()
	assert.Equal(t, 413, l.send(timpushtest.Event{"To_Account": strings.Repeat("x", 1<<20)}).Status)
	_, rest := l.end()
	assert.Contains(t, rest, "its body is longer than 1 MiB (HTTP 413; said once)")
}

// TestCallbacksNotRead: the service has its answer at once, also if the output is not read.
func TestCallbacksNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.listen("--json")
	var events []timpushtest.Event
	for range 100 {
		events = append(events, timpushtest.Event{"To_Account": strings.Repeat("x", 32)})
	}
	for range 10 { // more than fits into a pipe
		assert.Equal(t, 0, l.send(events...).ErrorCode)
	}
	go func() { _, _ = io.Copy(io.Discard, l.out) }()
	code, rest := l.end()
	assert.Equal(t, 0, code)
	assert.Contains(t, rest, "1000 events.")
}

func TestCallbacksUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	taken := strings.TrimPrefix(w.fake.URL, "http://")
	for _, test := range []struct {
		code int
		says string
		args []string
	}{
		{3, "Give another --listen", []string{"--listen", taken}},
		{2, "give --public if they may post events", []string{"--listen", "0.0.0.0:0"}},
		{2, "sdkappid (from --sdkappid) is no whole number", []string{"--sdkappid", "x"}},
		{2, "want flags only", []string{"x"}},
	} {
		r := w.run(append([]string{"callbacks"}, test.args...)...)
		assert.Equal(t, test.code, r.code)
		assert.Contains(t, r.err, test.says)
	}
	w.with("TIMPUSH_CALLBACK_TOKEN=")
	r := w.run("callbacks", "--listen", "127.0.0.1:0", "--count", "1")
	assert.Equal(t, 2, r.code, "without its token everybody could post events")
	assert.Contains(t, r.err, "TIMPUSH_CALLBACK_TOKEN is empty")
	w.without("TIMPUSH_CALLBACK_TOKEN")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		return // not on this system
	}
	defer full.Close()
	cmd := w.command("callbacks", "--listen", "127.0.0.1:0")
	errs, err := cmd.StderrPipe()
	require.NoError(t, err)
	cmd.Stdout = full
	require.NoError(t, cmd.Start())
	first, err := bufio.NewReader(errs).ReadString('\n')
	require.NoError(t, err)
	_, _ = w.fake.SendCallback(t.Context(), strings.Fields(first)[2], timpushtest.Event{"To_Account": "mary"})
	_ = cmd.Wait()
	assert.Equal(t, 3, cmd.ProcessState.ExitCode(), "a full disk ends it")
}

// TestServeCallbacks: the events of a push to serve arrive at callbacks, signed, and one that nothing takes is reported.
func TestServeCallbacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.with("TIMPUSH_CALLBACK_TOKEN=token")
	l := w.listen("--json")
	s := serve(t, []string{"TIMPUSH_CALLBACK_TOKEN=token"}, "--callbacks", strings.Replace(l.url, "http://", "http://user:password@", 1))
	s.done("tags", "add", "--tags", "gold", "mary")
	s.done("push", "--tags", "gold", "--title", "x", "--yes")
	for stage, event := range lines(t, l.line()+l.line()+l.line()) {
		assert.EqualValues(t, stage+1, event["PushStage"])
		assert.Equal(t, "mary", event["To_Account"])
	}
	code, _ := l.end()
	assert.Equal(t, 0, code)
	s.done("tasks", "add", "--tags", "gold", "--title", "x", "--in", "1s", "--yes")
	require.Eventually(t, func() bool { return strings.Contains(s.done("tasks", "list"), "dispatched") }, 10*time.Second, 200*time.Millisecond)
	require.Eventually(t, func() bool { return strings.Count(s.errs.String(), "refused; 3 events of the push are lost") == 1 }, 10*time.Second, 100*time.Millisecond)
	assert.NotContains(t, s.errs.String(), "Sign")
	assert.NotContains(t, s.errs.String(), "password")
	r := w.run("serve", "--callbacks", "http://user:password@host:port")
	assert.Equal(t, 2, r.code)
	assert.NotContains(t, r.err, "password")
}

// TestServeManyCallbacks: a push has its events however many accounts it is for, a hundred to a callback, and a callback that is
// refused loses its own.
func TestServeManyCallbacks(t *testing.T) {
	t.Parallel()
	const accounts, refused = 10_100, 3
	var bodies, seen atomic.Int64
	handler, err := timpush.NewCallbackHandler(timpush.Callbacks{SDKAppID: 1400000000, Push: func(_ context.Context, events []timpush.PushEvent) error {
		assert.LessOrEqual(t, len(events), 100)
		if bodies.Add(1) == refused {
			return errors.New("not now")
		}
		seen.Add(int64(len(events)))
		return nil
	}})
	require.NoError(t, err)
	receiver := httptest.NewServer(handler)
	defer receiver.Close()
	s := serve(t, nil, "--quota", "0", "--callbacks", receiver.URL)
	s.with("TIMPUSH_RATE=2000")
	s.write("users.csv", users(accounts))
	s.done("set-attr", "users.csv")
	s.done("push", "--everybody", "1400000000", "--title", "x", "--yes")
	const sent, clicked = 9_595, 2_020       // of the accounts, as serve has it
	const events = accounts + sent + clicked // each account that was not reached has an event of that
	require.Eventually(t, func() bool { return strings.Contains(s.errs.String(), "of the push are lost") }, 20*time.Second, 20*time.Millisecond)
	assert.Contains(t, s.errs.String(), "ErrorCode 1; 100 events of the push are lost")
	assert.EqualValues(t, events-100, seen.Load())
}

// TestServeCallbacksFallBehind: that pushes are forgotten before their events are posted is said.
func TestServeCallbacksFallBehind(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 1000), make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, `{"ActionStatus":"OK","ErrorCode":0}`)
	}))
	defer receiver.Close()
	s := serve(t, nil, "--quota", "0", "--callbacks", receiver.URL)
	client, err := timpush.NewClient(
		timpush.Config{SDKAppID: 1400000000, Identifier: "administrator", SecretKey: s.key, Region: timpush.RegionSingapore},
		timpush.WithBaseURL(s.url), timpush.WithRecipientRate(100_000))
	require.NoError(t, err)
	push := func() {
		_, err := client.PushTo(t.Context(), []string{"mary"}, timpush.Push{Notification: timpush.Notification{Title: "x"}})
		assert.NoError(t, err)
	}
	push()
	<-arrived
	for range 101 { // more than are kept
		push()
	}
	close(release)
	require.Eventually(t, func() bool { return strings.Contains(s.errs.String(), "only the last 100 are kept") }, 10*time.Second, 20*time.Millisecond)
	<-arrived // the others go on
}

package main_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/timpushtest"
)

// natsServer starts a server that wants a password, and points the tool at it.
func natsServer(t *testing.T, w *world) jetstream.JetStream {
	t.Helper()
	const user, password = "operator", "correct-horse"
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		Users: []*server.User{
			{Username: user, Password: password},
			{Username: "guest", Password: password, Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{">"}}}},
		},
	})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(30*time.Second))
	at := fmt.Sprintf("nats://%s:%s@%s", user, password, s.Addr())
	conn, err := nats.Connect(at)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	w.with("TIMPUSH_NATS="+at).without("TIMPUSH_SECRET_KEY", "TIMPUSH_REGION", "TIMPUSH_IDENTIFIER") // it needs none of them
	return js
}

func openTestQueue(t *testing.T, w *world, js jetstream.JetStream, opts ...dispatch.Option) *dispatch.Queue {
	t.Helper()
	id, _, _ := w.fake.App()
	q, err := dispatch.Open(t.Context(), js, id, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, q.Close()) })
	return q
}

func store(t *testing.T, q *dispatch.Queue, account string, attrs timpush.Attrs) {
	t.Helper()
	require.NoError(t, q.SetAttr(t.Context(), timpush.UserAttrs{ToAccount: account, Attrs: attrs}))
}

// sendAll sends to the fake until nothing is left but dead letters.
func sendAll(t *testing.T, w *world, q *dispatch.Queue) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx, w.fake.Client()) }()
	assert.Eventually(t, func() bool {
		s, err := q.Stats(t.Context())
		return err == nil && s.Backlog == 0
	}, 30*time.Second, 20*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
}

// A request that is not permitted has no answer. The command must not wait for one, and standard error has one text.
func TestQueueWithoutPermission(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	openTestQueue(t, w, natsServer(t, w))
	for i, v := range w.env {
		w.env[i] = strings.Replace(v, "nats://operator:", "nats://guest:", 1)
	}
	began := time.Now()
	r := w.run("queue")
	assert.Equal(t, 3, r.code)
	assert.Less(t, time.Since(began), 10*time.Second, "the timeout is 20 s")
	assert.True(t, strings.HasPrefix(r.err, "timpush: the NATS server does not permit this to its user: nats: permissions violation"), r.err)
	r = w.run("queue", "dead", "--json")
	assert.Empty(t, r.err)
	assert.Equal(t, "error", lines(t, r.out)[0]["event"])
}

func TestQueueShowsTheBacklog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := natsServer(t, w)
	q := openTestQueue(t, w, js, dispatch.WithMaxBytes(1<<20))
	r := w.run("queue")
	require.Equal(t, 0, r.code, r.err)
	assert.Regexp(t, `(?m)^oldest +-$`, r.out)
	store(t, q, "mary", timpush.Attrs{"city": "Rome"})
	store(t, q, "bob", timpush.Attrs{"city": "Bonn"})

	r = w.run("queue")
	require.Equal(t, 0, r.code, r.err)
	for _, want := range []string{
		`backlog +2$`, `oldest +[0-9.]+m?s$`, `waiting +0 `, `redelivered +0 `, `dead letters +0$`, `bytes +0\.\d KiB of 1\.0 MiB at most, 0\.\d %$`,
		`lost +0$`, `sends +no process$`, `paused +no$`,
	} {
		assert.Regexp(t, "(?m)^"+want, r.out)
	}
	got := lines(t, w.run("queue", "--json").out)[0]
	id, _, _ := w.fake.App()
	assert.InDelta(t, id, got["sdkappid"], 0)
	assert.InDelta(t, 2, got["backlog"], 0)
	assert.InDelta(t, 1<<20, got["max_bytes"], 0)
	assert.Positive(t, got["oldest_seconds"])
	assert.Positive(t, got["bytes"])
}

func TestQueueShowsWhySendingPauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := natsServer(t, w)
	q := openTestQueue(t, w, js)
	w.fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(90009) })
	store(t, q, "mary", timpush.Attrs{"city": "Rome"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx, w.fake.Client()) }()
	var r result
	require.Eventually(t, func() bool {
		r = w.run("queue")
		return strings.Contains(r.out, "paused        yes: ")
	}, 30*time.Second, 100*time.Millisecond)
	assert.Contains(t, r.out, "90009")
	host, err := os.Hostname()
	require.NoError(t, err)
	assert.Contains(t, r.out, "sends         "+host+"/")
	got := lines(t, w.run("queue", "--json").out)[0]
	assert.Contains(t, got["paused"], "90009")
	assert.Contains(t, got["active"], host+"/")
	cancel()
	require.NoError(t, <-ended)
}

func TestQueueResumes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := natsServer(t, w)
	q := openTestQueue(t, w, js)
	w.fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(90009) })
	store(t, q, "mary", timpush.Attrs{"city": "Rome"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx, w.fake.Client()) }()
	require.Eventually(t, func() bool { return strings.Contains(w.run("queue").out, "paused        yes: ") }, 30*time.Second, 50*time.Millisecond)
	w.fake.Handle(nil)
	r := w.run("queue", "resume")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.out, "tries again")
	assert.Eventually(t, func() bool { return w.fake.Attrs("mary") != nil }, 3*time.Second, 20*time.Millisecond, "the pause is 5 s")
	cancel()
	require.NoError(t, <-ended)
}

func TestQueueShowsLostMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := natsServer(t, w)
	q := openTestQueue(t, w, js)
	for _, account := range []string{"mary", "bob", "john"} {
		store(t, q, account, timpush.Attrs{"city": "Rome"})
	}
	id, _, _ := w.fake.App()
	s, err := js.Stream(t.Context(), fmt.Sprintf("TIMPUSH_%d", id))
	require.NoError(t, err)
	require.NoError(t, s.DeleteMsg(t.Context(), 2))
	sendAll(t, w, q)
	assert.Regexp(t, `(?m)^lost +1 messages, sequences 2: .*acknowledge-lost$`, w.run("queue").out)
	got := lines(t, w.run("queue", "--json").out)[0]
	assert.InDelta(t, 1, got["lost"], 0)
	assert.Equal(t, "2", got["lost_at"])
	r := w.run("queue", "acknowledge-lost")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "1 lost messages acknowledged\n", r.out)
	assert.Regexp(t, `(?m)^lost +0$`, w.run("queue").out)
	assert.Equal(t, "0 lost messages acknowledged\n", w.run("queue", "acknowledge-lost").out)
}

func TestQueueDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := natsServer(t, w)
	q := openTestQueue(t, w, js)
	w.fake.Refuse(70107, "mary", "bob")
	store(t, q, "mary", timpush.Attrs{"city": "Rome"})
	store(t, q, "bob", timpush.Attrs{"city": "Bonn"})
	id, _, _ := w.fake.App()
	_, err := js.Publish(t.Context(), fmt.Sprintf("timpush.%d.set.1", id), []byte("foreign\x1b"))
	require.NoError(t, err)
	sendAll(t, w, q)

	r := w.run("queue", "dead")
	require.Equal(t, 0, r.code, r.err)
	assert.Regexp(t, `(?m)^\d  "mary"  70107  [0-9.]+m?s  .*70107`, r.out)
	assert.Regexp(t, `(?m)^\d  ""  -  `, r.out)
	assert.NotContains(t, r.out+w.run("queue", "dead", "--json").out, "Rome", "values are not shown unless asked for")
	r = w.run("queue", "dead", "--attrs")
	assert.Contains(t, r.out, `map["city":"Rome"]`)
	assert.Contains(t, r.out, `"foreign\x1b"`)

	ids := map[any]string{}
	for _, l := range lines(t, w.run("queue", "dead", "--json", "--attrs").out) {
		ids[l["account"]] = fmt.Sprint(l["id"])
		assert.Positive(t, l["age_seconds"])
		if l["account"] == "mary" {
			assert.InDelta(t, 70107, l["code"], 0)
			assert.Equal(t, map[string]any{"city": "Rome"}, l["attrs"])
		}
	}
	require.Len(t, ids, 3)
	assert.Regexp(t, `(?m)^dead letters +3$`, w.run("queue").out)
	putBackAndDiscard(t, w, q, ids)
}

// putBackAndDiscard deals with the letters of mary, bob and one that is foreign.
func putBackAndDiscard(t *testing.T, w *world, q *dispatch.Queue, ids map[any]string) {
	t.Helper()
	w.fake.Refuse(0, "mary", "bob")
	r := w.run("queue", "put-back", ids["mary"], "99", ids[""])
	assert.Equal(t, 1, r.code)
	assert.Equal(t, ids["mary"]+" put back\n", r.out)
	assert.Contains(t, r.err, "99: dispatch: no such dead letter")
	assert.Contains(t, r.err, ids[""]+": dispatch: the message is not of this package")
	sendAll(t, w, q)
	assert.Equal(t, map[string]string{"city": "Rome"}, w.fake.Attrs("mary"))

	r = w.run("queue", "discard", ids["bob"])
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.out, `"bob"`)
	assert.Contains(t, r.err, "give --yes")
	require.Len(t, lines(t, w.run("queue", "dead", "--json").out), 2)
	r = w.run("queue", "discard", "--yes", ids["bob"], ids[""])
	assert.Equal(t, 0, r.code, r.err)
	assert.Empty(t, w.run("queue", "dead").out)
	assert.Equal(t, 1, w.run("queue", "discard", "--yes", ids["bob"]).code)
	assert.Empty(t, w.fake.Attrs("bob"))
}

func TestQueueIsNeitherMadeNorChangedByLooking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := natsServer(t, w)
	looks := [][]string{{"queue"}, {"queue", "--json"}, {"queue", "dead"}, {"queue", "discard", "1"}, {"queue", "put-back", "1"}, {"queue", "resume"}, {"queue", "acknowledge-lost"}}
	for _, args := range looks {
		r := w.run(args...)
		assert.Equal(t, 3, r.code, args)
		assert.Contains(t, r.out+r.err, "there is no queue of app")
	}
	require.Empty(t, configs(t, js))
	openTestQueue(t, w, js, dispatch.WithMaxBytes(1<<20), dispatch.WithDuplicateWindow(time.Minute))
	before := configs(t, js)
	require.Len(t, before, 3)
	for _, args := range looks {
		w.run(args...)
	}
	assert.Equal(t, before, configs(t, js))

	id, _, _ := w.fake.App()
	require.NoError(t, js.DeleteStream(t.Context(), fmt.Sprintf("TIMPUSH_%d_DEAD", id)))
	assert.Contains(t, w.run("queue").err, "there is no queue of app")
	assert.Len(t, configs(t, js), 2)
}

func configs(t *testing.T, js jetstream.JetStream) map[string]jetstream.StreamConfig {
	t.Helper()
	all, found := map[string]jetstream.StreamConfig{}, js.ListStreams(t.Context())
	for info := range found.Info() {
		all[info.Config.Name] = info.Config
	}
	require.NoError(t, found.Err())
	return all
}

func TestQueueNeedsAServerAndKeepsItsPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run("queue")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, "TIMPUSH_NATS")
	for _, flag := range []string{"nats://operator:hush@127.0.0.1:1", "127.0.0.1:1,hush@127.0.0.1:1", "nats://hush hush:4222"} {
		r = w.run("queue", "--nats", flag)
		assert.Equal(t, 2, r.code, flag)
		assert.NotContains(t, r.err, "hush")
	}
	w.with("TIMPUSH_NATS=nats://operator:hush@127.0.0.1:1")
	r = w.run("queue")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "no connection to the NATS server")
	assert.NotContains(t, r.err, "hush")
	r = w.run("queue", "--nats-creds", "missing.creds")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, "timpush: the credentials: stat missing.creds: no such file")
	for _, args := range [][]string{
		{"queue", "put-back"}, {"queue", "put-back", "0"}, {"queue", "discard", "--yes", "x"}, {"queue", "dead", "1"}, {"queue", "deaf"}, {"queue", "--sdkappid", "-1"},
	} {
		assert.Equal(t, 2, w.run(args...).code, args)
	}
	assert.Contains(t, w.without("TIMPUSH_SDKAPPID").run("queue").err, "sdkappid is missing")
}

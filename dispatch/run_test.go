package dispatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/timpushtest"
)

const soon = time.Minute

// quick makes the pauses of a queue and of its client short.
var quick = dispatch.WithDelay(20 * time.Millisecond)

func quickClient(fake *timpushtest.Server) *timpush.Client {
	return fake.Client(timpush.WithMaxAttempts(1))
}

// run runs q until the returned function is called, or the test ends.
func run(t *testing.T, q *dispatch.Queue, c *timpush.Client) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx, c) }()
	stop = func() {
		cancel()
		if ended != nil {
			assert.NoError(t, <-ended)
		}
		ended = nil
	}
	t.Cleanup(stop)
	return stop
}

func set(t *testing.T, q *dispatch.Queue, users ...timpush.UserAttrs) {
	t.Helper()
	for _, u := range users {
		require.NoError(t, q.SetAttr(t.Context(), u))
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, soon, 5*time.Millisecond, what)
}

func drained(t *testing.T, q *dispatch.Queue) {
	t.Helper()
	eventually(t, "the backlog is sent", func() bool {
		s, err := q.Stats(t.Context()) // which fails where the disk takes a second for a write
		return err == nil && s.Backlog == 0
	})
}

// cities returns the cities that the fake was given for each account, in order.
func cities(fake *timpushtest.Server) map[string][]string {
	got := map[string][]string{}
	for _, call := range fake.Calls() {
		var body struct {
			UserAttrs []struct {
				Account string            `json:"To_Account"`
				Attrs   map[string]string `json:"Attrs"`
			} `json:"UserAttrs"`
		}
		if json.Unmarshal(call.Body, &body) == nil {
			for _, u := range body.UserAttrs {
				got[u.Account] = append(got[u.Account], u.Attrs["city"])
			}
		}
	}
	return got
}

// letters asks again where a question took too long, as stats does.
func letters(t *testing.T, q *dispatch.Queue) (all []dispatch.DeadLetter) {
	t.Helper()
	var err error
	eventually(t, "the server answers in time", func() bool {
		all, err = nil, nil
		for l, failed := range q.DeadLetters(t.Context()) {
			if all, err = append(all, l), failed; err != nil {
				break
			}
		}
		return !errors.Is(err, context.DeadlineExceeded)
	})
	require.NoError(t, err)
	return all
}

func TestRunSendsAndMerges(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	for k := range 3 {
		concurrently(250, func(n int) {
			u := timpush.UserAttrs{ToAccount: fmt.Sprint("user", n), Attrs: timpush.Attrs{"city": fmt.Sprint(k), []string{"sex", "country", "city"}[k]: fmt.Sprint(k)}}
			assert.NoError(t, q.SetAttr(t.Context(), u))
		})
	}
	stop := run(t, q, quickClient(fake))
	drained(t, q)
	for n := range 250 {
		assert.Equal(t, map[string]string{"city": "2", "sex": "0", "country": "1"}, fake.Attrs(fmt.Sprint("user", n)))
	}
	assert.LessOrEqual(t, len(fake.Calls()), 9)
	s := stats(t, q)
	assert.NotEmpty(t, s.Active)
	assert.Zero(t, s.Oldest)
	assert.Zero(t, s.Redelivered)
	set(t, q, user("mary", "Rome"))
	drained(t, q)
	stop()
	assert.Equal(t, "Rome", fake.Attrs("mary")["city"])
	assert.Empty(t, stats(t, q).Active)
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	fake.Refuse(int(timpush.ErrNoSuchAccount), "john")
	set(t, q, user("john", "Oslo"), user("mary", "Rome"), timpush.UserAttrs{ToAccount: "mary", Attrs: timpush.Attrs{"mood": "good"}},
		user("mary", "Bern"))
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Equal(t, "Bern", fake.Attrs("mary")["city"], "what was merged with the faulty update is sent")
	dead := letters(t, q)
	require.Len(t, dead, 2)
	slices.SortFunc(dead, func(a, b dispatch.DeadLetter) int { return strings.Compare(a.User.ToAccount, b.User.ToAccount) })
	assert.Equal(t, user("john", "Oslo"), dead[0].User)
	assert.Equal(t, timpush.ErrNoSuchAccount, dead[0].Code)
	assert.Contains(t, dead[0].Reason, "70107")
	assert.WithinDuration(t, time.Now(), dead[0].Stored, soon)
	assert.Equal(t, timpush.Attrs{"mood": "good"}, dead[1].User.Attrs)
	assert.Equal(t, timpush.ErrInvalidAttr, dead[1].Code)
	assert.Equal(t, 2, stats(t, q).DeadLetters)

	fake.Refuse(0, "john")
	require.NoError(t, q.PutBack(t.Context(), dead[0].ID))
	require.NoError(t, q.Discard(t.Context(), dead[1].ID))
	require.ErrorIs(t, q.PutBack(t.Context(), dead[0].ID), dispatch.ErrNoLetter)
	require.ErrorIs(t, q.Discard(t.Context(), dead[1].ID), dispatch.ErrNoLetter)
	drained(t, q)
	assert.Equal(t, "Oslo", fake.Attrs("john")["city"])
	assert.Empty(t, letters(t, q))
}

// TestDiscardedLettersAreNotAskedFor: thousands may lie between two letters that are left, and the server may be far away.
func TestDiscardedLettersAreNotAskedFor(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(int(timpush.ErrNoSuchAccount)) })
	concurrently(300, func(k int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", k), "Rome"))) })
	stop := run(t, q, quickClient(fake))
	drained(t, q)
	stop()
	concurrently(298, func(k int) { assert.NoError(t, q.Discard(t.Context(), uint64(k+2))) })
	js, _ := q.JetStream()
	before := js.Conn().Stats().OutMsgs
	left := letters(t, q)
	require.Len(t, left, 2)
	assert.Equal(t, []uint64{1, 300}, []uint64{left[0].ID, left[1].ID})
	assert.Less(t, js.Conn().Stats().OutMsgs-before, uint64(10))
}

// TestOneFaultyUpdateOfMany: an account with many updates waiting does not send each of them alone, which would take a request's time
// for each, and keep the queue from reading on.
func TestOneFaultyUpdateOfMany(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	concurrently(1000, func(k int) { assert.NoError(t, q.SetAttr(t.Context(), user("mary", fmt.Sprint(k)))) })
	set(t, q, timpush.UserAttrs{ToAccount: "mary", Attrs: timpush.Attrs{"mood": "good"}})
	concurrently(1000, func(k int) { assert.NoError(t, q.SetAttr(t.Context(), user("mary", fmt.Sprint(k)))) })
	set(t, q, user("mary", "Rome"))
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Equal(t, "Rome", fake.Attrs("mary")["city"])
	dead := letters(t, q)
	require.Len(t, dead, 1)
	assert.Equal(t, timpush.Attrs{"mood": "good"}, dead[0].User.Attrs)
	assert.Less(t, len(fake.Calls()), 100)
}

// TestClockOfAnotherHostIsAhead: what was settled is deleted even so.
func TestClockOfAnotherHostIsAhead(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick, dispatch.WithDuplicateWindow(100*time.Millisecond))
	stop := run(t, q, quickClient(fake))
	set(t, q, user("mary", "Rome"))
	drained(t, q)
	stop()
	js, _ := q.JetStream()
	bucket, err := js.KeyValue(t.Context(), streamName)
	require.NoError(t, err)
	entry, err := bucket.Get(t.Context(), "dispatcher")
	require.NoError(t, err)
	var record map[string]any
	require.NoError(t, json.Unmarshal(entry.Value(), &record))
	record["marks"] = []any{map[string]any{"seq": 1, "passed": 1, "at": time.Now().Add(time.Hour)}}
	value, err := json.Marshal(record)
	require.NoError(t, err)
	_, err = bucket.Put(t.Context(), "dispatcher", value)
	require.NoError(t, err)

	run(t, q, quickClient(fake))
	set(t, q, user("mary", "Bern"))
	eventually(t, "the stream is empty", func() bool { return stats(t, q).Bytes == 0 })
}

func TestFullDeadLettersHoldBack(t *testing.T) {
	t.Parallel()
	var log records
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick, dispatch.WithMaxBytes(1<<16), dispatch.WithLogger(log.logger()))
	for n := range 100 {
		fake.Refuse(int(timpush.ErrNoSuchAccount), fmt.Sprint("user", n))
	}
	concurrently(100, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", n), "Rome"))) })
	run(t, q, quickClient(fake))
	eventually(t, "some wait", func() bool { return stats(t, q).Waiting > 0 })
	eventually(t, "it is said why", func() bool { return strings.Contains(stats(t, q).Paused, "dead letters have no room") })
	assert.Contains(t, log.text(), "dead letters have no room")
	set(t, q, user("mary", "Rome"))
	eventually(t, "others go on", func() bool { return fake.Attrs("mary")["city"] == "Rome" })
	assert.Contains(t, stats(t, q).Paused, "dead letters have no room", "it stays after an answer")
	for stats(t, q).Backlog > 0 {
		for _, l := range letters(t, q) {
			_ = q.Discard(t.Context(), l.ID)
		}
	}
	eventually(t, "it is over", func() bool { return stats(t, q).Paused == "" })
}

// TestDeadLettersNeedNoRoom: once the fault of all that wait is gone, none of them becomes a dead letter any more.
func TestDeadLettersNeedNoRoom(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick, dispatch.WithMaxBytes(1<<16))
	refuse := func(code int) {
		for n := range 100 {
			fake.Refuse(code, fmt.Sprint("user", n))
		}
	}
	refuse(int(timpush.ErrNoSuchAccount))
	concurrently(100, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", n), "Rome"))) })
	run(t, q, quickClient(fake))
	eventually(t, "they have no room", func() bool { return strings.Contains(stats(t, q).Paused, "dead letters have no room") })
	refuse(0)
	drained(t, q)
	eventually(t, "it is over", func() bool { return stats(t, q).Paused == "" })
}

// TestDeadLettersThatCannotBeStored: the server does not answer what it does not permit, and the other accounts of the request wait, too.
func TestDeadLettersThatCannotBeStored(t *testing.T) {
	t.Parallel()
	var log records
	js, _ := startServer(t, t.TempDir(), func(o *server.Options) {
		permissions := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"timpush.*.dead"}}}
		o.NoAuthUser, o.Users = "a", []*server.User{{Username: "a", Permissions: permissions}}
	})
	fake, q := timpushtest.Start(t), openOn(t, js, dispatch.WithLogger(log.logger()), dispatch.WithStoreTimeout(3*time.Second))
	fake.Refuse(int(timpush.ErrNoSuchAccount), "bad")
	run(t, q, quickClient(fake))
	set(t, q, user("bad", "Rome"))
	eventually(t, "it is said why", func() bool { return strings.Contains(stats(t, q).Paused, "dead letters cannot be stored") })
	assert.Contains(t, stats(t, q).Paused, "Permissions Violation")
	assert.Contains(t, log.text(), "dead letters cannot be stored")
	set(t, q, user("mary", "Rome"))
	eventually(t, "others go on", func() bool {
		s := stats(t, q)
		return fake.Attrs("mary")["city"] == "Rome" && s.Backlog == 1 && s.Waiting == 1
	})
	assert.Contains(t, stats(t, q).Paused, "dead letters cannot be stored", "it stays after an answer")
}

// TestDeadLettersAfterManyWithoutAnAnswer: the client of NATS keeps those that PublishMsgAsync is given until they are answered, and takes no more once
// it has some.
func TestDeadLettersAfterManyWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	var log records
	_, url := startServer(t, t.TempDir())
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4)) // 4,000 if not given
	require.NoError(t, err)
	fake, q := timpushtest.Start(t), openOn(t, js, dispatch.WithLogger(log.logger()), dispatch.WithStoreTimeout(time.Second))
	for k := range 10 {
		account := fmt.Sprintf("bad%d", k)
		fake.Refuse(int(timpush.ErrNoSuchAccount), account)
		set(t, q, user(account, "Rome"))
	}
	answers := func(yes bool) {
		config := goodConfig(t, js, fmt.Sprintf("TIMPUSH_%d_DEAD", appID))
		config.NoAck = !yes
		_, err := js.UpdateStream(t.Context(), config)
		require.NoError(t, err)
	}
	answers(false)
	run(t, q, quickClient(fake))
	eventually(t, "it is said", func() bool { return strings.Contains(log.text(), "dead letters cannot be stored") })
	answers(true)
	drained(t, q)
	assert.Len(t, letters(t, q), 10)
}

func TestTransientFaultsAreRetried(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]timpushtest.Fault{
		"internal error": timpushtest.ErrorCode(91000), "gateway": timpushtest.Status(502), "lost answer": timpushtest.CutAfter(),
		"lost request": timpushtest.CutBefore(), "one account": timpushtest.AccountCode(60008, "mary"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
			var once sync.Once
			fake.Handle(func(c timpushtest.Call) (f timpushtest.Fault) {
				if slices.Contains(c.Accounts, "mary") { // john's request can come first
					once.Do(func() { f = fault })
				}
				return f
			})
			set(t, q, user("mary", "Rome"), user("john", "Oslo"))
			run(t, q, quickClient(fake))
			drained(t, q)
			assert.Equal(t, "Rome", fake.Attrs("mary")["city"])
			assert.Positive(t, stats(t, q).Redelivered)
			assert.Empty(t, letters(t, q))
		})
	}
}

func TestOperatorMistakesKeepEverything(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]timpushtest.Fault{
		"wrong key": timpushtest.ErrorCode(70009), "no administrator": timpushtest.ErrorCode(90009),
		"not documented": timpushtest.ErrorCode(60999), "forbidden": timpushtest.Status(403),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
			fake.Handle(func(timpushtest.Call) timpushtest.Fault { return fault })
			concurrently(300, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", n), "Rome"))) })
			began := time.Now()
			run(t, q, quickClient(fake))
			eventually(t, "paused", func() bool { return stats(t, q).Paused != "" })
			time.Sleep(200 * time.Millisecond)
			sent := 0 // each once until the first answer, and then with one request in five delays
			for _, c := range fake.Calls() {
				sent += len(c.Accounts)
			}
			tries := 1 + int(time.Since(began)/(100*time.Millisecond))
			assert.LessOrEqual(t, sent, 300+tries*timpush.MaxUsersPerRequest, "it does not hammer")
			assert.Equal(t, 300, stats(t, q).Backlog)
			fake.Handle(nil)
			drained(t, q)
			assert.Len(t, fake.Accounts(), 300)
			assert.Empty(t, letters(t, q))
			assert.Empty(t, stats(t, q).Paused)
		})
	}
}

func TestFailingAccountDoesNotHoldOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fake, q := timpushtest.Start(t), open(t, dir, quick)
	fake.Refuse(91000, "mary")
	stop := run(t, q, quickClient(fake))
	set(t, q, user("mary", "1"))
	began := time.Now()
	for k := 0; stats(t, q).Waiting == 0; k++ {
		set(t, q, user("john", fmt.Sprint(k)))
	}
	assert.Less(t, time.Since(began), 5*time.Second, "what comes meanwhile does not put it off")
	set(t, q, user("mary", "2"), user("john", "last"))
	eventually(t, "the rest is settled", func() bool {
		s := stats(t, q)
		floor, err := q.Floor(t.Context())
		return err == nil && s.Backlog == s.Waiting && s.Waiting <= 2 && floor > 2
	})
	assert.Equal(t, "last", fake.Attrs("john")["city"])
	assert.Nil(t, fake.Attrs("mary"))
	stop()
	require.NoError(t, q.Close())

	q = open(t, dir, quick)
	assert.Equal(t, 2, stats(t, q).Waiting)
	assert.Positive(t, stats(t, q).Oldest)
	fake.Refuse(0, "mary")
	set(t, q, user("mary", "3"))
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Equal(t, "3", fake.Attrs("mary")["city"])
	requireOrder(t, cities(fake)["mary"])
}

// TestCrashAfterARecord: the record has the updates of an account that fails, and the floor is still before their messages, so that
// they are read again. One of them is at fault, so that they are not sent together.
func TestCrashAfterARecord(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick, dispatch.WithLease(200*time.Millisecond))
	fake.Refuse(91000, "mary")
	set(t, q, user("mary", "1"), user("mary", "2"), timpush.UserAttrs{ToAccount: "mary", Attrs: timpush.Attrs{"mood": "good"}})
	js, _ := q.JetStream()
	bucket, err := js.KeyValue(t.Context(), streamName)
	require.NoError(t, err)
	watch, err := bucket.Watch(t.Context(), "dispatcher")
	require.NoError(t, err)
	stop := run(t, q, quickClient(fake))
	var record []byte
	for k := 0; record == nil; k++ {
		set(t, q, user("john", fmt.Sprint(k)))
		if entry := <-watch.Updates(); entry != nil && strings.Contains(string(entry.Value()), `"mood"`) {
			record = entry.Value()
		}
	}
	require.NoError(t, watch.Stop())
	stop()
	require.Contains(t, string(record), `"floor":0,`)
	_, err = bucket.Put(t.Context(), "dispatcher", record)
	require.NoError(t, err)

	fake.Refuse(0, "mary")
	var mu sync.Mutex
	var values []string // that mary had
	fake.Watch(func(timpushtest.Call) {
		mu.Lock()
		defer mu.Unlock()
		if city := fake.Attrs("mary")["city"]; city != "" {
			values = append(values, city)
		}
	})
	run(t, q, quickClient(fake))
	drained(t, q)
	fake.Watch(nil)
	mu.Lock()
	defer mu.Unlock()
	requireOrder(t, values)
	assert.Equal(t, "2", fake.Attrs("mary")["city"])
	assert.Len(t, letters(t, q), 1)
}

// TestRecordHoldsWhatIsEscaped: in JSON the updates of an account that fails can take six times the bytes of their text, and a record
// that is larger than a message of the server would end all sending.
func TestRecordHoldsWhatIsEscaped(t *testing.T) {
	t.Parallel()
	attrs := timpush.Attrs{}
	for k := range timpush.MaxAttrsPerUser {
		attrs[fmt.Sprint("name", k)] = strings.Repeat("<", 50)
	}
	var log records
	fake := timpushtest.Start(t, timpushtest.WithAttrNames(slices.Collect(maps.Keys(attrs))...))
	fake.Refuse(91000, "mary")
	q := open(t, t.TempDir(), quick, dispatch.WithLogger(log.logger()))
	concurrently(600, func(int) {
		assert.NoError(t, q.SetAttr(t.Context(), timpush.UserAttrs{ToAccount: "mary", Attrs: attrs}))
	})
	run(t, q, quickClient(fake))
	for k := 0; stats(t, q).Waiting == 0; k++ {
		set(t, q, timpush.UserAttrs{ToAccount: "john", Attrs: timpush.Attrs{"name0": fmt.Sprint(k)}})
		require.NotContains(t, log.text(), "stops sending")
	}
	fake.Refuse(0, "mary")
	drained(t, q)
	assert.Equal(t, attrs, timpush.Attrs(fake.Attrs("mary")))
}

// ordered reports whether no value comes before an earlier one: the values grow.
func ordered(t *testing.T, values []string) bool {
	t.Helper()
	last := 0
	for _, v := range values {
		var n int
		_, err := fmt.Sscan(v, &n)
		require.NoError(t, err)
		if n < last {
			return false
		}
		last = n
	}
	return true
}

func requireOrder(t *testing.T, values []string) {
	t.Helper()
	require.True(t, ordered(t, values), "%v", values)
}

func TestOldUpdatesBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick, dispatch.WithMaxAge(time.Second))
	set(t, q, user("mary", "1"), user("mary", "2"), user("john", "1"))
	time.Sleep(1100 * time.Millisecond)
	set(t, q, user("mary", "3"))
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Equal(t, map[string][]string{"mary": {"3"}}, cities(fake))
	dead := letters(t, q)
	require.Len(t, dead, 3)
	assert.Zero(t, dead[0].Code)
	assert.Contains(t, dead[0].Reason, "too old")
}

func TestForeignMessagesBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	js, subject := q.JetStream()
	for _, data := range []string{"hello", "[]", `{"account":"mary"}`} {
		_, err := js.Publish(t.Context(), subject+".set.x", []byte(data))
		require.NoError(t, err)
	}
	_, err := js.Publish(t.Context(), subject+".set.1", []byte(`[{"account":"mary","attrs":{}}]`))
	require.NoError(t, err)
	set(t, q, user("john", "Oslo"))
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Equal(t, "Oslo", fake.Attrs("john")["city"])
	raw := 0
	for _, l := range letters(t, q) {
		if l.Raw != nil {
			raw++
			require.ErrorContains(t, q.PutBack(t.Context(), l.ID), "cannot be put back")
		}
	}
	assert.Equal(t, 3, raw)
	assert.Len(t, letters(t, q), 4)
}

func TestStandbyTakesOver(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick, dispatch.WithLease(time.Second))
	stop := run(t, q, quickClient(fake))
	eventually(t, "one is active", func() bool { return stats(t, q).Active != "" })
	first := stats(t, q).Active
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "1"))
	drained(t, q)
	assert.Equal(t, first, stats(t, q).Active)
	stop()
	set(t, q, user("mary", "2"))
	drained(t, q)
	assert.NotContains(t, []string{"", first}, stats(t, q).Active)

	require.NoError(t, q.Steal(t.Context())) // by a process that then hangs
	stolen := time.Now()
	set(t, q, user("mary", "3"))
	time.Sleep(500 * time.Millisecond)
	assert.Equal(t, 1, stats(t, q).Backlog, "who has lost the lease cannot record anything")
	assert.Equal(t, "thief", stats(t, q).Active)
	drained(t, q)
	assert.Less(t, time.Since(stolen), 3*time.Second)
	requireOrder(t, cities(fake)["mary"])
	assert.Equal(t, "3", fake.Attrs("mary")["city"])
}

// TestDeadProcessIsNotActive: no other process takes over, and an operator has to see that none sends.
func TestDeadProcessIsNotActive(t *testing.T) {
	t.Parallel()
	q := open(t, t.TempDir(), dispatch.WithLease(200*time.Millisecond))
	require.NoError(t, q.Steal(t.Context()))
	assert.Equal(t, "thief", stats(t, q).Active)
	eventually(t, "it is not shown any more", func() bool { return stats(t, q).Active == "" })
}

func TestNothingGoesBackAfterACrash(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	for k := 1; k <= 3; k++ {
		concurrently(250, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", n), fmt.Sprint(k)))) })
	}
	require.NoError(t, q.Crash(t.Context(), 1<<20))
	run(t, q, quickClient(fake))
	drained(t, q)
	for n, values := range cities(fake) {
		assert.Equal(t, []string{"3"}, values, n)
	}
	assert.Equal(t, 750, stats(t, q).Redelivered)
}

// TestNothingGoesBackAfterAnEnd: an update that was never sent keeps the floor below values that were sent.
func TestNothingGoesBackAfterAnEnd(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	held := make(firstHeld, 1)
	stop := run(t, q, fake.Client(timpush.WithLimiter(held), timpush.WithMaxAttempts(1)))
	set(t, q, user("held", "1"))
	eventually(t, "the first request waits", func() bool { return len(held) == 1 })
	for k := 1; k <= 2; k++ {
		concurrently(100, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", n), fmt.Sprint(k)))) })
		eventually(t, "they are sent", func() bool { return len(cities(fake)) == 100 && fake.Attrs("user99")["city"] == fmt.Sprint(k) })
	}
	stop()
	assert.Empty(t, stats(t, q).Paused, "the request was cut off here")
	run(t, q, quickClient(fake))
	drained(t, q)
	for account, values := range cities(fake) {
		assert.True(t, slices.IsSorted(values), "%s got %v", account, values)
	}
}

// TestBacklogBehindAFailure: what is settled does not count while an update before it is being tried again.
func TestBacklogBehindAFailure(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), dispatch.WithDelay(time.Hour))
	fake.Refuse(91000, "mary")
	set(t, q, user("mary", "1"))
	run(t, q, quickClient(fake))
	for k := range 10 {
		set(t, q, user("john", fmt.Sprint(k)))
	}
	eventually(t, "only one waits", func() bool { return stats(t, q).Backlog == 1 && fake.Attrs("john")["city"] == "9" })
	set(t, q, user("mary", "2"))
	assert.Equal(t, 2, stats(t, q).Backlog)
}

// TestManyThatFailDoNotHoldOthers: where a plan has no room for more accounts, each new one is refused and the others are not.
func TestManyThatFailDoNotHoldOthers(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), dispatch.WithDelay(5*time.Millisecond))
	concurrently(1000, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("new", n), "Rome"))) })
	var refused atomic.Int64 // requests
	fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if slices.Contains(c.Accounts, "john") {
			return timpushtest.AccountCode(70398, slices.DeleteFunc(slices.Clone(c.Accounts), func(a string) bool { return a == "john" })...)
		}
		refused.Add(1)
		return timpushtest.AccountCode(70398, c.Accounts...)
	})
	run(t, q, quickClient(fake))
	for k := range 2 {
		before := refused.Load()
		eventually(t, "all have been refused and are tried again", func() bool { return refused.Load()-before > 15 })
		before = refused.Load()
		set(t, q, user("john", fmt.Sprint(k)))
		eventually(t, "another is sent", func() bool { return fake.Attrs("john")["city"] == fmt.Sprint(k) })
		assert.Less(t, refused.Load()-before, int64(6))
	}
}

// TestManyThatFailDoNotHoldOthersAfterAnOutage: one that has been tried again and again in an outage has failed more often than they.
func TestManyThatFailDoNotHoldOthersAfterAnOutage(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), dispatch.WithDelay(5*time.Millisecond))
	var down atomic.Bool
	var refused, johns atomic.Int64 // requests
	fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		others := slices.DeleteFunc(slices.Clone(c.Accounts), func(a string) bool { return a == "john" })
		if len(others) < len(c.Accounts) {
			johns.Add(1)
		} else {
			refused.Add(1)
		}
		if down.Load() {
			return timpushtest.ErrorCode(91000)
		}
		return timpushtest.AccountCode(70398, others...)
	})
	concurrently(1000, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("new", n), "Rome"))) })
	set(t, q, user("john", "0"))
	run(t, q, quickClient(fake))
	eventually(t, "one is sent, and the others are refused alone", func() bool { return fake.Attrs("john") != nil && refused.Load() > 10 })
	down.Store(true)
	set(t, q, user("john", "1"))
	before := johns.Load()
	eventually(t, "it fails", func() bool { return johns.Load()-before >= 4 })
	down.Store(false)
	before = refused.Load()
	eventually(t, "it is sent", func() bool { return fake.Attrs("john")["city"] == "1" })
	assert.Less(t, refused.Load()-before, int64(60))
}

// TestAccountThatFailsItsRequestsDoesNotHoldOthers: a request that has one account fails as a whole, as where a gateway cuts off each one
// with a value that it takes for an attack.
func TestAccountThatFailsItsRequestsDoesNotHoldOthers(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]timpushtest.Fault{
		"code": timpushtest.ErrorCode(91000), "gateway": timpushtest.Status(403), "connection": timpushtest.CutBefore(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log records
			fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick, dispatch.WithLogger(log.logger()))
			pauses := func() int { return strings.Count(log.text(), "sending pauses") }
			var alone, together atomic.Int64 // requests with mary
			fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
				switch {
				case !slices.Contains(c.Accounts, "mary"):
					return timpushtest.Fault{}
				case len(c.Accounts) == 1:
					alone.Add(1)
				default:
					together.Add(1)
				}
				return fault
			})
			set(t, q, user("mary", "Rome"))
			concurrently(9, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("before", n), "Rome"))) })
			run(t, q, quickClient(fake))
			eventually(t, "others are sent", func() bool { return fake.NumAccounts() == 9 })
			concurrently(9, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("after", n), "Rome"))) })
			eventually(t, "and those that come later", func() bool { return fake.NumAccounts() == 18 })
			more := 0
			another := func() bool {
				time.Sleep(30 * time.Millisecond) // leaves the processor to other tests
				more++
				return q.SetAttr(t.Context(), user(fmt.Sprint("more", more), "Rome")) == nil
			}
			eventually(t, "its update is put aside, which would hold up the reading", func() bool { return another() && stats(t, q).Waiting == 1 })
			before, paused := alone.Load()+5, pauses()
			together.Store(0)
			eventually(t, "it is tried again", func() bool { return another() && alone.Load() >= before })
			assert.Zero(t, together.Load())
			assert.Less(t, pauses()-paused, 3, "its failures say nothing about others, unless none was sent in between, as on a busy machine")
		})
	}
}

// TestFailingAccountThatIsUpdatedOften: its updates filled the record, and from then on nothing was passed, so that after 20,000 messages
// nothing more was read.
func TestFailingAccountThatIsUpdatedOften(t *testing.T) {
	t.Parallel()
	names := []string{"city", "sex", "a", "b", "c", "d", "e", "f", "g"}
	fake := timpushtest.Start(t, timpushtest.WithAttrNames(names...))
	var fails atomic.Bool
	fails.Store(true)
	fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if fails.Load() && slices.Contains(c.Accounts, "mary") {
			return timpushtest.AccountCode(91000, "mary")
		}
		return timpushtest.Fault{}
	})
	js, _ := startServer(t, t.TempDir(), func(o *server.Options) { o.SyncAlways = false })
	q := openOn(t, js)
	stop := run(t, q, quickClient(fake))
	mary := user("mary", "")
	for _, name := range names[2:] {
		mary.Attrs[name] = strings.Repeat("x", 50)
	}
	const updates = 900 // of more than 500 bytes: the record has 400,000 for them
	for k := range updates {
		mary.Attrs["city"] = fmt.Sprint(k)
		if k == 0 {
			mary.Attrs["sex"] = "1" // which no later one replaces
		}
		set(t, q, mary)
		delete(mary.Attrs, "sex")
	}
	more := 0
	passed := func() bool { // as others are sent
		time.Sleep(30 * time.Millisecond) // leaves the processor to other tests
		more++
		if q.SetAttr(t.Context(), user("john", fmt.Sprint(more))) != nil {
			return false
		}
		s := stats(t, q)
		return s.Waiting > 0 && s.Backlog-s.Waiting < 100
	}
	eventually(t, "no update holds the others", passed)
	stop()
	run(t, q, quickClient(fake))
	eventually(t, "nor after a restart", passed)
	fails.Store(false)
	drained(t, q)
	want := maps.Clone(mary.Attrs)
	want["sex"] = "1"
	assert.Equal(t, want, timpush.Attrs(fake.Attrs("mary")))
	requireOrder(t, cities(fake)["mary"])
	assert.Empty(t, letters(t, q))
}

// TestInvalidUpdateDoesNotHoldOthers: the Client refuses what the queue takes, and with it all that would have been sent together.
func TestInvalidUpdateDoesNotHoldOthers(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), dispatch.WithDelay(time.Hour))
	set(t, q, user("mary", "Rome"), user("john", strings.Repeat(`"`, timpush.MaxValueBytes)), user("jane", "Oslo"))
	run(t, q, fake.Client(timpush.WithEscapedLength()))
	drained(t, q)
	assert.Len(t, fake.Accounts(), 2)
	assert.Len(t, letters(t, q), 1)
	assert.Zero(t, stats(t, q).Redelivered)
}

// TestEndIsNoFaultOfAnUpdate: Run ends while the Client looks for the account at fault among those of a refused request.
func TestEndIsNoFaultOfAnUpdate(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	concurrently(100, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", n), "Rome"))) })
	var refused, looking atomic.Bool
	fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		switch {
		case refused.Load():
			looking.Store(true)
			return timpushtest.Hang()
		case len(c.Accounts) > 1: // the code for one alone would be about it
			refused.Store(true)
			return timpushtest.ErrorCode(70107)
		}
		return timpushtest.Fault{}
	})
	stop := run(t, q, quickClient(fake))
	eventually(t, "it is looked for", looking.Load)
	stop()
	fake.Handle(nil)
	assert.Empty(t, letters(t, q))
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Len(t, fake.Accounts(), 100)
}

// firstHeld is a limiter that keeps the first request until its context ends.
type firstHeld chan struct{}

func (h firstHeld) Wait(ctx context.Context) error {
	select {
	case h <- struct{}{}:
		<-ctx.Done()
		return ctx.Err()
	default:
		return nil
	}
}

func TestSettledMessagesAreDeleted(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick, dispatch.WithDuplicateWindow(500*time.Millisecond))
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "1"))
	eventually(t, "the stream is empty", func() bool { return stats(t, q).Bytes == 0 })
	set(t, q, user("mary", "2"))
	drained(t, q)
	assert.Equal(t, "2", fake.Attrs("mary")["city"])
}

func TestStopKeepsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	fake.Inject(timpushtest.Hang())
	set(t, q, user("mary", "1"))
	stop := run(t, q, quickClient(fake))
	eventually(t, "it is sent", func() bool { return len(fake.Calls()) == 1 })
	began := time.Now()
	stop()
	assert.Less(t, time.Since(began), 5*time.Second)
	assert.Equal(t, 1, stats(t, q).Backlog)
	run(t, q, quickClient(fake))
	drained(t, q)
	assert.Equal(t, "1", fake.Attrs("mary")["city"])
}

func TestClientOfAnotherAppIsRefused(t *testing.T) {
	t.Parallel()
	fake := timpushtest.Start(t)
	q, err := dispatch.OpenEmbedded(t.Context(), t.TempDir(), appID+1)
	require.NoError(t, err)
	set(t, q, user("mary", "1"))
	err = q.Run(t.Context(), fake.Client())
	require.ErrorContains(t, err, fmt.Sprint(appID+1))
	require.ErrorContains(t, err, fmt.Sprint(appID))
	assert.Empty(t, fake.Calls())
	require.NoError(t, q.Close())
}

// TestResumeTriesNow: the pauses are so long that nothing would be tried during the test.
func TestResumeTriesNow(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), dispatch.WithDelay(20*time.Second))
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(90009) })
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "1"))
	eventually(t, "it pauses", func() bool { return stats(t, q).Paused != "" })
	calls := len(fake.Calls())
	require.NoError(t, q.Resume(t.Context()))
	eventually(t, "it has tried", func() bool { return len(fake.Calls()) > calls })
	time.Sleep(time.Second)
	assert.Len(t, fake.Calls(), calls+1, "once")
	assert.NotEmpty(t, stats(t, q).Paused)
	fake.Handle(nil)
	js, _ := q.JetStream()
	tool, err := dispatch.OpenExisting(t.Context(), js, appID)
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, tool.Resume(t.Context()))
	eventually(t, "it is sent", func() bool { return fake.Attrs("mary") != nil })
	assert.Less(t, time.Since(began), 2*time.Second)
	sent := time.Now()
	eventually(t, "it pauses no more", func() bool { return stats(t, q).Paused == "" })
	assert.Less(t, time.Since(sent), 2*time.Second)
	require.NoError(t, tool.Close())
}

// TestCorrectedMistakeIsNoticed: an operator's mistake is tried again at most 15 s apart; here a second is 10 ms.
func TestCorrectedMistakeIsNoticed(t *testing.T) {
	t.Parallel()
	var log records
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), dispatch.WithDelay(10*time.Millisecond), dispatch.WithLogger(log.logger()))
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(90009) })
	run(t, q, quickClient(fake))
	set(t, q, user("mary", "1"))
	eventually(t, "it pauses at its longest", func() bool { return strings.Count(log.text(), "for=150ms") >= 2 })
	fake.Handle(nil)
	drained(t, q)
}

// slowLink forwards connections to a server with some bytes a second, each way.
func slowLink(t *testing.T, server string, rate int) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a numeric loopback address never waits
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	forward := func(to, from net.Conn) {
		defer to.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := from.Read(buffer)
			if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
				return
			}
			time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
		}
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(server, "nats://")) //nolint:noctx // a numeric loopback address never waits
			if err != nil {
				_ = near.Close()
				return
			}
			go forward(near, far)
			go forward(far, near)
		}
	}()
	return "nats://" + l.Addr().String()
}

// TestBacklogOverASlowLink: to read it takes longer than a lease, and what renews the lease is answered behind what is being read.
func TestBacklogOverASlowLink(t *testing.T) {
	t.Parallel()
	js, url := startServer(t, t.TempDir(), func(o *server.Options) { o.SyncAlways = false })
	q := openOn(t, js)
	update := user("", strings.Repeat("x", timpush.MaxValueBytes))
	names := []string{"city"}
	for n := range timpush.MaxAttrsPerUser - 1 {
		name := fmt.Sprint(strings.Repeat("x", timpush.MaxNameBytes-1), n)
		names, update.Attrs[name] = append(names, name), update.Attrs["city"]
	}
	concurrently(80*timpush.MaxUsersPerRequest, func(k int) {
		u := update
		u.ToAccount = fmt.Sprint("user", k%timpush.MaxUsersPerRequest)
		assert.NoError(t, q.SetAttr(t.Context(), u))
	})
	conn, js, err := connect(slowLink(t, url, 5_000_000))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	fake := timpushtest.Start(t, timpushtest.WithAttrNames(names...))
	run(t, openOn(t, js, dispatch.WithLease(time.Second)), quickClient(fake))
	drained(t, q)
	assert.Len(t, fake.Accounts(), timpush.MaxUsersPerRequest)
}

func TestLetterThatCannotBeDeleted(t *testing.T) {
	t.Parallel()
	js, _ := startServer(t, t.TempDir())
	q := openOn(t, js)
	_, err := js.Publish(t.Context(), fmt.Sprintf("timpush.%d.dead", appID), []byte(`{"account":"john","attrs":{"city":"Oslo"}}`))
	require.NoError(t, err)
	config := goodConfig(t, js, streamName+"_DEAD")
	config.DenyDelete = true
	_, err = js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	err = q.Discard(t.Context(), 1)
	require.ErrorIs(t, err, jetstream.ErrMsgDeleteUnsuccessful)
	require.NotErrorIs(t, err, dispatch.ErrNoLetter)
	require.ErrorIs(t, q.Discard(t.Context(), 2), dispatch.ErrNoLetter)
}

// TestPanicOfACallback comes out of Run, as runtime.Goexit does, and another Run sends what was stored.
func TestPanicOfACallback(t *testing.T) {
	t.Parallel()
	for name, escape := range map[string]func(){"panic": func() { panic("signer") }, "exit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, q := timpushtest.Start(t), open(t, t.TempDir(), dispatch.WithLease(200*time.Millisecond))
			require.NoError(t, q.SetAttr(t.Context(), user("mary", "Rome")))
			c := fake.Client(timpush.WithSigner(signer(func() (string, time.Time, error) {
				escape()
				return "", time.Time{}, nil
			})))
			ended := make(chan any)
			go func() {
				defer func() { ended <- recover() }()
				assert.NoError(t, q.Run(t.Context(), c))
			}()
			select {
			case value := <-ended:
				assert.Equal(t, name == "panic", value == "signer", value)
			case <-time.After(soon):
				t.Fatal("Run goes on")
			}
			run(t, q, quickClient(fake))
			eventually(t, "it is sent", func() bool { return fake.Attrs("mary")["city"] == "Rome" })
		})
	}
}

// TestPanicWhileRunEnds comes out of it, too.
func TestPanicWhileRunEnds(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir())
	require.NoError(t, q.SetAttr(t.Context(), user("mary", "Rome")))
	ctx, cancel := context.WithCancel(t.Context())
	c := fake.Client(timpush.WithSigner(signer(func() (string, time.Time, error) {
		cancel()
		time.Sleep(50 * time.Millisecond) // until Run waits for what is in flight
		panic("signer")
	})))
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		_ = q.Run(ctx, c)
	}()
	select {
	case value := <-ended:
		assert.Equal(t, "signer", value)
	case <-time.After(soon):
		t.Fatal("Run goes on")
	}
}

type signer func() (string, time.Time, error)

func (f signer) UserSig(context.Context) (string, time.Time, error) { return f() }

// busyOnce answers the first request with 503 and a Retry-After of a second.
type busyOnce struct {
	http.RoundTripper
	sent atomic.Int64
}

func (b *busyOnce) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.sent.Add(1) > 1 {
		return b.RoundTripper.RoundTrip(r)
	}
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"1"}}, Body: http.NoBody, Request: r}, nil
}

// TestQueueWaitsAsAsked: it tried again after its own pauses, of 5 s at most, whatever Retry-After said.
func TestQueueWaitsAsAsked(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	b := &busyOnce{RoundTripper: fake.HTTPClient().Transport}
	run(t, q, fake.Client(timpush.WithMaxAttempts(1), timpush.WithHTTPClient(&http.Client{Transport: b})))
	set(t, q, user("mary", "1"))
	eventually(t, "it is refused", func() bool { return b.sent.Load() == 1 })
	began := time.Now()
	set(t, q, user("ann", "1")) // others wait, too
	drained(t, q)
	assert.GreaterOrEqual(t, time.Since(began), 900*time.Millisecond)
	assert.Equal(t, "1", fake.Attrs("mary")["city"])
}

// TestQueueWaitsAsAProxyAsks: a gateway's Retry-After held the queue, and that of a proxy did not.
func TestQueueWaitsAsAProxyAsks(t *testing.T) { //nolint:paralleltest // it changes http.DefaultTransport
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(proxy.Close)
	standard := http.DefaultTransport.(*http.Transport)
	t.Cleanup(func() { http.DefaultTransport = standard })
	transport := standard.Clone()
	transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	http.DefaultTransport = transport
	c, err := timpush.NewClient(timpushtest.Start(t).Config(), timpush.WithBaseURL("https://service.example"), timpush.WithMaxAttempts(1))
	require.NoError(t, err)
	q := open(t, t.TempDir(), quick)
	set(t, q, user("mary", "1"))
	run(t, q, c)
	eventually(t, "the proxy asks to wait", func() bool { return asked.Load() > 0 })
	time.Sleep(time.Second)
	assert.EqualValues(t, 1, asked.Load())
}

// TestQueueWaitsAsAskedOfAccountsThatFailedBefore: while the gateway's servers restart, requests for mary fail; then it is in maintenance.
func TestQueueWaitsAsAskedOfAccountsThatFailedBefore(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	g := &restarting{RoundTripper: fake.HTTPClient().Transport}
	run(t, q, fake.Client(timpush.WithMaxAttempts(1), timpush.WithHTTPClient(&http.Client{Transport: g})))
	set(t, q, user("mary", "1"))
	eventually(t, "mary has failed", func() bool { return g.failed.Load() > 0 })
	set(t, q, user("ann", "1"))
	eventually(t, "the gateway asks to wait", func() bool { return g.refused.Load() > 0 })
	time.Sleep(700 * time.Millisecond)
	assert.EqualValues(t, 1, g.refused.Load(), "a Retry-After counts for at most 60 delays, 1.2 s")
}

// restarting answers requests for mary with 502, until others were answered and she has failed again: then all get 503 with a Retry-After.
type restarting struct {
	http.RoundTripper
	failed, answered, refused atomic.Int64
}

func (r *restarting) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	answer := &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"2"}}, Body: http.NoBody, Request: req}
	switch {
	case r.answered.Load() > 2:
		r.refused.Add(1)
	case bytes.Contains(body, []byte("mary")):
		if r.answered.Load() > 0 {
			r.answered.Add(1)
		}
		r.failed.Add(1)
		answer.StatusCode, answer.Header = http.StatusBadGateway, http.Header{}
	default:
		r.answered.Add(1)
		return r.RoundTripper.RoundTrip(req)
	}
	return answer, nil
}

// rotated refuses all but its first requests at once, as where the secret key was changed. Those take longer.
type rotated struct {
	http.RoundTripper
	sent, refused atomic.Int64
}

func (r *rotated) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.sent.Add(1) <= 20 {
		time.Sleep(300 * time.Millisecond)
		return r.RoundTripper.RoundTrip(req)
	}
	r.refused.Add(1)
	body := io.NopCloser(strings.NewReader(`{"ActionStatus":"FAIL","ErrorCode":70009,"ErrorInfo":"wrong"}`))
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, ContentLength: -1, Request: req}, nil
}

// TestWrongKeyBesideAnswers: an answer to a request that left before ended the pause, and for the rest of it nothing paused the queue.
func TestWrongKeyBesideAnswers(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir())
	r := &rotated{RoundTripper: fake.HTTPClient().Transport}
	concurrently(5000, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", n), "Rome"))) })
	run(t, q, fake.Client(timpush.WithHTTPClient(&http.Client{Transport: r})))
	eventually(t, "the key is refused", func() bool { return r.refused.Load() > 0 })
	time.Sleep(3 * time.Second)
	assert.Less(t, r.refused.Load(), int64(100), "those in flight, and one at a time")
}

// TestWrongKeyBesideInvalidUpdates: the Queue has stored updates that the Client finds invalid. Each of them ended the pause, as an answer does.
func TestWrongKeyBesideInvalidUpdates(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir())
	r := &rotated{RoundTripper: fake.HTTPClient().Transport}
	r.sent.Store(20) // the key is wrong from the beginning
	concurrently(20_000, func(n int) {
		u := user(fmt.Sprint("user", n), "Rome")
		if n%50 == 0 {
			u.Attrs["city"] = strings.Repeat(`"`, 50)
		}
		assert.NoError(t, q.SetAttr(t.Context(), u))
	})
	run(t, q, fake.Client(timpush.WithEscapedLength(), timpush.WithHTTPClient(&http.Client{Transport: r})))
	eventually(t, "the key is refused", func() bool { return r.refused.Load() > 0 })
	time.Sleep(3 * time.Second)
	assert.Less(t, r.refused.Load(), int64(100), "those in flight, and one at a time")
}

// TestCauseBesideMergedUpdates: the Client finds those of mary invalid, which was the cause of the pause, and its length that of no operator's mistake.
func TestCauseBesideMergedUpdates(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir())
	fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(70009) })
	set(t, q, user("mary", "1"), user("mary", strings.Repeat(`"`, 50)), user("ann", "1"))
	run(t, q, fake.Client(timpush.WithEscapedLength()))
	eventually(t, "it pauses", func() bool { return stats(t, q).Paused != "" })
	assert.Contains(t, stats(t, q).Paused, "70009")
}

// limited is a gateway with a limit of requests, as limit_req of nginx: those within it take 100 ms, one beyond it gets 503 with Retry-After at once, and
// so do all until that is over.
type limited struct {
	http.RoundTripper
	mu    sync.Mutex
	burst int
	since time.Time
	early int // requests while it has asked to wait
}

func (l *limited) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	refuse := false
	switch {
	case !l.since.IsZero() && time.Since(l.since) < time.Second:
		l.early++
		refuse = true
	case l.since.IsZero() && l.burst == 0:
		l.since, refuse = time.Now(), true
	case l.since.IsZero():
		l.burst--
	}
	l.mu.Unlock()
	if refuse {
		return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"20"}}, Body: http.NoBody, Request: r}, nil
	}
	time.Sleep(100 * time.Millisecond)
	return l.RoundTripper.RoundTrip(r)
}

// TestQueueWaitsAsAskedBesideAnswers: requests that left before the gateway asked to wait are answered after it.
func TestQueueWaitsAsAskedBesideAnswers(t *testing.T) {
	t.Parallel()
	fake, q := timpushtest.Start(t), open(t, t.TempDir(), quick)
	l := &limited{RoundTripper: fake.HTTPClient().Transport, burst: 5}
	concurrently(2000, func(n int) { assert.NoError(t, q.SetAttr(t.Context(), user(fmt.Sprint("user", n), "Rome"))) })
	run(t, q, fake.Client(timpush.WithMaxAttempts(1), timpush.WithHTTPClient(&http.Client{Transport: l})))
	drained(t, q)
	l.mu.Lock()
	defer l.mu.Unlock()
	assert.Less(t, l.early, 33, "those that were in flight")
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/tools"
)

// queue stores updates of accounts of its own in a queue on disk, to the data of which something happens, and whose dispatcher is
// stopped and started. In the end all that was stored has been sent, in order, or is a dead letter, or is reported as lost; what was
// stored afterwards has been sent.
func (w *world) queue(seed uint64) {
	dir := must(os.MkdirTemp("", "soak"))
	defer func() { _ = os.RemoveAll(dir) }()
	event := []string{"plain", "damaged", "full", "recreated"}[seed/5%4]
	if event == "full" {
		unmount, err := mount(dir)
		if err != nil { // it takes root, and Linux
			event = "plain"
		}
		defer unmount()
	}
	client, last := w.clients[int(seed)%len(w.clients)], make([]int, 10)
	q, js, closed := w.openQueue(dir, event == "recreated")
	stopped := w.dispatch(q, client)
	w.publish(q, last)
	switch event {
	case "damaged":
		stopped()
		closed()
		w.damage(dir)
		q, _, closed = w.openQueue(dir, false)
		stopped = w.dispatch(q, client)
	case "full":
		w.fill(dir)
	case "recreated":
		w.recreate(js)
	}
	w.publish(q, last)
	stopped()
	w.fake.Handle(nil)
	stopped = w.dispatch(q, w.spare)
	dead := w.drained(q)
	stopped()
	closed()
	w.checkOrder(last, dead, event == "damaged")
	w.count("queues", 1)
	w.count(event, 1)
}

// openQueue opens a queue with a server of its own, or on one whose streams an operator can reach.
func (w *world) openQueue(dir string, operated bool) (q *dispatch.Queue, js jetstream.JetStream, closed func()) {
	id, _, _ := w.fake.App()
	ctx := context.Background()
	if !operated {
		q = must(dispatch.OpenEmbedded(ctx, dir, id))
		return q, nil, func() { w.logError(q.Close()) }
	}
	s := must(server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir}))
	s.Start()
	conn := must(nats.Connect("", nats.InProcessServer(s)))
	js = must(jetstream.New(conn))
	q = must(dispatch.Open(ctx, js, id))
	return q, js, func() { w.logError(q.Close()); conn.Close(); s.Shutdown(); s.WaitForShutdown() }
}

// recreate deletes the stream of a queue with all that is in it, and makes it again.
func (w *world) recreate(js jetstream.JetStream) {
	id, _, _ := w.fake.App()
	ctx, name := context.Background(), fmt.Sprint("TIMPUSH_", id)
	config := must(js.Stream(ctx, name)).CachedInfo().Config
	w.logError(js.DeleteStream(ctx, name))
	must(js.CreateStream(ctx, config))
}

// mount makes a folder a small disk.
func mount(dir string) (unmount func(), err error) {
	_, err = tools.Run(".", nil, "mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", dir)
	return func() { _, _ = tools.Run(".", nil, "umount", "-l", dir) }, err
}

// fill fills a disk for half a second, up to what an embedded queue keeps free or to its end.
func (w *world) fill(dir string) {
	path := filepath.Join(dir, "filler")
	_ = os.WriteFile(path, make([]byte, pick(w.random, 19, 24)<<20), 0o600) // as much as there is space
	time.AfterFunc(500*time.Millisecond, func() { w.logError(os.Remove(path)) })
}

// damage flips a bit in the stored messages of a queue, or in the record of what was settled.
func (w *world) damage(dir string) {
	path := pick(w.random, must(filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*TIMPUSH_*[0-9]", "msgs", "*.blk")))...)
	if data := must(os.ReadFile(path)); len(data) > 0 { // else all of it was sent and deleted
		data[w.random.IntN(len(data))] ^= 1 << w.random.IntN(8)
		w.logError(os.WriteFile(path, data, 0o600))
	}
}

// dispatch runs a dispatcher until it is told to stop.
func (w *world) dispatch(q *dispatch.Queue, c *timpush.Client) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		if err := q.Run(ctx, c); err != nil {
			w.fault("Run: %v", err)
		}
	})
	return func() { cancel(); work.Wait() }
}

// publish stores growing numbers for accounts at the same time, after the last ones. What a full disk has refused is stored again.
func (w *world) publish(q *dispatch.Queue, last []int) {
	stop := time.Now().Add(runTime / 2)
	var work sync.WaitGroup
	for k := range last {
		work.Go(func() {
			for full := false; full || time.Now().Before(stop); {
				err := q.SetAttr(context.Background(), timpush.UserAttrs{ToAccount: queued(k), Attrs: timpush.Attrs{"city": strconv.Itoa(last[k] + 1)}})
				w.logError(err)
				full = err != nil && strings.Contains(err.Error(), "full") && time.Since(stop) < 10*time.Second // ErrFull, or not known
				switch {
				case err == nil:
					last[k]++
					w.count("queued", 1)
				case full:
					time.Sleep(20 * time.Millisecond) //nolint:forbidigo // it ends soon
				default:
					w.fault("SetAttr of the queue: %v", err)
					return
				}
			}
		})
	}
	work.Wait()
}

func queued(k int) string { return fmt.Sprint("queued ", k) }

// drained waits until the queue is empty, and returns the accounts that have dead letters.
func (w *world) drained(q *dispatch.Queue) map[string]bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stats, err := q.Stats(ctx)
	for ; err == nil && stats.Backlog > 0; stats, err = q.Stats(ctx) {
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // Stats ends with ctx
	}
	if err != nil {
		w.fault("the queue is not empty after a minute: %+v %v", stats, err)
	}
	dead := map[string]bool{}
	for letter, err := range q.DeadLetters(ctx) {
		if w.logError(err); err == nil {
			dead[letter.User.ToAccount] = true
		}
	}
	return dead
}

// checkOrder checks that the last value of each account is stored, and that all came in order, unless some are lost: then older ones
// that were sent before may be sent again.
func (w *world) checkOrder(last []int, dead map[string]bool, lost bool) {
	newest := map[string]int{}
	for _, call := range w.fake.Calls() {
		var body struct {
			UserAttrs []struct {
				ToAccount string          `json:"To_Account"`
				Attrs     json.RawMessage // names only, if they are to be removed
			}
		}
		_ = json.Unmarshal(call.Body, &body)
		for _, user := range body.UserAttrs {
			var attrs struct{ City string }
			_ = json.Unmarshal(user.Attrs, &attrs)
			value, _ := strconv.Atoi(attrs.City)
			if value < newest[user.ToAccount] && !lost && strings.HasPrefix(user.ToAccount, "queued") {
				w.fault("queue: %s is %d after %d", user.ToAccount, value, newest[user.ToAccount])
			}
			newest[user.ToAccount] = value
		}
	}
	for k, value := range last {
		if stored := w.fake.Attrs(queued(k))["city"]; stored != strconv.Itoa(value) && !dead[queued(k)] {
			w.fault("queue: %s is %s, want %d", queued(k), stored, value)
		}
	}
}

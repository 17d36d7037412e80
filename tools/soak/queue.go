package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
)

// damaging is off in the checks of a commit: nats-server 2.15 takes all memory for some flipped bits in the number of a message.
var damaging = flag.Bool("damage", false, "damage the data of half of the queues")

// queue stores updates of accounts of its own in a queue on disk, whose dispatcher is stopped and started meanwhile. With -damage
// the data of half of the queues is damaged. In the end all that was stored has been sent, in order, or is a dead letter, or is
// reported as lost.
func (w *world) queue(seed uint64) {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	id, _, _ := w.fake.App()
	ctx := context.Background()
	q, err := dispatch.OpenEmbedded(ctx, dir, id)
	if err != nil {
		w.fault("OpenEmbedded: %v", err)
		return
	}
	defer func() { w.logError(q.Close()) }()
	client := w.clients[int(seed)%len(w.clients)]
	stopped := w.dispatch(q, client)
	last := w.publish(q)
	stopped()
	w.fake.Handle(nil)
	if seed/5%2 == 0 && *damaging {
		w.logError(q.Close())
		w.damage(dir)
		again, err := dispatch.OpenEmbedded(ctx, dir, id)
		if err != nil {
			w.fault("OpenEmbedded after damage: %v", err)
			return
		}
		q = again
	}
	stopped = w.dispatch(q, client)
	dead := w.drained(q)
	stopped()
	stats, err := q.Stats(ctx)
	if w.logError(err); err == nil {
		w.checkOrder(last, dead, stats.Lost > 0)
	}
	w.count("queues", 1)
}

// damage flips a bit in the stored messages of a queue, or in the record of what was settled.
func (w *world) damage(dir string) {
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*TIMPUSH_*[0-9]", "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		w.fault("the queue has no data: %v", err)
		return
	}
	path := blocks[rand.IntN(len(blocks))]
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return // all of it was sent and deleted
	}
	data[rand.IntN(len(data))] ^= 1 << rand.IntN(8)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		panic(err)
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

// publish stores growing numbers for ten accounts at the same time, and returns the last ones.
func (w *world) publish(q *dispatch.Queue) map[string]int {
	var mu sync.Mutex
	last, stop := map[string]int{}, time.Now().Add(runTime/2)
	var work sync.WaitGroup
	for k := range 10 {
		account := fmt.Sprintf("queued %d", k)
		work.Go(func() {
			for value := 1; time.Now().Before(stop); value++ {
				err := q.SetAttr(context.Background(), timpush.UserAttrs{ToAccount: account, Attrs: timpush.Attrs{"city": strconv.Itoa(value)}})
				if w.logError(err); err != nil {
					w.fault("SetAttr of the queue: %v", err)
					return
				}
				mu.Lock()
				last[account] = value
				mu.Unlock()
				w.count("queued", 1)
			}
		})
	}
	work.Wait()
	return last
}

// drained waits until the queue is empty, and returns the accounts that have dead letters. After 70050 the client sends
// nothing for a minute, and after other codes that an operator has to correct the dispatcher pauses for 15 s at most.
func (w *world) drained(q *dispatch.Queue) map[string]bool {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	for {
		stats, err := q.Stats(ctx)
		if err != nil {
			w.fault("the queue is not empty after three minutes: %+v %v", stats, err)
			break
		}
		if stats.Backlog == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // Stats ends with ctx
	}
	dead := map[string]bool{}
	for letter, err := range q.DeadLetters(ctx) {
		if w.logError(err); err == nil {
			dead[letter.User.ToAccount] = true
		}
	}
	return dead
}

// checkOrder checks that the values of each account came in order and that the last one is stored, unless some are reported as lost:
// then an older one that was sent before may be sent again, and stay.
func (w *world) checkOrder(last map[string]int, dead map[string]bool, lost bool) {
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
			if _, ours := last[user.ToAccount]; !ours {
				continue
			}
			var attrs struct{ City string }
			_ = json.Unmarshal(user.Attrs, &attrs)
			value, _ := strconv.Atoi(attrs.City)
			if value < newest[user.ToAccount] && !lost {
				w.fault("queue: %s is %d after %d", user.ToAccount, value, newest[user.ToAccount])
			}
			newest[user.ToAccount] = value
		}
	}
	for account, value := range last {
		if stored := w.fake.Attrs(account)["city"]; stored != strconv.Itoa(value) && !dead[account] && !lost {
			w.fault("queue: %s is %s, want %d", account, stored, value)
		}
	}
}

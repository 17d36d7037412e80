package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	timpush "github.com/timpush/timpush-go"
)

// caller sets attributes or tags of accounts of its own, or pushes to them, and knows which values the fake may have for them.
type caller struct {
	*world
	*rand.Rand
	client     *timpush.Client
	name       string
	value      int
	unreported int // users of streams that ended before their source had
	model      model
}

// model has the values that may be stored for each account: the last one that was Done, and all that were ever Unknown. A
// request that was abandoned may be applied at any time.
type model map[string]*known

type known struct {
	done    string
	unknown []string
	history []string // for the text of a fault
}

const absent = "(absent)"

func (m model) of(account string) *known {
	if m[account] == nil {
		m[account] = &known{done: absent}
	}
	return m[account]
}

func (k *known) mayBe(value string) bool { return value == k.done || slices.Contains(k.unknown, value) }

// wasDone reports whether a value was ever Done.
func (k *known) wasDone(value string) bool {
	return slices.ContainsFunc(k.history, func(entry string) bool { return strings.HasPrefix(entry, value+" done") })
}

// record keeps the outcome of a value.
func (c *caller) record(account, value string, outcome timpush.Outcome) {
	k := c.model.of(account)
	k.history = append(k.history, fmt.Sprintf("%s %v", value, outcome))
	switch outcome {
	case timpush.Done:
		k.done = value
	case timpush.Unknown:
		k.unknown = append(k.unknown, value)
	}
}

// callers runs all kinds of callers at the same time until the end of the run, and returns them.
func (w *world) callers(seed uint64) []*caller {
	kinds := []func(*caller){(*caller).calls, (*caller).calls, (*caller).stream, (*caller).stream, (*caller).removals, (*caller).tags, (*caller).pushes}
	numbered := func(k int) *caller {
		return w.newCaller(fmt.Sprintf("caller%d", k), w.clients[k%len(w.clients)], seed, uint64(k)+2)
	}
	var all []*caller
	var work sync.WaitGroup
	for k, kind := range kinds {
		c := numbered(k)
		all = append(all, c)
		work.Go(func() {
			for time.Now().Before(w.stop) {
				kind(c)
			}
		})
	}
	many := w.batching(numbered(len(kinds)))
	if seed%5 == 0 {
		work.Go(func() { w.queue(seed) })
	}
	work.Wait()
	return append(all, many()...)
}

func (w *world) newCaller(name string, client *timpush.Client, seed, more uint64) *caller {
	return &caller{world: w, Rand: rand.New(rand.NewPCG(seed, more)), client: client, name: name, model: model{}}
}

// users returns some users with values that were never set before. An account may come several times.
func (c *caller) users(most int) []timpush.UserAttrs {
	users := make([]timpush.UserAttrs, 1+c.IntN(most))
	for i := range users {
		c.value++
		users[i] = timpush.UserAttrs{ToAccount: fmt.Sprintf("%s user %d", c.name, c.IntN(150)), Attrs: timpush.Attrs{"city": fmt.Sprint(c.value)}}
	}
	return users
}

func each[T any](users []timpush.UserAttrs, f func(timpush.UserAttrs) T) (all []T) {
	for _, u := range users {
		all = append(all, f(u))
	}
	return all
}

func account(u timpush.UserAttrs) string { return u.ToAccount }

// context returns one that ends soon in one of three cases.
func (c *caller) context() (context.Context, context.CancelFunc) {
	if c.IntN(3) == 0 {
		return context.WithTimeout(context.Background(), time.Duration(c.Int64N(int64(attemptTimeout))))
	}
	return context.WithTimeout(context.Background(), 1200*time.Millisecond)
}

// calls sets some users, and reads them back or verifies them.
func (c *caller) calls() {
	ctx, cancel := c.context()
	defer cancel()
	users := c.set(ctx, 250)
	if c.IntN(2) == 0 {
		c.verify(ctx, users)
	} else {
		c.read(ctx, users)
	}
}

// set sets some users, and returns them.
func (c *caller) set(ctx context.Context, most int) []timpush.UserAttrs {
	users := c.users(most)
	result, err := c.client.SetAttr(ctx, users)
	c.recordCall("SetAttr", users, result, err, func(u timpush.UserAttrs, o timpush.Outcome) { c.record(u.ToAccount, u.Attrs["city"], o) })
	return users
}

// recordCall keeps the outcomes of a call, and checks that they add up.
func (c *caller) recordCall(what string, users []timpush.UserAttrs, result *timpush.Result, err error, record func(timpush.UserAttrs, timpush.Outcome)) {
	c.logError(err)
	count := map[timpush.Outcome]int{}
	for i, outcome := range outcomes(users, err) {
		count[outcome]++
		record(users[i], outcome)
	}
	c.countUsers(len(users), count)
	if result == nil {
		c.fault("%s: %d users and no result: %v", what, len(users), err)
		return
	}
	want := timpush.Result{
		Done: count[timpush.Done], Rejected: count[timpush.Rejected], Unknown: count[timpush.Unknown], NotSent: count[timpush.NotSent], Requests: result.Requests,
	}
	if *result != want || (err == nil) != (want.Done == len(users)) {
		c.fault("%s: the result is %+v, the errors add up to %+v: %v", what, *result, want, err)
	}
}

func (c *caller) countUsers(users int, outcomes map[timpush.Outcome]int) {
	c.count("users", users)
	c.count("done", outcomes[timpush.Done])
	c.count("unknown", outcomes[timpush.Unknown])
}

// outcomes returns the outcome of each user of a call.
func outcomes(users []timpush.UserAttrs, err error) []timpush.Outcome {
	all := slices.Repeat([]timpush.Outcome{timpush.Done}, len(users))
	if partial, ok := errors.AsType[*timpush.PartialError](err); ok {
		for user := range partial.Users() {
			all[user.Index] = user.Outcome
		}
	}
	return all
}

// verify checks the answer of Verify.
func (c *caller) verify(ctx context.Context, users []timpush.UserAttrs) {
	last := map[string]string{}
	for _, u := range users {
		last[u.ToAccount] = u.Attrs["city"]
	}
	_, err := c.client.Verify(ctx, users)
	c.logError(err)
	missing := map[string]bool{}
	if partial, ok := errors.AsType[*timpush.PartialError](err); ok {
		for user := range partial.Users() {
			if missing[user.ToAccount] = true; errors.Is(user, timpush.ErrNotStored) && c.model.of(user.ToAccount).done == last[user.ToAccount] && len(c.model.of(user.ToAccount).unknown) == 0 {
				c.fault("Verify: %s is reported as not stored, and is", user.ToAccount)
			}
		}
	}
	for account, value := range last {
		if k := c.model.of(account); !missing[account] && !k.mayBe(value) {
			c.fault("Verify: %s is reported as %s; history: %v", account, value, k.history)
		}
	}
}

// read checks that GetAttr reads what may be stored.
func (c *caller) read(ctx context.Context, users []timpush.UserAttrs) {
	found, err := c.client.GetAttr(ctx, each(users, account))
	c.logError(err)
	for account, attrs := range found {
		if value, k := cmp.Or(attrs["city"], absent), c.model.of(account); !k.mayBe(value) {
			c.fault("GetAttr: %s is %s; history: %v", account, value, k.history)
		}
	}
}

// removals sets users and removes what was set.
func (c *caller) removals() {
	ctx, cancel := c.context()
	defer cancel()
	users := c.set(ctx, 30)
	names := each(users, func(u timpush.UserAttrs) timpush.UserAttrNames {
		return timpush.UserAttrNames{ToAccount: u.ToAccount, Names: []string{"city"}}
	})
	result, err := c.client.RemoveAttr(ctx, names)
	c.recordCall("RemoveAttr", users, result, err, func(u timpush.UserAttrs, o timpush.Outcome) { c.record(u.ToAccount, absent, o) })
}

// stream sends users as a stream. Now and then it leaves the loop early; users without an outcome may then have been applied.
func (c *caller) stream() {
	ctx, cancel := c.context()
	defer cancel()
	users := c.users(600)
	leave := c.IntN(40)
	reported, taken, over := make([]bool, len(users)), 0, make(chan struct{})
	source := func(yield func(timpush.UserAttrs, error) bool) {
		defer close(over)
		for _, u := range users {
			if taken++; !yield(u, nil) {
				return
			}
		}
	}
	ended := make([]timpush.Outcome, len(users))
	for batch, err := range c.client.SetAttrSeq(ctx, source) {
		c.logError(err)
		if batch == nil {
			continue
		}
		for k, position := range batch.Positions {
			if reported[position] {
				c.fault("stream: position %d is reported twice", position)
			}
			reported[position], ended[position] = true, batch.Outcomes[k]
		}
		if leave--; leave == 0 {
			break
		}
	}
	<-over
	count := map[timpush.Outcome]int{}
	for i, u := range users[:taken] {
		switch {
		case reported[i]:
		case leave != 0 && i == taken-1: // the stream waits 100 ms for its source to yield a last time, and no longer
			c.unreported, ended[i] = c.unreported+1, timpush.NotSent
		case leave != 0:
			c.fault("stream: user %d of %d is not accounted for", i, taken)
		default:
			ended[i] = timpush.Unknown
		}
		count[ended[i]]++
		c.record(u.ToAccount, u.Attrs["city"], ended[i])
	}
	c.countUsers(taken, count)
}

// batching starts twenty goroutines that set one user at a time through one Batcher. The returned function waits for them.
func (w *world) batching(c *caller) (wait func() []*caller) {
	batcher := timpush.NewBatcher(c.client, timpush.WithLinger(time.Duration(c.IntN(30))*time.Millisecond))
	var all []*caller
	var work sync.WaitGroup
	for k := range 20 {
		one := w.newCaller(fmt.Sprintf("batched%d", k), c.client, c.Uint64(), 0)
		all = append(all, one)
		work.Go(func() {
			for time.Now().Before(w.stop) {
				one.single(batcher)
			}
		})
	}
	return func() []*caller {
		work.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := batcher.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) { // it cancels what still retries
			w.fault("Close of the Batcher: %v", err)
		}
		return all
	}
}

func (c *caller) single(batcher *timpush.Batcher) {
	ctx, cancel := c.context()
	defer cancel()
	c.value++
	user := timpush.UserAttrs{ToAccount: fmt.Sprintf("%s user %d", c.name, c.IntN(3)), Attrs: timpush.Attrs{"city": fmt.Sprint(c.value)}}
	err := batcher.SetAttr(ctx, user)
	c.logError(err)
	outcome := timpush.Done
	if failed, ok := errors.AsType[*timpush.UserError](err); ok {
		outcome = failed.Outcome
	} else if err != nil {
		c.fault("Batcher: %v", err)
	}
	c.record(user.ToAccount, user.Attrs["city"], outcome)
	c.countUsers(1, map[timpush.Outcome]int{outcome: 1})
}

// check compares what the fake has with what it may have. When the machine stalls, an attempt that was abandoned for a second
// one may arrive after a later value, and a stream may not wait for its source: neither is a fault then.
func (c *caller) check(stalled bool, pushed map[string]int) {
	if c.unreported > 0 && !stalled {
		c.fault("stream: the last user is not accounted for")
	}
	for account, k := range c.model {
		if n := pushed[account]; n > 1 {
			c.fault("a push came %d times: %s", n, account)
		}
		value := cmp.Or(c.fake.Attrs(account)["city"], absent)
		if of, what, ok := strings.Cut(account, separator); ok {
			value = presence[pushed[account] > 0 || slices.Contains(c.fake.Tags(of), what)]
		}
		if !k.mayBe(value) && !(stalled && k.wasDone(value)) {
			c.fault("%s is %s; history: %v", account, value, k.history)
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/timpush/timpush-go/timpushtest"
)

const (
	eventsPerCallback = 100              // page tencentcloud.com/document/product/1047/67551
	callbackPause     = time.Millisecond // between two: the service sends at most 1,000 a second
	callbackTimeout   = 5 * time.Second
)

// checkCallbacks checks --callbacks.
func checkCallbacks(text string) error {
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("--callbacks: want a URL such as http://127.0.0.1:7171") // the text may have a password
	}
	return nil
}

// callbackSender posts the events of pushes to a URL, as the service does.
type callbackSender struct {
	fake *timpushtest.Server
	url  string
	say  func(format string, args ...any)
	last string // TaskID of the last push whose events were sent
	said string // about the last callback that failed
	late bool   // it was said that pushes come too fast
}

// run posts until ctx ends.
func (c *callbackSender) run(ctx context.Context) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.sendNew(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// sendNew sends the events of the pushes since the last one.
func (c *callbackSender) sendNew(ctx context.Context) {
	for ctx.Err() == nil {
		pushes := c.fake.Pushes()
		last := slices.IndexFunc(pushes, func(p timpushtest.Push) bool { return p.TaskID == c.last })
		if last < 0 && len(pushes) >= keptCalls && !c.late {
			c.late = true
			c.say("callbacks: pushes come faster than their events can be posted, and only the last %d are kept: the events of some are lost (said once)", keptCalls)
		}
		if last+1 == len(pushes) {
			return
		}
		c.last = pushes[last+1].TaskID
		c.sendAll(ctx, c.last)
	}
}

// sendAll posts the events of a push, and says how many of them are lost. After a callback without an answer the rest are.
func (c *callbackSender) sendAll(ctx context.Context, taskID string) {
	pause := time.NewTicker(callbackPause)
	defer pause.Stop()
	answered, lost, failure := true, 0, ""
	for events := range chunk(c.fake.PushEventSeq(taskID), eventsPerCallback) {
		var err error
		if answered {
			<-pause.C
			answered, err = c.send(ctx, events)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failure = err.Error()
		}
		if err != nil || !answered {
			lost += len(events)
		}
	}
	if failure != "" && failure != c.said {
		c.say("callbacks: %s; %s of the push are lost", failure, count(lost, "event")) // the URL may have a password
	}
	c.said = failure
}

// chunk yields the elements of seq, n at a time. A slice is valid until the next one.
func chunk[T any](seq iter.Seq[T], n int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		some := make([]T, 0, n)
		for element := range seq {
			if some = append(some, element); len(some) == n {
				if !yield(some) {
					return
				}
				some = some[:0]
			}
		}
		if len(some) > 0 {
			yield(some)
		}
	}
}

// send posts events. The error says why they were not taken.
func (c *callbackSender) send(ctx context.Context, events []timpushtest.Event) (answered bool, err error) {
	sending, cancel := context.WithTimeout(ctx, callbackTimeout)
	defer cancel()
	answer, err := c.fake.SendCallback(sending, c.url, events...)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return false, failed.Err // the URL in failed is signed
	}
	if err == nil && (answer.Status != http.StatusOK || answer.ErrorCode != 0) {
		return true, fmt.Errorf("the answer is HTTP %d with ErrorCode %d", answer.Status, answer.ErrorCode)
	}
	return err == nil, err
}

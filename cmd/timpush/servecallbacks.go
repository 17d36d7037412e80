package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/timpush/timpush-go/timpushtest"
)

const (
	// mostWithEvents is how many accounts a push can have whose events are sent: each takes up to a kilobyte of memory.
	mostWithEvents = 10_000

	eventsPerCallback = 100
	callbackTimeout   = 5 * time.Second
)

// checkCallbacks checks --callbacks.
func checkCallbacks(text string) error {
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("--callbacks %q: want a URL such as http://127.0.0.1:7171", text)
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
	pushes := c.fake.Pushes()
	next := slices.IndexFunc(pushes, func(p timpushtest.Push) bool { return p.TaskID == c.last }) + 1
	for _, p := range pushes[next:] {
		c.last = p.TaskID
		if len(p.Accounts) > mostWithEvents {
			c.say("callbacks: the push %s is for %d accounts, and events are sent for at most %d", p.TaskID, len(p.Accounts), mostWithEvents)
			continue
		}
		for events := range slices.Chunk(c.fake.PushEvents(p.TaskID), eventsPerCallback) {
			if !c.send(ctx, events) {
				break
			}
		}
	}
}

// send posts events, and reports whether they were taken.
func (c *callbackSender) send(ctx context.Context, events []timpushtest.Event) bool {
	sending, cancel := context.WithTimeout(ctx, callbackTimeout)
	defer cancel()
	answer, err := c.fake.SendCallback(sending, c.url, events...)
	text := ""
	switch failed, ok := errors.AsType[*url.Error](err); {
	case ok:
		text = failed.Err.Error() // the URL in failed is signed
	case err != nil:
		text = err.Error()
	case answer.Status != http.StatusOK || answer.ErrorCode != 0:
		text = fmt.Sprintf("the answer is HTTP %d with ErrorCode %d", answer.Status, answer.ErrorCode)
	}
	if text != "" && text != c.said && ctx.Err() == nil {
		c.say("callbacks: %s: %s; the events of the push are lost", c.url, text)
	}
	c.said = text
	return text == ""
}

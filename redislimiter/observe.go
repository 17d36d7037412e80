package redislimiter

import (
	"context"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/timpush/timpush-go"
)

// pause is as long as the first one of a Client. After a longer one, the calls that have passed the throttle of a Client meanwhile
// leave at the whole quota and are refused, which makes the next pause.
const pause = 100 * time.Millisecond

// Observe pauses all replicas for 0.1 s after an attempt that was answered with a throttle code or HTTP status 429, if
// the endpoint belongs to the quota of the Limiter or the code is about all calls of the app. It does not block: the pause
// is written in the background, and if Redis is down it holds for this process only. Slots that other replicas have
// reserved already are still used.
func (l *Limiter) Observe(ctx context.Context, e timpush.Event) context.Context {
	if e.Kind != timpush.AttemptEnd || !l.throttled(e) {
		return ctx
	}
	l.mu.Lock()
	l.paused = time.Now()
	l.nextAlone = later(l.nextAlone, l.paused.Add(pause))
	l.mu.Unlock()
	if l.pausing.CompareAndSwap(false, true) {
		go l.pause(context.WithoutCancel(ctx))
	}
	return ctx
}

func (l *Limiter) pause(ctx context.Context) {
	defer l.pausing.Store(false)
	defer func() { _ = recover() }() // so does the next Wait, in the caller's goroutine
	// If it fails, so does the next Wait, which reports it.
	_, _ = l.ask(ctx, request{calls: 1, patience: noSlot, restart: l.returning(), pause: pause})
}

// throttled reports whether an answer says that the quota of this Limiter is exceeded.
func (l *Limiter) throttled(e timpush.Event) bool {
	if e.Code == timpush.ErrAppRateLimited {
		return true
	}
	return (e.Code.Throttling() || e.Status == http.StatusTooManyRequests) && quotaOf(e.Endpoint) == l.quotaName
}

// quotaOf names the quota that the calls of an endpoint count towards.
func quotaOf(endpoint string) string {
	switch name := path.Base(endpoint); {
	case name == "push", name == "batch", name == "revoke", name == "webpush", name == "webbatch":
		return name
	case strings.HasSuffix(name, "_sched_task"):
		return "tasks"
	case strings.HasSuffix(name, "_statistics"), strings.HasSuffix(name, "_loss"), strings.HasSuffix(name, "_trace"):
		return "statistics"
	}
	return "users"
}

// pausedSince reports whether a throttle code came after t. A slot that was reserved before is not used then: the Client
// holds its calls back, and would use the slot later, in addition to those that are reserved then.
func (l *Limiter) pausedSince(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused.After(t)
}

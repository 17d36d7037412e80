package timpush

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"
)

// An Observer sees what a client does: calls, attempts and waits, with counts, codes and durations, and never an
// account, an attribute, the query or the UserSig. It is the seam for traces and metrics.
//
// Observe is called in order within one attempt, and concurrently for the requests of one call and for calls. It must
// not block. The context that it returns for [CallStart] and for [AttemptStart] is the one that the call, or the
// attempt, goes on with and that the events in it are told with, so that a span can be put in and found again. For
// other events what it returns is ignored.
type Observer interface {
	Observe(ctx context.Context, e Event) context.Context
}

// EventKind tells what an [Event] is about.
type EventKind int

// The kinds of events.
const (
	CallStart    EventKind = iota + 1 // a call such as SetAttr begins
	CallEnd                           // it has returned
	AttemptStart                      // one HTTP request is about to be sent
	AttemptEnd                        // its answer was read, or it failed
	WaitEnd                           // a wait before an attempt is over
)

// WaitReason tells what a [WaitEnd] waited for.
type WaitReason string

// The reasons to wait.
const (
	WaitSlot    WaitReason = "slot"    // fewer than MaxInFlight requests under way
	WaitQuota   WaitReason = "quota"   // the limiter, and the pace after a throttle code
	WaitBackoff WaitReason = "backoff" // the pause before an attempt is repeated
)

// Event is one thing that happened. Fields that do not belong to its kind are zero.
type Event struct {
	Kind     EventKind
	Endpoint string        // the path, such as "v4/timpush/set_attr"
	Host     string        // host of the base URL
	Users    int           // users of the call, or accounts in the request
	Attempt  int           // from 1, of this request (AttemptStart, AttemptEnd, WaitEnd)
	Wait     WaitReason    // WaitEnd
	Duration time.Duration // CallEnd, AttemptEnd, WaitEnd
	Status   int           // AttemptEnd: HTTP status, 0 if no answer came
	Code     Code          // AttemptEnd: the ErrorCode of the answer; CallEnd: that of the first user that is not Done
	Failure  string        // with Code: "" or one of timeout, canceled, unreachable, connection, http, malformed, api, unsent
	Result   Result        // CallEnd
}

// firstFailure is what a CallEnd tells of the first user that is not Done: no more than an attempt tells, since what else
// there is in an error may name an account.
func firstFailure(err error) (Code, string) {
	partial, ok := errors.AsType[*PartialError](err)
	if !ok {
		return 0, ""
	}
	cause := partial.failed[0].Err
	if api, ok := errors.AsType[*APIError](cause); ok {
		return api.Code, "api"
	}
	name := failureName(cause)
	if _, ok := errors.AsType[*url.Error](cause); !ok && name == "connection" {
		name = "unsent" // without a UserSig, for example
	}
	return 0, name
}

func (c *Client) observe(ctx context.Context, e Event) context.Context {
	for _, o := range c.observers {
		e.Host = c.request.Host
		next := o.Observe(ctx, e)
		if e.Kind == CallStart || e.Kind == AttemptStart {
			ctx = next
		}
	}
	return ctx
}

// logObserver writes events as structured records: everything at debug level, and one warning for a call that left
// users undone, since each retry may still end well.
type logObserver struct{ log *slog.Logger }

func (l logObserver) Observe(ctx context.Context, e Event) context.Context {
	where := slog.Group("timpush", "endpoint", e.Endpoint, "host", e.Host, "users", e.Users)
	switch e.Kind {
	case AttemptEnd:
		l.log.LogAttrs(ctx, slog.LevelDebug, "timpush attempt", where, slog.Int("attempt", e.Attempt),
			slog.Duration("duration", e.Duration), slog.Int("status", e.Status), slog.Int("code", int(e.Code)),
			slog.String("failure", e.Failure))
	case WaitEnd:
		l.log.LogAttrs(ctx, slog.LevelDebug, "timpush wait", where, slog.Int("attempt", e.Attempt),
			slog.Duration("duration", e.Duration), slog.String("for", string(e.Wait)))
	case CallEnd:
		level := slog.LevelDebug
		if e.Result.Done != e.Users {
			level = slog.LevelWarn
		}
		r := e.Result
		l.log.LogAttrs(ctx, level, "timpush call", where, slog.Duration("duration", e.Duration),
			slog.Int("done", r.Done), slog.Int("rejected", r.Rejected), slog.Int("unknown", r.Unknown),
			slog.Int("not_sent", r.NotSent), slog.Int("requests", r.Requests), slog.Int("code", int(e.Code)),
			slog.String("failure", e.Failure))
	}
	return ctx
}

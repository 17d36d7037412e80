package timpush

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// An Observer is notified of what a client does: calls, attempts and waits, with counts, codes and durations, and never an
// account, an attribute, the query or the UserSig. It is meant for traces and metrics.
//
// Observe is called in order within one attempt, and concurrently for the requests of one call and for calls. It must
// not block. The call, or the attempt, continues with the context that it returns for [CallStart] and for
// [AttemptStart], and later events of it have that context, so that a span can be put in and found again. For other
// events the returned context is ignored.
type Observer interface {
	Observe(ctx context.Context, e Event) context.Context
}

// EventKind is the kind of an [Event].
type EventKind int

// The kinds of events. The end of something follows its start.
const (
	CallStart    EventKind = iota + 1 // a call such as SetAttr begins
	CallEnd                           // it has returned
	AttemptStart                      // one HTTP request is about to be sent
	AttemptEnd                        // its answer was read, or it failed
	WaitEnd                           // a wait before an attempt is over
)

// WaitReason is what a request waited for.
type WaitReason string

// The reasons to wait.
const (
	WaitSlot    WaitReason = "slot"    // fewer than MaxInFlight requests of the quota in flight
	WaitQuota   WaitReason = "quota"   // the limiter, and the throttle after a throttle code
	WaitBackoff WaitReason = "backoff" // the pause before an attempt is repeated, or that an answer to PushTo has asked for
)

// Event is one thing that happened. Fields that do not belong to its kind are zero.
type Event struct {
	Kind     EventKind
	Endpoint string        // the path, such as "v4/timpush/set_attr"
	Host     string        // host of the base URL
	Users    int           // users of the call, or accounts in the request; 0 if it is not about users
	Attempt  int           // from 1, of this request (AttemptStart, AttemptEnd, WaitEnd)
	Wait     WaitReason    // WaitEnd
	Duration time.Duration // CallEnd, AttemptEnd, WaitEnd
	Status   int           // AttemptEnd: HTTP status, 0 if no answer came; CallEnd: that of the first failure, if Failure is http
	Code     Code          // AttemptEnd: the ErrorCode of the answer; CallEnd: that of the first user that is not Done
	Failure  string        // with Code: "" or one of timeout, canceled, unreachable, connection, http, malformed, api, unsent, panic
	Result   Result        // CallEnd
}

// firstFailure returns what a CallEnd has of the first user that is not Done, or of the call if it is not about users: no more
// than an attempt has, since the rest of an error may name an account.
func firstFailure(err error) (code Code, failure string, status int) {
	cause := err
	if partial, ok := err.(*PartialError); ok { //nolint:errorlint // made by gather
		cause = partial.failed[0].Err
	}
	code, failure = failureOf(cause)
	if page, ok := errors.AsType[*HTTPError](cause); ok {
		status = page.StatusCode
	}
	return code, failure, status
}

// failureOf returns the code and the kind of a failure.
func failureOf(err error) (Code, string) {
	if err == nil {
		return 0, ""
	}
	if code := codeOf(err); code != 0 {
		return code, "api"
	}
	page, isPage := errors.AsType[*HTTPError](err)
	_, sent := errors.AsType[*url.Error](err)
	_, unsigned := errors.AsType[*signerError](err) // which may hold a *url.Error of the Signer's
	sent = sent && !unsigned
	switch {
	case isPage && page.StatusCode == http.StatusOK, errors.Is(err, ErrNotAnswered):
		return 0, "malformed"
	case isPage:
		return 0, "http"
	case errors.Is(err, context.Canceled):
		return 0, "canceled"
	case sent && notDialled(err):
		return 0, "unreachable"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return 0, "timeout"
	case sent:
		return 0, "connection"
	}
	return 0, "unsent" // without a UserSig, for example
}

// codeOf returns the first code in an error, or 0.
func codeOf(err error) Code {
	code, _ := errors.AsType[Code](err)
	return code
}

// logObserver writes events as structured records: everything at debug level, and one warning for a call that left
// users that are not done: an attempt that fails may be retried with success.
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
		if e.Failure != "" {
			level = slog.LevelWarn
		}
		r := e.Result
		l.log.LogAttrs(ctx, level, "timpush call", where, slog.Duration("duration", e.Duration),
			slog.Int("done", r.Done), slog.Int("rejected", r.Rejected), slog.Int("unknown", r.Unknown),
			slog.Int("not_sent", r.NotSent), slog.Int("requests", r.Requests), slog.Int("status", e.Status), slog.Int("code", int(e.Code)),
			slog.String("failure", e.Failure))
	}
	return ctx
}

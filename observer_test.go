package timpush_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/internal/beforesend"
	"github.com/timpush/timpush-go/timpushtest"
)

// recorder is an observer that keeps what it sees.
type recorder struct {
	mu     sync.Mutex
	events []timpush.Event
}

func (r *recorder) Observe(ctx context.Context, e timpush.Event) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	return ctx
}

func (r *recorder) all() []timpush.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events
}

func TestObserverSeesCallsAttemptsAndWaits(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(100*time.Millisecond, 0))
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.Status(502), timpushtest.Garbage(), timpushtest.AccountCode(90035, "user-0"))
		events := &recorder{}
		_, err := client(s, timpush.WithObserver(events)).SetAttr(t.Context(), someUsers(2))
		require.ErrorIs(t, err, timpush.ErrAccountType)
		const set = "v4/timpush/set_attr"
		var got []timpush.Event
		for _, e := range events.all() {
			assert.Equal(t, "localhost", e.Host)
			assert.Equal(t, set, e.Endpoint)
			e.Host, e.Endpoint = "", ""
			if e.Wait == timpush.WaitBackoff {
				assert.Positive(t, e.Duration)
				e.Duration = 0
			}
			if e.Kind == timpush.CallEnd {
				assert.Greater(t, e.Duration, 400*time.Millisecond)
				e.Duration = 0
			}
			got = append(got, e)
		}
		var want []timpush.Event
		attempt := func(n, status int, code timpush.Code, failure string) {
			want = append(want, timpush.Event{Kind: timpush.WaitEnd, Users: 2, Attempt: n, Wait: timpush.WaitSlot},
				timpush.Event{Kind: timpush.WaitEnd, Users: 2, Attempt: n, Wait: timpush.WaitQuota},
				timpush.Event{Kind: timpush.AttemptStart, Users: 2, Attempt: n},
				timpush.Event{Kind: timpush.AttemptEnd, Users: 2, Attempt: n, Status: status, Code: code, Failure: failure, Duration: 100 * time.Millisecond})
			if n < 4 {
				want = append(want, timpush.Event{Kind: timpush.WaitEnd, Users: 2, Attempt: n, Wait: timpush.WaitBackoff})
			}
		}
		want = append(want, timpush.Event{Kind: timpush.CallStart, Users: 2})
		attempt(1, 200, 91000, "api")
		attempt(2, 502, 0, "http")
		attempt(3, 200, 0, "malformed")
		attempt(4, 200, 0, "")
		want = append(want, timpush.Event{Kind: timpush.CallEnd, Users: 2, Result: timpush.Result{Done: 1, Rejected: 1, Requests: 4}, Code: 90035, Failure: "api"})
		assert.Equal(t, want, got)
	})
}

func TestCallEndTellsTheFirstFailure(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		noVault := signerFunc(func(context.Context) (string, time.Time, error) {
			return "", time.Time{}, errors.New("user-0 SECRET")
		})
		unreachable := &url.Error{Op: "Post", URL: "http://vault", Err: &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("user-0 refused")}}
		vaultDown := signerFunc(func(context.Context) (string, time.Time, error) { return "", time.Time{}, unreachable })
		for name, test := range map[string]struct {
			fault   timpushtest.Fault
			option  timpush.Option
			code    timpush.Code
			failure string
		}{
			"wrong key": {fault: timpushtest.ErrorCode(70009), code: 70009, failure: "api"},
			"gateway":   {fault: timpushtest.Status(403), failure: "http"},
			"cut":       {fault: timpushtest.CutAfter(), failure: "connection"},
			"silence":   {fault: timpushtest.Hang(), failure: "timeout"},
			"no vault":  {option: timpush.WithSigner(noVault), failure: "unsent"},

			"vault that cannot be reached":   {option: timpush.WithSigner(vaultDown), failure: "unsent"},
			"limiter that cannot be reached": {option: timpush.WithLimiter(limiterFunc(func(context.Context) error { return unreachable.Err })), failure: "unsent"},
		} {
			s, events, log := fake(t), &recorder{}, bytes.Buffer{}
			s.Inject(test.fault)
			opts := []timpush.Option{timpush.WithObserver(events), timpush.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), timpush.WithMaxAttempts(1)}
			if test.option != nil {
				opts = append(opts, test.option)
			}
			_, err := client(s, opts...).SetAttr(t.Context(), someUsers(1))
			require.Error(t, err, name)
			all := events.all()
			end := all[len(all)-1]
			assert.Equal(t, timpush.CallEnd, end.Kind)
			assert.Equal(t, test.code, end.Code, name)
			assert.Equal(t, test.failure, end.Failure, name)
			assert.Equal(t, name == "gateway", end.Status == 403, name)
			assert.Contains(t, log.String(), fmt.Sprintf("code=%d failure=%s", test.code, test.failure))
			for _, secret := range []string{"user-0", "SECRET", "usersig", "city"} {
				assert.NotContains(t, log.String(), secret, name)
			}
		}
	})
}

// TestFailureThatIsNoneOfTheConnection: of a request that a check has kept from leaving, and of an answer without the account.
func TestFailureThatIsNoneOfTheConnection(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		events := &recorder{}
		c := newClient(t, timpush.WithObserver(events), through(answering(`{"ActionStatus":"OK","ErrorCode":0,"UserAttrs":[]}`)))
		withheld := beforesend.With(t.Context(), func() error { return errors.New("another has taken over") })
		_, err := c.SetAttr(withheld, someUsers(1))
		require.Error(t, err)
		_, err = c.GetAttr(t.Context(), []string{"user-0"})
		require.ErrorIs(t, err, timpush.ErrNotAnswered)
		var failures []string
		for _, e := range events.all() {
			if e.Kind == timpush.AttemptEnd || e.Kind == timpush.CallEnd {
				failures = append(failures, e.Failure)
			}
		}
		assert.Equal(t, []string{"unsent", "unsent", "", "malformed"}, failures)
	})
}

type key string

// spans puts a value into the context at each start and expects it in what belongs to it.
type spans struct{ t *testing.T }

func (s spans) Observe(ctx context.Context, e timpush.Event) context.Context {
	switch e.Kind {
	case timpush.CallStart:
		assert.Equal(s.t, "caller", ctx.Value(key("span")))
		return context.WithValue(ctx, key("span"), "call")
	case timpush.AttemptStart:
		assert.Equal(s.t, "call", ctx.Value(key("span")))
		return context.WithValue(ctx, key("span"), "attempt")
	case timpush.AttemptEnd:
		assert.Equal(s.t, "attempt", ctx.Value(key("span")))
	case timpush.WaitEnd, timpush.CallEnd:
		assert.Equal(s.t, "call", ctx.Value(key("span")))
	}
	return nil // ignored
}

func TestObserverPutsSpansIntoTheContext(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.ErrorCode(91000))
		ctx := context.WithValue(t.Context(), key("span"), "caller")
		_, err := client(s, timpush.WithObserver(spans{t})).SetAttr(ctx, someUsers(1))
		require.NoError(t, err)
	})
}

func TestLogger(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for level, want := range map[slog.Level][]string{
			slog.LevelDebug: {"timpush attempt", "timpush wait", "timpush call", "failure=canceled", "failure=timeout"},
			slog.LevelInfo:  {"level=WARN msg=\"timpush call\""},
		} {
			s := fake(t)
			s.Inject(timpushtest.Hang(), timpushtest.Hang())
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(15*time.Second, cancel)
			_, err := client(s, timpush.WithLogger(logger)).SetAttr(ctx, someUsers(1))
			require.ErrorIs(t, err, context.Canceled)
			for _, text := range want {
				assert.Contains(t, log.String(), text)
			}
			if level == slog.LevelInfo {
				assert.Equal(t, 1, strings.Count(log.String(), "\n"))
			}
			log.Reset()
			_, err = client(s, timpush.WithLogger(logger)).SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			assert.Equal(t, level == slog.LevelInfo, log.Len() == 0, "nothing worth a warning")
		}
	})
}

// TestCallEndTellsThePageOfAGateway, although a user after it has a code.
func TestCallEndTellsThePageOfAGateway(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s, events := fake(t), &recorder{}
		s.Handle(func(call timpushtest.Call) timpushtest.Fault {
			if call.Accounts[0] == "user-0" {
				return timpushtest.Status(403)
			}
			return timpushtest.ErrorCode(90009)
		})
		_, err := client(s, timpush.WithObserver(events)).SetAttr(t.Context(), someUsers(200))
		require.ErrorIs(t, err, timpush.ErrNotAdmin)
		end := events.all()[len(events.all())-1]
		assert.Equal(t, "http", end.Failure)
		assert.Zero(t, end.Code)
		assert.Equal(t, 403, end.Status)
	})
}

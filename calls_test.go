package timpush_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// someCalls has a call of each endpoint, about the account "bad" and others where it takes several.
func someCalls(ctx context.Context, c *timpush.Client) map[string]func() error {
	accounts := []string{"a", "b", "bad", "c"}
	users, tags, names := make([]timpush.UserAttrs, 4), make([]timpush.UserTags, 4), make([]timpush.UserAttrNames, 4)
	for i, account := range accounts {
		users[i] = userIn(account, "Rome")
		tags[i] = timpush.UserTags{ToAccount: account, Tags: []string{"vip"}}
		names[i] = timpush.UserAttrNames{ToAccount: account, Names: []string{"marker"}}
	}
	now := time.Now()
	return map[string]func() error{
		"SetAttr":     func() error { _, err := c.SetAttr(ctx, users); return err },
		"GetAttr":     func() error { _, err := c.GetAttr(ctx, accounts); return err },
		"RemoveAttr":  func() error { _, err := c.RemoveAttr(ctx, names); return err },
		"AddTags":     func() error { _, err := c.AddTags(ctx, tags); return err },
		"ReplaceTags": func() error { _, err := c.ReplaceTags(ctx, tags); return err },
		"RemoveTags":  func() error { _, err := c.RemoveTags(ctx, tags); return err },
		"ClearTags":   func() error { _, err := c.ClearTags(ctx, accounts); return err },
		"GetTags":     func() error { _, err := c.GetTags(ctx, accounts); return err },
		"PushTo":      func() error { _, err := c.PushTo(ctx, accounts, hello); return err },
		"SetAttrNames": func() error {
			return c.SetAttrNames(ctx, []timpush.AttrName{{Name: "marker", AccountType: timpush.AccountTypeUserID}})
		},
		"AttrNames": func() error { _, err := c.AttrNames(ctx); return err },
		"Push":      func() error { _, err := c.Push(ctx, timpush.Audience{Everybody: true}, hello); return err },
		"Revoke":    func() error { return c.Revoke(ctx, "task", nil) },
		"ModifyTask": func() error {
			return c.ModifyTask(ctx, 1, timpush.TaskChange{Type: timpush.TaskAll, At: now.Add(time.Hour)})
		},
		"DeleteTask": func() error { return c.DeleteTask(ctx, 1, timpush.TaskUser) },
		"Task":       func() error { _, err := c.Task(ctx, 1); return err },
		"ChatStats":  func() error { _, err := c.ChatStats(ctx, now.Add(-time.Hour), now); return err },
		"PushTrace":  func() error { _, err := c.PushTrace(ctx, "task", "mary"); return err },
		"AddTask": func() error {
			_, err := c.AddTask(ctx, timpush.Schedule{At: now.Add(time.Hour), TaskContent: timpush.TaskContent{To: timpush.Audience{Everybody: true}, Push: hello}})
			return err
		},
		"Tasks": func() error {
			for _, err := range c.Tasks(ctx, timpush.TaskQuery{BeginTime: now, EndTime: now.Add(time.Hour)}) {
				return err
			}
			return nil
		},
	}
}

// TestEndpointsRepeatWhatDoesNoHarm: after a gateway's 502, a request that may have been applied.
func TestEndpointsRepeatWhatDoesNoHarm(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		tries := 0
		c := newClient(t, timpush.WithMaxAttempts(2), through(func(*http.Request) (*http.Response, error) {
			tries++
			return response(http.StatusBadGateway, "down"), nil
		}))
		for name, call := range someCalls(t.Context(), c) {
			tries = 0
			require.Error(t, call(), name)
			want := 2
			if name == "Push" || name == "PushTo" || name == "AddTask" {
				want = 1
			}
			assert.Equal(t, want, tries, name)
		}
	})
}

// TestEndpointsLookForTheAccountAtFault: a request that is refused for it is halved, except a push, which would notify people to find it.
func TestEndpointsLookForTheAccountAtFault(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		requests := 0
		c := newClient(t, through(func(r *http.Request) (*http.Response, error) {
			requests++
			body, err := io.ReadAll(r.Body)
			if strings.Contains(string(body), `"bad"`) {
				return response(http.StatusOK, `{"ActionStatus":"FAIL","ErrorCode":90001,"ErrorInfo":"no such marker"}`), err
			}
			return response(http.StatusOK, okEnvelope+`}`), err
		}))
		ofAccounts := 0
		for name, call := range someCalls(t.Context(), c) {
			requests = 0
			err := call()
			var partial *timpush.PartialError
			if !errors.As(err, &partial) {
				continue
			}
			ofAccounts++
			assert.Equal(t, name != "PushTo", requests > 2, name)
			if name == "RemoveAttr" {
				assert.ErrorContains(t, err, "no such marker", "the name of an attribute is not personal")
			}
		}
		assert.Equal(t, 9, ofAccounts)
	})
}

// TestObserverSeesACallWithoutUsers: one whose first request fails, and one that is refused.
func TestObserverSeesACallWithoutUsers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s, events := fake(t), &recorder{}
		c := client(s, timpush.WithObserver(events))
		s.Inject(timpushtest.ErrorCode(91000))
		_, err := c.AttrNames(t.Context())
		require.NoError(t, err)
		attempt := []timpush.EventKind{timpush.WaitEnd, timpush.WaitEnd, timpush.AttemptStart, timpush.AttemptEnd}
		assert.Equal(t, slices.Concat([]timpush.EventKind{timpush.CallStart}, attempt, []timpush.EventKind{timpush.WaitEnd}, attempt,
			[]timpush.EventKind{timpush.CallEnd}), kindsOf(events.all()))
		for _, e := range events.all() {
			assert.Zero(t, e.Users)
		}
		end := events.all()[len(events.all())-1]
		assert.Equal(t, timpush.Result{Requests: 2}, end.Result)
		assert.Empty(t, end.Failure)

		s.Inject(timpushtest.ErrorCode(90009))
		_, err = c.AttrNames(t.Context())
		require.Error(t, err)
		end = events.all()[len(events.all())-1]
		assert.Equal(t, timpush.CallEnd, end.Kind)
		assert.Equal(t, timpush.Result{Requests: 1}, end.Result)
		assert.Equal(t, timpush.ErrNotAdmin, end.Code)
	})
}

func kindsOf(events []timpush.Event) (kinds []timpush.EventKind) {
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// TestCodesOfACallWithoutUsers are about other calls too.
func TestCodesOfACallWithoutUsers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		s.Inject(timpushtest.ErrorCode(60007))
		_, err := c.AttrNames(t.Context())
		require.NoError(t, err)
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.ErrorCode(90001))
		_, err = c.AttrNames(t.Context())
		var failed *timpush.CallError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, timpush.Rejected, failed.Outcome, "it would have been refused the first time too")
		s.Inject(timpushtest.ErrorCode(70050))
		_, err = c.AttrNames(t.Context())
		require.ErrorIs(t, err, timpush.ErrTooManyBadUserSigs)
		result, err := c.SetAttr(t.Context(), someUsers(1))
		require.ErrorIs(t, err, timpush.ErrTooManyBadUserSigs)
		assert.Equal(t, timpush.Result{NotSent: 1}, *result)
	})
}

// TestThrottleCodeOfTheAppSlowsAllQuotas: 60011, and not 60007.
func TestThrottleCodeOfTheAppSlowsAllQuotas(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for code, slow := range map[int]bool{60007: false, 60011: true} {
			s := fake(t)
			c := client(s, timpush.WithQuota(timpush.QuotaStats, unlimited{}))
			s.Handle(func(call timpushtest.Call) timpushtest.Fault {
				if strings.HasSuffix(call.Path, "set_attr") {
					return timpushtest.ErrorCode(code)
				}
				return timpushtest.Fault{}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			_, err := c.SetAttr(ctx, someUsers(1))
			require.Error(t, err)
			began := time.Now()
			_, err = c.ChatStats(t.Context(), began.Add(-time.Hour), began)
			require.NoError(t, err)
			assert.Equal(t, slow, time.Since(began) > 50*time.Millisecond, code)
		}
	})
}

// TestTextsRepeatWhatIsNotPersonal: the server repeats the whole request, as it does to name what it does not accept.
func TestTextsRepeatWhatIsNotPersonal(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var sent string
		c := newClient(t, through(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			sent = string(body)
			return response(http.StatusOK, fmt.Sprintf(`{"ActionStatus":"FAIL","ErrorCode":90009,"ErrorInfo":%q}`, sent)), err
		}))
		personal := map[string]bool{"SetAttr": true, "Push": true, "PushTo": true, "AddTask": true}
		for name, call := range someCalls(t.Context(), c) {
			err := call()
			var api *timpush.APIError
			require.ErrorAs(t, err, &api, name)
			assert.Equal(t, personal[name], strings.Contains(api.Info, "REDACTED"), "%s: %s", name, api.Info)
			assert.Equal(t, !personal[name], api.Info == sent, "%s: %s", name, api.Info)
		}
	})
}

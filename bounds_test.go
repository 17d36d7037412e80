package timpush_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
)

// TestBounds has inputs just within a limit and just beyond it.
func TestBounds(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, timpush.WithEscapedLength(), timpush.WithLimiter(unlimited{}), timpush.WithQuota(timpush.QuotaTasks, unlimited{}), through(alwaysOK))
		ctx := t.Context()
		plain, quoted := strings.Repeat("v", 50), strings.Repeat("v", 48)+`"`
		setAttr := func(value string) error {
			_, err := c.SetAttr(ctx, []timpush.UserAttrs{userIn("a", value)})
			return err
		}
		remove := func(lists ...[]string) error {
			var users []timpush.UserAttrNames
			for _, list := range lists {
				users = append(users, timpush.UserAttrNames{ToAccount: "a", Names: list})
			}
			_, err := c.RemoveAttr(ctx, users)
			return err
		}
		addTags := func(lists ...[]string) error {
			var users []timpush.UserTags
			for _, list := range lists {
				users = append(users, timpush.UserTags{ToAccount: "a", Tags: list})
			}
			_, err := c.AddTags(ctx, users)
			return err
		}
		schedule := func(at time.Time) error {
			_, err := c.AddTask(ctx, timpush.Schedule{At: at, TaskContent: timpush.TaskContent{To: timpush.Audience{Everybody: true}, Push: hello}})
			return err
		}
		list := func(from, to time.Time) (err error) {
			for _, err = range c.Tasks(ctx, timpush.TaskQuery{BeginTime: from, EndTime: to}) {
				break
			}
			return err
		}
		year := func(n int) time.Time { return time.Date(n, 12, 31, 23, 59, 59, 0, time.UTC) }
		for name, test := range map[string]struct {
			err   error
			valid bool
		}{
			"50 bytes":                  {setAttr(plain), true},
			"50 bytes as JSON":          {setAttr(quoted), true},
			"51 bytes as JSON":          {setAttr(quoted + "v"), false},
			"10 names":                  {remove(numbered(0, 10)), true},
			"10 names in two":           {remove(numbered(0, 5), numbered(5, 10)), true},
			"11 names":                  {remove(numbered(0, 11)), false},
			"10 tags in two":            {addTags(numbered(0, 5), numbered(5, 10)), true},
			"11 tags in two":            {addTags(numbered(0, 5), numbered(5, 11)), false},
			"a task in the year 9999":   {schedule(year(9999)), true},
			"a task in the year 10000":  {schedule(year(10000)), false},
			"tasks from year 0 to 9999": {list(year(0), year(9999)), true},
			"tasks to the year 10000":   {list(year(0), year(10000)), false},
			"tasks before the year 0":   {list(year(-1), year(2030)), false},
			"tasks after the year 9999": {list(year(10000), year(10001)), false},
		} {
			var invalid *timpush.InputErrors
			assert.Equal(t, !test.valid, errors.As(test.err, &invalid), "%s: %v", name, test.err)
		}
	})
}

func numbered(from, to int) (names []string) {
	for n := from; n < to; n++ {
		names = append(names, fmt.Sprint("name", n))
	}
	return names
}

// TestClockIsComparedOnlyAfterAnExpiredUserSig: another refusal has nothing to do with it.
func TestClockIsComparedOnlyAfterAnExpiredUserSig(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, through(func(*http.Request) (*http.Response, error) {
			resp := response(http.StatusOK, `{"ActionStatus":"FAIL","ErrorCode":70009,"ErrorInfo":"of Rome"}`)
			resp.Header = http.Header{"Date": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}
			return resp, nil
		}))
		_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{userIn("a", "Rome")})
		var api *timpush.APIError
		require.ErrorAs(t, err, &api)
		assert.Zero(t, api.ClockAhead)
		assert.Equal(t, "of REDACTED", api.Info, "a value of 4 bytes is kept out")
	})
}

// TestPagesOfGateways: the header may be anything, and the page may be long.
func TestPagesOfGateways(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for header, want := range map[string]time.Duration{"7": 7 * time.Second, "soon": 0, "99999999999999999999": (1<<31 - 1) * time.Second} {
			c := newClient(t, timpush.WithRetryBudget(time.Second), through(func(*http.Request) (*http.Response, error) {
				resp := response(http.StatusServiceUnavailable, strings.Repeat("busy ", 1000))
				resp.Header = http.Header{"Retry-After": {header}}
				return resp, nil
			}))
			_, err := c.SetAttr(t.Context(), someUsers(1))
			var page *timpush.HTTPError
			require.ErrorAs(t, err, &page)
			assert.Equal(t, want, page.RetryAfter, header)
			assert.Len(t, page.Snippet, 200)
		}
	})
}

// TestOneInvalidUserMayBeTooMany: less than 0 counts as 0.
func TestOneInvalidUserMayBeTooMany(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, through(alwaysOK))
		users := []timpush.UserAttrs{userIn("", "Rome"), userIn("a", "Rome")}
		var last error
		for _, err := range c.SetAttrSeq(t.Context(), from(users), timpush.WithMaxInvalid(-1)) {
			last = err
		}
		require.ErrorIs(t, last, timpush.ErrTooManyInvalid)
	})
}

func TestChatEventHasTheCommandOfTheQuery(t *testing.T) {
	t.Parallel()
	var got []timpush.ChatPushEvent
	h := handlerOf(t, timpush.Callbacks{SDKAppID: 1400000000, Chat: func(_ context.Context, events []timpush.ChatPushEvent) error {
		got = events
		return nil
	}})
	w := call(h, http.MethodPost, "/?SdkAppid=1400000000&CallbackCommand=Push.OfflinePush", `{"To_Account":"mary"}`)
	require.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, []timpush.ChatPushEvent{{CallbackCommand: "Push.OfflinePush", ToAccount: "mary"}}, got)
}

func TestMoreQuotasThanThereAre(t *testing.T) {
	t.Parallel()
	_, err := timpush.NewClient(testConfig, timpush.WithQuota(timpush.QuotaStats+1, unlimited{}))
	require.ErrorContains(t, err, "there is no Quota")
}

func TestKeyWithTheLastCharacterOfASCII(t *testing.T) {
	t.Parallel()
	cfg := testConfig
	cfg.SecretKey = "a-key-with~"
	_, err := timpush.NewClient(cfg)
	require.NoError(t, err)
}

func TestUserAloneHasTheIndex0(t *testing.T) {
	t.Parallel()
	var input *timpush.InputErrors
	require.ErrorAs(t, userIn("", "Rome").Validate(), &input)
	assert.Zero(t, input.Faults[0].Index)
}

// TestFaultOfALongValueIsOne: that it is longer in JSON says nothing new.
func TestFaultOfALongValueIsOne(t *testing.T) {
	t.Parallel()
	c := newClient(t, timpush.WithEscapedLength(), through(alwaysOK))
	_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{userIn("a", strings.Repeat(`"`, 51))})
	var input *timpush.InputErrors
	require.ErrorAs(t, err, &input)
	assert.Len(t, input.Faults, 1)
}

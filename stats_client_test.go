package timpush_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
)

var (
	statsFrom = time.Unix(1741708800, 0)
	statsTo   = time.Unix(1741795200, 0)
)

func TestPushStats(t *testing.T) {
	t.Parallel()
	s := &scripted{answers: []string{okEnvelope + `,"Results":[{"TaskID":"a","SentCount":5}]}`, okEnvelope + `,"Results":[{"TaskID":"f","ClickCount":"1"}]}`}}
	stats, err := s.client(t).PushStats(t.Context(), statsFrom, statsTo, "a", "b", "c", "a", "d", "e", "f")
	require.NoError(t, err)
	assert.Equal(t, []timpush.PushStats{{TaskID: "a", SentCount: 5}, {TaskID: "f", ClickCount: 1}}, stats)
	assert.Equal(t, []string{
		`all_member_push_statistics {"StartTime":1741708800,"EndTime":1741795200,"TaskID":["a","b","c","d","e"]}`,
		`all_member_push_statistics {"StartTime":1741708800,"EndTime":1741795200,"TaskID":["f"]}`,
	}, s.sent)

	s = &scripted{answers: []string{okEnvelope + `,"Results":[{"ReadyToSendLoss":[{"ErrCode":-1,"ErrCount":2}]}]}`}}
	loss, err := s.client(t).PushLoss(t.Context(), statsFrom, statsTo)
	require.NoError(t, err)
	assert.Equal(t, []timpush.PushLoss{{ReadyToSendLoss: []timpush.Loss{{ErrCode: "-1", ErrCount: 2}}}}, loss)
	assert.Equal(t, []string{`all_member_push_loss {"StartTime":1741708800,"EndTime":1741795200,"TaskID":[]}`}, s.sent)
}

// TestStatsUntilNow: two times of one clock that are to be 30 days apart, or 7, are a little more.
func TestStatsUntilNow(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	s := &scripted{answers: []string{okEnvelope + `,"Results":[]}`}}
	c := s.client(t)
	end := statsFrom.Add(30*day + 2*time.Second + time.Millisecond)
	_, err := c.PushStats(t.Context(), statsFrom, end)
	require.NoError(t, err)
	_, err = c.ChatLoss(t.Context(), end.Add(-7*day-time.Millisecond), end)
	require.NoError(t, err)
	assert.Equal(t, []string{
		`all_member_push_statistics {"StartTime":1741708802,"EndTime":1744300802,"TaskID":[]}`, `normal_push_loss {"StartTime":1743696002,"EndTime":1744300802}`,
	}, s.sent)
}

func TestChatStats(t *testing.T) {
	t.Parallel()
	s := &scripted{answers: []string{okEnvelope + `,"TotalCount":7}`, okEnvelope + `,{"ReadyToSendLoss":[{"ErrCode":"-1","ErrCount":2}]}}`}}
	c := s.client(t)
	stats, err := c.ChatStats(t.Context(), statsFrom, statsTo)
	require.NoError(t, err)
	assert.Equal(t, &timpush.ChatStats{TotalCount: 7}, stats)
	loss, err := c.ChatLoss(t.Context(), statsFrom, statsTo)
	require.NoError(t, err, "the documentation's sample is no JSON")
	assert.Equal(t, &timpush.ChatLoss{ReadyToSendLoss: []timpush.Loss{{ErrCode: "-1", ErrCount: 2}}}, loss)
	assert.Equal(t, []string{
		`normal_push_statistics {"StartTime":1741708800,"EndTime":1741795200}`, `normal_push_loss {"StartTime":1741708800,"EndTime":1741795200}`,
	}, s.sent)
}

func TestTraces(t *testing.T) {
	t.Parallel()
	s := &scripted{answers: []string{okEnvelope + `,"InstanceTrace":[{"InstanceId":1,"last_active_terminal":"1"}]}`}}
	c := s.client(t)
	want := []timpush.DeviceTrace{{InstanceID: "1", LastActiveTerminal: 1}}
	trace, err := c.PushTrace(t.Context(), "task", "mary")
	require.NoError(t, err)
	assert.Equal(t, want, trace)
	trace, err = c.ChatTrace(t.Context(), "id")
	require.NoError(t, err)
	assert.Equal(t, want, trace)
	assert.Equal(t, []string{`all_member_push_trace {"TaskID":"task","UserID":"mary"}`, `normal_push_trace {"PushID":"id"}`}, s.sent)
}

func TestStatsFaultsSendNothing(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	s := &scripted{}
	c := s.client(t)
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"trace without a user": func() error { _, err := c.PushTrace(ctx, "task", ""); return err },
		"trace without a task": func() error { _, err := c.PushTrace(ctx, "", "mary"); return err },
		"31 days":              func() error { _, err := c.PushStats(ctx, statsFrom, statsFrom.Add(31*day)); return err },
		"8 days":               func() error { _, err := c.PushLoss(ctx, statsFrom, statsFrom.Add(8*day)); return err },
		"chat, 31 days":        func() error { _, err := c.ChatStats(ctx, statsFrom, statsFrom.Add(31*day)); return err },
		"chat, 8 days":         func() error { _, err := c.ChatLoss(ctx, statsFrom, statsFrom.Add(8*day)); return err },
		"task ID":              func() error { _, err := c.PushStats(ctx, statsFrom, statsTo, "a", ""); return err },
		"trace":                func() error { _, err := c.PushTrace(ctx, "", ""); return err },
		"chat trace":           func() error { _, err := c.ChatTrace(ctx, ""); return err },
	} {
		require.ErrorAs(t, call(), new(*timpush.InputErrors), name)
	}
	assert.Empty(t, s.sent)
	_, err := c.PushStats(ctx, statsFrom, statsFrom.Add(31*day))
	require.ErrorContains(t, err, "to: is more than 30 days after from")
}

func TestStatsThatFail(t *testing.T) {
	t.Parallel()
	s := &scripted{answers: []string{okEnvelope + `,"Results":[{"TaskID":"a"}]}`, refusing(90049)}}
	stats, err := s.client(t).PushStats(t.Context(), statsFrom, statsTo, "a", "b", "c", "d", "e", "f")
	assert.Len(t, stats, 1, "what was read before")
	var failed *timpush.CallError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "v4/timpush/all_member_push_statistics", failed.Endpoint)
	assert.Equal(t, timpush.Rejected, failed.Outcome)

	s = &scripted{answers: []string{strings.Repeat("x", 10)}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = newClient(t, through(s.roundTrip), timpush.WithQuota(timpush.QuotaStats, unlimited{}), timpush.WithMaxAttempts(1)).ChatStats(ctx, statsFrom, statsTo)
	require.ErrorAs(t, err, new(*timpush.HTTPError))
}

func TestStatsAreASecondApart(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := &scripted{answers: []string{okEnvelope + `}`}}
		began := time.Now()
		_, err := newClient(t, through(s.roundTrip)).PushStats(t.Context(), statsFrom, statsTo, strings.Split("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o", ",")...)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, time.Since(began), 2*time.Second)
		assert.Len(t, s.sent, 3)
	})
}

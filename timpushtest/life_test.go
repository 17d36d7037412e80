package timpushtest_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// TestCampaign follows a push by the client of this module from a tag to a click, by default and in the worst case.
func TestCampaign(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]variant{"default": {}, "worst case": timpushtest.WorstCase()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { campaign(t, v) })
		})
	}
}

func campaign(t *testing.T, v variant) {
	f := start(t, with(v), timpushtest.WithKnownAccounts("ann", "bob", "cid"), timpushtest.WithReach(100, 100, 50), timpushtest.WithCallbackToken("token"))
	c, ctx := f.Client(), t.Context()
	_, err := c.AddTags(ctx, []timpush.UserTags{{ToAccount: "ann", Tags: []string{"gold"}}, {ToAccount: "bob", Tags: []string{"gold"}}})
	require.NoError(t, err)
	tags, err := c.GetTags(ctx, []string{"ann", "cid"})
	require.NoError(t, err)
	assert.Equal(t, []string{"gold"}, tags["ann"])

	p := timpush.Push{Notification: timpush.Notification{Title: "t", Desc: "d"}}
	gold := timpush.Audience{TagsAnd: []string{"gold"}}
	began := time.Now()
	receipt, err := c.Push(ctx, gold, p)
	require.NoError(t, err)
	result, err := c.PushTo(ctx, []string{"cid", "ann"}, p)
	require.NoError(t, err)
	id, err := c.AddTask(ctx, timpush.Schedule{At: began.Add(time.Hour), TaskContent: timpush.TaskContent{To: gold, Push: p}})
	require.NoError(t, err)
	for range 2 {
		_, err = c.AddTask(ctx, timpush.Schedule{At: began.Add(48 * time.Hour), TaskContent: timpush.TaskContent{Accounts: []string{"bob"}, Push: p}})
		require.NoError(t, err)
	}
	time.Sleep(time.Hour)
	require.Equal(t, 1, f.RunTasks(time.Now()))
	pushes := f.Pushes()
	assert.Equal(t, []string{receipt.TaskID, result.TaskIDs[0]}, []string{pushes[0].TaskID, pushes[1].TaskID})
	assert.Equal(t, []string{"ann", "bob"}, pushes[2].Accounts)
	task, err := c.Task(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, pushes[2].TaskID, task.PushTaskID)
	n := 0
	for _, err := range c.Tasks(ctx, timpush.TaskQuery{BeginTime: began.Add(-time.Hour), EndTime: began.Add(72 * time.Hour)}) {
		require.NoError(t, err)
		n++
	}
	assert.Equal(t, 3, n)

	stats, err := c.PushStats(ctx, began.Add(-time.Hour), time.Now(), receipt.TaskID)
	require.NoError(t, err)
	require.Len(t, stats, 1)
	assert.EqualValues(t, 1, stats[0].ClickCount)
	_, err = c.PushLoss(ctx, began.Add(-time.Hour), time.Now(), receipt.TaskID)
	require.NoError(t, err)
	_, err = c.ChatStats(ctx, began.Add(-time.Hour), time.Now())
	require.NoError(t, err)
	_, err = c.ChatLoss(ctx, began.Add(-time.Hour), time.Now())
	require.NoError(t, err)
	trace, err := c.PushTrace(ctx, receipt.TaskID, "ann")
	require.NoError(t, err)
	assert.Len(t, trace, 1)
	require.NoError(t, c.Revoke(ctx, receipt.TaskID, nil))
	assert.True(t, f.Pushes()[0].Revoked)
	assert.Equal(t, 1, clicks(t, f, receipt.TaskID))
}

// clicks sends the events of a push to the handler of this module, and counts the clicks that it has.
func clicks(t *testing.T, f fixture, task string) (n int) {
	handler, err := timpush.NewCallbackHandler(timpush.Callbacks{
		SDKAppID: testApp, Token: "token",
		Push: func(_ context.Context, events []timpush.PushEvent) error {
			for _, e := range events {
				if e.PushStage == 3 {
					n++
				}
			}
			return nil
		},
	})
	require.NoError(t, err)
	answer, err := f.SendCallback(t.Context(), handler, f.PushEvents(task)...)
	require.NoError(t, err)
	assert.Equal(t, timpushtest.CallbackAnswer{Status: http.StatusOK, Sent: 1}, answer)
	return n
}

package timpushtest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// statsInfo is ErrorInfo as the samples of the statistics spell it.
const statsInfo = "suc" + "ess"

const statsOK = `"ActionStatus":"OK","ErrorInfo":"` + statsInfo + `","ErrorCode":0`

// span builds StartTime and EndTime of the days since now, and further fields.
func span(from, to int, fields ...string) string {
	at := func(days int) int64 { return time.Now().Add(time.Duration(days) * 24 * time.Hour).Unix() }
	return "{" + strings.Join(append(fields, fmt.Sprintf(`"StartTime":%d,"EndTime":%d`, at(from), at(to))), ",") + "}"
}

// counted is a fake with pushes to 10 accounts, of which 8 are sent to, 5 reached and 2 click.
func counted(t *testing.T, opts ...timpushtest.Option) (f fixture, push, batch string) {
	f = start(t, append([]timpushtest.Option{timpushtest.WithQuota(0), timpushtest.WithReach(80, 50, 20), timpushtest.WithKnownAccounts(numbered(10)...)}, opts...)...)
	push = f.push("push", pushBody(`"OfflinePushInfo":{"PushFlag":1}`)).TaskID
	batch = f.push("batch", batchBody(numbered(10)...)).TaskID
	return f, push, batch
}

func TestPushStatistics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, push, _ := counted(t)
		const counts = `"TotalCount":10,"SentCount":8,"DeliveredCount":5,"ClickCount":2`
		one := `{"TaskID":"` + push + `",` + counts + `,"PlatformStatistics":[{"EventType":2,"PushPlatform":0,` + counts + `}]}`
		assert.JSONEq(t, `{`+statsOK+`,"Results":[`+one+`]}`, f.call("all_member_push_statistics", span(-1, 1, `"TaskID":["`+push+`"]`)).Raw)
		assert.JSONEq(t, `{`+statsOK+`,"Results":[]}`, f.call("all_member_push_statistics", span(-1, 1, `"TaskID":["unknown"]`)).Raw)
		assert.JSONEq(t, `{`+statsOK+`,"Results":[]}`, f.call("all_member_push_statistics", span(-3, -1, `"TaskID":["`+push+`"]`)).Raw)

		raw := f.call("all_member_push_statistics", span(-30, 0, `"TaskID":[]`)).Raw
		assert.Contains(t, raw, `"TotalCount":20`, "the batch, too")
		assert.Contains(t, raw, `"TaskID":""`)
		assert.Contains(t, raw, `"PushPlatform":1`)
		assert.Contains(t, raw, `"PushPlatform":4`)

		loss := func(platform string, code string, n int, info string) string {
			return fmt.Sprintf(`[{%s"ErrCode":%q,"ErrCount":%d,"ErrInfo":%q}]`, platform, code, n, info)
		}
		online := `"EventType":2,"PushPlatform":0,`
		assert.JSONEq(t, `{`+statsOK+`,"Results":[{"TaskID":"`+push+`","ReadyToSendLoss":`+loss("", "-2", 2, "token not uploaded")+
			`,"PostSendDeliveredLoss":`+loss("", "410", 3, "Unregistered")+`,"PlatformReadyToSendLoss":`+loss(online, "-2", 2, "token not uploaded")+
			`,"PlatformPostSendDeliveredLoss":`+loss(online, "410", 3, "Unregistered")+`}]}`,
			f.call("all_member_push_loss", span(-1, 1, `"TaskID":["`+push+`"]`)).Raw)

		f, _, batch := counted(t, with(variant{BatchIDsRefused: true}))
		assert.Equal(t, 90049, f.call("all_member_push_statistics", span(-1, 1, `"TaskID":["`+batch+`"]`)).Code)
		assert.Contains(t, f.call("all_member_push_statistics", span(-1, 1, `"TaskID":[]`)).Raw, `"TotalCount":10`)
		assert.Equal(t, 90049, f.call("all_member_push_trace", `{"TaskID":"`+batch+`","UserID":"user1"}`).Code)
		f = start(t, timpushtest.WithKnownAccounts("a"), with(variant{QuotedNumbers: true}))
		f.call("push", pushBody())
		assert.Contains(t, f.call("all_member_push_statistics", span(-1, 1, `"TaskID":[]`)).Raw, `"TotalCount":"1"`)
		f, _, _ = counted(t, with(variant{EmptyFieldsAbsent: true}))
		assert.JSONEq(t, `{`+statsOK+`}`, f.call("all_member_push_loss", span(-1, 1, `"TaskID":["x"]`)).Raw)
	})
}

// TestStatisticsUntilNow: a push counts at once, also if the second in which the statistics end is not over.
func TestStatisticsUntilNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(500 * time.Millisecond)
		f, push, _ := counted(t)
		assert.Contains(t, f.call("all_member_push_statistics", span(-1, 0, `"TaskID":["`+push+`"]`)).Raw, `"TotalCount":10`)
		assert.Contains(t, f.call("all_member_push_loss", span(-1, 0, `"TaskID":[]`)).Raw, "Unregistered")
	})
}

func TestTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, push, batch := counted(t)
		trace := func(id, user string) string {
			t.Helper()
			a := f.call("all_member_push_trace", `{"TaskID":"`+id+`","UserID":"`+user+`"}`)
			require.Equal(t, 0, a.Code, a.Raw)
			return a.Raw
		}
		assert.Contains(t, trace(push, "user0"), `"OnlinePushStat":{"ErrorCode":0,"ErrorInfo":"success","EventTime":"2000-01-01 00:00:00","PushStatus":1}`)
		assert.Contains(t, trace(batch, "user0"), `"ClickStat":{"ErrorCode":0,"ErrorInfo":"success","EventTime":"2000-01-01 00:00:00","PushStatus":1}`)
		assert.Contains(t, trace(batch, "user4"), `"ClickStat":{"ErrorCode":0,"ErrorInfo":"","EventTime":"","PushStatus":0}`)
		assert.Contains(t, trace(batch, "user7"), `"DeviceStat":{"ErrorCode":410,"ErrorInfo":"Unregistered","EventTime":"","PushStatus":0}`)
		assert.Contains(t, trace(batch, "user9"), `"OfflineStat":{"ErrorCode":-2,"ErrorInfo":"token not uploaded","EventTime":"","PushStatus":0}`)
		assert.JSONEq(t, `{`+statsOK+`,"InstanceTrace":[]}`, trace(push, "nowhere"))
		assert.Equal(t, 90049, f.call("all_member_push_trace", `{"TaskID":"x","UserID":"user0"}`).Code)
		time.Sleep(7*24*time.Hour + time.Second)
		assert.JSONEq(t, `{`+statsOK+`,"InstanceTrace":[]}`, trace(push, "user0"), "of the last week only")
	})
}

func TestChatStatistics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, form := range []timpushtest.ChatLoss{timpushtest.ChatLossTop, timpushtest.ChatLossResults, timpushtest.ChatLossUnnamed} {
			f := start(t, timpushtest.WithQuota(0), with(variant{ChatLoss: form}))
			event := func(id, to string, stage, code int) timpushtest.Event {
				return timpushtest.Event{"CallbackCommand": "Push.OfflinePush", "PushID": id, "To_Account": to, "PushStage": stage, "PushPlatform": 1, "ErrCode": code, "ErrInfo": "e"}
			}
			_, err := f.SendCallback(t.Context(), receiver(nil), event("1", "a", 1, 0), event("1", "a", 3, 0), event("2", "a", 1, -1), event("1", "b", 1, 0), event("1", "b", 2, 5))
			require.NoError(t, err)
			const counts = `"TotalCount":3,"SentCount":2,"DeliveredCount":1,"ClickCount":1`
			assert.JSONEq(t, `{`+statsOK+`,`+counts+`,"PlatformStatistics":[{"EventType":1,"PushPlatform":1,`+counts+`}]}`,
				f.call("normal_push_statistics", span(-1, 1)).Raw)
			raw := f.call("normal_push_loss", span(-1, 1)).Raw
			if form == timpushtest.ChatLossUnnamed {
				assert.Contains(t, raw, `"ErrorInfo":"`+statsInfo+`",{"PlatformPostSendDeliveredLoss":[{`)
				assert.False(t, json.Valid([]byte(raw)), "as the sample")
			}
			assert.Equal(t, form == timpushtest.ChatLossResults, strings.Contains(raw, `"Results":{`))
			assert.Contains(t, raw, `"ReadyToSendLoss":[{"ErrCode":"-1","ErrCount":1,"ErrInfo":"e"}]`)
			assert.Contains(t, raw, `"PostSendDeliveredLoss":[{"ErrCode":"5","ErrCount":1,"ErrInfo":"e"}]`)
			assert.Equal(t, 2, strings.Count(f.call("normal_push_trace", `{"PushID":"1"}`).Raw, "InstanceId"))
			assert.Equal(t, 0, strings.Count(f.call("normal_push_trace", `{"PushID":"3"}`).Raw, "InstanceId"))
		}
	})
}

func TestStatisticsAreChecked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, timpushtest.WithQuota(0))
		task := `"TaskID":[]`
		for command, bodies := range map[string]map[string]int{
			"all_member_push_statistics": {
				span(-30, 0, task): 0, span(-31, 0, task): 90001, span(0, -1, task): 90001, span(-1, 0): 90001,
				span(-1, 0, `"TaskID":"x"`): 90001, span(-1, 0, `"TaskID":null`): 90001, span(-1, 0, `"TaskID":[""]`): 90001, span(-1, 0, `"TaskID":[1]`): 90001,
				span(-1, 0, `"TaskID":`+tagList("", 5)): 0, span(-1, 0, `"TaskID":`+tagList("", 6)): 90001,
				`{"StartTime":"1","EndTime":2,"TaskID":[]}`: 90001, `{"TaskID":[]}`: 90001, span(-1, 0, task, `"X":1`): 90001, ``: 60003,
			},
			"all_member_push_loss":   {span(-7, 0, task): 0, span(-8, 0, task): 90001},
			"normal_push_statistics": {span(-30, 0): 0, span(-31, 0): 90001, span(-1, 0, task): 90001, `{}`: 90001},
			"normal_push_loss":       {span(-7, 0): 0, span(-8, 0): 90001, `[]`: 90001},
			"all_member_push_trace":  {`{"TaskID":"x"}`: 90001, `{"UserID":"x"}`: 90001, `{"TaskID":["x"],"UserID":"x"}`: 90001, `{`: 60003},
			"normal_push_trace":      {`{"PushID":"x"}`: 0, `{"PushID":1}`: 90001, `{}`: 90001, `{"PushId":"x"}`: 90001},
		} {
			for body, code := range bodies {
				assert.Equal(t, code, f.call(command, body).Code, "%s %s", command, body)
			}
		}
		f = start(t)
		assert.Equal(t, 0, f.call("normal_push_trace", `{"PushID":"x"}`).Code)
		assert.Equal(t, 60007, f.call("normal_push_trace", `{"PushID":"x"}`).Code, "one a second")
		assert.Equal(t, 0, f.call("normal_push_loss", span(-1, 0)).Code, "each has its own")
		time.Sleep(time.Second)
		assert.Equal(t, 0, f.call("normal_push_trace", `{"PushID":"x"}`).Code)
	})
}

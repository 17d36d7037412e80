package timpush

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStatsRequest(t *testing.T) {
	t.Parallel()
	from := time.Unix(1741708800, 5)
	to := from.Add(24 * time.Hour)
	for want, ids := range map[string][]string{
		`{"StartTime":1741708800,"EndTime":1741795200}`:                    nil,
		`{"StartTime":1741708800,"EndTime":1741795200,"TaskID":[]}`:        {},
		`{"StartTime":1741708800,"EndTime":1741795200,"TaskID":["a","b"]}`: {"a", "b"},
	} {
		got, err := json.Marshal(statsRequest{from.Unix(), to.Unix(), ids})
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
}

func TestSplitTaskIDs(t *testing.T) {
	t.Parallel()
	assert.Equal(t, [][]string{{}}, splitTaskIDs(nil), "no task IDs are the total")
	assert.Equal(t, [][]string{{"a", "b"}}, splitTaskIDs([]string{"a", "b", "a"}))
	split := splitTaskIDs(tagsOf(11))
	assert.Equal(t, []int{5, 5, 1}, []int{len(split[0]), len(split[1]), len(split[2])})
	assert.Equal(t, tagsOf(11), slices.Concat(split...))
}

func TestStatsFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		from, to time.Time
		ids      []string
		fields   []string
	}{
		"7 days":          {noon, noon.Add(7 * 24 * time.Hour), []string{"a"}, nil},
		"until now":       {noon, noon.Add(7*24*time.Hour + time.Millisecond), nil, nil},
		"a minute more":   {noon, noon.Add(7*24*time.Hour + time.Minute), nil, nil},
		"more":            {noon, noon.Add(7*24*time.Hour + time.Minute + 1), nil, []string{"to"}},
		"nothing":         {time.Time{}, time.Time{}, nil, []string{"from"}},
		"no end":          {noon, time.Time{}, nil, []string{"to"}},
		"the same":        {noon, noon, nil, []string{"to"}},
		"the same second": {noon, noon.Add(time.Second - 1), nil, []string{"to"}},
		"the other way":   {noon, noon.Add(-1), nil, []string{"to"}},
		"bad task IDs":    {noon, noon.Add(time.Second), []string{"a", "", "\xff"}, []string{"taskIDs[1]", "taskIDs[2]"}},
		"all that is bad": {noon, noon, []string{""}, []string{"to", "taskIDs[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.fields, fieldsOf(t, statsFaults(tc.from, tc.to, maxLossSpan, tc.ids)))
		})
	}
}

func TestDecodePushStats(t *testing.T) {
	t.Parallel()
	got, err := decodeResults[PushStats]([]byte(`{"ErrorCode":0,"ErrorInfo":"succ","Results":[{"TaskID":"a","TotalCount":"100","SentCount":90,
		"DeliveredCount":null,"ClickCount":"many","PlatformStatistics":[{"EventType":1,"PushPlatform":"3","TotalCount":1,"SentCount":2,"DeliveredCount":3,"ClickCount":4}]},
		{"TaskID":7,"New":1}]}`))
	require.NoError(t, err)
	assert.Equal(t, []PushStats{{
		TaskID: "a", TotalCount: 100, SentCount: 90, ClickCount: -1,
		PlatformStatistics: []PlatformStats{{1, PushPlatformHuawei, 1, 2, 3, 4}},
	}, {TaskID: "7"}}, got)
	for _, none := range []string{`{}`, `{"Results":null}`, `{"Results":[]}`} {
		got, err = decodeResults[PushStats]([]byte(none))
		require.NoError(t, err)
		assert.Empty(t, got)
	}
	for _, bad := range []string{`{"Results":"x"}`, `{"Results":[1]}`, `[]`, `{`} {
		_, err = decodeResults[PushStats]([]byte(bad))
		require.Error(t, err, bad)
	}
}

// lossSample is the documentation's: no JSON, since an object has no name.
const lossSample = `{"ActionStatus": "OK","ErrorCode": 0,"ErrorInfo": "", 
	{"ReadyToSendLoss": [{"ErrCode": "-1","ErrCount": 167,"ErrInfo": "certificate id not set"},{"ErrCode": "-2","ErrCount": 125,"ErrInfo": "token not uploaded"}],
	"PostSendDeliveredLoss": [{"ErrCode": "410","ErrCount": 35,"ErrInfo": "Unregistered"}],
	"PlatformReadyToSendLoss": [{"PushPlatform": 2,"ErrCode": "-1","ErrCount": 123,"ErrInfo": "certificate id not set"}],
	"PlatformPostSendDeliveredLoss": [{"PushPlatform": 3,"ErrCode": "410","ErrCount": 35,"ErrInfo": "Unregistered"}]}}`

func TestDecodeChatLoss(t *testing.T) {
	t.Parallel()
	want := &ChatLoss{
		ReadyToSendLoss:               []Loss{{ErrCode: "-1", ErrCount: 167, ErrInfo: "certificate id not set"}, {ErrCode: "-2", ErrCount: 125, ErrInfo: "token not uploaded"}},
		PostSendDeliveredLoss:         []Loss{{ErrCode: "410", ErrCount: 35, ErrInfo: "Unregistered"}},
		PlatformReadyToSendLoss:       []Loss{{PushPlatform: PushPlatformXiaomi, ErrCode: "-1", ErrCount: 123, ErrInfo: "certificate id not set"}},
		PlatformPostSendDeliveredLoss: []Loss{{PushPlatform: PushPlatformHuawei, ErrCode: "410", ErrCount: 35, ErrInfo: "Unregistered"}},
	}
	sample := strings.Replace(lossSample, "\n\t{", "\n\t", 1)
	for name, answer := range map[string]string{
		"as printed":         lossSample,
		"in the answer":      strings.TrimSuffix(sample, "}"),
		"in Results":         strings.Replace(lossSample, "\n\t{", "\n\t\"Results\":{", 1),
		"in a list":          strings.Replace(strings.TrimSuffix(lossSample, "}")+"]}", "\n\t{", "\n\t\"Results\":[{", 1),
		"numbers as strings": strings.NewReplacer("125", `"125"`, `: 2,`, `: "2",`, `"-2"`, `-2`).Replace(lossSample),
	} {
		got, err := decodeTotals[ChatLoss]([]byte(answer))
		require.NoError(t, err, name)
		assert.Equal(t, want, got, name)
	}
	_, err := decodeTotals[ChatLoss]([]byte(`[]`))
	require.Error(t, err)
	_, err = decodeTotals[ChatLoss]([]byte(`{"Results":[1]}`))
	require.Error(t, err)
}

func TestDecodeChatStats(t *testing.T) {
	t.Parallel()
	got, err := decodeTotals[ChatStats]([]byte(`{"TotalCount":4,"SentCount":"3","DeliveredCount":2,"ClickCount":1,"PlatformStatistics":[{"PushPlatform":8}]}`))
	require.NoError(t, err)
	assert.Equal(t, &ChatStats{4, 3, 2, 1, []PlatformStats{{PushPlatform: PushPlatformHonor}}}, got)
}

func TestDecodeTrace(t *testing.T) {
	t.Parallel()
	const stat = `{"PushStatus":"1","ErrorCode":0,"ErrorInfo":"success","EventTime":"2025-03-13 16:16:29"}`
	got, err := decodeTrace([]byte(`{"ErrorCode":0,"InstanceTrace":[{"InstanceId":"74224656","PushTime":"2025-03-13 16:16:27","DeviceModel":"",
		"System":"Android","SystemVersion":"14","EventType":1,"PushPlatform":1,"Token":"aabbc","CertId":1122,"SdkVersion":"8.0.1","PushVersion":"8.0.2",
		"NotificationStatus":1,"last_active_terminal":1,"IMCommitStat":{"IMStat":` + stat + `},
		"OfflinePushStat":{"OfflineStat":` + stat + `,"ChannelStat":` + stat + `,"DeviceStat":` + stat + `,"ClickStat":` + stat + `},"OnlinePushStat":` + stat + `}]}`))
	require.NoError(t, err)
	want := TraceStat{1, 0, "success", "2025-03-13 16:16:29"}
	trace := DeviceTrace{
		InstanceID: "74224656", PushTime: "2025-03-13 16:16:27", System: "Android", SystemVersion: "14", EventType: 1, PushPlatform: PushPlatformAPNs,
		Token: "aabbc", CertID: "1122", SDKVersion: "8.0.1", PushVersion: "8.0.2", NotificationStatus: 1, LastActiveTerminal: 1, OnlinePushStat: want,
	}
	trace.IMCommitStat.IMStat = want
	trace.OfflinePushStat.OfflineStat, trace.OfflinePushStat.ChannelStat = want, want
	trace.OfflinePushStat.DeviceStat, trace.OfflinePushStat.ClickStat = want, want
	assert.Equal(t, []DeviceTrace{trace}, got)
}

func FuzzDecodeStats(f *testing.F) {
	f.Add(lossSample)
	f.Add(`{"Results":[{"TaskID":"a","TotalCount":"1e3","PlatformStatistics":[{}]}]}`)
	f.Add(`{"InstanceTrace":{"IMCommitStat":{"IMStat":{}},"last_active_terminal":"x"}}`)
	f.Add(`{"a":"\\\"{","b":[{"c":1}],{"TotalCount":1},{"SentCount":2}}`)
	f.Fuzz(func(t *testing.T, answer string) {
		_, _ = decodeResults[PushStats]([]byte(answer))
		_, _ = decodeResults[PushLoss]([]byte(answer))
		_, _ = decodeTrace([]byte(answer))
		_, _ = decodeTotals[ChatStats]([]byte(answer))
		_, _ = decodeTotals[ChatLoss]([]byte(answer))
	})
}

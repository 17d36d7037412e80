package timpush

import (
	stdjson "encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	noon    = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	beijing = time.FixedZone("Beijing", 8*60*60)
	hello   = Push{Notification: Notification{Title: "hello"}}
	toAll   = TaskContent{To: Audience{Everybody: true}, Push: hello}
	toGold  = TaskContent{To: Audience{AttrsAnd: Attrs{"level": "gold"}}, Push: hello}
)

func TestScheduleRequest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		schedule Schedule
		want     string
	}{
		"all": {
			Schedule{noon.Add(999 * time.Millisecond).In(beijing), toAll},
			`{"Sdkappid":1400000000,"Type":"All","SchedAt":"2026-12-01 12:00:00","Content":{"From_Account":"administrator","OfflinePushInfo":{"Title":"hello"}}}`,
		},
		"conditions": {
			Schedule{noon, toGold},
			`{"Sdkappid":1400000000,"Type":"Tag","SchedAt":"2026-12-01 12:00:00","Content":{"From_Account":"administrator","Condition":{"AttrsAnd":{"level":"gold"}},"OfflinePushInfo":{"Title":"hello"}}}`,
		},
		"accounts, each once": {
			Schedule{noon, TaskContent{Accounts: []string{"b", "a", "b"}, Push: hello}},
			`{"Sdkappid":1400000000,"Type":"User","SchedAt":"2026-12-01 12:00:00","Content":{"From_Account":"administrator","To_Account":["b","a"],"OfflinePushInfo":{"Title":"hello"}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Empty(t, tc.schedule.faults(noon))
			got, err := marshal(tc.schedule.request(1400000000, "administrator"))
			require.NoError(t, err)
			assert.Equal(t, tc.want, string(got))
		})
	}
}

func TestScheduleFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		schedule Schedule
		fields   []string
	}{
		"zero":     {Schedule{}, []string{"At", "To", "Push.Notification"}},
		"past":     {Schedule{noon.Add(-1), toAll}, []string{"At"}},
		"far away": {Schedule{noon.AddDate(9000, 0, 0), toAll}, []string{"At"}},
		"both":     {Schedule{noon, TaskContent{To: toAll.To, Accounts: []string{"a"}, Push: hello}}, []string{"To"}},
		"no one":   {Schedule{noon, TaskContent{Accounts: []string{}, Push: hello}}, []string{"Accounts"}},
		"too many": {Schedule{noon, TaskContent{Accounts: tagsOf(501), Push: hello}}, []string{"Accounts"}},
		"500":      {Schedule{noon, TaskContent{Accounts: tagsOf(500), Push: hello}}, nil},
		"bad accounts": {
			Schedule{noon, TaskContent{Accounts: []string{"a", "", "\xff", "a\nb"}, Push: hello}},
			[]string{"Accounts[1]", "Accounts[2]", "Accounts[3]"},
		},
		"bad audience": {Schedule{noon, TaskContent{To: Audience{TagsAnd: []string{}}, Push: hello}}, []string{"To.TagsAnd"}},
		"MsgRandom":    {Schedule{noon, TaskContent{To: toAll.To, Push: Push{Notification: hello.Notification, MsgRandom: 1}}}, []string{"Push.MsgRandom"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.fields, fieldsOf(t, tc.schedule.faults(noon)))
		})
	}
}

func TestTaskChange(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		id     int64
		change TaskChange
		fields []string
		want   string
	}{
		"time":    {7, TaskChange{Type: TaskTag, At: noon}, nil, `{"Sdkappid":1,"TaskID":7,"Type":"Tag","SchedAt":"2026-12-01 12:00:00"}`},
		"content": {7, TaskChange{Type: TaskAll, Content: &toAll}, nil, `{"Sdkappid":1,"TaskID":7,"Type":"All","Content":{"From_Account":"a","OfflinePushInfo":{"Title":"hello"}}}`},
		"a new type": {
			7, TaskChange{Type: "New", Content: &toAll}, nil,
			`{"Sdkappid":1,"TaskID":7,"Type":"New","Content":{"From_Account":"a","OfflinePushInfo":{"Title":"hello"}}}`,
		},
		"nothing":         {7, TaskChange{Type: TaskAll}, []string{"At"}, ""},
		"zero":            {0, TaskChange{}, []string{"id", "Type", "At"}, ""},
		"past":            {7, TaskChange{Type: TaskAll, At: noon.Add(-time.Second)}, []string{"At"}, ""},
		"of another type": {7, TaskChange{Type: TaskTag, Content: &toAll}, []string{"Content"}, ""},
		"bad content":     {7, TaskChange{Type: TaskTag, Content: &TaskContent{}}, []string{"Content.To", "Content.Push.Notification"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.fields, fieldsOf(t, tc.change.faults(tc.id, noon)))
			if tc.fields == nil {
				got, err := marshal(tc.change.request(1, "a", tc.id))
				require.NoError(t, err)
				assert.Equal(t, tc.want, string(got))
			}
		})
	}
}

func TestTaskQuery(t *testing.T) {
	t.Parallel()
	q := TaskQuery{BeginTime: noon.In(beijing), EndTime: noon.Add(time.Hour)}
	assert.Empty(t, q.faults())
	got, err := marshal(q.request(1, 100))
	require.NoError(t, err)
	assert.Equal(t, `{"Sdkappid":1,"Offset":100,"Want":50,"OrderBy":"createAt","Asc":false,"BeginTime":"2026-12-01 12:00:00","EndTime":"2026-12-01 13:00:00"}`, string(got))
	q.OrderBy, q.Asc, q.Keyword, q.Want = "schedat", true, "sale", 20
	got, err = marshal(q.request(1, 0))
	require.NoError(t, err)
	assert.Equal(t, `{"Sdkappid":1,"Offset":0,"Want":20,"OrderBy":"schedat","Asc":true,"BeginTime":"2026-12-01 12:00:00","EndTime":"2026-12-01 13:00:00","Keyword":"sale"}`, string(got))

	assert.Equal(t, []string{"BeginTime", "EndTime", "Offset", "Want"}, fieldsOf(t, (&TaskQuery{Offset: -1, Want: -1}).faults()))
	assert.Equal(t, []string{"EndTime"}, fieldsOf(t, (&TaskQuery{BeginTime: noon, EndTime: noon.Add(-1)}).faults()))
	assert.Equal(t, []string{"EndTime"}, fieldsOf(t, (&TaskQuery{BeginTime: noon, EndTime: time.Unix(1<<40, 0)}).faults()), "a year has four digits")
	assert.Equal(t, []string{"EndTime"}, fieldsOf(t, (&TaskQuery{BeginTime: time.Unix(-1<<40, 0), EndTime: noon}).faults()))
}

// taskSample is the documentation's, with a type of its own.
const taskSample = `{"TaskID":1234567890,"Sdkappid":88888888,"CreateAt":"2025-05-20 08:30:00","Type":"All","SchedAt":"2025-06-01 10:00:00",
	"Content":{"From_Account":12345,"MsgRandom":123456,"OfflinePushInfo":{"Title":"Push Title","Desc":"d","PushFlag":1,"New":1},"TaskName":"n"},
	"Title":"Push Title","Desc":"d","Status":"pending","DispatchSuccess":0,"DispatchErr":"","PushTaskID":"","New":{}}`

var taskSampleTask = &Task{
	TaskID: 1234567890, SDKAppID: 88888888, CreateAt: time.Date(2025, 5, 20, 8, 30, 0, 0, time.UTC), Type: TaskAll,
	SchedAt: time.Date(2025, 6, 1, 10, 0, 0, 0, time.UTC),
	Content: TaskContent{To: Audience{Everybody: true}, Push: Push{
		From:         "12345",
		Notification: Notification{Title: "Push Title", Desc: "d", ConnectedOnly: true, Extra: Extra{"New": 1.0}},
		Extra:        Extra{"TaskName": "n"},
	}},
	Title: "Push Title", Desc: "d", Status: "pending",
}

func TestDecodeTask(t *testing.T) {
	t.Parallel()
	task, err := decodeTask([]byte(`{"ErrorCode":0,"TaskInfo":` + taskSample + `}`))
	require.NoError(t, err)
	assert.Equal(t, taskSampleTask, task)
	assert.Empty(t, task.Content.faults("Content"), "what was read can be sent again")

	asStrings := strings.NewReplacer("1234567890", `"1234567890"`, ":88888888", `:"88888888"`, `"DispatchSuccess":0`, `"DispatchSuccess":"0"`).Replace(taskSample)
	task, err = decodeTask([]byte(`{"TaskInfo":` + asStrings + `}`))
	require.NoError(t, err)
	assert.Equal(t, taskSampleTask, task)

	for _, none := range []string{`{}`, `{"TaskInfo":null}`, `{"TaskInfo":[]}`} {
		_, err = decodeTask([]byte(none))
		require.EqualError(t, err, "the answer has no task")
	}
	_, err = decodeTask([]byte(`{"TaskInfo":"x"}`))
	require.Error(t, err)
}

func TestDecodeTasks(t *testing.T) {
	t.Parallel()
	page, err := decodeTaskPage([]byte(`{"Total":"2","Tasks":[` + taskSample + `,` + taskSample + `]}`))
	require.NoError(t, err)
	assert.Equal(t, taskPage{[]*Task{taskSampleTask, taskSampleTask}, 2}, page)
	page, err = decodeTaskPage([]byte(`{"Total":-3,"Tasks":null}`))
	require.NoError(t, err)
	assert.Zero(t, page)
	for answer, want := range map[string]int64{`{"TaskID":"5"}`: 5, `{"TaskID":"x"}`: 0, `{"TaskID":-5}`: 0, `{}`: 0, `{`: 0} {
		id, err := decodeTaskID([]byte(answer))
		require.NoError(t, err)
		assert.Equal(t, want, id)
	}
}

// What a caller reads and sends back must never reach more people than before.
func TestDecodedContentNeverWidensTheAudience(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]Audience{
		`{"OfflinePushInfo":{"Title":"t"}}`:    {Everybody: true},
		`"{\"OfflinePushInfo\":{}}"`:           {Everybody: true},
		`{"Condition":{"TagsOr":["a"]}}`:       {TagsOr: []string{"a"}},
		`{"Condition":{"AttrsOr":{"a":"1"}}}`:  {AttrsOr: Attrs{"a": "1"}},
		`{"Condition":{"AttrsOr":{"a":{}}}}`:   {},
		`{"Condition":{"TagsOr":[]}}`:          {TagsOr: []string{}},
		`{"Condition":{"TagsOr":["a"],"X":1}}`: {},
		`{"Condition":{"TagsOr":"a"}}`:         {},
		`{"Condition":{}}`:                     {},
		`{"Condition":null}`:                   {},
		`{"To_Account":["a"]}`:                 {},
		`{"To_Account":[]}`:                    {},
		`{"To_Account":null}`:                  {},
		`{"To_Account":"a"}`:                   {},
		`{"OfflinePushInfo":"x"}`:              {},
		`"x"`:                                  {},
		`7`:                                    {},
		`null`:                                 {},
	} {
		task, err := decodeTask([]byte(`{"TaskInfo":{"Content":` + content + `}}`))
		require.NoError(t, err, content)
		assert.Equal(t, want, task.Content.To, content)
	}
	for kind, want := range map[TaskType]bool{TaskAll: true, "all": true, TaskTag: false, TaskUser: false, "Later": false} {
		page, err := decodeTaskPage([]byte(`{"Tasks":[{"Type":"` + kind + `","Content":{"OfflinePushInfo":{"Title":"t"}}}]}`))
		require.NoError(t, err)
		assert.Equal(t, want, page.tasks[0].Content.To.Everybody, "a list may leave out to whom a task of type %s is", kind)
	}
}

func FuzzDecodeTask(f *testing.F) {
	f.Add(`{"TaskInfo":` + taskSample + `}`)
	f.Add(`{"Total":1,"Tasks":[` + taskSample + `],"TaskID":1e3}`)
	f.Add(`{"TaskInfo":{"Content":"{\"To_Account\":[1,null,{}]}","CreateAt":1e99}}`)
	f.Fuzz(func(t *testing.T, answer string) {
		id, _ := decodeTaskID([]byte(answer))
		require.GreaterOrEqual(t, id, int64(0))
		page, _ := decodeTaskPage([]byte(answer))
		tasks := page.tasks
		if task, err := decodeTask([]byte(answer)); err == nil {
			tasks = append(tasks, task)
		}
		for _, task := range tasks {
			if len(task.Content.faults("Content")) > 0 {
				continue
			}
			body, err := marshal(task.Content.request("administrator"))
			require.NoError(t, err)
			require.Equal(t, task.Content.To.Everybody, !strings.Contains(string(body), `"Condition":`) && task.Content.Accounts == nil)
			require.True(t, stdjson.Valid(body))
		}
	})
}

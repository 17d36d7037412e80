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

// content is Content of a task, of the type All unless fields say otherwise.
func content(fields ...string) string {
	return `"Content":` + body(append([]string{`"From_Account":"x"`, `"MsgRandom":"absent"`, `"OfflinePushInfo":{"Title":"News","Desc":"d"}`}, fields...)...)
}

// taskBody builds the body of a command of tasks. In the bubble of a test it is the first of January 2000.
func taskBody(fields ...string) string {
	return body(append([]string{fmt.Sprintf(`"Sdkappid":%d`, testApp), `"MsgRandom":"absent"`}, fields...)...)
}

func newTask(kind, at string, fields ...string) string {
	return taskBody(`"Type":"`+kind+`"`, `"SchedAt":"`+at+`"`, content(fields...))
}

type taskInfo struct {
	TaskID                          int64
	Type, SchedAt, CreateAt, Title  string
	Status, DispatchErr, PushTaskID string
	DispatchSuccess                 int
	Content                         map[string]any
}

type taskAnswer struct {
	ErrorCode int
	TaskID    *int64
	TaskInfo  taskInfo
	Total     int
	Tasks     []taskInfo
}

func (f fixture) task(command, body string) (a taskAnswer) {
	f.Helper()
	answer := f.call(command, body)
	assertEnvelope(f, answer, "TaskID", "TaskInfo", "Total", "Tasks")
	require.NoError(f, json.Unmarshal([]byte(answer.Raw), &a), answer.Raw)
	return a
}

// add expects add_sched_task to succeed.
func (f fixture) add(body string) int64 {
	f.Helper()
	a := f.task("add_sched_task", body)
	require.Equal(f, 0, a.ErrorCode)
	require.NotNil(f, a.TaskID)
	return *a.TaskID
}

func (f fixture) info(id int64) taskInfo {
	f.Helper()
	a := f.task("get_sched_task", taskBody(fmt.Sprintf(`"TaskID":%d`, id)))
	require.Equal(f, 0, a.ErrorCode)
	return a.TaskInfo
}

func TestTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := people(t)
		all := f.add(newTask("All", "2000-01-01 10:00:00"))
		tag := f.add(newTask("Tag", "2000-01-01 09:00:00", `"Condition":{"TagsOr":["A","E"]}`))
		user := f.add(newTask("User", "2000-01-01 11:00:00", `"To_Account":["x","y"]`))
		info := f.info(all)
		assert.Equal(t, "All", info.Type)
		assert.Equal(t, "pending", info.Status)
		assert.Equal(t, "2000-01-01 10:00:00", info.SchedAt)
		assert.Equal(t, "2000-01-01 00:00:00", info.CreateAt)
		assert.Equal(t, "News", info.Title)
		assert.Equal(t, map[string]any{"From_Account": "x", "OfflinePushInfo": map[string]any{"Title": "News", "Desc": "d"}}, info.Content)

		tasks := f.Tasks()
		require.Len(t, tasks, 3)
		at := time.Date(2000, 1, 1, 9, 0, 0, 0, time.UTC)
		assert.Equal(t, []any{tag, "Tag", at, "News", "pending", ""}, []any{tasks[1].ID, tasks[1].Type, tasks[1].At, tasks[1].Title, tasks[1].State, tasks[1].TaskID})
		assert.JSONEq(t, strings.TrimPrefix(content(), `"Content":`), string(tasks[0].Content))

		now := time.Now()
		assert.Equal(t, 0, f.RunTasks(now.Add(9*time.Hour-time.Second)))
		f.tag("late", `["E"]`)
		assert.Equal(t, 2, f.RunTasks(now.Add(10*time.Hour)))
		pushes := f.Pushes()
		require.Len(t, pushes, 2)
		assert.Equal(t, tag, pushes[0].Task)
		assert.Equal(t, []any{"dispatched", pushes[0].TaskID}, []any{f.Tasks()[1].State, f.Tasks()[1].TaskID})
		assert.Equal(t, []string{"ann", "cid", "dan", "late"}, pushes[0].Accounts, "as it is when the task runs")
		assert.Equal(t, timpushtest.PushTag, pushes[0].Kind)
		assert.Len(t, pushes[1].Accounts, 7)
		assert.Equal(t, now.Add(10*time.Hour), pushes[1].Time)
		assert.JSONEq(t, strings.TrimPrefix(content(), `"Content":`), string(pushes[1].Body))
		info = f.info(all)
		assert.NotEqual(t, "pending", info.Status)
		assert.Equal(t, pushes[1].TaskID, info.PushTaskID)
		assert.Equal(t, 1, info.DispatchSuccess)

		id := fmt.Sprintf(`"TaskID":%d`, user)
		a := f.task("modify_sched_task", taskBody(id, `"Type":"User"`, `"SchedAt":"2000-01-02 00:00:00"`))
		assert.Equal(t, user, *a.TaskID)
		a = f.task("modify_sched_task", taskBody(id, `"Type":"User"`, content(`"To_Account":["z"]`, `"OfflinePushInfo":{"Title":"New"}`)))
		assert.Equal(t, 0, a.ErrorCode)
		assert.Equal(t, "New", f.info(user).Title)
		assert.Equal(t, "2000-01-02 00:00:00", f.info(user).SchedAt)
		assert.Equal(t, 0, f.RunTasks(now.Add(23*time.Hour)))
		assert.Equal(t, 1, f.RunTasks(now.Add(24*time.Hour)))
		assert.Equal(t, []string{"z"}, f.Pushes()[2].Accounts)
		assert.Equal(t, 0, f.RunTasks(now.Add(24*time.Hour)), "each runs once")
		assert.Equal(t, 0, f.revoke(pushes[0].TaskID), "it is a push as any other")
	})
}

func TestTaskRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := people(t)
		lax := people(t, with(variant{TaskPushCodes: true, PastTasksAccepted: true, TaskAttrsRefused: true}))
		const at = "2000-01-02 00:00:00"
		for body, want := range map[string][2]int{ // the code, and that of lax
			newTask("All", at): {0, 0},
			newTask("Tag", at, `"Condition":{"AttrsAnd":{"level":"gold"}}`): {0, 90104},
			newTask("Tag", at, `"Condition":{"AttrsAnd":{"age":"1"}}`):      {90104, 90033},
			newTask("Tag", at): {90104, 90104},
			newTask("All", at, `"Condition":{"TagsOr":["A"]}`):                                 {90104, 90104},
			newTask("Tag", at, `"Condition":{"TagsOr":[""]}`):                                  {90104, 90040},
			newTask("All", at, `"MsgRandom":-1`):                                               {90104, 90005},
			newTask("All", at, `"MsgRandom":1`):                                                {0, 0},
			newTask("All", at, `"OfflinePushInfo":"absent"`):                                   {90104, 90001},
			newTask("All", at, `"OfflinePushInfo":{"Desc":"`+strings.Repeat("x", 10<<10)+`"}`): {90104, 90056},
			newTask("All", at, `"To_Account":["a"]`):                                           {90104, 90001},
			newTask("User", at):                                                                {90104, 90104},
			newTask("User", at, `"To_Account":["a"]`, `"From_Account":"absent"`):               {90104, 90001},
			newTask("User", at, `"To_Account":[]`):                                             {90104, 90104},
			newTask("User", at, `"To_Account":[1]`):                                            {90104, 90104},
			newTask("User", at, `"To_Account":`+tagList("", 501)):                              {90104, 90104},
			newTask("User", at, `"To_Account":`+tagList("", 500)):                              {0, 0},
			newTask("user", at, `"To_Account":["a"]`):                                          {90104, 90104},
			newTask("All", "1999-12-31 23:59:59"):                                              {90104, 0},
			newTask("All", "2000-01-01 00:00:00"):                                              {0, 0},
			newTask("All", "2000-01-02T00:00:00Z"):                                             {90104, 90104},
			strings.Replace(newTask("All", at), `"Sdkappid":1`, `"Sdkappid":2`, 1):             {90104, 90104},
			strings.Replace(newTask("All", at), `"Sdkappid"`, `"SDKAppID"`, 1):                 {90001, 90001},
			taskBody(`"Type":"All"`, `"SchedAt":"`+at+`"`):                                     {90104, 90104},
			taskBody(`"Type":"All"`, `"SchedAt":"`+at+`"`, `"Content":[]`):                     {90104, 90104},
			``: {60003, 60003}, `[]`: {90001, 90001},
		} {
			a, b := f.task("add_sched_task", body), lax.task("add_sched_task", body)
			assert.Equal(t, want, [2]int{a.ErrorCode, b.ErrorCode}, body)
			if a.ErrorCode != 0 {
				require.NotNil(t, a.TaskID, "it is there and 0")
				assert.Zero(t, *a.TaskID)
			}
		}
	})
}

func TestTaskChangesAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, timpushtest.WithQuota(0))
		id := f.add(newTask("All", "2000-01-02 00:00:00"))
		of := func(id int64, fields ...string) string {
			return taskBody(append(fields, fmt.Sprintf(`"TaskID":%d`, id))...)
		}
		for _, command := range []string{"modify_sched_task", "delete_sched_task"} {
			assert.Equal(t, 90104, f.task(command, of(id, `"Type":"User"`)).ErrorCode, "another type")
			assert.Equal(t, 90104, f.task(command, of(id)).ErrorCode, "no type")
			assert.Equal(t, 90104, f.task(command, of(id+1, `"Type":"All"`)).ErrorCode, "no such task")
			assert.Equal(t, 90104, f.task(command, taskBody(`"Type":"All"`, `"TaskID":"x"`)).ErrorCode)
			f.Inject(timpushtest.ErrorCode(91000))
			assert.Equal(t, 91000, f.task(command, of(id, `"Type":"All"`)).ErrorCode)
		}
		assert.Equal(t, 90104, f.task("modify_sched_task", of(id, `"Type":"All"`, `"SchedAt":"1999-01-01 00:00:00"`)).ErrorCode)
		assert.Equal(t, 90104, f.task("get_sched_task", of(id+1)).ErrorCode)
		assert.Equal(t, 90104, f.task("get_sched_task", taskBody()).ErrorCode)
		second := f.add(newTask("All", "2000-01-02 00:00:00"))
		assert.Equal(t, second, *f.task("delete_sched_task", of(second, `"Type":"All"`)).TaskID)
		assert.Equal(t, 90104, f.task("get_sched_task", of(second)).ErrorCode, "it is gone")
		require.Equal(t, 1, f.RunTasks(time.Now().Add(time.Hour*24)))
		for _, command := range []string{"modify_sched_task", "delete_sched_task"} {
			a := f.task(command, of(id, `"Type":"All"`))
			assert.Equal(t, 90107, a.ErrorCode, "not pending any more")
			assert.Zero(t, *a.TaskID)
		}
		f.Inject(timpushtest.ErrorCode(91000), timpushtest.CutAfter())
		assert.Equal(t, 91000, f.task("add_sched_task", newTask("All", "2000-01-02 00:00:00")).ErrorCode)
		before := len(f.Calls())
		_, _ = f.broken(goodCall("add_sched_task", newTask("All", "2000-01-02 00:00:00")))
		tries := len(f.Calls()) - before // net/http may have sent it twice
		assert.Equal(t, 1+tries, f.list().Total, "what was cut was carried out")
	})
}

// list asks for all tasks.
func (f fixture) list(fields ...string) taskAnswer {
	f.Helper()
	return f.task("list_sched_task", taskBody(append([]string{
		`"Offset":0`, `"Want":100`, `"OrderBy":"schedAt"`, `"Asc":true`, `"BeginTime":"1999-01-01 00:00:00"`, `"EndTime":"2001-01-01 00:00:00"`,
	}, fields...)...))
}

func TestTaskList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, timpushtest.WithQuota(0))
		for i, day := range []int{5, 3, 4} {
			f.add(newTask("All", fmt.Sprintf("2000-01-%02d 00:00:00", day), fmt.Sprintf(`"OfflinePushInfo":{"Title":"day %d","Desc":"number %d"}`, day, i)))
			time.Sleep(time.Hour)
		}
		titles := func(a taskAnswer) (list []string) {
			assert.Equal(t, 0, a.ErrorCode)
			for _, t := range a.Tasks {
				list = append(list, t.Title)
			}
			return list
		}
		for fields, want := range map[string]string{
			``:                                  "day 3,day 4,day 5",
			`"Asc":false`:                       "day 5,day 4,day 3",
			`"OrderBy":"createat"`:              "day 5,day 3,day 4",
			`"OrderBy":"createAt","Asc":false`:  "day 4,day 3,day 5",
			`"Offset":1,"Want":1`:               "day 4",
			`"Offset":3`:                        "",
			`"Keyword":"number 2"`:              "day 4",
			`"Keyword":"x"`:                     "",
			`"BeginTime":"2000-01-04 00:00:00"`: "day 4,day 5",
			`"EndTime":"2000-01-03 12:00:00"`:   "day 3",
			`"OrderBy":"createAt","BeginTime":"2000-01-01 01:00:00"`: "day 3,day 4",
		} {
			assert.Equal(t, want, strings.Join(titles(f.list(fields)), ","), fields)
		}
		assert.Equal(t, 3, f.list(`"Want":1`).Total)
		assert.Equal(t, 1, f.list(`"Keyword":"day 5"`).Total)
		for _, fields := range []string{
			`"Offset":-1`, `"Offset":"0"`, `"Want":0`, `"Want":null`, `"OrderBy":"id"`, `"OrderBy":1`, `"Asc":1`, `"Asc":"absent"`,
			`"BeginTime":"absent"`, `"EndTime":"1998-01-01 00:00:00"`, `"EndTime":0`, `"Keyword":1`, `"Sdkappid":1`,
		} {
			assert.Equal(t, 90104, f.list(fields).ErrorCode, fields)
		}
		assert.Equal(t, 90001, f.list(`"X":1`).ErrorCode)
	})
}

func TestTaskVariants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, timpushtest.WithQuota(0), with(variant{TaskPageSize: 2, TaskSenderNumber: true, EmptyFieldsAbsent: true}))
		for range 3 {
			f.add(newTask("All", "2000-01-02 00:00:00"))
		}
		a := f.list()
		assert.Len(t, a.Tasks, 2)
		assert.Equal(t, 3, a.Total)
		assert.InDelta(t, 12345, a.Tasks[0].Content["From_Account"], 0)
		assert.NotContains(t, f.call("list_sched_task", taskBody(`"Offset":9`, `"Want":1`, `"OrderBy":"schedat"`, `"Asc":true`,
			`"BeginTime":"1999-01-01 00:00:00"`, `"EndTime":"2001-01-01 00:00:00"`)).Raw, "Tasks")
		f = start(t, with(variant{QuotedNumbers: true}))
		assert.Regexp(t, `"TaskID":"\d+"`, f.call("add_sched_task", newTask("All", "2000-01-02 00:00:00")).Raw)
	})
}

func TestTaskQuotas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for free, want := range map[bool]int{false: 10, true: 11} {
			f := start(t, timpushtest.WithPlan(timpushtest.PlanFree), with(variant{TasksFree: free}))
			var last int64
			for range 11 {
				last = f.add(newTask("All", "2000-02-01 00:00:00"))
				time.Sleep(time.Second)
			}
			for range 5 {
				assert.Equal(t, 0, f.task("get_sched_task", taskBody(fmt.Sprintf(`"TaskID":%d`, last))).ErrorCode)
			}
			assert.Equal(t, 60007, f.task("get_sched_task", taskBody()).ErrorCode, "five a second")
			assert.Equal(t, want, f.RunTasks(time.Date(2000, 2, 1, 0, 0, 0, 0, time.UTC)))
			time.Sleep(time.Second)
			info := f.info(last)
			assert.Equal(t, free, info.DispatchErr == "")
			assert.Equal(t, free, info.PushTaskID != "")
		}
	})
}

func TestTaskToUnknownAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, timpushtest.WithKnownAccounts("a"))
		f.add(newTask("User", "2000-01-02 00:00:00", `"To_Account":["b","a"]`))
		f.RunTasks(time.Now().Add(48 * time.Hour))
		assert.Equal(t, []string{"a"}, f.Pushes()[0].Accounts)
	})
}

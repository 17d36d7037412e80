package timpush

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxAccountsPerTask = 500
	tasksPerPage       = 50 // by default; the largest is not documented

	// maxTaskPage bounds the answer with a page of tasks, in bytes. A task to 500 RegistrationIDs takes 20 KB, and up to 10 KB more for
	// its notification, or three times that where the server escapes it.
	maxTaskPage = 8 << 20
)

// TaskType is the kind of audience of a scheduled push. Types other than those below are sent as they are.
type TaskType string

// The documented types.
const (
	TaskAll  TaskType = "All"
	TaskTag  TaskType = "Tag" // an Audience with conditions, on tags or on attributes
	TaskUser TaskType = "User"
)

// TaskContent is a push that is sent later, to an Audience or to accounts: one of them must be set. An account that comes
// twice is sent once. Push.MsgRandom must be 0.
type TaskContent struct {
	To       Audience // or
	Accounts []string // 1 to 500
	Push     Push
}

// Schedule is a push and when to send it.
type Schedule struct {
	At time.Time // sent in UTC, in whole seconds; in the past it is an *InputError. How far ahead is not documented
	TaskContent
}

// TaskChange says what to change of a task that has not been sent.
type TaskChange struct {
	Type    TaskType     // of the task; it cannot be changed
	At      time.Time    // zero: keep
	Content *TaskContent // nil: keep
}

// Task is a scheduled push as the service has it. What the service did not send is zero.
type Task struct {
	TaskID          int64
	SDKAppID        int `json:"Sdkappid"`
	CreateAt        time.Time
	Type            TaskType
	SchedAt         time.Time   // when it is, or was, to be sent
	Content         TaskContent // as far as it could be read
	Title, Desc     string
	Status          string // such as "pending": the words are not all documented
	DispatchSuccess int
	DispatchErr     string
	PushTaskID      string // the TaskID of the push, for Revoke and statistics; "" before it was sent
}

// TaskQuery says which tasks to list. BeginTime and EndTime are required.
type TaskQuery struct {
	BeginTime time.Time // in whole seconds, as EndTime
	EndTime   time.Time // not before BeginTime; the longest span is not documented
	OrderBy   string    // "createAt", which "" means, or "schedAt"; editions of the documentation differ in the case
	Asc       bool
	Keyword   string // "": any
	Offset    int    // how many tasks to skip
	Want      int    // tasks of one request; 0: 50
}

var (
	addTask = command{path: "v4/timpush/add_sched_task", quota: QuotaTasks, read: readAs(decodeTaskID)}

	// A change may be made again; the service may refuse it once the push has been sent.
	modifyTask = command{path: "v4/timpush/modify_sched_task", quota: QuotaTasks, repeatable: true, refusesRepeats: true}
	deleteTask = command{path: "v4/timpush/delete_sched_task", quota: QuotaTasks, repeatable: true, refusesRepeats: true, impersonal: true}
	getTask    = command{path: "v4/timpush/get_sched_task", quota: QuotaTasks, repeatable: true, read: readAs(decodeTask)}
	listTasks  = command{path: "v4/timpush/list_sched_task", quota: QuotaTasks, repeatable: true, read: readAs(decodeTaskPage), maxAnswer: maxTaskPage}
)

// AddTask schedules a push and returns the number of the task, or 0 if the service does not say.
//
// The error is nil if the service took the task; an [*InputErrors] if the input is not valid, a time in the past for example,
// and nothing was sent; or a [*CallError] with the outcome. AddTask is never repeated after an answer was lost, since that
// could schedule the push twice: [Client.Tasks] finds out about one that is Unknown. Whether a scheduled push counts towards
// the pushes of a day is not documented.
//
// API: tencentcloud.com/document/product/1047/78839.
func (c *Client) AddTask(ctx context.Context, s Schedule) (id int64, err error) {
	return askIfValid[int64](ctx, c.engine, &addTask, s.faults(time.Now()), s.request(c.sdkAppID, c.identity))
}

// ModifyTask changes when a task is sent, or what, while it is pending. Its type must be that of the task. The error is as that of
// [Client.AddTask]; [ErrTaskState] after a lost answer is Unknown, since the push may have been sent in the meantime.
//
// API: tencentcloud.com/document/product/1047/78840.
func (c *Client) ModifyTask(ctx context.Context, id int64, change TaskChange) error {
	_, err := askIfValid[any](ctx, c.engine, &modifyTask, change.faults(id, time.Now()), change.request(c.sdkAppID, c.identity, id))
	return err
}

// DeleteTask deletes a task that is pending. The error is as that of [Client.ModifyTask].
//
// API: tencentcloud.com/document/product/1047/78841.
func (c *Client) DeleteTask(ctx context.Context, id int64, t TaskType) error {
	_, err := askIfValid[any](ctx, c.engine, &deleteTask, taskFaults(id, t), taskRequest{SDKAppID: c.sdkAppID, TaskID: id, Type: t})
	return err
}

// Task reads a task. The error is an [*InputErrors] or a [*CallError].
//
// API: tencentcloud.com/document/product/1047/78842.
func (c *Client) Task(ctx context.Context, id int64) (*Task, error) {
	return askIfValid[*Task](ctx, c.engine, &getTask, taskFaults(id, TaskAll), taskRequest{SDKAppID: c.sdkAppID, TaskID: id})
}

// Tasks lists tasks, with as many requests as it takes. An error, an [*InputErrors] or a [*CallError], ends the sequence; the task
// with it is nil. A task that is added or deleted in the meantime may make another come twice, or not at all.
//
// API: tencentcloud.com/document/product/1047/78843.
func (c *Client) Tasks(ctx context.Context, q TaskQuery) iter.Seq2[*Task, error] {
	return func(yield func(*Task, error) bool) {
		first := int64(-2) // of the page before; -1 is one that the service did not send
		for offset := q.Offset; ; {
			page, err := askIfValid[taskPage](ctx, c.engine, &listTasks, q.faults(), q.request(c.sdkAppID, offset))
			if err != nil {
				yield(nil, err)
				return
			}
			if len(page.tasks) > 0 && page.tasks[0].TaskID == first && (page.total == 0 || len(page.tasks) > 1 && first > 0) {
				return // the service does not look at the offset; one task alone may have moved since another was added
			}
			for _, task := range page.tasks {
				if !yield(task, nil) {
					return
				}
			}
			offset += len(page.tasks)
			if len(page.tasks) == 0 || page.total > 0 && offset >= page.total {
				return
			}
			first = page.tasks[0].TaskID
		}
	}
}

// taskPage is the answer to one request for tasks.
type taskPage struct {
	tasks []*Task
	total int // 0 if the answer does not say
}

// taskType returns the type of a task with this content.
func (c *TaskContent) taskType() TaskType {
	switch {
	case c.Accounts != nil:
		return TaskUser
	case c.To.Everybody:
		return TaskAll
	}
	return TaskTag
}

// faults returns the faults of the content, which is in the given field of the input, or is the input.
func (c *TaskContent) faults(field string) []*InputError {
	f := faultList{field: field}
	to := c.To.faults(f.at(".To"))
	switch n := len(c.Accounts); {
	case c.Accounts == nil:
		f.faults = append(f.faults, to...)
	case !c.To.isZero():
		f.add(".To", "is set beside Accounts, want one of them")
	case n == 0:
		f.add(".Accounts", "is empty but not nil, want accounts, or nil and To")
	case n > maxAccountsPerTask:
		f.add(".Accounts", "has %d accounts, at most %d are allowed", n, maxAccountsPerTask)
	}
	for i, account := range c.Accounts {
		f.addAccount(fmt.Sprintf(".Accounts[%d]", i), account)
	}
	f.faults = append(f.faults, c.Push.faults(f.at(".Push"))...)
	f.addMsgRandom(".Push.MsgRandom", c.Push.MsgRandom)
	return f.faults
}

func (f *faultList) addMsgRandom(part string, random uint32) {
	if random != 0 {
		f.add(part, "is set, but each request has its own")
	}
}

// addTime adds that a task cannot be sent then.
func (f *faultList) addTime(part string, at, now time.Time) {
	switch {
	case at.IsZero():
		f.add(part, "is not set")
	case at.Round(0).Before(now): // by the wall clock, as it is sent: the monotonic one stands still while a machine sleeps
		f.add(part, "is in the past")
	case at.UTC().Year() > 9999:
		f.add(part, "is after the year 9999")
	}
}

func (s *Schedule) faults(now time.Time) []*InputError {
	var f faultList
	f.addTime("At", s.At, now)
	return append(f.faults, s.TaskContent.faults("")...)
}

func (c *TaskChange) faults(id int64, now time.Time) []*InputError {
	f := faultList{faults: taskFaults(id, c.Type)}
	if c.At.IsZero() && c.Content == nil {
		f.add("At", "is not set, and neither is Content: there is nothing to change")
	}
	if !c.At.IsZero() {
		f.addTime("At", c.At, now)
	}
	if c.Content == nil {
		return f.faults
	}
	known := c.Type == TaskAll || c.Type == TaskTag || c.Type == TaskUser
	if got := c.Content.taskType(); known && got != c.Type {
		f.add("Content", "is of type %s, which cannot become another than the task's", got)
	}
	return append(f.faults, c.Content.faults("Content")...)
}

// taskFaults returns what is wrong with what names a task.
func taskFaults(id int64, t TaskType) []*InputError {
	var f faultList
	if id <= 0 {
		f.add("id", "is %d, want that of a task", id)
	}
	switch {
	case t == "":
		f.add("Type", "is empty, want that of the task")
	case !utf8.ValidString(string(t)):
		f.add("Type", notUTF8)
	}
	return f.faults
}

func (q *TaskQuery) faults() []*InputError {
	var f faultList
	if q.BeginTime.IsZero() {
		f.add("BeginTime", "is not set")
	}
	switch {
	case q.EndTime.IsZero():
		f.add("EndTime", "is not set")
	case q.EndTime.Before(q.BeginTime):
		f.add("EndTime", "is before BeginTime")
	case q.BeginTime.UTC().Year() < 0 || q.EndTime.UTC().Year() > 9999:
		f.add("EndTime", "is after the year 9999, or BeginTime before the year 0")
	}
	if !utf8.ValidString(q.OrderBy) {
		f.add("OrderBy", notUTF8)
	}
	if !utf8.ValidString(q.Keyword) {
		f.add("Keyword", notUTF8)
	}
	if q.Offset < 0 {
		f.add("Offset", "is %d, want 0 or more", q.Offset)
	}
	if q.Want < 0 {
		f.add("Want", "is %d, want 0 or more", q.Want)
	}
	return f.faults
}

// taskRequest is the body of the requests about one task.
type taskRequest struct {
	SDKAppID int          `json:"Sdkappid"`
	TaskID   int64        `json:",omitzero"`
	Type     TaskType     `json:",omitzero"`
	SchedAt  string       `json:",omitzero"`
	Content  *pushRequest `json:",omitzero"`
}

// utc returns a time as the requests about tasks have it, in whole seconds, or "" for the zero time.
func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

// request returns the Content of a request. from is the default sender.
func (c *TaskContent) request(from string) *pushRequest {
	r := c.Push.request(from)
	if c.Accounts == nil {
		r.Condition = c.To.condition()
		return &r
	}
	r.ToAccount = distinct(c.Accounts)
	return &r
}

func (s *Schedule) request(app int, from string) taskRequest {
	return taskRequest{SDKAppID: app, Type: s.taskType(), SchedAt: utc(s.At), Content: s.TaskContent.request(from)}
}

func (c *TaskChange) request(app int, from string, id int64) taskRequest {
	r := taskRequest{SDKAppID: app, TaskID: id, Type: c.Type, SchedAt: utc(c.At)}
	if c.Content != nil {
		r.Content = c.Content.request(from)
	}
	return r
}

// taskPageRequest is the body of a request for tasks.
type taskPageRequest struct {
	SDKAppID           int `json:"Sdkappid"`
	Offset, Want       int
	OrderBy            string
	Asc                bool
	BeginTime, EndTime string
	Keyword            string `json:",omitzero"`
}

func (q *TaskQuery) request(app, offset int) taskPageRequest {
	return taskPageRequest{
		app, offset, cmp.Or(q.Want, tasksPerPage), cmp.Or(q.OrderBy, "createAt"), q.Asc, utc(q.BeginTime), utc(q.EndTime), q.Keyword,
	}
}

// decodeTaskID returns the ID of an answer, or 0 if it has none.
func decodeTaskID(answer jsontext.Value) (int64, error) {
	var wire struct{ TaskID int64 }
	_ = unmarshalLoose(answer, &wire) // the task was taken, also where its number cannot be read
	return max(wire.TaskID, 0), nil
}

// decodeTask returns the task of an answer.
func decodeTask(answer jsontext.Value) (*Task, error) {
	var wire struct{ TaskInfo jsontext.Value }
	if err := unmarshalLoose(answer, &wire); err != nil {
		return nil, err
	}
	tasks, err := readTasks(wire.TaskInfo)
	if err != nil {
		return nil, err
	}
	if len(tasks) == 0 {
		return nil, errors.New("the answer has no task")
	}
	return tasks[0], nil
}

func decodeTaskPage(answer jsontext.Value) (taskPage, error) {
	var wire struct {
		Total int
		Tasks jsontext.Value
	}
	if err := unmarshalLoose(answer, &wire); err != nil {
		return taskPage{}, err
	}
	tasks, err := readTasks(wire.Tasks)
	return taskPage{tasks, max(wire.Total, 0)}, err
}

// wireTask is a task whose content has not been read.
type wireTask struct {
	Task
	Content jsontext.Value
}

func readTasks(from jsontext.Value) (tasks []*Task, err error) {
	list, err := readList[wireTask](from)
	for _, wire := range list {
		wire.Task.Content = readContent(wire.Content)
		if wire.Type != "" && !strings.EqualFold(string(wire.Type), string(TaskAll)) {
			wire.Task.Content.To.Everybody = false // its accounts or conditions are not in the answer
		}
		tasks = append(tasks, &wire.Task)
	}
	return tasks, err
}

// readContent reads the Content of a task: the body of a push, or a text that holds it. What cannot be read is left out. To
// is everybody only if the content certainly has no condition: a caller may send it back.
func readContent(from jsontext.Value) TaskContent {
	if from.Kind() == jsontext.KindString {
		var text string
		_ = unmarshalLoose(from, &text)
		from = jsontext.Value(text)
	}
	var wire struct {
		From            string         `json:"From_Account"`
		ToAccount       jsontext.Value `json:"To_Account"`
		MsgRandom       jsontext.Value
		Condition       jsontext.Value
		OfflinePushInfo offlinePushInfo
		DataID          string `json:"DataId"`
		Extra           Extra  `json:",embed"`
	}
	var accounts []string
	err := unmarshalLoose(from, &wire)
	if wire.ToAccount != nil {
		err = errors.Join(err, unmarshalLoose(wire.ToAccount, &accounts))
	}
	to := readAudience(wire.Condition)
	to.Everybody = err == nil && from.Kind() == jsontext.KindBeginObject && wire.Condition == nil && wire.ToAccount == nil
	push := Push{From: wire.From, Notification: wire.OfflinePushInfo.notification(), DataID: wire.DataID, Extra: wire.Extra}
	return TaskContent{To: to, Accounts: accounts, Push: push}
}

// readAudience returns the zero Audience for a condition that cannot be read as a whole.
func readAudience(from jsontext.Value) Audience {
	var c condition
	if json.Unmarshal(from, &c, json.RejectUnknownMembers(true)) != nil {
		return Audience{}
	}
	return Audience{TagsAnd: c.TagsAnd, TagsOr: c.TagsOr, TagsNot: c.TagsNot, AttrsAnd: c.AttrsAnd, AttrsOr: c.AttrsOr}
}

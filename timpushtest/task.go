package timpushtest

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// The commands of scheduled pushes are on pages 78839 to 78843 of tencentcloud.com/document/product/1047.

// The types of a scheduled push.
const (
	taskAll  = "All"
	taskTag  = "Tag"
	taskUser = "User"
)

// The states of a scheduled push. The pages show the first; the others are inventions of the fake.
const (
	taskPending    = "pending"
	taskDispatched = "dispatched"
	taskFailed     = "failed"
)

// Task is a scheduled push as the fake has it.
type Task struct {
	ID      int64
	Type    string    // "All", "Tag" or "User"
	Created time.Time // in UTC, as At
	At      time.Time // when it is, or was, to be sent
	Title   string    // of the notification; "" if it has none
	State   string    // "pending", "dispatched" or "failed"
	Fault   string    // why it failed
	Content []byte    // of the request, as sent; must not be changed
	TaskID  string    // of the [Push] that it became; "" if it was not sent
}

// task is a Task and what a client does not see of it.
type task struct {
	Task
	desc string
	push pushRecord // as it will go out, without its accounts
	to   audience   // of other types than taskUser
}

// Tasks returns the scheduled pushes, in the order in which they were added, without those that were deleted.
func (s *Server) Tasks() []Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	tasks := make([]Task, len(s.tasks))
	for i, t := range s.tasks {
		tasks[i] = t.Task
	}
	return tasks
}

// findTask runs under the lock.
func (s *Server) findTask(id int64) (*task, *refusal) {
	for _, t := range s.tasks {
		if t.ID == id {
			return t, nil
		}
	}
	return nil, badTask("there is no task %d", id)
}

func badTask(format string, args ...any) *refusal { return refuse(codeBadTask, format, args...) }

// readTaskFields reads the body and checks Sdkappid, which all commands of tasks have.
func (j job) readTaskFields() (object, *refusal) {
	fields, bad := j.readObject()
	if bad != nil {
		return nil, bad
	}
	if id, ok := readInt(fields["Sdkappid"]); !ok || id != int64(j.settings.sdkAppID) {
		return nil, badTask("Sdkappid is not the integer in the query")
	}
	return fields, nil
}

// readTime reads a time as these commands write it, in UTC.
func readTime(fields object, name string) (time.Time, *refusal) {
	text, _ := readText(fields[name])
	at, err := time.Parse(time.DateTime, text)
	if err != nil {
		return at, badTask("%s is not of the form YYYY-MM-DD HH:MM:SS", name)
	}
	return at, nil
}

// readSchedule reads SchedAt.
func (j job) readSchedule(fields object, t *task) (bad *refusal) {
	t.At, bad = readTime(fields, "SchedAt")
	if bad == nil && t.At.Before(time.Now().Truncate(time.Second)) && !j.settings.PastTasksAccepted {
		bad = badTask("SchedAt is in the past")
	}
	return bad
}

// readContent reads Content: the body of push for the types All and Tag, and that of batch for the type User.
func (j job) readContent(raw json.RawMessage, t *task) *refusal {
	bad := j.checkTaskContent(raw, t)
	if bad != nil && !j.settings.TaskPushCodes {
		bad.code = codeBadTask
	}
	return bad
}

func (j job) checkTaskContent(raw json.RawMessage, t *task) (bad *refusal) {
	var fields object
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		return badTask("Content is missing or not an object")
	}
	documented := pushFields
	if t.Type == taskUser {
		documented = batchFields
	}
	if bad := j.settings.checkFields(fields, documented...); bad != nil {
		return bad
	}
	if len(raw) > maxPushBytes && t.Type != taskUser {
		return refuse(codePushTooLong, "Content has more than %d bytes", maxPushBytes)
	}
	if fields["MsgRandom"] == nil {
		fields["MsgRandom"] = json.RawMessage("0") // the samples leave it out
	}
	if t.push, bad = j.readPush(fields, codeBadMsgRandom); bad != nil {
		return bad
	}
	t.push.Body, t.Content = raw, raw
	t.Title, t.desc = titleOf(fields["OfflinePushInfo"])
	return j.readTaskAudience(fields, t)
}

func titleOf(info json.RawMessage) (title, desc string) {
	var fields object
	_ = json.Unmarshal(info, &fields) // checked; absent beside MsgBody
	title, _ = readText(fields["Title"])
	desc, _ = readText(fields["Desc"])
	return title, desc
}

func (j job) readTaskAudience(fields object, t *task) (bad *refusal) {
	if t.Type == taskUser {
		t.push.Kind = PushBatch
		if bad = checkSender(fields); bad == nil {
			t.push.Accounts, bad = j.readRecipients(fields)
		}
		return bad
	}
	t.to, bad = j.readAudience(fields["Condition"])
	t.push.Kind = t.to.kind()
	switch {
	case bad != nil:
		return bad
	case (fields["Condition"] == nil) != (t.Type == taskAll):
		return badTask("Condition does not belong to the type %s, or is missing", t.Type)
	case t.push.Kind == PushAttr && j.settings.TaskAttrsRefused:
		return badTask("Condition has attributes")
	}
	return nil
}

// readRecipients reads To_Account of the type User.
func (j job) readRecipients(fields object) (accounts []string, bad *refusal) {
	var list []json.RawMessage
	if json.Unmarshal(fields["To_Account"], &list) != nil || len(list) == 0 || len(list) > maxRecipients {
		return nil, badTask("To_Account does not have 1 to %d accounts", maxRecipients)
	}
	for _, raw := range list {
		account, _ := readText(raw)
		if account == "" {
			return nil, badTask("an element of To_Account is empty or not a string")
		}
		accounts = append(accounts, account)
	}
	return accounts, nil
}

// addTask is v4/timpush/add_sched_task.
func (j job) addTask() reply {
	t, bad := j.readTask()
	if bad != nil {
		return bad.reply()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refuses() {
		return injected(j.fault).reply()
	}
	j.Server.lastTask++
	t.ID, t.Created, t.State = firstTask+j.Server.lastTask, time.Now().UTC(), taskPending
	j.Server.tasks = append(j.Server.tasks, t)
	return j.taskReply(t.ID)
}

// firstTask makes the first id one that does not fit into 32 bits.
const firstTask = 1 << 32

func (j job) readTask() (*task, *refusal) {
	fields, bad := j.readTaskFields()
	if bad != nil {
		return nil, bad
	}
	t := &task{}
	if t.Type, bad = readTaskType(fields); bad == nil {
		bad = j.readSchedule(fields, t)
	}
	if bad == nil {
		bad = j.readContent(fields["Content"], t)
	}
	return t, bad
}

func readTaskType(fields object) (string, *refusal) {
	kind, _ := readText(fields["Type"])
	if !slices.Contains([]string{taskAll, taskTag, taskUser}, kind) {
		return "", badTask("Type is not All, Tag or User")
	}
	return kind, nil
}

// taskReply is the answer of the commands that change a task.
func (j job) taskReply(id int64) reply {
	return reply{fields: map[string]any{"TaskID": j.settings.number(int(id))}}
}

// readPending reads which task is to be changed, and whether it can be. The caller holds the lock.
func (j job) readPending(fields object) (*task, *refusal) {
	id, ok := readInt(fields["TaskID"])
	if !ok {
		return nil, badTask("TaskID is not an integer")
	}
	kind, bad := readTaskType(fields)
	if bad != nil {
		return nil, bad
	}
	t, bad := j.findTask(id)
	switch {
	case bad != nil:
		return nil, bad
	case t.Type != kind:
		return nil, badTask("the task is not of the type %s", kind)
	case t.State != taskPending:
		return nil, refuse(codeTaskState, "the task is %s", t.State)
	case j.refuses():
		return nil, injected(j.fault)
	}
	return t, nil
}

// modifyTask is v4/timpush/modify_sched_task.
func (j job) modifyTask() reply {
	changed := &task{}
	return j.changeTask(func(fields object) (bad *refusal) {
		if changed.Type, bad = readTaskType(fields); bad == nil && fields["SchedAt"] != nil {
			bad = j.readSchedule(fields, changed)
		}
		if bad == nil && fields["Content"] != nil {
			bad = j.readContent(fields["Content"], changed)
		}
		return bad
	}, func(t *task) {
		if !changed.At.IsZero() {
			t.At = changed.At
		}
		if changed.Content != nil {
			t.Content, t.push, t.to, t.Title, t.desc = changed.Content, changed.push, changed.to, changed.Title, changed.desc
		}
	})
}

// deleteTask is v4/timpush/delete_sched_task.
func (j job) deleteTask() reply {
	return j.changeTask(func(object) *refusal { return nil }, func(t *task) {
		j.Server.tasks = slices.DeleteFunc(j.Server.tasks, func(other *task) bool { return other == t })
	})
}

// changeTask is a command that changes a task. Read reads the change before the task is looked for; change makes it, under the lock.
func (j job) changeTask(read func(fields object) *refusal, change func(*task)) reply {
	fields, bad := j.readTaskFields()
	if bad == nil {
		bad = read(fields)
	}
	if bad != nil {
		return bad.reply()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	t, bad := j.readPending(fields)
	if bad != nil {
		return bad.reply()
	}
	change(t)
	return j.taskReply(t.ID)
}

// getTask is v4/timpush/get_sched_task.
func (j job) getTask() reply {
	fields, bad := j.readTaskFields()
	if bad != nil {
		return bad.reply()
	}
	id, ok := readInt(fields["TaskID"])
	if !ok {
		return badTask("TaskID is not an integer").reply()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	t, bad := j.findTask(id)
	if bad != nil {
		return bad.reply()
	}
	return reply{fields: map[string]any{"TaskInfo": j.taskInfo(t)}}
}

// taskInfo shows a task. A sample of page 78842 has a number for the sender.
func (j job) taskInfo(t *task) map[string]any {
	var content map[string]any
	must(json.Unmarshal(t.Content, &content))
	if _, ok := content["From_Account"]; ok && j.settings.TaskSenderNumber {
		content["From_Account"] = 12345
	}
	number, success := j.settings.number, 0
	if t.State == taskDispatched {
		success = 1
	}
	return map[string]any{
		"TaskID": number(int(t.ID)), "Sdkappid": number(j.settings.sdkAppID), "CreateAt": t.Created.Format(time.DateTime),
		"Type": t.Type, "SchedAt": t.At.Format(time.DateTime), "Content": content, "Title": t.Title, "Desc": t.desc,
		"Status": t.State, "DispatchSuccess": number(success), "DispatchErr": t.Fault, "PushTaskID": t.TaskID,
	}
}

// taskQuery is what list_sched_task asks for.
type taskQuery struct {
	offset, want int64
	byCreation   bool
	asc          bool
	begin, end   time.Time
	keyword      string
}

func readTaskQuery(fields object) (q taskQuery, bad *refusal) {
	var ok bool
	if q.offset, ok = readInt(fields["Offset"]); !ok || q.offset < 0 {
		return q, badTask("Offset is not an integer from 0")
	}
	if q.want, ok = readInt(fields["Want"]); !ok || q.want <= 0 {
		return q, badTask("Want is not an integer above 0")
	}
	order, _ := readText(fields["OrderBy"])
	q.byCreation = strings.EqualFold(order, "createat")
	if !slices.Contains([]string{"createAt", "createat", "schedAt", "schedat"}, order) {
		return q, badTask("OrderBy is not createAt or schedAt")
	}
	q.asc = string(fields["Asc"]) == "true"
	if !q.asc && string(fields["Asc"]) != "false" {
		return q, badTask("Asc is not a boolean")
	}
	if q.begin, bad = readTime(fields, "BeginTime"); bad != nil {
		return q, bad
	}
	if q.end, bad = readTime(fields, "EndTime"); bad == nil && q.end.Before(q.begin) {
		bad = badTask("EndTime is before BeginTime")
	}
	if raw, there := fields["Keyword"]; there && bad == nil {
		if q.keyword, ok = readText(raw); !ok {
			bad = badTask("Keyword is not a string")
		}
	}
	return q, bad
}

// listTasks is v4/timpush/list_sched_task.
func (j job) listTasks() reply {
	fields, bad := j.readTaskFields()
	if bad != nil {
		return bad.reply()
	}
	q, bad := readTaskQuery(fields)
	if bad != nil {
		return bad.reply()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	found := q.find(j.Server.tasks)
	page := found[min(q.offset, int64(len(found))):]
	page = page[:min(q.want, int64(len(page)))]
	if most := j.settings.TaskPageSize; most > 0 {
		page = page[:min(most, len(page))]
	}
	infos := []any{}
	for _, t := range page {
		infos = append(infos, j.taskInfo(t))
	}
	rep := reply{fields: map[string]any{"Total": j.settings.number(len(found)), "Tasks": infos}}
	if len(infos) == 0 && j.settings.EmptyFieldsAbsent {
		delete(rep.fields, "Tasks")
	}
	return rep
}

// find returns the tasks that are asked for, in order. Those of one second are in the order of their ids.
func (q taskQuery) find(tasks []*task) (found []*task) {
	at := func(t *task) time.Time {
		if q.byCreation {
			return t.Created.Truncate(time.Second)
		}
		return t.At
	}
	for _, t := range tasks {
		named := strings.Contains(t.Title, q.keyword) || strings.Contains(t.desc, q.keyword)
		if named && !at(t).Before(q.begin) && !at(t).After(q.end) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b *task) int {
		order := cmp.Or(at(a).Compare(at(b)), cmp.Compare(a.ID, b.ID))
		if !q.asc {
			return -order
		}
		return order
	})
	return found
}

// RunTasks carries out the scheduled pushes that are due at now, in the order of their times, as if it were now, and
// returns how many went out. Each becomes a [Push]; its audience is matched now. The fake runs none by itself.
func (s *Server) RunTasks(now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := job{Server: s, names: s.names}
	due := slices.DeleteFunc(slices.Clone(s.tasks), func(t *task) bool { return t.State != taskPending || t.At.After(now) })
	slices.SortStableFunc(due, func(a, b *task) int { return a.At.Compare(b.At) })
	sent := 0
	for _, t := range due {
		if j.dispatch(t, now) {
			sent++
		}
	}
	return sent
}

// dispatch carries a task out, and reports false if the pushes of the day are used up. It runs under the lock.
func (j job) dispatch(t *task, now time.Time) bool {
	if t.Type != taskUser && !j.settings.TasksFree {
		if bad := j.checkDay(now); bad != nil {
			t.State, t.Fault = taskFailed, bad.info
			return false
		}
		j.pushedToday++
	}
	p := t.push
	p.Task, p.Time, p.TaskID = t.ID, now, newTaskID(p.Kind, now)
	if t.Type == taskUser {
		p.Accounts = slices.DeleteFunc(slices.Clone(p.Accounts), func(account string) bool { return !j.knowsNow(account) })
	} else {
		p.Accounts = j.members(t.to)
	}
	t.State, t.TaskID = taskDispatched, p.TaskID
	j.keep(&p)
	return true
}

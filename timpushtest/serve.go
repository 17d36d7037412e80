package timpushtest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// command is one endpoint: a new one is a new file and a line in one of the families below.
type command struct {
	run    func(job) reply
	noList bool           // its answers have no ErrorList
	noType bool           // it knows no types of accounts, and no AttrTypes
	fields []string       // what the body may have; nil: any fields
	onFail map[string]any // what its answers have beside the envelope when they fail

	recipients bool // its rate counts accounts, and it takes more of them
	rate       int  // calls a second; 0: those of WithQuota
	rateCode   int  // beyond the rate; 0: ThrottleCode

	// Of a command about listed accounts:
	field string // the array of the body with an entry for each account
	check func(j job, entry json.RawMessage) (change, *refusal)
	show  func(job, []change) map[string]any // what its answers have beside the envelope; nil for nothing
}

// commands has each command by its path. It is never changed.
var commands = allCommands()

func allCommands() map[string]command {
	all := map[string]command{}
	for _, family := range []map[string]command{attrCommands, pushCommands, taskCommands} {
		for name, cmd := range family {
			all["/v4/timpush/"+name] = cmd
		}
	}
	// The service had these before it had RegistrationIDs and ErrorList: tencentcloud.com/document/product/1047/37167 to 37171.
	for name, cmd := range attrCommands {
		cmd.noList, cmd.noType = true, true
		all["/v4/all_member_push/im_"+name] = cmd
	}
	return all
}

var attrCommands = map[string]command{
	"set_attr_name": {run: job.setAttrName, noList: true},
	"get_attr_name": {run: job.getAttrName, noList: true},
	"set_attr":      {run: job.perAccount, field: "UserAttrs", check: job.checkSetting},
	"get_attr":      {run: job.perAccount, field: "To_Account", check: job.checkReading, show: job.showAttrs},
	"remove_attr":   {run: job.perAccount, field: "UserAttrs", check: job.checkRemoval},
}

// pushCommands are those of tags and of pushes.
var pushCommands = map[string]command{
	"add_tag":        {run: job.addTag, field: "UserTags", check: job.checkTagging, fields: []string{"UserTags", "Replace"}},
	"get_tag":        {run: job.perAccount, field: "To_Account", check: job.checkReading, show: job.showTags, fields: []string{"To_Account"}},
	"remove_tag":     {run: job.perAccount, field: "UserTags", check: job.checkUntagging, fields: []string{"UserTags"}},
	"clear_all_tags": {run: job.perAccount, field: "To_Account", check: job.checkClearing, fields: []string{"To_Account"}},
	"push":           {run: job.push, noList: true, fields: pushFields, rate: 1, rateCode: codePushTooFast},
	"batch": {
		run: job.batch, field: "To_Account", check: job.checkListed,
		fields: batchFields, recipients: true, onFail: map[string]any{"TaskId": ""},
	},
	"revoke": {run: job.revoke, noList: true, fields: []string{"TaskId", "OfflinePushInfo"}, rate: 1, rateCode: codeRevokeTooFast},
}

// taskCommands are those of scheduled pushes, pages 78839 to 78843, and of statistics, pages 71893 to 71898 of
// tencentcloud.com/document/product/1047.
var taskCommands = map[string]command{
	"add_sched_task":    {run: job.addTask, noList: true, fields: taskFields, onFail: noTask, rate: 5},
	"modify_sched_task": {run: job.modifyTask, noList: true, fields: append(taskFields, "TaskID"), onFail: noTask, rate: 5},
	"delete_sched_task": {run: job.deleteTask, noList: true, fields: []string{"Sdkappid", "TaskID", "Type"}, onFail: noTask, rate: 5},
	"get_sched_task":    {run: job.getTask, noList: true, fields: []string{"Sdkappid", "TaskID"}, rate: 5},
	"list_sched_task": {run: job.listTasks, noList: true, rate: 5, fields: []string{
		"Sdkappid", "Offset", "Want", "OrderBy", "Asc", "BeginTime", "EndTime", "Keyword",
	}},

	"all_member_push_statistics": {run: job.pushStats, noList: true, fields: append(spanFields, "TaskID"), rate: 1},
	"all_member_push_loss":       {run: job.pushLoss, noList: true, fields: append(spanFields, "TaskID"), rate: 1},
	"all_member_push_trace":      {run: job.pushTrace, noList: true, fields: []string{"TaskID", "UserID"}, rate: 1},
	"normal_push_statistics":     {run: job.chatStats, noList: true, fields: spanFields, rate: 1},
	"normal_push_loss":           {run: job.chatLoss, noList: true, fields: spanFields, rate: 1},
	"normal_push_trace":          {run: job.chatTrace, noList: true, fields: []string{"PushID"}, rate: 1},
}

var (
	taskFields = []string{"Sdkappid", "Type", "SchedAt", "Content"}
	noTask     = map[string]any{"TaskID": 0}
	spanFields = []string{"StartTime", "EndTime"}
)

// job is a request that was admitted.
type job struct {
	*Server
	command
	body  []byte
	fault Fault
	names attrNames // when the work began

	replace bool // add_tag replaces the tags
}

func (s *Server) newJob(call Call, fault Fault) job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return job{Server: s, command: commands[call.Path], body: call.Body, fault: fault, names: s.names}
}

// ServeHTTP answers a request as the fake does on its own listener. So a fake can stand behind a listener of the caller's,
// or beside other pages; with [WithInMemory] it opens no port of its own:
//
//	fake := timpushtest.NewServer(timpushtest.WithInMemory())
//	defer fake.Close()
//	err := http.ListenAndServe("localhost:8080", fake)
//
// A fault that cuts the connection then closes it, which is no reset.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		panic(http.ErrAbortHandler)
	}
	defer s.handlers.Done()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	call, kept := s.record(r, body)
	defer s.notify(kept)
	bad := s.admit(r, call) // before anything that may take time
	fault := s.nextFault(call)
	if !s.wait(r.Context(), s.settings.latency()+fault.delay) {
		panic(http.ErrAbortHandler)
	}
	x := &exchange{Server: s, w: w, r: r, call: kept}
	if fault.beforeWork() {
		x.deliver(fault, reply{})
		return
	}
	if s.settings.HTTP405 && r.Method != http.MethodPost {
		x.methodNotAllowed()
		return
	}
	x.deliver(fault, s.work(call, fault, bad))
}

// begin reports false if the server is closed: HTTP/2 may start a handler after its connection ended.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed() {
		return false
	}
	s.handlers.Add(1)
	return true
}

// work carries a request out unless it was refused on arrival.
func (s *Server) work(call Call, fault Fault, bad *refusal) reply {
	if bad != nil {
		return bad.reply()
	}
	j := s.newJob(call, fault)
	rep := j.run(j)
	if fault.kind == faultCode && rep.code == 0 {
		rep = injected(fault).reply()
	}
	rep.noList, rep.onFail = j.noList, j.onFail
	return rep
}

func injected(f Fault) *refusal { return refuse(f.code, "injected fault") }

// wait sleeps, and reports false if the client left or the server closed first.
func (s *Server) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.done:
		return false
	}
}

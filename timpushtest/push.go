package timpushtest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	maxPushBytes    = 10 << 10         // page tencentcloud.com/document/product/1047/74196
	maxDataIDBytes  = 64               // page tencentcloud.com/document/product/1047/67553
	maxTaskName     = 20               // page trtc.io/document/80441
	maxRecipients   = 500              // of a batch, page tencentcloud.com/document/product/1047/67553
	maxMsgLifeTime  = 7 * 24 * 60 * 60 // seconds
	revokableFor    = 24 * time.Hour   // page tencentcloud.com/document/product/1047/60571
	defaultMsgDedup = time.Second      // page tencentcloud.com/document/product/1047/67553
)

// Push is a push as the fake carried it out.
type Push struct {
	TaskID   string
	Kind     PushKind
	Time     time.Time
	Accounts []string // that the audience matched then, sorted; of a batch those listed, in order, without those that failed
	Body     []byte   // of the request, as sent
	Revoked  bool
	Task     int64 // the scheduled push that it was; 0 for none

	Sent, Reached, Clicked int // how many of the accounts, see WithReach
}

// PushKind is whom a [Push] was for.
type PushKind string

// The kinds of a [Push].
const (
	PushAll   PushKind = "all"   // everybody
	PushTag   PushKind = "tag"   // a condition of tags
	PushAttr  PushKind = "attr"  // a condition of attributes
	PushBatch PushKind = "batch" // listed accounts
)

// pushRecord is a Push and what a client does not see of it.
type pushRecord struct {
	Push
	random int64
	dataID string
}

// Pushes returns the pushes that were carried out so far, the oldest first; with [WithKeptCalls], the last of them. A push
// is there once it has gone out, whatever became of the answer, and one that was refused is not. The slices of a Push are
// shared with other copies of it and must not be changed.
func (s *Server) Pushes() []Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	pushes := make([]Push, len(s.pushes))
	for i, p := range s.pushes {
		pushes[i] = p.Push
	}
	return pushes
}

// push is v4/timpush/push, pages 60561 and 67814 of tencentcloud.com/document/product/1047.
func (j job) push() reply {
	if len(j.body) > maxPushBytes {
		return refuse(codePushTooLong, "the body has more than %d bytes", maxPushBytes).reply()
	}
	fields, bad := j.readObject()
	if bad != nil {
		return bad.reply()
	}
	p, bad := j.readPush(fields, codeBadMsgRandom)
	if bad != nil {
		return bad.reply()
	}
	to, bad := j.readAudience(fields["Condition"])
	if bad != nil {
		return bad.reply()
	}
	p.Kind = to.kind()
	j.mu.Lock()
	defer j.mu.Unlock()
	bad = j.checkDay(time.Now())
	switch {
	case bad != nil:
		return bad.reply()
	case j.refuses():
		return injected(j.fault).reply()
	}
	p.Accounts = j.members(to)
	return j.send(p)
}

// batch is v4/timpush/batch, page tencentcloud.com/document/product/1047/67553.
func (j job) batch() reply {
	fields, bad := j.readObject()
	if bad != nil {
		return bad.reply()
	}
	p, bad := j.readPush(fields, codeBadRequest)
	if bad == nil {
		bad = checkSender(fields)
	}
	if bad != nil {
		return bad.reply()
	}
	p.Kind = PushBatch
	entries, bad := j.readEntries()
	if bad != nil {
		return bad.reply()
	}
	changes, bad := j.decide(entries)
	if bad != nil {
		return bad.reply()
	}
	rep := j.settings.outcome(changes)
	if rep.code != 0 {
		return rep
	}
	for _, c := range changes {
		if c.failure.code == 0 {
			p.Accounts = append(p.Accounts, c.account)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	sent := j.send(p)
	sent.list = rep.list
	return sent
}

// checkSender checks that the body of a batch has a sender.
func checkSender(fields object) *refusal {
	if fields["From_Account"] == nil {
		return refuse(codeBadRequest, "From_Account is missing")
	}
	return nil
}

// readPush reads the fields that push and batch share. randomCode is that of a wrong MsgRandom.
func (j job) readPush(fields object, randomCode int) (p pushRecord, bad *refusal) {
	p.Body = j.body
	if from, ok := fields["From_Account"]; ok || j.settings.FromAccountRequired {
		if name, _ := readText(from); name == "" {
			return p, refuse(codeBadRequest, "From_Account is missing, empty or not a string")
		}
	}
	var ok bool
	if p.random, ok = readInt(fields["MsgRandom"]); !ok || p.random < 0 || p.random > math.MaxUint32 {
		return p, refuse(randomCode, "Invalid format of MsgRandom") // the text of page 67553
	}
	if raw, ok := fields["DataId"]; ok {
		if p.dataID, ok = readText(raw); !ok {
			return p, refuse(codeBadRequest, "DataId is not a string")
		}
	}
	if len(p.dataID) > maxDataIDBytes {
		return p, refuse(codeDataIDTooLong, "DataId has more than %d bytes", maxDataIDBytes)
	}
	if raw, ok := fields["TaskName"]; ok && shortText(maxTaskName)(raw, false) != "" {
		return p, refuse(codeBadRequest, "TaskName %s", shortText(maxTaskName)(raw, false))
	}
	return p, j.checkContent(fields)
}

// checkContent checks what a push shows. A push has MsgBody in place of OfflinePushInfo, or both.
func (j job) checkContent(fields object) *refusal {
	set := j.settings
	if raw, ok := fields["MsgBody"]; ok {
		if bad := set.checkMsgBody(raw); bad != nil {
			return bad
		}
	}
	if raw, ok := fields["OnlineOnlyFlag"]; ok && integer(0, 1)(raw, false) != "" {
		return refuse(codeBadRequest, "OnlineOnlyFlag is not 0 or 1")
	}
	if raw, ok := fields["MsgLifeTime"]; ok && integer(0, maxMsgLifeTime)(raw, false) != "" {
		return refuse(codeBadLifeTime, "MsgLifeTime is not a number of seconds up to %d", maxMsgLifeTime)
	}
	if fields["MsgBody"] != nil && fields["OfflinePushInfo"] == nil {
		return nil
	}
	return set.checkOfflinePushInfo(fields["OfflinePushInfo"])
}

// send carries a push out, unless it is a duplicate. It runs under the lock.
func (j job) send(p pushRecord) reply {
	p.Time = time.Now()
	if first := j.duplicateOf(p); first != "" {
		return reply{fields: map[string]any{"TaskId": first}}
	}
	p.TaskID = newTaskID(p.Kind, p.Time)
	if p.Kind != PushBatch {
		j.pushedToday++
	}
	j.keep(&p)
	return reply{fields: map[string]any{"TaskId": p.TaskID}}
}

// keep records a push. It runs under the lock.
func (s *Server) keep(p *pushRecord) {
	for i, n := range []*int{&p.Sent, &p.Reached, &p.Clicked} {
		*n = (len(p.Accounts)*s.settings.reach[i] + 99) / 100
	}
	s.pushes = append(s.pushes, p)
	if most := s.settings.keptCalls; most > 0 && len(s.pushes) > most {
		s.pushes[0] = nil
		s.pushes = s.pushes[1:]
	}
}

// duplicateOf returns the task of an earlier push of the same command with the same MsgRandom, "" if there is none.
func (s *Server) duplicateOf(p pushRecord) string {
	window := cmp.Or(s.settings.MsgRandomWindow, defaultMsgDedup)
	for _, earlier := range slices.Backward(s.pushes) {
		if p.Time.Sub(earlier.Time) >= window {
			break
		}
		if earlier.Task == 0 && earlier.random == p.random && (earlier.Kind == PushBatch) == (p.Kind == PushBatch) {
			return earlier.TaskID
		}
	}
	return ""
}

// newTaskID makes a TaskId in the forms that the vendor's pages show.
func newTaskID(kind PushKind, now time.Time) string {
	id := fmt.Sprintf("%08x_%08x_2%014x_%08x_%06x", now.Unix(), rand.Uint32(), rand.Uint64N(1<<56), rand.Uint32(), rand.Uint32N(1<<24))
	if kind == PushBatch {
		return "batch_" + id
	}
	return id
}

// revoke is v4/timpush/revoke, page tencentcloud.com/document/product/1047/60571.
func (j job) revoke() reply {
	fields, bad := j.readObject()
	if bad != nil {
		return bad.reply()
	}
	id, _ := readText(fields["TaskId"])
	if id == "" {
		return refuse(codeBadRequest, "TaskId is missing, empty or not a string").reply()
	}
	if raw, ok := fields["OfflinePushInfo"]; ok {
		bad = j.settings.checkOfflinePushInfo(raw)
	} else if !j.settings.RevokeInfoOptional {
		bad = refuse(codeNothingToShow, "OfflinePushInfo is missing")
	}
	if bad != nil {
		return bad.reply()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	p, bad := j.findRevokable(id)
	switch {
	case bad != nil:
		return bad.reply()
	case j.refuses():
		return injected(j.fault).reply()
	}
	p.Revoked = true
	return reply{}
}

// findRevokable runs under the lock.
func (j job) findRevokable(id string) (*pushRecord, *refusal) {
	p := j.findPush(id)
	switch {
	case p == nil, p.Kind == PushBatch && j.settings.BatchIDsRefused:
		return nil, refuse(codeUnknownTask, "there is no such TaskId")
	case p.Revoked:
		return nil, refuse(codeAlreadyRevoked, "the push is revoked already")
	case time.Since(p.Time) > revokableFor:
		return nil, refuse(codeTooLateToRevoke, "the push is older than %v", revokableFor)
	}
	return p, nil
}

func (s *Server) findPush(id string) *pushRecord {
	for _, p := range s.pushes {
		if p.TaskID == id {
			return p
		}
	}
	return nil
}

var pushFields = []string{
	"From_Account", "MsgRandom", "OfflinePushInfo", "Condition", "MsgBody", "OnlineOnlyFlag", "MsgLifeTime", "DataId", "TaskName",
}

var batchFields = []string{"From_Account", "To_Account", "MsgRandom", "OfflinePushInfo", "DataId", "TaskName"}

package timpushtest

import (
	"encoding/json"
	"hash/fnv"
	"slices"
	"strconv"
	"time"
)

// The statistics are on pages 71893 to 71898 of tencentcloud.com/document/product/1047.
const (
	statsSpan   = 30 * 24 * time.Hour
	lossSpan    = 7 * 24 * time.Hour // also of traces
	maxTaskIDs  = 5
	statsInfo   = "suc" + "ess" // as the vendor's samples spell it, which a linter does not like
	offline     = 1             // EventType
	online      = 2
	stageSent   = 1 // PushStage
	stageGone   = 2 // it has reached the device
	stageClick  = 3
	notSentCode = -2
	notSentInfo = "token not uploaded"
	lostCode    = 410
	lostInfo    = "Unregistered"
)

// delivery is what became of a push, or of a chat message, on one device. Each account has one device here.
type delivery struct {
	id, account     string // id is the PushID of a chat message
	time            time.Time
	event, platform int
	stage           int // the last one reached; 0 if it was not sent
	code            int // why it went no further
	info            string
}

// WithReach sets to how many of its accounts a push is sent, how many it reaches, and how many click it, in per cent. The
// accounts of a [Push] count from the first one, and shares are rounded up. The statistics and [Server.PushEvents] follow
// from that. The default is 100, 100, 0.
func WithReach(sent, reached, clicked int) Option {
	return func(set *settings) { set.reach = [3]int{sent, min(reached, sent), min(clicked, reached, sent)} }
}

// deliveries yields what became of a push for each of its accounts. What it reads of the push does not change.
func (p *pushRecord) deliveries(yield func(delivery) bool) {
	event := offline
	var body struct{ OfflinePushInfo struct{ PushFlag int } }
	_ = json.Unmarshal(p.Body, &body) // it was checked
	if body.OfflinePushInfo.PushFlag == 1 {
		event = online
	}
	for i, account := range p.Accounts {
		d := delivery{account: account, time: p.Time, event: event, platform: platformOf(account, event)}
		for _, n := range []int{p.Sent, p.Reached, p.Clicked} {
			if i < n {
				d.stage++
			}
		}
		switch d.stage {
		case 0:
			d.code, d.info = notSentCode, notSentInfo
		case stageSent:
			d.code, d.info = lostCode, lostInfo
		}
		if !yield(d) {
			return
		}
	}
}

// platformOf returns PushPlatform: APNs or FCM, and 0 for a device that is online.
func platformOf(account string, event int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(account))
	switch {
	case event == online:
		return 0
	case h.Sum32()%2 == 0:
		return 1
	default:
		return 4
	}
}

// readSpan reads StartTime and EndTime, which is a whole second: what happened within it counts.
func readSpan(fields object, longest time.Duration) (from, to time.Time, bad *refusal) {
	begin, ok := readInt(fields["StartTime"])
	end, ok2 := readInt(fields["EndTime"])
	switch {
	case !ok || !ok2:
		bad = refuse(codeBadRequest, "StartTime or EndTime is not an integer")
	case end < begin || end-begin > int64(longest/time.Second):
		bad = refuse(codeBadRequest, "EndTime is before StartTime, or more than %v after it", longest)
	}
	return time.Unix(begin, 0), time.Unix(end+1, -1), bad
}

// readTaskIDs reads TaskID of the statistics of pushes.
func readTaskIDs(fields object) (ids []string, bad *refusal) {
	var list []json.RawMessage
	if json.Unmarshal(fields["TaskID"], &list) != nil || list == nil || len(list) > maxTaskIDs {
		return nil, refuse(codeBadRequest, "TaskID is not an array of at most %d", maxTaskIDs)
	}
	for _, raw := range list {
		id, _ := readText(raw)
		if id == "" {
			return nil, refuse(codeBadRequest, "an element of TaskID is empty or not a string")
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// pushStats is v4/timpush/all_member_push_statistics.
func (j job) pushStats() reply { return j.perTask(statsSpan, j.settings.statsOf) }

// pushLoss is v4/timpush/all_member_push_loss.
func (j job) pushLoss() reply { return j.perTask(lossSpan, j.settings.lossOf) }

// perTask answers with what show makes of the deliveries of each task, or of all together.
func (j job) perTask(longest time.Duration, show func([]delivery) map[string]any) reply {
	fields, bad := j.readObject()
	if bad != nil {
		return bad.reply()
	}
	from, to, bad := readSpan(fields, longest)
	if bad != nil {
		return bad.reply()
	}
	ids, bad := readTaskIDs(fields)
	if bad != nil {
		return bad.reply()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	results := []any{}
	add := func(id string, list []delivery) {
		result := show(list)
		result["TaskID"] = id
		results = append(results, result)
	}
	var total []delivery
	for _, p := range j.Server.pushes {
		asked := slices.Contains(ids, p.TaskID)
		switch {
		case p.Kind == PushBatch && j.settings.BatchIDsRefused && asked:
			return refuse(codeUnknownTask, "there is no such TaskID").reply()
		case p.Kind == PushBatch && j.settings.BatchIDsRefused || p.Time.Before(from) || p.Time.After(to):
		case asked:
			add(p.TaskID, slices.Collect(p.deliveries))
		case len(ids) == 0:
			total = slices.AppendSeq(total, p.deliveries)
		}
	}
	if len(ids) == 0 {
		add("", total)
	}
	return j.statsReply("Results", results)
}

// statsReply answers with a list.
func (j job) statsReply(name string, list []any) reply {
	rep := reply{info: statsInfo, fields: map[string]any{name: list}}
	if len(list) == 0 && j.settings.EmptyFieldsAbsent {
		rep.fields = nil
	}
	return rep
}

// channel is by what the statistics tell deliveries apart.
type channel struct{ event, platform int }

func channelsOf(list []delivery) (channels []channel, of map[channel][]delivery) {
	of = map[channel][]delivery{}
	for _, d := range list {
		c := channel{d.event, d.platform}
		if of[c] == nil {
			channels = append(channels, c)
		}
		of[c] = append(of[c], d)
	}
	return channels, of
}

func (set *settings) countsOf(list []delivery) map[string]any {
	var reached [stageClick + 1]int
	for _, d := range list {
		for stage := 0; stage <= d.stage; stage++ {
			reached[stage]++
		}
	}
	return map[string]any{
		"TotalCount": set.number(reached[0]), "SentCount": set.number(reached[stageSent]),
		"DeliveredCount": set.number(reached[stageGone]), "ClickCount": set.number(reached[stageClick]),
	}
}

func (set *settings) statsOf(list []delivery) map[string]any {
	stats := set.countsOf(list)
	platforms := []any{}
	channels, of := channelsOf(list)
	for _, c := range channels {
		item := set.countsOf(of[c])
		item["EventType"], item["PushPlatform"] = set.number(c.event), set.number(c.platform)
		platforms = append(platforms, item)
	}
	stats["PlatformStatistics"] = platforms
	return stats
}

// lossOf counts why deliveries ended before they were sent, and after.
func (set *settings) lossOf(list []delivery) map[string]any {
	loss := map[string]any{
		"ReadyToSendLoss": set.lossesAt(0, list, nil), "PostSendDeliveredLoss": set.lossesAt(stageSent, list, nil),
	}
	before, after := []any{}, []any{}
	channels, of := channelsOf(list)
	for _, c := range channels {
		of, c := of[c], c
		before = append(before, set.lossesAt(0, of, &c)...)
		after = append(after, set.lossesAt(stageSent, of, &c)...)
	}
	loss["PlatformReadyToSendLoss"], loss["PlatformPostSendDeliveredLoss"] = before, after
	return loss
}

// lossesAt counts the deliveries that ended at a stage, by their code.
func (set *settings) lossesAt(stage int, list []delivery, c *channel) []any {
	counts, infos := map[int]int{}, map[int]string{}
	var codes []int
	for _, d := range list {
		if d.stage != stage || d.code == 0 {
			continue
		}
		if counts[d.code]++; counts[d.code] == 1 {
			codes = append(codes, d.code)
		}
		infos[d.code] = d.info
	}
	losses := []any{}
	for _, code := range codes {
		item := map[string]any{"ErrCode": strconv.Itoa(code), "ErrCount": set.number(counts[code]), "ErrInfo": infos[code]}
		if c != nil {
			item["EventType"], item["PushPlatform"] = set.number(c.event), set.number(c.platform)
		}
		losses = append(losses, item)
	}
	return losses
}

// pushTrace is v4/timpush/all_member_push_trace.
func (j job) pushTrace() reply {
	fields, bad := j.readObject()
	if bad != nil {
		return bad.reply()
	}
	id, _ := readText(fields["TaskID"])
	user, _ := readText(fields["UserID"])
	if id == "" || user == "" {
		return refuse(codeBadRequest, "TaskID or UserID is missing, empty or not a string").reply()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.findPush(id)
	if p == nil || p.Kind == PushBatch && j.settings.BatchIDsRefused {
		return refuse(codeUnknownTask, "there is no such TaskID").reply()
	}
	return j.traceOf(slices.Collect(p.deliveries), func(d delivery) bool { return d.account == user })
}

// traceOf shows the deliveries of the last week that are asked for.
func (j job) traceOf(list []delivery, asked func(delivery) bool) reply {
	trace := []any{}
	for _, d := range list {
		if asked(d) && time.Since(d.time) <= lossSpan {
			trace = append(trace, j.settings.instanceTrace(d))
		}
	}
	return j.statsReply("InstanceTrace", trace)
}

func (set *settings) instanceTrace(d delivery) map[string]any {
	stat := func(stage int) map[string]any {
		at, status, code, info := "", 0, 0, ""
		switch {
		case d.stage >= stage:
			at, status, info = d.time.UTC().Format(time.DateTime), 1, "success"
		case d.stage == stage-1:
			code, info = d.code, d.info
		}
		return map[string]any{"PushStatus": set.number(status), "ErrorCode": set.number(code), "ErrorInfo": info, "EventTime": at}
	}
	trace := map[string]any{
		"InstanceId": "1", "PushTime": d.time.UTC().Format(time.DateTime), "DeviceModel": "", "System": systems[d.platform],
		"SystemVersion": "", "EventType": set.number(d.event), "PushPlatform": set.number(d.platform), "Token": "", "CertId": "0",
		"SdkVersion": "", "PushVersion": "", "NotificationStatus": set.number(1), "last_active_terminal": set.number(1),
		"IMCommitStat": map[string]any{"IMStat": stat(0)},
	}
	if d.event == online {
		trace["OnlinePushStat"] = stat(stageGone)
		return trace
	}
	trace["OfflinePushStat"] = map[string]any{
		"OfflineStat": stat(stageSent), "ChannelStat": stat(stageSent), "DeviceStat": stat(stageGone), "ClickStat": stat(stageClick),
	}
	return trace
}

var systems = map[int]string{0: "Android", 1: "iOS", 4: "Android"}

// chatStats is v4/timpush/normal_push_statistics.
func (j job) chatStats() reply {
	list, bad := j.readChat(statsSpan)
	if bad != nil {
		return bad.reply()
	}
	return reply{info: statsInfo, fields: j.settings.statsOf(list)}
}

// chatLoss is v4/timpush/normal_push_loss. The object without a name is in the sample of page 71898.
func (j job) chatLoss() reply {
	list, bad := j.readChat(lossSpan)
	if bad != nil {
		return bad.reply()
	}
	loss := j.settings.lossOf(list)
	switch j.settings.ChatLoss {
	case ChatLossUnnamed:
		return reply{info: statsInfo, unnamed: loss}
	case ChatLossResults:
		return reply{info: statsInfo, fields: map[string]any{"Results": loss}}
	default:
		return reply{info: statsInfo, fields: loss}
	}
}

// readChat returns what became of the chat messages of a span.
func (j job) readChat(longest time.Duration) (list []delivery, bad *refusal) {
	fields, bad := j.readObject()
	if bad != nil {
		return nil, bad
	}
	from, to, bad := readSpan(fields, longest)
	if bad != nil {
		return nil, bad
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, d := range j.chat {
		if !d.time.Before(from) && !d.time.After(to) {
			list = append(list, *d)
		}
	}
	return list, nil
}

// chatTrace is v4/timpush/normal_push_trace.
func (j job) chatTrace() reply {
	fields, bad := j.readObject()
	if bad != nil {
		return bad.reply()
	}
	id, _ := readText(fields["PushID"])
	if id == "" {
		return refuse(codeBadRequest, "PushID is missing, empty or not a string").reply()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []delivery
	for _, d := range j.chat {
		list = append(list, *d)
	}
	return j.traceOf(list, func(d delivery) bool { return d.id == id })
}

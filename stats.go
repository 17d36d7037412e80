package timpush

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Documented limits of the statistics (tencentcloud.com/document/product/1047/71893 to 1047/71898).
const (
	maxTasksPerStats = 5
	maxStatsSpan     = 30 * 24 * time.Hour
	maxLossSpan      = 7 * 24 * time.Hour
)

// PushStats has the counts of a push, or of all pushes of a period. In all types of statistics, a number that the service did
// not send is 0, and what should be a number and is not is -1.
type PushStats struct {
	TaskID             string // "" for all pushes together
	TotalCount         int
	SentCount          int
	DeliveredCount     int
	ClickCount         int
	PlatformStatistics []PlatformStats
}

// PlatformStats has the counts of the pushes over one platform.
type PlatformStats struct {
	EventType      int // 1: offline, through the maker of the device; 2: online, to a connected device
	PushPlatform   PushPlatform
	TotalCount     int
	SentCount      int
	DeliveredCount int
	ClickCount     int
}

// PushLoss counts why a push, or the pushes of a period, did not reach devices: before they were sent, and after.
type PushLoss struct {
	TaskID                        string // "" for all pushes together
	ReadyToSendLoss               []Loss
	PostSendDeliveredLoss         []Loss
	PlatformReadyToSendLoss       []Loss // by platform
	PlatformPostSendDeliveredLoss []Loss
}

// Loss counts the devices that a push did not reach for one reason.
type Loss struct {
	PushPlatform PushPlatform // in the lists by platform
	EventType    int          // in the lists by platform: 1: offline; 2: online
	ErrCode      string       // of the service or of the maker of the device; may be negative
	ErrCount     int
	ErrInfo      string
}

// ChatStats has the counts of the pushes of chat messages.
type ChatStats struct {
	TotalCount         int
	SentCount          int
	DeliveredCount     int
	ClickCount         int
	PlatformStatistics []PlatformStats
}

// ChatLoss counts why pushes of chat messages did not reach devices: before they were sent, and after.
type ChatLoss struct {
	ReadyToSendLoss               []Loss
	PostSendDeliveredLoss         []Loss
	PlatformReadyToSendLoss       []Loss // by platform
	PlatformPostSendDeliveredLoss []Loss
}

// DeviceTrace is how far a push has come on one device of its account. Times are as the service writes them, such as
// "2025-03-13 16:16:27"; their time zone is not documented.
type DeviceTrace struct {
	InstanceID         string `json:"InstanceId"`
	PushTime           string
	DeviceModel        string
	System             string // such as "Android"
	SystemVersion      string
	EventType          int // 1: offline, through the maker of the device; 2: online, to a connected device
	PushPlatform       PushPlatform
	Token              string // of the device at its maker
	CertID             string `json:"CertId"` // of the maker's certificate in the console
	SDKVersion         string `json:"SdkVersion"`
	PushVersion        string
	NotificationStatus int
	LastActiveTerminal int `json:"last_active_terminal"`
	IMCommitStat       struct{ IMStat TraceStat }
	OfflinePushStat    struct{ OfflineStat, ChannelStat, DeviceStat, ClickStat TraceStat }
	OnlinePushStat     TraceStat
}

// TraceStat is how one step of a push ended. The meanings of PushStatus are not documented.
type TraceStat struct {
	PushStatus int
	ErrorCode  int
	ErrorInfo  string
	EventTime  string
}

var (
	pushStats = statsCommand("all_member_push_statistics", readAs(decodeResults[PushStats]))
	pushLoss  = statsCommand("all_member_push_loss", readAs(decodeResults[PushLoss]))
	pushTrace = statsCommand("all_member_push_trace", readAs(decodeTrace))
	chatStats = statsCommand("normal_push_statistics", readAs(decodeTotals[ChatStats]))
	chatLoss  = statsCommand("normal_push_loss", readAs(decodeTotals[ChatLoss]))
	chatTrace = statsCommand("normal_push_trace", readAs(decodeTrace))
)

func statsCommand(name string, read func(body []byte) (any, error)) command {
	return command{path: "v4/timpush/" + name, quota: QuotaStats, repeatable: true, impersonal: true, read: read, repair: nameObjects}
}

func readAs[A ~[]byte, T any](decode func(body A) (T, error)) func(body []byte) (any, error) {
	return func(body []byte) (any, error) { return decode(body) }
}

// PushStats reads how many devices pushes to an audience have reached from one time to another, at most 30 days later, by their
// TaskIDs; without any it is the total of all pushes. Of a span that is up to a minute longer, as where both times are of [time.Now],
// the beginning is left out. It takes a request for each five TaskIDs, and one a second at most is made of all statistics. With an
// error, an [*InputErrors] or a [*CallError], it returns what was read before it. Whether the TaskIDs of [Client.PushTo] are known here is
// not documented.
//
// API: tencentcloud.com/document/product/1047/71894.
func (c *Client) PushStats(ctx context.Context, from, to time.Time, taskIDs ...string) ([]PushStats, error) {
	return askByTask[PushStats](ctx, c, &pushStats, maxStatsSpan, from, to, taskIDs)
}

// PushLoss reads why pushes did not reach devices, as [Client.PushStats] does, over 7 days at most.
//
// API: tencentcloud.com/document/product/1047/71895.
func (c *Client) PushLoss(ctx context.Context, from, to time.Time, taskIDs ...string) ([]PushLoss, error) {
	return askByTask[PushLoss](ctx, c, &pushLoss, maxLossSpan, from, to, taskIDs)
}

// PushTrace reads how far a push of the last 7 days has come on each device of a user.
//
// API: tencentcloud.com/document/product/1047/71893.
func (c *Client) PushTrace(ctx context.Context, taskID, userID string) ([]DeviceTrace, error) {
	var f faultList
	f.addID("taskID", taskID)
	f.addID("userID", userID)
	return askIfValid[[]DeviceTrace](ctx, c.engine, &pushTrace, f.faults, struct{ TaskID, UserID string }{taskID, userID})
}

// ChatStats reads how many devices the pushes of chat messages have reached from one time to another, at most 30 days later.
//
// API: tencentcloud.com/document/product/1047/71897.
func (c *Client) ChatStats(ctx context.Context, from, to time.Time) (*ChatStats, error) {
	return askIfValid[*ChatStats](ctx, c.engine, &chatStats, statsFaults(from, to, maxStatsSpan, nil), newStatsRequest(from, to, maxStatsSpan, nil))
}

// ChatLoss reads why pushes of chat messages did not reach devices from one time to another, at most 7 days later.
//
// API: tencentcloud.com/document/product/1047/71898.
func (c *Client) ChatLoss(ctx context.Context, from, to time.Time) (*ChatLoss, error) {
	return askIfValid[*ChatLoss](ctx, c.engine, &chatLoss, statsFaults(from, to, maxLossSpan, nil), newStatsRequest(from, to, maxLossSpan, nil))
}

// ChatTrace reads how far the push of a chat message of the last 7 days has come. Callbacks have its PushID.
//
// API: tencentcloud.com/document/product/1047/71896.
func (c *Client) ChatTrace(ctx context.Context, pushID string) ([]DeviceTrace, error) {
	var f faultList
	f.addID("pushID", pushID)
	return askIfValid[[]DeviceTrace](ctx, c.engine, &chatTrace, f.faults, struct{ PushID string }{pushID})
}

// askByTask asks for each five task IDs.
func askByTask[T any](ctx context.Context, c *Client, cmd *command, span time.Duration, from, to time.Time, taskIDs []string) (all []T, err error) {
	if err := invalid(statsFaults(from, to, span, taskIDs)); err != nil {
		return nil, err
	}
	for _, some := range splitTaskIDs(taskIDs) {
		part, err := askIfValid[[]T](ctx, c.engine, cmd, nil, newStatsRequest(from, to, span, some))
		all = append(all, part...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// spareSpan is how much longer a span may be: a program that asks the clock for both of its ends has a little more. It is left out.
const spareSpan = time.Minute

// newStatsRequest returns a request about a time of at most span.
func newStatsRequest(from, to time.Time, span time.Duration, taskIDs []string) statsRequest {
	return statsRequest{max(from.Unix(), to.Unix()-int64(span/time.Second)), to.Unix(), taskIDs}
}

// statsRequest is the body of the requests about a time.
type statsRequest struct {
	StartTime int64
	EndTime   int64
	TaskID    []string `json:",omitzero"`
}

// splitTaskIDs returns the task IDs, each once, in the requests that they take: at least one.
func splitTaskIDs(taskIDs []string) [][]string {
	once := distinct(taskIDs)
	if len(once) == 0 {
		return [][]string{once}
	}
	return slices.Collect(slices.Chunk(once, maxTasksPerStats))
}

// statsFaults returns what is wrong with a time of at most span, and with task IDs.
func statsFaults(from, to time.Time, span time.Duration, taskIDs []string) []*InputError {
	var f faultList
	switch {
	case from.IsZero():
		f.add("from", "is not set")
	case to.Unix() <= from.Unix():
		f.add("to", "is not after from, in whole seconds")
	case to.Sub(from) > span+spareSpan:
		f.add("to", "is more than %d days after from", span/(24*time.Hour))
	}
	for i, id := range taskIDs {
		f.addID(fmt.Sprintf("taskIDs[%d]", i), id)
	}
	return f.faults
}

// decodeResults returns the Results of an answer.
func decodeResults[T PushStats | PushLoss](answer jsontext.Value) ([]T, error) {
	var wire struct{ Results jsontext.Value }
	if err := unmarshalLoose(answer, &wire); err != nil {
		return nil, err
	}
	return readList[T](wire.Results)
}

// decodeTotals returns the numbers of an answer that is not about single tasks. They stand in the answer itself, or, by the
// documentation's sample, in an object without a name.
func decodeTotals[T ChatStats | ChatLoss](answer []byte) (*T, error) {
	totals := new(T)
	named := nameObjects(answer)
	var wire struct{ Results jsontext.Value }
	if err := unmarshalLoose(named, &wire); err != nil {
		return nil, err
	}
	for _, part := range []jsontext.Value{named, wire.Results} {
		objects, err := readList[jsontext.Value](part)
		if err != nil {
			return nil, err
		}
		for _, object := range objects {
			if err := unmarshalLoose(object, totals); err != nil {
				return nil, err
			}
		}
	}
	return totals, nil
}

// decodeTrace returns the devices of an answer.
func decodeTrace(answer jsontext.Value) ([]DeviceTrace, error) {
	var wire struct{ InstanceTrace jsontext.Value }
	if err := unmarshalLoose(answer, &wire); err != nil {
		return nil, err
	}
	return readList[DeviceTrace](wire.InstanceTrace)
}

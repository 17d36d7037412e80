package timpush

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// maxCallback bounds the body of a callback, in bytes. A hundred events take a twentieth of it.
const maxCallback = 1 << 20

// Commands of the callbacks that have a type here.
const (
	commandPush = "Push.AllMemberPush"
	commandChat = "Push.OfflinePush"
)

// Callbacks has the funcs for the events that the service posts to a server of the app, after a callback URL was set
// and the callbacks were enabled in the console. Each func gets the events of one request, in their order; a nil func
// acknowledges them. The funcs are called in the order of the fields, for requests that come at the same time also at the
// same time, with the context of the request.
//
// An event has no ID, may come more than once, and may be lost. Key what you store by the account, the task, the stage
// and the time of the event, so that a repeated one changes nothing, and take numbers that must be exact from the
// statistics. The service waits only a short time for the answer: a func should return within a second, so let it store
// the events or put them into a queue, and do the work later.
//
// If a func returns an error, the funcs that follow are still called, and the answer tells the service that the callback
// failed, without the text of the error. Whether the service then sends the events again or ignores the failure is not
// documented: be ready for both. If a func panics nothing is acknowledged, and the panic goes on to the [http.Server].
//
// API: tencentcloud.com/document/product/1047/67551 and 1047/67552.
type Callbacks struct {
	SDKAppID int    // required: a request of another app gets 403
	Token    string // "": Sign is not checked. Set: a Sign that is missing or wrong gets 403; its age is not checked

	Push  func(ctx context.Context, events []PushEvent) error          // Push.AllMemberPush: of Push and PushTo
	Chat  func(ctx context.Context, events []ChatPushEvent) error      // Push.OfflinePush: of chat messages
	Other func(ctx context.Context, command string, item []byte) error // the JSON of an item with another command
}

// Format prints the Callbacks without their Token, for every verb but %p and %w, for which fmt calls no method.
func (cb Callbacks) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, cb.redacted()) }

// LogValue returns the Callbacks without their Token.
func (cb Callbacks) LogValue() slog.Value { return slog.StringValue(cb.redacted()) }

// MarshalText returns the Callbacks without their Token, for JSON, XML and the like.
func (cb Callbacks) MarshalText() ([]byte, error) { return []byte(cb.redacted()), nil }

// GobEncode returns the Callbacks without their Token.
func (cb Callbacks) GobEncode() ([]byte, error) { return cb.MarshalText() }

func (cb Callbacks) redacted() string {
	token := "unset"
	if cb.Token != "" {
		token = redacted
	}
	return fmt.Sprintf("timpush.Callbacks{SDKAppID:%d Token:%s}", cb.SDKAppID, token)
}

// PushStage is how far a push has come on a device. Stages that this package does not know are kept as they are.
type PushStage int

// The documented stages.
const (
	PushStageSent    PushStage = 1 // handed to the maker of the device, or sent to a connected one
	PushStageReached PushStage = 2 // shown on the device
	PushStageClicked PushStage = 3
)

// String returns "sent", "reached", "clicked", or the number.
func (s PushStage) String() string {
	return nameOf("PushStage", int(s), "", "sent", "reached", "clicked")
}

// PushPlatform is the channel of a push, by the maker of the device. Platforms that this package does not know, such as
// that of Harmony, whose number is not documented, are kept as they are.
type PushPlatform int

// The documented platforms.
const (
	PushPlatformUnknown PushPlatform = iota // also for a push to a connected device
	PushPlatformAPNs
	PushPlatformXiaomi
	PushPlatformHuawei
	PushPlatformFCM
	PushPlatformMeizu
	PushPlatformOPPO
	PushPlatformVivo
	PushPlatformHonor
)

// String returns the name, such as "Xiaomi", "unknown", or the number of a platform that is not documented.
func (p PushPlatform) String() string {
	return nameOf("PushPlatform", int(p), "unknown", "APNs", "Xiaomi", "Huawei", "FCM", "Meizu", "OPPO", "vivo", "Honor")
}

// PushEvent is an event of a push to an audience or to accounts. What the service did not send is zero; what should be a
// number and is not is -1.
type PushEvent struct {
	CallbackCommand string       // "Push.AllMemberPush"
	EventType       int          // 1: offline, through the maker of the device; 2: online, to a connected device
	TaskID          string       `json:"TaskId"` // of the push; see Receipt and PushToResult
	DataID          string       `json:"DataId"` // of the push
	TaskTime        time.Time    // of the push, in whole seconds
	EventTime       time.Time    // in whole seconds
	ToAccount       string       `json:"To_Account"`
	PushPlatform    PushPlatform // with EventType 1
	DeviceType      PushPlatform // with EventType 2
	PushStage       PushStage
	ErrCode         int    // 0: success
	ErrInfo         string // often "OK" or empty
}

// ChatPushEvent is an event of the push of a chat message. What the service did not send is zero; what should be a
// number and is not is -1.
type ChatPushEvent struct {
	CallbackCommand string    // "Push.OfflinePush"
	EventType       int       // 1: single chat; 2: group
	EventTime       time.Time // in whole seconds
	FromAccount     string    `json:"From_Account"`
	ToAccount       string    `json:"To_Account"`
	PushPlatform    PushPlatform
	PushStage       PushStage
	MsgKey          string // of a message in a single chat
	GroupID         string // of a message in a group
	MsgSeq          int64
	MsgRandom       int64
	MsgTime         time.Time
	PushID          string // see Client.ChatTrace
	ErrCode         int    // 0: success
	ErrInfo         string // often "OK" or empty
}

// NewCallbackHandler returns a handler for the callback URL. It answers 405 to another method than POST, 403 to a request
// of another app or with a wrong Sign, 413 to a body over 1 MiB, 400 to one that is not the JSON of a callback, and otherwise
// 200 with the documented body: ErrorCode 0, or 1 if a func returned an error. Numbers may come as strings, and members that
// are not documented are ignored. The handler is safe for concurrent use if the funcs are.
//
// It fails if SDKAppID is not positive, or if the Token begins or ends with white space, as where it was read from a file with a line end:
// each request would get 403.
func NewCallbackHandler(cb Callbacks) (http.Handler, error) {
	if cb.SDKAppID <= 0 {
		return nil, fmt.Errorf("timpush: Callbacks.SDKAppID is %d, want the positive number that the console shows", cb.SDKAppID)
	}
	if cb.Token != strings.TrimFunc(cb.Token, func(r rune) bool { return unicode.IsSpace(r) || r == '\uFEFF' }) {
		return nil, errors.New("timpush: Callbacks.Token begins or ends with white space or a byte order mark, want the token alone")
	}
	return &callbackHandler{cb}, nil
}

type callbackHandler struct{ Callbacks }

// ServeHTTP writes nothing before all funcs have returned: one that panics must not acknowledge.
func (h *callbackHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if status := h.check(r.Method, query); status != 0 {
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodPost)
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	if r.Body == nil { // a request that no server made
		r.Body = http.NoBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallback))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		http.Error(w, "the body is longer than 1 MiB", http.StatusRequestEntityTooLarge)
		return
	}
	items, ok := decodeItems(body, query.Get("CallbackCommand"))
	if err != nil || !ok {
		http.Error(w, "the body is not the JSON of a callback", http.StatusBadRequest)
		return
	}
	answer := `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`
	if h.dispatch(r.Context(), items) != nil {
		answer = `{"ActionStatus":"FAIL","ErrorInfo":"the app failed to take the events","ErrorCode":1}`
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, answer) // if this fails, the service has gone
}

// check returns the status with which a request is refused before its body is read, or 0.
func (h *callbackHandler) check(method string, query url.Values) int {
	switch {
	case method != http.MethodPost:
		return http.StatusMethodNotAllowed
	case query.Get("SdkAppid") != strconv.Itoa(h.SDKAppID):
		return http.StatusForbidden
	case h.Token != "" && !signed(query, h.Token):
		return http.StatusForbidden
	}
	return 0
}

// signed reports whether Sign is that of the token and the RequestTime. The time of the comparison does not show how
// much of a Sign is right.
func signed(query url.Values, token string) bool {
	sum := sha256.Sum256([]byte(token + query.Get("RequestTime")))
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(query.Get("Sign"))) == 1
}

// dispatch hands the items to the funcs of their commands, and returns the errors of all.
func (h *callbackHandler) dispatch(ctx context.Context, items []callbackItem) error {
	var pushes []PushEvent
	var chats []ChatPushEvent
	var others []callbackItem
	for _, item := range items {
		switch item.command {
		case commandPush:
			event := readEvent[PushEvent](item)
			event.CallbackCommand = item.command
			pushes = append(pushes, event)
		case commandChat:
			event := readEvent[ChatPushEvent](item)
			event.CallbackCommand = item.command
			chats = append(chats, event)
		default:
			others = append(others, item)
		}
	}
	var errs []error
	if h.Push != nil && len(pushes) > 0 {
		errs = append(errs, h.Push(ctx, pushes))
	}
	if h.Chat != nil && len(chats) > 0 {
		errs = append(errs, h.Chat(ctx, chats))
	}
	if h.Other != nil {
		for _, item := range others {
			errs = append(errs, h.Other(ctx, item.command, item.json))
		}
	}
	return errors.Join(errs...)
}

// callbackItem is one item of a callback: its command and its JSON.
type callbackItem struct {
	command string
	json    jsontext.Value
}

// readEvent never fails: the item is an object, and each member reads any value.
func readEvent[T PushEvent | ChatPushEvent](item callbackItem) (event T) {
	_ = unmarshalLoose(item.json, &event)
	return event
}

// decodeItems returns the items of a body. A body without Events is one item, as the other callbacks of the service have
// it. It reports false for what is not JSON, and for items that are not objects.
func decodeItems(body jsontext.Value, command string) (items []callbackItem, ok bool) {
	var members map[string]jsontext.Value
	if unmarshalLoose(body, &members) != nil || body.Kind() != jsontext.KindBeginObject {
		return nil, false
	}
	events, inEvents := members["Events"]
	values := []jsontext.Value{events}
	switch {
	case !inEvents && len(members) > 0:
		values = []jsontext.Value{body}
	case !inEvents:
		return nil, true
	case events.Kind() != jsontext.KindBeginObject && unmarshalLoose(events, &values) != nil:
		return nil, false
	}
	for _, value := range values {
		var item struct{ CallbackCommand string }
		if value.Kind() != jsontext.KindBeginObject || unmarshalLoose(value, &item) != nil {
			return nil, false
		}
		items = append(items, callbackItem{cmp.Or(item.CallbackCommand, command), value})
	}
	return items, true
}

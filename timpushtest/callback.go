package timpushtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// The commands of callbacks, pages 67551 and 67552 of tencentcloud.com/document/product/1047.
const (
	callbackPush = "Push.AllMemberPush"
	callbackChat = "Push.OfflinePush"
)

const (
	maxEvents     = 100
	maxDeliveries = 3 // of one callback, with Variant.CallbackRedelivered
)

// Event is one item of a callback: its fields by their names on pages 67551 and 67552 of
// tencentcloud.com/document/product/1047. CallbackCommand is its command; an Event without it is one of
// Push.AllMemberPush.
type Event map[string]any

// CallbackAnswer is how a callback was answered.
type CallbackAnswer struct {
	Status    int    // HTTP status
	ErrorCode int    // of the body; -1 if there is none
	ErrorInfo string // of the body
	Sent      int    // how often it was sent: more than once only with Variant.CallbackRedelivered
}

// WithCallbackToken makes [Server.SendCallback] sign with a token, as the console sets one. Default: it does not sign.
func WithCallbackToken(token string) Option { return func(set *settings) { set.callbackToken = token } }

// PushEvents returns the events of a push, as Push.AllMemberPush has them: for each account sent, reached and clicked, as
// far as [WithReach] says. It returns nil for a TaskID that the fake does not know.
func (s *Server) PushEvents(taskID string) []Event { return slices.Collect(s.PushEventSeq(taskID)) }

// PushEventSeq yields the events of [Server.PushEvents] one by one, for a push to so many accounts that they would take up
// too much memory: about a kilobyte each.
func (s *Server) PushEventSeq(taskID string) iter.Seq[Event] {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.findPush(taskID)
	return func(yield func(Event) bool) {
		if p == nil {
			return
		}
		for d := range p.deliveries {
			for stage := stageSent; stage <= d.stage || stage == d.stage+1 && d.code != 0; stage++ {
				if !yield(p.event(d, stage)) {
					return
				}
			}
		}
	}
}

// event returns the event of a stage that a delivery has reached, or of the one that it has not.
func (p *pushRecord) event(d delivery, stage int) Event {
	code, info := 0, "OK"
	if stage > d.stage {
		code, info = d.code, d.info
	}
	return Event{
		"CallbackCommand": callbackPush, "EventType": d.event, "TaskId": p.TaskID, "DataId": p.dataID,
		"TaskTime": p.Time.Unix(), "EventTime": p.Time.Unix(), "To_Account": d.account, "PushPlatform": d.platform,
		"PushStage": stage, "ErrCode": code, "ErrInfo": info,
	}
}

// SendCallback sends 1 to 100 events of one command to the app's server, as the service does, and returns its answer. The
// receiver is an [http.Handler], which is called directly, or a string with a URL. An error means that there is no answer:
// the request failed, ctx ended, or the arguments are wrong.
//
// Events of Push.OfflinePush become chat messages in the statistics: one for each PushID and To_Account, at the last
// PushStage with ErrCode 0.
func (s *Server) SendCallback(ctx context.Context, to any, events ...Event) (CallbackAnswer, error) {
	command, body, err := s.settings.callbackBody(events)
	if err != nil {
		return CallbackAnswer{}, err
	}
	s.addChat(command, events)
	for sent := 1; ; sent++ {
		answer, err := s.settings.sendOnce(ctx, to, command, body)
		answer.Sent = sent
		done := answer.Status == http.StatusOK && answer.ErrorCode == 0
		if err != nil || done || !s.settings.CallbackRedelivered || sent == maxDeliveries {
			return answer, err
		}
	}
}

// callbackBody returns the command of events and the body with them.
func (set *settings) callbackBody(events []Event) (command string, body []byte, err error) {
	if len(events) == 0 || len(events) > maxEvents {
		return "", nil, fmt.Errorf("timpushtest: a callback has 1 to %d events, not %d", maxEvents, len(events))
	}
	items := make([]map[string]any, len(events))
	for i, e := range events {
		if i > 0 && e.command() != command {
			return "", nil, fmt.Errorf("timpushtest: a callback has events of one command, not of %s and %s", command, e.command())
		}
		command = e.command()
		items[i] = set.callbackItem(e)
	}
	body, err = json.Marshal(map[string]any{"Events": items})
	if err != nil {
		return "", nil, fmt.Errorf("timpushtest: an event is not JSON: %w", err)
	}
	return command, body, nil
}

func (e Event) command() string {
	if command, ok := e["CallbackCommand"].(string); ok {
		return command
	}
	return callbackPush
}

// callbackItem returns an event as it is sent.
func (set *settings) callbackItem(e Event) map[string]any {
	item := map[string]any{"CallbackCommand": e.command()}
	for name, value := range e {
		if set.QuotedNumbers {
			switch value.(type) {
			case int, int64, uint32:
				value = fmt.Sprint(value)
			}
		}
		item[name] = value
	}
	if set.CallbackCommandOmitted {
		delete(item, "CallbackCommand")
	}
	return item
}

func (set *settings) callbackQuery(command string) url.Values {
	query := url.Values{"SdkAppid": {strconv.Itoa(set.sdkAppID)}, "CallbackCommand": {command}, "contenttype": {"json"}}
	if set.callbackToken != "" {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		sum := sha256.Sum256([]byte(set.callbackToken + at))
		query.Set("RequestTime", at)
		query.Set("Sign", hex.EncodeToString(sum[:]))
	}
	return query
}

func (set *settings) sendOnce(ctx context.Context, to any, command string, body []byte) (CallbackAnswer, error) {
	target, handler := "http://localhost/", http.Handler(nil)
	switch to := to.(type) {
	case string:
		target = to
	case http.Handler:
		handler = to
	default:
		return CallbackAnswer{}, fmt.Errorf("timpushtest: a callback goes to an http.Handler or a URL, not to a %T", to)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return CallbackAnswer{}, fmt.Errorf("timpushtest: %w", err)
	}
	query := req.URL.Query()
	maps.Copy(query, set.callbackQuery(command))
	req.URL.RawQuery = query.Encode()
	req.Header.Set("Content-Type", "application/json")
	if handler != nil {
		rec := httptest.NewRecorder()
		req.RequestURI, req.RemoteAddr = req.URL.RequestURI(), "127.0.0.1:1"
		handler.ServeHTTP(rec, req)
		return readCallbackAnswer(rec.Code, rec.Body.Bytes()), ctx.Err()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return CallbackAnswer{}, fmt.Errorf("timpushtest: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return readCallbackAnswer(resp.StatusCode, data), err
}

func readCallbackAnswer(status int, body []byte) CallbackAnswer {
	answer := CallbackAnswer{Status: status, ErrorCode: -1}
	var fields object
	if json.Unmarshal(body, &fields) == nil {
		if code, ok := readInt(fields["ErrorCode"]); ok {
			answer.ErrorCode = int(code)
		}
		answer.ErrorInfo, _ = readText(fields["ErrorInfo"])
	}
	return answer
}

// addChat notes the events of chat messages for the statistics.
func (s *Server) addChat(command string, events []Event) {
	if command != callbackChat {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		id, account := fmt.Sprint(e["PushID"]), fmt.Sprint(e["To_Account"])
		var d *delivery
		for _, other := range s.chat {
			if other.id == id && other.account == account {
				d = other
			}
		}
		if d == nil {
			d = &delivery{id: id, account: account, time: time.Now(), event: offline, platform: intOf(e["PushPlatform"])}
			s.chat = append(s.chat, d)
		}
		stage, code := intOf(e["PushStage"]), intOf(e["ErrCode"])
		if code == 0 {
			d.stage = max(d.stage, stage)
			continue
		}
		d.code = code
		d.info, _ = e["ErrInfo"].(string)
	}
}

// intOf reads a number of an event, which may be a string; 0 if it is none.
func intOf(value any) int {
	n, _ := strconv.Atoi(fmt.Sprint(value))
	return n
}

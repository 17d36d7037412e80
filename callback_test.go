package timpush_test

import (
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
)

// received is what the funcs of callbacks were given, in the order of the calls.
type received struct {
	pushes  [][]timpush.PushEvent
	chats   [][]timpush.ChatPushEvent
	others  []string // command and JSON
	failing error
}

func (r *received) callbacks() timpush.Callbacks {
	return timpush.Callbacks{
		SDKAppID: 1400000000,
		Push: func(_ context.Context, events []timpush.PushEvent) error {
			r.pushes = append(r.pushes, events)
			return r.failing
		},
		Chat: func(_ context.Context, events []timpush.ChatPushEvent) error {
			r.chats = append(r.chats, events)
			return nil
		},
		Other: func(_ context.Context, command string, item []byte) error {
			r.others = append(r.others, command+" "+string(item))
			return nil
		},
	}
}

const callbackQuery = "?SdkAppid=1400000000&contenttype=json&CallbackCommand="

func handlerOf(t *testing.T, cb timpush.Callbacks) http.Handler {
	t.Helper()
	h, err := timpush.NewCallbackHandler(cb)
	require.NoError(t, err)
	return h
}

func call(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(body)))
	return w
}

// envelope returns the ErrorCode of an answer after checking that it is the documented one.
func envelope(t *testing.T, w *httptest.ResponseRecorder) int {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var got struct {
		ActionStatus, ErrorInfo string
		ErrorCode               int
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	require.Equal(t, map[int]string{0: "OK", 1: "FAIL"}[got.ErrorCode], got.ActionStatus)
	return got.ErrorCode
}

// pushSample has what the documentation's sample has, and the members that only its table has.
const pushSample = `{"CallbackCommand":"Push.AllMemberPush","EventType":1,"TaskId":"657bf434_537529d8_2000005e80aa873_2780d131_bc614e",
	"DataId":"autumn","TaskTime":1557481127,"EventTime":1557481128,"To_Account":"user2","PushPlatform":1,"DeviceType":0,"PushStage":1,
	"ErrCode":0,"ErrInfo":"OK","Later":{"a":[1]}}`

const pushSampleAsStrings = `{"EventType":"1","TaskId":"657bf434_537529d8_2000005e80aa873_2780d131_bc614e",
	"DataId":"autumn","TaskTime":"1557481127","EventTime":"1557481128","To_Account":"user2","PushPlatform":"1","DeviceType":"0","PushStage":"1",
	"ErrCode":"0","ErrInfo":"OK"}`

var pushSampleEvent = timpush.PushEvent{
	CallbackCommand: "Push.AllMemberPush", EventType: 1, TaskID: "657bf434_537529d8_2000005e80aa873_2780d131_bc614e", DataID: "autumn",
	TaskTime: time.Date(2019, 5, 10, 9, 38, 47, 0, time.UTC), EventTime: time.Date(2019, 5, 10, 9, 38, 48, 0, time.UTC),
	ToAccount: "user2", PushPlatform: timpush.PushPlatformAPNs, PushStage: timpush.PushStageSent, ErrInfo: "OK",
}

const chatSample = `{"CallbackCommand":"Push.OfflinePush","EventType":2,"EventTime":1557481127,"From_Account":"user1","To_Account":"user2",
	"PushPlatform":3,"PushStage":3,"MsgKey":"48374_2837546_1557481126","GroupID":"g","MsgSeq":48374,"MsgRandom":4294967295,"MsgTime":1557481126,
	"PushID":"67120c46_6a4086c0","ErrCode":-5,"ErrInfo":""}`

var chatSampleEvent = timpush.ChatPushEvent{
	CallbackCommand: "Push.OfflinePush", EventType: 2, EventTime: time.Date(2019, 5, 10, 9, 38, 47, 0, time.UTC),
	FromAccount: "user1", ToAccount: "user2", PushPlatform: timpush.PushPlatformHuawei, PushStage: timpush.PushStageClicked,
	MsgKey: "48374_2837546_1557481126", GroupID: "g", MsgSeq: 48374, MsgRandom: 4294967295,
	MsgTime: time.Date(2019, 5, 10, 9, 38, 46, 0, time.UTC), PushID: "67120c46_6a4086c0", ErrCode: -5,
}

func TestCallbackEvents(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		command, body string
		want          received
	}{
		"one push": {
			"Push.AllMemberPush", `{"Events":[` + pushSample + `]}`,
			received{pushes: [][]timpush.PushEvent{{pushSampleEvent}}},
		},
		"numbers as strings, command of the query": {
			"Push.AllMemberPush", `{"Events":[` + pushSampleAsStrings + `]}`,
			received{pushes: [][]timpush.PushEvent{{pushSampleEvent}}},
		},
		"one chat message": {
			"Push.OfflinePush", `{"Events":[` + chatSample + `]}`,
			received{chats: [][]timpush.ChatPushEvent{{chatSampleEvent}}},
		},
		"the command of an item comes first": {
			"Push.OfflinePush", `{"Events":[` + chatSample + `,` + pushSample + `,{"CallbackCommand":"Push.Later","a":1}]}`,
			received{
				pushes: [][]timpush.PushEvent{{pushSampleEvent}}, chats: [][]timpush.ChatPushEvent{{chatSampleEvent}},
				others: []string{`Push.Later {"CallbackCommand":"Push.Later","a":1}`},
			},
		},
		"an item that is not in Events": {
			"C2C.CallbackAfterSendMsg", `{"CallbackCommand":"C2C.CallbackAfterSendMsg","MsgSeq":1}`,
			received{others: []string{`C2C.CallbackAfterSendMsg {"CallbackCommand":"C2C.CallbackAfterSendMsg","MsgSeq":1}`}},
		},
		"one event that is not in a list": {
			"Push.AllMemberPush", `{"Events":` + pushSample + `}`,
			received{pushes: [][]timpush.PushEvent{{pushSampleEvent}}},
		},
		"no command at all": {"", `{"Events":[{"a":1}]}`, received{others: []string{` {"a":1}`}}},
		"no events":         {"Push.AllMemberPush", `{"Events":[]}`, received{}},
		"null":              {"Push.AllMemberPush", `{"Events":null}`, received{}},
		"nothing":           {"Push.AllMemberPush", `{}`, received{}},
		"null members": {
			"Push.AllMemberPush", `{"Events":[{"TaskId":null,"EventTime":null,"ErrCode":null,"PushStage":null}]}`,
			received{pushes: [][]timpush.PushEvent{{{CallbackCommand: "Push.AllMemberPush"}}}},
		},
		"members of other types": {
			"Push.AllMemberPush", `{"Events":[{"TaskId":12,"EventTime":"soon","TaskTime":-1,"ErrCode":"UNREGISTERED","PushStage":{"a":1},"PushPlatform":true,"To_Account":[]}]}`,
			received{pushes: [][]timpush.PushEvent{{{CallbackCommand: "Push.AllMemberPush", TaskID: "12", ErrCode: -1, PushStage: -1, PushPlatform: -1}}}},
		},
		"unknown numbers": {
			"Push.AllMemberPush", `{"Events":[{"PushStage":9,"PushPlatform":10,"EventType":3,"ErrCode":8e2}]}`,
			received{pushes: [][]timpush.PushEvent{{{CallbackCommand: "Push.AllMemberPush", PushStage: 9, PushPlatform: 10, EventType: 3, ErrCode: 800}}}},
		},
		"a member twice, and a text that is not UTF-8": {
			"Push.AllMemberPush", "{\"Events\":[{\"DataId\":\"a\",\"DataId\":\"b\",\"ErrInfo\":\"\xff\"}]}",
			received{pushes: [][]timpush.PushEvent{{{CallbackCommand: "Push.AllMemberPush", DataID: "b", ErrInfo: "\ufffd"}}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got received
			w := call(handlerOf(t, got.callbacks()), http.MethodPost, "/"+callbackQuery+tc.command, tc.body)
			assert.Equal(t, 0, envelope(t, w))
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestCallbackWithHundredEvents(t *testing.T) {
	t.Parallel()
	var events []string
	for i := range 100 {
		events = append(events, fmt.Sprintf(`{"To_Account":"user-%d"}`, i))
	}
	var got received
	w := call(handlerOf(t, got.callbacks()), http.MethodPost, "/"+callbackQuery+"Push.AllMemberPush", `{"Events":[`+strings.Join(events, ",")+`]}`)
	assert.Equal(t, 0, envelope(t, w))
	require.Len(t, got.pushes, 1, "all in one call")
	require.Len(t, got.pushes[0], 100)
	for i, event := range got.pushes[0] {
		assert.Equal(t, account(i), event.ToAccount)
	}
}

func sign(token, requestTime string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(token+requestTime)))
}

func TestCallbackStatuses(t *testing.T) {
	t.Parallel()
	const query, good = callbackQuery + "Push.AllMemberPush", `{"Events":[` + pushSample + `]}`
	signed := query + "&RequestTime=1557481128&Sign="
	for name, tc := range map[string]struct {
		token, method, query, body string
		status                     int
	}{
		"good":                  {"", "POST", query, good, 200},
		"GET":                   {"", "GET", query, good, 405},
		"PUT":                   {"", "PUT", query, good, 405},
		"another app":           {"", "POST", strings.Replace(query, "1400000000", "1400000001", 1), good, 403},
		"no app":                {"", "POST", "?CallbackCommand=Push.AllMemberPush", good, 403},
		"app in another form":   {"", "POST", strings.Replace(query, "1400000000", "01400000000", 1), good, 403},
		"GET of another app":    {"", "GET", "", good, 405},
		"signed":                {"token", "POST", signed + sign("token", "1557481128"), good, 200},
		"signed, no token":      {"", "POST", signed + "x", good, 200},
		"no Sign":               {"token", "POST", query, good, 403},
		"empty Sign":            {"token", "POST", signed, good, 403},
		"Sign of another time":  {"token", "POST", signed + sign("token", "1557481129"), good, 403},
		"Sign of another token": {"token", "POST", signed + sign("Token", "1557481128"), good, 403},
		"half a Sign":           {"token", "POST", signed + sign("token", "1557481128")[:32], good, 403},
		"as long as allowed":    {"", "POST", query, good + strings.Repeat(" ", 1<<20-len(good)), 200},
		"too long":              {"", "POST", query, good + strings.Repeat(" ", 1<<20-len(good)+1), 413},
		"too long and no JSON":  {"", "POST", query, strings.Repeat("x", 1<<20+1), 413},
		"empty":                 {"", "POST", query, "", 400},
		"no JSON":               {"", "POST", query, "Events=1", 400},
		"cut off":               {"", "POST", query, good[:len(good)-2], 400},
		"two texts":             {"", "POST", query, good + good, 400},
		"a list":                {"", "POST", query, "[]", 400},
		"a string":              {"", "POST", query, `"Events"`, 400},
		"null":                  {"", "POST", query, `null`, 400},
		"Events is a string":    {"", "POST", query, `{"Events":"x"}`, 400},
		"an item is a number":   {"", "POST", query, `{"Events":[` + pushSample + `,1]}`, 400},
		"an item is null":       {"", "POST", query, `{"Events":[null]}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got received
			cb := got.callbacks()
			cb.Token = tc.token
			w := call(handlerOf(t, cb), tc.method, "/callback"+tc.query, tc.body)
			assert.Equal(t, tc.status, w.Code)
			if tc.status == http.StatusOK {
				assert.Len(t, got.pushes, 1)
				return
			}
			assert.Equal(t, received{}, got, "no func is called")
			if tc.status == http.StatusMethodNotAllowed {
				assert.Equal(t, "POST", w.Header().Get("Allow"))
			}
		})
	}
}

func TestCallbackOfAFuncThatFails(t *testing.T) {
	t.Parallel()
	got := received{failing: errors.New("the database says: user2 is secret")}
	w := call(handlerOf(t, got.callbacks()), http.MethodPost, "/"+callbackQuery, `{"Events":[`+pushSample+`,`+chatSample+`,{"CallbackCommand":"x"}]}`)
	assert.Equal(t, 1, envelope(t, w))
	assert.NotContains(t, w.Body.String(), "secret")
	assert.Len(t, got.chats, 1, "the others are called")
	assert.Len(t, got.others, 1)
}

func TestCallbackWithoutFuncsAcknowledges(t *testing.T) {
	t.Parallel()
	w := call(handlerOf(t, timpush.Callbacks{SDKAppID: 1400000000}), http.MethodPost, "/"+callbackQuery, `{"Events":[`+pushSample+`,`+chatSample+`,{"CallbackCommand":"x"}]}`)
	assert.Equal(t, 0, envelope(t, w))
}

func TestCallbackOfAFuncThatPanicsDoesNotAcknowledge(t *testing.T) {
	t.Parallel()
	h := handlerOf(t, timpush.Callbacks{SDKAppID: 1400000000, Push: func(context.Context, []timpush.PushEvent) error { panic(http.ErrAbortHandler) }})
	server := httptest.NewServer(h)
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+callbackQuery, strings.NewReader(`{"Events":[`+pushSample+`]}`))
	require.NoError(t, err)
	_, err = server.Client().Do(request) //nolint:bodyclose // there is no response
	require.ErrorIs(t, err, io.EOF)
}

func TestCallbackHasTheContextOfTheRequest(t *testing.T) {
	t.Parallel()
	type key struct{}
	var got any
	h := handlerOf(t, timpush.Callbacks{SDKAppID: 1400000000, Push: func(ctx context.Context, _ []timpush.PushEvent) error {
		got = ctx.Value(key{})
		return nil
	}})
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/"+callbackQuery, strings.NewReader(`{"Events":[`+pushSample+`]}`))
	h.ServeHTTP(httptest.NewRecorder(), request.WithContext(context.WithValue(t.Context(), key{}, "value")))
	assert.Equal(t, "value", got)
}

// TestTokenOfAFile: with a line end that belongs to the file, no request would be signed with the token.
func TestTokenOfAFile(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"secret\n", "secret\r\n", " secret", "\uFEFFsecret", "\n"} {
		_, err := timpush.NewCallbackHandler(timpush.Callbacks{SDKAppID: 1400000000, Token: token})
		require.ErrorContains(t, err, "Callbacks.Token", "%q", token)
		assert.NotContains(t, err.Error(), "secret")
	}
}

func TestNewCallbackHandlerNeedsAnApp(t *testing.T) {
	t.Parallel()
	for _, id := range []int{0, -1} {
		_, err := timpush.NewCallbackHandler(timpush.Callbacks{SDKAppID: id})
		require.ErrorContains(t, err, "Callbacks.SDKAppID")
	}
}

func TestCallbacksDoNotPrintTheToken(t *testing.T) {
	t.Parallel()
	cb := timpush.Callbacks{SDKAppID: 1400000000, Token: "secret-token"}
	h := handlerOf(t, cb)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "callbacks", cb, "handler", h)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "callbacks", cb, "handler", h)
	asJSON, _ := json.Marshal(cb)
	asXML, _ := xml.Marshal(cb)
	require.NoError(t, gob.NewEncoder(&log).Encode(cb))
	printed := log.String() + string(asJSON) + string(asXML)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
		printed += fmt.Sprintf(verb, cb) + fmt.Sprintf(verb, &cb) + fmt.Sprintf(verb, h)
	}
	assert.NotContains(t, printed, "secret-token")
	assert.NotContains(t, printed, fmt.Sprintf("%x", "secret-token"))
	for _, text := range []string{fmt.Sprint(cb), log.String()} {
		assert.Contains(t, text, "{SDKAppID:1400000000 Token:REDACTED}")
	}
	assert.Contains(t, fmt.Sprint(timpush.Callbacks{}), "Token:unset")
}

func TestPushStageAndPlatformAreWords(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "sent reached clicked PushStage(0) PushStage(4)",
		fmt.Sprint(timpush.PushStageSent, timpush.PushStageReached, timpush.PushStageClicked, timpush.PushStage(0), timpush.PushStage(4)))
	var names []string
	for p := timpush.PushPlatformUnknown; p <= timpush.PushPlatformHonor+1; p++ {
		names = append(names, p.String())
	}
	assert.Equal(t, "unknown APNs Xiaomi Huawei FCM Meizu OPPO vivo Honor PushPlatform(9)", strings.Join(names, " "))
	assert.Equal(t, "PushPlatform(-1)", timpush.PushPlatform(-1).String())
}

// FuzzCallback: no body makes the handler panic; it refuses or acknowledges, and as many events arrive as encoding/json finds.
func FuzzCallback(f *testing.F) {
	f.Add("Push.AllMemberPush", `{"Events":[`+pushSample+`,`+chatSample+`]}`)
	f.Add("Push.AllMemberPush", `{"Events":[`+pushSampleAsStrings+`]}`)
	f.Add("Push.OfflinePush", `{"Events":{"MsgSeq":1e400,"MsgTime":99999999999999,"ErrCode":"\ud800"}}`)
	f.Add("", `{"CallbackCommand":{"a":1},"Events":[{"CallbackCommand":7}]}`)
	f.Add("x", `{"a":1}`)
	f.Fuzz(func(t *testing.T, command, body string) {
		var got received
		target := "/" + callbackQuery
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(body))
		query := request.URL.Query()
		query.Set("CallbackCommand", command)
		request.URL.RawQuery = query.Encode()
		w := httptest.NewRecorder()
		handlerOf(t, got.callbacks()).ServeHTTP(w, request)
		events := len(got.others)
		for _, list := range got.pushes {
			events += len(list)
		}
		for _, list := range got.chats {
			events += len(list)
		}
		if w.Code == http.StatusBadRequest {
			require.Zero(t, events)
			return
		}
		require.Equal(t, 0, envelope(t, w))
		var want map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(body), &want))
		var items []json.RawMessage
		raw, inEvents := want["Events"]
		switch {
		case !inEvents && len(want) > 0, strings.HasPrefix(string(raw), "{"):
			items = []json.RawMessage{nil}
		case inEvents:
			require.NoError(t, json.Unmarshal(raw, &items))
		}
		require.Equal(t, len(items), events)
	})
}

package timpushtest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// received is a callback as it arrived.
type received struct {
	method string
	query  url.Values
	body   string
}

// receiver keeps callbacks in seen, which may be nil, and answers as the vendor asks for.
func receiver(seen *[]received, answers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		answer := `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`
		if seen != nil {
			if len(*seen) < len(answers) {
				answer = answers[len(*seen)]
			}
			*seen = append(*seen, received{r.Method, r.URL.Query(), string(data)})
		}
		_, _ = io.WriteString(w, answer)
	}
}

func TestSendCallback(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithCallbackToken("token"))
	var seen []received
	server := httptest.NewServer(receiver(&seen))
	t.Cleanup(server.Close)
	event := timpushtest.Event{"TaskId": "x", "PushStage": 1, "New": true}
	for i, to := range []any{receiver(&seen), server.URL, server.URL + "/callback?own=1"} {
		answer, err := f.SendCallback(t.Context(), to, event, event)
		require.NoError(t, err)
		assert.Equal(t, timpushtest.CallbackAnswer{Status: 200, Sent: 1}, answer)
		got := seen[i]
		assert.Equal(t, http.MethodPost, got.method)
		assert.JSONEq(t, `{"Events":[{"CallbackCommand":"Push.AllMemberPush","TaskId":"x","PushStage":1,"New":true},`+
			`{"CallbackCommand":"Push.AllMemberPush","TaskId":"x","PushStage":1,"New":true}]}`, got.body)
		assert.Equal(t, "1400000000", got.query.Get("SdkAppid"))
		assert.Equal(t, "Push.AllMemberPush", got.query.Get("CallbackCommand"))
		assert.Equal(t, "json", got.query.Get("contenttype"))
		sum := sha256.Sum256([]byte("token" + got.query.Get("RequestTime")))
		assert.Equal(t, hex.EncodeToString(sum[:]), got.query.Get("Sign"))
	}
	assert.Equal(t, "1", seen[2].query.Get("own"))

	f = start(t, with(variant{QuotedNumbers: true, CallbackCommandOmitted: true}))
	_, err := f.SendCallback(t.Context(), receiver(&seen), timpushtest.Event{"CallbackCommand": "Push.OfflinePush", "MsgSeq": 7})
	require.NoError(t, err)
	assert.JSONEq(t, `{"Events":[{"MsgSeq":"7"}]}`, seen[3].body)
	assert.Equal(t, "Push.OfflinePush", seen[3].query.Get("CallbackCommand"))
	assert.False(t, seen[3].query.Has("Sign"))
}

func TestSendCallbackAnswers(t *testing.T) {
	t.Parallel()
	const refused = `{"ActionStatus":"FAIL","ErrorInfo":"later","ErrorCode":1}`
	event := timpushtest.Event{"TaskId": "x"}
	for again, sent := range map[bool]int{false: 1, true: 3} {
		f := start(t, with(variant{CallbackRedelivered: again}))
		var seen []received
		answer, err := f.SendCallback(t.Context(), receiver(&seen, refused, refused, refused, refused), event)
		require.NoError(t, err)
		assert.Equal(t, timpushtest.CallbackAnswer{Status: 200, ErrorCode: 1, ErrorInfo: "later", Sent: sent}, answer)
		assert.Len(t, seen, sent)
		answer, err = f.SendCallback(t.Context(), http.NotFoundHandler(), event)
		require.NoError(t, err)
		assert.Equal(t, timpushtest.CallbackAnswer{Status: 404, ErrorCode: -1, Sent: sent}, answer)
	}
	f := start(t, with(variant{CallbackRedelivered: true}))
	var seen []received
	answer, err := f.SendCallback(t.Context(), receiver(&seen, refused), event)
	require.NoError(t, err)
	assert.Equal(t, timpushtest.CallbackAnswer{Status: 200, Sent: 2}, answer)
	assert.Equal(t, seen[0].body, seen[1].body)
}

func TestSendCallbackErrors(t *testing.T) {
	t.Parallel()
	f := start(t)
	event := timpushtest.Event{"TaskId": "x"}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, send := range map[string]func() (timpushtest.CallbackAnswer, error){
		"no events": func() (timpushtest.CallbackAnswer, error) { return f.SendCallback(t.Context(), receiver(nil)) },
		"101 events": func() (timpushtest.CallbackAnswer, error) {
			return f.SendCallback(t.Context(), receiver(nil), make([]timpushtest.Event, 101)...)
		},
		"two commands": func() (timpushtest.CallbackAnswer, error) {
			return f.SendCallback(t.Context(), receiver(nil), event, timpushtest.Event{"CallbackCommand": "X"})
		},
		"not JSON": func() (timpushtest.CallbackAnswer, error) {
			return f.SendCallback(t.Context(), receiver(nil), timpushtest.Event{"X": func() {}})
		},
		"no receiver": func() (timpushtest.CallbackAnswer, error) { return f.SendCallback(t.Context(), nil, event) },
		"bad URL":     func() (timpushtest.CallbackAnswer, error) { return f.SendCallback(t.Context(), ":", event) },
		"not listening": func() (timpushtest.CallbackAnswer, error) {
			return f.SendCallback(t.Context(), "http://127.0.0.1:1", event)
		},
		"ctx": func() (timpushtest.CallbackAnswer, error) { return f.SendCallback(ended, receiver(nil), event) },
	} {
		_, err := send()
		assert.Error(t, err, name)
	}
}

func TestPushEvents(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithReach(75, 50, 25))
	task := f.push("batch", pushBody(`"To_Account":["a","b","c","d"]`, `"DataId":"campaign"`)).TaskID
	type step struct {
		to          string
		stage, code int
	}
	p := f.Pushes()[0]
	assert.Equal(t, []int{3, 2, 1}, []int{p.Sent, p.Reached, p.Clicked})
	var got []step
	for _, e := range f.PushEvents(task) {
		assert.Equal(t, task, e["TaskId"])
		assert.Equal(t, "campaign", e["DataId"])
		assert.Equal(t, "Push.AllMemberPush", e["CallbackCommand"])
		assert.Equal(t, 1, e["EventType"])
		got = append(got, step{e["To_Account"].(string), e["PushStage"].(int), e["ErrCode"].(int)})
	}
	assert.Equal(t, []step{{"a", 1, 0}, {"a", 2, 0}, {"a", 3, 0}, {"b", 1, 0}, {"b", 2, 0}, {"c", 1, 0}, {"c", 2, 410}, {"d", 1, -2}}, got)
	assert.Nil(t, f.PushEvents("unknown"))
	for e := range f.PushEventSeq(task) {
		assert.Equal(t, "a", e["To_Account"])
		break
	}
}

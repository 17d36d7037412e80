package timpush

import (
	stdjson "encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func fieldsOf(t *testing.T, faults []*InputError) (fields []string) {
	t.Helper()
	for _, fault := range faults {
		assert.NotEmpty(t, fault.Reason)
		assert.LessOrEqual(t, len(fault.Error()), 500)
		fields = append(fields, fault.Field)
	}
	return fields
}

func TestPushRequest(t *testing.T) {
	t.Parallel()
	hello := Notification{Title: "hello"}
	body := []map[string]any{{"MsgType": "TIMTextElem", "MsgContent": map[string]any{"Text": "hi"}}}
	for name, tc := range map[string]struct {
		push Push
		want string
	}{
		"shortest": {Push{Notification: hello}, `{"From_Account":"administrator","OfflinePushInfo":{"Title":"hello"}}`},
		"all": {
			Push{From: "mary", Notification: hello, DataID: "d", MsgRandom: 7, Extra: Extra{"TaskName": "n"}},
			`{"From_Account":"mary","MsgRandom":7,"OfflinePushInfo":{"Title":"hello"},"DataId":"d","TaskName":"n"}`,
		},
		"sender in Extra": {
			Push{Notification: hello, Extra: Extra{"From_Account": "x"}}, `{"OfflinePushInfo":{"Title":"hello"},"From_Account":"x"}`,
		},
		"message alone": {
			Push{Extra: Extra{"MsgBody": body, "OnlineOnlyFlag": 1}, Notification: Notification{Extra: Extra{}}},
			`{"From_Account":"administrator","MsgBody":[{"MsgContent":{"Text":"hi"},"MsgType":"TIMTextElem"}],"OnlineOnlyFlag":1}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Empty(t, tc.push.faults(""))
			got, err := marshal(tc.push.request("administrator"))
			require.NoError(t, err)
			assert.Equal(t, tc.want, string(got))
		})
	}
}

func TestPushFaults(t *testing.T) {
	t.Parallel()
	hello := Notification{Title: "hello"}
	for name, tc := range map[string]struct {
		push   Push
		fields []string
	}{
		"zero":                     {Push{}, []string{"Notification"}},
		"OfflinePushInfo in Extra": {Push{Extra: Extra{"OfflinePushInfo": 1}}, []string{"Notification"}},
		"all at once": {
			Push{From: "a\x00", Notification: Notification{Title: "\xff"}, DataID: strings.Repeat("x", 65), Extra: Extra{"a": func() {}}},
			[]string{"From", "Notification.Title", "DataID", `Extra["a"]`},
		},
		"texts":               {Push{From: "\xff", Notification: hello, DataID: "\xff"}, []string{"From", "DataID"}},
		"DataID of 64 bytes":  {Push{Notification: hello, DataID: strings.Repeat("x", 64)}, nil},
		"bad beside MsgBody":  {Push{Notification: Notification{Ext: "{"}, Extra: Extra{"MsgBody": 1}}, []string{"Notification.Ext"}},
		"who gets it, and ID": {Push{Notification: hello, Extra: Extra{"Condition": nil, "to_account": nil, "MsgRandom": 1}}, []string{`Extra["Condition"]`, `Extra["MsgRandom"]`, `Extra["to_account"]`}},
		"set twice": {
			Push{From: "a", Notification: hello, DataID: "d", Extra: Extra{"From_Account": "b", "OfflinePushInfo": 1, "DataId": "e"}},
			[]string{`Extra["DataId"]`, `Extra["From_Account"]`, `Extra["OfflinePushInfo"]`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.fields, fieldsOf(t, tc.push.faults("")))
		})
	}
	assert.Equal(t, []string{"Push.Notification"}, fieldsOf(t, (&Push{}).faults("Push")))
}

// FuzzPush: a push without a fault is encoded, and encoding/json reads from it what was put in.
func FuzzPush(f *testing.F) {
	f.Add("mary", "title", "data", uint32(7), "TaskName", "n")
	f.Add("", "", "", uint32(0), "MsgBody", "x")
	f.Add("\xff", "\x00", "\xff", uint32(1), "to_account", "")
	f.Fuzz(func(t *testing.T, from, title, dataID string, random uint32, name, value string) {
		p := Push{From: from, Notification: Notification{Title: title}, DataID: dataID, MsgRandom: random, Extra: Extra{name: value}}
		if len(p.faults("")) > 0 {
			return
		}
		body, err := marshal(p.request("administrator"))
		require.NoError(t, err)
		var got map[string]any
		require.NoError(t, stdjson.Unmarshal(body, &got))
		require.Equal(t, value, got[name])
		for member := range got {
			if member != name {
				require.Contains(t, []string{"From_Account", "MsgRandom", "OfflinePushInfo", "DataId"}, member)
			}
		}
		if from != "" {
			require.Equal(t, from, got["From_Account"])
		}
	})
}

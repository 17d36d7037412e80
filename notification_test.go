package timpush

import (
	stdjson "encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// allMembers are the members of OfflinePushInfo that the documentation has, each with a value of the documented type.
const allMembers = `{
	"PushFlag": 1, "Title": "t", "Desc": "d", "Ext": "{\"k\":1}",
	"MultiLanguageContent": [{"Language": "zh-hant", "Title": "t", "Desc": "d"}, {"Language": "en", "Title": "t", "Desc": "d"}],
	"BadgeAddNum": 99, "BadgeSetNum": 0,
	"PushTemplateId": "1400000000-2", "PushTemplateParam": {"ProductID": "b", "UserName": "a"},
	"AndroidInfo": {
		"Sound": "shake", "PushStyle": 1, "XiaoMiChannelID": "x",
		"OPPOChannelID": "o", "OPPOCategory": "IM", "OPPOPrivateMsgTemplateId": "id",
		"OPPOPrivateTitleParameters": {"k1": "v1"}, "OPPOPrivateContentParameters": {"k1": "v1"}, "OPPONotifyLevel": 16,
		"VIVOClassification": 0, "VIVOCategory": "MARKETING", "VIVONotifyType": "4",
		"HuaWeiImportance": "LOW", "HuaWeiCategory": "MARKETING", "HuaWeiImage": "https://a/b.png", "HuaWeiChannelID": "h",
		"HonorImage": "https://a/b.png", "HonorImportance": "NORMAL",
		"GoogleImage": "https://a/b.png", "GooglePriority": "high", "GoogleChannelID": "g",
		"MeiZuNoticeMsgType": 0
	},
	"ApnsInfo": {
		"BadgeMode": 0, "Title": "t", "SubTitle": "s", "Image": "i", "MutableContent": 1, "Sound": "apns.mp3",
		"InterruptionLevel": "time-sensitive", "ContentAvailable": 1, "IsVoipPush": 1,
		"LiveActivity": {"LaId": "timpush", "Event": "end", "ContentState": {"k1": 1, "k2": [true]}, "DismissalDate": 1739502750}
	},
	"HarmonyInfo": {"Title": "t", "Category": "c", "Image": "i", "Sound": "alert.mp3", "SoundDuration": 60}
}`

func TestNotificationHasAllMembers(t *testing.T) {
	t.Parallel()
	var n Notification
	require.NoError(t, stdjson.Unmarshal([]byte(allMembers), &n))
	requireAllSet(t, reflect.ValueOf(n), "Notification")
	assert.Empty(t, n.faults("Notification"))
	got, err := stdjson.Marshal(n)
	require.NoError(t, err)
	assert.JSONEq(t, allMembers, string(got))
}

// requireAllSet fails for a field that is not set, except that every Extra must be empty.
func requireAllSet(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer:
		require.False(t, v.IsNil(), path)
		requireAllSet(t, v.Elem(), path)
	case reflect.Slice:
		require.NotZero(t, v.Len(), path)
		requireAllSet(t, v.Index(0), path)
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if field.Name == "Extra" {
				require.Zero(t, v.Field(i).Len(), "%s: %v", path, v.Field(i))
				continue
			}
			if field.Type.Kind() != reflect.Pointer {
				require.False(t, v.Field(i).IsZero(), "%s.%s", path, field.Name)
			}
			if field.Type.Kind() != reflect.Pointer || field.Type.Elem().Kind() == reflect.Struct {
				requireAllSet(t, v.Field(i), path+"."+field.Name)
			}
			require.False(t, field.Type.Kind() == reflect.Pointer && v.Field(i).IsNil(), "%s.%s", path, field.Name)
		}
	}
}

func TestNotificationLeavesOutWhatIsNotSet(t *testing.T) {
	t.Parallel()
	zero := 0
	for want, n := range map[string]Notification{
		`{}`:                                   {},
		`{"Title":"t"}`:                        {Title: "t", Languages: []Language{}, TemplateParam: map[string]any{}, Extra: Extra{}},
		`{"PushFlag":1}`:                       {ConnectedOnly: true},
		`{"BadgeSetNum":0}`:                    {BadgeSet: &zero},
		`{"ApnsInfo":{"BadgeMode":0}}`:         {APNs: &APNs{BadgeMode: &zero}},
		`{"AndroidInfo":{"New":[1],"Old":2}}`:  {Android: &Android{Extra: Extra{"Old": 2, "New": []int{1}}}},
		`{"Title":"t","Desc":"d","Zoom":null}`: {Title: "t", Extra: Extra{"Zoom": nil, "Desc": "d"}},
	} {
		got, err := json.Marshal(n)
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
}

func TestNotificationKeepsUnknownMembers(t *testing.T) {
	t.Parallel()
	const text = `{"PushFlag":2,"Title":"t","MultiLanguageContent":[{"Language":"en","New":1}],` +
		`"ApnsInfo":{"LiveActivity":{"LaId":"x","New":{"a":1}},"New":"x"},"HarmonyInfo":{"New":true},"AndroidInfo":{"XiaoMiTemplateNew":"1"},"New":[1,2]}`
	var n Notification
	require.NoError(t, json.Unmarshal([]byte(text), &n))
	assert.Equal(t, "1", n.Android.Extra["XiaoMiTemplateNew"])
	assert.Empty(t, n.faults("Notification"))
	got, err := json.Marshal(n)
	require.NoError(t, err)
	assert.JSONEq(t, text, string(got))
}

// TestNumbersOfANotification do not change where they are read and sent again: a float64 would round an ID of 64 bits.
func TestNumbersOfANotification(t *testing.T) {
	t.Parallel()
	const text = `{"PushTemplateParam":{"a":1745678901234567891,"b":[-9007199254740993]},"ApnsInfo":{"LiveActivity":{"ContentState":{"c":9007199254740993}}},` +
		`"New":18446744073709551615,"Small":2,"Part":0.1}`
	var n Notification
	require.NoError(t, json.Unmarshal([]byte(text), &n))
	assert.InDelta(t, 2, n.Extra["Small"], 0)
	got, err := json.Marshal(n)
	require.NoError(t, err)
	task := readContent([]byte(`{"OfflinePushInfo":` + text + `,"New":9007199254740993}`))
	assert.EqualValues(t, 9007199254740993, task.Push.Extra["New"])
	again, err := json.Marshal(task.Push.Notification)
	require.NoError(t, err)
	for _, number := range []string{"1745678901234567891", "-9007199254740993", `"c":9007199254740993`, "18446744073709551615", "0.1"} {
		assert.Contains(t, string(got), number)
		assert.Contains(t, string(again), number)
	}
}

// TestNumbersOfTheStandardLibrary: what its decoder has read with UseNumber, such as a state that comes from a database, is sent as it was.
func TestNumbersOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	const text = `{"big":9007199254740993,"list":[1,-2.50],"text":"5"}`
	decoder := stdjson.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var state map[string]any
	require.NoError(t, decoder.Decode(&state))
	n := Notification{
		Title: "t", TemplateParam: state, Android: &Android{OPPOPrivateTitleParameters: state},
		APNs: &APNs{LiveActivity: &LiveActivity{ContentState: state}}, Extra: Extra{"New": state},
	}
	p := Push{Notification: n, Extra: Extra{"OnlineOnlyFlag": stdjson.Number("1"), "New": state}}
	require.Empty(t, p.faults(""))
	push, err := marshal((&p).request("administrator"))
	require.NoError(t, err)
	at, err := marshal((&Schedule{TaskContent: TaskContent{Push: p}}).request(1400000000, "administrator"))
	require.NoError(t, err)
	revoked, err := marshal(revocation{"task", &n})
	require.NoError(t, err)
	for body, times := range map[string]int{string(push): 5, string(at): 5, string(revoked): 4} {
		assert.Equal(t, times, strings.Count(body, text), body)
	}
	assert.Contains(t, string(push), `"OnlineOnlyFlag":1`)
	for _, bad := range []stdjson.Number{"", "x", "true", "1,2", `"1"`} {
		assert.Len(t, (&Push{Notification: n, Extra: Extra{"New": bad}}).faults(""), 1, bad)
	}
}

// TestExtraAsEncodingJSON: structs of a program were made for that package, and must not set a badge to 0 that they leave out there.
func TestExtraAsEncodingJSON(t *testing.T) {
	t.Parallel()
	type content struct {
		BadgeSetNum int      `json:",omitempty"`
		OnlineOnly  bool     `json:"OnlineOnlyFlag,omitempty"`
		Share       float64  `json:",omitempty"`
		Quoted      bool     `json:",string"`
		Members     []string // nil
		Names       map[string]int
		Digest      [2]byte
		Patience    time.Duration
		Bytes       []byte
		Inner       struct {
			Sound int `json:",omitempty"`
		} `json:",omitempty"`
	}
	type badge struct {
		BadgeSetNum int `json:",omitempty"`
	}
	for _, value := range []any{badge{}, content{}, &content{BadgeSetNum: 1, Quoted: true, Patience: time.Second, Bytes: []byte("a")}, []content{{}}, time.Second} {
		want, err := stdjson.Marshal(value)
		require.NoError(t, err)
		n := Notification{TemplateParam: map[string]any{"New": value}, Android: &Android{OPPOPrivateTitleParameters: map[string]any{"New": value}, Extra: Extra{"New": value}}}
		p := Push{Notification: n, Extra: Extra{"New": value}}
		require.Empty(t, p.faults(""))
		body, err := marshal((&p).request("administrator"))
		require.NoError(t, err)
		assert.Equal(t, 4, strings.Count(string(body), `"New":`+string(want)), "%s in %s", want, body)
	}
}

// TestExtraThatDiffersInCase: the documentation of the service spells members in several ways, so that a program may set two of them to be safe.
func TestExtraThatDiffersInCase(t *testing.T) {
	t.Parallel()
	p := Push{DataID: "d", Extra: Extra{"DataID": "d"}, Notification: Notification{
		Title: "t", Extra: Extra{"title": "t", "TITLE": "t"}, Android: &Android{HuaWeiChannelID: "c", Extra: Extra{"HuaweiChannelID": "c"}},
	}}
	require.Empty(t, p.faults(""))
	body, err := marshal((&p).request("administrator"))
	require.NoError(t, err)
	assert.JSONEq(t, `{"From_Account":"administrator","DataId":"d","DataID":"d","OfflinePushInfo":{"Title":"t","title":"t","TITLE":"t",
		"AndroidInfo":{"HuaWeiChannelID":"c","HuaweiChannelID":"c"}}}`, string(body))
}

func TestNotificationIsZero(t *testing.T) {
	t.Parallel()
	assert.True(t, (&Notification{}).isZero())
	assert.True(t, (&Notification{Languages: []Language{}, TemplateParam: map[string]any{}, Extra: Extra{}}).isZero())
	assert.False(t, (&Notification{ConnectedOnly: true}).isZero())
	assert.False(t, (&Notification{Extra: Extra{"a": 1}}).isZero())
	assert.False(t, (&Notification{BadgeSet: new(int)}).isZero())
}

type notJSON struct{}

func (notJSON) MarshalJSON() ([]byte, error) { return nil, assert.AnError }

func TestNotificationFaults(t *testing.T) {
	t.Parallel()
	number := func(n int) *int { return &n }
	circle := map[string]any{}
	circle["circle"] = circle
	for name, tc := range map[string]struct {
		notification Notification
		fields       []string
	}{
		"zero":            {Notification{}, []string{"N"}},
		"badges too low":  {Notification{BadgeAdd: number(0), BadgeSet: number(-1)}, []string{"N.BadgeAdd", "N.BadgeSet"}},
		"badges too high": {Notification{BadgeAdd: number(100), BadgeSet: number(1000)}, []string{"N.BadgeAdd", "N.BadgeSet"}},
		"badges in range": {Notification{BadgeAdd: number(1), BadgeSet: number(999)}, nil},
		"durations": {
			Notification{Harmony: &Harmony{SoundDuration: 61}}, []string{"N.Harmony.SoundDuration"},
		},
		"negative duration": {
			Notification{Harmony: &Harmony{SoundDuration: -1}}, []string{"N.Harmony.SoundDuration"},
		},
		"Ext":              {Notification{Ext: "{"}, []string{"N.Ext"}},
		"Ext is no UTF-8":  {Notification{Ext: "\"\xff\""}, []string{"N.Ext"}},
		"Ext with doubles": {Notification{Ext: `{"a":1,"a":2}`}, nil},
		"LaID": {
			Notification{APNs: &APNs{LiveActivity: &LiveActivity{LaID: strings.Repeat("x", 65)}}}, []string{"N.APNs.LiveActivity.LaID"},
		},
		"LaID of 64 bytes": {Notification{APNs: &APNs{LiveActivity: &LiveActivity{LaID: strings.Repeat("x", 64)}}}, nil},
		"unknown words":    {Notification{APNs: &APNs{InterruptionLevel: "new"}, Android: &Android{GooglePriority: "new", OPPONotifyLevel: 3}}, nil},
		"texts": {
			Notification{
				Title: "\xff", Languages: []Language{{}, {Desc: "\xff"}}, Android: &Android{Sound: "\xff"},
				APNs: &APNs{SubTitle: "\xff", LiveActivity: &LiveActivity{Event: "\xff"}}, Harmony: &Harmony{Image: "\xff"},
			},
			[]string{"N.Title", "N.Languages[1].Desc", "N.Android.Sound", "N.APNs.SubTitle", "N.APNs.LiveActivity.Event", "N.Harmony.Image"},
		},
		"set twice": {
			Notification{
				Title: "t", ConnectedOnly: true, BadgeSet: number(0), Extra: Extra{"Title": "", "PushFlag": 1, "BadgeSetNum": 1, "Desc": ""},
				Android:   &Android{OPPOPrivateMsgTemplateID: "x", Extra: Extra{"OPPOPrivateMsgTemplateId": "y", "Sound": "z"}},
				Languages: []Language{{Language: "en", Extra: Extra{"Language": "de"}}},
			},
			[]string{
				`N.Languages[0].Extra["Language"]`, `N.Android.Extra["OPPOPrivateMsgTemplateId"]`, `N.Extra["Title"]`, `N.Extra["BadgeSetNum"]`,
				`N.Extra["PushFlag"]`,
			},
		},
		"no JSON": {
			Notification{
				Extra:         Extra{"a": math.NaN(), "b": func() {}, "c": circle, "d": notJSON{}, "e": stdjson.RawMessage("{"), "f": "\xff", "\xff": 1, "g": nil},
				TemplateParam: map[string]any{"x": make(chan int)},
				Android:       &Android{OPPOPrivateTitleParameters: map[string]any{"y": func() {}}},
				APNs:          &APNs{LiveActivity: &LiveActivity{ContentState: map[string]any{"z": math.Inf(1)}}},
			},
			[]string{
				`N.TemplateParam["x"]`, `N.Android.OPPOPrivateTitleParameters["y"]`, `N.APNs.LiveActivity.ContentState["z"]`,
				`N.Extra["a"]`, `N.Extra["b"]`, `N.Extra["c"]`, `N.Extra["d"]`, `N.Extra["e"]`, `N.Extra["f"]`, `N.Extra["\xff"]`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fields []string
			for _, fault := range tc.notification.faults("N") {
				fields = append(fields, fault.Field)
				assert.Equal(t, -1, fault.Index)
				assert.NotEmpty(t, fault.Reason)
				assert.NotContains(t, fault.Error(), assert.AnError.Error(), "what fails may print what it holds")
			}
			assert.Equal(t, tc.fields, fields)
			if tc.fields == nil {
				_, err := json.Marshal(tc.notification)
				require.NoError(t, err)
			}
		})
	}
}

func TestNotificationIsEncodedInOneOrder(t *testing.T) {
	t.Parallel()
	extra := Extra{}
	for _, name := range slices.Sorted(slices.Values(strings.Split("qwertyuiopasdfghjklzxcvbnm", ""))) {
		extra[name] = map[string]any{"b": 1, "a": 2}
	}
	first, err := json.Marshal(Notification{Extra: extra, TemplateParam: extra})
	require.NoError(t, err)
	for range 20 {
		again, err := json.Marshal(Notification{Extra: extra, TemplateParam: extra})
		require.NoError(t, err)
		require.Equal(t, string(first), string(again))
	}
}

// FuzzNotification: what has no fault is encoded, encoding/json reads from it what was put in, and Notification reads it
// too, unless Extra has a value of another type than the field of that name.
func FuzzNotification(f *testing.F) {
	f.Add("title", "desc", `{"a":1}`, "name", "value", 1, 1)
	f.Add("小明 😀", "\u2028<&>\x00", "", "Title", "", 0, 60)
	f.Add("\xff", "", "{", "", "\xff", 100, 61)
	f.Add("", "", "", "PushFlag", "1", 99, -1)
	f.Add("", "", "", "ApnsInfo", "1", 99, 0)
	f.Add("", "", "", "PushStyle", "1", 99, 0)
	var fields map[string]any
	require.NoError(f, stdjson.Unmarshal([]byte(allMembers), &fields))
	android, ok := fields["AndroidInfo"].(map[string]any)
	require.True(f, ok)
	maps.Copy(fields, android)
	f.Fuzz(func(t *testing.T, title, desc, ext, name, value string, badge, seconds int) {
		n := Notification{
			Title: title, Ext: ext, BadgeAdd: &badge, Languages: []Language{{Language: value, Title: title, Desc: desc}},
			Harmony: &Harmony{Sound: value, SoundDuration: seconds}, Android: &Android{Sound: title, Extra: Extra{name: value}},
			Extra: Extra{name: value},
		}
		faults := n.faults("Notification")
		for _, fault := range faults {
			assert.LessOrEqual(t, len(fault.Error()), 500)
		}
		if len(faults) > 0 {
			return
		}
		require.True(t, badge >= 1 && badge <= 99 && seconds >= 0 && seconds <= 60 && utf8.ValidString(title+desc+ext+name+value))
		body, err := json.Marshal(n)
		require.NoError(t, err)
		var got map[string]any
		require.NoError(t, stdjson.Unmarshal(body, &got), string(body))
		require.Equal(t, value, got[name])
		if title != "" {
			require.Equal(t, title, got["Title"])
		}
		if _, isField := fields[name]; isField {
			return
		}
		var again Notification
		require.NoError(t, json.Unmarshal(body, &again))
		twice, err := json.Marshal(again)
		require.NoError(t, err)
		require.JSONEq(t, string(body), string(twice))
	})
}

// FuzzNotificationJSON: what is read as a notification is written with the same members.
func FuzzNotificationJSON(f *testing.F) {
	f.Add(allMembers)
	f.Add(`{"PushFlag":-1,"Extra":{"a":null},"notificationFields":1}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		var n Notification
		if json.Unmarshal([]byte(text), &n) != nil {
			return
		}
		once, err := json.Marshal(n)
		require.NoError(t, err)
		var again Notification
		require.NoError(t, json.Unmarshal(once, &again), string(once))
		twice, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))
	})
}

// TestPushFlagOfAnotherNumber is kept, and the shortest sound is one.
func TestPushFlagOfAnotherNumber(t *testing.T) {
	t.Parallel()
	var n Notification
	require.NoError(t, stdjson.Unmarshal([]byte(`{"PushFlag":2,"HarmonyInfo":{"SoundDuration":1}}`), &n))
	assert.Equal(t, Extra{"PushFlag": 2}, n.Extra)
	assert.Empty(t, n.faults("Notification"))
	again, err := stdjson.Marshal(n)
	require.NoError(t, err)
	assert.JSONEq(t, `{"PushFlag":2,"HarmonyInfo":{"SoundDuration":1}}`, string(again))
}

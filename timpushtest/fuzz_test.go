package timpushtest_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// FuzzUserSig looks for a signature that is accepted without having been signed with the key.
func FuzzUserSig(f *testing.F) {
	good := newSigner()
	packed := deflate(mustJSON(good.fields()), 9)
	f.Add(packed)
	f.Add(deflate(mustJSON(good.fields()), 0))
	f.Add(deflate([]byte(`{"TLS.ver":"2.0"}`), 9))
	f.Add(packed[:len(packed)-4])
	f.Add([]byte{})
	fake := start(f, timpushtest.WithQuota(0))
	f.Fuzz(func(t *testing.T, packed []byte) {
		fx := fixture{TB: t, Server: fake.Server, client: fake.client}
		for _, text := range []string{escape(packed), string(packed)} {
			r := goodRequest(okBody)
			r.query.Set("usersig", text)
			a := fx.send(r)
			assertEnvelope(t, a)
			if a.Code == 0 {
				requireSigned(t, text)
			}
		}
	})
}

// requireSigned takes a signature apart with code of its own and signs its fields again.
func requireSigned(t *testing.T, text string) {
	t.Helper()
	packed, err := base64.StdEncoding.DecodeString(strings.NewReplacer("*", "+", "-", "/", "_", "=").Replace(text))
	require.NoError(t, err)
	r, err := zlib.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	fields := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	require.NoError(t, d.Decode(&fields))
	number := func(name string) int64 {
		n, err := fields[name].(json.Number).Int64()
		require.NoError(t, err)
		return n
	}
	s := signer{
		app: int(number("TLS.sdkappid")), user: fields["TLS.identifier"].(string), key: testKey,
		time: number("TLS.time"), expire: number("TLS.expire"),
	}
	s.buf, _ = fields["TLS.userbuf"].(string)
	assert.Equal(t, testApp, s.app)
	assert.Equal(t, testUser, s.user)
	assert.Equal(t, s.mac(), fields["TLS.sig"])
}

// fuzzBodies sends bodies to a command, with the documented rules and with many fields of the Variant set. Each answer must
// be a proper one, and the store and the names legal.
func fuzzBodies(f *testing.F, command string, further []string, seeds ...string) {
	for _, body := range append(seeds, "", "{", "{}", "null", "[]", "\xff") {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, opts := range [][]timpushtest.Option{nil, {
			timpushtest.WithKnownAccounts("a", "xiaoming"),
			with(variant{
				InvalidAttrPerAccount: true, LongValue: timpushtest.LongValueCut, Duplicates: timpushtest.DuplicatesListed,
				EmptyAccepted: true, UnknownNamesIgnored: true, PartialApply: true, EscapedLength: true, EmptyNameClears: true,
				FoldedNames: true, UndocumentedAccepted: true, EmptyCondition: timpushtest.EmptyConditionEverybody, TagsNotAny: true,
			}),
		}} {
			fx := start(t, opts...)
			fx.post(okBody)
			fx.call("add_sched_task", newTask("All", farAway)) // the first one has the number 4294967297
			a := fx.call(command, string(body))
			assert.Equal(t, 200, a.HTTP)
			if a.Code == 0 && a.Info != nil && *a.Info == statsInfo {
				*a.Info = ""
			}
			assertEnvelope(t, a, further...)
			assert.Contains(t, []int{
				0, 60003, 90001, 90002, 90005, 90007, 90010, 90011, 90018, 90020, 90022, 90026, 90032, 90033, 90039, 90040, 90049,
				90050, 90053, 90056, 90057, 90104, 90107,
			}, a.Code)
			assert.LessOrEqual(t, len(fx.Pushes()), 1)
			if a.Code == 0 && strings.Contains("push batch", command) {
				assert.Len(t, fx.Pushes(), 1)
			}
			assertLegal(t, fx)
			fx.Close()
		}
	})
}

// assertLegal checks the limits of what a fake holds.
func assertLegal(t *testing.T, fx fixture) {
	t.Helper()
	seen := map[string]bool{}
	for _, name := range fx.AttrNames() {
		assert.GreaterOrEqual(t, name.Index, 0)
		assert.Less(t, name.Index, 10)
		assert.NotEmpty(t, name.Name)
		assert.LessOrEqual(t, len(name.Name), 50)
		assert.False(t, seen[name.Name], "twice")
		assert.False(t, name.Index < 3 && name.RegistrationID, "sex, city and country had their type")
		seen[name.Name] = true
	}
	for _, account := range fx.Accounts() {
		for name, value := range fx.Attrs(account) {
			assert.True(t, seen[name])
			assert.LessOrEqual(t, len(value), 50)
		}
	}
	for _, account := range []string{"a", "b", "xiaoming", uuid} {
		tags := fx.Tags(account)
		assert.LessOrEqual(t, len(tags), 100)
		assert.True(t, slices.IsSorted(tags))
		for _, tag := range tags {
			assert.NotEmpty(t, tag)
			assert.LessOrEqual(t, len(tag), 50)
		}
	}
}

func FuzzBody(f *testing.F) {
	fuzzBodies(f, "set_attr", nil,
		okBody, `{"UserAttrs":[]}`, `{"UserAttrs":[null]}`, users(2),
		entries("a", `{"sex":1}`), entries("a", `{"age":"1"}`), entries(uuid, `{"sex":"\ud800"}`),
	)
}

func FuzzGetAttr(f *testing.F) {
	fuzzBodies(f, "get_attr", []string{"UserAttrs"},
		accounts("xiaoming", "Mary"), `{"To_Account":[]}`, `{"To_Account":[null,1]}`, accounts("a", "a"), `{"To_Account":["\ud800"]}`,
	)
}

func FuzzRemoveAttr(f *testing.F) {
	fuzzBodies(f, "remove_attr", nil,
		entries("xiaoming", `["sex","city"]`), entries("a", `["sex","age"]`), entries("a", `[]`), entries(uuid, `[null]`), okBody,
	)
}

func FuzzSetAttrName(f *testing.F) {
	fuzzBodies(f, "set_attr_name", nil,
		`{"AttrNames":{"3":"age","9":"device"},"AttrTypes":{"9":1}}`, `{"AttrNames":{"0":""}}`, `{"AttrNames":{"0":"SEX"}}`,
		`{"AttrNames":{"0":"city","1":"sex"}}`, `{"AttrNames":{"10":"age"},"AttrTypes":{"0":null}}`, `{"AttrNames":{"0":"a"},"AttrTypes":{"0":1}}`,
	)
}

func FuzzGetAttrName(f *testing.F) {
	fuzzBodies(f, "get_attr_name", []string{"AttrNames", "AttrTypes"}, `{"X":1}`)
}

func FuzzAddTag(f *testing.F) {
	fuzzBodies(f, "add_tag", nil,
		userTags("a", `["x","y"]`, uuid, `["x"]`), replacing("1", "a", `[]`), replacing("0", "a", tagList("", 11)),
		userTags("b", `["",null,1]`), userTags("a", `["\ud800"]`), `{"UserTags":[null]}`,
	)
}

func FuzzRemoveTag(f *testing.F) {
	fuzzBodies(f, "remove_tag", nil, userTags("a", `["x","y"]`), replacing("1", "a", `["x"]`), userTags("b", `[]`))
}

func FuzzClearAllTags(f *testing.F) {
	fuzzBodies(f, "clear_all_tags", nil, accounts("a", "b"), accounts("a", "a"), `{"To_Account":[1]}`)
}

func FuzzGetTag(f *testing.F) {
	fuzzBodies(f, "get_tag", []string{"UserTags"}, accounts("a", "b"), accounts("a", "a"), `{"To_Account":[1]}`)
}

func FuzzPush(f *testing.F) {
	var seeds []string
	for _, tc := range pushCases {
		if len(tc.body) < 1000 {
			seeds = append(seeds, tc.body)
		}
	}
	fuzzBodies(f, "push", []string{"TaskId"}, append(seeds,
		pushBody(`"Condition":{"AttrsAnd":{"sex":"male"},"AttrsOr":{"city":"ShenZhen"}}`),
		pushBody(`"OfflinePushInfo":{"ApnsInfo":{"LiveActivity":{"LaId":"1","ContentState":{}}},"AndroidInfo":{"VIVONotifyType":"1"}}`),
	)...)
}

func FuzzBatch(f *testing.F) {
	fuzzBodies(f, "batch", []string{"TaskId"},
		batchBody("a", "b", "xiaoming"), batchBody(), pushBody(`"To_Account":[null]`), pushBody(`"To_Account":["a"]`, `"DataId":"x"`),
	)
}

func FuzzRevoke(f *testing.F) {
	fuzzBodies(f, "revoke", nil, `{"TaskId":"x","OfflinePushInfo":{"PushFlag":1}}`, `{"TaskId":"batch_x"}`, `{"TaskId":1,"OfflinePushInfo":null}`)
}

const farAway = "2099-01-01 00:00:00"

func FuzzAddTask(f *testing.F) {
	const at = farAway
	fuzzBodies(f, "add_sched_task", []string{"TaskID"},
		newTask("All", at), newTask("Tag", at, `"Condition":{"TagsOr":["x"]}`), newTask("User", at, `"To_Account":["a"]`),
		newTask("All", at, `"MsgRandom":7`), newTask("User", at), newTask("All", "yesterday"),
	)
}

func FuzzModifyTask(f *testing.F) {
	fuzzBodies(f, "modify_sched_task", []string{"TaskID"},
		taskBody(`"TaskID":4294967297`, `"Type":"All"`, content()), taskBody(`"TaskID":"1"`, `"Type":"User"`, `"SchedAt":"2099-01-01 00:00:00"`),
	)
}

func FuzzDeleteTask(f *testing.F) {
	fuzzBodies(f, "delete_sched_task", []string{"TaskID"},
		taskBody(`"TaskID":4294967297`, `"Type":"All"`), taskBody(`"TaskID":4294967297`, `"Type":"Tag"`), taskBody(`"TaskID":"1"`, `"Type":"User"`),
	)
}

func FuzzGetTask(f *testing.F) {
	fuzzBodies(f, "get_sched_task", []string{"TaskInfo"}, taskBody(`"TaskID":4294967297`), taskBody(`"TaskID":-1`), taskBody(`"TaskID":null`))
}

func FuzzListTasks(f *testing.F) {
	fuzzBodies(f, "list_sched_task", []string{"Total", "Tasks"},
		taskBody(`"Offset":0`, `"Want":1`, `"OrderBy":"schedat"`, `"Asc":true`, `"BeginTime":"1999-01-01 00:00:00"`, `"EndTime":"2099-01-01 00:00:00"`),
		taskBody(`"Offset":9223372036854775807`, `"Want":9223372036854775807`, `"OrderBy":"createAt"`, `"Asc":false`,
			`"BeginTime":"1999-01-01 00:00:00"`, `"EndTime":"2099-01-01 00:00:00"`, `"Keyword":"x"`),
	)
}

// spans are seeds for the commands about a time.
var spans = []string{
	`{"StartTime":1,"EndTime":2,"TaskID":["x"]}`, `{"StartTime":-9223372036854775808,"EndTime":9223372036854775807,"TaskID":[]}`,
	`{"StartTime":"1","EndTime":2}`,
}

func FuzzPushStatistics(f *testing.F) {
	fuzzBodies(f, "all_member_push_statistics", []string{"Results"}, spans...)
}

func FuzzPushLoss(f *testing.F) {
	fuzzBodies(f, "all_member_push_loss", []string{"Results"}, spans...)
}

func FuzzPushTrace(f *testing.F) {
	fuzzBodies(f, "all_member_push_trace", []string{"InstanceTrace"}, `{"TaskID":"x","UserID":"y"}`, `{"TaskID":1,"UserID":null}`)
}

func FuzzChatStatistics(f *testing.F) {
	fuzzBodies(f, "normal_push_statistics", []string{"TotalCount", "SentCount", "DeliveredCount", "ClickCount", "PlatformStatistics"}, spans...)
}

func FuzzChatLoss(f *testing.F) {
	lists := []string{"ReadyToSendLoss", "PostSendDeliveredLoss", "PlatformReadyToSendLoss", "PlatformPostSendDeliveredLoss"}
	fuzzBodies(f, "normal_push_loss", lists, spans...)
}

func FuzzChatTrace(f *testing.F) {
	fuzzBodies(f, "normal_push_trace", []string{"InstanceTrace"}, `{"PushID":"x"}`, `{"PushID":""}`, `{"PushID":[]}`)
}

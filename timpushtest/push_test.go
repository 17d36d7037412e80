package timpushtest_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

const info = `{"PushFlag":0,"Title":"t","Desc":"d"}`

// taskID are the forms of page 60561 and 67553.
var taskID = regexp.MustCompile(`^(batch_)?[0-9a-f]{8}_[0-9a-f]{8}_2[0-9a-f]{14}_[0-9a-f]{8}_[0-9a-f]{6}$`)

var lastRandom atomic.Uint32

// pushBody builds a body of push with further fields, such as `"Condition":{}`.
func pushBody(fields ...string) string {
	return body(append([]string{`"From_Account":"administrator"`, `"OfflinePushInfo":` + info}, fields...)...)
}

// batchBody builds a body of batch.
func batchBody(accounts ...string) string {
	return pushBody(`"To_Account":` + string(mustJSON(accounts)))
}

// body builds an object. One without MsgRandom gets one; of two fields of one name, the later stays.
func body(fields ...string) string {
	all := map[string]json.RawMessage{"MsgRandom": json.RawMessage(fmt.Sprint(nextRandom()))}
	for _, field := range fields {
		if err := json.Unmarshal([]byte("{"+field+"}"), &all); err != nil {
			panic(field)
		}
	}
	for name, raw := range all {
		if string(raw) == `"absent"` {
			delete(all, name)
		}
	}
	return string(mustJSON(all))
}

type receipt struct {
	Code      int    `json:"ErrorCode"`
	TaskID    string `json:"TaskId"`
	ErrorList []item
}

// push calls push or batch and reads the TaskId.
func (f fixture) push(command, body string) receipt {
	f.Helper()
	a := f.call(command, body)
	assertEnvelope(f, a, "TaskId")
	var r receipt
	require.NoError(f, json.Unmarshal([]byte(a.Raw), &r))
	if r.Code == 0 {
		assert.Regexp(f, taskID, r.TaskID)
	} else {
		assert.Empty(f, r.TaskID)
	}
	return r
}

// revoke calls revoke.
func (f fixture) revoke(task string) int {
	f.Helper()
	a := f.call("revoke", fmt.Sprintf(`{"TaskId":%q,"OfflinePushInfo":%s}`, task, info))
	assertEnvelope(f, a)
	return a.Code
}

// audience returns whom a push with a Condition reaches.
func (f fixture) audience(condition string) []string {
	f.Helper()
	r := f.push("push", pushBody(`"Condition":`+condition))
	require.Equal(f, 0, r.Code)
	pushes := f.Pushes()
	last := pushes[len(pushes)-1]
	assert.Equal(f, r.TaskID, last.TaskID)
	return last.Accounts
}

// people have attributes and tags of all kinds.
func people(t *testing.T, opts ...timpushtest.Option) fixture {
	f := start(t, append([]timpushtest.Option{
		timpushtest.WithQuota(0), timpushtest.WithAttrNames("level", "city"), timpushtest.WithRegistrationAttrNames("model"),
		timpushtest.WithRegistrationIDs("device"),
	}, opts...)...)
	a := f.post(entries(
		"ann", `{"level":"gold","city":"Rome"}`, "bob", `{"level":"gold","city":"Oslo"}`,
		"cid", `{"level":"silver","city":"Rome"}`, "device", `{"model":"X1"}`,
	))
	require.Empty(t, a.ErrorList, a.Raw)
	f.tag("ann", `["A","C"]`, "bob", `["B"]`, "cid", `["A","B","C","D"]`, "dan", `["E"]`, uuid, `["R"]`)
	return f
}

func TestAudiences(t *testing.T) {
	t.Parallel()
	f := people(t)
	for condition, want := range map[string][]string{
		`{"AttrsAnd":{"level":"gold"}}`:                                         {"ann", "bob"},
		`{"AttrsAnd":{"level":"gold","city":"Rome"}}`:                           {"ann"},
		`{"AttrsOr":{"level":"silver","city":"Oslo"}}`:                          {"bob", "cid"},
		`{"AttrsAnd":{"city":"Rome"},"AttrsOr":{"level":"silver"}}`:             {"cid"},
		`{"AttrsAnd":{"city":"Rome"},"AttrsOr":{"city":"Oslo"}}`:                nil,
		`{"AttrsAnd":{"city":"Rome"},"AttrsOr":{"city":"Rome","level":"gold"}}`: {"ann", "cid"},
		`{"AttrsAnd":{"level":"Gold"}}`:                                         nil,
		`{"AttrsAnd":{"model":"X1"}}`:                                           {"device"},
		`{"AttrsOr":{"model":"X1","level":"silver"}}`:                           {"cid", "device"},
		`{"TagsAnd":["A"]}`:                                                     {"ann", "cid"},
		`{"TagsAnd":["A","B"]}`:                                                 {"cid"},
		`{"TagsOr":["A","B"]}`:                                                  {"ann", "bob", "cid"},
		`{"TagsAnd":["A"],"TagsOr":["D","E"]}`:                                  {"cid"},
		`{"TagsOr":["A","B"],"TagsNot":["C","D"]}`:                              {"ann", "bob"},
		`{"TagsAnd":["C"],"TagsNot":["B"]}`:                                     {"ann"},
		`{"TagsNot":["A"]}`:                                                     {uuid, "bob", "dan", "device"},
		`{"TagsOr":["R"]}`:                                                      {uuid},
		`{"TagsOr":["unused"]}`:                                                 nil,
	} {
		assert.Equal(t, want, f.audience(condition), condition)
	}
	r := f.push("push", pushBody())
	require.Equal(t, 0, r.Code)
	pushes := f.Pushes()
	last := pushes[len(pushes)-1]
	assert.Equal(t, []string{uuid, "ann", "bob", "cid", "dan", "device"}, last.Accounts)
	assert.Equal(t, timpushtest.PushAll, last.Kind)
	assert.WithinDuration(t, time.Now(), last.Time, time.Minute)
	assert.False(t, last.Revoked)
	calls := f.Calls()
	assert.Equal(t, calls[len(calls)-1].Body, last.Body)
	assert.Equal(t, map[timpushtest.PushKind]int{timpushtest.PushAll: 1, timpushtest.PushAttr: 9, timpushtest.PushTag: 9}, kinds(pushes))
}

func kinds(pushes []timpushtest.Push) map[timpushtest.PushKind]int {
	n := map[timpushtest.PushKind]int{}
	for _, p := range pushes {
		n[p.Kind]++
	}
	return n
}

func TestAudienceVariants(t *testing.T) {
	t.Parallel()
	everybody := []string{uuid, "ann", "bob", "cid", "dan", "device"}
	for name, tc := range map[string]struct {
		variant   variant
		condition string
		code      int
		want      []string
	}{
		"empty":                   {variant{}, `{}`, 90001, nil},
		"empty, everybody":        {variant{EmptyCondition: timpushtest.EmptyConditionEverybody}, `{}`, 0, everybody},
		"empty, none":             {variant{EmptyCondition: timpushtest.EmptyConditionNone}, `{}`, 0, nil},
		"no tags":                 {variant{}, `{"TagsAnd":[]}`, 90001, nil},
		"no attributes":           {variant{}, `{"AttrsOr":{}}`, 90001, nil},
		"no tags, accepted":       {variant{EmptyAccepted: true}, `{"TagsAnd":[],"AttrsAnd":{}}`, 90001, nil},
		"no tags, everybody":      {variant{EmptyAccepted: true, EmptyCondition: timpushtest.EmptyConditionEverybody}, `{"TagsAnd":[]}`, 0, everybody},
		"no tags beside others":   {variant{EmptyAccepted: true}, `{"TagsAnd":[],"TagsOr":["E"]}`, 0, []string{"dan"}},
		"TagsNot alone":           {variant{TagsNotAloneRefused: true}, `{"TagsNot":["A"]}`, 90001, nil},
		"TagsNot not alone":       {variant{TagsNotAloneRefused: true}, `{"TagsNot":["A"],"TagsOr":["B"]}`, 0, []string{"bob"}},
		"TagsNot any":             {variant{TagsNotAny: true}, `{"TagsOr":["A","B"],"TagsNot":["C","D"]}`, 0, []string{"bob"}},
		"unknown member":          {variant{}, `{"Tags":["A"]}`, 90001, nil},
		"unknown member accepted": {variant{UndocumentedAccepted: true}, `{"Tags":["A"],"TagsOr":["E"]}`, 0, []string{"dan"}},
		"folded names":            {variant{FoldedNames: true}, `{"AttrsAnd":{"LEVEL":"silver"}}`, 0, []string{"cid"}},
		"value number":            {variant{NonStringCode: 90033}, `{"AttrsAnd":{"level":1}}`, 90033, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := people(t, with(tc.variant))
			r := f.push("push", pushBody(`"Condition":`+tc.condition))
			assert.Equal(t, tc.code, r.Code)
			if tc.code != 0 {
				assert.Empty(t, f.Pushes())
				return
			}
			assert.Equal(t, tc.want, f.Pushes()[0].Accounts)
		})
	}
}

// TestEverybodyIsWhoeverIsKnown by attributes, by tags, and by options.
func TestEverybodyIsWhoeverIsKnown(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithKnownAccounts("a", "b"), timpushtest.WithRegistrationIDs("r"), with(variant{UnknownStored: true}))
	f.post(entries("c", `{"city":"x"}`))
	f.tag("d", `["x"]`)
	f.call("clear_all_tags", accounts("d"))
	require.Equal(t, 0, f.push("push", pushBody()).Code)
	assert.Equal(t, []string{"a", "b", "c", "d", "r"}, f.Pushes()[0].Accounts)
}

func TestAttributesAreMatchedAsTheyAreRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, with(variant{ReadDelay: time.Minute}))
		f.post(entries("a", `{"city":"Rome"}`))
		assert.Empty(t, f.audience(`{"AttrsAnd":{"city":"Rome"}}`))
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"a"}, f.audience(`{"AttrsAnd":{"city":"Rome"}}`))
	})
}

// pushCase is a body and its code.
type pushCase struct {
	command, body string
	code          int
	accepted      bool // with UndocumentedAccepted
}

var tagsOr11 = `"Condition":{"TagsOr":` + tagList("", 11) + `}`

var pushCases = map[string]pushCase{
	"empty":                   {"push", "", 60003, false},
	"no fields":               {"push", "{}", 90005, false},
	"array":                   {"push", "[]", 90001, false},
	"unknown field":           {"push", pushBody(`"X":1`), 90001, true},
	"no MsgRandom":            {"push", pushBody(`"MsgRandom":"absent"`), 90005, false},
	"MsgRandom text":          {"push", pushBody(`"MsgRandom":"1"`), 90005, false},
	"MsgRandom fraction":      {"push", pushBody(`"MsgRandom":1.5`), 90005, false},
	"MsgRandom negative":      {"push", pushBody(`"MsgRandom":-1`), 90005, false},
	"MsgRandom 33 bits":       {"push", pushBody(`"MsgRandom":4294967296`), 90005, false},
	"MsgRandom 32 bits":       {"push", pushBody(`"MsgRandom":4294967295`), 0, false},
	"MsgRandom 0":             {"push", pushBody(`"MsgRandom":0`), 0, false},
	"no sender":               {"push", pushBody(`"From_Account":"absent"`), 0, false},
	"sender empty":            {"push", pushBody(`"From_Account":""`), 90001, false},
	"sender number":           {"push", pushBody(`"From_Account":1`), 90001, false},
	"no info":                 {"push", pushBody(`"OfflinePushInfo":"absent"`), 90001, false},
	"info null":               {"push", pushBody(`"OfflinePushInfo":null`), 90001, false},
	"info empty":              {"push", pushBody(`"OfflinePushInfo":{}`), 0, false},
	"message":                 {"push", pushBody(`"OfflinePushInfo":"absent"`, `"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}]`, `"OnlineOnlyFlag":1`, `"MsgLifeTime":604800`), 0, false},
	"message and info":        {"push", pushBody(`"MsgBody":[{"MsgType":"TIMCustomElem","MsgContent":{}}]`), 0, false},
	"message object":          {"push", pushBody(`"MsgBody":{}`), 90007, false},
	"message of texts":        {"push", pushBody(`"MsgBody":["x"]`), 90007, false},
	"message empty":           {"push", pushBody(`"MsgBody":[]`), 90002, false},
	"message type":            {"push", pushBody(`"MsgBody":[{"MsgType":"TIMNewElem","MsgContent":{}}]`), 90010, true},
	"message type number":     {"push", pushBody(`"MsgBody":[{"MsgType":1,"MsgContent":{}}]`), 90010, false},
	"message without content": {"push", pushBody(`"MsgBody":[{"MsgType":"TIMTextElem"}]`), 90010, false},
	"OnlineOnlyFlag 2":        {"push", pushBody(`"OnlineOnlyFlag":2`), 90001, false},
	"MsgLifeTime 604801":      {"push", pushBody(`"MsgLifeTime":604801`), 90026, false},
	"MsgLifeTime text":        {"push", pushBody(`"MsgLifeTime":"1"`), 90026, false},
	"DataId 64":               {"push", pushBody(`"DataId":"` + strings.Repeat("x", 64) + `"`), 0, false},
	"DataId 65":               {"push", pushBody(`"DataId":"` + strings.Repeat("x", 65) + `"`), 90057, false},
	"DataId number":           {"push", pushBody(`"DataId":1`), 90001, false},
	"TaskName 20":             {"push", pushBody(`"TaskName":"` + strings.Repeat("x", 20) + `"`), 0, false},
	"TaskName 21":             {"push", pushBody(`"TaskName":"` + strings.Repeat("x", 21) + `"`), 90001, false},
	"To_Account":              {"push", pushBody(`"To_Account":["a"]`), 90001, true},
	"10 KB":                   {"push", sized(10 << 10), 0, false},
	"more than 10 KB":         {"push", sized(10<<10 + 1), 90056, false},
	"condition null":          {"push", pushBody(`"Condition":null`), 90001, false},
	"condition array":         {"push", pushBody(`"Condition":[]`), 90001, false},
	"tags text":               {"push", pushBody(`"Condition":{"TagsOr":"x"}`), 90001, false},
	"tags null":               {"push", pushBody(`"Condition":{"TagsOr":null}`), 90001, false},
	"tag number":              {"push", pushBody(`"Condition":{"TagsOr":[1]}`), 90001, false},
	"tag empty":               {"push", pushBody(`"Condition":{"TagsOr":["x",""]}`), 90040, false},
	"tag 51 bytes":            {"push", pushBody(`"Condition":{"TagsNot":["` + strings.Repeat("x", 51) + `"]}`), 90020, false},
	"10 tags":                 {"push", pushBody(`"Condition":{"TagsOr":` + tagList("", 10) + `,"TagsNot":` + tagList("", 10) + `}`), 0, false},
	"11 tags":                 {"push", pushBody(tagsOr11), 90032, false},
	"shared tag":              {"push", pushBody(`"Condition":{"TagsOr":["x","y"],"TagsAnd":["y"]}`), 90022, false},
	"tags and attributes":     {"push", pushBody(`"Condition":{"TagsOr":["x"],"AttrsOr":{"city":"x"}}`), 90039, false},
	"unknown attribute":       {"push", pushBody(`"Condition":{"AttrsAnd":{"age":"1"}}`), 90033, false},
	"attribute number":        {"push", pushBody(`"Condition":{"AttrsAnd":{"city":1}}`), 90001, false},
	"attributes array":        {"push", pushBody(`"Condition":{"AttrsAnd":["city"]}`), 90001, false},

	"batch":                {"batch", batchBody("a", uuid), 0, false},
	"batch, no fields":     {"batch", "{}", 90001, false},
	"batch, no sender":     {"batch", pushBody(`"To_Account":["a"]`, `"From_Account":"absent"`), 90001, false},
	"batch, no random":     {"batch", pushBody(`"To_Account":["a"]`, `"MsgRandom":"absent"`), 90001, false},
	"batch, random text":   {"batch", pushBody(`"To_Account":["a"]`, `"MsgRandom":"x"`), 90001, false},
	"batch, no info":       {"batch", pushBody(`"To_Account":["a"]`, `"OfflinePushInfo":"absent"`), 90001, false},
	"batch, no accounts":   {"batch", pushBody(), 90001, false},
	"batch, empty":         {"batch", pushBody(`"To_Account":[]`), 90001, false},
	"batch, text":          {"batch", pushBody(`"To_Account":"a"`), 90001, false},
	"batch, number":        {"batch", pushBody(`"To_Account":["a",1]`), 90001, false},
	"batch, account empty": {"batch", batchBody("a", ""), 90001, false},
	"batch, condition":     {"batch", pushBody(`"To_Account":["a"]`, `"Condition":{"TagsOr":["x"]}`), 90001, true},
	"batch, DataId 65":     {"batch", pushBody(`"To_Account":["a"]`, `"DataId":"`+strings.Repeat("x", 65)+`"`), 90057, false},
	"batch of 500":         {"batch", batchBody(numbered(500)...), 0, false},
	"batch of 501":         {"batch", batchBody(numbered(501)...), 90011, false},
	"batch over 10 KB":     {"batch", strings.Replace(sized(11<<10), `"Desc"`, `"Title"`, 1), 90001, false},
}

func nextRandom() uint32 { return lastRandom.Add(1) }

func numbered(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("user", i))
	}
	return list
}

// sized builds a body of push of n bytes.
func sized(n int) string {
	build := func(pad int) string {
		return pushBody(`"MsgRandom":1`, `"OfflinePushInfo":{"Desc":"`+strings.Repeat("x", pad)+`"}`)
	}
	return build(n - len(build(0)))
}

func TestPushBodies(t *testing.T) {
	t.Parallel()
	for name, tc := range pushCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, lax := range []bool{false, true} {
				f := start(t, timpushtest.WithAttrNames("city"), timpushtest.WithQuota(0), with(variant{UndocumentedAccepted: lax}))
				want := tc.code
				if lax && tc.accepted {
					want = 0
				}
				r := f.push(tc.command, tc.body)
				assert.Equal(t, want, r.Code)
				assert.Equal(t, want == 0, len(f.Pushes()) == 1)
				f.Close()
			}
		})
	}
	f := start(t, with(variant{FromAccountRequired: true}))
	assert.Equal(t, 90001, f.push("push", pushBody(`"From_Account":"absent"`)).Code)
	f = start(t, with(variant{BatchSizeCode: 90018, MaxBody: 1 << 20}))
	assert.Equal(t, 90018, f.push("batch", batchBody(numbered(501)...)).Code)
	for _, plan := range []timpushtest.Plan{timpushtest.PlanFree, timpushtest.PlanStandard, timpushtest.PlanAdvanced} {
		f = start(t, timpushtest.WithPlan(plan))
		assert.Equal(t, 90011, f.push("batch", batchBody(numbered(501)...)).Code, "no rate would let it through")
	}
	f = start(t, with(variant{MaxBody: 50}))
	assert.Equal(t, 93000, f.push("push", pushBody()).Code)
}

func TestOfflinePushInfo(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithQuota(0))
	lax := start(t, timpushtest.WithQuota(0), with(variant{UndocumentedAccepted: true}))
	for info, want := range map[string][2]int{ // the code, and that with UndocumentedAccepted
		`{"PushFlag":1,"Ext":"{\"a\":1}"}`: {},
		`{"PushFlag":2}`:                   {90001, 0},
		`{"PushFlag":"0"}`:                 {90001, 90001},
		`{"Title":1}`:                      {90001, 90001},
		`{"title":"x"}`:                    {90001, 0},
		`{"Ext":{"a":1}}`:                  {90001, 90001},
		`{"MultiLanguageContent":[{"Language":"en","Title":"x","Desc":"y"}]}`:             {},
		`{"MultiLanguageContent":{"Language":"en"}}`:                                      {90001, 90001},
		`{"MultiLanguageContent":[{"Language":1}]}`:                                       {90001, 90001},
		`{"BadgeAddNum":1,"BadgeSetNum":999}`:                                             {},
		`{"BadgeAddNum":0}`:                                                               {90001, 90001},
		`{"BadgeAddNum":100}`:                                                             {90001, 90001},
		`{"BadgeSetNum":1000}`:                                                            {90001, 90001},
		`{"PushTemplateId":"14-1","PushTemplateParam":{"name":"Ann"}}`:                    {},
		`{"PushTemplateParam":"x"}`:                                                       {90001, 90001},
		`{"AndroidInfo":{"Sound":"x.mp3","OPPOChannelID":"c","OPPONotifyLevel":16}}`:      {},
		`{"AndroidInfo":{"OPPONotifyLevel":3}}`:                                           {90001, 0},
		`{"AndroidInfo":{"VIVONotifyType":"4"}}`:                                          {},
		`{"AndroidInfo":{"VIVONotifyType":4}}`:                                            {},
		`{"AndroidInfo":{"VIVONotifyType":5}}`:                                            {90001, 0},
		`{"AndroidInfo":{"HonorImportance":"LOW","GooglePriority":"high"}}`:               {},
		`{"AndroidInfo":{"HonorImportance":"HIGH"}}`:                                      {90001, 0},
		`{"AndroidInfo":{"OPPOPrivateTitleParameters":{"a":"b"}}}`:                        {},
		`{"AndroidInfo":{"OPPOPrivateTitleParameters":"{}"}}`:                             {90001, 90001},
		`{"AndroidInfo":[]}`:                                                              {90001, 90001},
		`{"AndroidInfo":{"XiaoMiTemplateId":"1"}}`:                                        {90001, 0},
		`{"ApnsInfo":{"BadgeMode":1,"SubTitle":"s","MutableContent":1,"Sound":"x.caf"}}`:  {},
		`{"ApnsInfo":{"InterruptionLevel":"time-sensitive"}}`:                             {},
		`{"ApnsInfo":{"InterruptionLevel":"timeSensitive"}}`:                              {90001, 0},
		`{"ApnsInfo":{"LiveActivity":{"LaId":"1","Event":"end","ContentState":{"a":1}}}}`: {},
		`{"ApnsInfo":{"LiveActivity":{"LaId":"` + strings.Repeat("x", 65) + `"}}}`:        {90001, 90001},
		`{"HarmonyInfo":{"Category":"MARKETING","SoundDuration":60}}`:                     {},
		`{"HarmonyInfo":{"SoundDuration":61}}`:                                            {90001, 90001},
		`{"HarmonyInfo":null}`:                                                            {90001, 90001},
	} {
		body := pushBody(`"OfflinePushInfo":` + info)
		assert.Equal(t, want, [2]int{f.push("push", body).Code, lax.push("push", body).Code}, info)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithKnownAccounts("a", "b"))
	a := f.call("batch", batchBody("b", "c", "a"))
	assert.Equal(t, codes{"c": 70107}, a.codes())
	p := f.Pushes()[0]
	assert.Equal(t, []string{"b", "a"}, p.Accounts)
	assert.Equal(t, timpushtest.PushBatch, p.Kind)
	assert.True(t, strings.HasPrefix(p.TaskID, "batch_"))
	assert.Contains(t, a.Raw, p.TaskID)
	assert.Equal(t, []string{"b", "c", "a"}, f.Calls()[0].Accounts)

	assert.Equal(t, codes{"c": 70107}, f.call("batch", batchBody("c")).codes(), "a success, as when some failed")
	assert.Empty(t, f.Pushes()[1].Accounts)
	assert.Equal(t, []string{"a", "a"}, pushed(f, batchBody("a", "a")), "the same account twice")

	for _, v := range []variant{{FailWhenAllFail: true}, {FailWhenAllFail: true, NotFoundOmitted: true}} {
		f = start(t, timpushtest.WithKnownAccounts("a"), with(v))
		a = f.call("batch", batchBody("c", "d"))
		assert.Equal(t, 70107, a.Code)
		assert.Equal(t, codes{"c": 70107, "d": 70107}, a.codes())
		assert.Contains(t, a.Raw, `"TaskId":""`, "as page 67553 shows it")
		assert.Empty(t, f.Pushes())
	}
	f = start(t, with(variant{Duplicates: timpushtest.DuplicatesRefused}))
	assert.Equal(t, 90001, f.push("batch", batchBody("a", "a")).Code)
	f = start(t, with(variant{Duplicates: timpushtest.DuplicatesListed}))
	assert.Equal(t, codes{"a": 90001}, f.call("batch", batchBody("a", "b", "a")).codes())
	assert.Equal(t, []string{"b"}, f.Pushes()[0].Accounts)
}

// pushed returns the accounts of a batch that must succeed.
func pushed(f fixture, body string) []string {
	f.Helper()
	require.Equal(f, 0, f.push("batch", body).Code)
	pushes := f.Pushes()
	return pushes[len(pushes)-1].Accounts
}

// TestPushIsRecordedIfItWentOut with each fault, and only then.
func TestPushIsRecordedIfItWentOut(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault   timpushtest.Fault
		variant variant
		sent    int
	}{
		"none":            {timpushtest.Fault{}, variant{}, 1},
		"code":            {timpushtest.ErrorCode(91000), variant{}, 0},
		"code, half":      {timpushtest.ErrorCode(91000), variant{PartialApply: true}, 0},
		"code applied":    {timpushtest.ErrorCodeApplied(60008), variant{}, 1},
		"open code":       {timpushtest.ErrorCode(60008), variant{AppliedOnOpenCodes: true}, 1},
		"throttled":       {timpushtest.ErrorCode(60007), variant{AppliedOnOpenCodes: true}, 0},
		"status":          {timpushtest.Status(502), variant{}, 0},
		"status applied":  {timpushtest.StatusApplied(502), variant{}, 1},
		"cut before":      {timpushtest.CutBefore(), variant{}, 0},
		"cut after":       {timpushtest.CutAfter(), variant{}, 1},
		"truncated":       {timpushtest.TruncateBody(3), variant{}, 1},
		"garbage":         {timpushtest.Garbage(), variant{}, 1},
		"answer":          {timpushtest.Answer(200, `{}`), variant{}, 1},
		"another account": {timpushtest.AccountCode(70107, "z"), variant{}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for command, body := range map[string]string{"push": pushBody(), "batch": batchBody("a", "b")} {
				f := start(t, with(tc.variant), timpushtest.WithKnownAccounts("a", "b"))
				f.Handle(func(timpushtest.Call) timpushtest.Fault { return tc.fault })
				resp, err := f.do(goodCall(command, body))
				if err == nil {
					_ = resp.Body.Close()
				}
				require.Len(t, f.Pushes(), tc.sent*len(f.Calls()), command) // net/http may have sent it twice
				for _, p := range f.Pushes() {
					assert.Equal(t, []string{"a", "b"}, p.Accounts)
				}
				f.Close()
			}
		})
	}
	f := start(t)
	f.Inject(timpushtest.AccountCode(91000, "b"))
	assert.Equal(t, []string{"a"}, pushed(f, batchBody("a", "b")))
	f.Refuse(70107, "a")
	f.Poison(90001, "b")
	assert.Equal(t, 90001, f.push("batch", batchBody("a", "b")).Code)
	assert.Equal(t, []string{"c"}, pushed(f, batchBody("a", "c")))
	f.Inject(timpushtest.ErrorCode(91000))
	assert.Equal(t, 90005, f.push("push", pushBody(`"MsgRandom":"absent"`)).Code, "refused for the body, not for the fault")
}

func TestDuplicatePushes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for window, want := range map[time.Duration][]int{0: {1, 1, 2, 3}, time.Minute: {1, 1, 1, 2}} {
			f := start(t, timpushtest.WithQuota(0), with(variant{MsgRandomWindow: window}))
			var tasks []string
			for i, wait := range []time.Duration{0, 999 * time.Millisecond, time.Millisecond, 59 * time.Second} {
				time.Sleep(wait)
				tasks = append(tasks, f.push("push", pushBody(`"MsgRandom":7`)).TaskID)
				assert.Len(t, f.Pushes(), want[i])
			}
			assert.Equal(t, tasks[0], tasks[1])
			assert.NotEqual(t, tasks[0], tasks[3])
			require.Equal(t, 0, f.push("batch", pushBody(`"MsgRandom":7`, `"To_Account":["a"]`)).Code)
			assert.Len(t, f.Pushes(), want[3]+1, "another command")
			f.Close()
		}
	})
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, timpushtest.WithQuota(0))
		first, batch := f.push("push", pushBody()).TaskID, f.push("batch", batchBody("a")).TaskID
		f.Inject(timpushtest.ErrorCode(91000), timpushtest.Delay(0, timpushtest.Fault{}), timpushtest.ErrorCode(91000))
		assert.Equal(t, 91000, f.revoke(first))
		assert.False(t, f.Pushes()[0].Revoked)
		assert.Equal(t, 0, f.revoke(first))
		assert.True(t, f.Pushes()[0].Revoked)
		assert.Equal(t, 90050, f.revoke(first), "done already")
		assert.Equal(t, 0, f.revoke(batch))
		assert.Equal(t, 90049, f.revoke("unknown"))
		for body, code := range map[string]int{
			`{"TaskId":"x"}`: 90053, `{"OfflinePushInfo":{}}`: 90001, `{"TaskId":1,"OfflinePushInfo":{}}`: 90001,
			`{"TaskId":"","OfflinePushInfo":{}}`: 90001, `{"TaskId":"x","OfflinePushInfo":{"PushFlag":true}}`: 90001,
			`{"TaskId":"x","OfflinePushInfo":{},"X":1}`: 90001, `{"TaskID":"x","OfflinePushInfo":{}}`: 90001, ``: 60003,
		} {
			assert.Equal(t, code, f.call("revoke", body).Code, body)
		}
		late := f.push("push", pushBody()).TaskID
		time.Sleep(24 * time.Hour)
		second := f.push("push", pushBody()).TaskID
		assert.Equal(t, 0, f.revoke(late))
		time.Sleep(24*time.Hour + time.Second)
		assert.Equal(t, 90052, f.revoke(second))

		f = start(t, timpushtest.WithQuota(0), with(variant{BatchIDsRefused: true, RevokeInfoOptional: true}))
		first, batch = f.push("push", pushBody()).TaskID, f.push("batch", batchBody("a")).TaskID
		assert.Equal(t, 90049, f.revoke(batch))
		assert.Equal(t, 0, f.call("revoke", `{"TaskId":"`+first+`"}`).Code)

		f = start(t, timpushtest.WithQuota(0), timpushtest.WithKeptCalls(1))
		first = f.push("push", pushBody()).TaskID
		second = f.push("push", pushBody()).TaskID
		assert.Equal(t, 90049, f.revoke(first), "it is forgotten")
		assert.Equal(t, 0, f.revoke(second))
	})
}

func TestPushQuotas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24*time.Hour - time.Duration(time.Now().In(time.FixedZone("", 8*3600)).Hour())*time.Hour) // midnight in China
		for plan, want := range map[timpushtest.Plan]int{timpushtest.PlanFree: 10, timpushtest.PlanStandard: 100, timpushtest.PlanAdvanced: 100} {
			f := start(t, timpushtest.WithPlan(plan))
			for range want {
				require.Equal(t, 0, f.push("push", pushBody()).Code)
				time.Sleep(time.Second)
			}
			assert.Equal(t, 90047, f.push("push", pushBody()).Code, "the day is used up")
			assert.Equal(t, 0, f.push("batch", batchBody("a")).Code)
			time.Sleep(24 * time.Hour)
			assert.Equal(t, 0, f.push("push", pushBody()).Code)
			assert.Equal(t, 90024, f.push("push", pushBody()).Code, "one a second")
			assert.Equal(t, 90049, f.revoke("x"))
			assert.Equal(t, 90051, f.revoke("x"), "one a second")
			assert.Equal(t, 0, f.post(okBody).Code, "attributes have their own quota")
		}
	})
}

func TestRecipientQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for plan, want := range map[timpushtest.Plan]int{timpushtest.PlanFree: 30, timpushtest.PlanStandard: 500, timpushtest.PlanAdvanced: 800} {
			f := start(t, timpushtest.WithPlan(plan))
			half := numbered(want / 2)
			assert.Equal(t, 0, f.push("batch", batchBody(half...)).Code)
			time.Sleep(500 * time.Millisecond)
			assert.Equal(t, 0, f.push("batch", batchBody(half...)).Code)
			time.Sleep(499 * time.Millisecond)
			assert.Equal(t, 60007, f.push("batch", batchBody("a")).Code)
			time.Sleep(time.Millisecond)
			assert.Equal(t, 60007, f.push("batch", batchBody(half...)).Code, "the refused one counts")
			time.Sleep(time.Second)
			assert.Equal(t, 0, f.push("batch", batchBody(half...)).Code)
			assert.Len(t, f.Pushes(), 3)
		}
		f := start(t, timpushtest.WithPlan(timpushtest.PlanFree), with(variant{RecipientsCode: 90024, RefusedCallsFree: true}))
		assert.Equal(t, 90024, f.push("batch", batchBody(numbered(31)...)).Code)
		assert.Equal(t, 0, f.push("batch", batchBody(numbered(30)...)).Code)
		f = start(t, timpushtest.WithPlan(timpushtest.PlanFree), with(variant{RecipientsQueued: true}))
		assert.Equal(t, 0, f.push("batch", batchBody(numbered(500)...)).Code)
		assert.Equal(t, 0, f.push("batch", batchBody(numbered(500)...)).Code)
	})
}

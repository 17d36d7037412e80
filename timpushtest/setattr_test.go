package timpushtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

type (
	attrs = map[string]string
	codes = map[string]int
)

func TestVendorSamples(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.post(`{"UserAttrs":[{"To_Account":"` + uuid + `","Attrs":{"sex":"female","city":"NewYork"}},` +
		`{"To_Account":"xiaoming","Attrs":{"sex":"male","city":"ShenZhen"}}]}`)
	assert.JSONEq(t, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ErrorList":[{"ErrorCode":90035,"To_Account":"`+uuid+`"}]}`, a.Raw)
	assert.Equal(t, []string{"xiaoming"}, f.Accounts())
	assert.JSONEq(t, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`, f.post(okBody).Raw)
}

func TestBodies(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 51)
	for name, tc := range map[string]struct {
		body string
		code int
	}{
		"empty":                {"", 60003},
		"blank":                {" \n", 60003},
		"not JSON":             {"{", 60003},
		"trailing data":        {okBody + "{}", 60003},
		"trailing space":       {okBody + "\n", 0},
		"byte order mark":      {"\xef\xbb\xbf" + okBody, 60003},
		"invalid UTF-8":        {entries("a", `{"sex":"PLACE"}`)[:40] + "\xff", 60003},
		"invalid UTF-8 inside": {strings.Replace(okBody, "ShenZhen", "\xff", 1), 60003},
		"null":                 {"null", 90001},
		"array":                {"[]", 90001},
		"no fields":            {"{}", 90001},
		"case of a field":      {strings.Replace(okBody, "UserAttrs", "userattrs", 1), 90001},
		"UserAttrs null":       {`{"UserAttrs":null}`, 90001},
		"UserAttrs object":     {`{"UserAttrs":{}}`, 90001},
		"UserAttrs empty":      {`{"UserAttrs":[]}`, 90001},
		"entry null":           {`{"UserAttrs":[null]}`, 90001},
		"entry text":           {`{"UserAttrs":["a"]}`, 90001},
		"no account":           {`{"UserAttrs":[{"Attrs":{"sex":"a"}}]}`, 90001},
		"account empty":        {entries("", `{"sex":"a"}`), 90001},
		"account number":       {`{"UserAttrs":[{"To_Account":1,"Attrs":{"sex":"a"}}]}`, 90001},
		"no attrs":             {`{"UserAttrs":[{"To_Account":"a"}]}`, 90001},
		"attrs null":           {entries("a", `null`), 90001},
		"attrs array":          {entries("a", `["sex"]`), 90001},
		"attrs empty":          {entries("a", `{}`), 90001},
		"value number":         {entries("a", `{"sex":1}`), 90001},
		"value null":           {entries("a", `{"sex":null}`), 90001},
		"value object":         {entries("a", `{"sex":{}}`), 90001},
		"value space before":   {entries("a", `{"sex" :  "x"}`), 0},
		"unknown fields":       {`{"X":1,"UserAttrs":[{"Y":2,"To_Account":"a","Attrs":{"sex":"a"}}]}`, 0},
		"unknown name":         {entries("a", `{"age":"1"}`), 90033},
		"case of a name":       {entries("a", `{"Sex":"1"}`), 90033},
		"name empty":           {entries("a", `{"":"1"}`), 90033},
		"name too long":        {entries("a", `{"`+long+`":"1"}`), 90033},
		"50 bytes":             {entries("a", `{"sex":"`+long[1:]+`"}`), 0},
		"51 bytes":             {entries("a", `{"sex":"`+long+`"}`), 90033},
		"50 bytes escaped":     {entries("a", `{"sex":"`+strings.Repeat(`\u0061`, 50)+`"}`), 0},
		"48 bytes, 16 runes":   {entries("a", `{"sex":"`+strings.Repeat("好", 16)+`"}`), 0},
		"51 bytes, 17 runes":   {entries("a", `{"sex":"`+strings.Repeat("好", 17)+`"}`), 90033},
		"empty value":          {entries("a", `{"sex":""}`), 0},
		"control characters":   {entries("a", `{"sex":"\u0000\n"}`), 0},
		"100 accounts":         {users(100), 0},
		"101 accounts":         {users(101), 90018},
		"count before entries": {`{"UserAttrs":[` + strings.Repeat("1,", 100) + `1]}`, 90018},
		"first fault wins":     {entries("a", `{"age":"1"}`, "", `{}`), 90033},
		"not the second":       {entries("", `{}`, "a", `{"age":"1"}`), 90001},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			a := f.post(tc.body)
			assert.Equal(t, tc.code, a.Code, a.Raw)
			assertEnvelope(t, a)
			if tc.code != 0 {
				assert.Empty(t, f.Accounts())
			}
		})
	}
}

func TestInfoNamesNoValue(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, body := range []string{
		entries("a", `{"age":"hidden"}`),
		entries("a", `{"sex":"`+strings.Repeat("hidden", 9)+`"}`),
		entries("a", `{"sex":["hidden"]}`),
	} {
		a := f.post(body)
		assert.NotEqual(t, 0, a.Code)
		assert.NotContains(t, a.Raw, "hidden")
	}
}

func TestNothingAppliedOnFail(t *testing.T) {
	t.Parallel()
	body := entries("a", `{"sex":"1"}`, "b", `{"sex":"2"}`, "c", `{"sex":"3"}`, "d", `{"age":"4"}`)
	f := start(t)
	assert.Equal(t, 90033, f.post(body).Code)
	assert.Empty(t, f.Accounts())

	f = start(t, with(variant{PartialApply: true}))
	assert.Equal(t, 90033, f.post(body).Code)
	assert.Equal(t, []string{"a", "b"}, f.Accounts())
	f.Inject(timpushtest.ErrorCode(91000))
	assert.Equal(t, 91000, f.post(entries("x", `{"sex":"1"}`, "y", `{"sex":"1"}`, "z", `{"sex":"1"}`)).Code)
	assert.Equal(t, []string{"a", "b", "x"}, f.Accounts())
	assert.Equal(t, 60003, f.post("{").Code)
}

func TestAccountTypes(t *testing.T) {
	t.Parallel()
	f := start(t,
		timpushtest.WithAttrNames("sex"),
		timpushtest.WithRegistrationAttrNames("device"),
		timpushtest.WithRegistrationIDs("custom"),
	)
	a := f.post(entries(
		"user", `{"sex":"1"}`, "user2", `{"device":"1"}`, "mixed", `{"sex":"1","device":"1"}`,
		uuid, `{"device":"1"}`, strings.Replace(uuid, "3", "5", 1), `{"sex":"1"}`, strings.ToLower(uuid), `{"sex":"1"}`,
		"custom", `{"device":"1"}`, uuid+"0", `{"sex":"1"}`,
	))
	assert.Equal(t, codes{"user2": 90035, "mixed": 90035, strings.Replace(uuid, "3", "5", 1): 90035}, a.codes())
	assert.Equal(t, []string{uuid, uuid + "0", strings.ToLower(uuid), "custom", "user"}, f.Accounts())
}

func TestStoreIsCopied(t *testing.T) {
	t.Parallel()
	f := start(t)
	assert.Nil(t, f.Attrs("xiaoming"))
	f.post(okBody)
	f.Attrs("xiaoming")["sex"] = "changed"
	assert.Equal(t, "male", f.Attrs("xiaoming")["sex"])
}

func TestNamesPanic(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 11 {
		many = append(many, fmt.Sprint("n", i))
	}
	for name, opts := range map[string][]timpushtest.Option{
		"11":          {timpushtest.WithAttrNames(many...)},
		"6 and 5":     {timpushtest.WithAttrNames(many[:6]...), timpushtest.WithRegistrationAttrNames(many[6:]...)},
		"too long":    {timpushtest.WithAttrNames(strings.Repeat("a", 51))},
		"empty":       {timpushtest.WithAttrNames("")},
		"twice":       {timpushtest.WithAttrNames("a", "a")},
		"both kinds":  {timpushtest.WithRegistrationAttrNames("sex")},
		"bytes, not ": {timpushtest.WithAttrNames(strings.Repeat("好", 17))},
	} {
		assert.Panics(t, func() { timpushtest.NewServer(opts...) }, name)
	}
	start(t, timpushtest.WithAttrNames(many[:10]...))
	start(t, timpushtest.WithAttrNames(strings.Repeat("a", 50)))
}

// TestSwitches posts one body and looks at its outcome.
func TestSwitches(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("好", 17)
	stored := func(m attrs) map[string]attrs { return map[string]attrs{"a": m} }
	for name, tc := range map[string]struct {
		opt    timpushtest.Option
		body   string
		code   int
		list   codes
		stored map[string]attrs
	}{
		"InvalidAttrPerAccount": {
			with(variant{InvalidAttrPerAccount: true}), entries("a", `{"sex":"1"}`, "b", `{"age":"1"}`, "c", `{"sex":"`+long+`"}`),
			0, codes{"b": 90033, "c": 90033}, stored(attrs{"sex": "1"}),
		},
		"InvalidAttrPerAccount, shape": {
			with(variant{InvalidAttrPerAccount: true}), entries("a", `{"sex":"1"}`, "b", `{"sex":1}`), 90001, codes{}, nil,
		},
		"LongValue per account": {
			with(variant{LongValue: timpushtest.LongValuePerAccount}), entries("a", `{"sex":"1"}`, "c", `{"sex":"`+long+`"}`),
			0, codes{"c": 90033}, stored(attrs{"sex": "1"}),
		},
		"LongValue per account, unknown name": {
			with(variant{LongValue: timpushtest.LongValuePerAccount}), entries("a", `{"age":"1"}`), 90033, codes{}, nil,
		},
		"LongValue cut": {
			with(variant{LongValue: timpushtest.LongValueCut}), entries("a", `{"sex":"`+long+`"}`),
			0, codes{}, stored(attrs{"sex": long[:48]}),
		},
		"EscapedLength": {
			with(variant{EscapedLength: true}), entries("a", `{"sex":"`+strings.Repeat(`\u0061`, 9)+`"}`), 90033, codes{}, nil,
		},
		"EscapedLength, short": {
			with(variant{EscapedLength: true}), entries("a", `{"sex":"`+strings.Repeat(`\u0061`, 8)+`bc"}`), 0, codes{},
			stored(attrs{"sex": "aaaaaaaabc"}),
		},
		"EmptyValue refused": {
			with(variant{EmptyValue: timpushtest.EmptyRefused}), entries("a", `{"sex":""}`), 90033, codes{}, nil,
		},
		"ControlsRefused": {
			with(variant{ControlsRefused: true}), entries("a", `{"sex":"a\u0007"}`), 90033, codes{}, nil,
		},
		"ControlsRefused, emoji": {
			with(variant{ControlsRefused: true}), entries("a", `{"sex":"😀"}`), 0, codes{}, stored(attrs{"sex": "😀"}),
		},
		"UnknownNamesIgnored": {
			with(variant{UnknownNamesIgnored: true}), entries("a", `{"age":"1","sex":"2"}`, "b", `{"age":"1"}`), 0, codes{},
			stored(attrs{"sex": "2"}),
		},
		"FoldedNames": {
			with(variant{FoldedNames: true}), entries("a", `{"SEX":"1"}`), 0, codes{}, stored(attrs{"sex": "1"}),
		},
		"FoldedNames, unknown": {
			with(variant{FoldedNames: true}), entries("a", `{"SEXX":"1"}`), 90033, codes{}, nil,
		},
		"WithKnownAccounts": {
			timpushtest.WithKnownAccounts("a"), entries("a", `{"sex":"1"}`, "b", `{"sex":"1"}`), 0, codes{"b": 70107},
			stored(attrs{"sex": "1"}),
		},
		"WithKnownAccounts, none": {
			timpushtest.WithKnownAccounts(), entries("a", `{"sex":"1"}`), 0, codes{"a": 70107}, nil,
		},
		"Duplicates default": {
			with(variant{Duplicates: timpushtest.DuplicatesLaterWins}),
			entries("a", `{"sex":"1","city":"x"}`, "a", `{"sex":"2"}`), 0, codes{}, stored(attrs{"sex": "2", "city": "x"}),
		},
		"Duplicates refused": {
			with(variant{Duplicates: timpushtest.DuplicatesRefused}),
			entries("a", `{"sex":"1"}`, "a", `{"sex":"2"}`), 90001, codes{}, nil,
		},
		"Duplicates listed": {
			with(variant{Duplicates: timpushtest.DuplicatesListed}),
			entries("b", `{"sex":"1"}`, "a", `{"sex":"1"}`, "b", `{"sex":"2"}`), 0, codes{"b": 90001}, stored(attrs{"sex": "1"}),
		},
		"EmptyAccepted":        {with(variant{EmptyAccepted: true}), `{"UserAttrs":[]}`, 0, codes{}, nil},
		"EmptyAccepted, attrs": {with(variant{EmptyAccepted: true}), entries("a", `{}`), 0, codes{}, nil},
		"NonStringCode":        {with(variant{NonStringCode: 90033}), entries("a", `{"sex":1}`), 90033, codes{}, nil},
		"NotJSONCode":          {with(variant{NotJSONCode: 90001}), `{`, 90001, codes{}, nil},
		"MaxBody":              {with(variant{MaxBody: len(okBody) - 1}), okBody, 93000, codes{}, nil},
		"MaxBody, not more": {
			with(variant{MaxBody: len(entries("a", `{"sex":"1"}`))}), entries("a", `{"sex":"1"}`), 0, codes{}, stored(attrs{"sex": "1"}),
		},
		"WithMaxUsers":       {timpushtest.WithMaxUsers(2), users(3), 90018, codes{}, nil},
		"WithMaxUsers, ones": {timpushtest.WithMaxUsers(1), entries("a", `{"sex":"1"}`), 0, codes{}, stored(attrs{"sex": "1"})},
		"MixedTypesApplied": {
			with(variant{MixedTypesApplied: true}), entries(uuid, `{"sex":"1"}`), 0, codes{uuid: 90035}, nil,
		},
		"FailWhenAllFail": {
			with(variant{FailWhenAllFail: true}), entries(uuid, `{"sex":"1"}`), 90035, codes{uuid: 90035}, nil,
		},
		"FailWhenAllFail, not all": {
			with(variant{FailWhenAllFail: true}), entries(uuid, `{"sex":"1"}`, "a", `{"sex":"1"}`), 0, codes{uuid: 90035},
			stored(attrs{"sex": "1"}),
		},
		"ErrorListUnrelated": {
			with(variant{ErrorListUnrelated: true}), entries("a", `{"sex":"1"}`), 0, codes{"unrelated": 70107}, stored(attrs{"sex": "1"}),
		},
		"ErrorListOtherCase": {
			with(variant{ErrorListOtherCase: true}), entries(uuid, `{"sex":"1"}`), 0, codes{strings.ToLower(uuid): 90035}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, tc.opt)
			a := f.post(tc.body)
			assert.Equal(t, tc.code, a.Code, a.Raw)
			assert.Equal(t, tc.list, a.codes())
			assert.Len(t, f.Accounts(), len(tc.stored))
			for account, m := range tc.stored {
				assert.Equal(t, m, f.Attrs(account))
			}
		})
	}
}

func TestMixedTypesApplied(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithRegistrationAttrNames("device"), with(variant{MixedTypesApplied: true}))
	a := f.post(entries("a", `{"sex":"1","device":"2"}`, uuid, `{"sex":"1","device":"2"}`))
	assert.Equal(t, codes{"a": 90035, uuid: 90035}, a.codes())
	assert.Equal(t, attrs{"sex": "1"}, f.Attrs("a"))
	assert.Equal(t, attrs{"device": "2"}, f.Attrs(uuid))
}

func TestMergeAndReplace(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		opts []timpushtest.Option
		want attrs
	}{
		{nil, attrs{"sex": "1", "city": "", "country": "3"}},
		{[]timpushtest.Option{with(variant{Replace: true})}, attrs{"city": "", "country": "3"}},
		{[]timpushtest.Option{with(variant{EmptyValue: timpushtest.EmptyDeletes})}, attrs{"sex": "1", "country": "3"}},
	} {
		f := start(t, tc.opts...)
		f.post(entries("a", `{"sex":"1","city":"2"}`))
		f.post(entries("a", `{"city":"","country":"3"}`))
		assert.Equal(t, tc.want, f.Attrs("a"))
	}
	f := start(t, with(variant{EmptyValue: timpushtest.EmptyDeletes}))
	f.post(entries("a", `{"sex":"1"}`))
	f.post(entries("a", `{"sex":""}`))
	assert.Nil(t, f.Attrs("a"))
	assert.Empty(t, f.Accounts())
}

func TestAnswerSwitches(t *testing.T) {
	t.Parallel()
	bad := entries("Mary", `{"device":"1"}`)
	fail := entries("Mary", `{"age":"1"}`)
	for name, tc := range map[string]struct {
		opt        timpushtest.Option
		body, want string
	}{
		"quoted":          {with(variant{QuotedNumbers: true}), bad, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":"0","ErrorList":[{"To_Account":"Mary","ErrorCode":"90035"}]}`},
		"twice":           {with(variant{ErrorListTwice: true}), bad, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ErrorList":[{"To_Account":"Mary","ErrorCode":90035},{"To_Account":"Mary","ErrorCode":91000}]}`},
		"case":            {with(variant{ErrorListOtherCase: true}), bad, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ErrorList":[{"To_Account":"MARY","ErrorCode":90035}]}`},
		"null":            {with(variant{ErrorList: timpushtest.ErrorListNull}), okBody, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ErrorList":null}`},
		"array":           {with(variant{ErrorList: timpushtest.ErrorListEmpty}), okBody, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ErrorList":[]}`},
		"no info":         {with(variant{ErrorInfo: timpushtest.ErrorInfoNone}), bad, `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"To_Account":"Mary","ErrorCode":90035}]}`},
		"info":            {with(variant{ErrorInfo: timpushtest.ErrorInfoEverywhere}), bad, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ErrorList":[{"To_Account":"Mary","ErrorCode":90035,"ErrorInfo":"attribute belongs to the other type of account"}]}`},
		"FAIL on success": {with(variant{FailStatusOnSuccess: true}), okBody, `{"ActionStatus":"FAIL","ErrorInfo":"","ErrorCode":0}`},
		"OK on failure":   {with(variant{OKStatusOnFailure: true}), fail, `{"ActionStatus":"OK","ErrorInfo":"attribute \"age\" of \"Mary\" is not set for the app","ErrorCode":90033}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, timpushtest.WithRegistrationAttrNames("device"), tc.opt)
			assert.JSONEq(t, tc.want, f.post(tc.body).Raw)
		})
	}
}

func TestGzip(t *testing.T) {
	t.Parallel()
	f := start(t, with(variant{Gzip: true}))
	assert.Equal(t, "OK", f.post(okBody).Status, "net/http asks for gzip and decodes it")
	r := goodRequest(okBody)
	r.header.Set("Accept-Encoding", "gzip")
	a := f.send(r)
	assert.Equal(t, "gzip", a.Header.Get("Content-Encoding"))
	require.True(t, strings.HasPrefix(a.Raw, "\x1f\x8b"))
	r.header.Set("Accept-Encoding", "identity")
	assert.Equal(t, "OK", f.send(r).Status)
	f = start(t)
	assert.Empty(t, f.post(okBody).Header.Get("Content-Encoding"))
}

package timpushtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// userTags builds a body of pairs of account and Tags.
func userTags(pairs ...string) string {
	return strings.NewReplacer(`"UserAttrs"`, `"UserTags"`, `"Attrs"`, `"Tags"`).Replace(entries(pairs...))
}

// replacing is the same with Replace.
func replacing(replace string, pairs ...string) string {
	return strings.TrimSuffix(userTags(pairs...), "}") + `,"Replace":` + replace + `}`
}

// tagList builds an array of n tags.
func tagList(prefix string, n int) string {
	var tags []string
	for i := range n {
		tags = append(tags, fmt.Sprint(prefix, i))
	}
	return string(mustJSON(tags))
}

// tag expects add_tag to succeed for all accounts.
func (f fixture) tag(pairs ...string) {
	f.Helper()
	a := f.call("add_tag", userTags(pairs...))
	require.Equal(f, 0, a.Code, a.Raw)
	require.Empty(f, a.ErrorList, a.Raw)
}

func TestTags(t *testing.T) {
	t.Parallel()
	f := start(t, with(variant{AnswersInOrder: true}), timpushtest.WithKnownAccounts("Mary", "bob", "<ann>"))
	for _, step := range []struct{ command, body, want string }{
		{"add_tag", userTags("Mary", `["b","a"]`, "bob", `["c"]`), okRaw},
		{"add_tag", userTags("Mary", `["a","d"]`), okRaw},
		{"get_tag", accounts("Mary", "bob", "<ann>", "eve"), strings.TrimSuffix(okRaw, "}") + `,"UserTags":[{"To_Account":"Mary","Tags":["a","b","d"]},` +
			`{"To_Account":"bob","Tags":["c"]},{"To_Account":"<ann>","Tags":[]}],"ErrorList":[{"To_Account":"eve","ErrorCode":70107}]}`},
		{"remove_tag", userTags("Mary", `["b","x"]`, "<ann>", `["x"]`), okRaw},
		{"add_tag", replacing("1", "bob", `["e","f"]`), okRaw},
		{"add_tag", replacing("0", "bob", `["g"]`), okRaw},
		{"clear_all_tags", accounts("Mary", "eve"), strings.TrimSuffix(okRaw, "}") + `,"ErrorList":[{"To_Account":"eve","ErrorCode":70107}]}`},
	} {
		assert.JSONEq(t, step.want, f.call(step.command, step.body).Raw, step.command)
	}
	assert.Nil(t, f.Tags("Mary"))
	assert.Equal(t, []string{"e", "f", "g"}, f.Tags("bob"))
	assert.Empty(t, f.Accounts(), "these have attributes")
	assert.Equal(t, []string{"Mary", "bob"}, f.Calls()[0].Accounts)
	assert.Equal(t, []string{"Mary", "eve"}, f.Calls()[6].Accounts)
	assert.Equal(t, codes{"eve": 70107}, f.Calls()[6].Failed)
}

func TestTagLimits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 51)
	for name, tc := range map[string]struct {
		variant       variant
		command, body string
		code          int
	}{
		"no body":             {variant{}, "add_tag", "", 60003},
		"no fields":           {variant{}, "add_tag", `{}`, 90001},
		"UserAttrs":           {variant{}, "add_tag", okBody, 90001},
		"no users":            {variant{}, "add_tag", `{"UserTags":[]}`, 90001},
		"unknown field":       {variant{}, "add_tag", `{"UserTags":[{"To_Account":"a","Tags":["x"]}],"X":1}`, 90001},
		"unknown member":      {variant{}, "add_tag", `{"UserTags":[{"To_Account":"a","Tags":["x"],"X":1}]}`, 90001},
		"unknown accepted":    {variant{UndocumentedAccepted: true}, "add_tag", `{"UserTags":[{"To_Account":"a","Tags":["x"],"X":1}],"X":1}`, 0},
		"no account":          {variant{}, "add_tag", `{"UserTags":[{"Tags":["x"]}]}`, 90001},
		"account number":      {variant{}, "add_tag", `{"UserTags":[{"To_Account":1,"Tags":["x"]}]}`, 90001},
		"entry null":          {variant{}, "add_tag", `{"UserTags":[null]}`, 90001},
		"no tags":             {variant{}, "add_tag", userTags("a", `[]`), 90001},
		"no tags accepted":    {variant{EmptyAccepted: true}, "add_tag", userTags("a", `[]`), 0},
		"tags object":         {variant{}, "add_tag", userTags("a", `{}`), 90001},
		"tag number":          {variant{}, "add_tag", userTags("a", `[1]`), 90001},
		"tag null":            {variant{}, "add_tag", userTags("a", `[null]`), 90001},
		"tag empty":           {variant{}, "add_tag", userTags("a", `[""]`), 90001},
		"10 tags":             {variant{}, "add_tag", userTags("a", tagList("", 10)), 0},
		"11 tags":             {variant{}, "add_tag", userTags("a", tagList("", 11)), 90032},
		"11 tags, other code": {variant{TagLimitCode: 90001}, "add_tag", userTags("a", tagList("", 11)), 90001},
		"50 bytes":            {variant{}, "add_tag", userTags("a", `["`+long[1:]+`"]`), 0},
		"51 bytes":            {variant{}, "add_tag", userTags("a", `["`+long+`"]`), 90020},
		"51 bytes, code":      {variant{TagLimitCode: 90001}, "add_tag", userTags("a", `["`+long+`"]`), 90001},
		"Replace 100":         {variant{}, "add_tag", replacing("1", "a", tagList("", 100)), 0},
		"Replace 101":         {variant{}, "add_tag", replacing("1", "a", tagList("", 101)), 90032},
		"Replace empty":       {variant{}, "add_tag", replacing("1", "a", `[]`), 90001},
		"Replace 2":           {variant{}, "add_tag", replacing("2", "a", `["x"]`), 90001},
		"Replace boolean":     {variant{}, "add_tag", replacing("true", "a", `["x"]`), 90001},
		"Replace text":        {variant{}, "add_tag", replacing(`"1"`, "a", `["x"]`), 90001},
		"Replace null":        {variant{}, "add_tag", replacing(`null`, "a", `["x"]`), 90001},
		"101 users":           {variant{}, "add_tag", strings.NewReplacer(`"UserAttrs"`, `"UserTags"`, `"Attrs"`, `"Tags"`, `{"city":"x"}`, `["x"]`).Replace(users(101)), 90018},
		"remove 51 bytes":     {variant{}, "remove_tag", userTags("a", `["`+long+`"]`), 90020},
		"remove many":         {variant{}, "remove_tag", userTags("a", tagList("", 200)), 0},
		"remove Replace":      {variant{}, "remove_tag", replacing("1", "a", `["x"]`), 90001},
		"get nothing":         {variant{}, "get_tag", accounts(), 90001},
		"get number":          {variant{}, "get_tag", `{"To_Account":[1]}`, 90001},
		"clear nothing":       {variant{}, "clear_all_tags", `{"To_Account":[]}`, 90001},
		"clear users":         {variant{}, "clear_all_tags", userTags("a", `["x"]`), 90001},
		"large body":          {variant{MaxBody: 10}, "add_tag", userTags("a", `["x"]`), 93000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, with(tc.variant))
			a := f.call(tc.command, tc.body)
			assert.Equal(t, tc.code, a.Code, a.Raw)
			assert.NotContains(t, a.Raw, long, "no text of a tag")
			if tc.code != 0 {
				assert.Nil(t, f.Tags("a"))
			}
		})
	}
}

// TestTagTotals fills an account, and the app, with all the tags that they may have.
func TestTagTotals(t *testing.T) {
	t.Parallel()
	for want, mode := range map[int]variant{90032: {}, 90001: {TagTotalCode: 90001}, 90033: {TagTotalFailsRequest: true, TagTotalCode: 90033}} {
		f := start(t, with(mode))
		requireFull := func(account, body string) {
			t.Helper()
			before := f.Tags(account)
			a := f.call("add_tag", body)
			if mode.TagTotalFailsRequest {
				assert.Equal(t, want, a.Code, a.Raw)
			} else {
				assert.Equal(t, codes{account: want}, a.codes(), a.Raw)
			}
			assert.Equal(t, before, f.Tags(account))
		}
		for i := range 10 {
			account := fmt.Sprint("user", i)
			a := f.call("add_tag", replacing("1", account, tagList(fmt.Sprint(i, "-"), 100)))
			require.Equal(t, codes{}, a.codes(), a.Raw)
		}
		requireFull("user0", userTags("user0", `["1-0"]`))
		f.tag("user0", `["0-5"]`) // it has that already
		requireFull("b", userTags("b", `["new"]`))
		f.tag("b", `["0-0","9-99"]`)
		require.Equal(t, 0, f.call("remove_tag", userTags("user1", `["1-7"]`)).Code)
		f.tag("b", `["new"]`)
		requireFull("c", userTags("c", `["1-7"]`))
		require.Equal(t, 0, f.call("clear_all_tags", accounts("user2")).Code)
		f.tag("c", `["1-7"]`, "d", tagList("d", 9))
	}
}

func TestTagTotalsWithinOneRequest(t *testing.T) {
	t.Parallel()
	f := start(t)
	var pairs []string
	for range 11 {
		pairs = append(pairs, "a", tagList(fmt.Sprint(len(pairs), "-"), 10))
	}
	a := f.call("add_tag", userTags(pairs...))
	assert.Equal(t, codes{"a": 90032}, a.codes())
	assert.Len(t, f.Tags("a"), 100)
}

func TestTagsBelongToOneTypeOfAccount(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.call("add_tag", userTags("bob", `["x"]`, uuid, `["x","y"]`, "ann", `["y"]`))
	assert.Equal(t, codes{uuid: 90035}, a.codes(), "as the vendor's sample")
	assert.Nil(t, f.Tags(uuid))
	require.Equal(t, 0, f.call("clear_all_tags", accounts("bob")).Code)
	f.tag(uuid, `["x"]`)
	assert.Equal(t, codes{"bob": 90035}, f.call("add_tag", userTags("bob", `["x"]`)).codes())

	f = start(t, with(variant{TagsUntyped: true}))
	f.tag("bob", `["x"]`, uuid, `["x"]`)
}

func TestTagsOfUnknownAccounts(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithKnownAccounts("a"))
	for command, body := range map[string]string{
		"add_tag": userTags("b", `["x"]`), "remove_tag": userTags("b", `["x"]`), "get_tag": accounts("b"), "clear_all_tags": accounts("b"),
	} {
		assert.Equal(t, codes{"b": 70107}, f.call(command, body).codes(), command)
	}
	f = start(t, timpushtest.WithKnownAccounts("a"), with(variant{UnknownStored: true, NotFoundOmitted: true, EmptyFieldsAbsent: true}))
	assert.JSONEq(t, okRaw, f.call("get_tag", accounts("b")).Raw)
	assert.Equal(t, codes{"b": 70107}, f.call("clear_all_tags", accounts("b")).codes())
	f.tag("b", `["x"]`)
	assert.Equal(t, codes{}, f.call("get_tag", accounts("b")).codes(), "it is known now")
}

func TestTagFaults(t *testing.T) {
	t.Parallel()
	body := userTags("a", `["x"]`, "b", `["y"]`)
	for name, tc := range map[string]struct {
		fault   timpushtest.Fault
		variant variant
		code    int
		failed  codes
		a, b    []string
	}{
		"refused":      {timpushtest.ErrorCode(91000), variant{}, 91000, codes{}, nil, nil},
		"applied":      {timpushtest.ErrorCodeApplied(91000), variant{}, 91000, codes{}, []string{"x"}, []string{"y"}},
		"open code":    {timpushtest.ErrorCode(91000), variant{AppliedOnOpenCodes: true}, 91000, codes{}, []string{"x"}, []string{"y"}},
		"one account":  {timpushtest.AccountCode(12345, "b"), variant{}, 0, codes{"b": 12345}, []string{"x"}, nil},
		"half applied": {timpushtest.ErrorCode(91000), variant{PartialApply: true}, 91000, codes{}, []string{"x"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, with(tc.variant))
			f.Inject(tc.fault)
			a := f.call("add_tag", body)
			assert.Equal(t, tc.code, a.Code)
			assert.Equal(t, tc.failed, a.codes())
			assert.Equal(t, [][]string{tc.a, tc.b}, [][]string{f.Tags("a"), f.Tags("b")})
		})
	}
	f := start(t)
	f.Poison(90001, "a")
	assert.Equal(t, 90001, f.call("add_tag", body).Code)
	f.Poison(0, "a")
	f.Refuse(70107, "a")
	assert.Equal(t, codes{"a": 70107}, f.call("add_tag", body).codes())
	assert.Equal(t, []string{"y"}, f.Tags("b"))
}

func TestMaxAccountsWithTags(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithMaxAccounts(1))
	f.tag("a", `["x"]`)
	assert.Equal(t, codes{"b": 70398}, f.call("add_tag", userTags("b", `["x"]`)).codes())
	f.tag("a", `["y"]`)
}

package timpushtest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/timpush/timpush-go/timpushtest"
)

func TestRemoveAttrSamples(t *testing.T) {
	t.Parallel()
	const body = `{"UserAttrs":[{"To_Account":"Mary","Attrs":["sex","city"]},{"To_Account":"xiaoming","Attrs":["sex","city"]}]}`
	f := start(t)
	f.post(okBody)
	assert.JSONEq(t, okRaw, f.call("remove_attr", body).Raw)
	assert.Empty(t, f.Accounts())
	f = start(t, timpushtest.WithKnownAccounts("xiaoming"))
	f.post(okBody)
	assert.JSONEq(t, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ErrorList":[{"ErrorCode":70107,"To_Account":"Mary"}]}`,
		f.call("remove_attr", body).Raw)
	assert.Empty(t, f.Accounts())
}

// TestRemoveAttr sends one body to an app with two accounts that have sex and city each.
func TestRemoveAttr(t *testing.T) {
	t.Parallel()
	all, city := attrs{"sex": "1", "city": "2"}, attrs{"city": "2"}
	opts := func(opts ...timpushtest.Option) []timpushtest.Option { return opts }
	for name, tc := range map[string]struct {
		opts []timpushtest.Option
		body string
		code int
		list codes
		a, b attrs
	}{
		"one":                  {nil, entries("a", `["sex"]`), 0, codes{}, city, all},
		"of both":              {nil, entries("a", `["sex"]`, "b", `["city","sex"]`), 0, codes{}, city, nil},
		"not there":            {nil, entries("a", `["country","sex"]`, "c", `["sex"]`), 0, codes{}, city, all},
		"name twice":           {nil, entries("a", `["sex","sex"]`), 0, codes{}, city, all},
		"account twice":        {nil, entries("a", `["sex"]`, "a", `["city"]`), 0, codes{}, nil, all},
		"other type":           {nil, entries("a", `["sex","device"]`, uuid, `["sex"]`), 0, codes{}, city, all},
		"unknown fields":       {nil, `{"X":1,"UserAttrs":[{"Y":2,"To_Account":"a","Attrs":["sex"]}]}`, 0, codes{}, city, all},
		"empty body":           {nil, "", 60003, codes{}, all, all},
		"not JSON":             {nil, "{", 60003, codes{}, all, all},
		"array":                {nil, "[]", 90001, codes{}, all, all},
		"no fields":            {nil, "{}", 90001, codes{}, all, all},
		"UserAttrs empty":      {nil, `{"UserAttrs":[]}`, 90001, codes{}, all, all},
		"entry null":           {nil, `{"UserAttrs":[null]}`, 90001, codes{}, all, all},
		"account empty":        {nil, entries("", `["sex"]`), 90001, codes{}, all, all},
		"attrs as in set_attr": {nil, entries("a", `{"sex":"1"}`), 90001, codes{}, all, all},
		"attrs null":           {nil, entries("a", `null`), 90001, codes{}, all, all},
		"attrs text":           {nil, entries("a", `"sex"`), 90001, codes{}, all, all},
		"attrs empty":          {nil, entries("a", `[]`), 90001, codes{}, all, all},
		"name null":            {nil, entries("a", `["sex",null]`), 90001, codes{}, all, all},
		"name number":          {nil, entries("a", `[1]`), 90001, codes{}, all, all},
		"name empty":           {nil, entries("a", `[""]`), 90033, codes{}, all, all},
		"unknown name":         {nil, entries("b", `["sex"]`, "a", `["sex","age"]`), 90033, codes{}, all, all},
		"case of a name":       {nil, entries("a", `["Sex"]`), 90033, codes{}, all, all},
		"101 accounts":         {nil, users(101), 90018, codes{}, all, all},
		"first fault wins":     {nil, entries("a", `["age"]`, "", `[]`), 90033, codes{}, all, all},
		"MaxBody":              {opts(with(variant{MaxBody: 99})), entries("a", `["`+strings.Repeat("x", 99)+`"]`), 93000, codes{}, all, all},
		"WithMaxUsers":         {opts(timpushtest.WithMaxUsers(2)), entries("a", `["sex"]`, "b", `["sex"]`, "c", `["sex"]`), 90018, codes{}, all, all},
		"NonStringCode":        {opts(with(variant{NonStringCode: 90033})), entries("a", `[1]`), 90033, codes{}, all, all},
		"EmptyAccepted":        {opts(with(variant{EmptyAccepted: true})), entries("a", `[]`, "b", `["sex"]`), 0, codes{}, all, city},
		"Replace":              {opts(with(variant{Replace: true})), entries("a", `["sex"]`), 0, codes{}, city, all},
		"FoldedNames":          {opts(with(variant{FoldedNames: true})), entries("a", `["SEX"]`), 0, codes{}, city, all},
		"UnknownNamesIgnored": {
			opts(with(variant{UnknownNamesIgnored: true})), entries("a", `["age","sex"]`, "b", `["age"]`), 0, codes{}, city, all,
		},
		"InvalidAttrPerAccount": {
			opts(with(variant{InvalidAttrPerAccount: true})), entries("a", `["sex"]`, "b", `["sex","age"]`), 0, codes{"b": 90033}, city, all,
		},
		"AbsentRefused": {
			opts(with(variant{AbsentRefused: true})), entries("a", `["sex"]`, "b", `["country"]`), 90033, codes{}, all, all,
		},
		"AbsentRefused, there": {
			opts(with(variant{AbsentRefused: true})), entries("a", `["sex"]`), 0, codes{}, city, all,
		},
		"AbsentRefused, per account": {
			opts(with(variant{AbsentRefused: true, InvalidAttrPerAccount: true})),
			entries("a", `["sex"]`, "b", `["sex","country"]`, "c", `["sex"]`), 0, codes{"b": 90033, "c": 90033}, city, all,
		},
		"WithKnownAccounts": {
			opts(timpushtest.WithKnownAccounts("a", "b")), entries("a", `["sex"]`, "c", `["sex"]`), 0, codes{"c": 70107}, city, all,
		},
		"UnknownStored": {
			opts(timpushtest.WithKnownAccounts(), with(variant{UnknownStored: true})),
			entries("a", `["sex"]`, "c", `["sex"]`), 0, codes{"c": 70107}, city, all,
		},
		"Duplicates listed": {
			opts(with(variant{Duplicates: timpushtest.DuplicatesListed})),
			entries("a", `["sex"]`, "b", `["sex"]`, "a", `["city"]`), 0, codes{"a": 90001}, all, city,
		},
		"FailWhenAllFail": {
			opts(timpushtest.WithKnownAccounts("a", "b"), with(variant{FailWhenAllFail: true})),
			entries("c", `["sex"]`), 70107, codes{"c": 70107}, all, all,
		},
		"PartialApply": {
			opts(with(variant{PartialApply: true})), entries("a", `["sex"]`, "b", `["age"]`), 90033, codes{}, city, all,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, append(tc.opts, timpushtest.WithRegistrationAttrNames("device"))...)
			f.post(entries("a", `{"sex":"1","city":"2"}`))
			f.post(entries("b", `{"sex":"1","city":"2"}`))
			a := f.call("remove_attr", tc.body)
			assert.Equal(t, tc.code, a.Code, a.Raw)
			assertEnvelope(t, a)
			assert.Equal(t, tc.list, a.codes())
			assert.Equal(t, tc.a, f.Attrs("a"))
			assert.Equal(t, tc.b, f.Attrs("b"))
		})
	}
}

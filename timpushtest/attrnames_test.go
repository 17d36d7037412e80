package timpushtest_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/timpush/timpush-go/timpushtest"
)

const okRaw = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`

// names builds what AttrNames returns for UserIDs, from index 0; "" leaves one out.
func names(list ...string) []timpushtest.AttrName {
	var out []timpushtest.AttrName
	for i, name := range list {
		if name != "" {
			out = append(out, timpushtest.AttrName{Index: i, Name: name})
		}
	}
	return out
}

func TestNameSamples(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithAttrNames())
	assert.Nil(t, f.AttrNames())
	a := f.call("set_attr_name", `{"AttrNames":{"0":"sex","1":"city","2":"country"},"AttrTypes":{"0":0,"1":0,"2":1}}`)
	assert.JSONEq(t, okRaw, a.Raw)
	a = f.call("set_attr_name", `{"AttrNames":{"0":"city"}}`)
	assert.JSONEq(t, `{"ActionStatus":"FAIL","ErrorInfo":"attrName:city already exists at index:1","ErrorCode":90033}`, a.Raw)
	a = f.call("get_attr_name", `{}`)
	assert.JSONEq(t, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,`+
		`"AttrNames":{"0":"sex","1":"city","2":"country"},"AttrTypes":{"0":0,"1":0,"2":1}}`, a.Raw)
	assert.Equal(t, []timpushtest.AttrName{
		{Index: 0, Name: "sex"}, {Index: 1, Name: "city"}, {Index: 2, Name: "country", RegistrationID: true},
	}, f.AttrNames())
}

func TestNamesOfOptions(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithRegistrationAttrNames("device"), timpushtest.WithAttrNames("a", "b"))
	assert.Equal(t, append(names("a", "b"), timpushtest.AttrName{Index: 2, Name: "device", RegistrationID: true}), f.AttrNames())
	assert.Equal(t, names("sex", "city", "country"), start(t).AttrNames())
}

func TestSetAttrNeedsTheNames(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithAttrNames())
	body := entries("a", `{"city":"x"}`)
	assert.Equal(t, 90033, f.post(body).Code)
	f.setNames(`{"AttrNames":{"5":"city","9":"device"},"AttrTypes":{"9":1}}`)
	assert.Equal(t, codes{}, f.post(body).codes())
	assert.Equal(t, attrs{"city": "x"}, f.Attrs("a"))
	a := f.post(entries(uuid, `{"device":"x"}`, "b", `{"device":"x"}`, strings.Replace(uuid, "3", "4", 1), `{"city":"x"}`))
	assert.Equal(t, codes{"b": 90035, strings.Replace(uuid, "3", "4", 1): 90035}, a.codes())
	assert.Equal(t, attrs{"device": "x"}, f.Attrs(uuid))
}

// TestSetAttrName sends one body to an app with the names sex, city and country.
func TestSetAttrName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 51)
	before := names("sex", "city", "country")
	name3 := func(name string) []timpushtest.AttrName { return names("sex", "city", "country", name) }
	withType := func(name string) []timpushtest.AttrName {
		list := name3(name)
		list[3].RegistrationID = true
		return list
	}
	opts := func(opts ...timpushtest.Option) []timpushtest.Option { return opts }
	for name, tc := range map[string]struct {
		opts []timpushtest.Option
		body string
		code int
		want []timpushtest.AttrName
	}{
		"one more":              {nil, `{"AttrNames":{"3":"age"}}`, 0, name3("age")},
		"unknown field":         {nil, `{"X":1,"AttrNames":{"3":"age"}}`, 0, name3("age")},
		"type 0":                {nil, `{"AttrNames":{"3":"age"},"AttrTypes":{"3":0}}`, 0, name3("age")},
		"type 1":                {nil, `{"AttrNames":{"3":"age"},"AttrTypes":{"3":1}}`, 0, withType("age")},
		"no types":              {nil, `{"AttrNames":{"3":"age"},"AttrTypes":{}}`, 0, name3("age")},
		"index 9":               {nil, `{"AttrNames":{"9":"age"}}`, 0, names("sex", "city", "country", "", "", "", "", "", "", "age")},
		"50 bytes":              {nil, `{"AttrNames":{"3":"` + long[1:] + `"}}`, 0, name3(long[1:])},
		"51 bytes":              {nil, `{"AttrNames":{"3":"` + long + `"}}`, 90033, before},
		"51 bytes, 17 runes":    {nil, `{"AttrNames":{"3":"` + strings.Repeat("好", 17) + `"}}`, 90033, before},
		"50 bytes escaped":      {nil, `{"AttrNames":{"3":"` + strings.Repeat(`\u0061`, 50) + `"}}`, 0, name3(long[1:])},
		"rename":                {nil, `{"AttrNames":{"0":"gender"}}`, 0, names("gender", "city", "country")},
		"the same again":        {nil, `{"AttrNames":{"0":"sex"},"AttrTypes":{"0":0}}`, 0, before},
		"exchanged":             {nil, `{"AttrNames":{"0":"city","1":"sex"}}`, 0, names("city", "sex", "country")},
		"case differs":          {nil, `{"AttrNames":{"3":"Sex"}}`, 0, name3("Sex")},
		"empty body":            {nil, ``, 60003, before},
		"not JSON":              {nil, `{`, 60003, before},
		"null":                  {nil, `null`, 90001, before},
		"array":                 {nil, `[]`, 90001, before},
		"no names":              {nil, `{}`, 90001, before},
		"names null":            {nil, `{"AttrNames":null}`, 90001, before},
		"names array":           {nil, `{"AttrNames":["age"]}`, 90001, before},
		"names empty":           {nil, `{"AttrNames":{}}`, 90001, before},
		"name number":           {nil, `{"AttrNames":{"3":1}}`, 90001, before},
		"name null":             {nil, `{"AttrNames":{"3":null}}`, 90001, before},
		"name empty":            {nil, `{"AttrNames":{"3":""}}`, 90033, before},
		"types null":            {nil, `{"AttrNames":{"3":"age"},"AttrTypes":null}`, 90001, before},
		"types array":           {nil, `{"AttrNames":{"3":"age"},"AttrTypes":[1]}`, 90001, before},
		"type text":             {nil, `{"AttrNames":{"3":"age"},"AttrTypes":{"3":"1"}}`, 90001, before},
		"type null":             {nil, `{"AttrNames":{"3":"age"},"AttrTypes":{"3":null}}`, 90001, before},
		"type 2":                {nil, `{"AttrNames":{"3":"age"},"AttrTypes":{"3":2}}`, 90001, before},
		"type -1":               {nil, `{"AttrNames":{"3":"age"},"AttrTypes":{"3":-1}}`, 90001, before},
		"type without name":     {nil, `{"AttrNames":{"3":"age"},"AttrTypes":{"4":1}}`, 90001, before},
		"index 10":              {nil, `{"AttrNames":{"10":"age"}}`, 90001, before},
		"index -1":              {nil, `{"AttrNames":{"-1":"age"}}`, 90001, before},
		"index 03":              {nil, `{"AttrNames":{"03":"age"}}`, 90001, before},
		"index a":               {nil, `{"AttrNames":{"a":"age"}}`, 90001, before},
		"index empty":           {nil, `{"AttrNames":{"":"age"}}`, 90001, before},
		"name at another index": {nil, `{"AttrNames":{"3":"age","4":"sex"}}`, 90033, before},
		"name twice":            {nil, `{"AttrNames":{"3":"age","4":"age"}}`, 90033, before},
		"other type":            {nil, `{"AttrNames":{"3":"age","0":"sex"},"AttrTypes":{"0":1}}`, 90033, before},
		"other type and name":   {nil, `{"AttrNames":{"0":"gender"},"AttrTypes":{"0":1}}`, 90033, before},
		"BadIndexCode":          {opts(with(variant{BadIndexCode: 90033})), `{"AttrNames":{"10":"age"}}`, 90033, before},
		"BadIndexCode, 2":       {opts(with(variant{BadIndexCode: 90033})), `{"AttrNames":{"3":"age"},"AttrTypes":{"3":2}}`, 90033, before},
		"BadIndexCode, own":     {opts(with(variant{BadIndexCode: 90033})), `{"AttrNames":{"3":"age"},"AttrTypes":{"4":1}}`, 90033, before},
		"NonStringCode":         {opts(with(variant{NonStringCode: 90033})), `{"AttrNames":{"3":1}}`, 90033, before},
		"EmptyAccepted":         {opts(with(variant{EmptyAccepted: true})), `{"AttrNames":{}}`, 0, before},
		"NotJSONCode":           {opts(with(variant{NotJSONCode: 90001})), `{`, 90001, before},
		"MaxBody":               {opts(with(variant{MaxBody: 10})), `{"AttrNames":{"3":"age"}}`, 93000, before},
		"FoldedNames":           {opts(with(variant{FoldedNames: true})), `{"AttrNames":{"3":"Sex"}}`, 90033, before},
		"FoldedNames, own":      {opts(with(variant{FoldedNames: true})), `{"AttrNames":{"0":"Sex"}}`, 0, names("Sex", "city", "country")},
		"EscapedLength":         {opts(with(variant{EscapedLength: true})), `{"AttrNames":{"3":"` + strings.Repeat(`\u0061`, 9) + `"}}`, 90033, before},
		"RenameRefused":         {opts(with(variant{RenameRefused: true})), `{"AttrNames":{"0":"gender"}}`, 90033, before},
		"RenameRefused, new":    {opts(with(variant{RenameRefused: true})), `{"AttrNames":{"0":"sex","3":"age"}}`, 0, name3("age")},
		"SameNameRefused":       {opts(with(variant{SameNameRefused: true})), `{"AttrNames":{"0":"sex"}}`, 90033, before},
		"EmptyNameClears":       {opts(with(variant{EmptyNameClears: true})), `{"AttrNames":{"0":"","7":""}}`, 0, names("", "city", "country")},
		"cleared, name moves":   {opts(with(variant{EmptyNameClears: true})), `{"AttrNames":{"0":"","3":"sex"}}`, 0, names("", "city", "country", "sex")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, tc.opts...)
			a := f.call("set_attr_name", tc.body)
			assert.Equal(t, tc.code, a.Code, a.Raw)
			assertEnvelope(t, a)
			assert.Equal(t, tc.want, f.AttrNames())
		})
	}
}

func TestTypeIsFixedOnceSet(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithAttrNames(), with(variant{EmptyNameClears: true}))
	f.setNames(`{"AttrNames":{"0":"sex","1":"device"},"AttrTypes":{"1":1}}`)
	refused := func(body string) {
		t.Helper()
		assert.Equal(t, 90033, f.call("set_attr_name", body).Code)
	}
	refused(`{"AttrNames":{"0":"sex"},"AttrTypes":{"0":1}}`)
	refused(`{"AttrNames":{"1":"device"},"AttrTypes":{"1":0}}`)
	f.setNames(`{"AttrNames":{"1":"phone"}}`)
	assert.True(t, f.AttrNames()[1].RegistrationID, "a new name without a type does not change it")
	f.setNames(`{"AttrNames":{"1":"","2":""},"AttrTypes":{"2":1}}`)
	refused(`{"AttrNames":{"1":"device"},"AttrTypes":{"1":0}}`)
	f.setNames(`{"AttrNames":{"1":"device","2":"new"},"AttrTypes":{"2":0}}`)
	assert.True(t, f.AttrNames()[1].RegistrationID)
	assert.False(t, f.AttrNames()[2].RegistrationID, "an index that never had a name has no type")
}

func TestValuesFollowTheIndex(t *testing.T) {
	t.Parallel()
	f := start(t, with(variant{EmptyNameClears: true}))
	f.post(okBody)
	f.setNames(`{"AttrNames":{"0":"gender"}}`)
	assert.Equal(t, attrs{"gender": "male", "city": "ShenZhen"}, f.Attrs("xiaoming"))
	f.setNames(`{"AttrNames":{"0":"","1":""}}`)
	assert.Nil(t, f.Attrs("xiaoming"))
	f.setNames(`{"AttrNames":{"1":"town"}}`)
	assert.Equal(t, attrs{"town": "ShenZhen"}, f.Attrs("xiaoming"))
}

func TestGetAttrName(t *testing.T) {
	t.Parallel()
	const names = `"AttrNames":{"0":"sex","1":"device"}`
	ok := strings.TrimSuffix(okRaw, "}")
	for name, tc := range map[string]struct {
		opt        timpushtest.Option
		body, want string
	}{
		"default":            {nil, `{}`, ok + `,` + names + `,"AttrTypes":{"0":0,"1":1}}`},
		"unknown field":      {nil, `{"X":1}`, ok + `,` + names + `,"AttrTypes":{"0":0,"1":1}}`},
		"TypesOmitted":       {with(variant{TypesOmitted: true}), `{}`, ok + `,` + names + `}`},
		"QuotedNumbers":      {with(variant{QuotedNumbers: true}), `{}`, strings.Replace(ok, "0", `"0"`, 1) + `,` + names + `,"AttrTypes":{"0":"0","1":"1"}}`},
		"EmptyFieldsAbsent":  {with(variant{EmptyFieldsAbsent: true}), `{}`, ok + `,` + names + `,"AttrTypes":{"0":0,"1":1}}`},
		"no ErrorList":       {with(variant{ErrorListUnrelated: true}), `{}`, ok + `,` + names + `,"AttrTypes":{"0":0,"1":1}}`},
		"no empty ErrorList": {with(variant{ErrorList: timpushtest.ErrorListEmpty}), `{}`, ok + `,` + names + `,"AttrTypes":{"0":0,"1":1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := []timpushtest.Option{timpushtest.WithAttrNames("sex"), timpushtest.WithRegistrationAttrNames("device")}
			if tc.opt != nil {
				opts = append(opts, tc.opt)
			}
			assert.JSONEq(t, tc.want, start(t, opts...).call("get_attr_name", tc.body).Raw)
		})
	}
	f := start(t)
	for body, code := range map[string]int{"": 60003, "{": 60003, "[]": 90001, "null": 90001, `""`: 90001} {
		a := f.call("get_attr_name", body)
		assert.Equal(t, code, a.Code, body)
		assertEnvelope(t, a)
	}
}

func TestGetAttrNameOfNewApp(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithAttrNames())
	assert.JSONEq(t, strings.TrimSuffix(okRaw, "}")+`,"AttrNames":{},"AttrTypes":{}}`, f.call("get_attr_name", `{}`).Raw)
	f = start(t, timpushtest.WithAttrNames(), with(variant{EmptyFieldsAbsent: true}))
	assert.JSONEq(t, okRaw, f.call("get_attr_name", `{}`).Raw)
}

func TestNameFaults(t *testing.T) {
	t.Parallel()
	const body = `{"AttrNames":{"3":"age"}}`
	before, after := names("sex", "city", "country"), names("sex", "city", "country", "age")
	for name, tc := range map[string]struct {
		fault timpushtest.Fault
		opts  []timpushtest.Option
		code  int
		want  []timpushtest.AttrName
	}{
		"ErrorCode":        {timpushtest.ErrorCode(91000), nil, 91000, before},
		"ErrorCodeApplied": {timpushtest.ErrorCodeApplied(91000), nil, 91000, after},
		"open code":        {timpushtest.ErrorCode(91000), []timpushtest.Option{with(variant{AppliedOnOpenCodes: true})}, 91000, after},
		"AccountCode":      {timpushtest.AccountCode(70107, "a"), nil, 0, after},
		"no half":          {timpushtest.ErrorCode(91000), []timpushtest.Option{with(variant{PartialApply: true})}, 91000, before},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, tc.opts...)
			f.Inject(tc.fault, timpushtest.ErrorCode(60008))
			a := f.call("set_attr_name", body)
			assert.Equal(t, tc.code, a.Code)
			assertEnvelope(t, a)
			assert.Equal(t, tc.want, f.AttrNames())
			a = f.call("get_attr_name", `{}`)
			assert.Equal(t, 60008, a.Code)
			assertEnvelope(t, a)
			assert.Equal(t, "/v4/timpush/get_attr_name", f.Calls()[1].Path)
			assert.Nil(t, f.Calls()[0].Accounts)
		})
	}
	f := start(t)
	f.Inject(timpushtest.ErrorCode(91000))
	assert.Equal(t, 90033, f.call("set_attr_name", `{"AttrNames":{"0":"city"}}`).Code, "refused for the name, not for the fault")
	f.Inject(timpushtest.CutBefore(), timpushtest.CutAfter())
	for range 2 {
		assert.Equal(t, before, f.AttrNames())
		_, err := f.broken(goodCall("set_attr_name", body))
		assert.Error(t, err)
	}
	assert.Equal(t, after, f.AttrNames())
}

func TestConcurrentNames(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithAttrNames(), timpushtest.WithQuota(0))
	var wg sync.WaitGroup
	for _, index := range "0123456789" {
		wg.Go(func() {
			f.call("set_attr_name", `{"AttrNames":{"`+string(index)+`":"contested"}}`)
			f.post(entries("a", `{"contested":"1"}`))
			f.call("get_attr_name", `{}`)
		})
	}
	wg.Wait()
	assert.Len(t, f.AttrNames(), 1)
	assert.Equal(t, attrs{"contested": "1"}, f.Attrs("a"))
}

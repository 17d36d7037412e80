package timpushtest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

func TestGetAttrSample(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithKnownAccounts("xiaoming", "xiaohua"), with(variant{AnswersInOrder: true}))
	f.post(okBody)
	a := f.call("get_attr", `{"To_Account":["Mary","xiaoming","xiaohua"]}`)
	assert.JSONEq(t, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"UserAttrs":[`+
		`{"To_Account":"xiaoming","Attrs":{"sex":"male","city":"ShenZhen"}},{"To_Account":"xiaohua","Attrs":{}}],`+
		`"ErrorList":[{"ErrorCode":70107,"To_Account":"Mary"}]}`, a.Raw)
}

// TestGetAttr sends one body to an app with two accounts.
func TestGetAttr(t *testing.T) {
	t.Parallel()
	a, b := attrs{"sex": "1"}, attrs{"city": "", "sex": "2"}
	opts := func(opts ...timpushtest.Option) []timpushtest.Option { return opts }
	onlyAB := timpushtest.WithKnownAccounts("a", "b")
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprint("user", i))
	}
	for name, tc := range map[string]struct {
		opts []timpushtest.Option
		body string
		code int
		list codes
		want map[string]attrs
	}{
		"both":                      {nil, accounts("b", "a"), 0, codes{}, map[string]attrs{"a": a, "b": b}},
		"one":                       {nil, accounts("b"), 0, codes{}, map[string]attrs{"b": b}},
		"without attributes":        {nil, accounts("c"), 0, codes{}, map[string]attrs{"c": {}}},
		"case of an account":        {nil, accounts("A"), 0, codes{}, map[string]attrs{"A": {}}},
		"RegistrationID":            {nil, accounts(uuid), 0, codes{}, map[string]attrs{uuid: {}}},
		"unknown field":             {nil, `{"X":1,"To_Account":["a"]}`, 0, codes{}, map[string]attrs{"a": a}},
		"twice":                     {nil, accounts("a", "a"), 0, codes{}, map[string]attrs{"a": a}},
		"empty body":                {nil, "", 60003, codes{}, nil},
		"not JSON":                  {nil, "{", 60003, codes{}, nil},
		"invalid UTF-8":             {nil, "{\"To_Account\":[\"\xff\"]}", 60003, codes{}, nil},
		"array":                     {nil, `["a"]`, 90001, codes{}, nil},
		"no fields":                 {nil, `{}`, 90001, codes{}, nil},
		"null":                      {nil, `{"To_Account":null}`, 90001, codes{}, nil},
		"text":                      {nil, `{"To_Account":"a"}`, 90001, codes{}, nil},
		"empty":                     {nil, `{"To_Account":[]}`, 90001, codes{}, nil},
		"account empty":             {nil, accounts("a", ""), 90001, codes{}, nil},
		"account null":              {nil, `{"To_Account":[null]}`, 90001, codes{}, nil},
		"account number":            {nil, `{"To_Account":[1]}`, 90001, codes{}, nil},
		"as set_attr":               {nil, okBody, 90001, codes{}, nil},
		"101 accounts":              {nil, accounts(many...), 90018, codes{}, nil},
		"count before entries":      {nil, `{"To_Account":[` + strings.Repeat("1,", 100) + `1]}`, 90018, codes{}, nil},
		"WithMaxUsers":              {opts(timpushtest.WithMaxUsers(1)), accounts("a", "b"), 90018, codes{}, nil},
		"MaxBody":                   {opts(with(variant{MaxBody: 50})), accounts(many...), 93000, codes{}, nil},
		"EmptyAccepted":             {opts(with(variant{EmptyAccepted: true})), accounts(), 90001, codes{}, nil}, // null
		"EmptyAccepted, array":      {opts(with(variant{EmptyAccepted: true})), `{"To_Account":[]}`, 0, codes{}, map[string]attrs{}},
		"WithKnownAccounts":         {opts(onlyAB), accounts("a", "c"), 0, codes{"c": 70107}, map[string]attrs{"a": a}},
		"WithKnownAccounts, no one": {opts(onlyAB), accounts("c", "d"), 0, codes{"c": 70107, "d": 70107}, map[string]attrs{}},
		"FailWhenAllFail":           {opts(onlyAB, with(variant{FailWhenAllFail: true})), accounts("c"), 70107, codes{"c": 70107}, nil},
		"NotFoundOmitted":           {opts(onlyAB, with(variant{NotFoundOmitted: true})), accounts("a", "c"), 0, codes{}, map[string]attrs{"a": a}},
		"UnknownStored":             {opts(timpushtest.WithKnownAccounts(), with(variant{UnknownStored: true})), accounts("a", "c"), 0, codes{"c": 70107}, map[string]attrs{"a": a}},
		"Duplicates refused":        {opts(with(variant{Duplicates: timpushtest.DuplicatesRefused})), accounts("a", "a"), 90001, codes{}, nil},
		"Duplicates listed":         {opts(with(variant{Duplicates: timpushtest.DuplicatesListed})), accounts("a", "b", "a"), 0, codes{"a": 90001}, map[string]attrs{"b": b}},
		"ErrorListUnrelated":        {opts(with(variant{ErrorListUnrelated: true})), accounts("a"), 0, codes{"unrelated": 70107}, map[string]attrs{"a": a}},
		"PartialApply":              {opts(with(variant{PartialApply: true})), accounts("a", "c", "b", ""), 90001, codes{}, nil},
		"InvalidAttrPerAccount":     {opts(with(variant{InvalidAttrPerAccount: true})), accounts("a"), 0, codes{}, map[string]attrs{"a": a}},
		"EmptyFieldsAbsent, one":    {opts(with(variant{EmptyFieldsAbsent: true})), accounts("c"), 0, codes{}, map[string]attrs{"c": {}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, tc.opts...)
			f.post(entries("a", `{"sex":"1"}`, "b", `{"city":"","sex":"2"}`))
			got := f.call("get_attr", tc.body)
			assert.Equal(t, tc.code, got.Code, got.Raw)
			assertEnvelope(t, got, "UserAttrs")
			assert.Equal(t, tc.list, got.codes())
			if tc.want == nil {
				assert.NotContains(t, got.Raw, "UserAttrs")
				return
			}
			assert.Contains(t, got.Raw, `"UserAttrs":[`)
			assert.Equal(t, tc.want, got.attrs())
			assert.Equal(t, []string{"a", "b"}, f.Accounts(), "reading changes nothing")
		})
	}
}

func TestGetAttrOf100(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.post(users(100))
	var list []string
	for i := range 100 {
		list = append(list, fmt.Sprint("user", i))
	}
	order := func() []string {
		var got []string
		for _, u := range f.call("get_attr", accounts(list...)).UserAttrs {
			assert.Equal(t, attrs{"city": "x"}, u.Attrs)
			got = append(got, u.Account)
		}
		assert.ElementsMatch(t, list, got)
		return got
	}
	first := order()
	assert.NotEqual(t, list, first)
	assert.NotEqual(t, first, order())
}

func TestGetAttrEmptyFields(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithKnownAccounts(), with(variant{EmptyFieldsAbsent: true}))
	assert.JSONEq(t, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ErrorList":[{"ErrorCode":70107,"To_Account":"a"}]}`,
		f.call("get_attr", accounts("a")).Raw)
}

func TestReadDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, with(variant{ReadDelay: 10 * time.Second}))
		city := func() string {
			t.Helper()
			a := f.call("get_attr", accounts("a"))
			require.Len(t, a.UserAttrs, 1)
			return a.UserAttrs[0].Attrs["city"]
		}
		set := func(value string) { f.post(entries("a", `{"city":"`+value+`"}`)) }
		set("1")
		assert.Equal(t, attrs{"city": "1"}, f.Attrs("a"))
		time.Sleep(4 * time.Second)
		set("2")
		assert.Empty(t, city())
		time.Sleep(6*time.Second - time.Nanosecond)
		assert.Empty(t, city())
		time.Sleep(time.Nanosecond)
		assert.Equal(t, "1", city())
		time.Sleep(4 * time.Second)
		assert.Equal(t, "2", city())
		f.call("remove_attr", entries("a", `["city"]`))
		time.Sleep(10*time.Second - time.Nanosecond)
		assert.Equal(t, "2", city())
		time.Sleep(time.Nanosecond)
		assert.Empty(t, city())
	})
}

// faultBodies has a body of two accounts for each command that has accounts.
var faultBodies = map[string]string{
	"set_attr":    entries("a", `{"sex":"1"}`, "b", `{"sex":"2"}`),
	"get_attr":    accounts("a", "b"),
	"remove_attr": entries("a", `["sex"]`, "b", `["sex"]`),
}

func TestFaultsOfAllCommands(t *testing.T) {
	t.Parallel()
	for command, body := range faultBodies {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			call := func() answer {
				t.Helper()
				a := f.call(command, body)
				assertEnvelope(t, a, "UserAttrs")
				return a
			}
			f.Inject(timpushtest.ErrorCode(91000), timpushtest.ErrorCodeApplied(60008), timpushtest.AccountCode(70107, "a", "other"))
			assert.Equal(t, 91000, call().Code)
			assert.Equal(t, 60008, call().Code)
			a := call()
			assert.Equal(t, codes{"a": 70107}, a.codes())
			assert.NotContains(t, a.attrs(), "a")

			f.Poison(90033, "b")
			assert.Equal(t, 90033, call().Code)
			f.Poison(0, "b")
			f.Refuse(70169, "b")
			a = call()
			assert.Equal(t, codes{"b": 70169}, a.codes())
			assert.NotContains(t, a.attrs(), "b")
			f.Refuse(0, "b")

			f.Handle(func(c timpushtest.Call) timpushtest.Fault {
				assert.Equal(t, "/v4/timpush/"+command, c.Path)
				assert.Equal(t, []string{"a", "b"}, c.Accounts)
				return timpushtest.Status(502)
			})
			assert.Equal(t, 502, f.call(command, body).HTTP)
			f.Handle(nil)
			f.Inject(timpushtest.CutAfter())
			_, err := f.broken(goodCall(command, body))
			require.Error(t, err)
			calls := f.Calls()
			require.Len(t, calls, 7)
			assert.Equal(t, []int{200, 91000}, []int{calls[0].Status, calls[0].Code})
			assert.Equal(t, 0, calls[6].Status)
		})
	}
}

func TestCallsOfGetAttr(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, body := range []string{`{"To_Account":["a",1,null,"b"]}`, `{"To_Account":"a"}`, `{"To_Account":null}`, "\xff", "{"} {
		f.call("get_attr", body)
	}
	calls := f.Calls()
	assert.Equal(t, []string{"a", "", "", "b"}, calls[0].Accounts)
	for _, c := range calls[1:] {
		assert.Nil(t, c.Accounts)
	}
}

func TestEachCommandHasItsQuota(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{"set_attr_name": `{"AttrNames":{"3":"age"}}`, "get_attr_name": `{}`}
	for command, body := range faultBodies {
		bodies[command] = body
	}
	for name, tc := range map[string]struct {
		opts  []timpushtest.Option
		calls int
		other int // code of the calls of the other commands
	}{
		"default": {nil, 100, 0},
		"per app": {[]timpushtest.Option{with(variant{QuotaScope: timpushtest.QuotaPerApp}), timpushtest.WithQuota(5)}, 5, 60007},
	} {
		for command, body := range bodies {
			t.Run(name+", "+command, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := start(t, tc.opts...)
					for range tc.calls {
						require.Equal(t, 0, f.call(command, body).Code)
					}
					assert.Equal(t, 60007, f.call(command, body).Code)
					for other, body := range bodies {
						if other != command {
							assert.Equal(t, tc.other, f.call(other, body).Code, other)
						}
					}
				})
			})
		}
	}
}

// TestAdmissionOfAllCommands goes wrong once with each kind of check that comes before the body.
func TestAdmissionOfAllCommands(t *testing.T) {
	t.Parallel()
	user := newSigner()
	user.user = "xiaoming"
	for _, command := range []string{"set_attr", "get_attr", "remove_attr", "set_attr_name", "get_attr_name"} {
		f := start(t)
		for code, edit := range map[int]func(r *request){
			60009: func(r *request) { r.method = http.MethodGet },
			60012: func(r *request) { r.query.Del("sdkappid") },
			60025: func(r *request) { r.query.Del("random") },
			70003: func(r *request) { r.query.Set("usersig", "abc") },
			70020: func(r *request) { r.query.Set("sdkappid", "1") },
			90009: func(r *request) {
				r.query.Set("identifier", user.user)
				r.query.Set("usersig", user.sig())
			},
		} {
			r := goodCall(command, "")
			edit(&r)
			a := f.send(r)
			assert.Equal(t, code, a.Code, command)
			assertEnvelope(t, a)
		}
	}
}

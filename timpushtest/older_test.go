package timpushtest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/timpush/timpush-go/timpushtest"
)

// older posts to a command of the older family.
func (f fixture) older(command, body string) answer {
	f.Helper()
	r := goodRequest(body)
	r.path = "/v4/all_member_push/im_" + command
	return f.send(r)
}

func TestOlderFamily(t *testing.T) {
	t.Parallel()
	ok := strings.TrimSuffix(okRaw, "}")
	f := start(t, timpushtest.WithAttrNames(), with(variant{ErrorList: timpushtest.ErrorListEmpty}))
	for _, step := range []struct{ command, body, want string }{
		{"set_attr_name", `{"AttrNames":{"0":"sex","1":"city"},"AttrTypes":[]}`, okRaw},
		{"get_attr_name", `{}`, ok + `,"AttrNames":{"0":"sex","1":"city"}}`},
		{"set_attr", okBody, okRaw},
		{"set_attr", entries(uuid, `{"city":"x"}`), okRaw},
		{"get_attr", accounts("xiaoming"), ok + `,"UserAttrs":[{"To_Account":"xiaoming","Attrs":{"sex":"male","city":"ShenZhen"}}]}`},
		{"remove_attr", entries("xiaoming", `["sex"]`), okRaw},
		{"get_attr", accounts(uuid), ok + `,"UserAttrs":[{"To_Account":"` + uuid + `","Attrs":{"city":"x"}}]}`},
	} {
		assert.JSONEq(t, step.want, f.older(step.command, step.body).Raw, step.command)
	}
	assert.Equal(t, attrs{"city": "ShenZhen"}, f.Attrs("xiaoming"))
	assert.Equal(t, codes{uuid: 90035}, f.post(entries(uuid, `{"city":"x"}`)).codes(), "one store, other rules")
	calls := f.Calls()
	assert.Equal(t, "/v4/all_member_push/im_set_attr", calls[2].Path)
	assert.Equal(t, []string{"xiaoming"}, calls[2].Accounts)
}

func TestOlderFamilyHasNoErrorList(t *testing.T) {
	t.Parallel()
	const fail = `{"ActionStatus":"FAIL","ErrorInfo":"account \"b\": account is not known","ErrorCode":70107}`
	for command, body := range faultBodies {
		f := start(t, timpushtest.WithKnownAccounts("a"), with(variant{ErrorList: timpushtest.ErrorListNull}))
		assert.JSONEq(t, fail, f.older(command, body).Raw, command)
		assert.Empty(t, f.Accounts())
		f = start(t)
		f.Refuse(70169, "a")
		assert.Equal(t, 70169, f.older(command, body).Code, command)
		f.Inject(timpushtest.AccountCode(91000, "b"))
		f.Refuse(0, "a")
		assert.Equal(t, 91000, f.older(command, body).Code, command)
		assert.Empty(t, f.Accounts())
	}
	f := start(t, timpushtest.WithKnownAccounts("a"), with(variant{NotFoundOmitted: true}))
	assert.Equal(t, map[string]attrs{"a": {}}, f.older("get_attr", accounts("a", "b")).attrs())
}

func TestOlderFamilyIsChecked(t *testing.T) {
	t.Parallel()
	f := start(t)
	assert.Equal(t, 90033, f.older("set_attr", entries("a", `{"age":"1"}`)).Code)
	assert.Equal(t, 90018, f.older("set_attr", users(101)).Code)
	assert.Equal(t, 90033, f.older("set_attr_name", `{"AttrNames":{"0":"city"}}`).Code)
	assert.Equal(t, 60003, f.older("get_attr_name", ``).Code)
	assert.Equal(t, 60009, f.older("no_such", `{}`).Code)
	assert.Equal(t, 60009, f.call("im_set_attr", okBody).Code)
}

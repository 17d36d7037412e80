package timpush

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRequestIsTheDocumentedOne(t *testing.T) {
	t.Parallel()
	body := setAttr.body(oneRequest([]UserAttrs{
		{"379C2F0D-290D-47AE-94D1-919058C39C77", Attrs{"sex": "female"}},
		{"xiaoming", Attrs{"city": "ShenZhen"}},
	}), 1)
	assert.Equal(t, `{"UserAttrs":[{"To_Account":"379C2F0D-290D-47AE-94D1-919058C39C77","Attrs":{"sex":"female"}},`+
		`{"To_Account":"xiaoming","Attrs":{"city":"ShenZhen"}}]}`, string(body))
}

// oneRequest returns the entries of a request with all of users.
func oneRequest(users []UserAttrs) []*entry {
	written, _ := validate(&setAttr, users, new(buffer))
	return split(encode(&setAttr, users, places(len(users)), written), len(users))[0]
}

// FuzzAppendRequest: what encoding/json reads from a request is what was put in.
func FuzzAppendRequest(f *testing.F) {
	f.Add("xiaoming", "city", "ShenZhen", "sex", "male")
	f.Add("小明", "城市", "深圳 😀", "\"", "\\")
	f.Add("\x00\x1f\x7f", "<&>", "\u2028\u2029", "\ufffd", "tab\t")
	f.Fuzz(func(t *testing.T, account, name1, value1, name2, value2 string) {
		user := UserAttrs{account, Attrs{name1: value1, name2: value2}}
		if user.Validate() != nil {
			return
		}
		var got struct {
			UserAttrs []struct {
				ToAccount string `json:"To_Account"`
				Attrs     Attrs
			}
		}
		body := setAttr.body(oneRequest([]UserAttrs{user, user}), 1)
		require.NoError(t, json.Unmarshal(body, &got), string(body))
		require.Len(t, got.UserAttrs, 2)
		for _, u := range got.UserAttrs {
			assert.Equal(t, user, UserAttrs{u.ToAccount, u.Attrs})
		}
	})
}

// valid says in the plainest way which users may be sent.
func valid(u UserAttrs) bool {
	ok := u.ToAccount != "" && utf8.ValidString(u.ToAccount) && !strings.ContainsFunc(u.ToAccount, unicode.IsControl) && len(u.Attrs) >= 1 && len(u.Attrs) <= 10
	for name, value := range u.Attrs {
		ok = ok && name != "" && len(name) <= 50 && len(value) <= 50 && utf8.ValidString(name) && utf8.ValidString(value)
	}
	return ok
}

func FuzzValidate(f *testing.F) {
	f.Add("a", "city", "Rome", uint8(1), false)
	f.Add("", "", "", uint8(0), true)
	f.Add("a\xff", strings.Repeat("n", 51), strings.Repeat("字", 17), uint8(9), true)
	f.Add("a", strings.Repeat("n", 50), strings.Repeat("v", 50), uint8(10), true)
	f.Fuzz(func(t *testing.T, account, name, value string, more uint8, twice bool) {
		users := []UserAttrs{{account, Attrs{name: value}}, {"fine", Attrs{"a": "b"}}, {account, nil}}
		for i := range more % 12 {
			users[0].Attrs[name+string(rune('0'+i))] = value
		}
		if twice {
			users = append(users, users[0])
		}
		var want []int
		for i, u := range users {
			if !valid(u) {
				want = append(want, i)
			}
		}
		var got []int
		if _, err := validate(&setAttr, users, new(buffer)); err != nil {
			faulty, ok := errors.AsType[*InputErrors](err)
			require.True(t, ok)
			for _, fault := range faulty.Faults {
				got = append(got, fault.Index)
				assert.LessOrEqual(t, len(fault.Error()), 700, "64 bytes of the account and of the name, each four when quoted, and the reason")
			}
		}
		assert.True(t, slices.IsSorted(got))
		assert.Equal(t, want, slices.Compact(got))
		for i, u := range users {
			assert.Equal(t, !slices.Contains(want, i), u.Validate() == nil, "a user alone is judged as in a slice")
		}
	})
}

// FuzzMergeAndSplit holds both against a serial model: each user applied after the other to a map.
func FuzzMergeAndSplit(f *testing.F) {
	f.Add([]byte("abcabc"), uint8(2))
	f.Add([]byte(strings.Repeat("aAbB", 60)), uint8(100))
	f.Fuzz(func(t *testing.T, script []byte, size uint8) {
		limit := 1 + int(size)%MaxUsersPerRequest
		users := make([]UserAttrs, len(script))
		model := map[string]Attrs{}
		for i, b := range script {
			account := string('a' + rune(b%16))
			users[i] = UserAttrs{account, Attrs{string('n' + rune(b/16%4)): string('0' + rune(b/64)), "i": string(rune('0' + i%10))}}
			if model[account] == nil {
				model[account] = Attrs{}
			}
			maps.Copy(model[account], users[i].Attrs)
		}
		items, itemOf, err := merge(&setAttr, users, new(buffer))
		require.NoError(t, err)
		written, err := validate(&setAttr, users, new(buffer))
		require.NoError(t, err)
		entries := encode(&setAttr, items, itemOf, written)

		got := map[string]Attrs{}
		for _, e := range entries {
			var u struct {
				ToAccount string `json:"To_Account"`
				Attrs     Attrs
			}
			require.NoError(t, json.Unmarshal(e.json, &u))
			require.Equal(t, e.account, u.ToAccount)
			require.NotContains(t, got, u.ToAccount, "each account once")
			got[u.ToAccount] = u.Attrs
		}
		assert.Equal(t, model, got)
		for i, u := range users {
			assert.Equal(t, u.ToAccount, entries[itemOf[i]].account)
		}
		var all []*entry
		for _, request := range split(entries, limit) {
			assert.NotEmpty(t, request)
			assert.LessOrEqual(t, len(request), limit)
			all = append(all, request...)
		}
		require.Len(t, all, len(entries))
		for n, e := range all {
			assert.Same(t, &entries[n], e, "in order, and none left out")
		}
	})
}

// BenchmarkEncode makes the body of a request for 100 users with 3 attributes each, in three ways.
func BenchmarkEncode(b *testing.B) {
	users := make([]UserAttrs, 100)
	for i := range users {
		users[i] = UserAttrs{"user-" + strconv.Itoa(i), Attrs{"sex": "female", "city": "NewYork", "country": "US"}}
	}
	b.Run("by=timpush", func(b *testing.B) { // which validates, too
		b.ReportAllocs()
		for b.Loop() {
			setAttr.body(oneRequest(users), 1)
		}
	})
	b.Run("by=jsontext", func(b *testing.B) { // each text quoted, without a look at it before
		b.ReportAllocs()
		var body []byte
		for b.Loop() {
			body = body[:0]
			for _, u := range users {
				body, _ = jsontext.AppendQuote(body, u.ToAccount)
				for name, value := range u.Attrs {
					body, _ = jsontext.AppendQuote(body, name)
					body, _ = jsontext.AppendQuote(body, value)
				}
			}
		}
	})
	b.Run("by=encoding-json", func(b *testing.B) {
		type wireUser struct {
			ToAccount string `json:"To_Account"`
			Attrs     map[string]string
		}
		b.ReportAllocs()
		for b.Loop() {
			wire := struct{ UserAttrs []wireUser }{make([]wireUser, 0, len(users))}
			for _, u := range users {
				wire.UserAttrs = append(wire.UserAttrs, wireUser{u.ToAccount, u.Attrs})
			}
			if _, err := json.Marshal(wire); err != nil {
				b.Fatal(err)
			}
		}
	})
}

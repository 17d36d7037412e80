package timpush

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAudienceCondition(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		audience Audience
		want     string
	}{
		"everybody":  {Audience{Everybody: true}, `null`},
		"tags":       {Audience{TagsAnd: []string{"a", "b"}, TagsOr: []string{"c"}}, `{"TagsAnd":["a","b"],"TagsOr":["c"]}`},
		"not":        {Audience{TagsNot: []string{"c"}}, `{"TagsNot":["c"]}`},
		"attributes": {Audience{AttrsAnd: Attrs{"level": "gold"}}, `{"AttrsAnd":{"level":"gold"}}`},
		"both kinds": {Audience{AttrsAnd: Attrs{"a": "1"}, AttrsOr: Attrs{"b": ""}}, `{"AttrsAnd":{"a":"1"},"AttrsOr":{"b":""}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Empty(t, tc.audience.faults("Audience"))
			got, err := json.Marshal(tc.audience.condition())
			require.NoError(t, err)
			assert.JSONEq(t, tc.want, string(got))
		})
	}
}

func tagsOf(n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprint("tag", i)
	}
	return tags
}

func attrsNamed(n int) Attrs {
	attrs := Attrs{}
	for _, name := range tagsOf(n) {
		attrs[name] = "v"
	}
	return attrs
}

func TestAudienceFaults(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 51)
	for name, tc := range map[string]struct {
		audience Audience
		fields   []string
	}{
		"zero":                     {Audience{}, []string{"Audience"}},
		"everybody and tags":       {Audience{Everybody: true, TagsAnd: []string{"a"}}, []string{"Audience"}},
		"everybody and attributes": {Audience{Everybody: true, AttrsOr: Attrs{"a": "b"}}, []string{"Audience"}},
		"everybody and empty":      {Audience{Everybody: true, TagsNot: []string{}}, []string{"Audience", "Audience.TagsNot"}},
		"tags and attributes":      {Audience{TagsOr: []string{"a"}, AttrsAnd: Attrs{"a": "b"}}, []string{"Audience"}},
		"empty list alone":         {Audience{TagsAnd: []string{}}, []string{"Audience.TagsAnd"}},
		"empty list beside others": {Audience{TagsAnd: []string{"a"}, TagsOr: []string{}}, []string{"Audience.TagsOr"}},
		"empty map alone":          {Audience{AttrsAnd: Attrs{}}, []string{"Audience.AttrsAnd"}},
		"empty map beside others":  {Audience{AttrsAnd: Attrs{"a": "b"}, AttrsOr: Attrs{}}, []string{"Audience.AttrsOr"}},
		"too many tags":            {Audience{TagsNot: tagsOf(11)}, []string{"Audience.TagsNot"}},
		"ten tags":                 {Audience{TagsNot: tagsOf(10), TagsOr: tagsOf(10)}, nil},
		"bad tags": {
			Audience{TagsAnd: []string{"", "b", long, "b", "\xff", long[1:]}},
			[]string{"Audience.TagsAnd[0]", "Audience.TagsAnd[2]", "Audience.TagsAnd[3]", "Audience.TagsAnd[4]"},
		},
		"shared tags": {
			Audience{TagsAnd: []string{"a", "b"}, TagsOr: []string{"c", "b", "a"}, TagsNot: []string{"a"}},
			[]string{"Audience.TagsOr[1]", "Audience.TagsOr[2]"},
		},
		"too many attributes": {Audience{AttrsOr: attrsNamed(11)}, []string{"Audience.AttrsOr"}},
		"ten attributes":      {Audience{AttrsAnd: attrsNamed(10), AttrsOr: attrsNamed(10)}, nil},
		"bad attributes": {
			Audience{AttrsAnd: Attrs{"": "a", long: "", "\xff": "", "v": long, "w": "\xff"}},
			slices.Repeat([]string{"Audience.AttrsAnd"}, 5),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fields []string
			for _, fault := range tc.audience.faults("Audience") {
				fields = append(fields, fault.Field)
				assert.Equal(t, -1, fault.Index)
				assert.NotEmpty(t, fault.Reason)
			}
			assert.Equal(t, tc.fields, fields)
		})
	}
}

func TestAudienceFaultsNameTheAttribute(t *testing.T) {
	t.Parallel()
	faults := Audience{AttrsAnd: Attrs{"city": strings.Repeat("x", 51)}}.faults("Audience")
	require.Len(t, faults, 1)
	assert.Equal(t, "city", faults[0].Attr)
	assert.NotContains(t, faults[0].Error(), "xxxx", "no value of an attribute")
}

// FuzzAudience: an audience without a fault is within all limits, and what encoding/json reads from its condition is what
// was put in.
func FuzzAudience(f *testing.F) {
	f.Add(false, true, "a", "b", "c", "name", "value")
	f.Add(true, false, "", "", "", "", "")
	f.Add(false, true, "小明", "a", "a", "", "\xff")
	f.Add(false, false, "", "", "", "城市", "\u2028<&>\x00")
	f.Fuzz(func(t *testing.T, everybody, tags bool, and, or, not, name, value string) {
		a := Audience{Everybody: everybody}
		if tags {
			a.TagsAnd, a.TagsOr, a.TagsNot = []string{and, or}, []string{or, not}, []string{not}
		} else {
			a.AttrsAnd, a.AttrsOr = Attrs{name: value, and: or}, Attrs{or: not}
		}
		faults := a.faults("Audience")
		for _, fault := range faults {
			assert.LessOrEqual(t, len(fault.Error()), 500)
		}
		if len(faults) > 0 {
			return
		}
		require.False(t, everybody)
		for _, text := range append(append(slices.Concat(a.TagsAnd, a.TagsOr, a.TagsNot), keysOf(a.AttrsAnd)...), keysOf(a.AttrsOr)...) {
			require.True(t, text != "" && len(text) <= 50 && utf8.ValidString(text), "%q", text)
		}
		body, err := json.Marshal(a.condition())
		require.NoError(t, err)
		var got Audience
		require.NoError(t, json.Unmarshal(body, &got))
		require.Equal(t, a, got)
	})
}

func keysOf(attrs Attrs) (keys []string) {
	for name := range attrs {
		keys = append(keys, name)
	}
	return keys
}

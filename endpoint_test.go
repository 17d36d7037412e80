package timpush

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// texts are accounts, names, values and tags at the bounds of what is valid.
var texts = []string{
	"a", "b", "小明", "", " ", "a b", "x\x00", "\n", "\xff", "\u200b", `"`, `\`, "<&>", strings.Repeat("n", 50), strings.Repeat("n", 51),
	strings.Repeat("中", 17), strings.Repeat("n", 1025),
}

func anyText() string {
	if rand.IntN(2) == 0 {
		return texts[rand.IntN(3)]
	}
	return texts[rand.IntN(len(texts))]
}

func someTexts(most int) []string {
	some := make([]string, rand.IntN(most+1))
	for i := range some {
		if some[i] = anyText(); rand.IntN(3) > 0 {
			some[i] += strconv.Itoa(i)
		}
	}
	return some
}

func TestEndpointsFindTheFaultsOfWhatTheyCallInvalid(t *testing.T) {
	t.Parallel()
	escaped := setAttr
	escaped.faults, escaped.appendJSON = userEscapedFaults, appendUserEscaped
	attrs := func() UserAttrs {
		u := UserAttrs{ToAccount: anyText(), Attrs: Attrs{}}
		for _, name := range someTexts(11) {
			u.Attrs[name] = anyText()
		}
		return u
	}
	tags := func() UserTags { return UserTags{anyText(), someTexts(11)} }
	manyTags := func() UserTags { return UserTags{anyText(), someTexts(101)} }
	findsFaults(t, &setAttr, attrs)
	findsFaults(t, &escaped, attrs)
	findsFaults(t, &removeAttr, func() UserAttrNames { return UserAttrNames{anyText(), someTexts(11)} })
	findsFaults(t, &addTags, tags)
	findsFaults(t, &replaceTags, manyTags)
	findsFaults(t, &removeTags, tags)
	for _, e := range []*endpoint[string]{&getAttr, &clearTags, &getTags, &pushTo} {
		findsFaults(t, e, anyText)
	}
}

// findsFaults checks that an endpoint has faults for an item exactly if it does not encode it as valid JSON.
func findsFaults[T any](t *testing.T, e *endpoint[T], item func() T) {
	t.Helper()
	kinds := map[bool]int{}
	for range 3000 {
		one := item()
		text, valid := e.appendJSON([]byte("x"), one)
		require.Equal(t, valid, len(e.faults(7, one)) == 0, "%s: %q: %v", e.path, one, e.faults(7, one))
		require.True(t, !valid || json.Valid(text[1:]), "%s: %q is encoded as %s", e.path, one, text)
		kinds[valid]++
	}
	assert.True(t, kinds[true] > 20 && kinds[false] > 20, "%s: %v", e.path, kinds)
}

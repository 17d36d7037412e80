package main_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	done := func(want string, args ...string) {
		r := w.run(append([]string{"tags"}, args...)...)
		require.Equal(t, 0, r.code, r.err)
		assert.Equal(t, want, r.out)
	}
	done("2 done\n", "add", "--tags", "gold,beta", "mary", "bob")
	done("1 done\n", "replace", "--tags", "silver", "bob")
	assert.Equal(t, []string{"silver"}, w.fake.Tags("bob"))
	done("1 done\n", "remove", "--tags", "beta", "mary")
	assert.Equal(t, []string{"gold"}, w.fake.Tags("mary"))
	w.in = "mary\nbob\nmary\nann\n"
	done(`{"To_Account":"mary","Tags":["gold"]}`+"\n"+`{"To_Account":"bob","Tags":["silver"]}`+"\n"+`{"To_Account":"ann","Tags":[]}`+"\n", "get", "--file", "-")
	done("1 done\n", "clear", "mary")
	assert.Empty(t, w.fake.Tags("mary"))
	calls := len(w.fake.Calls())
	for _, args := range [][]string{{"tags", "add", "mary"}, {"tags", "clear"}, {"tags", "get", "--file", "x", "mary"}, {"tags", "add", "--tags", "a,,b", "mary"}, {"tags", "get", "", "mary"}} {
		assert.Equal(t, 2, w.run(args...).code, args)
	}
	assert.Len(t, w.fake.Calls(), calls)
}

package bulk

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAccounts(t *testing.T) {
	t.Parallel()
	var set accounts
	assert.False(t, set.has("a"))
	for i := range 1000 {
		set.add(fmt.Sprint("a", i))
	}
	others := 0
	for i := range 100_000 {
		assert.True(t, set.has(fmt.Sprint("a", i%1000)))
		if set.has(fmt.Sprint("b", i)) {
			others++
		}
	}
	assert.LessOrEqual(t, others, 2, "that were not added")
}

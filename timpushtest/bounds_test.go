package timpushtest_test

import (
	"math"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

func TestKeptCalls(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithKeptCalls(3), timpushtest.WithQuota(0))
	for i := range 10 {
		require.Equal(t, 0, f.post(entries("u"+strconv.Itoa(i), `{"city":"x"}`)).Code)
	}
	var kept []string
	for _, c := range f.Calls() {
		assert.Equal(t, 200, c.Status, "the answer is noted in the right call")
		kept = append(kept, c.Accounts...)
	}
	assert.Equal(t, []string{"u7", "u8", "u9"}, kept)
	assert.Equal(t, 10, f.PeakRate(), "the rate counts the calls that are forgotten too")
}

func TestMaxAccounts(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithMaxAccounts(2))
	a := f.post(entries("a", `{"city":"x"}`, "b", `{"city":"x"}`, "c", `{"city":"x"}`))
	assert.Equal(t, 0, a.Code)
	assert.Equal(t, map[string]int{"c": 70398}, a.codes())
	assert.Equal(t, []string{"a", "b"}, f.Accounts())
	assert.Empty(t, f.post(entries("b", `{"city":"y"}`)).codes(), "those that are there can be changed")
	assert.Empty(t, f.call("remove_attr", entries("a", `["city"]`)).codes())
	assert.Empty(t, f.post(entries("c", `{"city":"x"}`)).codes(), "there is room again")
	assert.Equal(t, 2, f.NumAccounts())
}

// TestLargestQuota takes no room for all of its calls: each request panicked, or the process ran out of memory.
func TestLargestQuota(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithQuota(math.MaxInt))
	for range 3 {
		assert.Equal(t, 0, f.post(entries("a", `{"city":"x"}`)).Code)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	f := start(t)
	seen := make(chan timpushtest.Call, 10)
	f.Watch(func(c timpushtest.Call) { seen <- c })
	f.Refuse(70107, "b")
	f.post(entries("a", `{"city":"x"}`, "b", `{"city":"x"}`))
	c := <-seen
	assert.Equal(t, map[string]int{"b": 70107}, c.Failed)
	assert.Equal(t, []string{"a", "b"}, c.Accounts)
	assert.Equal(t, c, f.Calls()[0])

	f.Inject(timpushtest.CutAfter(), timpushtest.ErrorCode(91000))
	_, _ = f.broken(goodRequest(okBody)) // net/http may have sent it twice
	f.post(okBody)
	var codes []int
	for range len(f.Calls()) - 1 {
		c := <-seen
		codes = append(codes, c.Status, c.Code)
	}
	assert.Equal(t, []int{0, 0}, codes[:2], "it was cut")
	assert.Contains(t, codes, 91000)
	f.Watch(nil)
	f.post(okBody)
	assert.Empty(t, seen)
}

// A fake behind another server does all that it does on its own, also when it cuts connections.
func TestServeHTTP(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t, timpushtest.WithInMemory())
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	f := fixture{TB: t, Server: s, client: front.Client()}
	s.URL = front.URL
	assert.Equal(t, 0, f.post(okBody).Code)
	assert.Equal(t, "ShenZhen", s.Attrs("xiaoming")["city"])
	s.Inject(timpushtest.CutBefore())
	f.client.CloseIdleConnections() // a request on a fresh connection is not sent again
	_, err := f.broken(goodRequest(okBody))
	require.Error(t, err)
	s.Close()
	_, err = f.broken(goodRequest(okBody))
	require.Error(t, err, "it takes no more requests")
}

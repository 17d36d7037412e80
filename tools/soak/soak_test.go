package main

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func TestSoak(t *testing.T) { //nolint:paralleltest // it counts goroutines
	require.NoError(t, soak(1, 10, false))
}

// roundTripper is a transport that is wrong in some way.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A soak that finds nothing in what is wrong would prove nothing.
func TestSoakFindsDoneThatIsNotStored(t *testing.T) { //nolint:paralleltest // it starts many callers
	_, faults := run(1, func(http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"ActionStatus":"OK","ErrorCode":0}`)), Request: r}, nil
		})
	})
	assert.Contains(t, strings.Join(faults, "\n"), "is (absent); history: [1 done")
}

func TestSoakFindsPushesThatComeTwice(t *testing.T) { //nolint:paralleltest // it starts many callers
	twice := func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "/batch") {
				return next.RoundTrip(r)
			}
			again := r.Clone(r.Context())
			again.Body, _ = r.GetBody()
			if resp, err := next.RoundTrip(again); err == nil {
				_ = resp.Body.Close()
			}
			return next.RoundTrip(r)
		})
	}
	var faults []string
	for seed := uint64(1); seed <= 5 && len(faults) == 0; seed++ { // in a run in which the machine stalls there may be no push
		_, faults = run(seed, twice)
	}
	assert.Contains(t, strings.Join(faults, "\n"), "a push came 2 times")
}

func TestSoakFindsWhatAQueueLoses(t *testing.T) {
	t.Parallel()
	w := &world{fake: timpushtest.Start(t)}
	for _, value := range []string{"1", "3", "2"} {
		_, err := w.fake.Client().SetAttr(t.Context(), []timpush.UserAttrs{{ToAccount: queued(0), Attrs: timpush.Attrs{"city": value}}})
		require.NoError(t, err)
	}
	w.checkOrder([]int{2}, nil, true)
	assert.Empty(t, w.faults)
	w.checkOrder([]int{4, 1}, map[string]bool{queued(1): true}, false)
	assert.Equal(t, []string{"queue: queued 0 is 2 after 3", "queue: queued 0 is 2, want 4"}, w.faults)
}

func TestSoakFindsSecrets(t *testing.T) {
	t.Parallel()
	w := &world{fake: timpushtest.Start(t)}
	w.secrets()
	require.Empty(t, w.faults)
	_, _, key := w.fake.App()
	w.logError(errors.New("the key is " + key))
	w.secrets()
	require.Len(t, w.faults, 1)
	assert.NotContains(t, w.faults[0], key)
}

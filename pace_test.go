package timpush_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// TestPaceSettlesAtWhatOthersLeave lets others take half of the quota, whatever they are answered, and then stop.
func TestPaceSettlesAtWhatOthersLeave(t *testing.T) {
	t.Parallel()
	for name, window := range map[string]timpushtest.Option{
		"sliding window": timpushtest.WithQuota(100), "fixed window": timpushtest.WithFixedWindow(),
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := timpushtest.Start(t, timpushtest.WithInMemory(), timpushtest.WithLatency(100*time.Millisecond, 50*time.Millisecond), window)
				const settled, steady, end = 20 * time.Second, 60 * time.Second, 95 * time.Second
				began := time.Now()
				shareQuota(t, s, steady, end)

				var accepted, refused int
				rate := map[time.Duration]int{} // of ours, in each second
				for _, call := range s.Calls() {
					second := call.Time.Sub(began).Truncate(time.Second)
					if call.Accounts[0] != "ours" {
						continue
					}
					rate[second]++
					if second < settled || second >= steady {
						continue
					}
					if call.Code == 0 {
						accepted++
					} else {
						refused++
					}
				}
				t.Logf("accepted %.1f a second, refused %.2f %%", float64(accepted)/(steady-settled).Seconds(), 100*float64(refused)/float64(accepted+refused))
				assert.Less(t, refused*100, 2*(accepted+refused), "less than 2 % are refused")
				assert.Greater(t, accepted, 40*50*7/10, "most of what is left is used")
				assert.GreaterOrEqual(t, rate[end-2*time.Second], 97, "and the whole quota again in the end")
			})
		})
	}
}

// shareQuota lets others call 50 times a second until steady, and our client as often as it can until end.
func shareQuota(t *testing.T, s *timpushtest.Server, steady, end time.Duration) {
	t.Helper()
	began := time.Now()
	var others *http.Request // always the same one: they know of no refusal
	body := `{"UserAttrs":[{"To_Account":"theirs","Attrs":{"city":"x"}}]}`
	theirs := s.Client(through(func(r *http.Request) (*http.Response, error) {
		others = r
		return nil, errors.New("it is only to be signed")
	}), timpush.WithMaxAttempts(1))
	_, err := theirs.SetAttr(t.Context(), someUsers(1))
	require.Error(t, err)
	var callers sync.WaitGroup
	callers.Go(func() {
		for ; time.Since(began) < steady; time.Sleep(time.Second / 50) {
			callers.Go(func() {
				resp, err := s.HTTPClient().Post(others.URL.String(), "application/json", strings.NewReader(body)) //nolint:noctx // it ends with the fake
				if assert.NoError(t, err) {
					assert.NoError(t, resp.Body.Close())
				}
			})
		}
	})
	c := s.Client()
	for range 32 {
		callers.Go(func() {
			for time.Since(began) < end {
				_, _ = c.SetAttr(t.Context(), []timpush.UserAttrs{userIn("ours", "x")})
			}
		})
	}
	callers.Wait()
}

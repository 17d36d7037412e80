package timpush_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
)

// TestLimiterBoundsItsWindow lets calls start as they come after they were all held up, without the limiter's turns.
func TestLimiterBoundsItsWindow(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for rate, most := range map[float64]int{97.5: 100, 48.75: 50, 1: 1, 975: 1000} {
			l := timpush.NewLimiter(rate)
			l.(interface{ SetBurst(int) }).SetBurst(10000)
			time.Sleep(time.Hour)
			var starts []time.Duration
			for began := time.Now(); len(starts) < 3*most; starts = append(starts, time.Since(began)) {
				require.NoError(t, l.Wait(t.Context()))
			}
			for n := range most {
				assert.Zero(t, starts[n])
				assert.InDelta(t, 1.01, starts[most+n].Seconds(), 0.016)
				assert.Equal(t, 2*starts[most], starts[2*most+n])
			}
		}
		fast := timpush.NewLimiter(1e9)
		for range 10000 {
			require.NoError(t, fast.Wait(t.Context()))
		}
	})
}

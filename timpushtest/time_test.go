package timpushtest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// vector is the UserSig of the documented example: made at 1700000000 for a day.
const vector = "eNqrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwokpuZl5mcUlRYkl*UVQBcUp2YkFBZkpSlaGJgZQAJFJrSjILEpVsrIwM4EJlWTmAgUMzVEVFmem" +
	"Aw23TCwPTw31sfCtqEhyyrNIyXAy8CorzTfw8vbMMEnxc-bJdveMMMkzTUsxsFWqBQDFLzPV"

// sleepUntil moves the clock of a bubble, which starts in the year 2000.
func sleepUntil(unix int64) { time.Sleep(time.Until(time.Unix(unix, 0))) }

func TestUserSigVector(t *testing.T) {
	t.Parallel()
	s := signer{app: testApp, user: testUser, key: testKey, time: 1700000000, expire: 86400}
	require.Equal(t, "9awWeUL8MxxbBn8dhB0Jvuo0JKIh4dNCLkGIX4n5fd0=", s.mac())
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		late := start(t, with(variant{ExpiryTolerance: time.Minute}))
		early := start(t, with(variant{FutureTimeRefused: true}))
		code := func(f fixture) int {
			r := goodRequest(okBody)
			r.query.Set("usersig", vector)
			return f.send(r).Code
		}
		sleepUntil(1699999999)
		assert.Equal(t, 0, code(f))
		assert.Equal(t, 70001, code(early))
		sleepUntil(1700000000)
		assert.Equal(t, 0, code(early))
		sleepUntil(1700086400)
		assert.Equal(t, 0, code(f))
		sleepUntil(1700086401)
		assert.Equal(t, 70001, code(f))
		assert.Equal(t, 0, code(late))
		sleepUntil(1700086460)
		assert.Equal(t, 0, code(late))
		sleepUntil(1700086461)
		assert.Equal(t, 70001, code(late))
	})
}

func TestBubble(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]timpushtest.Option{
		"HTTP/1.1": nil,
		"HTTP/2":   {timpushtest.WithHTTP2()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			realStart := time.Now()
			synctest.Test(t, func(t *testing.T) {
				f := start(t, append(opts, timpushtest.WithLatency(200*time.Millisecond, 0))...)
				began := time.Now()
				assert.Equal(t, 0, f.post(okBody).Code)
				assert.Equal(t, 200*time.Millisecond, time.Since(began))

				time.Sleep(time.Second)
				codes := make(chan int, 101)
				for range 101 {
					go func() { codes <- f.post(okBody).Code }()
				}
				count := map[int]int{}
				for range 101 {
					count[<-codes]++
				}
				assert.Equal(t, map[int]int{0: 100, 60007: 1}, count)
				assert.Equal(t, 101, f.PeakRate())
				time.Sleep(800 * time.Millisecond) // one second after the arrival of the last
				assert.Equal(t, 0, f.post(okBody).Code)

				f.Close()
				f.client.CloseIdleConnections()
			})
			assert.Less(t, time.Since(realStart), 3*time.Second)
		})
	}
}

func TestLatencyJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, timpushtest.WithLatency(100*time.Millisecond, 50*time.Millisecond))
		seen := map[time.Duration]bool{}
		for range 50 {
			began := time.Now()
			f.post(okBody)
			took := time.Since(began)
			assert.InDelta(t, 100*time.Millisecond, took, float64(50*time.Millisecond))
			seen[took] = true
		}
		assert.Greater(t, len(seen), 10)
	})
}

func TestLatencyEndsWithTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, timpushtest.WithLatency(time.Hour, 0))
		f.client.Timeout = time.Second
		began := time.Now()
		_, err := f.broken(goodRequest(okBody))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		f.Close()
		assert.Equal(t, time.Second, time.Since(began))
		assert.Empty(t, f.Accounts())
		assert.Equal(t, 0, f.Calls()[0].Status)
	})
}

// TestQuota sends groups of calls, each at a time after the start, and compares how many of each were refused.
func TestQuota(t *testing.T) {
	t.Parallel()
	type group struct {
		at            time.Duration
		calls, refuse int
	}
	ms := time.Millisecond
	for name, tc := range map[string]struct {
		opts   []timpushtest.Option
		groups []group
	}{
		"sliding": {nil, []group{{500 * ms, 100, 0}, {1499 * ms, 0, 0}, {1500 * ms, 100, 0}, {2499 * ms, 1, 1}}},
		"sliding, refused calls count": {
			[]timpushtest.Option{timpushtest.WithQuota(10)},
			[]group{{0, 15, 5}, {900 * ms, 10, 10}, {1000 * ms, 1, 1}, {1900 * ms, 1, 0}, {1950 * ms, 9, 1}},
		},
		"sliding, refused calls free": {
			[]timpushtest.Option{timpushtest.WithQuota(10), with(variant{RefusedCallsFree: true})},
			[]group{{0, 15, 5}, {900 * ms, 10, 10}, {1000 * ms, 11, 1}},
		},
		"fixed": {
			[]timpushtest.Option{timpushtest.WithQuota(10), with(variant{FixedWindow: true})},
			[]group{{999 * ms, 11, 1}, {1000 * ms, 11, 1}, {1999 * ms, 1, 1}, {2000 * ms, 1, 0}},
		},
		"off": {[]timpushtest.Option{timpushtest.WithQuota(0)}, []group{{0, 300, 0}}},
		"per app": {
			[]timpushtest.Option{timpushtest.WithQuota(10), with(variant{QuotaScope: timpushtest.QuotaPerApp})},
			[]group{{0, 11, 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := start(t, tc.opts...)
				began := time.Now()
				for _, g := range tc.groups {
					time.Sleep(g.at - time.Since(began))
					refused := 0
					for range g.calls {
						if f.post(okBody).Code == 60007 {
							refused++
						}
					}
					assert.Equal(t, g.refuse, refused, "at %v", g.at)
				}
			})
		})
	}
}

func TestQuotaPerHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, timpushtest.WithQuota(1), with(variant{QuotaScope: timpushtest.QuotaPerHost, ThrottleCode: 60018}))
		r := goodRequest(okBody)
		assert.Equal(t, 0, f.send(r).Code)
		assert.Equal(t, 60018, f.send(r).Code)
		r.host = "other.example"
		assert.Equal(t, 0, f.send(r).Code)
	})
}

func TestRateComesAfterSignatureAndBeforeBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, timpushtest.WithQuota(1))
		bad := goodRequest(okBody)
		bad.query.Set("usersig", "abc")
		assert.Equal(t, 70003, f.send(bad).Code)
		assert.Equal(t, 60003, f.post("").Code, "the first that counts")
		assert.Equal(t, 60007, f.post("").Code)
		assert.Equal(t, 70003, f.send(bad).Code)
	})
}

func TestPeakRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		assert.Equal(t, 0, f.PeakRate())
		for range 4 { // two within a second, never three
			f.post(okBody)
			time.Sleep(500 * time.Millisecond)
		}
		assert.Equal(t, 2, f.PeakRate())
		time.Sleep(time.Minute)
		f.post(okBody)
		f.post("")
		f.post("")
		assert.Equal(t, 3, f.PeakRate())
	})
}

func TestBadSignatureLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, with(variant{BadSignatureLimit: true}))
		bad := goodRequest(okBody)
		s := newSigner()
		s.key = "other"
		bad.query.Set("usersig", s.sig())
		for range 5 {
			assert.Equal(t, 70009, f.send(bad).Code)
			time.Sleep(time.Second)
		}
		assert.Equal(t, 70050, f.send(bad).Code)
		assert.Equal(t, 70050, f.post(okBody).Code)
		other := goodRequest(okBody)
		s = newSigner()
		s.user = "other"
		other.query.Set("identifier", s.user)
		other.query.Set("usersig", s.sig())
		assert.Equal(t, 90009, f.send(other).Code, "per identifier")
		time.Sleep(55 * time.Second) // a minute after the first
		assert.Equal(t, 0, f.post(okBody).Code)

		f = start(t)
		for range 7 {
			assert.Equal(t, 70009, f.send(bad).Code)
		}
	})
}

package oteltimpush_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"golang.org/x/time/rate"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/oteltimpush"
)

func TestLimiter(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t), newTelemetry(t)
		c := client(s, out, timpush.WithLimiter(out.observer.WatchLimiter("users", timpush.NewLimiter(1))))
		var calls sync.WaitGroup
		for range 4 {
			calls.Go(func() { _, _ = c.SetAttr(t.Context(), someUsers(1)) })
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		got := out.values(t)
		assert.InDelta(t, 3, got["timpush.limiter.waiting{timpush.limiter=users}"], 0, "the first is sent at once")
		assert.InDelta(t, -1, got["timpush.limiter.tokens{timpush.limiter=users}"], .01, "only the first of those that wait takes one ahead")
		calls.Wait()
		time.Sleep(time.Second)
		got = out.values(t)
		assert.Zero(t, got["timpush.limiter.waiting{timpush.limiter=users}"])
		assert.InDelta(t, 1, got["timpush.limiter.tokens{timpush.limiter=users}"], 0)
	})
}

// TestTwoApps: each has an Observer, and both export to one provider. The SDK left out the gauges of the second.
func TestTwoApps(t *testing.T) {
	t.Parallel()
	out := &telemetry{reader: metric.NewManualReader()}
	meters := metric.NewMeterProvider(metric.WithReader(out.reader))
	for app, quota := range map[string]float64{"shop": 100, "game": 200} {
		observer, err := oteltimpush.New(oteltimpush.WithMeterProvider(meters), oteltimpush.WithQuota(quota), oteltimpush.WithAttributes(attribute.String("app", app)))
		require.NoError(t, err)
		observer.WatchLimiter("users", rate.NewLimiter(rate.Limit(quota), int(quota)))
	}
	assert.Equal(t, map[string]float64{
		"timpush.quota.limit{app=shop}": 100, "timpush.limiter.tokens{app=shop,timpush.limiter=users}": 100,
		"timpush.quota.limit{app=game}": 200, "timpush.limiter.tokens{app=game,timpush.limiter=users}": 200,
	}, out.values(t))
}

// TestLimiterWithoutTokens: those who wait are counted, and what is not known is not exported.
func TestLimiterWithoutTokens(t *testing.T) {
	t.Parallel()
	out := newTelemetry(t)
	limiter := out.observer.WatchLimiter("users", unlimited{})
	require.NoError(t, limiter.Wait(t.Context()))
	got := out.values(t)
	assert.Contains(t, got, "timpush.limiter.waiting{timpush.limiter=users}")
	assert.NotContains(t, got, "timpush.limiter.tokens{timpush.limiter=users}")
	_, counts := limiter.(interface {
		WaitN(context.Context, int) error
	})
	assert.False(t, counts, "the client would call it for recipients")
	assert.Nil(t, out.observer.WatchLimiter("users", nil), "NewClient refuses it")
	assert.Nil(t, out.observer.WatchLimiter("users", (*rate.Limiter)(nil)), "each collection of the metrics would panic")
}

// TestLimiterThatLetsNothingThrough: NewClient refuses what it refuses of a Limiter that is not watched.
func TestLimiterThatLetsNothingThrough(t *testing.T) {
	t.Parallel()
	out := newTelemetry(t)
	for want, l := range map[string]timpush.Limiter{
		"a rate that is not above 0 lets nothing through":            timpush.NewLimiter(0),
		"a burst of 5 is less than the 30 recipients of a request":   rate.NewLimiter(30, 5),
		"WithQuota: a rate that is not above 0 lets nothing through": timpush.LowPriority(timpush.NewLimiter(0)),
	} {
		config := timpush.Config{SDKAppID: 1400000000, SecretKey: strings.Repeat("0", 64), Identifier: "administrator"}
		_, err := timpush.NewClient(config, timpush.WithQuota(timpush.QuotaRecipients, out.observer.WatchLimiter("recipients", l)))
		require.ErrorContains(t, err, want)
	}
}

// TestLimiterOfRecipients: the one of PushTo has WaitN, also when it is watched.
func TestLimiterOfRecipients(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t), newTelemetry(t)
		limiter := out.observer.WatchLimiter("recipients", rate.NewLimiter(20, 20))
		c := client(s, out, timpush.WithQuota(timpush.QuotaRecipients, limiter), timpush.WithRecipientRate(20))
		began := time.Now()
		_, err := c.PushTo(t.Context(), []string{"a", "b", "c", "d", "e"}, timpush.Push{Notification: timpush.Notification{Title: "t", Desc: "d"}})
		require.NoError(t, err)
		assert.InDelta(t, 15, out.values(t)["timpush.limiter.tokens{timpush.limiter=recipients}"], 20*time.Since(began).Seconds()+.01)
	})
}

// TestLimiterWhoseTurnComesTooLate: a *rate.Limiter says only in its text that a deadline comes too early. The client sees it
// as for one that is not watched: one attempt is not repeated.
func TestLimiterWhoseTurnComesTooLate(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		s, out := fake(t), newTelemetry(t)
		slow := rate.NewLimiter(rate.Every(time.Minute), 1)
		require.True(t, slow.Allow())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		result, err := client(s, out, timpush.WithLimiter(out.observer.WatchLimiter("users", slow))).SetAttr(ctx, someUsers(1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 1, result.NotSent)
		assert.Zero(t, time.Since(began), "it does not wait for what cannot come")
		assert.Zero(t, out.values(t)["timpush.limiter.waiting{timpush.limiter=users}"])
	})
}

package oteltimpush_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/otel/attribute"

	"github.com/timpush/timpush-go/oteltimpush"
)

// queueValues returns what is exported about the queue.
func (out *telemetry) queueValues(t *testing.T) map[string]float64 {
	t.Helper()
	all := out.values(t)
	maps.DeleteFunc(all, func(line string, _ float64) bool { return !strings.HasPrefix(line, "timpush.queue.") })
	return all
}

func TestQueue(t *testing.T) {
	t.Parallel()
	out := newTelemetry(t)
	assert.Empty(t, out.queueValues(t), "there is no queue")
	stats := oteltimpush.QueueStats{Backlog: 12, Oldest: 1500 * time.Millisecond, Waiting: 3, DeadLetters: 4, Lost: 5, Bytes: 6000, MaxBytes: 7000}
	var failure error
	out.observer.WatchQueue(func(context.Context) (oteltimpush.QueueStats, error) { return stats, failure })
	want := map[string]float64{
		"timpush.queue.backlog{}": 12, "timpush.queue.oldest{}": 1.5, "timpush.queue.waiting{}": 3, "timpush.queue.dead_letters{}": 4,
		"timpush.queue.lost{}": 5, "timpush.queue.bytes{}": 6000, "timpush.queue.max_bytes{}": 7000, "timpush.queue.paused{}": 0,
	}
	assert.Equal(t, want, out.queueValues(t))

	stats.Paused, want["timpush.queue.paused{}"] = true, 1
	assert.Equal(t, want, out.queueValues(t))

	stats.MaxBytes = 0
	assert.NotContains(t, slices.Collect(maps.Keys(out.queueValues(t))), "timpush.queue.max_bytes{}", "a share of it would be infinite")

	failure = errors.New("no answer of the server")
	assert.Equal(t, map[string]float64{"timpush.queue.paused{}": 1}, out.queueValues(t))

	out.observer.WatchQueue(nil)
	assert.Empty(t, out.queueValues(t))
}

func TestQueueHasAttributes(t *testing.T) {
	t.Parallel()
	out := newTelemetry(t, oteltimpush.WithAttributes(attribute.String("app", "shop")))
	out.observer.WatchQueue(func(context.Context) (oteltimpush.QueueStats, error) { return oteltimpush.QueueStats{MaxBytes: 1}, nil })
	got := out.queueValues(t)
	assert.Len(t, got, 8)
	for line := range got {
		assert.Contains(t, line, "{app=shop}")
	}
}

// TestQueueThatHangs: a server that does not answer delays the other metrics for 2 s at most.
func TestQueueThatHangs(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T) {
		out := newTelemetry(t)
		out.observer.WatchQueue(func(ctx context.Context) (oteltimpush.QueueStats, error) {
			<-ctx.Done()
			return oteltimpush.QueueStats{}, ctx.Err()
		})
		began := time.Now()
		assert.Equal(t, map[string]float64{"timpush.queue.paused{}": 1}, out.queueValues(t))
		assert.Equal(t, 2*time.Second, time.Since(began))
	})
}

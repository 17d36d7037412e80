//go:build unix

package outbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/dispatch/examples/internal/pgtest"
	"github.com/timpush/timpush-go/dispatch/examples/outbox"
	"github.com/timpush/timpush-go/timpushtest"
)

func TestRowAndAttributeChangeTogether(t *testing.T) {
	t.Parallel()
	db, _ := pgtest.Start(t, outbox.Schema)
	fake := timpushtest.Start(t)
	q, err := dispatch.OpenEmbedded(t.Context(), t.TempDir(), 1400000000)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, q.Close()) })
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { assert.NoError(t, q.Run(ctx, fake.Client())) })
	for range 2 {
		all.Go(func() { assert.NoError(t, outbox.Feed(ctx, db, q)) })
	}
	for n := range 10 {
		for k := range 10 {
			require.NoError(t, outbox.Move(t.Context(), db, fmt.Sprint("user", k), fmt.Sprint(n)))
		}
	}
	require.Error(t, outbox.Move(t.Context(), db, "user1", "\x00"), "PostgreSQL refuses it, and so nothing changes")
	require.Eventually(t, func() bool {
		for k := range 10 {
			if fake.Attrs(fmt.Sprint("user", k))["city"] != "9" {
				return false
			}
		}
		return true
	}, 20*time.Second, 10*time.Millisecond)
	stop()
	all.Wait()
}

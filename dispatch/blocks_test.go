package dispatch_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/timpushtest"
)

// guardMemory ends the program before it takes the memory of the machine.
func guardMemory(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for metrics.Read(sample); sample[0].Value.Uint64() < 1<<30; metrics.Read(sample) {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
		stacks := make([]byte, 1<<20)
		panic(fmt.Sprintf("%s takes more than 1 GiB\n%s", t.Name(), stacks[:runtime.Stack(stacks, true)]))
	}()
}

// record returns the n-th record of a block.
func record(data []byte, n int) []byte {
	for range n {
		data = data[binary.LittleEndian.Uint32(data)&^(1<<31):]
	}
	return data[:binary.LittleEndian.Uint32(data)&^(1<<31)]
}

// TestDamagedSequences damages the sequences of stored messages, so that nats-server would allocate memory for all messages that lie
// between two of them. The messages are delivered, and counted as lost if they are damaged in another place too.
func TestDamagedSequences(t *testing.T) {
	t.Parallel()
	guardMemory(t)
	dir := t.TempDir()
	q := open(t, dir, quick)
	storeMessages(t, q, 0, 40)
	crashed := copyQueue(t, dir)
	require.NoError(t, q.Close())
	closed := copyQueue(t, dir)
	for name, dir := range map[string]string{"close": closed, "crash": crashed} {
		path := blocks(t, dir, streamName)[0]
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		record(data, 10)[4+5] ^= 1
		record(data, 20)[4+7] ^= 1 << 5
		copy(record(data, 21)[4:12], "sequence")
		record(data, 39)[4+3] ^= 1 << 7
		want := 0
		if name == "close" { // a server that has crashed cuts a block where a checksum is wrong
			damaged := record(data, 30)
			damaged[4+4], damaged[len(damaged)-20] = 1, 0
			want = 1
		}
		require.NoError(t, os.WriteFile(path, data, 0o600))
		delivered, lost := recovered(t, dir)
		assert.Equal(t, want, lost, name)
		assert.Equal(t, 40-want, delivered, name)
	}
}

// TestDeletionsAreNoDamage: a block notes the messages that were deleted, and goes on behind these notes. To take them for damaged
// messages, or to leave one that is damaged as it is, would make the server drop all that follows.
func TestDeletionsAreNoDamage(t *testing.T) {
	t.Parallel()
	var log records
	fake, dir := timpushtest.Start(t), t.TempDir()
	fake.Refuse(int(timpush.ErrNoSuchAccount), "user0", "user1", "user2", "user3")
	q := open(t, dir, quick, dispatch.WithDuplicateWindow(100*time.Millisecond))
	stop := run(t, q, quickClient(fake))
	storeMessages(t, q, 0, 4)
	drained(t, q)
	require.NoError(t, q.Discard(t.Context(), 2))
	js, _ := q.JetStream()
	eventually(t, "some messages are deleted", func() bool {
		set(t, q, user("mary", "Rome"))
		return goodInfo(t, js).State.FirstSeq > 1
	})
	stop()
	storeMessages(t, q, 4, 24)
	set(t, q, user("user0", "1"))
	crashed := copyQueue(t, dir)
	require.NoError(t, q.Close())
	damaged := copyQueue(t, crashed)
	path := blocks(t, damaged, streamName)[0]
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	note := 0
	for len(record(data, note)) != 30 {
		note++
	}
	record(data, note)[15] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o600))

	for name, dir := range map[string]string{"crash": crashed, "close": dir, "crash with a damaged note": damaged} {
		q := open(t, dir, quick, dispatch.WithLogger(log.logger()))
		assert.Len(t, letters(t, q), 3, name)
		assert.Zero(t, stats(t, q).Lost, name)
		fake := timpushtest.Start(t)
		run(t, q, quickClient(fake))
		drained(t, q)
		for n := 4; n < 24; n++ {
			assert.NotEmpty(t, fake.Attrs(fmt.Sprint("user", n)), "%s, %d", name, n)
		}
	}
	assert.NotContains(t, log.text(), "damaged")
}

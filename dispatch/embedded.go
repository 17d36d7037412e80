package dispatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const readyTimeout = 30 * time.Second

// OpenEmbedded returns the queue of an app on a server within the process, which keeps its data in the folder dir, listens
// on no port and syncs every write to disk: what is stored outlives a crash of the process and a power failure. A folder
// serves one process at a time, and another is refused (not on Windows, where nothing guards it). [Queue.Close] stops it.
func OpenEmbedded(ctx context.Context, dir string, sdkAppID int, opts ...Option) (*Queue, error) {
	unlock, err := lock(dir)
	if err != nil {
		return nil, fmt.Errorf("dispatch: %w", err)
	}
	stop, js, err := serve(dir)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	stopAll := sync.OnceValue(func() error {
		stop()
		return unlock()
	})
	q, err := Open(ctx, js, sdkAppID, opts...)
	if err == nil {
		// Who had the lease has crashed, or the folder would be locked: there is nobody to wait for.
		err = q.freeLease(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, stopAll())
	}
	q.shutdown = stopAll
	return q, nil
}

// serve starts a server and connects to it.
func serve(dir string) (stop func(), js jetstream.JetStream, err error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "timpush", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncAlways: true,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("dispatch: embedded server: %w", err)
	}
	s.Start()
	shutdown := func() { s.Shutdown(); s.WaitForShutdown() }
	if !s.ReadyForConnections(readyTimeout) {
		shutdown()
		return nil, nil, errors.New("dispatch: the embedded server is not ready; see whether its folder can be written")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		shutdown()
		return nil, nil, fmt.Errorf("dispatch: embedded server: %w", err)
	}
	js, err = jetstream.New(conn)
	return func() { conn.Close(); shutdown() }, js, err
}

// lock keeps other processes away from a folder. The system unlocks it when the process ends, in whatever way.
func lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("the folder is in use by another process: %w", err), f.Close())
	}
	return f.Close, nil
}

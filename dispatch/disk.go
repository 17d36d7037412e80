package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	reserve      = 8 << 20 // bytes of the disk for what must be written to send what is stored
	deleteSpace  = 2 << 20 // bytes of the disk that must be free to delete messages: the server notes each of a block, of up to 8 MB, in 30 bytes
	probeSize    = 1 << 20
	watchEvery   = time.Second
	syncInterval = 2 * time.Minute // of the server's own files; updates are synced always
	fullWait     = 5 * time.Second // of an update that was being stored when the disk became full
)

// diskWatch notices that an embedded server cannot write, and makes it write again when the disk has space: the server itself keeps
// the first write error of a stream until it is started again.
type diskWatch struct {
	*connector
	dir      string
	settings settings
	stop     func()

	since atomic.Pointer[time.Time] // when the server was found unable to write; nil: it is able
	low   bool                      // less than the reserve was free when it was last looked at
}

func watchDisk(c *connector, dir string, set settings) *diskWatch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &diskWatch{connector: c, dir: dir, settings: set}
	var work sync.WaitGroup
	work.Go(func() {
		for sleep(ctx, watchEvery) {
			w.look(ctx)
		}
	})
	w.stop = func() { cancel(); work.Wait() }
	return w
}

// refuse returns why a message of some bytes is not to be stored, or nil.
func (w *diskWatch) refuse(size int) error {
	switch {
	case w == nil:
		return nil
	case w.since.Load() != nil:
		return fmt.Errorf("%w: the disk is full or has failed: the embedded server cannot write in %s", ErrFull, w.dir)
	}
	if free, known := freeSpace(w.dir); known && free < w.settings.reserve+int64(size) {
		return fmt.Errorf("%w: the disk has %.1f MiB left for %s, and %d MiB are kept free", ErrFull, float64(free)/(1<<20), w.dir, w.settings.reserve>>20)
	}
	return nil
}

// mayDelete reports whether the disk takes what the server writes when messages are deleted. One of nats-server 2.15 that cannot write it waits
// for itself: nothing of the stream can be read or written any more, and the server does not end.
func (w *diskWatch) mayDelete() bool {
	if w == nil {
		return true
	}
	free, known := freeSpace(w.dir)
	return !known || free >= deleteSpace
}

// giveUp reports whether a message is not to be tried again.
func (w *diskWatch) giveUp(closed bool) bool {
	if w == nil {
		return false
	}
	since := w.since.Load()
	return since != nil && (closed || time.Since(*since) > fullWait)
}

// look logs when the disk becomes full, and restarts the storage of a server that cannot write when it has space again.
func (w *diskWatch) look(ctx context.Context) {
	log := w.settings.logger
	if free, known := freeSpace(w.dir); known && w.low != (free < w.settings.reserve) {
		if w.low = !w.low; w.low {
			log.ErrorContext(ctx, "dispatch: the disk is full: no updates are taken", "free", free, "reserve", w.settings.reserve)
		} else {
			log.InfoContext(ctx, "dispatch: the disk has space again", "free", free)
		}
	}
	fault, known := w.fault()
	switch {
	case !known:
		return
	case fault == "":
		w.since.Store(nil)
		return
	case w.since.Load() == nil:
		now := time.Now()
		w.since.Store(&now)
		log.ErrorContext(ctx, "dispatch: the embedded server cannot write: no updates are taken", "error", fault)
	}
	if w.probe() != nil {
		return
	}
	if err := w.disconnected(w.restart); err != nil {
		log.ErrorContext(ctx, "dispatch: the storage of the embedded server cannot be restarted", "error", err)
		return
	}
	if fault, known = w.fault(); known && fault == "" {
		w.since.Store(nil)
		log.InfoContext(ctx, "dispatch: the embedded server writes again")
	}
}

// fault returns why the server cannot write, or "". A stream that is being made is called one that could not be recovered: that counts
// only after a restart.
func (w *diskWatch) fault() (fault string, known bool) {
	faults, known := unhealthy(w.server)
	for _, e := range faults {
		if e.Type == server.HealthzErrorJetStream || strings.Contains(e.Error, " write error: ") || w.since.Load() != nil {
			return e.Error, known
		}
	}
	return "", known
}

// cannotOpen returns why files with messages of a stream cannot be opened, such as too many open files of the process: the server says of
// such messages that they are not there.
func (w *diskWatch) cannotOpen(stream string) error {
	if w == nil {
		return nil
	}
	dir := filepath.Join(w.dir, "jetstream", "$G", "streams", stream, "msgs")
	files, err := os.ReadDir(dir)
	for _, file := range files {
		f, openErr := os.Open(filepath.Join(dir, file.Name()))
		if openErr == nil {
			openErr = f.Close()
		}
		if openErr != nil && !errors.Is(openErr, fs.ErrNotExist) { // deleted in the meantime
			return openErr
		}
	}
	if errors.Is(err, fs.ErrNotExist) { // the data was removed
		return nil
	}
	return err
}

// probe reports whether the disk takes a file.
func (w *diskWatch) probe() error {
	f, err := os.Create(filepath.Join(w.dir, "probe"))
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeSize))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// restart starts the storage of the server again.
func (w *diskWatch) restart() error {
	if err := w.server.ShutdownJetStream(); err != nil {
		return err
	}
	if err := correctBlocks(context.Background(), w.dir, w.settings.logger); err != nil {
		return err
	}
	return w.server.EnableJetStream(&server.JetStreamConfig{
		StoreDir: w.dir, MaxStore: maxStore, MaxMemory: maxMemory, SyncAlways: true, SyncInterval: syncInterval, Strict: true,
	})
}

// warnOfSpace says that the streams can grow beyond what the disk has.
func warnOfSpace(ctx context.Context, dir string, s settings) {
	wanted := s.maxBytes + s.maxBytes/4 + s.reserve
	if free, known := freeSpace(dir); known && free < wanted {
		s.logger.WarnContext(ctx, "dispatch: the disk has less space than WithMaxBytes allows the queue to take", "free", free, "wanted", wanted)
	}
}

// fullDisk says of an error of opening that the disk is full, if it is.
func fullDisk(dir string, err error) error {
	free, known := freeSpace(dir)
	if errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), syscall.ENOSPC.Error()) || known && free < probeSize {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
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
//
// While the disk has less than 8 MiB free (on Linux and macOS), or the server cannot write, [Queue.SetAttr] returns [ErrFull], and
// [Stats].Paused says why. Both end by themselves within seconds when there is space again; nothing that was stored is lost.
//
// Beside the data are two small files with which OpenEmbedded finds out whether the data was damaged: what is missing is
// counted in [Stats].Lost, unless they are gone with it.
func OpenEmbedded(ctx context.Context, dir string, sdkAppID int, opts ...Option) (*Queue, error) {
	s, err := newSettings(sdkAppID, opts)
	if err == nil && dir == "" { // of a variable that is not set: it would be the folder in which the process was started
		err = errors.New(`dispatch: the path of the folder is ""`)
	}
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil { // the process may go to another folder
		return nil, fmt.Errorf("dispatch: %w", err)
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, fmt.Errorf("dispatch: %w", err)
	}
	q, stop, err := openFolder(ctx, dir, sdkAppID, s)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	q.shutdown = sync.OnceValue(func() error {
		stop()
		return errors.Join(q.acknowledged.close(), unlock())
	})
	return q, nil
}

func openFolder(ctx context.Context, dir string, sdkAppID int, s settings) (*Queue, func(), error) {
	warnOfSpace(ctx, dir, s)
	if err := correctBlocks(ctx, dir, s.logger); err != nil {
		return nil, nil, fmt.Errorf("dispatch: %w", err)
	}
	srv, conn, in, err := serve(dir)
	if err != nil {
		return nil, nil, fullDisk(dir, err)
	}
	stop := func() { conn.Close(); srv.Shutdown(); srv.WaitForShutdown() }
	js, err := jetstream.New(conn)
	if err != nil {
		stop()
		return nil, nil, err
	}
	q, err := open(ctx, js, sdkAppID, s, true)
	if err == nil {
		err = q.recoverFiles(ctx, dir)
	}
	if err != nil {
		stop()
		return nil, nil, fullDisk(dir, err)
	}
	q.disk = watchDisk(in, dir, s)
	return q, func() { q.disk.stop(); stop() }, nil
}

// serve starts a server and connects to it. A stream whose data cannot be read is an error: to make it again would lose it.
func serve(dir string) (*server.Server, *nats.Conn, *connector, error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "timpush", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncAlways: true, JetStreamMaxStore: maxStore, JetStreamMaxMemory: maxMemory,
	})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("dispatch: embedded server: %w", err)
	}
	s.Start()
	shutdown := func() { s.Shutdown(); s.WaitForShutdown() }
	if !s.ReadyForConnections(readyTimeout) {
		shutdown()
		return nil, nil, nil, errors.New("dispatch: the embedded server is not ready; see whether its folder can be written")
	}
	faults, known := unhealthy(s)
	for end := time.Now().Add(readyTimeout); !known && time.Now().Before(end); faults, known = unhealthy(s) {
		sleep(context.Background(), 10*time.Millisecond)
	}
	if len(faults) > 0 {
		shutdown()
		return nil, nil, nil, fmt.Errorf("dispatch: the data in %s cannot be read: %s; restore it from a copy, or move the folder away to start with an empty queue", dir, faults[0].Error)
	}
	in := &connector{server: s}
	conn, err := nats.Connect("", nats.InProcessServer(in), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		shutdown()
		return nil, nil, nil, fmt.Errorf("dispatch: embedded server: %w", err)
	}
	return s, conn, in, nil
}

// unhealthy returns what is wrong with a server. It is not known while the server is too busy to say so within a millisecond.
func unhealthy(s *server.Server) (faults []server.HealthzError, known bool) {
	faults = s.Healthz(&server.HealthzOptions{Details: true}).Errors
	return faults, !slices.ContainsFunc(faults, func(e server.HealthzError) bool { return e.Type == server.HealthzErrorConn })
}

// connector connects the queue to the embedded server, within the process.
type connector struct {
	server *server.Server
	mu     sync.Mutex
	conn   net.Conn
}

// InProcessConn makes a connection. It waits while disconnected runs.
func (c *connector) InProcessConn() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn, err := c.server.InProcessConn()
	c.conn = conn
	return conn, err
}

// disconnected calls f while nothing is connected: the server is not safe against requests while its storage is started again.
func (c *connector) disconnected(f func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.Close()
	for end := time.Now().Add(time.Second); c.server.NumClients() > 0 && time.Now().Before(end); {
		sleep(context.Background(), time.Millisecond)
	}
	return f()
}

// The server is to keep to what the streams and the disk allow: its own limits follow the space that is free when it starts.
const (
	maxStore  = math.MaxInt64 / 2
	maxMemory = 64 << 20
)

// lock keeps others away from a folder. The system unlocks it when the process ends, in whatever way.
func lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("the folder is in use, by another queue of this process or by another process: %w", err), f.Close())
	}
	return func() error { return errors.Join(unlockFile(f), f.Close()) }, nil
}

// recoverFiles takes over from the process that had the folder before: it has ended, or the folder would be locked. It compares
// the data with the files beside it, and counts what was acknowledged and is missing.
func (q *Queue) recoverFiles(ctx context.Context, dir string) (err error) {
	beside := filepath.Join(dir, q.name) // of each app, in case that one is opened by mistake
	if q.acknowledged, err = openAckFile(beside + ".acknowledged"); err != nil {
		return err
	}
	info, err := q.info(ctx, q.stream, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return err
	}
	acks, created := &q.acknowledged.read, info.Created
	if acks.Created != 0 {
		created = time.Unix(0, acks.Created) // of the stream before, if it is another: the copy says what was settled in it
	}
	q.kept = &copyFile{beside + ".record", created}
	l := q.newLease()
	if err := l.load(ctx); err != nil {
		return err
	}
	if l.restored {
		q.settings.logger.ErrorContext(ctx, "dispatch: the record of the dispatcher was lost and is restored from its copy")
	}
	dead, err := q.info(ctx, q.dead)
	if err != nil {
		return err
	}
	letters := dead.State.Msgs
	counted := l.record.Counted == acks.Generation // before a crash
	q.countEnd(ctx, &l.record, info)
	if missing := acks.Letters - int64(letters); missing > 0 && !counted {
		l.record.loseLetters(uint64(missing))
		l.record.Counted = acks.Generation
		q.settings.logger.ErrorContext(ctx, "dispatch: dead letters are lost", "letters", missing, "stream", q.name+"_DEAD")
	}
	if err := q.saveFirst(ctx, l); err != nil {
		return err
	}
	q.kept.created = info.Created
	return q.acknowledged.begin(info.Created, info.State.LastSeq, letters)
}

// saveFirst writes the record, which no dispatcher owns. If the bucket is damaged, it is emptied first: the server would refuse
// what is written, or lose it again.
func (q *Queue) saveFirst(ctx context.Context, l *lease) error {
	l.record.Owner = ""
	if !l.restored && !l.record.Created.IsZero() {
		if err := l.save(ctx); err != nil {
			return err
		}
		now := &lease{state: q.state}
		if err := now.load(ctx); err != nil || now.revision == l.revision {
			return err
		}
	}
	acknowledged, noneErr := q.state.Get(ctx, acknowledgedKey)
	bucket, err := q.js.Stream(ctx, "KV_"+q.name)
	if err == nil {
		err = bucket.Purge(ctx)
	}
	if err == nil && noneErr == nil {
		_, err = q.state.Put(ctx, acknowledgedKey, acknowledged.Value())
	}
	if err != nil {
		return err
	}
	l.revision = 0
	return l.save(ctx)
}

// countEnd counts the acknowledged messages that are missing at the end of the stream. Nothing has been stored since, so the record
// can be made to fit exactly.
func (q *Queue) countEnd(ctx context.Context, r *record, info *jetstream.StreamInfo) {
	acks, last := q.acknowledged.read, info.State.LastSeq
	counted := r.Counted == acks.Generation
	same := acks.Created == info.Created.UnixNano()
	switch {
	case acks.Sequence == 0, same && acks.Sequence <= last, !same && r.Created.Equal(info.Created):
		return
	case !same: // the data was removed, and the stream made again
		if from := max(r.Floor, r.Settled) + 1; !counted && r.lose(from, acks.Sequence) {
			q.logLost(ctx, from, acks.Sequence, "the data was removed")
		}
		r.rewind(info)
		r.Settled, r.Horizon = 0, 0
	default:
		if from := max(last, r.Floor, r.Settled) + 1; !counted && r.lose(from, acks.Sequence) {
			q.logLost(ctx, from, acks.Sequence, "the data has lost its end")
		}
		r.shorten(last)
	}
	if r.Floor == last {
		r.Passed = r.Purged + uint64(stored(info.State.Subjects))
	}
	r.Counted = acks.Generation
}

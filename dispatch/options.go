package dispatch

import (
	"errors"
	"log/slog"
	"time"
)

// Option changes how a [Queue] works.
type Option func(*settings)

type settings struct {
	replicas  int
	change    bool            // the number of replicas of what exists
	given     map[string]bool // options
	maxBytes  int64
	maxAge    time.Duration
	duplicate time.Duration
	lease     time.Duration
	delay     time.Duration // after a first failure
	store     time.Duration // how long a message is tried: longer than a cluster takes to elect a leader
	patience  time.Duration // how long messages are tried that a server has and cannot read
	reserve   int64         // bytes of the disk of an embedded server that are kept free
	logger    *slog.Logger
	existing  bool // nothing is made
	faults    []error
}

func newSettings(sdkAppID int, opts []Option) (settings, error) {
	s := settings{
		given: map[string]bool{}, replicas: 1, maxBytes: 1 << 30, maxAge: 7 * 24 * time.Hour, duplicate: 2 * time.Minute, lease: 3 * time.Second, delay: time.Second,
		store: 30 * time.Second, patience: 10 * time.Minute, reserve: reserve,
		logger: slog.New(slog.DiscardHandler),
	}
	for _, option := range opts {
		if s.require(option != nil, "an Option is nil"); option != nil {
			option(&s)
		}
	}
	s.require(sdkAppID > 0, "the SDKAppID is not positive")
	return s, errors.Join(s.faults...)
}

func (s *settings) require(ok bool, fault string) {
	if !ok {
		s.faults = append(s.faults, errors.New("dispatch: "+fault))
	}
}

// WithReplicas sets on how many servers of a cluster an update is stored, 1 to 5. With 3 an update outlives any one server.
// Streams that exist with another number are an error of [Open], see [WithReplicaChange]. If not given, new streams have 1,
// and those that exist are taken as they are.
func WithReplicas(n int) Option {
	return func(s *settings) {
		s.replicas, s.given["replicas"] = n, true
		s.require(n >= 1 && n <= 5, "WithReplicas wants 1 to 5")
	}
}

// WithReplicaChange lets [Open] change the number of replicas of streams that exist to that of [WithReplicas]. It takes some
// seconds, and fails while one of the servers is away.
func WithReplicaChange() Option { return func(s *settings) { s.change = true } }

// WithMaxBytes sets how large the stream of updates can grow, when it is first made; with [OpenEmbedded] also later. A message
// with a single update takes about 200 bytes, one with a hundred about 8 KiB, and it stays for the duplicate window after
// all of it has been sent. A full stream refuses with [ErrFull]. The stream of dead letters has a quarter of that on top;
// while it is full, updates that would go there wait, and [Stats].Paused says so. If not given, it is 1 GiB.
func WithMaxBytes(n int64) Option {
	return func(s *settings) {
		s.maxBytes, s.given["bytes"] = n, true
		s.require(n >= 1<<16, "WithMaxBytes wants at least 64 KiB")
	}
}

// WithMaxAge sets how old an update may become before it is sent. An older one is not dropped: it becomes a dead letter.
// If not given, it is 7 days.
func WithMaxAge(d time.Duration) Option {
	return func(s *settings) { s.maxAge = d; s.require(d > 0, "WithMaxAge wants more than 0") }
}

// WithDuplicateWindow sets for how long message ids are remembered (see [Queue.SetAttrOnce]), when the stream is first
// made; with [OpenEmbedded] also later. An update whose answer was lost is tried again for no longer than that, so that with less than 30 s
// SetAttr fails earlier. If not given, it is 2 minutes.
func WithDuplicateWindow(d time.Duration) Option {
	return func(s *settings) {
		s.duplicate, s.given["window"] = d, true
		s.require(d >= 100*time.Millisecond, "WithDuplicateWindow wants at least 100 ms")
	}
}

// WithLease sets after how long without a sign of life another dispatcher takes over; give all processes the same, except while a
// deploy changes it: that of the active one counts. If it is shorter than the pauses of the network and the processes, they
// change without need. It need not be longer than a cluster takes to elect a leader: longer leases were measured to make a
// failover slower. If not given, it is 3 s.
func WithLease(d time.Duration) Option {
	return func(s *settings) {
		s.lease = d
		s.require(d >= 200*time.Millisecond, "WithLease wants at least 200 ms")
	}
}

// WithLogger logs what an operator should know: who dispatches, pauses and their cause, messages that are lost, a full disk,
// faults of NATS. Accounts and values are not logged. If not given, nothing is logged.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) {
		s.logger = l
		s.require(l != nil, "WithLogger(nil)")
	}
}

package timpushtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// Server is a fake of the push admin API for one app. Make one with [NewServer] or [Start]; the zero value is not
// usable. All methods may be called from several goroutines, also while requests are being answered.
type Server struct {
	// URL is the base of every request, without a slash at its end: "https://127.0.0.1:PORT", with http for
	// [WithPlainHTTP], and "http://localhost" for [WithInMemory].
	URL string

	settings *settings
	roots    *x509.CertPool // nil without TLS
	dial     func(ctx context.Context) (net.Conn, error)
	http     *http.Server
	done     chan struct{} // closed first by Close: ends every wait of a handler
	close    sync.Once
	serving  sync.WaitGroup // the accept loop
	conns    sync.WaitGroup // connections not yet closed
	handlers sync.WaitGroup // HTTP/2 may end a connection before its handlers
	accepted atomic.Int64

	mu         sync.Mutex // guards all below
	transports []*http.Transport
	names      attrNames
	store      store
	tags       tagStore
	pushes     []*pushRecord // the oldest first
	tasks      []*task       // the oldest first
	lastTask   int64
	chat       []*delivery          // of chat messages
	past       map[string][]version // the oldest first; only with Variant.ReadDelay
	created    map[string]bool      // accounts that were given attributes; only with WithKnownAccounts
	calls      []*Call
	rate       peakRate
	watch      func(Call)
	queue      []Fault
	handle     func(Call) Fault
	poison     map[string]int
	refused    map[string]int
	quota      map[string]limiter
	badSigs    map[string]*slidingWindow
	randoms    map[string]bool

	sentTo      []recipients // of the batches of the last second
	day         string       // that pushedToday is of
	pushedToday int
}

// NewServer starts a fake, over TLS on a free loopback port unless an option says otherwise. It panics if it cannot
// listen or if an option is invalid. The caller must call [Server.Close].
func NewServer(opts ...Option) *Server {
	set := newSettings(opts)
	s := &Server{
		settings: set,
		done:     make(chan struct{}),
		names:    set.names,
		store:    store{},
		tags:     newTagStore(),
		past:     map[string][]version{},
		created:  map[string]bool{},
		poison:   map[string]int{},
		refused:  map[string]int{},
		quota:    map[string]limiter{},
		badSigs:  map[string]*slidingWindow{},
		randoms:  map[string]bool{},
	}
	s.http = &http.Server{
		Handler:                      s,
		Protocols:                    set.protocols(),
		ConnState:                    s.connState,
		ConnContext:                  withConn,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(panicLog{}, "", log.LstdFlags),
	}
	s.listen()
	return s
}

// panicLog shows the panic of a function that [Server.Handle] or [Server.Watch] was given, which for a client looks like a cut
// connection. What else the server logs are the cuts that are intended.
type panicLog struct{}

func (panicLog) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("panic serving")) {
		return os.Stderr.Write(p)
	}
	return len(p), nil
}

// Start is [NewServer] with [Server.Close] called at the end of the test.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := NewServer(opts...)
	t.Cleanup(s.Close)
	return s
}

// Close ends all connections and hanging answers at once, waits for the goroutines of the server and drops idle
// connections of the clients that HTTPClient made. What was received and stored stays readable. Calling it twice is harmless.
func (s *Server) Close() {
	s.close.Do(func() {
		s.mu.Lock()
		close(s.done) // under the lock, see begin
		s.mu.Unlock()
		_ = s.http.Close() // the listener's error does not matter
	})
	s.serving.Wait()
	s.conns.Wait()
	s.handlers.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transports {
		t.CloseIdleConnections()
	}
}

// HTTPClient returns a new client that trusts the certificate of the fake and uses no proxy. It reaches the fake
// whatever host a URL names, so that a test can never call the real service by mistake. It has no timeout.
func (s *Server) HTTPClient() *http.Client {
	t := &http.Transport{
		Protocols:           s.settings.protocols(),
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx) },
		MaxIdleConnsPerHost: 100, // else concurrent tests dial for most requests
	}
	if s.roots != nil {
		t.TLSClientConfig = &tls.Config{RootCAs: s.roots}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transports = append(s.transports, t)
	return &http.Client{Transport: t}
}

// App returns the app that the fake serves: its SDKAppID, its administrator and the key that signs for it.
func (s *Server) App() (sdkAppID int, identifier, secretKey string) {
	return s.settings.sdkAppID, s.settings.identifier, s.settings.secretKey
}

// Attrs returns a copy of the attributes of an account, nil if it has none.
func (s *Server) Attrs(account string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	attrs := s.names.named(s.store[account])
	if len(attrs) == 0 {
		return nil
	}
	return attrs
}

// Accounts returns all accounts that have attributes, sorted. Those that only have tags are not among them.
func (s *Server) Accounts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store.accounts()
}

// NumAccounts returns how many accounts have attributes.
func (s *Server) NumAccounts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.store)
}

// Connections returns how many connections were accepted so far.
func (s *Server) Connections() int { return int(s.accepted.Load()) }

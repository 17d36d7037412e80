package timpush_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// relay forwards TCP connections to a server until it lets the open ones die silently: it forwards nothing more
// through them and closes none, unless it resets those that are used.
type relay struct {
	net.Listener
	to    string
	reset atomic.Bool
	mu    sync.Mutex
	dead  atomic.Pointer[chan struct{}] // closed when the connections opened so far die
	conns []net.Conn
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{Listener: l, to: to}
	r.renew()
	go r.serve()
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, c := range r.conns {
			c.Close()
		}
	})
	return r
}

func (r *relay) renew() {
	dead := make(chan struct{})
	r.dead.Store(&dead)
}

func (r *relay) letConnectionsDie() {
	dead := *r.dead.Load()
	r.renew()
	close(dead)
}

func (r *relay) serve() {
	for {
		in, err := r.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", r.to) //nolint:noctx // to loopback
		if err != nil {
			in.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, in, out)
		r.mu.Unlock()
		dead := *r.dead.Load()
		go r.forward(out, in, dead)
		go r.forward(in, out, dead)
	}
}

func (r *relay) forward(to, from net.Conn, dead <-chan struct{}) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-dead:
			if tcp, ok := from.(*net.TCPConn); ok && r.reset.Load() {
				_ = tcp.SetLinger(0)
				tcp.Close()
			}
			return
		default:
		}
		if err != nil {
			to.Close()
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestConnectionThatDiesSilently: the next attempt uses a new connection.
func TestConnectionThatDiesSilently(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]timpushtest.Option{
		"HTTP/1.1": nil, "HTTP/2": {timpushtest.WithHTTP2()}, "a copy of a transport with another HTTP/2": {timpushtest.WithHTTP2()},
		"HTTP/2 without a health check": {timpushtest.WithHTTP2()}, "HTTP/1.1, with a timeout of the transport": nil,
		"HTTP/1.1, reset when it is used":                                nil, // by a firewall, or a server that this machine has slept too long for
		"HTTP/2 without a health check, with a timeout of the transport": {timpushtest.WithHTTP2()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := timpushtest.Start(t, append(opts, timpushtest.WithQuota(0))...)
			where, err := url.Parse(s.URL)
			require.NoError(t, err)
			r := newRelay(t, where.Host)
			r.reset.Store(strings.HasSuffix(name, "reset when it is used"))
			base, ok := s.HTTPClient().Transport.(*http.Transport)
			require.True(t, ok)
			const patience = 2 * time.Second
			base = base.Clone()
			base.DialContext = new(net.Dialer).DialContext
			base.TLSClientConfig.ServerName = where.Hostname()
			if strings.HasPrefix(name, "a copy") { // as http2.ConfigureTransport of golang.org/x/net makes it
				base.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{"h2": func(string, *tls.Conn) http.RoundTripper {
					return roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("not the client's HTTP/2") })
				}}
			}
			transport := base
			if !strings.HasPrefix(name, "HTTP/2 without a health check") {
				transport = timpush.OwnTransport(base, patience)
			}
			if strings.HasSuffix(name, "a timeout of the transport") {
				transport.ResponseHeaderTimeout = patience / 2
			}
			t.Cleanup(transport.CloseIdleConnections)
			c := client(s, timpush.WithBaseURL("https://"+r.Addr().String()), timpush.WithHTTPClient(&http.Client{Transport: transport}),
				timpush.WithAttemptTimeout(patience))

			_, err = c.SetAttr(t.Context(), someUsers(800)) // several connections are open and idle
			require.NoError(t, err)
			r.letConnectionsDie()
			result, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			assert.LessOrEqual(t, result.Requests, 3, "most often 2, but on a busy machine the transport may notice late that a connection is idle")
		})
	}
}

// TestConnectionsThatDieBeforeShortDeadlines: calls whose deadlines end before an attempt times out must not find one dead connection after the
// other.
func TestConnectionsThatDieBeforeShortDeadlines(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t, timpushtest.WithQuota(0), timpushtest.WithLatency(20*time.Millisecond, 0))
	where, err := url.Parse(s.URL)
	require.NoError(t, err)
	r := newRelay(t, where.Host)
	base := dialing(t, s)
	base.TLSClientConfig.ServerName = where.Hostname()
	c := impatient(t, s, base, timpush.WithBaseURL("https://"+r.Addr().String()))

	_, err = c.SetAttr(t.Context(), someUsers(3200)) // 32 connections are open and idle
	require.NoError(t, err)
	r.letConnectionsDie()
	requireSuccessWithin(t, c, 4*time.Second)
}

// TestProxyThatHangs: connections that a proxy does not make must not keep their places when their requests have ended.
func TestProxyThatHangs(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			s := timpushtest.Start(t, timpushtest.WithQuota(0))
			where, err := url.Parse(s.URL)
			require.NoError(t, err)
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { l.Close() })
			var works atomic.Bool
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					defer conn.Close()
					if works.Load() {
						go tunnel(conn, where.Host, scheme == "socks5")
					}
				}
			}()
			base := dialing(t, s)
			base.Proxy = http.ProxyURL(&url.URL{Scheme: scheme, Host: l.Addr().String()})
			c := impatient(t, s, base)

			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			result, err := c.SetAttr(ctx, someUsers(3200)) // as many connections as there may be
			require.Error(t, err)
			assert.Equal(t, 3200, result.NotSent, "%v", err)
			works.Store(true)
			requireSuccessWithin(t, c, 4*time.Second)
		})
	}
}

// tunnel is a proxy that connects to a host, whatever it is asked for.
func tunnel(conn net.Conn, host string, socks bool) {
	defer conn.Close()
	server, err := net.Dial("tcp", host) //nolint:noctx // to loopback
	if err != nil {
		return
	}
	defer server.Close()
	answers := []string{"HTTP/1.1 200 OK\r\n\r\n"}
	if socks {
		answers = []string{"\x05\x00", "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"}
	}
	for _, answer := range answers {
		if _, err := conn.Read(make([]byte, 1024)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, answer)
	}
	go func() { _, _ = io.Copy(server, conn) }()
	_, _ = io.Copy(conn, server)
}

// dialing returns the transport of a fake on loopback, which dials the address that it is given.
func dialing(t *testing.T, s *timpushtest.Server) *http.Transport {
	t.Helper()
	base, ok := s.HTTPClient().Transport.(*http.Transport)
	require.True(t, ok)
	base = base.Clone()
	base.DialContext = new(net.Dialer).DialContext
	return base
}

// impatient returns a client with the transport of its own, whose attempts may take two seconds.
func impatient(t *testing.T, s *timpushtest.Server, base *http.Transport, opts ...timpush.Option) *timpush.Client {
	t.Helper()
	const patience = 2 * time.Second
	transport := timpush.OwnTransport(base, patience)
	t.Cleanup(transport.CloseIdleConnections)
	return client(s, append(opts, timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithAttemptTimeout(patience))...)
}

// requireSuccessWithin makes calls with short deadlines, one after the other, until one is Done.
func requireSuccessWithin(t *testing.T, c *timpush.Client, most time.Duration) {
	t.Helper()
	began := time.Now()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := c.SetAttr(ctx, someUsers(1))
		cancel()
		if err == nil {
			return
		}
		require.Less(t, time.Since(began), most, "%v", err)
	}
}

// countingClosed is a transport that counts how often its idle connections are closed.
type countingClosed struct {
	roundTripper
	closed atomic.Int64
}

func (c *countingClosed) CloseIdleConnections() { c.closed.Add(1) }

// TestIdleConnectionsAreKept unless attempts end without an answer for as long as one may take.
func TestIdleConnectionsAreKept(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var wait atomic.Int64
		var fails atomic.Pointer[error]
		transport := &countingClosed{roundTripper: func(r *http.Request) (*http.Response, error) {
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case <-time.After(time.Duration(wait.Load())):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			if err := fails.Load(); err != nil {
				return nil, *err
			}
			return response(http.StatusOK, okAnswer), nil
		}}
		c := newClient(t, timpush.WithLimiter(unlimited{}), timpush.WithMaxAttempts(1), timpush.WithHTTPClient(&http.Client{Transport: transport}))
		set := func(answer, patience time.Duration, fault error) error {
			wait.Store(int64(answer))
			fails.Store(nil)
			if fault != nil {
				fails.Store(&fault)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := c.SetAttr(ctx, someUsers(1))
			return err
		}
		second, long := time.Second, time.Hour
		for _, attempt := range []struct {
			answer, patience time.Duration
			fault            error
			closed           int64
			pause            time.Duration
		}{
			{2 * second, second, nil, 0, 2 * second}, // none in time
			{second, long, nil, 0, 20 * second},      // but now
			{second, long, errors.New("reset"), 0, 20 * second},
			{second, long, nil, 0, second},
			{2 * second, second, nil, 0, 20 * second},
			{2 * second, second, nil, 1, 2 * second}, // for 20 s
			{second, long, nil, 1, 20 * second},
			{second, long, nil, 1, second},
		} {
			_ = set(attempt.answer, attempt.patience, attempt.fault)
			assert.Equal(t, attempt.closed, transport.closed.Load(), attempt)
			time.Sleep(attempt.pause)
		}

		wait.Store(int64(long))
		var slow sync.WaitGroup
		slow.Go(func() { _, _ = c.SetAttr(t.Context(), someUsers(1)) })
		time.Sleep(9 * second)
		slow.Go(func() { assert.NoError(t, set(2*second, long, nil)) }) // answered after the other has taken all of its time
		slow.Wait()
		for range 2 {
			require.NoError(t, set(0, long, nil))
			assert.EqualValues(t, 2, transport.closed.Load(), "once")
		}
	})
}

// TestConnectionThatIsMadeTooSlowlyIsKept for the next call, whose deadline is as short.
func TestConnectionThatIsMadeTooSlowlyIsKept(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t)
	base := dialing(t, s)
	dial := base.DialContext
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		time.Sleep(600 * time.Millisecond)
		return dial(ctx, network, address)
	}
	c := impatient(t, s, base)
	for i := range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := c.SetAttr(ctx, someUsers(1))
		cancel()
		assert.Equal(t, i == 0, err != nil, "%d: %v", i, err)
		if i == 0 {
			time.Sleep(2 * time.Second) // as long as an attempt may take
		}
	}
}

// TestHTTP2OfACopy: a copy of a transport that has found out by itself that it can use HTTP/2 offers it to the server, and so must speak it.
func TestHTTP2OfACopy(t *testing.T) {
	t.Parallel()
	for name, original := range map[string]*http.Transport{"without a dialer": {}, "with an own one": {ForceAttemptHTTP2: true, DialContext: new(net.Dialer).DialContext}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := timpushtest.Start(t, timpushtest.WithHTTP2())
			own, ok := s.HTTPClient().Transport.(*http.Transport)
			require.True(t, ok)
			transport := original.Clone()
			transport.TLSClientConfig.RootCAs = own.TLSClientConfig.RootCAs
			transport = timpush.OwnTransport(transport, 10*time.Second)
			t.Cleanup(transport.CloseIdleConnections)
			result, err := client(s, timpush.WithHTTPClient(&http.Client{Transport: transport})).SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			assert.Equal(t, 1, result.Requests)
		})
	}
}

// TestStreamThatIsReset: over HTTP/2 the transport repeats by itself what was reset with PROTOCOL_ERROR, although the server may have
// applied it, and without a quota.
func TestStreamThatIsReset(t *testing.T) {
	t.Parallel()
	const protocolError, refusedStream = 1, 7
	for _, want := range []struct {
		code    byte
		around  bool
		outcome timpush.Outcome
		pushes  int64
		result  timpush.Result
	}{
		{protocolError, false, timpush.Unknown, 1, timpush.Result{Unknown: 1, Requests: 2}}, // nothing that may have gone out is repeated
		{refusedStream, false, timpush.NotSent, 2, timpush.Result{NotSent: 1, Requests: 2}}, // the server has not processed it
		{protocolError, true, timpush.Unknown, 1, timpush.Result{Unknown: 1, Requests: 2}},
		{refusedStream, true, timpush.Unknown, 1, timpush.Result{Unknown: 1, Requests: 2}},
	} {
		var received atomic.Int64
		s := startHTTP2(t, func(conn *tls.Conn) {
			serveHTTP2(conn, func(stream []byte) []byte {
				received.Add(1)
				return resetStream(stream, want.code)
			})
		})
		transport := s.Client().Transport
		if want.around { // as for tracing
			transport = roundTripper(transport.RoundTrip)
		}
		c := newClient(t, timpush.WithBaseURL(s.URL), timpush.WithHTTPClient(&http.Client{Transport: transport}),
			timpush.WithAttemptTimeout(time.Second), timpush.WithMaxAttempts(2))

		_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
		var call *timpush.CallError
		require.ErrorAs(t, err, &call)
		assert.Equal(t, want.outcome, call.Outcome)
		assert.Equal(t, want.pushes, received.Load())
		result, err := c.SetAttr(t.Context(), someUsers(1))
		require.Error(t, err)
		assert.Equal(t, want.result, *result)
		assert.Equal(t, want.pushes+2, received.Load(), "each has a token")
	}
}

// TestStreamOfAPlainConnectionThatIsReset: a proxy on this machine speaks HTTP/2 without TLS.
func TestStreamOfAPlainConnectionThatIsReset(t *testing.T) {
	t.Parallel()
	const protocolError = 1
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a numeric loopback address never waits
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	var received atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveHTTP2(conn, func(stream []byte) []byte {
				received.Add(1)
				return resetStream(stream, protocolError)
			})
		}
	}()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	c := newClient(t, timpush.WithBaseURL("http://"+l.Addr().String()), timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithAttemptTimeout(2500*time.Millisecond))
	for pushes := range int64(2) {
		_, err = c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
		var call *timpush.CallError
		require.ErrorAs(t, err, &call)
		assert.Equal(t, timpush.Unknown, call.Outcome)
		assert.Equal(t, pushes+1, received.Load(), "what may have gone out is not repeated")
	}
}

// resetStream is the frame that resets a stream.
func resetStream(stream []byte, code byte) []byte {
	return slices.Concat([]byte{0, 0, 4, 3, 0}, stream, []byte{0, 0, 0, code})
}

// serveHTTP2 is an HTTP/2 server that answers the end of each request with the frames that answer returns for its stream.
func serveHTTP2(conn io.ReadWriter, answer func(stream []byte) []byte) {
	const data, settings, endStream, ack = 0, 4, 1, 1
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	_, _ = conn.Write([]byte{0, 0, 0, settings, 0, 0, 0, 0, 0})
	for {
		var head [9]byte // length, type, flags, stream
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, conn, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
		switch {
		case head[3] == settings && head[4]&ack == 0:
			_, _ = conn.Write([]byte{0, 0, 0, settings, ack, 0, 0, 0, 0})
		case head[3] == data && head[4]&endStream != 0:
			_, _ = conn.Write(answer(head[5:]))
		}
	}
}

// startHTTP2 starts a server whose connections are each served by serve.
func startHTTP2(t *testing.T, serve func(*tls.Conn)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{NextProtos: []string{"h2"}}
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
		defer func() { _ = conn.Close() }()
		serve(conn)
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	transport, ok := s.Client().Transport.(*http.Transport)
	require.True(t, ok)
	transport.ForceAttemptHTTP2 = true
	return s
}

// TestNotTakenOverHTTP2: a server that ends an HTTP/2 connection says which request it took last, as nginx does after each 1,000th, and one
// that refuses a request has not processed it, as nginx may before its settings are acknowledged. Such a request is sent again, a push too.
func TestNotTakenOverHTTP2(t *testing.T) {
	t.Parallel()
	afterOne := func(_ int64, here int, _ []byte) []byte { // the stream that was taken is 1
		if here == 1 {
			return nil
		}
		return goAway(1)
	}
	refusing := func(which int64) func(int64, int, []byte) []byte {
		return func(n int64, _ int, stream []byte) []byte {
			if n != which {
				return nil
			}
			return resetStream(stream, 7)
		}
	}
	for name, test := range map[string]struct {
		refusal  func(n int64, here int, stream []byte) []byte
		received int64 // for three pushes
	}{
		"GOAWAY":                      {afterOne, 5},
		"the first stream is refused": {refusing(1), 4},
		"a stream is refused":         {refusing(2), 4},
		"GOAWAY before anything is taken": {func(n int64, _ int, _ []byte) []byte {
			if n > 1 {
				return nil
			}
			return goAway(0)
		}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, received := takingPushes(t, test.refusal)
			c := newClient(t, timpush.WithBaseURL(s.URL), timpush.WithHTTPClient(s.Client()), timpush.WithMaxAttempts(2))
			for range 3 {
				_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
				require.NoError(t, err)
			}
			assert.Equal(t, test.received, received.Load(), "three were taken")
		})
	}
}

func goAway(last byte) []byte { return []byte{0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0} }

// takingPushes starts an HTTP/2 server that takes pushes, but for those that refusal has a frame for: the nth request, and the one of that
// number on its connection.
func takingPushes(t *testing.T, refusal func(n int64, here int, stream []byte) []byte) (s *httptest.Server, received *atomic.Int64) {
	t.Helper()
	const data, headers, endStream, endHeaders, status200 = 0, 1, 1, 4, 0x88
	received = new(atomic.Int64)
	return startHTTP2(t, func(conn *tls.Conn) {
		here := 0
		serveHTTP2(conn, func(stream []byte) []byte {
			here++
			if frame := refusal(received.Add(1), here, stream); frame != nil {
				return frame
			}
			text := `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"","TaskId":"a"}`
			answer := slices.Concat([]byte{0, 0, 1, headers, endHeaders}, stream, []byte{status200})
			return slices.Concat(answer, []byte{0, 0, byte(len(text)), data, endStream}, stream, []byte(text))
		})
	}), received
}

// TestTakenBeforeItWasNot: where a transport sends a request again by itself, what a server says of the last try tells nothing of the first.
func TestTakenBeforeItWasNot(t *testing.T) {
	t.Parallel()
	s, received := takingPushes(t, func(_ int64, here int, _ []byte) []byte {
		if here == 1 {
			return nil
		}
		return goAway(1)
	})
	standard := s.Client().Transport
	twice := roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		for range 2 {
			again := r.Clone(r.Context())
			again.Body, again.GetBody = io.NopCloser(bytes.NewReader(body)), nil
			resp, err := standard.RoundTrip(again)
			if err != nil {
				return nil, err
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close() // and the answer is lost
		}
		return nil, errors.New("no answer")
	})
	c := newClient(t, timpush.WithBaseURL(s.URL), timpush.WithHTTPClient(&http.Client{Transport: twice}))
	_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
	var call *timpush.CallError
	require.ErrorAs(t, err, &call)
	assert.Equal(t, timpush.Unknown, call.Outcome)
	assert.EqualValues(t, 2, received.Load())
}

// countedConn counts what is written to a connection.
type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestRequestIsOneWrite: headers and body leave together. The first records of a TLS connection are short, so the request is.
func TestRequestIsOneWrite(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t, timpushtest.WithQuota(0))
	base, ok := s.HTTPClient().Transport.(*http.Transport)
	require.True(t, ok)
	base = base.Clone()
	dial, writes := base.DialContext, new(atomic.Int64)
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return countedConn{conn, writes}, err
	}
	transport := timpush.OwnTransport(base, 10*time.Second)
	t.Cleanup(transport.CloseIdleConnections)
	c := client(s, timpush.WithHTTPClient(&http.Client{Transport: transport}))
	_, err := c.SetAttr(t.Context(), someUsers(1)) // opens the connection
	require.NoError(t, err)
	writes.Store(0)
	_, err = c.SetAttr(t.Context(), someUsers(10))
	require.NoError(t, err)
	assert.EqualValues(t, 1, writes.Load())
}

// TestTraceOfACallerEndsWithItsCall: hooks in the context of one call see nothing of another.
func TestTraceOfACallerEndsWithItsCall(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t, timpushtest.WithQuota(0))
	var fired atomic.Int64
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteHeaderField: func(string, []string) { fired.Add(1) }})
	first := client(s)
	_, err := first.SetAttr(ctx, someUsers(300))
	require.NoError(t, err)
	seen := fired.Load()
	assert.Positive(t, seen, "the caller's own trace works")
	for _, c := range []*timpush.Client{first, client(s)} {
		_, err = c.SetAttr(t.Context(), someUsers(300))
		require.NoError(t, err)
	}
	assert.Equal(t, seen, fired.Load())
}

// retrying sends a request again by itself, as some transports do, and then has no connection.
type retrying struct{ http.RoundTripper }

func (r retrying) RoundTrip(req *http.Request) (*http.Response, error) {
	if resp, err := r.RoundTripper.RoundTrip(req); err == nil {
		_ = resp.Body.Close() // and the answer is lost
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
}

// TestNotSentNeedsProof: a transport whose last try found no connection may have sent an earlier one.
func TestNotSentNeedsProof(t *testing.T) {
	t.Parallel()
	onLoopback := timpushtest.Start(t, timpushtest.WithQuota(0))
	inMemory := fake(t)
	for name, test := range map[string]struct {
		server    *timpushtest.Server
		transport http.RoundTripper
	}{
		"with the standard transport": {onLoopback, retrying{onLoopback.HTTPClient().Transport}},
		"in memory":                   {inMemory, retrying{inMemory.HTTPClient().Transport}},
		"without a trace": {inMemory, roundTripper(func(r *http.Request) (*http.Response, error) {
			return retrying{inMemory.HTTPClient().Transport}.RoundTrip(r.Clone(t.Context()))
		})},
		"with a copy of the body": {inMemory, roundTripper(func(r *http.Request) (*http.Response, error) {
			again := r.Clone(t.Context())
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			again.Body = body
			return retrying{inMemory.HTTPClient().Transport}.RoundTrip(again)
		})},
		"registered for https": {onLoopback, registered(retrying{roundTripper(func(r *http.Request) (*http.Response, error) {
			return onLoopback.HTTPClient().Transport.RoundTrip(r.Clone(t.Context()))
		})})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			users := []timpush.UserAttrs{userIn("user of "+name, "x")}
			c := client(test.server, timpush.WithHTTPClient(&http.Client{Transport: test.transport}), timpush.WithMaxAttempts(1))
			result, err := c.SetAttr(t.Context(), users)
			partial(t, users, result, err)
			assert.Equal(t, timpush.Result{Unknown: 1, Requests: 1}, *result, "it was applied: %v", err)
			assertStored(t, test.server, users...)
		})
	}
}

// registered returns a standard transport that hands requests on to another one.
func registered(to http.RoundTripper) *http.Transport {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(true)
	t.RegisterProtocol("https", to)
	return t
}

// TestPushThroughARegisteredTransport: what may have gone out is not repeated.
func TestPushThroughARegisteredTransport(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	c := newClient(t, timpush.WithHTTPClient(&http.Client{Transport: registered(roundTripper(func(r *http.Request) (*http.Response, error) {
		sent.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		return nil, errors.New("the connection was lost")
	}))}))
	_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
	var call *timpush.CallError
	require.ErrorAs(t, err, &call)
	assert.Equal(t, timpush.Unknown, call.Outcome, "%v", err)
	assert.EqualValues(t, 1, sent.Load())
}

// proxyAnswering is a proxy that answers CONNECT with a status.
func proxyAnswering(t *testing.T, status int, headers ...string) (proxy *url.URL, asked *atomic.Int64) {
	t.Helper()
	addr, asked := serving(t, "HTTP/1.1 "+strconv.Itoa(status)+" "+http.StatusText(status)+"\r\n"+strings.Join(append(headers, "Content-Length: 0"), "\r\n")+"\r\n\r\n")
	return &url.URL{Scheme: "http", Host: addr}, asked
}

// serving starts a server that reads something before each answer on a connection, and closes it after the last. It counts the connections.
func serving(t *testing.T, answers ...string) (addr string, accepted *atomic.Int64) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	accepted = new(atomic.Int64)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			for _, answer := range answers {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, answer)
			}
			conn.Close()
		}
	}()
	return l.Addr().String(), accepted
}

// TestProxyThatRefuses: it has sent nothing. A refusal is final, a proxy that cannot reach the host is asked again.
func TestProxyThatRefuses(t *testing.T) {
	t.Parallel()
	for status, attempts := range map[int]int64{403: 1, 407: 1, 502: 3, 503: 3} {
		for name, own := range map[string]bool{"own transport": true, "caller's transport": false, "one around it": false} {
			t.Run(name+" "+strconv.Itoa(status), func(t *testing.T) {
				t.Parallel()
				proxy, asked := proxyAnswering(t, status)
				transport := &http.Transport{Proxy: http.ProxyURL(proxy)}
				if own {
					transport = timpush.OwnTransport(transport, 10*time.Second)
				}
				var outermost http.RoundTripper = transport
				if name == "one around it" { // as for tracing
					outermost = roundTripper(func(r *http.Request) (*http.Response, error) { return transport.RoundTrip(r.Clone(r.Context())) })
				}
				users := someUsers(1)
				c := newClient(t, timpush.WithHTTPClient(&http.Client{Transport: outermost}), timpush.WithMaxAttempts(3), timpush.WithLimiter(unlimited{}))
				result, err := c.SetAttr(t.Context(), users)
				p := partial(t, users, result, err)
				assert.Equal(t, 1, result.NotSent, "%v", err)
				assert.Equal(t, users, p.Remaining(users))
				assert.Equal(t, attempts, asked.Load())
				if own {
					require.ErrorContains(t, err, strconv.Itoa(status))
				}
			})
		}
	}
}

// TestProxyThatSaysWhyItRefuses: a caller's transport knows the text of the status alone.
func TestProxyThatSaysWhyItRefuses(t *testing.T) {
	t.Parallel()
	addr, asked := serving(t, "HTTP/1.1 407 Proxy Authentication Required ( Forefront TMG requires authorization to fulfill the request. )\r\nContent-Length: 0\r\n\r\n")
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: addr})}
	c := newClient(t, timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithLimiter(unlimited{}))
	result, err := c.SetAttr(t.Context(), someUsers(1))
	require.ErrorContains(t, err, "Forefront")
	assert.Equal(t, 1, result.NotSent)
	assert.EqualValues(t, 1, asked.Load())
}

// TestSOCKSProxyThatRefuses: it has sent nothing, and is not asked again.
func TestSOCKSProxyThatRefuses(t *testing.T) {
	t.Parallel()
	const noMethod, withPassword, notAllowed, noHost = "\x05\xff", "\x05\x02", "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"
	for name, test := range map[string]struct {
		answers  []string
		attempts int64
	}{
		"no method":    {[]string{noMethod}, 1},
		"the password": {[]string{withPassword, "\x01\x01"}, 1},
		"the host":     {[]string{"\x05\x00", notAllowed}, 1},
		"unreachable":  {[]string{"\x05\x00", noHost}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, asked := serving(t, test.answers...)
			proxy := &url.URL{Scheme: "socks5", Host: addr, User: url.UserPassword("me", "secret")}
			log := new(bytes.Buffer)
			c := newClient(t, timpush.WithHTTPClient(&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}), timpush.WithMaxAttempts(3),
				timpush.WithLimiter(unlimited{}), timpush.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
			result, err := c.SetAttr(t.Context(), someUsers(1))
			require.Error(t, err)
			assert.Equal(t, 1, result.NotSent, "%v", err)
			assert.Equal(t, test.attempts, asked.Load(), "%v", err)
			assert.Contains(t, log.String(), "failure=unreachable")
		})
	}
}

// TestProgramThatLooksAtProxies: what the program has asked of http.DefaultTransport holds for a copy of it.
func TestProgramThatLooksAtProxies(t *testing.T) {
	t.Parallel()
	proxy, _ := proxyAnswering(t, http.StatusOK)
	errWrongProxy := errors.New("not our proxy")
	transport := timpush.OwnTransport(&http.Transport{
		Proxy:                  http.ProxyURL(proxy),
		OnProxyConnectResponse: func(context.Context, *url.URL, *http.Request, *http.Response) error { return errWrongProxy },
	}, 10*time.Second)
	result, err := newClient(t, timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithMaxAttempts(1)).SetAttr(t.Context(), someUsers(1))
	require.ErrorIs(t, err, errWrongProxy)
	assert.Equal(t, 1, result.NotSent)
}

// TestProxyThatSaysWhenToRetry: a proxy is asked again when it says, as a gateway is.
func TestProxyThatSaysWhenToRetry(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			proxy, asked := proxyAnswering(t, status, "Retry-After: 2")
			transport := timpush.OwnTransport(&http.Transport{Proxy: http.ProxyURL(proxy)}, 10*time.Second)
			began := time.Now()
			_, err := newClient(t, timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithMaxAttempts(2)).SetAttr(t.Context(), someUsers(1))
			require.ErrorContains(t, err, "(retry after 2s)")
			assert.Equal(t, 2*time.Second, timpush.RetryAfter(err))
			assert.EqualValues(t, 2, asked.Load())
			assert.GreaterOrEqual(t, time.Since(began), 2*time.Second)
		})
	}
}

// TestProxyThatSaysWhenToRetryBesideValues: the error of the proxy is replaced where its text, or the number of nanoseconds in it, holds a value.
func TestProxyThatSaysWhenToRetryBesideValues(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"1000", "0000", "Service", "status"} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			proxy, _ := proxyAnswering(t, http.StatusServiceUnavailable, "Retry-After: 10")
			transport := timpush.OwnTransport(&http.Transport{Proxy: http.ProxyURL(proxy)}, 10*time.Second)
			c := newClient(t, timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithMaxAttempts(1))
			_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{{ToAccount: "xiaoming", Attrs: timpush.Attrs{"points": value}}})
			require.Error(t, err)
			assert.Equal(t, 10*time.Second, timpush.RetryAfter(err))
		})
	}
}

// TestHandshakeThatIsCut has sent nothing and is repeated.
func TestHandshakeThatIsCut(t *testing.T) {
	t.Parallel()
	addr, accepted := serving(t, "") // reads the ClientHello
	users := someUsers(1)
	c := newClient(t, timpush.WithBaseURL("https://"+addr), timpush.WithLimiter(unlimited{}))
	result, err := c.SetAttr(t.Context(), users)
	partial(t, users, result, err)
	assert.Equal(t, timpush.Result{NotSent: 1, Requests: 4}, *result, "%v", err)
	assert.Equal(t, int64(4), accepted.Load())
}

// TestHostThatAnswersNothing: where no connection comes about in time, nothing was sent.
func TestHostThatAnswersNothing(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() }) // it accepts, and never shakes hands
	users := someUsers(1)
	c := newClient(t, timpush.WithBaseURL("https://"+l.Addr().String()), timpush.WithAttemptTimeout(100*time.Millisecond),
		timpush.WithMaxAttempts(1), timpush.WithLimiter(unlimited{}))
	result, err := c.SetAttr(t.Context(), users)
	partial(t, users, result, err)
	assert.Equal(t, timpush.Result{NotSent: 1, Requests: 1}, *result, "%v", err)
}

// TestRetryAfter: the client waits as long as the server asks, and tells it.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status   int
		header   func(now time.Time) string
		opts     []timpush.Option
		requests int
		least    time.Duration
		most     time.Duration
	}{
		"503 in seconds":         {503, seconds(7), nil, 2, 7 * time.Second, 8 * time.Second},
		"429 in seconds":         {429, seconds(7), nil, 2, 7 * time.Second, 8 * time.Second},
		"503 with a date":        {503, func(now time.Time) string { return now.Add(9 * time.Second).UTC().Format(http.TimeFormat) }, nil, 2, 8 * time.Second, 10 * time.Second},
		"at most a minute":       {503, seconds(3600), nil, 2, time.Minute, 62 * time.Second},
		"not for another status": {500, seconds(7), nil, 2, 0, time.Second},
		"that is over":           {503, func(now time.Time) string { return now.Add(-time.Hour).UTC().Format(http.TimeFormat) }, nil, 2, 0, time.Second},
		"that is no time":        {503, func(time.Time) string { return "soon" }, nil, 2, 0, time.Second},
		"beyond the budget":      {503, seconds(11), []timpush.Option{timpush.WithRetryBudget(10 * time.Second)}, 1, 0, time.Second},
		"far beyond the budget":  {503, func(time.Time) string { return "Fri, 31 Dec 9999 23:59:59 GMT" }, []timpush.Option{timpush.WithRetryBudget(10 * time.Second)}, 1, 0, time.Second},
		"too large a number":     {503, func(time.Time) string { return "99999999999999999999" }, nil, 2, time.Minute, 62 * time.Second},
		"within the budget":      {503, seconds(9), []timpush.Option{timpush.WithRetryBudget(10 * time.Second)}, 2, 9 * time.Second, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				calls := 0
				c := newClient(t, append([]timpush.Option{timpush.WithLimiter(unlimited{}), through(func(r *http.Request) (*http.Response, error) {
					if calls++; calls > 1 {
						return alwaysOK(r)
					}
					time.Sleep(time.Millisecond)
					resp := response(test.status, "busy")
					resp.Header = http.Header{"Retry-After": {test.header(time.Now())}}
					return resp, nil
				})}, test.opts...)...)
				began := time.Now()
				result, err := c.SetAttr(t.Context(), someUsers(1))
				assert.Equal(t, test.requests, result.Requests)
				assert.GreaterOrEqual(t, time.Since(began), test.least)
				assert.LessOrEqual(t, time.Since(began), test.most)
				if name == "beyond the budget" {
					var page *timpush.HTTPError
					require.ErrorAs(t, err, &page)
					assert.Equal(t, 11*time.Second, page.RetryAfter)
					require.ErrorContains(t, err, "retry after 11s")
				}
			})
		})
	}
}

// TestPushToWaitsAsAsked: it does not repeat a request that may have gone out, and the next one waits in its place.
func TestPushToWaitsAsAsked(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var sent []time.Time
		_, c := pusher(t, through(func(r *http.Request) (*http.Response, error) {
			if sent = append(sent, time.Now()); len(sent) > 2 {
				return answering(`{"ActionStatus":"OK","ErrorCode":0,"TaskId":"t"}`)(r)
			}
			resp := response(http.StatusServiceUnavailable, "busy")
			resp.Header = http.Header{"Retry-After": {[]string{"30", "3600"}[len(sent)-1]}}
			return resp, nil
		}))
		result, err := c.PushTo(t.Context(), accounts(1600), hello)
		assert.Equal(t, timpush.Result{Unknown: 800, Done: 800, Requests: 4}, result.Result, "%v", err)
		require.Len(t, sent, 4)
		assert.Equal(t, 30*time.Second, sent[1].Sub(sent[0]))
		assert.Equal(t, time.Minute, sent[2].Sub(sent[1]), "at most a minute")
		assert.Less(t, sent[3].Sub(sent[2]), time.Second, "only the next one")
	})
}

func seconds(n int) func(time.Time) string { return func(time.Time) string { return strconv.Itoa(n) } }

// TestRetryAfterWithAWrongClock: a date is by the clock of the server, which the answer shows.
func TestRetryAfterWithAWrongClock(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
			calls := 0
			c := newClient(t, timpush.WithRetryBudget(time.Minute), through(func(r *http.Request) (*http.Response, error) {
				if calls++; calls > 1 {
					return alwaysOK(r)
				}
				resp, server := response(http.StatusServiceUnavailable, "busy"), time.Now().Add(-ahead).UTC()
				resp.Header = http.Header{"Date": {server.Format(http.TimeFormat)}, "Retry-After": {server.Add(9 * time.Second).Format(http.TimeFormat)}}
				return resp, nil
			}))
			began := time.Now()
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			assert.Equal(t, 9*time.Second, time.Since(began))
		}
	})
}

// TestRetryBudgetAlone ends retries by time, not by their number.
func TestRetryBudgetAlone(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		began := time.Now()
		answer := func(r *http.Request) (*http.Response, error) {
			if time.Since(began) < 50*time.Second {
				return response(502, ""), nil
			}
			return alwaysOK(r)
		}
		users := someUsers(1)
		_, err := newClient(t, through(answer), timpush.WithRetryBudget(2*time.Minute)).SetAttr(t.Context(), users)
		require.NoError(t, err)
		began = time.Now()
		result, err := newClient(t, through(answer), timpush.WithRetryBudget(20*time.Second)).SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Greater(t, result.Requests, 4)
		assert.LessOrEqual(t, time.Since(began), 20*time.Second)
		began = time.Now()
		result, err = newClient(t, through(answer), timpush.WithRetryBudget(time.Hour), timpush.WithMaxAttempts(2)).SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Equal(t, 2, result.Requests)
	})
}

// TestRetryBudgetBeginsWithTheAttempt tries requests that wait longer for their quota than the budget: the wait is no part of it.
func TestRetryBudgetBeginsWithTheAttempt(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(slices.Repeat([]timpushtest.Fault{timpushtest.ErrorCode(91000)}, 32)...)
		users := someUsers(3200)
		c := s.Client(timpush.WithLimiter(timpush.NewLimiter(1)), timpush.WithRetryBudget(20*time.Second))
		result, err := c.SetAttr(t.Context(), users)
		requireSum(t, users, result, err)
		require.NoError(t, err)
	})
}

// TestAccountChecksOfALongOutage tries 60004 now and then among other failures: only several in a row mean a wrong configuration.
func TestAccountChecksOfALongOutage(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		requests := 0
		answer := func(r *http.Request) (*http.Response, error) {
			if requests++; requests > 40 {
				return alwaysOK(r)
			} else if requests%10 == 0 {
				return response(http.StatusOK, `{"ActionStatus":"FAIL","ErrorCode":60004}`), nil
			}
			return response(http.StatusBadGateway, ""), nil
		}
		_, err := newClient(t, through(answer), timpush.WithRetryBudget(time.Hour)).SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
	})
}

// TestBackupHost: requests that could not reach the region's host go to the backup host, and come back.
func TestBackupHost(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var mu sync.Mutex
		down := map[string]error{}
		var hosts []string
		c := newClient(t, timpush.WithBackupHost(), timpush.WithLimiter(unlimited{}), through(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			hosts = append(hosts, strings.Split(r.URL.Host, ".")[1])
			if err := down[r.URL.Host]; err != nil {
				return nil, err
			}
			return alwaysOK(r)
		}))
		base, backup := timpush.RegionSingapore.Host(), timpush.RegionSingapore.BackupHost()
		set := func() []string {
			hosts = nil
			_, _ = c.SetAttr(t.Context(), someUsers(1))
			return hosts
		}
		const im, my = "im", "my-imcloud"
		assert.Equal(t, []string{im}, set())
		down[base] = &net.DNSError{Err: "no such host", Name: base}
		assert.Equal(t, []string{im, my}, set())
		assert.Equal(t, []string{my}, set())
		time.Sleep(time.Minute)
		assert.Equal(t, []string{im, my}, set(), "one request tries the region's host")
		delete(down, base)
		assert.Equal(t, []string{my}, set())
		time.Sleep(time.Minute)
		assert.Equal(t, []string{im}, set())
		assert.Equal(t, []string{im}, set())
		down[base] = &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("refused")}
		assert.Equal(t, []string{im, im, im, im}, set(), "a proxy that cannot be reached does not count")
		down[base], down[backup] = &net.OpError{Op: "dial", Err: errors.New("refused")}, &net.OpError{Op: "dial", Err: errors.New("refused")}
		assert.Equal(t, []string{im, my, im, my}, set())
	})
}

// TestBackupHostWithinTheDeadline: a host that drops packets must not take all of the time that a call has, neither before that is known
// nor when it is tried again.
func TestBackupHostWithinTheDeadline(t *testing.T) {
	t.Parallel()
	for name, around := range map[string]bool{"the standard transport": false, "one around it": true} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				standard := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					if strings.HasPrefix(address, timpush.RegionSingapore.BackupHost()) {
						return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("refused")}
					}
					<-ctx.Done()
					return nil, ctx.Err()
				}}
				defer standard.CloseIdleConnections()
				var transport http.RoundTripper = standard
				if around { // as for tracing
					transport = roundTripper(func(r *http.Request) (*http.Response, error) { return standard.RoundTrip(r.Clone(r.Context())) })
				}
				events := &recorder{}
				c := newClient(t, timpush.WithBackupHost(), timpush.WithObserver(events), timpush.WithMaxAttempts(2),
					timpush.WithHTTPClient(&http.Client{Transport: transport}))
				for range 2 {
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					_, err := c.SetAttr(ctx, someUsers(1))
					cancel()
					require.ErrorContains(t, err, timpush.RegionSingapore.BackupHost())
					require.ErrorContains(t, err, "1 not sent")
					assert.NotErrorIs(t, err, context.DeadlineExceeded)
					time.Sleep(time.Minute)
				}
				for _, e := range events.all() {
					if e.Kind == timpush.AttemptEnd {
						assert.Equal(t, "unreachable", e.Failure)
						assert.Zero(t, e.Code)
					}
				}
			})
		})
	}
}

// TestBackupHostAfterAHandshake that hangs or is cut: something accepts connections for a host that cannot be reached.
func TestBackupHostAfterAHandshake(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]bool{"hangs": true, "is cut": false} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				transport := timpush.OwnTransport(&http.Transport{DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
					if strings.HasPrefix(address, timpush.RegionSingapore.BackupHost()) {
						return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("refused")}
					}
					conn, end := net.Pipe()
					if hangs {
						go func() { _, _ = io.Copy(io.Discard, end) }()
					} else {
						end.Close()
					}
					return conn, nil
				}}, 10*time.Second)
				defer transport.CloseIdleConnections()
				c := newClient(t, timpush.WithBackupHost(), timpush.WithMaxAttempts(2), timpush.WithHTTPClient(&http.Client{Transport: transport}))
				_, err := c.SetAttr(t.Context(), someUsers(1))
				require.ErrorContains(t, err, timpush.RegionSingapore.BackupHost())
				require.ErrorContains(t, err, "1 not sent")
			})
		})
	}
}

// TestNoBackupHostAfterACanceledCall: that a call was canceled while it waited for a connection says nothing of the host.
func TestNoBackupHostAfterACanceledCall(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		transport := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			assert.Equal(t, timpush.RegionSingapore.Host()+":443", address)
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		defer transport.CloseIdleConnections()
		c := newClient(t, timpush.WithBackupHost(), timpush.WithHTTPClient(&http.Client{Transport: transport}))
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := c.SetAttr(ctx, someUsers(1))
			require.ErrorIs(t, err, context.Canceled)
		}
	})
}

// TestSlowAnswerWithABackupHost: a host that takes long to answer is no host that cannot be reached.
func TestSlowAnswerWithABackupHost(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for _, tells := range []bool{false, true} { // about its connections
			c := newClient(t, timpush.WithBackupHost(), through(func(r *http.Request) (*http.Response, error) {
				if tells {
					trace := httptrace.ContextClientTrace(r.Context())
					trace.GetConn(r.URL.Host)
					trace.GotConn(httptrace.GotConnInfo{})
				}
				_, _ = io.Copy(io.Discard, r.Body)
				select {
				case <-time.After(8 * time.Second):
					return alwaysOK(r)
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}))
			result, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			assert.Equal(t, 1, result.Requests)
		}
	})
}

// TestProxyThatCannotBeFound: a transport that does not know where to connect has sent nothing.
func TestProxyThatCannotBeFound(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		transport := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("invalid proxy address") }}
		c := newClient(t, timpush.WithHTTPClient(&http.Client{Transport: transport}))
		_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
		require.ErrorContains(t, err, "invalid proxy address")
		var call *timpush.CallError
		require.ErrorAs(t, err, &call)
		assert.Equal(t, timpush.NotSent, call.Outcome)
	})
}

// brokenConn is a connection whose peer has reset it while it was idle.
type brokenConn struct {
	net.Conn
	broken *atomic.Bool
}

func (c brokenConn) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

// TestPushOverABrokenConnection: where nothing could be written, the standard transport takes another connection, and the push is Done.
func TestPushOverABrokenConnection(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t)
	base := dialing(t, s)
	var broken []*atomic.Bool
	dial := base.DialContext
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		broken = append(broken, new(atomic.Bool))
		return brokenConn{conn, broken[len(broken)-1]}, err
	}
	c := impatient(t, s, base, timpush.WithQuota(timpush.QuotaPush, unlimited{}))
	for range 2 {
		_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
		require.NoError(t, err)
		require.NotEmpty(t, broken)
		broken[0].Store(true)
	}
	assert.Len(t, broken, 2)
}

// TestNoBackupHost: without the option nothing goes elsewhere.
func TestNoBackupHost(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, through(func(r *http.Request) (*http.Response, error) {
			assert.Equal(t, timpush.RegionSingapore.Host(), r.URL.Host)
			return nil, &net.DNSError{Err: "no such host", Name: r.URL.Host}
		}))
		_, err := c.SetAttr(t.Context(), someUsers(1))
		require.Error(t, err)
		_, err = timpush.NewClient(testConfig, timpush.WithBackupHost(), timpush.WithBaseURL("https://example.com"))
		require.ErrorContains(t, err, "not together with WithBaseURL")
	})
}

// TestRequestAppliedBeforeTheHandshakeFails: also a certificate that does not verify proves nothing about an earlier try.
func TestRequestAppliedBeforeTheHandshakeFails(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users := someUsers(1)
		c := client(s, through(func(r *http.Request) (*http.Response, error) {
			resp, err := s.HTTPClient().Transport.RoundTrip(r)
			if err == nil {
				resp.Body.Close()
			}
			return nil, &tls.CertificateVerificationError{Err: errors.New("unknown authority")}
		}))
		result, err := c.SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Equal(t, timpush.Result{Unknown: 1, Requests: 1}, *result)
	})
}

// TestAnswerThatSwitchesProtocols ends the attempt, although the connection is still open.
func TestAnswerThatSwitchesProtocols(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		connection, _ := io.Pipe() // which no context ends
		users := someUsers(1)
		result, err := newClient(t, timpush.WithMaxAttempts(1), through(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: connection}, nil
		})).SetAttr(t.Context(), users)
		partial(t, users, result, err)
		assert.Equal(t, timpush.Result{Unknown: 1, Requests: 1}, *result)
		_, err = connection.Read(nil)
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
}

// TestErrorAfterManyAttempts: however often a request is repeated after a lost answer, its error has the first and the last failure.
func TestErrorAfterManyAttempts(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		attempts := 0
		c := newClient(t, timpush.WithRetryBudget(time.Hour), through(func(*http.Request) (*http.Response, error) {
			if attempts++; attempts == 1 {
				return response(http.StatusBadGateway, ""), nil
			}
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}
		}))
		users := someUsers(2)
		result, err := c.SetAttr(t.Context(), users)
		for user := range partial(t, users, result, err).Users() {
			assert.Equal(t, timpush.Unknown, user.Outcome)
			assert.Less(t, len(user.Error()), 500)
			require.ErrorIs(t, user, syscall.ENETUNREACH)
			var page *timpush.HTTPError
			require.ErrorAs(t, user, &page)
		}
		assert.Greater(t, attempts, 100)
	})
}

// TestConnectionForEachQuota: requests that are not answered take no connection from those of another quota.
func TestConnectionForEachQuota(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "/set_attr") {
			close(arrived)
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, okAnswer)
	}))
	t.Cleanup(s.Close)
	c := newClient(t, timpush.WithBaseURL(s.URL), timpush.WithMaxInFlight(1))
	ctx, cancel := context.WithCancel(t.Context())
	var call sync.WaitGroup
	call.Go(func() {
		result, err := c.SetAttr(ctx, someUsers(1))
		partial(t, someUsers(1), result, err)
	})
	<-arrived
	soon, giveUp := context.WithTimeout(t.Context(), 5*time.Second) // less than SetAttr waits for its answer
	defer giveUp()
	_, err := c.Push(soon, timpush.Audience{Everybody: true}, hello)
	cancel()
	call.Wait()
	require.NoError(t, err)
}

// TestSlowConnectionWithoutABackupHost has all the time that the call leaves.
func TestSlowConnectionWithoutABackupHost(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		standard := s.HTTPClient().Transport.(*http.Transport).Clone()
		dial := standard.DialContext
		standard.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			time.Sleep(2 * time.Second)
			return dial(ctx, network, address)
		}
		defer standard.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := client(s, timpush.WithMaxAttempts(1), timpush.WithHTTPClient(&http.Client{Transport: standard})).SetAttr(ctx, someUsers(1))
		require.NoError(t, err)
	})
}

// TestAttemptThatTakesTooLongIsATimeout by the words of package net.
func TestAttemptThatTakesTooLongIsATimeout(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.Hang())
		_, err := client(s, timpush.WithMaxAttempts(1)).SetAttr(t.Context(), someUsers(1))
		var failed net.Error
		require.ErrorAs(t, err, &failed)
		assert.True(t, failed.Timeout())
	})
}

// TestOneRequestTriesTheHostAgain: while it waits for a connection, the others go to the backup host at once.
func TestOneRequestTriesTheHostAgain(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		base := timpush.RegionSingapore.Host()
		var tried atomic.Int64
		c := newClient(t, timpush.WithBackupHost(), timpush.WithLimiter(unlimited{}), through(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == base {
				tried.Add(1)
				time.Sleep(time.Second)
				return nil, &net.DNSError{Err: "no such host", Name: base}
			}
			return alwaysOK(r)
		}))
		_, err := c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = c.SetAttr(t.Context(), someUsers(1000))
		require.NoError(t, err)
		assert.EqualValues(t, 2, tried.Load())
	})
}

// TestRequestThatWasGivenUp: what the kernel has not delivered by then is dropped. After an outage it would still deliver it, behind a later value
// for the same account.
func TestRequestThatWasGivenUp(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // to loopback
	require.NoError(t, err)
	defer listener.Close()
	conns := make(chan net.Conn, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			conns <- conn // and nothing is read, as where the network is down
		}
		close(conns)
	}()
	c := newClient(t, timpush.WithBaseURL("http://"+listener.Addr().String()), timpush.WithMaxAttempts(1), timpush.WithAttemptTimeout(300*time.Millisecond))
	users := someUsers(100)
	for _, user := range users { // together 300 KB, which the receiver has no room for
		for i := range timpush.MaxAttrsPerUser - 1 {
			user.Attrs[strconv.Itoa(i)] = strings.Repeat("\x01", timpush.MaxValueBytes)
		}
	}
	result, _ := c.SetAttr(t.Context(), users)
	require.Equal(t, 100, result.Unknown)
	conn := <-conns
	require.NotNil(t, conn)
	defer conn.Close()
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err == nil {
		_, err = io.Copy(io.Discard, request.Body)
	}
	require.Error(t, err, "not all of it came")
}

package timpush

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// watch returns a context in which the standard transport, or one around it, tells about its connections.
func (s *sender) watch(ctx context.Context, x *exchange) context.Context {
	quota := x.command.quota
	x.trace.GetConn = func(string) { x.asked.Store(true) }
	x.trace.GotConn = func(got httptrace.GotConnInfo) {
		if got.Conn != nil && got.Conn.RemoteAddr() == nil && !s.standardTransport() {
			return // it leads nowhere: with httputil.DumpRequestOut, a caller's transport sees a request as it will be sent
		}
		x.used.Store(true)
		if !s.standardTransport() { // which repeats only what has not been taken
			x.tries.Add(1)
		}
		x.wasIdle.Store(got.WasIdle)
		http2 := s.overHTTP2(got.Conn)
		x.http2.Store(http2)
		s.hosts.http1.Store(!http2)
		if leave(ctx, s.limiters[quota], quota == QuotaRecipients, x.users) != nil {
			x.body.Reset(nil) // else the transport may write the request, which is not counted, before it sees that ctx has ended
		}
	}
	x.trace.TLSHandshakeDone = func(_ tls.ConnectionState, err error) { // also after the attempt: the transport keeps the connection for others
		if err == nil {
			s.suspects[quota].unconnected.Store(nil)
		} else {
			x.noTLS.Store(true)
		}
	}
	x.trace.WroteRequest = func(wrote httptrace.WroteRequestInfo) { // over HTTP/1.1 it may still be in a buffer
		if wrote.Err == nil && x.http2.Load() {
			x.written.Store(true)
		}
	}
	return httptrace.WithClientTrace(ctx, &x.trace)
}

// errSentAlready keeps a transport from sending again what has gone out. Over HTTP/2 it would do so after a PROTOCOL_ERROR, which a
// gateway may give for the answer to a request that was applied, hundreds of times a second, without a token of the limiter.
var errSentAlready = errors.New("the request was sent over HTTP/2 without success, and only the client may send it again")

// What a server says of an HTTP/2 request that it has not processed: that it ended the connection and took no request that came after its
// last one, or that it refuses this one, as nginx may until its settings are acknowledged.
var (
	errGoAway  = errors.New("the server ended the HTTP/2 connection (GOAWAY) before it took this request")
	errRefused = errors.New("the server refused the HTTP/2 stream (REFUSED_STREAM) before it took this request")
)

// notTaken returns which of them the error of the standard transport says, or nil. The transport has no type for them, and no body to send
// again.
func notTaken(err error) error {
	_, reason, _ := strings.Cut(err.Error(), "cannot retry err [")
	switch {
	case strings.HasPrefix(reason, "http2: Transport received Server's graceful shutdown GOAWAY]"):
		return errGoAway
	case strings.HasPrefix(reason, "stream error: ") && strings.Contains(reason, "; REFUSED_STREAM; received from peer]"):
		return errRefused
	}
	return nil
}

func (s *sender) overHTTP2(conn net.Conn) bool {
	if secure, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return secure.ConnectionState().NegotiatedProtocol == "h2"
	}
	t, ok := s.transport().(*http.Transport)
	return ok && t.Protocols != nil && t.Protocols.UnencryptedHTTP2() && !t.Protocols.HTTP1()
}

// watchedBody is for a transport that may not tell whether it has found a connection, and that may give up before another one within it does,
// which goes on.
type watchedBody struct {
	io.ReadCloser
	of *exchange
}

// Read records that the transport has begun to send the request, unless it has given up.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.of.used.Store(true) // first: either this sees that it has given up, or the verdict sees this
	if b.of.failed.Load() {
		return 0, errGivenUp
	}
	return b.ReadCloser.Read(p)
}

var errGivenUp = errors.New("the transport has returned an error for this request already")

// suspects tell whether connections of a quota may be dead: an attempt has taken all of its time, or failed on one that was idle, or attempts
// have ended earlier, with their callers' deadlines, for so long. A connection that is being made may hang too, as a proxy can that does not
// answer, and keeps its place although its request has ended.
type suspects struct {
	failed                  atomic.Bool
	unanswered, unconnected atomic.Pointer[time.Time] // when the first of those in a row began; nil: none
}

// note records an attempt whose context ended.
func (u *suspects) note(x *exchange) {
	began := x.began
	if x.used.Load() {
		u.unanswered.CompareAndSwap(nil, &began)
	} else {
		u.unconnected.CompareAndSwap(nil, &began)
	}
}

// take reports whether to close connections, once.
func (u *suspects) take(patience time.Duration) bool {
	suspect := u.failed.CompareAndSwap(true, false)
	for _, since := range []*atomic.Pointer[time.Time]{&u.unanswered, &u.unconnected} {
		if began := since.Load(); began != nil && time.Since(*began) >= patience && since.CompareAndSwap(began, nil) {
			suspect = true
		}
	}
	return suspect
}

// closeSuspects closes the idle connections, and those that are being made for requests that have ended, before the attempt that follows
// those that make them suspect. At the end of that attempt, the transport may not have noticed yet that an HTTP/2 connection is idle.
func (s *sender) closeSuspects() {
	t, ok := s.transport().(interface{ CloseIdleConnections() })
	if ok && s.suspects[s.command.quota].take(s.attemptTimeout) {
		t.CloseIdleConnections()
	}
}

// standardTransport reports whether the transport tells when it has found a connection.
func (s *sender) standardTransport() bool {
	_, standard := s.transport().(*http.Transport)
	return standard
}

package timpush

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/timpush/timpush-go/internal/beforesend"
)

// exchange is one HTTP request and its answer.
type exchange struct {
	command *command
	users   int // in it
	sent    sent
	body    *bytes.Reader // of the request: the standard transport knows that it is in memory, and sends the headers and the body together
	asked   atomic.Bool   // the transport has looked for a connection, so that it tells when it has found one
	used    atomic.Bool   // the transport has found a connection, read the body, or asked for another copy of it
	failed  atomic.Bool   // the transport has returned an error: a caller's gets nothing of the body any more
	tries   atomic.Int32  // of a caller's transport, which may repeat the request by itself, as far as it tells
	wasIdle atomic.Bool   // the last connection has been idle
	http2   atomic.Bool   // it speaks that
	written atomic.Bool   // all of the request has gone out over HTTP/2
	noTLS   atomic.Bool   // a handshake has failed
	trace   httptrace.ClientTrace
	header  http.Header // of the answer
	began   time.Time   // when it was handed to the transport
}

// unread reports whether the standard transport has not read the body of a request for which it has found no connection. It hands a request
// on to another one, which may not tell when it has found one, if the program has registered that for https.
func (x *exchange) unread() bool { return x.asked.Load() || x.body.Len() == len(x.sent.body) }

// roundTrip returns the status and the body of the answer. It calls the transport itself, since an http.Client follows
// redirects, and a redirect would pass the UserSig on.
func (s *sender) roundTrip(ctx context.Context, x *exchange, host *url.URL) (int, []byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.attemptTimeout, errAttemptTimeout)
	defer cancel()
	ctx, connected := s.untilConnected(ctx, x)
	defer connected()
	req := s.newRequest(ctx, x, host)
	if err := beforesend.Check(ctx); err != nil {
		return 0, nil, &withheldError{err}
	}
	s.requests.Add(1)
	s.closeSuspects()
	x.began = time.Now()
	resp, err := s.transport().RoundTrip(req)
	if resp != nil { // whatever comes of it, the request may have reached the server
		x.used.Store(true)
		s.suspects[s.command.quota].unanswered.Store(nil)
	}
	switch {
	case err != nil:
		x.failed.Store(true)
		discard(resp)
		return 0, nil, s.failed(ctx, x, err)
	case resp == nil:
		x.used.Store(true) // it says nothing
		return 0, nil, errors.New("the transport returned neither an answer nor an error")
	}
	x.header = resp.Header
	text, err := s.readBody(ctx, resp)
	return resp.StatusCode, text, s.failed(ctx, x, err)
}

// readBody reads and closes the body of an answer.
func (s *sender) readBody(ctx context.Context, resp *http.Response) ([]byte, error) {
	if resp.Body == nil {
		return nil, nil
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusSwitchingProtocols { // it is the connection, which no context ends
		return nil, nil
	}
	most := cmp.Or(s.command.maxAnswer, maxAnswer)
	text, err := s.readUntilLast(&answerReader{ctx, resp.Body}, resp, int64(most)+1)
	if int64(len(text)) < resp.ContentLength {
		resp.ContentLength = math.MaxInt64 // else the standard transport of Go 1.27 reads what is left, and keeps the connection
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		return text, nil // the status says enough
	case err == nil && len(text) > most:
		err = fmt.Errorf("the answer is longer than %d MiB", most>>20)
	}
	return text, err
}

// readUntilLast reads an answer up to a length. Over HTTP/1.1 the last byte of what is no whole answer of the API is left, which closes the
// connection: where a gateway says that its page is shorter than it is, net/http would write the rest to the standard logger, and a page may
// repeat the URL with the UserSig. A caller's transport may return an answer that is longer than its ContentLength, where it has replaced the body.
func (s *sender) readUntilLast(body io.Reader, resp *http.Response, most int64) ([]byte, error) {
	if resp.ProtoMajor != 1 || resp.ContentLength <= 0 || resp.ContentLength > most {
		return io.ReadAll(io.LimitReader(body, most))
	}
	text, err := io.ReadAll(io.LimitReader(body, resp.ContentLength-1))
	if err != nil || resp.StatusCode != http.StatusOK {
		return text, err
	}
	whole := s.command.isJSON(append(text, '}')) || s.command.isJSON(text) // the last may be a space
	if !whole && (s.standardTransport() || !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{"))) {
		return text, nil
	}
	rest, err := io.ReadAll(io.LimitReader(body, most-int64(len(text))))
	return append(text, rest...), err
}

// isJSON reports whether a text can be an answer.
func (c *command) isJSON(text []byte) bool {
	if c.repair != nil {
		text = c.repair(text)
	}
	return jsontext.Value(text).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
}

// answerReader reads until ctx ends: the body of a caller's transport may come byte by byte, or empty without end.
type answerReader struct {
	ctx  context.Context //nolint:containedctx // it is that of one attempt
	body io.Reader
}

// Read reads a part of the answer.
func (r *answerReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.body.Read(p)
}

// untilConnected leaves half of the time to another host if no connection comes, where there is one: a host that drops packets would
// take all of it.
func (s *sender) untilConnected(ctx context.Context, x *exchange) (context.Context, func()) {
	deadline, ok := ctx.Deadline()
	if !ok || s.hosts.backup == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(time.Until(deadline)/2, func() {
		if x.asked.Load() && !x.used.Load() {
			cancel(errNoConnection)
		}
	})
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// discard closes an answer that a transport returned beside an error.
func discard(resp *http.Response) {
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
}

func (s *sender) newRequest(ctx context.Context, x *exchange, host *url.URL) *http.Request {
	where := *host
	where.Path += "/" + x.command.path
	if where.RawPath != "" {
		where.RawPath += "/" + x.command.path
	}
	where.RawQuery = s.query + "&usersig=" + x.sent.usersig + "&random=" + strconv.FormatUint(uint64(rand.Uint32()), 10)
	x.body = bytes.NewReader(x.sent.body)
	req := &http.Request{
		Method: http.MethodPost, URL: &where, Host: where.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": contentType, "User-Agent": s.userAgent},
		Body:   io.NopCloser(x.body), ContentLength: int64(len(x.sent.body)),
	}
	// Over HTTP/2 the standard transport, when it cannot send again, says why it would. Over HTTP/1.1 it needs the body again only after its
	// first connection; another one may need it at any time.
	if s.hosts.http1.Load() || !s.standardTransport() {
		req.GetBody = func() (io.ReadCloser, error) {
			x.used.Store(true)
			switch {
			case x.failed.Load():
				return nil, errGivenUp
			case x.written.Load():
				return nil, errSentAlready
			}
			return io.NopCloser(bytes.NewReader(x.sent.body)), nil
		}
	}
	if !s.standardTransport() {
		req.Body = &watchedBody{req.Body, x}
	}
	return req.WithContext(s.watch(ctx, x))
}

var contentType = []string{"application/json"}

var (
	errAttemptTimeout error = timeout{}
	errNoConnection   error = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no connection in half of the time")}
)

type timeout struct{}

func (timeout) Error() string { return "no answer within the attempt's timeout" }

func (timeout) Unwrap() error { return context.DeadlineExceeded }

func (timeout) Timeout() bool { return true }

// failed returns the error of an attempt, and records whether its connection may be dead. A transport may report only that the context was
// canceled where the attempt took too long, or only the cause with which it has ended, such as the failure of something else that the
// caller does, which must not count as one of this request.
func (s *sender) failed(ctx context.Context, x *exchange, err error) error {
	if err == nil {
		return nil
	}
	suspects := &s.suspects[s.command.quota]
	switch {
	case ctx.Err() != nil:
		suspects.note(x)
		s.answers[s.command.quota].takesLonger(time.Since(x.began))
	case x.used.Load() && isTimeout(err), // of the transport, whose ResponseHeaderTimeout may be shorter than that of the attempt
		x.wasIdle.Load(): // what has forgotten one connection, such as a firewall that resets it when it is used, may have forgotten all
		suspects.failed.Store(true)
	}
	switch cause := context.Cause(ctx); {
	case cause == errAttemptTimeout: //nolint:errorlint // only this one
		suspects.failed.Store(true)
		return errAttemptTimeout
	case cause == errNoConnection: //nolint:errorlint // as above
		return errNoConnection
	}
	return withoutCause(ctx, err)
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// withheldError says that the caller's check did not allow a request to be sent.
type withheldError struct{ error }

// Unwrap returns the error of the check.
func (e *withheldError) Unwrap() error { return e.error }

func (s *sender) transport() http.RoundTripper { return s.transports[s.command.quota] }

// classifyFailure is the verdict if no answer came. NotSent needs proof: the transport has found no connection and has not read the body, also
// not in an earlier try of its own, and cannot do so later; or the standard one says that the server did not take the request.
func (s *sender) classifyFailure(x *exchange, host *url.URL, err error) verdict {
	if withheld, ok := errors.AsType[*withheldError](err); ok {
		return verdict{class: classFatal, outcome: NotSent, err: withheld.error}
	}
	v := verdict{class: classTransient, outcome: Unknown}
	standard := s.standardTransport()
	used := x.used.Load() || standard && !x.unread()
	reason := notTaken(err)
	switch {
	case reason != nil && standard:
		v.outcome, err = NotSent, reason
	case !used:
		v.outcome = NotSent
	}
	if proxyRefuses(err) && v.outcome == NotSent || certificateFails(err) {
		v.class = classFatal
	}
	if proxy, ok := errors.AsType[*proxyError](err); ok {
		v.retryAfter = proxy.retryAfter
	}
	unreachable := notDialled(err) || !used && x.noTLS.Load() && !certificateFails(err) // something may accept connections for a host that is down
	if unreachable && !proxyUnreachable(err) {
		s.hosts.note(host, false)
	}
	v.err = x.sent.error(err, host.String()+"/"+x.command.path)
	return s.command.restrict(v)
}

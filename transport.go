package timpush

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// writeBuffer holds a request of 100 users with its headers, so that it goes out with one system call and as one TLS
// record; with the standard 4 KiB it takes two or three.
const writeBuffer = 16 << 10

// transport returns the caller's, or one of the client's own.
func (s *settings) transport() http.RoundTripper {
	standard, ok := http.DefaultTransport.(*http.Transport)
	switch {
	case s.httpClient != nil && s.httpClient.Transport != nil:
		return s.httpClient.Transport
	case s.httpClient != nil || !ok:
		return http.DefaultTransport
	}
	return s.ownTransport(standard.Clone())
}

// ownTransport keeps as many connections as there can be requests in flight, and opens no more: a request that finds none
// idle waits for one. Dialing and the TLS handshake time out well within an attempt, so that the error says that nothing was
// sent; and an HTTP/2 connection that has died silently is detected within an attempt.
func (s *settings) ownTransport(t *http.Transport) *http.Transport {
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = s.maxInFlight, s.maxInFlight, s.maxInFlight
	t.WriteBufferSize = writeBuffer
	t.DisableCompression = true // answers are short, and compression costs more than it saves
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: s.attemptTimeout * 3 / 10, PingTimeout: s.attemptTimeout / 5}
	t.TLSHandshakeTimeout = min(t.TLSHandshakeTimeout, s.attemptTimeout*4/10)
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
		if answer.StatusCode == http.StatusOK {
			return nil
		}
		return &proxyError{answer.StatusCode}
	}
	if dial := t.DialContext; dial != nil {
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, s.attemptTimeout*4/10)
			defer cancel()
			return dial(ctx, network, address)
		}
	}
	return t
}

func (s *settings) checkTransport() {
	t, ok := s.transport().(*http.Transport)
	if ok && t == nil {
		s.require(false, "WithHTTPClient: its Transport is a nil pointer")
		return
	}
	s.require(!ok || t.TLSClientConfig == nil || !t.TLSClientConfig.InsecureSkipVerify,
		"WithHTTPClient: InsecureSkipVerify would give the UserSig to anybody; put the server's certificate into RootCAs")
}

// parseHosts returns where requests go.
func (s *settings) parseHosts(r Region) *hosts {
	h := &hosts{base: &url.URL{Scheme: "https", Host: r.Host()}} // an unknown region is a fault already
	if s.baseURL != "" {
		h.base = s.parseBaseURL()
	}
	if s.backupHost {
		h.backup = &url.URL{Scheme: "https", Host: r.BackupHost()}
		s.require(s.baseURL == "", "WithBackupHost: not together with WithBaseURL")
		s.require(r.BackupHost() != "", fmt.Sprintf("WithBackupHost: the region %q has no documented backup host", clip(string(r), 40)))
	}
	return h
}

// parseBaseURL returns the base URL without a slash at its end.
func (s *settings) parseBaseURL() *url.URL {
	u, err := url.Parse(strings.TrimRight(s.baseURL, "/"))
	fault := baseURLFault(u, err)
	s.require(fault == "", "WithBaseURL: "+fault+"; want https://HOST[/PATH], or http on a loopback host")
	return u
}

// baseURLFault returns what is wrong with a base URL. It repeats no part of it, and not the text of err, which would: there may
// be a password in it.
func baseURLFault(u *url.URL, err error) string {
	switch {
	case err != nil:
		return "it is not a URL"
	case u.Scheme == "":
		return "there is no scheme"
	case u.Scheme != "https" && u.Scheme != "http":
		return "the scheme is neither https nor http"
	case u.Hostname() == "":
		return "there is no host"
	case u.User != nil:
		return "there is a user or a password"
	case u.RawQuery != "" || u.ForceQuery:
		return "there is a query"
	case u.Fragment != "":
		return "there is a fragment"
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "http would show the UserSig to everybody on the way"
	}
	return ""
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// hosts chooses where requests go: to the base, or for a while to the backup when the base cannot be reached.
type hosts struct {
	base, backup *url.URL     // without a slash at the end; backup may be nil
	probeAt      atomic.Int64 // when the base is tried again, in Unix nanoseconds; 0: the base is in use
}

const backupTime = time.Minute // for which the backup is used before the base is tried again

// choose returns where the next request goes. After backupTime, one request tries the base.
func (h *hosts) choose() *url.URL {
	at := h.probeAt.Load()
	now := time.Now()
	if at == 0 || now.UnixNano() >= at && h.probeAt.CompareAndSwap(at, now.Add(backupTime).UnixNano()) {
		return h.base
	}
	return h.backup
}

// note records whether one of the hosts was reached.
func (h *hosts) note(host *url.URL, reached bool) {
	switch {
	case h.backup == nil:
	case host == h.base && reached, host == h.backup && !reached:
		h.probeAt.Store(0)
	case host == h.base:
		h.probeAt.Store(time.Now().Add(backupTime).UnixNano())
	}
}

// proxyError says that a proxy did not open a connection.
type proxyError struct{ status int }

// Error returns the status.
func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy answered CONNECT with HTTP status %d %s", e.status, http.StatusText(e.status))
}

// proxyRefuses reports whether a proxy refused the connection, so that a retry does not help. The standard transport makes an error of the status's text
// alone.
func proxyRefuses(err error) bool {
	if proxy, ok := errors.AsType[*proxyError](err); ok {
		return proxy.status == http.StatusForbidden || proxy.status == http.StatusProxyAuthRequired
	}
	text := err.Error()
	return text == http.StatusText(http.StatusForbidden) || text == http.StatusText(http.StatusProxyAuthRequired)
}

// certificateFails reports whether the host did not prove its identity, so that a retry does not help.
func certificateFails(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok || errors.Is(err, http.ErrSchemeMismatch)
}

// notDialled reports whether a transport's error says that there was no connection to the host.
func notDialled(err error) bool {
	switch e := err.(type) { //nolint:errorlint // each error of the tree is looked at
	case *net.OpError:
		return e.Op == "dial" || e.Op == "proxyconnect"
	case *net.DNSError, *proxyError:
		return true
	}
	inner := unwrapped(err)
	for _, e := range inner {
		if !notDialled(e) {
			return false
		}
	}
	return len(inner) > 0
}

// proxyUnreachable reports whether it was a proxy that could not be reached.
func proxyUnreachable(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	_, refused := errors.AsType[*proxyError](err)
	return refused || ok && op.Op == "proxyconnect"
}

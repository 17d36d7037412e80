package timpush

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// writeBuffer holds a request of 100 users with its headers, so that it goes out with one system call and as one TLS
// record; with the standard 4 KiB it takes two or three.
const writeBuffer = 16 << 10

// transport returns the caller's, or one of the client's own for one quota: a request that waits for a connection has taken its
// quota already, and must not wait for the requests of another.
func (s *settings) transport() http.RoundTripper {
	standard, ok := http.DefaultTransport.(*http.Transport)
	switch {
	case s.httpClient != nil && s.httpClient.Transport != nil:
		return s.httpClient.Transport
	case !ok:
		return http.DefaultTransport
	}
	return s.ownTransport(standard.Clone())
}

// ownTransport keeps as many connections as there can be requests of one quota in flight, and opens no more: a request that
// finds none idle waits for one. Dialing and the TLS handshake each time out well within an attempt, so that the error says what took
// so long; and an HTTP/2 connection that has died silently is detected within an attempt. What a connection has not delivered when it is
// closed is dropped: the kernel would try again for a minute and more, and a request that was given up could arrive behind a later one for
// its account.
func (s *settings) ownTransport(t *http.Transport) *http.Transport {
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = s.maxInFlight, s.maxInFlight, s.maxInFlight
	t.WriteBufferSize = writeBuffer
	t.DisableCompression = true // answers are short, and compression costs more than it saves
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: s.attemptTimeout / 10 * 3, PingTimeout: s.attemptTimeout / 5}
	if t.TLSNextProto["h2"] != nil { // of golang.org/x/net/http2, with the connections and the times of the transport that t is a copy of
		t.TLSNextProto = nil
	}
	if t.TLSNextProto == nil && t.TLSClientConfig != nil && slices.Contains(t.TLSClientConfig.NextProtos, "h2") {
		t.ForceAttemptHTTP2 = true // else a copy would offer HTTP/2 as its original does, and not speak it
	}
	dialing := s.attemptTimeout / 10 * 6 // a resolver asks the second name server after five seconds, of the ten that an attempt has
	handshake := s.attemptTimeout / 10 * 4
	t.TLSHandshakeTimeout = min(cmp.Or(t.TLSHandshakeTimeout, handshake), handshake) // 0 is no limit
	onConnect := t.OnProxyConnectResponse                                            // of the program
	t.OnProxyConnectResponse = func(ctx context.Context, proxy *url.URL, request *http.Request, answer *http.Response) error {
		var err error
		if onConnect != nil {
			err = onConnect(ctx, proxy, request, answer)
		}
		if answer.StatusCode != http.StatusOK {
			err = &proxyError{answer.StatusCode, retryAfter(answer.StatusCode, answer.Header, time.Now())}
		}
		return err
	}
	dial := t.DialContext
	if dial == nil && t.Dial == nil { //nolint:staticcheck // the program may have set it
		dial = new(net.Dialer).DialContext
	}
	if dial != nil {
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialing)
			defer cancel()
			conn, err := dial(ctx, network, address)
			if c, ok := conn.(interface{ SetLinger(seconds int) error }); ok && err == nil {
				_ = c.SetLinger(0)
			}
			return conn, err
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
	h := &hosts{base: &url.URL{Scheme: "https", Host: r.Host()}, began: time.Now()} // an unknown region is a fault already
	if s.baseURL != "" {
		h.base = s.parseBaseURL()
	}
	if s.backupHost {
		h.backup = &url.URL{Scheme: "https", Host: r.BackupHost()}
		s.require(s.baseURL == "", "WithBackupHost: not together with WithBaseURL")
		s.require(r.BackupHost() != "", fmt.Sprintf("WithBackupHost: the region %q has no documented backup host", shownRegion(string(r))))
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

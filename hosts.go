package timpush

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// hosts chooses where requests go: to the base, or for a while to the backup when the base cannot be reached.
type hosts struct {
	base, backup *url.URL     // without a slash at the end; backup may be nil
	began        time.Time    // of its monotonic clock, which does not jump
	probeAt      atomic.Int64 // when the base is tried again, in nanoseconds from began; 0: the base is in use
	http1        atomic.Bool  // the connection that was used last speaks HTTP/1.1
}

const backupTime = time.Minute // for which the backup is used before the base is tried again

// choose returns where the next request goes. After backupTime, one request tries the base.
func (h *hosts) choose() *url.URL {
	at, now := h.probeAt.Load(), time.Since(h.began)
	if at == 0 || int64(now) >= at && h.probeAt.CompareAndSwap(at, int64(now+backupTime)) {
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
		h.probeAt.Store(int64(time.Since(h.began) + backupTime))
	}
}

// proxyError says that a proxy did not open a connection.
type proxyError struct {
	status     int
	retryAfter time.Duration
}

// Error returns the status.
func (e *proxyError) Error() string {
	text := fmt.Sprintf("the proxy answered CONNECT with HTTP status %d %s", e.status, http.StatusText(e.status))
	if e.retryAfter > 0 {
		text += fmt.Sprintf(" (retry after %v)", e.retryAfter)
	}
	return text
}

// proxyRefuses reports whether a proxy refused the connection, so that a retry does not help. The standard transport makes an error of the status's text
// alone.
func proxyRefuses(err error) bool {
	if proxy, ok := errors.AsType[*proxyError](err); ok {
		return proxy.status == http.StatusForbidden || proxy.status == http.StatusProxyAuthRequired
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == socksConnect {
		return slices.ContainsFunc(socksRefusals, func(text string) bool { return strings.Contains(op.Error(), text) })
	}
	text := err.Error()
	return text == http.StatusText(http.StatusForbidden) || strings.HasPrefix(text, http.StatusText(http.StatusProxyAuthRequired)) // some add why
}

// What the standard transport says of a SOCKS proxy.
const socksConnect = "socks connect"

var socksRefusals = []string{
	"connection not allowed by ruleset", "no acceptable authentication methods", "username/password authentication failed",
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
		return e.Op == "dial" || e.Op == "proxyconnect" || e.Op == socksConnect
	case *net.DNSError, *proxyError:
		return true
	case *opaqueError:
		return e.notDialled
	}
	inner := unwrapped(err)
	for _, e := range inner {
		if !notDialled(e) {
			return false
		}
	}
	return len(inner) > 0
}

// proxyUnreachable reports whether it was a proxy that could not be reached, or that did not open a connection.
func proxyUnreachable(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	_, refused := errors.AsType[*proxyError](err)
	return refused || ok && (op.Op == "proxyconnect" || op.Op == socksConnect)
}

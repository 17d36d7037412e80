package timpush

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Option changes how a [Client] works.
type Option func(*settings)

type settings struct {
	httpClient     *http.Client
	baseURL        string
	backupHost     bool
	limiters       [quotaCount]Limiter // nil: the client makes its own
	recipientRate  int
	maxAttempts    int // 0 if not given
	retryBudget    time.Duration
	attemptTimeout time.Duration
	maxInFlight    int
	userSigTTL     time.Duration
	signer         Signer
	observers      []Observer
	userAgent      string
	preflight      bool
	escapedLength  bool
	accountType    func(account string) AccountType
	faults         []error
}

// require records a fault of an option unless ok, so that NewClient reports all of them together.
func (s *settings) require(ok bool, fault string) {
	if !ok {
		s.faults = append(s.faults, errors.New("timpush: "+fault))
	}
}

// WithHTTPClient sends requests through the Transport of h, within its Timeout; the rest of h is not used: the API has no
// cookies, and redirects are not followed, since one would pass the UserSig on. The transport sees the UserSig in each
// URL: check what it logs. It must verify TLS, its MaxIdleConnsPerHost should be no less than [WithMaxInFlight], and its
// HTTP2 should have a SendPingTimeout and a PingTimeout well below [WithAttemptTimeout], without which an HTTP/2 connection
// that has died silently may be used until the kernel closes it. With a transport that retries by itself a request may be
// applied more than once, and with one that sends copies of a slow request (hedging) also behind later ones. Its connections should have
// SetLinger(0), see [net.TCPConn], as those of the client's own transport do: else the kernel may deliver a request that was given up in an
// outage behind later ones, and an account has an old value again.
// After an attempt that timed out or failed on a connection that had been idle, or where attempts with earlier deadlines got no answer or no
// connection for as long, its idle connections are closed, since they may be dead as well, by its method CloseIdleConnections. One around
// another, as for traces or logs, should have that too, and call the other's: else each dead connection costs an attempt of its own.
// If not given, or without a Transport, the client makes one, with as many connections for each quota as MaxInFlight; where
// [http.DefaultTransport] is no *http.Transport, as when it has been wrapped, it uses that as it is.
func WithHTTPClient(h *http.Client) Option {
	return func(s *settings) {
		s.httpClient = h
		s.require(h != nil, "WithHTTPClient(nil): want an *http.Client")
	}
}

// WithBaseURL sends requests to base instead of the host of the region: a proxy, a backup host, or a fake. It takes
// https, and http on a loopback host only. If not given, it is "https://" and [Region.Host].
func WithBaseURL(base string) Option {
	return func(s *settings) {
		s.baseURL = base
		s.require(base != "", `WithBaseURL(""): want https://HOST[/PATH]`)
	}
}

// WithBackupHost sends a request to [Region.BackupHost] while the region's host does not resolve, as where its DNS answers are
// forged, cannot be dialled, fails in the TLS handshake other than by its certificate, or gives no connection in half of the time
// that ctx leaves. A proxy that cannot be reached does not count. The client tries the region's host again after a minute. Not for
// a region without a documented backup host, nor together with [WithBaseURL]. If not given, the client calls the region's host
// only.
func WithBackupHost() Option { return func(s *settings) { s.backupHost = true } }

// WithLimiter limits the rate of calls about attributes and tags with l; it is WithQuota(QuotaUsers, l). If not given, the
// client makes NewLimiter(97.5), which keeps each second at the service within [DefaultQPS].
func WithLimiter(l Limiter) Option {
	return func(s *settings) { s.limit("WithLimiter", QuotaUsers, l) }
}

// WithQuota limits the rate of calls of a quota with l; share l among all clients of an app. For [QuotaRecipients], l must also have
// the method WaitN(ctx context.Context, n int) error, which waits until n more recipients may be sent to; one of [NewLimiter] has it, and a
// *rate.Limiter needs a burst of as many as a request has. If not given, the client makes a limiter for each: 97.5 calls a second for users, one push a
// second, one revocation a second, five calls a second for tasks and one for statistics, and [WithRecipientRate].
func WithQuota(q Quota, l Limiter) Option {
	return func(s *settings) {
		if q < 0 || q >= quotaCount {
			s.require(false, fmt.Sprintf("WithQuota: there is no Quota %d", int(q)))
			return
		}
		s.limit("WithQuota", q, l)
	}
}

func (s *settings) limit(option string, q Quota, l Limiter) {
	s.limiters[q] = l
	s.require(l != nil, option+"(nil): want a Limiter, such as NewLimiter(97.5); without the option the client has its own")
	_, waitsN := l.(nWaiter)
	s.require(l == nil || q != QuotaRecipients || waitsN, option+": for QuotaRecipients the Limiter needs a method WaitN(ctx, n)")
	if pointer, standard := behind(l).(*rate.Limiter); standard && pointer == nil {
		s.require(false, option+": the Limiter is a nil pointer")
		return
	}
	r, ok := behind(l).(interface {
		Burst() int
		Limit() rate.Limit
	})
	s.require(!ok || r.Burst() > 0 || r.Limit() == rate.Inf, option+": a burst of 0 lets nothing through")
	s.require(!ok || float64(r.Limit()) > 0, option+": a rate that is not above 0 lets nothing through")
}

// checkRecipients finds a *rate.Limiter whose burst is less than the recipients of a request, which it would never let through.
func (s *settings) checkRecipients() {
	l, ok := behind(s.limiters[QuotaRecipients]).(*rate.Limiter)
	if !ok || l == nil || l.Limit() == rate.Inf || s.recipientRate < 1 {
		return
	}
	size := batchSize(s.recipientRate)
	s.require(l.Burst() >= size, fmt.Sprintf("WithQuota: a burst of %d is less than the %d recipients of a request, see WithRecipientRate", l.Burst(), size))
}

// WithRecipientRate sets how many recipients a second PushTo sends to, at least 1: 30 with the free plan, 500 with the standard
// and 800 with the advanced one (tencentcloud.com/document/product/1047/67553). If not given, it is 30.
func WithRecipientRate(perSecond int) Option {
	return func(s *settings) {
		s.recipientRate = perSecond
		s.require(perSecond >= 1, fmt.Sprintf("WithRecipientRate(%d): want at least 1", perSecond))
	}
}

// WithMaxAttempts bounds how often a request is sent while it fails with transient faults; at least 1. If not given, it is 4,
// or unlimited with [WithRetryBudget].
func WithMaxAttempts(n int) Option {
	return func(s *settings) {
		s.maxAttempts = n
		s.require(n >= 1, fmt.Sprintf("WithMaxAttempts(%d): want at least 1", n))
	}
}

// WithRetryBudget bounds how long one request may be retried, from its first attempt on: a retry whose pause would end later is
// not made. A retry then still waits for its quota, which takes longer after a throttle code: only ctx bounds that. More than 0.
// If not given, there is no limit; given without [WithMaxAttempts], only the budget ends retries.
func WithRetryBudget(d time.Duration) Option {
	return func(s *settings) {
		s.retryBudget = d
		s.require(d > 0, fmt.Sprintf("WithRetryBudget(%v): want more than 0", d))
	}
}

// WithAttemptTimeout bounds how long an attempt may take from the moment it is sent. If not given, it is 10 seconds. It
// should be well above 3 seconds, which the gateway gives its backend: an attempt that ends earlier is Unknown
// although an answer would have come.
func WithAttemptTimeout(d time.Duration) Option {
	return func(s *settings) {
		s.attemptTimeout = d
		s.require(d > 0, fmt.Sprintf("WithAttemptTimeout(%v): want more than 0", d))
	}
}

// WithMaxInFlight bounds how many requests of each [Quota] the client has in flight at a time, those included that wait for
// their quota; at least 1, and more than 10,000 count as 10,000. To use the whole quota it must be 100 x the latency in seconds.
// If not given, it is 32, which is enough for latencies of 300 ms.
func WithMaxInFlight(n int) Option {
	return func(s *settings) {
		s.maxInFlight = min(n, 10000)
		s.require(n >= 1, fmt.Sprintf("WithMaxInFlight(%d): want at least 1", n))
	}
}

// WithUserSigTTL sets the lifetime of a UserSig, in whole seconds; a new one is made after four fifths of it. If not
// given, it is 24 hours, the least that the vendor advises (tencentcloud.com/document/product/1047/34348, 70001).
func WithUserSigTTL(d time.Duration) Option {
	return func(s *settings) {
		s.userSigTTL = d
		s.require(d >= time.Second && d/time.Second <= math.MaxInt32, fmt.Sprintf("WithUserSigTTL(%v): want at least 1 second and at most 68 years", d))
	}
}

// WithSigner gets UserSigs from sg; Config.SecretKey may then be empty. If not given, they are made from the SecretKey.
func WithSigner(sg Signer) Option {
	return func(s *settings) {
		s.signer = sg
		s.require(sg != nil, "WithSigner(nil): want a Signer")
	}
}

// WithLogger logs attempts, waits and calls at level debug, and a call with users that are not done as one warning, with the
// code or the kind of failure of the first of them. The log has what an [Observer] gets. If not given, nothing is logged.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) {
		if s.require(l != nil, "WithLogger(nil): want a *slog.Logger"); l != nil {
			s.observers = append(s.observers, logObserver{l})
		}
	}
}

// WithObserver notifies o of calls, attempts and waits; it may be given several times. If not given, there is none.
func WithObserver(o Observer) Option {
	return func(s *settings) {
		if s.require(o != nil, "WithObserver(nil): want an Observer"); o != nil {
			s.observers = append(s.observers, o)
		}
	}
}

// WithUserAgent sets the User-Agent header. If not given, it is "timpush-go/" and the module's version.
func WithUserAgent(ua string) Option {
	return func(s *settings) {
		s.userAgent = ua
		s.require(ua != "" && !strings.ContainsFunc(ua, func(r rune) bool { return r < ' ' || r > '~' }), fmt.Sprintf("WithUserAgent(%s): want printable ASCII", quote(ua)))
	}
}

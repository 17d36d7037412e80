package timpush

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Client calls the push service for one app. It is made by [NewClient], and is safe for concurrent use: make one and share
// it. When a call returns, it leaves no goroutine behind, only idle connections of the transport.
type Client struct {
	engine    *engine
	sdkAppID  int
	identity  string // Config.Identifier
	perSecond int    // recipients of PushTo
	preflight *preflight
	setAttr   *endpoint[UserAttrs]
}

// NewClient makes a Client. It checks cfg and all options, and its error has every fault. It sends nothing.
func NewClient(cfg Config, opts ...Option) (*Client, error) {
	s := settings{
		attemptTimeout: 10 * time.Second, maxInFlight: 32, recipientRate: defaultRecipientRate,
		userSigTTL: 24 * time.Hour, userAgent: defaultUserAgent(),
	}
	s.faults = cfg.faults()
	for _, option := range opts {
		if s.require(option != nil, "an Option is nil"); option != nil {
			option(&s)
		}
	}
	if s.signer == nil {
		s.faults = append(s.faults, cfg.keyFaults()...)
		s.signer = localSigner(cfg, s.userSigTTL)
	}
	if s.httpClient != nil && s.httpClient.Timeout > 0 {
		s.attemptTimeout = min(s.attemptTimeout, s.httpClient.Timeout)
	}
	hosts := s.parseHosts(cfg.Region)
	s.checkTransport()
	s.checkRecipients()
	if len(s.faults) > 0 {
		return nil, errors.Join(s.faults...)
	}
	c := &Client{engine: s.engine(cfg, hosts), sdkAppID: cfg.SDKAppID, identity: cfg.Identifier, perSecond: s.recipientRate}
	c.preflight = &preflight{newAppNames(c.engine), s.accountType}
	c.setAttr = c.preflight.newSetAttr(s.preflight, s.escapedLength)
	return c, nil
}

func (s *settings) engine(cfg Config, h *hosts) *engine {
	e := &engine{
		hosts: h, userAgent: []string{s.userAgent},
		query:   "contenttype=json&sdkappid=" + strconv.Itoa(cfg.SDKAppID) + "&identifier=" + url.QueryEscape(cfg.Identifier),
		signing: newSigning(s.signer, s.attemptTimeout), limiters: s.limiters, maxInFlight: s.maxInFlight,
		observers: s.observers, maxAttempts: s.attempts(), retryBudget: s.retryBudget, attemptTimeout: s.attemptTimeout,
		limits: map[string]sizeLimit{},
	}
	for q := range quotaCount {
		e.transports[q], e.throttles[q], e.slots[q] = s.transport(), newThrottle(s.callsPerSecond(q)), make(chan struct{}, s.maxInFlight)
		if e.limiters[q] == nil {
			e.limiters[q] = NewLimiter(s.callsPerSecond(q) * defaultShare)
		}
	}
	if s.limiters[QuotaRecipients] == nil {
		e.limiters[QuotaRecipients] = newRecipientLimiter(s.recipientRate)
	}
	return e
}

// attempts returns how often a request may be sent.
func (s *settings) attempts() int {
	switch {
	case s.maxAttempts > 0:
		return s.maxAttempts
	case s.retryBudget > 0:
		return math.MaxInt
	}
	return 4
}

// SDKAppID returns the SDKAppID of the app that the client works for.
func (c *Client) SDKAppID() int { return c.sdkAppID }

// String returns the host that the client calls.
func (c *Client) String() string {
	if c == nil || c.engine == nil {
		return "timpush.Client()" // of no use
	}
	return "timpush.Client(" + c.engine.hosts.base.String() + ")"
}

// Format prints [Client.String] for every verb: a transport or a Signer may hold secrets.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

const modulePath = "github.com/timpush/timpush-go"

// defaultUserAgent has the version of this module in the running program.
var defaultUserAgent = sync.OnceValue(func() string {
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == modulePath && m.Version != "" {
				version = strings.Trim(m.Version, "()")
			}
		}
	}
	return "timpush-go/" + version
})

package timpushtest

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"time"
)

// Option changes one setting of a new [Server]. Of two options for the same setting the later one holds. A nil one changes nothing.
type Option func(*settings)

const (
	maxNames     = 10  // page 67816
	maxUsers     = 100 // page 60565
	defaultQuota = 100 // calls a second, page 60565
)

// settings is what the options make. It is not changed after NewServer.
type settings struct {
	sdkAppID              int
	identifier, secretKey string

	userNames, registrationNames []string
	names                        attrNames       // of both lists, in this order
	registrationIDs              map[string]bool // declared as such
	known                        map[string]bool // nil: all accounts are known

	plain, http2, inMemory bool
	latencyBase, jitter    time.Duration
	maxUsers               int
	maxAccounts, keptCalls int // 0: any number
	quota                  int // calls a second; 0: any number
	regionHost             string
	plan                   Plan
	reach                  [3]int // per cent
	callbackToken          string

	Variant
}

func newSettings(opts []Option) *settings {
	set := &settings{
		sdkAppID:   1400000000,
		identifier: "administrator",
		secretKey:  strings.Repeat("0123456789abcdef", 4),
		userNames:  []string{"sex", "city", "country"},

		registrationIDs: map[string]bool{},
		maxUsers:        maxUsers,
		quota:           defaultQuota,
		reach:           [3]int{100, 100, 0},
	}
	for _, opt := range opts {
		if opt != nil { // so that a test can leave one out
			opt(set)
		}
	}
	set.collectNames()
	return set
}

var upperUUID = regexp.MustCompile(`^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$`)

func (set *settings) typeOf(account string) accountType {
	if set.registrationIDs[account] || upperUUID.MatchString(account) {
		return typeRegistrationID
	}
	return typeUserID
}

func (set *settings) latency() time.Duration {
	if set.jitter <= 0 {
		return set.latencyBase
	}
	return set.latencyBase - set.jitter + rand.N(2*set.jitter+1)
}

// WithApp sets the app that is served. The default is SDKAppID 1400000000, administrator "administrator" and a key of
// 64 characters that is "0123456789abcdef" four times over. Any other identifier signed with the key is a user without
// the rights of an administrator. It panics if an argument is zero or empty.
func WithApp(sdkAppID int, identifier, secretKey string) Option {
	if sdkAppID <= 0 || identifier == "" || secretKey == "" {
		panic("timpushtest: WithApp needs an SDKAppID, an identifier and a key")
	}
	return func(set *settings) {
		set.sdkAppID, set.identifier, set.secretKey = sdkAppID, identifier, secretKey
	}
}

// WithAttrNames sets the attribute names for UserIDs. The default is "sex", "city" and "country", the sample of page
// tencentcloud.com/document/product/1047/60565; with no names the app starts as a new one does. Both kinds
// together may have 10 names of 1 to 50 bytes (page 67816), none twice; NewServer panics otherwise. Their indices count
// from 0 in the order given, UserIDs first. [Server.AttrNames] has them, and those that set_attr_name set.
func WithAttrNames(names ...string) Option {
	return func(set *settings) { set.userNames = names }
}

// WithRegistrationAttrNames sets the attribute names for RegistrationIDs, by default none. See [WithAttrNames].
func WithRegistrationAttrNames(names ...string) Option {
	return func(set *settings) { set.registrationNames = names }
}

// WithRegistrationIDs declares accounts to be RegistrationIDs. Others are one if they have the form of an upper-case
// UUID, as in the sample of page tencentcloud.com/document/product/1047/60565.
func WithRegistrationIDs(accounts ...string) Option {
	return func(set *settings) {
		for _, account := range accounts {
			set.registrationIDs[account] = true
		}
	}
}

// WithKnownAccounts makes all other accounts fail with 70107 in ErrorList, as pages 60564 and 60566 of
// tencentcloud.com/document/product/1047 have it for get_attr and remove_attr. Used twice, the lists add up. Default: all
// accounts are known.
func WithKnownAccounts(accounts ...string) Option {
	return func(set *settings) {
		if set.known == nil {
			set.known = map[string]bool{}
		}
		for _, account := range accounts {
			set.known[account] = true
		}
	}
}

// WithRegionHost refuses requests for other hosts with 60026 (page tencentcloud.com/document/product/1047/34348). The
// port does not matter. The certificate is valid for this host too. Default: any host will do.
func WithRegionHost(host string) Option { return func(set *settings) { set.regionHost = host } }

// WithPlainHTTP serves without TLS, so that any HTTP client can be used without the certificate of the fake.
func WithPlainHTTP() Option { return func(set *settings) { set.plain = true } }

// WithHTTP2 offers HTTP/2: over TLS beside HTTP/1.1, otherwise alone and with prior knowledge.
func WithHTTP2() Option { return func(set *settings) { set.http2 = true } }

// WithInMemory serves without TLS and without a socket. Only [Server.HTTPClient] reaches such a server. Made inside a
// bubble of testing/synctest, all its waiting follows the clock of the bubble; it must be closed there.
func WithInMemory() Option { return func(set *settings) { set.inMemory = true } }

// WithLatency delays every answer by base plus or minus jitter, evenly spread. The rate of requests is checked when they
// arrive and carried out after the delay. Nothing is carried out if the client goes before. A negative delay is none, which is the default.
func WithLatency(base, jitter time.Duration) Option {
	return func(set *settings) { set.latencyBase, set.jitter = base, jitter }
}

// WithPlan sets the plan of the app, which decides on the quotas of pushes. The default is [PlanStandard].
func WithPlan(p Plan) Option { return func(set *settings) { set.plan = p } }

// WithQuota sets the calls a second of each endpoint of attributes and tags, 100 by default (pages 60562 to 60566 of
// tencentcloud.com/document/product/1047); 0 or less turns all quotas off, also those of pushes, see [WithPlan].
func WithQuota(calls int) Option {
	return func(set *settings) { set.quota = max(calls, 0) }
}

// WithMaxUsers lowers the number of accounts in a request, 100 by default (page
// tencentcloud.com/document/product/1047/60565). More are refused with 90018.
func WithMaxUsers(n int) Option { return func(set *settings) { set.maxUsers = n } }

// WithMaxAccounts bounds how many accounts have attributes, and how many have tags: set_attr and add_tag refuse a further one by itself with 70398, as page
// tencentcloud.com/document/product/1047/34348 has it for an app with too many accounts. Requests that are carried out at the
// same time may go beyond it. Default, and for n 0 or less: any number.
func WithMaxAccounts(n int) Option { return func(set *settings) { set.maxAccounts = max(n, 0) } }

// WithKeptCalls keeps the last n requests for [Server.Calls], and the last n pushes, for a fake that runs for long. A push
// that is forgotten cannot be revoked.
// Default, and for n 0 or less: all are kept, with their bodies.
func WithKeptCalls(n int) Option { return func(set *settings) { set.keptCalls = max(n, 0) } }

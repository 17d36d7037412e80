package timpush_test

import (
	"crypto/tls"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/internal/doctable"
)

const badInput = doctable.Document("docs/bad-input.md")

// badConfigs are configurations that NewClient refuses, with what its error says.
var badConfigs = []struct {
	input  string
	change func(*timpush.Config)
	option timpush.Option
	want   string
}{
	{input: "SDKAppID 0", change: func(c *timpush.Config) { c.SDKAppID = 0 }, want: "Config.SDKAppID is 0, want the positive number that the console shows"},
	{input: "negative SDKAppID", change: func(c *timpush.Config) { c.SDKAppID = -1 }, want: "Config.SDKAppID is -1, want the positive number"},
	{input: "no Identifier", change: func(c *timpush.Config) { c.Identifier = "" }, want: "Config.Identifier is empty, want the UserID of an app administrator"},
	{input: "Identifier with a line feed", change: func(c *timpush.Config) { c.Identifier = "a\nTLS.expire:1" }, want: "Config.Identifier is not valid UTF-8 or has control characters"},
	{input: "Identifier that is not UTF-8", change: func(c *timpush.Config) { c.Identifier = "a\xff" }, want: "Config.Identifier is not valid UTF-8"},
	{input: "Identifier that is the SecretKey", change: func(c *timpush.Config) { c.Identifier = strings.Repeat("0123456789abcdef", 4) }, want: "Config.Identifier has the form of a secret key: were the two swapped?"},
	{input: "no Region", change: func(c *timpush.Config) { c.Region = "" }, want: "Config.Region is empty, want one of china, singapore"},
	{input: "unknown Region", change: func(c *timpush.Config) { c.Region = "atlantis" }, want: `Config.Region is "atlantis", want one of china`},
	{input: "Region as people write it", change: func(c *timpush.Config) { c.Region = "Silicon Valley" }, want: `want "siliconvalley"; use ParseRegion`},
	{input: "no SecretKey", change: func(c *timpush.Config) { c.SecretKey = "" }, want: "Config.SecretKey is empty, want the key that the console shows (or use WithSigner)"},
	{input: "SecretKey that is a PEM text", change: func(c *timpush.Config) { c.SecretKey = "-----BEGIN PRIVATE KEY-----\nMIG" }, want: "ECDSA keys are not supported, switch the app to HMAC-SHA256"},
	{input: "SecretKey with a line feed", change: func(c *timpush.Config) { c.SecretKey += "\n" }, want: "Config.SecretKey begins or ends with white space"},
	{input: "SecretKey with a byte order mark", change: func(c *timpush.Config) { c.SecretKey = "\uFEFF" + c.SecretKey }, want: "Config.SecretKey begins with a byte order mark"},
	{input: "SecretKey in UTF-16", change: func(c *timpush.Config) { c.SecretKey = "n\x00o\x00-\x00r\x00" }, want: "the file that it was read from may be in UTF-16"},
	{input: "SecretKey as a line of a file", change: func(c *timpush.Config) { c.SecretKey = "TIMPUSH_SECRET_KEY=" + c.SecretKey }, want: "is it a line NAME=KEY of a file? want the key alone"},
	{input: "SecretKey with a zero-width space", change: func(c *timpush.Config) { c.SecretKey = "no-\u200breal-key" }, want: "Config.SecretKey has a character that no key has"},
	{input: "SecretKey with a space within", change: func(c *timpush.Config) { c.SecretKey = "no- real-key" }, want: "Config.SecretKey has a character that no key has"},
	{input: "SecretKey in JSON", change: func(c *timpush.Config) { c.SecretKey = `{"SecretKey":"` + c.SecretKey + `"}` }, want: "Config.SecretKey has braces: is it JSON? want the key alone"},
	{input: "SecretKey with the comma of JSON", change: func(c *timpush.Config) { c.SecretKey += "," }, want: "Config.SecretKey has a comma, a semicolon or a colon"},
	{input: "SecretKey with its name, as in YAML", change: func(c *timpush.Config) { c.SecretKey = "TIMPUSH_SECRET_KEY:" + c.SecretKey }, want: "Config.SecretKey has a comma, a semicolon or a colon"},
	{input: "SecretKey in quotes", change: func(c *timpush.Config) { c.SecretKey = `"` + c.SecretKey + `"` }, want: "Config.SecretKey begins or ends with a quotation mark"},
	{input: "an Option that is nil", option: nil, want: "an Option is nil"},
	{input: "empty base URL", option: timpush.WithBaseURL(""), want: `WithBaseURL(""): want https://HOST`},
	{input: "base URL with plain HTTP", option: timpush.WithBaseURL("http://example.com"), want: "http would show the UserSig to everybody on the way"},
	{input: "base URL with a look-alike of loopback", option: timpush.WithBaseURL("http://localhost.example.com"), want: "http would show the UserSig"},
	{input: "base URL with plain HTTP to an address that is not loopback", option: timpush.WithBaseURL("http://192.168.0.1"), want: "http would show the UserSig"},
	{input: "base URL without a host", option: timpush.WithBaseURL("https://"), want: "there is no host"},
	{input: "base URL with only a port", option: timpush.WithBaseURL("https://:443"), want: "there is no host"},
	{input: "base URL without a scheme", option: timpush.WithBaseURL("hush.example.com"), want: "there is no scheme"},
	{input: "base URL with another scheme", option: timpush.WithBaseURL("ftp://hush.example.com"), want: "the scheme is neither https nor http"},
	{input: "base URL with a fragment", option: timpush.WithBaseURL("https://example.com/#hush"), want: "there is a fragment"},
	{input: "base URL with a query", option: timpush.WithBaseURL("https://example.com/?a=hush"), want: "there is a query"},
	{input: "base URL with a password", option: timpush.WithBaseURL("https://me:hush@example.com/"), want: "there is a user or a password"},
	{input: "base URL that is none", option: timpush.WithBaseURL("https://me:hush@exa mple.com/"), want: "it is not a URL"},
	{input: "no attempts", option: timpush.WithMaxAttempts(0), want: "WithMaxAttempts(0): want at least 1"},
	{input: "no requests in flight", option: timpush.WithMaxInFlight(-1), want: "WithMaxInFlight(-1): want at least 1"},
	{input: "no time for an attempt", option: timpush.WithAttemptTimeout(0), want: "WithAttemptTimeout(0s): want more than 0"},
	{input: "UserSigs of a millisecond", option: timpush.WithUserSigTTL(time.Millisecond), want: "WithUserSigTTL(1ms): want at least 1 second"},
	{input: "UserSigs of a hundred years", option: timpush.WithUserSigTTL(100 * 365 * 24 * time.Hour), want: "at most 68 years"},
	{input: "HTTP client that is nil", option: timpush.WithHTTPClient(nil), want: "WithHTTPClient(nil)"},
	{input: "transport that is a nil pointer", option: timpush.WithHTTPClient(&http.Client{Transport: (*http.Transport)(nil)}), want: "its Transport is a nil pointer"},
	{input: "transport that does not verify TLS", option: timpush.WithHTTPClient(&http.Client{Transport: blind()}), want: "InsecureSkipVerify would give the UserSig to anybody"},
	{input: "limiter that is nil", option: timpush.WithLimiter(nil), want: "WithLimiter(nil)"},
	{input: "low priority of no limiter", option: timpush.WithLimiter(timpush.LowPriority(nil)), want: "WithLimiter(nil)"},
	{input: "no such quota", option: timpush.WithQuota(timpush.Quota(-1), timpush.NewLimiter(1)), want: "WithQuota: there is no Quota -1"},
	{input: "limiter of recipients that cannot count them", option: timpush.WithQuota(timpush.QuotaRecipients, unlimited{}), want: "for QuotaRecipients the Limiter needs a method WaitN(ctx, n)"},
	{input: "no recipients a second", option: timpush.WithRecipientRate(0), want: "WithRecipientRate(0): want at least 1"},
	{input: "no time for retries", option: timpush.WithRetryBudget(0), want: "WithRetryBudget(0s): want more than 0"},
	{input: "backup host of a region without one", change: func(c *timpush.Config) { c.Region = timpush.RegionSaudiArabia }, option: timpush.WithBackupHost(), want: "has no documented backup host"},
	{input: "limiter with a burst of 0", option: timpush.WithLimiter(rate.NewLimiter(100, 0)), want: "a burst of 0 lets nothing through"},
	{input: "limiter that is a nil pointer", option: timpush.WithLimiter((*rate.Limiter)(nil)), want: "WithLimiter: the Limiter is a nil pointer"},
	{input: "limiter with a burst of less than a request", option: timpush.WithQuota(timpush.QuotaRecipients, rate.NewLimiter(500, 1)), want: "WithQuota: a burst of 1 is less than the 30 recipients of a request, see WithRecipientRate"},
	{input: "limiter with a rate of 0", option: timpush.WithQuota(timpush.QuotaPush, timpush.NewLimiter(0)), want: "WithQuota: a rate that is not above 0 lets nothing through"},
	{input: "LowPriority of a limiter with a rate of 0", option: timpush.WithLimiter(timpush.LowPriority(timpush.NewLimiter(0))), want: "WithLimiter: a rate that is not above 0 lets nothing through"},
	{input: "limiter with a rate that is no number", option: timpush.WithLimiter(timpush.NewLimiter(math.NaN())), want: "WithLimiter: a rate that is not above 0 lets nothing through"},
	{input: "Signer that is nil", option: timpush.WithSigner(nil), want: "WithSigner(nil)"},
	{input: "logger that is nil", option: timpush.WithLogger(nil), want: "WithLogger(nil)"},
	{input: "Observer that is nil", option: timpush.WithObserver(nil), want: "WithObserver(nil)"},
	{input: "no function of account types", option: timpush.WithAccountTypes(nil), want: "WithAccountTypes(nil)"},
	{input: "empty User-Agent", option: timpush.WithUserAgent(""), want: `WithUserAgent(""): want printable ASCII`},
	{input: "User-Agent with a line feed", option: timpush.WithUserAgent("a\r\nX-Evil: 1"), want: `WithUserAgent("a\r\nX-Evil: 1"): want printable ASCII`},
}

func blind() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // refused: that is the test
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badConfigs {
		table.Add(test.input, "`"+test.want+"`", t.Name()+"/"+test.input)
		t.Run(test.input, func(t *testing.T) {
			t.Parallel()
			config, opts := testConfig, []timpush.Option{test.option}
			if test.change != nil {
				test.change(&config)
			}
			if test.change != nil && test.option == nil {
				opts = nil
			}
			c, err := timpush.NewClient(config, opts...)
			assert.Nil(t, c)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), "\n", "nothing else is wrong")
			for _, secret := range []string{"hush", "BEGIN PRIVATE", "no-real-key"} {
				assert.NotContains(t, err.Error(), secret)
			}
		})
	}
	badInput.Require(t, "Configuration", &table)
}

// badUsers are users that no call sends, with the Reason of the *InputError.
var badUsers = []struct {
	input string
	user  timpush.UserAttrs
	want  string
}{
	{"empty account", userIn("", "x"), "ToAccount is empty"},
	{"account that is not UTF-8", userIn("bad\xff", "x"), "ToAccount is not valid UTF-8"},
	{"account with half a surrogate", userIn("\xed\xa0\x80", "x"), "ToAccount is not valid UTF-8"},
	{"account with a control character", userIn("a\rb", "x"), "ToAccount has a control character at byte 1"},
	{"no attributes", timpush.UserAttrs{ToAccount: "a"}, "there are no attributes"},
	{"empty map of attributes", timpush.UserAttrs{ToAccount: "a", Attrs: timpush.Attrs{}}, "there are no attributes"},
	{"eleven attributes", timpush.UserAttrs{ToAccount: "a", Attrs: manyAttrs(11)}, "there are 11 attributes, at most 10 are allowed"},
	{"attribute without a name", attr("", "x"), "the name of an attribute is empty"},
	{"name of 51 bytes", attr(strings.Repeat("n", 51), "x"), "the name has 51 bytes, at most 50 are allowed"},
	{"name that is not UTF-8", attr("n\xff", "x"), "the name is not valid UTF-8"},
	{"value of 51 bytes", attr("city", strings.Repeat("x", 51)), "the value has 51 bytes, at most 50 are allowed"},
	{"value of 17 Chinese characters", attr("city", strings.Repeat("深", 17)), "the value has 51 bytes, at most 50 are allowed"},
	{"value of a megabyte", attr("city", strings.Repeat("x", 1<<20)), "the value has 1048576 bytes, at most 50 are allowed"},
	{"value that is not UTF-8", attr("city", "caf\xe9"), "the value is not valid UTF-8"},
}

func attr(name, value string) timpush.UserAttrs {
	return timpush.UserAttrs{ToAccount: "a", Attrs: timpush.Attrs{name: value}}
}

func manyAttrs(n int) timpush.Attrs {
	attrs := timpush.Attrs{}
	for i := range n {
		attrs[strconv.Itoa(i)] = "x"
	}
	return attrs
}

func TestBadUsers(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badUsers {
		table.Add(test.input, "`"+test.want+"`", t.Name()+"/"+test.input)
		t.Run(test.input, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				users := []timpush.UserAttrs{userIn("good", "Rome"), test.user}
				result, err := client(s).SetAttr(t.Context(), users)
				assert.Nil(t, result)
				requireInputError(t, err, 1, test.want)

				b := batcher(t, client(s))
				requireInputError(t, b.SetAttr(t.Context(), test.user), 0, test.want)
				assert.Empty(t, s.Calls(), "nothing was sent")

				all := drain(t, client(s).SetAttrSeq(t.Context(), from(users)))
				requireInputError(t, all.errs[1], 1, test.want)
				assert.Equal(t, map[int64]timpush.Outcome{0: timpush.Done, 1: timpush.Rejected}, all.outcomes)
				assertStored(t, s, users[0])
			})
		})
	}
	badInput.Require(t, "Users", &table)
}

// requireInputError checks an error of the input; it is short, and has no value in it.
func requireInputError(t *testing.T, err error, index int, reason string) {
	t.Helper()
	var input *timpush.InputError
	require.ErrorAs(t, err, &input)
	assert.Equal(t, index, input.Index)
	assert.Equal(t, reason, input.Reason)
	assert.Less(t, len(err.Error()), 800)
	assert.NotContains(t, err.Error(), "xxxx")
}

// badCalls are inputs of the other calls.
var badCalls = []struct {
	input string
	call  func(*testing.T, *timpush.Client) error
	want  string
}{
	{"SetAttr, entries of one account with twelve attributes together", func(t *testing.T, c *timpush.Client) error {
		parts := []timpush.UserAttrs{{ToAccount: "a", Attrs: manyAttrs(10)}, attr("k", "x"), attr("l", "x")}
		_, err := c.SetAttr(t.Context(), parts)
		return err
	}, "together with earlier items, the account has more than 10 attributes"},
	{"RemoveAttr without names", func(t *testing.T, c *timpush.Client) error {
		_, err := c.RemoveAttr(t.Context(), []timpush.UserAttrNames{{ToAccount: "a"}})
		return err
	}, "there are no names of attributes to remove"},
	{"RemoveAttr of an empty name", func(t *testing.T, c *timpush.Client) error {
		_, err := c.RemoveAttr(t.Context(), []timpush.UserAttrNames{{ToAccount: "a", Names: []string{""}}})
		return err
	}, "the name of an attribute is empty"},
	{"GetAttr of an empty account", func(t *testing.T, c *timpush.Client) error {
		found, err := c.GetAttr(t.Context(), []string{""})
		assert.Nil(t, found)
		return err
	}, "ToAccount is empty"},
	{"SetAttrNames of nothing", setNames(), "there are no names to set"},
	{"SetAttrNames, index 10", setNames(timpush.AttrName{Index: 10, Name: "a"}), "the index is 10, want 0 to 9"},
	{"SetAttrNames, index -1", setNames(timpush.AttrName{Index: -1, Name: "a"}), "the index is -1, want 0 to 9"},
	{"SetAttrNames, an index twice", setNames(timpush.AttrName{Index: 1, Name: "a"}, timpush.AttrName{Index: 1, Name: "b"}), "the index 1 is used twice"},
	{"SetAttrNames, a name twice", setNames(timpush.AttrName{Index: 1, Name: "a"}, timpush.AttrName{Index: 2, Name: "a"}), "the name is used twice"},
	{"SetAttrNames, no name", setNames(timpush.AttrName{Index: 1}), "the name is empty"},
	{"SetAttrNames, a name of 51 bytes", setNames(timpush.AttrName{Index: 1, Name: strings.Repeat("深", 17)}), "the name has 51 bytes, at most 50 are allowed"},
	{"SetAttrNames, a name that is not UTF-8", setNames(timpush.AttrName{Index: 1, Name: "\xff"}), "the name is not valid UTF-8"},
	{"SetAttrNames, another account type", setNames(timpush.AttrName{Index: 1, Name: "a", AccountType: 3}), "AccountType(3) is not an account type"},
}

func setNames(names ...timpush.AttrName) func(*testing.T, *timpush.Client) error {
	return func(t *testing.T, c *timpush.Client) error { return c.SetAttrNames(t.Context(), names) }
}

func TestBadCalls(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badCalls {
		table.Add(test.input, "`"+test.want+"`", t.Name()+"/"+test.input)
		t.Run(test.input, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				err := test.call(t, client(s))
				var input *timpush.InputError
				require.ErrorAs(t, err, &input)
				assert.Equal(t, test.want, input.Reason)
				assert.Empty(t, s.Calls(), "nothing was sent")
			})
		})
	}
	badInput.Require(t, "Other calls", &table)
}

package timpush_test

import (
	"bytes"
	"encoding/asn1"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
)

// codesByClass reads a table that was written from the documentation, apart from the code: numbers by class.
func codesByClass(t *testing.T) map[string][]int {
	t.Helper()
	table, err := os.ReadFile("testdata/codes.tsv")
	require.NoError(t, err)
	all := map[string][]int{}
	for line := range strings.Lines(string(table)) {
		if line == "\n" || strings.HasPrefix(line, "#") {
			continue
		}
		class, numbers, ok := strings.Cut(line, "\t")
		require.True(t, ok, line)
		for _, number := range strings.Fields(numbers) {
			n, err := strconv.Atoi(number)
			require.NoError(t, err)
			all[class] = append(all[class], n)
		}
	}
	return all
}

func TestEveryDocumentedCode(t *testing.T) {
	t.Parallel()
	count := 0
	for class, numbers := range codesByClass(t) {
		for _, n := range numbers {
			code := timpush.Code(n)
			assert.True(t, strings.HasPrefix(code.Error(), strconv.Itoa(n)+": "), code)
			assert.NotContains(t, code.Error(), "undocumented")
			assert.Equal(t, class, timpush.ClassName(code), n)
			assert.Equal(t, strings.Contains("throttle transient accountcheck expired toomany toolong", class), code.Retryable(), n)
			assert.Equal(t, class == "throttle", code.Throttling(), n)
			assert.Equal(t, class == "data" || class == "malformed", code.DataFault(), n)
			count++
		}
	}
	assert.Equal(t, timpush.CountCodes(), count, "each code of the client is in the table")
}

func TestCodesWithoutAMeaning(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "60999: undocumented error code", timpush.Code(60999).Error())
	assert.False(t, timpush.Code(60999).Retryable())
	assert.False(t, timpush.Code(60999).Throttling())
	assert.False(t, timpush.Code(60999).DataFault())
	assert.Equal(t, "0: no error code", timpush.Code(0).Error())
	assert.Contains(t, timpush.Code(-5).Error(), "-5")
}

func TestErrorsMatchThroughEveryWrapper(t *testing.T) {
	t.Parallel()
	api := &timpush.APIError{Code: timpush.ErrAccountType, Info: "wrong\n type", Endpoint: "v4/timpush/set_attr"}
	user := &timpush.UserError{Index: 3, ToAccount: "xiaoming", Outcome: timpush.Rejected, Err: api}
	wrapped := fmt.Errorf("while saving: %w", user)
	require.ErrorIs(t, wrapped, timpush.ErrAccountType)
	require.NotErrorIs(t, wrapped, timpush.ErrInvalidAttr)
	var asAPI *timpush.APIError
	require.ErrorAs(t, wrapped, &asAPI)
	var asUser *timpush.UserError
	require.ErrorAs(t, wrapped, &asUser)
	var asHTTP *timpush.HTTPError
	require.NotErrorAs(t, wrapped, &asHTTP)
	code, ok := errors.AsType[timpush.Code](wrapped)
	assert.True(t, ok)
	assert.Equal(t, timpush.ErrAccountType, code)
	assert.Equal(t, `user 3 "xiaoming" rejected: v4/timpush/set_attr: 90035: the attribute belongs to the other account type; `+
		`a UserID needs an attribute for UserIDs, a RegistrationID one for RegistrationIDs (server: wrong type)`, user.Error())
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "HTTP status 502 Bad Gateway: <html> oops", (&timpush.HTTPError{StatusCode: 502, Snippet: "<html>\n\n oops"}).Error())
	assert.Equal(t, "HTTP status 502 Bad Gateway", (&timpush.HTTPError{StatusCode: 502}).Error())
	assert.Equal(t, "HTTP status 200 with a body that is not an answer of the API: hello", (&timpush.HTTPError{StatusCode: 200, Snippet: "hello"}).Error())
	hostile := "a\x1b[2J b\u009b2J\u0085c\u2028d\u202ee \x9b 字"
	assert.Equal(t, "HTTP status 502 Bad Gateway: a [2J b 2J c d e \uFFFD 字", (&timpush.HTTPError{StatusCode: 502, Snippet: hostile}).Error())
	assert.Contains(t, (&timpush.APIError{Code: 90009, Info: hostile}).Error(), "(server: a [2J b 2J c d e \uFFFD 字)")
	assert.Equal(t, "HTTP status 302 Found (redirects are not followed; check the base URL)", (&timpush.HTTPError{StatusCode: 302}).Error())
	assert.Equal(t, `user 2 "a" attribute "city": too long`, (&timpush.InputError{Index: 2, ToAccount: "a", Attr: "city", Reason: "too long"}).Error())
	_, err := newClient(t).SetAttr(t.Context(), []timpush.UserAttrs{userIn("", "Rome")})
	require.EqualError(t, err, `timpush: invalid input, nothing was sent: item 0: ToAccount is empty`)
	long := strings.Repeat("字", 1000)
	assert.Less(t, len((&timpush.UserError{ToAccount: long, Err: &timpush.APIError{Info: long}}).Error()), 600)
	assert.Equal(t, "done rejected unknown not sent Outcome(9)", fmt.Sprint(timpush.Done, timpush.Rejected, timpush.Unknown, timpush.NotSent, timpush.Outcome(9)))
	assert.Equal(t, timpush.NotSent, timpush.Outcome(0), "the zero value claims nothing")
}

func TestMillionFaultsMakeAShortError(t *testing.T) {
	t.Parallel()
	_, err := newClient(t).SetAttr(t.Context(), make([]timpush.UserAttrs, 100_000))
	assert.Less(t, len(err.Error()), 1000)
	assert.Contains(t, err.Error(), "200000 faults in the input")
	same := err
	assert.True(t, err == same, "can be compared") //nolint:errorlint // that is the test
}

func TestConfigNeverShowsItsKey(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t", "%T", "%08b", "%!"} {
		for _, value := range []any{testConfig, &testConfig, []timpush.Config{testConfig}, map[string]any{"a": testConfig}, struct{ C timpush.Config }{testConfig}} {
			text := fmt.Sprintf(verb, value)
			assert.NotContains(t, text, testConfig.SecretKey, verb)
			assert.NotContains(t, text, fmt.Sprintf("%x", testConfig.SecretKey), verb)
		}
	}
	assert.Contains(t, testConfig.String(), "administrator")
	assert.Contains(t, timpush.Config{}.String(), "SecretKey:unset")
	data, err := json.Marshal(testConfig)
	require.NoError(t, err)
	assert.JSONEq(t, `{"SDKAppID":1400000000,"Identifier":"administrator","Region":"singapore"}`, string(data))
	data, err = xml.Marshal(testConfig)
	require.NoError(t, err)
	assert.NotContains(t, string(data), testConfig.SecretKey)
	var encoded bytes.Buffer
	require.NoError(t, gob.NewEncoder(&encoded).Encode(struct{ C timpush.Config }{testConfig}))
	assert.NotContains(t, encoded.String(), testConfig.SecretKey)
	_, err = asn1.Marshal(testConfig)
	require.Error(t, err, "encoding/asn1 asks no method of a type")
	for _, handler := range []func(*strings.Builder) slog.Handler{
		func(b *strings.Builder) slog.Handler { return slog.NewTextHandler(b, nil) },
		func(b *strings.Builder) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b strings.Builder
		slog.New(handler(&b)).Info("config", "config", testConfig, "pointer", &testConfig)
		assert.NotContains(t, b.String(), testConfig.SecretKey)
		assert.Contains(t, b.String(), "administrator")
	}
}

func TestClientShowsItsHostOnly(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		assert.Equal(t, "timpush.Client(https://adminapisgp.im.qcloud.com)", fmt.Sprintf(verb, newClient(t)))
	}
}

func TestRegions(t *testing.T) {
	t.Parallel()
	hosts := map[timpush.Region][2]string{
		timpush.RegionChina:         {"console.tim.qq.com", "adminapi.my-imcloud.com"},
		timpush.RegionSingapore:     {"adminapisgp.im.qcloud.com", "adminapisgp.my-imcloud.com"},
		timpush.RegionSeoul:         {"adminapikr.im.qcloud.com", "adminapikr.my-imcloud.com"},
		timpush.RegionFrankfurt:     {"adminapiger.im.qcloud.com", "adminapiger.my-imcloud.com"},
		timpush.RegionSiliconValley: {"adminapiusa.im.qcloud.com", "adminapiusa.my-imcloud.com"},
		timpush.RegionJakarta:       {"adminapiidn.im.qcloud.com", "adminapiidn.my-imcloud.com"},
		timpush.RegionTokyo:         {"adminapijpn.im.qcloud.com", "adminapijpn.my-imcloud.com"},
		timpush.RegionMumbai:        {"adminapiind.im.qcloud.com", "adminapiind.my-imcloud.com"},
		timpush.RegionSaudiArabia:   {"adminapiksa.im.qcloud.com", ""},
	}
	assert.Len(t, timpush.Regions(), len(hosts))
	for _, region := range timpush.Regions() {
		assert.Equal(t, hosts[region], [2]string{region.Host(), region.BackupHost()})
		parsed, err := timpush.ParseRegion(string(region))
		require.NoError(t, err)
		assert.Equal(t, region, parsed)
	}
	parsed, err := timpush.ParseRegion("Silicon_Valley")
	require.NoError(t, err)
	assert.Equal(t, timpush.RegionSiliconValley, parsed)
	for _, bad := range []string{"", "mars", strings.Repeat("x", 10000)} {
		_, err := timpush.ParseRegion(bad)
		require.ErrorContains(t, err, "singapore")
		assert.Less(t, len(err.Error()), 300)
	}
	assert.Empty(t, timpush.Region("").Host())
}

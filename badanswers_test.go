package timpush_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/internal/doctable"
	"github.com/timpush/timpush-go/timpushtest"
)

// badFaults are what a server can do to every attempt of a request for one user, and what comes of the user.
var badFaults = []struct {
	input string
	fault timpushtest.Fault
	want  string
}{
	{"calls come too frequently", timpushtest.ErrorCode(60007), "rejected; 4 requests; `ErrRateLimited`; worth sending again"},
	{"calls of the app come too frequently", timpushtest.ErrorCode(60011), "rejected; 4 requests; `ErrAppRateLimited`; worth sending again"},
	{"internal error of the push service", timpushtest.ErrorCode(91000), "unknown; 4 requests; `ErrInternal`; worth sending again"},
	{"timeout between gateway and backend", timpushtest.ErrorCode(60008), "unknown; 4 requests; `ErrBackendTimeout`; worth sending again"},
	{"request applied, then a timeout code", timpushtest.ErrorCodeApplied(60008), "unknown; 4 requests; `ErrBackendTimeout`; worth sending again"},
	{"answer of the backend that is no JSON", timpushtest.ErrorCode(60013), "unknown; 4 requests; `ErrBackendAnswer`; worth sending again"},
	{"internal timeout", timpushtest.ErrorCode(70169), "unknown; 4 requests; `ErrInternalTimeout`; worth sending again"},
	{"internal error of the platform", timpushtest.ErrorCode(70500), "unknown; 4 requests; `Code(70500)`; worth sending again"},
	{"check of the account times out", timpushtest.ErrorCode(60014), "rejected; 4 requests; `ErrAccountCheckTimeout`; worth sending again"},
	{"check of account and signature fails", timpushtest.ErrorCode(60004), "rejected; 3 requests; `ErrAccountCheck`; worth sending again"},
	{"the same, other code", timpushtest.ErrorCode(60005), "rejected; 3 requests; `Code(60005)`; worth sending again"},
	{"clock skew: UserSigs expired as soon as they are made", timpushtest.ErrorCode(70001), "rejected; 2 requests; `ErrUserSigExpired`; worth sending again"},
	{"UserSig that does not verify", timpushtest.ErrorCode(70009), "rejected; 1 request; `ErrUserSigMismatch`"},
	{"too many UserSigs that do not verify", timpushtest.ErrorCode(70050), "rejected; 1 request; `ErrTooManyBadUserSigs`"},
	{"Identifier that is no administrator", timpushtest.ErrorCode(90009), "rejected; 1 request; `ErrNotAdmin`"},
	{"the same, code of the platform", timpushtest.ErrorCode(60010), "rejected; 1 request; `ErrAdminRequired`"},
	{"wrong region", timpushtest.ErrorCode(60026), "rejected; 1 request; `ErrWrongRegion`"},
	{"no such app in the region", timpushtest.ErrorCode(70020), "rejected; 1 request; `ErrNoSuchApp`"},
	{"app disabled", timpushtest.ErrorCode(60016), "rejected; 1 request; `ErrAppDisabled`"},
	{"app in arrears", timpushtest.ErrorCode(60020), "rejected; 1 request; `ErrUnavailable`"},
	{"IP not on the allow-list", timpushtest.ErrorCode(60021), "rejected; 1 request; `ErrIPNotAllowed`"},
	{"bad query", timpushtest.ErrorCode(60025), "rejected; 1 request; `ErrBadQuery`"},
	{"bad request", timpushtest.ErrorCode(60002), "rejected; 1 request; `ErrBadRequest`"},
	{"attribute that the app does not have", timpushtest.ErrorCode(90033), "rejected; 1 request; `ErrInvalidAttr`"},
	{"JSON that is refused", timpushtest.ErrorCode(90001), "rejected; 1 request; `ErrBadJSON`"},
	{"one account is too many", timpushtest.ErrorCode(90018), "rejected; 1 request; `ErrTooManyAccounts`; worth sending again"},
	{"one account is too long", timpushtest.ErrorCode(93000), "rejected; 1 request; `Code(93000)`; worth sending again"},
	{"code that is not documented", timpushtest.ErrorCode(60999), "rejected; 1 request; `Code(60999)`"},
	{"negative code", timpushtest.Answer(200, `{"ActionStatus":"FAIL","ErrorCode":-1}`), "rejected; 1 request; `Code(-1)`"},
	{"account of the other type", timpushtest.AccountCode(90035, "a"), "rejected; 1 request; `ErrAccountType`"},
	{"unknown account", timpushtest.AccountCode(70107, "a"), "rejected; 1 request; `ErrNoSuchAccount`"},
	{"fatal code for one account", timpushtest.AccountCode(90009, "a"), "rejected; 1 request; `ErrNotAdmin`"},
	{"undocumented code for one account", timpushtest.AccountCode(12345, "a"), "rejected; 1 request; `Code(12345)`"},
	{"internal error for one account", timpushtest.AccountCode(91000, "a"), "unknown; 4 requests; `ErrInternal`; worth sending again"},
	{"throttle code for one account", timpushtest.AccountCode(60007, "a"), "rejected; 4 requests; `ErrRateLimited`; worth sending again"},
	{"account in ErrorList without a code", timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"To_Account":"a"}]}`), "unknown; 4 requests; `Code(0)`; worth sending again"},
	{"HTTP 302", timpushtest.Status(302), "rejected; 1 request; `*HTTPError` with status 302"},
	{"HTTP 401", timpushtest.Status(401), "rejected; 1 request; `*HTTPError` with status 401"},
	{"HTTP 403", timpushtest.Status(403), "rejected; 1 request; `*HTTPError` with status 403"},
	{"HTTP 404", timpushtest.Status(404), "rejected; 1 request; `*HTTPError` with status 404"},
	{"HTTP 408", timpushtest.Status(408), "unknown; 4 requests; `*HTTPError` with status 408; worth sending again"},
	{"HTTP 413", timpushtest.Status(413), "rejected; 1 request; `*HTTPError` with status 413"},
	{"HTTP 429", timpushtest.Status(429), "rejected; 4 requests; `*HTTPError` with status 429; worth sending again"},
	{"HTTP 500", timpushtest.Status(500), "unknown; 4 requests; `*HTTPError` with status 500; worth sending again"},
	{"HTTP 502", timpushtest.Status(502), "unknown; 4 requests; `*HTTPError` with status 502; worth sending again"},
	{"HTTP 503 after it was applied", timpushtest.StatusApplied(503), "unknown; 4 requests; `*HTTPError` with status 503; worth sending again"},
	{"HTTP 504", timpushtest.Status(504), "unknown; 4 requests; `*HTTPError` with status 504; worth sending again"},
	{"HTTP 204 without a body", timpushtest.Answer(204, ""), "unknown; 4 requests; `*HTTPError` with status 204; worth sending again"},
	{"bytes that are no JSON", timpushtest.Garbage(), "unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"answer without end", timpushtest.EndlessBody(), "unknown; 4 requests; `*url.Error`; worth sending again"},
	{"answer of 2 MiB", timpushtest.Answer(200, `{"ActionStatus":"OK","ErrorCode":0,"More":"`+strings.Repeat("x", 2<<20)+`"}`), "unknown; 4 requests; `*url.Error`; worth sending again"},
	{"connection cut before the answer", timpushtest.CutAfter(), "unknown; 4 requests; `*url.Error`; worth sending again"},
	{"connection cut before anything was done", timpushtest.CutBefore(), "unknown; 4 requests; `*url.Error`; worth sending again"},
	{"answer cut off", timpushtest.TruncateBody(30), "unknown; 4 requests; `*url.Error`; worth sending again"},
	{"server that never answers", timpushtest.Hang(), "unknown; 4 requests; `context.DeadlineExceeded`; worth sending again"},
	{"server that applies and never answers", timpushtest.HangApplied(), "unknown; 4 requests; `context.DeadlineExceeded`; worth sending again"},
	{"answer after 11 s", timpushtest.Delay(11*time.Second, timpushtest.Fault{}), "unknown; 4 requests; `context.DeadlineExceeded`; worth sending again"},
}

func TestBadFaults(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badFaults {
		table.Add(test.input, test.want, t.Name()+"/"+test.input)
		t.Run(test.input, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Handle(func(timpushtest.Call) timpushtest.Fault { return test.fault })
				users := []timpush.UserAttrs{userIn("a", "Rome")}
				result, err := client(s).SetAttr(t.Context(), users)
				assert.Equal(t, test.want, came(t, users, result, err))
			})
		})
	}
	badInput.Require(t, "Faults of the server", &table)
}

// badNetworks are what can lie between the client and the service.
var badNetworks = []struct {
	input string
	via   roundTripper
	want  string
}{
	{"no process listens", failing(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}), "not sent; 4 requests; `*net.OpError`; worth sending again"},
	{"neither IPv6 nor IPv4 listens", failing(errors.Join(&net.OpError{Op: "dial", Err: errors.New("IPv6")}, fmt.Errorf("then: %w", &net.OpError{Op: "dial", Err: errors.New("IPv4")}))), "not sent; 4 requests; `*net.OpError`; worth sending again"},
	{"proxy that refuses", failing(&net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("connection refused")}), "not sent; 4 requests; `*net.OpError`; worth sending again"},
	{"host that DNS does not know", failing(&net.DNSError{Err: "no such host", Name: "adminapisgp.im.qcloud.com", IsNotFound: true}), "not sent; 4 requests; `*net.DNSError`; worth sending again"},
	{"certificate of another host", failing(&tls.CertificateVerificationError{Err: errors.New("unknown authority")}), "not sent; 1 request; `*tls.CertificateVerificationError`; worth sending again"},
	{"plain HTTP where TLS should be", failing(http.ErrSchemeMismatch), "not sent; 1 request; `http.ErrSchemeMismatch`; worth sending again"},
	{"circuit breaker that is open", failing(errors.New("circuit breaker is open")), "not sent; 4 requests; `*url.Error`; worth sending again"},
	{"reset while it is written", losing(&net.OpError{Op: "write", Net: "tcp", Err: errors.New("connection reset")}), "unknown; 4 requests; `*net.OpError`; worth sending again"},
	{"reset while the answer is read", losing(&net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset")}), "unknown; 4 requests; `*net.OpError`; worth sending again"},
	{"end of the connection", losing(io.ErrUnexpectedEOF), "unknown; 4 requests; `*url.Error`; worth sending again"},
	{"answer that is no HTTP", losing(errors.New(`malformed HTTP response "SSH-2.0-OpenSSH"`)), "unknown; 4 requests; `*url.Error`; worth sending again"},
	{"transport without an answer", func(*http.Request) (*http.Response, error) { return nil, nil }, "unknown; 4 requests; `*url.Error`; worth sending again"}, //nolint:nilnil // that is the test
	{"transport without a body", func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 200}, nil }, "unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"redirect to another host", func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 307, Header: http.Header{"Location": {"https://elsewhere.example/"}}, Body: http.NoBody}, nil
	}, "rejected; 1 request; `*HTTPError` with status 307"},
}

func failing(err error) roundTripper {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// losing fails once it has sent the request.
func losing(err error) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, r.Body)
		return nil, err
	}
}

func TestBadNetworks(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badNetworks {
		table.Add(test.input, test.want, t.Name()+"/"+test.input)
		t.Run(test.input, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				users := []timpush.UserAttrs{userIn("a", "Rome")}
				result, err := newClient(t, through(test.via)).SetAttr(t.Context(), users)
				assert.Equal(t, test.want, came(t, users, result, err))
				assert.NotContains(t, err.Error(), "usersig=")
			})
		})
	}
	badInput.Require(t, "Faults of the network", &table)
}

// badAnswers are bodies of status 200 for the users a and B.
var badAnswers = []struct{ input, body, want string }{
	{"code null in ErrorList", `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"To_Account":"a","ErrorCode":null}]}`, "a unknown, B done; 4 requests; `Code(0)`; worth sending again"},
	{"ErrorList names another account", `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":90035,"To_Account":"other"}]}`, "a unknown, B unknown; 3 requests; `ErrAccountType`; worth sending again"},
	{"ErrorList names no account", `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":90035}]}`, "a unknown, B unknown; 3 requests; `ErrAccountType`; worth sending again"},
	{"ErrorList has null", `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[null]}`, "a unknown, B unknown; 3 requests; `Code(0)`; worth sending again"},
	{"ErrorList names one twice", `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":90035,"To_Account":"a"},{"ErrorCode":70107,"To_Account":"a"}]}`, "a rejected, B done; 1 request; `ErrAccountType`"},
	{"ErrorList in another case", `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":90035,"To_Account":"b"}]}`, "a done, B rejected; 1 request; `ErrAccountType`"},
	{"ErrorList with another account beside one of ours", `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":1,"To_Account":"x"},{"ErrorCode":90035,"To_Account":"a"}]}`, "a rejected, B unknown; 2 requests; `ErrAccountType`; B worth sending again"},
	{"FAIL with code 0", `{"ActionStatus":"FAIL","ErrorCode":0}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"OK with a code", `{"ActionStatus":"OK","ErrorCode":90009}`, "a rejected, B rejected; 1 request; `ErrNotAdmin`"},
	{"no status and code 0", `{"ErrorCode":0}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"status null", `{"ActionStatus":null,"ErrorCode":0}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"no code", `{"ActionStatus":"OK"}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"code null", `{"ActionStatus":"OK","ErrorCode":null}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"code that is a word", `{"ActionStatus":"OK","ErrorCode":"none"}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"code that is empty", `{"ActionStatus":"OK","ErrorCode":""}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"code that is a fraction", `{"ActionStatus":"OK","ErrorCode":0.0}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"code that is false", `{"ActionStatus":"OK","ErrorCode":false}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"code beyond 64 bits", `{"ActionStatus":"OK","ErrorCode":99999999999999999999}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"two codes", `{"ActionStatus":"OK","ErrorCode":90009,"ErrorCode":0}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"fields in another case", `{"actionstatus":"OK","errorcode":0}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"ErrorList that is an object", `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":{}}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"ErrorList of words", `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":["a"]}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"ErrorList of 2,001 entries", `{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[` + strings.Repeat(`{},`, 2000) + `{}]}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"two values", `{"ActionStatus":"OK","ErrorCode":0}{}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"an array", `[{"ActionStatus":"OK","ErrorCode":0}]`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"null", `null`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"nothing", ``, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"byte order mark", "\ufeff" + `{"ActionStatus":"OK","ErrorCode":0}`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"UTF-16", "\xff\xfe{\x00}\x00", "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"deep nesting", `{"ActionStatus":"OK","ErrorCode":0,"More":` + strings.Repeat("[", 100_000), "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"a page", `<html><body>OK</body></html>`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
	{"cut off", `{"ActionStatus":"OK","ErrorCode":0`, "a unknown, B unknown; 4 requests; `*HTTPError` with status 200; worth sending again"},
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	var table doctable.Table
	for _, test := range badAnswers {
		table.Add(test.input, test.want, t.Name()+"/"+test.input)
		t.Run(test.input, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				users := []timpush.UserAttrs{userIn("a", "x"), userIn("B", "y")}
				result, err := newClient(t, timpush.WithLimiter(unlimited{}), through(answering(test.body))).SetAttr(t.Context(), users)
				assert.Equal(t, test.want, came(t, users, result, err))
			})
		})
	}
	badInput.Require(t, "Answers", &table)
}

// causes are what errors.Is and errors.As find if it is neither a page nor a code.
var causes = []struct {
	name    string
	matches func(error) bool
}{
	{"*tls.CertificateVerificationError", as[*tls.CertificateVerificationError]},
	{"*net.DNSError", as[*net.DNSError]},
	{"*net.OpError", as[*net.OpError]},
	{"http.ErrSchemeMismatch", func(err error) bool { return errors.Is(err, http.ErrSchemeMismatch) }},
	{"context.DeadlineExceeded", func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
	{"context.Canceled", func(err error) bool { return errors.Is(err, context.Canceled) }},
	{"*url.Error", as[*url.Error]},
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

var errorNames = regexp.MustCompile(`(?m)^\t(Err\w+) +Code = (\d+)`)

// nameOf is a code as a program writes it.
func nameOf(t *testing.T, code timpush.Code) string {
	t.Helper()
	source, err := os.ReadFile("codes.go")
	require.NoError(t, err)
	for _, m := range errorNames.FindAllStringSubmatch(string(source), -1) {
		if m[2] == strconv.Itoa(int(code)) {
			return m[1]
		}
	}
	return fmt.Sprintf("Code(%d)", int(code))
}

// cause is what errors.Is or errors.As finds in the error of a call.
func cause(t *testing.T, err error) string {
	t.Helper()
	var page *timpush.HTTPError
	var code timpush.Code
	switch {
	case errors.As(err, &page):
		return fmt.Sprintf("`*HTTPError` with status %d", page.StatusCode)
	case errors.As(err, &code):
		require.ErrorIs(t, err, code)
		return "`" + nameOf(t, code) + "`"
	}
	for _, known := range causes {
		if known.matches(err) {
			return "`" + known.name + "`"
		}
	}
	require.Fail(t, "no known cause", "%v", err)
	return ""
}

// came describes how users ended: their outcomes, the requests, the cause, and whether they are worth sending again.
func came(t *testing.T, users []timpush.UserAttrs, result *timpush.Result, err error) string {
	t.Helper()
	p := partial(t, users, result, err)
	failed := outcomes(p)
	var each []string
	for _, u := range users {
		outcome, ok := failed[u.ToAccount]
		if !ok {
			outcome = timpush.Done
		}
		each = append(each, u.ToAccount+" "+outcome.String())
	}
	if len(users) == 1 {
		each[0] = failed[users[0].ToAccount].String()
	}
	text := fmt.Sprintf("%s; %d %s; %s", strings.Join(each, ", "), result.Requests, plural("request", result.Requests), cause(t, err))
	var again []string
	for _, u := range p.Remaining(users) {
		again = append(again, u.ToAccount)
	}
	switch {
	case len(again) == len(failed):
		return text + "; worth sending again"
	case len(again) > 0:
		return text + "; " + strings.Join(again, ", ") + " worth sending again"
	}
	return text
}

func plural(noun string, n int) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

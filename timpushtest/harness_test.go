package timpushtest_test

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

const (
	testApp  = 1400000000
	testUser = "administrator"
	testKey  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	uuid     = "379C2F0D-290D-47AE-94D1-919058C39C77"
	okBody   = `{"UserAttrs":[{"To_Account":"xiaoming","Attrs":{"sex":"male","city":"ShenZhen"}}]}`
)

type variant = timpushtest.Variant

// with is short for timpushtest.WithVariant.
func with(v variant) timpushtest.Option { return timpushtest.WithVariant(v) }

// signer makes a UserSig step by step, so that tests can go wrong at each.
type signer struct {
	app          int
	user, key    string
	time, expire int64
	buf          string
	level        int
}

func newSigner() signer {
	return signer{app: testApp, user: testUser, key: testKey, time: time.Now().Unix(), expire: 86400, level: zlib.BestCompression}
}

func (s signer) mac() string {
	text := fmt.Sprintf("TLS.identifier:%s\nTLS.sdkappid:%d\nTLS.time:%d\nTLS.expire:%d\n", s.user, s.app, s.time, s.expire)
	if s.buf != "" {
		text += "TLS.userbuf:" + s.buf + "\n"
	}
	h := hmac.New(sha256.New, []byte(s.key))
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func (s signer) fields() map[string]any {
	f := map[string]any{
		"TLS.ver": "2.0", "TLS.identifier": s.user, "TLS.sdkappid": s.app,
		"TLS.time": s.time, "TLS.expire": s.expire, "TLS.sig": s.mac(),
	}
	if s.buf != "" {
		f["TLS.userbuf"] = s.buf
	}
	return f
}

// sigs keeps what was signed: a zlib writer is large and, with the race detector, slow.
var sigs sync.Map

func (s signer) sig() string {
	if sig, ok := sigs.Load(s); ok {
		return sig.(string)
	}
	sig := pack(mustJSON(s.fields()), s.level)
	sigs.Store(s, sig)
	return sig
}

func pack(data []byte, level int) string { return escape(deflate(data, level)) }

func deflate(data []byte, level int) []byte {
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, level)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

func escape(packed []byte) string {
	return strings.NewReplacer("+", "*", "/", "-", "=", "_").Replace(base64.StdEncoding.EncodeToString(packed))
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// answer is what a test looks at in a response.
type answer struct {
	HTTP      int         `json:"-"`
	Proto     string      `json:"-"`
	Header    http.Header `json:"-"`
	Raw       string      `json:"-"`
	Status    string      `json:"ActionStatus"`
	Info      *string     `json:"ErrorInfo"`
	Code      int         `json:"ErrorCode"`
	ErrorList []item      `json:"ErrorList"`
	UserAttrs []userAttrs `json:"UserAttrs"`
}

type userAttrs struct {
	Account string `json:"To_Account"`
	Attrs   attrs  `json:"Attrs"`
}

type item struct {
	Account string  `json:"To_Account"`
	Code    int     `json:"ErrorCode"`
	Info    *string `json:"ErrorInfo"`
}

// codes is ErrorList as a map.
func (a answer) codes() map[string]int {
	m := map[string]int{}
	for _, i := range a.ErrorList {
		m[i.Account] = i.Code
	}
	return m
}

// attrs is UserAttrs as a map.
func (a answer) attrs() map[string]attrs {
	m := map[string]attrs{}
	for _, u := range a.UserAttrs {
		m[u.Account] = u.Attrs
	}
	return m
}

type request struct {
	method, path, host string
	header             http.Header
	query              url.Values
	rawQuery           string
	body               string
}

func goodRequest(body string) request {
	return request{
		method: http.MethodPost,
		path:   "/v4/timpush/set_attr",
		query: url.Values{
			"sdkappid":    {strconv.Itoa(testApp)},
			"identifier":  {testUser},
			"usersig":     {newSigner().sig()},
			"random":      {strconv.FormatUint(uint64(rand.Uint32()), 10)},
			"contenttype": {"json"},
		},
		header: http.Header{},
		body:   body,
	}
}

func goodCall(command, body string) request {
	r := goodRequest(body)
	r.path = "/v4/timpush/" + command
	return r
}

// fixture is a fake and its client.
type fixture struct {
	testing.TB
	*timpushtest.Server
	client *http.Client
}

// start serves in memory, which is fast; sockets have tests of their own.
func start(t testing.TB, opts ...timpushtest.Option) fixture {
	t.Helper()
	s := timpushtest.Start(t, append([]timpushtest.Option{timpushtest.WithInMemory()}, opts...)...)
	return fixture{TB: t, Server: s, client: s.HTTPClient()}
}

func (f fixture) do(r request) (*http.Response, error) {
	f.Helper()
	query := r.rawQuery
	if query == "" {
		query = r.query.Encode()
	}
	req, err := http.NewRequestWithContext(f.Context(), r.method, f.URL+r.path+"?"+query, strings.NewReader(r.body))
	require.NoError(f, err)
	req.Header, req.Host = r.header, r.host
	return f.client.Do(req)
}

// send expects a whole answer.
func (f fixture) send(r request) answer {
	f.Helper()
	resp, err := f.do(r)
	require.NoError(f, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(f, err)
	a := answer{HTTP: resp.StatusCode, Proto: resp.Proto, Header: resp.Header, Raw: string(data)}
	_ = json.Unmarshal(data, &a) // may be something else by intention
	return a
}

func (f fixture) post(body string) answer {
	f.Helper()
	return f.call("set_attr", body)
}

// call posts to a command of the service.
func (f fixture) call(command, body string) answer {
	f.Helper()
	return f.send(goodCall(command, body))
}

// setNames expects set_attr_name to succeed.
func (f fixture) setNames(body string) {
	f.Helper()
	a := f.call("set_attr_name", body)
	require.Equal(f, 0, a.Code, a.Raw)
}

// broken expects the request to fail without a whole answer, and returns what arrived of the body.
func (f fixture) broken(r request) (string, error) {
	f.Helper()
	resp, err := f.do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.Error(f, err)
	return string(data), err
}

// entries builds a body of pairs of account and Attrs.
func entries(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, `,{"To_Account":%q,"Attrs":%s}`, pairs[i], pairs[i+1])
	}
	return `{"UserAttrs":[` + strings.TrimPrefix(b.String(), ",") + `]}`
}

// accounts builds a body of get_attr.
func accounts(list ...string) string { return string(mustJSON(map[string]any{"To_Account": list})) }

func users(n int) string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("user%d", i), `{"city":"x"}`)
	}
	return entries(pairs...)
}

package timpushtest_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

func TestRequestLine(t *testing.T) {
	t.Parallel()
	set := func(name string, values ...string) func(*request) {
		return func(r *request) { r.query[name] = values }
	}
	for name, tc := range map[string]struct {
		edit func(*request)
		code int
	}{
		"good":                   {func(*request) {}, 0},
		"extra parameter":        {set("extra", "1", "2"), 0},
		"GET":                    {func(r *request) { r.method = http.MethodGet }, 60009},
		"PUT":                    {func(r *request) { r.method = http.MethodPut }, 60009},
		"other command":          {func(r *request) { r.path = "/v4/timpush/no_such" }, 60009},
		"slash at the end":       {func(r *request) { r.path += "/" }, 60009},
		"case of the path":       {func(r *request) { r.path = "/v4/timpush/Set_attr" }, 60009},
		"broken query":           {func(r *request) { r.rawQuery = "sdkappid=%zz" }, 60002},
		"semicolon":              {func(r *request) { r.rawQuery = "sdkappid=1;identifier=2" }, 60002},
		"sdkappid missing":       {set("sdkappid"), 60012},
		"sdkappid empty":         {set("sdkappid", ""), 60012},
		"sdkappid twice":         {set("sdkappid", "1400000000", "1400000000"), 60025},
		"sdkappid no number":     {set("sdkappid", "abc"), 60025},
		"sdkappid signed":        {set("sdkappid", "+1400000000"), 60025},
		"sdkappid unknown":       {set("sdkappid", "1400000001"), 70020},
		"identifier missing":     {set("identifier"), 60025},
		"identifier twice":       {set("identifier", "administrator", "administrator"), 60025},
		"usersig missing":        {set("usersig"), 60025},
		"usersig twice":          {set("usersig", "a", "b"), 60025},
		"contenttype missing":    {set("contenttype"), 60025},
		"contenttype upper case": {set("contenttype", "JSON"), 60025},
		"contenttype MIME":       {set("contenttype", "application/json"), 60025},
		"random missing":         {set("random"), 60025},
		"random zero":            {set("random", "0"), 0},
		"random largest":         {set("random", "4294967295"), 0},
		"random too large":       {set("random", "4294967296"), 60025},
		"random negative":        {set("random", "-1"), 60025},
		"random hexadecimal":     {set("random", "0x1"), 60025},
		"case of a name": {func(r *request) {
			r.query["SdkAppID"] = r.query["sdkappid"]
			delete(r.query, "sdkappid")
		}, 60012},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			r := goodRequest(okBody)
			tc.edit(&r)
			a := f.send(r)
			assert.Equal(t, tc.code, a.Code, a.Raw)
			assert.Equal(t, http.StatusOK, a.HTTP)
			assertEnvelope(t, a)
			if tc.code != 0 {
				assert.Empty(t, f.Accounts())
			}
		})
	}
}

// assertEnvelope checks what every answer must have. It may have the further fields.
func assertEnvelope(t testing.TB, a answer, further ...string) {
	t.Helper()
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(a.Raw), &fields), a.Raw)
	assert.Subset(t, append(further, "ActionStatus", "ErrorInfo", "ErrorCode", "ErrorList"), slices.Collect(maps.Keys(fields)))
	assert.NotContains(t, a.Header, "Content-Type")
	require.NotNil(t, a.Info)
	if a.Code == 0 {
		assert.Equal(t, "OK", a.Status)
		assert.Empty(t, *a.Info)
		return
	}
	assert.Equal(t, "FAIL", a.Status)
	assert.NotEmpty(t, *a.Info)
}

func TestPlainAndEscapedStarInQuery(t *testing.T) {
	t.Parallel()
	f := start(t)
	r := goodRequest(okBody)
	// A longer identifier inside is no help: seek a signature that has a star.
	s := newSigner()
	for !strings.Contains(s.sig(), "*") {
		s.expire++
	}
	r.query.Set("usersig", s.sig())
	assert.Equal(t, 0, f.send(r).Code)
	r.rawQuery = strings.ReplaceAll(r.query.Encode(), "%2A", "*")
	assert.Equal(t, 0, f.send(r).Code)
}

func TestHTTP405(t *testing.T) {
	t.Parallel()
	f := start(t, with(variant{HTTP405: true}))
	r := goodRequest(okBody)
	r.method = http.MethodGet
	a := f.send(r)
	assert.Equal(t, http.StatusMethodNotAllowed, a.HTTP)
	assert.Equal(t, http.MethodPost, a.Header.Get("Allow"))
	assert.Equal(t, 0, f.post(okBody).Code)
	calls := f.Calls()
	assert.Equal(t, 405, calls[0].Status)
	assert.Equal(t, 200, calls[1].Status)
}

func TestRepeatedRandom(t *testing.T) {
	t.Parallel()
	r := goodRequest(okBody)
	f := start(t)
	assert.Equal(t, 0, f.send(r).Code)
	assert.Equal(t, 0, f.send(r).Code)
	f = start(t, with(variant{RepeatedRandomRefused: true}))
	assert.Equal(t, 0, f.send(r).Code)
	assert.Equal(t, 60025, f.send(r).Code)
	assert.Equal(t, 0, f.post(okBody).Code)
}

func TestRegionHost(t *testing.T) {
	t.Parallel()
	const host = "adminapisgp.im.qcloud.com"
	f := start(t, timpushtest.WithRegionHost(host))
	r := goodRequest(okBody)
	assert.Equal(t, 60026, f.send(r).Code)
	r.host = host
	assert.Equal(t, 0, f.send(r).Code)
	r.host = host + ":443"
	assert.Equal(t, 0, f.send(r).Code)

	s := timpushtest.Start(t, timpushtest.WithRegionHost(host))
	s.URL = "https://" + host // the client of the fake dials it whatever the host
	f = fixture{TB: t, Server: s, client: s.HTTPClient()}
	assert.Equal(t, 0, f.post(okBody).Code)
}

func TestUserSig(t *testing.T) {
	t.Parallel()
	now := time.Now().Unix()
	sig := func(edit func(*signer)) string {
		s := newSigner()
		edit(&s)
		return s.sig()
	}
	fields := func(edit func(map[string]any)) string {
		f := newSigner().fields()
		edit(f)
		return pack(mustJSON(f), 9)
	}
	good := newSigner()
	for name, tc := range map[string]struct {
		sig  string
		code int
	}{
		"stored":              {sig(func(s *signer) { s.level = 0 }), 0},
		"fast":                {sig(func(s *signer) { s.level = 1 }), 0},
		"user buffer":         {sig(func(s *signer) { s.buf = "YWJj" }), 0},
		"future":              {sig(func(s *signer) { s.time = now + 3600 }), 0},
		"extra field":         {fields(func(f map[string]any) { f["TLS.extra"] = 1 }), 0},
		"foreign text":        {"abc", 70003},
		"line end inside":     {good.sig()[:8] + "\n" + good.sig()[8:], 70003},
		"plain base64":        {strings.NewReplacer("*", "+", "-", "/", "_", "=").Replace(good.sig()) + "=", 70003},
		"cut off":             {good.sig()[:len(good.sig())/8*4], 70003},
		"not zlib":            {escape([]byte("hello, world")), 70003},
		"header only":         {escape(deflate(nil, 9)[:2]), 70003},
		"trailing bytes":      {escape(append(deflate(mustJSON(good.fields()), 9), 1)), 70003},
		"bomb":                {pack([]byte(strings.Repeat(" ", 1<<20)), 9), 70003},
		"not JSON":            {pack([]byte("{"), 9), 70003},
		"array":               {pack([]byte("[]"), 9), 70003},
		"null":                {pack([]byte("null"), 9), 70003},
		"version":             {fields(func(f map[string]any) { f["TLS.ver"] = "1.0" }), 70003},
		"time as text":        {fields(func(f map[string]any) { f["TLS.time"] = "1" }), 70003},
		"time null":           {fields(func(f map[string]any) { f["TLS.time"] = nil }), 70003},
		"no expire":           {fields(func(f map[string]any) { delete(f, "TLS.expire") }), 70003},
		"negative expire":     {sig(func(s *signer) { s.expire = -1 }), 70003},
		"negative time":       {sig(func(s *signer) { s.time = -1 }), 70003},
		"buffer of no text":   {fields(func(f map[string]any) { f["TLS.userbuf"] = 1 }), 70003},
		"case of a field":     {fields(func(f map[string]any) { f["tls.ver"] = f["TLS.ver"]; delete(f, "TLS.ver") }), 70003},
		"other app":           {sig(func(s *signer) { s.app++ }), 70014},
		"app before user":     {sig(func(s *signer) { s.app++; s.user = "x" }), 70014},
		"other user":          {sig(func(s *signer) { s.user = "x" }), 70013},
		"user before key":     {sig(func(s *signer) { s.user, s.key = "x", "y" }), 70013},
		"other key":           {sig(func(s *signer) { s.key = "y" }), 70009},
		"key before expiry":   {sig(func(s *signer) { s.key, s.time = "y", 1 }), 70009},
		"prolonged":           {fields(func(f map[string]any) { f["TLS.expire"] = 1 << 40 }), 70009},
		"buffer not signed":   {fields(func(f map[string]any) { f["TLS.userbuf"] = "YWJj" }), 70009},
		"expired":             {sig(func(s *signer) { s.time = now - 86500 }), 70001},
		"endless":             {sig(func(s *signer) { s.expire = 1<<63 - 1 }), 0},
		"endless and ancient": {sig(func(s *signer) { s.time, s.expire = 0, 1<<63-1 }), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := goodRequest(okBody)
			r.query.Set("usersig", tc.sig)
			a := start(t).send(r)
			assert.Equal(t, tc.code, a.Code, a.Raw)
			assertEnvelope(t, a)
		})
	}
}

// TestUserSigHasOneSpelling alters the bits of the last character that carry no data.
func TestUserSigHasOneSpelling(t *testing.T) {
	t.Parallel()
	s := newSigner()
	for !strings.HasSuffix(s.sig(), "__") { // two bytes short: the last character carries two bits of six
		s.expire *= 7
		s.expire %= 1 << 40
	}
	body := strings.TrimSuffix(s.sig(), "__")
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-"
	last := strings.IndexByte(alphabet, body[len(body)-1])
	f := start(t)
	r := goodRequest(okBody)
	r.query.Set("usersig", s.sig())
	assert.Equal(t, 0, f.send(r).Code)
	r.query.Set("usersig", body[:len(body)-1]+alphabet[last+1:last+2]+"__")
	assert.Equal(t, 70003, f.send(r).Code)
}

func TestNotAdministrator(t *testing.T) {
	t.Parallel()
	r := goodRequest("not JSON") // the administrator comes before the body
	s := newSigner()
	s.user = "xiaoming"
	r.query.Set("identifier", s.user)
	r.query.Set("usersig", s.sig())
	assert.Equal(t, 90009, start(t).send(r).Code)
	assert.Equal(t, 60010, start(t, with(variant{NotAdminCode: 60010})).send(r).Code)
}

func TestWithApp(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithApp(20000001, "root", "secret"))
	id, identifier, key := f.App()
	assert.Equal(t, []any{20000001, "root", "secret"}, []any{id, identifier, key})
	s := newSigner()
	s.app, s.user, s.key = id, identifier, key
	r := goodRequest(okBody)
	r.query = url.Values{
		"sdkappid": {"20000001"}, "identifier": {"root"}, "usersig": {s.sig()}, "random": {"1"}, "contenttype": {"json"},
	}
	assert.Equal(t, 0, f.send(r).Code)
	assert.Equal(t, 70020, f.post(okBody).Code)
	assert.Panics(t, func() { timpushtest.WithApp(0, "a", "b") })
	assert.Panics(t, func() { timpushtest.WithApp(1, "", "b") })
	assert.Panics(t, func() { timpushtest.WithApp(1, "a", "") })
}

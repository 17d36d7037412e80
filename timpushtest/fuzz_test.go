package timpushtest_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// FuzzUserSig looks for a signature that is accepted without having been signed with the key.
func FuzzUserSig(f *testing.F) {
	good := newSigner()
	packed := deflate(mustJSON(good.fields()), 9)
	f.Add(packed)
	f.Add(deflate(mustJSON(good.fields()), 0))
	f.Add(deflate([]byte(`{"TLS.ver":"2.0"}`), 9))
	f.Add(packed[:len(packed)-4])
	f.Add([]byte{})
	fake := start(f, timpushtest.WithQuota(0))
	f.Fuzz(func(t *testing.T, packed []byte) {
		fx := fixture{TB: t, Server: fake.Server, client: fake.client}
		for _, text := range []string{escape(packed), string(packed)} {
			r := goodRequest(okBody)
			r.query.Set("usersig", text)
			a := fx.send(r)
			assertEnvelope(t, a)
			if a.Code == 0 {
				requireSigned(t, text)
			}
		}
	})
}

// requireSigned takes a signature apart with code of its own and signs its fields again.
func requireSigned(t *testing.T, text string) {
	t.Helper()
	packed, err := base64.StdEncoding.DecodeString(strings.NewReplacer("*", "+", "-", "/", "_", "=").Replace(text))
	require.NoError(t, err)
	r, err := zlib.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	fields := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	require.NoError(t, d.Decode(&fields))
	number := func(name string) int64 {
		n, err := fields[name].(json.Number).Int64()
		require.NoError(t, err)
		return n
	}
	s := signer{
		app: int(number("TLS.sdkappid")), user: fields["TLS.identifier"].(string), key: testKey,
		time: number("TLS.time"), expire: number("TLS.expire"),
	}
	s.buf, _ = fields["TLS.userbuf"].(string)
	assert.Equal(t, testApp, s.app)
	assert.Equal(t, testUser, s.user)
	assert.Equal(t, s.mac(), fields["TLS.sig"])
}

// FuzzBody looks for a body without a proper answer, and for one that leaves something illegal in the store.
func FuzzBody(f *testing.F) {
	for _, body := range []string{
		okBody, "", "{", "null", "[]", `{"UserAttrs":[]}`, `{"UserAttrs":[null]}`, users(2),
		entries("a", `{"sex":1}`), entries("a", `{"age":"1"}`), entries(uuid, `{"sex":"\ud800"}`), "\xff",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, opts := range [][]timpushtest.Option{nil, {
			timpushtest.WithInvalidAttrPerAccount(), timpushtest.WithLongValue(timpushtest.LongValueCut),
			timpushtest.WithDuplicates(timpushtest.DuplicatesListed), timpushtest.WithEmptyAccepted(),
			timpushtest.WithUnknownNamesIgnored(), timpushtest.WithPartialApply(), timpushtest.WithEscapedLength(),
		}} {
			fx := start(t, opts...)
			a := fx.post(string(body))
			assert.Equal(t, 200, a.HTTP)
			assertEnvelope(t, a)
			assert.Contains(t, []int{0, 60003, 90001, 90018, 90033}, a.Code)
			for _, account := range fx.Accounts() {
				for name, value := range fx.Attrs(account) {
					assert.Contains(t, []string{"sex", "city", "country"}, name)
					assert.LessOrEqual(t, len(value), 50)
				}
			}
			fx.Close()
		}
	})
}

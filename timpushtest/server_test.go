package timpushtest_test

import (
	"net/http"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func TestTransports(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		opts  []timpushtest.Option
		url   string
		proto string
	}{
		"TLS":            {nil, "https://127.0.0.1:", "HTTP/1.1"},
		"TLS, HTTP/2":    {[]timpushtest.Option{timpushtest.WithHTTP2()}, "https://127.0.0.1:", "HTTP/2.0"},
		"plain":          {[]timpushtest.Option{timpushtest.WithPlainHTTP()}, "http://127.0.0.1:", "HTTP/1.1"},
		"plain, HTTP/2":  {[]timpushtest.Option{timpushtest.WithPlainHTTP(), timpushtest.WithHTTP2()}, "http://127.0.0.1:", "HTTP/2.0"},
		"memory":         {[]timpushtest.Option{timpushtest.WithInMemory()}, "http://localhost", "HTTP/1.1"},
		"memory, HTTP/2": {[]timpushtest.Option{timpushtest.WithInMemory(), timpushtest.WithHTTP2()}, "http://localhost", "HTTP/2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := timpushtest.Start(t, tc.opts...)
			f := fixture{TB: t, Server: s, client: s.HTTPClient()}
			assert.Contains(t, s.URL, tc.url)
			for range 2 {
				assert.Equal(t, tc.proto, f.post(okBody).Proto)
			}
			assert.Equal(t, map[string]string{"sex": "male", "city": "ShenZhen"}, s.Attrs("xiaoming"))
			assert.Equal(t, 1, s.Connections())
			s.Close()
			s.Close()
			_, err := f.do(goodRequest(okBody)) //nolint:bodyclose // there is no answer
			require.Error(t, err)
			assert.Len(t, s.Calls(), 2, "readable after Close")
		})
	}
}

func TestCertificateIsNotTrustedByOthers(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	require.Error(t, err)
}

func TestOptionThatIsNil(t *testing.T) {
	t.Parallel()
	s := timpushtest.Start(t, nil, timpushtest.WithInMemory(), nil)
	_, err := s.Client().AttrNames(t.Context())
	require.NoError(t, err)
}

// A client sees a panic in a function of the test as a cut connection, so it must be seen elsewhere. Standard error is that of another process.
func TestPanicOfAFunctionIsShown(t *testing.T) {
	t.Parallel()
	const inChild = "TIMPUSHTEST_PANICS"
	if os.Getenv(inChild) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), inChild+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Contains(t, string(out), "panic in Handle")
		assert.Contains(t, string(out), "panic in Watch")
		assert.Contains(t, string(out), "server_test.go", "the stack")
		assert.NotContains(t, string(out), "TLS handshake", "what ends by a cut is not shown")
		return
	}
	for _, opts := range [][]timpushtest.Option{nil, {timpushtest.WithHTTP2()}} {
		s := timpushtest.Start(t, opts...)
		s.Handle(func(timpushtest.Call) timpushtest.Fault { panic("panic in Handle") })
		_, err := http.DefaultClient.Get(s.URL) //nolint:bodyclose,noctx // it does not trust the certificate
		require.Error(t, err)
		_, err = s.Client(timpush.WithMaxAttempts(1)).AttrNames(t.Context())
		require.Error(t, err)
		s.Handle(nil)
		s.Watch(func(timpushtest.Call) { panic("panic in Watch") })
		_, err = s.Client(timpush.WithMaxAttempts(1)).AttrNames(t.Context())
		require.Error(t, err)
	}
}

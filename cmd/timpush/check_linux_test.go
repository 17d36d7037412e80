package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// serverOf starts a TLS server that has the names of some hosts, and writes its certificate to w's folder as cert.pem.
func serverOf(t *testing.T, w *world, handler http.Handler, hosts ...string) *httptest.Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: hosts, IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	w.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// proxyTo starts a proxy that connects to a server, whatever the host, after some time, except for hosts that it cannot reach.
func proxyTo(t *testing.T, server *httptest.Server, takes time.Duration, unreachable map[string]bool) string {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(takes)
		if unreachable[r.URL.Hostname()] {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		to, err := (&net.Dialer{}).DialContext(context.WithoutCancel(r.Context()), "tcp", server.Listener.Addr().String())
		if !assert.NoError(t, err) {
			return
		}
		from, _, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
		_, _ = io.Copy(from, to)
		_ = from.Close()
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// TestCheckTriesBothHosts: behind a proxy that reaches both hosts of a region, one, or none.
func TestCheckTriesBothHosts(t *testing.T) {
	t.Parallel()
	host, backup := timpush.RegionSingapore.Host(), timpush.RegionSingapore.BackupHost()
	const remedy = "it must allow CONNECT to "
	for name, test := range map[string]struct {
		unreachable   map[string]bool
		want, without []string
	}{
		"both": {nil, []string{"ok    clock", "ok    backup clock", "WRONG key"}, []string{remedy}},
		"only the backup": {
			map[string]bool{host: true},
			[]string{"WRONG HTTP", remedy + host, "ok    backup clock", "The backup host can be reached: give --base-url https://" + backup}, []string{"key  "},
		},
		"only the first": {
			map[string]bool{backup: true}, []string{"ok    clock", "WRONG backup HTTP", remedy + backup, "WRONG key"}, []string{"The backup host can"},
		},
		"none": {
			map[string]bool{host: true, backup: true}, []string{"WRONG HTTP", "WRONG backup HTTP"}, []string{"The backup host can", "key  "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).without("TIMPUSH_BASE_URL")
			server := serverOf(t, w, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), host, backup)
			r := w.with("HTTPS_PROXY="+proxyTo(t, server, 0, test.unreachable), "SSL_CERT_FILE="+filepath.Join(w.dir, "cert.pem")).run("check")
			assert.Equal(t, 3, r.code, "no host is the service")
			for _, want := range test.want {
				assert.Contains(t, r.out, want)
			}
			for _, without := range test.without {
				assert.NotContains(t, r.out, without)
			}
		})
	}
}

// TestCheckHidesThePasswordOfAProxy: also of one that is not escaped, whose slash makes it the path of the URL.
func TestCheckHidesThePasswordOfAProxy(t *testing.T) {
	t.Parallel()
	for _, password := range []string{"s3cret", "s3/s3cret", "s3#s3cret"} {
		t.Run(password, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).without("TIMPUSH_BASE_URL")
			r := w.with("HTTPS_PROXY=http://ops:" + password + "@127.0.0.1:1").run("check")
			assert.Equal(t, 3, r.code)
			assert.NotContains(t, r.out+r.err, "s3cret")
		})
	}
}

// TestSlowConnectionsKeepTheQuota: requests that have waited for their connections do not leave together.
func TestSlowConnectionsKeepTheQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithLatency(100*time.Millisecond, 0)).without("TIMPUSH_BASE_URL").with("TIMPUSH_RATE=30")
	server := serverOf(t, w, w.fake, timpush.RegionSingapore.Host())
	w.with("HTTPS_PROXY="+proxyTo(t, server, time.Second, nil), "SSL_CERT_FILE="+filepath.Join(w.dir, "cert.pem"))
	w.write("u.csv", users(8000))
	r := w.run("set-attr", "--quiet", "u.csv")
	require.Equal(t, 0, r.code, r.err)
	assert.Less(t, w.fake.PeakRate(), 40, "the quota is 30, and this machine may be busy")
}

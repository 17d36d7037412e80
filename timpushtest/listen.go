package timpushtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"time"
)

// listen opens the listener that the settings ask for and starts serving.
func (s *Server) listen() {
	if s.settings.inMemory {
		l := newPipeListener()
		s.URL, s.dial = "http://localhost", l.dial
		s.serving.Go(func() { _ = s.http.Serve(l) })
		return
	}
	l := listenLoopback()
	addr := l.Addr().String()
	s.dial = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	if s.settings.plain {
		s.URL = "http://" + addr
		s.serving.Go(func() { _ = s.http.Serve(l) })
		return
	}
	s.URL = "https://" + addr
	cert, roots := newCertificate(s.settings.regionHost)
	s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.roots = roots
	s.serving.Go(func() { _ = s.http.ServeTLS(l, "", "") })
}

func listenLoopback() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l, err = net.Listen("tcp6", "[::1]:0")
	}
	if err != nil {
		panic(fmt.Sprintf("timpushtest: cannot listen: %v", err))
	}
	return l
}

// newCertificate makes a certificate for the loopback names and for host, if any, and the pool that trusts it.
func newCertificate(host string) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Organization: []string{"timpushtest"}},
		NotBefore:             time.Unix(0, 0), // wide, for tests that set the clock
		NotAfter:              time.Date(2084, 1, 29, 16, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if host != "" {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(err)
	leaf, err := x509.ParseCertificate(der)
	must(err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("timpushtest: %v", err))
	}
}

// protocols is what both the server and its clients speak.
func (set *settings) protocols() *http.Protocols {
	p := new(http.Protocols)
	switch {
	case !set.http2:
		p.SetHTTP1(true)
	case set.plain || set.inMemory:
		p.SetUnencryptedHTTP2(true)
	default:
		p.SetHTTP1(true)
		p.SetHTTP2(true)
	}
	return p
}

// connState counts connections and lets Close wait for them.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.accepted.Add(1)
		s.conns.Add(1)
		// One accepted while the server closes is unknown to http.Server.Close.
		if s.closed() {
			_ = c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	}
}

func (s *Server) closed() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// cutConn closes the transport under a request without notice: a reset on TCP, also beneath TLS and HTTP/2. The
// connection of another server is not known here.
func cutConn(ctx context.Context) {
	c, ok := ctx.Value(connKey{}).(net.Conn)
	if !ok {
		return
	}
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

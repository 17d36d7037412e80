package redislimiter_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxy is a loopback TCP proxy that delays what it forwards, each way by half of the round trip.
type proxy struct {
	addr   string
	target atomic.Pointer[string] // of new connections
	trip   time.Duration
	jitter float64      // of each way
	deaths atomic.Int64 // how often the connections have died
	resets bool         // those that have died, when they are used
}

func startProxy(t testing.TB, target string, trip time.Duration, jitter float64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a numeric loopback address never waits
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	p := &proxy{addr: l.Addr().String(), trip: trip, jitter: jitter}
	p.target.Store(&target)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

// dial connects to the proxy, whatever the address.
func (p *proxy) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, p.addr)
}

// letConnectionsDie forwards nothing more on the connections that there are, and does not close them.
func (p *proxy) letConnectionsDie() { p.deaths.Add(1) }

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", *p.target.Load()) //nolint:noctx // a numeric loopback address never waits
	if err != nil {
		_ = client.Close()
		return
	}
	deaths := p.deaths.Load()
	go p.forward(server, client, deaths)
	p.forward(client, server, deaths)
}

type delayed struct {
	data []byte
	at   time.Time
}

// forward copies one way of a connection, in order, until it dies.
func (p *proxy) forward(to, from net.Conn, deaths int64) {
	chunks := make(chan delayed, 1024)
	go func() {
		defer func() { _ = to.Close() }()
		for c := range chunks {
			time.Sleep(time.Until(c.at))
			if p.deaths.Load() > deaths {
				if tcp, ok := from.(*net.TCPConn); ok && p.resets {
					_ = tcp.SetLinger(0)
					_ = tcp.Close()
				}
				continue
			}
			if _, err := to.Write(c.data); err != nil {
				_ = from.Close()
			}
		}
	}()
	defer close(chunks)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			chunks <- delayed{append([]byte(nil), buffer[:n]...), time.Now().Add(p.way())}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) way() time.Duration {
	return time.Duration(float64(p.trip) / 2 * (1 + p.jitter*(2*rand.Float64()-1)))
}

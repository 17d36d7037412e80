package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// proxy passes connections on, and cuts or resets them now and then, in the middle of what it passes. It sees only encrypted
// bytes. Answers are late at times. Requests are not: one that reaches the service after the client has given it up may be
// carried out behind a later one, and no client can prevent that.
type proxy struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu     sync.Mutex
	random *rand.Rand
	open   map[net.Conn]bool
	closed bool
}

func newProxy(target string, seed uint64) *proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed
	if err != nil {
		panic(err)
	}
	p := &proxy{listener: listener, target: target, random: rand.New(rand.NewPCG(seed, 0)), open: map[net.Conn]bool{}}
	p.work.Go(p.serve)
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// close ends all connections, and waits for what passes them on.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target) //nolint:noctx // to loopback
		if err != nil {
			_ = client.Close()
			return
		}
		if !p.keep(client, server) {
			return
		}
		cut := func(reset bool) {
			if tcp, ok := client.(*net.TCPConn); ok && reset {
				_ = tcp.SetLinger(0)
			}
			p.drop(client, server)
		}
		p.work.Go(func() { p.pass(server, client, 0, cut) })
		p.work.Go(func() { p.pass(client, server, 15*time.Millisecond, cut) })
	}
}

// keep remembers connections, unless the proxy is closed.
func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if p.open[conn] = true; p.closed {
			_ = conn.Close()
		}
	}
	return !p.closed
}

func (p *proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(p.open, conn)
	}
}

// pass passes bytes on in one direction, until somebody ends it or chance does.
func (p *proxy) pass(to, from net.Conn, late time.Duration, cut func(reset bool)) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		delay, keep, end, reset := p.chance(n, late)
		time.Sleep(delay) //nolint:forbidigo // it ends soon
		if _, failed := to.Write(buffer[:keep]); failed != nil || err != nil || end {
			cut(reset && !errors.Is(err, io.EOF))
			return
		}
	}
}

// chance decides what becomes of n bytes: mostly nothing.
func (p *proxy) chance(n int, late time.Duration) (delay time.Duration, keep int, end, reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.random
	if late > 0 && r.IntN(10) == 0 {
		delay = time.Duration(r.Int64N(int64(late)))
	}
	if r.IntN(150) == 0 { // in the middle of what was read
		return delay, r.IntN(n + 1), true, r.IntN(2) == 0
	}
	return delay, n, false, false
}

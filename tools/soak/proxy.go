package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// proxy forwards connections, and now and then closes or resets one in the middle of the bytes. Those to the service are encrypted. Answers
// are late at times, or always. Requests are not: one that reaches the service after the client has abandoned it may be applied after a
// later one, and no client can prevent that.
type proxy struct {
	listener net.Listener
	target   string
	far      time.Duration   // how late each answer is
	ctx      context.Context // ends with the proxy
	cancel   func()
	work     sync.WaitGroup

	mu     sync.Mutex
	random *rand.Rand
}

func newProxy(target string, seed uint64, far time.Duration) *proxy {
	listener := must(net.Listen("tcp", "127.0.0.1:0")) //nolint:noctx // it is closed
	p := &proxy{listener: listener, target: target, far: far, random: rand.New(rand.NewPCG(seed, 0))}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.work.Go(p.serve)
	return p
}

// close ends all connections and waits for their goroutines.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.cancel()
	p.work.Wait()
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.connect(client) })
	}
}

// connect forwards a connection in both directions until one of them ends.
func (p *proxy) connect(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		return
	}
	end := sync.OnceFunc(func() { _, _ = client.Close(), server.Close() })
	defer context.AfterFunc(p.ctx, end)()
	var both sync.WaitGroup
	both.Go(func() { defer end(); p.forward(server, client, client, 0) })
	both.Go(func() { defer end(); p.forward(client, server, client, 15*time.Millisecond) })
	both.Wait()
}

// forward copies bytes in one direction, until a connection ends or chance ends it.
func (p *proxy) forward(to, from, client net.Conn, late time.Duration) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		delay, keep, end, reset := p.chance(n, late)
		time.Sleep(delay) //nolint:forbidigo // it ends soon
		if _, failed := to.Write(buffer[:keep]); failed != nil || err != nil || end {
			if tcp, ok := client.(*net.TCPConn); ok && reset && !errors.Is(err, io.EOF) {
				_ = tcp.SetLinger(0)
			}
			return
		}
	}
}

// chance decides about n bytes: mostly they are forwarded at once.
func (p *proxy) chance(n int, late time.Duration) (delay time.Duration, keep int, end, reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.random
	if late > 0 {
		delay = p.far
	}
	if late > 0 && r.IntN(10) == 0 {
		delay += time.Duration(r.Int64N(int64(late)))
	}
	if r.IntN(150) == 0 { // in the middle of what was read
		return delay, r.IntN(n + 1), true, r.IntN(2) == 0
	}
	return delay, n, false, false
}

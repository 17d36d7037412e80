package redislimiter

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// node is the client of one Redis.
type node interface {
	redis.Scripter
	Options() *redis.Options
	PoolStats() *redis.PoolStats
}

// cluster is the client of a cluster.
type cluster interface{ ReloadState(ctx context.Context) }

// nodeOf returns a function that finds the node that has the key, and may ask a cluster for it, or nil if rdb is of another kind.
func nodeOf(rdb redis.Scripter, key string) func(context.Context) (node, error) {
	switch rdb := rdb.(type) {
	case node:
		return func(context.Context) (node, error) { return rdb, nil }
	case interface {
		MasterForKey(ctx context.Context, key string) (*redis.Client, error)
	}:
		return func(ctx context.Context) (node, error) { return rdb.MasterForKey(ctx, key) }
	case interface {
		GetShardClientForKey(key string) (*redis.Client, error)
	}:
		return func(context.Context) (node, error) { return rdb.GetShardClientForKey(key) }
	}
	return nil
}

// dialIfSlow tries to connect to a Redis that has not answered for half of the timeout, and sends the outcome: go-redis
// repeats a connection that was refused until the timeout, and does not say so then. The channel is nil if there is no
// address. A httptrace.ClientTrace of the caller is not to be told of this connection: its call may be over.
func (l *Limiter) dialIfSlow(ctx context.Context) (dialed <-chan error, stop func() bool) {
	if l.node == nil {
		return nil, func() bool { return true }
	}
	outcome := make(chan error, 1)
	timer := time.AfterFunc(l.timeout/2, func() {
		defer func() { _ = recover() }() // of a Dialer of the program: go-redis makes an error of it when it dials
		dialing, cancel := context.WithCancel(context.Background())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		err := l.dial(dialing)
		if ctx.Err() == nil {
			outcome <- err
		}
	})
	return outcome, timer.Stop
}

func (l *Limiter) dial(ctx context.Context) error {
	node, err := l.node(ctx)
	if err != nil {
		return err
	}
	o := node.Options()
	conn, err := o.Dialer(ctx, o.Network, o.Addr)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// silence says why Redis has not answered in time.
func (l *Limiter) silence(dialed <-chan error) error {
	l.useIdle()
	select {
	case err := <-dialed:
		if err != nil {
			return withoutSecrets(err)
		}
	default:
		if dialed != nil {
			return fmt.Errorf("no connection within %v", l.timeout)
		}
	}
	return fmt.Errorf("no answer within %v", l.timeout)
}

// useIdle asks over each idle connection, when Redis has just become silent or a replica: those that have died silently are closed when the
// timeout of go-redis ends, and those to a replica at once, and the next question gets a new one. Otherwise each question would find another of
// them, and take its whole time.
func (l *Limiter) useIdle() {
	l.mu.Lock()
	first := l.node != nil && l.down == nil && !l.usingIdle
	if first {
		l.usingIdle = true
	}
	l.mu.Unlock()
	if !first {
		return
	}
	args := l.arguments(request{calls: 1, patience: noSlot})
	go func() {
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.usingIdle = false
			_ = recover() // as below
		}()
		ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
		defer cancel()
		node, err := l.node(ctx)
		if err != nil {
			return
		}
		var all sync.WaitGroup
		for range node.PoolStats().IdleConns {
			all.Go(func() {
				defer func() { _ = recover() }() // of a hook of the client; the next question panics in the caller's goroutine
				_, _ = l.run(ctx, node, args)
			})
		}
		all.Wait()
	}()
}

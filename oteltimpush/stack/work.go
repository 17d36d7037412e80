package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/timpushtest"
)

// work does what a service does with a client, until ctx ends. Logs and metrics show the results of its calls.
func work(ctx context.Context, queue *dispatch.Queue, opts ...timpush.Option) {
	service := timpushtest.NewServer(timpushtest.WithLatency(80*time.Millisecond, 40*time.Millisecond))
	defer service.Close()
	service.Refuse(int(timpush.ErrNoSuchAccount), account(13))
	service.Handle(func(timpushtest.Call) timpushtest.Fault { return mishap() })
	opts = append([]timpush.Option{timpush.WithAttemptTimeout(4 * time.Second), timpush.WithMaxAttempts(2)}, opts...)
	client := service.Client(opts...)
	batcher := timpush.NewBatcher(client)

	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { every(ctx, 50*time.Millisecond, func() { _ = batcher.SetAttr(ctx, someone()) }) })
	}
	all.Go(func() { every(ctx, 300*time.Millisecond, func() { _, _ = client.SetAttr(ctx, many(450)) }) })
	all.Go(func() {
		every(ctx, 300*time.Millisecond, func() { _, _ = client.GetAttr(ctx, []string{account(1), account(2)}) })
	})
	all.Go(func() { _ = queue.Run(ctx, client) })
	all.Go(func() { every(ctx, 50*time.Millisecond, func() { _ = queue.SetAttr(ctx, someone()) }) })
	all.Wait()
	_ = batcher.Close(ctx)
}

// mishap is now and then one of those that happen to the real service.
func mishap() timpushtest.Fault {
	switch n := rand.IntN(1000); {
	case n < 40:
		return timpushtest.ErrorCode(int(timpush.ErrInternal))
	case n < 60:
		return timpushtest.Status(502)
	case n < 75:
		return timpushtest.CutAfter()
	case n < 77:
		return timpushtest.ErrorCode(int(timpush.ErrRateLimited))
	case n < 78:
		return timpushtest.Hang()
	}
	return timpushtest.Fault{}
}

// every calls f until ctx ends, with a pause between the calls.
func every(ctx context.Context, pause time.Duration, f func()) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

func account(n int) string { return fmt.Sprintf("user-%d", n) }

func someone() timpush.UserAttrs {
	cities := [...]string{"ShenZhen", "Singapore", "Frankfurt", "Jakarta"}
	return timpush.UserAttrs{ToAccount: account(rand.IntN(10000)), Attrs: timpush.Attrs{"city": cities[rand.IntN(len(cities))]}}
}

func many(n int) []timpush.UserAttrs {
	users := make([]timpush.UserAttrs, n)
	for i := range users {
		users[i] = someone()
	}
	return users
}

package redislimiter_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/redislimiter"
	"github.com/timpush/timpush-go/timpushtest"
)

func Example() {
	server := timpushtest.NewServer() // stands for the service
	defer server.Close()
	engine, err := miniredis.Run() // stands for Redis
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()

	rdb := redis.NewClient(&redis.Options{Addr: engine.Addr()})
	defer func() { _ = rdb.Close() }()
	cfg := server.Config()
	limiter, err := redislimiter.New(rdb, cfg.SDKAppID)
	if err != nil {
		fmt.Println(err)
		return
	}
	// As a limiter it reserves a slot for each call, as an observer it learns of throttle codes.
	client, err := timpush.NewClient(cfg, timpush.WithLimiter(limiter), timpush.WithObserver(limiter),
		timpush.WithBaseURL(server.URL), timpush.WithHTTPClient(server.HTTPClient()))
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := client.SetAttr(context.Background(), []timpush.UserAttrs{
		{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}},
	})
	fmt.Println(result.Done, err)
	// Output: 1 <nil>
}

// Four replicas continue with a quarter of the quota each while Redis is down.
func ExampleWithFallback() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer func() { _ = rdb.Close() }()
	limiter, err := redislimiter.New(rdb, 1400000000, redislimiter.WithFallback(1.0/4))
	fmt.Println(limiter != nil, err)
	// Output: true <nil>
}

// All processes together send to at most 800 recipients a second, 400 at a time.
func ExampleLimiter_WaitN() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer func() { _ = rdb.Close() }()
	limiter, err := redislimiter.New(rdb, 1400000000,
		redislimiter.WithEndpoint("v4/timpush/batch"), redislimiter.WithQuota(800))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := limiter.WaitN(context.Background(), 400); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("400 may be sent now")
}

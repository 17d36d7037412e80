package redislimiter_test

import (
	"github.com/redis/go-redis/v9"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/redislimiter"
)

// What README.md shows, word for word, so that it compiles: `make docs` looks for it here.
var _ = func(cfg timpush.Config) error {
	rdb := redis.NewClient(&redis.Options{Addr: "redis:6379"})
	limiter, err := redislimiter.New(rdb, cfg.SDKAppID)
	if err != nil {
		return err
	}
	client, err := timpush.NewClient(cfg, timpush.WithLimiter(limiter), timpush.WithObserver(limiter))
	if err != nil {
		return err
	}
	_ = client
	return nil
}

var _ = func(cfg timpush.Config, limiter *redislimiter.Limiter, observer timpush.Observer) error {
	client, err := timpush.NewClient(cfg,
		timpush.WithLimiter(limiter),
		timpush.WithObserver(limiter), // reacts to throttle codes
		timpush.WithObserver(observer))
	_ = client
	return err
}

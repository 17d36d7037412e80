package oteltimpush_test

import (
	"context"
	"log"
	"time"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/oteltimpush"
)

// What README.md shows, word for word, so that it compiles: `make docs` looks for it here.
var _ = func(config timpush.Config) *timpush.Client {
	observer, err := oteltimpush.New()
	if err != nil {
		log.Fatal(err)
	}
	client, err := timpush.NewClient(config, timpush.WithObserver(observer))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// limiter is what redislimiter.New returns.
type limiter interface {
	timpush.Limiter
	timpush.Observer
}

var _ = func(config timpush.Config, limiter limiter, observer *oteltimpush.Observer) (*timpush.Client, error) {
	client, err := timpush.NewClient(config,
		timpush.WithLimiter(limiter),
		timpush.WithObserver(limiter),
		timpush.WithObserver(observer))
	return client, err
}

var _ = func(config timpush.Config, limiter timpush.Limiter, observer *oteltimpush.Observer) (*timpush.Client, error) {
	client, err := timpush.NewClient(config,
		timpush.WithLimiter(observer.WatchLimiter("users", limiter)),
		timpush.WithObserver(observer))
	return client, err
}

// queueStats has the fields of dispatch.Stats that are needed. The stack calls the real one.
type queueStats struct {
	Backlog, Waiting, DeadLetters, Lost int
	Oldest                              time.Duration
	Bytes, MaxBytes                     int64
	Paused                              string
}

var _ = func(observer *oteltimpush.Observer, queue interface {
	Stats(context.Context) (queueStats, error)
},
) {
	observer.WatchQueue(func(ctx context.Context) (oteltimpush.QueueStats, error) {
		s, err := queue.Stats(ctx)
		return oteltimpush.QueueStats{Backlog: s.Backlog, Oldest: s.Oldest, Waiting: s.Waiting, DeadLetters: s.DeadLetters,
			Lost: s.Lost, Bytes: s.Bytes, MaxBytes: s.MaxBytes, Paused: s.Paused != ""}, err
	})
}

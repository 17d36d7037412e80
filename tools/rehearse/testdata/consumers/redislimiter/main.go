package main

import (
	"context"
	"fmt"
	"log"

	"github.com/redis/go-redis/v9"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/redislimiter"
	"github.com/timpush/timpush-go/timpushtest"
)

func main() {
	fake := timpushtest.NewServer()
	defer fake.Close()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // where no Redis is
	limiter, err := redislimiter.New(rdb, fake.Config().SDKAppID, redislimiter.WithFallback(1))
	if err != nil {
		log.Fatal(err)
	}
	client := fake.Client(timpush.WithLimiter(limiter), timpush.WithObserver(limiter))
	users := []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}}}
	if _, err := client.SetAttr(context.Background(), users); err != nil {
		log.Fatal(err)
	}
	fmt.Println(fake.Calls()[0].Header.Get("User-Agent"))
}

package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/timpushtest"
)

func main() {
	fake := timpushtest.NewServer()
	defer fake.Close()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	queue, err := dispatch.OpenEmbedded(ctx, "queue", fake.Config().SDKAppID)
	if err != nil {
		log.Fatal(err)
	}
	if err := queue.SetAttr(ctx, timpush.UserAttrs{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}}); err != nil {
		log.Fatal(err)
	}
	fake.Watch(func(timpushtest.Call) { stop() }) // one request is all
	if err := queue.Run(ctx, fake.Client()); err != nil {
		log.Fatal(err)
	}
	if err := queue.Close(); err != nil {
		log.Fatal(err)
	}
	if fake.Attrs("mary")["city"] != "Rome" {
		log.Fatal("it was not sent in time")
	}
	fmt.Println(fake.Calls()[0].Header.Get("User-Agent"))
}

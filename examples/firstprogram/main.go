package main

import (
	"context"
	"log"
	"os"

	"github.com/timpush/timpush-go"
)

func main() {
	var opts []timpush.Option
	if base := os.Getenv("TIMPUSH_BASE_URL"); base != "" { // that of a fake, for example
		opts = append(opts, timpush.WithBaseURL(base))
	}
	client, err := timpush.NewClient(timpush.Config{
		SDKAppID: 1400000000, Identifier: "administrator",
		SecretKey: os.Getenv("TIMPUSH_SECRET_KEY"), Region: timpush.RegionSingapore,
	}, opts...)
	if err != nil {
		log.Fatal(err)
	}
	users := []timpush.UserAttrs{{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}}}
	result, err := client.SetAttr(context.Background(), users)
	if err != nil {
		log.Fatal(err)
	}
	log.Println("users done:", result.Done)
}

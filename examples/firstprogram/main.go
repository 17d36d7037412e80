package main

import (
	"context"
	"fmt"
	"os"

	"github.com/timpush/timpush-go"
)

func main() {
	client, err := timpush.NewClient(timpush.Config{
		SDKAppID:   1400000000,
		Identifier: "administrator",
		SecretKey:  os.Getenv("TIMPUSH_SECRET_KEY"),
		Region:     timpush.RegionSingapore,
	})
	if err == nil {
		_, err = client.SetAttr(context.Background(), []timpush.UserAttrs{
			{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}},
		})
	}
	fmt.Println("error:", err)
}

package main

import (
	"context"
	"fmt"
	"log"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func main() {
	fake := timpushtest.NewServer()
	defer fake.Close()
	users := []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}}}
	if _, err := fake.Client().SetAttr(context.Background(), users); err != nil {
		log.Fatal(err)
	}
	fmt.Println(fake.Calls()[0].Header.Get("User-Agent"))
}

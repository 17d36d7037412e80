package timpush_test

import (
	"context"
	"fmt"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// What a program computed as empty never reaches everybody.
func ExampleAudience() {
	server := timpushtest.NewServer()
	defer server.Close()
	var tags []string // of a query that found none
	for _, to := range []timpush.Audience{{TagsOr: tags}, {TagsOr: append([]string{}, tags...)}} {
		_, err := server.Client().Push(context.Background(), to, timpush.Push{Notification: timpush.Notification{Title: "Hello"}})
		fmt.Println(err)
	}
	fmt.Println(len(server.Calls()), "requests")
	// Output:
	// timpush: invalid input, nothing was sent: Audience: is empty, want Everybody, tags or attributes
	// timpush: invalid input, nothing was sent: Audience.TagsOr: is empty but not nil, want tags, or nil for no condition
	// 0 requests
}

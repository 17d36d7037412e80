package timpush_test

import (
	"context"
	"fmt"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// The figures of a push grow for as long as devices come online and users click.
func ExampleClient_PushStats() {
	server := timpushtest.NewServer(timpushtest.WithKnownAccounts("mary", "bob", "ann"), timpushtest.WithReach(100, 67, 34))
	defer server.Close()
	ctx, client := context.Background(), server.Client()
	receipt, err := client.Push(ctx, timpush.Audience{Everybody: true}, timpush.Push{Notification: timpush.Notification{Title: "Hello"}})
	if err != nil {
		fmt.Println(err)
		return
	}

	to := time.Now().Add(time.Second)
	stats, err := client.PushStats(ctx, to.Add(-24*time.Hour), to, receipt.TaskID)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, push := range stats {
		fmt.Println(push.TotalCount, "devices,", push.SentCount, "sent,", push.DeliveredCount, "reached,", push.ClickCount, "clicked")
	}
	// Output: 3 devices, 3 sent, 3 reached, 2 clicked
}

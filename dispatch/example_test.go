package dispatch_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/timpushtest"
)

func Example() {
	fake := timpushtest.NewServer() // in place of the push service
	defer fake.Close()
	client := fake.Client()
	folder, err := os.MkdirTemp("", "dispatch")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	queue, err := dispatch.OpenEmbedded(ctx, folder, 1400000000)
	if err != nil {
		log.Print(err)
		return
	}
	running := make(chan error)
	go func() { running <- queue.Run(ctx, client) }()

	err = queue.SetAttr(ctx, timpush.UserAttrs{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}})
	fmt.Println("stored:", err == nil)

	for fake.Attrs("xiaoming") == nil { // a service would go on with its work
		time.Sleep(time.Millisecond)
	}
	fmt.Println("sent:", fake.Attrs("xiaoming")["city"])

	stop() // before Close, so that the requests in flight end
	fmt.Println("ended:", <-running, queue.Close())
	// Output:
	// stored: true
	// sent: ShenZhen
	// ended: <nil> <nil>
}

func ExampleQueue_DeadLetters() {
	var queue *dispatch.Queue // of OpenEmbedded or Open
	putBack := func(ctx context.Context) error {
		for letter, err := range queue.DeadLetters(ctx) {
			if err != nil {
				return err
			}
			if letter.Code != timpush.ErrInvalidAttr { // the names of the app's attributes have been corrected
				continue
			}
			if err := queue.PutBack(ctx, letter.ID); err != nil {
				return err
			}
		}
		return nil
	}
	_ = putBack
}

package dispatch_test

import (
	"context"
	"log"
	"sync"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
)

// What README.md shows, word for word, so that it compiles: `make docs` looks for it here.
var _ = func(ctx context.Context, client *timpush.Client, sdkAppID int) error {
	queue, err := dispatch.OpenEmbedded(ctx, "/var/lib/myservice/timpush", sdkAppID)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	running.Go(func() { log.Println(queue.Run(ctx, client)) }) // sends until ctx ends

	err = queue.SetAttr(ctx, timpush.UserAttrs{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}})
	// nil: stored durably. The answer of the push service comes later.

	running.Wait()
	if err := queue.Close(); err != nil {
		log.Println(err)
	}
	return err
}

package dispatch_test

import (
	"context"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
)

var _ = readme

// readme is what README.md shows, word for word, so that it compiles: `make docs` looks for it here.
func readme(ctx context.Context, client *timpush.Client, sdkAppID int) error { //nolint:errcheck // a README is short: a service looks at what Run returns
	queue, err := dispatch.OpenEmbedded(ctx, "/var/lib/myservice/timpush", sdkAppID)
	if err != nil {
		return err
	}
	go queue.Run(ctx, client) // sends until ctx ends

	err = queue.SetAttr(ctx, timpush.UserAttrs{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}})
	// nil: stored durably. The answer of the push service comes later.
	return err
}

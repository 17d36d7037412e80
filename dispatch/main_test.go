package dispatch_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
)

var (
	figures   = flag.Bool("figures", false, "measure the figures of the README, which takes minutes")
	elections = flag.Int("elections", 0, "how many times a server is killed to measure elections of leaders; 0: not measured")
	freezes   = flag.Int("freezes", 0, "how many times the active dispatcher is frozen; 0: not tried, since it needs a machine that stores faster than it sends")
	kills     = flag.Int("kills", 20, "how many processes each figure with kills kills")

	testProgram = os.Args[0]
)

// TestMain lets the test program be a server or a worker that a test can kill.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv("DISPATCH_ROLE") {
	case "server":
		err = serveCluster(os.Getenv("CONFIG"))
	case "worker":
		err = work(os.Getenv("NATS"), os.Getenv("FAKE"), os.Getenv("LEASE"))
	case "filler":
		err = fill(os.Getenv("FOLDER"))
	default:
		flag.Parse()
		_ = flag.Set("test.parallel", "8") // most tests wait most of the time
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// work runs a dispatcher until it is killed. With a lease it sends slowly, so that there is a backlog on any machine.
func work(nats, fake, lease string) error {
	conn, js, err := connect(nats)
	if err != nil {
		return err
	}
	defer conn.Close()
	var opts []dispatch.Option
	limiter := timpush.NewLimiter(97.5)
	if d, err := time.ParseDuration(lease); err == nil {
		opts = append(opts, dispatch.WithLease(d))
		limiter = timpush.NewLimiter(20)
	}
	c, err := timpush.NewClient(fakeConfig(), timpush.WithBaseURL(fake), timpush.WithLimiter(limiter))
	if err != nil {
		return err
	}
	ctx := context.Background()
	q, err := dispatch.Open(ctx, js, appID, opts...)
	if err != nil {
		return err
	}
	return q.Run(ctx, c)
}

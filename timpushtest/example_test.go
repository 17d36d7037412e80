package timpushtest_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timpush/timpush-go/timpushtest"
)

func ExampleServer_Handle() {
	fake := timpushtest.NewServer()
	defer fake.Close()

	// Every third request is lost on its way, and every other that carries Mary takes two seconds.
	fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		switch {
		case len(fake.Calls())%3 == 0:
			return timpushtest.CutBefore()
		case slices.Contains(c.Accounts, "Mary"):
			return timpushtest.Delay(2*time.Second, timpushtest.Fault{})
		default:
			return timpushtest.Fault{}
		}
	})
}

func ExampleWithInMemory() {
	var t *testing.T // the parameter of a test

	synctest.Test(t, func(t *testing.T) {
		fake := timpushtest.Start(t, timpushtest.WithInMemory(), timpushtest.WithLatency(200*time.Millisecond, 0))
		client := fake.HTTPClient()
		client.Timeout = 10 * time.Second // of the clock of the bubble
		// A thousand requests made with client now take no real time.
	})
}

package timpushtest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timpush/timpush-go/timpushtest"
)

func ExampleServer_Handle() {
	fake := timpushtest.NewServer()
	defer fake.Close()

	// Every third request is lost on its way, every request for Mary takes two seconds.
	fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if len(fake.Calls())%3 == 0 {
			return timpushtest.CutBefore()
		}
		for _, account := range c.Accounts {
			if account == "Mary" {
				return timpushtest.Delay(2*time.Second, timpushtest.Fault{})
			}
		}
		return timpushtest.Fault{}
	})

	fmt.Println(len(fake.Calls()), fake.Attrs("Mary") == nil)
	// Output: 0 true
}

func ExampleWithInMemory() {
	var t *testing.T // that of the test
	if t == nil {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		fake := timpushtest.Start(t, timpushtest.WithInMemory(), timpushtest.WithLatency(200*time.Millisecond, 0))
		client := fake.HTTPClient()
		client.Timeout = 10 * time.Second // of the clock of the bubble
	})
}

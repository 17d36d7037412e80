package unittest_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/examples/unittest"
	"github.com/timpush/timpush-go/timpushtest"
)

func TestLanguageIsSet(t *testing.T) {
	t.Parallel()
	server := timpushtest.Start(t, timpushtest.WithAttrNames("language"))
	greeter := unittest.Greeter{Push: server.Client()}
	if err := greeter.SetLanguage(t.Context(), map[string]string{"xiaoming": "zh", "mary": "en"}); err != nil {
		t.Fatal(err)
	}
	if got := server.Attrs("mary")["language"]; got != "en" {
		t.Errorf("mary speaks %q", got)
	}
}

func TestUnknownUserIsReported(t *testing.T) {
	t.Parallel()
	server := timpushtest.Start(t, timpushtest.WithAttrNames("language"), timpushtest.WithKnownAccounts("xiaoming"))
	greeter := unittest.Greeter{Push: server.Client()}
	err := greeter.SetLanguage(t.Context(), map[string]string{"xiaoming": "zh", "mary": "en"})
	if !errors.Is(err, timpush.ErrNoSuchAccount) {
		t.Errorf("got %v", err)
	}
}

// An outage of 5 seconds takes no time in a bubble of testing/synctest, with the fake in memory.
func TestShortOutageDelaysOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := timpushtest.Start(t, timpushtest.WithInMemory(), timpushtest.WithAttrNames("language"))
		end := time.Now().Add(5 * time.Second)
		server.Handle(func(timpushtest.Call) timpushtest.Fault {
			if time.Now().Before(end) {
				return timpushtest.Status(502)
			}
			return timpushtest.Fault{}
		})
		greeter := unittest.Greeter{Push: server.Client(timpush.WithMaxAttempts(20))}
		if err := greeter.SetLanguage(t.Context(), map[string]string{"mary": "en"}); err != nil {
			t.Fatal(err)
		}
	})
}

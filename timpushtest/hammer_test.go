package timpushtest_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// TestEverythingAtOnce: all methods of a fake while requests arrive and while it closes.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]timpushtest.Option{
		"memory": {timpushtest.WithInMemory()}, "TLS": nil, "plain": {timpushtest.WithPlainHTTP(), timpushtest.WithKeptCalls(3)},
		"HTTP/2": {timpushtest.WithHTTP2()}, "worst": {timpushtest.WithPlainHTTP(), timpushtest.WithVariant(timpushtest.WorstCase())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := timpushtest.NewServer(append(opts, timpushtest.WithQuota(0))...)
			stop := make(chan struct{})
			var g sync.WaitGroup
			loop := func(f func()) {
				g.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							f()
						}
					}
				})
			}
			s.Watch(func(timpushtest.Call) { s.Calls(); s.Pushes() })
			bodies := map[string]string{
				"set_attr": okBody, "get_attr": `{"To_Account":["xiaoming"]}`, "add_tag": `{"UserTags":[{"To_Account":"xiaoming","Tags":["a"]}]}`,
				"push": `{"From_Account":"a","MsgRandom":1,"OfflinePushInfo":{"Title":"x"}}`, "list_sched_task": `{}`, "get_attr_name": `{}`,
				"batch": `{"From_Account":"a","To_Account":["xiaoming"],"MsgRandom":1,"OfflinePushInfo":{"Title":"x"}}`,
			}
			client := s.HTTPClient()
			id, user, key := s.App()
			sign := newSigner()
			sign.app, sign.user, sign.key = id, user, key
			for command, body := range bodies {
				loop(func() {
					r := goodCall(command, body)
					r.query.Set("usersig", sign.sig())
					r.query.Set("identifier", user)
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+r.path+"?"+r.query.Encode(), strings.NewReader(body))
					require.NoError(t, err)
					if resp, err := client.Do(req); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
				})
			}
			loop(func() {
				s.Handle(func(timpushtest.Call) timpushtest.Fault { s.Attrs("xiaoming"); return timpushtest.Fault{} })
			})
			loop(func() {
				s.Handle(nil)
				s.Inject(timpushtest.CutBefore(), timpushtest.Hang(), timpushtest.HangApplied())
				time.Sleep(time.Millisecond)
			})
			loop(func() { s.Refuse(90035, "xiaoming"); s.Refuse(0, "xiaoming"); s.Poison(90001, "a"); s.Poison(0, "a") })
			loop(func() {
				s.Tags("xiaoming")
				s.Tasks()
				s.RunTasks(time.Now())
				s.AttrNames()
				s.Accounts()
				s.NumAccounts()
				s.PeakRate()
			})
			loop(func() {
				for _, p := range s.Pushes() {
					s.PushEvents(p.TaskID)
				}
				time.Sleep(time.Millisecond)
			})
			time.Sleep(50 * time.Millisecond)
			s.Close()
			s.Close()
			close(stop)
			g.Wait()
		})
	}
}

package main

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// TestBulk measures how much of the quota a stream uses, and what loops without a client use.
func TestBulk(t *testing.T) { //nolint:paralleltest // it measures
	ours := runBulk(t, "SetAttrSeq", scaled(t, time.Minute), func(ctx context.Context, s *timpushtest.Server) ([]answered, error) {
		return stream(ctx, s.Client())
	})
	runBulk(t, "pool", scaled(t, 15*time.Second), pool(t, 32))
	runBulk(t, "loop", scaled(t, 15*time.Second), pool(t, 1))
	undone := 0
	for _, a := range ours.answers {
		undone += a.undone
	}
	report(t, "share", ours.rate()/fullRate)
	report(t, "peak", float64(ours.server.PeakRate()))
	report(t, "refused", float64(refusedOf(ours.server.Calls())))
	report(t, "undone", float64(undone))
}

// bulkRun is a time in which one sender sent all it could.
type bulkRun struct {
	server   *timpushtest.Server
	answers  []answered
	from, to time.Time
}

func (r bulkRun) rate() float64 { return ratePerSecond(r.answers, r.from, r.to) }

func runBulk(t *testing.T, name string, length time.Duration, send func(context.Context, *timpushtest.Server) ([]answered, error)) bulkRun {
	t.Helper()
	r := bulkRun{server: distantFake(t), to: time.Now().Add(length)}
	var err error
	if r.answers, err = send(until(t, r.to), r.server); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	calls := r.server.Calls()
	if len(calls) == 0 {
		t.Fatalf("%s: no call arrived in %v", name, length)
	}
	r.from = calls[0].Time
	n := float64(len(calls))
	report(t, name, r.rate(), n, float64(refusedOf(calls))/n, float64(r.server.PeakRate()))
	return r
}

// pool returns a sender of several loops on net/http. A loop repeats at once what is refused.
func pool(t *testing.T, workers int) func(context.Context, *timpushtest.Server) ([]answered, error) {
	t.Helper()
	return func(ctx context.Context, s *timpushtest.Server) ([]answered, error) {
		bare := newBareCaller(t, s)
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		each := make([][]answered, workers)
		var next atomic.Int64
		var all sync.WaitGroup
		for k := range workers {
			all.Go(func() {
				for ctx.Err() == nil {
					from := int(next.Add(timpush.MaxUsersPerRequest)) % accounts
					if err := bare.insist(ctx, bodyOf(someUsers(from, timpush.MaxUsersPerRequest))); err != nil {
						stop(err) // does nothing if ctx has ended, which then is the reason
						return
					}
					each[k] = append(each[k], answered{time.Now(), timpush.MaxUsersPerRequest, 0})
				}
			})
		}
		all.Wait()
		return slices.Concat(each...), failure(ctx)
	}
}

// bareAgent tells the calls of a bareCaller from those of a client.
const bareAgent = "bare"

// bareCaller calls a fake with net/http alone, as a program without a client library does.
type bareCaller struct {
	http *http.Client
	url  string
}

func newBareCaller(t *testing.T, s *timpushtest.Server) *bareCaller {
	t.Helper()
	b := &bareCaller{http: s.HTTPClient()}
	keep := transportFunc(func(r *http.Request) (*http.Response, error) {
		b.url = r.URL.String() // with a UserSig
		return acceptAll(r)
	})
	_, err := s.Client(timpush.WithHTTPClient(&http.Client{Transport: keep})).SetAttr(t.Context(), someUsers(0, 1))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// insist sends a request until it is accepted.
func (b *bareCaller) insist(ctx context.Context, body []byte) error {
	for {
		code, err := b.post(ctx, body)
		if err != nil || code == 0 {
			return err
		}
	}
}

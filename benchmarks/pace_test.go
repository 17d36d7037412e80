package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/timpush/timpush-go/timpushtest"
)

const (
	othersRate = 50 // calls per second
	recovered  = 95 // calls per second
)

// second counts the calls that arrived in a second.
type second struct{ accepted, refused, others float64 }

// TestPace measures how a client shares the quota with others that it does not know of.
func TestPace(t *testing.T) { //nolint:paralleltest // it measures
	steady, alone, length := scaled(t, 20*time.Second), scaled(t, 80*time.Second), scaled(t, 120*time.Second)
	server := distantFake(t)
	others := newBareCaller(t, server)
	began := time.Now()
	ctx := until(t, began.Add(length))
	othersFailed := make(chan error, 1)
	go func() { othersFailed <- others.steadily(ctx, alone) }()
	_, err := stream(ctx, server.Client())
	if err := errors.Join(err, <-othersFailed); err != nil {
		t.Fatal(err)
	}
	seconds := countSeconds(server.Calls(), began, length)
	from, to := int(steady/time.Second), int(alone/time.Second)
	var sum second
	for _, s := range seconds[from:to] {
		sum = second{sum.accepted + s.accepted, sum.refused + s.refused, sum.others + s.others}
	}
	n := float64(to - from)
	report(t, "used", sum.accepted/n/(quota-othersRate))
	report(t, "refused", sum.refused/(sum.accepted+sum.refused))
	report(t, "others", sum.others/n)
	recovery := slices.IndexFunc(seconds[to:], func(s second) bool { return s.accepted >= recovered })
	if recovery < 0 {
		recovery = len(seconds) // never in this run
	}
	report(t, "recovery", float64(recovery+1))
}

func countSeconds(calls []timpushtest.Call, began time.Time, length time.Duration) []second {
	seconds := make([]second, int(length/time.Second))
	for _, c := range calls {
		i := int(c.Time.Sub(began) / time.Second)
		if i >= len(seconds) {
			break
		}
		switch {
		case c.Header.Get("User-Agent") == bareAgent:
			seconds[i].others++
		case c.Code != 0:
			seconds[i].refused++
		default:
			seconds[i].accepted++
		}
	}
	return seconds
}

// steadily sends calls at a steady rate for a time, whatever is answered.
func (b *bareCaller) steadily(ctx context.Context, length time.Duration) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	body := bodyOf(someUsers(0, 100))
	ticker := time.NewTicker(time.Second / othersRate)
	defer ticker.Stop()
	end := time.NewTimer(length)
	defer end.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return failure(ctx)
		case <-end.C:
			return nil
		case <-ticker.C:
			all.Go(func() {
				if _, err := b.post(ctx, body); err != nil {
					stop(err) // does nothing if ctx has ended, which then is the reason
				}
			})
		}
	}
}

// post sends one request and returns the ErrorCode of its answer.
func (b *bareCaller) post(ctx context.Context, body []byte) (code int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("User-Agent", bareAgent)
	resp, err := b.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ ErrorCode int }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection can be used again
	return answer.ErrorCode, err
}

// failure returns the error that stopped a run, and nil if it ran to its end.
func failure(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

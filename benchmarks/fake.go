package main

import (
	"context"
	"fmt"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

const (
	quota    = timpush.DefaultQPS                 // calls a second that the fake lets through
	fullRate = quota * timpush.MaxUsersPerRequest // users a second
	accounts = 200_000                            // that a stream uses in turn, far more than are under way
)

// distantFake keeps to the quota and answers as a service on another continent does.
func distantFake() *timpushtest.Server {
	return timpushtest.NewServer(timpushtest.WithLatency(200*time.Millisecond, 100*time.Millisecond))
}

// delivery is an answer for some users.
type delivery struct {
	at           time.Time
	done, undone int
}

// stream sends users without end through a client until ctx ends, and returns the answers until then.
func stream(ctx context.Context, c *timpush.Client) ([]delivery, error) {
	var got []delivery
	var last error
	for batch, err := range c.SetAttrSeq(ctx, users(endless, accounts)) {
		if ctx.Err() != nil {
			return got, nil
		}
		got = append(got, delivery{time.Now(), batch.Done, len(batch.Users) - batch.Done})
		last = err
	}
	if ctx.Err() != nil {
		return got, nil
	}
	return nil, fmt.Errorf("the stream has ended: %w", last)
}

// doneBetween counts the users that were done in a time.
func doneBetween(deliveries []delivery, from, to time.Time) int {
	n := 0
	for _, d := range deliveries {
		if !d.at.Before(from) && d.at.Before(to) {
			n += d.done
		}
	}
	return n
}

// donePerSecond returns the rate in a time.
func donePerSecond(deliveries []delivery, from, to time.Time) float64 {
	return float64(doneBetween(deliveries, from, to)) / to.Sub(from).Seconds()
}

func refusedOf(calls []timpushtest.Call) int {
	n := 0
	for _, c := range calls {
		if c.Code != 0 {
			n++
		}
	}
	return n
}

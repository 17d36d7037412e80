package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// full is 1 for a measurement and less for a smoke test.
var full = flag.Float64("figures", 0, "measure the figures, each for this share of its full length; 0: skip them")

const (
	quota    = timpush.DefaultQPS                 // calls per second that the fake lets through
	fullRate = quota * timpush.MaxUsersPerRequest // users per second
	accounts = 200_000                            // that an endless source repeats; far more than are in flight
	okAnswer = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`
)

// TestMain lets the test program be the client process of TestMemory.
func TestMain(m *testing.M) {
	url := os.Getenv("BENCHMARKS_STREAM_TO")
	if url == "" {
		os.Exit(m.Run())
	}
	if err := streamUsers(url, os.Getenv("BENCHMARKS_USERS")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// scaled skips a test that was not asked for, and returns the length that it should have.
func scaled(t *testing.T, d time.Duration) time.Duration {
	t.Helper()
	if *full == 0 {
		t.Skip("it measures; see -figures")
	}
	return time.Duration(*full * float64(d))
}

// report keeps values as an attribute of the test, where the program of this module finds them.
func report(t testing.TB, name string, values ...float64) {
	t.Helper()
	var texts []string
	for _, x := range values {
		texts = append(texts, strconv.FormatFloat(x, 'g', 6, 64))
	}
	t.Attr(name, strings.Join(texts, ","))
}

// distantFake keeps to the quota and answers as late as a service on another continent.
func distantFake(t *testing.T) *timpushtest.Server {
	t.Helper()
	return timpushtest.Start(t, timpushtest.WithLatency(200*time.Millisecond, 100*time.Millisecond))
}

func user(i int) timpush.UserAttrs {
	return timpush.UserAttrs{
		ToAccount: "user-" + strconv.Itoa(i),
		Attrs:     timpush.Attrs{"sex": "female", "city": "NewYork", "country": "US"},
	}
}

// someUsers returns n users starting at a number.
func someUsers(from, n int) []timpush.UserAttrs {
	some := make([]timpush.UserAttrs, n)
	for i := range some {
		some[i] = user(from + i)
	}
	return some
}

// source yields users, each built when it is asked for, as one from a database is.
func source(total, accounts int) iter.Seq2[timpush.UserAttrs, error] {
	return func(yield func(timpush.UserAttrs, error) bool) {
		for i := range total {
			if !yield(user(i%accounts), nil) {
				return
			}
		}
	}
}

// wireBody is the body of a request as encoding/json writes it.
type wireBody struct{ UserAttrs []wireUser }

type wireUser struct {
	ToAccount string `json:"To_Account"`
	Attrs     map[string]string
}

func bodyOf(users []timpush.UserAttrs) []byte {
	var body wireBody
	for _, u := range users {
		body.UserAttrs = append(body.UserAttrs, wireUser{u.ToAccount, u.Attrs})
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings can be marshalled
	}
	return text
}

// answered is what one answer did.
type answered struct {
	at           time.Time
	done, undone int
}

// stream sends users through a client until ctx is cancelled, and returns the answers until then.
func stream(ctx context.Context, c *timpush.Client) ([]answered, error) {
	var got []answered
	for batch, err := range c.SetAttrSeq(ctx, source(1<<40, accounts)) {
		if ctx.Err() != nil {
			return got, nil
		}
		if batch == nil {
			return nil, fmt.Errorf("the stream ended: %w", err)
		}
		got = append(got, answered{time.Now(), batch.Done, len(batch.Users) - batch.Done})
	}
	if ctx.Err() == nil {
		return nil, errors.New("the stream ended")
	}
	return got, nil
}

// doneBetween counts the users that were done in a time.
func doneBetween(all []answered, from, to time.Time) (n int) {
	for _, a := range all {
		if !a.at.Before(from) && a.at.Before(to) {
			n += a.done
		}
	}
	return n
}

func ratePerSecond(all []answered, from, to time.Time) float64 {
	return float64(doneBetween(all, from, to)) / to.Sub(from).Seconds()
}

func refusedOf(calls []timpushtest.Call) (n int) {
	for _, c := range calls {
		if c.Code != 0 {
			n++
		}
	}
	return n
}

// until returns a context that is cancelled at a time. It has no deadline, since a client does not start what it cannot
// end before a deadline, and a run would thin out before its end.
func until(t *testing.T, end time.Time) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(time.Until(end), cancel)
	t.Cleanup(func() { timer.Stop(); cancel() })
	return ctx
}

// transportFunc is an http.RoundTripper.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// acceptAll is a transport that reads each request and accepts it at once.
func acceptAll(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(okAnswer)), Request: r}, err
}

// unlimited is a Limiter that never waits.
type unlimited struct{}

func (unlimited) Wait(ctx context.Context) error { return ctx.Err() }

// newClient returns a client without a limiter.
func newClient(opts ...timpush.Option) (*timpush.Client, error) {
	cfg := timpush.Config{SDKAppID: 1400000000, Identifier: "administrator", SecretKey: strings.Repeat("0123456789abcdef", 4), Region: timpush.RegionSingapore}
	return timpush.NewClient(cfg, append(opts, timpush.WithLimiter(unlimited{}))...)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

const okAnswer = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`

// bareAgent is how the calls of a bare caller are told from those of a client.
const bareAgent = "bare"

// bare calls a fake with net/http alone, as a program without a client library does.
type bare struct {
	http *http.Client
	url  string
}

func newBare(ctx context.Context, server *timpushtest.Server) (*bare, error) {
	var seen urlKeeper
	_, err := server.Client(timpush.WithHTTPClient(&http.Client{Transport: &seen})).SetAttr(ctx, someUsers(0, 1))
	return &bare{server.HTTPClient(), seen.url}, err
}

// urlKeeper is a transport that keeps the URL, with the UserSig that a client has made, and sends nothing.
type urlKeeper struct{ url string }

func (k *urlKeeper) RoundTrip(r *http.Request) (*http.Response, error) {
	k.url = r.URL.String()
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(okAnswer)), Request: r}, nil
}

// post sends one request and returns the ErrorCode of its answer.
func (b *bare) post(ctx context.Context, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("User-Agent", bareAgent)
	resp, err := b.http.Do(req)
	if err != nil {
		return 0, err
	}
	var answer struct{ ErrorCode int }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection can be used again
	_ = resp.Body.Close()                 // it has been read to its end
	return answer.ErrorCode, err
}

func bodyOf(some []timpush.UserAttrs) []byte {
	type entry struct {
		ToAccount string `json:"To_Account"`
		Attrs     timpush.Attrs
	}
	var body struct{ UserAttrs []entry }
	for _, u := range some {
		body.UserAttrs = append(body.UserAttrs, entry(u))
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("strings that cannot be marshalled: %v", err))
	}
	return text
}

// pool sends users without end from a number of workers until ctx ends. A worker repeats at once what is refused.
func (b *bare) pool(ctx context.Context, workers int) ([]delivery, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	each := make([][]delivery, workers)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			var err error
			if each[i], err = b.work(ctx, &next); err != nil {
				stop(err) // does nothing if ctx has ended: it then is the reason
			}
		})
	}
	wg.Wait()
	return slices.Concat(each...), failure(ctx)
}

func (b *bare) work(ctx context.Context, next *atomic.Int64) ([]delivery, error) {
	var got []delivery
	for ctx.Err() == nil {
		from := int(next.Add(timpush.MaxUsersPerRequest)) % accounts
		if err := b.postUntilAccepted(ctx, bodyOf(someUsers(from, timpush.MaxUsersPerRequest))); err != nil {
			return got, err
		}
		got = append(got, delivery{at: time.Now(), done: timpush.MaxUsersPerRequest})
	}
	return got, nil
}

func (b *bare) postUntilAccepted(ctx context.Context, body []byte) error {
	for {
		code, err := b.post(ctx, body)
		if err != nil || code == 0 {
			return err
		}
	}
}

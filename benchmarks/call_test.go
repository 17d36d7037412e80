package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	timpush "github.com/timpush/timpush-go"
)

const (
	patience  = 10 * time.Second // the timeout of a request
	callers   = 32               // connections of each transport: the client's default MaxInFlight
	blockSize = 250              // calls; short enough that the speed of the machine is mostly the same in two blocks
)

// BenchmarkSetAttr sets 3 attributes of 100 users over loopback with TLS: with the client, and in turn with a loop written
// by hand, a bare loop and a raw socket. An operation is one request of each. It reports the client's speed as a share of
// each of the others', and its allocations beyond the bare loop's.
func BenchmarkSetAttr(b *testing.B) {
	for _, n := range []int{1, 8, 16} {
		b.Run(fmt.Sprintf("callers=%d", n), func(b *testing.B) { compare(b, n) })
	}
}

// side is one of the ways to send a request, and what it cost.
type side struct {
	name   string
	send   func() error
	times  []float64 // of a call, by block
	allocs uint64
}

func compare(b *testing.B, callers int) {
	server := sink(b)
	sides := []*side{
		{name: "client", send: clientSender(b, server)}, {name: "hand", send: handLoop(b, server)},
		{name: "bare", send: bareLoop(b, server)}, {name: "socket", send: socketLoop(b, server, callers)},
	}
	for _, s := range sides { // the connections are made before the time counts
		measure(b, callers, 200, s.send)
	}
	b.ResetTimer()
	for done := 0; done < b.N; done += blockSize {
		n := min(blockSize, b.N-done)
		for _, s := range sides {
			took, allocs := measure(b, callers, n, s.send)
			s.times, s.allocs = append(s.times, took.Seconds()/float64(n)), s.allocs+allocs
		}
	}
	b.StopTimer()
	client, bare := sides[0], sides[2]
	b.ReportMetric(1e9*median(client.times), "client-ns/op")
	b.ReportMetric((float64(client.allocs)-float64(bare.allocs))/float64(b.N), "more-allocs/op")
	for _, s := range sides[1:] {
		b.ReportMetric(1e9*median(s.times), s.name+"-ns/op")
		ratios := make([]float64, len(s.times))
		for k := range ratios {
			ratios[k] = s.times[k] / client.times[k]
		}
		b.ReportMetric(median(ratios), "of-"+s.name)
	}
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// measure calls f n times from several goroutines and returns the time and the allocations of all.
func measure(b *testing.B, callers, n int, f func() error) (time.Duration, uint64) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	var all sync.WaitGroup
	for k := range callers {
		all.Go(func() {
			for i := k; i < n; i += callers {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return took, after.Mallocs - before.Mallocs
}

// sink is the cheapest server there is, so that what a caller costs weighs most.
func sink(b *testing.B) *httptest.Server {
	b.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, okAnswer)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	b.Cleanup(s.Close)
	return s
}

func tlsConfig(s *httptest.Server) *tls.Config {
	return s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
}

// sameTransport has the settings of the transport that a client makes for itself.
func sameTransport(b *testing.B, s *httptest.Server) *http.Client {
	b.Helper()
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = tlsConfig(s)
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = callers, callers, callers
	t.WriteBufferSize, t.DisableCompression = 16<<10, true
	b.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

// clientSender calls SetAttr of a client with a transport of its own, which it makes from the standard one.
func clientSender(b *testing.B, s *httptest.Server) func() error {
	b.Helper()
	standard := http.DefaultTransport.(*http.Transport)
	standard.TLSClientConfig = tlsConfig(s)
	c, err := newClient(timpush.WithBaseURL(s.URL), timpush.WithAttemptTimeout(patience))
	standard.TLSClientConfig = nil
	if err != nil {
		b.Fatal(err)
	}
	users := someUsers(0, 100)
	return func() error {
		_, err := c.SetAttr(b.Context(), users)
		return err
	}
}

const query = "/v4/timpush/set_attr?sdkappid=1400000000&identifier=administrator&usersig=%s&random=%d&contenttype=json"

var usersig = strings.Repeat("x", 250)

// handLoop is what a user would write: encoding/json both ways and the check of the answer.
func handLoop(b *testing.B, s *httptest.Server) func() error {
	b.Helper()
	client, users := sameTransport(b, s), someUsers(0, 100)
	return func() error {
		var answer struct {
			ActionStatus, ErrorInfo string
			ErrorCode               int
		}
		where := s.URL + fmt.Sprintf(query, usersig, rand.Uint32())
		err := post(b.Context(), client, where, bodyOf(users), func(body io.Reader) error {
			return json.NewDecoder(body).Decode(&answer)
		})
		if err == nil && (answer.ActionStatus != "OK" || answer.ErrorCode != 0) {
			return errors.New(answer.ErrorInfo)
		}
		return err
	}
}

// bareLoop posts a ready-made body to a ready-made URL and discards the answer.
func bareLoop(b *testing.B, s *httptest.Server) func() error {
	b.Helper()
	client, body, where := sameTransport(b, s), bodyOf(someUsers(0, 100)), s.URL+fmt.Sprintf(query, usersig, 99999999)
	return func() error {
		return post(b.Context(), client, where, body, func(io.Reader) error { return nil })
	}
}

// post sends one request with a timeout and reads the whole answer.
func post(ctx context.Context, c *http.Client, where string, body []byte, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, where, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	err = read(resp.Body)
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection can be used again
	_ = resp.Body.Close()
	return err
}

// socketLoop writes the bytes of a request to a TLS socket and reads those of the answer: no client can be faster.
func socketLoop(b *testing.B, s *httptest.Server, n int) func() error {
	b.Helper()
	body := bodyOf(someUsers(0, 100))
	request := fmt.Appendf(nil, "POST "+query+" HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		usersig, 99999999, s.Listener.Addr(), len(body), body)
	conns := make(chan *bufio.ReadWriter, n)
	dialer := tls.Dialer{Config: tlsConfig(s)}
	for range n {
		conn, err := dialer.DialContext(b.Context(), "tcp", s.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		conns <- bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriterSize(conn, 16<<10))
	}
	return func() error {
		conn := <-conns
		defer func() { conns <- conn }()
		_, _ = conn.Write(request) // Flush returns the error
		if err := conn.Flush(); err != nil {
			return err
		}
		for { // the answer ends with the JSON, which has no line break
			line, err := conn.ReadSlice('\n')
			if err != nil {
				return err
			}
			if len(line) == 2 {
				_, err := conn.Discard(len(okAnswer))
				return err
			}
		}
	}
}

// BenchmarkInMemory compares a whole SetAttr on a transport that accepts everything at once with encoding/json, which
// marshals the same body.
func BenchmarkInMemory(b *testing.B) {
	c, err := newClient(timpush.WithHTTPClient(&http.Client{Transport: transportFunc(acceptAll)}))
	if err != nil {
		b.Fatal(err)
	}
	users := someUsers(0, 100)
	var body wireBody
	for _, u := range users {
		body.UserAttrs = append(body.UserAttrs, wireUser{u.ToAccount, u.Attrs})
	}
	call := func() error { _, err := c.SetAttr(b.Context(), users); return err }
	marshal := func() error { _, err := json.Marshal(body); return err }
	var ratios, calls, marshals []float64
	for done := 0; done < b.N; done += blockSize {
		n := min(blockSize, b.N-done)
		ours, _ := measure(b, 1, n, call)
		theirs, _ := measure(b, 1, n, marshal)
		calls, marshals = append(calls, float64(ours)/float64(n)), append(marshals, float64(theirs)/float64(n))
		ratios = append(ratios, ours.Seconds()/theirs.Seconds())
	}
	b.ReportMetric(median(calls), "client-ns/op")
	b.ReportMetric(median(marshals), "json-ns/op")
	b.ReportMetric(median(ratios), "of-json")
}

// BenchmarkPerUser sets 100,000 users on a transport that accepts everything at once: as a stream, and one by one from a
// thousand goroutines through a Batcher. It reports what they cost beyond SetAttr with ready slices.
func BenchmarkPerUser(b *testing.B) {
	c, err := newClient(timpush.WithHTTPClient(&http.Client{Transport: transportFunc(acceptAll)}))
	if err != nil {
		b.Fatal(err)
	}
	users := someUsers(0, 100_000)
	slices := func() error { _, err := c.SetAttr(b.Context(), users); return err }
	b.Run("SetAttrSeq", func(b *testing.B) {
		beyond(b, len(users), slices, func() error {
			for _, err := range c.SetAttrSeq(b.Context(), func(yield func(timpush.UserAttrs, error) bool) {
				for _, u := range users {
					if !yield(u, nil) {
						return
					}
				}
			}) {
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	b.Run("Batcher", func(b *testing.B) {
		beyond(b, len(users), slices, func() error { return eachAlone(b, timpush.NewBatcher(c), users) })
	})
}

// beyond reports what one way costs for each user more than another.
func beyond(b *testing.B, users int, base, way func() error) {
	b.Helper()
	var more time.Duration
	var moreAllocs float64
	for range b.N {
		t, allocs := measure(b, 1, 1, base)
		more, moreAllocs = more-t, moreAllocs-float64(allocs)
		t, allocs = measure(b, 1, 1, way)
		more, moreAllocs = more+t, moreAllocs+float64(allocs)
	}
	n := float64(b.N * users)
	b.ReportMetric(float64(more.Nanoseconds())/n, "more-ns/user")
	b.ReportMetric(moreAllocs/n, "more-allocs/user")
}

// eachAlone sets each user by itself, from a thousand goroutines.
func eachAlone(b *testing.B, batcher *timpush.Batcher, users []timpush.UserAttrs) error {
	b.Helper()
	var all sync.WaitGroup
	var next atomic.Int64
	for range 1000 {
		all.Go(func() {
			for n := next.Add(1); n <= int64(len(users)); n = next.Add(1) {
				if err := batcher.SetAttr(b.Context(), users[n-1]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return batcher.Close(b.Context())
}

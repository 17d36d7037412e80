package timpush_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	timpush "github.com/timpush/timpush-go"
)

// sink is the cheapest server there is: the ratio of client and bare loop is smallest on it.
func sink(b *testing.B) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	b.Cleanup(s.Close)
	return s
}

func benchUsers(n int) []timpush.UserAttrs {
	users := make([]timpush.UserAttrs, n)
	for i := range users {
		users[i] = timpush.UserAttrs{ToAccount: "user-" + strconv.Itoa(i), Attrs: timpush.Attrs{"sex": "female", "city": "NewYork", "country": "US"}}
	}
	return users
}

// BenchmarkSetAttr sets 3 attributes of 100 users with one request, and in turn lets a bare net/http loop post a body made
// before to the same server. An operation is one of each. It reports the time of both, the throughput as a share of the
// bare loop's (the median of many short blocks, since the machine's speed changes), and the allocations more.
//
// Both have what they would have in a program: the client its own transport, the bare loop a standard one that keeps as
// many idle connections as there are callers, and both a timeout of 10 s. With timeout=none the bare loop has none; with
// transport=shared the client uses the bare loop's transport.
func BenchmarkSetAttr(b *testing.B) {
	for _, callers := range []int{1, 8, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { beside(b, callers, 10*time.Second, false) })
	}
	b.Run("callers=16/timeout=none", func(b *testing.B) { beside(b, 16, 0, false) })
	b.Run("callers=16/transport=shared", func(b *testing.B) { beside(b, 16, 10*time.Second, true) })
}

func beside(b *testing.B, callers int, timeout time.Duration, shared bool) {
	s := sink(b)
	standard := http.DefaultTransport.(*http.Transport)
	standard.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig // which the client's own is made from
	opts := []timpush.Option{timpush.WithBaseURL(s.URL), timpush.WithLimiter(unlimited{})}
	transport := standard.Clone()
	transport.MaxIdleConnsPerHost = callers
	if shared {
		opts = append(opts, timpush.WithHTTPClient(&http.Client{Transport: transport}))
	}
	c, err := timpush.NewClient(testConfig, opts...)
	standard.TLSClientConfig = nil
	if err != nil {
		b.Fatal(err)
	}
	users := benchUsers(100)
	bare := bareLoop(b, &http.Client{Transport: transport, Timeout: timeout}, s.URL)
	ours := func() error { _, err := c.SetAttr(b.Context(), users); return err }
	measure(b, callers, 200, bare)
	measure(b, callers, 200, ours)
	b.ResetTimer()
	const block = 250 // short enough that the machine's speed is mostly the same for both
	var ratios []float64
	var bareTime, ourTime time.Duration
	var bareAllocs, ourAllocs uint64
	for done := 0; done < b.N; done += block {
		n := min(block, b.N-done)
		bareBlock, allocs := measure(b, callers, n, bare)
		bareTime, bareAllocs = bareTime+bareBlock, bareAllocs+allocs
		ourBlock, allocs := measure(b, callers, n, ours)
		ourTime, ourAllocs = ourTime+ourBlock, ourAllocs+allocs
		ratios = append(ratios, bareBlock.Seconds()/ourBlock.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(float64(bareTime.Nanoseconds())/float64(b.N), "bare-ns/op")
	b.ReportMetric(float64(ourTime.Nanoseconds())/float64(b.N), "timpush-ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "of-bare-throughput")
	b.ReportMetric((float64(ourAllocs)-float64(bareAllocs))/float64(b.N), "more-allocs/op")
}

// measure runs f n times by a number of callers and returns the time and the allocations of all.
func measure(b *testing.B, callers, n int, f func() error) (time.Duration, uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	var wg sync.WaitGroup
	for k := range callers {
		wg.Go(func() {
			for i := k; i < n; i += callers {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return took, after.Mallocs - before.Mallocs
}

func bareLoop(b *testing.B, client *http.Client, base string) func() error {
	var body bytes.Buffer
	body.WriteString(`{"UserAttrs":[`)
	for i := range 100 {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"To_Account":"user-%d","Attrs":{"city":"NewYork","country":"US","sex":"female"}}`, i)
	}
	body.WriteString(`]}`)
	where := base + "/v4/timpush/set_attr?sdkappid=1400000000&identifier=administrator&usersig=" + string(bytes.Repeat([]byte("x"), 250)) + "&random=99999999&contenttype=json"
	return func() error {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, where, bytes.NewReader(body.Bytes()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
}

// BenchmarkPerUser sets users through a transport that accepts everything at once, and so shows what the client itself
// costs for a user: with ready slices, as a stream, and one by one from a thousand goroutines through a Batcher. The
// latter two report what they cost beyond the first.
func BenchmarkPerUser(b *testing.B) {
	c, err := timpush.NewClient(testConfig, timpush.WithLimiter(unlimited{}), through(alwaysOK))
	if err != nil {
		b.Fatal(err)
	}
	users := benchUsers(100000)
	ways := map[string]func() error{
		"SetAttr": func() error { _, err := c.SetAttr(b.Context(), users); return err },
		"SetAttrSeq": func() error {
			for _, err := range c.SetAttrSeq(b.Context(), from(users)) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Batcher": func() error { return joinAll(b, timpush.NewBatcher(c), users) },
	}
	for _, way := range []string{"SetAttrSeq", "Batcher"} {
		b.Run(way, func(b *testing.B) {
			var base, own time.Duration
			var baseAllocs, ownAllocs uint64
			for range b.N {
				t, allocs := measure(b, 1, 1, ways["SetAttr"])
				base, baseAllocs = base+t, baseAllocs+allocs
				t, allocs = measure(b, 1, 1, ways[way])
				own, ownAllocs = own+t, ownAllocs+allocs
			}
			n := float64(b.N * len(users))
			b.ReportMetric(float64((own-base).Nanoseconds())/n, "more-ns/user")
			b.ReportMetric((float64(ownAllocs)-float64(baseAllocs))/n, "more-allocs/user")
		})
	}
}

// joinAll sets each user by itself, from a thousand goroutines.
func joinAll(b *testing.B, batcher *timpush.Batcher, users []timpush.UserAttrs) error {
	var callers sync.WaitGroup
	var next atomic.Int64
	for range 1000 {
		callers.Go(func() {
			for n := next.Add(1); n <= int64(len(users)); n = next.Add(1) {
				if err := batcher.SetAttr(b.Context(), users[n-1]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	callers.Wait()
	return batcher.Close(b.Context())
}

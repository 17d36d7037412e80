package timpush_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

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
	s.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	return s
}

func benchUsers(n int) []timpush.UserAttrs {
	users := make([]timpush.UserAttrs, n)
	for i := range users {
		users[i] = timpush.UserAttrs{ToAccount: "user-" + strconv.Itoa(i), Attrs: timpush.Attrs{"sex": "female", "city": "NewYork", "country": "US"}}
	}
	return users
}

// BenchmarkSetAttr sets 3 attributes of 100 users with one request, beside a bare net/http loop that posts a body made
// before to the same server.
func BenchmarkSetAttr(b *testing.B) {
	users := benchUsers(100)
	for _, callers := range []int{1, 8, 16} {
		b.Run(fmt.Sprintf("callers=%d/client=bare", callers), func(b *testing.B) {
			s := sink(b)
			bare := bareLoop(s)
			parallel(b, callers, bare)
		})
		b.Run(fmt.Sprintf("callers=%d/client=timpush", callers), func(b *testing.B) {
			s := sink(b)
			c, err := timpush.NewClient(timpush.Config{SDKAppID: 1400000000, Identifier: "administrator", SecretKey: "k", Region: timpush.RegionChina},
				timpush.WithBaseURL(s.URL), timpush.WithHTTPClient(s.Client()), timpush.WithLimiter(unlimited{}))
			if err != nil {
				b.Fatal(err)
			}
			parallel(b, callers, func() error { _, err := c.SetAttr(context.Background(), users); return err })
		})
	}
}

func bareLoop(s *httptest.Server) func() error {
	var body bytes.Buffer
	body.WriteString(`{"UserAttrs":[`)
	for i := range 100 {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"To_Account":"user-%d","Attrs":{"city":"NewYork","country":"US","sex":"female"}}`, i)
	}
	body.WriteString(`]}`)
	where := s.URL + "/v4/timpush/set_attr?sdkappid=1400000000&identifier=administrator&usersig=" + string(bytes.Repeat([]byte("x"), 250)) + "&random=99999999&contenttype=json"
	return func() error {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, where, bytes.NewReader(body.Bytes()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := s.Client().Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
}

func parallel(b *testing.B, callers int, f func() error) {
	for range 64 {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	var wg sync.WaitGroup
	b.ResetTimer()
	for k := range callers {
		wg.Go(func() {
			for i := k; i < b.N; i += callers {
				if err := f(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

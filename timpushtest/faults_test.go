package timpushtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// eachTransport runs a test over all ways to reach a fake.
func eachTransport(t *testing.T, test func(t *testing.T, f fixture)) {
	for name, opts := range map[string][]timpushtest.Option{
		"TLS":            nil,
		"TLS, HTTP/2":    {timpushtest.WithHTTP2()},
		"plain":          {timpushtest.WithPlainHTTP()},
		"memory":         {timpushtest.WithInMemory()},
		"memory, HTTP/2": {timpushtest.WithInMemory(), timpushtest.WithHTTP2()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := timpushtest.Start(t, opts...)
			test(t, fixture{TB: t, Server: s, client: s.HTTPClient()})
		})
	}
}

func TestCodeFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault   timpushtest.Fault
		opts    []timpushtest.Option
		code    int
		list    codes
		applied []string
	}{
		"zero":                     {timpushtest.Fault{}, nil, 0, codes{}, []string{"a", "b"}},
		"ErrorCode":                {timpushtest.ErrorCode(60007), nil, 60007, codes{}, nil},
		"ErrorCodeApplied":         {timpushtest.ErrorCodeApplied(60008), nil, 60008, codes{}, []string{"a", "b"}},
		"AccountCode":              {timpushtest.AccountCode(70107, "b", "other"), nil, 0, codes{"b": 70107}, []string{"a"}},
		"Delay":                    {timpushtest.Delay(time.Millisecond, timpushtest.ErrorCode(91000)), nil, 91000, codes{}, nil},
		"open code":                {timpushtest.ErrorCode(91000), []timpushtest.Option{with(variant{AppliedOnOpenCodes: true})}, 91000, codes{}, []string{"a", "b"}},
		"open code, another":       {timpushtest.ErrorCode(60007), []timpushtest.Option{with(variant{AppliedOnOpenCodes: true})}, 60007, codes{}, nil},
		"AccountCode, all of them": {timpushtest.AccountCode(1, "a", "b"), nil, 0, codes{"a": 1, "b": 1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, tc.opts...)
			f.Inject(tc.fault)
			a := f.post(entries("a", `{"sex":"1"}`, "b", `{"sex":"1"}`))
			assert.Equal(t, tc.code, a.Code)
			assertEnvelope(t, a)
			assert.Equal(t, tc.list, a.codes())
			assert.Equal(t, tc.applied, f.Accounts())
			assert.Equal(t, 0, f.post(okBody).Code, "one request, one fault")
			assert.Equal(t, tc.code, f.Calls()[0].Code)
		})
	}
}

func TestInvalidRequestIsRefusedDespiteFault(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.Inject(timpushtest.ErrorCode(91000), timpushtest.ErrorCodeApplied(91000), timpushtest.AccountCode(70107, "a"))
	assert.Equal(t, 90033, f.post(entries("a", `{"age":"1"}`)).Code)
	bad := goodRequest(okBody)
	bad.query.Set("usersig", "abc")
	assert.Equal(t, 70003, f.send(bad).Code)
	assert.Equal(t, 60003, f.post("").Code)
	assert.Equal(t, 0, f.post(okBody).Code, "the faults are spent")
}

func TestInvalidFaultsPanic(t *testing.T) {
	t.Parallel()
	assert.Panics(t, func() { timpushtest.Status(0) })
	assert.Panics(t, func() { timpushtest.StatusApplied(100) })
	assert.Panics(t, func() { timpushtest.Answer(1000, "") })
	assert.Panics(t, func() { timpushtest.ErrorCode(0) })
}

func TestLiteralAnswers(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, f fixture) {
		f.Inject(timpushtest.Status(502))
		a := f.post(okBody)
		assert.Equal(t, 502, a.HTTP)
		assert.Equal(t, "text/html", a.Header.Get("Content-Type"))
		assert.Contains(t, a.Raw, "<h1>502 Bad Gateway</h1>")
		assert.Empty(t, f.Accounts())

		for _, fault := range []timpushtest.Fault{
			timpushtest.StatusApplied(504), timpushtest.Garbage(), timpushtest.Answer(201, `{"ActionStatus":"X"}`),
		} {
			f.Inject(fault)
		}
		assert.Equal(t, 504, f.post(entries("a", `{"sex":"1"}`)).HTTP)
		a = f.post(entries("b", `{"sex":"1"}`))
		assert.Equal(t, 200, a.HTTP)
		assert.Empty(t, a.Status)
		assert.NotEmpty(t, a.Raw)
		a = f.post(entries("c", `{"sex":"1"}`))
		assert.Equal(t, 201, a.HTTP)
		assert.Equal(t, `{"ActionStatus":"X"}`, a.Raw)
		assert.NotContains(t, a.Header, "Content-Type")
		assert.Equal(t, []string{"a", "b", "c"}, f.Accounts())
		assert.Equal(t, 502, f.Calls()[0].Status)
	})
}

func TestCuts(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, f fixture) {
		assert.Equal(t, 0, f.post(entries("a", `{"sex":"1"}`)).Code) // a connection in use: no retry by net/http
		f.Inject(timpushtest.CutBefore(), timpushtest.CutAfter())
		_, err := f.broken(goodRequest(entries("b", `{"sex":"1"}`)))
		require.Error(t, err)
		assert.Equal(t, []string{"a"}, f.Accounts())
		_, err = f.broken(goodRequest(entries("c", `{"sex":"1"}`)))
		require.Error(t, err)
		assert.Equal(t, []string{"a", "c"}, f.Accounts())
		assert.Equal(t, 0, f.post(okBody).Code)
		assert.Equal(t, 3, f.Connections())
		require.Len(t, f.Calls(), 4)
		assert.Equal(t, 0, f.Calls()[2].Status)
	})
}

func TestTruncateBody(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, f fixture) {
		whole := f.post(okBody).Raw
		for _, n := range []int{0, 1, len(whole) - 1, len(whole), len(whole) + 10} {
			f.Inject(timpushtest.TruncateBody(n))
			got, err := f.broken(goodRequest(okBody))
			require.Error(t, err)
			assert.Equal(t, whole[:min(n, len(whole))], got)
		}
		calls := f.Calls()
		assert.Equal(t, 200, calls[len(calls)-1].Status)
	})
}

func TestEndlessBody(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, f fixture) {
		f.Inject(timpushtest.EndlessBody())
		resp, err := f.do(goodRequest(okBody))
		require.NoError(t, err)
		data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		require.NoError(t, err)
		assert.Len(t, data, 1<<20)
		assert.True(t, strings.HasPrefix(string(data), `{"ActionStatus":"OK","ErrorInfo":"xxx`))
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, []string{"xiaoming"}, f.Accounts())
	})
}

func TestHang(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, f fixture) {
		f.Inject(timpushtest.Hang(), timpushtest.HangApplied())
		f.client.Timeout = 500 * time.Millisecond
		_, err := f.broken(goodRequest(entries("a", `{"sex":"1"}`)))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = f.broken(goodRequest(entries("b", `{"sex":"1"}`)))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []string{"b"}, f.Accounts())
	})
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, f fixture) {
		f.Inject(timpushtest.Hang(), timpushtest.HangApplied(), timpushtest.EndlessBody(), timpushtest.Delay(time.Hour, timpushtest.Fault{}))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				resp, err := f.do(goodRequest(okBody))
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				assert.Error(t, err)
			})
		}
		require.Eventually(t, func() bool { return len(f.Calls()) == 4 }, 5*time.Second, time.Millisecond)
		began := time.Now()
		f.Close()
		wg.Wait()
		assert.Less(t, time.Since(began), 2*time.Second)
	})
}

func TestEndlessBodyInBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		f.Inject(timpushtest.EndlessBody())
		f.client.Timeout = 30 * time.Millisecond
		began := time.Now()
		_, err := f.broken(goodRequest(okBody))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 30*time.Millisecond, time.Since(began))
	})
}

func TestDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, timpushtest.WithLatency(time.Second, 0))
		f.Inject(timpushtest.Delay(time.Minute, timpushtest.Fault{}), timpushtest.Delay(time.Second, timpushtest.Delay(time.Second, timpushtest.CutBefore())))
		began := time.Now()
		assert.Equal(t, 0, f.post(okBody).Code)
		assert.Equal(t, 61*time.Second, time.Since(began))
		began = time.Now()
		_, err := f.broken(goodRequest(okBody))
		require.Error(t, err)
		assert.Equal(t, 3*time.Second, time.Since(began))
	})
}

func TestHandle(t *testing.T) {
	t.Parallel()
	f := start(t)
	var asked atomic.Int32
	f.Handle(func(c timpushtest.Call) timpushtest.Fault {
		asked.Add(1)
		assert.Equal(t, []any{0, 0}, []any{c.Status, c.Code})
		assert.Len(t, f.Calls(), int(asked.Load())+1, "may call the server")
		if c.Accounts[0] == "a" {
			return timpushtest.ErrorCode(91000)
		}
		return timpushtest.Fault{}
	})
	f.Inject(timpushtest.ErrorCode(60008))
	assert.Equal(t, 60008, f.post(okBody).Code)
	assert.Equal(t, int32(0), asked.Load(), "the queue goes first")
	assert.Equal(t, 0, f.post(okBody).Code)
	assert.Equal(t, 91000, f.post(entries("a", `{"sex":"1"}`)).Code)
	f.Handle(nil)
	assert.Equal(t, 0, f.post(entries("a", `{"sex":"1"}`)).Code)
	assert.Equal(t, int32(2), asked.Load())
}

func TestPoisonAndRefuse(t *testing.T) {
	t.Parallel()
	f := start(t)
	body := entries("a", `{"sex":"1"}`, "b", `{"sex":"1"}`, "c", `{"sex":"1"}`)
	f.Poison(90033, "b", "z")
	f.Refuse(70107, "c")
	for range 2 {
		a := f.post(body)
		assert.Equal(t, 90033, a.Code)
		assertEnvelope(t, a)
	}
	assert.Empty(t, f.Accounts())
	f.Poison(0, "b")
	for range 2 {
		assert.Equal(t, codes{"c": 70107}, f.post(body).codes())
	}
	assert.Equal(t, []string{"a", "b"}, f.Accounts())
	f.Refuse(0, "c")
	assert.Empty(t, f.post(body).codes())
	assert.Equal(t, []string{"a", "b", "c"}, f.Accounts())
}

func TestCalls(t *testing.T) {
	t.Parallel()
	f := start(t)
	assert.Empty(t, f.Calls())
	r := goodRequest(entries("b", `{"sex":"1"}`, "a", `{"age":"1"}`))
	r.header.Set("X-Test", "1")
	f.send(r)
	f.post(`{"UserAttrs":[{"To_Account":1},{"To_Account":"x"}]}`)
	f.post(`{"UserAttrs":[1]}`)
	f.post("\xff")
	r.path = "/other"
	f.send(r)
	calls := f.Calls()
	require.Len(t, calls, 5)
	c := calls[0]
	assert.Equal(t, http.MethodPost, c.Method)
	assert.Equal(t, "/v4/timpush/set_attr", c.Path)
	assert.Equal(t, r.query, c.Query)
	assert.Equal(t, "1", c.Header.Get("X-Test"))
	assert.Equal(t, r.body, string(c.Body))
	assert.Equal(t, []string{"b", "a"}, c.Accounts)
	assert.Equal(t, []int{200, 90033}, []int{c.Status, c.Code})
	assert.WithinDuration(t, time.Now(), c.Time, time.Minute)
	assert.Equal(t, []string{"", "x"}, calls[1].Accounts)
	assert.Nil(t, calls[2].Accounts)
	assert.Nil(t, calls[3].Accounts)
	assert.Nil(t, calls[4].Accounts)
	assert.Equal(t, "/other", calls[4].Path)
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, errors.New("broken off") }

func TestBrokenOffRequestIsNotRecorded(t *testing.T) {
	t.Parallel()
	f := start(t)
	r := goodRequest("")
	req, err := http.NewRequestWithContext(t.Context(), r.method, f.URL+r.path+"?"+r.query.Encode(), brokenBody{})
	require.NoError(t, err)
	resp, err := f.client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	require.Error(t, err)
	assert.Empty(t, f.Calls())
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	f := start(t, timpushtest.WithQuota(0), with(variant{RepeatedRandomRefused: true, BadSignatureLimit: true}))
	var wg sync.WaitGroup
	for g := range 8 {
		account := string(rune('a' + g))
		wg.Go(func() {
			for range 20 {
				assert.Equal(t, 0, f.post(entries(account, `{"sex":"1"}`)).Code)
				f.Poison(1, "p"+account)
				f.Refuse(1, "r"+account)
				f.Inject(timpushtest.Fault{})
				f.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.Fault{} })
				f.Calls()
				f.PeakRate()
				f.Accounts()
				f.Attrs(account)
				f.Connections()
			}
		})
	}
	wg.Wait()
	assert.Len(t, f.Accounts(), 8)
	assert.Len(t, f.Calls(), 160)
}

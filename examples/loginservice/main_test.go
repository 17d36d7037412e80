package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// login returns the status of a login.
func login(ctx context.Context, service http.Handler, query string) int {
	w := httptest.NewRecorder()
	service.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/login?"+query, nil))
	return w.Code
}

func TestLogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		push := timpushtest.Start(t, timpushtest.WithInMemory())
		push.Refuse(70107, "unknown")
		service := handler(timpush.NewBatcher(push.Client(timpush.WithMaxAttempts(1))))
		for _, test := range []struct {
			query  string
			fault  timpushtest.Fault
			status int
		}{
			{query: "user=xiaoming&city=ShenZhen", status: http.StatusNoContent},
			{query: "city=Rome", status: http.StatusBadRequest},
			{query: "user=xiaoming", status: http.StatusBadRequest},
			{query: "user=unknown&city=Rome", status: http.StatusUnprocessableEntity},
			{query: "user=xiaoming&city=Rome", fault: timpushtest.ErrorCode(60007), status: http.StatusServiceUnavailable},
			{query: "user=xiaoming&city=Rome", fault: timpushtest.ErrorCode(60020), status: http.StatusServiceUnavailable},
			{query: "user=xiaoming&city=Rome", fault: timpushtest.Hang(), status: http.StatusGatewayTimeout},
		} {
			push.Handle(func(timpushtest.Call) timpushtest.Fault { return test.fault })
			assert.Equal(t, test.status, login(t.Context(), service, test.query), test.query)
		}
		assert.Equal(t, map[string]string{"city": "ShenZhen"}, push.Attrs("xiaoming"))
	})
}

func TestConcurrentLoginsShareACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		push := timpushtest.Start(t, timpushtest.WithInMemory())
		service := handler(timpush.NewBatcher(push.Client()))
		var logins sync.WaitGroup
		for i := range 300 {
			logins.Go(func() {
				assert.Equal(t, http.StatusNoContent, login(t.Context(), service, fmt.Sprintf("user=user-%d&city=Rome", i)))
			})
		}
		logins.Wait()
		assert.Len(t, push.Accounts(), 300)
		assert.LessOrEqual(t, len(push.Calls()), 10)
	})
}

func TestLoginsInProgressFinish(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	push := timpushtest.Start(t)
	push.Handle(func(timpushtest.Call) timpushtest.Fault {
		close(arrived)
		return timpushtest.Delay(200*time.Millisecond, timpushtest.Fault{})
	})
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, shutdown := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, listener, push.Client()) }()
	go func() { <-arrived; shutdown() }()

	url := "http://" + listener.Addr().String() + "/login?user=xiaoming&city=Rome"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusNoContent, resp.StatusCode)
	require.NoError(t, <-served)
	assert.Equal(t, "Rome", push.Attrs("xiaoming")["city"])
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Setenv("TIMPUSH_SDKAPPID", "abc")
	_, _, err := newClient(false)
	assert.ErrorContains(t, err, "TIMPUSH_SDKAPPID")
	t.Setenv("TIMPUSH_SDKAPPID", "1400000000")
	t.Setenv("TIMPUSH_REGION", "mars")
	_, _, err = newClient(false)
	assert.ErrorContains(t, err, "mars")
}

// With the settings that timpush serve prints nothing leaves the machine.
func TestBaseURL(t *testing.T) {
	push := timpushtest.Start(t, timpushtest.WithPlainHTTP())
	id, identifier, key := push.App()
	t.Setenv("TIMPUSH_SDKAPPID", strconv.Itoa(id))
	t.Setenv("TIMPUSH_IDENTIFIER", identifier)
	t.Setenv("TIMPUSH_SECRET_KEY", key)
	t.Setenv("TIMPUSH_REGION", "singapore")
	t.Setenv("TIMPUSH_BASE_URL", push.URL)
	client, done, err := newClient(false)
	require.NoError(t, err)
	defer done()
	service := handler(timpush.NewBatcher(client))
	assert.Equal(t, http.StatusNoContent, login(t.Context(), service, "user=mary&city=Rome"))
	assert.Equal(t, "Rome", push.Attrs("mary")["city"])
}

// With -fake it needs no settings.
func TestFake(t *testing.T) {
	t.Parallel()
	client, done, err := newClient(true)
	require.NoError(t, err)
	defer done()
	assert.Equal(t, http.StatusNoContent, login(t.Context(), handler(timpush.NewBatcher(client)), "user=mary&city=Rome"))
}

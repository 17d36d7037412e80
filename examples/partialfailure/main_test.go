package main

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// setSome sends the users of the example while the fake does what prepare says. The time is that of a bubble.
func setSome(t *testing.T, prepare func(*timpushtest.Server)) (server *timpushtest.Server, took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server = timpushtest.Start(t, timpushtest.WithInMemory())
		prepare(server)
		began := time.Now()
		err = setAll(t.Context(), server.Client(timpush.WithMaxAttempts(1)), someUsers(), time.Second)
		took = time.Since(began)
	})
	return server, took, err
}

func TestUsersAreGivenUpForTheirOwnFaults(t *testing.T) {
	t.Parallel()
	server, took, err := setSome(t, func(s *timpushtest.Server) {
		s.Refuse(70107, "gone")
		s.Inject(timpushtest.AccountCode(91000, "xiaohong"))
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"xiaohong", "xiaoming"}, server.Accounts())
	assert.Equal(t, time.Second, took.Truncate(time.Second))
}

func TestUsersThatAreLeftAreAnError(t *testing.T) {
	t.Parallel()
	server, took, err := setSome(t, func(s *timpushtest.Server) { s.Refuse(91000, "xiaohong") })
	require.ErrorIs(t, err, timpush.ErrInternal)
	require.ErrorContains(t, err, "xiaohong")
	assert.Equal(t, []string{"gone", "xiaoming"}, server.Accounts())
	assert.Len(t, server.Calls(), maxAttempts)
	assert.Equal(t, 15*time.Second, took.Truncate(time.Second), "1, 2, 4 and 8 s, and none after the last attempt")
}

// restarting is a gateway that refuses the first request, and asks to wait for 20 s.
type restarting struct {
	http.RoundTripper
	refused bool
}

func (g *restarting) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.refused {
		return g.RoundTripper.RoundTrip(r)
	}
	g.refused = true
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"20"}}, Body: http.NoBody, Request: r}, nil
}

func TestItWaitsAsAGatewayAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := timpushtest.Start(t, timpushtest.WithInMemory())
		gateway := &http.Client{Transport: &restarting{RoundTripper: server.HTTPClient().Transport}}
		began := time.Now()
		require.NoError(t, setAll(t.Context(), server.Client(timpush.WithMaxAttempts(1), timpush.WithHTTPClient(gateway)), someUsers(), time.Second))
		assert.Equal(t, 20*time.Second, time.Since(began).Truncate(time.Second))
		assert.Len(t, server.Calls(), 1)
	})
}

func TestAWrongKeyIsNotTheFaultOfUsers(t *testing.T) {
	t.Parallel()
	server, took, err := setSome(t, func(s *timpushtest.Server) { s.Inject(timpushtest.ErrorCode(70009)) })
	require.ErrorIs(t, err, timpush.ErrUserSigMismatch)
	assert.Len(t, server.Calls(), 1)
	assert.Less(t, took, time.Second)
}

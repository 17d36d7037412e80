package main

import (
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
)

// dryTransport answers requests that write, and passes those on that read the app's attributes. So a dry run does all that a
// real one does, except for the last step.
type dryTransport struct {
	real http.RoundTripper // nil: nothing is passed on
}

// RoundTrip answers that everything was done.
func (t *dryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.real != nil && strings.HasSuffix(req.URL.Path, "/get_attr_name") {
		return t.real.RoundTrip(req)
	}
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(`{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}`)), Request: req,
	}, nil
}

// dryClient makes a client that sends nothing. If the app is not configured it does not read the app's attributes either, unless
// that is what was asked for.
func (j *job) dryClient(gate *gate, options []timpush.Option) (*timpush.Client, error) {
	s, err := loadSettings(j.cmd)
	t := &dryTransport{real: http.DefaultTransport}
	if err != nil {
		if j.preflight || !settings.OnlyMissing(err) {
			return nil, err
		}
		s = &settings.Settings{Rate: settings.DefaultRate}
		t.real = nil
	}
	j.settings = s
	config := s.Config
	if t.real == nil {
		config = timpush.Config{SDKAppID: 1, Identifier: "dry-run", SecretKey: strings.Repeat("0", 64), Region: timpush.RegionChina}
	}
	gate.limiter = timpush.NewLimiter(math.MaxInt32)
	options = append(append(s.Options(), options...), gate.options()...)
	options = append(options, timpush.WithHTTPClient(&http.Client{Transport: t}))
	client, err := timpush.NewClient(config, options...)
	return client, usage(err)
}

package main

import (
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
)

// dryTransport answers what would be written, and lets what is only read through. So a dry run takes the very way of a real
// one, up to the last step.
type dryTransport struct {
	real http.RoundTripper // nil: nothing is let through
}

// RoundTrip says that all is well.
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

// dryClient makes a client that sends nothing.
func (j *job) dryClient(options []timpush.Option) (*timpush.Client, *settings.Settings, error) {
	t := &dryTransport{}
	s := &settings.Settings{Rate: settings.DefaultRate}
	s.Config = timpush.Config{SDKAppID: 1, Identifier: "dry-run", SecretKey: "dry-run", Region: timpush.RegionChina}
	if j.preflight {
		real, err := loadSettings(j.cmd)
		if err != nil {
			return nil, nil, err
		}
		s, t.real = real, http.DefaultTransport
	}
	options = append(s.Options(), options...)
	options = append(options, timpush.WithLimiter(timpush.NewLimiter(math.MaxInt32)), timpush.WithHTTPClient(&http.Client{Transport: t}))
	client, err := timpush.NewClient(s.Config, options...)
	return client, s, usage(err)
}

func sortedKeys(m map[string]int64) []string { return slices.Sorted(maps.Keys(m)) }

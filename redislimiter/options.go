package redislimiter

import (
	"errors"
	"time"
)

// Option changes how a [Limiter] works.
type Option func(*settings)

type settings struct {
	quota    int
	share    float64
	endpoint string
	prefix   string
	timeout  time.Duration
	faults   []error
}

func (s *settings) require(ok bool, fault string) {
	if !ok {
		s.faults = append(s.faults, errors.New("redislimiter: "+fault))
	}
}

// WithQuota sets the calls a second that all replicas together may make, or the recipients a second for a Limiter whose
// WaitN counts recipients; at least 1. Set less than the app's quota if other programs use a part of it. All replicas
// should set the same. If not given, it is timpush.DefaultQPS, 100.
func WithQuota(calls int) Option {
	return func(s *settings) {
		s.quota = calls
		s.require(calls >= 1, "WithQuota must be at least 1 call a second")
	}
}

// WithFallback lets the process continue without Redis while Redis cannot be used, with its own share of the quota, above
// 0 and at most 1: 0.25 for four replicas. The fallback begins and ends with a second without calls, and where some replica has
// called WaitN for several at a time, it begins with two.
//
// The quota holds if the shares add up to at most 1 and if Redis is down for all replicas: while it is down for some
// only, they make their calls in addition to those of the others. With autoscaling, set 1 divided by the largest number
// of replicas that may run, since a replica does not know how many others there are. If not given, nothing is sent
// without Redis.
func WithFallback(share float64) Option {
	return func(s *settings) {
		s.share = share
		s.require(share > 0 && share <= 1, "WithFallback must be above 0 and at most 1")
	}
}

// WithEndpoint gives the Limiter a key of its own in Redis, named after an endpoint such as "v4/timpush/get_attr", for a
// quota that is counted by itself. If several endpoints share a quota, as scheduled tasks do, name any one of them, the
// same in all replicas. If not given, the Limiter is for the endpoints of attributes and tags together.
func WithEndpoint(path string) Option {
	return func(s *settings) { s.endpoint = path; s.require(path != "", "WithEndpoint is empty") }
}

// WithKeyPrefix sets what the key in Redis begins with, for a Redis that is shared and lets a program use some keys only.
// The rest is "{SDKAPPID}:" and the endpoint, or "all". If not given, it is "timpush:".
func WithKeyPrefix(prefix string) Option {
	return func(s *settings) { s.prefix = prefix }
}

// WithTimeout sets how long to wait for an answer before Redis counts as down. It should be less than the deadlines of
// the calls, or they end before the fallback begins, and at least five round trips to Redis, which the first answer on a
// new connection may take. If not given, it is 500 ms. The timeouts and the retries of the Redis client apply as well.
func WithTimeout(d time.Duration) Option {
	return func(s *settings) { s.timeout = d; s.require(d > 0, "WithTimeout must be more than 0") }
}

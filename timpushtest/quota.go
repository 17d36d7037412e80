package timpushtest

import (
	"strconv"
	"time"
)

// limiter says whether a call may pass now.
type limiter interface {
	allow(now time.Time, countRefused bool) bool
}

// slidingWindow remembers the last calls that counted, as many as may fall into one period.
type slidingWindow struct {
	period time.Duration
	times  []time.Time // a ring
	next   int         // the oldest of the ring
}

func newSlidingWindow(calls int, period time.Duration) *slidingWindow {
	return &slidingWindow{period: period, times: make([]time.Time, calls)}
}

func (w *slidingWindow) full(now time.Time) bool {
	return now.Sub(w.times[w.next]) < w.period
}

func (w *slidingWindow) add(now time.Time) {
	w.times[w.next] = now
	w.next = (w.next + 1) % len(w.times)
}

func (w *slidingWindow) allow(now time.Time, countRefused bool) bool {
	ok := !w.full(now)
	if ok || countRefused {
		w.add(now)
	}
	return ok
}

// fixedWindow starts again with each second of the clock. Within one window refused calls change nothing.
type fixedWindow struct {
	calls, used int
	second      int64
}

func (w *fixedWindow) allow(now time.Time, _ bool) bool {
	if sec := now.Unix(); sec != w.second {
		w.second, w.used = sec, 0
	}
	w.used++
	return w.used <= w.calls
}

// checkRate counts a call that passed the query and signature checks.
func (s *Server) checkRate(path, host string, now time.Time) *refusal {
	if s.settings.quota == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.settings.quotaKey(path, host)
	w, ok := s.quota[key]
	if !ok {
		w = s.settings.newLimiter()
		s.quota[key] = w
	}
	if !w.allow(now, !s.settings.RefusedCallsFree) {
		return refuse(orElse(s.settings.ThrottleCode, codeTooFast), "more than %d calls in one second", s.settings.quota)
	}
	return nil
}

func (set *settings) quotaKey(path, host string) string {
	switch set.QuotaScope {
	case QuotaPerApp:
		return strconv.Itoa(set.sdkAppID)
	case QuotaPerHost:
		return host
	default:
		return strconv.Itoa(set.sdkAppID) + path
	}
}

func (set *settings) newLimiter() limiter {
	if set.FixedWindow {
		return &fixedWindow{calls: set.quota}
	}
	return newSlidingWindow(set.quota, time.Second)
}

// tooManyBadSigs reports whether an identifier is blocked, see BadSignatureLimit.
func (s *Server) tooManyBadSigs(identifier string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.badSigs[identifier]
	return ok && w.full(now)
}

func (s *Server) addBadSig(identifier string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.badSigs[identifier] == nil {
		s.badSigs[identifier] = newSlidingWindow(badSigLimit, time.Minute)
	}
	s.badSigs[identifier].add(now)
}

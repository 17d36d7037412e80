package timpushtest

import (
	"net/http"
	"net/url"
	"time"
)

// Call is one request as it arrived and how it was answered. Its maps and slices are shared with other copies of the
// Call and must not be changed.
type Call struct {
	Time     time.Time   // when the whole request was there
	Method   string      // as sent
	Path     string      // decoded, without the query
	Query    url.Values  // what could be decoded of the query
	Header   http.Header // as net/http gives it: without Host
	Body     []byte      // as sent
	Accounts []string    // in order, "" where one is not a string; nil if the body has none or was not readable

	Status int            // HTTP status of the answer; 0 if none was started (yet)
	Code   int            // request-level ErrorCode of the answer; also 0 if the answer was not one of the API
	Failed map[string]int // accounts in ErrorList, with their codes; nil if none was
}

// Calls returns all requests received so far, also refused ones, in order of arrival; with [WithKeptCalls], the last of
// them. Status, Code and Failed are set before the first byte of the answer leaves. A request that broke off before its
// end is not among them.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, len(s.calls))
	for i, c := range s.calls {
		calls[i] = *c
	}
	return calls
}

// Watch sets a function that is called with each request when the fake is done with it: when its answer is written, or the
// connection closed. It may be called by several goroutines at once, and may call the methods of the Server except
// Close. nil removes the function.
func (s *Server) Watch(f func(Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = f
}

// notify calls the function of Watch, which must not run under the lock.
func (s *Server) notify(c *Call) {
	s.mu.Lock()
	watch, call := s.watch, *c
	s.mu.Unlock()
	if watch != nil {
		watch(call)
	}
}

// record keeps a request. It returns a copy, and the Call that the answer is recorded in.
func (s *Server) record(r *http.Request, body []byte) (Call, *Call) {
	query, _ := url.ParseQuery(r.URL.RawQuery) // the error is found again by admit
	c := Call{
		Method: r.Method,
		Path:   r.URL.Path,
		Query:  query,
		Header: r.Header.Clone(),
		Body:   body,
	}
	if field := commands[c.Path].field; field != "" {
		c.Accounts = listedAccounts(body, field)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Time = time.Now() // under the lock, so that calls are sorted by it
	s.rate.add(c.Time)
	kept := &c
	s.calls = append(s.calls, kept)
	if keep := s.settings.keptCalls; keep > 0 && len(s.calls) > keep {
		s.calls[0] = nil
		s.calls = s.calls[1:]
	}
	return c, kept
}

func (s *Server) answered(c *Call, status int, rep reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Status, c.Code = status, rep.code
	for _, f := range rep.list {
		if c.Failed == nil {
			c.Failed = map[string]int{}
		}
		c.Failed[f.account] = f.code
	}
}

// peakRate has the times of the last second.
type peakRate struct {
	times []time.Time
	peak  int
}

func (p *peakRate) add(now time.Time) {
	first := 0
	for first < len(p.times) && now.Sub(p.times[first]) >= time.Second {
		first++
	}
	p.times = append(p.times[first:], now)
	p.peak = max(p.peak, len(p.times))
}

// PeakRate returns the highest number of calls that arrived within any sliding second so far, refused ones included. Two
// calls exactly a second apart are not within one.
func (s *Server) PeakRate() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rate.peak
}

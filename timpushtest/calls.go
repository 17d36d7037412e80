package timpushtest

import (
	"net/http"
	"net/url"
	"slices"
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
	Accounts []string    // in order, "" where one is no string; nil if the body has none or was not readable
	Status   int         // HTTP status of the answer; 0 if none was begun (yet)
	Code     int         // request-level ErrorCode of the answer; 0 too if the answer was none of the API
}

// Calls returns all requests received so far, also those refused, in order of arrival. Status and Code are set before
// the first byte of the answer leaves. A request that broke off before its end is not among them.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// record keeps a request and returns it with its number.
func (s *Server) record(r *http.Request, body []byte) (Call, int) {
	query, _ := url.ParseQuery(r.URL.RawQuery) // the error is found again by admit
	c := Call{
		Method: r.Method,
		Path:   r.URL.Path,
		Query:  query,
		Header: r.Header.Clone(),
		Body:   body,
	}
	if accounts := commands[c.Path].accounts; accounts != nil {
		c.Accounts = accounts(body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Time = time.Now() // under the lock, so that calls are sorted by it
	s.calls = append(s.calls, c)
	return c, len(s.calls) - 1
}

func (s *Server) answered(number, status, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[number].Status = status
	s.calls[number].Code = code
}

// PeakRate returns the most calls that arrived within any one second so far. Refused calls count. The second is a
// sliding one: two calls exactly a second apart are not within it.
func (s *Server) PeakRate() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	peak, first := 0, 0
	for i := range s.calls {
		for s.calls[i].Time.Sub(s.calls[first].Time) >= time.Second {
			first++
		}
		peak = max(peak, i-first+1)
	}
	return peak
}

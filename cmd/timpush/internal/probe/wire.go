package probe

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// request is one that may be wrong in any way.
type request struct {
	method     string // "": POST
	command    string
	body       []byte
	gzip       bool   // compress the body
	identifier string // "": the administrator
	usersig    string
	base       string
	query      func(url.Values)
	once       bool // do not repeat it, and do not pause before it
}

// answer is an answer as it came.
type answer struct {
	status int // of HTTP; 0: none came
	header http.Header
	fields map[string]json.RawMessage // nil if it is not a JSON object
	code   int                        // -1 if there is none
	list   []item
}

// item is an element of ErrorList.
type item struct {
	account string
	code    int
}

// Bounds of a call.
const (
	callTimeout = 10 * time.Second
	retryPause  = 2 * time.Second
	maxAnswer   = 1 << 20
	maxTries    = 3
	maxMute     = 4
)

// errMute ends a probe of a service that does not answer any more.
var errMute = errors.New("the service does not answer: see timpush check")

// post sends a request as the documentation has it.
func (s *session) post(command string, body any) answer {
	text, err := json.Marshal(body)
	if err != nil {
		s.fail(err)
	}
	return s.call(request{command: command, body: text})
}

// postText is post with a body that is not made by encoding/json.
func (s *session) postText(command, body string) answer {
	return s.call(request{command: command, body: []byte(body)})
}

func (s *session) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// call sends a request and reads its answer. A call that was throttled, or that failed for a reason that passes, is repeated.
func (s *session) call(r request) (a answer) {
	for try := range maxTries {
		if try > 0 && !s.sleep(retryPause) {
			return answer{code: -1}
		}
		a = s.try(r)
		if r.once || s.err != nil || !a.passing() {
			break
		}
	}
	s.seen.add(a, r.body)
	return a
}

// try makes one call, unless the session has ended.
func (s *session) try(r request) answer {
	if !r.once && !s.sleep(s.Pause-time.Since(s.last)) || s.err != nil {
		return answer{code: -1}
	}
	if s.left == 0 {
		s.fail(errBudget)
		return answer{code: -1}
	}
	s.left--
	s.calls++
	a, err := s.send(s.signed(r))
	s.last = time.Now()
	if s.ctx.Err() != nil {
		s.fail(context.Cause(s.ctx))
	}
	if err == nil {
		s.mute = 0
		return a
	}
	s.HTTP.CloseIdleConnections() // over HTTP/2 all further calls would use the same connection, which may be dead
	if s.mute++; s.mute == maxMute {
		s.fail(errMute)
	}
	return a
}

// sleep waits, and reports false if the session has ended.
func (s *session) sleep(d time.Duration) bool {
	if s.err != nil {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
		s.fail(context.Cause(s.ctx))
	}
	return s.err == nil
}

// signed gives a request an identifier and its UserSig, which is made once.
func (s *session) signed(r request) request {
	r.identifier = cmp.Or(r.identifier, s.Identifier)
	if s.sigs[r.identifier] == "" {
		usersig, err := s.Sign(r.identifier)
		if err != nil {
			s.fail(err)
		}
		s.sigs[r.identifier] = usersig
	}
	r.usersig = s.sigs[r.identifier]
	return r
}

// send makes one call that is signed. It uses nothing of the session that changes, so that calls may be made at the same time.
func (s *session) send(r request) (answer, error) {
	none := answer{code: -1}
	ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
	defer cancel()
	req, err := s.request(ctx, r)
	if err != nil {
		return none, err
	}
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return none, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return none, err
	}
	return decode(resp, text), nil
}

func (s *session) request(ctx context.Context, r request) (*http.Request, error) {
	query := url.Values{
		"sdkappid": {strconv.Itoa(s.SDKAppID)}, "identifier": {r.identifier}, "usersig": {r.usersig},
		"random": {strconv.FormatUint(uint64(rand.Uint32()), 10)}, "contenttype": {"json"},
	}
	if r.query != nil {
		r.query(query)
	}
	body := r.body
	if r.gzip {
		body = compress(body)
	}
	target := cmp.Or(r.base, s.BaseURL) + "/v4/timpush/" + r.command + "?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, cmp.Or(r.method, http.MethodPost), target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Encoding", "gzip") // set by hand, the transport leaves the answer as it is
	if r.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	return req, nil
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body) // a bytes.Buffer does not fail
	_ = w.Close()
	return b.Bytes()
}

func decode(resp *http.Response, text []byte) answer {
	a := answer{status: resp.StatusCode, header: resp.Header, code: -1}
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if r, err := gzip.NewReader(bytes.NewReader(text)); err == nil {
			text, _ = io.ReadAll(io.LimitReader(r, maxAnswer)) // what is cut off is not JSON
		}
	}
	if json.Unmarshal(text, &a.fields) != nil {
		return a
	}
	a.code = number(a.fields["ErrorCode"])
	var list []map[string]json.RawMessage
	_ = json.Unmarshal(a.fields["ErrorList"], &list) // absent is as good as empty
	for _, e := range list {
		a.list = append(a.list, item{textOf(e["To_Account"]), number(e["ErrorCode"])})
	}
	return a
}

// number reads a number, also one in quotation marks; -1 if it is none.
func number(raw json.RawMessage) int {
	n, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	if err != nil {
		return -1
	}
	return n
}

func textOf(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s) // "" if it is not a string
	return s
}

// passing reports whether the same call may get another answer.
func (a answer) passing() bool {
	switch a.code {
	case 60007, 60011, 60018, 60019, 90024, 60008, 60013, 60014, 70169, 70500, 91000:
		return true
	}
	return a.status == 0 || a.status >= 500
}

// verdict is what an answer says about one account, or about the request.
type verdict struct {
	answered bool
	code     int
	listed   bool // in ErrorList
	status   int
}

// whole returns what an answer says about the request.
func (a answer) whole() verdict {
	return verdict{answered: a.code >= 0, code: a.code, status: a.status}
}

// about returns what an answer says about one account, in whatever case it is spelled.
func (a answer) about(account string) verdict {
	for _, it := range a.list {
		if strings.EqualFold(it.account, account) {
			return verdict{answered: true, code: it.code, listed: true, status: a.status}
		}
	}
	return a.whole()
}

// String says it in words that are fit for the report.
func (v verdict) String() string {
	switch {
	case v.status == 0:
		return "no answer"
	case !v.answered:
		return fmt.Sprintf("HTTP status %d", v.status)
	case v.code == 0:
		return "accepted"
	case v.listed:
		return fmt.Sprintf("code %d for the account", v.code)
	}
	return fmt.Sprintf("code %d", v.code)
}

// attrs returns the attributes of an account in an answer of get_attr, nil if it is not there.
func (a answer) attrs(account string) map[string]string {
	var users []struct {
		ToAccount string            `json:"To_Account"`
		Attrs     map[string]string `json:"Attrs"`
	}
	_ = json.Unmarshal(a.fields["UserAttrs"], &users) // absent is as good as empty
	for _, u := range users {
		if u.ToAccount == account {
			if u.Attrs == nil {
				return map[string]string{}
			}
			return u.Attrs
		}
	}
	return nil
}

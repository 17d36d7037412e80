package timpush

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxAnswer bounds what is read of an answer, in bytes, if its command has no bound of its own. An ErrorList of 100 accounts takes a
// tenth of it.
const maxAnswer = 1 << 20

// maxListed bounds ErrorList, which names each of at most 500 accounts once.
const maxListed = 1000

var errNotNumber = errors.New("not a number")

// answer is an answer of the API. Fields may be absent or null, and numbers may be quoted; fields that are not needed here
// are ignored (tencentcloud.com/document/product/1047/60565 and 1047/34620).
type answer struct {
	status  string
	code    Code
	info    string
	list    []listed
	value   any  // what the command reads from it
	taken   bool // it has signs that the request was applied, whatever its code says: the status OK, or a TaskID
	retried bool // it answers the last try of a transport that retries by itself
}

// listed is one entry of ErrorList.
type listed struct {
	account string // "" if the entry has none
	code    Code   // 0 if the entry has none
	info    string
}

// ok reports whether the server says that it applied the request to all accounts that it does not list.
func (a *answer) ok() bool { return a.code == 0 && strings.EqualFold(a.status, "OK") }

// verdict is what an attempt means for entries.
type verdict struct {
	class      class
	outcome    Outcome       // theirs if no other attempt follows
	err        error         // nil if the outcome is Done
	final      bool          // no other attempt follows
	epoch      time.Duration // of the throttle, when the attempt was sent
	retryAfter time.Duration
}

// interpret decodes an answer that came with an HTTP status, and classifies it. What was sent is redacted in the texts of the server.
func (x *exchange) interpret(status int, body []byte) (answer, verdict) {
	retried := x.tries.Load() > 1
	if status == http.StatusOK {
		if a, ok := x.decode(body); ok {
			a.retried = retried
			return a, x.command.afterTries(x.classify(&a), retried)
		}
	}
	page := &HTTPError{StatusCode: status, RetryAfter: retryAfter(status, x.header, time.Now())}
	if x.command.read == nil { // else the page may hold values
		page.Snippet = clip(x.sent.snippet(string(body[:min(len(body), 4096)])), 200)
	}
	v := verdict{class: statusClass(status), outcome: statusOutcome(status), err: page, retryAfter: page.RetryAfter}
	return answer{}, x.command.afterTries(x.command.restrict(v), retried)
}

func (x *exchange) decode(body []byte) (a answer, ok bool) {
	if a, ok = decodeAnswer(body); !ok && x.command.repair != nil {
		a, ok = decodeAnswer(x.command.repair(body))
	}
	if !ok {
		return a, false
	}
	if a.ok() && x.command.read != nil {
		value, err := x.command.read(body)
		if err != nil {
			return a, false
		}
		a.value = value
	}
	if !a.ok() { // else it is not shown
		a.info = clip(x.sent.text(a.info), maxInfo) // in this order, since a part of a value would not be found
	}
	for i := range a.list {
		item := &a.list[i]
		item.account, item.info = redactUserSig(item.account, x.sent.usersig), clip(x.sent.text(item.info), maxInfo)
	}
	return a, true
}

const maxInfo = 1000 // bytes

// classify returns what the answer means for the entries that ErrorList does not name.
func (x *exchange) classify(a *answer) verdict {
	if a.ok() {
		return verdict{outcome: Done, final: true}
	}
	v := x.command.refusal(a.code, a.info)
	if a.taken && !x.command.repeatable {
		return verdict{outcome: Unknown, err: v.err, final: true}
	}
	if api, ok := errors.AsType[*APIError](v.err); ok && a.code == ErrUserSigExpired {
		api.ClockAhead = clockAhead(x.header.Get("Date"), time.Now())
	}
	return v
}

// refusal is the verdict of a code that the server gave.
func (c *command) refusal(code Code, info string) verdict {
	if c.refused != nil {
		c.refused(code)
	}
	return c.restrict(verdict{class: code.class(), outcome: code.outcome(), err: &APIError{Code: code, Info: info, Endpoint: c.path}})
}

// restrict makes a verdict final where a repetition may do harm: a request that may have been applied is not sent again.
func (c *command) restrict(v verdict) verdict {
	if c.repeatable || v.outcome == NotSent {
		return v
	}
	switch v.class {
	case classTransient, classAccountCheck, classUnproven:
		v.class, v.outcome, v.final = classNone, Unknown, true
	}
	return v
}

// afterTries returns what a verdict is where a transport has retried by itself: an earlier try, whose answer was lost, may have been applied,
// unless it is certain that it was refused too.
func (c *command) afterTries(v verdict, retried bool) verdict {
	if !retried || v.outcome != Rejected || c.alwaysRefused(v.err) {
		return v
	}
	v.outcome = Unknown
	if !c.repeatable {
		v.final = true
		if v.class == classThrottle || v.class == classExpired {
			v.class = classNone // else it would be sent again
		}
	}
	return v
}

// statusClass classifies an answer that is not the API's. Status 200 has a body that is not the documented JSON.
func statusClass(status int) class {
	switch {
	case status == http.StatusTooManyRequests:
		return classThrottle
	case status == http.StatusRequestEntityTooLarge:
		return classTooLong
	case status == http.StatusRequestTimeout, status >= 500, status < 300:
		return classTransient
	}
	return classOther
}

// statusOutcome: only a gateway that says that the request is at fault has certainly not passed it on.
func statusOutcome(status int) Outcome {
	if status >= 300 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusSeeOther {
		return Rejected
	}
	return Unknown
}

// retryAfter reads a Retry-After header of a 429 or 503: seconds, or a date by the clock that the Date header shows, since this machine's
// may be wrong. Too large a number counts as the largest. It returns 0 if the header is neither, or a date that has passed.
func retryAfter(status int, header http.Header, now time.Time) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	after := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(strings.TrimSpace(after), 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(seconds) * time.Second
	}
	if server, err := http.ParseTime(header.Get("Date")); err == nil {
		now = server
	}
	if date, err := http.ParseTime(after); err == nil {
		return max(date.Sub(now), 0).Round(time.Second)
	}
	return 0
}

// clockAhead returns how much this machine's clock is ahead of a Date header, or 0 if that is less than a minute or not known.
func clockAhead(header string, now time.Time) time.Duration {
	date, err := http.ParseTime(header)
	if err != nil || now.Sub(date).Abs() < time.Minute {
		return 0
	}
	return now.Sub(date).Round(time.Second)
}

// match finds the entries that ErrorList names. named has one verdict for each of open, without an error for those that
// are not named, or is nil. unasked is not nil if the list names an account that was not in the request.
func (c *command) match(open []*entry, a *answer) (named []verdict, unasked error) {
	if len(a.list) == 0 {
		return nil, nil
	}
	named = make([]verdict, len(open))
	repeated, unknown := make([]int, len(open)), 0
	for _, item := range a.list {
		v := c.afterTries(c.itemVerdict(item), a.retried)
		switch k := find(open, item.account); {
		case k < 0:
			if unknown++; unknown <= maxTold {
				unasked = together(unasked, &UserError{-1, item.account, Rejected, v.err})
			}
		case named[k].err == nil:
			named[k] = v
		case repeated[k] < maxTold:
			named[k].err = together(named[k].err, v.err) // the first code is the one that counts
			repeated[k]++
		}
	}
	return named, unasked
}

// lists reports whether ErrorList gives an account that code.
func (a *answer) lists(code Code) bool {
	return slices.ContainsFunc(a.list, func(item listed) bool { return item.code == code })
}

const maxTold = 3 // unexpected accounts, or repeated codes of one account, in an error

// itemVerdict classifies a code in ErrorList: after a transient one the account is sent again, any other rejects the account.
func (c *command) itemVerdict(item listed) verdict {
	v := c.refusal(item.code, item.info)
	switch v.class {
	case classNone, classThrottle, classTransient:
		return v
	case classTooMany, classTooLong:
		if c.divisible {
			return v
		}
	}
	if item.code == 0 {
		v.class, v.outcome = classTransient, Unknown
		return c.restrict(v)
	}
	v.class, v.final = classData, true
	return v
}

// unproven is the verdict if ErrorList names an account that was not in the request: it may mean one that was, so that
// none is Done of which that is not excluded.
func (v verdict) unproven(unasked error) verdict {
	if v.outcome == Done {
		return verdict{class: classUnproven, outcome: Unknown, err: unasked}
	}
	v.err = together(v.err, unasked)
	return v
}

// find returns the place in open of an account, or of the only one that differs in nothing but case, or -1.
func find(open []*entry, account string) int {
	folded, alike := -1, 0
	for k, e := range open {
		if e.account == account {
			return k
		}
		if strings.EqualFold(e.account, account) {
			folded = k
			alike++
		}
	}
	if alike > 1 {
		return -1
	}
	return folded
}

// decodeAnswer reports false for anything that does not say clearly how the request ended: not JSON, no ErrorCode, or
// code 0 with another status than OK.
func decodeAnswer(body []byte) (a answer, ok bool) {
	var wire struct {
		ActionStatus text
		ErrorCode    number
		ErrorInfo    text
		PushID       text `json:"TaskId"`
		TaskID       text
		ErrorList    []struct {
			ToAccount text `json:"To_Account"`
			ErrorCode number
			ErrorInfo text
		} `json:",case:ignore"` // one that is overlooked would make users Done that are not
	}
	// A gateway may answer in another encoding: the code is worth more than the characters of its text.
	if err := unmarshal(body, &wire); err != nil || !wire.ErrorCode.set {
		return answer{}, false
	}
	a = answer{status: string(wire.ActionStatus), code: wire.ErrorCode.code, info: string(wire.ErrorInfo)}
	if a.code == 0 && !a.ok() || len(wire.ErrorList) > maxListed {
		return answer{}, false
	}
	a.taken = strings.EqualFold(a.status, "OK") || strings.Trim(string(wire.PushID+wire.TaskID), "0") != ""
	for _, item := range wire.ErrorList {
		a.list = append(a.list, listed{string(item.ToAccount), item.ErrorCode.code, string(item.ErrorInfo)})
	}
	return a, true
}

// unmarshal reads an answer, which may have invalid UTF-8 from a gateway.
func unmarshal(body []byte, to any) error {
	return json.Unmarshal(body, to, jsontext.AllowInvalidUTF8(true))
}

// text is a string; a number or a literal in its place is taken as it is written, null and anything else as "".
type text string

// UnmarshalJSONFrom reads any value.
func (t *text) UnmarshalJSONFrom(d *jsontext.Decoder) error { return readText(d, t) }

// number is an error code, quoted or not, or null.
type number struct {
	code Code
	set  bool
}

// UnmarshalJSONFrom reads a whole number.
func (n *number) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	token, err := d.ReadToken()
	if err != nil || token.Kind() == 'n' {
		return err
	}
	if kind := token.Kind(); kind != '0' && kind != '"' {
		return errNotNumber
	}
	code, err := strconv.Atoi(token.String())
	if err != nil {
		return errNotNumber
	}
	n.code, n.set = Code(code), true
	return nil
}

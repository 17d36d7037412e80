package timpush

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"
)

// APIError says that the server refused a whole request, or one account of it. It unwraps to its [Code].
type APIError struct {
	Code     Code   // never 0, except where ErrorList names an account without a code
	Info     string // ErrorInfo of the server without a UserSig or values that were sent; often empty, and not meant for programs
	Endpoint string // the path, such as "v4/timpush/set_attr"

	// ClockAhead is, with 70001, how much this machine's clock is ahead of the Date header of the answer, and less than 0 if it
	// is behind; 0 if they differ by less than a minute or there is none. A UserSig is dated by this clock.
	ClockAhead time.Duration
}

// Error returns the endpoint, the code, what it means, and what to do.
func (e *APIError) Error() string { return e.Endpoint + ": " + e.text() }

func (e *APIError) text() string {
	text := e.Code.Error()
	switch {
	case e.ClockAhead > 0:
		text += fmt.Sprintf("; this clock is %v ahead of the server's", e.ClockAhead)
	case e.ClockAhead < 0:
		text += fmt.Sprintf("; this clock is %v behind the server's", -e.ClockAhead)
	}
	if e.Info != "" {
		text += fmt.Sprintf(" (server: %s)", oneLine(e.Info))
	}
	return text
}

// Unwrap returns the Code.
func (e *APIError) Unwrap() error { return e.Code }

// HTTPError is an answer that is not one of the API: the status is not 200, or the body is not the documented JSON.
// It comes from a gateway or a proxy, or from a server that has changed.
type HTTPError struct {
	StatusCode int
	Snippet    string        // the beginning of the body, at most 200 bytes, without a UserSig; "" if it repeats the request, or if the call reads data from answers
	RetryAfter time.Duration // from the Retry-After header of a 429 or 503; 0 if there is none
}

// Error returns the status and the snippet.
func (e *HTTPError) Error() string {
	text := fmt.Sprintf("HTTP status %d %s", e.StatusCode, http.StatusText(e.StatusCode))
	switch {
	case e.StatusCode == http.StatusOK:
		text = "HTTP status 200 with a body that is not an answer of the API"
	case e.StatusCode/100 == 3:
		text += " (redirects are not followed; check the base URL)"
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(" (retry after %v)", e.RetryAfter)
	}
	if e.Snippet != "" {
		text += ": " + oneLine(e.Snippet)
	}
	return text
}

// RetryAfter returns how long to wait before the next call, as the first [*HTTPError] in err says ([HTTPError.RetryAfter]), or, if there is none,
// the first proxy that opened no connection. It is 0 if that one does not say it, or if err is nil.
func RetryAfter(err error) time.Duration {
	if page, ok := errors.AsType[*HTTPError](err); ok {
		return page.RetryAfter
	}
	if proxy, ok := errors.AsType[*proxyError](err); ok {
		return proxy.retryAfter
	}
	if opaque, ok := errors.AsType[*opaqueError](err); ok {
		return opaque.retryAfter
	}
	return 0
}

// InputError is one fault of the input, found before anything was sent. It never holds the value of an attribute.
type InputError struct {
	Index     int    // of the item in the input, from 0; -1 if the fault is not of one item
	ToAccount string // "" if the fault is not of one account, or is that it is empty
	Attr      string // name of the attribute; "" if the fault is not of one attribute
	Field     string // path of the field if the input is not attributes, such as "Notification.BadgeAdd"
	Reason    string
}

// Error returns where the fault is, and the reason.
func (e *InputError) Error() string {
	var where []string
	switch {
	case e.ToAccount != "":
		where = append(where, fmt.Sprintf("user %d %s", e.Index, quote(e.ToAccount)))
	case e.Index >= 0:
		where = append(where, fmt.Sprintf("item %d", e.Index))
	}
	if e.Attr != "" {
		where = append(where, "attribute "+quote(e.Attr))
	}
	if e.Field != "" {
		where = append(where, e.Field)
	}
	if len(where) == 0 {
		return e.Reason
	}
	return strings.Join(where, " ") + ": " + e.Reason
}

// InputErrors says that an input is not valid: nothing was sent. It unwraps to each of its Faults.
type InputErrors struct {
	Faults []*InputError // in the order of the input; at least one
}

// Error returns the first faults. Its length is bounded.
func (e *InputErrors) Error() string {
	const most = 5
	if len(e.Faults) == 1 {
		return "timpush: invalid input, nothing was sent: " + e.Faults[0].Error()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "timpush: %d faults in the input, nothing was sent: ", len(e.Faults))
	for i, fault := range e.Faults[:min(len(e.Faults), most)] {
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(fault.Error())
	}
	if len(e.Faults) > most {
		fmt.Fprintf(&text, "; and %d more", len(e.Faults)-most)
	}
	return text.String()
}

// Unwrap returns the Faults.
func (e *InputErrors) Unwrap() []error {
	errs := make([]error, len(e.Faults))
	for i, fault := range e.Faults {
		errs[i] = fault
	}
	return errs
}

// invalid returns the faults as one error, or nil if there are none.
func invalid(faults []*InputError) error {
	if len(faults) == 0 {
		return nil
	}
	return &InputErrors{faults}
}

// UserError is the outcome of one user that is not Done. It unwraps to the cause.
type UserError struct {
	Index     int // in the input; -1 for an account that the server named though it was not in the request
	ToAccount string
	Outcome   Outcome
	Err       error
}

// Error returns the index, the account, the outcome and the cause.
func (e *UserError) Error() string { return e.text(fmt.Sprint(e.Err)) }

func (e *UserError) text(cause string) string {
	if fault, ok := e.Err.(*InputError); ok { //nolint:errorlint // so that the user is printed once
		withoutUser := *fault
		withoutUser.Index, withoutUser.ToAccount = -1, ""
		cause = withoutUser.Error()
	}
	who := fmt.Sprintf("user %d %s", e.Index, quote(e.ToAccount))
	if e.Index < 0 {
		who = "account " + quote(e.ToAccount) + ", which was not in the request,"
	}
	return fmt.Sprintf("%s %s: %s", who, e.Outcome, cause)
}

// Unwrap returns the cause.
func (e *UserError) Unwrap() error { return e.Err }

// PartialError says that some users are not Done. It holds one [UserError] for each of them and unwraps to all, so
// that errors.Is and errors.As find the cause of any. errors.As finds only the first one of a type; [PartialError.Users]
// has all.
type PartialError struct {
	endpoint string
	result   Result
	failed   []failure
}

// failure is a user that is not Done.
type failure struct {
	*UserError
	place   int  // in the slice that Remaining is given
	again   bool // worth sending again
	settled bool // Rejected for its own data, which a repetition does not change
}

// Users returns the users that are not Done, in the order of the input.
func (e *PartialError) Users() iter.Seq[*UserError] {
	return func(yield func(*UserError) bool) {
		for _, u := range e.failed {
			if !yield(u.UserError) {
				return
			}
		}
	}
}

// Error returns how many users are not Done, and the first of them. Its length is bounded.
func (e *PartialError) Error() string {
	r := e.result
	total := r.users()
	if len(e.failed) == 0 { // the zero value
		return "timpush: no user failed"
	}
	first := e.failed[0]
	cause := first.Err.Error()
	if api, ok := first.Err.(*APIError); ok { //nolint:errorlint // one inside another error keeps its endpoint
		cause = api.text() // so that the endpoint is printed once
	}
	return clip(fmt.Sprintf("timpush: %s: %d of %d users not done (%d rejected, %d unknown, %d not sent), the first: %s",
		e.endpoint, total-r.Done, total, r.Rejected, r.Unknown, r.NotSent, first.text(cause)), 1000)
}

// Unwrap returns the UserErrors, in the order of the input.
func (e *PartialError) Unwrap() []error {
	errs := make([]error, len(e.failed))
	for i, u := range e.failed {
		errs[i] = u.UserError
	}
	return errs
}

// Remaining returns those items of an input that are worth sending again, in their order, after the call that was given the
// input has returned err. Wait before sending them: the client has made its retries.
//
// A nil error leaves none. A [*PartialError] leaves the items that are NotSent, those that are Unknown if repeating the
// call does no harm (for a push it does), those Rejected with a [Code.Retryable] code, and those of a refused request that was
// being halved when the call ended. It leaves out all others that were Rejected, also those whose request was refused for a
// reason that an operator has to correct: a wrong key, an identifier that is no administrator, a disabled app, a gateway that
// says no. Once that is corrected, send everything that is not Done: [PartialError.Users] names it. [*InputErrors] leave the
// items without a fault, and none if a fault is not of one item. Any other error leaves none.
//
// Remaining panics if the input is shorter than that of the call, but not if it is empty: a step of a stream without users may have
// an error of the source, which can be one of another call.
func Remaining[T any](err error, input []T) []T {
	if len(input) == 0 {
		return nil
	}
	if partial, ok := errors.AsType[*PartialError](err); ok {
		return remaining(partial, input)
	}
	if faulty, ok := errors.AsType[*InputErrors](err); ok {
		return withoutFault(faulty, input)
	}
	return nil
}

func remaining[T any](e *PartialError, input []T) (again []T) {
	if n := e.result.users(); len(input) < n {
		panic(fmt.Sprintf("timpush: Remaining: %d items, want the input of the call, which had %d", len(input), n))
	}
	for _, u := range e.failed {
		if u.again {
			again = append(again, input[u.place])
		}
	}
	return again
}

func withoutFault[T any](e *InputErrors, input []T) (valid []T) {
	faulty := make([]bool, len(input))
	for _, fault := range e.Faults {
		if fault.Index < 0 {
			return nil
		}
		faulty[fault.Index] = true
	}
	for i, item := range input {
		if !faulty[i] {
			valid = append(valid, item)
		}
	}
	return valid
}

// CallError is the error of a call that is not about accounts, such as [Client.SetAttrNames]. It unwraps to the cause.
// Input that is not valid gives [*InputErrors] instead.
type CallError struct {
	Endpoint string  // the path, such as "v4/timpush/set_attr_name"
	Outcome  Outcome // Rejected, Unknown or NotSent
	Err      error
}

// Error returns the endpoint, the outcome and the cause. Its length is bounded.
func (e *CallError) Error() string {
	cause := fmt.Sprint(e.Err)
	if api, ok := e.Err.(*APIError); ok && api.Endpoint == e.Endpoint { //nolint:errorlint // as in PartialError
		cause = api.text()
	}
	return clip(fmt.Sprintf("timpush: %s %s: %s", e.Endpoint, e.Outcome, cause), 1000)
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// retryable reports whether what was Rejected may be Done another time. What came later, such as the reason that stopped the call, did
// not reject it; and if the call ended while the request was being halved, the fault need not be this item's.
func retryable(err error) bool {
	unfinished := false
	for both, ok := err.(*followed); ok; both, ok = err.(*followed) { //nolint:errorlint // made here
		err, unfinished = both.earlier, true
	}
	if errors.Is(err, ErrNotStored) {
		return true
	}
	if code, ok := errors.AsType[Code](err); ok {
		return code.Retryable() || unfinished && code.DataFault()
	}
	page, ok := errors.AsType[*HTTPError](err)
	return ok && (page.StatusCode == http.StatusTooManyRequests || unfinished && page.StatusCode == http.StatusRequestEntityTooLarge)
}

// ErrNotStored is the cause if a user is Rejected by [Client.Verify]: the server does not have the attributes as given.
var ErrNotStored = errors.New("the server does not have the attributes as given")

// ErrNotAnswered is the cause if an account is Unknown after [Client.GetAttr]: the server says that it has read the attributes,
// but does not mention the account, or mentions it several times with different attributes.
var ErrNotAnswered = errors.New("the server's answer does not mention the account")

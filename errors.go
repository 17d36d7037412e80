package timpush

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Outcome is what became of one user. The zero value, [NotSent], claims nothing.
//
// The order is the order of what is known to have reached the server: what has been Unknown once stays so until the
// server settles it.
type Outcome int

// The four outcomes. Every user that is handed to a call ends in exactly one of them.
const (
	NotSent  Outcome = iota // nothing reached the server: nothing has changed
	Rejected                // the server or the validation said no: nothing has changed
	Unknown                 // sent, and no clear answer came: it may or may not have been applied
	Done                    // the server said so
)

// String returns the outcome in words: "done", "rejected", "unknown" or "not sent".
func (o Outcome) String() string {
	switch o {
	case NotSent:
		return "not sent"
	case Rejected:
		return "rejected"
	case Unknown:
		return "unknown"
	case Done:
		return "done"
	}
	return fmt.Sprintf("Outcome(%d)", int(o))
}

// APIError says that the server refused a whole request, or one account of it. It unwraps to its [Code].
type APIError struct {
	Code     Code   // never 0, except where ErrorList names an account without a code
	Info     string // ErrorInfo as the server sent it, without a UserSig; often empty, and not made for programs
	Endpoint string // the path, such as "v4/timpush/set_attr"
}

// Error tells the endpoint, the code, what it means and what to do.
func (e *APIError) Error() string {
	text := e.Endpoint + ": " + e.Code.Error()
	if e.Info != "" {
		text += fmt.Sprintf(" (server: %s)", tidy(e.Info))
	}
	return text
}

// Unwrap returns the Code.
func (e *APIError) Unwrap() error { return e.Code }

// HTTPError is an answer that is not the API's: another status than 200, or a body that is not the documented JSON.
// It comes from a gateway or a proxy, or from a server that has changed.
type HTTPError struct {
	StatusCode int
	Snippet    string // the beginning of the body, at most 200 bytes, without a UserSig
}

// Error tells the status and the snippet.
func (e *HTTPError) Error() string {
	what := fmt.Sprintf("HTTP status %d %s", e.StatusCode, http.StatusText(e.StatusCode))
	switch {
	case e.StatusCode == http.StatusOK:
		what = "HTTP status 200 with a body that is no answer of the API"
	case e.StatusCode/100 == 3:
		what += " (redirects are not followed; check the base URL)"
	}
	if e.Snippet == "" {
		return what
	}
	return what + ": " + tidy(e.Snippet)
}

// InputError is one fault of the input, found before anything was sent. It never holds the value of an attribute.
// errors.As finds the first; this finds all of them:
//
//	var input interface{ Unwrap() []error }
//	if errors.As(err, &input) {
//		for _, fault := range input.Unwrap() {
//			fmt.Println(fault) // each is an *InputError
//		}
//	}
type InputError struct {
	Index     int    // of the user in the input
	ToAccount string // "" if that is the fault
	Attr      string // name of the attribute; "" if the fault is not of one attribute
	Reason    string
}

// Error tells the index, the account, the attribute and the reason.
func (e *InputError) Error() string {
	text := fmt.Sprintf("user %d %s", e.Index, quote(e.ToAccount))
	if e.ToAccount == "" {
		text = fmt.Sprintf("entry %d", e.Index)
	}
	if e.Attr != "" {
		text += " attribute " + quote(e.Attr)
	}
	return text + ": " + e.Reason
}

// inputErrors is all that is wrong with an input, as one error with a bounded text.
type inputErrors struct{ faults []error }

func (e *inputErrors) Error() string {
	const most = 5
	var text strings.Builder
	plural := "s"
	if len(e.faults) == 1 {
		plural = ""
	}
	fmt.Fprintf(&text, "timpush: %d fault%s in the input, nothing was sent: ", len(e.faults), plural)
	for i, fault := range e.faults[:min(len(e.faults), most)] {
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(fault.Error())
	}
	if len(e.faults) > most {
		fmt.Fprintf(&text, "; and %d more", len(e.faults)-most)
	}
	return text.String()
}

func (e *inputErrors) Unwrap() []error { return e.faults }

// UserError says what became of one user that is not Done. It unwraps to the cause.
type UserError struct {
	Index     int // in the input; -1 for an account that the server named though it was not in the request
	ToAccount string
	Outcome   Outcome
	Err       error
}

// Error tells the index, the account, the outcome and the cause.
func (e *UserError) Error() string {
	who := fmt.Sprintf("user %d %s", e.Index, quote(e.ToAccount))
	if e.Index < 0 {
		who = "account " + quote(e.ToAccount) + ", which was not in the request,"
	}
	return fmt.Sprintf("%s %s: %v", who, e.Outcome, e.Err)
}

// Unwrap returns the cause.
func (e *UserError) Unwrap() error { return e.Err }

// PartialError says that some users are not Done. It holds one [UserError] for each of them and unwraps to all, so
// that errors.Is and errors.As find the cause of any; errors.As finds the first of its kind only, [PartialError.Users]
// all.
type PartialError struct {
	endpoint string
	result   Result
	failed   []failure
}

// failure is a user that is not Done.
type failure struct {
	*UserError
	place   int  // in the slice that Remaining is given
	settled bool // Rejected for what is the user's own, whatever else is mended
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

// Remaining returns those of users that are worth sending again, in their order: the outcome is Unknown or NotSent, or
// they were Rejected with a [Code.Retryable] code. Give it the slice that the failed call was given; with a shorter one
// it panics. It is never worth sending again at once: the client has made its attempts.
//
// It leaves out all other users that were Rejected, also those whose request was refused for what is not about them and
// what an operator has to mend: a wrong key, an identifier that is no administrator, a disabled app, a gateway that says
// no. Once that is mended, send everything that is not Done, which is what [PartialError.Users] names.
func (e *PartialError) Remaining(users []UserAttrs) []UserAttrs {
	var again []UserAttrs
	for _, u := range e.failed {
		if u.Outcome != Rejected || retryable(u.Err) {
			again = append(again, users[u.place])
		}
	}
	return again
}

// Error tells how many users are not Done, and the first of them. Its length is bounded.
func (e *PartialError) Error() string {
	r := e.result
	total := r.users()
	return clip(fmt.Sprintf("timpush: %s: %d of %d users not done (%d rejected, %d unknown, %d not sent), the first: %v",
		e.endpoint, total-r.Done, total, r.Rejected, r.Unknown, r.NotSent, e.failed[0]), 1000)
}

// Unwrap returns the UserErrors, in the order of the input.
func (e *PartialError) Unwrap() []error {
	errs := make([]error, len(e.failed))
	for i, u := range e.failed {
		errs[i] = u.UserError
	}
	return errs
}

// retryable tells whether a Rejected user may be Done another time.
func retryable(err error) bool {
	if errors.Is(err, ErrNotStored) {
		return true
	}
	if code, ok := errors.AsType[Code](err); ok {
		return code.Retryable()
	}
	page, ok := errors.AsType[*HTTPError](err)
	return ok && page.StatusCode == http.StatusTooManyRequests
}

// then is two errors, one after the other; both match, and errors.As finds the earlier one first.
func then(earlier, later error) error {
	if earlier == nil || errors.Is(later, earlier) {
		return later
	}
	if errors.Is(earlier, later) {
		return earlier
	}
	return fmt.Errorf("%w; then: %w", earlier, later)
}

// both is two errors that came together.
func both(first, second error) error {
	if first == nil {
		return second
	}
	return fmt.Errorf("%w; and %w", first, second)
}

// ended returns why ctx has ended, or nil. What it returns matches ctx.Err() also where the context has another cause.
func ended(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// The UserSig travels in the query string, which net/http prints in its errors and a gateway may print on its page.
// What follows keeps it out of everything that leaves the client.

const redacted = "REDACTED"

// shortestSecret is the length from which a part of a UserSig is one: a server may cut it off or break it into lines.
const shortestSecret = 16

// plainStars undoes the escape that some give in a query to the one letter of a UserSig that can have one.
var plainStars = strings.NewReplacer("%2A", "*", "%2a", "*")

// redactText removes all parts of the UserSig from a text of the server.
func redactText(s, usersig string) string {
	if len(s) < shortestSecret {
		return s
	}
	var out strings.Builder
	s = plainStars.Replace(s)
	for len(s) > 0 {
		n := 0
		if len(s) >= shortestSecret && strings.Contains(usersig, s[:shortestSecret]) {
			for n = shortestSecret; n < len(s) && strings.Contains(usersig, s[:n+1]); n++ {
			}
			out.WriteString(redacted)
		} else {
			out.WriteByte(s[0])
			n = 1
		}
		s = s[n:]
	}
	return out.String()
}

// redactError returns a transport's error as a *url.Error whose URL has no query. Errors within it are kept, unless
// one of them prints the UserSig too.
func redactError(err error, where, usersig string) error {
	for {
		outer, ok := err.(*url.Error) //nolint:errorlint // only the outermost wrapper is replaced, one inside is checked below
		if !ok {
			break
		}
		err = outer.Err
	}
	if err != nil && leaks(err, usersig) {
		err = newOpaqueError(err, usersig)
	}
	return &url.Error{Op: "Post", URL: where, Err: err}
}

func leaks(err error, usersig string) bool {
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	if data, fails := json.Marshal(err); fails == nil {
		text += string(data)
	}
	for _, inner := range unwrapped(err) {
		if leaks(inner, usersig) {
			return true
		}
	}
	return redactText(text, usersig) != plainStars.Replace(text)
}

func unwrapped(err error) []error {
	switch e := err.(type) { //nolint:errorlint // this is what walks the chain
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return []error{inner}
		}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}

// opaqueError stands for an error that holds the UserSig. It still matches what that error matches, and is a timeout
// if that error is one, but it does not give it away.
type opaqueError struct {
	text    string
	timeout bool
	is      func(target error) bool
}

func newOpaqueError(err error, usersig string) *opaqueError {
	var timeout interface{ Timeout() bool }
	return &opaqueError{
		text:    redactText(err.Error(), usersig),
		timeout: errors.As(err, &timeout) && timeout.Timeout(),
		is:      func(target error) bool { return errors.Is(err, target) },
	}
}

func (e *opaqueError) Error() string        { return e.text }
func (e *opaqueError) Timeout() bool        { return e.timeout }
func (e *opaqueError) Is(target error) bool { return e.is(target) }

// quote quotes an account or a name for an error text and bounds its length.
func quote(s string) string { return fmt.Sprintf("%q", clip(s, 64)) }

// tidy makes one bounded line of a text of unknown origin.
func tidy(s string) string {
	return clip(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " "), 200)
}

// clip bounds s to n bytes and does not cut a character.
func clip(s string, n int) string {
	const rest = "..."
	if len(s) <= n {
		return s
	}
	for n -= len(rest); n > 0 && !utf8.RuneStart(s[n]); n-- {
	}
	return s[:n] + rest
}

package timpush

import "fmt"

// Outcome is how one user of a call ended. The zero value, [NotSent], claims nothing.
//
// The order is by how far a request may have got: a user that has been Unknown once remains so until the server settles it.
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

// Result counts the users of a call by outcome. Done, Rejected, Unknown and NotSent always add up to the users given.
type Result struct {
	Done, Rejected, Unknown, NotSent int
	Requests                         int // HTTP requests sent, repeated ones included
}

// String returns the counts as one line.
func (r Result) String() string {
	return fmt.Sprintf("%d done, %d rejected, %d unknown, %d not sent; %d requests", r.Done, r.Rejected, r.Unknown, r.NotSent, r.Requests)
}

func (r *Result) count(o Outcome) {
	switch o {
	case Done:
		r.Done++
	case Rejected:
		r.Rejected++
	case Unknown:
		r.Unknown++
	case NotSent:
		r.NotSent++
	}
}

func (r *Result) add(o Result) {
	r.Done, r.Rejected, r.Unknown, r.NotSent = r.Done+o.Done, r.Rejected+o.Rejected, r.Unknown+o.Unknown, r.NotSent+o.NotSent
	r.Requests += o.Requests
}

func (r *Result) users() int { return r.Done + r.Rejected + r.Unknown + r.NotSent }

// state is what is known about one entry, or about a request without accounts. While the request is in flight, only the
// goroutine that sends it uses the state.
type state struct {
	outcome Outcome
	err     error
	settled bool // it is Done, or Rejected for its own data
}

// record records a failure that another attempt may follow. What may have been applied once remains Unknown, whatever a later
// attempt was refused for. An attempt that the end of the call cut short does not hide the failure before it.
func (s *state) record(outcome Outcome, err error, cutShort bool) {
	if outcome >= s.outcome && !cutShort {
		*s = state{outcome: outcome, err: err}
	} else {
		*s = state{outcome: max(outcome, s.outcome), err: followedBy(s.err, err)}
	}
}

// abort ends it with what is known, for a cause outside its requests.
func (s *state) abort(cause error) { s.err = followedBy(s.err, cause) }

// settle ends it with what the server says about it alone. If an earlier answer was lost, a refusal proves that it was not
// applied only if the earlier attempt was certain to be refused too.
func (s *state) settle(outcome Outcome, err error, certain bool) {
	if outcome == Rejected && s.outcome == Unknown && !certain {
		s.err = followedBy(s.err, err)
		return
	}
	*s = state{outcome, err, outcome != Unknown}
}

// worthRepeating reports whether it makes sense to send the same again later. What is Unknown must not be sent again if a
// repetition does harm.
func (s *state) worthRepeating(repeatable bool) bool {
	switch s.outcome {
	case NotSent:
		return true
	case Unknown:
		return repeatable
	case Rejected:
		return retryable(s.err)
	}
	return false
}

package timpush

// lookup returns what an answer holds for an account. ok is false if it does not mention the account.
type lookup func(account string) (value any, ok bool)

// entry is one account, its JSON, and what is known about it.
type entry struct {
	account string
	json    []byte
	found   any // what was read for the account
	state
}

// state is what is known about one entry, or about a request without accounts. While the request is in flight, only the
// goroutine that sends it uses the state.
type state struct {
	outcome Outcome
	err     error
	settled bool // it is Done, or Rejected for its own data
}

// record records a failure that another attempt may follow. It keeps the later of both outcomes in the order NotSent, Rejected,
// Unknown: what may have been applied once remains Unknown, whatever a later attempt was refused for, of which the last is kept. The
// text of an attempt that the end of the call cut short comes behind that of the failure before it.
func (s *state) record(outcome Outcome, err error, cutShort bool) {
	switch {
	case cutShort:
		*s = state{outcome: max(outcome, s.outcome), err: followedBy(s.err, err)}
	case outcome >= s.outcome:
		*s = state{outcome: outcome, err: err}
	default: // only the first and the last: with a retry budget there may be thousands of attempts
		earlier := s.err
		if both, ok := earlier.(*followed); ok { //nolint:errorlint // made here
			earlier = both.earlier
		}
		s.err = followedBy(earlier, err)
	}
}

// abort ends it with what is known, for a cause outside its requests.
func (s *state) abort(cause error) { s.err = followedBy(s.err, cause) }

// settle ends it with what the server says about it alone. If an earlier answer was lost, a refusal proves that it was not
// applied only if the earlier attempt was certain to be refused too.
func (s *state) settle(c *command, outcome Outcome, err error) {
	if outcome == Rejected && s.outcome == Unknown && !c.alwaysRefused(err) {
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

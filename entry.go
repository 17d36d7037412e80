package timpush

// command is an endpoint of the API as the engine sees it: requests and answers, whatever they carry.
type command struct {
	path           string // "v4/timpush/set_attr"
	quota          Quota
	open, close    string                     // of a request's JSON; the entries stand between them
	openWith       func(random uint32) string // instead of open, with a number that the retries of a request keep
	size           int                        // of a request, in entries
	repeatable     bool                       // sending a request again does no harm
	divisible      bool                       // a refused request may be halved to find the entry at fault
	serial         bool                       // one request at a time
	refusesRepeats bool                       // the server may refuse a request that it has already applied
	personal       bool                       // the values in a request are kept out of error texts

	// read returns the data of an answer, for a command with accounts a lookup. nil: there is none. Answers to a command
	// with read are never printed.
	read func(body []byte) (any, error)

	repair func(body []byte) []byte // makes JSON of an answer that is not; may be nil

	refused func(code Code) // is called with each code that the server gives; may be nil
}

// body returns the JSON of a request.
func (c *command) body(entries []*entry, random uint32) []byte {
	open := c.open
	if c.openWith != nil {
		open = c.openWith(random)
	}
	length := len(open) + len(c.close)
	for _, e := range entries {
		length += len(e.json) + 1
	}
	body := append(make([]byte, 0, length), open...)
	for k, e := range entries {
		if k > 0 {
			body = append(body, ',')
		}
		body = append(body, e.json...)
	}
	return append(body, c.close...)
}

// certain reports whether an account that is refused with err was refused at earlier attempts too.
func (c *command) certain(err error) bool {
	code := codeOf(err)
	return code.DataFault() && (!c.refusesRepeats || code == ErrNoSuchAccount)
}

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

package timpush

import (
	"cmp"
	"math/rand/v2"
	"time"
)

const (
	backoffBase     = 200 * time.Millisecond
	backoffCap      = 20 * time.Second
	maxUnknownCodes = 3 // requests in a row that fail with an undocumented code
	maxUnknowns     = 3 // requests in a row that may have been applied and must not be repeated
)

// step is what to do with the entries that have no outcome after an attempt.
type step int

const (
	stepEnd   step = iota // nothing: they have ended
	stepAgain             // send them again
	stepSplit             // send the halves
	stepProbe             // send one of them, and the others only if it is accepted
)

// request sends the entries in open, one attempt after the other, until each has its outcome.
func (s *sender) request(open []*entry, h history) {
	size, msgRandom, accepted := 0, uint32(0), false
	for len(open) > 0 {
		if cause := s.stopped(); cause != nil {
			abort(open, cause)
			return
		}
		if len(open) != size || accepted { // else it is the same request again. The service drops a push with the number of one that it has taken
			size, msgRandom = len(open), newRandom()
		}
		body := s.command.body(open, msgRandom)
		if len(open) > 1 && s.tooLarge(s.command, len(open), len(body)) {
			s.halve(open, h)
			return
		}
		a, v := s.attempt(&h, body, size)
		accepted = a.ok()
		open, v = s.distribute(open, &a, v)
		s.apply(v)
		switch s.next(open, v, &h, size, len(body)) {
		case stepEnd:
			if s.command.serial {
				s.retryAfter = v.retryAfter
			}
			return
		case stepSplit:
			s.halve(open, h)
			return
		case stepProbe:
			open = s.probe(open, h)
		}
	}
}

// halve sends the two halves one after the other, so that they use no more slots than the request.
func (s *sender) halve(open []*entry, h history) {
	s.request(open[:len(open)/2], h)
	s.request(open[len(open)/2:], h)
}

// probe sends one of the entries alone. If that is not accepted either, the others are not sent again and keep the outcome of
// the whole request.
func (s *sender) probe(open []*entry, h history) []*entry {
	k := rand.IntN(len(open))
	open[0], open[k] = open[k], open[0]
	s.request(open[:1], h)
	if s.onlySinglesFail() {
		return nil
	}
	return open[1:]
}

// apply does what an answer means for more than its own request.
func (s *sender) apply(v verdict) {
	if v.class == classOther {
		if s.unknownCodes.Add(1) >= maxUnknownCodes {
			s.stop(v.err)
		}
	} else {
		s.unknownCodes.Store(0)
	}
	switch v.class {
	case classThrottle:
		s.slowDown(s.command.quota, v.epoch, codeOf(v.err), v.retryAfter)
	case classCooldown:
		s.coolDown(v.err)
		s.stop(v.err)
	case classFatal:
		s.stop(v.err)
	}
}

// countUnknown stops a call whose requests must not be repeated when several in a row may have been applied.
func (s *sender) countUnknown(unknown bool, err error) {
	if !unknown || s.command.repeatable {
		s.unknowns.Store(0)
	} else if s.unknowns.Add(1) >= maxUnknowns {
		s.stop(err)
	}
}

// distribute records what the answer says of each entry. It returns those without a final outcome, and the verdict that decides
// what to do with them.
func (s *sender) distribute(open []*entry, a *answer, v verdict) (rest []*entry, worst verdict) {
	named, unasked := s.command.match(open, a)
	if unasked != nil {
		v = s.command.restrict(v.unproven(unasked))
	}
	if v.class.beyondRequest() && !a.lists(a.code) {
		worst = v // even if ErrorList names every account, and each with another code
	}
	accepted, unknown := false, 0
	read, reads := a.value.(lookup)
	for k, e := range open {
		mine := v
		if named != nil && named[k].err != nil {
			mine = named[k]
		}
		accepted = accepted || mine.outcome == Done
		if reads && mine.outcome == Done {
			mine = e.keep(read, mine)
		}
		if mine.outcome == Unknown {
			unknown++
		}
		if mine.final {
			e.settle(s.command, mine.outcome, mine.err)
			continue
		}
		e.record(mine.outcome, mine.err, s.over())
		rest = append(rest, e)
		if mine.class > worst.class {
			worst = mine
		}
	}
	if accepted {
		s.singleFailures.Store(0)
	}
	s.countUnknown(v.outcome == Unknown || unknown == len(open), cmp.Or(v.err, open[0].err))
	worst.epoch, worst.retryAfter = v.epoch, v.retryAfter
	return rest, worst
}

// next decides what to do with the entries still open, of a request that had size entries and a body of length bytes.
func (s *sender) next(open []*entry, v verdict, h *history, size, length int) step {
	switch v.class {
	case classData, classMalformed, classUnproven:
		if s.command.divisible {
			return s.isolate(open, v, size)
		}
	case classTooMany, classTooLong:
		if s.command.divisible {
			return s.shrink(open, v, size, length)
		}
	default:
		if len(open) > 0 && s.repeat(v, h, len(open)) {
			return stepAgain
		}
	}
	if len(open) > 0 && !s.command.divisible && v.outcome == Rejected && v.class != classData {
		s.stop(v.err) // the next request would be refused for the same reason
	}
	return stepEnd
}

// repeat waits as long as a retry needs and reports whether to send the request again.
func (s *sender) repeat(v verdict, h *history, accounts int) bool {
	if s.command.isLeft() {
		return false
	}
	var pause time.Duration
	switch v.class {
	case classExpired:
		return true
	case classThrottle: // the throttle makes it wait
	case classTransient, classAccountCheck:
		pause = backoff(h.failures)
	default:
		return false
	}
	if s.over() {
		return true // the caller then sees that the call has ended
	}
	h.failures++
	pause = max(pause, min(v.retryAfter, maxRetryAfter))
	if h.failures >= s.maxAttempts || s.beyondBudget(h, max(pause, v.retryAfter)) || s.hurry {
		return false
	}
	s.backOff(pause, accounts, h.attempts)
	return true
}

// backOff waits before an attempt of a request to so many accounts.
func (s *sender) backOff(pause time.Duration, accounts, attempt int) {
	if pause <= 0 {
		return
	}
	began := time.Now()
	_ = sleep(s.waiting, pause)
	s.observe(s.waiting, Event{
		Kind: WaitEnd, Endpoint: s.command.path, Users: accounts, Attempt: attempt, Wait: WaitBackoff, Duration: time.Since(began),
	})
}

func (s *sender) beyondBudget(h *history, pause time.Duration) bool {
	return s.retryBudget > 0 && pause > s.retryBudget-time.Since(h.began)
}

// backoff is full jitter: any pause up to a bound that doubles with each failure.
func backoff(failures int) time.Duration {
	bound := min(backoffCap, backoffBase<<min(failures, 10))
	return rand.N(bound) + 1
}

// isolate finds the accounts that a request was refused for. If the server has named some, they are settled already and the
// rest is sent again; otherwise the request is halved. When as many accounts in a row as fit into a request were sent alone
// and none was accepted, the fault is probably not one account's: then one is tried before the others.
func (s *sender) isolate(open []*entry, v verdict, size int) step {
	switch {
	case len(open) < size: // some are settled
		return stepAgain
	case len(open) > 1 && s.onlySinglesFail():
		return stepProbe
	case len(open) > 1:
		return stepSplit
	case v.class != classUnproven:
		s.reject(open, v)
	}
	s.singleFailures.Add(1)
	return stepEnd
}

func (s *sender) onlySinglesFail() bool { return s.singleFailures.Load() >= int64(s.command.size) }

// shrink makes the client's requests to this endpoint smaller after one was refused for its size. One account cannot be halved.
// A code that ErrorList has for some accounts does not limit requests.
func (s *sender) shrink(open []*entry, v verdict, size, length int) step {
	switch {
	case size == 1:
		return stepEnd
	case len(open) < size: // some are settled
	case v.class == classTooMany:
		s.lower(s.command, size/2, maxBody)
	default:
		s.lower(s.command, s.command.size, length-1)
	}
	return stepAgain
}

func (s *sender) reject(open []*entry, v verdict) {
	for _, e := range open {
		e.settle(s.command, Rejected, v.err)
	}
}

func abort(entries []*entry, cause error) {
	for _, e := range entries {
		e.abort(cause)
	}
}

// keep stores what an answer holds for an entry that is Done, and returns its verdict, which is Unknown if the answer does not
// mention the account. Asking again would hardly help.
func (e *entry) keep(read lookup, done verdict) verdict {
	found, ok := read(e.account)
	if !ok {
		return verdict{outcome: Unknown, err: ErrNotAnswered, final: true}
	}
	e.found = found
	return done
}

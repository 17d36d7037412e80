package timpush

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// history is what has happened to a request. Its halves inherit it, so that halving does not add retries.
type history struct {
	began         time.Time // when the first attempt had waited for its quota
	attempts      int
	failures      int  // attempts that failed with transient faults
	accountChecks int  // of these, the last in a row that were answered with 60004 or 60005
	expired       bool // the server has called a UserSig expired
	maybeTooEarly bool // the limiter has said so of the deadline in the last attempt, as far as is known
}

// newRandom returns any number but 0, which some endpoints take for none.
func newRandom() uint32 { return max(rand.Uint32(), 1) }

// attempt sends the body of a request once, and returns the answer and what it means for the accounts that the answer does not name.
func (s *sender) attempt(h *history, body []byte, accounts int) (answer, verdict) {
	h.attempts++
	e := Event{Endpoint: s.command.path, Users: accounts, Attempt: h.attempts}
	usersig, epoch, err := s.admit(h, e)
	if h.attempts == 1 {
		h.began = time.Now()
	}
	if err != nil {
		return answer{}, s.notAdmitted(h, err)
	}
	defer s.release()
	if h.attempts > 1 && s.command.isLeft() { // while it waited
		return answer{}, s.notAdmitted(h, context.Canceled)
	}
	h.maybeTooEarly = false
	a, v := s.post(&exchange{command: s.command, users: accounts, sent: sent{usersig: usersig, body: body, impersonal: s.command.impersonal}}, e)
	v.epoch = epoch
	s.dropIfWrong(usersig, &a)
	h.escalate(&v)
	return a, v
}

// dropIfWrong drops a UserSig that the answer calls expired or wrong, for all accounts or for some.
func (s *sender) dropIfWrong(usersig string, a *answer) {
	codes := []Code{a.code}
	for _, item := range a.list {
		codes = append(codes, item.code)
	}
	for _, code := range codes {
		if code.aboutUserSig() {
			s.signing.drop(usersig, code.class() == classAccountCheck)
		}
	}
}

// admit returns when a request may leave: with a good UserSig, a slot, and a token of the limiter. Signing may take its time,
// so it comes first: nothing stands between the token and the request. If the UserSig has expired or was dropped in the meantime, and
// no other request has renewed it, admit starts over, but only maxSignings times: a limiter may be slower than a UserSig's lifetime. If
// it returns no error, the caller must release the slot.
func (s *sender) admit(h *history, e Event) (usersig string, epoch time.Duration, err error) {
	if err = s.cooling(); err != nil { // before a shared limiter lets another request through, which would be lost
		return "", 0, err
	}
	for tries := 1; ; tries++ {
		if usersig, err = s.signing.get(s.waiting); err != nil {
			return "", 0, err
		}
		if epoch, err = s.acquire(e); err != nil {
			return "", 0, err
		}
		var good bool
		if usersig, good = s.signing.recheck(usersig); good || tries == maxSignings {
			return usersig, epoch, nil
		}
		s.release()
	}
}

const (
	maxSignings      = 3 // for one attempt
	maxAccountChecks = 2 // retries after 60004 and 60005: these may be transient, but more often the configuration is wrong
)

// acquire waits for a slot, the throttle and the limiter. A request has its slot while it waits for its quota, so that nothing
// stands between that and the transport; therefore each quota has slots of its own.
func (s *sender) acquire(e Event) (epoch time.Duration, err error) {
	e.Kind, e.Wait = WaitEnd, WaitSlot
	began := time.Now()
	ctx, cancel := s.answers[s.command.quota].leaveTime(s.waiting, 0)
	defer cancel()
	if err := takeLock(ctx, s.slots[s.command.quota]); err != nil {
		return 0, err
	}
	acquired := false
	defer func() {
		if !acquired { // also if an Observer or a Limiter panics
			s.release()
		}
	}()
	queued := time.Now()
	e.Duration = queued.Sub(began)
	s.observe(s.waiting, e)
	epoch, err = s.waitQuota(ctx, e.Users)
	e.Wait, e.Duration = WaitQuota, time.Since(queued)
	s.observe(s.waiting, e)
	acquired = err == nil
	return epoch, err
}

func (s *sender) release() { <-s.slots[s.command.quota] }

// waitQuota waits for the throttle and then for the limiter, since all calls that wait for the throttle continue when it ends.
// If a throttle code comes in the meantime, it starts over.
func (s *sender) waitQuota(ctx context.Context, accounts int) (epoch time.Duration, err error) {
	throttle := s.throttles[s.command.quota]
	for {
		if epoch, err = throttle.wait(ctx); err != nil {
			return 0, err
		}
		interruption := throttle.interruption()
		if err := s.cooling(); err != nil { // begun before that, while it waited for a slot or for the throttle
			return 0, err
		}
		interrupted, err := s.waitLimiter(ctx, interruption, accounts)
		if err != nil && !interrupted {
			return 0, err
		}
		if err := s.waiting.Err(); err != nil { // a Signer or a Limiter may not look at it
			return 0, err
		}
		if err := s.cooling(); err != nil { // begun by another request in the meantime
			return 0, err
		}
		if err == nil && throttle.sends(epoch) {
			return epoch, nil
		}
	}
}

// waitLimiter waits for the limiter until interruption ends: otherwise all that wait for a slow limiter when a throttle code comes
// would each take a token for nothing, one after the other.
func (s *sender) waitLimiter(ctx, interruption context.Context, accounts int) (interrupted bool, err error) {
	ctx, release := endsWith(ctx, interruption)
	defer release()
	quota := s.command.quota
	err = waitLimiter(ctx, s.limiters[quota], quota == QuotaRecipients, accounts)
	return interruption.Err() != nil, err
}

// answerTime is how long an answer takes, about.
type answerTime struct {
	about atomic.Int64 // in nanoseconds
	last  atomic.Int64 // when a request ended, with or without one, in nanoseconds of Unix time
}

// answerTimeLife is how much longer than an answer takes it is known while no request ends: if those that once took long kept all calls from
// being sent, none would show how long they take now.
const answerTimeLife = 5 * time.Second

// load returns 0 if it is not known.
func (a *answerTime) load() time.Duration {
	about := time.Duration(a.about.Load())
	if time.Since(time.Unix(0, a.last.Load())).Abs() > about+answerTimeLife { // the clock may have been set back
		return 0
	}
	return about
}

func (a *answerTime) took(d time.Duration) {
	about := a.load()
	if about == 0 {
		about = d
	}
	a.about.Store(int64(about + (d-about)/8)) // another one that comes at the same time may not count
	a.last.Store(time.Now().UnixNano())
}

// takesLonger records that none came in d: else, when answers have become slower, the time that is left would never be enough for one.
func (a *answerTime) takesLonger(d time.Duration) {
	if d > a.load() {
		a.took(d)
	}
	a.last.Store(time.Now().UnixNano())
}

// leaveTime returns a context for waits that leave the time for an answer: else, where more calls come than can be sent, each would be sent just
// before its deadline, and none would be Done. The wait takes at least shortest; of the time beyond that, at most half is left for the answer.
func (a *answerTime) leaveTime(ctx context.Context, shortest time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	left := time.Until(deadline)
	if left > shortest {
		left -= shortest
	}
	return context.WithDeadline(ctx, deadline.Add(-min(2*a.load(), left/2)))
}

// notAdmitted is the verdict of a request that was not handed to the transport. If the call has a deadline, and the limiter
// says that it comes too early, no further request has time either.
func (s *sender) notAdmitted(h *history, err error) verdict {
	if cause := s.stopCause(); cause != nil && s.ctx.Err() == nil && s.waiting.Err() != nil && errors.Is(err, context.Canceled) {
		err = cause // it is the wait that was canceled, and not the caller's context
	}
	v := verdict{class: classTransient, outcome: NotSent, err: err}
	_, cooling := errors.AsType[*cooldown](err)
	_, signing := errors.AsType[*signerError](err)
	_, maybe := errors.AsType[*maybeTooEarly](err)
	first := maybe && !h.maybeTooEarly
	h.maybeTooEarly = maybe
	_, ends := s.ctx.Deadline()
	switch {
	case cooling:
		v.class = classFatal
	case ends && !first && !signing && errors.Is(err, context.DeadlineExceeded):
		v.class = classNone
		s.stopNew(err)
	}
	return v
}

// escalate makes a verdict fatal whose retry has failed in the same way.
func (h *history) escalate(v *verdict) {
	if v.class != classAccountCheck {
		h.accountChecks = 0
	}
	switch v.class {
	case classExpired:
		if h.expired {
			v.class = classFatal // the new UserSig is called expired too
		}
		h.expired = true
	case classAccountCheck:
		if h.accountChecks++; h.accountChecks > maxAccountChecks {
			v.class = classFatal
		}
	}
}

// post sends one signed request and classifies its answer. The UserSig is in nothing that it returns.
func (s *sender) post(x *exchange, e Event) (a answer, v verdict) {
	e.Kind = AttemptStart
	ctx := s.observe(s.ctx, e)
	began := time.Now()
	e.Kind, e.Failure = AttemptEnd, "panic" // of the transport, unless it returns
	defer func() {
		e.Duration = time.Since(began)
		s.observe(ctx, e)
	}()
	host := s.hosts.choose()
	status, text, err := s.roundTrip(ctx, x, host)
	if err != nil {
		v = s.classifyFailure(x, host, err)
	} else {
		s.answers[s.command.quota].took(time.Since(x.began))
		s.hosts.note(host, true)
		a, v = x.interpret(status, text)
	}
	e.Status = status
	e.Code, e.Failure = failureOf(v.err)
	return a, v
}

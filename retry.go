package timpush

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	backoffBase     = 200 * time.Millisecond
	backoffCap      = 20 * time.Second
	maxAccountCheck = 2           // repetitions after 60004 and 60005: they may pass, but more often the configuration is wrong
	maxSigned       = time.Second // for which a UserSig is held before it is looked at again
	maxStrange      = 3           // requests in a row that fail with a code we cannot judge
)

// call is one call of an endpoint under way: what its requests share. A stream is one call, too.
type call struct {
	client  *Client
	lasts   context.Context       // of a call with several plans: ends when it stops
	cancel  context.CancelFunc    // lets no request wait any longer, if there are several
	cause   atomic.Pointer[error] // why no further request is sent
	once    bool                  // no attempt is repeated after a pause
	strange atomic.Int64          // requests in a row that failed with an unknown code
	alone   atomic.Int64          // accounts in a row that were sent alone and not accepted
}

// delivery is a plan on its way through a call.
type delivery struct {
	*call
	plan  *plan
	waits context.Context // ends with the caller's, or when the call stops; requests under way go on
}

// tries is the history of a request. The halves of a request inherit it.
type tries struct {
	attempts      int
	failures      int    // attempts that failed in passing
	accountChecks int    // of these, answered with 60004 or 60005
	expired       string // the UserSig that the server called expired
}

// finding is what an attempt says about entries.
type finding struct {
	class  class
	effect Outcome // what they end in if nothing else follows
	err    error
	final  bool // nothing else follows
	turn   int  // of the attempt, in the pace
}

// step is what to do with the entries that an attempt leaves open.
type step int

const (
	stepLeave step = iota // nothing: they have ended
	stepAgain
	stepSplit // send the halves
	stepProbe // send one of them, and the others only if it is accepted
)

// deliver sends the entries in open, one attempt after the other, until each has its outcome.
func (d delivery) deliver(ctx context.Context, open []int, t tries) {
	for len(open) > 0 {
		if cause := d.ended(ctx); cause != nil {
			d.leave(open, cause)
			return
		}
		body := newBody()
		body.bytes = d.plan.appendRequest(body.bytes, open)
		if len(open) > 1 && d.client.tooLarge(len(open), len(body.bytes)) {
			body.release()
			d.halve(ctx, open, t)
			return
		}
		sent, length := len(open), len(body.bytes)
		var f finding
		open, f = d.attempt(ctx, open, body, &t)
		d.heed(f)
		switch d.next(open, f, &t, sent, length) {
		case stepLeave:
			return
		case stepSplit:
			d.halve(ctx, open, t)
			return
		case stepProbe:
			open = d.probe(ctx, open, t)
		}
	}
}

// hold lets no further request begin; those that have their turns go on.
func (r *call) hold(cause error) { r.cause.CompareAndSwap(nil, &cause) }

// stop lets no further request out.
func (r *call) stop(cause error) {
	r.hold(cause)
	if r.cancel != nil {
		r.cancel()
	}
}

func (d delivery) over() bool { return d.cause.Load() != nil || d.waits.Err() != nil }

// ended returns why the call goes no further, or nil: its context has ended, or it has been stopped.
func (r *call) ended(ctx context.Context) error {
	if err := ended(ctx); err != nil || r.cause.Load() == nil {
		return err
	}
	return *r.cause.Load()
}

// halve sends the two halves one after the other: a request keeps to the one slot that it has.
func (d delivery) halve(ctx context.Context, open []int, t tries) {
	d.deliver(ctx, open[:len(open)/2], t)
	d.deliver(ctx, open[len(open)/2:], t)
}

// probe sends one of the entries alone. If it is not accepted either, nothing is left to send: the others stay what the
// answer to all of them has made them.
func (d delivery) probe(ctx context.Context, open []int, t tries) []int {
	k := rand.IntN(len(open))
	open[0], open[k] = open[k], open[0]
	d.deliver(ctx, open[:1], t)
	if d.fruitless() {
		return nil
	}
	return open[1:]
}

// attempt sends the entries in open once and returns those that are still open.
func (d delivery) attempt(ctx context.Context, open []int, body *body, t *tries) ([]int, finding) {
	defer body.release()
	t.attempts++
	event := Event{Endpoint: d.plan.endpoint.name(), Users: len(open), Attempt: t.attempts}
	usersig, err := d.client.sign(d.waits, t.expired) // before the slot is taken, since a Signer may take its time
	if err != nil {
		return open, d.unsent(open, err)
	}
	signed := time.Now()
	turn, err := d.client.admit(d.waits, event)
	if err != nil {
		return open, d.unsent(open, err)
	}
	defer d.client.dismiss()
	if time.Since(signed) > maxSigned {
		if usersig, err = d.client.sign(d.waits, t.expired); err != nil {
			return open, d.unsent(open, err)
		}
	}
	d.plan.sent.Add(1)
	answer, err := d.client.post(ctx, d.plan.endpoint, body, usersig, event)
	if err != nil {
		f := failed(err)
		f.turn = turn
		d.note(open, f)
		return open, f
	}
	rest, f := d.judge(open, &answer)
	f.turn = turn
	return rest, t.harden(f, usersig)
}

// harden makes a finding fatal that was hoped to pass and has come again.
func (t *tries) harden(f finding, usersig string) finding {
	switch f.class {
	case classStale:
		if t.expired != "" {
			f.class = classFatal // newly signed, and expired still
		}
		t.expired = usersig
	case classAccountCheck:
		if t.accountChecks++; t.accountChecks > maxAccountCheck {
			f.class = classFatal
		}
	}
	return f
}

// unsent is the finding where a request did not get as far as the network.
func (d delivery) unsent(open []int, err error) finding {
	if _, ok := errors.AsType[hopeless](err); ok {
		if errors.Is(err, context.DeadlineExceeded) {
			d.hold(err) // no further request has time
		} else {
			d.stop(err)
		}
		d.leave(open, err)
		return finding{effect: NotSent, err: err}
	}
	f := finding{class: classTransient, effect: NotSent, err: err}
	if !d.over() {
		d.note(open, f)
	}
	return f
}

// heed does what an answer means for more than its own request.
func (r *call) heed(f finding) {
	switch f.class {
	case classThrottle:
		r.client.pace.throttled(f.turn)
	case classOther:
		if r.strange.Add(1) >= maxStrange {
			r.stop(f.err)
		}
		return
	case classCoolDown:
		r.client.coolDown(f.err)
		r.stop(f.err)
	case classFatal:
		r.stop(f.err)
	}
	r.strange.Store(0)
}

// next decides what to do with the entries still open, of a request that had sent entries and a body of length bytes.
func (d delivery) next(open []int, f finding, t *tries, sent, length int) step {
	switch f.class {
	case classStale:
		return stepAgain
	case classThrottle:
		return d.again(open, t, 0) // after the pause of all
	case classTransient, classAccountCheck:
		return d.again(open, t, backoff(t.failures))
	case classData, classMalformed, classUnproven:
		return d.isolate(open, f, sent)
	case classTooMany, classTooLong:
		return d.shrink(open, f, sent, length)
	}
	return stepLeave
}

// again lets a request be repeated after a pause, unless it has had its attempts.
func (d delivery) again(open []int, t *tries, pause time.Duration) step {
	if d.over() {
		return stepAgain // which finds that the call has ended
	}
	if t.failures++; t.failures >= d.client.maxAttempts || d.once {
		return stepLeave
	}
	if pause > 0 {
		began := time.Now()
		_ = sleep(d.waits, pause)
		d.client.observe(d.waits, Event{
			Kind: WaitEnd, Endpoint: d.plan.endpoint.name(), Users: len(open), Attempt: t.attempts, Wait: WaitBackoff, Duration: time.Since(began),
		})
	}
	return stepAgain
}

// backoff is full jitter: any pause up to a bound that doubles with each failure.
func backoff(failures int) time.Duration {
	bound := min(backoffCap, backoffBase<<min(failures, 10))
	return rand.N(bound) + 1
}

// isolate finds out which accounts a request was refused for: whatever the server named is settled already, and the
// rest goes again; otherwise its halves go alone. When as many accounts in a row as fit into a request were sent alone
// and none accepted, the fault is hardly one account's: then one is tried before the others.
func (d delivery) isolate(open []int, f finding, sent int) step {
	switch {
	case len(open) < sent:
		return stepAgain
	case len(open) > 1 && d.fruitless():
		return stepProbe
	case len(open) > 1:
		return stepSplit
	case f.class != classUnproven:
		d.settle(open[0], &finding{effect: Rejected, err: f.err})
	}
	d.alone.Add(1)
	return stepLeave
}

func (r *call) fruitless() bool { return r.alone.Load() >= MaxUsersPerRequest }

// shrink makes the client's requests smaller after one was refused for its size. One account cannot be halved. What
// ErrorList says of some accounts is no measure for a request.
func (d delivery) shrink(open []int, f finding, sent, length int) step {
	switch {
	case sent == 1:
		return stepLeave
	case len(open) < sent:
	case f.class == classTooMany:
		d.client.lower(limits{users: sent / 2, bytes: math.MaxInt})
	default:
		d.client.lower(limits{users: MaxUsersPerRequest, bytes: length - 1})
	}
	return stepAgain
}

// settle ends an entry with what the server says of it alone. If an earlier answer was lost, only a fault of its data tells
// that it was not applied then either: any other refusal may be the first.
func (d delivery) settle(n int, f *finding) {
	s := &d.plan.states[n]
	if f.effect == Rejected && s.outcome == Unknown && !d.refusedBefore(f.err) {
		s.err = then(s.err, f.err)
		return
	}
	*s = state{f.effect, f.err, f.effect != Unknown}
}

// refusedBefore reports whether what an entry is refused for now was so at each attempt. The server may refuse what it has
// already done.
func (d delivery) refusedBefore(err error) bool {
	code, _ := errors.AsType[Code](err)
	return code.DataFault() && (!d.plan.endpoint.onceOnly || code == ErrNoSuchAccount)
}

// note records what an attempt says about entries that may be sent again. What may have been applied once stays
// Unknown, whatever a later attempt was refused for. An attempt that the end of the call has broken off does not hide the
// failure before it.
func (d delivery) note(entries []int, f finding) {
	for _, n := range entries {
		s := &d.plan.states[n]
		if f.effect >= s.outcome && !d.over() {
			*s = state{outcome: f.effect, err: f.err}
		} else {
			*s = state{outcome: max(f.effect, s.outcome), err: then(s.err, f.err)}
		}
	}
}

// leave ends entries with what is known of them, because of a cause that lies outside of their requests.
func (d delivery) leave(entries []int, cause error) {
	for _, n := range entries {
		s := &d.plan.states[n]
		s.err = then(s.err, cause)
	}
}

// failed is the finding where no answer of the API came.
func failed(err error) finding {
	if page, ok := errors.AsType[*HTTPError](err); ok {
		return finding{class: statusClass(page.StatusCode), effect: statusEffect(page.StatusCode), err: err}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return finding{class: classFatal, effect: NotSent, err: err}
	}
	if unreachable(err) {
		return finding{class: classTransient, effect: NotSent, err: err}
	}
	return finding{class: classTransient, effect: Unknown, err: err}
}

// statusClass judges an answer that is not the API's. Status 200 has a body that is not the documented JSON.
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

// statusEffect: only a gateway that says that the request is at fault has certainly not passed it on.
func statusEffect(status int) Outcome {
	if status >= 300 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusSeeOther {
		return Rejected
	}
	return Unknown
}

// unreachable reports whether a transport's error proves that nothing was sent.
func unreachable(err error) bool {
	switch e := err.(type) { //nolint:errorlint // each error of the tree is looked at
	case *net.OpError:
		return e.Op == "dial" || e.Op == "proxyconnect"
	case *net.DNSError:
		return true
	}
	inner := unwrapped(err)
	for _, e := range inner {
		if !unreachable(e) {
			return false
		}
	}
	return len(inner) > 0
}

// judge settles what the answer settles. It returns the entries that it leaves open, and the finding that decides what
// becomes of them.
func (d delivery) judge(open []int, a *answer) (rest []int, worst finding) {
	verdict := d.verdict(a)
	listed, stranger := d.match(open, a)
	if stranger != nil {
		verdict = verdict.doubted(stranger)
	}
	accepted := false
	for k, n := range open {
		f := &verdict
		if listed != nil && listed[k].err != nil {
			f = &listed[k]
		}
		if f.effect == Done {
			accepted = true
			f = d.keep(f, n, a)
		}
		if f.final {
			d.settle(n, f)
			continue
		}
		d.note(open[k:k+1], *f)
		rest = append(rest, n)
		if f.class > worst.class {
			worst = *f
		}
	}
	if accepted {
		d.alone.Store(0)
	}
	return rest, worst
}

// keep keeps what the answer has for an entry that is Done. If it lacks that, to ask again would hardly help.
func (d delivery) keep(done *finding, n int, a *answer) *finding {
	if d.plan.endpoint.keep == nil {
		return done
	}
	if err := d.plan.endpoint.keep(d.plan, n, a); err != nil {
		return &finding{effect: Unknown, err: err, final: true}
	}
	return done
}

// verdict is what the answer says of all entries that ErrorList does not name.
func (d delivery) verdict(a *answer) finding {
	if a.ok() {
		return finding{effect: Done, final: true}
	}
	return d.refusal(a.code, a.info)
}

// refusal is what a code means that the server gave.
func (d delivery) refusal(code Code, info string) finding {
	if d.plan.endpoint == &setAttr && (code == ErrInvalidAttr || code == ErrAccountType) {
		d.client.contradicted()
	}
	return finding{class: code.class(), effect: code.effect(), err: &APIError{code, info, d.plan.endpoint.name()}}
}

// doubted is the verdict if ErrorList names an account that was not in the request: it may mean one of ours, so that
// none is Done that is not known to be another.
func (f finding) doubted(stranger error) finding {
	if f.effect == Done {
		return finding{class: classUnproven, effect: Unknown, err: stranger}
	}
	f.err = both(f.err, stranger)
	return f
}

// match finds the entries that ErrorList names. listed has one finding for each of open, without an error for those that
// are not named, or is nil. stranger is not nil if the list names an account that was not in the request.
func (d delivery) match(open []int, a *answer) (listed []finding, stranger error) {
	var again []int
	if len(a.list) > 0 {
		listed, again = make([]finding, len(open)), make([]int, len(open))
	}
	strangers := 0
	for _, item := range a.list {
		f := d.itemFinding(item)
		switch k := d.find(open, item.account); {
		case k < 0:
			if strangers++; strangers <= maxTold {
				stranger = both(stranger, &UserError{-1, item.account, Rejected, f.err})
			}
		case listed[k].err == nil:
			listed[k] = f
		case again[k] < maxTold:
			listed[k].err = both(listed[k].err, f.err) // the first code is the one that counts
			again[k]++
		}
	}
	return listed, stranger
}

const maxTold = 3 // accounts or codes that are too many in an ErrorList, in one error

// itemFinding judges a code in ErrorList: a passing fault is repeated for that account, anything else is its own fault.
func (d delivery) itemFinding(item listed) finding {
	f := d.refusal(item.code, item.info)
	switch f.class {
	case classThrottle, classTransient, classTooMany, classTooLong:
		return f
	}
	if item.code == 0 {
		f.class, f.effect = classTransient, Unknown
		return f
	}
	f.class, f.final = classData, true
	return f
}

// find returns the place in open of an account, or of the only one that differs in nothing but case, or -1.
func (d delivery) find(open []int, account string) int {
	folded, alike := -1, 0
	for k, n := range open {
		ours := d.plan.account(n)
		if ours == account {
			return k
		}
		if strings.EqualFold(ours, account) {
			folded = k
			alike++
		}
	}
	if alike > 1 {
		return -1
	}
	return folded
}

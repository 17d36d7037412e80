package timpush

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// namesLife is how long the names of the app's attributes are kept.
const namesLife = 10 * time.Minute

// namesFresh is how old they may be to predict a refusal from them: a name may have been added since.
const namesFresh = 5 * time.Second

// namesRetry is how long SetAttr goes without the names after they could not be read: each try may take long.
const namesRetry = time.Minute

// WithPreflight lets [Client.SetAttr], [Client.SetAttrSeq] and [Batcher.SetAttr] run [Client.Preflight] first: users that
// the server is certain to refuse are Rejected without being sent. That saves the calls that are needed to find the
// users at fault in a refused request. If the names cannot be read, in half of the time that ctx leaves, all users are sent. If not
// given, nothing is predicted.
func WithPreflight() Option { return func(s *settings) { s.preflight = true } }

// WithAccountTypes gives the client the type of an account, or AccountTypeUnknown, so that [Client.Preflight] can
// predict [ErrAccountType]: the text of an account does not show its type. typeOf is called concurrently. If not given,
// that is predicted only for an account with attributes of both types.
func WithAccountTypes(typeOf func(account string) AccountType) Option {
	return func(s *settings) {
		s.accountType = typeOf
		s.require(typeOf != nil, "WithAccountTypes(nil): want a function")
	}
}

// preflight predicts which users set_attr is certain to refuse, from the names of the app's attributes.
type preflight struct {
	engine *engine
	typeOf func(account string) AccountType
	names  atomic.Pointer[knownNames]
	lock   chan struct{} // held while the names are read
	hurry  chan struct{} // held while they are read in a hurry: others may try for long
}

// knownNames is what is known about the app's attributes.
type knownNames struct {
	types  map[string]AccountType
	read   time.Time
	failed error // why they could not be read
	once   bool  // that was tried once
}

// age is how old the names are, by the clock that says more: the monotonic one stands still while a machine sleeps, the other may be set back.
func (k *knownNames) age() time.Duration {
	return max(time.Since(k.read), time.Since(k.read.Round(0)))
}

func (k *knownNames) good(life time.Duration) bool {
	return k != nil && k.failed == nil && k.age() <= life
}

// retry reports whether a call that began then reads the names again, after they could not be read. A reason to stop is one for those
// that waited for the answer: later calls may find it corrected. So is any failure for those in no hurry, or each would take as long, one
// after the other.
func (k *knownNames) retry(began time.Time, hurry bool) bool {
	switch {
	case hurry && !stops(k.failed):
		return k.age() >= namesRetry
	case !hurry && k.once:
		return true
	}
	return !k.read.After(began)
}

func newPreflight(e *engine, typeOf func(account string) AccountType) *preflight {
	return &preflight{engine: e, typeOf: typeOf, lock: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
}

// newSetAttr returns the endpoint of a client, with the precheck and the bound of escaped values if they are wanted.
func (p *preflight) newSetAttr(precheck, escaped bool) *endpoint[UserAttrs] {
	e := setAttr
	e.refused = func(code Code) {
		if code == ErrInvalidAttr || code == ErrAccountType {
			p.contradicted()
		}
	}
	if precheck {
		e.precheck = p.precheck
	}
	if escaped {
		e.faults, e.appendJSON = userEscapedFaults, appendUserEscaped
	}
	return &e
}

// Preflight finds the users that [Client.SetAttr] is certain to be refused for, without setting anything: those with an
// attribute that the app does not have ([ErrInvalidAttr]), and those with an attribute of another account type than theirs
// ([ErrAccountType]). It knows an account's type from [WithAccountTypes], and otherwise only that no account has both. If the
// server does not give the types of names, types are not checked. A user that is not reported may still
// be refused, for instance because the app does not know its account. Names are compared byte by byte; whether the server
// does so is not documented.
//
// The error is nil if no user is certain to be refused; a [*PartialError] with those that are, as SetAttr would return it,
// without an Info of the server; an [*InputErrors] with each fault of users; or a [*CallError] if the names could not be read.
//
// It costs one or two calls of get_attr_name. The names are kept for ten minutes, but read again before a user is reported,
// unless they were read in the last five seconds; and they are dropped when the server contradicts them.
func (c *Client) Preflight(ctx context.Context, users []UserAttrs) error {
	b := new(buffer)
	written, err := validate(c.setAttr, users, b)
	if err != nil {
		return err
	}
	items, itemOf, err := merge(c.setAttr, users, b)
	if err != nil {
		return err
	}
	entries := encode(c.setAttr, items, itemOf, written)
	if err := c.preflight.predict(ctx, items, entries, false); err != nil {
		return err
	}
	for n := range entries {
		if e := &entries[n]; e.err == nil {
			e.outcome = Done // as far as can be predicted
		}
	}
	_, err = gather(c.setAttr, users, entries, itemOf, 0)
	return err
}

// contradicted drops the names, after the server has refused attributes that they allowed. It does so once, and does not disturb a call that
// reads newer ones: where refusals go on, that would read them without end.
func (p *preflight) contradicted() {
	if known := p.names.Load(); known.good(namesLife) && known.age() > namesFresh {
		p.forget()
	}
}

// forget stores a value of its own, so that a call that is reading the names just now notices.
func (p *preflight) forget() { p.names.Store(new(knownNames)) }

// precheck rejects the entries that are certain to be refused. If the names cannot be read it rejects none, and the reason may
// stop the call.
func (p *preflight) precheck(s *sender, items []UserAttrs, entries []entry) {
	if s.over() || len(entries) == 0 {
		return
	}
	ctx, cancel := halfTheTime(s.waiting) // names that do not come must leave time to send the users
	defer cancel()
	if err := p.predict(ctx, items, entries, true); stops(err) {
		s.stop(err)
	}
}

// stops reports whether set_attr would be refused for the same reason. A code that is about one command only tells nothing of that.
func stops(err error) bool {
	switch code := codeOf(err); code {
	case ErrNoSuchResource, ErrRequestDisabled, ErrProductNotAllowed:
		return false
	default:
		c := code.class()
		return c == classFatal || c == classCooldown
	}
}

// predict returns an error if the names cannot be read. In a hurry it tries once, and not again for a minute.
func (p *preflight) predict(ctx context.Context, items []UserAttrs, entries []entry, hurry bool) error {
	names, err := p.known(ctx, namesLife, hurry)
	if err != nil {
		return err
	}
	refusals := p.refusals(items, names.types)
	if len(refusals) > 0 && names.age() > namesFresh {
		if names, err = p.known(ctx, namesFresh, hurry); err != nil {
			return err
		}
		refusals = p.refusals(items, names.types)
	}
	for n, refusal := range refusals {
		entries[n].state = state{Rejected, refusal, true}
	}
	return nil
}

// known returns the names, not older than life. One call at a time reads them, for all that wait, and one in a hurry beside it.
func (p *preflight) known(ctx context.Context, life time.Duration, hurry bool) (*knownNames, error) {
	began := time.Now()
	known := p.names.Load()
	if known.good(life) {
		return known, nil // also while another call, for which they are too old, reads them
	}
	lock := p.lock
	if hurry {
		lock = p.hurry
	}
	select {
	case lock <- struct{}{}:
	default:
		if hurry && known != nil && known.failed != nil && !stops(known.failed) {
			return nil, known.failed // one call finds out whether they can be read again
		}
		if takeLock(ctx, lock) != nil {
			return nil, &CallError{getAttrName.path, NotSent, ended(ctx)}
		}
	}
	defer func() { <-lock }()
	for {
		known = p.names.Load()
		switch {
		case known.good(life), known.good(namesLife) && !known.read.Before(began): // which a read that is slow may leave older than life
			return known, nil
		case known != nil && known.failed != nil && !known.retry(began, hurry):
			return nil, known.failed
		}
		if read, err := p.read(ctx, hurry); read == nil {
			return nil, err
		} else if p.names.CompareAndSwap(known, read) || err != nil { // else they have changed in the meantime
			return read, err
		}
	}
}

// read reads the names. It returns nil if ctx did not leave the time: other calls may have more.
func (p *preflight) read(ctx context.Context, hurry bool) (*knownNames, error) {
	call := newCall(p.engine)
	defer call.end()
	call.hurry = hurry
	known := &knownNames{types: map[string]AccountType{}, read: time.Now(), once: hurry}
	a, err := call.ask(ctx, &getAttrName, []byte("{}"))
	if err != nil && (ctx.Err() != nil || errors.Is(call.stopCause(), context.DeadlineExceeded)) {
		return nil, err
	}
	if known.failed = err; err != nil {
		known.read = time.Now()
	}
	names, _ := a.value.([]AttrName)
	for _, n := range names {
		if other, twice := known.types[n.Name]; twice && other != n.AccountType {
			n.AccountType = AccountTypeUnknown
		}
		known.types[n.Name] = n.AccountType
	}
	return known, known.failed
}

// refusals returns why an item is certain to be refused, by its place.
func (p *preflight) refusals(items []UserAttrs, types map[string]AccountType) map[int]error {
	refusals := map[int]error{}
	for n, user := range items {
		if code, name := p.refusal(user, types); code != 0 {
			refusals[n] = &predictedError{&APIError{Code: code, Endpoint: setAttrPath}, name}
		}
	}
	return refusals
}

// predictedError is the refusal of a user that was not sent.
type predictedError struct {
	api  *APIError
	attr string
}

// Error returns the attribute and the code.
func (e *predictedError) Error() string {
	return fmt.Sprintf("attribute %s: %s (predicted from the app's attribute names, not sent)", quote(e.attr), e.api.text())
}

// Unwrap returns the error that the server would give.
func (e *predictedError) Unwrap() error { return e.api }

// refusal returns the code that a user is certain to be refused with, or 0, and the attribute. An unknown name comes first.
func (p *preflight) refusal(user UserAttrs, types map[string]AccountType) (code Code, attr string) {
	must := AccountTypeUnknown // the type of the account, as far as is known
	if p.typeOf != nil {
		must = p.typeOf(user.ToAccount)
	}
	for name := range user.Attrs {
		needs, known := types[name]
		switch {
		case !known:
			return ErrInvalidAttr, name
		case needs == AccountTypeUnknown || needs == must:
		case must == AccountTypeUnknown:
			must = needs
		default:
			code, attr = ErrAccountType, name
		}
	}
	return code, attr
}

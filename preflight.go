package timpush

import (
	"context"
	"errors"
	"time"
)

// namesLife is how long the names of the app's attributes are taken to be what they were.
const namesLife = 10 * time.Minute

// namesFresh is how old they may be where a user is said to be refused for them: a name may have been added since.
const namesFresh = 5 * time.Second

// namesRest is how long SetAttr does without the names when they could not be read: each try may take long.
const namesRest = time.Minute

// knownNames is what is known of the app's attributes.
type knownNames struct {
	types  map[string]AccountType
	read   time.Time
	failed error // why they are not known
}

// WithPreflight lets [Client.SetAttr], [Client.SetAttrSeq] and [Batcher.SetAttr] run [Client.Preflight] first: users that
// it foresees to be refused are Rejected without being sent. That saves the calls that it takes to find the users for
// whom a request was refused. If the names cannot be read, all users are sent. If not given, nothing is foreseen.
func WithPreflight() Option { return func(s *settings) { s.preflight = true } }

// WithAccountTypes tells the client which type an account has, or AccountTypeUnknown, so that [Client.Preflight] can
// foresee [ErrAccountType]: the text of an account does not tell its type. typeOf is called concurrently. If not given,
// that is foreseen only for an account with attributes of both types.
func WithAccountTypes(typeOf func(account string) AccountType) Option {
	return func(s *settings) {
		s.accountType = typeOf
		s.require(typeOf != nil, "WithAccountTypes(nil)")
	}
}

// Preflight tells which of users are certain to be refused by [Client.SetAttr], without setting anything: those with an
// attribute that the app does not have ([ErrInvalidAttr]), and those with an attribute that is of another account type
// than theirs ([ErrAccountType]). It knows an account's type from [WithAccountTypes], and otherwise only that no account has
// both. Where the server does not tell the types of names, nothing is said about types. A user that is not named may be
// refused all the same, for instance because the app does not know its account. Names are compared byte by byte; whether
// the server does is not documented.
//
// The error is nil if nobody is; a [*PartialError] with the users that are, as SetAttr would return it; the
// [*InputError] of each fault of users; or why the names could not be read.
//
// It costs a call of get_attr_name, or two. The names are kept for ten minutes, but read again before a user is said to be
// refused, unless they were read in the last five seconds; and they are forgotten when the server contradicts them.
func (c *Client) Preflight(ctx context.Context, users []UserAttrs) error {
	p := newPlan(&setAttr, users)
	defer p.free()
	if err := p.fill(); err != nil {
		return err
	}
	if err := c.foresee(ctx, p, false); err != nil {
		return err
	}
	for n := range p.states {
		if s := &p.states[n]; s.err == nil {
			s.outcome = Done // as far as can be foreseen
		}
	}
	_, err := p.gather()
	return err
}

// contradicted forgets the names, after the server has refused attributes that they allowed.
func (c *Client) contradicted() {
	if known := c.names.Load(); known != nil && time.Since(known.read) > namesFresh {
		c.forgetNames()
	}
}

// forgetNames stores a value of its own, so that who is reading the names just now notices.
func (c *Client) forgetNames() { c.names.Store(new(knownNames)) }

// foresee makes the entries Rejected that are certain to be refused. If the names cannot be read, it leaves it to the server
// to tell, unless the reason stops the call.
func (d delivery) foresee() {
	c := d.client
	if !c.preflight || d.plan.endpoint != &setAttr || d.over() {
		return
	}
	err := c.foresee(d.waits, d.plan, true)
	if code, _ := errors.AsType[Code](err); code.class() == classFatal || code.class() == classCoolDown {
		d.stop(err)
	}
}

// foresee returns an error if the names cannot be read. In a hurry it tries once, and not again for a minute.
func (c *Client) foresee(ctx context.Context, p *plan, hurry bool) error {
	names, err := c.knownNames(ctx, namesLife, hurry)
	if err != nil {
		return err
	}
	refusals, any := p.refusals(names.types, c.accountType)
	if any && time.Since(names.read) > namesFresh {
		if names, err = c.knownNames(ctx, namesFresh, hurry); err != nil {
			return err
		}
		refusals, _ = p.refusals(names.types, c.accountType)
	}
	for n, code := range refusals {
		if code != 0 {
			p.states[n] = state{Rejected, &APIError{code, "foreseen from the names of the app's attributes, not sent", p.endpoint.name()}, true}
		}
	}
	return nil
}

// knownNames returns the names, which are not older than life. One call at a time reads them, for all that wait.
func (c *Client) knownNames(ctx context.Context, life time.Duration, hurry bool) (*knownNames, error) {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return nil, ended(ctx)
	}
	for {
		known := c.names.Load()
		switch {
		case known != nil && known.failed == nil && time.Since(known.read) <= life:
			return known, nil
		case known != nil && known.failed != nil && time.Since(known.read) < namesRest && hurry:
			return nil, known.failed
		}
		if read, err := c.readNames(ctx, hurry); err != nil && ctx.Err() != nil {
			return nil, err
		} else if c.names.CompareAndSwap(known, read) { // else they have changed meanwhile
			return read, err
		}
	}
}

func (c *Client) readNames(ctx context.Context, once bool) (*knownNames, error) {
	known := &knownNames{types: map[string]AccountType{}, read: time.Now()}
	var names []AttrName
	names, known.failed = c.attrNames(ctx, once)
	for _, n := range names {
		known.types[n.Name] = n.AccountType
	}
	return known, known.failed
}

// refusals returns the code that each entry is certain to be refused with, or 0, and whether there is any.
func (p *plan) refusals(types map[string]AccountType, typeOf func(string) AccountType) (codes []Code, any bool) {
	codes = make([]Code, len(p.entries))
	seen := make([]AccountType, len(p.entries)) // the type that an account must have so far
	for n := range seen {
		if typeOf != nil {
			seen[n] = typeOf(p.account(n))
		}
	}
	for user, n := range p.entryOf {
		for name := range p.users[user].Attrs {
			switch needed, known := types[name]; {
			case !known:
				codes[n], any = ErrInvalidAttr, true
			case needed == AccountTypeUnknown || needed == seen[n]:
			case seen[n] == AccountTypeUnknown:
				seen[n] = needed
			case codes[n] == 0:
				codes[n], any = ErrAccountType, true
			}
		}
	}
	return codes, any
}

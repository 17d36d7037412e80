package timpush

import (
	"context"
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
	failed bool
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
// refused all the same, for instance because the app does not know its account.
//
// The error is nil if nobody is; a [*PartialError] with the users that are, as SetAttr would return it; the
// [*InputError] of each fault of users; or why the names could not be read.
//
// It costs a call of get_attr_name at most. The names are kept for ten minutes, but read again before a user is said to
// be refused, unless they were read in the last five seconds; and they are forgotten when the server contradicts them.
func (c *Client) Preflight(ctx context.Context, users []UserAttrs) error {
	p := newPlan(&setAttr, users)
	defer p.free()
	if err := p.fill(); err != nil {
		return err
	}
	if err := c.foresee(ctx, p); err != nil {
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

// tryToForesee runs foresee for a call that does without if it fails: then the server tells.
func (c *Client) tryToForesee(ctx context.Context, p *plan) {
	if known := c.names.Load(); known != nil && known.failed && time.Since(known.read) < namesRest {
		return
	}
	if err := c.foresee(ctx, p); err != nil && ctx.Err() == nil {
		c.names.Store(&knownNames{read: time.Now(), failed: true})
	}
}

// foresee makes the entries Rejected that are certain to be refused.
func (c *Client) foresee(ctx context.Context, p *plan) error {
	names, err := c.knownNames(ctx, namesLife)
	if err != nil {
		return err
	}
	refusals, any := p.refusals(names.types, c.accountType)
	if any && time.Since(names.read) > namesFresh {
		if names, err = c.knownNames(ctx, namesFresh); err != nil {
			return err
		}
		refusals, _ = p.refusals(names.types, c.accountType)
	}
	for n, code := range refusals {
		if code != 0 {
			p.states[n] = state{Rejected, &APIError{code, "foreseen from the names of the app's attributes, not sent", p.endpoint.name()}}
		}
	}
	return nil
}

// knownNames returns the names, which are not older than life. One call at a time reads them, for all that wait.
func (c *Client) knownNames(ctx context.Context, life time.Duration) (*knownNames, error) {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return nil, ended(ctx)
	}
	if known := c.names.Load(); known != nil && !known.failed && time.Since(known.read) <= life {
		return known, nil
	}
	known := &knownNames{types: map[string]AccountType{}, read: time.Now()}
	names, err := c.AttrNames(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		known.types[n.Name] = n.AccountType
	}
	c.names.Store(known)
	return known, nil
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

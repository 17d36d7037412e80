package timpush

import (
	"context"
	"fmt"
)

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
	names  *appNames
	typeOf func(account string) AccountType
}

// newSetAttr returns the endpoint of a client, with the precheck and the bound of escaped values if they are wanted.
func (p *preflight) newSetAttr(precheck, escaped bool) *endpoint[UserAttrs] {
	e := setAttr
	e.refused = func(code Code) {
		if code == ErrInvalidAttr || code == ErrAccountType {
			p.names.contradicted()
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

// predict rejects the entries that are certain to be refused. It returns an error if the names cannot be read.
func (p *preflight) predict(ctx context.Context, items []UserAttrs, entries []entry, hurry bool) error {
	names, err := p.names.get(ctx, namesLife, hurry)
	if err != nil {
		return err
	}
	refusals := p.refusals(items, names.types)
	if len(refusals) > 0 && since(names.read) > namesFresh {
		if names, err = p.names.get(ctx, namesFresh, hurry); err != nil {
			return err
		}
		refusals = p.refusals(items, names.types)
	}
	for n, refusal := range refusals {
		entries[n].state = state{Rejected, refusal, true}
	}
	return nil
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

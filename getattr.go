package timpush

import (
	"context"
	"errors"
	"iter"
	"maps"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrNotAnswered is why the outcome of a [Client.GetAttr] is Unknown for an account: the server says that it has read the
// attributes, and mentions the account neither among those found nor among the others, or twice with different attributes.
var ErrNotAnswered = errors.New("the server's answer does not mention the account")

var getAttr = endpoint{
	path: "/v4/timpush/get_attr", open: `{"To_Account":[`, close: `]}`, accountsOnly: true,
	write: (*plan).writeAccount, read: readUserAttrs, keep: keepUserAttrs,
}

// GetAttr reads the attributes of accounts: UserIDs or RegistrationIDs, any number of them. The map has every account
// whose attributes were read; an account that has none has an empty Attrs.
//
// The error is nil exactly if all were read. Otherwise it is a [*PartialError], whose outcomes mean: Rejected, the server
// refused to read the account, with [ErrNoSuchAccount] if it does not know it; Unknown, no answer came; NotSent, nothing
// was asked. Remaining of the error is of no use here. If an account is not valid the map is nil, the error holds an
// [*InputError] for each, and nothing was asked.
//
// API: tencentcloud.com/document/product/1047/60564.
func (c *Client) GetAttr(ctx context.Context, accounts []string) (map[string]Attrs, error) {
	users := make([]UserAttrs, len(accounts))
	for i, account := range accounts {
		users[i].ToAccount = account
	}
	var found map[string]Attrs
	_, err := (&call{client: c}).take(ctx, &getAttr, users, func(p *plan) {
		found = make(map[string]Attrs, len(p.entries))
		for n := range p.entries {
			if p.states[n].outcome == Done {
				found[p.account(n)] = p.read[n]
			}
		}
	})
	return found, err
}

// GetAttrSeq reads the attributes of accounts as they come, any number of them in constant memory, just as
// [Client.SetAttrSeq] sets them. The Users of a BatchResult have the attributes that were read, and none where the
// outcome is not Done; the outcomes and errors are those of [Client.GetAttr].
//
// API: tencentcloud.com/document/product/1047/60564.
func (c *Client) GetAttrSeq(ctx context.Context, accounts iter.Seq2[string, error], opts ...SeqOption) iter.Seq2[*BatchResult, error] {
	users := func(yield func(UserAttrs, error) bool) {
		for account, err := range accounts {
			if !yield(UserAttrs{ToAccount: account}, err) {
				return
			}
		}
	}
	return c.stream(ctx, &getAttr, users, opts)
}

// writeAccount writes a user that is only read.
func (p *plan) writeAccount(user *UserAttrs) bool {
	var good bool
	p.json, good = appendText(p.json, user.ToAccount, user.ToAccount != "")
	p.json = append(p.json, ',')
	return good
}

func readUserAttrs(a *answer) error {
	var users []struct {
		ToAccount text `json:"To_Account"`
		Attrs     map[string]value
	}
	if err := unmarshalRest(a.rest.UserAttrs, &users); err != nil {
		return err
	}
	a.attrs = make(map[string]Attrs, len(users))
	for _, user := range users {
		attrs := make(Attrs, len(user.Attrs))
		for name, value := range user.Attrs {
			attrs[name] = string(value)
		}
		if other, twice := a.attrs[string(user.ToAccount)]; twice && !maps.Equal(attrs, other) {
			attrs = nil // one of them is wrong
		}
		a.attrs[string(user.ToAccount)] = attrs
	}
	return nil
}

// value is a text that must be one, since it is given to the caller.
type value string

// UnmarshalJSONFrom reads a string, a number or a literal.
func (v *value) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if kind := d.PeekKind(); kind == '{' || kind == '[' {
		return errors.New("the value of an attribute is no text")
	}
	return (*text)(v).UnmarshalJSONFrom(d)
}

func keepUserAttrs(p *plan, n int, a *answer) error {
	attrs := a.attrs[p.account(n)]
	if attrs == nil {
		return ErrNotAnswered
	}
	p.read[n] = attrs
	return nil
}

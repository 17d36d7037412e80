package timpush

import (
	"context"
	"errors"
	"iter"
	"maps"

	"github.com/go-json-experiment/json/jsontext"
)

var getAttr = accountEndpoint("v4/timpush/get_attr", readUserAttrs)

// maxAccountsAnswer bounds an answer about accounts, in bytes. A hundred of them with a hundred tags each take half a megabyte, or six times
// that where the server escapes them.
const maxAccountsAnswer = 4 << 20

// accountEndpoint returns an endpoint whose items are accounts and nothing else.
func accountEndpoint(path string, read func(body []byte) (any, error)) endpoint[string] {
	return endpoint[string]{
		command: command{
			path: path, prefix: `{"To_Account":[`, suffix: `]}`, quota: QuotaUsers, size: MaxUsersPerRequest,
			repeatable: true, divisible: true, impersonal: true, read: read, maxAnswer: maxAccountsAnswer,
		},
		account:    func(account string) string { return account },
		faults:     accountFaults,
		join:       func(earlier, _ string) (string, string) { return earlier, "" },
		appendJSON: appendAccount,
	}
}

// accountFaults is for the endpoints whose input is accounts.
func accountFaults(i int, account string) []*InputError {
	if fault := accountFault(account); fault != "" {
		return []*InputError{{Index: i, ToAccount: account, Reason: fault}}
	}
	return nil
}

// GetAttr reads the attributes of accounts: UserIDs or RegistrationIDs, any number of them. The map has every account
// whose attributes were read; an account that has none has an empty Attrs.
//
// The error is nil exactly if all were read. Otherwise it is a [*PartialError], whose outcomes mean: Rejected, the server
// refused to read the account, with [ErrNoSuchAccount] if it does not know it; Unknown, no answer came; NotSent, no request
// reached the server. [Remaining] returns the accounts that are worth reading again. If an account is not valid the map is nil, the
// error is an [*InputErrors], and nothing was sent.
//
// API: tencentcloud.com/document/product/1047/60564.
func (c *Client) GetAttr(ctx context.Context, accounts []string) (map[string]Attrs, error) {
	found := make(map[string]Attrs, len(accounts))
	e := getAttr
	e.onFound = func(i int, attrs any) { found[accounts[i]] = attrsOf(attrs) }
	result, err := run(ctx, c.engine, &e, accounts)
	if result == nil {
		return nil, err
	}
	return found, err
}

// GetAttrSeq reads the attributes of accounts as they come, any number of them in constant memory, just as
// [Client.SetAttrSeq] sets them. The Users of a BatchResult have the attributes that were read, and none where the
// outcome is not Done; the outcomes and errors are those of [Client.GetAttr].
//
// API: tencentcloud.com/document/product/1047/60564.
func (c *Client) GetAttrSeq(ctx context.Context, accounts iter.Seq2[string, error], opts ...SeqOption) iter.Seq2[*BatchResult, error] {
	return stream(ctx, c.engine, &getAttr, accounts, opts, func(account string, found any) UserAttrs {
		return UserAttrs{account, maps.Clone(attrsOf(found))} // an account may come twice
	})
}

// attrsOf returns what was found for an account, or nil if that is nothing.
func attrsOf(found any) Attrs {
	attrs, _ := found.(Attrs)
	return attrs
}

// readUserAttrs reads the attributes of accounts. An account that comes with different attributes counts as not mentioned.
func readUserAttrs(body []byte) (any, error) {
	var wire struct {
		UserAttrs []struct {
			ToAccount text `json:"To_Account"`
			Attrs     map[string]value
		}
	}
	if err := unmarshal(body, &wire); err != nil {
		return nil, err
	}
	found := newFindings(len(wire.UserAttrs), maps.Equal[Attrs, Attrs])
	for _, user := range wire.UserAttrs {
		attrs := make(Attrs, len(user.Attrs))
		for name, value := range user.Attrs {
			attrs[name] = string(value)
		}
		found.add(string(user.ToAccount), attrs)
	}
	return lookup(found.lookup), nil
}

// findings are what an answer says of accounts. One of which it says different things counts as not mentioned.
type findings[T any] struct {
	of           map[string]T
	contradicted map[string]bool
	equal        func(a, b T) bool
}

func newFindings[T any](n int, equal func(a, b T) bool) *findings[T] {
	return &findings[T]{make(map[string]T, n), map[string]bool{}, equal}
}

func (f *findings[T]) add(account string, found T) {
	if other, repeated := f.of[account]; repeated && !f.equal(found, other) {
		f.contradicted[account] = true
	}
	f.of[account] = found
}

func (f *findings[T]) lookup(account string) (any, bool) {
	found, ok := f.of[account]
	return found, ok && !f.contradicted[account]
}

// value is a text that must not be missing, since it is given to the caller.
type value string

// UnmarshalJSONFrom reads a string, a number or a literal.
func (v *value) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if kind := d.PeekKind(); kind == '{' || kind == '[' {
		return errors.New("the value of an attribute is not a text")
	}
	return readText(d, v)
}

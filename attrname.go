package timpush

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// AccountType is the type of the accounts that have an attribute. An attribute belongs to one type for ever
// (tencentcloud.com/document/product/1047/67816).
type AccountType int

// The types of accounts. Set for an account of the other type, an attribute is refused with [ErrAccountType].
const (
	AccountTypeUnknown        AccountType = iota // not sent, which means UserID for a new name; or not told by the server
	AccountTypeUserID                            // a name that a user logs in with; 0 in the API
	AccountTypeRegistrationID                    // made when a device registers for push; 1 in the API
)

// String returns "unknown", "UserID" or "RegistrationID".
func (t AccountType) String() string {
	switch t {
	case AccountTypeUnknown:
		return "unknown"
	case AccountTypeUserID:
		return "UserID"
	case AccountTypeRegistrationID:
		return "RegistrationID"
	}
	return fmt.Sprintf("AccountType(%d)", int(t))
}

// AttrName is the name of an attribute of an app.
type AttrName struct {
	Index       int    // 0 to 9
	Name        string // 1 to MaxNameBytes bytes
	AccountType AccountType
}

var (
	setAttrName = endpoint{path: "/v4/timpush/set_attr_name", onceOnly: true, write: (*plan).writeWhole}
	getAttrName = endpoint{path: "/v4/timpush/get_attr_name", write: (*plan).writeWhole, read: readAttrNames, keep: keepAttrNames}
)

// SetAttrNames sets names of attributes of the app, all or none. A name must be set before [Client.SetAttr] can use it;
// indexes that are not given keep their names. The account type of a name can never be changed.
//
// The error is an [*InputError] for each fault of names, and nothing was sent; or why they were not set. An error that
// leaves open whether they were, such as a lost answer, is found out about by [Client.AttrNames]; to set the same names
// once more is not documented as an error, nor as none. What renaming does to values that users have is not documented either.
//
// API: tencentcloud.com/document/product/1047/60563.
func (c *Client) SetAttrNames(ctx context.Context, names []AttrName) error {
	if faults := nameFaults(names); len(faults) > 0 {
		return &inputErrors{faults}
	}
	all, types := map[string]string{}, map[string]int{}
	for _, name := range names {
		index := strconv.Itoa(name.Index)
		all[index] = name.Name
		if name.AccountType != AccountTypeUnknown {
			types[index] = int(name.AccountType) - 1
		}
	}
	request, err := json.Marshal(struct {
		AttrNames map[string]string
		AttrTypes map[string]int `json:",omitempty"`
	}{all, types})
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, &setAttrName, string(request), false)
	c.forgetNames()
	return err
}

// AttrNames returns the names of the app's attributes by index. AccountType is AccountTypeUnknown if the server does not
// tell it. The error is nil, or why they could not be read.
//
// API: tencentcloud.com/document/product/1047/60562.
func (c *Client) AttrNames(ctx context.Context) ([]AttrName, error) {
	return c.attrNames(ctx, false)
}

func (c *Client) attrNames(ctx context.Context, once bool) ([]AttrName, error) {
	return c.ask(ctx, &getAttrName, "{}", once)
}

// ask sends a request that is not about users. To the engine it is a request with one entry.
func (c *Client) ask(ctx context.Context, e *endpoint, request string, once bool) (names []AttrName, err error) {
	r := &call{client: c, once: once}
	_, err = r.take(ctx, e, []UserAttrs{{ToAccount: request}}, func(p *plan) { names = p.names })
	if partial, ok := errors.AsType[*PartialError](err); ok {
		return nil, partial.failed[0].Err
	}
	return names, err
}

// writeWhole writes a request that is not about users.
func (p *plan) writeWhole(user *UserAttrs) bool {
	p.json = append(p.json, user.ToAccount...)
	return true
}

func nameFaults(names []AttrName) (faults []error) {
	indexes, texts := map[int]bool{}, map[string]bool{}
	for i, n := range names {
		add := func(reason string) { faults = append(faults, &InputError{Index: i, Attr: n.Name, Reason: reason}) }
		switch {
		case n.Index < 0 || n.Index >= MaxAttrsPerUser:
			add(fmt.Sprintf("the index is %d, want 0 to %d", n.Index, MaxAttrsPerUser-1))
		case indexes[n.Index]:
			add(fmt.Sprintf("the index %d comes twice", n.Index))
		}
		switch {
		case n.Name == "":
			add("the name is empty")
		case len(n.Name) > MaxNameBytes:
			add(fmt.Sprintf("the name has %d bytes, at most %d are allowed", len(n.Name), MaxNameBytes))
		case !utf8.ValidString(n.Name):
			add("the name " + notUTF8)
		case texts[n.Name]:
			add("the name comes twice")
		}
		if n.AccountType < AccountTypeUnknown || n.AccountType > AccountTypeRegistrationID {
			add(fmt.Sprintf("%v is no account type", n.AccountType))
		}
		indexes[n.Index], texts[n.Name] = true, true
	}
	if len(names) == 0 {
		faults = append(faults, &InputError{Reason: "there are no names"})
	}
	return faults
}

// readAttrNames reads what get_attr_name answers. Names and types may both be absent: an app has none at first, and older
// editions of the documentation do not have types. Types that cannot be read are not known.
func readAttrNames(a *answer) error {
	var names map[string]text
	var types map[string]number
	if err := unmarshalRest(a.rest.AttrNames, &names); err != nil {
		return err
	}
	if unmarshalRest(a.rest.AttrTypes, &types) != nil {
		types = nil
	}
	for index := range MaxAttrsPerUser {
		key := strconv.Itoa(index)
		if names[key] == "" {
			continue
		}
		n := AttrName{Index: index, Name: string(names[key])}
		if t := types[key]; t.set && t.code >= 0 && t.code <= 1 {
			n.AccountType = AccountType(t.code) + 1
		}
		a.names = append(a.names, n)
	}
	return nil
}

func keepAttrNames(p *plan, _ int, a *answer) error {
	p.names = a.names
	return nil
}

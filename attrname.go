package timpush

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// AccountType is the type of the accounts that have an attribute. The type of an attribute never changes
// (tencentcloud.com/document/product/1047/67816).
type AccountType int

// The types of accounts. Set for an account of the other type, an attribute is refused with [ErrAccountType].
const (
	AccountTypeUnknown        AccountType = iota // not sent, which means UserID for a new name; or the server did not say
	AccountTypeUserID                            // a name that a user logs in with; 0 in the API
	AccountTypeRegistrationID                    // made when a device registers for push; 1 in the API
)

// String returns "unknown", "UserID" or "RegistrationID".
func (t AccountType) String() string {
	return nameOf("AccountType", int(t), "unknown", "UserID", "RegistrationID")
}

// AttrName is the name of an attribute of an app.
type AttrName struct {
	Index       int    // 0 to 9
	Name        string // 1 to MaxNameBytes bytes, without control characters
	AccountType AccountType
}

var (
	setAttrName = command{
		path: "v4/timpush/set_attr_name", quota: QuotaUsers, repeatable: true, refusesRepeats: true, impersonal: true,
	}
	getAttrName = command{path: "v4/timpush/get_attr_name", quota: QuotaUsers, repeatable: true, read: readAttrNames}
)

// SetAttrNames sets names of attributes of the app, all or none. A name must be set before [Client.SetAttr] can use it;
// indexes that are not given keep their names. The account type of a name can never be changed.
//
// The error is an [*InputErrors] with each fault of names, and nothing was sent; or a [*CallError], whose Outcome tells
// whether they were set. [Client.AttrNames] finds out about one that is Unknown, as after a lost answer; whether setting the
// same names again is an error is not documented. What renaming does to values that users have is not documented either.
//
// API: tencentcloud.com/document/product/1047/60563.
func (c *Client) SetAttrNames(ctx context.Context, names []AttrName) error {
	if err := invalid(attrNameFaults(names)); err != nil {
		return err
	}
	_, err := askIfValid[any](ctx, c.engine, &setAttrName, nil, newAttrNamesRequest(names))
	c.preflight.names.forget()
	return err
}

// attrNamesRequest is the body of set_attr_name, by index.
type attrNamesRequest struct {
	AttrNames map[string]string
	AttrTypes map[string]int `json:",omitempty"`
}

func newAttrNamesRequest(names []AttrName) attrNamesRequest {
	all, types := map[string]string{}, map[string]int{}
	for _, name := range names {
		index := strconv.Itoa(name.Index)
		all[index] = name.Name
		if name.AccountType != AccountTypeUnknown {
			types[index] = int(name.AccountType) - 1
		}
	}
	return attrNamesRequest{all, types}
}

// AttrNames returns the names of the app's attributes by index. AccountType is AccountTypeUnknown if the server does not
// say. The error is nil, or a [*CallError] if they could not be read.
//
// API: tencentcloud.com/document/product/1047/60562.
func (c *Client) AttrNames(ctx context.Context) ([]AttrName, error) {
	names, err := ask[[]AttrName](ctx, c.engine, &getAttrName, []byte("{}"))
	return slices.DeleteFunc(names, func(n AttrName) bool { return n.Index < 0 || n.Index >= MaxAttrsPerUser }), err
}

func attrNameFaults(names []AttrName) (faults []*InputError) {
	indexes, texts := map[int]bool{}, map[string]bool{}
	for i, n := range names {
		add := func(reason string) { faults = append(faults, &InputError{Index: i, Attr: n.Name, Reason: reason}) }
		switch {
		case n.Index < 0 || n.Index >= MaxAttrsPerUser:
			add(fmt.Sprintf("the index is %d, want 0 to %d", n.Index, MaxAttrsPerUser-1))
		case indexes[n.Index]:
			add(fmt.Sprintf("the index %d is used twice", n.Index))
		}
		switch fault := nameFault(n.Name); {
		case n.Name == "":
			add("the name is empty")
		case fault != "":
			add(fault)
		case controlFault(n.Name) != "":
			add("the name " + controlFault(n.Name))
		case texts[n.Name]:
			add("the name is used twice")
		}
		if n.AccountType < AccountTypeUnknown || n.AccountType > AccountTypeRegistrationID {
			add(fmt.Sprintf("%v is not an account type", n.AccountType))
		}
		indexes[n.Index], texts[n.Name] = true, true
	}
	if len(names) == 0 {
		faults = append(faults, &InputError{Index: -1, Reason: "there are no names to set"})
	}
	return faults
}

// readAttrNames reads the answer of get_attr_name, by index. Names and types may both be absent: an app has none at first, and older
// editions of the documentation do not have types. Types that cannot be read are unknown. A name at an index that is not documented, or at
// none, which is -1, is a name of the app nevertheless: Preflight must not refuse it.
func readAttrNames(body []byte) (any, error) {
	var wire struct{ AttrNames, AttrTypes jsontext.Value }
	if err := unmarshal(body, &wire); err != nil {
		return nil, err
	}
	var texts map[string]value
	if wire.AttrNames != nil { // in another encoding than UTF-8 it does not say what the names are
		if err := json.Unmarshal(wire.AttrNames, &texts); err != nil {
			return nil, err
		}
	}
	var types map[string]number
	if unmarshal(wire.AttrTypes, &types) != nil { // there may be none
		types = nil
	}
	var names []AttrName
	for key, name := range texts {
		if name == "" {
			continue
		}
		n := AttrName{Index: -1, Name: string(name)}
		if index, err := strconv.Atoi(key); err == nil && strconv.Itoa(index) == key {
			n.Index = index
		}
		if t := types[key]; t.set && t.code >= 0 && t.code <= 1 {
			n.AccountType = AccountType(t.code) + 1
		}
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b AttrName) int { return cmp.Compare(a.Index, b.Index) })
	return names, nil
}

package timpush

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
)

// Attrs maps names of attributes to values. The names must have been set for the app before. What an empty value
// does is not documented.
type Attrs map[string]string

// UserAttrs is one user and the attributes to set for it.
type UserAttrs struct {
	ToAccount string // a UserID or a RegistrationID; case matters
	Attrs     Attrs  // 1 to MaxAttrsPerUser; others are not changed
}

// Validate returns nil, or an [*InputErrors] with each fault that [Client.SetAttr] would find in the user; Index is 0.
func (u UserAttrs) Validate() error { return invalid(userAttrsFaults(0, u)) }

const setAttrPath = "v4/timpush/set_attr"

// setAttr is without the precheck of a client: see newSetAttr.
var setAttr = endpoint[UserAttrs]{
	command: command{
		path: setAttrPath, prefix: `{"UserAttrs":[`, suffix: `]}`, quota: QuotaUsers, size: MaxUsersPerRequest,
		repeatable: true, divisible: true,
	},
	account:    func(u UserAttrs) string { return u.ToAccount },
	faults:     userAttrsFaults,
	join:       mergeAttrs,
	appendJSON: appendUserAttrs,
}

// SetAttr sets attributes for users. It takes any number of them, sends requests of at most [MaxUsersPerRequest] in
// parallel, at the rate of the limiter, and returns when the outcome of every user is known. The error is nil exactly
// if every user is [Done]. An input without users is no error: nothing is sent.
//
// Before anything is sent the whole input is checked. If there is a fault the Result is nil and the error is an
// [*InputErrors] with every fault; nothing was sent. Otherwise the Result is not nil, and the error, if any, is a
// [*PartialError].
//
// An account that comes twice is sent once, with its attributes merged as if set one after the other: the later value
// of an attribute wins. Both entries have the outcome of the one that was sent.
//
// The users of one call are not set together: some may be Done while others are not. Setting an attribute to the value
// it has changes nothing, so what is Unknown may be sent again, unless another program has set another value since.
//
// When ctx ends SetAttr returns at once: requests in flight leave their users Unknown, the others are NotSent. See the
// package documentation for what is retried and how long a call can take. users and its maps must not be changed before
// SetAttr returns.
//
// API: tencentcloud.com/document/product/1047/60565.
func (c *Client) SetAttr(ctx context.Context, users []UserAttrs) (*Result, error) {
	return run(ctx, c.engine, c.setAttr, users)
}

// WithEscapedLength lets [Client.SetAttr], [Client.SetAttrSeq], [Batcher.SetAttr] and [Client.Preflight] refuse a value that takes
// more than [MaxValueBytes] in the JSON of a request, where a quotation mark and a backslash take two bytes and a control
// character up to six. The documentation does not say if the service counts that or the value itself; timpush probe, a command of
// the tool, finds it out for an app. If not given, the bytes of the value are counted, as [UserAttrs.Validate] does in any case.
func WithEscapedLength() Option { return func(s *settings) { s.escapedLength = true } }

// userEscapedFaults returns the faults of a user, with [WithEscapedLength].
func userEscapedFaults(i int, user UserAttrs) []*InputError {
	faults := userAttrsFaults(i, user)
	for _, name := range slices.Sorted(maps.Keys(user.Attrs)) {
		if fault := escapedFault(user.Attrs[name]); fault != "" {
			faults = append(faults, &InputError{Index: i, ToAccount: user.ToAccount, Attr: name, Reason: fault})
		}
	}
	return faults
}

// escapedFault is about values that are otherwise valid.
func escapedFault(value string) string {
	if isPlain(value) || len(value) > MaxValueBytes {
		return ""
	}
	text, valid := appendText(nil, value)
	n := len(text) - len(`""`)
	if !valid || n <= MaxValueBytes {
		return ""
	}
	return fmt.Sprintf("the value has %d bytes in JSON, at most %d are allowed", n, MaxValueBytes)
}

func appendUserEscaped(dst []byte, user UserAttrs) ([]byte, bool) {
	dst, valid := appendUserAttrs(dst, user)
	for _, value := range user.Attrs {
		valid = valid && escapedFault(value) == ""
	}
	return dst, valid
}

// userAttrsFaults returns the faults of a user.
func userAttrsFaults(i int, user UserAttrs) (faults []*InputError) {
	add := func(attr, reason string) {
		faults = append(faults, &InputError{Index: i, ToAccount: user.ToAccount, Attr: attr, Reason: reason})
	}
	if fault := accountFault(user.ToAccount); fault != "" {
		add("", fault)
	}
	if fault := countFault(len(user.Attrs)); fault != "" {
		add("", fault)
	}
	for _, name := range slices.Sorted(maps.Keys(user.Attrs)) {
		if fault := nameFault(name); fault != "" {
			add(name, fault)
		}
		if fault := valueFault(user.Attrs[name]); fault != "" {
			add(name, fault)
		}
	}
	return faults
}

func countFault(attrs int) string {
	switch {
	case attrs == 0:
		return "there are no attributes"
	case attrs > MaxAttrsPerUser:
		return fmt.Sprintf("there are %d attributes, at most %d are allowed", attrs, MaxAttrsPerUser)
	}
	return ""
}

// mergeAttrs returns the users as if they were set one after the other.
func mergeAttrs(earlier, later UserAttrs) (UserAttrs, string) {
	merged := UserAttrs{earlier.ToAccount, maps.Clone(earlier.Attrs)}
	maps.Copy(merged.Attrs, later.Attrs)
	if len(merged.Attrs) > MaxAttrsPerUser {
		return earlier, fmt.Sprintf("together with earlier items, the account has more than %d attributes", MaxAttrsPerUser)
	}
	return merged, ""
}

func appendUserAttrs(dst []byte, user UserAttrs) ([]byte, bool) {
	dst = append(dst, `{"To_Account":`...)
	dst, valid := appendAccount(dst, user.ToAccount)
	valid = valid && countFault(len(user.Attrs)) == ""
	dst = append(dst, `,"Attrs":{`...)
	for name, value := range user.Attrs {
		var nameValid, valueValid bool
		dst, nameValid = appendText(dst, name)
		dst = append(dst, ':')
		dst, valueValid = appendText(dst, value)
		dst = append(dst, ',')
		valid = valid && nameValid && valueValid && name != "" && len(name) <= MaxNameBytes && len(value) <= MaxValueBytes
	}
	return append(withoutComma(dst), `}}`...), valid
}

// withoutComma takes back the comma behind the last of several.
func withoutComma(json []byte) []byte { return bytes.TrimSuffix(json, []byte(",")) }

// Remaining returns those of users that are worth sending again: see [Remaining], which is the same for every kind of input.
func (e *PartialError) Remaining(users []UserAttrs) []UserAttrs { return Remaining(e, users) }

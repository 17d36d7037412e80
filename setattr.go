package timpush

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Documented limits of the attribute endpoints (tencentcloud.com/document/product/1047/60565 and 1047/67816). Lengths
// are bytes of UTF-8, so 50 bytes are about 16 Chinese characters.
const (
	MaxUsersPerRequest = 100 // the client splits longer inputs
	MaxAttrsPerUser    = 10  // an app has no more attributes
	MaxNameBytes       = 50
	MaxValueBytes      = 50
)

// Attrs maps names of attributes to values. The names must have been set for the app before. What an empty value
// does is not documented.
type Attrs map[string]string

// UserAttrs is one user and the attributes to set for it.
type UserAttrs struct {
	ToAccount string // a UserID or a RegistrationID; case matters
	Attrs     Attrs  // 1 to MaxAttrsPerUser; those not named are left alone
}

// Result counts the users of a call by outcome. Done, Rejected, Unknown and NotSent always add up to the users given.
type Result struct {
	Done, Rejected, Unknown, NotSent int
	Requests                         int // HTTP requests sent, repeated ones included
}

var setAttr = endpoint{
	path:   "v4/timpush/set_attr",
	open:   `{"UserAttrs":[`,
	append: appendUserAttrs,
	close:  `]}`,
}

// SetAttr sets attributes for users. It takes any number of them, sends requests of at most [MaxUsersPerRequest] in
// parallel, at the pace of the limiter, and returns when the outcome of every user is known. The error is nil exactly
// if every user is [Done].
//
// Before anything is sent the whole input is checked. If there is a fault the Result is nil and the error holds an
// [*InputError] for every fault; nothing was sent. Otherwise the Result is not nil, and the error, if any, is a
// [*PartialError].
//
// An account that comes twice is sent once, with its attributes merged as if set one after the other: the later value
// of an attribute wins. Both entries have the outcome of the one that was sent.
//
// The users of one call are not set together: some may be Done while others are not. Setting an attribute to the value
// it has changes nothing, so what is Unknown may be sent again, unless somebody else has set another value since.
//
// When ctx ends SetAttr returns at once: requests under way leave their users Unknown, the others are NotSent. See the
// package documentation for what is retried and how long a call can take. users and its maps must not be changed before
// SetAttr returns.
//
// API: tencentcloud.com/document/product/1047/60565.
func (c *Client) SetAttr(ctx context.Context, users []UserAttrs) (*Result, error) {
	p := newPlan()
	defer p.free()
	if err := p.validate(users); err != nil {
		return nil, err
	}
	return c.run(ctx, &setAttr, p)
}

// attr is one attribute of an entry.
type attr struct{ name, value string }

// entry is one account and all that a call wants of it. Its attributes are in the order of their names, so that equal
// input makes equal requests.
type entry struct {
	account string
	attrs   []attr
}

// endpoint is what differs between the commands of the API.
type endpoint struct {
	path        string
	open, close string                      // of the request's JSON
	append      func([]byte, *entry) []byte // the JSON of one entry
}

// appendRequest appends the JSON of a request for the entries with the given numbers.
func (e *endpoint) appendRequest(dst []byte, entries []entry, numbers []int) []byte {
	dst = append(dst, e.open...)
	for i, n := range numbers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = e.append(dst, &entries[n])
	}
	return append(dst, e.close...)
}

func appendUserAttrs(dst []byte, e *entry) []byte {
	dst = append(dst, `{"To_Account":`...)
	dst = appendString(dst, e.account)
	dst = append(dst, `,"Attrs":{`...)
	for i, a := range e.attrs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, a.name)
		dst = append(dst, ':')
		dst = appendString(dst, a.value)
	}
	return append(dst, `}}`...)
}

// appendString appends s as a JSON string. A request has hundreds of short ones, nearly all plain: looking for that
// first takes a third of the time of quoting them (see BenchmarkEncode).
func appendString(dst []byte, s string) []byte {
	if plain(s) {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	dst, _ = jsontext.AppendQuote(dst, s) // fails on invalid UTF-8 only, which validation has refused
	return dst
}

// plain reports whether s is ASCII that JSON writes as it is.
func plain(s string) bool {
	for i := range len(s) {
		if !isPlain[s[i]] {
			return false
		}
	}
	return true
}

var isPlain = func() (table [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// validate checks all users and turns them into entries, one for each. All faults are reported together.
func (p *plan) validate(users []UserAttrs) error {
	total := 0
	for i := range users {
		total += len(users[i].Attrs)
	}
	p.grow(len(users), total)
	var faults inputErrors
	for i := range users {
		user := &users[i]
		faults = checkAccount(faults, i, user)
		first := len(p.attrs)
		for name, value := range user.Attrs {
			if !validName(name) || !validValue(value) {
				faults = appendAttrFaults(faults, i, user.ToAccount, name, value)
			}
			p.attrs = insertAttr(p.attrs, first, attr{name, value})
		}
		p.entries = append(p.entries, entry{user.ToAccount, p.attrs[first:len(p.attrs):len(p.attrs)]})
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// insertAttr appends a to attrs and keeps attrs[first:], ten at most, in the order of the names.
func insertAttr(attrs []attr, first int, a attr) []attr {
	attrs = append(attrs, a)
	for i := len(attrs) - 1; i > first && attrs[i].name < attrs[i-1].name; i-- {
		attrs[i], attrs[i-1] = attrs[i-1], attrs[i]
	}
	return attrs
}

func validName(s string) bool { return s != "" && len(s) <= MaxNameBytes && validText(s) }

func validValue(s string) bool { return len(s) <= MaxValueBytes && validText(s) }

func validText(s string) bool { return plain(s) || utf8.ValidString(s) }

const notUTF8 = "is not valid UTF-8"

func checkAccount(faults inputErrors, i int, user *UserAttrs) inputErrors {
	add := func(reason string) { faults = append(faults, &InputError{i, user.ToAccount, "", reason}) }
	switch {
	case user.ToAccount == "":
		add("ToAccount is empty")
	case !validText(user.ToAccount):
		add("ToAccount " + notUTF8)
	}
	switch n := len(user.Attrs); {
	case n == 0:
		add("there are no attributes")
	case n > MaxAttrsPerUser:
		add(fmt.Sprintf("there are %d attributes, at most %d can exist", n, MaxAttrsPerUser))
	}
	return faults
}

func appendAttrFaults(faults inputErrors, i int, account, name, value string) inputErrors {
	add := func(reason string) { faults = append(faults, &InputError{i, account, name, reason}) }
	switch {
	case name == "":
		add("the name of an attribute is empty")
	case len(name) > MaxNameBytes:
		add(fmt.Sprintf("the name has %d bytes, at most %d are allowed", len(name), MaxNameBytes))
	case !utf8.ValidString(name):
		add("the name " + notUTF8)
	}
	switch {
	case len(value) > MaxValueBytes:
		add(fmt.Sprintf("the value has %d bytes, at most %d are allowed", len(value), MaxValueBytes))
	case !utf8.ValidString(value):
		add("the value " + notUTF8)
	}
	return faults
}

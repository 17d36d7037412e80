package timpush

import (
	"context"
	"fmt"
	"maps"
	"slices"
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
	path:   "/v4/timpush/set_attr",
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

// entry is one account and all that a call wants of it.
type entry struct {
	account string
	attrs   []attr
	plain   bool // no text in it needs an escape in JSON
}

// endpoint is what differs between the commands of the API.
type endpoint struct {
	path        string                      // with a slash before it
	open, close string                      // of the request's JSON
	append      func([]byte, *entry) []byte // the JSON of one entry
}

// name is the path as the documentation writes it.
func (e *endpoint) name() string { return e.path[1:] }

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
	dst = appendString(dst, e.account, e.plain)
	dst = append(dst, `,"Attrs":{`...)
	for i, a := range e.attrs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, a.name, e.plain)
		dst = append(dst, ':')
		dst = appendString(dst, a.value, e.plain)
	}
	return append(dst, `}}`...)
}

// appendString appends s as a JSON string. A request has hundreds of short ones, nearly all of them plain, and to look
// at their bytes once for validation and for this takes a third of the time (see BenchmarkEncode).
func appendString(dst []byte, s string, plain bool) []byte {
	if plain {
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
	attrs := 0
	for i := range users {
		attrs += len(users[i].Attrs)
	}
	p.grow(len(users), attrs)
	var faults inputErrors
	for i := range users {
		user, first := &users[i], len(p.attrs)
		e := entry{account: user.ToAccount, plain: plain(user.ToAccount)}
		good := user.ToAccount != "" && len(user.Attrs) > 0 && len(user.Attrs) <= MaxAttrsPerUser && (e.plain || utf8.ValidString(user.ToAccount))
		for name, value := range user.Attrs {
			isPlain := plain(name) && plain(value)
			good = good && name != "" && len(name) <= MaxNameBytes && len(value) <= MaxValueBytes &&
				(isPlain || utf8.ValidString(name) && utf8.ValidString(value))
			e.plain = e.plain && isPlain
			p.attrs = append(p.attrs, attr{name, value})
		}
		if !good {
			faults = appendFaults(faults, i, user)
		}
		e.attrs = p.attrs[first:len(p.attrs):len(p.attrs)]
		p.entries = append(p.entries, e)
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

const notUTF8 = "is not valid UTF-8"

// appendFaults appends all that is wrong with a user.
func appendFaults(faults inputErrors, i int, user *UserAttrs) inputErrors {
	add := func(attr, reason string) { faults = append(faults, &InputError{i, user.ToAccount, attr, reason}) }
	switch {
	case user.ToAccount == "":
		add("", "ToAccount is empty")
	case !utf8.ValidString(user.ToAccount):
		add("", "ToAccount "+notUTF8)
	}
	switch n := len(user.Attrs); {
	case n == 0:
		add("", "there are no attributes")
	case n > MaxAttrsPerUser:
		add("", fmt.Sprintf("there are %d attributes, at most %d can exist", n, MaxAttrsPerUser))
	}
	for _, name := range slices.Sorted(maps.Keys(user.Attrs)) {
		value := user.Attrs[name]
		switch {
		case name == "":
			add(name, "the name of an attribute is empty")
		case len(name) > MaxNameBytes:
			add(name, fmt.Sprintf("the name has %d bytes, at most %d are allowed", len(name), MaxNameBytes))
		case !utf8.ValidString(name):
			add(name, "the name "+notUTF8)
		}
		switch {
		case len(value) > MaxValueBytes:
			add(name, fmt.Sprintf("the value has %d bytes, at most %d are allowed", len(value), MaxValueBytes))
		case !utf8.ValidString(value):
			add(name, "the value "+notUTF8)
		}
	}
	return faults
}

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

func (r *Result) count(o Outcome) {
	switch o {
	case Done:
		r.Done++
	case Rejected:
		r.Rejected++
	case Unknown:
		r.Unknown++
	case NotSent:
		r.NotSent++
	}
}

func (r *Result) add(o Result) {
	r.Done, r.Rejected, r.Unknown, r.NotSent = r.Done+o.Done, r.Rejected+o.Rejected, r.Unknown+o.Unknown, r.NotSent+o.NotSent
	r.Requests += o.Requests
}

func (r *Result) users() int { return r.Done + r.Rejected + r.Unknown + r.NotSent }

var setAttr = endpoint{path: "/v4/timpush/set_attr", open: `{"UserAttrs":[`, close: `]}`, write: (*plan).writeAttrs}

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
	return (&call{client: c}).take(ctx, &setAttr, users, nil)
}

// take takes users all the way. It hands the plan to use when each entry has its outcome.
func (r *call) take(ctx context.Context, e *endpoint, users []UserAttrs, use func(*plan)) (*Result, error) {
	p := newPlan(e, users)
	defer p.free()
	if err := p.fill(); err != nil {
		return nil, err
	}
	result, err := r.run(ctx, p)
	if use != nil {
		use(p)
	}
	return result, err
}

// fill validates and merges the users.
func (p *plan) fill() error {
	faults := p.validate()
	faults = append(faults, p.merge()...)
	if len(faults) > 0 {
		return &inputErrors{faults}
	}
	p.begin()
	return nil
}

// validate checks all users and writes the JSON of each: to look at every byte once serves both.
func (p *plan) validate() (faults []error) {
	for i := range p.users {
		from := len(p.json)
		if !p.endpoint.write(p, &p.users[i]) {
			faults = p.endpoint.appendFaults(faults, i, &p.users[i])
		}
		p.entries = append(p.entries, entry{user: i, from: from, to: len(p.json)})
	}
	return faults
}

// writeAttrs writes a user with its attributes.
func (p *plan) writeAttrs(user *UserAttrs) bool {
	dst, good := appendAccount(p.json, user)
	dst = append(dst, '{')
	dst, good = p.appendAttrs(dst, user.Attrs, good)
	p.json = append(withoutComma(dst), `}},`...)
	return good
}

// column is the name of an attribute, and where it stands in the plan's JSON with a colon behind it.
type column struct {
	name     string
	from, to int
	good     bool
}

// appendAttrs appends the attributes of a user. Most users of a call have the same ones: to look these up, and to copy what was
// written for the user before, takes half the time of going through the map and writing the names again.
func (p *plan) appendAttrs(dst []byte, attrs Attrs, good bool) ([]byte, bool) {
	if len(attrs) == len(p.columns) {
		if all, valid, same := p.appendColumns(dst, attrs); same {
			return all, good && valid
		}
	}
	p.columns = p.columns[:0]
	for name, value := range attrs {
		c := column{name: name, from: len(dst)}
		dst, c.good = appendText(dst, name, name != "" && len(name) <= MaxNameBytes)
		dst = append(dst, ':')
		c.to = len(dst)
		p.columns = append(p.columns, c)
		dst, good = appendText(dst, value, good && c.good && len(value) <= MaxValueBytes)
		dst = append(dst, ',')
	}
	return dst, good
}

// appendColumns appends attributes that have the names of the columns, or reports that they have others.
func (p *plan) appendColumns(dst []byte, attrs Attrs) (all []byte, good, same bool) {
	good = true
	for k := range p.columns {
		c := &p.columns[k]
		value, ok := attrs[c.name]
		if !ok {
			return nil, false, false
		}
		dst = append(dst, dst[c.from:c.to]...)
		dst, good = appendText(dst, value, good && c.good && len(value) <= MaxValueBytes)
		dst = append(dst, ',')
	}
	return dst, good, true
}

// appendAccount appends the JSON of a user as far as its attributes.
func appendAccount(dst []byte, user *UserAttrs) ([]byte, bool) {
	good := user.ToAccount != "" && len(user.Attrs) > 0 && len(user.Attrs) <= MaxAttrsPerUser
	dst = append(dst, `{"To_Account":`...)
	dst, good = appendText(dst, user.ToAccount, good)
	return append(dst, `,"Attrs":`...), good
}

// inputFaults returns all that is wrong with a user that comes alone.
func (e *endpoint) inputFaults(i int, user UserAttrs) []error {
	p := newPlan(e, []UserAttrs{user})
	defer p.free()
	if len(p.validate()) == 0 {
		return nil
	}
	return e.appendFaults(nil, i, &user)
}

// writeMerged writes the JSON of users of one account, as if they were set one after the other.
func (p *plan) writeMerged(same []int) error {
	merged := UserAttrs{p.users[same[0]].ToAccount, Attrs{}}
	for _, i := range same {
		maps.Copy(merged.Attrs, p.users[i].Attrs)
		if len(merged.Attrs) > MaxAttrsPerUser && len(p.users[i].Attrs) <= MaxAttrsPerUser {
			return &InputError{i, merged.ToAccount, "", "with those before, the account has more than 10 attributes"}
		}
	}
	p.endpoint.write(p, &merged)
	return nil
}

// withoutComma takes back the comma behind the last of several.
func withoutComma(json []byte) []byte {
	if last := len(json) - 1; json[last] == ',' {
		return json[:last]
	}
	return json
}

// appendText appends s as a JSON string, and makes good false if it is not UTF-8. A request has hundreds of short texts,
// nearly all of which JSON takes as they are: to look for that first is cheaper than to quote them all (BenchmarkEncode).
func appendText(dst []byte, s string, good bool) ([]byte, bool) {
	from := len(dst)
	dst = slices.Grow(dst, len(s)+2)[:from+len(s)+2]
	text := dst[from+1:][:len(s)]
	for i := range len(text) {
		c := s[i]
		if !isPlain[c] {
			dst, err := jsontext.AppendQuote(dst[:from], s)
			return dst, good && err == nil
		}
		text[i] = c
	}
	dst[from], dst[len(dst)-1] = '"', '"'
	return dst, good
}

var isPlain = func() (table [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

const notUTF8 = "is not valid UTF-8"

// appendFaults appends all that is wrong with a user.
func (e *endpoint) appendFaults(faults []error, i int, user *UserAttrs) []error {
	add := func(attr, reason string) { faults = append(faults, &InputError{i, user.ToAccount, attr, reason}) }
	switch {
	case user.ToAccount == "":
		add("", "ToAccount is empty")
	case !utf8.ValidString(user.ToAccount):
		add("", "ToAccount "+notUTF8)
	}
	switch n := len(user.Attrs); {
	case e.accountsOnly:
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

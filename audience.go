package timpush

import (
	"fmt"
	"reflect"
	"slices"
)

// Audience is who gets a push: everybody, or those who match conditions on tags or on attributes. The zero Audience is
// an [*InputError], and so is a list or a map that is empty but not nil: a list that a program computed as empty never widens
// an audience.
//
// An account matches TagsAnd if it has all of the tags, and TagsOr if it has one of them. An account that matches TagsNot
// is left out; the documentation's sample reads "not (C and D)", so that an account that has only some of the tags of
// TagsNot may get the push. The same goes for AttrsAnd and AttrsOr, whose names must have been set for the app before.
// What is given must hold together; TagsAnd and TagsOr may not have a tag in common, and tags and attributes exclude
// each other. Whether the service accepts TagsNot alone is not documented.
//
// An attribute belongs to UserIDs or to RegistrationIDs, so that a condition on it reaches accounts of one type only.
type Audience struct {
	Everybody                bool     // all accounts and registered devices of the app; without any condition
	TagsAnd, TagsOr, TagsNot []string // at most 10 tags in each, of 1 to 50 bytes
	AttrsAnd, AttrsOr        Attrs    // at most MaxAttrsPerUser names in each
}

// condition is the Condition of a request.
type condition struct {
	TagsAnd  []string `json:",omitempty"`
	TagsOr   []string `json:",omitempty"`
	TagsNot  []string `json:",omitempty"`
	AttrsAnd Attrs    `json:",omitempty"`
	AttrsOr  Attrs    `json:",omitempty"`
}

// condition returns nil for everybody: a request without a Condition.
func (a Audience) condition() *condition {
	if a.Everybody {
		return nil
	}
	return &condition{a.TagsAnd, a.TagsOr, a.TagsNot, a.AttrsAnd, a.AttrsOr}
}

func (a *Audience) isZero() bool { return reflect.ValueOf(*a).IsZero() }

// faults returns the faults of the audience, which is in the given field of the input.
func (a Audience) faults(field string) []*InputError {
	f := faultList{field: field}
	tags := a.TagsAnd != nil || a.TagsOr != nil || a.TagsNot != nil
	attrs := a.AttrsAnd != nil || a.AttrsOr != nil
	switch {
	case a.Everybody && (tags || attrs):
		f.add("", "Everybody excludes tags and attributes")
	case !a.Everybody && !tags && !attrs:
		f.add("", "is empty, want Everybody, tags or attributes")
	}
	if tags && attrs {
		f.add("", "has tags and attributes, which exclude each other")
	}
	f.addTags(".TagsAnd", a.TagsAnd)
	f.addTags(".TagsOr", a.TagsOr)
	f.addTags(".TagsNot", a.TagsNot)
	for i, tag := range a.TagsOr {
		if slices.Contains(a.TagsAnd, tag) {
			f.add(fmt.Sprintf(".TagsOr[%d]", i), "is in TagsAnd too")
		}
	}
	f.addAttrs(".AttrsAnd", a.AttrsAnd)
	f.addAttrs(".AttrsOr", a.AttrsOr)
	return f.faults
}

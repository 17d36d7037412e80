package timpushtest

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
)

// maxConditionTags is the limit of each list of tags in a Condition, page tencentcloud.com/document/product/1047/74196.
const maxConditionTags = 10

// audience is whom a push is for: everybody, or those who meet all conditions that are not nil.
type audience struct {
	everybody                bool
	tagsAnd, tagsOr, tagsNot []string
	attrsAnd, attrsOr        map[string]string
}

// kind is the Kind of a push to the audience.
func (a audience) kind() PushKind {
	switch {
	case a.everybody:
		return PushAll
	case a.attrsAnd != nil || a.attrsOr != nil:
		return PushAttr
	default:
		return PushTag
	}
}

// readAudience reads Condition, page tencentcloud.com/document/product/1047/60561. Without it a push is for everybody.
func (j job) readAudience(raw json.RawMessage) (a audience, bad *refusal) {
	if raw == nil {
		return audience{everybody: true}, nil
	}
	var fields object
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		return a, refuse(codeBadRequest, "Condition is not an object")
	}
	if bad := j.settings.checkFields(fields, "TagsAnd", "TagsOr", "TagsNot", "AttrsAnd", "AttrsOr"); bad != nil {
		return a, bad
	}
	names := []string{"TagsAnd", "TagsOr", "TagsNot"}
	for i, tags := range []*[]string{&a.tagsAnd, &a.tagsOr, &a.tagsNot} {
		if *tags, bad = j.settings.readConditionTags(names[i], fields[names[i]]); bad != nil {
			return a, bad
		}
	}
	names = []string{"AttrsAnd", "AttrsOr"}
	for i, attrs := range []*map[string]string{&a.attrsAnd, &a.attrsOr} {
		if *attrs, bad = j.readConditionAttrs(names[i], fields[names[i]]); bad != nil {
			return a, bad
		}
	}
	return j.settings.checkAudience(a)
}

// empty reports whether there is no condition at all.
func (a audience) empty() bool {
	return a.tagsAnd == nil && a.tagsOr == nil && a.tagsNot == nil && a.attrsAnd == nil && a.attrsOr == nil
}

// checkAudience makes the checks that concern more than one member.
func (set *settings) checkAudience(a audience) (audience, *refusal) {
	tags, attrs := a.tagsAnd != nil || a.tagsOr != nil || a.tagsNot != nil, a.attrsAnd != nil || a.attrsOr != nil
	switch {
	case tags && attrs:
		return a, refuse(codeMixedConditions, "Condition has both tags and attributes")
	case slices.ContainsFunc(a.tagsAnd, func(tag string) bool { return slices.Contains(a.tagsOr, tag) }):
		return a, refuse(codeRepeatedTag, "TagsAnd and TagsOr share a tag")
	case set.TagsNotAloneRefused && tags && a.tagsAnd == nil && a.tagsOr == nil:
		return a, refuse(codeBadRequest, "TagsNot stands alone")
	case a.empty() && set.EmptyCondition == EmptyConditionRefused:
		return a, refuse(codeBadRequest, "Condition is empty")
	}
	a.everybody = a.empty() && set.EmptyCondition == EmptyConditionEverybody
	return a, nil
}

func (set *settings) readConditionTags(name string, raw json.RawMessage) ([]string, *refusal) {
	if raw == nil {
		return nil, nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || list == nil {
		return nil, refuse(codeBadRequest, "%s is not an array", name)
	}
	if len(list) == 0 && !set.EmptyAccepted {
		return nil, refuse(codeBadRequest, "%s is empty", name)
	}
	if len(list) > maxConditionTags {
		return nil, refuse(codeTooManyTags, "%s has more than %d tags", name, maxConditionTags)
	}
	var tags []string
	for _, raw := range list {
		tag, ok := readText(raw)
		switch {
		case !ok:
			return nil, refuse(codeBadRequest, "a tag of %s is not a string", name)
		case tag == "":
			return nil, refuse(codeEmptyTag, "a tag of %s is empty", name)
		case len(tag) > maxTagBytes:
			return nil, refuse(codeTagTooLong, "a tag of %s is too long", name)
		}
		tags = append(tags, tag)
	}
	return tags, nil
}

func (j job) readConditionAttrs(name string, raw json.RawMessage) (map[string]string, *refusal) {
	if raw == nil {
		return nil, nil
	}
	var members object
	if json.Unmarshal(raw, &members) != nil || members == nil {
		return nil, refuse(codeBadRequest, "%s is not an object", name)
	}
	if len(members) == 0 {
		if j.settings.EmptyAccepted {
			return nil, nil
		}
		return nil, refuse(codeBadRequest, "%s is empty", name)
	}
	attrs := map[string]string{}
	for _, attr := range slices.Sorted(maps.Keys(members)) {
		value, ok := readText(members[attr])
		if !ok {
			return nil, refuse(cmp.Or(j.settings.NonStringCode, codeBadRequest), "attribute %q of %s is not a string", attr, name)
		}
		if j.settings.index(&j.names, attr) < 0 {
			return nil, refuse(codeInvalidAttr, "attribute %q of %s is not set for the app", attr, name)
		}
		attrs[attr] = value
	}
	return attrs, nil
}

// matches reports whether an account is in the audience. It runs under the lock.
func (j job) matches(a audience, account string) bool {
	tags, values := j.tags.of[account], j.visibleNow(account)
	tagged := func(list []string) (n int) {
		for _, tag := range list {
			if slices.Contains(tags, tag) {
				n++
			}
		}
		return n
	}
	valued := func(attrs map[string]string) (n int) {
		for name, want := range attrs {
			if value, ok := values[j.settings.index(&j.names, name)]; ok && value == want {
				n++
			}
		}
		return n
	}
	excluded := tagged(a.tagsNot) == len(a.tagsNot) || j.settings.TagsNotAny && tagged(a.tagsNot) > 0
	switch {
	case a.everybody:
		return true
	case a.kind() == PushTag:
		return !a.empty() && tagged(a.tagsAnd) == len(a.tagsAnd) && (a.tagsOr == nil || tagged(a.tagsOr) > 0) &&
			(a.tagsNot == nil || !excluded)
	default:
		return valued(a.attrsAnd) == len(a.attrsAnd) && (a.attrsOr == nil || valued(a.attrsOr) > 0)
	}
}

// members returns the accounts of an audience, sorted. It runs under the lock.
func (j job) members(a audience) (accounts []string) {
	for account := range j.everyAccount() {
		if j.matches(a, account) {
			accounts = append(accounts, account)
		}
	}
	slices.Sort(accounts)
	return accounts
}

// everyAccount returns all accounts that the fake knows: those that an option names, and those that have, or had,
// attributes or tags. It runs under the lock.
func (s *Server) everyAccount() map[string]bool {
	all := maps.Clone(s.created)
	maps.Copy(all, s.settings.registrationIDs)
	maps.Copy(all, s.settings.known)
	for account := range s.store {
		all[account] = true
	}
	for account := range s.tags.of {
		all[account] = true
	}
	return all
}

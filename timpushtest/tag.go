package timpushtest

import (
	"cmp"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
)

// The limits of page tencentcloud.com/document/product/1047/60568.
const (
	maxTagBytes     = 50
	maxTagsAdded    = 10   // for each user of a request
	maxTagsReplaced = 100  // with Replace
	maxTagsOfUser   = 100  // in all
	maxTagsOfApp    = 1000 // distinct ones
)

// tagStore holds the tags of the accounts.
type tagStore struct {
	of   map[string][]string // of each account that has any, sorted; a slice is never changed
	uses map[string]tagUse   // of each tag that an account has
}

// tagUse says how many accounts have a tag, and of which type they are.
type tagUse struct {
	accounts int
	kind     accountType
}

func newTagStore() tagStore { return tagStore{of: map[string][]string{}, uses: map[string]tagUse{}} }

// set gives an account of the type kind exactly these tags.
func (st tagStore) set(account string, kind accountType, tags []string) {
	for _, tag := range st.of[account] {
		use := st.uses[tag]
		if use.accounts--; use.accounts == 0 {
			delete(st.uses, tag)
			continue
		}
		st.uses[tag] = use
	}
	for _, tag := range tags {
		use, ok := st.uses[tag]
		if !ok {
			use.kind = kind
		}
		use.accounts++
		st.uses[tag] = use
	}
	st.of[account] = tags
	if len(tags) == 0 {
		delete(st.of, account)
	}
}

// Tags returns the tags of an account, sorted; nil if it has none.
func (s *Server) Tags(account string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tags.of[account])
}

// addTag is v4/timpush/add_tag, page tencentcloud.com/document/product/1047/60568.
func (j job) addTag() reply {
	fields, bad := j.readObject()
	if bad != nil {
		return bad.reply()
	}
	if raw, ok := fields["Replace"]; ok {
		n, ok := readInt(raw)
		if !ok || n < 0 || n > 1 {
			return refuse(codeBadRequest, "Replace is not 0 or 1").reply()
		}
		j.replace = n == 1
	}
	return j.perAccount()
}

// checkTagging makes a change of an entry of add_tag.
func (j job) checkTagging(raw json.RawMessage) (change, *refusal) {
	limit := maxTagsAdded
	if j.replace {
		limit = maxTagsReplaced
	}
	account, tags, bad := j.readTags(raw, limit)
	if bad != nil {
		return change{}, bad
	}
	c := change{account: account, retag: func(has []string) []string {
		if j.replace {
			has = nil
		}
		all := slices.Concat(has, tags)
		slices.Sort(all)
		return slices.Compact(all)
	}}
	if !j.settings.UnknownStored {
		j.checkKnown(&c)
	}
	return c, nil
}

// checkUntagging makes a change of an entry of remove_tag, page tencentcloud.com/document/product/1047/60569.
func (j job) checkUntagging(raw json.RawMessage) (change, *refusal) {
	account, tags, bad := j.readTags(raw, len(raw)) // only the length of a tag is documented
	if bad != nil {
		return change{}, bad
	}
	c := change{account: account, retag: func(has []string) []string {
		return slices.DeleteFunc(slices.Clone(has), func(tag string) bool { return slices.Contains(tags, tag) })
	}}
	j.checkKnown(&c)
	return c, nil
}

// checkClearing makes a change of an entry of clear_all_tags, page tencentcloud.com/document/product/1047/60570.
func (j job) checkClearing(raw json.RawMessage) (change, *refusal) {
	c, bad := j.checkListed(raw)
	if bad == nil && c.failure.code == 0 {
		c.retag = func([]string) []string { return nil }
	}
	return c, bad
}

// readTags reads an element of UserTags that may have so many tags.
func (j job) readTags(raw json.RawMessage, limit int) (account string, tags []string, bad *refusal) {
	var entry object
	if json.Unmarshal(raw, &entry) != nil || entry == nil {
		return "", nil, refuse(codeBadRequest, "an entry of UserTags is not an object")
	}
	if bad := j.settings.checkFields(entry, "To_Account", "Tags"); bad != nil {
		return "", nil, bad
	}
	if account, _ = readText(entry["To_Account"]); account == "" {
		return "", nil, refuse(codeBadRequest, "To_Account is missing, empty or not a string")
	}
	var list []json.RawMessage
	if json.Unmarshal(entry["Tags"], &list) != nil || list == nil {
		return "", nil, refuse(codeBadRequest, "Tags of %q is missing or not an array", account)
	}
	if len(list) == 0 && !j.settings.EmptyAccepted {
		return "", nil, refuse(codeBadRequest, "Tags of %q is empty", account)
	}
	if len(list) > limit {
		return "", nil, refuse(cmp.Or(j.settings.TagLimitCode, codeTooManyTags), "%q is given more than %d tags", account, limit)
	}
	for _, raw := range list {
		tag, ok := readText(raw)
		switch {
		case !ok || tag == "":
			return "", nil, refuse(codeBadRequest, "a tag of %q is empty or not a string", account)
		case len(tag) > maxTagBytes:
			return "", nil, refuse(cmp.Or(j.settings.TagLimitCode, codeTagTooLong), "a tag of %q is too long", account)
		}
		tags = append(tags, tag)
	}
	return account, tags, nil
}

// limitTags fails the accounts that would have too many tags, or a tag of the other type of account. It runs under the lock.
func (j job) limitTags(changes []change) *refusal {
	after := map[string][]string{}      // of the accounts that change
	created := map[string]accountType{} // tags that no account has yet
	for i := range changes {
		c := &changes[i]
		if c.retag == nil {
			continue
		}
		has, ok := after[c.account]
		if !ok {
			has = j.tags.of[c.account]
		}
		tags := c.retag(has)
		bad := j.limitTagsOf(c.account, has, tags, created)
		switch {
		case bad == nil:
			after[c.account] = tags
		case bad.code != codeWrongAccountType && j.settings.TagTotalFailsRequest:
			return bad
		default:
			c.fail(bad.code, bad.info)
		}
	}
	return nil
}

// limitTagsOf checks one account, and adds its new tags to those created.
func (j job) limitTagsOf(account string, has, tags []string, created map[string]accountType) *refusal {
	set, kind := j.settings, j.settings.typeOf(account)
	_, stored := j.tags.of[account]
	if !stored && len(tags) > 0 && set.maxAccounts > 0 && len(j.tags.of) >= set.maxAccounts {
		return refuse(codeAppIsFull, "the app has too many accounts")
	}
	if len(tags) > maxTagsOfUser && len(tags) > len(has) {
		return refuse(cmp.Or(set.TagTotalCode, codeTooManyTags), "the account has more than %d tags", maxTagsOfUser)
	}
	fresh := map[string]accountType{}
	for _, tag := range tags {
		of, known := created[tag]
		if use, ok := j.tags.uses[tag]; ok {
			of, known = use.kind, true
		}
		switch {
		case !known:
			fresh[tag] = kind
		case of != kind && !set.TagsUntyped:
			return refuse(codeWrongAccountType, "a tag belongs to the other type of account")
		}
	}
	if len(fresh) > 0 && len(j.tags.uses)+len(created)+len(fresh) > maxTagsOfApp {
		return refuse(cmp.Or(set.TagTotalCode, codeTooManyTags), "the app has more than %d tags", maxTagsOfApp)
	}
	maps.Copy(created, fresh)
	return nil
}

// showTags makes UserTags of the accounts that did not fail, for get_tag, page
// tencentcloud.com/document/product/1047/60567.
func (j job) showTags(changes []change) map[string]any {
	return j.showAccounts("UserTags", changes, func(account string) map[string]any {
		tags := j.Tags(account)
		if tags == nil {
			tags = []string{}
		}
		return map[string]any{"To_Account": account, "Tags": tags}
	})
}

// showAccounts makes a list of the accounts that did not fail. The vendor's samples are not in the order of the request.
func (j job) showAccounts(field string, changes []change, show func(account string) map[string]any) map[string]any {
	list := []any{}
	for _, c := range changes {
		if c.failure.code == 0 && !c.omitted {
			list = append(list, show(c.account))
		}
	}
	if len(list) == 0 && j.settings.EmptyFieldsAbsent {
		return nil
	}
	if !j.settings.AnswersInOrder {
		rand.Shuffle(len(list), func(a, b int) { list[a], list[b] = list[b], list[a] })
	}
	return map[string]any{field: list}
}

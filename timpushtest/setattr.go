package timpushtest

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxAttrBytes is the limit of names and values, pages tencentcloud.com/document/product/1047/67816 and 60565.
const maxAttrBytes = 50

type object = map[string]json.RawMessage

// setAttr is v4/timpush/set_attr, page tencentcloud.com/document/product/1047/60565. It checks all entries before it
// applies the first.
func (s *Server) setAttr(body []byte, f Fault) reply {
	entries, bad := s.settings.readUserAttrs(body)
	if bad != nil {
		return bad.reply()
	}
	changes, bad := s.checkEntries(entries)
	if bad == nil {
		bad = s.interfere(changes, f)
	}
	if bad != nil {
		if s.settings.partialApply {
			s.apply(changes[:len(changes)/2])
		}
		return bad.reply()
	}
	s.apply(changes)
	return s.settings.outcome(changes)
}

// readUserAttrs takes the body apart down to its entries.
func (set *settings) readUserAttrs(body []byte) ([]json.RawMessage, *refusal) {
	if set.maxBody > 0 && len(body) > set.maxBody {
		return nil, refuse(codeBodyTooLong, "the body has more than %d bytes", set.maxBody)
	}
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil, refuse(set.notJSONCode, "the body is not JSON")
	}
	var fields object
	if json.Unmarshal(body, &fields) != nil {
		return nil, refuse(codeBadRequest, "the body is not an object")
	}
	var entries []json.RawMessage
	if json.Unmarshal(fields["UserAttrs"], &entries) != nil || entries == nil {
		return nil, refuse(codeBadRequest, "UserAttrs is missing or not an array")
	}
	if len(entries) == 0 && !set.emptyAccepted {
		return nil, refuse(codeBadRequest, "UserAttrs is empty")
	}
	if len(entries) > set.maxUsers {
		return nil, refuse(codeTooManyAccounts, "more than %d accounts", set.maxUsers)
	}
	return entries, nil
}

// userAttrsAccounts reads the accounts of a body without judging it.
func userAttrsAccounts(body []byte) []string {
	var fields object
	var entries []object
	if !utf8.Valid(body) || json.Unmarshal(body, &fields) != nil ||
		json.Unmarshal(fields["UserAttrs"], &entries) != nil || entries == nil {
		return nil
	}
	accounts := make([]string, len(entries))
	for i, e := range entries {
		_ = json.Unmarshal(e["To_Account"], &accounts[i]) // stays "" if it is no string
	}
	return accounts
}

// checkEntries returns one change for each entry and the first reason to refuse the whole request. It goes on after
// that reason because of WithPartialApply.
func (s *Server) checkEntries(entries []json.RawMessage) ([]change, *refusal) {
	set := s.settings
	changes := make([]change, len(entries))
	seen := map[string]int{}
	var first *refusal
	for i, raw := range entries {
		c, bad := set.checkEntry(raw)
		if bad == nil && seen[c.account] > 0 && set.duplicates == DuplicatesRefused {
			c, bad = change{}, refuse(codeBadRequest, "account %q is given twice", c.account)
		}
		if first == nil {
			first = bad
		}
		changes[i] = c
		seen[c.account]++
	}
	if set.duplicates == DuplicatesListed {
		listDuplicates(changes, seen)
	}
	return changes, first
}

func listDuplicates(changes []change, seen map[string]int) {
	for i, c := range changes {
		if seen[c.account] > 1 {
			changes[i].fail(codeBadRequest, "account is given twice")
		}
	}
}

// checkEntry makes a change of one entry: either a sound one, or one with a failure for ErrorList, or a refusal.
func (set *settings) checkEntry(raw json.RawMessage) (change, *refusal) {
	account, attrs, bad := set.readEntry(raw)
	if bad != nil {
		return change{}, bad
	}
	c := change{account: account, attrs: map[string]string{}}
	var otherType bool
	// Sorted, so that the same request is always refused for the same attribute.
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		known, value, bad := set.checkAttr(account, name, attrs[name])
		switch {
		case bad != nil && set.perAccount(bad):
			c.fail(bad.code, bad.info)
			return c, nil
		case bad != nil:
			return change{}, bad
		case known == "": // unknown names may be ignored
		case set.names[known] != set.typeOf(account):
			otherType = true
		default:
			c.attrs[known] = value
		}
	}
	set.checkAccount(&c, otherType)
	return c, nil
}

func (set *settings) perAccount(bad *refusal) bool {
	return bad.code == codeInvalidAttr && (set.invalidAttrPerAccount || bad.long && set.longValue == LongValuePerAccount)
}

// checkAccount applies the rules that only ever fail one account.
func (set *settings) checkAccount(c *change, otherType bool) {
	switch {
	case otherType:
		attrs := c.attrs
		c.fail(codeWrongAccountType, "attribute belongs to the other type of account")
		if set.mixedTypesApplied && len(attrs) > 0 {
			c.attrs = attrs
		}
	case set.known != nil && !set.known[c.account]:
		c.fail(codeUnknownAccount, "account is not known")
	}
}

func (c *change) fail(code int, info string) {
	c.attrs = nil
	c.failure = failure{account: c.account, code: code, info: info}
}

func (set *settings) readEntry(raw json.RawMessage) (account string, attrs object, bad *refusal) {
	var entry object
	if json.Unmarshal(raw, &entry) != nil {
		return "", nil, refuse(codeBadRequest, "an entry of UserAttrs is not an object")
	}
	if json.Unmarshal(entry["To_Account"], &account) != nil || account == "" {
		return "", nil, refuse(codeBadRequest, "To_Account is missing, empty or not a string")
	}
	if json.Unmarshal(entry["Attrs"], &attrs) != nil || attrs == nil {
		return "", nil, refuse(codeBadRequest, "Attrs of %q is missing or not an object", account)
	}
	if len(attrs) == 0 && !set.emptyAccepted {
		return "", nil, refuse(codeBadRequest, "Attrs of %q is empty", account)
	}
	return account, attrs, nil
}

// checkAttr returns an attribute under the name the app has for it, "" if it is to be ignored, and its value.
func (set *settings) checkAttr(account, name string, raw json.RawMessage) (known, value string, bad *refusal) {
	if !bytes.HasPrefix(raw, []byte{'"'}) {
		return "", "", refuse(set.nonStringCode, "attribute %q of %q is not a string", name, account)
	}
	must(json.Unmarshal(raw, &value)) // valid, as the whole body is
	length := len(value)
	if set.escapedLength {
		length = len(raw) - len(`""`)
	}
	if length > maxAttrBytes {
		if set.longValue != LongValueCut {
			bad = refuse(codeInvalidAttr, "attribute %q of %q is too long", name, account)
			bad.long = true
			return "", "", bad
		}
		value = cut(value)
	}
	if value == "" && set.emptyValue == EmptyRefused || set.controlsRefused && strings.ContainsFunc(value, unicode.IsControl) {
		return "", "", refuse(codeInvalidAttr, "attribute %q of %q has a value that is not allowed", name, account)
	}
	known = set.nameOf(name)
	if known == "" && !set.unknownNamesIgnored {
		return "", "", refuse(codeInvalidAttr, "attribute %q of %q is not set for the app", name, account)
	}
	return known, value, nil
}

// cut shortens a value to the limit without breaking a character.
func cut(value string) string {
	end := min(len(value), maxAttrBytes)
	for end > 0 && end < len(value) && !utf8.RuneStart(value[end]) {
		end--
	}
	return value[:end]
}

// interfere lets the faults and marks of the test act on checked changes. It returns the reason to refuse them all.
func (s *Server) interfere(changes []change, f Fault) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.kind == faultCode && !f.applied && !(s.settings.appliedOnOpenCodes && isOpenCode(f.code)) {
		return injected(f)
	}
	for i, c := range changes {
		if code := s.poison[c.account]; code != 0 {
			return refuse(code, "poisoned account %q", c.account)
		}
		if code := s.refused[c.account]; code != 0 {
			changes[i].fail(code, "refused account")
		}
		if f.kind == faultAccounts && slices.Contains(f.accounts, c.account) {
			changes[i].fail(f.code, "injected fault")
		}
	}
	return nil
}

// outcome lists the accounts that failed. The request as a whole succeeds even so, page
// tencentcloud.com/document/product/1047/60565; whether also if all of them failed is not documented.
func (set *settings) outcome(changes []change) reply {
	var rep reply
	for _, c := range changes {
		if c.failure.code != 0 {
			rep.list = append(rep.list, c.failure)
		}
	}
	if set.failWhenAllFail && len(rep.list) > 0 && len(rep.list) == len(changes) {
		rep.code, rep.info = rep.list[0].code, "all accounts failed"
	}
	return rep
}

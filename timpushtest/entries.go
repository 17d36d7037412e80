package timpushtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

type object = map[string]json.RawMessage

// perAccount runs a command that has an entry for each account. It checks all entries before it applies the first.
func (j job) perAccount() reply {
	entries, bad := j.readEntries()
	if bad != nil {
		return bad.reply()
	}
	changes, bad := j.decide(entries)
	if bad != nil {
		if j.settings.PartialApply {
			j.apply(changes[:len(changes)/2])
		}
		return bad.reply()
	}
	j.apply(changes)
	rep := j.settings.outcome(changes)
	if j.show != nil {
		rep.fields = j.show(j, changes)
	}
	return rep
}

// decide returns one change for each entry, and the reason to refuse them all if there is one.
func (j job) decide(entries []json.RawMessage) ([]change, *refusal) {
	changes, bad := j.checkEntries(entries)
	if bad == nil {
		bad = j.interfere(changes)
	}
	if bad == nil && j.noList {
		bad = firstFailure(changes)
	}
	return changes, bad
}

// readObject splits the body into its fields.
func (j job) readObject() (object, *refusal) {
	if limit := j.settings.MaxBody; limit > 0 && len(j.body) > limit {
		return nil, refuse(codeBodyTooLong, "the body has more than %d bytes", limit)
	}
	if !json.Valid(j.body) || !utf8.Valid(j.body) {
		return nil, refuse(cmp.Or(j.settings.NotJSONCode, codeNotJSON), "the body is not JSON")
	}
	var fields object
	if json.Unmarshal(j.body, &fields) != nil || fields == nil {
		return nil, refuse(codeBadRequest, "the body is not an object")
	}
	if j.fields != nil {
		return fields, j.settings.checkFields(fields, j.fields...)
	}
	return fields, nil
}

// checkFields refuses fields other than those documented. The commands of attributes ignore them.
func (set *settings) checkFields(fields object, documented ...string) *refusal {
	if set.UndocumentedAccepted {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(documented, name) {
			return refuse(codeBadRequest, "%q is not a field of this request", name)
		}
	}
	return nil
}

// readEntries splits the body into its entries.
func (j job) readEntries() ([]json.RawMessage, *refusal) {
	fields, bad := j.readObject()
	if bad != nil {
		return nil, bad
	}
	var entries []json.RawMessage
	if json.Unmarshal(fields[j.field], &entries) != nil || entries == nil {
		return nil, refuse(codeBadRequest, "%s is missing or not an array", j.field)
	}
	if len(entries) == 0 && !j.settings.EmptyAccepted {
		return nil, refuse(codeBadRequest, "%s is empty", j.field)
	}
	limit, code := j.settings.maxUsers, codeTooManyAccounts
	if j.recipients {
		limit, code = maxRecipients, cmp.Or(j.settings.BatchSizeCode, codeTooManyRecipients)
	}
	if len(entries) > limit {
		return nil, refuse(code, "more than %d accounts", limit)
	}
	return entries, nil
}

// checkEntries returns one change for each entry and the first reason to refuse the whole request. It goes on after
// that reason because of Variant.PartialApply.
func (j job) checkEntries(entries []json.RawMessage) ([]change, *refusal) {
	set := j.settings
	changes := make([]change, len(entries))
	seen := map[string]int{}
	var first *refusal
	for i, raw := range entries {
		c, bad := j.check(j, raw)
		if bad == nil && seen[c.account] > 0 && set.Duplicates == DuplicatesRefused {
			c, bad = change{}, refuse(codeBadRequest, "account %q is given twice", c.account)
		}
		if first == nil {
			first = bad
		}
		changes[i] = c
		seen[c.account]++
	}
	if set.Duplicates == DuplicatesListed {
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

// readEntry reads an element of UserAttrs. Attrs is an object or an array, as the type of attrs says.
func readEntry[T object | []json.RawMessage](set *settings, raw json.RawMessage) (account string, attrs T, bad *refusal) {
	var entry object
	if json.Unmarshal(raw, &entry) != nil {
		return "", nil, refuse(codeBadRequest, "an entry of UserAttrs is not an object")
	}
	if json.Unmarshal(entry["To_Account"], &account) != nil || account == "" {
		return "", nil, refuse(codeBadRequest, "To_Account is missing, empty or not a string")
	}
	if json.Unmarshal(entry["Attrs"], &attrs) != nil || attrs == nil {
		return "", nil, refuse(codeBadRequest, "Attrs of %q is missing or of the wrong type", account)
	}
	if len(attrs) == 0 && !set.EmptyAccepted {
		return "", nil, refuse(codeBadRequest, "Attrs of %q is empty", account)
	}
	return account, attrs, nil
}

// listedAccounts reads the accounts of a field without checking them: its elements are accounts, or objects with one.
func listedAccounts(body []byte, field string) []string {
	var fields object
	var entries []json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &fields) != nil ||
		json.Unmarshal(fields[field], &entries) != nil || entries == nil {
		return nil
	}
	accounts := make([]string, len(entries))
	for i, raw := range entries {
		if field != "To_Account" {
			var entry object
			if json.Unmarshal(raw, &entry) != nil {
				return nil
			}
			raw = entry["To_Account"]
		}
		accounts[i], _ = readText(raw)
	}
	return accounts
}

// readInt reads an integer and nothing else.
func readInt(raw json.RawMessage) (int64, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil
}

// readText reads a string and nothing else: json.Unmarshal takes null for one. The JSON must be valid.
func readText(raw json.RawMessage) (text string, ok bool) {
	if !bytes.HasPrefix(raw, []byte{'"'}) {
		return "", false
	}
	must(json.Unmarshal(raw, &text))
	return text, true
}

// indexOf returns the index of a name, -1 if the app does not have it: to be ignored, unless there is a refusal too.
func (j job) indexOf(account, name string) (int, *refusal) {
	index := j.settings.index(&j.names, name)
	if index < 0 && !j.settings.UnknownNamesIgnored {
		return -1, refuse(codeInvalidAttr, "attribute %q of %q is not set for the app", name, account)
	}
	return index, nil
}

// isListed reports whether a refusal of an entry puts its account into ErrorList, and does not fail the request.
func (set *settings) isListed(bad *refusal) bool {
	return bad.code == codeInvalidAttr && (set.InvalidAttrPerAccount || bad.long && set.LongValue == LongValuePerAccount)
}

// checkKnown fails a valid change of an account that does not exist.
func (j job) checkKnown(c *change) {
	if c.failure.code == 0 && !j.knows(c.account) {
		c.fail(codeUnknownAccount, "account is not known")
	}
}

// refuses reports whether the fault refuses the request before anything is applied.
func (j job) refuses() bool {
	f := j.fault
	return f.kind == faultCode && !f.applied && !(j.settings.AppliedOnOpenCodes && isOpenCode(f.code))
}

// interfere lets the faults and marks of the test act on checked changes. It returns the reason to refuse them all.
func (j job) interfere(changes []change) *refusal {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refuses() {
		return injected(j.fault)
	}
	for i, c := range changes {
		if code := j.poison[c.account]; code != 0 {
			return refuse(code, "poisoned account %q", c.account)
		}
		if code := j.refused[c.account]; code != 0 {
			changes[i].fail(code, "refused account")
		}
		if j.fault.kind == faultAccounts && slices.Contains(j.fault.accounts, c.account) {
			changes[i].fail(j.fault.code, "injected fault")
		}
	}
	if j.settings.maxAccounts > 0 {
		j.limitAccounts(changes)
	}
	return j.limitTags(changes)
}

// limitAccounts fails the accounts that the app has no room for. It runs under the lock.
func (j job) limitAccounts(changes []change) {
	room := j.settings.maxAccounts - len(j.store)
	for i, c := range changes {
		if _, has := j.store[c.account]; has || len(c.values) == 0 {
			continue
		}
		if room--; room < 0 {
			changes[i].fail(codeAppIsFull, "the app has too many accounts")
		}
	}
}

// firstFailure is why a request fails that cannot list the accounts that do.
func firstFailure(changes []change) *refusal {
	for _, c := range changes {
		if c.failure.code != 0 {
			return refuse(c.failure.code, "account %q: %s", c.account, c.failure.info)
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
	if set.FailWhenAllFail && len(rep.list) > 0 && len(rep.list) == len(changes) {
		rep.code, rep.info = rep.list[0].code, "all accounts failed"
	}
	return rep
}

package timpushtest

import (
	"cmp"
	"encoding/json"
)

// checkRemoval makes a change of an entry of remove_attr, page tencentcloud.com/document/product/1047/60566. The type of
// the account does not matter: 90035 is not among the codes of the page.
func (j job) checkRemoval(raw json.RawMessage) (change, *refusal) {
	account, names, bad := readEntry[[]json.RawMessage](j.settings, raw)
	if bad != nil {
		return change{}, bad
	}
	c := change{account: account}
	for _, name := range names {
		index, bad := j.checkRemoved(account, name)
		switch {
		case bad != nil && j.settings.isListed(bad):
			c.fail(bad.code, bad.info)
			return c, nil
		case bad != nil:
			return change{}, bad
		case index >= 0: // unknown names may be ignored
			c.removed = append(c.removed, index)
		}
	}
	j.checkKnown(&c)
	return c, nil
}

func (j job) checkRemoved(account string, raw json.RawMessage) (index int, bad *refusal) {
	name, ok := readText(raw)
	if !ok {
		return -1, refuse(cmp.Or(j.settings.NonStringCode, codeBadRequest), "the name of an attribute of %q is not a string", account)
	}
	index, bad = j.indexOf(account, name)
	if index >= 0 && j.settings.AbsentRefused && !j.has(account, index) {
		return -1, refuse(codeInvalidAttr, "%q does not have the attribute %q", account, name)
	}
	return index, bad
}

package timpushtest

import (
	"encoding/json"
)

// checkReading makes a change that changes nothing of an entry of get_attr, page
// tencentcloud.com/document/product/1047/60564.
func (j job) checkReading(raw json.RawMessage) (change, *refusal) {
	c, bad := j.checkListed(raw)
	if c.failure.code != 0 && j.settings.NotFoundOmitted {
		c = change{account: c.account, omitted: true}
	}
	return c, bad
}

// checkListed makes a change that changes nothing of an element of To_Account.
func (j job) checkListed(raw json.RawMessage) (change, *refusal) {
	account, _ := readText(raw)
	if account == "" {
		return change{}, refuse(codeBadRequest, "an element of To_Account is empty or not a string")
	}
	c := change{account: account}
	j.checkKnown(&c)
	return c, nil
}

// showAttrs makes UserAttrs of the accounts that did not fail.
func (j job) showAttrs(changes []change) map[string]any {
	return j.showAccounts("UserAttrs", changes, func(account string) map[string]any {
		return map[string]any{"To_Account": account, "Attrs": j.names.named(j.visible(account))}
	})
}

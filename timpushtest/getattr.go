package timpushtest

import (
	"encoding/json"
	"math/rand/v2"
	"unicode/utf8"
)

// toAccounts reads the accounts of a body of get_attr without checking it.
func toAccounts(body []byte) []string {
	var fields object
	var entries []json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &fields) != nil ||
		json.Unmarshal(fields["To_Account"], &entries) != nil || entries == nil {
		return nil
	}
	accounts := make([]string, len(entries))
	for i, raw := range entries {
		accounts[i], _ = readText(raw)
	}
	return accounts
}

// checkReading makes a change that changes nothing of an entry of get_attr, page
// tencentcloud.com/document/product/1047/60564.
func (j job) checkReading(raw json.RawMessage) (change, *refusal) {
	account, _ := readText(raw)
	if account == "" {
		return change{}, refuse(codeBadRequest, "an element of To_Account is empty or not a string")
	}
	c := change{account: account}
	if j.settings.NotFoundOmitted && !j.knows(account) {
		c.omitted = true
		return c, nil
	}
	j.checkKnown(&c)
	return c, nil
}

// showAttrs makes UserAttrs of the accounts that did not fail. The vendor's samples are not in the order of the request.
func (j job) showAttrs(changes []change) map[string]any {
	list := []any{}
	for _, c := range changes {
		if c.failure.code == 0 && !c.omitted {
			attrs := j.names.named(j.visible(c.account))
			list = append(list, map[string]any{"To_Account": c.account, "Attrs": attrs})
		}
	}
	if len(list) == 0 && j.settings.EmptyFieldsAbsent {
		return nil
	}
	if !j.settings.AnswersInOrder {
		rand.Shuffle(len(list), func(a, b int) { list[a], list[b] = list[b], list[a] })
	}
	return map[string]any{"UserAttrs": list}
}

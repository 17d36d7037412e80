package timpushtest

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxAttrBytes is the limit of names and values, pages tencentcloud.com/document/product/1047/67816 and 60565.
const maxAttrBytes = 50

// checkSetting makes a change of an entry of set_attr, page tencentcloud.com/document/product/1047/60565: either a
// valid one, or one with a failure for ErrorList, or a refusal.
func (j job) checkSetting(raw json.RawMessage) (change, *refusal) {
	set := j.settings
	account, attrs, bad := readEntry[object](set, raw)
	if bad != nil {
		return change{}, bad
	}
	c := change{account: account, values: map[int]string{}}
	var otherType bool
	// Sorted, so that the same request is always refused for the same attribute.
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		index, value, bad := j.checkAttr(account, name, attrs[name])
		switch {
		case bad != nil && set.isListed(bad):
			c.fail(bad.code, bad.info)
			return c, nil
		case bad != nil:
			return change{}, bad
		case index < 0: // unknown names may be ignored
		case !j.noType && j.names[index].kind != set.typeOf(account):
			otherType = true
		default:
			c.put(index, value, set.EmptyValue == EmptyDeletes)
		}
	}
	if otherType {
		c.failType(set.MixedTypesApplied)
	}
	if !set.UnknownStored {
		j.checkKnown(&c)
	}
	return c, nil
}

func (c *change) put(index int, value string, emptyDeletes bool) {
	if value == "" && emptyDeletes {
		c.removed = append(c.removed, index)
		return
	}
	c.values[index] = value
}

// failType fails an account for an attribute of the other type; those of its own type may be applied even so.
func (c *change) failType(mixedApplied bool) {
	fitting := *c
	c.fail(codeWrongAccountType, "attribute belongs to the other type of account")
	if mixedApplied && len(fitting.values)+len(fitting.removed) > 0 {
		c.values, c.removed = fitting.values, fitting.removed
	}
}

// checkAttr returns the index of an attribute, -1 if it is to be ignored, and its value.
func (j job) checkAttr(account, name string, raw json.RawMessage) (index int, value string, bad *refusal) {
	set := j.settings
	value, ok := readText(raw)
	if !ok {
		return -1, "", refuse(cmp.Or(set.NonStringCode, codeBadRequest), "attribute %q of %q is not a string", name, account)
	}
	if set.isLong(raw, value) {
		if set.LongValue != LongValueCut {
			bad = refuse(codeInvalidAttr, "attribute %q of %q is too long", name, account)
			bad.long = true
			return -1, "", bad
		}
		value = cut(value)
	}
	if value == "" && set.EmptyValue == EmptyRefused || set.ControlsRefused && strings.ContainsFunc(value, unicode.IsControl) {
		return -1, "", refuse(codeInvalidAttr, "attribute %q of %q has a value that is not allowed", name, account)
	}
	index, bad = j.indexOf(account, name)
	return index, value, bad
}

// isLong measures a string as it stands in the JSON or after decoding.
func (set *settings) isLong(raw json.RawMessage, text string) bool {
	if set.EscapedLength {
		return len(raw)-len(`""`) > maxAttrBytes
	}
	return len(text) > maxAttrBytes
}

// cut shortens a value to the limit without breaking a character.
func cut(value string) string {
	end := min(len(value), maxAttrBytes)
	for end > 0 && end < len(value) && !utf8.RuneStart(value[end]) {
		end--
	}
	return value[:end]
}

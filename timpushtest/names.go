package timpushtest

import (
	"fmt"
	"strings"
)

// accountType is the kind of account that an attribute belongs to, page tencentcloud.com/document/product/1047/67816.
type accountType int

const (
	typeUserID accountType = iota
	typeRegistrationID
)

// attrName is one attribute of the app.
type attrName struct {
	name string // "" for none
	kind accountType
}

// attrNames are the attributes of the app by their index, page tencentcloud.com/document/product/1047/67816.
type attrNames [maxNames]attrName

// index returns the index of a name, -1 if the app does not have it.
func (set *settings) index(names *attrNames, name string) int {
	folded := -1
	for i, known := range names {
		switch {
		case known.name == "":
		case known.name == name:
			return i
		case set.foldedNames && strings.EqualFold(known.name, name):
			folded = i
		}
	}
	return folded
}

func (set *settings) collectNames() {
	n := 0
	add := func(kind accountType, names []string) {
		for _, name := range names {
			if name == "" || len(name) > maxAttrBytes || n == maxNames || set.names.has(name) {
				panic(fmt.Sprintf("timpushtest: attribute name %q: is empty, given twice, over %d bytes or one of more than %d",
					name, maxAttrBytes, maxNames))
			}
			set.names[n] = attrName{name: name, kind: kind}
			n++
		}
	}
	add(typeUserID, set.userNames)
	add(typeRegistrationID, set.registrationNames)
}

func (names *attrNames) has(name string) bool {
	for _, known := range names {
		if known.name == name {
			return true
		}
	}
	return false
}

// named gives stored values the names that they have now.
func (names *attrNames) named(values map[int]string) map[string]string {
	attrs := map[string]string{}
	for i, value := range values {
		if name := names[i].name; name != "" {
			attrs[name] = value
		}
	}
	return attrs
}

package timpushtest

import (
	"fmt"
	"slices"
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
	name  string // "" for none
	kind  accountType
	fixed bool // the type cannot change any more, even without a name
}

// attrNames are the attributes of the app by their index, page tencentcloud.com/document/product/1047/67816.
type attrNames [maxNames]attrName

// index returns the index of a name, -1 if the app does not have it.
func (set *settings) index(names *attrNames, name string) int {
	if i := names.index(name); i >= 0 || !set.FoldedNames {
		return i
	}
	return slices.IndexFunc(names[:], func(at attrName) bool { return at.name != "" && strings.EqualFold(at.name, name) })
}

func (names *attrNames) index(name string) int {
	return slices.IndexFunc(names[:], func(at attrName) bool { return at.name != "" && at.name == name })
}

func (set *settings) sameName(a, b string) bool {
	return a == b || set.FoldedNames && strings.EqualFold(a, b)
}

// AttrName is an attribute name of the app, page tencentcloud.com/document/product/1047/67816.
type AttrName struct {
	Index          int // 0 to 9
	Name           string
	RegistrationID bool // the attribute belongs to RegistrationIDs, not to UserIDs
}

// AttrNames returns the attribute names that the app has now, by index.
func (s *Server) AttrNames() []AttrName {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []AttrName
	for i, at := range s.names {
		if at.name != "" {
			out = append(out, AttrName{Index: i, Name: at.name, RegistrationID: at.kind == typeRegistrationID})
		}
	}
	return out
}

func (set *settings) collectNames() {
	n := 0
	add := func(kind accountType, names []string) {
		for _, name := range names {
			if name == "" || len(name) > maxAttrBytes || n == maxNames || set.names.index(name) >= 0 {
				panic(fmt.Sprintf("timpushtest: attribute name %q: is empty, given twice, over %d bytes or one of more than %d",
					name, maxAttrBytes, maxNames))
			}
			set.names[n] = attrName{name: name, kind: kind, fixed: true}
			n++
		}
	}
	add(typeUserID, set.userNames)
	add(typeRegistrationID, set.registrationNames)
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

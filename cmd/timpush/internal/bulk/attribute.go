package bulk

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/timpush/timpush-go"
)

// attrAtFault finds the attribute for which a user was rejected, as far as the client, the server or the app's attributes
// tell, and what to add to the reason.
func (r *Run) attrAtFault(o *outcome) (attr, more string) {
	if e, ok := errors.AsType[*timpush.InputError](o.err); ok {
		return e.Attr, ""
	}
	refusal, ok := errors.AsType[*timpush.APIError](o.err)
	if !ok || refusal.Code != timpush.ErrInvalidAttr && refusal.Code != timpush.ErrAccountType {
		return "", ""
	}
	found := named(refusal.Info, o.user.Attrs)
	if len(found) == 0 && refusal.Code == timpush.ErrInvalidAttr && r.Declared != nil {
		found = slices.DeleteFunc(sortedNames(o.user.Attrs), func(name string) bool { _, ok := r.Declared[name]; return ok })
	}
	if len(found) == 0 && refusal.Code == timpush.ErrAccountType {
		found = sortedNames(o.user.Attrs)
	}
	if len(found) == 0 {
		return "", ""
	}
	if len(found) == 1 {
		attr = found[0]
	}
	return attr, r.describeAttrs(found)
}

// describeAttrs names attributes, with what the app says of each.
func (r *Run) describeAttrs(names []string) string {
	var texts []string
	for _, name := range names {
		text := fmt.Sprintf("%q", name)
		switch kind, ok := r.Declared[name]; {
		case r.Declared == nil:
		case !ok:
			text += ", which the app does not have"
			if near := Nearest(name, slices.Sorted(maps.Keys(r.Declared))); near != "" {
				text += fmt.Sprintf(" (it has %q)", near)
			}
		case kind != timpush.AccountTypeUnknown:
			text += fmt.Sprintf(", which is for %ss", kind)
		}
		texts = append(texts, text)
	}
	return ": attribute " + strings.Join(texts, "; ")
}

// named returns the attributes that a text of the server names, in quotation marks or as in "attrName:city already exists".
func named(info string, attrs timpush.Attrs) (found []string) {
	for _, name := range sortedNames(attrs) {
		for word := range strings.FieldsSeq(info) {
			word = strings.Trim(word, ".,;()[]{}")
			if strings.HasSuffix(word, ":"+name) || strings.HasSuffix(word, "="+name) || strings.HasSuffix(word, `"`+name+`"`) || strings.HasSuffix(word, "'"+name+"'") {
				found = append(found, name)
				break
			}
		}
	}
	return found
}

func sortedNames(attrs timpush.Attrs) []string { return slices.Sorted(maps.Keys(attrs)) }

// Nearest returns the name that is most like another one, or "" if none is much like it.
func Nearest(name string, names []string) string {
	best, least := "", len([]rune(name))/2+1
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return n
		}
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of characters to insert, delete or replace to make one text the other.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := diagonal
			if x[i] != y[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(y)]
}

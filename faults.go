package timpush

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Documented limits of the attribute endpoints (tencentcloud.com/document/product/1047/60565 and 1047/67816). Lengths
// are bytes of UTF-8, so 50 bytes are about 16 Chinese characters.
const (
	MaxUsersPerRequest = 100 // the client splits longer inputs
	MaxAttrsPerUser    = 10  // an app has no more attributes
	MaxNameBytes       = 50
	MaxValueBytes      = 50
)

// Documented limits of tags (tencentcloud.com/document/product/1047/60568), in bytes of UTF-8 and by request.
const (
	maxTagBytes     = 50
	maxAddedTags    = 10
	maxReplacedTags = 100
)

// maxAudienceTags is how many tags each list of a condition may have (tencentcloud.com/document/product/1047/60561).
const maxAudienceTags = 10

const notUTF8 = "is not valid UTF-8"

// accountFault returns what is wrong with an account, or "". Which characters an account may have is not documented well enough to
// refuse more.
func accountFault(account string) string {
	switch {
	case account == "":
		return "ToAccount is empty"
	case !utf8.ValidString(account):
		return "ToAccount " + notUTF8
	}
	if fault := controlFault(account); fault != "" {
		return "ToAccount " + fault
	}
	return ""
}

// controlFault is about the line ends and tabs of a file that a text was read from: what is tagged or named with one is not found without it.
func controlFault(s string) string {
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		return "has a control character at byte " + strconv.Itoa(i)
	}
	return ""
}

func nameFault(name string) string {
	switch {
	case name == "":
		return "the name of an attribute is empty"
	case len(name) > MaxNameBytes:
		return fmt.Sprintf("the name has %d bytes, at most %d are allowed", len(name), MaxNameBytes)
	case !utf8.ValidString(name):
		return "the name " + notUTF8
	}
	return ""
}

func valueFault(value string) string {
	switch {
	case len(value) > MaxValueBytes:
		return fmt.Sprintf("the value has %d bytes, at most %d are allowed", len(value), MaxValueBytes)
	case !utf8.ValidString(value):
		return "the value " + notUTF8
	}
	return ""
}

func tagFault(tag string) string {
	switch {
	case tag == "":
		return "is empty"
	case len(tag) > maxTagBytes:
		return fmt.Sprintf("has %d bytes, at most %d are allowed", len(tag), maxTagBytes)
	case !utf8.ValidString(tag):
		return notUTF8
	}
	return controlFault(tag)
}

// faultList collects the faults of an input that is not a list of users. Reasons never hold what the input holds.
type faultList struct {
	field  string // of the whole
	faults []*InputError
}

// add adds a fault of a part of the whole: "" or what follows the field's name, such as ".Title".
func (f *faultList) add(part, format string, args ...any) {
	f.addAttr(part, "", format, args...)
}

func (f *faultList) addAttr(part, attr, format string, args ...any) {
	f.faults = append(f.faults, &InputError{Index: -1, Attr: attr, Field: f.at(part), Reason: fmt.Sprintf(format, args...)})
}

// at returns the name of a part of the whole, which has none itself if it is the input.
func (f *faultList) at(part string) string { return strings.TrimPrefix(f.field+part, ".") }

func (f *faultList) addTags(part string, tags []string) {
	switch n := len(tags); {
	case tags != nil && n == 0:
		f.add(part, "is empty but not nil, want tags, or nil for no condition")
	case n > maxAudienceTags:
		f.add(part, "has %d tags, at most %d are allowed", n, maxAudienceTags)
	}
	seen := map[string]bool{}
	for i, tag := range tags {
		at := fmt.Sprintf("%s[%d]", part, i)
		if fault := tagFault(tag); fault != "" {
			f.add(at, "%s", fault)
		} else if seen[tag] {
			f.add(at, "comes twice")
		}
		seen[tag] = true
	}
}

func (f *faultList) addAttrs(part string, attrs Attrs) {
	switch n := len(attrs); {
	case attrs != nil && n == 0:
		f.add(part, "is empty but not nil, want attributes, or nil for no condition")
	case n > MaxAttrsPerUser:
		f.add(part, "has %d attributes, at most %d can exist", n, MaxAttrsPerUser)
	}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		if fault := nameFault(name); fault != "" {
			f.addAttr(part, name, "%s", fault)
		}
		if fault := valueFault(attrs[name]); fault != "" {
			f.addAttr(part, name, "%s", fault)
		}
	}
}

func (f *faultList) addAccount(part, account string) {
	if fault := accountFault(account); fault != "" {
		f.add(part, "%s", strings.TrimPrefix(fault, "ToAccount "))
	}
}

func (f *faultList) addID(part, id string) {
	switch {
	case id == "":
		f.add(part, "is empty")
	case !utf8.ValidString(id):
		f.add(part, notUTF8)
	}
}

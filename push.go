package timpush

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

const (
	maxDataIDBytes = 64
	maxPushBytes   = 10 << 10 // of the body of a push
)

// Push is a notification and what the service is told of it besides.
type Push struct {
	From         string       // the sender, a UserID; "": Config.Identifier
	Notification Notification // the zero value is an *InputError, unless Extra has a MsgBody
	DataID       string       // at most 64 bytes, comes back in callbacks; documented for PushTo

	// MsgRandom is a number by which the service may drop a push that it has had already: within one second, or within 7
	// days by older documentation. For Client.Push 0 is a new one. For PushTo and tasks it must be 0.
	MsgRandom uint32

	Extra Extra // further members of the request: MsgBody, OnlineOnlyFlag, TaskName, ...
}

// Receipt is what is known of a push that was sent.
type Receipt struct {
	TaskID    string // of the push, for Revoke, statistics and callbacks; "" unless Done
	MsgRandom uint32 // as sent, so that a deliberate repeat can keep it; it is no dependable key
}

// pushRequest is the body of a push, and the Content of a task.
type pushRequest struct {
	From            string       `json:"From_Account,omitzero"`
	ToAccount       []string     `json:"To_Account,omitempty"`
	MsgRandom       uint32       `json:",omitzero"`
	Condition       *condition   `json:",omitzero"`
	OfflinePushInfo Notification `json:",omitzero"`
	DataID          string       `json:"DataId,omitzero"`
	Extra           Extra        `json:",embed"`
}

// request returns the body of the push without those who get it. From is who sends it by default.
func (p *Push) request(from string) pushRequest {
	r := pushRequest{From: p.From, MsgRandom: p.MsgRandom, OfflinePushInfo: p.Notification, DataID: p.DataID, Extra: p.Extra}
	if p.Notification.isZero() {
		r.OfflinePushInfo = Notification{}
	}
	if p.From == "" && !p.Extra.has("From_Account") {
		r.From = from
	}
	return r
}

func (r pushRequest) encode() ([]byte, error) { return json.Marshal(r, json.Deterministic(true)) }

// faults returns all that is wrong with the push, which stands in the given field of the input, or is the input.
func (p *Push) faults(field string) []*InputError {
	f := faultList{field: field}
	if p.From != "" {
		f.addAccount(".From", p.From)
	}
	if !p.Notification.isZero() || !p.Extra.has("MsgBody") {
		f.faults = append(f.faults, p.Notification.faults(f.at(".Notification"))...)
	}
	switch {
	case len(p.DataID) > maxDataIDBytes:
		f.add(".DataID", "has %d bytes, at most %d are allowed", len(p.DataID), maxDataIDBytes)
	case !utf8.ValidString(p.DataID):
		f.add(".DataID", notUTF8)
	}
	f.addMap(".Extra", p.Extra)
	for _, name := range slices.Sorted(maps.Keys(p.Extra)) {
		if p.sets(name) {
			f.addTwice("", name)
		}
	}
	return f.faults
}

// sets reports whether a member of the request has its value from elsewhere than Extra. Who gets a push is said by the
// Audience or the accounts alone, whatever the service makes of another case.
func (p *Push) sets(name string) bool {
	for _, always := range []string{"To_Account", "Condition", "MsgRandom"} {
		if strings.EqualFold(name, always) {
			return true
		}
	}
	switch name {
	case "From_Account":
		return p.From != ""
	case "OfflinePushInfo":
		return !p.Notification.isZero()
	case "DataId":
		return p.DataID != ""
	}
	return false
}

func (f *faultList) addAccount(part, account string) {
	switch {
	case account == "":
		f.add(part, "is empty")
	case !utf8.ValidString(account):
		f.add(part, notUTF8)
	case strings.ContainsFunc(account, unicode.IsControl):
		f.add(part, "has control characters")
	}
}

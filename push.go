package timpush

import (
	"context"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxDataIDBytes = 64
	maxPushBytes   = 10 << 10 // of the body of a push
)

// Push is a notification and the settings of a push.
type Push struct {
	From         string       // the sender, a UserID; "": Config.Identifier
	Notification Notification // the zero value is an *InputError, unless Extra has a MsgBody
	DataID       string       // at most 64 bytes, comes back in callbacks; documented for PushTo

	// MsgRandom is a number by which the service may drop a repeated push: within one second, or within 7 days by older
	// documentation. For Client.Push 0 is a new one. For PushTo and tasks it must be 0.
	MsgRandom uint32

	Extra Extra // further members of the request: MsgBody, OnlineOnlyFlag, TaskName, ...
}

// Receipt is what is known of a push that was sent.
type Receipt struct {
	TaskID    string // of the push, for Revoke, statistics and callbacks; "" unless Done
	MsgRandom uint32 // as sent, so that a deliberate repeat can keep it; the service may ignore it
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

// request returns the body of the push without its recipients. from is the default sender.
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

// faults returns the faults of the push, which is in the given field of the input, or is the input.
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

// sets reports whether a member of the request is set by a field, so that Extra must not have it. Only the Audience or the
// accounts say who gets a push, also where the service ignores case.
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

var (
	push = command{path: "v4/timpush/push", quota: QuotaPush, read: readTaskID}

	// Revoking again does no harm, but the service may refuse it.
	revoke = command{path: "v4/timpush/revoke", quota: QuotaRevoke, repeatable: true, refusesRepeats: true}
)

// Push sends a push to an audience, at most one a second: to everybody, or to those who match conditions on tags or attributes.
// The Receipt is not nil once the input is valid; it has the TaskID, which callbacks, statistics and [Client.Revoke] use for
// the push. Who has got it is not known yet: the service delivers later.
//
// The error is nil if the service took the push; an [*InputErrors] if the input is not valid, and nothing was sent; or a
// [*CallError] with the outcome. What may have gone out is never repeated by the client, so that no one gets it twice: it tries
// again only if nothing left this machine, after a throttle code, and after an expired UserSig. A push that is Unknown may
// have gone out to the whole audience: check the statistics or the callbacks before sending it again. [ErrDailyPushesUsed]
// is Rejected; the client does not count the pushes of a day.
//
// API: tencentcloud.com/document/product/1047/60561.
func (c *Client) Push(ctx context.Context, to Audience, p Push) (*Receipt, error) {
	if p.MsgRandom == 0 {
		p.MsgRandom = newRandom()
	}
	body, err := c.pushBody(to, p)
	if err != nil {
		return nil, err
	}
	receipt := &Receipt{MsgRandom: p.MsgRandom}
	found, err := ask[lookup](ctx, c.engine, &push, body)
	if found != nil {
		id, _ := found("")
		receipt.TaskID, _ = id.(string)
	}
	return receipt, err
}

// pushBody checks and encodes a push. Its error is an *InputErrors.
func (c *Client) pushBody(to Audience, p Push) ([]byte, error) {
	faults := append(to.faults("Audience"), p.faults("")...)
	if len(faults) > 0 {
		return nil, invalid(faults)
	}
	request := p.request(c.identity)
	request.Condition = to.condition()
	body, faults := encodeRequest(request)
	if len(faults) > 0 {
		return nil, invalid(faults)
	}
	if len(body) > maxPushBytes {
		f := faultList{}
		f.add("", "the push has %d bytes as JSON, at most %d are allowed", len(body), maxPushBytes)
		return nil, invalid(f.faults)
	}
	return body, nil
}

// Revoke withdraws a push by its TaskID, at most 24 hours after it was sent: it is not delivered any further, and
// replacement takes the place of notifications that are shown; nil removes them.
//
// The error is nil if the service says so; an [*InputErrors] if the input is not valid; or a [*CallError], with
// [ErrNoSuchPush], [ErrAlreadyRevoked] or [ErrPushTooOld] for example. A revocation may be repeated. If its answer was
// lost and the retry is refused as already done, it is Unknown. Whether the TaskIDs of [Client.PushTo] can be revoked is not documented.
//
// API: tencentcloud.com/document/product/1047/60571.
func (c *Client) Revoke(ctx context.Context, taskID string, replacement *Notification) error {
	var f faultList
	f.addID("TaskID", taskID)
	if replacement == nil {
		replacement = &Notification{ConnectedOnly: true} // as the documentation says for none
	} else {
		f.faults = append(f.faults, replacement.faults("Replacement")...)
	}
	_, err := askIfValid[any](ctx, c.engine, &revoke, f.faults, revocation{taskID, replacement})
	return err
}

type revocation struct {
	TaskID          string `json:"TaskId"`
	OfflinePushInfo *Notification
}

// readTaskID reads the TaskID of a push, which is that of all accounts of a request.
func readTaskID(body []byte) (any, error) {
	var wire struct {
		TaskID text `json:"TaskId"`
	}
	if err := unmarshal(body, &wire); err != nil {
		return nil, err
	}
	return lookup(func(string) (any, bool) { return string(wire.TaskID), true }), nil
}

package timpush

import (
	"context"
	"fmt"
)

// maxRecipients is how many accounts one request may have.
const maxRecipients = 500

var pushTo = endpoint[string]{
	command:    command{path: "v4/timpush/batch", suffix: `]}`, quota: QuotaRecipients, serial: true, read: readTaskID},
	account:    func(account string) string { return account },
	faults:     accountFaults,
	join:       func(earlier, _ string) (string, string) { return earlier, "" },
	appendJSON: appendAccount,
}

// batchSize returns how many recipients a request has, so that requests of that size can be spaced evenly.
func batchSize(perSecond int) int {
	requests := (perSecond-1)/maxRecipients + 1
	return perSecond / requests
}

// PushToResult is how a [Client.PushTo] ended.
type PushToResult struct {
	Result
	TaskIDs []string // by input index; "" where the outcome is not Done
}

// String returns the counts as one line.
func (r PushToResult) String() string { return r.Result.String() }

// PushTo sends a push to listed accounts, any number of them: UserIDs or RegistrationIDs. It sends one request at a time, as
// many recipients a second as [WithRecipientRate] says, evenly spaced. An account that comes twice gets one push; both entries
// share its outcome. [Done] means that the service took the push for the account, and not that it has been delivered.
//
// The whole input is checked first: if there is a fault the result is nil, the error is an [*InputErrors], and nothing was
// sent. Otherwise the result is not nil, and the error, if any, is a [*PartialError]. An input without accounts is no error:
// nothing is sent, and never to everybody.
//
// What may have gone out is never repeated, so that no one gets a push twice: PushTo tries again only if nothing left this
// machine, after a throttle code, and after an expired UserSig; and [Remaining] leaves out what is Unknown. For those, check the
// statistics or the callbacks. Accounts that are refused for their data are Rejected and the others go on; any other refusal
// stops the call, and so do three requests in a row that are Unknown. After a 503 with Retry-After the next request waits as long as
// that says, at most 60 s. When ctx ends, what is in flight is Unknown and the rest NotSent.
//
// API: tencentcloud.com/document/product/1047/67553.
func (c *Client) PushTo(ctx context.Context, accounts []string, p Push) (*PushToResult, error) {
	e, faults := c.newPushTo(p)
	if len(faults) > 0 {
		for i, account := range accounts {
			faults = append(faults, accountFaults(i, account)...)
		}
		return nil, invalid(faults)
	}
	result := &PushToResult{TaskIDs: make([]string, len(accounts))}
	e.onFound = func(i int, id any) { result.TaskIDs[i], _ = id.(string) }
	counts, err := run(ctx, c.engine, e, accounts)
	if counts == nil {
		return nil, err
	}
	result.Result = *counts
	return result, err
}

// newPushTo returns the endpoint for one push. Each request has a MsgRandom of its own.
func (c *Client) newPushTo(p Push) (*endpoint[string], []*InputError) {
	f := faultList{faults: p.faults("")}
	f.addMsgRandom("MsgRandom", p.MsgRandom)
	if len(f.faults) > 0 {
		return nil, f.faults
	}
	e := pushTo
	e.size = batchSize(c.perSecond)
	body, faults := encodeRequest(p.request(c.identity)) // which has a sender, and so a member
	e.prefixWith = func(random uint32) string {
		return fmt.Sprintf(`{"MsgRandom":%d,%s,"To_Account":[`, random, body[1:len(body)-1])
	}
	return &e, faults
}

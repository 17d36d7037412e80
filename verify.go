package timpush

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// verifyPauses are the pauses before reading again: how soon the server shows what it has accepted is not documented.
var verifyPauses = []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second}

// Verify reads the attributes of users back and reports for each whether they are stored as given. After a SetAttr that
// left users Unknown it finds out whether they were applied:
//
//	result, err := client.SetAttr(ctx, users)
//	...
//	stored, err := client.Verify(ctx, unknown)
//
// The outcomes mean: Done, stored as given; Rejected with [ErrNotStored], not stored as given, also if the server does
// not know the account; Rejected with another error, the server refused to read it, as with a wrong key, so that Result.Rejected
// does not count what is not stored; Unknown with [ErrNotStored], not stored as given, and it could not be read again; Unknown or
// NotSent with another error, no answer came. The entries of an account that comes twice are merged, as in [Client.SetAttr]. An empty
// value counts as stored if there is none, since what it does is not documented. Other attributes of the users are ignored.
//
// What is not stored is read again up to four times, over not quite four seconds, since a value may show with a delay. The
// errors are those of SetAttr, and never hold a value; PartialError.Remaining includes what is not stored.
//
// API: tencentcloud.com/document/product/1047/60564.
func (c *Client) Verify(ctx context.Context, users []UserAttrs) (*Result, error) {
	b := new(buffer)
	written, err := validate(&setAttr, users, b)
	if err != nil {
		return nil, err
	}
	items, itemOf, err := merge(&setAttr, users, b)
	if err != nil {
		return nil, err
	}
	v := verification{engine: c.engine, items: items, entries: encode(&setAttr, items, itemOf, written)}
	open := v.read(ctx, places(len(items)))
	for _, pause := range verifyPauses {
		if len(open) == 0 {
			break
		}
		if sleep(ctx, pause) != nil {
			v.giveUp(open, ended(ctx))
			break
		}
		open = v.read(ctx, open)
	}
	reading := setAttr
	reading.path = getAttr.path // the error names the endpoint that was called
	return gather(&reading, users, v.entries, itemOf, v.requests)
}

// verification is a Verify that is running.
type verification struct {
	engine   *engine
	items    []UserAttrs // what should be stored
	entries  []entry
	requests int64
}

// read reads the accounts of the items at places, and returns the places of those whose attributes are not stored.
func (v *verification) read(ctx context.Context, at []int) (missing []int) {
	accounts := make([]string, len(at))
	for k, n := range at {
		accounts[k] = v.items[n].ToAccount
	}
	states := make([]state, len(at))
	e := getAttr
	e.onFound = func(k int, attrs any) {
		states[k] = state{outcome: Done}
		if !v.items[at[k]].Attrs.storedIn(attrsOf(attrs)) {
			states[k] = state{outcome: Rejected, err: ErrNotStored}
		}
	}
	call := newCall(v.engine)
	defer call.end()
	result, err := execute(ctx, call, &e, accounts)
	v.requests += int64(result.Requests)
	if partial, ok := errors.AsType[*PartialError](err); ok {
		for _, u := range partial.failed { // the accounts are distinct, so the indexes are the same
			states[u.Index] = notRead(u)
		}
	}
	for k, n := range at {
		read := states[k]
		if errors.Is(read.err, ErrNotStored) {
			missing = append(missing, n)
		} else if read.outcome != Done && v.entries[n].err != nil { // an earlier read has found it
			v.giveUp([]int{n}, read.err)
			continue
		}
		v.entries[n].state = read
	}
	return missing
}

// notRead returns the state of a user whose attributes could not be read.
func notRead(u failure) state {
	if u.Outcome == Rejected && errors.Is(u.Err, ErrNoSuchAccount) {
		return state{outcome: Rejected, err: fmt.Errorf("%w: %w", ErrNotStored, u.Err)}
	}
	return state{u.Outcome, u.Err, u.settled}
}

// giveUp makes Unknown what was not stored when it was last read, since it may still show.
func (v *verification) giveUp(at []int, cause error) {
	for _, n := range at {
		v.entries[n].state = state{outcome: Unknown, err: followedBy(v.entries[n].err, cause)}
	}
}

func places(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func (a Attrs) storedIn(has Attrs) bool {
	for name, value := range a {
		if has[name] != value {
			return false
		}
	}
	return true
}

package timpush

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
)

// ErrNotStored is why a user is Rejected by [Client.Verify]: the server does not have the attributes as given.
var ErrNotStored = errors.New("the server does not have the attributes as given")

// verifyPauses are the pauses before the server is asked once more: how soon it shows what it has accepted is not
// documented.
var verifyPauses = []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second}

// Verify reads the attributes of users back and tells for each whether they are stored as given. After a SetAttr that
// left users Unknown it turns "may have been applied" into knowledge:
//
//	result, err := client.SetAttr(ctx, users)
//	...
//	stored, err := client.Verify(ctx, unknown)
//
// The outcomes mean: Done, stored as given; Rejected with [ErrNotStored], not so, also if the server does not know the
// account; Unknown or NotSent, it could not be read. An account that comes twice is taken for what both entries give
// together, as in [Client.SetAttr]. An empty value counts as stored where there is none, since what it does is not
// documented. Attributes that are not given do not matter.
//
// What is not stored is read again up to four times, over not quite four seconds, since a value may show with a delay. The
// errors are those of SetAttr, and never hold a value; PartialError.Remaining has what is not stored, too.
//
// API: tencentcloud.com/document/product/1047/60564.
func (c *Client) Verify(ctx context.Context, users []UserAttrs) (*Result, error) {
	p := newPlan(&setAttr, users)
	defer p.free()
	if err := p.fill(); err != nil {
		return nil, err
	}
	v := verification{client: c, plan: p, want: make([]Attrs, len(p.entries))}
	for i, n := range p.entryOf {
		if v.want[n] == nil {
			v.want[n] = Attrs{}
		}
		maps.Copy(v.want[n], users[i].Attrs)
	}
	open := v.read(ctx, p.numbers)
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
	return p.gather()
}

// verification is a Verify under way.
type verification struct {
	client *Client
	plan   *plan // of what should be stored
	want   []Attrs
}

// read reads the accounts of entries, and returns those whose attributes are not stored.
func (v *verification) read(ctx context.Context, entries []int) (missing []int) {
	accounts := make([]UserAttrs, len(entries))
	for k, n := range entries {
		accounts[k].ToAccount = v.plan.account(n)
	}
	result, _ := (&call{client: v.client}).take(ctx, &getAttr, accounts, func(p *plan) {
		for k, n := range entries { // no account comes twice, so that entries have the same places here and there
			s := p.states[k]
			switch {
			case s.outcome == Done && !v.want[n].storedIn(p.read[k]):
				s = state{outcome: Rejected, err: ErrNotStored}
				missing = append(missing, n)
			case s.outcome == Rejected && errors.Is(s.err, ErrNoSuchAccount):
				s = state{outcome: Rejected, err: fmt.Errorf("%w: %w", ErrNotStored, s.err)}
				missing = append(missing, n)
			}
			v.plan.states[n] = s
		}
	})
	v.plan.sent.Add(int64(result.Requests))
	return missing
}

// giveUp leaves open what was not stored when it was last looked at, since it may show yet.
func (v *verification) giveUp(entries []int, cause error) {
	for _, n := range entries {
		s := &v.plan.states[n]
		*s = state{outcome: Unknown, err: then(s.err, cause)}
	}
}

func (a Attrs) storedIn(has Attrs) bool {
	for name, value := range a {
		if has[name] != value {
			return false
		}
	}
	return true
}

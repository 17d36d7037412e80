package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"strings"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/checkpoint"
	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
)

// action is how a row is recorded.
type action uint8

const (
	done   action = iota
	reject        // in the rejects: to send it again is no use
	retry         // in the failures: it is worth sending again
	leave         // not at all: the next run sends it
)

// outcome is the outcome of a row.
type outcome struct {
	place
	user   timpush.UserAttrs
	action action
	err    *timpush.UserError
	fault  *input.Fault // of a row that could not be used
}

func (o *outcome) reason() string {
	if o.fault != nil {
		return o.fault.Reason
	}
	return ReasonOf(o.err)
}

// actionFor returns the action for a user that is not done. A failure that is not certain to be the user's own is retried.
func actionFor(ctx context.Context, u *timpush.UserError) action {
	if ctx.Err() != nil && (errors.Is(u, context.Canceled) || errors.Is(u, context.DeadlineExceeded)) {
		return leave
	}
	if u.Outcome == timpush.Rejected && AboutData(u) {
		return reject
	}
	return retry
}

// AboutData reports whether an account was refused for its data, so that it is no use to send the same again.
func AboutData(err error) bool {
	if _, ok := errors.AsType[*timpush.InputError](err); ok {
		return true
	}
	code, ok := errors.AsType[timpush.Code](err)
	return ok && code.DataFault()
}

// needsOperator reports whether a failure is not about the user and does not pass by itself.
func needsOperator(u *timpush.UserError) bool {
	if code, ok := errors.AsType[timpush.Code](u); ok {
		return !code.Retryable()
	}
	page, ok := errors.AsType[*timpush.HTTPError](u)
	return ok && page.StatusCode < http.StatusInternalServerError
}

// record writes rows to the result files, and then that they are finished to the log. After this they are not sent again.
//
// A row that is done although an earlier row of its account is in the failures goes there as well: to send that earlier row
// alone would bring its older values back.
func (r *Run) record(all []outcome) {
	if r.abort != nil {
		return // the disk has failed: the rows are left for the next run
	}
	rows := r.window.drain()
	r.Counts.Unset += int64(len(rows))
	var failures, rejects []byte
	for i := range all {
		o := &all[i]
		switch o.action {
		case leave:
			continue
		case done:
			r.Counts.Done++
			r.count(o)
			if r.retried.has(o.user.ToAccount) {
				failures = appendFailure(failures, o, "done", "an earlier row of this account is to be sent again, and this one after it")
			}
		case reject:
			r.Counts.Rejected++
			rejects = r.appendReject(rejects, o)
		case retry:
			r.Counts.Failed++
			r.retried.add(o.user.ToAccount)
			r.Reasons.Add(o.reason())
			failures = appendFailure(failures, o, o.err.Outcome.String(), o.reason())
		}
		rows = append(rows, o.row)
	}
	r.abort = r.write(rows, failures, rejects)
}

func (r *Run) count(o *outcome) {
	if r.Names == nil {
		return
	}
	for name := range o.user.Attrs {
		r.Names[name]++
	}
}

func (r *Run) appendReject(text []byte, o *outcome) []byte {
	fault := o.fault
	if fault == nil {
		attr, more := r.attrAtFault(o)
		fault = &input.Fault{Place: o.Place, Account: o.user.ToAccount, Reason: o.reason() + more}
		if attr != "" {
			fault.Column = r.Input.ColumnOf(attr)
		}
	}
	r.Reasons.Add(fault.Reason)
	r.Reporter.Bad(fault)
	return appendJSON(text, fault)
}

func appendFailure(text []byte, o *outcome, result, reason string) []byte {
	type note struct {
		Outcome string `json:"outcome"`
		Reason  string `json:"reason"`
		From    string `json:"from"`
	}
	return appendJSON(text, struct {
		ToAccount string        `json:"To_Account"`
		Attrs     timpush.Attrs `json:"Attrs"`
		Note      note          `json:"_timpush"`
	}{o.user.ToAccount, o.user.Attrs, note{result, reason, o.String()}})
}

// appendJSON appends a line. Marshalling of texts and numbers cannot fail.
func appendJSON(text []byte, v any) []byte {
	line, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return append(append(text, line...), '\n')
}

func (r *Run) write(rows []int64, failures, rejects []byte) error {
	if err := errors.Join(r.Failures.write(failures), r.Rejects.write(rejects)); err != nil {
		return err
	}
	if r.Log == nil || len(rows) == 0 {
		return nil
	}
	slices.Sort(rows)
	line := checkpoint.Line{
		Rows: checkpoint.Runs(rows), Counts: r.Counts, Extents: []checkpoint.Extent{r.Failures.extent, r.Rejects.extent},
	}
	if mark := r.Input.Mark(); mark != nil {
		line.Row, line.Mark = mark.Row, mark.Sum
	}
	return r.Log.Append(&line)
}

// ReasonOf says in a few words why a user is not done, without what is about this user alone.
func ReasonOf(err error) string {
	if e, ok := errors.AsType[*timpush.InputError](err); ok {
		return e.Reason
	}
	if code, ok := errors.AsType[timpush.Code](err); ok {
		return code.Error()
	}
	if page, ok := errors.AsType[*timpush.HTTPError](err); ok {
		if page.StatusCode == http.StatusOK {
			return "the answer was not the API's"
		}
		return strings.TrimSpace(fmt.Sprintf("HTTP status %d %s", page.StatusCode, http.StatusText(page.StatusCode)))
	}
	if u, ok := errors.AsType[*timpush.UserError](err); ok {
		err = u.Err
	}
	return clip(transportReason(err))
}

// accounts is a set of accounts in a fixed megabyte, a Bloom filter. It may hold an account that was not added, though hardly ever: then a row
// is sent once more than necessary, which does no harm.
type accounts struct {
	seed maphash.Seed
	bits []uint64
}

const filterBits = 23 // of the number of a bit

func (a *accounts) add(account string) {
	if a.bits == nil {
		a.seed, a.bits = maphash.MakeSeed(), make([]uint64, 1<<filterBits/64)
	}
	for _, n := range a.numbers(account) {
		a.bits[n/64] |= 1 << (n % 64)
	}
}

func (a *accounts) has(account string) bool {
	if a.bits == nil {
		return false
	}
	for _, n := range a.numbers(account) {
		if a.bits[n/64]&(1<<(n%64)) == 0 {
			return false
		}
	}
	return true
}

// numbers returns the numbers of the bits of an account.
func (a *accounts) numbers(account string) [2]uint32 {
	h := maphash.String(a.seed, account)
	return [2]uint32{uint32(h) >> (32 - filterBits), uint32(h>>32) >> (32 - filterBits)}
}

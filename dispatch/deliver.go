package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	timpush "github.com/timpush/timpush-go"
)

var (
	errMerged     = errors.New("merged updates were refused together")
	errTooOld     = errors.New("the update became too old before it could be sent")
	errUnreadable = errors.New("the message is not of this package")
)

// deliver sends a batch.
func (q *Queue) deliver(ctx context.Context, c *timpush.Client, batch []item) {
	users, places := make([]timpush.UserAttrs, 0, len(batch)), make([]int, 0, len(batch))
	for k := range batch {
		if i := &batch[k]; i.fatal == nil {
			i.asked, i.answered = true, true
			users, places = append(users, i.user), append(places, k)
		}
	}
	for len(users) > 0 {
		_, err := c.SetAttr(ctx, users)
		setOutcomes(batch, places, err)
		if _, isInvalid := errors.AsType[*timpush.InputErrors](err); !isInvalid {
			break
		}
		users, places = timpush.Remaining(err, users), timpush.Remaining(err, places) // of which nothing was sent, for the faults of others
	}
}

// setOutcomes writes the outcomes of a call's users into their items, which so far say that all are done.
func setOutcomes(batch []item, places []int, err error) {
	partial, isPartial := errors.AsType[*timpush.PartialError](err)
	invalid, isInvalid := errors.AsType[*timpush.InputErrors](err)
	switch {
	case err == nil:
	case isPartial:
		again := timpush.Remaining(err, places)
		for u := range partial.Users() {
			if u.Index < 0 {
				continue
			}
			k, outcome := places[u.Index], u.Outcome
			if outcome == timpush.Rejected && slices.Contains(again, k) { // together with others, of whom one is at fault
				outcome = timpush.Unknown
			}
			batch[k].setOutcome(outcome, u.Err)
		}
	case isInvalid:
		for _, fault := range invalid.Faults {
			i := &batch[places[fault.Index]]
			i.asked = false
			i.setOutcome(timpush.Rejected, fault)
		}
	default:
		for _, k := range places {
			batch[k].setOutcome(timpush.Unknown, err)
		}
	}
}

func (i *item) setOutcome(outcome timpush.Outcome, err error) {
	switch {
	case outcome != timpush.Rejected || !ownFault(err):
		i.answered, i.notSent, i.err = false, outcome == timpush.NotSent, err
	case i.count > 1:
		i.answered, i.err = true, errMerged
	default:
		i.answered, i.err, i.fatal = true, nil, err
	}
}

// ownFault reports whether a failure is about an account's own data and so not about other accounts. Otherwise the update is kept and
// sent again: what an operator has to correct must not become a dead letter.
func ownFault(err error) bool {
	if _, ok := errors.AsType[*timpush.InputError](err); ok {
		return true
	}
	code, ok := errors.AsType[timpush.Code](err)
	return ok && code.DataFault()
}

// needsOperator reports whether an operator has to correct something before sending again can help.
func needsOperator(err error) bool {
	if code, ok := errors.AsType[timpush.Code](err); ok {
		return !code.Retryable() && !ownFault(err)
	}
	page, ok := errors.AsType[*timpush.HTTPError](err)
	return ok && page.StatusCode/100 == 4 && page.StatusCode != http.StatusTooManyRequests
}

// reason is an error's text for logs and for operators, without what the server says, which may name an account.
func reason(err error) string {
	if code, ok := errors.AsType[timpush.Code](err); ok {
		return code.Error()
	}
	if page, ok := errors.AsType[*timpush.HTTPError](err); ok {
		return fmt.Sprintf("HTTP status %d", page.StatusCode)
	}
	text := err.Error()
	return text[:min(len(text), 300)]
}

package timpush

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// followedBy returns two errors that came one after the other. Both match, and errors.As finds the earlier one first.
func followedBy(earlier, later error) error {
	if earlier == nil || errors.Is(later, earlier) {
		return later
	}
	if errors.Is(earlier, later) {
		return earlier
	}
	return &followed{earlier, later}
}

// followed is two errors that came one after the other.
type followed struct{ earlier, later error }

// Error returns the texts of both.
func (e *followed) Error() string { return fmt.Sprintf("%v; then: %v", e.earlier, e.later) }

// Unwrap returns both.
func (e *followed) Unwrap() []error { return []error{e.earlier, e.later} }

// together returns two errors that came at the same time.
func together(first, second error) error {
	if first == nil {
		return second
	}
	return fmt.Errorf("%w; and %w", first, second)
}

// ended returns why ctx has ended, or nil. The error matches ctx.Err() also where the context has another cause, which may be the
// failure of another call that runs beside this one, as golang.org/x/sync/errgroup has it.
func ended(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != err { //nolint:errorlint // one that wraps it is a cause too
		return fmt.Errorf("%w: %w", err, foreign(cause))
	}
	return err
}

// withoutCause returns an error of something that the caller has given the client, such as a transport or a Signer. It may be only the
// cause with which ctx has ended, or hold it. One that cannot be compared is not found.
func withoutCause(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause != nil && cause != ctx.Err() && reflect.ValueOf(cause).Comparable() && errors.Is(err, cause) { //nolint:errorlint // as above
		return ended(ctx)
	}
	return err
}

// foreign returns an error of something that the caller has given the client. It may hold an error of this package, such as that of
// another call, whose outcomes and code errors.As must not take for those of this one.
func foreign(err error) error {
	if holdsOurs(err) {
		return &foreignError{err}
	}
	return err
}

func holdsOurs(err error) bool {
	switch err.(type) { //nolint:errorlint // each error of the tree is looked at
	case *PartialError, *InputErrors, *CallError, *UserError, *InputError, *APIError, *HTTPError, Code, *cooldown:
		return true
	}
	return err == ErrNotStored || err == ErrNotAnswered || slices.ContainsFunc(unwrapped(err), holdsOurs) //nolint:errorlint // as above
}

// foreignError matches what its error matches, but for what says how a call ended.
type foreignError struct{ err error }

// Error returns the text of the error.
func (e *foreignError) Error() string { return e.err.Error() }

// Is reports whether the error matches.
func (e *foreignError) Is(target error) bool {
	if _, code := target.(Code); code || target == ErrNotStored || target == ErrNotAnswered {
		return false
	}
	return errors.Is(e.err, target)
}

// As finds an error that is not of a call.
func (e *foreignError) As(target any) bool {
	switch target.(type) {
	case **PartialError, **InputErrors, **CallError, **UserError, **InputError, **APIError, **HTTPError, *Code, **cooldown:
		return false
	}
	return errors.As(e.err, target)
}

func unwrapped(err error) []error {
	switch e := err.(type) { //nolint:errorlint // this is what walks the chain
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return []error{inner}
		}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}

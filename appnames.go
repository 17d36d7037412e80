package timpush

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	namesLife  = 10 * time.Minute // how long the names of the app's attributes are kept
	namesFresh = 5 * time.Second  // how old they may be to predict a refusal from them: a name may have been added since
	namesRetry = time.Minute      // how long SetAttr goes without them after they could not be read: each try may take long
)

// appNames keeps the names of the app's attributes, and reads them for the calls that need them.
type appNames struct {
	engine *engine

	mu       sync.Mutex
	names    *knownNames         // nil: none
	reads    map[bool]*namesRead // under way: one for the calls in a hurry, and one for the others, which may try for long
	failed   error               // why the last read failed, if that says nothing of set_attr; nil: it did not
	failedAt time.Time
}

// knownNames are the names of the app's attributes, with the types of accounts that may have them.
type knownNames struct {
	types map[string]AccountType
	read  time.Time // when that began
}

// namesRead is one read of the names, for all the calls that wait for it.
type namesRead struct {
	done chan struct{}
	err  error // for all of them; nil: the names are known, or the next call has to read them
}

// since returns how long ago t was, by the clock that says more: the monotonic one stands still while a machine sleeps, the other may be set back.
func since(t time.Time) time.Duration { return max(time.Since(t), time.Since(t.Round(0))) }

func newAppNames(e *engine) *appNames { return &appNames{engine: e, reads: map[bool]*namesRead{}} }

// get returns the names, not older than life, or read after it was called. In a hurry, they are read with a single attempt, and not again
// for a minute after that failed.
func (a *appNames) get(ctx context.Context, life time.Duration, hurry bool) (*knownNames, error) {
	began := time.Now()
	for {
		names, read, mine, err := a.next(began, life, hurry)
		if names != nil || err != nil {
			return names, err
		}
		if mine {
			if err := a.read(ctx, read, hurry); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-read.done:
			if read.err != nil {
				return nil, read.err
			}
		case <-ctx.Done():
			return nil, &CallError{getAttrName.path, NotSent, ended(ctx)}
		}
	}
}

// next returns the names or an error if one of them will do, or else the read to wait for, which may be for the caller to do.
func (a *appNames) next(began time.Time, life time.Duration, hurry bool) (names *knownNames, read *namesRead, mine bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	read = a.reads[hurry]
	switch known := a.names; {
	case known != nil && (since(known.read) <= life || since(known.read) <= namesLife && !known.read.Before(began)):
		return known, nil, false, nil
	case hurry && a.failed != nil && (read != nil || since(a.failedAt) < namesRetry): // one call finds out whether they can be read again
		return nil, nil, false, a.failed
	case read != nil:
		return nil, read, false, nil
	}
	read = &namesRead{done: make(chan struct{})}
	a.reads[hurry] = read
	return nil, read, true, nil
}

// read reads the names, unless they change in the meantime.
func (a *appNames) read(ctx context.Context, read *namesRead, hurry bool) error {
	defer close(read.done)
	var names *knownNames
	defer func() { a.finish(read, hurry, names) }() // also if an Observer panics
	call := newCall(a.engine)
	defer call.end()
	call.hurry = hurry
	began := time.Now()
	answer, err := call.ask(ctx, &getAttrName, []byte("{}"))
	_, early := errors.AsType[*maybeTooEarly](err)
	_, ends := ctx.Deadline()
	switch {
	case err == nil:
		list, _ := answer.value.([]AttrName)
		names = newKnownNames(list, began)
	case ctx.Err() == nil && !(early && ends) && !errors.Is(call.stopCause(), context.DeadlineExceeded): // else other calls may have more time
		read.err = err
	}
	return err
}

// finish ends a read. It keeps what was read, and not older names than are known.
func (a *appNames) finish(read *namesRead, hurry bool, names *knownNames) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.reads[hurry] != read: // the names have changed since it began
		return
	case names != nil:
		a.failed = nil
		if a.names == nil || names.read.After(a.names.read) {
			a.names = names
		}
	case read.err != nil && !stops(read.err):
		a.failed, a.failedAt = read.err, time.Now()
	}
	delete(a.reads, hurry)
}

// contradicted drops the names, after the server has refused attributes that they allowed. It does so once, and does not disturb a call that
// reads newer ones: where refusals go on, that would read them without end.
func (a *appNames) contradicted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names != nil && since(a.names.read) > namesFresh {
		a.drop()
	}
}

// forget drops the names, after they may have changed.
func (a *appNames) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop()
}

// drop is called with the lock held. What is being read may be as old.
func (a *appNames) drop() {
	a.names = nil
	clear(a.reads)
}

// stops reports whether set_attr would be refused for the same reason. A code that is about one command only tells nothing of that.
func stops(err error) bool {
	switch code := codeOf(err); code {
	case ErrNoSuchResource, ErrRequestDisabled, ErrProductNotAllowed:
		return false
	default:
		c := code.class()
		return c == classFatal || c == classCooldown
	}
}

func newKnownNames(names []AttrName, read time.Time) *knownNames {
	k := &knownNames{map[string]AccountType{}, read}
	for _, n := range names {
		if other, twice := k.types[n.Name]; twice && other != n.AccountType {
			n.AccountType = AccountTypeUnknown
		}
		k.types[n.Name] = n.AccountType
	}
	return k
}

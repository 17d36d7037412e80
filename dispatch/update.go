package dispatch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	timpush "github.com/timpush/timpush-go"
)

// update is one update: in a message of the stream its account and attributes only, in a record all of it.
type update struct {
	Account string        `json:"account"`
	Attrs   timpush.Attrs `json:"attrs"`
	ID      string        `json:"id,omitempty"`  // of the message, by sequence and time, and the place in it
	At      time.Time     `json:"at,omitzero"`   // when it was stored
	Raw     []byte        `json:"raw,omitempty"` // of a message that is not of this package
	message *message      // that it belongs to; nil: it is in the record
}

// size is what an update takes in a record, with what encloses those of an account. Escapes can make it six times as long as its text.
func (u *update) size() int {
	data, _ := json.Marshal(u) // it was decoded from JSON
	return len(data) + 30
}

// message is a message of the stream that is not settled yet, or the last of some that are missing.
type message struct {
	seq     uint64
	at      time.Time // when it was stored
	lost    uint64    // messages that are missing, up to seq; 0: it is a message
	total   int       // updates
	open    int       // updates that are not settled
	updates []update

	unproven bool // it is missing although the stream has it, as far as the server says
}

// readMessage decodes a message. What is not a list of updates becomes a dead letter later, since nothing is dropped.
func readMessage(data []byte, seq uint64, at time.Time) *message {
	m := &message{seq: seq, at: at}
	if json.Unmarshal(data, &m.updates) != nil || len(m.updates) == 0 {
		m.updates = []update{{Account: fmt.Sprintf("\x00%d", seq), Raw: data}}
	}
	for i := range m.updates {
		u := &m.updates[i]
		u.ID, u.At, u.message = fmt.Sprintf("%d.%d.%d", seq, at.UnixNano(), i), at, m // a stream that was made again has the same sequences
	}
	m.total, m.open = len(m.updates), len(m.updates)
	return m
}

// account is an account with updates that are not settled, in the order in which they were stored.
type account struct {
	name     string
	updates  []update
	taken    int       // of the updates, being sent
	recorded int       // of the updates, in the record
	most     int       // updates that are sent together, since more were refused; 0: all
	failures int       // in a row
	tries    int       // of these, those that seem to be its own
	failedAt uint64    // dispatcher.answers when its last request failed as a whole; 0: it did not
	ready    bool      // is in dispatcher.ready
	closing  bool      // those taken are settled, but the record still has them
	notUntil time.Time // when it is to be sent again
}

// othersSince reports whether others were answered since the last request with the account failed as a whole, so that the fault may be its own.
func (a *account) othersSince(answers uint64) bool { return a.failedAt > 0 && a.failedAt < answers }

// suspect reports whether requests may fail as a whole because of the account.
func (a *account) suspect() bool { return a.tries > 0 && a.failedAt > 0 }

// rest returns the updates that are not settled.
func (a *account) rest() []update {
	if a.closing {
		return a.updates[a.taken:]
	}
	return a.updates
}

// recordedRest returns how many of them are in the record.
func (a *account) recordedRest() int { return max(a.recorded-(len(a.updates)-len(a.rest())), 0) }

// withdraw takes off an update of the record that is read again, since the last dispatcher crashed before its floor had passed the
// message, and returns how many it took. Sent from both places, it would set back what comes between them.
func (a *account) withdraw(id string) int {
	k := slices.IndexFunc(a.updates[:a.recorded], func(u update) bool { return u.ID == id })
	if k < 0 || a.taken > 0 {
		return 0
	}
	a.updates = slices.Delete(slices.Clone(a.updates), k, k+1) // the record has the array
	a.recorded--
	return 1
}

// dropReplaced settles the updates whose values later ones replace, and returns how many these were: none while the account is being sent, or
// where some of its updates were refused for their own data, after which earlier ones count again.
func (a *account) dropReplaced() int {
	if a.taken > 0 || a.most > 0 {
		return 0
	}
	later, kept := timpush.Attrs{}, make([]update, 0, len(a.updates))
	for k, u := range slices.Backward(a.updates) {
		n := len(later)
		maps.Copy(later, u.Attrs)
		if len(later) > n || len(u.Attrs) == 0 {
			kept = append(kept, u)
			continue
		}
		if u.message != nil {
			u.message.open--
		}
		if k < a.recorded {
			a.recorded--
		}
	}
	slices.Reverse(kept)
	dropped := len(a.updates) - len(kept)
	a.updates = kept
	return dropped
}

// take returns what to send next: as many of the updates as one user can hold, as if they were set one after the other.
func (a *account) take(oldest time.Time) item {
	first := a.updates[0]
	i := item{account: a, user: timpush.UserAttrs{ToAccount: a.name, Attrs: first.Attrs}, first: first, count: 1}
	switch {
	case first.Raw != nil:
		i.fatal = errUnreadable
	case first.At.Before(oldest):
		i.fatal = errTooOld
	case a.most == 0:
		i.user.Attrs, i.count = merge(a.updates, oldest)
	default:
		i.user.Attrs, i.count = merge(a.updates[:min(a.most, len(a.updates))], oldest)
	}
	a.taken = i.count
	return i
}

func merge(updates []update, oldest time.Time) (timpush.Attrs, int) {
	merged := updates[0].Attrs
	for n := 1; n < len(updates); n++ {
		if updates[n].At.Before(oldest) || updates[n].Raw != nil {
			return merged, n
		}
		both := maps.Clone(merged)
		maps.Copy(both, updates[n].Attrs)
		if len(both) > timpush.MaxAttrsPerUser {
			return merged, n
		}
		merged = both
	}
	return merged, len(updates)
}

// item is an account within a batch.
type item struct {
	account  *account // belongs to the dispatcher's goroutine
	user     timpush.UserAttrs
	first    update
	count    int   // updates of the account
	fatal    error // why it is a dead letter
	err      error // why it is to be sent again
	asked    bool  // the Client was given it, and did not find it invalid
	notSent  bool
	answered bool // the server did it, or refused it for its own data
}

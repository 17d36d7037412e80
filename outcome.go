package timpush

import "fmt"

// Outcome is how one user of a call ended. The zero value, [NotSent], claims nothing.
//
// The order is by how far a request may have got: a user that has been Unknown once remains so until the server settles it.
type Outcome int

// The four outcomes. Every user that is handed to a call ends in exactly one of them.
const (
	NotSent  Outcome = iota // nothing reached the server: nothing has changed
	Rejected                // the server or the validation said no: nothing has changed
	Unknown                 // sent, and no clear answer came: it may or may not have been applied
	Done                    // the server said so
)

// String returns the outcome in words: "done", "rejected", "unknown" or "not sent".
func (o Outcome) String() string {
	return nameOf("Outcome", int(o), "not sent", "rejected", "unknown", "done")
}

// nameOf returns the name of the value n of a type, or its number if it has none.
func nameOf(typ string, n int, names ...string) string {
	if n < 0 || n >= len(names) || names[n] == "" {
		return fmt.Sprintf("%s(%d)", typ, n)
	}
	return names[n]
}

// Result counts the users of a call by outcome. Done, Rejected, Unknown and NotSent always add up to the users given.
type Result struct {
	Done, Rejected, Unknown, NotSent int
	Requests                         int // HTTP requests sent, repeated ones included
}

// String returns the counts as one line.
func (r Result) String() string {
	return fmt.Sprintf("%d done, %d rejected, %d unknown, %d not sent; %d requests", r.Done, r.Rejected, r.Unknown, r.NotSent, r.Requests)
}

func (r *Result) count(o Outcome) {
	switch o {
	case Done:
		r.Done++
	case Rejected:
		r.Rejected++
	case Unknown:
		r.Unknown++
	case NotSent:
		r.NotSent++
	}
}

func (r *Result) add(o Result) {
	r.Done, r.Rejected, r.Unknown, r.NotSent = r.Done+o.Done, r.Rejected+o.Rejected, r.Unknown+o.Unknown, r.NotSent+o.NotSent
	r.Requests += o.Requests
}

func (r *Result) users() int { return r.Done + r.Rejected + r.Unknown + r.NotSent }

// Package probe finds out what an app of the service does where the documentation leaves a question open. It sends its
// requests itself: many of them are ones that the client never sends.
package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// MaxCalls is how many calls a probe makes at most, also for restoring.
const MaxCalls = 200

// restoreCalls are kept back for restoring.
const restoreCalls = 24

// Probe is what is to be asked, and of which app.
type Probe struct {
	HTTP       *http.Client
	BaseURL    string
	OtherURL   string // reaches the same app by another host; "" if there is none
	SDKAppID   int
	Identifier string
	Sign       func(identifier string) (usersig string, err error)

	Accounts []string // one or two: their attributes are changed and restored. With Quota they may be left out
	Unknown  string   // an account that the app does not know; "" if none may be tried
	Pushes   bool     // ask also about pushes: to accounts that do not exist, and scheduled ones that are deleted again
	Quota    bool     // ask about the quota instead, which is used up for a second; this changes nothing

	Pause time.Duration // between calls
	Say   func(line string)
}

// Report is what was found out.
type Report struct {
	Findings   []Finding
	Calls      int
	Unrestored []string // what is not as it was found; this has accounts and values in it
}

// Finding is what was found out about a question.
type Finding struct {
	Key      string // short and stable
	Question string
	Readings []string
	Reading  string // the key of the reading that was found; "" for another, or none
	Found    string // what the app does
	Client   string // what the client assumes
	Change   string // how the client should be changed; "" if it need not
	Asked    bool   // false: Found says why it is not known
}

// errBudget ends the questions, so that calls are left for restoring.
var errBudget = errors.New("the calls of a probe are used up")

// Run asks everything, and restores what it found. The error is the reason for which not everything was asked; the report
// is there even so. Once hurry ends, restoring ends too.
func (p *Probe) Run(ctx, hurry context.Context) (*Report, error) {
	s := &session{Probe: p, ctx: ctx, left: MaxCalls - restoreCalls, seen: observed{}, sigs: map[string]string{}}
	if err := s.begin(); err != nil {
		return &Report{Calls: s.calls}, err
	}
	findings := s.askAll()
	err := s.err
	r := &Report{Findings: findings}
	if !s.Quota {
		r.Unrestored = s.restore(hurry)
		r.Findings = append(r.Findings, s.observations()...)
	}
	r.Calls = s.calls
	return r, err
}

// session is a running probe. Its err, once set, makes all calls fail without being sent: the questions need not look at it.
type session struct {
	*Probe
	ctx   context.Context // of the calls; there is one for asking and one for restoring
	err   error
	left  int // calls
	calls int
	last  time.Time // of the last call
	mute  int       // calls without an answer in a row
	fresh int       // counts values

	names    []attrName
	types    bool // get_attr_name gives the types
	accounts []*account
	tasks    []json.Number // scheduled pushes that are to be deleted
	delay    time.Duration // until a value can be read
	seen     observed
	sigs     map[string]string // UserSigs by identifier
}

// account is one of the accounts that the user gave.
type account struct {
	id     string
	own    []string          // attributes of its type
	other  string            // an attribute of the other type, "" if none is known
	before map[string]string // its attributes when the probe began
}

// begin reads all that is needed, and changes nothing.
func (s *session) begin() error {
	if err := s.readNames(); err != nil {
		return err
	}
	for _, id := range s.Accounts {
		a := &account{id: id}
		answer := s.post("get_attr", map[string]any{"To_Account": []string{id}})
		if code := answer.about(id).code; code != 0 {
			return errors.Join(s.err, fmt.Errorf("account %q cannot be read (%s): see timpush explain", id, answer.about(id)))
		}
		if a.before = answer.attrs(id); a.before == nil { // they could not be restored
			return fmt.Errorf("account %q cannot be read: the answer does not say what it has", id)
		}
		s.accounts = append(s.accounts, a)
	}
	return s.err
}

// askAll asks each question until one cannot be asked any more.
func (s *session) askAll() (findings []Finding) {
	if !s.Quota {
		s.Say("Which attributes can the accounts have?")
		for _, a := range s.accounts {
			s.classify(a)
		}
	}
	for _, q := range s.questions() {
		var f found
		if s.err == nil {
			s.Say(q.text)
			f = q.ask(s)
		}
		if s.err != nil {
			f = skip("stopped early")
		}
		findings = append(findings, q.finding(f))
	}
	return findings
}

// questions returns what is to be asked, in order.
func (s *session) questions() []question {
	if s.Quota {
		return quotaQuestions()
	}
	all := append(attributeQuestions(), requestQuestions()...)
	if s.Pushes {
		all = append(all, pushQuestions()...)
	}
	return all
}

// question is one that the documentation leaves open.
type question struct {
	key      string
	text     string
	client   string // what the client assumes
	readings []reading
	ask      func(*session) found
}

// reading is a possible answer to a question.
type reading struct {
	key    string
	text   string
	change string // how the client should be changed; "" if it need not
}

// found is what a question has found.
type found struct {
	reading string // "" if it is none of the readings
	text    string // beside the reading, or in place of it; it has no account and no value
	known   bool
}

func is(reading string) found         { return found{reading: reading, known: true} }
func isSo(reading, text string) found { return found{reading, text, true} }
func something(text string) found     { return found{text: text, known: true} }
func skip(reason string) found        { return found{text: reason} }
func (v verdict) by(m map[int]string) found { // the reading of a code
	if reading, ok := m[v.code]; ok && v.answered {
		return is(reading)
	}
	return something(v.String())
}

// finding puts together what the report says of a question.
func (q question) finding(f found) Finding {
	r := Finding{Key: q.key, Question: q.text, Client: q.client, Reading: f.reading, Found: f.text, Asked: f.known}
	for _, reading := range q.readings {
		r.Readings = append(r.Readings, reading.text)
		if reading.key == f.reading {
			r.Found, r.Change = reading.text, reading.change
			if f.text != "" {
				r.Found += " (" + f.text + ")"
			}
		}
	}
	if f.known && f.reading == "" && len(q.readings) > 0 {
		r.Change = "perhaps: this is none of the known readings"
	}
	return r
}

package dashboard

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// What is kept, and shown, of each.
const (
	window      = 60 // seconds
	maxRequests = 50
	maxAccounts = 10
	maxPushes   = 10
)

// stats has figures of the requests of a fake. Its size does not depend on their number.
type stats struct {
	fake    *timpushtest.Server
	quota   int
	started time.Time
	mask    *mask

	mu       sync.Mutex
	commands map[string]*command
	outcomes map[string]*outcome
	requests []request // the oldest first
	accounts []string  // that were changed, the latest first
	last     int64     // number of the last request
	done     int64     // users
}

// second counts the calls of one second.
type second struct{ at, calls, refused int64 }

// command counts the calls of one command.
type command struct {
	ring                 [window]second // by the second of the clock
	calls, refused, most int64
}

// outcome counts the requests and users with an outcome.
type outcome struct {
	Text     string `json:"text"`
	Requests int64  `json:"requests"`
	Users    int64  `json:"users"`
}

func newStats(fake *timpushtest.Server, quota int) *stats {
	return &stats{
		fake: fake, quota: quota, started: time.Now(), mask: newMask(fake),
		commands: map[string]*command{}, outcomes: map[string]*outcome{},
	}
}

// add counts a request that is over.
func (s *stats) add(c timpushtest.Call) {
	shown := s.mask.request(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	shown.ID = s.last
	if s.requests = append(s.requests, shown); len(s.requests) > maxRequests {
		s.requests = slices.Delete(s.requests, 0, 1)
	}
	name := shown.Command
	if s.commands[name] == nil {
		s.commands[name] = &command{}
	}
	s.commands[name].add(c.Time.Unix(), c.Code == int(timpush.ErrRateLimited))
	s.addOutcome(c, shown.Outcome)
	if c.Status == http.StatusOK && c.Code == 0 && !strings.Contains(name, "get") && name != "batch" {
		s.addAccounts(c.Accounts)
	}
}

func (c *command) add(at int64, refused bool) {
	bin := &c.ring[at%window]
	if bin.at != at {
		if bin.at > at {
			return // it took more than a minute: the bin is another second's
		}
		*bin = second{at: at}
	}
	bin.calls++
	c.calls++
	c.most = max(c.most, bin.calls)
	if refused {
		bin.refused++
		c.refused++
	}
}

// addOutcome counts a request as a whole, and those of its users apart that were refused by themselves.
func (s *stats) addOutcome(c timpushtest.Call, whole string) {
	users := len(c.Accounts)
	for _, code := range c.Failed {
		s.outcome(codeText(code)).Users++
		users--
	}
	o := s.outcome(whole)
	o.Requests++
	o.Users += int64(users)
	if whole == outcomeDone {
		s.done += int64(users)
	}
}

func (s *stats) outcome(text string) *outcome {
	if s.outcomes[text] == nil {
		s.outcomes[text] = &outcome{Text: text}
	}
	return s.outcomes[text]
}

// addAccounts remembers the last accounts that were changed.
func (s *stats) addAccounts(accounts []string) {
	for _, name := range accounts[max(0, len(accounts)-maxAccounts):] {
		if i := slices.Index(s.accounts, name); i >= 0 {
			s.accounts = slices.Delete(s.accounts, i, i+1)
		}
		s.accounts = slices.Insert(s.accounts, 0, name)
	}
	s.accounts = s.accounts[:min(len(s.accounts), maxAccounts)]
}

func (s *stats) totals() (requests, done int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.done
}

// state is what a page shows.
type state struct {
	Started  int64       `json:"started"` // if it changes, the page must begin again
	Last     int64       `json:"last"`    // number of the last request
	Quota    int         `json:"quota"`
	Busiest  string      `json:"busiest"` // the command that Seconds is of
	Seconds  [][2]int64  `json:"seconds"` // calls, and how many of them were refused by the quota; the oldest first
	Commands []row       `json:"commands"`
	Outcomes []outcome   `json:"outcomes"`
	Done     int64       `json:"done"`
	Names    []string    `json:"names"`
	Stored   int         `json:"stored"` // accounts that have attributes
	Accounts []account   `json:"accounts"`
	Pending  []scheduled `json:"pending"` // pushes that are not sent yet, the next first
	Waiting  int         `json:"waiting"` // how many there are
	Pushes   []push      `json:"pushes"`  // the latest first
	Requests []request   `json:"requests"`
}

// row is a command in the state.
type row struct {
	Name    string `json:"name"`
	Now     int64  `json:"now"` // calls in the last second that is over
	Most    int64  `json:"most"`
	Calls   int64  `json:"calls"`
	Refused int64  `json:"refused"`
}

// account is an account with its attributes and tags.
type account struct {
	Account string            `json:"account"`
	Attrs   map[string]string `json:"attrs"`
	Tags    []string          `json:"tags,omitempty"`
}

// push is a push that was carried out.
type push struct {
	Time      string `json:"time"`
	Scheduled string `json:"scheduled,omitempty"` // for when, if it was
	Task      string `json:"task"`
	Title     string `json:"title"`
	Kind      string `json:"kind"`
	Accounts  int    `json:"accounts"`
	Sent      int    `json:"sent"`
	Reached   int    `json:"reached"`
	Clicked   int    `json:"clicked"`
	State     string `json:"state"`
}

// scheduled is a push that is not sent yet, or that could not be sent.
type scheduled struct {
	ID    int64  `json:"id"`
	At    string `json:"at"`
	Title string `json:"title"`
	Kind  string `json:"kind"`
	Fault string `json:"fault,omitempty"`
}

// state returns the current state, with the requests after one of them.
func (s *stats) state(now time.Time, after int64) *state {
	st, accounts := s.counts(now, after)
	st.Stored = s.fake.NumAccounts()
	for _, n := range s.fake.AttrNames() {
		kind := "UserID"
		if n.RegistrationID {
			kind = "RegistrationID"
		}
		st.Names = append(st.Names, fmt.Sprintf("%s (%d, %s)", n.Name, n.Index, kind))
	}
	for _, name := range accounts {
		if attrs, tags := s.fake.Attrs(name), s.fake.Tags(name); attrs != nil || tags != nil {
			st.Accounts = append(st.Accounts, account{name, attrs, tags})
		}
	}
	s.addPushes(st, now)
	return st
}

// addPushes adds the scheduled pushes and the last ones that were sent.
func (s *stats) addPushes(st *state, now time.Time) {
	at := map[int64]string{}
	tasks := s.fake.Tasks()
	slices.SortStableFunc(tasks, func(a, b timpushtest.Task) int { return a.At.Compare(b.At) })
	for _, t := range tasks {
		at[t.ID] = clock(t.At, now)
		if t.TaskID != "" {
			continue
		}
		if st.Waiting++; len(st.Pending) < maxPushes {
			st.Pending = append(st.Pending, scheduled{t.ID, at[t.ID], s.mask.text(t.Title, maxText), strings.ToLower(t.Type), s.mask.text(t.Fault, maxText)})
		}
	}
	for _, p := range slices.Backward(s.fake.Pushes()) {
		if len(st.Pushes) == maxPushes {
			break
		}
		state := "sent"
		switch {
		case p.Revoked:
			state = "revoked"
		case p.Task != 0:
			state = fmt.Sprint("sent for task ", p.Task)
		}
		st.Pushes = append(st.Pushes, push{
			clock(p.Time, now), at[p.Task], p.TaskID, s.mask.title(p.Body), string(p.Kind), len(p.Accounts), p.Sent, p.Reached, p.Clicked, state,
		})
	}
}

// clock returns a time, with the day if that is another one than now's.
func clock(at, now time.Time) string {
	at = at.Local()
	if at.Format(time.DateOnly) != now.Local().Format(time.DateOnly) {
		return at.Format(time.DateTime)
	}
	return at.Format(time.TimeOnly)
}

func (s *stats) counts(now time.Time, after int64) (*state, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &state{Started: s.started.UnixNano(), Last: s.last, Quota: s.quota, Done: s.done}
	end := now.Unix()
	var most int64
	for _, name := range slices.Sorted(maps.Keys(s.commands)) {
		c := s.commands[name]
		st.Commands = append(st.Commands, row{name, c.at(end - 1).calls, c.most, c.calls, c.refused})
		if sum := c.sum(end); st.Busiest == "" || sum > most {
			st.Busiest, most = name, sum
		}
	}
	if c := s.commands[st.Busiest]; c != nil {
		for at := end - window + 1; at <= end; at++ {
			bin := c.at(at)
			st.Seconds = append(st.Seconds, [2]int64{bin.calls, bin.refused})
		}
	}
	for _, o := range s.outcomes {
		st.Outcomes = append(st.Outcomes, *o)
	}
	slices.SortFunc(st.Outcomes, func(a, b outcome) int {
		return cmp.Or(-cmp.Compare(a.Users, b.Users), -cmp.Compare(a.Requests, b.Requests), cmp.Compare(a.Text, b.Text))
	})
	first, _ := slices.BinarySearchFunc(s.requests, after+1, func(r request, id int64) int { return cmp.Compare(r.ID, id) })
	st.Requests = slices.Clone(s.requests[first:])
	return st, slices.Clone(s.accounts)
}

// at returns what a second has.
func (c *command) at(at int64) second {
	if bin := c.ring[at%window]; bin.at == at {
		return bin
	}
	return second{}
}

func (c *command) sum(end int64) (sum int64) {
	for at := end - window + 1; at <= end; at++ {
		sum += c.at(at).calls
	}
	return sum
}

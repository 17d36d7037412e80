package timpushtest

import (
	"maps"
	"slices"
	"time"
)

// store holds the values of each account that has any, by the index of their names: a name may change. A map of values
// is never changed.
type store map[string]map[int]string

// change is what one entry of a request does to an account.
type change struct {
	account string
	values  map[int]string // to be set
	removed []int
	retag   func(has []string) []string // what tags the account gets, sorted; nil: those it has
	omitted bool                        // the account is not to be in the answer
	failure failure                     // for ErrorList; code 0 for none
}

// fail makes the change one that is listed and not applied.
func (c *change) fail(code int, info string) {
	*c = change{account: c.account, failure: failure{account: c.account, code: code, info: info}}
}

func (st store) apply(c change, replace bool) {
	values := map[int]string{}
	if !replace || c.values == nil {
		maps.Copy(values, st[c.account])
	}
	maps.Copy(values, c.values)
	for _, index := range c.removed {
		delete(values, index)
	}
	st[c.account] = values
	if len(values) == 0 {
		delete(st, c.account)
	}
}

func (st store) accounts() []string { return slices.Sorted(maps.Keys(st)) }

// version is what an account had before a change.
type version struct {
	values map[int]string
	until  time.Time // when get_attr stops showing it
}

func (s *Server) apply(changes []change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		if c.values == nil && c.removed == nil && c.retag == nil {
			continue
		}
		if c.retag != nil {
			s.tags.set(c.account, s.settings.typeOf(c.account), c.retag(s.tags.of[c.account]))
		} else {
			s.keepVersion(c.account)
			s.store.apply(c, s.settings.Replace)
		}
		if s.settings.known != nil {
			s.created[c.account] = true
		}
	}
}

// keepVersion remembers what a delayed read shows.
func (s *Server) keepVersion(account string) {
	if s.settings.ReadDelay <= 0 {
		return
	}
	now := time.Now()
	past := slices.DeleteFunc(s.past[account], func(v version) bool { return !now.Before(v.until) })
	s.past[account] = append(past, version{values: s.store[account], until: now.Add(s.settings.ReadDelay)})
}

// visible returns the values of an account that get_attr shows now.
func (s *Server) visible(account string) map[int]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.visibleNow(account)
}

// visibleNow is visible under the lock.
func (s *Server) visibleNow(account string) map[int]string {
	now := time.Now()
	for _, v := range s.past[account] {
		if now.Before(v.until) {
			return v.values
		}
	}
	return s.store[account]
}

func (s *Server) has(account string, index int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.store[account][index]
	return ok
}

// knows reports whether an account exists: because of an option, or because it was given attributes.
func (s *Server) knows(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knowsNow(account)
}

// knowsNow is knows under the lock.
func (s *Server) knowsNow(account string) bool {
	return s.settings.known == nil || s.settings.known[account] || s.created[account]
}

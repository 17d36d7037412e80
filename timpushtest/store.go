package timpushtest

import (
	"maps"
	"slices"
)

// store holds the values of each account that has any, by the index of their names: a name may change.
type store map[string]map[int]string

// change is what one entry of a request does to an account.
type change struct {
	account string
	values  map[int]string // to be set; nil if nothing is to be applied
	removed []int
	failure failure // for ErrorList; code 0 for none
}

func (c *change) fail(code int, info string) {
	*c = change{account: c.account, failure: failure{account: c.account, code: code, info: info}}
}

func (st store) apply(c change, replace bool) {
	values := maps.Clone(st[c.account])
	if values == nil || replace && c.values != nil {
		values = map[int]string{}
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

func (s *Server) apply(changes []change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		s.store.apply(c, s.settings.replace)
	}
}

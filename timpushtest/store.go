package timpushtest

import (
	"maps"
	"slices"
)

// store holds the attributes of each account that has any.
type store map[string]map[string]string

// change is what one entry of a request does to an account.
type change struct {
	account string
	attrs   map[string]string // to be set; nil if nothing is to be applied
	failure failure           // for ErrorList; code 0 for none
}

func (st store) apply(c change, replace, emptyDeletes bool) {
	if c.attrs == nil {
		return
	}
	attrs := st[c.account]
	if attrs == nil || replace {
		attrs = map[string]string{}
	}
	for name, value := range c.attrs {
		if value == "" && emptyDeletes {
			delete(attrs, name)
			continue
		}
		attrs[name] = value
	}
	st[c.account] = attrs
	if len(attrs) == 0 {
		delete(st, c.account)
	}
}

func (st store) copyOf(account string) map[string]string { return maps.Clone(st[account]) }

func (st store) accounts() []string { return slices.Sorted(maps.Keys(st)) }

func (s *Server) apply(changes []change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		s.store.apply(c, s.settings.replace, s.settings.emptyValue == EmptyDeletes)
	}
}

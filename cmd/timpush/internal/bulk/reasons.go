package bulk

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strings"
)

// maxReasons bounds how many different reasons are counted apart.
const maxReasons = 500

// Reasons counts why rows are not done.
type Reasons struct{ counts map[string]int64 }

// Reason is one of them.
type Reason struct {
	Text  string `json:"reason"`
	Count int64  `json:"rows"`
}

// Add counts a reason.
func (r *Reasons) Add(reason string) {
	if r.counts == nil {
		r.counts = map[string]int64{}
	}
	if _, known := r.counts[reason]; !known && len(r.counts) >= maxReasons {
		reason = "other reasons"
	}
	r.counts[reason]++
}

// Most returns the most frequent reasons, at most n.
func (r *Reasons) Most(n int) []Reason {
	all := make([]Reason, 0, len(r.counts))
	for text, count := range r.counts {
		all = append(all, Reason{text, count})
	}
	slices.SortFunc(all, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Text, b.Text))
	})
	return all[:min(n, len(all))]
}

// transportReason leaves out the URL, whose parameters differ each time.
func transportReason(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

func clip(text string) string {
	if len(text) > 200 {
		return strings.ToValidUTF8(text[:200], "") + "..."
	}
	return text
}

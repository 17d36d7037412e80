package timpush

import (
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// validate checks each item of an input and writes its JSON: looking at every byte once serves both. The JSON of all of them
// lies in one piece of memory.
func validate[T any](e *endpoint[T], input []T, b *buffer) (written []entry, err error) {
	var faults []*InputError
	text := slices.Grow(b.text[:0], usualJSON*len(input))
	written = slices.Grow(b.entries[:0], len(input))[:len(input)]
	defer func() { b.text, b.entries = text, written }()
	for i, item := range input {
		from := len(text)
		var valid bool
		if text, valid = e.appendJSON(text, item); !valid {
			faults = append(faults, e.faults(i, item)...)
		}
		written[i].account, written[i].json = e.account(item), text[from:len(text):len(text)]
	}
	return written, invalid(faults)
}

// buffer holds the entries of an execute and their JSON, which the bodies of requests are copied from, and what merge needs. Using
// it again saves a tenth of a call over loopback: there is half as much garbage (BenchmarkSetAttr in benchmarks).
type buffer struct {
	entries []entry
	text    []byte
	placeOf map[string]int // of an account among the items; empty unless merge runs
	itemOf  []int
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

const maxBuffer = 1 << 16 // bytes of JSON; a larger buffer is not used again

func (b *buffer) release() {
	if cap(b.text) > maxBuffer {
		return
	}
	clear(b.entries)
	b.entries = b.entries[:0]
	buffers.Put(b)
}

// usualJSON is about how many bytes of JSON an item has.
const usualJSON = 96

// merge makes one item of all those of an account, so that no two requests in flight can carry the same account and
// overtake each other. Items that one request cannot hold for an account are a fault of the input.
func merge[T any](e *endpoint[T], input []T, b *buffer) (items []T, itemOf []int, err error) {
	if b.placeOf == nil {
		b.placeOf = make(map[string]int, len(input))
	}
	placeOf := b.placeOf
	defer clear(placeOf)
	b.itemOf = slices.Grow(b.itemOf[:0], len(input))[:len(input)]
	itemOf = b.itemOf
	for i, item := range input {
		itemOf[i] = i
		placeOf[e.account(item)] = i
	}
	if len(placeOf) == len(input) {
		return input, itemOf, nil
	}
	clear(placeOf)
	var faults []*InputError
	for i, item := range input {
		account := e.account(item)
		at, repeated := placeOf[account]
		if !repeated {
			at = len(items)
			placeOf[account], items = at, append(items, item)
		} else if merged, fault := e.join(items[at], item); fault == "" {
			items[at] = merged
		} else {
			faults = append(faults, &InputError{Index: i, ToAccount: account, Reason: fault})
		}
		itemOf[i] = at
	}
	return items, itemOf, invalid(faults)
}

// encode returns an entry for each item: what validate has written, or new JSON where items were merged.
func encode[T any](e *endpoint[T], items []T, itemOf []int, written []entry) []entry {
	if len(items) == len(written) {
		return written
	}
	entries := written[:0]
	for i, n := range itemOf {
		if n == len(entries) { // the first item of its account; entries uses the memory of written, but never ahead of i
			entries = append(entries, written[i])
		} else {
			entries[n].json, _ = e.appendJSON(nil, items[n])
		}
	}
	return entries
}

// split returns the entries in requests of at most size, without those that have an outcome already.
func split(entries []entry, size int) (requests [][]*entry) {
	open := make([]*entry, 0, len(entries))
	for n := range entries {
		if entries[n].err == nil {
			open = append(open, &entries[n])
		}
	}
	return slices.AppendSeq(requests, slices.Chunk(open, size))
}

// gather counts the outcomes of an input and makes an error of those that are not Done.
func gather[T any](e *endpoint[T], input []T, entries []entry, itemOf []int, requests int64) (*Result, error) {
	result := &Result{Requests: int(requests)}
	var failed []failure
	for i, n := range itemOf {
		s := &entries[n].state
		result.count(s.outcome)
		if s.outcome != Done {
			again := s.worthRepeating(e.repeatable)
			failed = append(failed, failure{&UserError{i, e.account(input[i]), s.outcome, s.err}, i, again, s.settled && !again})
		} else if e.onFound != nil {
			e.onFound(i, entries[n].found)
		}
	}
	if failed == nil {
		return result, nil
	}
	return result, &PartialError{endpoint: e.path, result: *result, failed: failed}
}

// appendText appends s as a JSON string, and reports whether it is valid UTF-8. A request has hundreds of short texts, nearly
// all of them plain: checking that first is cheaper than quoting them all (BenchmarkEncode).
func appendText(dst []byte, s string) ([]byte, bool) {
	if isPlain(s) {
		return appendPlain(dst, s), true
	}
	dst, err := jsontext.AppendQuote(dst, s)
	return dst, err == nil
}

// appendAccount appends an account as a JSON string, and reports whether it is valid.
func appendAccount(dst []byte, account string) ([]byte, bool) {
	if account != "" && isPlain(account) {
		return appendPlain(dst, account), true
	}
	dst, _ = appendText(dst, account)
	return dst, accountFault(account) == ""
}

// isPlain reports whether s is printable ASCII that JSON needs no escape for.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func appendPlain(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

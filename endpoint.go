package timpush

import (
	stdjson "encoding/json"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// endpoint is a command whose requests are about accounts, and what to do with the items of its input.
type endpoint[T any] struct {
	command
	account func(item T) string

	// appendJSON appends an item's JSON and reports whether the item is valid. It must say so exactly if faults finds nothing,
	// which is called only for items that are not valid. Unless speed matters, it can return faults(0, item) == nil.
	appendJSON func(dst []byte, item T) ([]byte, bool)
	faults     func(index int, item T) []*InputError
	join       func(earlier, later T) (joined T, fault string) // two items of an account, as if applied in turn

	precheck func(s *sender, items []T, entries []entry) // may reject entries before anything is sent; nil: none
	onFound  func(index int, value any)                  // is called with what was read for an input that is Done; nil: nothing is read
}

// check returns the faults of one item.
func (e *endpoint[T]) check(index int, item T) []*InputError {
	b := buffers.Get().(*buffer)
	defer b.release()
	text, valid := e.appendJSON(b.text[:0], item)
	if b.text = text; valid {
		return nil
	}
	return e.faults(index, item)
}

// command is an endpoint of the API as the engine sees it: requests and answers, whatever they carry.
type command struct {
	path           string // "v4/timpush/set_attr"
	quota          Quota
	prefix, suffix string                        // of a request's JSON; the entries stand between them
	prefixWith     func(msgRandom uint32) string // instead of prefix, with a number that retries of a refused request keep
	size           int                           // of a request, in entries
	repeatable     bool                          // sending a request again does no harm
	divisible      bool                          // a refused request may be halved to find the entry at fault
	serial         bool                          // one request at a time
	refusesRepeats bool                          // the server may refuse a request that it has already applied
	impersonal     bool                          // requests have nothing personal: error texts may repeat what is in them

	// read returns the data of an answer, for a command with accounts a lookup. nil: there is none. Answers to a command
	// with read are never printed.
	read func(body []byte) (any, error)

	maxAnswer int // the most that is read of an answer, in bytes; 0: the constant maxAnswer

	repair func(body []byte) []byte // makes JSON of an answer that is not; may be nil

	refused func(code Code) // is called with each code that the server gives; may be nil
	left    func() bool     // reports whether no one waits for the outcomes any more: then nothing is sent again; may be nil
}

func (c *command) isLeft() bool { return c.left != nil && c.left() }

// body returns the JSON of a request.
func (c *command) body(entries []*entry, msgRandom uint32) []byte {
	prefix := c.prefix
	if c.prefixWith != nil {
		prefix = c.prefixWith(msgRandom)
	}
	length := len(prefix) + len(c.suffix)
	for _, e := range entries {
		length += len(e.json) + 1
	}
	body := append(make([]byte, 0, length), prefix...)
	for k, e := range entries {
		if k > 0 {
			body = append(body, ',')
		}
		body = append(body, e.json...)
	}
	return append(body, c.suffix...)
}

// marshal encodes a request, with values of the caller as they are.
func marshal(request any) ([]byte, error) { return json.Marshal(request, asIs) }

// encodeRequest returns the JSON of a request whose values have been found valid one by one. It may fail nevertheless: a value can encode
// itself, and not always with success.
func encodeRequest(request any) ([]byte, []*InputError) {
	body, err := marshal(request)
	if err != nil {
		return nil, []*InputError{{Index: -1, Reason: "the request cannot be encoded as JSON"}}
	}
	return body, nil
}

// asIs encodes the values of an Extra and the like as encoding/json does, for which they were made: a number that is 0 and has omitempty, for
// example, is left out. A json.Number of that package is a number, and not the string that it is by its kind. A member of Extra may differ from
// that of a field in nothing but case.
var asIs = json.JoinOptions(jsonv1.DefaultOptionsV1(), jsontext.AllowInvalidUTF8(false), jsontext.AllowDuplicateNames(false),
	json.MatchCaseInsensitiveNames(false), jsontext.EscapeForHTML(false), jsontext.EscapeForJS(false), json.WithMarshalers(json.MarshalToFunc(
		func(e *jsontext.Encoder, n stdjson.Number) error {
			number := jsontext.Value(n)
			if number.Kind() != jsontext.KindNumber {
				return errNotNumber
			}
			return e.WriteValue(number)
		})))

// alwaysRefused reports whether an account that is refused with err was refused at earlier attempts too, whose answers were lost.
func (c *command) alwaysRefused(err error) bool {
	code := codeOf(err)
	return code.DataFault() && (!c.refusesRepeats || code == ErrNoSuchAccount)
}

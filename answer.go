package timpush

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxAnswer bounds what is read of an answer, in bytes. An ErrorList of 100 accounts takes a tenth of it.
const maxAnswer = 1 << 20

// maxListed bounds ErrorList, which names each of at most 100 accounts once.
const maxListed = 10 * MaxUsersPerRequest

var (
	errTooLong   = errors.New("the answer is longer than 1 MiB")
	errNotNumber = errors.New("not a whole number")
)

// answer is what the API says. Fields may be absent or null, and numbers may be quoted; fields without a meaning here
// are passed over (tencentcloud.com/document/product/1047/60565 and 1047/34620).
type answer struct {
	status string
	code   Code
	info   string
	list   []listed
	rest   rest
	attrs  map[string]Attrs // of accounts, if the endpoint reads them
	names  []AttrName       // if the endpoint reads them
}

// rest is what only the endpoints that read something look at.
type rest struct{ UserAttrs, AttrNames, AttrTypes jsontext.Value }

// listed is one entry of ErrorList.
type listed struct {
	account string // "" if the entry does not tell
	code    Code   // 0 if the entry does not tell
	info    string
}

// ok reports whether the server says that it applied the request to all accounts that it does not list.
func (a *answer) ok() bool { return a.code == 0 && strings.EqualFold(a.status, "OK") }

// readAnswer makes an answer of what came with an HTTP status, or an *HTTPError. Texts of the server are kept without
// the UserSig, which a gateway may repeat.
func (e *endpoint) readAnswer(status int, body []byte, usersig string) (answer, error) {
	if status == http.StatusOK {
		a, ok := decodeAnswer(body)
		a.redact(usersig)
		if ok && (!a.ok() || e.read == nil || e.read(&a) == nil) {
			return a, nil
		}
	}
	if e.read != nil {
		body = nil // it may hold values
	}
	return answer{}, &HTTPError{status, clip(redactText(string(body[:min(len(body), 4096)]), usersig), 200)}
}

// redact removes the UserSig from the texts of the server, and bounds those that are only read by people.
func (a *answer) redact(usersig string) {
	a.info = redactText(clip(a.info, maxInfo), usersig)
	for i := range a.list {
		item := &a.list[i]
		item.account, item.info = redactText(item.account, usersig), redactText(clip(item.info, maxInfo), usersig)
	}
}

const maxInfo = 1000 // bytes

// decodeAnswer reports false for anything that does not say clearly how the request ended: not JSON, no ErrorCode, or
// code 0 with another status than OK.
func decodeAnswer(body []byte) (a answer, ok bool) {
	var wire struct {
		ActionStatus text
		ErrorCode    number
		ErrorInfo    text
		ErrorList    []struct {
			ToAccount text `json:"To_Account"`
			ErrorCode number
			ErrorInfo text
		}
		rest
	}
	// A gateway may answer in another encoding: the code is worth more than the characters of its text.
	if err := json.Unmarshal(body, &wire, jsontext.AllowInvalidUTF8(true)); err != nil || !wire.ErrorCode.set {
		return answer{}, false
	}
	a = answer{status: string(wire.ActionStatus), code: wire.ErrorCode.code, info: string(wire.ErrorInfo), rest: wire.rest}
	if a.code == 0 && !a.ok() || len(wire.ErrorList) > maxListed {
		return answer{}, false
	}
	for _, item := range wire.ErrorList {
		a.list = append(a.list, listed{string(item.ToAccount), item.ErrorCode.code, string(item.ErrorInfo)})
	}
	return a, true
}

// unmarshalRest reads what may be absent.
func unmarshalRest(from jsontext.Value, to any) error {
	if len(from) == 0 {
		return nil
	}
	return json.Unmarshal(from, to, jsontext.AllowInvalidUTF8(true))
}

// text is a string; a number or a literal in its place is taken as it is written, null and anything else as "".
type text string

// UnmarshalJSONFrom reads any value.
func (t *text) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '{', '[':
		return d.SkipValue()
	}
	token, err := d.ReadToken()
	if err == nil && token.Kind() != 'n' {
		*t = text(token.String())
	}
	return err
}

// number is an error code, quoted or not, or null.
type number struct {
	code Code
	set  bool
}

// UnmarshalJSONFrom reads a whole number.
func (n *number) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	token, err := d.ReadToken()
	if err != nil || token.Kind() == 'n' {
		return err
	}
	if kind := token.Kind(); kind != '0' && kind != '"' {
		return errNotNumber
	}
	code, err := strconv.Atoi(token.String())
	if err != nil {
		return errNotNumber
	}
	n.code, n.set = Code(code), true
	return nil
}

// readLimited reads at most limit bytes and fails if there are more.
func readLimited(r io.Reader, into []byte, limit int) ([]byte, error) {
	for {
		if len(into) == cap(into) {
			into = append(into, 0)[:len(into)]
		}
		n, err := r.Read(into[len(into):cap(into)])
		into = into[:len(into)+n]
		switch {
		case err == io.EOF:
			return into, nil
		case err != nil:
			return into, err
		case len(into) > limit:
			return into, errTooLong
		}
	}
}

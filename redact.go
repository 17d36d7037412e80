package timpush

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The UserSig travels in the query string, which net/http prints in its errors and a gateway may print on its page. A
// gateway or the server may repeat what was sent. The URL of a proxy may have a password. This file keeps all of this out of
// everything that leaves the client.

const redacted = "REDACTED"

// sent is what error texts must not repeat.
type sent struct {
	usersig    string
	body       []byte
	impersonal bool // the body is not kept out

	personal []string // what personalTexts returns, found once: an ErrorList may have a text for each account; nil: not yet
	parts    parts    // of the personal texts
}

// text redacts what was sent in a text of the server or of a transport: first long values, then the parts that are left of them, which a server
// may abbreviate, and then short values, which may stand in such parts.
func (s *sent) text(text string) string {
	text = undoing(redactUserInfo(s.redact(plain(text))), s.redact)
	text = undoing(s.parts.redact(text), s.parts.redact)
	return undoing(s.redactShort(text), s.redactShort)
}

// undoing redacts also what is in a text with escapes, of one kind after the other. Those in which redact finds nothing stay.
func undoing(text string, redact func(string) string) string {
	for undone := range withoutEscapes(text) {
		if undone == text {
			continue
		}
		if clean := redact(undone); clean != undone {
			return undoing(clean, redact)
		}
	}
	return text
}

// redact redacts the UserSig and long values.
func (s *sent) redact(text string) string { return s.values(redactUserSig(text, s.usersig), false) }

func (s *sent) redactShort(text string) string { return s.values(text, true) }

// values redacts the short values, or the long ones.
func (s *sent) values(text string, short bool) string {
	if text == "" || s.impersonal {
		return text
	}
	for _, value := range s.personalTexts() {
		if short == (len(value) < shortestPart) {
			text = strings.ReplaceAll(text, value, redacted)
		}
	}
	return text
}

// snippet redacts a page, or returns "" if it repeats a part of the request.
func (s *sent) snippet(page string) string {
	if s.impersonal {
		return s.text(page)
	}
	for undone := range withoutEscapes(plain(page)) {
		if s.repeatedIn(undone) {
			return ""
		}
	}
	return (&sent{usersig: s.usersig}).text(page) // the rest is not in it
}

func (s *sent) repeatedIn(page string) bool {
	return repeatsPart(page, string(s.body)) || slices.ContainsFunc(s.personalTexts(), func(v string) bool { return strings.Contains(page, v) })
}

// shortestValue is the length in bytes from which a value is kept out of texts: a shorter one is a part of too many words.
const shortestValue = 4

// impersonalMembers are the members of requests that have accounts, tags, times and numbers of the service, which texts may repeat.
var impersonalMembers = []string{
	"To_Account", "From_Account", "Tags", "TagsAnd", "TagsOr", "TagsNot", "MsgRandom", "Sdkappid", "TaskID", "TaskId",
	"SchedAt", "BeginTime", "EndTime", "OrderBy",
}

// ownMembers are those in which the program chooses the names, which may be the same: an attribute called Tags.
var ownMembers = []string{"Attrs", "AttrsAnd", "AttrsOr", "OfflinePushInfo", "MsgBody"}

// personalTexts returns the texts and numbers in the body, except those of impersonalMembers, in each form in which a text may repeat
// them; the longest come first, since one may be a part of another.
func (s *sent) personalTexts() []string {
	if s.personal == nil {
		s.personal, s.parts = personalTexts(s.body), make(parts, len(s.body))
		for _, text := range s.personal {
			s.parts.add(text)
		}
	}
	return s.personal
}

func personalTexts(body jsontext.Value) []string {
	forms := []string{}
	var add func(value jsontext.Value, own bool)
	add = func(value jsontext.Value, own bool) {
		switch value.Kind() {
		case '{':
			var members map[string]jsontext.Value
			_ = json.Unmarshal(value, &members)
			for name, member := range members {
				if own || !slices.Contains(impersonalMembers, name) {
					add(member, own || slices.Contains(ownMembers, name))
				}
			}
		case '[':
			var elements []jsontext.Value
			_ = json.Unmarshal(value, &elements)
			for _, element := range elements {
				add(element, own)
			}
		case '0':
			if len(value) >= shortestValue {
				forms = append(forms, string(value))
			}
		case '"':
			var text string
			if json.Unmarshal(value, &text) == nil && len(text) >= shortestValue {
				forms = append(forms, writings(text, value)...)
			}
		}
	}
	add(body, false)
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(forms)
}

// writings returns the forms in which a text without escapes may repeat a value: as it is, in JSON, in a form, in SQL, in CSV.
func writings(text string, quoted jsontext.Value) []string {
	forms := []string{
		text, string(quoted[1 : len(quoted)-1]), strings.ReplaceAll(text, " ", "+"), strings.ReplaceAll(text, `'`, `''`), strings.ReplaceAll(text, `"`, `""`),
	}
	for i, form := range forms {
		forms[i] = plain(form)
		if short := strings.TrimRight(forms[i], `\`); len(short) >= shortestValue { // a quotation mark behind it takes its backslashes
			forms[i] = short
		}
	}
	return forms
}

// shortestPart is the length in bytes from which a part of a UserSig is a secret, since a server may cut it off or break it
// into lines, and from which a text that has a part of a request repeats it.
const shortestPart = 16

// repeatsPart goes through each text once: an outage brings pages as fast as requests, and to look for every part of one in a request took a
// tenth of a second and more.
func repeatsPart(text, whole string) bool {
	p := make(parts, len(text))
	p.add(text)
	for i := range len(whole) {
		if p.in(whole, i) {
			return true
		}
	}
	return false
}

// parts are the parts of texts that have shortestPart bytes.
type parts map[[shortestPart]byte]struct{}

func (p parts) add(text string) {
	for i := 0; i+shortestPart <= len(text); i++ {
		p[[shortestPart]byte([]byte(text[i:i+shortestPart]))] = struct{}{}
	}
}

// in reports whether a part stands in a text at i.
func (p parts) in(text string, i int) bool {
	if i+shortestPart > len(text) {
		return false
	}
	_, found := p[[shortestPart]byte([]byte(text[i:i+shortestPart]))]
	return found
}

// redact redacts the parts in a text, with what follows of the same text.
func (p parts) redact(text string) string {
	if len(p) == 0 || len(text) < shortestPart {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		if !p.in(text, i) {
			out.WriteByte(text[i])
			i++
			continue
		}
		for i++; p.in(text, i); i++ {
		}
		out.WriteString(redacted)
		i += shortestPart - 1
	}
	return out.String()
}

// redactUserSig redacts all parts of the UserSig in a text.
func redactUserSig(s, usersig string) string {
	if len(s) < shortestPart {
		return s
	}
	var out strings.Builder
	for len(s) > 0 {
		n := 0
		if len(s) >= shortestPart && strings.Contains(usersig, s[:shortestPart]) {
			for n = shortestPart; n < len(s) && strings.Contains(usersig, s[:n+1]); n++ {
			}
			out.WriteString(redacted)
		} else {
			out.WriteByte(s[0])
			n = 1
		}
		s = s[n:]
	}
	return out.String()
}

// userInfo is the user and the password in a URL, which may be malformed, and in what net repeats of one that is used as a host.
var userInfo = regexp.MustCompile(`(://)(?:[^\s"]*|[^\s"/@:]+:[^"@]*)@|(dial \w+: (?:lookup|address) ).*@`)

func redactUserInfo(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	return userInfo.ReplaceAllString(s, "${1}${2}"+redacted+"@")
}

// error returns a transport's error as a *url.Error whose URL has no query. Errors within it are kept, unless one of them
// prints what was sent.
func (s *sent) error(err error, where string) error {
	for {
		outer, ok := err.(*url.Error) //nolint:errorlint // only the outermost wrapper is replaced, one inside is checked below
		if !ok || outer.Op == "parse" {
			break
		}
		err = outer.Err
	}
	switch {
	case err == nil:
	case unparsed(err):
		err = newOpaqueError(foreign(err), "a URL is not valid, "+redacted+": characters of a password such as %, / and # must be escaped")
	case s.leaks(err):
		err = foreign(err)
		err = newOpaqueError(err, s.text(err.Error()))
	default:
		err = foreign(err)
	}
	return &url.Error{Op: "Post", URL: where, Err: err}
}

// unparsed reports whether an error is of url.Parse. It repeats parts of the URL, which may be of a proxy and have a password: it takes
// what stands before a slash in the password for a port.
func unparsed(err error) bool {
	parse, ok := errors.AsType[*url.Error](err)
	return ok && parse.Op == "parse" || strings.Contains(err.Error(), `parse "`)
}

func (s *sent) leaks(err error) bool {
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	if data, fails := json.Marshal(err); fails == nil {
		text += string(data)
	}
	for _, inner := range unwrapped(err) {
		if s.leaks(inner) {
			return true
		}
	}
	return s.text(text) != plain(text)
}

// opaqueError replaces an error that holds what was sent. It matches what that error matches, and is a timeout, says that there was
// no connection, or asks to wait if that error does, but does not unwrap to it.
type opaqueError struct {
	text                string
	timeout, notDialled bool
	retryAfter          time.Duration
	is                  func(target error) bool
}

func newOpaqueError(err error, text string) *opaqueError {
	return &opaqueError{
		text:       text,
		timeout:    isTimeout(err),
		notDialled: notDialled(err),
		retryAfter: RetryAfter(err),
		is:         func(target error) bool { return errors.Is(err, target) },
	}
}

func (e *opaqueError) Error() string        { return e.text }
func (e *opaqueError) Timeout() bool        { return e.timeout }
func (e *opaqueError) Is(target error) bool { return e.is(target) }

// quote quotes an account or a name for an error text and bounds its length.
func quote(s string) string { return fmt.Sprintf("%q", clip(s, 64)) }

// oneLine makes one bounded line of a text of unknown origin, without what a terminal may obey: control characters are not only those of
// ASCII.
func oneLine(s string) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) })
	return clip(strings.Join(words, " "), 200)
}

// clip bounds s to n bytes and does not cut a character.
func clip(s string, n int) string {
	const rest = "..."
	if len(s) <= n {
		return s
	}
	for n -= len(rest); n > 0 && !utf8.RuneStart(s[n]); n-- {
	}
	return s[:n] + rest
}

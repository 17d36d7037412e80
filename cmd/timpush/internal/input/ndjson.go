package input

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/timpush/timpush-go"

	plaintext "github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// Note is the member of an NDJSON object that is not read: it says why the tool put the row into the failures file.
const Note = "_timpush"

// toAccount is the account in objects that have the form of the API.
const toAccount = "To_Account"

// ndjsonReader reads a JSON object from each line. One with an object "Attrs" has the form of the API,
// {"To_Account":"x","Attrs":{"city":"y"}}: its names are those of attributes, whatever their columns are; in others, each member is
// a column.
type ndjsonReader struct {
	plain   *bufio.Reader
	options *Options
	absent  *[]string // see Input.Absent
	line    int64
	bytes   int64 // of the lines that have been read
	buf     []byte
	source  bytes.Reader
	decoder *jsontext.Decoder

	hasAccount bool // the row
}

func newNDJSON(plain *bufio.Reader, o *Options, absent *[]string) *ndjsonReader {
	n := &ndjsonReader{plain: plain, options: o, absent: absent}
	n.decoder = jsontext.NewDecoder(&n.source)
	return n
}

func (n *ndjsonReader) offset() int64 { return n.bytes }

func (n *ndjsonReader) next(skip bool) (record, error) {
	for {
		text, long, err := n.readLine()
		if err != nil {
			return record{}, err
		}
		r := record{line: n.line, sum: fnv(uint64(0), text)}
		switch {
		case long:
			r.reason = fmt.Sprintf("a line of more than %d KiB", maxRecord>>10)
			n.has(n.options.Account) // as far as is known
		case len(bytes.TrimSpace(text)) == 0:
			continue
		case !skip:
			n.parse(text, &r)
		}
		return r, nil
	}
}

// readLine reads a line. Of one that is too long it returns the beginning.
func (n *ndjsonReader) readLine() (text []byte, long bool, err error) {
	n.buf = n.buf[:0]
	for {
		part, err := n.plain.ReadSlice('\n')
		n.bytes += int64(len(part))
		if len(n.buf)+len(part) <= maxRecord {
			n.buf = append(n.buf, part...)
		} else {
			long = true
		}
		switch {
		case err == bufio.ErrBufferFull: //nolint:errorlint // bufio returns it as it is
			continue
		case err == io.EOF && (len(n.buf) > 0 || long):
		case err != nil:
			return nil, false, err
		}
		n.line++
		return n.buf, long, nil
	}
}

var partOfText = regexp.MustCompile(`(escape sequence|surrogate pair) .* (in string)`)

// WithoutText takes the part of a value off an error of the JSON package.
func WithoutText(why string) string { return partOfText.ReplaceAllString(why, "$1 $2") }

func (n *ndjsonReader) parse(text []byte, r *record) {
	if reason, at := plaintext.Fault(string(text)); reason != "" {
		r.position, r.reason = at+1, reason
		n.has(n.options.Account) // as far as is known
		return
	}
	n.source.Reset(text)
	n.decoder.Reset(&n.source)
	n.hasAccount = false
	r.attrs = timpush.Attrs{}
	err := n.object(r)
	if n.hasAccount || err != nil {
		n.has(n.options.Account)
	}
	if err != nil {
		r.position = int(n.decoder.InputOffset()) + 1
		why, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "jsontext: "), " after offset ")
		r.reason = "it is not a JSON object: " + WithoutText(why)
		return
	}
	switch {
	case r.reason != "":
	case n.decoder.InputOffset() < int64(len(bytes.TrimRight(text, " \t\r\n"))):
		r.reason = "something follows the JSON object"
	case r.account == "":
		r.column, r.reason = n.options.Account, "the account is missing or empty"
	case slices.Contains(n.options.Null, r.account):
		r.column, r.reason = n.options.Account, noAccount(r.account)
	case n.options.doubtfulAccount(r.account):
		r.column, r.reason = n.options.Account, maybeNoAccount(r.account)
	default:
		reason, _ := plaintext.AccountFault(r.account)
		if reason = cmp.Or(reason, plaintext.NotMeant(r.account)); reason != "" {
			r.column, r.reason = n.options.Account, reason
		}
	}
}

func (n *ndjsonReader) object(r *record) error {
	if kind := n.decoder.PeekKind(); kind != '{' {
		if _, err := n.decoder.ReadValue(); err != nil {
			return err
		}
		return fmt.Errorf("it begins with %v", kind)
	}
	return n.members(func(name string) error { return n.member(name, r) })
}

// members calls read with the name of each member of the object that comes next.
func (n *ndjsonReader) members(read func(name string) error) error {
	if _, err := n.decoder.ReadToken(); err != nil {
		return err
	}
	for n.decoder.PeekKind() != '}' {
		token, err := n.decoder.ReadToken()
		if err != nil {
			return err
		}
		if err := read(token.String()); err != nil {
			return err
		}
	}
	_, err := n.decoder.ReadToken()
	return err
}

// member reads a member of the object itself.
func (n *ndjsonReader) member(name string, r *record) error {
	n.has(name)
	switch {
	case name == "Attrs" && n.decoder.PeekKind() == '{' && !n.options.AccountsOnly:
		return n.members(func(name string) error {
			column := n.options.columnOf(name)
			n.has(column)
			if n.options.leftOut(column) {
				return n.decoder.SkipValue()
			}
			return n.attr(name, name, r)
		})
	case name == n.options.Account || name == toAccount && !n.named(toAccount):
		if n.hasAccount {
			r.column, r.reason = name, fmt.Sprintf("%q and %q are both in it: which is the account? --ignore %s leaves the latter out", n.options.Account, toAccount, toAccount)
		}
		n.hasAccount = true
		if kind := n.decoder.PeekKind(); kind == 't' || kind == 'f' {
			r.column, r.reason = name, "the account is a bool, want a text"
		}
		value, _, err := n.value(name, r)
		r.account = plaintext.Trim(value)
		return err
	case n.options.AccountsOnly, name == Note, n.options.leftOut(name):
		return n.decoder.SkipValue()
	}
	column := name
	if mapped, ok := n.options.Names[name]; ok {
		name = mapped
	}
	return n.attr(column, name, r)
}

// has notes that a row has a column.
func (n *ndjsonReader) has(column string) {
	if len(*n.absent) > 0 {
		*n.absent = slices.DeleteFunc(*n.absent, func(c string) bool { return c == column })
	}
}

// named reports whether a flag says what the member is.
func (n *ndjsonReader) named(member string) bool {
	_, mapped := n.options.Names[member]
	return mapped || slices.Contains(n.options.Ignore, member)
}

func (n *ndjsonReader) attr(column, name string, r *record) error {
	if k := slices.IndexFunc(n.options.Ignore, func(c string) bool { return c != column && isColumn(column, c) }); k >= 0 { // as in a table
		r.column, r.reason = column, fmt.Sprintf("--ignore names %q, but the member is %q", n.options.Ignore[k], column)
		return n.decoder.SkipValue()
	}
	value, ok, err := n.value(column, r)
	if n.options.Trim {
		value = plaintext.Trim(value)
	}
	if err != nil || !ok || slices.Contains(n.options.Null, value) {
		return err
	}
	if _, twice := r.attrs[name]; twice {
		r.column, r.reason = column, fmt.Sprintf("the attribute %q comes twice", name)
		return nil
	}
	if strings.IndexByte(value, 0) >= 0 {
		r.column, r.reason = column, "there is a NUL byte in it"
	}
	r.attrs[name] = value
	return nil
}

// value reads a text, or a number or a bool as it is written. There is none if it is null.
func (n *ndjsonReader) value(column string, r *record) (text string, ok bool, err error) {
	switch n.decoder.PeekKind() {
	case '{', '[':
		r.column, r.reason = column, "it is an object or an array, want a text"
		return "", false, n.decoder.SkipValue()
	case 'n':
		return "", false, n.decoder.SkipValue()
	}
	token, err := n.decoder.ReadToken()
	if err != nil {
		return "", false, err
	}
	return token.String(), true, nil
}

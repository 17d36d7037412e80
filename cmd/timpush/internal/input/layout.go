package input

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/timpush/timpush-go"
)

// layout is what the columns of a file mean.
type layout struct {
	columns []string
	account int
	attrs   []string // by column; "" for those that are none
	width   int      // how many are
}

// newLayout finds the account and the attributes among the columns.
func newLayout(columns []string, o Options) (*layout, error) {
	l := &layout{columns: columns, account: -1, attrs: make([]string, len(columns))}
	var taken = map[string]string{}
	for i, c := range columns {
		switch {
		case c == o.Account && l.account >= 0:
			return nil, fmt.Errorf("the column %q comes twice", c)
		case c == o.Account:
			l.account = i
			continue
		case slices.Contains(o.Ignore, c) || o.Only != nil && !slices.Contains(o.Only, c):
			continue
		case c == "":
			return nil, fmt.Errorf("column %d has no name: every column needs one in the first line", i+1)
		case !utf8.ValidString(c):
			return nil, fmt.Errorf("the name of column %d is not UTF-8 (perhaps it is Latin-1): convert the file: iconv -f ISO-8859-1 -t UTF-8", i+1)
		case strings.ContainsRune(c, 0):
			return nil, fmt.Errorf("the name of column %d has a NUL byte: it is no text, or UTF-16", i+1)
		}
		attr := c
		if name, ok := o.Names[c]; ok {
			attr = name
		}
		if other, ok := taken[attr]; ok {
			return nil, duplicate(other, c, attr)
		}
		taken[attr], l.attrs[i] = c, attr
		l.width++
	}
	return l, l.check(o)
}

func duplicate(first, second, attr string) error {
	if first == second {
		return fmt.Errorf("the column %q comes twice: rename one of them, or leave both out: --ignore %s", first, first)
	}
	return fmt.Errorf("the columns %q and %q are both the attribute %q: leave one out: --ignore %s", first, second, attr, second)
}

func (l *layout) check(o Options) error {
	if l.account < 0 {
		text := fmt.Sprintf("there is no column %q: name the column of the account: --account COLUMN; the columns are %s", o.Account, list(l.columns))
		if len(l.columns) == 1 && strings.ContainsAny(l.columns[0], ";\t|") {
			text += "; is another character between them? --delimiter ';' (or tab)"
		}
		return errors.New(text)
	}
	for c := range o.Names {
		if !slices.Contains(l.columns, c) {
			return fmt.Errorf("there is no column %q, which --map names; the columns are %s", c, list(l.columns))
		}
	}
	for _, c := range o.Only {
		if !slices.Contains(l.columns, c) {
			return fmt.Errorf("there is no column %q, which --only names; the columns are %s", c, list(l.columns))
		}
	}
	if l.width == 0 {
		return errors.New("there is no column of an attribute beside that of the account")
	}
	return nil
}

func (l *layout) names() (columns, attrs []string) {
	for i, attr := range l.attrs {
		if attr != "" {
			columns, attrs = append(columns, l.columns[i]), append(attrs, attr)
		}
	}
	return columns, attrs
}

// user makes a record of the fields of a row. Empty fields are left alone.
func (l *layout) user(fields []string, r *record) {
	r.account = fields[l.account]
	if r.account == "" {
		r.column, r.reason = l.columns[l.account], "the account is empty"
		return
	}
	r.attrs = make(timpush.Attrs, l.width)
	for i, field := range fields {
		attr := l.attrs[i]
		if field == "" || attr == "" && i != l.account {
			continue
		}
		if reason := textFault(field); reason != "" {
			r.column, r.reason = l.columns[i], reason
			return
		}
		if i != l.account {
			r.attrs[attr] = field
		}
	}
}

func textFault(text string) string {
	plain := true
	for i := range len(text) {
		plain = plain && text[i]-1 < 0x7f // neither NUL nor the beginning of a longer character
	}
	switch {
	case plain:
	case strings.IndexByte(text, 0) >= 0:
		return "there is a NUL byte in it"
	case !utf8.ValidString(text):
		return "it is not UTF-8 (perhaps Latin-1: iconv -f ISO-8859-1 -t UTF-8)"
	}
	return ""
}

func list(names []string) string {
	const most = 12
	var text strings.Builder
	for i, name := range names[:min(len(names), most)] {
		if i > 0 {
			text.WriteString(", ")
		}
		if len(name) > 60 {
			name = strings.ToValidUTF8(name[:60], "") + "..."
		}
		fmt.Fprintf(&text, "%q", name)
	}
	if len(names) > most {
		fmt.Fprintf(&text, " and %d more", len(names)-most)
	}
	return text.String()
}

// ColumnOf returns the column that makes an attribute.
func (in *Input) ColumnOf(attr string) string {
	for column, name := range in.options.Names {
		if name == attr {
			return column
		}
	}
	return attr
}

package input

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// layout is the meaning of the columns of a file.
type layout struct {
	columns []string
	account int
	attrs   []string // by column; "" for those that are no attributes
	width   int      // number of attributes
	notUTF8 bool     // letters that are not ASCII are in another encoding, even if they are valid UTF-8
	options *Options
	notes   *Notes
}

// noColumns returns the layout of a file without rows, which has not even a header.
func noColumns(o *Options, notes *Notes) *layout {
	return &layout{account: -1, options: o, notes: notes}
}

// Notes counts cells that were read differently from what is written, or that may be meant differently.
type Notes struct {
	Accounts int64 // with white space around them, which was left out
	Spaces   int64 // values that begin or end with white space, and are sent with it
	Empty    int64 // cells of white space, \N or a text of Options.Null, which count as empty

	Shortened int64 // values such as 4.91512E+12
	NA        int64 // values NA

	Sheets []string // that are not read, and have the column of the account, with the names of their files
}

// FlagError is a fault that another command line corrects.
type FlagError struct{ error }

func (e *FlagError) Unwrap() error { return e.error }

func flagErrorf(format string, args ...any) error { return &FlagError{fmt.Errorf(format, args...)} }

// newLayout finds the account and the attributes among the columns.
func newLayout(names []string, o *Options, notes *Notes) (*layout, error) {
	l := &layout{account: -1, attrs: make([]string, len(names)), options: o, notes: notes}
	for _, name := range names {
		l.columns = append(l.columns, text.Trim(name))
	}
	var err error
	if l.account, err = findAccount(l.columns, o.Account); err != nil {
		if o.AccountsOnly && len(l.columns) == 1 {
			err = flagErrorf("%w; if that is an account: --no-header, for CSV", err)
		}
		return nil, err
	}
	if o.AccountsOnly {
		return l, nil
	}
	if err := l.findAttrs(); err != nil {
		return nil, err
	}
	return l, l.check()
}

// checkSheet refuses columns in use that have formulas without a result or merged cells below the header, which would be taken for empty cells,
// and accounts that have lost digits or have become dates. A push cannot be taken back, so accounts that the sheet does not show are refused
// for one.
func (l *layout) checkSheet(sheet *sheetCheck, header int64) error {
	for i, c := range l.columns {
		if !l.isUsed(i) {
			continue
		}
		found := sheet.column(i + 1)
		if cell := found.unshown; cell != "" {
			return fmt.Errorf("the column %q has a number or a date in %s whose format may not be read as the sheet shows it, such as a date of a Strict Open XML Spreadsheet: save the sheet as CSV (UTF-8)", c, cell)
		}
		if cell := found.added; cell != "" {
			return fmt.Errorf("the column %q has a format in %s that adds to texts, such as \"No. \"@, which may not be read as the sheet shows it: save the sheet as CSV (UTF-8)", c, cell)
		}
		if cell := found.missing; cell != "" {
			return fmt.Errorf("the column %q has a formula without a result, in %s: open the workbook in Excel and save it, which calculates them", c, cell)
		}
		if cells := found.merged; i != l.account && int64(cells.row) > header {
			return fmt.Errorf("the column %q has merged cells, in %s:%s, of which only the first has the value: unmerge them, and fill in the others", c, cells.first, cells.last)
		}
	}
	found := sheet.column(l.account + 1)
	if cell := found.hidden; cell != "" && l.options.AccountsOnly {
		return fmt.Errorf("the account in %s is hidden, by a filter for instance: show all rows if it is meant, too, or copy those that are meant to a workbook of their own", cell)
	}
	if cell := found.long; cell != "" {
		return fmt.Errorf("the account in %s is a number of more than 15 digits, and a spreadsheet keeps 15 of them: format the column as text, and enter the accounts once more", cell)
	}
	if cell := found.date; cell != "" {
		return fmt.Errorf("the account in %s is a date or a time, as a spreadsheet makes of accounts such as 10-12 and MAR1: format the column as text, and enter the accounts once more", cell)
	}
	return nil
}

// findAccount finds the column of the account. Where none has its name exactly, one that differs only in capitals is it.
func findAccount(columns []string, account string) (int, error) {
	at := slices.Index(columns, account)
	if at < 0 {
		at = slices.IndexFunc(columns, func(c string) bool { return strings.EqualFold(c, account) })
	}
	if at < 0 {
		return 0, flagErrorf("there is no column %q: name the column of the account: --account COLUMN; the columns are %s", account, list(columns))
	}
	if slices.Contains(columns[at+1:], columns[at]) {
		return 0, fmt.Errorf("the column %q comes twice", columns[at])
	}
	return at, nil
}

// findAttrs finds the attribute of each column.
func (l *layout) findAttrs() error {
	o, taken := l.options, map[string]string{}
	for i, c := range l.columns {
		if i == l.account || o.leftOut(c) {
			continue
		}
		if err := checkColumn(i, c); err != nil {
			return err
		}
		attr := c
		if name, ok := o.Names[c]; ok {
			attr = name
		}
		if other, ok := taken[attr]; ok {
			return duplicate(other, c, attr)
		}
		taken[attr], l.attrs[i] = c, attr
		l.width++
	}
	return nil
}

func checkColumn(i int, name string) error {
	if name == "" {
		return fmt.Errorf("column %d has no name: give it one in the first line, or name the columns that are meant: --only COLUMN", i+1)
	}
	switch reason, at := text.Fault(name); {
	case strings.HasPrefix(reason, "there is a NUL"):
		return fmt.Errorf("the name of column %d has a NUL byte at character %d: it is no text", i+1, utf8.RuneCountInString(name[:at])+1)
	case reason != "":
		return fmt.Errorf("the name of column %d cannot be read, at character %d: %s", i+1, utf8.RuneCountInString(name[:at])+1, advised(reason))
	}
	return nil
}

func duplicate(first, second, attr string) error {
	if first == second {
		return fmt.Errorf("the column %q comes twice: rename one of them, or leave both out: --ignore %s", first, text.QuoteItem(first))
	}
	return flagErrorf("the columns %q and %q are both the attribute %q, by --map: leave one out: --ignore %s", first, second, attr, text.QuoteItem(second))
}

// check refuses flags that name columns which do not exist, and a file without attributes.
func (l *layout) check() error {
	for c := range l.options.Names {
		if !slices.Contains(l.columns, c) {
			return flagErrorf("there is no column %q, which --map names; the columns are %s", c, list(l.columns))
		}
	}
	for _, c := range l.options.Only {
		if !slices.Contains(l.columns, c) {
			return flagErrorf("there is no column %q, which --only names; the columns are %s", c, list(l.columns))
		}
	}
	for _, c := range l.options.Ignore { // a file may be without one, but one that is written otherwise would be sent
		k := slices.IndexFunc(l.columns, func(other string) bool { return isColumn(other, c) })
		if k >= 0 && !slices.Contains(l.columns, c) && !slices.Contains(l.options.Ignore, l.columns[k]) {
			return flagErrorf("there is no column %q, which --ignore names, but %q", c, l.columns[k])
		}
	}
	switch {
	case l.width == 0 && (l.options.Only != nil || l.options.Ignore != nil):
		return flagErrorf("--only and --ignore leave no column of an attribute; the columns are %s", list(l.columns))
	case l.width == 0:
		return fmt.Errorf("there is no column of an attribute beside that of the account")
	}
	return nil
}

// user makes a record of the fields of a row. Empty fields leave their attributes alone.
func (l *layout) user(fields []string, r *record) {
	if slices.EqualFunc(fields, l.columns, isColumn) || isColumn(fields[l.account], toAccount) && isColumn(l.columns[l.account], toAccount) {
		r.reason = "it names the columns, and is no user: were files joined?"
		return
	}
	account := text.Trim(fields[l.account])
	reason := l.unreadable(account, text.AccountFault)
	switch {
	case account == "":
		reason = "the account is empty"
	case l.options.isNull(account):
		reason = noAccount(account)
	case l.options.doubtfulAccount(account):
		reason = maybeNoAccount(account)
	case reason == "" && text.NotMeant(account) != "":
		reason = text.NotMeant(account)
	case reason == "" && account != fields[l.account]:
		l.notes.Accounts++
	}
	if r.account = account; reason != "" {
		l.fault(r, l.account, reason)
		return
	}
	r.attrs = make(timpush.Attrs, l.width)
	for i, field := range fields {
		attr := l.attrs[i]
		if field == "" || attr == "" {
			continue
		}
		value, reason := l.value(field)
		if reason != "" {
			l.fault(r, i, reason)
			return
		}
		if value != "" {
			r.attrs[attr] = value
		}
	}
}

// isColumn reports whether a field has the name of a column.
func isColumn(field, column string) bool { return strings.EqualFold(text.Trim(field), column) }

// namesOthers reports whether a row names columns, and others than the first one: what follows are the rows of another file or table.
func (l *layout) namesOthers(fields []string) bool {
	if len(fields) != len(l.columns) || !l.isHeader(fields) {
		return false
	}
	for i, c := range l.columns {
		if l.isUsed(i) && !isColumn(fields[i], c) {
			return true
		}
	}
	return false
}

// isHeader reports whether a row names columns. To_Account is neither a user nor a value. Any other name of the account's column can be
// one, such as user, and all fields in use must be names then.
func (l *layout) isHeader(fields []string) bool {
	account, found := l.columns[l.account], false
	for _, f := range fields {
		if len(f) >= len(toAccount) && isColumn(f, toAccount) { // most fields are shorter
			return true
		}
		found = found || len(f) >= len(account) && isColumn(f, account)
	}
	if !found {
		return false
	}
	for i, f := range fields {
		_, name := l.options.declared[text.Trim(f)]
		name = name || slices.ContainsFunc(l.columns, func(c string) bool { return isColumn(f, c) })
		if !name && (l.isUsed(i) || l.options.AccountsOnly) {
			return false
		}
	}
	return true
}

func (l *layout) isUsed(column int) bool { return column == l.account || l.attrs[column] != "" }

// unreadable says why a field cannot be read, or what fault finds in it, and how to correct it.
func (l *layout) unreadable(field string, fault func(string) (string, int)) string {
	if e := l.options.Encoding; e != nil && strings.ContainsRune(field, utf8.RuneError) {
		return "it is not in the encoding of --encoding"
	}
	if l.notUTF8 && strings.ContainsFunc(field, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return advised(text.NotUTF8)
	}
	reason, _ := fault(field)
	return advised(reason)
}

// advised adds to the reason of a text in another encoding what to do: spreadsheets on Windows write CSV in that of the country.
func advised(reason string) string {
	if reason == text.NotUTF8 {
		reason += ": save the file as CSV UTF-8, or give its encoding, such as --encoding windows-1252 or gbk"
	}
	return reason
}

func (l *layout) fault(r *record, i int, reason string) {
	r.cell, r.column, r.reason = i, l.columns[i], reason
}

func list(names []string) string {
	const most = 12
	var all strings.Builder
	for i, name := range names[:min(len(names), most)] {
		if i > 0 {
			all.WriteString(", ")
		}
		if len(name) > 60 {
			name = strings.ToValidUTF8(name[:60], "") + "..."
		}
		fmt.Fprintf(&all, "%q", name)
	}
	if len(names) > most {
		fmt.Fprintf(&all, " and %d more", len(names)-most)
	}
	return all.String()
}

// leftOut reports whether the flags say that a column is no attribute.
func (o *Options) leftOut(column string) bool {
	return slices.Contains(o.Ignore, column) || o.Only != nil && !slices.Contains(o.Only, column)
}

// ColumnOf returns the column that makes an attribute.
func (in *Input) ColumnOf(attr string) string { return in.options.columnOf(attr) }

func (o *Options) columnOf(attr string) string {
	for column, name := range o.Names {
		if name == attr {
			return column
		}
	}
	return attr
}

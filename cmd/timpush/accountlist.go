package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// maxAccount bounds a line of a list of accounts, in bytes.
const maxAccount = 4096

// accountList is the accounts of a command: its arguments, or the lines of a file.
type accountList struct {
	cmd        *cobra.Command
	args       []string
	file       string
	allowEmpty bool
	shows      bool // the command shows what it reads, and not how many are done

	opened *os.File    // nil for arguments and standard input
	was    os.FileInfo // when it was opened
	count  int         // accounts read
	bad    bool        // some lines were not accounts
}

func (l *accountList) flags() {
	flags := l.cmd.Flags()
	flags.StringVar(&l.file, "file", "", "`file` with an account on each line, - for standard input")
	flags.BoolVar(&l.allowEmpty, "allow-empty", false, "a file without accounts is not an error")
	appFlags(flags)
}

// with calls do with the accounts and a client whose requests pass a gate.
func (l *accountList) with(do func(*timpush.Client, *gate, iter.Seq2[string, error]) error) error {
	accounts, err := l.open()
	if err != nil {
		return err
	}
	defer func() { _ = l.opened.Close() }()
	s, err := loadSettings(l.cmd)
	if err != nil {
		return err
	}
	g := newGate()
	g.limiter = timpush.NewLimiter(s.Rate)
	client, err := newClientOf(s, g.options()...)
	if err != nil {
		return err
	}
	err = do(client, g, accounts)
	switch {
	case err != nil && !isExitSome(err):
		return err
	case l.count == 0 && !l.bad && !l.allowEmpty:
		return fatal(fmt.Errorf("%s: there are no accounts in it: give --allow-empty if that is right", input.Display(l.file)))
	}
	if err := l.unchanged(); err != nil { // since its end was read: a program may still be writing it
		return fatal(err)
	}
	if l.bad {
		return exitStatus(true)
	}
	return err
}

func isExitSome(err error) bool {
	e, ok := errors.AsType[*exitError](err)
	return ok && e.code == exitSome
}

// open returns the accounts of the arguments or of the file.
func (l *accountList) open() (accounts iter.Seq2[string, error], err error) {
	fault := argumentFault(l.args)
	file := slices.IndexFunc(l.args, isFile)
	switch {
	case l.file == "" && len(l.args) == 0:
		return nil, usage(errors.New("which accounts? give them, or --file FILE with one on each line"))
	case l.file != "" && len(l.args) > 0:
		return nil, usage(errors.New("give either accounts or --file, not both"))
	case slices.Contains(l.args, ""):
		return nil, usage(errors.New("an account is empty; is a variable not set?"))
	case fault != nil:
		return nil, usage(fault)
	case file >= 0:
		return nil, usage(fmt.Errorf("%s is no account: the accounts of a file are read with --file %[1]s, one on each line", text.Quote(l.args[file])))
	case l.file == "":
		return l.arguments, nil
	case l.file == "-":
		return l.lines(l.cmd.InOrStdin()), nil
	}
	opened, from, err := openFile(l.cmd.Context(), l.file)
	if err != nil {
		return nil, fatal(err)
	}
	l.opened = opened
	if l.was, err = opened.Stat(); err != nil {
		_ = opened.Close()
		return nil, fatal(err)
	}
	return l.linesOfFile(from), nil
}

// argumentFault refuses accounts among arguments that have white space around them, or characters that cannot be seen, as what was
// copied from a page may have: they would be other accounts.
func argumentFault(accounts []string) error {
	for _, account := range accounts {
		if text.Trim(account) != account {
			return fmt.Errorf("account %q: there is white space around it", account)
		}
		if reason, _ := text.AccountFault(account); reason != "" {
			return fmt.Errorf("account %q: %s", account, reason)
		}
	}
	return nil
}

// dataFile is the name of a file with a list or a table.
var dataFile = regexp.MustCompile(`(?i)\.(?:csv|tsv|txt|xlsx?|ndjson|jsonl?|parquet)(?:\.gz|\.zst)?$`)

// isFile reports whether an account among arguments is the name of a file, or of standard input, as other commands take it: an account of that
// name would get what is meant for those in the file.
func isFile(account string) bool {
	if account == "-" || dataFile.MatchString(account) {
		return true
	}
	if !strings.ContainsAny(account, `/\`) { // a file called mary is no reason to refuse mary
		return false
	}
	info, err := os.Stat(account)
	return err == nil && info.Mode().IsRegular()
}

// linesOfFile returns the accounts of a file, and then an error if it was changed meanwhile.
func (l *accountList) linesOfFile(r io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for account, err := range l.lines(r) {
			if !yield(account, err) {
				return
			}
		}
		if err := l.unchanged(); err != nil {
			yield("", err)
		}
	}
}

// unchanged returns [input.ErrChanged] if the file has been written to since it was opened.
func (l *accountList) unchanged() error {
	if err := input.Unchanged(l.opened, l.was); err != nil {
		return fmt.Errorf("%s: %w", input.Display(l.file), err)
	}
	return nil
}

// unlessRounded returns the accounts, or an error if the first n of a file are rounded.
func (l *accountList) unlessRounded(accounts iter.Seq2[string, error], n int) iter.Seq2[string, error] {
	if l.file == "" { // what is written on a command line is meant
		return accounts
	}
	return func(yield func(string, error) bool) {
		var first []string
		var rounding input.Rounding
		checked := false
		pass := func() bool {
			checked = true
			if err := rounding.Fault("as arguments"); err != nil {
				yield("", fmt.Errorf("%s: %w", input.Display(l.file), err))
				return false
			}
			return !slices.ContainsFunc(first, func(account string) bool { return !yield(account, nil) })
		}
		for account, err := range accounts {
			if err == nil && len(first) < n && !checked {
				first = append(first, account)
				rounding.Add(account)
				continue
			}
			if !checked && !pass() || !yield(account, err) {
				return
			}
		}
		if !checked {
			pass()
		}
	}
}

func (l *accountList) arguments(yield func(string, error) bool) {
	for _, account := range l.args {
		l.count++
		if !yield(account, nil) {
			return
		}
	}
}

// quotedOrMore is a line of CSV or JSON: its text is in quotation marks, it is an object or an array or begins one, or there is a delimiter in
// it. A bar is no sign of one: accounts of Auth0 have one.
var quotedOrMore = regexp.MustCompile(`^".*"$|^\{\s*".*\}$|^\[\s*".*\]$|^[[{]?[\]}]?$|[,;]`)

// lines returns the accounts of a file. A line that is not one is printed, and the others follow.
func (l *accountList) lines(r io.Reader) iter.Seq2[string, error] {
	name, say := input.Display(l.file), func(format string, args ...any) { _, _ = fmt.Fprintf(l.cmd.ErrOrStderr(), format+"\n", args...) }
	return func(yield func(string, error) bool) {
		first := true
		for line, err := range text.Lines(r, maxAccount) {
			if err == nil {
				err = listFault(line, first)
			}
			_, isFault := errors.AsType[*text.Error](err)
			switch {
			case isFault:
				l.bad = true
				say("%s:%v", name, err)
			case err != nil:
				yield("", fmt.Errorf("%s: %w", name, err))
				return
			case isHeader(line.Text):
				say("%s:%d: %s is taken for a header, not for an account", name, line.Number, line.Text)
			default:
				if l.count++; !yield(line.Text, nil) {
					return
				}
			}
			first = false
		}
	}
}

func isHeader(line string) bool { return strings.EqualFold(line, "To_Account") }

// listFault says why a line is no account, and neither the header that the first may be. If the error is not a [text.Error], the file is no list.
func listFault(line text.Line, first bool) error {
	const noList = "it is CSV or NDJSON, and a list has the account alone on each line: save that column alone, and give an account with a comma or a semicolon in it as an argument"
	quoted := quotedOrMore.MatchString(line.Text)
	switch {
	case first && input.IsPage(line.Text):
		return input.ErrPage
	case first && isHeader(line.Text):
		return nil
	case first && (quoted || strings.Contains(strings.ToLower(line.Text), "to_account")):
		return errors.New(noList)
	case quoted:
		return line.Fault(0, noList)
	case isHeader(line.Text):
		return line.Fault(0, "it names the column, and is no account: were lists joined?")
	}
	if reason, at := text.AccountFault(line.Text); reason != "" {
		return line.Fault(at, reason)
	}
	if reason := text.NotMeant(line.Text); reason != "" {
		return line.Fault(0, reason)
	}
	if input.NoAccount(line.Text) {
		return line.Fault(0, line.Text+" may mean that there is no account: give it as an argument if it is one")
	}
	return nil
}

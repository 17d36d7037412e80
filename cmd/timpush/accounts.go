package main

import (
	"context"
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

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

const getAttrExample = `  timpush get-attr mary bob
  timpush get-attr --file accounts.txt > attributes.ndjson    # an input for set-attr`

const removeAttrExample = `  timpush remove-attr --names city,sex mary bob
  timpush remove-attr --names city --file accounts.txt`

// maxAccount bounds a line of a list of accounts, in bytes.
const maxAccount = 4096

// accountList is the accounts of a command: its arguments, or the lines of a file.
type accountList struct {
	cmd        *cobra.Command
	args       []string
	file       string
	allowEmpty bool
	shows      bool // the command shows what it reads, and not how many are done

	count int  // accounts read
	bad   bool // some lines were not accounts
}

func (l *accountList) flags() {
	flags := l.cmd.Flags()
	flags.StringVar(&l.file, "file", "", "`file` with an account on each line, - for standard input")
	flags.BoolVar(&l.allowEmpty, "allow-empty", false, "a file without accounts is not an error")
	appFlags(flags)
}

func newGetAttr() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get-attr [ACCOUNT...]", Short: "Read attributes of accounts", Example: getAttrExample,
		Long: "Read the attributes of accounts, given as arguments or in a file with one on each line.\n\n" +
			"Each line of the output is an object, {\"To_Account\":\"mary\",\"Attrs\":{\"city\":\"Rome\"}}. Errors are printed to standard error.",
	}
	list := &accountList{cmd: cmd}
	list.flags()
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		list.args = args
		return list.with(func(client *timpush.Client, _ *gate, accounts iter.Seq2[string, error]) error {
			return getAttr(cmd, client, list.unlessRounded(accounts, timpush.MaxUsersPerRequest))
		})
	}
	return cmd
}

// with calls do with the accounts and a client whose requests pass a gate.
func (l *accountList) with(do func(*timpush.Client, *gate, iter.Seq2[string, error]) error) error {
	accounts, closeFile, err := l.open()
	if err != nil {
		return err
	}
	defer closeFile()
	s, err := loadSettings(l.cmd)
	if err != nil {
		return err
	}
	warn(l.cmd, s)
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
	case l.bad:
		return exitStatus(true)
	}
	return err
}

func isExitSome(err error) bool {
	e, ok := errors.AsType[*exitError](err)
	return ok && e.code == exitSome
}

func getAttr(cmd *cobra.Command, client *timpush.Client, accounts iter.Seq2[string, error]) error {
	out := plainJSON(cmd.OutOrStdout())
	some, failing, requests := false, 0, 0
	for batch, err := range client.GetAttrSeq(cmd.Context(), accounts) {
		requests++
		for i, user := range batch.Users {
			if batch.Outcomes[i] != timpush.Done {
				continue
			}
			if err := out.Encode(struct {
				ToAccount string        `json:"To_Account"`
				Attrs     timpush.Attrs `json:"Attrs"`
			}{user.ToAccount, user.Attrs}); err != nil {
				return fatal(err)
			}
		}
		if cmd.Context().Err() != nil {
			return fatal(fmt.Errorf("stopped early: %w", errInterrupted))
		}
		var partial *timpush.PartialError
		switch {
		case errors.As(err, &partial):
			some = true
			printUsers(cmd.ErrOrStderr(), partial)
		case err != nil:
			return fatal(err)
		}
		if failing++; !isOutage(partial, len(batch.Users)) {
			failing = 0
		}
		if failing == partRequests {
			return errOutage
		}
	}
	if failing > 0 && failing == requests {
		return errOutage
	}
	return exitStatus(some)
}

// partRequests is how many requests of a command that works on accounts may fail in a row, until it stops.
const partRequests = 50

// partAccounts is how many accounts are handed to the client at a time, so that a file of any size does.
const partAccounts = partRequests * timpush.MaxUsersPerRequest

var errOutage = fatal(errors.New("stopped early: requests fail for all accounts, and the rest was left out"))

// isOutage reports whether none of n accounts is done, and not because the service has refused the data of each of them.
func isOutage(partial *timpush.PartialError, n int) bool {
	if partial == nil {
		return false
	}
	failed := false
	for u := range partial.Users() {
		n--
		failed = failed || u.Outcome != timpush.Rejected || !bulk.AboutData(u)
	}
	return failed && n <= 0
}

// stopOf returns the code for which the service refuses to go on, such as that of a wrong key or of a quota of the day, or 0: accounts were
// then left out.
func stopOf(partial *timpush.PartialError) timpush.Code {
	if partial == nil {
		return 0
	}
	for u := range partial.Users() {
		code, ok := errors.AsType[timpush.Code](u)
		if ok && u.Outcome == timpush.NotSent && !code.Retryable() && !code.DataFault() {
			return code
		}
	}
	return 0
}

// exitStatus returns the error of a command that has done all, or not some of it.
func exitStatus(some bool) error {
	if some {
		return &exitError{code: exitSome}
	}
	return nil
}

func printUsers(out io.Writer, partial *timpush.PartialError) {
	for u := range partial.Users() {
		_, _ = fmt.Fprintf(out, "%q %s: %v\n", u.ToAccount, u.Outcome, u.Err)
	}
}

func newRemoveAttr() *cobra.Command {
	var names []string
	cmd := &cobra.Command{
		Use: "remove-attr --names NAME,... [ACCOUNT...]", Short: "Remove attributes of accounts", Example: removeAttrExample,
		Long: "Remove the named attributes of accounts, given as arguments or in a file with one on each line.",
	}
	list := &accountList{cmd: cmd}
	list.flags()
	cmd.Flags().StringSliceVar(&names, "names", nil, "`names` of the attributes")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(names) == 0 {
			return usage(errors.New("which attributes? give --names, and see --help"))
		}
		return list.inParts(args, func(ctx context.Context, client *timpush.Client, accounts []string) (*timpush.Result, error) {
			users := make([]timpush.UserAttrNames, len(accounts))
			for i, account := range accounts {
				users[i] = timpush.UserAttrNames{ToAccount: account, Names: names}
			}
			return client.RemoveAttr(ctx, users)
		})
	}
	return cmd
}

// open returns the accounts of the arguments or of the file.
func (l *accountList) open() (accounts iter.Seq2[string, error], closeFile func(), err error) {
	fault := argumentFault(l.args)
	file := slices.IndexFunc(l.args, isFile)
	switch {
	case l.file == "" && len(l.args) == 0:
		return nil, nil, usage(errors.New("which accounts? give them, or --file FILE with one on each line"))
	case l.file != "" && len(l.args) > 0:
		return nil, nil, usage(errors.New("give either accounts or --file, not both"))
	case slices.Contains(l.args, ""):
		return nil, nil, usage(errors.New("an account is empty; is a variable not set?"))
	case fault != nil:
		return nil, nil, usage(fault)
	case file >= 0:
		return nil, nil, usage(fmt.Errorf("%s is no account: the accounts of a file are read with --file %[1]s, one on each line", text.Quote(l.args[file])))
	case l.file == "":
		return l.arguments, func() {}, nil
	case l.file == "-":
		return l.lines(l.cmd.InOrStdin()), func() {}, nil
	}
	f, from, err := openFile(l.cmd.Context(), l.file)
	if err != nil {
		return nil, nil, fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, nil, fatal(err)
	}
	return l.linesOf(f, from, info), func() { _ = f.Close() }, nil
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

// linesOf returns the accounts of a file, and then an error if it was changed meanwhile.
func (l *accountList) linesOf(f *os.File, from io.Reader, was os.FileInfo) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for account, err := range l.lines(from) {
			if !yield(account, err) {
				return
			}
		}
		if err := input.Unchanged(f, was); err != nil {
			yield("", fmt.Errorf("%s: %w", l.file, err))
		}
	}
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
var quotedOrMore = regexp.MustCompile(`^".*"$|^\{\s*".*\}$|^\[\s*".*\]$|^[[{\]}]$|[,;]`)

// lines returns the accounts of a file. A line that is not one is printed, and the others follow.
func (l *accountList) lines(r io.Reader) iter.Seq2[string, error] {
	name, say := input.Display(l.file), func(format string, args ...any) { _, _ = fmt.Fprintf(l.cmd.ErrOrStderr(), format+"\n", args...) }
	return func(yield func(string, error) bool) {
		first := true
		for line, err := range text.Lines(r, maxAccount) {
			names := strings.EqualFold(line.Text, "To_Account")
			header := first && names
			const noList = "it is CSV or NDJSON, and a list has the account alone on each line: save that column alone, and give an account with a comma or a semicolon in it as an argument"
			quoted := quotedOrMore.MatchString(line.Text)
			switch {
			case first && input.IsPage(line.Text):
				err = input.ErrPage
			case first && !header && (quoted || strings.Contains(strings.ToLower(line.Text), "to_account")):
				err = errors.New(noList)
			case quoted:
				err = line.Fault(0, noList)
			case names && !first:
				err = line.Fault(0, "it names the column, and is no account: were lists joined?")
			}
			first = false
			if reason, at := text.AccountFault(line.Text); err == nil && reason != "" {
				err = line.Fault(at, reason)
			}
			if reason := text.NotMeant(line.Text); err == nil && reason != "" {
				err = line.Fault(0, reason)
			}
			if err == nil && input.NoAccount(line.Text) {
				err = line.Fault(0, line.Text+" may mean that there is no account: give it as an argument if it is one")
			}
			_, isFault := errors.AsType[*text.Error](err)
			switch {
			case isFault:
				l.bad = true
				say("%s:%v", name, err)
			case err != nil:
				yield("", fmt.Errorf("%s: %w", name, err))
				return
			case header:
				say("%s:%d: %s is taken for a header, not for an account", name, line.Number, line.Text)
			default:
				if l.count++; !yield(line.Text, nil) {
					return
				}
			}
		}
	}
}

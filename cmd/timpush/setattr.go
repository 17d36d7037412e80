package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/text/encoding/htmlindex"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/checkpoint"
	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
)

const setAttrLong = `Set attributes of the users in files: CSV, NDJSON, Parquet, or Excel (.xlsx). CSV and NDJSON may be compressed with gzip or
zstd, and in UTF-8 or UTF-16. - is standard input.

CSV and Excel: the first row names the columns. One is the account, the others are attributes; an empty cell leaves its
attribute unchanged. Of a workbook the first visible sheet is read, or --sheet, with numbers and dates as it shows them.
NDJSON: each line is an object, {"To_Account":"mary","city":"Rome"}; null leaves the attribute unchanged, "" is sent. The form
of the API, {"To_Account":"mary","Attrs":{"city":"Rome"}}, is read as well; --map does not change its names. Parquet: as CSV.

Before the first request the tool shows how it reads the file, and compares the columns with the app's attributes.
--dry-run stops there, after reading everything once.

Up to three files are written next to the first input (for standard input, in the current directory):
  FILE.checkpoint       the rows that are finished. If the run is interrupted, even by kill -9 or a power failure, run the same
                        command again to resume it. The file is removed when the run is complete.
  FILE.failed.ndjson    users that are worth sending again, with the reason. It is an input for set-attr.
  FILE.rejected.ndjson  rows that are invalid or that the service refused, with file, line, column and reason.
The result files of an earlier run are kept under names with the time of that run.

If an account comes several times, its last row wins.

Exit codes: 0 all done, 1 some rows rejected or failed, 2 the command line or the configuration is wrong, 3 stopped early.`

const setAttrExample = `  timpush set-attr users.csv
  timpush set-attr --account uid --map town=city --ignore note users.csv
  timpush set-attr --sheet Customers customers.xlsx
  timpush set-attr --dry-run 'export/*.csv.gz'
  zcat users.ndjson.gz | timpush set-attr --format ndjson -
  timpush set-attr users.csv.failed.ndjson`

// fileFlags say how a file of accounts is read.
type fileFlags struct {
	reading           input.Options
	format, delimiter string
	encoding          string
	null              []string
}

func (f *fileFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.reading.Account, "account", "To_Account", "`column` of the account")
	flags.StringVar(&f.format, "format", "auto", "`format`: csv, ndjson, parquet or xlsx; if not given, by the content and the name of the file")
	flags.StringVar(&f.delimiter, "delimiter", "", "`character` between the fields of CSV, or tab; if not given, by the first line")
	flags.StringVar(&f.encoding, "encoding", "", "`encoding` of CSV, such as windows-1252 or gbk; if not given, UTF-8 or UTF-16, by the content")
	flags.StringVar(&f.reading.Sheet, "sheet", "", "`name` of the sheet of a workbook; if not given, the first that is not hidden")
	flags.StringSliceVar(&f.null, "null", nil, "`texts` such as NULL that count as an empty cell, beside \\N; --null= for none")
}

// parse parses the flags.
func (f *fileFlags) parse(flags *pflag.FlagSet) error {
	f.reading.Format = input.Format(f.format)
	if !slices.Contains([]input.Format{input.Auto, input.CSV, input.NDJSON, input.Parquet, input.Excel}, f.reading.Format) {
		return fmt.Errorf("--format %s: want csv, ndjson, parquet or xlsx", f.format)
	}
	if flags.Changed("null") {
		f.reading.Null = append([]string{}, f.null...)
	}
	if f.encoding != "" {
		e, err := htmlindex.Get(f.encoding)
		if err != nil {
			return fmt.Errorf("--encoding %s: it is not known; want windows-1252, gbk or another of https://encoding.spec.whatwg.org/#names-and-labels", f.encoding)
		}
		f.reading.Encoding = e
	}
	return f.parseDelimiter()
}

func (f *fileFlags) parseDelimiter() error {
	switch f.delimiter {
	case "":
		return nil
	case "tab", `\t`:
		f.delimiter = "\t"
	}
	r, size := utf8.DecodeRuneInString(f.delimiter)
	if size != len(f.delimiter) || !input.ValidDelimiter(r) {
		return fmt.Errorf("--delimiter %q: want one character, or tab", f.delimiter)
	}
	f.reading.Delimiter = r
	return nil
}

// job is one set-attr.
type job struct {
	cmd      *cobra.Command
	args     []string
	settings *settings.Settings
	input    *input.Input
	reporter *reporter

	fileFlags
	names                 map[string]string
	accountType           string
	dryRun, preflight     bool
	asJSON, quiet         bool
	checkpoint            string
	noCheckpoint, restart bool
	failures, rejects     string
	giveUp                int
}

func newSetAttr() *cobra.Command {
	j := &job{}
	cmd := &cobra.Command{
		Use: "set-attr FILE...", Short: "Set attributes of the users in files", Long: setAttrLong, Example: setAttrExample,
		Args: usageArgs(someFiles),
		RunE: func(cmd *cobra.Command, args []string) error {
			j.cmd, j.args = cmd, args
			return j.run(cmd.Context())
		},
	}
	j.readingFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&j.dryRun, "dry-run", false, "read and check everything, and send nothing")
	flags.BoolVar(&j.preflight, "preflight", false, "do not send users that the app's attributes show will be refused")
	flags.StringVar(&j.checkpoint, "checkpoint", "", "`file` of the checkpoint (FILE.checkpoint)")
	flags.BoolVar(&j.noCheckpoint, "no-checkpoint", false, "write no checkpoint: an interrupted run cannot be resumed")
	flags.BoolVar(&j.restart, "restart", false, "do not resume an interrupted run: begin with the first row")
	flags.StringVar(&j.failures, "failures", "", "`file` for users that are worth sending again (FILE.failed.ndjson)")
	flags.StringVar(&j.rejects, "rejects", "", "`file` for rows that are invalid or refused (FILE.rejected.ndjson)")
	flags.IntVar(&j.giveUp, "give-up", 64, "stop after this many `requests` in a row that failed for all of their users; 0: never")
	return cmd
}

func newPreflight() *cobra.Command {
	j := &job{dryRun: true, preflight: true}
	cmd := &cobra.Command{
		Use: "preflight FILE...", Short: "Find the users in files that will be refused, without sending any", Args: usageArgs(someFiles),
		Long: "Read and check everything, read the app's attributes, and show which users the service will refuse.\n" +
			"It is set-attr --dry-run --preflight: nothing is written.",
		Example: "  timpush preflight users.csv\n  timpush preflight --account-type registrationid devices.csv",
		RunE: func(cmd *cobra.Command, args []string) error {
			j.cmd, j.args = cmd, args
			return j.run(cmd.Context())
		},
	}
	j.readingFlags(cmd)
	return cmd
}

func someFiles(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("which files? give their names, or - for standard input")
	}
	return nil
}

// readingFlags are the flags about the input.
func (j *job) readingFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	j.add(flags)
	flags.StringToStringVar(&j.names, "map", nil, "`column=attribute`, where they differ; may be given several times")
	flags.StringSliceVar(&j.reading.Ignore, "ignore", nil, "`columns` that are not attributes")
	flags.StringSliceVar(&j.reading.Only, "only", nil, "`columns` that are attributes; no other column is")
	flags.BoolVar(&j.reading.Trim, "trim", false, "remove white space around values")
	flags.BoolVar(&j.reading.AllowEmpty, "allow-empty", false, "a file without rows is not an error")
	flags.StringVar(&j.accountType, "account-type", "", "`type` of all accounts, userid or registrationid, for --preflight")
	flags.BoolVar(&j.asJSON, "json", false, "write events as JSON lines to standard output, for a program")
	flags.BoolVarP(&j.quiet, "quiet", "q", false, "show the summary only")
	appFlags(flags)
}

func (j *job) run(ctx context.Context) error {
	if err := j.check(); err != nil {
		return usage(err)
	}
	gate := newGate()
	client, err := j.client(gate)
	if err != nil {
		return err
	}
	j.reading.Stopped = stoppedBy(ctx)
	if j.input, err = input.New(j.args, j.reading, j.cmd.InOrStdin()); err != nil {
		return inputError(err)
	}
	defer func() { j.input.Close() }()
	j.reporter = newReporter(j.cmd.OutOrStdout(), j.cmd.ErrOrStderr(), j.asJSON, j.quiet)
	j.reporter.dry = j.dryRun
	j.reporter.quota = max(j.settings.Rate, timpush.DefaultQPS)
	described, err := j.describe()
	if err != nil {
		return inputError(err)
	}
	attempt := func() (*bulk.Run, error) {
		r := &bulk.Run{Client: client, Input: j.input, GiveUp: j.giveUp, Reporter: j.reporter}
		return r, j.send(ctx, described, r, gate)
	}
	r, err := attempt()
	if errors.Is(err, bulk.ErrChanged) { // found late, as the beginning of the file is the same
		j.reporter.note("%v: beginning again with the first row", err)
		j.restart = true
		j.input.Close()
		if j.input, err = input.New(j.args, j.reading, j.cmd.InOrStdin()); err != nil {
			return inputError(err)
		}
		r, err = attempt()
	}
	if j.dryRun {
		return j.finishDry(r, err)
	}
	return j.finish(r, err)
}

// stoppedBy returns a function that returns errInterrupted once ctx has ended.
func stoppedBy(ctx context.Context) func() error {
	return func() error {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return nil
	}
}

// inputError is the error of an input of which nothing was sent.
func inputError(err error) error {
	if errors.Is(err, errInterrupted) {
		return fatal(errInterrupted) // the file is not damaged
	}
	if _, ok := errors.AsType[*input.FlagError](err); ok {
		return usage(err)
	}
	return fatal(err)
}

// send sends the rows that are left to send, or in a dry run checks them.
func (j *job) send(ctx context.Context, described []*input.Description, r *bulk.Run, gate *gate) error {
	if j.dryRun {
		r.Names, r.GiveUp = map[string]int64{}, 0
	} else if err := j.openState(r); err != nil {
		return err
	}
	if err := j.compare(ctx, described, r); err != nil {
		return err
	}
	if !j.dryRun {
		if err := j.openResults(r); err != nil {
			return suggestFlags(err, "--failures, --rejects and --checkpoint")
		}
		j.reporter.rejects = j.rejects
	}
	stopped := context.AfterFunc(ctx, r.Stop)
	defer stopped()
	say := j.reporter.say
	if j.dryRun {
		say = func(string) {} // no request is in flight
	}
	err := gate.untilStopped(ctx, say, r.Do)
	if err == nil {
		err = j.input.Changed()
	}
	_, isFlag := errors.AsType[*input.FlagError](err)
	switch {
	case isFlag && r.Rows() == 0: // of standard input, which is not looked at before
		err = usage(err)
	case errors.Is(err, bulk.ErrChanged) && slices.Contains(j.input.Files(), input.Stdin):
		err = errOtherStdin
	case errors.Is(err, bulk.ErrChanged):
		_ = closeState(r, false) // the next attempt opens it
	case err == nil && r.Rows() == 0 && !j.reading.AllowEmpty:
		err = fmt.Errorf("%s: there are no rows, only the line that names the columns or nothing: give --allow-empty if that is right", strings.Join(j.args, ", "))
	case err == nil && r.Rows() > 0:
		err = j.checkMembers(r)
	}
	return err
}

// errNoMember is the error of a run that has read all rows for nothing. No run can resume it.
var errNoMember = errors.New("no row has the member")

// errOtherStdin is the error of a run that finds late that standard input is another one than that of the run it resumes: it cannot
// be read again. No run can resume it either.
var errOtherStdin = errors.New("standard input is not what the interrupted run has read, and cannot be read again: " +
	"run the same command again, which will begin with the first row")

// noAccounts is the error of a run whose rows lack the member with the account.
func noAccounts(member string) error {
	return usage(fmt.Errorf("%w %q, which is to hold the account: --account names another", errNoMember, member))
}

// checkMembers says which columns of --only and --map no row has had, where that is known only at the end. If no row has the account,
// or flags have left out all attributes for that, it is an error, as in a table.
func (j *job) checkMembers(r *bulk.Run) error {
	absent := j.input.Absent()
	if slices.Contains(absent, j.reading.Account) {
		return noAccounts(j.reading.Account)
	}
	attrs := slices.DeleteFunc(slices.Clone(j.reading.Only), func(c string) bool { return c == j.reading.Account })
	left := slices.ContainsFunc(attrs, func(c string) bool { return !slices.Contains(absent, c) })
	if len(absent) > 0 && len(attrs) > 0 && !left && r.Counts.Rejected == 0 {
		return usage(fmt.Errorf("%w %q, which --only names: there is nothing to set", errNoMember, attrs[0]))
	}
	for _, column := range absent {
		j.reporter.note("no row has the member %q, which --only or --map names", column)
	}
	return nil
}

// check parses the flags.
func (j *job) check() error {
	j.reading.Names = j.names
	if err := j.parse(j.cmd.Flags()); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{"", "userid", "registrationid"}, j.accountType):
		return fmt.Errorf("--account-type %s: want userid or registrationid", j.accountType)
	case j.accountType != "" && !j.preflight:
		return errors.New("--account-type is for --preflight: give both, or neither")
	case j.noCheckpoint && j.checkpoint != "":
		return errors.New("give either --checkpoint or --no-checkpoint, not both")
	}
	for column, name := range j.names {
		if name == "" {
			return fmt.Errorf("--map %s=: want column=attribute", printable(column))
		}
	}
	if err := j.checkAccount(); err != nil {
		return err
	}
	if j.giveUp < 0 {
		return errors.New("--give-up: want 0 or more")
	}
	j.nameFiles()
	return j.checkNames()
}

// checkAccount refuses flags that take the column of the account for an attribute.
func (j *job) checkAccount() error {
	_, mapped := j.names[j.reading.Account]
	only := slices.ContainsFunc(j.reading.Only, func(c string) bool { return c != j.reading.Account })
	what := ""
	switch {
	case mapped:
		what = "--map"
	case slices.Contains(j.reading.Ignore, j.reading.Account):
		what = "--ignore"
	case len(j.reading.Only) > 0 && !only:
		what = "--only"
	default:
		return nil
	}
	return fmt.Errorf("%s %s: it is the column of the account, and no attribute", what, printable(j.reading.Account))
}

// nameFiles finds the names of the files that are written.
func (j *job) nameFiles() {
	base := j.args[0]
	if base == input.Stdin {
		base = "stdin"
		j.noCheckpoint = j.noCheckpoint || j.checkpoint == ""
	} else if files, err := input.Expand(j.args[:1]); err == nil {
		base = slices.Min(files)
	}
	j.checkpoint = cmp.Or(j.checkpoint, base+".checkpoint")
	j.failures = cmp.Or(j.failures, base+".failed.ndjson")
	j.rejects = cmp.Or(j.rejects, base+".rejected.ndjson")
}

// beside names a file as seen from the directory of the checkpoint: it is the same one for each name of the input.
func (j *job) beside(name string) string {
	seen, err := filepath.Rel(filepath.Dir(place(j.checkpoint)), place(name))
	if err != nil { // on another drive
		return place(name)
	}
	return seen
}

// client makes the client, whose requests pass the gate. That of a dry run sends nothing.
func (j *job) client(gate *gate) (client *timpush.Client, err error) {
	var options []timpush.Option
	if j.preflight {
		options = append(options, timpush.WithPreflight())
		if j.accountType != "" {
			t := accountTypes[j.accountType]
			options = append(options, timpush.WithAccountTypes(func(string) timpush.AccountType { return t }))
		}
	}
	if j.dryRun {
		return j.dryClient(gate, options)
	}
	if j.settings, err = loadSettings(j.cmd); err != nil {
		return nil, err
	}
	gate.limiter = timpush.NewLimiter(j.settings.Rate)
	return newClientOf(j.settings, append(options, gate.options()...)...)
}

// checkpointJob returns what the checkpoint belongs to.
func (j *job) checkpointJob() (checkpoint.Job, error) {
	s := j.settings
	what := checkpoint.Job{App: fmt.Sprintf("%d at %s", s.SDKAppID, s.Service()), Reading: map[string]string{
		"account": j.reading.Account, "map": fmt.Sprint(j.reading.Names), "ignore": fmt.Sprint(j.reading.Ignore),
		"only": fmt.Sprint(j.reading.Only), "format": j.format, "delimiter": j.delimiter, "encoding": j.encoding, "sheet": j.reading.Sheet,
		"null": fmt.Sprintf("%q", j.reading.Null), "trim": fmt.Sprint(j.reading.Trim), "failures": j.beside(j.failures), "rejects": j.beside(j.rejects),
	}}
	if j.reading.Null != nil && len(j.reading.Null) == 0 { // --null=, which is not the same as no flag
		what.Reading["null"] = "none"
	}
	for _, name := range j.input.Files() {
		print, err := checkpoint.FingerprintOf(name)
		if err != nil {
			return what, err
		}
		what.Inputs = append(what.Inputs, print)
	}
	return what, nil
}

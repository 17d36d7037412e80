package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/checkpoint"
	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
)

// patience is how long requests under way may take to end after Ctrl-C.
const patience = 10 * time.Second

const setAttrLong = `Set attributes of the users in files: CSV, NDJSON or Parquet, plain or compressed with gzip or zstd; - is standard input.

CSV: the first line names the columns. One is the account, the others are attributes; an empty cell leaves its attribute alone.
NDJSON: each line is an object, {"To_Account":"mary","city":"Rome"}; null leaves alone, "" is sent. The form of the API,
{"To_Account":"mary","Attrs":{"city":"Rome"}}, is read as well. Parquet: as CSV.

Three files are written next to the first input; where it is standard input, only the latter two, here:
  FILE.checkpoint       what has been dealt with. If the run is interrupted, even by kill -9 or a power failure, run the same
                        command again: it goes on. It is removed when nothing is left to do.
  FILE.failed.ndjson    users that are worth another try, and why: feed it in as it is.
  FILE.rejected.ndjson  rows that are wrong or were refused for good, with file, line, column and reason.

An account may come several times: the last row wins, in all circumstances.

Exit codes: 0 all done, 1 some are rejected or failed, 2 the command line or the configuration is wrong, 3 stopped before the end.`

const setAttrExample = `  timpush set-attr users.csv
  timpush set-attr --account uid --map town=city --ignore note users.csv
  timpush set-attr --dry-run 'export/*.csv.gz'
  zcat users.ndjson.gz | timpush set-attr --format ndjson -
  timpush set-attr users.csv.failed.ndjson`

// job is one set-attr.
type job struct {
	cmd   *cobra.Command
	args  []string
	input *input.Input

	reading               input.Options
	format, delimiter     string
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
	flags.BoolVar(&j.preflight, "preflight", false, "ask for the app's attributes first, and do not send what is certain to be refused")
	flags.StringVar(&j.checkpoint, "checkpoint", "", "`file` of the checkpoint (FILE.checkpoint)")
	flags.BoolVar(&j.noCheckpoint, "no-checkpoint", false, "keep none: an interrupted run begins anew")
	flags.BoolVar(&j.restart, "restart", false, "forget an interrupted run, its failures and its rejects")
	flags.StringVar(&j.failures, "failures", "", "`file` for what is worth another try (FILE.failed.ndjson)")
	flags.StringVar(&j.rejects, "rejects", "", "`file` for what is not (FILE.rejected.ndjson)")
	flags.IntVar(&j.giveUp, "give-up", 64, "stop after so many `requests` in a row without a user done; 0: never")
	return cmd
}

func newPreflight() *cobra.Command {
	j := &job{dryRun: true, preflight: true}
	cmd := &cobra.Command{
		Use: "preflight FILE...", Short: "Find the users in files that are certain to be refused, without sending any", Args: usageArgs(someFiles),
		Long: "Read and check everything, ask for the app's attributes, and tell which users are certain to be refused.\n" +
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
		return errors.New("which files? name some, or - for standard input")
	}
	return nil
}

// readingFlags are the flags about the input.
func (j *job) readingFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&j.reading.Account, "account", "To_Account", "`column` of the account")
	flags.StringToStringVar(&j.names, "map", nil, "`column=attribute`, where they differ; may be given several times")
	flags.StringSliceVar(&j.reading.Ignore, "ignore", nil, "`columns` that are no attributes")
	flags.StringSliceVar(&j.reading.Only, "only", nil, "`columns` that are attributes; all others are not")
	flags.StringVar(&j.format, "format", "auto", "`format`: csv, ndjson or parquet; by the name of the file if not given")
	flags.StringVar(&j.delimiter, "delimiter", ",", "`character` between the fields of CSV, or tab")
	flags.StringVar(&j.accountType, "account-type", "", "`type` of all accounts, userid or registrationid, for --preflight")
	flags.BoolVar(&j.asJSON, "json", false, "write events as JSON lines to standard output, for a program")
	flags.BoolVarP(&j.quiet, "quiet", "q", false, "no progress and no single rows, only the summary")
	appFlags(flags)
}

func (j *job) run(ctx context.Context) error {
	if err := j.check(); err != nil {
		return usage(err)
	}
	client, s, err := j.client()
	if err != nil {
		return err
	}
	in, err := input.New(j.args, j.reading, j.cmd.InOrStdin())
	if err != nil {
		return fatal(err)
	}
	j.input = in
	if j.preflight {
		if err := j.askNames(ctx, client); err != nil {
			return err
		}
	}
	r := &bulk.Run{Client: client, Input: in, GiveUp: j.giveUp}
	reporter := newReporter(j.cmd.OutOrStdout(), j.cmd.ErrOrStderr(), j.asJSON, j.quiet)
	reporter.quota, r.Reporter = max(s.Rate, timpush.DefaultQPS), reporter
	if j.dryRun {
		r.Names, r.GiveUp = map[string]int64{}, 0
		err := j.do(ctx, r, reporter)
		return j.finishDry(r, reporter, s, err)
	}
	if err := j.remember(r, s); err != nil {
		return fatal(err)
	}
	reporter.rejects = j.rejects
	err = j.do(ctx, r, reporter)
	return j.finish(r, reporter, err)
}

// check makes sense of the flags.
func (j *job) check() error {
	j.reading.Names = j.names
	j.reading.Format = input.Format(j.format)
	if !slices.Contains([]input.Format{input.Auto, input.CSV, input.NDJSON, input.Parquet}, j.reading.Format) {
		return fmt.Errorf("--format %s: want csv, ndjson or parquet", j.format)
	}
	if j.delimiter == "tab" || j.delimiter == `\t` {
		j.delimiter = "\t"
	}
	r, size := utf8.DecodeRuneInString(j.delimiter)
	if size == 0 || size != len(j.delimiter) || strings.ContainsRune("\"\r\n\ufffd", r) {
		return fmt.Errorf("--delimiter %q: want one character, or tab", j.delimiter)
	}
	j.reading.Delimiter = r
	if !slices.Contains([]string{"", "userid", "registrationid"}, j.accountType) {
		return fmt.Errorf("--account-type %s: want userid or registrationid", j.accountType)
	}
	if key, _ := j.cmd.Flags().GetString(settings.SecretKeyFile); key == "-" && slices.Contains(j.args, input.Stdin) {
		return errors.New("standard input cannot be both the users and the secret key")
	}
	if j.giveUp < 0 {
		return errors.New("--give-up: want 0 or more")
	}
	j.places()
	return nil
}

// places finds the names of the files that are written.
func (j *job) places() {
	base := j.args[0]
	if base == input.Stdin {
		base = "stdin"
		j.noCheckpoint = j.noCheckpoint || j.checkpoint == ""
	} else if strings.ContainsAny(base, "*?[") {
		if found, err := filepath.Glob(base); err == nil && len(found) > 0 {
			base = slices.Min(found)
		}
	}
	j.checkpoint = cmp.Or(j.checkpoint, base+".checkpoint")
	j.failures = cmp.Or(j.failures, base+".failed.ndjson")
	j.rejects = cmp.Or(j.rejects, base+".rejected.ndjson")
}

// client makes the client. That of a dry run sends nothing, and needs to know no app unless the names are asked for.
func (j *job) client() (*timpush.Client, *settings.Settings, error) {
	var options []timpush.Option
	if j.preflight {
		options = append(options, timpush.WithPreflight())
		if j.accountType != "" {
			t := map[string]timpush.AccountType{"userid": timpush.AccountTypeUserID, "registrationid": timpush.AccountTypeRegistrationID}[j.accountType]
			options = append(options, timpush.WithAccountTypes(func(string) timpush.AccountType { return t }))
		}
	}
	if !j.dryRun {
		return newClient(j.cmd, options...)
	}
	return j.dryClient(options)
}

// askNames refuses columns that are no attributes of the app before a single row is read.
func (j *job) askNames(ctx context.Context, client *timpush.Client) error {
	names, err := client.AttrNames(ctx)
	if err != nil {
		return fatal(fmt.Errorf("the names of the app's attributes cannot be read: %w", err))
	}
	var has []string
	for _, n := range names {
		has = append(has, n.Name)
	}
	columns, attrs := j.input.Columns()
	for i, attr := range attrs {
		if !slices.Contains(has, attr) {
			return fatal(fmt.Errorf("%s: the column %q is the attribute %q, which the app does not have (it has: %s): give --map %s=ATTRIBUTE or --ignore %s, or see: timpush names set",
				j.input.Files()[0], columns[i], attr, strings.Join(has, ", "), columns[i], columns[i]))
		}
	}
	return nil
}

// remember opens the checkpoint and the files of failures.
func (j *job) remember(r *bulk.Run, s *settings.Settings) (err error) {
	if err := j.apart(); err != nil {
		return err
	}
	if j.restart {
		if err := j.forget(); err != nil {
			return err
		}
	}
	known := []checkpoint.Extent{{}, {}}
	resumed := false
	if !j.noCheckpoint {
		if r.Log, err = j.openLog(s); err != nil {
			return elsewhere(err, "--checkpoint")
		}
		known, resumed = r.Log.Last.Extents, r.Log.Resumed
		j.tellResumed(r.Log)
	}
	if r.Failures, err = bulk.OpenSink(j.failures, resumed, known[0]); errors.Is(err, bulk.ErrThere) {
		err = fmt.Errorf("%w: feed it in, and then move it away; --restart removes it", err)
	} else if err == nil {
		r.Rejects, err = bulk.OpenSink(j.rejects, resumed, known[1])
		if errors.Is(err, bulk.ErrThere) {
			err = fmt.Errorf("%w: move it away; --restart removes it", err)
		}
	}
	if err != nil {
		if r.Log != nil && !resumed {
			_ = r.Log.Remove()
		}
		return errors.Join(elsewhere(err, "--failures, --rejects and --checkpoint"), r.Failures.Close())
	}
	return nil
}

// elsewhere says how to write in another place.
func elsewhere(err error, flags string) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: give %s in a directory that can be written to", err, flags)
	}
	return err
}

func (j *job) openLog(s *settings.Settings) (*checkpoint.Log, error) {
	what := checkpoint.Job{App: fmt.Sprintf("%d at %s", s.SDKAppID, s.Service()), Reading: map[string]string{
		"account": j.reading.Account, "map": fmt.Sprint(j.reading.Names), "ignore": fmt.Sprint(j.reading.Ignore),
		"only": fmt.Sprint(j.reading.Only), "format": j.format, "delimiter": j.delimiter, "failures": j.failures, "rejects": j.rejects,
	}}
	for _, name := range j.input.Files() {
		print, err := checkpoint.FingerprintOf(name)
		if err != nil {
			return nil, err
		}
		what.Inputs = append(what.Inputs, print)
	}
	return checkpoint.Open(j.checkpoint, what, []string{j.failures, j.rejects})
}

// apart refuses an input as the place of failures: --restart would remove it.
func (j *job) apart() error {
	for _, name := range j.input.Files() {
		in, err := os.Stat(name)
		if err != nil {
			continue // standard input
		}
		for flag, other := range map[string]string{"--failures": j.failures, "--rejects": j.rejects} {
			if out, err := os.Stat(other); err == nil && os.SameFile(in, out) {
				return fmt.Errorf("%s %s: it is the input: give another file", flag, other)
			}
		}
	}
	return nil
}

// forget removes what an interrupted run has left, but not under its feet.
func (j *job) forget() error {
	if err := checkpoint.Forget(j.checkpoint); err != nil {
		return err
	}
	for _, name := range []string{j.failures, j.rejects} {
		info, err := os.Stat(name)
		if err == nil && info.Mode().IsRegular() {
			err = os.Remove(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (j *job) tellResumed(log *checkpoint.Log) {
	if !log.Resumed || j.asJSON || j.quiet {
		return
	}
	_, _ = fmt.Fprintf(j.cmd.ErrOrStderr(), "going on with %s: %s dealt with before\n", j.checkpoint, count(log.Handled.Len(), "row"))
	if log.Lost {
		_, _ = fmt.Fprintln(j.cmd.ErrOrStderr(), "its end is damaged, or the failures are not as they were: some rows are sent once more")
	}
}

// do runs until the end. The first Ctrl-C lets the requests under way end, so that none has to be sent again; the second,
// or a long wait, breaks them off.
func (j *job) do(ctx context.Context, r *bulk.Run, reporter *reporter) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ctx.Done():
		case <-ended:
			return
		}
		r.Stop()
		second := notifyAgain()
		reporter.say("stopping: waiting for the requests under way (press again not to)")
		select {
		case <-second:
		case <-time.After(patience):
		case <-ended:
		}
		cancel()
	}()
	return r.Do(hard)
}

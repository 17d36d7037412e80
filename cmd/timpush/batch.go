package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/checkpoint"
	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
)

const batchLong = `Send one push to each account in a file: CSV, NDJSON, Parquet, or Excel (.xlsx), as set-attr reads them. One column is the
account; the others are ignored. A text file with an account on each line and nothing else needs --no-header. - is standard
input. An account that comes several times gets one push.

The push is described by --title and --desc, or by a JSON --file with the documented request of v4/timpush/batch without its
To_Account: From_Account, OfflinePushInfo, MsgBody, DataId and so on. Nothing is sent without --yes. --dry-run prints the first
request and says how many there are, without looking at the journal.

Requests are sent one at a time, for as many recipients a second as --recipient-rate says. Files are written next to the input:
  FILE.journal          each request, before it is sent, and then its result with the TaskID. It stays when the batch is complete.
  FILE.refused.ndjson   rows that are invalid or that the service refused, with line and reason
  FILE.unknown.ndjson   accounts that may have got the push: no clear answer came, or the run was killed while their request was
                        in flight. They are never sent again. Look at the statistics or the callbacks.
  FILE.notsent.ndjson   accounts that have not got it. Run the same command again: it sends to these, and to no one else.

The same command again resumes the batch, whatever has ended it, and sends nothing once it is complete. With another file, another
notification or another app the journal is refused.

Exit codes: 0 all done, 1 some accounts rejected, unknown or not sent, 2 the command line or the configuration is wrong, or the
journal belongs to another batch, and nothing was sent, 3 stopped early.`

const batchExample = `  timpush batch --title Hello --desc 'New for you' --dry-run users.csv
  timpush batch --title Hello --desc 'New for you' --yes users.csv
  timpush batch --file push.json --recipient-rate 500 --account uid --yes users.xlsx
  timpush batch --file push.json --no-header --yes accounts.txt`

// batch is one batch of pushes.
type batch struct {
	pushSource
	fileFlags
	name          string // of the file
	journalName   string
	rate          int
	yes, dryRun   bool
	asJSON, quiet bool

	push     timpush.Push
	accounts []recipient
	faults   []*input.Fault // rows that are no accounts
	doubles  int            // rows whose account came before
	input    *input.Input

	client   *timpush.Client
	journal  *checkpoint.Journal
	reporter *reporter
	before   batchCounts // by earlier runs
	counts   batchCounts
	notDone  int // accounts that this run has tried and that are not sent, or unknown
	requests int
	began    time.Time
	failing  int   // requests in a row of which no account has an answer
	failure  error // of the last of them
}

// recipient is an account and where it is in the file.
type recipient struct {
	account string
	place   input.Place
}

func newBatch() *cobra.Command {
	b := &batch{pushSource: pushSource{cmd: &cobra.Command{
		Use: "batch FILE", Short: "Send a push to each account in a file", Long: batchLong, Example: batchExample, Args: usageArgs(oneFile),
	}}}
	b.flags()
	flags := b.cmd.Flags()
	b.add(flags)
	flags.BoolVar(&b.reading.NoHeader, "no-header", false, "the first line is an account, and does not name the column")
	flags.StringVar(&b.journalName, "journal", "", "`file` of the journal (FILE.journal); the result files are next to it")
	flags.IntVar(&b.rate, "recipient-rate", 30, "`recipients` a second: 30 with the free plan, 500 with the standard and 800 with the advanced one")
	flags.BoolVar(&b.yes, "yes", false, "send it")
	flags.BoolVar(&b.dryRun, "dry-run", false, "print the first request and send nothing")
	flags.BoolVar(&b.asJSON, "json", false, "write events as JSON lines to standard output, for a program")
	flags.BoolVarP(&b.quiet, "quiet", "q", false, "show the summary only")
	appFlags(flags)
	b.cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b.name = args[0]
		return b.run(cmd.Context())
	}
	return b.cmd
}

func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one file with accounts, or - for standard input; there are %d", len(args))
	}
	return nil
}

func (b *batch) run(ctx context.Context) error {
	if err := b.check(); err != nil {
		return usage(err)
	}
	s, err := loadSettings(b.cmd)
	if err != nil {
		return err
	}
	hash, err := b.notification(s)
	if err != nil {
		return usage(err)
	}
	b.reporter = newReporter(b.cmd.OutOrStdout(), b.cmd.ErrOrStderr(), b.asJSON, b.quiet)
	b.reporter.most = float64(b.rate)
	roomForData()
	if err := b.readAccounts(ctx); err != nil {
		return err
	}
	if b.dryRun {
		return b.showRequest(ctx, s)
	}
	g := newGate()
	if b.client, err = newClientOf(s, timpush.WithObserver(g), timpush.WithRecipientRate(b.rate)); err != nil {
		return err
	}
	if err := b.openJournal(s, hash); err != nil {
		return err
	}
	b.began = time.Now()
	err = g.untilStopped(ctx, b.reporter.say, b.send)
	if err == nil {
		err = b.input.Changed()
	}
	return b.finish(err)
}

// check checks the flags, and reads the notification.
func (b *batch) check() error {
	b.reading.AccountsOnly = true
	if err := b.parse(b.cmd.Flags()); err != nil {
		return err
	}
	switch {
	case b.name == input.Stdin && b.file == input.Stdin:
		return errors.New("standard input can be only one of the accounts and the notification")
	case b.rate < 1:
		return errors.New("--recipient-rate: want 1 or more")
	case b.name == input.Stdin && b.journalName == "":
		return errors.New("standard input has no name: name the journal with --journal FILE")
	}
	// What a pattern matches has the journal of its own name: with another one all would get the push again.
	if files, err := input.Expand([]string{b.name}); err == nil && len(files) == 1 {
		b.name = files[0]
	}
	if err := resultFile(b.name); err != nil {
		return err
	}
	b.journalName = cmp.Or(b.journalName, b.name+".journal")
	if err := b.readPush(); err != nil {
		return err
	}
	if !b.yes && !b.dryRun {
		return errors.New("nothing was sent: give --yes to send it, or --dry-run to see the request")
	}
	return nil
}

// resultFile refuses the result files of a batch as its input: the batch that has written them knows who has got what.
func resultFile(name string) error {
	name = input.ResultName(name)
	for suffix, why := range map[string]string{
		notSentFile: "to send to the accounts in it, run the command that has written it again",
		unknownFile: "the accounts in it may have got their push. Send to those who have not, as the statistics or the callbacks show, with a file of your own",
		rejectsFile: "the service has refused these accounts, or they are invalid. Send to those that are corrected with a file of your own",
	} {
		if strings.HasSuffix(name, suffix) {
			return fmt.Errorf("%s: it was written by a batch: %s", input.Display(name), why)
		}
	}
	return nil
}

func (b *batch) readPush() error {
	if b.file == "" {
		b.push.Notification = timpush.Notification{Title: b.title, Desc: b.desc}
		return nil
	}
	if b.described() {
		return errors.New("give either --file or --title and --desc, not both")
	}
	push, to, err := b.readFile()
	switch {
	case err != nil:
		return err
	case to != nil:
		return fmt.Errorf("%s has a Condition, but a batch is for the accounts of its file: remove it, or see push --help", b.file)
	}
	b.push = push
	return nil
}

// size returns how many accounts a request has: as the client, which would split a larger one.
func (b *batch) size() int {
	const most = 500
	return b.rate / ((b.rate-1)/most + 1)
}

// capture returns the body of the request for some accounts, without sending it.
func (b *batch) capture(ctx context.Context, s *settings.Settings, accounts []string) ([]byte, error) {
	captured := &captured{}
	client, err := newClientOf(s, timpush.WithHTTPClient(&http.Client{Transport: captured}), timpush.WithMaxAttempts(1), timpush.WithRecipientRate(b.rate))
	if err != nil {
		return nil, err
	}
	if _, err := client.PushTo(ctx, accounts, b.push); captured.body == nil {
		return nil, err
	}
	return captured.body, nil
}

// notification checks the notification, and returns a hash of it: of all members of the request but those that differ each time.
func (b *batch) notification(s *settings.Settings) (string, error) {
	body, err := b.capture(context.Background(), s, []string{"x"})
	if err != nil {
		return "", err
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &members); err != nil {
		return "", err
	}
	delete(members, "To_Account")
	delete(members, "MsgRandom")
	if _, set := b.push.Extra["From_Account"]; !set && b.push.From == "" {
		delete(members, "From_Account") // the administrator, who may change
	}
	text, err := json.Marshal(members)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), err
}

// readAccounts reads the whole file, so that it is known to be readable, and which batch this is, before the first push.
func (b *batch) readAccounts(ctx context.Context) (err error) {
	b.reading.Stopped = stoppedBy(ctx)
	if b.input, err = input.New([]string{b.name}, b.reading, b.cmd.InOrStdin()); err != nil {
		return inputError(err)
	}
	defer b.input.Close()
	if len(b.input.Files()) != 1 {
		return usage(fmt.Errorf("%s: want one file, and there are %d", input.Display(b.name), len(b.input.Files())))
	}
	seen := map[string]bool{}
	for row, err := range b.input.Rows(nil) {
		switch {
		case err != nil:
			return inputError(err)
		case ctx.Err() != nil:
			return fatal(errInterrupted)
		case row.Fault != nil:
			b.faults = append(b.faults, row.Fault)
		case seen[row.User.ToAccount]:
			b.doubles++
		default:
			seen[row.User.ToAccount] = true
			b.accounts = append(b.accounts, recipient{row.User.ToAccount, row.Place})
		}
	}
	if !b.dryRun {
		b.reporter.rejects = b.result(rejectsFile)
	}
	for _, fault := range b.faults {
		b.reporter.Bad(fault)
	}
	if slices.Contains(b.input.Absent(), b.reading.Account) {
		return noAccounts(b.reading.Account)
	}
	if len(b.accounts) == 0 {
		return fatal(fmt.Errorf("%s: there are no accounts in it", input.Display(b.name)))
	}
	return nil
}

func (b *batch) accountsHash() string {
	sum := sha256.New()
	for _, r := range b.accounts {
		_, _ = fmt.Fprintf(sum, "%q\n", r.account) // a hash takes everything
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// names returns accounts by their positions.
func (b *batch) names(positions []int64) []string {
	names := make([]string, len(positions))
	for i, p := range positions {
		names[i] = b.accounts[p].account
	}
	return names
}

// showRequest prints what would be sent.
func (b *batch) showRequest(ctx context.Context, s *settings.Settings) error {
	size, n := b.size(), len(b.accounts)
	body, err := b.capture(ctx, s, b.names(positions(min(size, n))))
	if err != nil {
		return usage(err)
	}
	requests := (n + size - 1) / size
	took := time.Duration((n-1)/b.rate) * time.Second
	if b.asJSON {
		b.reporter.event("dry_run", map[string]any{
			"accounts": n, "duplicates": b.doubles, "rejected": len(b.faults), "requests": requests, "seconds": took.Seconds(), "request": json.RawMessage(body),
		})
	} else {
		if err := printRequest(b.cmd.OutOrStdout(), body); err != nil {
			return fatal(err)
		}
		b.reporter.note("Nothing was sent. It would be a push to %s in %s, about %v; above is the first.%s", count(n, "account"), count(requests, "request"), took, b.alsoRead())
	}
	return exitStatus(len(b.faults) > 0)
}

func positions(n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = int64(i)
	}
	return all
}

// alsoRead says what the file has beside accounts that get a push.
func (b *batch) alsoRead() (text string) {
	if b.doubles > 0 {
		text += fmt.Sprintf(" %s left out, whose account came before.", count(b.doubles, "row"))
	}
	if len(b.faults) > 0 {
		text += fmt.Sprintf(" %s cannot be sent.", count(len(b.faults), "row"))
	}
	return text
}

func (b *batch) openJournal(s *settings.Settings, notification string) (err error) {
	b.journal, err = checkpoint.OpenJournal(b.journalName, checkpoint.Batch{
		App: fmt.Sprintf("%d at %s", s.SDKAppID, s.Service()), Notification: notification, Accounts: b.accountsHash(), Count: len(b.accounts),
	})
	switch {
	case errors.Is(err, checkpoint.ErrOtherBatch):
		return usage(err)
	case err != nil:
		return fatal(b.journalFault(err))
	}
	b.tally(positions(len(b.accounts)))
	b.before = b.counts
	b.reporter.note("%s.%s", count(len(b.accounts), "account"), b.alsoRead())
	switch j := b.journal; {
	case !j.Resumed:
		return fatal(b.setAside())
	case b.counts.NotSent == 0:
		b.reporter.note("%s: this batch was sent by earlier runs. Nothing is sent now", b.journalName)
	default:
		b.reporter.note("resuming from %s: %s done by earlier runs, %d left to send", b.journalName, count(b.counts.Done, "account"), b.counts.NotSent)
	}
	if n := b.journal.InFlight; n > 0 {
		b.reporter.note("%s may have got the push when the last run ended: they are not sent again", count(n, "account"))
	}
	if b.journal.Torn {
		b.reporter.note("the last line of %s was not complete, and is removed: no request was sent after it", b.journalName)
	}
	return nil
}

// journalFault says what to do about a journal that cannot be opened. One that is there, as of a run by root, may have accounts that have got
// their push, and another one would not know them.
func (b *batch) journalFault(err error) error {
	if _, there := os.Lstat(b.journalName); !cannotWrite(err) || errors.Is(there, fs.ErrNotExist) {
		return suggestFlags(err, "--journal")
	}
	return fmt.Errorf("%w: it may be of an earlier run, and with another --journal all accounts get the push again: run the command as the user of that run, or make the journal writable", err)
}

// setAside renames the result files of an earlier batch.
func (b *batch) setAside() error {
	for _, name := range []string{b.result(rejectsFile), b.result(unknownFile), b.result(notSentFile)} {
		aside, err := bulk.SetAside(name)
		if err != nil {
			return err
		}
		if aside != "" {
			b.reporter.note("%s is from an earlier batch: it is now %s", name, aside)
		}
	}
	return nil
}

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

const about = `Timpush sets, reads and removes attributes and tags of users of Tencent Cloud Chat's push service, and sends pushes.

It needs to know the app. Flags take precedence over the environment, and that over a file with lines such as
"region = singapore" (by default timpush/config in your configuration directory). timpush init writes that file.

  --sdkappid         TIMPUSH_SDKAPPID         the number of the app
  --identifier       TIMPUSH_IDENTIFIER       the UserID of an administrator of the app
  --region           TIMPUSH_REGION           where the app is, such as singapore
  --secret-key-file  TIMPUSH_SECRET_KEY_FILE  a file with the secret key that only you can read, or - for standard input
                     TIMPUSH_SECRET_KEY       the secret key itself; there is no flag, as others can see command lines
  --config           TIMPUSH_CONFIG           the configuration file
  --rate             TIMPUSH_RATE             calls a second, 97.5 if not given; the app's quota is 100
  --in-flight        TIMPUSH_IN_FLIGHT        requests at a time, 32 if not given
  --base-url         TIMPUSH_BASE_URL         another server: a proxy, or the fake of timpush serve

Exit codes: 0 all done, 1 some users are not done, or a push may have gone out, 2 the command line or the configuration is wrong
and nothing was done, 3 failed or stopped early.`

const firstSteps = `  timpush init                                   # write the configuration, and check it
  timpush names get                              # the attributes of the app
  timpush set-attr --dry-run users.csv           # what would be sent?
  timpush set-attr users.csv                     # send it; if interrupted, run it again
  timpush push --attr city=Rome --title Hello --dry-run     # a push to those who match; --yes sends it
  timpush batch --title Hello --dry-run users.csv           # a push to each account of a file`

// limitMemory lets the heap grow up to a limit before garbage is collected: live data is small whatever the input is, and
// collecting more often would take a quarter of the time. GOMEMLIMIT and GOGC override it.
func limitMemory() {
	const limit, percent = 72 << 20, 1000
	if os.Getenv("GOMEMLIMIT") == "" && os.Getenv("GOGC") == "" {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	}
}

// roomForData removes that limit for commands that hold their data in memory: where these alone are more, garbage would be
// collected without end.
func roomForData() {
	if os.Getenv("GOMEMLIMIT") == "" && os.Getenv("GOGC") == "" {
		debug.SetMemoryLimit(math.MaxInt64)
		debug.SetGCPercent(50)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "timpush", Short: "Attributes, tags and pushes of Tencent Cloud Chat's push service", Long: about, Example: firstSteps,
		Version: version(), SilenceErrors: true, SilenceUsage: true, Args: usageArgs(known), PersistentPreRunE: checkFlags,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w\nSee: %s --help", err, cmd.CommandPath()))
	})
	root.SuggestionsMinimumDistance = 2
	root.SetVersionTemplate("timpush {{.Version}}\n")
	commands := []*cobra.Command{
		newSetAttr(), newPreflight(), newGetAttr(), newRemoveAttr(), newTags(), newPush(), newBatch(), newRevoke(), newTasks(), newStats(), newCallbacks(), newNames(), newCheck(), newProbe(),
		newInit(), newUserSig(), newExplain(), newQueue(), newServe(), newManual(),
	}
	for _, cmd := range commands { // before cobra sorts them: suggestions come in this order
		refuseLost(cmd)
	}
	root.AddCommand(commands...)
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil { // for a shell that it does not know it would print help, with exit code 0
		completion.Args, completion.RunE = usageArgs(known), root.RunE
	}
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil { // likewise for a command that there is not
		help.Args = usageArgs(func(_ *cobra.Command, args []string) error {
			cmd, unknown, err := root.Find(args)
			return cmp.Or(err, known(cmd, unknown))
		})
	}
	return root
}

// refuseLost makes the flags of a command and of those below it refuse what pflag would leave out without a word: the second line of a
// list, as of "$(cat tags.txt)", and the first of two files.
func refuseLost(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "file" {
			f.Value = &oneFileName{Value: f.Value}
		}
		if kind := f.Value.Type(); kind == "stringSlice" || kind == "stringToString" {
			f.Value = &oneLine{Value: f.Value}
			f.DefValue = strings.TrimSuffix(f.DefValue, "[]") // help shows that of its own lists only
		}
	})
	for _, sub := range cmd.Commands() {
		refuseLost(sub)
	}
}

// inQuotes finds values of a list that are in quotation marks.
var inQuotes = regexp.MustCompile(`"[^"]*"`)

// oneLine is a list whose values are separated by commas. Of a text with several lines pflag takes the first and leaves out the others;
// lines in quotation marks belong to one value, such as the name of a column.
type oneLine struct {
	pflag.Value
	empty bool // one of the texts was
}

// Set adds the values of a text.
func (v *oneLine) Set(list string) error {
	v.empty = v.empty || text.Trim(list) == ""
	if strings.ContainsAny(strings.TrimRight(inQuotes.ReplaceAllString(list, `""`), "\r\n"), "\r\n") {
		return errors.New("it has several lines: put commas between the values")
	}
	return v.Value.Set(list)
}

// oneFileName is the name of a file whose accounts, or whose push, a command reads.
type oneFileName struct {
	pflag.Value
	given bool
}

// Set sets the name, once.
func (v *oneFileName) Set(name string) error {
	if v.given {
		return errors.New("it is given twice, and there can be one file")
	}
	v.given = true
	return v.Value.Set(name)
}

// checkFlags refuses flags that were given without a text, as by a variable of a shell that was never set: they would count as
// not given, and another configuration or another server be used, or a push go to more users or show nothing. Without quotation marks
// around the variable the next flag is the text: --title $TITLE --desc $DESC would be a push with the title "--desc", and --ignore $COLUMNS
// --dry-run a run that sends. It refuses "gold, beta" too, whose second tag begins with a space.
func checkFlags(cmd *cobra.Command, _ []string) (err error) {
	isFlag := func(value string) bool {
		name, long := strings.CutPrefix(value, "--")
		name, _, _ = strings.Cut(name, "=")
		return long && cmd.Flags().Lookup(name) != nil
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		list, isList := f.Value.(*oneLine)
		value, empty := f.Value.String(), isList && list.empty
		if f.Value.Type() == "string" {
			empty = value == "" || f.Name != "delimiter" && text.Trim(value) == ""
		}
		if empty && !slices.Contains([]string{"null", "ignore", "names", "registration-names"}, f.Name) {
			err = usage(fmt.Errorf("--%s is empty: give a value, or leave the flag out; is a variable not set?", f.Name))
		}
		values, given := []string{value}, f.Value
		if isList {
			given = list.Value
		}
		if several, ok := given.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		for _, one := range values {
			switch {
			case isFlag(one):
				err = usage(fmt.Errorf("--%s has no value, but the flag %s follows it; is a variable not set?", f.Name, one))
			case isList && text.Trim(one) != one:
				err = usage(fmt.Errorf("--%s: %q has white space around it: give a,b without any", f.Name, one))
			}
		}
	})
	return err
}

// known suggests commands for an unknown one.
func known(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	what := "there is no such command"
	if len(args[0]) <= 20 { // a longer one may be a key or a UserSig
		what = fmt.Sprintf("there is no command %q", args[0])
	}
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		what += "; do you mean " + strings.Join(like, " or ") + "?"
	}
	return errors.New(what)
}

// usageArgs turns wrong arguments into a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage(fmt.Errorf("%w\nSee: %s --help", err, cmd.CommandPath()))
		}
		return nil
	}
}

// noArguments refuses arguments, and does not show them: one may be a key.
func noArguments(_ *cobra.Command, args []string) error {
	if n := len(args); n > 0 {
		return fmt.Errorf("want flags only, and got %s", count(n, "argument"))
	}
	return nil
}

// release is the version of a binary of a release, which the linker sets.
var release string

func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown version)"
	}
	return info.Main.Version
}

// appFlags are the flags about the app.
func appFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "configuration `file`")
	flags.String(settings.SDKAppID, "", "`number` of the app")
	flags.String(settings.Identifier, "", "`UserID` of an administrator of the app")
	flags.String(settings.Region, "", "`name` of the region of the app")
	flags.String(settings.SecretKeyFile, "", "`file` with the secret key, - for standard input")
	flags.String(settings.BaseURL, "", "`URL` of another server")
	flags.String(settings.Rate, "", "`calls` a second, at most (97.5)")
	flags.String(settings.InFlight, "", "`requests` at a time, at most (32)")
}

// sameApp returns flags that name the app of a command, for a command that a message advises: without them that would be for the app of the
// shell's environment or of the default file, which can be another one. So they also say what this command has from its own environment, as from
// EnvironmentFile= of systemd, or from TIMPUSH_CONFIG=staging.conf before its name, and the number of the app of the default file, as a job of
// cron has it.
func sameApp(cmd *cobra.Command) string {
	var args strings.Builder
	named := false
	ofApp := pflag.NewFlagSet("", pflag.ContinueOnError)
	appFlags(ofApp)
	ofApp.VisitAll(func(f *pflag.Flag) {
		value := ""
		if slices.Contains([]string{"config", settings.SDKAppID, settings.Region, settings.BaseURL}, f.Name) {
			value = os.Getenv(settings.EnvName(f.Name))
		}
		if given := cmd.Flags().Lookup(f.Name); given != nil && given.Changed {
			value = given.Value.String()
		}
		if value != "" {
			args.WriteString(" --" + f.Name + " " + text.Quote(value))
			named = named || f.Name == "config" || f.Name == settings.SDKAppID
		}
	})
	if !named {
		source := sourceOf(cmd)
		if app, err := source.LoadApp(); err == nil {
			_, _ = fmt.Fprintf(&args, " --%s %d", settings.SDKAppID, app)
		}
	}
	return args.String()
}

// sourceOf returns the sources of a command's settings.
func sourceOf(cmd *cobra.Command) settings.Source {
	s := settings.Source{Flags: map[string]string{}, Env: os.Getenv, Stdin: cmd.InOrStdin(), Open: func(name string) (io.ReadCloser, error) {
		f, from, err := openFile(cmd.Context(), name)
		return readCloser{from, f}, err
	}}
	cmd.Flags().Visit(func(f *pflag.Flag) { s.Flags[f.Name] = f.Value.String() })
	s.File = s.Flags["config"]
	if s.Flags["file"] == input.Stdin || slices.Contains(cmd.Flags().Args(), input.Stdin) {
		s.Stdin = takenInput{}
	}
	return s
}

type readCloser struct {
	io.Reader
	io.Closer
}

// takenInput is standard input for the secret key, where a command reads its accounts or its push from there: the first account would be the key.
type takenInput struct{}

func (takenInput) Read([]byte) (int, error) {
	return 0, errors.New("standard input is read for something else: give the key in a file")
}

// loadSettings loads the settings of a command, and warns of what is likely to be wrong with them.
func loadSettings(cmd *cobra.Command) (*settings.Settings, error) {
	source := sourceOf(cmd)
	s, err := source.Load()
	if err == nil {
		warn(cmd, s)
	}
	return s, usage(err)
}

// warn prints what is likely to be wrong with settings, on standard error also where a program reads standard output: a push that goes to
// another app is the same to both.
func warn(cmd *cobra.Command, s *settings.Settings) {
	for _, text := range s.Warnings() {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "timpush: warning:", text)
	}
}

// newClient makes the client of a command.
func newClient(cmd *cobra.Command, options ...timpush.Option) (*timpush.Client, *settings.Settings, error) {
	s, err := loadSettings(cmd)
	if err != nil {
		return nil, nil, err
	}
	client, err := newClientOf(s, options...)
	return client, s, err
}

func newClientOf(s *settings.Settings, options ...timpush.Option) (*timpush.Client, error) {
	agent := timpush.WithUserAgent("timpush-cli/" + version())
	client, err := timpush.NewClient(s.Config, append(append(s.Options(), agent), options...)...)
	return client, usage(err)
}

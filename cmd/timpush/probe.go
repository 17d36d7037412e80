package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"

	"github.com/timpush/timpush-go/cmd/timpush/internal/probe"
	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
)

const probeLong = `Find out what the service does with your app where its documentation leaves a question open, and whether the client assumes
the right thing: what an empty value does, what the 50 bytes of a value count, whether set_attr keeps the attributes that it does not
name, and about 40 more.

It takes one or two accounts of which you can do without, --account, if possible a UserID and a RegistrationID, and changes the attributes
of these. At the end, also after Ctrl-C and after failures, they get back what they had; what cannot be restored is printed. No attribute
is declared or renamed. It makes at most 200 calls, 2 a second, or as --rate says.

  --unknown-account  also asks about an account that the app does not know. It may be known from then on
  --pushes           also asks about pushes: one is refused for its size, and others are scheduled for accounts that do not exist, a week
                     ahead, and deleted again. No one is notified
  --quota            asks about the quota instead, which is used up for a second; other programs of the app are throttled. It changes nothing

The report has no account, no value, no name of an attribute and nothing secret in it, so that it can be put into an issue.`

const probeExample = `  timpush probe --account probe-user --account 379C2F0D-290D-47AE-94D1-919058C39C77
  timpush probe --account probe-user --yes --report probe.md
  timpush probe --quota --yes`

// probing is a run of probe.
type probing struct {
	cmd      *cobra.Command
	accounts []string
	unknown  string
	report   string
	pushes   bool
	quota    bool
	yes      bool
}

func newProbe() *cobra.Command {
	p := &probing{}
	cmd := &cobra.Command{
		Use: "probe", Short: "Find out what the service does where its documentation leaves a question open", Long: probeLong,
		Example: probeExample, Args: usageArgs(noArguments),
		RunE: func(*cobra.Command, []string) error { return p.run() },
	}
	p.cmd = cmd
	flags := cmd.Flags()
	flags.StringArrayVar(&p.accounts, "account", nil, "`account` whose attributes are changed and restored, once or twice")
	flags.StringVar(&p.unknown, "unknown-account", "", "`account` that the app does not know")
	flags.StringVar(&p.report, "report", "", "`file` for a report without accounts, values and secrets")
	flags.BoolVar(&p.pushes, "pushes", false, "ask also about pushes")
	flags.BoolVar(&p.quota, "quota", false, "ask about the quota instead")
	flags.BoolVar(&p.yes, "yes", false, "do it; without this it only says what it would do")
	appFlags(flags)
	return cmd
}

func (p *probing) run() error {
	if err := p.check(); err != nil {
		return usage(err)
	}
	_, s, err := newClient(p.cmd)
	if err != nil {
		return err
	}
	asked := p.probe(s)
	if !p.yes {
		_, _ = fmt.Fprintln(p.cmd.OutOrStdout(), p.plan(s, asked.Pause))
		return usage(errors.New("nothing was asked: give --yes to do it"))
	}
	file, err := p.create()
	if err != nil {
		return usage(err)
	}
	report, err := p.untilStopped(asked)
	report.WriteText(p.cmd.OutOrStdout())
	return fatal(errors.Join(p.result(report, err), p.write(file, report, s)))
}

// check finds what is wrong with the command line.
func (p *probing) check() error {
	switch {
	case p.quota && (len(p.accounts) > 0 || p.unknown != "" || p.pushes):
		return errors.New("--quota asks about the quota alone, and takes no accounts")
	case !p.quota && (len(p.accounts) == 0 || len(p.accounts) > 2):
		return errors.New("which accounts may be changed? give --account once or twice, and see --help")
	}
	all := slices.Clone(p.accounts)
	if p.unknown != "" {
		all = append(all, p.unknown)
	}
	for i, account := range all {
		switch {
		case account == "":
			return errors.New("--account: it is empty")
		case argumentFault(all[i:i+1]) != nil:
			return argumentFault(all[i : i+1])
		case slices.Contains(all[:i], account):
			return fmt.Errorf("account %q is given twice", account)
		}
	}
	return nil
}

// The time between two calls. A fake on this machine is asked without a pause, unless a rate is given.
const (
	probePause = 500 * time.Millisecond
	leastPause = 100 * time.Millisecond // of a service that is not on this machine
)

func (p *probing) probe(s *settings.Settings) *probe.Probe {
	asked := &probe.Probe{
		HTTP:    &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		BaseURL: strings.TrimSuffix(s.Base(), "/"), SDKAppID: s.SDKAppID, Identifier: s.Identifier,
		Sign: func(identifier string) (string, error) {
			return tencentyun.GenUserSig(s.SDKAppID, s.SecretKey, identifier, int(time.Hour/time.Second))
		},
		Accounts: p.accounts, Unknown: p.unknown, Pushes: p.pushes, Quota: p.quota, Pause: probePause,
		Say: func(line string) { _, _ = fmt.Fprintln(p.cmd.ErrOrStderr(), line) },
	}
	switch given := s.From[settings.Rate] != settings.Nowhere; {
	case given:
		asked.Pause = time.Duration(float64(time.Second) / s.Rate)
	case s.Local():
		asked.Pause = 0
	}
	if !s.Local() {
		asked.Pause = max(asked.Pause, leastPause)
	}
	if host := s.Region.BackupHost(); s.BaseURL == "" && host != "" {
		asked.OtherURL = "https://" + host
	}
	return asked
}

// plan says what would be done.
func (p *probing) plan(s *settings.Settings, pause time.Duration) string {
	if p.quota {
		return fmt.Sprintf("It would use up the quota of app %d at %s for a second, and change nothing.", s.SDKAppID, s.Base())
	}
	text := fmt.Sprintf("It would change, and then restore, attributes of %q of app %d at %s, with at most %d calls, one every %v.",
		p.accounts, s.SDKAppID, s.Base(), probe.MaxCalls, pause)
	if p.unknown != "" {
		text += fmt.Sprintf("\nIt would set an attribute of %q, which the app may know from then on.", p.unknown)
	}
	if p.pushes {
		text += "\nIt would add scheduled pushes to accounts that do not exist, and delete them."
	}
	return text
}

// create opens the report, so that one that cannot be written is known before anything is asked. It returns nil if none is wanted.
func (p *probing) create() (*os.File, error) {
	if p.report == "" {
		return nil, nil
	}
	if info, err := os.Stat(p.report); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		return nil, fmt.Errorf("--report %s: the file exists, and is not replaced", p.report)
	}
	return os.Create(p.report)
}

func (p *probing) write(file *os.File, report *probe.Report, s *settings.Settings) error {
	if file == nil {
		return nil
	}
	title := fmt.Sprintf("timpush probe %s, region %s", version(), s.Region)
	if err := errors.Join(report.WriteMarkdown(file, title), file.Close()); err != nil {
		return fmt.Errorf("the report: %w", err)
	}
	return nil
}

// untilStopped asks until ctx of the command ends, by Ctrl-C for instance, and restores in any case. A second Ctrl-C ends that, too.
func (p *probing) untilStopped(asked *probe.Probe) (*probe.Report, error) {
	ctx := p.cmd.Context()
	signal.Ignore(syscall.SIGPIPE) // of a reader that is gone: what was changed is restored even so
	hurry, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		select {
		case <-ctx.Done():
		case <-hurry.Done():
			return
		}
		survive()
		second := nextSignal()
		asked.Say("stopping: what was changed is restored (Ctrl-C again: leave it as it is)")
		select {
		case <-second:
			cancel()
		case <-hurry.Done():
		}
	}()
	return asked.Run(ctx, hurry)
}

// result returns the error of the command.
func (p *probing) result(report *probe.Report, err error) error {
	if p.cmd.Context().Err() != nil {
		err = errInterrupted
	}
	if err != nil {
		err = fmt.Errorf("stopped early: %w", err)
	}
	if len(report.Unrestored) > 0 {
		err = errors.Join(err, fmt.Errorf("not restored:\n  %s", strings.Join(report.Unrestored, "\n  ")))
	}
	return err
}

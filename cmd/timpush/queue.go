package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/timpush/timpush-go/dispatch"

	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
)

const queueLong = `Look at the queue of an app that programs fill and send with the Go package dispatch, on a NATS server. Nothing is made or changed by looking.

It needs the number of the app, as other commands do, but no key, and

  --nats        TIMPUSH_NATS        where the server is, such as nats://127.0.0.1:4222; several with commas between
  --nats-creds  TIMPUSH_NATS_CREDS  a file of credentials

A password or a token in the URL is taken from the environment only, as command lines can be seen by others.

The line "sends" names the process that said so last: one that was killed stays there until another one takes over.

Lost messages were stored and are gone, since a disk was damaged or somebody deleted them: the updates in them have to be set again
by the program that knows them. They are shown until you acknowledge them.`

const queueExample = `  timpush queue --nats nats://127.0.0.1:4222    # how much is stored, how old, who sends, and why not
  timpush queue --json
  timpush queue resume                          # try again now: the cause of the pause is corrected
  timpush queue acknowledge-lost                # the lost messages have been dealt with
  timpush queue dead                            # what cannot be sent, and why
  timpush queue put-back 3 4                    # send it again: its cause is corrected
  timpush queue discard --yes 5`

const connectTimeout = 5 * time.Second

func newQueue() *cobra.Command {
	cmd := &cobra.Command{
		Use: "queue", Short: "Look at a queue of durable updates, and at its dead letters", Long: queueLong, Example: queueExample,
		Args: usageArgs(known), RunE: withQueue(showQueue),
	}
	cmd.Flags().Bool("json", false, "for a program")
	cmd.AddCommand(newQueueResume(), newQueueAcknowledgeLost(), newQueueDead(), newQueuePutBack(), newQueueDiscard())
	queueFlags(cmd.PersistentFlags())
	return cmd
}

func newQueueResume() *cobra.Command {
	return &cobra.Command{
		Use: "resume", Short: "Try again now, when sending pauses", Args: usageArgs(noArguments),
		Long: "Let the process that sends try again within a second, when sending pauses. Use it once the cause of the pause is corrected. Without it, the next try is up to 15 s later.",
		RunE: withQueue(func(cmd *cobra.Command, q openQueue, _ []string) error {
			if err := q.Resume(cmd.Context()); err != nil {
				return fatal(err)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "the process that sends tries again within a second: see timpush queue")
			return fatal(err)
		}),
	}
}

func newQueueAcknowledgeLost() *cobra.Command {
	return &cobra.Command{
		Use: "acknowledge-lost", Short: "Set the number of lost messages back to 0", Args: usageArgs(noArguments),
		Long: "Set the number of lost messages back to 0, once you have dealt with the loss. It changes nothing else: the messages are gone.",
		RunE: withQueue(func(cmd *cobra.Command, q openQueue, _ []string) error {
			n, err := q.AcknowledgeLost(cmd.Context())
			if err != nil {
				return fatal(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d lost messages acknowledged\n", n)
			return fatal(err)
		}),
	}
}

func queueFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "`file` of settings")
	flags.String(settings.SDKAppID, "", "`number` of the app")
	flags.String("nats", "", "`URL` of the NATS server")
	flags.String("nats-creds", "", "`file` with the credentials for it")
}

// openQueue is a queue with what its commands need beside it.
type openQueue struct {
	*dispatch.Queue
	app  int
	conn *nats.Conn
}

// withQueue runs a command on the queue.
func withQueue(do func(cmd *cobra.Command, q openQueue, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		source := sourceOf(cmd)
		app, err := source.LoadApp()
		if err != nil {
			return usage(err)
		}
		if text := source.AppWarning(); text != "" {
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "timpush: warning:", text)
		}
		ctx, cancel := context.WithCancelCause(cmd.Context())
		defer cancel(nil)
		conn, err := connectNATS(source, cancel)
		if err != nil {
			return err
		}
		defer conn.Close()
		cmd.SetContext(ctx)
		q, err := existingQueue(ctx, conn, app)
		if err == nil {
			err = do(cmd, openQueue{q, app, conn}, args)
		}
		if refusal := context.Cause(ctx); err != nil && errors.Is(refusal, nats.ErrPermissionViolation) {
			return fatal(fmt.Errorf("the NATS server does not permit this to its user: %w\n%w", refusal, err))
		}
		if _, ok := errors.AsType[*exitError](err); ok {
			return err
		}
		return fatal(err)
	}
}

func existingQueue(ctx context.Context, conn *nats.Conn, app int) (*dispatch.Queue, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	q, err := dispatch.OpenExisting(ctx, js, app)
	if errors.Is(err, dispatch.ErrNoQueue) {
		return nil, fmt.Errorf("there is no queue of app %d on this NATS server: no program has opened one there, or --nats or --sdkappid is wrong", app)
	}
	return q, err
}

// connectNATS connects to the server of the flags or the environment. It calls refused when the server does not permit a request, which
// then has no answer.
func connectNATS(source settings.Source, refused func(error)) (*nats.Conn, error) {
	servers, fromFlag := source.Flags["nats"]
	if !fromFlag {
		servers = source.Env("TIMPUSH_NATS")
	}
	if servers == "" {
		return nil, usage(errors.New("where is the NATS server? give --nats URL, or set TIMPUSH_NATS"))
	}
	if err := checkServers(servers, fromFlag); err != nil {
		return nil, usage(err)
	}
	options := []nats.Option{nats.Name("timpush-cli/" + version()), nats.Timeout(connectTimeout), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			refused(err)
		}
	})}
	creds, ok := source.Flags["nats-creds"]
	if !ok {
		creds = source.Env("TIMPUSH_NATS_CREDS")
	}
	if creds != "" {
		_, err := os.Stat(creds)
		if err = cmp.Or(settings.CheckFile("nats-creds", creds), err); err != nil {
			return nil, usage(fmt.Errorf("the credentials: %w", err))
		}
		options = append(options, nats.UserCredentials(creds))
	}
	conn, err := nats.Connect(servers, options...)
	if err != nil {
		return nil, fatal(fmt.Errorf("no connection to the NATS server: %w", err))
	}
	return conn, nil
}

// checkServers refuses URLs with a secret that others can see. Its errors do not repeat what may be one.
func checkServers(servers string, visible bool) error {
	for server := range strings.SplitSeq(servers, ",") {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		u, err := url.Parse(server)
		switch {
		case err != nil || u.Host == "":
			return errors.New("the URL of the NATS server is not valid: want one such as nats://127.0.0.1:4222")
		case visible && u.User != nil:
			return errors.New("others can see the command line: give a URL with a user, a password or a token in TIMPUSH_NATS, or a file with --nats-creds")
		}
	}
	return nil
}

// status is the output of the queue command for a program.
type status struct {
	SDKAppID      int     `json:"sdkappid"`
	Backlog       int     `json:"backlog"`
	OldestSeconds float64 `json:"oldest_seconds"`
	Waiting       int     `json:"waiting"`
	Redelivered   int     `json:"redelivered"`
	DeadLetters   int     `json:"dead_letters"`
	Lost          int     `json:"lost"`
	LostAt        string  `json:"lost_at"`
	Bytes         int64   `json:"bytes"`
	MaxBytes      int64   `json:"max_bytes"`
	Active        string  `json:"active"`
	Paused        string  `json:"paused"`
}

func showQueue(cmd *cobra.Command, q openQueue, _ []string) error {
	s, err := q.Stats(cmd.Context())
	if err != nil {
		return fatal(err)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return fatal(plainJSON(cmd.OutOrStdout()).Encode(status{
			q.app, s.Backlog, s.Oldest.Seconds(), s.Waiting, s.Redelivered, s.DeadLetters, s.Lost, s.LostAt, s.Bytes, s.MaxBytes, s.Active, s.Paused,
		}))
	}
	return fatal(writeStats(cmd.OutOrStdout(), s))
}

func writeStats(out io.Writer, s dispatch.Stats) error {
	limit := "no limit"
	if s.MaxBytes > 0 {
		limit = fmt.Sprintf("%s at most, %.1f %%", size(s.MaxBytes), 100*float64(s.Bytes)/float64(s.MaxBytes))
	}
	sends, paused := s.Active, "no"
	if sends == "" {
		sends = "no process"
	}
	if s.Paused != "" {
		paused = "yes: " + s.Paused
	}
	lost := fmt.Sprint(s.Lost)
	if s.Lost > 0 {
		lost += " messages, sequences " + s.LostAt + ": see the log, then timpush queue acknowledge-lost"
	}
	_, err := fmt.Fprintf(out, `backlog       %d
oldest        %s
waiting       %d of the backlog, whose accounts fail while others do not
redelivered   %d at most
dead letters  %d
lost          %s
bytes         %s of %s
sends         %s
paused        %s
`, s.Backlog, age(s.Oldest), s.Waiting, s.Redelivered, s.DeadLetters, lost, size(s.Bytes), limit, printable(sends), printable(paused))
	return err
}

func plainJSON(out io.Writer) *json.Encoder {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e
}

func size(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}

// age returns a duration for people to read.
func age(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
)

const callbacksLong = `Listen for the events that the service posts to the callback URL of the app, and print them, one on each line: when a push was sent to a device,
has reached it, or was clicked. It is for trying things out: events may come more than once, and what comes while nothing listens may be lost.

The service must reach the address, through a proxy with TLS for example; set its URL in the console. timpush serve --callbacks URL is a fake
that sends there. A request of another app is refused. With TIMPUSH_CALLBACK_TOKEN set to the token of the console, so is one that
is not signed with it.

Each request is answered at once. Ctrl-C ends the command, with exit code 0 and the number of events; so does the last of --count events.`

const callbacksExample = `  timpush callbacks
  timpush callbacks --json > events.ndjson
  timpush callbacks --count 1                        # wait for the first event
  timpush serve --callbacks http://127.0.0.1:7171    # in another terminal: its pushes have events`

// tokenVariable holds the token of callbacks. There is no flag for it, as others can see command lines.
const tokenVariable = "TIMPUSH_CALLBACK_TOKEN"

// maxUnprinted is how many events can wait until they are printed.
const maxUnprinted = 100_000

func newCallbacks() *cobra.Command {
	l := &listening{}
	l.cmd = &cobra.Command{
		Use: "callbacks", Short: "Listen for the events of pushes, and print them", Long: callbacksLong, Example: callbacksExample, Args: usageArgs(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error { return l.run(cmd.Context()) },
	}
	flags := l.cmd.Flags()
	flags.StringVar(&l.listen, "listen", "127.0.0.1:7171", "`address` to listen on; port 0 is any free one")
	flags.BoolVar(&l.public, "public", false, "accept connections from other machines, without TLS")
	flags.IntVar(&l.most, "count", 0, "end after this `number` of events; 0: not before Ctrl-C")
	flags.BoolVar(&l.asJSON, "json", false, "write an object on each line, for a program")
	flags.String("config", "", "configuration `file`")
	flags.String(settings.SDKAppID, "", "`number` of the app")
	return l.cmd
}

// listening is a running callbacks command.
type listening struct {
	cmd    *cobra.Command
	listen string
	public bool
	asJSON bool
	most   int // events to print; 0: any number
	app    int
	events chan any // PushEvent, ChatPushEvent or otherEvent

	mu      sync.Mutex
	taken   int          // events taken
	closed  bool         // no more are taken
	full    bool         // it was said that too many wait
	refused map[int]bool // statuses that were reported
}

// otherEvent is an item of a callback with another command.
type otherEvent struct {
	CallbackCommand string
	Item            json.RawMessage
}

func (l *listening) run(ctx context.Context) (err error) {
	if l.most < 0 {
		return usage(errors.New("--count: want 0 or more"))
	}
	source := sourceOf(l.cmd)
	if l.app, err = source.LoadApp(); err != nil {
		return usage(err)
	}
	token, given := os.LookupEnv(tokenVariable)
	if given && token == "" { // as from a secret that is missing: everybody could post events
		return usage(errors.New(tokenVariable + " is empty: set it to the token, or unset it if there is none"))
	}
	l.events, l.refused = make(chan any, maxUnprinted), map[int]bool{}
	handler, err := timpush.NewCallbackHandler(timpush.Callbacks{
		SDKAppID: l.app, Token: token,
		Push: func(_ context.Context, events []timpush.PushEvent) error { return take(l, events) },
		Chat: func(_ context.Context, events []timpush.ChatPushEvent) error { return take(l, events) },
		Other: func(_ context.Context, command string, item []byte) error {
			return take(l, []otherEvent{{command, item}})
		},
	})
	if err != nil {
		return usage(err)
	}
	listener, err := listenAt(ctx, l.listen, l.public, "post events")
	if err != nil {
		return err
	}
	l.say("Listening at %s for events of app %d. Ctrl-C ends it.", urlOf(listener), l.app)
	return l.serve(ctx, listener, &http.Server{
		Handler: l.watch(handler), ReadTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: log.New(io.Discard, "", 0),
	})
}

func (l *listening) say(format string, args ...any) {
	_, _ = fmt.Fprintf(l.cmd.ErrOrStderr(), format+"\n", args...)
}

// take puts events into the channel. It never waits: the service must have its answer at once.
func take[T any](l *listening, events []T) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || cap(l.events)-len(l.events) < len(events) {
		if !l.closed && !l.full {
			l.full = true
			l.say("timpush: events are refused: they come faster than they can be printed (said once)")
		}
		return errors.New("events come faster than they can be printed, or the command ends")
	}
	for _, event := range events {
		l.events <- event
		l.taken++
	}
	return nil
}

// serve answers and prints until ctx ends or the output fails, and then prints what it has.
func (l *listening) serve(ctx context.Context, listener net.Listener, server *http.Server) error {
	printed, ended := make(chan error, 1), make(chan error, 1)
	go func() { printed <- l.print() }()
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fatal(err)
	case err := <-printed: // an error, or the last of --count
		l.stop(ctx, server)
		if err == nil {
			l.say("%s.%s", count(l.most, "event"), l.unprinted())
		}
		return fatal(err)
	case <-ctx.Done():
	}
	l.stop(ctx, server)
	select {
	case err := <-printed:
		l.say("\n%s.", count(l.taken, "event"))
		return fatal(err)
	case <-nextSignal():
	case <-time.After(stopTimeout):
	}
	return fatal(fmt.Errorf("%w: not all events are printed, as standard output is not read", errInterrupted))
}

// stop answers the requests that are there, and takes no more events.
func (l *listening) stop(ctx context.Context, server *http.Server) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = server.Shutdown(last) // requests that take longer are not answered
	_ = server.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	close(l.events)
}

// print prints events until there are as many as wanted, the channel is closed, or an error.
func (l *listening) print() error {
	out, printed := l.cmd.OutOrStdout(), 0
	for event := range l.events {
		var err error
		if l.asJSON {
			err = plainJSON(out).Encode(event)
		} else {
			_, err = fmt.Fprintln(out, eventText(event))
		}
		printed++
		if err != nil || printed == l.most {
			return err
		}
	}
	return nil
}

// unprinted says how many events were taken beyond those of --count: the service takes them for received.
func (l *listening) unprinted() string {
	if l.taken > l.most {
		return fmt.Sprintf(" %d more came at the same time, and are not printed.", l.taken-l.most)
	}
	return ""
}

// watch says once for each status that requests are refused with it: an app without events is puzzling.
func (l *listening) watch(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &statusWriter{ResponseWriter: w}
		h.ServeHTTP(seen, r)
		l.mu.Lock()
		defer l.mu.Unlock()
		if seen.status >= http.StatusBadRequest && !l.refused[seen.status] {
			l.refused[seen.status] = true
			why := map[int]string{
				http.StatusForbidden:        fmt.Sprintf("its SdkAppid is not %d, or its Sign is not made with the token in %s", l.app, tokenVariable),
				http.StatusMethodNotAllowed: "it is not a POST",
				http.StatusBadRequest:       "its body is not the JSON of a callback",

				http.StatusRequestEntityTooLarge: "its body is longer than 1 MiB",
			}[seen.status]
			l.say("timpush: a request was refused: %s (HTTP %d; said once)", why, seen.status)
		}
	})
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// eventText returns an event as a line.
func eventText(event any) string {
	switch e := event.(type) {
	case timpush.PushEvent:
		text := eventLine(e.EventTime, e.PushStage, e.ToAccount, eventPlatform(e), e.ErrCode, e.ErrInfo) + "  push " + dash(e.TaskID)
		if e.DataID != "" {
			text += "  data " + printable(e.DataID)
		}
		return text
	case timpush.ChatPushEvent:
		return eventLine(e.EventTime, e.PushStage, e.ToAccount, e.PushPlatform.String(), e.ErrCode, e.ErrInfo) + "  chat push " + dash(e.PushID)
	case otherEvent:
		return printable(e.CallbackCommand + "  " + string(e.Item))
	}
	return ""
}

func eventPlatform(e timpush.PushEvent) string {
	if e.EventType == 2 && e.DeviceType != timpush.PushPlatformUnknown {
		return "connected " + e.DeviceType.String()
	}
	return platformText(e.PushPlatform, e.EventType)
}

func eventLine(at time.Time, stage timpush.PushStage, account, platform string, code int, info string) string {
	result := stage.String()
	if code != 0 {
		result = fmt.Sprintf("not %s: %d %s", result, code, printable(info))
	}
	return fmt.Sprintf("%s  %-7s  %s  %s", utc(at), result, dash(account), platform)
}

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"

	"github.com/timpush/timpush-go/cmd/timpush/internal/dashboard"
	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

const serveLong = `Serve a fake of the service on this machine, as strict as the real one, for programs in any language: it checks the UserSig,
the parameters and the limits, enforces the quotas, and stores the attributes, tags and pushes in memory. Nothing is sent to the real
service, nor to a device: in the statistics a push reaches four of five accounts, and one of five clicks. Scheduled pushes run when they
are due. With --callbacks the fake posts these events to a URL, such as that of timpush callbacks, up to 100 in a request and at most 1,000
requests a second; with TIMPUSH_CALLBACK_TOKEN set it signs them. Events that are not taken are lost, and it says how many.

A page at the same address shows the requests as they arrive, without the secret key and the UserSigs.

Standard output has the settings that a program needs, as lines for a shell; timpush --config reads them too. The app is the configured
one. Without a configuration it is invented, and so is its secret key, which is printed only there.

--fault makes a share of the requests fail, in per cent: 91000=1 answers with this ErrorCode and applies nothing, 502=1 with the page
of a gateway, cut=1 applies the request and closes the connection without an answer, hang=1 never answers.

Ctrl-C ends it; what is stored is lost.`

const serveExample = `  timpush serve
  timpush serve --listen 127.0.0.1:0 > settings.sh       # any free port; then, elsewhere: . ./settings.sh
  timpush serve --names city,level --latency 200ms --jitter 100ms
  timpush serve --callbacks http://127.0.0.1:7171        # and timpush callbacks in another terminal
  timpush serve --fault 91000=2,cut=0.5`

// maxBodyKept is more than any request needs; a longer one is refused.
const maxBodyKept = 8 << 20

// keptCalls is how many requests the fake keeps. The page keeps its own.
const keptCalls = 100

// serving is a running serve.
type serving struct {
	cmd                  *cobra.Command
	listen               string
	public               bool
	names, registrations []string
	latency, jitter      time.Duration
	quota, maxAccounts   int
	plan                 string
	faults               map[string]string
	callbacks            string
}

func newServe() *cobra.Command {
	s := &serving{}
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve a fake of the service, with a page that shows the requests", Long: serveLong, Example: serveExample, Args: usageArgs(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.cmd = cmd
			return s.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.listen, "listen", "127.0.0.1:7070", "`address` to listen on; port 0 is any free one")
	flags.BoolVar(&s.public, "public", false, "accept connections from other machines, without TLS")
	flags.StringSliceVar(&s.names, "names", []string{"sex", "city", "country"}, "`names` of the app's attributes for UserIDs")
	flags.StringSliceVar(&s.registrations, "registration-names", nil, "`names` of the app's attributes for RegistrationIDs")
	flags.DurationVar(&s.latency, "latency", 0, "`time` that each answer takes")
	flags.DurationVar(&s.jitter, "jitter", 0, "`time` by which that varies in both directions")
	flags.IntVar(&s.quota, "quota", 100, "`calls` a second of each command of attributes and tags; 0: any number, also of pushes")
	flags.StringVar(&s.plan, "plan", "standard", "`plan` of the app, for the quotas of pushes: free, standard or advanced")
	flags.IntVar(&s.maxAccounts, "max-accounts", 1_000_000, "`number` of accounts that can have attributes, about 600 bytes of memory each; 0: any number")
	flags.StringToStringVar(&s.faults, "fault", nil, "`fault=percent`: a fault and the share of requests that have it")
	flags.StringVar(&s.callbacks, "callbacks", "", "`URL` to which the events of pushes are posted, such as that of timpush callbacks")
	flags.String("config", "", "configuration `file`")
	flags.String(settings.SDKAppID, "", "`number` of the app")
	flags.String(settings.Identifier, "", "`UserID` of its administrator")
	flags.String(settings.SecretKeyFile, "", "`file` with its secret key, - for standard input")
	return cmd
}

func (s *serving) run(ctx context.Context) error {
	faults, err := s.check()
	if err != nil {
		return usage(err)
	}
	app, made, err := s.app()
	if err != nil {
		return err
	}
	listener, err := listenAt(ctx, s.listen, s.public, "see and change everything here")
	if err != nil {
		return err
	}
	roomForData()
	fake := s.fake(app)
	defer fake.Close()
	fake.Handle(faults.next)
	go runTasks(ctx, fake)
	if s.callbacks != "" {
		go (&callbackSender{fake: fake, url: s.callbacks, say: s.say}).run(ctx)
	}
	page := dashboard.New(fake, dashboard.Options{Quota: s.quota, AnyHost: s.public})
	if err := s.announce(app, made, listener); err != nil {
		_ = listener.Close()
		return fatal(err)
	}
	return s.serve(ctx, listener, page)
}

// check parses the flags.
func (s *serving) check() (faults, error) {
	names := slices.Concat(s.names, s.registrations)
	if len(names) > timpush.MaxAttrsPerUser {
		return nil, fmt.Errorf("--names, --registration-names: there are %d, and an app has at most %d", len(names), timpush.MaxAttrsPerUser)
	}
	for i, name := range names {
		if name == "" || len(name) > timpush.MaxNameBytes || slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("--names, --registration-names: %q is empty, has more than %d bytes, or comes twice", name, timpush.MaxNameBytes)
		}
	}
	if s.latency < 0 || s.jitter < 0 || s.quota < 0 || s.maxAccounts < 0 {
		return nil, errors.New("--latency, --jitter, --quota and --max-accounts: want 0 or more")
	}
	if _, ok := plans[s.plan]; !ok {
		return nil, fmt.Errorf("--plan %s: want free, standard or advanced", s.plan)
	}
	if err := checkCallbacks(s.callbacks); err != nil {
		return nil, err
	}
	return parseFaults(s.faults)
}

var plans = map[string]timpushtest.Plan{
	"free": timpushtest.PlanFree, "standard": timpushtest.PlanStandard, "advanced": timpushtest.PlanAdvanced,
}

// app returns the app that is served. What is not configured is invented; made reports whether the key is.
func (s *serving) app() (app *settings.Settings, made bool, err error) {
	source := sourceOf(s.cmd)
	source.Optional = true
	if app, err = source.Load(); err != nil {
		return nil, false, usage(err)
	}
	if app.SDKAppID == 0 {
		app.SDKAppID = 1400000000
	}
	if app.Identifier == "" {
		app.Identifier = "administrator"
	}
	if app.SecretKey == "" {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // it never fails
		app.SecretKey, made = hex.EncodeToString(key), true
	}
	if app.Region == "" {
		app.Region = timpush.RegionSingapore
	}
	return app, made, nil
}

func (s *serving) fake(app *settings.Settings) *timpushtest.Server {
	var signed []timpushtest.Option
	if token := os.Getenv(tokenVariable); token != "" {
		signed = append(signed, timpushtest.WithCallbackToken(token))
	}
	return timpushtest.NewServer(append(signed,
		timpushtest.WithInMemory(), timpushtest.WithApp(app.SDKAppID, app.Identifier, app.SecretKey),
		timpushtest.WithAttrNames(s.names...), timpushtest.WithRegistrationAttrNames(s.registrations...),
		timpushtest.WithLatency(s.latency, s.jitter), timpushtest.WithQuota(s.quota), timpushtest.WithPlan(plans[s.plan]),
		timpushtest.WithReach(95, 80, 20),
		timpushtest.WithMaxAccounts(s.maxAccounts), timpushtest.WithKeptCalls(keptCalls))...)
}

// runTasks carries out scheduled pushes when they are due.
func runTasks(ctx context.Context, fake *timpushtest.Server) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			fake.RunTasks(now)
		case <-ctx.Done():
			return
		}
	}
}

// listenAt listens on an address, which other machines can only connect to if it is public; others is what they then can do.
func listenAt(ctx context.Context, address string, public bool, others string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		if wrong, ok := errors.AsType[*net.AddrError](err); ok {
			return nil, usage(fmt.Errorf("--listen: %w", wrong))
		}
		return nil, fatal(fmt.Errorf("%w\nGive another --listen, such as 127.0.0.1:0 for any free port", err))
	}
	if !public && !isLocal(listener) {
		_ = listener.Close()
		return nil, usage(fmt.Errorf("--listen %s accepts connections from other machines, without TLS: give --public if they may %s", address, others))
	}
	return listener, nil
}

// urlOf returns the URL of a listener, for this machine.
func urlOf(l net.Listener) string {
	address := l.Addr().String()
	if host, port, err := net.SplitHostPort(address); err == nil && net.ParseIP(host).IsUnspecified() {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + address
}

func isLocal(l net.Listener) bool {
	address, ok := l.Addr().(*net.TCPAddr)
	return ok && address.IP.IsLoopback()
}

// say prints a line for who runs it.
func (s *serving) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.cmd.ErrOrStderr(), format+"\n", args...)
}

// announce prints the address of the fake, and the settings for programs that use it. Without these no program can.
func (s *serving) announce(app *settings.Settings, made bool, l net.Listener) error {
	var out bytes.Buffer
	url := urlOf(l)
	s.say("The fake of the service is at %s, with a page that shows the requests. Ctrl-C ends it.", url)
	if !isLocal(l) {
		s.say("WARNING: everyone who can connect to this machine sees all requests, and UserSigs are sent without TLS. Use no real secret key.")
	}
	s.say("Settings for programs:")
	for _, line := range [][2]string{
		{settings.BaseURL, url}, {settings.SDKAppID, strconv.Itoa(app.SDKAppID)}, {settings.Identifier, app.Identifier}, {settings.Region, string(app.Region)},
	} {
		export(&out, line[0], line[1])
	}
	if made {
		if info, err := os.Stdout.Stat(); err == nil && info.Mode().IsRegular() {
			_ = os.Stdout.Chmod(0o600) // this tool refuses a key that others can read
		}
		export(&out, settings.SecretKey, app.SecretKey)
	} else {
		_, _ = fmt.Fprintf(&out, "# and the secret key, from %s\n", app.From[settings.SecretKey])
	}
	_, err := out.WriteTo(s.cmd.OutOrStdout())
	return err
}

// export writes a line for a shell.
func export(out io.Writer, key, value string) {
	_, _ = fmt.Fprintf(out, "export %s=%s\n", settings.EnvName(key), text.Quote(value))
}

// serve answers requests until ctx ends.
func (s *serving) serve(ctx context.Context, l net.Listener, page *dashboard.Handler) error {
	server := &http.Server{
		Handler:           http.MaxBytesHandler(page, maxBodyKept),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // faults close connections on purpose
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fatal(err)
	case <-ctx.Done():
	}
	page.Close()
	_ = server.Close() // an error of the listener does not matter any more
	requests, done := page.Totals()
	_, _ = fmt.Fprintf(s.cmd.ErrOrStderr(), "\n%s, %s done.\n", count(requests, "request"), count(done, "user"))
	return nil
}

// share is a fault, and the share of requests that have it.
type share struct {
	fault   timpushtest.Fault
	percent float64
}

// faults are the faults of --fault.
type faults []share

func parseFaults(texts map[string]string) (list faults, err error) {
	var sum float64
	for name, text := range texts {
		percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil || !(percent > 0 && percent <= 100) {
			return nil, fmt.Errorf("--fault %s=%s: want a share in per cent, above 0 and at most 100", name, text)
		}
		fault, ok := parseFault(name)
		if !ok {
			return nil, fmt.Errorf("--fault %s: want an ErrorCode such as 91000, an HTTP status such as 502, cut or hang", name)
		}
		list, sum = append(list, share{fault, percent}), sum+percent
	}
	if sum > 100 {
		return nil, fmt.Errorf("--fault: the sum is %g per cent, want at most 100", sum)
	}
	return list, nil
}

func parseFault(name string) (timpushtest.Fault, bool) {
	switch n, err := strconv.Atoi(name); {
	case name == "cut":
		return timpushtest.CutAfter(), true
	case name == "hang":
		return timpushtest.Hang(), true
	case err == nil && n >= 400 && n <= 599:
		return timpushtest.Status(n), true
	case err == nil && n >= 10_000 && n <= 99_999:
		return timpushtest.ErrorCode(n), true
	}
	return timpushtest.Fault{}, false
}

// next chooses the fault of a request at random.
func (f faults) next(timpushtest.Call) timpushtest.Fault {
	at := mathrand.Float64() * 100
	for _, s := range f {
		if at -= s.percent; at < 0 {
			return s.fault
		}
	}
	return timpushtest.Fault{}
}

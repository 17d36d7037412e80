package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// maxSkew is how much the clock may differ from the server's. UserSigs have its time in them.
const maxSkew = time.Minute

// stepTimeout is how long a step of the check may take.
const stepTimeout = 10 * time.Second

const checkLong = `Check each step on the way to the service: the configuration, the server's name, TLS, this machine's clock, and, by reading
the names of the app's attributes, the secret key and whether the identifier is an administrator. It prints what is wrong and how to
correct it. The region's backup host is tried too, unless --base-url is given; it is no fault if it alone cannot be reached.

Nothing is changed, and no user's attributes are read. The exit code is 0 if all is well, 2 if the configuration is wrong, and else 3.`

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "Check the configuration and the connection, and say how to correct them", Long: checkLong, Args: usageArgs(noArguments),
		Example: "  timpush check\n  timpush check --region frankfurt --config frankfurt.conf",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd)
			if err != nil {
				return err
			}
			return (&checkup{cmd: cmd, settings: s}).all(cmd.Context())
		},
	}
	appFlags(cmd.Flags())
	return cmd
}

// checkup is a running check.
type checkup struct {
	cmd      *cobra.Command
	settings *settings.Settings
	base     *url.URL
	prefix   string // of the steps' names
}

// ok prints a step that succeeded.
func (c *checkup) ok(step, format string, args ...any) {
	_, _ = fmt.Fprintf(c.cmd.OutOrStdout(), "ok    %-14s %s\n", c.prefix+step, fmt.Sprintf(format, args...))
}

// bad prints a step that failed, and what to do, unless it failed because of Ctrl-C.
func (c *checkup) bad(step string, err error, remedy string) error {
	if c.cmd.Context().Err() != nil {
		return fatal(errInterrupted)
	}
	_, _ = fmt.Fprintf(c.cmd.OutOrStdout(), "WRONG %-14s %v\n%20s %s\n", c.prefix+step, err, "", remedy)
	return &exitError{code: exitFatal}
}

func (c *checkup) all(ctx context.Context) error {
	client, err := newClientOf(c.settings, timpush.WithMaxAttempts(1), timpush.WithAttemptTimeout(stepTimeout))
	if err != nil {
		return err
	}
	c.ok("configuration", "%s", strings.Join(c.settings.Describe(), "\n                     "))
	if c.base, err = url.Parse(c.settings.Base()); err != nil {
		return usage(err)
	}
	err = c.reach(ctx)
	if backup := c.settings.Region.BackupHost(); backup != "" && c.settings.BaseURL == "" {
		other := &checkup{cmd: c.cmd, settings: c.settings, base: &url.URL{Scheme: "https", Host: backup}, prefix: "backup "}
		if backupErr := other.reach(ctx); err != nil && backupErr == nil {
			_, _ = fmt.Fprintf(c.cmd.OutOrStdout(), "%20s The backup host can be reached: give --base-url https://%s, or WithBackupHost in a program.\n", "", backup)
		}
	}
	if err != nil {
		return err
	}
	return c.key(ctx, client)
}

// reach tries the way to one host.
func (c *checkup) reach(ctx context.Context) error {
	steps := []func(context.Context) error{c.dns, c.connection, c.clock}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: c.base}); err != nil {
		return c.bad("proxy", err, "Correct HTTPS_PROXY.")
	} else if proxy != nil {
		// The path is left out: where a password has a slash, it is a part of that.
		c.ok("proxy", "%s://%s to %s, by HTTPS_PROXY", proxy.Scheme, proxy.Host, c.base.Host)
		steps = steps[2:] // the proxy looks up the name, and connects
	}
	for _, step := range steps {
		ctx, cancel := context.WithTimeout(ctx, stepTimeout)
		err := step(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *checkup) dns(ctx context.Context) error {
	host := c.base.Hostname()
	if net.ParseIP(host) != nil {
		return nil
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		remedy := "Is this machine on the internet, and does its DNS server answer? A proxy is taken from HTTPS_PROXY."
		if c.settings.BaseURL != "" {
			remedy = "Is --base-url spelled correctly? " + remedy
		}
		return c.bad("DNS", err, remedy)
	}
	c.ok("DNS", "%s is %s", host, strings.Join(addresses, ", "))
	return nil
}

func (c *checkup) connection(ctx context.Context) error {
	port := c.base.Port()
	if port == "" {
		port = "443"
	}
	address := net.JoinHostPort(c.base.Hostname(), port)
	plain, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return c.bad("connection", err, "Is a firewall in between? It must allow TCP connections from this machine to "+address+".")
	}
	defer func() { _ = plain.Close() }()
	if c.base.Scheme != "https" {
		c.ok("connection", "%s, without TLS", address)
		return nil
	}
	secure := tls.Client(plain, &tls.Config{ServerName: c.base.Hostname(), MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		return c.bad("TLS", err, tlsRemedy(err))
	}
	state := secure.ConnectionState()
	c.ok("TLS", "%s, certificate valid until %s", tls.VersionName(state.Version), state.PeerCertificates[0].NotAfter.Format(time.DateOnly))
	return nil
}

func tlsRemedy(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "The certificate is not the service's, or this machine's clock or root certificates (package ca-certificates) are out of date. A proxy that decrypts TLS must not be used for this host."
	}
	return "A firewall or a proxy in between blocks TLS."
}

// clock sends a request without a query, which needs no UserSig, and compares the Date header that every server sends.
func (c *checkup) clock(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, c.base.String(), http.NoBody)
	if err != nil {
		return usage(err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return c.bad("HTTP", err, c.headRemedy(err))
	}
	defer func() { _ = resp.Body.Close() }()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		c.ok("clock", "not compared: the server sends no date")
		return nil
	}
	middle := began.Add(time.Since(began) / 2)
	skew := middle.Sub(date.Add(500 * time.Millisecond)).Round(time.Second) // Date has whole seconds, cut off
	if skew.Abs() > maxSkew {
		return c.bad("clock", fmt.Errorf("this machine's clock differs from the server's by %v", skew),
			"Let NTP set it (timedatectl set-ntp true): a UserSig has the time in it, and the service refuses one from another time (70001).")
	}
	c.ok("clock", "within %v of the server's", max(skew.Abs(), time.Second))
	return nil
}

// headRemedy says what to do where nothing answers. With a proxy, no step before has tried to connect.
func (c *checkup) headRemedy(err error) string {
	proxy, proxyErr := http.ProxyFromEnvironment(&http.Request{URL: c.base})
	proxied := proxyErr == nil && proxy != nil && c.base.Scheme == "https"
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return tlsRemedy(err)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		return "The proxy cannot be reached. Is HTTPS_PROXY right?"
	}
	if proxied {
		return "The proxy does not lead to the server: it must allow CONNECT to " + c.base.Host + "."
	}
	return "The server can be reached but does not speak HTTP. Is --base-url right?"
}

func (c *checkup) key(ctx context.Context, client *timpush.Client) error {
	names, err := client.AttrNames(ctx)
	if err != nil {
		return c.bad("key", err, c.keyRemedy(err))
	}
	c.ok("key", "it is the key of the app, and %s is an administrator", c.settings.Identifier)
	if len(names) == 0 {
		c.ok("attributes", "the app has none yet: timpush names set --help")
		return nil
	}
	var list []string
	for _, n := range names {
		list = append(list, text.Plain(n.Name))
	}
	c.ok("attributes", "%s", strings.Join(list, ", "))
	return nil
}

func (c *checkup) keyRemedy(err error) string {
	code, ok := errors.AsType[timpush.Code](err)
	switch {
	case !ok:
		return "What answers is not the service: a gateway or a proxy is in between, or --base-url is wrong."
	case code == timpush.ErrUserSigMismatch || code == timpush.ErrTooManyBadUserSigs:
		return "Copy the SecretKey of the app " + fmt.Sprint(c.settings.SDKAppID) + " from the console once more; it now comes from " + c.settings.From[settings.SecretKey] + "."
	case code == timpush.ErrNotAdmin || code == timpush.ErrAdminRequired:
		return "Make " + c.settings.Identifier + " an administrator of the app in the console, or give --identifier."
	case code == timpush.ErrWrongRegion || code == timpush.ErrNoSuchApp || code == timpush.ErrNoKey:
		return "The console shows where the app is: give --region. It is now " + string(c.settings.Region) + "."
	case code == timpush.ErrUserSigExpired:
		return "Set this machine's clock, also its time zone."
	}
	return "See: timpush explain " + fmt.Sprint(int(code))
}

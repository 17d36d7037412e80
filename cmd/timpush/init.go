package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
)

const initLong = `Write a configuration file with comments, which only you can read, and check it with the service.

What flags and environment do not give is asked for on a terminal. The secret key comes from TIMPUSH_SECRET_KEY, or from
standard input: typed on a terminal, where it is not shown, or piped. There is no flag for it, as others can see command lines.

The file is timpush/config in your configuration directory, or --config. One that exists is replaced only with --force.
The exit code is that of timpush check, whose steps it prints; the file is kept in any case.`

const initExample = `  timpush init
  timpush init --sdkappid 1400000000 --identifier administrator --region singapore < key.txt`

func newInit() *cobra.Command {
	i := &initiation{}
	cmd := &cobra.Command{
		Use: "init", Short: "Write the configuration file, and check it", Long: initLong, Example: initExample, Args: usageArgs(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error {
			i.cmd = cmd
			return i.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&i.force, "force", false, "replace a configuration file that exists")
	cmd.Flags().BoolVar(&i.unchecked, "no-check", false, "do not check it with the service")
	appFlags(cmd.Flags())
	return cmd
}

// initiation is an init.
type initiation struct {
	cmd              *cobra.Command
	force, unchecked bool
	source           settings.Source
	input            *bufio.Reader
	terminal         int // file descriptor of standard input, or -1 if that is not a terminal
}

func (i *initiation) run(ctx context.Context) error {
	i.source = sourceOf(i.cmd)
	name, err := i.source.FileName()
	if err != nil {
		return fatal(err)
	}
	if _, err := os.Lstat(name); err == nil && !i.force {
		return usage(fmt.Errorf("%s exists: give --force to replace it, or another --config", name))
	}
	i.input, i.terminal = bufio.NewReader(i.cmd.InOrStdin()), -1
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		i.terminal = fd
	}
	values, err := i.values()
	if err == nil {
		err = checkAll(values)
	}
	if err != nil {
		return usage(err)
	}
	if err := writePrivate(name, configText(values)); err != nil {
		return fatal(err)
	}
	_, _ = fmt.Fprintln(i.cmd.OutOrStdout(), "wrote", name)
	if i.unchecked {
		return nil
	}
	i.source.File = name
	s, err := i.source.Load()
	if err != nil {
		return usage(err)
	}
	return (&checkup{cmd: i.cmd, settings: s}).all(ctx)
}

// question is a setting that init asks for.
type question struct {
	key, text string
	check     func(string) error
}

var questions = []question{
	{settings.SDKAppID, "SDKAppID, the number of the app in the console", checkNumber},
	{settings.Region, "Region of the app, such as singapore", checkRegion},
	{settings.Identifier, "UserID of an administrator of the app (administrator)", checkLine},
	{settings.SecretKey, "SecretKey of the app, from the console (not shown)", nil},
}

func checkNumber(text string) error {
	if n, err := strconv.Atoi(text); err != nil || n <= 0 {
		return errors.New("that is not a whole number above 0")
	}
	return nil
}

func checkRegion(text string) error {
	_, err := timpush.ParseRegion(text)
	return err
}

// checkLine refuses what a line of the configuration file does not hold.
func checkLine(text string) error {
	if strings.ContainsFunc(text, unicode.IsControl) || strings.Contains(" "+text, " #") || strings.TrimSpace(strings.Trim(text, "\"'")) != text {
		return errors.New(`it has a control character or " #" in it, or begins or ends with a space or a quotation mark`)
	}
	return nil
}

// checkAll checks settings together before they replace others, with those that are not asked for.
func checkAll(values map[string]string) error {
	source := settings.Source{File: os.DevNull, Flags: map[string]string{}, Env: func(name string) string {
		if name == settings.EnvName(settings.SecretKey) {
			return values[settings.SecretKey]
		}
		return ""
	}}
	for key, value := range values {
		if key != settings.SecretKey {
			source.Flags[key] = value
		}
	}
	s, err := source.Load()
	if err == nil {
		_, err = newClientOf(s)
	}
	return err
}

// values collects the settings.
func (i *initiation) values() (map[string]string, error) {
	values := map[string]string{}
	for _, q := range questions {
		value, err := i.value(q)
		if err == nil && q.check != nil {
			err = q.check(value)
		}
		if err == nil && q.key == settings.SecretKey {
			value, err = settings.ParseKey(value)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.key, err)
		}
		values[q.key] = value
	}
	for _, key := range []string{settings.BaseURL, settings.Rate, settings.InFlight} {
		if value := i.source.Given(key); value != "" {
			values[key] = value
		}
	}
	return values, nil
}

// value returns a setting that is given, or asks for it.
func (i *initiation) value(q question) (string, error) {
	if q.key == settings.SecretKey {
		return i.key(q)
	}
	if value := i.source.Given(q.key); value != "" {
		return value, nil
	}
	if i.terminal < 0 {
		return "", fmt.Errorf("it is missing: give --%s, or set %s", q.key, settings.EnvName(q.key))
	}
	i.ask(q)
	line, err := i.input.ReadString('\n')
	switch {
	case errors.Is(err, errInterrupted):
		return "", err
	case err != nil:
		return "", errors.New("it is missing")
	}
	line = strings.TrimSpace(line)
	if line == "" && q.key == settings.Identifier {
		line = "administrator"
	}
	return line, nil
}

// key reads the key from a file that --secret-key-file names, the environment, the terminal, or a pipe.
func (i *initiation) key(q question) (string, error) {
	_, named := i.source.Flags[settings.SecretKeyFile]
	if key := i.source.Given(settings.SecretKey); key != "" && !named {
		return key, nil
	}
	if name := i.source.Given(settings.SecretKeyFile); name != "" && name != "-" {
		if err := settings.CheckFile(settings.SecretKeyFile, name); err != nil {
			return "", err
		}
		f, err := i.source.Open(name)
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }()
		text, err := io.ReadAll(io.LimitReader(f, 1<<16))
		return string(text), err
	}
	if i.terminal < 0 {
		text, err := io.ReadAll(io.LimitReader(i.input, 1<<16))
		return string(text), err
	}
	i.ask(q)
	defer func() { _, _ = fmt.Fprintln(i.cmd.ErrOrStderr()) }()
	return i.hidden()
}

// hidden reads a line from the terminal, which does not show it.
func (i *initiation) hidden() (string, error) {
	shown, err := term.GetState(i.terminal)
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(i.terminal, shown) }() // also if reading is given up
	text, err := untilEnd(i.cmd.Context(), func() ([]byte, error) { return term.ReadPassword(i.terminal) })
	return string(text), err
}

func (i *initiation) ask(q question) { _, _ = fmt.Fprintf(i.cmd.ErrOrStderr(), "%s: ", q.text) }

// configText is the configuration file.
func configText(values map[string]string) []byte {
	var b bytes.Buffer
	set := func(key, otherwise, comment string) {
		value, mark := values[key], ""
		if value == "" {
			value, mark = otherwise, "# "
		}
		_, _ = fmt.Fprintf(&b, "\n# %s\n%s%s = %s\n", comment, mark, key, value)
	}
	b.WriteString("# Settings of timpush. Flags and the environment take precedence: see timpush --help.\n")
	set(settings.SDKAppID, "", "The number of the app, from the console.")
	set(settings.Region, "", "Where the app is.")
	set(settings.Identifier, "", "The UserID of an administrator of the app.")
	set(settings.SecretKey, "", "The SecretKey of the app. Whoever has it can do everything with the app: keep this file to yourself (mode 600).")
	set(settings.Rate, "97.5", "Calls a second. The quota is 100; give less if other programs use the app as well.")
	set(settings.InFlight, "32", "Requests at a time.")
	set(settings.BaseURL, "http://127.0.0.1:7070", "Another server than that of the region, such as the fake of timpush serve.")
	return b.Bytes()
}

// writePrivate writes a file that only its owner can read. It replaces another one as a whole or not at all.
func writePrivate(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".timpush-*") // mode 600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

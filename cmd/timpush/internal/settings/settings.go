// Package settings finds out which app to talk to and how: flags go before the environment, and that before a file.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// DefaultRate is how many calls a second are made if no other rate is given: see timpush.WithLimiter.
const DefaultRate = 97.5

// Keys are the settings there are. In the environment they are in capitals, with TIMPUSH_ before them and "_" for "-".
const (
	SDKAppID      = "sdkappid"
	Identifier    = "identifier"
	SecretKey     = "secret-key"
	SecretKeyFile = "secret-key-file"
	Region        = "region"
	BaseURL       = "base-url"
	Rate          = "rate"
	InFlight      = "in-flight"
)

var keys = []string{SDKAppID, Identifier, SecretKey, SecretKeyFile, Region, BaseURL, Rate, InFlight}

// Source is where settings come from.
type Source struct {
	Flags map[string]string // those that were given
	Env   func(string) string
	File  string // "" for the default, which need not exist
	Stdin io.Reader
	Open  func(name string) (io.ReadCloser, error) // opens files; nil: as os.Open

	Optional bool // the app need not be told, nor where it is

	file map[string]string
	name string // of the file that was read
}

// Nowhere is where a setting comes from that was not given.
const Nowhere = "nowhere"

// Value is a setting and where it comes from.
type Value struct{ Text, From string }

// Settings is what a client is made of.
type Settings struct {
	timpush.Config
	BaseURL  string
	Rate     float64
	InFlight int
	From     map[string]string // where each setting comes from

	overruled []string // variables of the environment that go before other values in a file that a flag names
	file      string   // that one
}

// EnvName returns the environment variable of a setting.
func EnvName(key string) string {
	return "TIMPUSH_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}

// Load reads all settings. The error holds everything that is missing or wrong, with what to do.
func (s *Source) Load() (*Settings, error) {
	if err := s.readFile(); err != nil {
		return nil, err
	}
	r := &Settings{From: map[string]string{}, file: s.File, overruled: s.overruled()}
	var faults []error
	value := func(key string, required bool) string {
		v := s.value(key)
		if v.Text == "" && required && !s.Optional {
			faults = append(faults, missing(key))
		}
		r.From[key] = v.From
		return v.Text
	}
	whole := func(key string, required bool) int {
		t := value(key, required)
		if t == "" {
			return 0
		}
		n, err := parseWhole(key, t, r.From[key])
		faults = append(faults, err)
		return n
	}
	r.SDKAppID = whole(SDKAppID, true)
	r.Identifier = text.Trim(value(Identifier, true)) // as in a file; with white space around it would be another one
	if reason, _ := text.AccountFault(r.Identifier); reason != "" {
		faults = append(faults, fmt.Errorf("%s (from %s): %s", Identifier, r.From[Identifier], reason))
	}
	r.BaseURL = value(BaseURL, false)
	perSecond, err := parseRate(value(Rate, false))
	if err != nil {
		faults = append(faults, fmt.Errorf("%s (from %s) %w", Rate, r.From[Rate], err))
	}
	r.Rate = perSecond
	r.InFlight = whole(InFlight, false)
	if name := value(Region, true); name != "" {
		region, err := timpush.ParseRegion(name)
		r.Region, faults = region, append(faults, err)
	}
	key, err := s.secretKey(r)
	r.SecretKey, faults = key, append(faults, err)
	return r, errors.Join(faults...) // of which some are nil
}

// LoadApp finds only which app it is, for what needs no key.
func (s *Source) LoadApp() (sdkAppID int, err error) {
	if err := s.readFile(); err != nil {
		return 0, err
	}
	v := s.value(SDKAppID)
	if v.Text == "" {
		return 0, missing(SDKAppID)
	}
	return parseWhole(SDKAppID, v.Text, v.From)
}

// parseWhole reads a number that counts something.
func parseWhole(key, text, from string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s (from %s) is no whole number above 0", key, from)
	}
	return n, nil
}

// parseRate reads calls a second. Neither infinity nor NaN is one, although strconv takes them for numbers.
func parseRate(text string) (float64, error) {
	if text == "" {
		return DefaultRate, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0) || math.IsInf(n, 0) {
		return 0, errors.New("is no number above 0")
	}
	return n, nil
}

func missing(key string) error {
	what := map[string]string{
		SDKAppID:   "the number of the app, from the console",
		Identifier: "the UserID of an administrator of the app",
		Region:     "where the app is: china, singapore, seoul, frankfurt, siliconvalley, jakarta ...",
	}[key]
	return &missingError{fmt.Errorf("%s is missing (%s): give --%s, or set %s, or write it into the configuration file", key, what, key, EnvName(key))}
}

// missingError is a setting that was not given.
type missingError struct{ error }

// OnlyMissing reports whether an error of Load is only of settings that were not given.
func OnlyMissing(err error) bool {
	switch e := err.(type) { //nolint:errorlint // each error of the tree is looked at
	case *missingError:
		return true
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !OnlyMissing(err) })
	case interface{ Unwrap() error }:
		return OnlyMissing(e.Unwrap())
	}
	return false
}

// value looks a setting up in the usual order.
func (s *Source) value(key string) Value {
	if v, ok := s.Flags[key]; ok {
		return Value{v, "--" + key}
	}
	if v := s.Env(EnvName(key)); v != "" {
		return Value{v, EnvName(key)}
	}
	if v, ok := s.file[key]; ok {
		return Value{v, s.name}
	}
	return Value{"", Nowhere}
}

// overruled returns the variables of the environment that have other values than the file, if a flag names that: whoever names the file of one
// app hardly means another one.
func (s *Source) overruled() (variables []string) {
	if s.File == "" {
		return nil
	}
	for _, key := range keys {
		v := s.value(key)
		if other, ok := s.file[key]; ok && v.From == EnvName(key) && v.Text != other {
			variables = append(variables, v.From)
		}
	}
	return variables
}

// secretKey finds the key. It is never on the command line, where all users of the machine see it.
func (s *Source) secretKey(r *Settings) (string, error) {
	file, direct := s.value(SecretKeyFile), s.value(SecretKey)
	if file.From == "--"+SecretKeyFile || file.Text != "" && (direct.Text == "" || file.From != s.name && direct.From == s.name) {
		r.From[SecretKey] = file.Text + ", which " + file.From + " names"
		return s.keyFromFile(file.Text)
	}
	r.From[SecretKey] = direct.From
	if direct.Text == "" && s.Optional {
		return "", nil
	}
	if direct.Text == "" {
		return "", &missingError{fmt.Errorf("the secret key is missing: set %s, or put it into a file that only you can read and give --%s FILE (- for standard input)",
			EnvName(SecretKey), SecretKeyFile)}
	}
	if direct.From == s.name {
		if err := private(s.name, ""); err != nil {
			return "", err
		}
	}
	key := text.Trim(direct.Text)
	if key == "" {
		return "", nil // NewClient says that it is empty
	}
	return key, checkKey(key, direct.From)
}

func (s *Source) keyFromFile(name string) (string, error) {
	if name == "-" {
		return readKey("standard input", s.Stdin)
	}
	if err := CheckFile(SecretKeyFile, name); err != nil {
		return "", fmt.Errorf("the secret key: %w", err)
	}
	if err := private(name, ", or, where it is mounted for reading only: --"+SecretKeyFile+" - < "+name); err != nil {
		return "", err
	}
	f, err := s.open(name)
	if err != nil {
		return "", fmt.Errorf("the secret key: %w", err)
	}
	defer func() { _ = f.Close() }()
	return readKey(name, f)
}

func (s *Source) open(name string) (io.ReadCloser, error) {
	if s.Open != nil {
		return s.Open(name)
	}
	return os.Open(name)
}

// readKey reads a file with the key alone in it, or with a line for it such as a file for the environment has.
func readKey(name string, r io.Reader) (string, error) {
	var key string
	for line, err := range text.Lines(io.LimitReader(r, maxKeyFile), maxLine) {
		switch {
		case isFault(err):
			return "", fmt.Errorf("the secret key: %s:%w", name, err)
		case err != nil:
			return "", fmt.Errorf("the secret key: %w", err)
		case line.Text[0] == '#':
			continue
		case strings.HasPrefix(line.Text, "-----BEGIN"):
			return line.Text, nil // NewClient says what it is
		case key != "":
			return "", fmt.Errorf("the secret key: %s: want the key alone in it, and there is more in line %d", name, line.Number)
		}
		if key, err = keyOf(line); err != nil {
			return "", fmt.Errorf("the secret key: %s:%w", name, err)
		}
	}
	if key == "" {
		return "", fmt.Errorf("the secret key: there is nothing in %s", name)
	}
	return key, checkKey(key, name)
}

// keyOf returns the key of a line of a key file. Its error repeats nothing of the line, which may be the key.
func keyOf(line text.Line) (string, error) {
	name, value, named := strings.Cut(line.Text, "=")
	if !named {
		return line.Text, nil
	}
	if settingOf(name) != SecretKey {
		return "", line.Fault(len(name), "there is a = in it, which no key has: want the key alone, or "+EnvName(SecretKey)+"=key")
	}
	return unquoted(value), nil
}

// minKey is half of what the keys in the console have.
const minKey = 32

// checkKey refuses what cannot be a key, as each try with a wrong one counts towards 70050, and repeats nothing of it. Keys
// in quotation marks and PEM texts are left to NewClient, which knows them.
func checkKey(key, from string) error {
	if strings.Contains(key, "-----BEGIN") || strings.Trim(key, `"'`) != key {
		return nil
	}
	at := strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f })
	switch {
	case at >= 0:
		return fmt.Errorf("the secret key, from %s, cannot be one: character %d is not a printable ASCII character; copy it from the console once more", from, utf8.RuneCountInString(key[:at])+1)
	case len(key) < minKey:
		return fmt.Errorf("the secret key, from %s, cannot be one: it has only %d characters; copy it from the console once more", from, len(key))
	}
	return nil
}

// CheckFile refuses the name of a file that is not there where it may be what should be in the file, as a CI variable of the wrong type has
// it: a secret, which no error may repeat.
func CheckFile(flag, name string) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	content := text.Trim(name) // mostly with a line end
	key := !strings.ContainsAny(content, `./\`) && checkKey(content, "") == nil
	if key || strings.ContainsAny(content, "\r\n=") || strings.Contains(content, "-----BEGIN") {
		return fmt.Errorf("there is no such file as --%s or %s says; its name is not shown, since it may be the secret itself", flag, EnvName(flag))
	}
	return nil
}

// private refuses a file that others can read, and says what helps instead.
func private(name, instead string) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("the secret key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("the secret key: others can read %s: chmod 600 %s%s", name, name, instead)
	}
	return nil
}

// Bounds of what is read.
const (
	maxLine    = 64 << 10
	maxKeyFile = 64 << 10
)

// readFile reads the file: a setting on each line, "key = value", and comments after "#".
func (s *Source) readFile() error {
	name, err := s.FileName()
	if err != nil {
		return nil // without a home directory there is no default file
	}
	s.name = name
	optional := s.File == "" && s.Env("TIMPUSH_CONFIG") == ""
	if !optional {
		if err := CheckFile("config", s.name); err != nil {
			return fmt.Errorf("the configuration: %w", err)
		}
	}
	f, err := s.open(s.name)
	if optional && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	s.file = map[string]string{}
	for line, err := range text.Lines(f, maxLine) {
		if err == nil {
			err = s.readLine(line)
		}
		switch {
		case isFault(err):
			return fmt.Errorf("%s:%w", s.name, err)
		case err != nil:
			return fmt.Errorf("the configuration: %w", err)
		}
	}
	return nil
}

// FileName returns the name of the configuration file.
func (s *Source) FileName() (string, error) {
	if name := cmp.Or(s.File, s.Env("TIMPUSH_CONFIG")); name != "" {
		return name, nil
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "timpush", "config"), err
}

// Given returns a setting of the flags or the environment, or "".
func (s *Source) Given(key string) string { return cmp.Or(s.Flags[key], s.Env(EnvName(key))) }

// ParseKey returns the key of the text of a key file.
func ParseKey(content string) (string, error) {
	return readKey("the input", strings.NewReader(content))
}

func isFault(err error) bool {
	_, ok := errors.AsType[*text.Error](err)
	return ok
}

// readLine reads a line of the file, or of a file for the environment, such as "export TIMPUSH_REGION='singapore'".
func (s *Source) readLine(line text.Line) error {
	if line.Text[0] == '#' {
		return nil
	}
	name, value, ok := strings.Cut(line.Text, "=")
	key := settingOf(name)
	if !ok {
		return line.Fault(0, "want a line such as: region = singapore")
	}
	if !slices.Contains(keys, key) {
		return line.Fault(0, fmt.Sprintf("there is no setting %q, but %s", key, strings.Join(keys, ", ")))
	}
	plain := text.Trim(value)
	if value = unquoted(value); value == plain && comment.MatchString(value) {
		return line.Fault(strings.Index(line.Text, "=")+1, "a comment (#) needs a line of its own")
	}
	if reason, _ := text.AccountFault(value); reason != "" {
		return line.Fault(strings.Index(line.Text, "=")+1, reason)
	}
	if earlier, twice := s.file[key]; twice && earlier != value {
		return line.Fault(0, key+" is set a second time, to something else")
	}
	s.file[key] = value
	return nil
}

// comment is how a shell knows a comment at the end of a line. Taken for a part of the value, it would lead to a wrong app or administrator.
var comment = regexp.MustCompile(`(^|\s)#`)

// settingOf returns the setting that a name stands for, as it is in the file or in the environment.
func settingOf(name string) string {
	name = strings.ToLower(text.Trim(strings.TrimPrefix(name, "export ")))
	return strings.TrimPrefix(strings.ReplaceAll(name, "_", "-"), "timpush-")
}

// unquoted returns a value without the quotation marks around it.
func unquoted(value string) string {
	value = text.Trim(value)
	for _, mark := range []string{`"`, "'"} {
		if inner, ok := strings.CutPrefix(value, mark); ok && strings.HasSuffix(inner, mark) {
			return strings.TrimSuffix(inner, mark)
		}
	}
	return value
}

// Options returns the options of a client.
func (r *Settings) Options() []timpush.Option {
	options := []timpush.Option{timpush.WithLimiter(timpush.NewLimiter(r.Rate))}
	if r.BaseURL != "" {
		options = append(options, timpush.WithBaseURL(r.BaseURL))
	}
	if r.InFlight > 0 {
		options = append(options, timpush.WithMaxInFlight(r.InFlight))
	}
	return options
}

// Warnings returns what is allowed and likely to be wrong. A fake on this machine has whatever quota it is given.
func (r *Settings) Warnings() (all []string) {
	if len(r.overruled) > 0 {
		all = append(all, fmt.Sprintf("the environment goes before %s, which has other values: %s", r.file, strings.Join(r.overruled, ", ")))
	}
	if r.Rate > timpush.DefaultQPS && !r.Local() {
		all = append(all, fmt.Sprintf("rate %g, from %s, is above the app's quota of %d calls a second: the service refuses what is beyond it", r.Rate, r.From[Rate], timpush.DefaultQPS))
	}
	return all
}

// Local reports whether requests stay on this machine.
func (r *Settings) Local() bool {
	u, err := url.Parse(r.Base())
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// Base returns the URL that requests go to.
func (r *Settings) Base() string {
	if r.BaseURL != "" {
		return r.BaseURL
	}
	return "https://" + r.Region.Host()
}

// Service names what the requests reach. The backup host of a region is the same service as its host.
func (r *Settings) Service() string {
	if r.Base() == "https://"+r.Region.BackupHost() {
		return "https://" + r.Region.Host()
	}
	return r.Base()
}

// Describe returns the settings in words, without the key.
func (r *Settings) Describe() (lines []string) {
	values := map[string]string{
		SDKAppID: strconv.Itoa(r.SDKAppID), Identifier: r.Identifier, Region: string(r.Region), SecretKey: "(not shown)",
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, fmt.Sprintf("%s %s, from %s", key, values[key], r.From[key]))
	}
	return lines
}

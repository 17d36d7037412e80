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
	"slices"
	"strconv"
	"strings"

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
	r := &Settings{From: map[string]string{}, file: s.File, overruled: s.overruled(keys)}
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
func (s *Source) overruled(keys []string) (variables []string) {
	if s.File == "" {
		return nil
	}
	for _, key := range keys {
		v := s.value(key)
		other, ok := s.file[key]
		switch key {
		case BaseURL: // a file with a region and without one means the host of the region
			_, region := s.file[Region]
			ok = ok || region
		case SecretKey, SecretKeyFile: // either is the key
			_, direct := s.file[SecretKey]
			_, file := s.file[SecretKeyFile]
			ok = direct || file
		}
		if ok && v.From == EnvName(key) && v.Text != other {
			variables = append(variables, v.From)
		}
	}
	return variables
}

func (s *Source) open(name string) (io.ReadCloser, error) {
	if s.Open != nil {
		return s.Open(name)
	}
	return os.Open(name)
}

// Given returns a setting of the flags or the environment, or "".
func (s *Source) Given(key string) string { return cmp.Or(s.Flags[key], s.Env(EnvName(key))) }

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
		all = append(all, overruling(r.file, r.overruled))
	}
	if r.Rate > timpush.DefaultQPS && !r.Local() {
		all = append(all, fmt.Sprintf("rate %g, from %s, is above the app's quota of %d calls a second: the service refuses what is beyond it", r.Rate, r.From[Rate], timpush.DefaultQPS))
	}
	return all
}

func overruling(file string, variables []string) string {
	return fmt.Sprintf("the environment goes before %s, which has other values: %s", file, strings.Join(variables, ", "))
}

// AppWarning is that of the warnings which is about the app alone, for what needs no key, or "".
func (s *Source) AppWarning() string {
	if variables := s.overruled([]string{SDKAppID}); len(variables) > 0 {
		return overruling(s.File, variables)
	}
	return ""
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

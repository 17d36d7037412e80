package timpush

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Config is the app that a [Client] works for, and the administrator that it works as. All fields are required, except
// SecretKey with [WithSigner].
//
// A Config does not print, log or encode its SecretKey, with fmt, log/slog, encoding/json, encoding/xml, encoding/gob or
// encoding/asn1, which returns an error. There are exceptions, where fmt calls no method: the verbs %p and %w, and a Config in an
// unexported field of another struct, where you should keep a *Config.
type Config struct {
	SDKAppID   int    // of the app, as the console shows it
	Identifier string // UserID of an administrator of the app
	// SecretKey is the app's key for HMAC-SHA256, as the console shows it. The tag keeps encoding/asn1 from encoding it:
	// that package calls no method, and refuses a string that is tagged as a time.
	SecretKey string `asn1:"utc"`
	Region    Region // where the app's data is stored
}

// String returns the Config without its SecretKey.
func (c Config) String() string {
	key := "unset"
	if c.SecretKey != "" {
		key = redacted
	}
	return fmt.Sprintf("{SDKAppID:%d Identifier:%q SecretKey:%s Region:%q}", c.SDKAppID, shown(c.Identifier), key, shown(string(c.Region)))
}

// GoString returns the Config without its SecretKey.
func (c Config) GoString() string { return "timpush.Config" + c.String() }

// Format prints the Config without its SecretKey for every verb; without it %d would print all fields.
func (c Config) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		_, _ = io.WriteString(f, c.GoString())
		return
	}
	_, _ = io.WriteString(f, c.String())
}

// LogValue returns the Config without its SecretKey.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("SDKAppID", c.SDKAppID), slog.String("Identifier", shown(c.Identifier)),
		slog.String("Region", shown(string(c.Region))))
}

// MarshalText returns the Config without its SecretKey, for XML and the like.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// GobEncode returns the Config without its SecretKey. A Config cannot be decoded with encoding/gob.
func (c Config) GobEncode() ([]byte, error) { return c.MarshalText() }

// MarshalJSON returns the Config without its SecretKey.
func (c Config) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		SDKAppID   int
		Identifier string
		Region     string
	}{c.SDKAppID, shown(c.Identifier), shown(string(c.Region))})
}

// isKey reports whether a text has the form of the keys that the console shows, perhaps with the line end of the file that it was read from. No UserID
// is as long.
func isKey(s string) bool {
	s = strings.TrimSpace(s)
	return len(s) == 64 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// shown is an Identifier or a Region, or not the secret key where two settings were swapped.
func shown(s string) string {
	if isKey(s) {
		return redacted
	}
	return s
}

func (c Config) faults() []error {
	var faults []error
	add := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("timpush: Config."+format, args...))
	}
	if c.SDKAppID <= 0 {
		add("SDKAppID is %d, want the positive number that the console shows", c.SDKAppID)
	}
	switch {
	case c.Identifier == "":
		add("Identifier is empty, want the UserID of an app administrator")
	case !utf8.ValidString(c.Identifier) || strings.ContainsFunc(c.Identifier, unicode.IsControl):
		add("Identifier is not valid UTF-8 or has control characters") // a line feed would end its line in the text that is signed
	case isKey(c.Identifier): // it would be sent in each URL
		add("Identifier has the form of a secret key: were the two swapped?")
	}
	switch {
	case c.Region == "":
		add("Region is empty, want one of %s", regionNames())
	case c.Region.Host() == "":
		if r, err := ParseRegion(string(c.Region)); err == nil {
			add("Region is %q, want %q; use ParseRegion for other spellings", shownRegion(string(c.Region)), r)
			break
		}
		add("Region is %q, want one of %s", shownRegion(string(c.Region)), regionNames())
	}
	return faults
}

// keyFaults returns what is wrong with the SecretKey, and repeats none of it.
func (c Config) keyFaults() []error {
	fault := ""
	switch {
	case c.SecretKey == "":
		fault = "is empty, want the key that the console shows (or use WithSigner)"
	case strings.Contains(c.SecretKey, "-----BEGIN"):
		fault = "is a PEM text: apps from before July 2019 with ECDSA keys are not supported, switch the app to HMAC-SHA256"
	case strings.HasPrefix(c.SecretKey, "\uFEFF"):
		fault = "begins with a byte order mark, which belongs to the file that it was read from"
	case strings.Contains(c.SecretKey, "\x00") || !utf8.ValidString(c.SecretKey):
		fault = "is not UTF-8 text: the file that it was read from may be in UTF-16"
	case strings.TrimSpace(c.SecretKey) != c.SecretKey:
		fault = "begins or ends with white space, want the key alone"
	case strings.ContainsAny(c.SecretKey, "{}"):
		fault = "has braces: is it JSON? want the key alone"
	case strings.Contains(c.SecretKey, "="):
		fault = "has an equals sign: is it a line NAME=KEY of a file? want the key alone"
	case strings.ContainsAny(c.SecretKey, ",;:"):
		fault = "has a comma, a semicolon or a colon: is it a part of a line such as NAME: KEY? want the key alone"
	case strings.ContainsFunc(c.SecretKey, func(r rune) bool { return r <= ' ' || r > '~' }):
		fault = "has a character that no key has: white space within it, a control character, or one outside of ASCII"
	case strings.Trim(c.SecretKey, "!\"#$%&'()*.<>?@[\\]^`|") != c.SecretKey: // such as the % of zsh after output without a line end
		fault = "begins or ends with a quotation mark, a bracket or another sign, want the key alone"
	}
	if fault == "" {
		return nil
	}
	return []error{errors.New("timpush: Config.SecretKey " + fault)}
}

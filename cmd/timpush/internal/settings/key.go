package settings

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

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

// ParseKey returns the key of the text of a key file.
func ParseKey(content string) (string, error) {
	return readKey("the input", strings.NewReader(content))
}

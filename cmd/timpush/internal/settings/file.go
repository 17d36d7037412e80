package settings

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// Bounds of what is read.
const (
	maxLine    = 64 << 10
	maxKeyFile = 64 << 10
)

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
		if !isName.MatchString(key) { // it may have the secret key in it
			return line.Fault(0, "no name of a setting is before the equals sign: want a line such as: region = singapore")
		}
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

var isName = regexp.MustCompile(`^[a-z-]{1,24}$`)

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

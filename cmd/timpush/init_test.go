package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInit(t *testing.T) {
	t.Parallel()
	w := newWorld(t).without("TIMPUSH_SECRET_KEY", "TIMPUSH_RATE", "TIMPUSH_SDKAPPID", "TIMPUSH_IDENTIFIER", "TIMPUSH_REGION")
	args := []string{"init", "--sdkappid", "1400000000", "--identifier", "administrator", "--region", "Singapore"}
	w.in = "\ufeff" + w.key + "\r\n"
	r := w.run(args...)
	require.Equal(t, 0, r.code, r.out+r.err)
	path := filepath.Join(".config", "timpush", "config")
	assert.Contains(t, r.out, "wrote "+filepath.Join(w.dir, path))
	assert.Contains(t, r.out, "ok    key")
	info, err := os.Stat(filepath.Join(w.dir, path))
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
	text := w.read(path)
	for _, want := range []string{"\nsdkappid = 1400000000\n", "\nregion = Singapore\n", "\nsecret-key = " + w.key + "\n", "\n# rate = 97.5\n", "\nbase-url = " + w.fake.URL + "\n"} {
		assert.Contains(t, text, want)
	}
	w.in = ""
	require.Equal(t, 0, w.run("check").code, "the file alone is enough")

	w.in = w.key
	r = w.run(args...)
	assert.Equal(t, 2, r.code, "a configuration is not replaced by mistake")
	assert.Contains(t, r.err, "exists: give --force to replace it")
	assert.Equal(t, text, w.read(path))
	for want, bad := range map[string][]string{
		"rate (from --rate)":    {"--rate", "abc"},
		"WithBaseURL":           {"--base-url", "server"},
		"identifier: it has":    {"--identifier", "a\nsecret-key = " + w.key},
		"begins or ends with a": {"--identifier", `"a"`},
	} {
		r = w.run(append(append(args, "--force", "--no-check"), bad...)...)
		assert.Equal(t, 2, r.code, bad)
		assert.Contains(t, r.err, want)
		assert.Empty(t, r.out)
		assert.Equal(t, text, w.read(path), "nothing is replaced by what cannot be used")
	}
	r = w.run(append(args, "--force", "--no-check")...)
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, text, w.read(path))
}

// A flag takes precedence over the environment for the key as well.
func TestInitWithAKeyFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("key", w.key)
	r := w.with("TIMPUSH_SECRET_KEY="+strings.Repeat("x", 64)).run("init", "--secret-key-file", "key")
	assert.Equal(t, 0, r.code, r.out+r.err)
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                           "sdkappid: it is missing: give --sdkappid, or set TIMPUSH_SDKAPPID",
		"--sdkappid x":               "sdkappid: that is not a whole number above 0",
		"--sdkappid 1":               "region: it is missing",
		"--region mars":              "sdkappid: it is missing",
		"--sdkappid 1 --region mars": "region: ",
		"--sdkappid 1 --region seoul --identifier a": "secret-key: the secret key, from the input, cannot be one: it has only 3 characters",
		"--secret-key x": "unknown flag: --secret-key",
		"--sdkappid 1 --region seoul --identifier a --secret-key-file " + strings.Repeat("0123456789abcdef", 4): "it may be the secret itself",
	} {
		w := newWorld(t).without("TIMPUSH_SECRET_KEY", "TIMPUSH_SDKAPPID", "TIMPUSH_IDENTIFIER", "TIMPUSH_REGION")
		w.in = "abc"
		r := w.run(append([]string{"init"}, strings.Fields(args)...)...)
		assert.Equal(t, 2, r.code, args)
		assert.Contains(t, r.err, want)
		assert.NotContains(t, r.err, "0123456789abcdef")
		assert.False(t, w.has(".config"))
	}
	w := newWorld(t).with("TIMPUSH_IDENTIFIER=admin #1")
	assert.Equal(t, 2, w.run("init").code)
	assert.False(t, w.has(".config"), "the file could not be read")
}

// A key that cannot be one is refused, since each try counts towards 70050: Markdown has keys in backticks and asterisks, a placeholder has
// brackets, and zsh shows % behind output without a line end.
func TestKeyWithSignsAroundIt(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"`%s`", "<%s>", "**%s**", "[%s]", "(%s)", "|%s|", "%s%%", "%s$", "%s."} {
		w := newWorld(t)
		_, _, key := w.fake.App()
		w = w.without("TIMPUSH_SECRET_KEY")
		w.write("key", fmt.Sprintf(form, key))
		r := w.run("names", "get", "--secret-key-file", "key")
		assert.Equal(t, 2, r.code, r.err)
		assert.Empty(t, w.fake.Calls(), "a wrong key was tried")
	}
}

// TestKeyInFaultsOfConfigurations: what is before the first equals sign of a line is no name, and may be the key.
func TestKeyInFaultsOfConfigurations(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"secret-key: %s  # SDKAppID=1400000000", "secret-key: %s, region=singapore", "%s=", "export %s=1"} {
		w := newWorld(t).without("TIMPUSH_SECRET_KEY")
		w.write("conf", fmt.Sprintf(form, w.key)+"\n")
		r := w.run("names", "get", "--config", "conf")
		assert.Equal(t, 2, r.code, r.err)
		assert.NotContains(t, strings.ToLower(r.err), strings.ToLower(w.key[:10]))
		assert.Contains(t, r.err, "conf:1:1: no name of a setting is before the equals sign")
	}
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// check runs all checks on a repository of the files given, and returns what they find.
func check(t *testing.T, files map[string]string) string {
	t.Helper()
	c := &checker{root: t.TempDir()}
	for name, text := range files {
		path := filepath.Join(c.root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	git := exec.CommandContext(t.Context(), "git", "init", "-q")
	git.Dir = c.root
	out, err := git.CombinedOutput()
	require.NoError(t, err, string(out))
	if err := c.run(t.Context()); err != nil {
		return err.Error()
	}
	return ""
}

const goMod = "module example.com/m\n\ngo 1.26.0\n"

// The table of what is wrong with documents, and what is not.
func TestChecks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		markdown string
		more     map[string]string
		want     string // "" if nothing is wrong
	}{
		"good links":          {markdown: "# A, b: `c`\n[a](#a-b-c) [b](docs/b.md#x) ![c](docs/b.md) <https://pkg.go.dev/x>\n", more: map[string]string{"docs/b.md": "# X\n[up](../a.md)\n"}},
		"no such file":        {markdown: "\n[a](nowhere.md)\n", want: "a.md:2: the link nowhere.md: there is no nowhere.md"},
		"no such picture":     {markdown: "![a](nowhere.svg)\n", want: "there is no nowhere.svg"},
		"no such heading":     {markdown: "# One\n[a](#two)\n", want: "a.md:2: the link #two: a.md has no heading #two"},
		"elsewhere's heading": {markdown: "[a](docs/b.md#y)\n", more: map[string]string{"docs/b.md": "# X\n"}, want: "docs/b.md has no heading #y"},
		"heading in code":     {markdown: "```text\n# Two\n```\n[a](#two)\n", want: "has no heading #two"},
		"same heading":        {markdown: "# A\n# A\n[a](#a-1)\n"},
		"out of it":           {markdown: "[a](../secret.md)\n", want: "it leads out of the repository"},
		"unknown host":        {markdown: "see https://example.com/x.\n", want: "a.md:1: the link https://example.com/x: the host is none of those"},
		"plain HTTP":          {markdown: "[a](http://pkg.go.dev)\n", want: "want https"},
		"no URL":              {markdown: "[a](https://pkg.go.dev:x)\n", want: "invalid port"},
		"link in code":        {markdown: "`[a](nowhere.md)`\n\n    [b](nowhere.md)\n"},

		"good command":    {markdown: "```sh\nmkdir x\ncd x   # there\ntest \"$(basename \"$PWD\")\" = x\n```\n"},
		"broken command":  {markdown: "```sh\ntrue\ncat nowhere\n```\n", want: "a.md:3: cat nowhere: exit status 1, want exit status 0"},
		"broken pipe":     {markdown: "```sh\nfalse | cat\n```\n", want: "a.md:2: false | cat: exit status 1"},
		"broken in text":  {markdown: "Say `bash nowhere.sh`.\n", want: "a.md:1: bash nowhere.sh: exit status 127"},
		"no such target":  {markdown: "`make all`\n", more: map[string]string{"Makefile": "some:\n"}, want: "make all: exit status 2"},
		"target":          {markdown: "`make some`\n", more: map[string]string{"Makefile": "some:\n\tfalse\n"}},
		"output":          {markdown: "    $ echo 7 in 30ms\n    7 in 12s\n"},
		"other output":    {markdown: "    $ echo 7 in 30ms\n    8 in 12s\n", want: "a.md:1: echo 7 in 30ms prints\n7 in TIME\nand the document shows\n8 in TIME"},
		"no such test":    {markdown: "`go test -run TestNothing -v .`\n", more: map[string]string{"a_test.go": "package m\nfunc TestSome("}, want: "there is no TestNothing"},
		"test":            {markdown: "`go test -run TestSome -v .`\n", more: map[string]string{"a_test.go": "package m\nfunc TestSome("}},
		"no command":      {markdown: "```json\nfalse\n```\n\n    a,b\n\n`go.mod` `timpush`\n"},
		"program in text": {markdown: "`go run ./nowhere`\n", more: map[string]string{"go.mod": goMod}, want: "go run ./nowhere: exit status 1"},

		"good Go":      {markdown: "```go\nx := 1\n```\n", more: map[string]string{"go.mod": goMod, "m.go": "package m\n\nfunc f() int {\n\tx := 1\n\treturn x\n}\n"}},
		"Go nowhere":   {markdown: "```go\nx := 2\n```\n", more: map[string]string{"go.mod": goMod, "m.go": "package m\n"}, want: "a.md:2: this Go is in no file of its module"},
		"Go of others": {markdown: "```go\nx := 1\n```\n", more: map[string]string{"go.mod": goMod, "n/go.mod": goMod, "n/m.go": "package m\nvar _ = func() {\nx := 1\n}"}, want: "is in no file of its module"},
		"broken Go":    {markdown: "```go\nx := y\n```\n", more: map[string]string{"go.mod": goMod, "m.go": "package m\n\nfunc f() {\n\tx := y\n}\n"}, want: "a.md:2: this Go does not compile"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"a.md": test.markdown}
			for name, text := range test.more {
				files[name] = text
			}
			found := check(t, files)
			assert.Contains(t, found, test.want)
			if test.want == "" {
				assert.Empty(t, found)
			}
		})
	}
}

// The rules have a reason for each command that is not run.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, r := range rules {
		assert.NotEqual(t, r.skip == "", r.as == "", "%v: either it is run in another way, or there is a reason", r.match)
	}
	d := parse("x.md", "`go test ./...` and `timpush check`\n\n```sh\nA=b timpush check   # c\n```\n")
	var texts []string
	for _, cmd := range d.commands() {
		texts = append(texts, cmd.text)
	}
	assert.Equal(t, []string{"go test ./...", "timpush check", "A=b timpush check"}, texts)
}

// What the repository's own documents show of the tool runs against a fake.
func TestTheToolRunsAgainstAFake(t *testing.T) {
	t.Parallel()
	c := &checker{root: "../.."}
	c.docs = []*document{parse("a.md", "    $ timpush get-attr mary\n    {\"To_Account\":\"mary\",\"Attrs\":{}}\n\n`timpush explain 1`\n")}
	defer func() { c.fake.stop() }()
	own := "```sh\ntimpush serve --names= > settings.sh\n```\n\n    $ . ./settings.sh; echo $TIMPUSH_SDKAPPID\n    1400000000\n" +
		"    $ timpush names get\n    The app has no attributes. See: timpush names set --help\n"
	c.docs = append(c.docs, parse("b.md", own), parse("c.md", "    $ timpush names get | wc -l\n    4\n"))
	c.checkCommands(t.Context())
	require.Len(t, c.faults, 1)
	assert.ErrorContains(t, c.faults[0], "a.md:4: timpush explain 1: exit status 1")
}

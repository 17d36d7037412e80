package timpush_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	program, err := os.ReadFile("examples/firstprogram/main.go")
	require.NoError(t, err)
	assert.Contains(t, string(readme), "```go\n"+string(program)+"```", "the first program is one that compiles")
	assert.LessOrEqual(t, strings.Count(string(program), "\n"), 29)
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, option := range regexp.MustCompile(`(?m)^func (With\w+)`).FindAllSubmatch(source, -1) {
			assert.Contains(t, string(readme), "| `"+string(option[1])+"(", "each option is in the table")
		}
	}
}

// A tag of an action can be moved to other code; the hash of a commit cannot.
func TestWorkflowsArePinnedAndMayOnlyRead(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("./.github/workflows/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, uses := range regexp.MustCompile(`uses: (.*)`).FindAllStringSubmatch(string(text), -1) {
			assert.Regexp(t, `^[\w./-]+@[0-9a-f]{40} # v[\d.]+$`, uses[1], file)
		}
		assert.Equal(t, []string{"permissions:\n  contents: read\n"}, regexp.MustCompile(`(?m)^.*permissions:\n(?:  .*\n)*`).FindAllString(string(text), -1), file)
		assert.NotContains(t, string(text), "secrets.", file)
	}
}

// What a test or an example does is copied. The one that turns verification off shows that the client refuses that.
func TestNothingElseTurnsTLSVerificationOff(t *testing.T) {
	t.Parallel()
	off := regexp.MustCompile(`InsecureSkipVerify\s*[:=]+\s*true`)
	var found []string
	require.NoError(t, filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		source, err := os.ReadFile(path)
		if off.Match(source) {
			found = append(found, path)
		}
		return err
	}))
	assert.Equal(t, []string{"badinput_test.go"}, found)
}

// TestExperimentThatChangesJSON: with the encoding/json/v2 that Go 1.26 has as an experiment, a push with an Extra went to everybody without what
// is in that, with a TaskID and no error.
func TestExperimentThatChangesJSON(t *testing.T) {
	t.Parallel()
	files := func(experiment string) string {
		list := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.GoFiles}}", ".")
		list.Env = append(os.Environ(), "GOEXPERIMENT="+experiment)
		out, err := list.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	const doesNotCompile = "experiment.go"
	assert.NotContains(t, files(""), doesNotCompile)
	assert.Equal(t, strings.HasPrefix(runtime.Version(), "go1.26"), strings.Contains(files("jsonv2"), doesNotCompile))
}

// TestLostAnswer is in the README.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	server := timpushtest.Start(t)
	server.Inject(timpushtest.CutAfter()) // applied, but the answer is lost
	client := server.Client()
	_, err := client.SetAttr(t.Context(), []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}}})
	if err != nil || server.Attrs("mary")["city"] != "Rome" || len(server.Calls()) != 2 {
		t.Error("the client should have tried again")
	}
}

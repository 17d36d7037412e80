package timpush_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// deeper is the indentation, which is deeper in a function than in the README.
var deeper = regexp.MustCompile(`(?m)^\t+`)

func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	program, err := os.ReadFile("examples/firstprogram/main.go")
	require.NoError(t, err)
	assert.Contains(t, string(readme), "```go\n"+string(program)+"```", "the first program is one that compiles")
	assert.LessOrEqual(t, strings.Count(string(program), "\n"), 25)

	compiled := deeper.ReplaceAllString(string(program), "")
	for _, file := range []string{"example_test.go", "readme_test.go"} {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		compiled += deeper.ReplaceAllString(string(source), "")
	}
	for _, snippet := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		assert.Contains(t, compiled, deeper.ReplaceAllString(snippet[1], ""), "each snippet is one that compiles")
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, option := range regexp.MustCompile(`(?m)^func (With\w+)`).FindAllSubmatch(source, -1) {
			assert.Contains(t, string(readme), "| `"+string(option[1])+"(", "each option is in the table")
		}
	}
	var anchors []string
	for _, title := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllSubmatch(readme, -1) {
		anchors = append(anchors, "#"+strings.NewReplacer(" ", "-", ",", "", ":", "").Replace(strings.ToLower(string(title[1]))))
	}
	for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllSubmatch(readme, -1) {
		switch target := string(link[1]); {
		case strings.HasPrefix(target, "#"):
			assert.Contains(t, anchors, target)
		case !strings.HasPrefix(target, "https://"):
			assert.FileExists(t, target)
		}
	}
}

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

package timpush_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	program, err := os.ReadFile("examples/firstprogram/main.go")
	require.NoError(t, err)
	assert.Contains(t, string(readme), "```go\n"+string(program)+"```", "the first program is one that compiles")
	assert.LessOrEqual(t, strings.Count(string(program), "\n"), 25)

	source, err := os.ReadFile("client.go")
	require.NoError(t, err)
	for _, option := range regexp.MustCompile(`func (With\w+)`).FindAllSubmatch(source, -1) {
		assert.Contains(t, string(readme), "| `"+string(option[1])+"(", "each option is in the table")
	}
	for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllSubmatch(readme, -1) {
		if !strings.HasPrefix(string(link[1]), "https://") {
			assert.FileExists(t, string(link[1]))
		}
	}
}

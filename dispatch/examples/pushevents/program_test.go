//go:build unix

package pushevents_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asProgram makes the test binary the program of the example.
const asProgram = "PUSHEVENTS_IS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		Example()
		return
	}
	os.Exit(m.Run())
}

// program makes a command that runs the program, and has not begun.
func program(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), env...)
	return cmd
}

// With an empty token, as of a secret that is missing, everybody could post events.
func TestProgramRefusesAnEmptyToken(t *testing.T) {
	t.Parallel()
	out, err := program(t, "TIMPUSH_SDKAPPID=1400000000", "TIMPUSH_CALLBACK_TOKEN=", "DATABASE_URL=host=/nowhere").CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "TIMPUSH_CALLBACK_TOKEN is empty")
}

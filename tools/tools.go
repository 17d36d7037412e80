// Package tools is a module of programs that check this repository. It is never published, so that its dependencies are
// not those of a user.
package tools

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// ToolDir has the module that is a program: users install it, and so it may have no replace.
const ToolDir = "cmd/timpush"

// Published returns the folders of the modules that are released, the root first.
func Published() []string {
	return []string{".", "redislimiter", "oteltimpush", "dispatch", ToolDir}
}

// Run runs a program in a folder, with more in its environment than this one has, and returns what it prints. What it
// prints to its standard error is in the error.
func Run(dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...) //nolint:noctx // the gate bounds the whole program
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, out, exit.Stderr)
	}
	return out, err
}

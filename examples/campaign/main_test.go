package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// TestMain runs the program itself where a test has started it.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_PROGRAM") != "" {
		main()
		return
	}
	m.Run()
}

// printed returns what f prints.
func printed(t *testing.T, f func()) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer func() { assert.NoError(t, file.Close()) }()
	stdout := os.Stdout
	os.Stdout = file
	defer func() { os.Stdout = stdout }()
	f()
	_, err = file.Seek(0, io.SeekStart)
	require.NoError(t, err)
	text, err := io.ReadAll(file)
	require.NoError(t, err)
	return string(text)
}

func TestFake(t *testing.T) {
	for _, name := range []string{"TIMPUSH_SDKAPPID", "TIMPUSH_IDENTIFIER", "TIMPUSH_SECRET_KEY", "TIMPUSH_REGION", "TIMPUSH_BASE_URL"} {
		t.Setenv(name, "")
	}
	text := printed(t, func() { require.NoError(t, run(t.Context(), "", false)) })
	assert.Regexp(t, `attr push \S+ to xiaohong and xiaoming: sent`, text)
	assert.Regexp(t, `batch push \S+ to mary and xiaohong: sent`, text)
	assert.Regexp(t, `attr push \S+ to xiaohong and xiaoming: withdrawn`, text)
	require.ErrorContains(t, run(t.Context(), "mary", false), "for the service")
	require.ErrorContains(t, run(t.Context(), "", true), "for the service")
	t.Setenv("TIMPUSH_BASE_URL", "http://127.0.0.1:1")
	require.ErrorContains(t, run(t.Context(), "", true), "set TIMPUSH_SDKAPPID")
}

// useServer starts a fake and sets the environment to it, as the settings that timpush serve prints do.
func useServer(t *testing.T) *timpushtest.Server {
	t.Helper()
	server := timpushtest.Start(t, timpushtest.WithPlainHTTP(), timpushtest.WithAttrNames("level"))
	id, identifier, key := server.App()
	t.Setenv("TIMPUSH_SDKAPPID", strconv.Itoa(id))
	t.Setenv("TIMPUSH_IDENTIFIER", identifier)
	t.Setenv("TIMPUSH_SECRET_KEY", key)
	t.Setenv("TIMPUSH_REGION", "singapore")
	t.Setenv("TIMPUSH_BASE_URL", server.URL)
	return server
}

func TestNothingIsSentWithoutYes(t *testing.T) { //nolint:paralleltest // useServer sets the environment
	server := useServer(t)
	require.ErrorContains(t, run(t.Context(), "", false), "the first goes to all of the app whose level is gold: if you mean that, say so with -accounts ACCOUNT,ACCOUNT -yes")
	require.ErrorContains(t, run(t.Context(), "mary", false), "-yes")
	require.ErrorContains(t, run(t.Context(), "", true), "-accounts")
	require.ErrorContains(t, run(t.Context(), "mary, bob", true), `" bob" has white space around it`)
	require.ErrorContains(t, run(t.Context(), "mary", true, "bob"), `"bob": no flag takes it`)
	assert.Empty(t, server.Calls())
}

func TestBaseURL(t *testing.T) { //nolint:paralleltest // useServer sets the environment
	server := useServer(t)
	require.NoError(t, run(t.Context(), "mary,xiaohong", true))
	pushes := server.Pushes()
	require.Len(t, pushes, 2)
	assert.Equal(t, timpushtest.PushAttr, pushes[0].Kind)
	assert.True(t, pushes[0].Revoked)
	assert.Equal(t, []string{"mary", "xiaohong"}, pushes[1].Accounts)
}

// A push whose answer was lost is not sent again, and the error says what to do.
func TestUnknown(t *testing.T) { //nolint:paralleltest // useServer sets the environment
	server := useServer(t)
	server.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if strings.HasSuffix(c.Path, "/push") {
			return timpushtest.CutAfter()
		}
		return timpushtest.Fault{}
	})
	err := run(t.Context(), "mary", true)
	require.ErrorContains(t, err, "do not repeat it")
	var failed *timpush.CallError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, timpush.Unknown, failed.Outcome)
	assert.Len(t, server.Pushes(), 1)
}

// A job that is stopped while it pushes says what has become of the push.
func TestProgramIsStoppedWhileItPushes(t *testing.T) { //nolint:paralleltest // useServer sets the environment
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGTERM")
	}
	server := useServer(t)
	pushing := make(chan struct{}, 1)
	server.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if strings.HasSuffix(c.Path, "/push") {
			pushing <- struct{}{}
			return timpushtest.HangApplied()
		}
		return timpushtest.Fault{}
	})
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-accounts", "mary", "-yes")
	cmd.Env = append(os.Environ(), "TEST_AS_PROGRAM=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	<-pushing
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Error(t, cmd.Wait())
	assert.Equal(t, 1, cmd.ProcessState.ExitCode())
	assert.Contains(t, stderr.String(), "do not repeat it")
}

package main_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
)

// served is a running serve. Its world is that of a program that uses it.
type served struct {
	*world
	url  string
	cmd  *exec.Cmd
	errs notes
}

// notes is a bytes.Buffer that can be read while a program writes.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds to it.
func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

// String returns what was written so far.
func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// The settings have a key, and this tool refuses one that others can read.
func TestServeIntoAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.env = []string{"HOME=" + w.dir}
	settings, err := os.OpenFile(filepath.Join(w.dir, "settings.sh"), os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	defer func() { assert.NoError(t, settings.Close()) }()
	cmd := w.command("serve", "--listen", "127.0.0.1:0")
	cmd.Stdout = settings
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	require.Eventually(t, func() bool { return strings.Contains(w.read("settings.sh"), "SECRET_KEY") }, 10*time.Second, 10*time.Millisecond)
	r := w.run("names", "get", "--config", "settings.sh")
	assert.Equal(t, 0, r.code, r.err)
}

// serve starts one, with nothing configured but what env says.
func serve(t *testing.T, env []string, args ...string) *served {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.env = append([]string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH")}, env...)
	s := &served{world: w}
	s.cmd = w.command(append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	s.cmd.Stderr = &s.errs
	out, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	lines := bufio.NewScanner(out)
	for range 5 {
		require.True(t, lines.Scan(), "it must say what a program needs")
		setting, _ := strings.CutPrefix(lines.Text(), "export ")
		w.env = append(w.env, setting)
		if url, ok := strings.CutPrefix(setting, "TIMPUSH_BASE_URL="); ok {
			s.url = url
		}
		if key, ok := strings.CutPrefix(setting, "TIMPUSH_SECRET_KEY="); ok {
			w.key = key
		}
	}
	require.NotEmpty(t, s.url)
	return s
}

// stop ends it as Ctrl-C does.
func (s *served) stop() (code int, errs string) {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGINT))
	_ = s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode(), s.errs.String()
}

// get asks under a name of the host.
func (s *served) get(path, host string) (status int, header http.Header, text string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, http.NoBody)
	require.NoError(s.t, err)
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, resp.Header, string(data)
}

func TestServe(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--names", "city,sex", "--registration-names", "model")
	require.Len(t, s.key, 64, "a key was made up")
	s.write("u.csv", users(250))
	r := s.run("set-attr", "u.csv")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, s.run("get-attr", "u7").out, `{"To_Account":"u7","Attrs":{"city":"c7","sex":"m"}}`)
	assert.Regexp(t, `(?m)^2  model +RegistrationID$`, s.run("names", "get").out)
	assert.Contains(t, s.run("check").out, "administrator is an administrator")

	status, header, page := s.get("/", "")
	assert.Equal(t, 200, status)
	assert.Contains(t, page, "<h1>timpush serve</h1>")
	assert.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'")
	_, _, found := s.get("/account?name=u8", "localhost")
	assert.JSONEq(t, `{"account":"u8","attrs":{"city":"c8"}}`, found)
	status, _, found = s.get("/account?name=u8", "attacker.example")
	assert.Equal(t, 403, status, "a page of another site must not read it under its own name")
	assert.NotContains(t, found, "c8")
	_, _, found = s.get("//v4/timpush/set_attr", "")
	assert.Contains(t, found, "60009", "all else is the fake's")

	code, errs := s.stop()
	assert.Equal(t, 0, code)
	assert.Regexp(t, `(?m)^([89]|1\d) requests, 251 users done\.$`, errs, "a busy machine makes more requests of the same users")
}

func TestServeTheConfiguredApp(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("k", 64)
	s := serve(t, []string{"TIMPUSH_SECRET_KEY=" + key, "TIMPUSH_IDENTIFIER=it's me"}, "--sdkappid", "1400000007")
	assert.Contains(t, s.env, `TIMPUSH_IDENTIFIER="it's me"`, "the shell takes the quotes away")
	assert.Contains(t, s.env, "TIMPUSH_SDKAPPID=1400000007")
	assert.Contains(t, s.env, "# and the secret key, from TIMPUSH_SECRET_KEY")
	s.with("TIMPUSH_IDENTIFIER=it's me", "TIMPUSH_SECRET_KEY="+key)
	s.key = key
	assert.Equal(t, 0, s.run("names", "get").code)
	assert.Contains(t, s.run("names", "get", "--sdkappid", "1400000000").err, "70020")
	_, errs := s.stop()
	assert.NotContains(t, errs, key)
}

func TestServeFaults(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--fault", "90009=100", "--latency", "50ms", "--jitter", "10ms")
	began := time.Now()
	assert.Contains(t, s.run("names", "get").err, "90009")
	assert.GreaterOrEqual(t, time.Since(began), 40*time.Millisecond)
}

func TestServeMaxAccounts(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--max-accounts", "30", "--fault", "502=1")
	s.write("u.csv", users(50))
	r := s.run("set-attr", "u.csv")
	assert.Contains(t, r.out, "30 done")
	assert.Contains(t, r.out, "70398")
}

func TestServeUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, "give --public if they may see", []string{"--listen", "0.0.0.0:0"}},
		{2, "--plan gold", []string{"--plan", "gold"}},
		{3, "Give another --listen", []string{"--listen", strings.TrimPrefix(w.fake.URL, "http://")}},
		{2, `"city" is empty, has more than 50 bytes, or comes twice`, []string{"--names", "city,city"}},
		{2, "there are 11, and an app has at most 10", []string{"--names", "a,b,c,d,e,f,g,h,i,j,k"}},
		{2, "want 0 or more", []string{"--latency", "-1s"}},
		{2, "want an ErrorCode such as 91000", []string{"--fault", "fire=1"}},
		{2, "want a share in per cent", []string{"--fault", "cut=101"}},
		{2, "the sum is 120 per cent", []string{"--fault", "cut=60,hang=60"}},
		{2, "others can read", []string{"--secret-key-file", "/etc/passwd"}},
		{2, "want flags only", []string{"nonsense"}},
	} {
		r := w.run(append([]string{"serve"}, c.args...)...)
		assert.Equal(t, c.code, r.code, "%v: %s", c.args, r.err)
		assert.Contains(t, r.err, c.want)
	}
}

func TestServeToOtherMachines(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--listen", "0.0.0.0:0", "--public")
	assert.Contains(t, s.url, "http://127.0.0.1:")
	status, _, _ := s.get("/", "fake.example:7070")
	assert.Equal(t, 200, status)
	_, errs := s.stop()
	assert.Contains(t, errs, "WARNING: everyone who can connect to this machine")
}

func TestServeRunsTasks(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	config := timpush.Config{SDKAppID: 1400000000, Identifier: "administrator", SecretKey: s.key, Region: timpush.RegionSingapore}
	client, err := timpush.NewClient(config, timpush.WithBaseURL(s.url))
	require.NoError(t, err)
	push := timpush.Push{Notification: timpush.Notification{Title: "t"}}
	id, err := client.AddTask(t.Context(), timpush.Schedule{
		At: time.Now().Add(2 * time.Second), TaskContent: timpush.TaskContent{Accounts: []string{"mary"}, Push: push},
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		task, err := client.Task(t.Context(), id)
		return err == nil && task.PushTaskID != ""
	}, time.Minute, 500*time.Millisecond)
}

// TestListenThatIsNoAddress is a wrong flag, and no port that is in use.
func TestListenThatIsNoAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, args := range [][]string{{"serve", "--listen", "7070"}, {"serve", "--listen", "127.0.0.1:99999"}, {"callbacks", "--listen", "7171"}} {
		r := w.run(args...)
		assert.Equal(t, 2, r.code, "%s: %s", args, r.err)
		assert.Contains(t, r.err, "--listen: address ")
	}
}

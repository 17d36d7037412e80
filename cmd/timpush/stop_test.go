package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

// stopAfter runs the tool at a slow rate, signals it once the service has answered some requests, and returns how many
// requests began more than a second after the signal and how long the tool then took.
func stopAfter(t *testing.T, w *world, signal syscall.Signal, args ...string) (late int, took time.Duration, cmd *exec.Cmd, errs string) {
	t.Helper()
	var answered atomic.Int64
	enough := make(chan struct{})
	w.fake.Watch(func(timpushtest.Call) {
		if answered.Add(1) == 4 {
			close(enough)
		}
	})
	cmd, text := w.started(args...)
	w.await(enough, text)
	require.NoError(t, cmd.Process.Signal(signal))
	sent := time.Now()
	_, _, errs = ended(cmd, text)
	took = time.Since(sent)
	for _, call := range w.fake.Calls() {
		if call.Time.Sub(sent) > time.Second {
			late++
		}
	}
	return late, took, cmd, errs
}

// After Ctrl-C no further request is sent, however many users have been read ahead.
func TestNothingIsSentAfterASignal(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		for name, args := range map[string]string{
			"set-attr": "set-attr u.csv", "preflight": "set-attr --preflight u.csv", "remove-attr": "remove-attr --names city --file list", "get-attr": "get-attr --file list",
			"tags add": "tags add --tags gold --file list", "tags get": "tags get --file list",
		} {
			t.Run(fmt.Sprint(name, " ", signal), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, timpushtest.WithLatency(30*time.Millisecond, 0)).with("TIMPUSH_RATE=5")
				w.write("u.csv", users(8000))
				w.write("list", strings.ReplaceAll(many(8000), ",Oslo", ""))
				late, took, cmd, errs := stopAfter(t, w, signal, strings.Fields(args)...)
				assert.Zero(t, late, "requests were sent after the signal")
				assert.Less(t, took, 5*time.Second, "64 requests that are read ahead would take 12 s")
				assert.Equal(t, 3, cmd.ProcessState.ExitCode(), errs)
				assert.Contains(t, errs, "stopped early: interrupted")
				assert.Less(t, strings.Count(errs, "\n"), 20, "users that were not sent are not listed one by one")
				if !strings.HasPrefix(args, "set-attr") {
					return
				}
				done := len(w.fake.Accounts())
				calls := len(w.fake.Calls())
				r := w.with("TIMPUSH_RATE=2000").run(strings.Fields(args)...)
				require.Equal(t, 0, r.code, r.err)
				assert.Contains(t, r.out, fmt.Sprintf("8000 done, of them %d in this run and %d in earlier ones\n", 8000-done, done))
				assert.Regexp(t, `(?m)^\d+ requests in .* in this run$`, r.out)
				w.stored(8000)
				assert.Equal(t, 8000-done, w.sent(calls), "the checkpoint knows where the first run has stopped")
			})
		}
	}
}

// stoppedWhileReading runs a command that reads without end, sends it a signal, and returns what it says then.
func (w *world) stoppedWhileReading(cmd *exec.Cmd) string {
	w.t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	require.NoError(w.t, cmd.Start())
	time.Sleep(time.Second) // until it reads
	require.NoError(w.t, cmd.Process.Signal(syscall.SIGTERM))
	kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	assert.True(w.t, kill.Stop(), "it does not end")
	assert.Equal(w.t, 3, cmd.ProcessState.ExitCode(), errs.String())
	return errs.String()
}

// A command whose input comes from a pipe ends, although its writer goes on.
func TestSignalWhileAPipeIsRead(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"get-attr --file", "remove-attr --names sex --file", "tags add --tags gold --file", "tags get --file", "push --yes --file", "tasks add --yes --in 1h --file", "batch --yes --file",
		"check --config", "check --secret-key-file", "init --no-check --secret-key-file",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			reader, writer, err := os.Pipe()
			require.NoError(t, err)
			defer func() { _, _ = reader.Close(), writer.Close() }()
			all := append(strings.Fields(args), "/dev/fd/3")
			if all[0] == "batch" {
				w.write("u.csv", users(1))
				all = append(all, "u.csv")
			}
			cmd := w.command(all...)
			cmd.ExtraFiles = []*os.File{reader}
			assert.Contains(t, w.stoppedWhileReading(cmd), "interrupted")
			assert.Empty(t, w.fake.Calls())
		})
	}
}

// A line without an end does not keep a command from ending.
func TestSignalWhileALongLineIsRead(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"set-attr --format ndjson", "preflight --format ndjson", "batch --title x --journal j --yes --format ndjson", "get-attr --file"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			cmd := w.command(append(strings.Fields(args), "/dev/zero")...)
			w.stoppedWhileReading(cmd)
			assert.Empty(t, w.fake.Accounts())
		})
	}
}

// A command whose last request gets its answer after Ctrl-C has done everything, and says so.
func TestSignalWithTheLastRequest(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"set-attr u.csv", "remove-attr --names sex mary", "tags add --tags gold mary", "tags clear mary", "tags get mary", "batch --title Hello --no-header --yes list.csv",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, timpushtest.WithLatency(150*time.Millisecond, 0))
			w.write("u.csv", "To_Account,city\nmary,Rome\n")
			w.write("list.csv", "mary\n")
			arrived := make(chan struct{}, 1)
			w.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
				if !strings.HasSuffix(c.Path, "/get_attr_name") {
					arrived <- struct{}{}
				}
				return timpushtest.Fault{}
			})
			cmd, text := w.started(strings.Fields(args)...)
			w.await(arrived, text)
			require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			_, _, errs := ended(cmd, text)
			assert.Equal(t, 0, cmd.ProcessState.ExitCode(), errs)
			assert.NotContains(t, errs, "not all done")
		})
	}
}

// A run that is told to stop while its last request waits to be repeated, or is cut off by a second signal, is not complete: the rows
// of that request were lost, with exit code 0.
func TestSignalBeforeTheLastRequestIsRepeated(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]timpushtest.Fault{
		"502": {timpushtest.Status(502)}, "cut": {timpushtest.CutBefore()}, "a code": {timpushtest.ErrorCode(91000)},
		"of one user": {timpushtest.AccountCode(91000, "x9")}, "the last of two": {{}, timpushtest.Status(502)}, "second signal": {timpushtest.HangApplied()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			users := 10
			if len(faults) > 1 {
				users = 110 // the last 10 of them in a request of their own
			}
			w.write("u.csv", "To_Account,city\n"+many(users))
			arrived := make(chan struct{}, 10)
			var calls atomic.Int64
			w.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
				if strings.HasSuffix(c.Path, "/get_attr_name") {
					return timpushtest.Fault{}
				}
				if n := int(calls.Add(1)); n < len(faults) {
					return faults[n-1]
				}
				arrived <- struct{}{}
				return faults[len(faults)-1]
			})
			cmd, text := w.started("set-attr", "--in-flight", "1", "u.csv")
			w.await(arrived, text)
			time.Sleep(20 * time.Millisecond) // for the answer, so that it waits to be repeated
			require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			if name == "second signal" {
				time.Sleep(200 * time.Millisecond)
				require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			}
			_, code, errs := ended(cmd, text)
			assert.Equal(t, 3, code, errs)
			assert.Contains(t, errs, "Run the same command again to resume")
			w.fake.Handle(nil)
			r := w.run("set-attr", "u.csv")
			assert.Equal(t, 0, r.code, r.err)
			assert.Contains(t, r.out, fmt.Sprintf("%d done", users))
			for i := range users {
				require.Equal(t, map[string]string{"city": "Oslo"}, w.fake.Attrs(fmt.Sprint("x", i)))
			}
		})
	}
}

// A command that works in parts, and is told to stop while the whole of one is in flight, says where it has stopped.
func TestSignalBetweenParts(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"remove-attr --names sex --file", "tags add --tags gold --file", "tags get --file"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, timpushtest.WithLatency(500*time.Millisecond, 0), timpushtest.WithQuota(0)).with("TIMPUSH_RATE=2000", "TIMPUSH_IN_FLIGHT=64")
			w.write("list", strings.ReplaceAll(many(30_000), ",Oslo", ""))
			var arrived atomic.Int64
			all := make(chan struct{})
			w.fake.Handle(func(timpushtest.Call) timpushtest.Fault {
				if arrived.Add(1) == 50 {
					close(all)
				}
				return timpushtest.Fault{}
			})
			cmd, text := w.started(append(strings.Fields(args), "list")...)
			w.await(all, text)
			require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			_, _, errs := ended(cmd, text)
			assert.Equal(t, 3, cmd.ProcessState.ExitCode(), errs)
			assert.Regexp(t, `stopped early: interrupted; .*the accounts after .* are not`, errs)
		})
	}
}

// The names of the attributes in a refusal are those of the row.
func TestRefusalsNameTheAttribute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithRegistrationAttrNames("model"))
	w.write("u.ndjson", `{"uid":"a","city":"Rome"}
{"uid":"b","town":"Rome","sex":"f"}
{"uid":"c","handy":"Phone 9"}
`)
	r := w.run("set-attr", "--account", "uid", "--map", "handy=model", "u.ndjson")
	require.Equal(t, 1, r.code, r.err)
	rejects := lines(t, w.read("u.ndjson.rejected.ndjson"))
	require.Len(t, rejects, 2)
	for _, reject := range rejects {
		switch reject["account"] {
		case "b":
			assert.Equal(t, "town", reject["column"])
			assert.Contains(t, reject["reason"], `: attribute "town", which the app does not have`)
		case "c":
			assert.Equal(t, "handy", reject["column"])
			assert.Contains(t, reject["reason"], `: attribute "model", which is for RegistrationIDs`)
		}
	}
	assert.Equal(t, []string{"a"}, w.fake.Accounts())

	w = newWorld(t)
	w.write("u.csv", "To_Account,city,sex\na,Rome,f\n")
	w.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if !strings.HasSuffix(c.Path, "/set_attr") {
			return timpushtest.Fault{}
		}
		return timpushtest.Answer(200, `{"ActionStatus":"FAIL","ErrorCode":90033,"ErrorInfo":"attrName:sex is not valid"}`)
	})
	r = w.run("set-attr", "u.csv")
	assert.Contains(t, r.out+r.err, `attribute "sex"`, "the server has named it")
}

// Not every status has a text.
func TestRefusalByAGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", users(1))
	w.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if !strings.HasSuffix(c.Path, "/set_attr") {
			return timpushtest.Fault{}
		}
		return timpushtest.Status(499)
	})
	r := w.run("set-attr", "u.csv")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "failed for all of its users: HTTP status 499\n")
}

// A program that asks for JSON gets it for a refusal too.
func TestRefusalsInJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\na,Rome\n")
	for args, code := range map[string]int{
		"set-attr --json nothing.csv": 3, "set-attr --json --map x=y u.csv": 2, "set-attr --json --nonsense u.csv": 2, "set-attr --json": 2,
		"set-attr u.csv --json --ignore city": 2, "names get --json --region mars": 2, "set-attr --json --rate 0 u.csv": 2, "queue --json": 2,
		"set-attr --json=1 nothing.csv": 3, "set-attr --json=maybe u.csv": 2,
	} {
		r := w.run(strings.Fields(args)...)
		assert.Equal(t, code, r.code, args)
		assert.Empty(t, r.err, args)
		events := lines(t, r.out)
		require.NotEmpty(t, events, args)
		last := events[len(events)-1]
		require.Equal(t, "error", last["event"], args)
		assert.InDelta(t, code, last["error"].(map[string]any)["exit_code"], 0)
		assert.NotEmpty(t, last["error"].(map[string]any)["message"])
	}
}

// A rate above the quota is likely to be a mistake; that of a fake is not.
func TestRateAboveTheQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	assert.Empty(t, w.run("usersig").err)
	r := w.without("TIMPUSH_BASE_URL").run("usersig", "--rate", "500")
	require.Equal(t, 0, r.code)
	assert.Contains(t, r.err, "warning: rate 500, from --rate, is above the app's quota of 100 calls a second")
	assert.Empty(t, w.run("usersig", "--rate", "100").err)
}

// A file that a flag names is hardly meant to give way to the environment, which may be that of another app.
func TestEnvironmentThatGoesBeforeAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("staging.conf", "sdkappid = 1400000002\nidentifier = "+w.fake.Config().Identifier+"\nin-flight = 20\n")
	r := w.run("usersig", "--config", "staging.conf")
	assert.Equal(t, "timpush: warning: the environment goes before staging.conf, which has other values: TIMPUSH_SDKAPPID\n", r.err)
	assert.Empty(t, w.run("usersig", "--config", "staging.conf", "--sdkappid", "1400000001").err, "the flag says which")
	assert.Empty(t, w.with("TIMPUSH_CONFIG=staging.conf").run("usersig").err, "the file is as far away as the rest")
	w.write("users.csv", "To_Account,city\nmary,Rome\n")
	for _, args := range []string{
		"push --everybody 1400000000 --title Hello --yes", "push --attr city=Rome --title Hello --dry-run", "revoke 1_2_3 --yes",
		"tasks add --attr city=Rome --title Hello --in 2h --yes", "check", "set-attr --dry-run users.csv", "batch --title Hello --yes --json users.csv", "stats --json",
		"queue discard --yes 1 --nats nats://127.0.0.1:1",
	} {
		r := w.run(append(strings.Fields(args), "--config", "staging.conf")...)
		assert.Contains(t, r.err, "timpush: warning: the environment goes before staging.conf, which has other values: TIMPUSH_SDKAPPID\n", args)
	}
	w.write("real.conf", "region = singapore\nsecret-key-file = other.key\n")
	assert.Contains(t, w.run("names", "get", "--config", "real.conf").err, "real.conf, which has other values: TIMPUSH_SECRET_KEY, TIMPUSH_BASE_URL\n",
		"a fake in place of the host of the region, and another key")
}

// A list of columns to ignore may be for files that write them in different ways.
func TestIgnoreOfColumnsInSeveralWritings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("users.csv", "To_Account,city,Phone\nmary,Rome,123\n")
	r := w.run("set-attr", "--quiet", "--ignore", "phone,Phone", "users.csv")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, 2, w.run("set-attr", "--quiet", "--ignore", "phone", "users.csv").code)
	w.write("users.ndjson", `{"To_Account":"bob","city":"Rome","Phone":"123"}`+"\n"+`{"To_Account":"cid","Attrs":{"city":"Rome","Phone":"123"}}`)
	r = w.run("set-attr", "--quiet", "--ignore", "phone", "users.ndjson")
	assert.Equal(t, 1, r.code, r.out)
	assert.Contains(t, r.out, `2  --ignore names "phone", but the member is "Phone"`)
	require.Equal(t, 0, w.run("set-attr", "--quiet", "--ignore", "phone,Phone", "users.ndjson").code)
	assert.Equal(t, map[string]string{"city": "Rome"}, map[string]string(w.fake.Attrs("bob")))
}

// A signal that ends the tool ends the program that writes to it as well, as Ctrl-C does for a whole pipe: what has come is not all, and
// its last line may be the beginning of one.
func TestSignalThatEndsTheWriterToo(t *testing.T) {
	t.Parallel()
	for args, rows := range map[string]string{
		"set-attr --format csv --checkpoint night -":    "To_Account,city\nx0,Oslo\nmar,Os",
		"set-attr --format ndjson --checkpoint night -": `{"To_Account":"x0","city":"Oslo"}` + "\n",
		"tags add --tags gold --file -":                 "x0\nmar", "batch --title Hello --yes --journal j --format csv -": "To_Account\nx0\nmar",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			reader, writer, err := os.Pipe()
			require.NoError(t, err)
			defer func() { _ = reader.Close() }()
			cmd, errs := w.command(strings.Fields(args)...), &bytes.Buffer{}
			cmd.Stdin, cmd.Stderr = reader, errs
			require.NoError(t, cmd.Start())
			_, err = writer.WriteString(rows)
			require.NoError(t, err)
			time.Sleep(500 * time.Millisecond) // until that is read
			require.NoError(t, writer.Close())
			require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			_ = cmd.Wait()
			assert.Equal(t, 3, cmd.ProcessState.ExitCode(), errs)
			assert.Contains(t, errs.String(), "interrupted")
			assert.NotContains(t, w.fake.Accounts(), "mar")
			assert.Empty(t, w.fake.Tags("mar"))
			if strings.HasPrefix(args, "set-attr") && len(w.fake.Accounts()) > 0 {
				assert.True(t, w.has("night"), "the next run resumes")
			}
		})
	}
}

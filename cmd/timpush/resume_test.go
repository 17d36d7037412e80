package main_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// inFlight is the default number of requests in flight.
const inFlight = 32

// killAfter runs the tool and kills it after a time. It returns false if the tool was faster.
func (w *world) killAfter(d time.Duration, signal syscall.Signal, args ...string) (killed bool, code int, errs string) {
	w.t.Helper()
	cmd, text := w.started(args...)
	timer := time.AfterFunc(d, func() { _ = cmd.Process.Signal(signal) })
	defer timer.Stop()
	return ended(cmd, text)
}

// killAtCall runs the tool and kills it when the fake has answered a number of calls.
func (w *world) killAtCall(n int64, signal syscall.Signal, args ...string) (killed bool, code int, errs string) {
	w.t.Helper()
	var calls atomic.Int64
	answered := make(chan struct{})
	w.fake.Watch(func(timpushtest.Call) {
		if calls.Add(1) == n {
			close(answered)
		}
	})
	defer w.fake.Watch(nil)
	cmd, text := w.started(args...)
	w.await(answered, text)
	_ = cmd.Process.Signal(signal)
	return ended(cmd, text)
}

// started starts the tool, and returns what it says on standard error once it has ended.
func (w *world) started(args ...string) (*exec.Cmd, *bytes.Buffer) {
	w.t.Helper()
	cmd, text := w.command(args...), new(bytes.Buffer)
	cmd.Stderr = text
	require.NoError(w.t, cmd.Start())
	return cmd, text
}

// await returns when the fake has seen what a test waits for, while the tool that was started runs.
func (w *world) await(seen <-chan struct{}, text *bytes.Buffer) {
	w.t.Helper()
	select {
	case <-seen:
	case <-time.After(time.Minute):
		require.Fail(w.t, "too few calls", text.String())
	}
}

func ended(cmd *exec.Cmd, text *bytes.Buffer) (killed bool, code int, errs string) {
	_ = cmd.Wait()
	code = cmd.ProcessState.ExitCode()
	return code != 0 && code != 1, code, text.String()
}

// sent returns how many users the fake has been sent, after a number of calls.
func (w *world) sent(after int) (users int) {
	for _, call := range w.fake.Calls()[after:] {
		users += len(call.Accounts)
	}
	return users
}

func kills() int {
	if n, err := strconv.Atoi(os.Getenv("TIMPUSH_KILLS")); err == nil {
		return n
	}
	return 6
}

// Whatever the moment of a kill, the next run resumes, nothing is left out, and at most what was in flight is sent again.
// TIMPUSH_KILLS sets how many there are.
func TestKill(t *testing.T) {
	t.Parallel()
	const n = 12000
	w := newWorld(t, timpushtest.WithLatency(30*time.Millisecond, 25*time.Millisecond))
	random := rand.New(rand.NewPCG(1, 2))
	left := kills()
	for round := 0; left > 0; round++ {
		w.write("u.csv", users(n)+strings.Repeat(",bad,row\n", 50))
		before := len(w.fake.Calls())
		killed := 0
		for {
			d := time.Duration(random.IntN(int(250 * time.Millisecond)))
			dead, code, errs := w.killAfter(d, syscall.SIGKILL, "set-attr", "u.csv")
			if !dead {
				require.Equal(t, 1, code, errs)
				break
			}
			killed++
			if !w.has("u.csv.checkpoint") && w.has("u.csv.rejected.ndjson") {
				break // it was done, and only had not said so
			}
			if left--; left <= 0 {
				r := w.run("set-attr", "u.csv")
				require.Equal(t, 1, r.code, r.err)
				assert.Contains(t, r.out, "12000 done", "the counts are of all runs")
				assert.Contains(t, r.out, "50 rejected")
				break
			}
		}
		w.stored(n)
		assert.Equal(t, 50, strings.Count(w.read("u.csv.rejected.ndjson"), "\n"))
		assert.False(t, w.has("u.csv.checkpoint"))
		assert.LessOrEqual(t, w.sent(before), n+killed*inFlight*timpush.MaxUsersPerRequest)
		require.NoError(t, os.Remove(filepath.Join(w.dir, "u.csv.rejected.ndjson")))
	}
}

// Later rows of an account win, whatever the moment of a kill.
func TestKillKeepsTheOrderOfAnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithLatency(20*time.Millisecond, 15*time.Millisecond))
	var text strings.Builder
	text.WriteString("To_Account,city\n")
	for i := range 10000 {
		fmt.Fprintf(&text, "u%d,v%d\n", i%1500, i)
	}
	w.write("u.csv", text.String())
	random := rand.New(rand.NewPCG(3, 4))
	for range 8 {
		w.killAfter(30*time.Millisecond+time.Duration(random.IntN(int(120*time.Millisecond))), syscall.SIGKILL, "set-attr", "u.csv")
	}
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 0, r.code, r.err)
	for i := 8500; i < 10000; i++ {
		require.Equal(t, "v"+strconv.Itoa(i), w.fake.Attrs("u" + strconv.Itoa(i%1500))["city"])
	}
}

// After Ctrl-C the requests in flight may end, so that nothing is sent again.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithLatency(50*time.Millisecond, 0))
	w.with("TIMPUSH_RATE=100")
	w.write("u.csv", users(8000))
	killed, code, errs := w.killAtCall(35, syscall.SIGINT, "set-attr", "u.csv")
	require.True(t, killed)
	require.Equal(t, 3, code, errs)
	assert.Contains(t, errs, "interrupted")
	assert.Contains(t, errs, "Run the same command again")
	sent := len(w.fake.Accounts())
	require.Less(t, sent, 8000)
	w.with("TIMPUSH_RATE=2000")
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.err, strconv.Itoa(sent)+" rows finished by earlier runs")
	w.stored(8000)
	assert.Equal(t, 8000, w.sent(0), "each is sent once")
}

// A run that has begun at a region's host may go on at its backup host, which is the same service.
func TestCheckpointKnowsTheBackupHost(t *testing.T) {
	t.Parallel()
	w := interrupted(t, 8000)
	r := w.run("set-attr", "--base-url", "https://"+timpush.RegionSingapore.BackupHost(), "u.csv")
	require.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "not to 1400000000 at https://"+timpush.RegionSingapore.Host())
}

// interrupted leaves a checkpoint of u.csv.
func interrupted(t *testing.T, rows int, options ...timpushtest.Option) *world {
	t.Helper()
	w := newWorld(t, append([]timpushtest.Option{timpushtest.WithLatency(20*time.Millisecond, 0)}, options...)...)
	w.write("u.csv", users(rows))
	w.with("TIMPUSH_RATE=100")
	killed, _, errs := w.killAtCall(35, syscall.SIGKILL, "set-attr", "u.csv")
	require.True(t, killed, errs)
	require.True(t, w.has("u.csv.checkpoint"))
	return w.with("TIMPUSH_RATE=2000")
}

func TestCheckpointRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	w := interrupted(t, 8000)
	refuse := func(want string, args ...string) {
		r := w.run(append([]string{"set-attr", "u.csv"}, args...)...)
		require.Equal(t, 3, r.code, r.out)
		assert.Contains(t, r.err, want)
	}
	refuse("belongs to the app", "--sdkappid", "1400000001")
	refuse(`--map was "map[]" and is "map[city:country]"`, "--map", "city=country")
	refuse(`--null was "[]" and is "none"`, "--null=")
	refuse(`--failures was "u.csv.failed.ndjson" and is "other.ndjson"`, "--failures", "other.ndjson")
	r := w.run("set-attr", "--restart", "u.csv")
	require.Equal(t, 0, r.code, r.err)
	w.stored(8000)
}

// The input is the same file under each of its names, as in a shell and in a nightly job.
func TestResumeUnderAnotherName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"./u.csv", "DIR/u.csv"} {
		w := interrupted(t, 4000)
		r := w.run("set-attr", strings.Replace(name, "DIR", w.dir, 1))
		require.Equal(t, 0, r.code, r.err)
		assert.Contains(t, r.err, "finished by earlier runs")
		w.stored(4000)
	}
}

// The file of a nightly job is a new one each night, also after a run that was interrupted: nothing can resume that.
func TestCheckpointOfAnotherFile(t *testing.T) {
	t.Parallel()
	w := interrupted(t, 8000)
	w.write("u.csv", users(8001))
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.err, "it was begun with another file u.csv than u.csv is now: beginning again with the first row")
	w.stored(8001)
	assert.False(t, w.has("u.csv.checkpoint"))

	w = interrupted(t, 8000)
	w.write("u.csv", users(8001))
	r = w.run("set-attr", "--null", "NULL", "u.csv") // by now the job has another flag
	require.Equal(t, 0, r.code, r.err)
	w.stored(8001)
}

// A change behind what the fingerprint covers is found when the rows are read again.
func TestCheckpointFindsALateChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pad := strings.Repeat("x", 2000) // the fingerprint covers 1 MiB, and row 900 is behind it
	var text strings.Builder
	text.WriteString("To_Account,city,note\n")
	for i := range 3000 {
		fmt.Fprintf(&text, "u%d,c%d,%s\n", i, i%97, pad)
	}
	w.write("u.csv", text.String())
	w.fake.Inject(make([]timpushtest.Fault, 20)...)
	w.fake.Inject(timpushtest.ErrorCode(70009))
	r := w.run("set-attr", "--ignore", "note", "--in-flight", "2", "u.csv")
	require.Equal(t, 3, r.code, r.err)
	w.write("u.csv", strings.Replace(text.String(), "u900,", "z900,", 1))
	r = w.run("set-attr", "--ignore", "note", "u.csv")
	require.Equal(t, 0, r.code, r.out)
	assert.Contains(t, r.err, "the input is not the one that the interrupted run has read: beginning again with the first row")
	assert.Contains(t, r.out, "3000 done")
	assert.Equal(t, "c27", w.fake.Attrs("z900")["city"])
	assert.False(t, w.has("u.csv.checkpoint"))
}

// Standard input cannot be read again: the rows before the place where it turns out to be another input would be left out.
func TestResumeWithOtherStandardInput(t *testing.T) {
	t.Parallel()
	rows := func(n int, city string) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, `{"To_Account":"x%d","city":%q}`+"\n", i, city)
			city = strings.TrimSuffix(city, "?") // only the first row is the same
		}
		return text.String()
	}
	for name, test := range map[string]struct {
		rows int
		now  string
	}{"late": {3000, rows(3000, "Oslo?")}, "shorter": {3000, rows(700, "Oslo?")}, "few rows": {900, rows(900, "Oslo?")}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			args := []string{"set-attr", "--quiet", "--format", "ndjson", "--in-flight", "1", "--checkpoint", "night", "-"}
			w.in = strings.Replace(rows(test.rows, "Rome"), "Rome", "Oslo?", 1)
			calls := 0
			w.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
				if calls++; calls > test.rows/250 {
					return timpushtest.ErrorCode(70009)
				}
				return timpushtest.Fault{}
			})
			r := w.run(args...)
			require.Equal(t, 3, r.code, r.out+r.err)
			w.fake.Handle(nil)
			w.in = ""
			r = w.run(args...)
			assert.Equal(t, 3, r.code, r.out+r.err)
			assert.Contains(t, r.err, "there are no rows, and the interrupted run has read some")
			require.True(t, w.has("night"), "the program that writes may have failed")
			w.in = test.now
			r = w.run(args...)
			assert.Equal(t, 3, r.code, r.out+r.err)
			assert.Contains(t, r.err, "standard input is not what the interrupted run has read")
			r = w.run(args...)
			assert.Equal(t, 0, r.code, r.out+r.err)
			assert.Contains(t, r.out, fmt.Sprintf("%d done\n", strings.Count(test.now, "\n")))
			assert.Equal(t, map[string]string{"city": "Oslo"}, w.fake.Attrs("x5"))
		})
	}
}

// A code that stops the run while the row at fault of a refused request is looked for makes no rejects of the others.
func TestStopDuringASearchRejectsNoRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", users(1000)) // more than are read ahead
	var step, refused atomic.Int64
	w.fake.Handle(func(c timpushtest.Call) timpushtest.Fault {
		if step.Load() == 0 && len(c.Accounts) < 4 { // a request may be small on a busy machine
			return timpushtest.Fault{}
		}
		switch step.Add(1) {
		case 1:
			return timpushtest.ErrorCode(70107)
		case 3: // the second half
			refused.Store(int64(len(c.Accounts)))
			return timpushtest.ErrorCode(70107)
		case 4:
			return timpushtest.ErrorCode(70009)
		}
		return timpushtest.Fault{}
	})
	r := w.run("set-attr", "--in-flight", "1", "u.csv")
	require.Equal(t, 3, r.code, r.err)
	assert.False(t, w.has("u.csv.rejected.ndjson"))
	assert.EqualValues(t, refused.Load(), strings.Count(w.read("u.csv.failed.ndjson"), "\n"))
}

// A code that stops the run leaves the open rows to the next one also where all rows had been read, whichever request ends last.
func TestStopAfterTheLastRow(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][2]timpushtest.Fault{
		"refused last": {{}, timpushtest.Delay(200*time.Millisecond, timpushtest.ErrorCode(70009))},
		"done last":    {timpushtest.Delay(200*time.Millisecond, timpushtest.Fault{}), timpushtest.ErrorCode(70009)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("u.csv", users(200))
			w.fake.Inject(faults[:]...)
			r := w.run("set-attr", "u.csv")
			require.Equal(t, 3, r.code, r.err)
			assert.Contains(t, r.err, "the service refuses to go on: 70009")
			assert.False(t, w.has("u.csv.failed.ndjson"))
			r = w.run("set-attr", "u.csv")
			require.Equal(t, 0, r.code, r.err)
			w.stored(200)
		})
	}
}

// A write that was torn, or garbage at the end, costs the last lines only.
func TestCheckpointThatIsTorn(t *testing.T) {
	t.Parallel()
	w := interrupted(t, 8000)
	whole := w.read("u.csv.checkpoint")
	for _, text := range []string{whole[:len(whole)-7], whole + "garbage", strings.Replace(whole, `"row":`, `"rOw":`, 1), whole[:50]} {
		w.write("u.csv.checkpoint", text)
		r := w.run("set-attr", "u.csv")
		require.Equal(t, 0, r.code, r.err)
		w.stored(8000)
		require.False(t, w.has("u.csv.checkpoint"))
	}
}

// After a power failure the log may know of failures that have not reached the disk: these rows are sent again.
func TestCheckpointWithoutItsFailures(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"gone", "shorter", "longer", "other"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("u.csv", users(6000))
			w.fake.Refuse(70398, "u5", "u1005") // not retried, and not the fault of the users
			w.fake.Inject(make([]timpushtest.Fault, 25)...)
			w.fake.Inject(timpushtest.ErrorCode(70009))
			r := w.run("set-attr", "--in-flight", "2", "u.csv")
			require.Equal(t, 3, r.code, r.err)
			failures := w.read("u.csv.failed.ndjson")
			switch name {
			case "gone":
				require.NoError(t, os.Remove(filepath.Join(w.dir, "u.csv.failed.ndjson")))
			case "shorter":
				w.write("u.csv.failed.ndjson", failures[:len(failures)-5])
			case "longer":
				w.write("u.csv.failed.ndjson", failures+`{"To_Acc`)
			case "other":
				w.write("u.csv.failed.ndjson", strings.Repeat("x", len(failures)))
			}
			r = w.run("set-attr", "u.csv")
			require.Equal(t, 1, r.code, r.err)
			assert.Equal(t, 2, strings.Count(w.read("u.csv.failed.ndjson"), "\n"))
			w.fake.Refuse(0, "u5", "u1005")
			r = w.run("set-attr", "u.csv.failed.ndjson")
			require.Equal(t, 0, r.code, r.err)
			w.stored(6000)
		})
	}
}

// TestInputThatChanges: what was read of a file that another program writes at the same time is not all of it. To say "done"
// would hide that.
func TestInputThatChanges(t *testing.T) {
	t.Parallel()
	const all = 30_000
	var accounts strings.Builder
	for i := range all {
		_, _ = fmt.Fprintf(&accounts, "u%d\n", i)
	}
	for _, test := range []struct {
		name, file, text string
		args             []string
	}{
		{"set-attr", "u.csv", users(all), []string{"set-attr", "u.csv"}},
		{"get-attr", "accounts.txt", accounts.String(), []string{"get-attr", "--file", "accounts.txt"}},
		{"remove-attr", "accounts.txt", accounts.String(), []string{"remove-attr", "--names", "city", "--file", "accounts.txt"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, timpushtest.WithLatency(20*time.Millisecond, 0)).with("TIMPUSH_RATE=300")
			w.write(test.file, test.text)
			cmd := w.command(test.args...)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			require.NoError(t, cmd.Start())
			require.Eventually(t, func() bool { return len(w.fake.Calls()) > 2 }, 20*time.Second, time.Millisecond)
			require.NoError(t, os.Truncate(filepath.Join(w.dir, test.file), 1000))
			_ = cmd.Wait()
			assert.Equal(t, 3, cmd.ProcessState.ExitCode(), errs.String())
			assert.Contains(t, errs.String(), test.file+": it was changed while it was read")
		})
	}
}

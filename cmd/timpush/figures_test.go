//go:build unix

package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go"
)

// figures says how many users there are for the figures, such as TIMPUSH_FIGURES=1000000; without it they are not measured:
//
//	TIMPUSH_FIGURES=1000000 go test -run TestFigures -v -timeout 30m .
func figures(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("TIMPUSH_FIGURES"))
	if err != nil {
		t.Skip("TIMPUSH_FIGURES is not set")
	}
	return n
}

// yesServer accepts everything, as cheaply as a server can, so that the client is measured. Its app has the attributes of the files.
func yesServer(t *testing.T) (url string, first *atomic.Int64) {
	t.Helper()
	first = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first.CompareAndSwap(0, time.Now().UnixNano())
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/get_attr_name") {
			_, _ = io.WriteString(w, `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"","AttrNames":{"0":"city","1":"sex","2":"level"}}`)
			return
		}
		_, _ = io.WriteString(w, `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}`)
	}))
	t.Cleanup(s.Close)
	return s.URL, first
}

func writeUsers(t *testing.T, name string, n int) {
	t.Helper()
	f, err := os.Create(name)
	require.NoError(t, err)
	w := bufio.NewWriter(f)
	_, _ = fmt.Fprintln(w, "To_Account,city,sex,level")
	for i := range n {
		_, _ = fmt.Fprintf(w, "user%08d,city%d,%s,%d\n", i, i%1000, []string{"f", "m"}[i%2], i%50)
	}
	require.NoError(t, w.Flush())
	require.NoError(t, f.Close())
}

// figure runs the tool over n users.
func figure(t *testing.T, n int) (cpu time.Duration, rss int64) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "u.csv")
	writeUsers(t, name, n)
	return figureOf(t, name, n)
}

// figureOf runs the tool over a file of n users.
func figureOf(t *testing.T, name string, n int) (cpu time.Duration, rss int64) {
	t.Helper()
	url, _ := yesServer(t)
	cmd := exec.CommandContext(t.Context(), tool, "set-attr", name)
	cmd.Env = figureEnv(t, url)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), fmt.Sprintf("%d done", n))
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	require.True(t, ok)
	rss = usage.Maxrss // in KiB on Linux
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), rss << 10
}

func figureEnv(t *testing.T, url string) []string {
	t.Helper()
	return []string{
		"TIMPUSH_SDKAPPID=1400000000", "TIMPUSH_IDENTIFIER=administrator", "TIMPUSH_SECRET_KEY=" + strings.Repeat("x", 64), "TIMPUSH_REGION=china",
		"TIMPUSH_BASE_URL=" + url, "TIMPUSH_RATE=1000000", "HOME=" + t.TempDir(),
	}
}

// TestFiguresCPU compares the tool with the library that is fed from memory.
func TestFiguresCPU(t *testing.T) { //nolint:paralleltest // it measures
	n := figures(t)
	url, _ := yesServer(t)
	self, err := os.Executable()
	require.NoError(t, err)
	var library, mine []time.Duration
	for range 3 {
		cmd := exec.CommandContext(t.Context(), self, "-test.run=TestFedFromMemory$", "-test.v")
		cmd.Env = append(os.Environ(), "TIMPUSH_FED="+strconv.Itoa(n), "TIMPUSH_FED_URL="+url)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		_, text, _ := strings.Cut(string(out), "cpu=")
		text, _, _ = strings.Cut(text, "\n")
		d, err := time.ParseDuration(text)
		require.NoError(t, err, string(out))
		library = append(library, d)
		d, _ = figure(t, n)
		mine = append(mine, d)
	}
	ratio := float64(slices.Min(mine)) / float64(slices.Min(library))
	t.Logf("%d users from CSV: tool %v, library from memory %v, ratio %.2f", n, slices.Min(mine), slices.Min(library), ratio)
	t.Attr("cpu", fmt.Sprint(ratio))
	assert.LessOrEqual(t, ratio, 1.5)
}

// TestFedFromMemory is the library that is fed from memory, in a process of its own.
func TestFedFromMemory(t *testing.T) { //nolint:paralleltest // it measures
	n, err := strconv.Atoi(os.Getenv("TIMPUSH_FED"))
	if err != nil {
		t.Skip("TestFiguresCPU runs it")
	}
	users := make([]timpush.UserAttrs, n)
	for i := range users {
		users[i] = timpush.UserAttrs{ToAccount: fmt.Sprintf("user%08d", i), Attrs: timpush.Attrs{
			"city": fmt.Sprintf("city%d", i%1000), "sex": []string{"f", "m"}[i%2], "level": strconv.Itoa(i % 50),
		}}
	}
	client, err := timpush.NewClient(timpush.Config{SDKAppID: 1400000000, Identifier: "administrator", SecretKey: strings.Repeat("x", 64), Region: timpush.RegionChina},
		timpush.WithBaseURL(os.Getenv("TIMPUSH_FED_URL")), timpush.WithLimiter(timpush.NewLimiter(1e6)))
	require.NoError(t, err)
	var from iter.Seq2[timpush.UserAttrs, error] = func(yield func(timpush.UserAttrs, error) bool) {
		for _, u := range users {
			if !yield(u, nil) {
				return
			}
		}
	}
	runtime.GC()
	before := cpuTime(t)
	done := 0
	for batch, err := range client.SetAttrSeq(t.Context(), from) {
		require.NoError(t, err)
		done = batch.Progress.Done
	}
	require.Equal(t, n, done)
	fmt.Printf("cpu=%v\n", cpuTime(t)-before)
	runtime.KeepAlive(users)
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var r syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// TestFiguresMemory shows how much memory files of growing size take.
func TestFiguresMemory(t *testing.T) { //nolint:paralleltest // it measures
	n := figures(t)
	for _, n := range []int{n / 4, n, 2 * n} {
		_, rss := figure(t, n)
		t.Logf("%d users: %d MiB resident at most", n, rss>>20)
		t.Attr("memory", fmt.Sprint(float64(rss)/(1<<20))) // the last one is that of the largest file
		assert.LessOrEqual(t, rss>>20, int64(96))
	}
}

// TestFiguresExcel shows how much memory a workbook takes.
func TestFiguresExcel(t *testing.T) { //nolint:paralleltest // it measures
	n := figures(t)
	name := filepath.Join(t.TempDir(), "u.xlsx")
	writeWorkbook(t, name, n)
	began := time.Now()
	cpu, rss := figureOf(t, name, n)
	t.Logf("%d users of a workbook: %d MiB resident at most, %v, %v of CPU time", n, rss>>20, time.Since(began), cpu)
	t.Attr("workbook", fmt.Sprint(float64(rss)/(1<<20)))
	assert.LessOrEqual(t, rss>>20, int64(256))
}

// TestFiguresStart measures the time from the start to the arrival of the first request.
func TestFiguresStart(t *testing.T) { //nolint:paralleltest // it measures
	figures(t)
	var all []time.Duration
	for range 11 {
		url, first := yesServer(t)
		name := filepath.Join(t.TempDir(), "u.csv")
		writeUsers(t, name, 10000)
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), tool, "set-attr", name)
		cmd.Env = figureEnv(t, url)
		began := time.Now()
		require.NoError(t, cmd.Run())
		all = append(all, time.Unix(0, first.Load()).Sub(began))
	}
	slices.Sort(all)
	t.Logf("from the start to the first request: %v in the middle, %v at most", all[len(all)/2], all[len(all)-1])
	t.Attr("start", fmt.Sprint(all[len(all)/2].Seconds()*1000))
	assert.Less(t, all[len(all)/2], 100*time.Millisecond)
}

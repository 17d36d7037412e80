package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	timpush "github.com/timpush/timpush-go"
)

const (
	streamLength   = 10_000_000
	streamAccounts = 100_000
	sampleInterval = 250 * time.Millisecond
)

// TestMemory watches the memory of a process that streams users.
func TestMemory(t *testing.T) { //nolint:paralleltest // it measures
	scaled(t, 0)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the client notices a lost connection
		_, _ = io.WriteString(w, okAnswer)
	}))
	defer server.Close()
	total := int(*full * streamLength)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "BENCHMARKS_STREAM_TO="+server.URL, fmt.Sprint("BENCHMARKS_USERS=", total))
	cmd.Stderr = os.Stderr
	began := time.Now()
	samples, err := watch(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) < 10 {
		t.Fatalf("only %d samples of the memory; they are read from /proc, which Linux has", len(samples))
	}
	tenth := len(samples) / 10
	report(t, "most", slices.Max(samples))
	report(t, "growth", mean(samples[len(samples)-tenth:])/mean(samples[tenth:2*tenth]))
	report(t, "rate", float64(total)/time.Since(began).Seconds())
}

// watch runs a program and reads its resident memory, in MiB, until it ends.
func watch(cmd *exec.Cmd) (samples []float64, err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return samples, err
		case <-ticker.C:
			if mib, err := residentMiB(cmd.Process.Pid); err == nil { // else it has just ended
				samples = append(samples, mib)
			}
		}
	}
}

func residentMiB(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kib); err == nil {
			return kib / 1024, nil
		}
	}
	return 0, errors.New("no VmRSS")
}

func mean(all []float64) float64 {
	sum := 0.0
	for _, x := range all {
		sum += x
	}
	return sum / float64(len(all))
}

// streamUsers is the process that TestMemory watches.
func streamUsers(url, users string) error {
	total, err := strconv.Atoi(users)
	if err != nil {
		return err
	}
	c, err := newClient(timpush.WithBaseURL(url))
	if err != nil {
		return err
	}
	ctx := context.Background()
	var next int64
	for batch, err := range c.SetAttrSeq(ctx, source(total, streamAccounts)) {
		if err != nil {
			return err
		}
		next = batch.Checkpoint()
	}
	if next != int64(total) {
		return fmt.Errorf("%d of %d users are done", next, total)
	}
	return nil
}

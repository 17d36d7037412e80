package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

var memoryFigure = figure{
	name:  "memory",
	title: "a stream of ten million users in constant memory",
	about: "`SetAttrSeq` with 10 million users and no limiter, in a process of its own whose resident memory (VmRSS) is read " +
		"four times a second. A fast fake, which reads each request and answers at once that all is well, without TLS, runs in a " +
		"second process: the one of `timpushtest` keeps all calls in memory.",
	measure: memory,
}

const (
	streamLength   = 10_000_000
	streamAccounts = 100_000
	sampleInterval = 250 * time.Millisecond
	memoryGoal     = 64 // MiB
)

// sample is a look at the memory of a process.
type sample struct {
	at  time.Duration
	mib float64
}

func memory(ctx context.Context, s scale) (*report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	url, stop, err := startFastFake(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	total := s.count(streamLength)
	began := time.Now()
	samples, err := watchStream(ctx, url, total)
	if err != nil {
		return nil, err
	}
	if len(samples) < 3 {
		return nil, fmt.Errorf("%w: only %d samples of the memory; it is read from /proc, which Linux has", errNotMeasured, len(samples))
	}
	return memoryReport(samples, total, time.Since(began)), nil
}

// watchStream streams users in another process, so that nothing else is in its memory, and watches it.
func watchStream(ctx context.Context, url string, total int) ([]sample, error) {
	cmd, err := self(ctx, streamCommand, url, strconv.Itoa(total))
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	began := time.Now()
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	var samples []sample
	for {
		select {
		case err := <-ended:
			return samples, err
		case <-ticker.C:
			if mib, err := residentMiB(cmd.Process.Pid); err == nil { // else it has just ended, or never gives any
				samples = append(samples, sample{time.Since(began), mib})
			}
		}
	}
}

// residentMiB reads the resident memory of a process from Linux.
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

func memoryReport(samples []sample, total int, took time.Duration) *report {
	tenth := max(1, len(samples)/10)
	second, last := meanMiB(samples[tenth:2*tenth]), meanMiB(samples[len(samples)-tenth:])
	most := slices.MaxFunc(samples, func(a, b sample) int { return int(a.mib*1024 - b.mib*1024) })
	facts := table{head: []string{"users", thousands(float64(total))}}
	facts.add("time", fmt.Sprintf("%.0f s", took.Seconds()))
	facts.add("users/s", thousands(float64(total)/took.Seconds()))
	facts.add("mean of the second tenth", mebibytes(second))
	facts.add("mean of the last tenth", mebibytes(last))
	return &report{
		checks: []check{
			atMost("most resident memory", most.mib, memoryGoal, mebibytes),
			atMost("last tenth, of the second tenth", last/second, 1.1, percent),
		},
		tables:  []table{facts},
		picture: memoryPicture(samples),
	}
}

func meanMiB(samples []sample) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += s.mib
	}
	return sum / float64(len(samples))
}

func memoryPicture(samples []sample) *picture {
	p := newPicture("Resident memory while 10 million users are streamed", "time (s)", "resident memory (MiB)")
	points := make([]point, len(samples))
	for i, s := range samples {
		points[i] = point{s.at.Seconds(), s.mib}
	}
	p.line("client process", palette[0], points)
	p.xFromZero()
	p.level("goal: 64 MiB", memoryGoal)
	p.yFrom(0, 1.25*memoryGoal)
	return p
}

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Of the sample one function is tested well, and one is not.
const (
	sample = `package sample

func Largest(a, b int) int {
	if a > b {
		return a
	}
	return b
}

func Count(texts []string) (n int) {
	for _, text := range texts {
		if text != "" && len(text) < 10 {
			n += 1
		}
	}
	return n
}

func Below() (n int64) {
	n = -1
	return n
}

func Fails() (int, error) { return 0, errFails }

func Succeeds() (int, error) { return 1, nil }

var errFails = error(nil)
`
	sampleTest = `package sample

import "testing"

func TestLargest(t *testing.T) {
	if Largest(1, 2) != 2 || Largest(2, 1) != 2 {
		t.Error("not the largest")
	}
}

func TestCount(t *testing.T) {
	if Count([]string{"a", "b", ""}) != 2 {
		t.Error("not two")
	}
}

func TestBelow(t *testing.T) {
	if Below() != -1 {
		t.Error("not one below")
	}
}
`
)

func TestMutate(t *testing.T) {
	t.Setenv("GOWORK", "off") // the sample is a module of its own
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module sample\n\ngo 1.26.0\n", "sample.go": sample, "sample_test.go": sampleTest} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	results, err := mutate(dir, regexp.MustCompile(""), 2)
	require.NoError(t, err)
	got := map[string]bool{}
	for _, one := range results {
		got[one.key()] = one.killed
	}
	assert.Equal(t, map[string]bool{
		"sample.go Largest: a > b → !(a > b) #1":                                             true,
		"sample.go Largest: a > b → a >= b #1":                                               false, // no test has two that are equal
		`sample.go Count: text != "" && len(text) < 10 → !(text != "" && len(text) < 10) #1`: true,
		`sample.go Count: text != "" && len(text) < 10 → text != "" || len(text) < 10 #1`:    true,
		`sample.go Count: text != "" → !(text != "") #1`:                                     true,
		"sample.go Count: len(text) < 10 → len(text) <= 10 #1":                               false, // no test reaches it
		"sample.go Count: 10 → 10+1 #1":                                                      false,
		"sample.go Count: n += 1 → (left out) #1":                                            true,
		"sample.go Count: 1 → 1+1 #1":                                                        true,
		"sample.go Below: n = -1 → (left out) #1":                                            true,
		"sample.go Fails: errFails → nil #1":                                                 false,
		"sample.go Succeeds: 1 → 1+1 #1":                                                     false, // beside nil it is used, beside an error it is not
		"sample.go Below: -1 → -1+1 #1":                                                      true,
	}, got)
}

// A test that fails now and then, for the machine, kills nothing.
func TestOneFailureIsNoKill(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]bool{"exit 0": false, "exit 1": true, "test -e ran || ! touch ran": false} {
		dir := t.TempDir()
		program := filepath.Join(dir, "program")
		require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
		r := &runner{program: program, dir: dir, tests: []test{{"TestA", 0, map[int]bool{1: true}}}}
		assert.Equal(t, want, r.try(1), script)
		assert.False(t, r.try(2), "no test reaches it")
	}
}

func TestSurvivorsAreComparedWithTheList(t *testing.T) {
	t.Parallel()
	one := func(from string, killed bool) result {
		return result{mutant{file: "a.go", function: "f", line: 3, from: from, to: "y", nth: 1}, killed}
	}
	known := parseSurvivors("a.go f: known → y #1  # it makes no difference\na.go f: gone → y #1  # old\na.go f: killed → y #1\n")
	r := compare([]result{one("killed", true), one("known", false), one("new", false)}, known)
	assert.Equal(t, []string{"a.go f: new → y #1 (a.go:3)"}, r.unknown)
	assert.Equal(t, []string{"a.go f: gone → y #1", "a.go f: killed → y #1"}, r.stale)
	assert.InDelta(t, 33.3, r.share, 0.1)
	assert.Equal(t, "a.go f: known → y #1  # it makes no difference\na.go f: new → y #1\n", r.list)
}

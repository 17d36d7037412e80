package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMutate(t *testing.T) {
	t.Setenv("GOWORK", "off") // the sample becomes a module of its own
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/sample")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module sample\n\ngo 1.26.0\n"), 0o600))
	results, err := mutate(dir, regexp.MustCompile(""), 2)
	require.NoError(t, err)
	got := map[string]outcome{}
	for _, one := range results {
		got[one.key()] = one.outcome
	}
	assert.Equal(t, map[string]outcome{
		"sample.go Largest: a > b → !(a > b) #1":                                             killed,
		"sample.go Largest: a > b → a >= b #1":                                               survived, // no test has two that are equal
		`sample.go Count: text != "" && len(text) < 10 → !(text != "" && len(text) < 10) #1`: killed,
		`sample.go Count: text != "" && len(text) < 10 → text != "" || len(text) < 10 #1`:    killed,
		`sample.go Count: text != "" → !(text != "") #1`:                                     killed,
		"sample.go Count: len(text) < 10 → len(text) <= 10 #1":                               unreached,
		"sample.go Count: 10 → 10+1 #1":                                                      survived,
		"sample.go Count: n += 1 → (left out) #1":                                            killed,
		"sample.go Count: 1 → 1+1 #1":                                                        killed,
	}, got)
}

// A test that fails now and then, for the machine, kills nothing.
func TestOneFailureIsNoKill(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]outcome{"exit 0": survived, "exit 1": killed, "test -e ran || ! touch ran": survived} {
		dir := t.TempDir()
		program := filepath.Join(dir, "program")
		require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
		r := &runner{program: program, dir: dir, tests: []test{{"TestA", 0, map[int]bool{1: true}}}}
		assert.Equal(t, want, r.try(1), script)
		assert.Equal(t, unreached, r.try(2), script)
	}
}

func TestSurvivorsAreComparedWithTheList(t *testing.T) {
	t.Parallel()
	one := func(from string, o outcome) result {
		return result{mutant{file: "a.go", function: "f", line: 3, from: from, to: "y", nth: 1}, o}
	}
	known := parseSurvivors("a.go f: known → y #1  # it makes no difference\na.go f: gone → y #1  # old\na.go f: killed → y #1\n")
	r := compare([]result{one("killed", killed), one("known", survived), one("new", unreached)}, known)
	assert.Equal(t, []string{"a.go f: new → y #1 (a.go:3)"}, r.unknown)
	assert.Equal(t, []string{"a.go f: gone → y #1", "a.go f: killed → y #1"}, r.stale)
	assert.InDelta(t, 33.3, r.share(), 0.1)
	assert.Equal(t, "a.go f: known → y #1  # it makes no difference\na.go f: new → y #1\n", r.list())
}

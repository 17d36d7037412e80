package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	isc = "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that " +
		"the above copyright notice and this permission notice appear in all copies.\n\nTHE SOFTWARE IS PROVIDED \"AS IS\" AND THE AUTHOR DISCLAIMS ALL " +
		"WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE " +
		"FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN " +
		"AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.\n"
	gpl = "This program is free software; you can redistribute it and/or modify it under the terms of the GNU General Public License as published by " +
		"the Free Software Foundation; either version 2 of the License, or (at your option) any later version.\n"
)

func TestLicences(t *testing.T) {
	t.Parallel()
	own, err := os.ReadFile("../LICENSE")
	require.NoError(t, err)
	for name, test := range map[string]struct {
		files   map[string]string
		want    string
		failure string
	}{
		"one":     {files: map[string]string{"LICENSE": isc}, want: "ISC"},
		"two":     {files: map[string]string{"LICENSE": isc, "COPYING.txt": string(own)}, want: "ISC and MIT"},
		"none":    {files: map[string]string{"README": isc}, failure: "has no licence file"},
		"unknown": {files: map[string]string{"Licence": "Do what you like."}, failure: "only 0 % of it is a known licence"},
		"more":    {files: map[string]string{"LICENSE": isc, "LICENSE-more": "Do what you like."}, failure: "LICENSE-more: only 0 %"},
		"GNU":     {files: map[string]string{"LICENSE": isc + gpl}, failure: "is not allowed"},
	} {
		dir := t.TempDir()
		for file, text := range test.files {
			write(t, filepath.Join(dir, file), text)
		}
		got, err := licenceOf(dir)
		assert.Equal(t, test.want, got, name)
		if test.failure != "" {
			assert.ErrorContains(t, err, test.failure, name)
		}
	}
}

func TestThePageIsCompared(t *testing.T) {
	t.Parallel()
	root, folders := t.TempDir(), []string{"."}
	write(t, filepath.Join(root, "go.mod"), "module example.com/m\n\ngo 1.26.0\n")
	write(t, filepath.Join(root, "go.sum"), "")
	write(t, filepath.Join(root, "m.go"), "package m\n")
	require.NoError(t, os.Mkdir(filepath.Join(root, "docs"), 0o700))
	require.ErrorIs(t, run(root, folders, false), os.ErrNotExist)
	require.NoError(t, run(root, folders, true))
	require.NoError(t, run(root, folders, false))
	write(t, filepath.Join(root, page), "| nothing |")
	require.ErrorContains(t, run(root, folders, false), "is out of date")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

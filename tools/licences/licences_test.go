package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRecognise(t *testing.T) {
	t.Parallel()
	const (
		mit = "Permission is hereby granted, free of charge,\n to any person obtaining a copy of this software"
		bsd = "// Redistribution and use in source and binary\n// forms, with or without modification"
	)
	for text, want := range map[string]string{
		mit: "MIT",
		bsd: "BSD-2-Clause",
		bsd + "\n * Neither the name of X may be used to endorse or promote products":                           "BSD-3-Clause",
		"Apache License\n    Version 2.0, January 2004":                                                         "Apache-2.0",
		"Licensed under the Apache License, Version 2.0; parts:\n" + mit:                                        "Apache-2.0,MIT",
		"Mozilla Public License Version 2.0":                                                                    "MPL-2.0",
		"Permission to use, copy, modify, and/or distribute this software for any purpose\nwith or without fee": "ISC",
		"GNU LESSER GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007":                                           "",
		mit + "\nGNU GENERAL PUBLIC LICENSE\nVersion 2":                                                         "",
		"Business Source License 1.1":                                                                           "",
		"":                                                                                                      "",
	} {
		names, err := recognise(text)
		assert.Equal(t, want, strings.Join(names, ","), text)
		assert.Equal(t, want != "", err == nil, "%q: %v", text, err)
	}
}

func TestEachModuleNeedsALicence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := licenceOf(dir)
	require.ErrorContains(t, err, "has no file of a licence")
	write(t, filepath.Join(dir, "LICENSE"), "Do what you like.")
	_, err = licenceOf(dir)
	require.ErrorContains(t, err, "none of those that are known")
	write(t, filepath.Join(dir, "LICENSE"), "Permission is hereby granted, free of charge, to any person obtaining a copy")
	write(t, filepath.Join(dir, "LICENSE-more"), "Mozilla Public License, version 2.0")
	name, err := licenceOf(dir)
	require.NoError(t, err)
	assert.Equal(t, "MIT and MPL-2.0", name)
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
	require.ErrorContains(t, run(root, folders, false), "is not what is built")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

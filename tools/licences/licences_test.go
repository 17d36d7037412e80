package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		got, err := recognise(text)
		if strings.Join(got, ",") != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestEachModuleNeedsALicence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if name, err := licenceOf(dir); err == nil {
		t.Errorf("no file is %q", name)
	}
	write(t, filepath.Join(dir, "LICENSE"), "Do what you like.")
	if name, err := licenceOf(dir); err == nil {
		t.Errorf("an unknown text is %q", name)
	}
	write(t, filepath.Join(dir, "LICENSE"), "Permission is hereby granted, free of charge, to any person obtaining a copy")
	write(t, filepath.Join(dir, "LICENSE-more"), "Mozilla Public License, version 2.0")
	if name, err := licenceOf(dir); name != "MIT and MPL-2.0" {
		t.Errorf("%q, %v", name, err)
	}
}

func TestThePageIsCompared(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "go.work"), "go 1.26.0\n\nuse .\n")
	write(t, filepath.Join(root, "go.mod"), "module example.com/m\n\ngo 1.26.0\n")
	write(t, filepath.Join(root, "go.sum"), "")
	write(t, filepath.Join(root, "m.go"), "package m\n")
	if err := os.Mkdir(filepath.Join(root, "docs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := run(root, false); err == nil {
		t.Error("a page that is missing is no error")
	}
	if err := run(root, true); err != nil {
		t.Fatal(err)
	}
	if err := run(root, false); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(root, page), "| nothing |")
	if err := run(root, false); err == nil {
		t.Error("another page is no error")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

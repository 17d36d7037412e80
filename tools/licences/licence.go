package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// known has a phrase of each licence that is recognised, in lower case and with single spaces.
var known = []struct{ name, phrase string }{
	{"Apache-2.0", "apache license version 2.0"},
	{"ISC", "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee"},
	{"ISC", "permission to use, copy, modify, and distribute this software for any purpose with or without fee"},
	{"MIT", "permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"MPL-2.0", "mozilla public license version 2.0"},
}

// What tells the licences of BSD: their common phrase, and that of the third clause.
const (
	redistribution = "redistribution and use in source and binary forms"
	endorsement    = "to endorse or promote products"
)

// copyleft is the headline of the licences of GNU, which would bind whoever links the module.
var copyleft = regexp.MustCompile(`general public license version`)

// What differs between copies of a text: the marks of comments, and a comma in the headline.
var (
	comments = regexp.MustCompile(`(?m)^\s*(//|#|\*|;)+`)
	headline = strings.NewReplacer("license, version", "license version", "licence, version", "license version")
)

// recognise names the licences in a text; none is an error.
func recognise(text string) ([]string, error) {
	text = strings.ToLower(comments.ReplaceAllString(text, " "))
	text = strings.Join(strings.Fields(text), " ")
	if copyleft.MatchString(text) {
		return nil, errors.New("it is a licence of GNU")
	}
	text = headline.Replace(text)
	var names []string
	for _, licence := range known {
		if strings.Contains(text, licence.phrase) {
			names = append(names, licence.name)
		}
	}
	switch {
	case strings.Contains(text, redistribution) && strings.Contains(text, endorsement):
		names = append(names, "BSD-3-Clause")
	case strings.Contains(text, redistribution):
		names = append(names, "BSD-2-Clause")
	}
	if len(names) == 0 {
		return nil, errors.New("it is none of those that are known here")
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// licenceOf reads the files of the licence in the folder of a module.
func licenceOf(dir string) (string, error) {
	var names []string
	for _, pattern := range []string{"LICEN[SC]E*", "[Ll]icen[sc]e*", "COPYING*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			found, err := recognise(string(text))
			if err != nil {
				return "", fmt.Errorf("%s: %w", file, err)
			}
			names = append(names, found...)
		}
	}
	if len(names) == 0 {
		return "", errors.New(dir + " has no file of a licence")
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " and "), nil
}

package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

// document is what the checks need of a Markdown file. It takes the part of Markdown that this repository uses: headings
// with "#", fenced and indented code, code spans, and links and images with their targets in place.
type document struct {
	path    string // from the root, with slashes
	links   []text
	spans   []text // of code
	blocks  []block
	anchors map[string]bool
}

// text is a piece of a line.
type text struct {
	line int
	text string
}

// block is lines of code.
type block struct {
	line  int // of the first one
	lang  string
	lines []string
}

var (
	fence    = regexp.MustCompile("^ *```+ *(\\S*)$")
	heading  = regexp.MustCompile(`^#{1,6} +(.*?)(?: +#+)?$`)
	codeSpan = regexp.MustCompile("`([^`]+)`")
	link     = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?: +"[^"]*")?\)`)
	bareLink = regexp.MustCompile(`<?(https?://[^\s<>)|]+)>?`)
)

// parse reads a document.
func parse(path, markdown string) *document {
	d := &document{path: filepath.ToSlash(path), anchors: map[string]bool{}}
	var open *block // a fenced block, or an indented one
	fenced, blank := false, true
	for i, line := range strings.Split(markdown, "\n") {
		f := fence.FindStringSubmatch(line)
		switch {
		case f != nil && fenced:
			d.blocks, open, fenced = append(d.blocks, *open), nil, false
		case f != nil:
			open, fenced = &block{line: i + 2, lang: f[1]}, true
		case fenced:
			open.lines = append(open.lines, line)
		case strings.HasPrefix(line, "    ") && (open != nil || blank):
			if open == nil {
				open = &block{line: i + 1}
			}
			open.lines = append(open.lines, line[4:])
		default:
			if open != nil {
				d.blocks, open = append(d.blocks, *open), nil
			}
			d.prose(i+1, line)
		}
		blank = strings.TrimSpace(line) == ""
	}
	if open != nil {
		d.blocks = append(d.blocks, *open)
	}
	return d
}

// prose reads a line that is no code.
func (d *document) prose(number int, line string) {
	if h := heading.FindStringSubmatch(line); h != nil {
		d.anchor(h[1])
	}
	for _, span := range codeSpan.FindAllStringSubmatch(line, -1) {
		d.spans = append(d.spans, text{number, span[1]})
	}
	line = codeSpan.ReplaceAllString(line, "code")
	for _, l := range link.FindAllStringSubmatch(line, -1) {
		d.links = append(d.links, text{number, l[1]})
	}
	for _, l := range bareLink.FindAllStringSubmatch(link.ReplaceAllString(line, "]"), -1) {
		d.links = append(d.links, text{number, strings.TrimRight(l[1], ".,:;")})
	}
}

// anchor adds the anchor of a heading as GitHub makes it.
func (d *document) anchor(title string) {
	title = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`).ReplaceAllString(title, "$1")
	name := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
	for n, first := 1, name; d.anchors[name]; n++ {
		name = fmt.Sprintf("%s-%d", first, n)
	}
	d.anchors[name] = true
}

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

const documentPath = "../BENCHMARKS.md"

const introduction = `# Benchmarks

What the client is made to reach, measured in real time over loopback against fakes of the service, and what was measured.

Last run: %s, on %s.

%s

` + "```sh" + `
cd benchmarks
go run .        # lists the figures
go run . all    # measures all of them, about half an hour, and writes this file and its pictures
go run . bulk   # measures one
` + "```" + `

The exit status is 1 if a figure falls short of its goal or cannot be measured for want of a program. ` + "`-short`" + ` makes each run a tenth as long and writes nothing.
`

// machine tells what a figure was measured on.
func machine() string {
	return fmt.Sprintf("%s, %d cores, %s/%s, %s", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// processor is the CPU's name where Linux tells it.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(info)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}

func sectionHeading(name string) string { return "## " + name + ":" }

// rewriteSection replaces the section of a figure, or adds it, and brings the introduction up to date.
func rewriteSection(path, name, section string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sections := withSection(string(old), name, section)
	text := fmt.Sprintf(introduction, time.Now().Format(time.DateOnly), machine(), summary(sections).markdown())
	return os.WriteFile(path, []byte(strings.Join(append([]string{text}, sections...), "\n")), 0o644)
}

// withSection returns the sections of a document with another one of one figure.
func withSection(document, name, section string) (sections []string) {
	found := false
	for _, part := range strings.Split("\n"+document, "\n## ")[1:] {
		part = "## " + strings.TrimRight(part, "\n") + "\n"
		if strings.HasPrefix(part, sectionHeading(name)) {
			part, found = section, true
		}
		sections = append(sections, part)
	}
	if !found {
		sections = append(sections, section)
	}
	return sections
}

// summary has the verdicts of all sections: the rows of the first table of each.
func summary(sections []string) table {
	t := table{head: summaryColumns}
	for _, section := range sections {
		name, _, _ := strings.Cut(strings.TrimPrefix(section, "## "), ":")
		_, rows, _ := strings.Cut(section, verdictHead+"\n")
		for k, line := range strings.Split(rows, "\n") {
			if !strings.HasPrefix(line, "| ") {
				break
			}
			if k > 0 { // below the rule
				t.add(append([]string{"[" + name + "](#" + anchor(section) + ")"}, strings.Split(strings.Trim(line, "| "), " | ")...)...)
			}
		}
	}
	return t
}

// anchor is what a heading is linked by.
func anchor(section string) string {
	heading, _, _ := strings.Cut(strings.TrimPrefix(section, "## "), "\n")
	return strings.NewReplacer(" ", "-", ":", "", ",", "", "±", "", "/", "").Replace(strings.ToLower(heading))
}

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// command is one that a document shows.
type command struct {
	line   int
	cd     string // the folder that the block changed to before
	text   string
	output []string // that the document shows, if it does
}

var (
	comment = regexp.MustCompile(`\s+#.*$`)
	program = regexp.MustCompile(`^(\w+=\S* )*(timpush|go (test|run|get|install|vet|build)|make|bash|prometheus|apt-get) \S`)
	shells  = []string{"sh", "bash", "shell", "console"}
)

// checkCommands runs the commands of all documents. It returns how many were run and how many were skipped by a rule.
func (c *checker) checkCommands(ctx context.Context) (ran, skipped int) {
	for _, d := range c.docs {
		common, own := c.fake, false
		for _, cmd := range d.commands() {
			if !own && ownFake.MatchString(cmd.text) {
				c.fake, own = nil, true // for the rest of the document
			}
			if c.checkOne(ctx, d, cmd) {
				ran++
			} else {
				skipped++
			}
		}
		if own {
			c.fake.stop()
			c.fake = common
		}
	}
	return ran, skipped
}

// ownFake is a command after which a document uses a fake of its own, with the flags in it.
var ownFake = regexp.MustCompile(`^timpush serve --.* > settings\.sh$`)

// checkOne runs a command, and reports false if a rule skips it.
func (c *checker) checkOne(ctx context.Context, d *document, cmd command) bool {
	r := ruleFor(cmd.text)
	switch {
	case ownFake.MatchString(cmd.text):
		if err := c.startFake(ctx, cmd.text); err != nil {
			c.fault(d, cmd.line, "%s: %v", cmd.text, err)
		}
		return true
	case r.skip == "":
		c.checkCommand(ctx, d, cmd, r)
		return true
	case r.named:
		c.checkNames(d, cmd, filepath.Join(c.module(d), cmd.cd))
	case strings.HasPrefix(cmd.text, "timpush serve") && len(cmd.output) > 0:
		c.checkServe(ctx, d, cmd)
	}
	return false
}

// commands finds them in blocks and in code spans.
func (d *document) commands() (all []command) {
	for _, b := range d.blocks {
		all = append(all, b.commands()...)
	}
	for _, s := range d.spans {
		if program.MatchString(s.text) {
			all = append(all, command{line: s.line, text: s.text})
		}
	}
	slices.SortStableFunc(all, func(a, b command) int { return a.line - b.line })
	return all
}

// commands are the lines of a shell block. One without a language is a shell's if it has prompts, whose other lines are
// output, or if it has programs.
func (b *block) commands() (all []command) {
	prompts := slices.ContainsFunc(b.lines, func(l string) bool { return strings.HasPrefix(l, "$ ") })
	known := b.lang == "" && slices.ContainsFunc(b.lines, program.MatchString)
	if !prompts && !known && !slices.Contains(shells, b.lang) {
		return nil
	}
	cd := ""
	for i, l := range b.lines {
		if prompts && !strings.HasPrefix(l, "$ ") {
			if len(all) > 0 {
				all[len(all)-1].output = append(all[len(all)-1].output, l)
			}
			continue
		}
		l = strings.TrimSpace(comment.ReplaceAllString(strings.TrimPrefix(l, "$ "), ""))
		if to, ok := strings.CutPrefix(l, "cd "); ok {
			cd = filepath.Join(cd, to)
		} else if l != "" && !strings.HasPrefix(l, "#") {
			all = append(all, command{line: b.line + i, cd: cd, text: l})
		}
	}
	return all
}

// ofTool is what runs in the folder of the fake.
var ofTool = regexp.MustCompile(`^(timpush |export TIMPUSH_)`)

// startsFake reports whether the document starts a fake, in whose folder its commands then run.
func (d *document) startsFake() bool {
	return slices.ContainsFunc(d.commands(), func(cmd command) bool { return ownFake.MatchString(cmd.text) })
}

// checkCommand runs a command, and compares how it ends and what it prints. Those of the tool run against the fake.
func (c *checker) checkCommand(ctx context.Context, d *document, cmd command, r rule) {
	text, dir, env := cmd.text, filepath.Join(c.module(d), cmd.cd), os.Environ()
	if r.as != "" {
		text = r.match.ReplaceAllString(text, r.as)
	}
	if ofTool.MatchString(cmd.text) || d.startsFake() && !strings.HasPrefix(cmd.text, "go ") {
		if err := c.startFake(ctx, usual); err != nil {
			c.fault(d, cmd.line, "%s: %v", cmd.text, err)
			return
		}
		text, dir, env = c.fake.at(text), c.fake.dir, append(env, c.fake.env...)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
	shell.Dir, shell.Env, shell.WaitDelay = dir, env, time.Second
	out, err := shell.CombinedOutput()
	got, want := measured(string(out)), measured(strings.Join(cmd.output, "\n"))
	switch {
	case shell.ProcessState == nil || shell.ProcessState.ExitCode() != r.exit:
		c.fault(d, cmd.line, "%s: %v, want exit status %d\n%s", cmd.text, err, r.exit, out)
	case cmd.output != nil && got != want:
		c.fault(d, cmd.line, "%s prints\n%s\nand the document shows\n%s", cmd.text, got, want)
	}
}

// module is the folder of the module that a document is in, where its commands are meant to run.
func (c *checker) module(d *document) string {
	dir := filepath.Join(c.root, filepath.Dir(d.path))
	for dir != c.root {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

var (
	duration = regexp.MustCompile(`\b[\d.]+(µs|ms|s)\b`)
	address  = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	secret   = regexp.MustCompile(`(SECRET_KEY=)\S+`)
	moment   = regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`)
	taskID   = regexp.MustCompile(`\b(batch_)?[0-9a-f]{8}_[0-9a-f]{8}_[0-9a-f]{15}_[0-9a-f]{8}_[0-9a-f]{6}\b`)
)

// measured replaces what differs from run to run.
func measured(s string) string {
	s = duration.ReplaceAllString(s, "TIME")
	s = address.ReplaceAllString(s, "127.0.0.1:PORT")
	s = taskID.ReplaceAllString(moment.ReplaceAllString(s, "MOMENT"), "TASKID")
	return strings.TrimSpace(secret.ReplaceAllString(s, "${1}KEY"))
}

// checkNames checks that the tests and benchmarks exist that a go test names.
func (c *checker) checkNames(d *document, cmd command, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
	var functions []string
	for _, file := range files {
		text, _ := os.ReadFile(file)
		functions = append(functions, regexp.MustCompile(`(?m)^func (Test|Benchmark)\w*`).FindAllString(string(text), -1)...)
	}
	for _, flag := range regexp.MustCompile(`-(run|bench) '?([^' ]+)`).FindAllStringSubmatch(cmd.text, -1) {
		kind := map[string]string{"run": "func Test", "bench": "func Benchmark"}[flag[1]]
		top, _, _ := strings.Cut(flag[2], "/") // what stands behind it names subtests
		name, err := regexp.Compile(top)
		if flag[2] != "^$" && (err != nil || !slices.ContainsFunc(functions, func(f string) bool {
			return strings.HasPrefix(f, kind) && name.MatchString(strings.TrimPrefix(f, "func "))
		})) {
			c.fault(d, cmd.line, "%s: there is no %s", cmd.text, flag[2])
		}
	}
}

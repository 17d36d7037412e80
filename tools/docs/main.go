// Docs checks the documentation: every link leads somewhere, every command does what it should, and every piece of Go is
// part of code that compiles.
//
//	go run ./tools/docs          # in the root of the repository
//	go run ./tools/docs -fetch   # asks for external links, too
//
// Commands of the tool run against its own fake, timpush serve, in a temporary folder.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// checker has what the checks share.
type checker struct {
	root   string // of the repository, absolute
	docs   []*document
	rules  []rule
	hosts  []string // that links may lead to
	fetch  bool
	fake   *fake // that commands of the tool use, once there is one
	faults []error
}

func main() {
	fetch := flag.Bool("fetch", false, "ask for external links")
	flag.Parse()
	c := &checker{root: ".", rules: rules, hosts: hosts, fetch: *fetch}
	if err := c.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run makes all checks. The error holds every fault.
func (c *checker) run(ctx context.Context) (err error) {
	if c.root, err = filepath.Abs(c.root); err != nil {
		return err
	}
	if err := c.read(ctx); err != nil {
		return err
	}
	defer func() { c.fake.stop() }()
	links := c.checkLinks(ctx)
	ran, skipped := c.checkCommands(ctx)
	blocks := c.checkGo(ctx)
	fmt.Printf("%d documents, %d links, %d commands run and %d known not to be, %d pieces of Go\n", len(c.docs), links, ran, skipped, blocks)
	return errors.Join(c.faults...)
}

// fault records what is wrong in a line of a document.
func (c *checker) fault(d *document, line int, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("%s:%d: %s", d.path, line, fmt.Sprintf(format, args...)))
}

// read parses all documents that git knows or would add.
func (c *checker) read(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")
	cmd.Dir = c.root
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for _, path := range strings.Fields(string(out)) {
		text, err := os.ReadFile(filepath.Join(c.root, path))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not committed yet
		}
		if err != nil {
			return err
		}
		c.docs = append(c.docs, parse(path, string(text)))
	}
	if len(c.docs) == 0 {
		return errors.New("there are no documents")
	}
	return nil
}

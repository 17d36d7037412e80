// Docs checks the documentation: every link has a target, every command does what the text says, and every piece of Go is
// part of code that compiles.
//
//	go run ./tools/docs   # in the root of the repository
//
// Commands of the tool run against its own fake, timpush serve, in a temporary folder.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/timpush/timpush-go/tools"
)

// checker has what the checks share.
type checker struct {
	root   string // of the repository, absolute
	docs   []*document
	fake   *fake // that commands of the tool use, once there is one
	faults []error
}

func main() {
	c := &checker{root: "."}
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
	if err := c.read(); err != nil {
		return err
	}
	defer func() { c.fake.stop() }()
	links := c.checkLinks()
	ran, skipped := c.checkCommands(ctx)
	blocks := c.checkGo()
	fmt.Printf("%d documents, %d links, %d commands run and %d skipped, %d pieces of Go\n", len(c.docs), links, ran, skipped, blocks)
	return errors.Join(c.faults...)
}

// fault records what is wrong in a line of a document.
func (c *checker) fault(d *document, line int, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("%s:%d: %s", d.path, line, fmt.Sprintf(format, args...)))
}

// read parses all documents that git knows or would add.
func (c *checker) read() error {
	out, err := tools.Run(c.root, nil, "git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")
	if err != nil {
		return err
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

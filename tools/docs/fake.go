package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/timpush/timpush-go/tools"
)

// fake is timpush serve, a folder in which commands of the tool run, and their environment.
type fake struct {
	dir    string
	env    []string
	cmd    *exec.Cmd
	output tools.Buffer // of the process
}

var setting = regexp.MustCompile(`(?m)^export (TIMPUSH_\w+=.*)$`)

// startFake builds the tool and serves a fake with the attributes that the documents use, at the first call.
func (c *checker) startFake(ctx context.Context) error {
	if c.fake != nil {
		if len(c.fake.env) == 0 {
			return errors.New("the fake did not start")
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "docs")
	if err != nil {
		return err
	}
	c.fake = &fake{dir: dir}
	tool := filepath.Join(dir, "bin", "timpush")
	if _, err := tools.Run(c.root, nil, "go", "build", "-o", tool, "./cmd/timpush"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "users.csv"), c.users(), 0o600); err != nil {
		return err
	}
	c.fake.cmd = exec.CommandContext(ctx, tool, "serve", "--listen", "127.0.0.1:0", "--names", "sex,city,country,level")
	c.fake.cmd.Stdout, c.fake.cmd.Stderr, c.fake.cmd.Env = &c.fake.output, &c.fake.output, []string{"HOME=" + dir}
	if err := c.fake.cmd.Start(); err != nil {
		return err
	}
	c.fake.await("TIMPUSH_SECRET_KEY=")
	for _, s := range setting.FindAllStringSubmatch(c.fake.output.String(), -1) {
		c.fake.env = append(c.fake.env, s[1])
	}
	if len(c.fake.env) < 5 {
		return fmt.Errorf("timpush serve does not tell what a program needs: %s", c.fake.output.String())
	}
	c.fake.env = append(c.fake.env, "HOME="+dir, "PATH="+filepath.Dir(tool)+":"+os.Getenv("PATH"))
	return nil
}

// await waits until the fake has printed a text, for at most 20 s.
func (f *fake) await(text string) {
	for end := time.Now().Add(20 * time.Second); !strings.Contains(f.output.String(), text) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // it ends soon
	}
}

// users is the first file of users that a document shows.
func (c *checker) users() []byte {
	for _, d := range c.docs {
		for _, b := range d.blocks {
			if strings.HasPrefix(b.lines[0], "To_Account,") {
				return []byte(strings.Join(b.lines, "\n") + "\n")
			}
		}
	}
	return []byte("To_Account,city\nmary,Rome\n")
}

// checkServe checks that the fake printed each line that the document shows.
func (c *checker) checkServe(ctx context.Context, d *document, cmd command) {
	if err := c.startFake(ctx); err != nil {
		c.fault(d, cmd.line, "%s: %v", cmd.text, err)
		return
	}
	printed := "\n" + measured(c.fake.output.String()) + "\n"
	for _, line := range cmd.output {
		if !strings.Contains(printed, "\n"+measured(line)+"\n") {
			c.fault(d, cmd.line, "%s does not print: %s\nbut%s", cmd.text, line, printed)
		}
	}
}

// stop ends the fake.
func (f *fake) stop() {
	if f == nil {
		return
	}
	if f.cmd != nil && f.cmd.Process != nil {
		_ = f.cmd.Process.Kill()
		_ = f.cmd.Wait()
	}
	_ = os.RemoveAll(f.dir)
}

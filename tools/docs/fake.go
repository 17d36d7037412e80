package main

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	dir  string
	env  []string
	cmd  *exec.Cmd
	port string // a free one, for callbacks
}

var setting = regexp.MustCompile(`(?m)^export (TIMPUSH_\w+=.*)$`)

// usual is the fake that most documents use. It has the attributes that they name.
const usual = "timpush serve --names sex,city,country,level"

// startFake serves a fake as a command of a document says, on any free port, unless there is one.
func (c *checker) startFake(ctx context.Context, command string) error {
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
	c.fake = &fake{dir: dir, port: freePort()}
	if err := os.WriteFile(filepath.Join(dir, "users.csv"), c.users(), 0o600); err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	if _, err := tools.Run(c.root, nil, "go", "build", "-o", filepath.Join(bin, "timpush"), "./cmd/timpush"); err != nil {
		return err
	}
	env := []string{"HOME=" + dir, "PATH=" + bin + ":" + os.Getenv("PATH")}
	c.fake.cmd = exec.CommandContext(ctx, "bash", "-c", "exec "+c.fake.at(command)+" --listen 127.0.0.1:0")
	output, err := os.Create(filepath.Join(dir, outputs[0]))
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }() // the process has its own
	c.fake.cmd.Stdout, c.fake.cmd.Stderr, c.fake.cmd.Env, c.fake.cmd.Dir = output, output, env, dir
	if err := c.fake.cmd.Start(); err != nil {
		return err
	}
	for _, s := range setting.FindAllStringSubmatch(c.fake.await("TIMPUSH_SECRET_KEY="), -1) {
		c.fake.env = append(c.fake.env, s[1])
	}
	if len(c.fake.env) < 5 {
		return fmt.Errorf("%s does not tell what a program needs: %s", command, c.fake.printed())
	}
	c.fake.env = append(c.fake.env, env...)
	return nil
}

// freePort returns a port of this machine that nothing uses now; "0" if there is none.
func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return "0"
	}
	defer func() { _ = l.Close() }() // it was not used
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// at returns a command with this fake's port in the place of the one that documents show.
func (f *fake) at(command string) string {
	return strings.ReplaceAll(command, "127.0.0.1:7171", "127.0.0.1:"+f.port)
}

// await waits until the fake has printed a text, for at most 20 s, and returns what it has printed.
func (f *fake) await(text string) string {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && !strings.Contains(f.printed(), text); {
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // it ends soon
	}
	return f.printed()
}

// outputs are the files with what the process prints: the second one is what documents name.
var outputs = []string{"serve.log", "settings.sh"}

func (f *fake) printed() (text string) {
	for _, name := range outputs {
		file, _ := os.ReadFile(filepath.Join(f.dir, name)) // not all documents have the second one
		text += string(file)
	}
	return text
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
	if err := c.startFake(ctx, usual); err != nil {
		c.fault(d, cmd.line, "%s: %v", cmd.text, err)
		return
	}
	printed := "\n" + measured(c.fake.printed()) + "\n"
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

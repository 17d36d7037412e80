package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/timpush/timpush-go"
)

const (
	fastFakeCommand = "fast-fake"
	streamCommand   = "stream-users"
)

// helpers are the commands that the program starts itself with.
var helpers = map[string]func(ctx context.Context, args []string) error{
	fastFakeCommand: serveFast,
	streamCommand:   streamUsers,
}

// self is a command that runs this program.
func self(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// startFastFake starts the fast fake in another process, which ends when its standard input is closed, and so at the latest
// with this one.
func startFastFake(ctx context.Context) (url string, stop func(), err error) {
	cmd, err := self(ctx, fastFakeCommand)
	if err != nil {
		return "", nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = in.Close() // it has ended already, if this fails
		_ = cmd.Wait() // how it ends says nothing about the figure
	}
	url, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the fast fake did not start: %w", err)
	}
	return strings.TrimSpace(url), stop, nil
}

// serveFast is the command of the fast fake.
func serveFast(ctx context.Context, _ []string) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the client notices if the connection is lost
		_, _ = io.WriteString(w, okAnswer)
	})}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close() // the process ends
	}()
	fmt.Println("http://" + listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// streamUsers is the command of the client: its arguments are the URL and how many users.
func streamUsers(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("want a URL and a number of users")
	}
	total, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	cfg := timpush.Config{SDKAppID: 1400000000, Identifier: "administrator", SecretKey: strings.Repeat("0123456789abcdef", 4), Region: timpush.RegionSingapore}
	c, err := timpush.NewClient(cfg, timpush.WithBaseURL(args[0]), timpush.WithLimiter(unlimited{}))
	if err != nil {
		return err
	}
	done := int64(0)
	for batch, err := range c.SetAttrSeq(ctx, users(total, streamAccounts)) {
		if err != nil {
			return err
		}
		done = batch.Checkpoint()
	}
	if done != int64(total) {
		return fmt.Errorf("%d of %d users are done", done, total)
	}
	return nil
}

// unlimited lets all calls pass.
type unlimited struct{}

func (unlimited) Wait(ctx context.Context) error { return ctx.Err() }

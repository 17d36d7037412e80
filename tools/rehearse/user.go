package main

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/timpush/timpush-go/tools"
)

// consumers has a program for each library. Each sends a request to a fake of the service through the library, and prints
// the User-Agent that arrived, which has the version of the root module.
//
//go:embed testdata/consumers
var consumers embed.FS

// goEnv is what the environment of a new user has.
type goEnv []string

// environment chains the rehearsed proxy with the download cache and the GOPROXY of this machine.
func environment(dir, proxy string) (goEnv, error) {
	out, err := goEnv{}.run(dir, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return nil, err
	}
	cache, others, _ := strings.Cut(out, "\n")
	downloads := filepath.Join(cache, "cache", "download")
	return goEnv{
		"GOPROXY=file://" + filepath.ToSlash(proxy) + ",file://" + filepath.ToSlash(downloads) + "," + others,
		"GOMODCACHE=" + filepath.Join(dir, "modcache"), "GOBIN=" + filepath.Join(dir, "bin"),
		// A writable cache can be removed. Without paths in them, compiled packages can be used by the next rehearsal.
		"GOFLAGS=-mod=mod -modcacherw -trimpath",
		"GOENV=off", "GOWORK=off", "GOSUMDB=off", "GOPRIVATE=", "GONOPROXY=", "GOVCS=*:off", "GOTOOLCHAIN=local",
	}, nil
}

// run returns what a program prints.
func (env goEnv) run(dir, name string, args ...string) (string, error) {
	out, err := tools.Run(dir, env, name, args...)
	return strings.TrimSpace(string(out)), err
}

// tidyTool checks that the tool's go.mod and go.sum are those of `go mod tidy`. The hashes of the modules of this repository
// do not count: they change with every commit, and are written only for a release.
func (env goEnv) tidyTool(dir, root string, write bool) error {
	mod, sum := filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")
	before, err := requirements(mod, sum, root)
	if err != nil {
		return err
	}
	if err := os.WriteFile(sum, []byte(before[1]), 0o600); err != nil {
		return err
	}
	if _, err := env.run(dir, "go", "mod", "tidy"); err != nil {
		return err
	}
	after, err := requirements(mod, sum, root)
	switch {
	case err != nil:
		return err
	case write:
		fmt.Println("ok  go.mod and go.sum of", tools.ToolDir, "are written")
		return errors.Join(copyFile(mod, filepath.Join(tools.ToolDir, "go.mod")), copyFile(sum, filepath.Join(tools.ToolDir, "go.sum")))
	case after != before:
		return errors.New("they are not tidy; write them with: go run ./tools/rehearse -write")
	}
	fmt.Println("ok  go.mod and go.sum of", tools.ToolDir, "are tidy")
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// requirements reads a go.mod, and the lines of a go.sum that are about other repositories.
func requirements(mod, sum, root string) (texts [2]string, err error) {
	modText, err := os.ReadFile(mod)
	if err != nil {
		return texts, err
	}
	sumText, err := os.ReadFile(sum)
	return [2]string{string(modText), withoutSiblings(root, string(sumText))}, err
}

// consume builds and runs a fresh program that uses a library as published.
func (env goEnv) consume(dir, modulePath, version string) error {
	name := strings.TrimSuffix(path.Base(modulePath), "-go")
	program, err := consumers.ReadFile("testdata/consumers/" + name + "/main.go")
	if err != nil {
		return err
	}
	dir = filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), program, 0o600); err != nil {
		return err
	}
	if _, err := env.run(dir, "go", "mod", "init", "example.com/consumer"); err != nil {
		return err
	}
	if _, err := env.run(dir, "go", "get", modulePath+"@latest"); err != nil {
		return err
	}
	agent, err := env.run(dir, "go", "run", ".")
	if err != nil {
		return err
	}
	if agent != "timpush-go/"+version {
		return fmt.Errorf("it sent the User-Agent %q, want version %s", agent, version)
	}
	fmt.Println("ok  a new program gets", modulePath+"@latest, and sent a request as", agent)
	return nil
}

// install installs the tool as its README says.
func (env goEnv) install(dir, modulePath, version string) error {
	if _, err := env.run(dir, "go", "install", modulePath+"@latest"); err != nil {
		return err
	}
	out, err := env.run(dir, filepath.Join(dir, "bin", "timpush"), "--version")
	if err != nil {
		return err
	}
	if !strings.HasSuffix(out, " "+version) {
		return fmt.Errorf("timpush --version prints %q, want %s", out, version)
	}
	fmt.Printf("ok  go install %s@latest: it prints %q\n", modulePath, out)
	return nil
}

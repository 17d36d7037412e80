package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// publish adds the module in dir to a folder that serves as a GOPROXY.
func publish(proxy, dir, modulePath, version string) error {
	escaped, err := module.EscapePath(modulePath)
	if err != nil {
		return err
	}
	base := filepath.Join(proxy, escaped, "@v")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	zipped := filepath.Join(base, version+".zip")
	if err := writeZip(zipped, dir, module.Version{Path: modulePath, Version: version}); err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Now().UTC()})
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{version + ".mod": mod, version + ".info": info, "list": []byte(version + "\n")} {
		if err := os.WriteFile(filepath.Join(base, name), data, 0o600); err != nil {
			return err
		}
	}
	hash, err := dirhash.HashZip(zipped, dirhash.Hash1)
	if err != nil {
		return err
	}
	fmt.Println("ok  zip of", modulePath, version, hash)
	return nil
}

// writeZip zips a module. Modules in folders within it are left out.
func writeZip(name, dir string, mod module.Version) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	return zip.CreateFromDir(f, mod, dir)
}

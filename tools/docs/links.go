package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// hosts are where external links may lead. A new one is added here by somebody who has looked at it.
var hosts = []string{"github.com", "img.shields.io", "opentelemetry.io", "pkg.go.dev", "semver.org", "www.tencentcloud.com"}

// checkLinks looks at every link and returns how many there are.
func (c *checker) checkLinks(ctx context.Context) (n int) {
	fetched := map[string]error{}
	for _, d := range c.docs {
		for _, l := range d.links {
			n++
			if err := c.checkLink(ctx, d, l.text, fetched); err != nil {
				c.fault(d, l.line, "the link %s: %v", l.text, err)
			}
		}
	}
	return n
}

func (c *checker) checkLink(ctx context.Context, d *document, target string, fetched map[string]error) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	if u.Scheme == "" && u.Host == "" {
		return c.checkRelative(d, u)
	}
	if u.Scheme != "https" {
		return fmt.Errorf("want https")
	}
	if !slices.Contains(c.hosts, u.Host) {
		return fmt.Errorf("the host is none of those that links lead to (tools/docs/links.go)")
	}
	if !c.fetch {
		return nil
	}
	u.Fragment = ""
	if _, known := fetched[u.String()]; !known {
		fetched[u.String()] = fetch(ctx, u.String())
	}
	return fetched[u.String()]
}

// checkRelative finds the file of a link, and the heading in it.
func (c *checker) checkRelative(d *document, u *url.URL) error {
	to := d.path
	if u.Path != "" {
		to = path.Join(path.Dir(d.path), u.Path)
	}
	if to == ".." || strings.HasPrefix(to, "../") || path.IsAbs(u.Path) {
		return fmt.Errorf("it leads out of the repository")
	}
	if _, err := os.Stat(filepath.Join(c.root, to)); err != nil {
		return fmt.Errorf("there is no %s", to)
	}
	if u.Fragment == "" {
		return nil
	}
	at := slices.IndexFunc(c.docs, func(d *document) bool { return d.path == to })
	if at < 0 || !c.docs[at].anchors[u.Fragment] {
		return fmt.Errorf("%s has no heading #%s", to, u.Fragment)
	}
	return nil
}

// fetch asks for a page.
func fetch(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 400 {
		return fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	return nil
}

package main

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// hosts are where external links may lead. Look at a new one before adding it. The pages are not fetched.
var hosts = []string{"github.com", "img.shields.io", "opentelemetry.io", "pkg.go.dev", "semver.org", "www.tencentcloud.com"}

// checkLinks checks every link and returns how many there are.
func (c *checker) checkLinks() (n int) {
	for _, d := range c.docs {
		for _, l := range d.links {
			n++
			if err := c.checkLink(d, l.text); err != nil {
				c.fault(d, l.line, "the link %s: %v", l.text, err)
			}
		}
	}
	return n
}

func (c *checker) checkLink(d *document, target string) error {
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
	if !slices.Contains(hosts, u.Host) {
		return fmt.Errorf("the host is none of those that links lead to (tools/docs/links.go)")
	}
	return nil
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

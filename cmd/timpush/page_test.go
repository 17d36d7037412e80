package main_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hostile is an account that does harm where it is taken for HTML.
const hostile = `<img src=x onerror="document.title='hit'">`

// tab is a page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // it is the tab
}

// openTab starts a browser of its own.
func openTab(t *testing.T, url string) *tab {
	t.Helper()
	var browser string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && browser == "" {
			browser = path
		}
	}
	if browser == "" && os.Getenv("CI") == "true" {
		t.Fatal("there is no browser: apt-get install chromium")
	}
	if browser == "" {
		t.Skip("there is no browser, the page is not tested without one: apt-get install chromium")
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(browser)}
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ctx, closes := chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(options...))
	t.Cleanup(closes)
	p := &tab{t, ctx}
	p.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(url))
	return p
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, steps...))
}

func eval[T any](p *tab, script string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](script))
	require.NoError(p.t, err, script)
	return v
}

// text returns the text that is seen of an element.
func (p *tab) text(id string) string {
	p.t.Helper()
	return eval[string](p, "document.getElementById('"+id+"').innerText")
}

// shows waits until an element shows a text.
func (p *tab) shows(id, want string) {
	p.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !strings.Contains(p.text(id), want) {
		require.True(p.t, time.Now().Before(deadline), "%s shows %q and not %q", id, p.text(id), want)
		time.Sleep(50 * time.Millisecond)
	}
}

// key presses a key, and returns what then has the focus.
func (p *tab) key(key string) string {
	p.t.Helper()
	p.do(chromedp.KeyEvent(key))
	return eval[string](p, "document.activeElement.id || document.activeElement.textContent")
}

// picture writes one into the directory TIMPUSH_PICTURES, for somebody to look at.
func (p *tab) picture(name string) {
	p.t.Helper()
	dir := os.Getenv("TIMPUSH_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
}

// scheme makes the browser prefer light or dark colours.
func (p *tab) scheme(name string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	require.NoError(p.t, err)
}

// requests makes some that go well, and some that do not.
func (s *served) requests() {
	s.t.Helper()
	s.write("u.csv", users(250))
	require.Equal(s.t, 0, s.run("set-attr", "u.csv").code)
	s.write("v.ndjson", `{"To_Account":"379C2F0D-290D-47AE-94D1-919058C39C77","city":"Rome"}`) // an attribute for UserIDs
	require.Equal(s.t, 1, s.run("set-attr", "--give-up", "0", "--rejects", os.DevNull, "v.ndjson").code)
	account, err := json.Marshal(hostile)
	require.NoError(s.t, err)
	s.in = `{"To_Account":` + string(account) + `,"city":"<b>Rome</b>"}`
	require.Equal(s.t, 0, s.run("set-attr", "--format", "ndjson", "-").code)
}

func TestPage(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	p := openTab(t, s.url)
	p.shows("status", "Live.")
	p.shows("caption", "No calls yet.")
	s.requests()
	p.shows("list", "set_attr, 1 user: done")

	// A request that is not full leaves when the next users keep it waiting, so a busy machine makes more than five.
	assert.Regexp(t, `set_attr\s+\d+\s+\d+\s+([5-9]|\d\d)\s+0`, p.text("commands"))
	assert.Regexp(t, `done\s+\d+\s+251`, p.text("outcomes"))
	assert.Regexp(t, `90035: .*\s+\d\s+1`, p.text("outcomes"))
	assert.Contains(t, p.text("stored"), "251 accounts have attributes.")
	assert.Contains(t, p.text("names"), "city (1, UserID)")
	assert.Regexp(t, `u\d+\s+city: c\d+, sex: [mf]`, p.text("accounts"))
	assert.Contains(t, p.text("caption"), "The last minute of set_attr")
	assert.Positive(t, eval[int](p, "document.querySelectorAll('#chart rect').length"))
	s.pushes(p)

	// What a client has sent stays a text.
	assert.Contains(t, p.text("accounts"), hostile)
	assert.Contains(t, p.text("accounts"), "<b>Rome</b>")
	assert.Zero(t, eval[int](p, "document.querySelectorAll('img, b').length"))
	assert.Equal(t, "timpush serve", eval[string](p, "document.title"))

	html := eval[string](p, "document.documentElement.outerHTML")
	assert.Contains(t, html, "usersig=[not shown]")
	assert.NotContains(t, html, s.key)
	assert.NotRegexp(t, `e[AFJN][\w*-]{40,}`, html, "this is how UserSigs begin")
	p.looks("wide")

	p.do(chromedp.EmulateViewport(375, 800, chromedp.EmulateMobile))
	p.do(chromedp.Evaluate[chromedp.Void]("document.querySelectorAll('details').forEach((d, i) => d.open = i < 2)"))
	assert.Equal(t, 375, eval[int](p, "document.documentElement.scrollWidth"), "nothing is wider than the screen of a phone")
	p.looks("phone")

	s.stop()
	p.shows("status", "Not connected")
}

// pushes sends some, and schedules some, and sees how far they come.
func (s *served) pushes(p *tab) {
	s.t.Helper()
	assert.Equal(s.t, "None yet.", p.text("pushes-note"))
	s.done("tasks", "add", "--attr", "sex=f", "--title", "A later offer", "--in", "1h", "--yes")
	p.shows("pushes-note", "1 scheduled")
	assert.Regexp(s.t, `A later offer\s+To those who match, task \d+\.\s+scheduled\s+[\d :-]+\s+sent\s+–\s+reached\s+–\s+clicked\s+–`, p.text("pending"))
	s.done("push", "--attr", "sex=f", "--title", hostile, "--yes")
	p.shows("pushes", "to those whose attributes match: 84 accounts")
	assert.Regexp(s.t, `scheduled\s+no\s+sent\s+80\s+reached\s+68\s+clicked\s+17`, p.text("pushes"))
	s.done("tasks", "add", "--accounts", "u1,u2,u3,u4", "--title", "Your order", "--in", "1s", "--yes")
	p.shows("pushes", "It was sent for task")
	assert.Regexp(s.t, `Your order\s+.*4 accounts.*\s+scheduled\s+[\d:]+\s+sent\s+4\s+reached\s+4\s+clicked\s+1`, p.text("pushes"))
	_, id, _ := strings.Cut(p.text("pushes"), "accounts. TaskID ")
	_, id, _ = strings.Cut(id, "accounts. TaskID ") // the older one
	id, _, _ = strings.Cut(id, ".")
	s.done("revoke", id, "--yes")
	p.shows("pushes", "Revoked.")
}

// looks takes pictures in both schemes, which must differ.
func (p *tab) looks(name string) {
	p.t.Helper()
	background := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		p.scheme(scheme)
		background[scheme] = eval[string](p, "getComputedStyle(document.body).backgroundColor")
		p.picture(name + "-" + scheme)
	}
	assert.NotEqual(p.t, background["light"], background["dark"])
}

// The page is of use without a mouse.
func TestPageByKeyboard(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.requests()
	p := openTab(t, s.url)
	p.shows("list", "set_attr")
	assert.Equal(t, "To the last requests", p.key("\t"))
	assert.Equal(t, "pause", p.key("\t"))
	p.key("\r")
	assert.Equal(t, "Paused.", p.text("status"))
	assert.Equal(t, "true", eval[string](p, "document.getElementById('pause').getAttribute('aria-pressed')"))
	assert.Equal(t, "account", p.key("\t"))
	p.do(chromedp.KeyEvent("u8\r"))
	p.shows("found", "u8 has city: c8.")
	assert.Equal(t, "Show", p.key("\t"))
	assert.Contains(t, p.key("\t"), "set_attr, 1 user")
	p.key("\r")
	assert.Contains(t, p.text("list"), "POST /v4/timpush/set_attr", "it is open")

	s.requests()
	p.do(chromedp.Focus(chromedp.CSS("#pause")), chromedp.KeyEvent("\r"))
	p.shows("outcomes", "502") // what came meanwhile is there
	assert.Equal(t, "Live.", p.text("status"))
	assert.Contains(t, p.text("list"), "POST /v4/timpush/set_attr", "and what was open still is")
	// At least eight of each: a request for the names before those of users, of which a busy machine makes more.
	assert.GreaterOrEqual(t, eval[int](p, "document.querySelectorAll('#list > li').length"), 16)
}

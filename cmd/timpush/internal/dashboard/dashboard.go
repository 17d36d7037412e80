// Package dashboard is the page of timpush serve: it shows the requests to a fake of the service as they arrive.
package dashboard

import (
	"embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/timpush/timpush-go/timpushtest"
)

// interval is how often a page is updated.
const interval = 500 * time.Millisecond

// writeTimeout is how long a page may take to read an update.
const writeTimeout = 10 * time.Second

// policy allows the page to load its own files, and nothing else. Browsers with Trusted Types also enforce that it takes no
// HTML from a script.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

//go:embed page
var files embed.FS

// Options configure a Handler.
type Options struct {
	Quota   int  // calls a second; 0: none
	AnyHost bool // the page is served under any host name
}

// Handler serves a page about a fake at /, and the fake everywhere else.
type Handler struct {
	fake    *timpushtest.Server
	options Options
	stats   *stats
	done    chan struct{}
}

// New returns the handler of a fake, and watches it.
func New(fake *timpushtest.Server, options Options) *Handler {
	h := &Handler{fake: fake, options: options, stats: newStats(fake, options.Quota), done: make(chan struct{})}
	fake.Watch(h.stats.add)
	return h
}

// Close ends the connections of pages. It must be called once.
func (h *Handler) Close() { close(h.done) }

// Totals returns how many requests there were, and how many users of theirs are done.
func (h *Handler) Totals() (requests, done int64) { return h.stats.totals() }

// ServeHTTP serves the page, and passes all else to the fake. A ServeMux would correct paths that the fake has to refuse.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serve, ok := map[string]func(http.ResponseWriter, *http.Request){
		"/": h.file("index.html"), "/page.css": h.file("page.css"), "/page.js": h.file("page.js"),
		"/icon.svg": h.file("icon.svg"), "/favicon.ico": h.file("icon.svg"),
		"/events": h.events, "/account": h.account,
	}[r.URL.Path]
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.fake.ServeHTTP(w, r)
		return
	}
	if !h.options.AnyHost && !isAddress(r.Host) {
		http.Error(w, "this page is at an IP address, or at localhost", http.StatusForbidden)
		return
	}
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	serve(w, r)
}

// isAddress reports whether a Host is localhost or an IP address. Another site can let its own name resolve to this machine,
// and its pages could then read what is shown here.
func isAddress(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return host == "localhost" || net.ParseIP(host) != nil
}

func (h *Handler) file(name string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "page/"+name) }
}

// events sends the state at intervals. The requests in it are those that the page does not have.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var last int64
	for {
		state := h.stats.state(time.Now(), last)
		last = state.Last
		data, err := json.Marshal(state)
		if err == nil {
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // a recorder of a test has none
			_, err = fmt.Fprintf(w, "data: %s\n\n", data)
		}
		if err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-h.done:
			return
		}
	}
}

// account sends the attributes of an account.
func (h *Handler) account(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(account{name, h.fake.Attrs(name), h.fake.Tags(name)}) // the page may have gone
}

package timpushtest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// exchange is the answering of one request.
type exchange struct {
	*Server
	w    http.ResponseWriter
	r    *http.Request
	call *Call // guarded by the lock of the Server
}

// deliver sends the reply, or what the fault makes of it.
func (x *exchange) deliver(f Fault, rep reply) {
	switch f.kind {
	case faultStatus:
		x.w.Header().Set("Content-Type", "text/html")
		x.send(f.status, reply{}, []byte(htmlPage(f.status)))
	case faultCut:
		cutConn(x.r.Context())
		panic(http.ErrAbortHandler)
	case faultHang:
		x.hang()
	case faultTruncate:
		x.truncate(rep, f.size)
	case faultEndless:
		x.endless()
	case faultGarbage:
		x.send(http.StatusOK, reply{}, []byte("\x00\xff\xfe<<garbage, not JSON"))
	case faultAnswer:
		x.send(f.status, reply{}, []byte(f.body))
	default:
		x.send(http.StatusOK, rep, x.settings.encode(rep))
	}
}

// send writes a whole answer. The reply is the zero one if the answer is none of the API.
func (x *exchange) send(status int, rep reply, body []byte) {
	body = x.start(status, rep, body)
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // the client may have gone
}

// start records the outcome, so that a client that has its answer finds it in Calls, and sets the header. It returns the
// body as it is to be sent.
func (x *exchange) start(status int, rep reply, body []byte) []byte {
	x.answered(x.call, status, rep)
	h := x.w.Header()
	if h.Get("Content-Type") == "" {
		h["Content-Type"] = nil // the service sends none, net/http would guess one
	}
	if !x.settings.Gzip || !strings.Contains(x.r.Header.Get("Accept-Encoding"), "gzip") {
		return body
	}
	h.Set("Content-Encoding", "gzip")
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = zw.Write(body) // a bytes.Buffer does not fail
	_ = zw.Close()
	return b.Bytes()
}

func (x *exchange) truncate(rep reply, n int) {
	body := x.start(http.StatusOK, rep, x.settings.encode(rep))
	x.w.Header().Set("Content-Length", strconv.Itoa(max(len(body), n+1)))
	_, _ = x.w.Write(body[:min(n, len(body))])
	x.flush()
	panic(http.ErrAbortHandler)
}

// endless pauses between its chunks so that the clock of a synctest bubble moves on.
func (x *exchange) endless() {
	x.answered(x.call, http.StatusOK, reply{})
	x.w.Header()["Content-Type"] = nil
	chunk := []byte(`{"ActionStatus":"OK","ErrorInfo":"`)
	for {
		if _, err := x.w.Write(chunk); err != nil {
			break
		}
		x.flush()
		if !x.wait(x.r.Context(), time.Millisecond) {
			break
		}
		chunk = bytes.Repeat([]byte{'x'}, 64<<10)
	}
	panic(http.ErrAbortHandler)
}

func (x *exchange) hang() {
	select {
	case <-x.r.Context().Done():
	case <-x.done:
	}
	panic(http.ErrAbortHandler)
}

func (x *exchange) flush() {
	_ = http.NewResponseController(x.w).Flush() // fails only if the client has gone
}

func (x *exchange) methodNotAllowed() {
	x.w.Header().Set("Allow", http.MethodPost)
	x.send(http.StatusMethodNotAllowed, reply{}, nil)
}

func htmlPage(status int) string {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	return "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
}

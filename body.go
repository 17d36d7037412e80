package timpush

import (
	"io"
	"sync"
	"sync/atomic"
)

// body is the JSON of a request. Its memory is used again when nobody holds it any more: net/http may go on reading a
// request's body after it has returned the answer, until it closes it.
type body struct {
	bytes   []byte
	holders atomic.Int32
}

var bodies = sync.Pool{New: func() any { return new(body) }}

// newBody returns an empty body that the caller holds until it calls release.
func newBody() *body {
	b := bodies.Get().(*body)
	b.holders.Store(1)
	return b
}

func (b *body) release() {
	if b.holders.Add(-1) == 0 {
		b.bytes = b.bytes[:0]
		bodies.Put(b)
	}
}

func (b *body) reader() io.ReadCloser {
	b.holders.Add(1)
	return &bodyReader{body: b}
}

// newReader is the GetBody of a request: net/http sends it again on another connection if the first was closed before
// anything was written to it.
func (b *body) newReader() (io.ReadCloser, error) { return b.reader(), nil }

// bodyReader holds its body until it is closed. HTTP/2 may close it while it is being read, hence the mutex.
type bodyReader struct {
	mu   sync.Mutex
	body *body // nil when closed
	at   int
}

func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body == nil || r.at == len(r.body.bytes) {
		return 0, io.EOF
	}
	n := copy(p, r.body.bytes[r.at:])
	r.at += n
	return n, nil
}

func (r *bodyReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body != nil {
		r.body.release()
		r.body = nil
	}
	return nil
}

package timpush

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptrace"
	"sync"
)

// body is the JSON of a request. Its memory is used again, but not before net/http has let go of it: it may go on
// reading a request's body after it has returned the answer.
//
// A body of a type of our own could tell when it is closed. But net/http then sends the headers of the request alone
// before it, and copies it through memory of its own, since it cannot know that the body will not block: that costs
// more than all else that the client does. So the body is a bytes.Reader, and a trace tells when it has been written.
type body struct {
	bytes  []byte
	reader bytes.Reader
	trace  httptrace.ClientTrace
	answer [256]byte // where the answer is read to, which is longer only if it names accounts

	mu       sync.Mutex
	released bool // by the attempt
	conns    int  // connections that began to send it
	written  int  // connections that ended
	copied   bool // by somebody whose end is not told
	use      int  // how often it has been used
}

var bodies sync.Pool

// newBody returns an empty body that the caller holds until it calls release.
func newBody() *body {
	if b, ok := bodies.Get().(*body); ok {
		return b
	}
	b := new(body)
	b.trace.GotConn = func(httptrace.GotConnInfo) { b.change(func() { b.conns++ }) }
	b.trace.WroteRequest = func(httptrace.WroteRequestInfo) { b.change(func() { b.written++ }) }
	return b
}

func (b *body) release() { b.change(func() { b.released = true }) }

// change changes what is known of the body's use. The body is used again once it is known that nobody reads it any
// more; a transport that does not trace leaves it to the garbage collector, and so does one that copies it.
func (b *body) change(note func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	note()
	if b.released && !b.copied && b.conns > 0 && b.conns == b.written && cap(b.bytes) <= 1<<20 {
		b.bytes, b.released, b.conns, b.written = b.bytes[:0], false, 0, 0
		b.use++
		bodies.Put(b)
	}
}

// open returns the body for one request.
func (b *body) open() io.ReadCloser {
	b.reader.Reset(b.bytes)
	return io.NopCloser(&b.reader)
}

// copies returns the GetBody of a request: net/http sends it on another connection if the first was closed before
// anything was written to it.
func (b *body) copies() func() (io.ReadCloser, error) {
	use := b.use
	return func() (copied io.ReadCloser, err error) {
		b.change(func() {
			if b.use != use {
				err = errors.New("the request is over")
				return
			}
			b.copied = true
			copied = io.NopCloser(bytes.NewReader(b.bytes))
		})
		return copied, err
	}
}

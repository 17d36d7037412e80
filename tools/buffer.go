package tools

import (
	"bytes"
	"sync"
)

// Buffer is a bytes.Buffer that several goroutines may use at once.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends to what is in it.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what was written by now.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

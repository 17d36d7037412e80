package timpush

import (
	"errors"
	"runtime"
)

// A Signer, a Limiter, an Observer and the function of WithAccountTypes are the caller's. A panic in one of them, or
// runtime.Goexit, comes out of the call that needed it, also where it happens in a goroutine of the client.

// errPanic stops a call after a panic in one of its goroutines.
var errPanic = errors.New("another request of the call has panicked")

// escape is how a function ended without returning.
type escape struct {
	value any // of the panic; nil: runtime.Goexit
}

// guard calls f, and then escaped if f ends without returning. It recovers a panic.
func guard(f func(), escaped func(*escape)) {
	returned := false
	defer func() {
		if value := recover(); !returned {
			escaped(&escape{value})
		}
	}()
	f()
	returned = true
}

// resume panics, or exits the goroutine, as the function did that ended with e.
func (e *escape) resume() {
	switch {
	case e == nil:
	case e.value != nil:
		panic(e.value)
	default:
		runtime.Goexit()
	}
}

package timpushtest

import (
	"fmt"
	"time"
)

// Fault is something that goes wrong with one request. Make one with a function such as [ErrorCode]; the zero Fault does
// nothing. A Fault may be used any number of times, also by several goroutines.
//
// A request that breaks a rule of the service is refused for that, in place of ErrorCode and AccountCode, and nothing is
// applied. A fault of the connection or of the answer happens in any case.
type Fault struct {
	kind     faultKind
	delay    time.Duration
	applied  bool // the request is carried out first
	code     int
	status   int
	size     int
	body     string
	accounts []string
}

type faultKind int

const (
	faultNone faultKind = iota
	faultCode
	faultAccounts
	faultStatus
	faultCut
	faultHang
	faultTruncate
	faultEndless
	faultGarbage
	faultAnswer
)

// ErrorCode refuses the whole request with code; nothing is applied.
func ErrorCode(code int) Fault { return Fault{kind: faultCode, code: checkCode(code)} }

// ErrorCodeApplied carries the request out and then answers as [ErrorCode] does, as the service may after a timeout inside it.
func ErrorCodeApplied(code int) Fault {
	return Fault{kind: faultCode, code: checkCode(code), applied: true}
}

// AccountCode puts the accounts into ErrorList with code and applies nothing of theirs. The rest of the request is
// carried out; accounts that are not in the request are skipped.
func AccountCode(code int, accounts ...string) Fault {
	return Fault{kind: faultAccounts, code: checkCode(code), accounts: accounts, applied: true}
}

// Status answers with an HTTP status between 200 and 999 and an HTML page, as a gateway does; nothing is applied.
func Status(status int) Fault { return Fault{kind: faultStatus, status: checkStatus(status)} }

// StatusApplied is [Status] after the request was carried out.
func StatusApplied(status int) Fault {
	return Fault{kind: faultStatus, status: checkStatus(status), applied: true}
}

// CutBefore cuts the connection before anything was applied: a reset on TCP. Over HTTP/2 all its streams end.
func CutBefore() Fault { return Fault{kind: faultCut} }

// CutAfter cuts the connection after the request was carried out and before any byte of the answer.
func CutAfter() Fault { return Fault{kind: faultCut, applied: true} }

// TruncateBody carries the request out and closes the connection after n bytes of the answer's body. Content-Length
// is larger than n. If the whole answer has no more than n bytes, all of it is sent.
func TruncateBody(n int) Fault { return Fault{kind: faultTruncate, size: max(n, 0), applied: true} }

// EndlessBody carries the request out and starts an answer that never ends, about 64 KiB each millisecond, until
// the client leaves or the server closes.
func EndlessBody() Fault { return Fault{kind: faultEndless, applied: true} }

// Hang never answers and applies nothing. It ends when the client leaves or the server closes.
func Hang() Fault { return Fault{kind: faultHang} }

// HangApplied is [Hang] after the request was carried out.
func HangApplied() Fault { return Fault{kind: faultHang, applied: true} }

// Garbage carries the request out and answers with status 200 and bytes that are not JSON.
func Garbage() Fault { return Fault{kind: faultGarbage, applied: true} }

// Answer carries the request out and answers with a status between 200 and 999 and exactly this body.
func Answer(status int, body string) Fault {
	return Fault{kind: faultAnswer, status: checkStatus(status), body: body, applied: true}
}

// Delay waits before the request is carried out and then does what the other Fault says, which may be the zero Fault.
// The wait adds to that of [WithLatency]. It ends early, with nothing applied, when the client leaves or the server closes.
func Delay(d time.Duration, then Fault) Fault {
	then.delay += d
	return then
}

func checkStatus(status int) int {
	if status < 200 || status > 999 {
		panic(fmt.Sprintf("timpushtest: HTTP status %d is not a final one", status))
	}
	return status
}

func checkCode(code int) int {
	if code == 0 {
		panic("timpushtest: a fault with code 0, which is success")
	}
	return code
}

// Inject adds faults to the queue. Each request takes one from the queue as it arrives.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, faults...)
}

// Handle sets a function that returns the fault of each request that arrives while the queue of [Server.Inject] is empty.
// It may be called by several goroutines at once, and may call the methods of the Server except Close. Status and Code
// of the Call are zero. nil removes the function.
func (s *Server) Handle(f func(Call) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle = f
}

// Poison makes any request that carries one of the accounts fail as a whole with code, until code 0 clears them.
// Nothing of such a request is applied. An account poisoned twice keeps the later code.
func (s *Server) Poison(code int, accounts ...string) { s.mark(s.poison, code, accounts) }

// Refuse puts the accounts into ErrorList with code whenever a request carries them, until code 0 clears them. An
// account refused twice keeps the later code. Poison goes before Refuse.
func (s *Server) Refuse(code int, accounts ...string) { s.mark(s.refused, code, accounts) }

func (s *Server) mark(marks map[string]int, code int, accounts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, account := range accounts {
		if code == 0 {
			delete(marks, account)
			continue
		}
		marks[account] = code
	}
}

// nextFault takes a fault from the queue, or else asks the function of Handle, which must not run under the lock.
func (s *Server) nextFault(c Call) Fault {
	s.mu.Lock()
	if len(s.queue) > 0 {
		f := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		return f
	}
	handle := s.handle
	s.mu.Unlock()
	if handle == nil {
		return Fault{}
	}
	return handle(c)
}

// beforeWork reports whether a fault happens instead of the request.
func (f Fault) beforeWork() bool {
	switch f.kind {
	case faultStatus, faultCut, faultHang:
		return !f.applied
	default:
		return false
	}
}

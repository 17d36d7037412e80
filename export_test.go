package timpush

import (
	"net/http"
	"time"
)

// ClassName tells what the client does about a code, for the table in testdata.
func ClassName(c Code) string {
	return [...]string{
		classTransient: "transient", classTooMany: "toomany", classTooLong: "toolong", classThrottle: "throttle", classData: "data",
		classMalformed: "malformed", classOther: "other", classAccountCheck: "accountcheck", classExpired: "expired", classCooldown: "cooldown",
		classFatal: "fatal",
	}[c.class()]
}

// CountCodes returns how many codes the client knows.
func CountCodes() int { return len(codes) }

// OwnTransport makes of base the transport that a client has of its own.
func OwnTransport(base *http.Transport, attemptTimeout time.Duration) *http.Transport {
	s := settings{attemptTimeout: attemptTimeout, maxInFlight: 32}
	return s.ownTransport(base)
}

package timpushtest

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// badSigLimit is how many bad signatures a minute BadSignatureLimit lets pass.
const badSigLimit = 5

// refusal is a request-level failure. Its text may name accounts and attributes but never a value.
type refusal struct {
	code int
	info string
	long bool // a value was over the limit of length
}

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code: code, info: fmt.Sprintf(format, args...)}
}

// admit makes the checks that do not need the body, in the order of the package comment. Arrival counts for the rate.
func (s *Server) admit(r *http.Request, call Call) *refusal {
	if _, ok := commands[r.URL.Path]; !ok || r.Method != http.MethodPost {
		return refuse(codeNoResource, "no such resource")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(codeBadURL, "the query cannot be parsed")
	}
	if bad := s.checkQuery(query); bad != nil {
		return bad
	}
	if set := s.settings; set.regionHost != "" && hostname(r.Host) != set.regionHost {
		return refuse(codeWrongRegion, "the app does not belong to the region of this host")
	}
	identifier := query.Get("identifier")
	if bad := s.checkSignature(query, identifier, call.Time); bad != nil {
		return bad
	}
	if bad := s.checkRate(call, r.Host); bad != nil {
		return bad
	}
	if identifier != s.settings.identifier {
		return refuse(cmp.Or(s.settings.NotAdminCode, codeNotAdmin), "identifier is not an administrator of the app")
	}
	return nil
}

func (s *Server) checkQuery(query url.Values) *refusal {
	if query.Get("sdkappid") == "" {
		return refuse(codeNoSDKAppID, "sdkappid is missing")
	}
	for _, name := range []string{"sdkappid", "identifier", "usersig", "random", "contenttype"} {
		if values := query[name]; len(values) != 1 || values[0] == "" {
			return refuse(codeBadParameter, "%s is missing or given twice", name)
		}
	}
	if _, err := strconv.ParseUint(query.Get("sdkappid"), 10, 63); err != nil {
		return refuse(codeBadParameter, "sdkappid is not a number")
	}
	if query.Get("contenttype") != "json" {
		return refuse(codeBadParameter, "contenttype is not json")
	}
	return s.checkRandom(query.Get("random"))
}

func (s *Server) checkRandom(random string) *refusal {
	if _, err := strconv.ParseUint(random, 10, 32); err != nil {
		return refuse(codeBadParameter, "random is not a decimal number of 32 bits")
	}
	if !s.settings.RepeatedRandomRefused {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.randoms[random] {
		return refuse(codeBadParameter, "random was used before")
	}
	s.randoms[random] = true
	return nil
}

func (s *Server) checkSignature(query url.Values, identifier string, now time.Time) *refusal {
	set := s.settings
	if id, _ := strconv.Atoi(query.Get("sdkappid")); id != set.sdkAppID {
		return refuse(codeUnknownApp, "no such sdkappid here")
	}
	if set.BadSignatureLimit && s.tooManyBadSigs(identifier, now) {
		return refuse(codeTooManyBadSigs, "too many bad signatures, try again in a minute")
	}
	bad := set.checkUserSig(query.Get("usersig"), identifier, now)
	if bad != nil && bad.code == codeSigMismatch && set.BadSignatureLimit {
		s.addBadSig(identifier, now)
	}
	return bad
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}

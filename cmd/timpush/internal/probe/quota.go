package probe

import (
	"sync"
	"time"
)

// quotaQuestions use up the quota of get_attr_name for a second, in about 115 calls. They are asked together, by burst.
func quotaQuestions() []question {
	b := &burst{}
	return []question{
		{
			key: "throttle-code", text: "Which code do calls beyond the quota have?", client: "any of these",
			readings: []reading{{"60007", "60007", ""}, {"60011", "60011", ""}, {"60018", "60018", ""}, {"60019", "60019", ""}},
			ask: func(s *session) found {
				b.run(s)
				return b.found(func() found {
					return b.code.by(map[int]string{60007: "60007", 60011: "60011", 60018: "60018", 60019: "60019"})
				})
			},
		}, {
			key: "quota-scope", text: "What shares one quota?", client: "all calls of a client, whatever the command",
			readings: []reading{
				{"command", "the calls of one command", "no, but with several commands at a time a limiter for each would be faster"},
				{"app", "all calls of the app", "no, but all of its clients must share a limiter"},
				{"host", "all calls to one host", ""},
			},
			ask: func(*session) found { return b.found(b.scope) },
		}, {
			key: "quota-window", text: "How are the calls of a second counted?", client: "in any second",
			readings: []reading{{"sliding", "in any second", ""}, {"fixed", "by seconds of the clock", ""}},
			ask:      func(*session) found { return b.found(b.window) },
		}, {
			key: "refused-calls", text: "Do calls count that are refused for the quota?", client: "they do",
			readings: []reading{{"count", "they do", ""}, {"free", "they do not", ""}},
			ask:      func(*session) found { return b.found(b.refused) },
		},
	}
}

// The calls of a burst, by the time within two seconds of the clock:
//
//	0.50 first   calls that are more than a second old at 1.65
//	0.80 second  calls that fill the quota of 100
//	0.85 beyond  calls beyond it, as many as first: if they count, the quota is as full at 1.65 as it is now
//	0.90 other   one of another command, and one by another host
//	1.15 early   accepted if the next second of the clock has its own quota
//	1.65 late    accepted if the calls of beyond do not count
const (
	quotaCalls  = 100
	firstCalls  = 10
	burstSpread = 150 * time.Millisecond // in which each group must end
)

// burst is what the calls have shown.
type burst struct {
	slow                   bool
	full                   bool // calls were refused
	code                   verdict
	command, host          verdict
	early, late            verdict
	otherHost, interrupted bool
}

func (b *burst) run(s *session) {
	s.sleep(2 * time.Second) // so that earlier calls do not count
	at := b.clock(s)
	at(500 * time.Millisecond)
	b.group(s, firstCalls)
	at(800 * time.Millisecond)
	b.group(s, quotaCalls-firstCalls)
	at(850 * time.Millisecond)
	for _, v := range b.group(s, firstCalls) {
		if v.answered && v.code != 0 {
			b.full, b.code = true, v
		}
	}
	at(900 * time.Millisecond)
	b.command = s.call(request{command: "get_attr", body: []byte(`{"To_Account":[]}`), once: true}).whole()
	if s.OtherURL != "" {
		b.otherHost = true
		b.host = s.call(request{command: "get_attr_name", body: []byte("{}"), base: s.OtherURL, once: true}).whole()
	}
	at(1150 * time.Millisecond)
	b.early = s.call(quotaCall).whole()
	at(1650 * time.Millisecond)
	b.late = s.call(quotaCall).whole()
	b.interrupted = s.err != nil
	s.sleep(2 * time.Second)
}

var quotaCall = request{command: "get_attr_name", body: []byte("{}"), once: true}

// clock returns a function that waits until so long after the next second of the clock has begun.
func (b *burst) clock(s *session) func(time.Duration) {
	now := time.Now()
	zero := now.Truncate(time.Second).Add(time.Second).Sub(now)
	return func(d time.Duration) {
		left := zero + d - time.Since(now)
		b.slow = b.slow || left < -burstSpread
		s.sleep(max(left, 0))
	}
}

// group makes n calls at the same time.
func (b *burst) group(s *session, n int) []verdict {
	if s.left < n {
		s.fail(errBudget)
	}
	if s.err != nil {
		return nil
	}
	s.left -= n
	s.calls += n
	signed, began := s.signed(quotaCall), time.Now()
	verdicts := make([]verdict, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			a, _ := s.send(signed) // no answer is a verdict, too
			verdicts[i] = a.whole()
		})
	}
	all.Wait()
	b.slow = b.slow || time.Since(began) > burstSpread
	return verdicts
}

// found returns what was found, if the calls went as they should.
func (b *burst) found(f func() found) found {
	switch {
	case b.interrupted:
		return skip("stopped")
	case !b.full:
		return something("110 calls in less than a second were not refused: the app's quota is higher, or they took too long")
	}
	return f()
}

func throttled(v verdict) bool { return v.code >= 60007 && v.code <= 60019 }

func (b *burst) scope() found {
	switch {
	case throttled(b.command) && !b.otherHost:
		return something("all calls of the app, or all to one host")
	case throttled(b.command) && throttled(b.host):
		return is("app")
	case throttled(b.command):
		return is("host")
	}
	return is("command")
}

func (b *burst) window() found {
	switch {
	case b.slow:
		return skip("the calls took too long: run the probe nearer to the service")
	case throttled(b.early):
		return is("sliding")
	}
	return is("fixed")
}

func (b *burst) refused() found {
	switch {
	case b.slow:
		return skip("the calls took too long: run the probe nearer to the service")
	case !throttled(b.early):
		return something("it does not matter: the next second has its own quota")
	case throttled(b.late):
		return is("count")
	}
	return is("free")
}

package redislimiter

import (
	"math"
	"time"
)

// redisClock converts times of the clock of Redis to times of this process. It relies on the answer with the shortest
// round trip, since Redis read its clock at some moment of that trip; the middle is wrong by half of it at most.
type redisClock struct {
	trip   time.Duration // round trip of that answer; 0 before the first
	middle time.Time     // of that trip; zero before the first
	redis  int64         // what the clock of Redis showed, in microseconds
}

const (
	clockDrift = 1000                 // a clock may be wrong by one part in so many, so that a later answer may have taken longer
	clockJump  = 2 * time.Millisecond // beyond the bounds of an answer, the clock of Redis was set
)

// local returns the time of this process at which the clock of Redis shows t.
func (c *redisClock) local(t int64) time.Time {
	return c.middle.Add(time.Duration(t-c.redis) * time.Microsecond)
}

// observe takes an answer into account.
func (c *redisClock) observe(a answer) {
	trip := a.answered.Sub(a.asked)
	middle := a.asked.Add(trip / 2)
	if c.middle.IsZero() || trip <= c.trip+middle.Sub(c.middle)/clockDrift || c.contradicts(a) {
		*c = redisClock{trip, middle, a.now}
	}
}

// contradicts reports whether Redis cannot have read its clock when c says.
func (c *redisClock) contradicts(a answer) bool {
	read := c.local(a.now)
	return read.Before(a.asked.Add(-clockJump)) || read.After(a.answered.Add(clockJump))
}

// near is how late an answer may be for its slot: so much less than missedBy that no call has to wait for a Redis nearby.
const near = 5 * time.Millisecond

// nextLead returns how far ahead of the clock of Redis a slot must be, so that the answer comes in time: about as far as the
// longest round trips of late. A single long one, such as that of a new connection or a lost packet, counts by half.
func nextLead(lead, trip time.Duration) time.Duration {
	if trip > lead {
		return min((lead+trip)/2, maxLead)
	}
	return lead - (lead-trip)/16
}

// rate is how often something happens, mostly in the last second. The zero value is 0.
type rate struct {
	events float64 // that count, the older the less
	at     time.Time
}

const rateSpan = time.Second

func (r *rate) count(now time.Time) {
	r.events, r.at = r.fresh(now)+1, now
}

func (r *rate) perSecond(now time.Time) float64 {
	return r.fresh(now) / rateSpan.Seconds()
}

func (r *rate) fresh(now time.Time) float64 {
	return r.events * math.Exp(-float64(max(now.Sub(r.at), 0))/float64(rateSpan))
}

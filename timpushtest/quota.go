package timpushtest

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// limiter says whether a call may pass now.
type limiter interface {
	allow(now time.Time, countRefused bool) bool
}

// slidingWindow remembers the last calls that counted, at most as many as may fall into one period.
type slidingWindow struct {
	period time.Duration
	calls  int
	times  []time.Time // of the last period, the oldest first
}

func newSlidingWindow(calls int, period time.Duration) *slidingWindow {
	return &slidingWindow{period: period, calls: calls}
}

func (w *slidingWindow) full(now time.Time) bool {
	for len(w.times) > 0 && now.Sub(w.times[0]) >= w.period {
		w.times = w.times[1:]
	}
	return len(w.times) >= w.calls
}

func (w *slidingWindow) add(now time.Time) {
	w.times = append(w.times, now)
	w.times = w.times[max(len(w.times)-w.calls, 0):]
}

func (w *slidingWindow) allow(now time.Time, countRefused bool) bool {
	ok := !w.full(now)
	if ok || countRefused {
		w.add(now)
	}
	return ok
}

// fixedWindow starts again with each second of the clock. Within one window refused calls change nothing.
type fixedWindow struct {
	calls, used int
	second      int64
}

func (w *fixedWindow) allow(now time.Time, _ bool) bool {
	if sec := now.Unix(); sec != w.second {
		w.second, w.used = sec, 0
	}
	w.used++
	return w.used <= w.calls
}

// Plan is the plan of the app, on which the quotas of pushes depend. See page
// cloud.tencent.com/document/product/269/137903.
type Plan int

// The plans of [WithPlan]. All allow one push a second.
const (
	PlanStandard Plan = iota // the default: 100 pushes a day, batches to 500 accounts a second
	PlanFree                 // free and trial: 10 pushes a day, batches to 30 accounts a second
	PlanAdvanced             // 100 pushes a day, batches to 800 accounts a second
)

func (p Plan) pushesADay() int {
	if p == PlanFree {
		return 10
	}
	return 100
}

func (p Plan) recipients() int {
	switch p {
	case PlanFree:
		return 30
	case PlanAdvanced:
		return 800
	default:
		return 500
	}
}

// checkRate counts a call that passed the query and signature checks.
func (s *Server) checkRate(call Call, host string) *refusal {
	if s.settings.quota == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set, cmd := s.settings, commands[call.Path]
	if cmd.recipients && !set.RecipientsQueued {
		return s.checkRecipientRate(call)
	}
	calls, code := cmp.Or(cmd.rate, set.quota), cmp.Or(cmd.rateCode, set.ThrottleCode, codeTooFast)
	key := set.quotaKey(cmd, call.Path, host)
	w, ok := s.quota[key]
	if !ok {
		w = set.newLimiter(calls)
		s.quota[key] = w
	}
	if !w.allow(call.Time, !set.RefusedCallsFree) {
		return refuse(code, "more than %d calls in one second", calls)
	}
	return nil
}

// checkRecipientRate counts the accounts of a batch, in any sliding second. One that has too many whatever the rate is left to
// the checks of the body, or its sender would try it again. It runs under the lock.
func (s *Server) checkRecipientRate(call Call) *refusal {
	n, most := len(call.Accounts), s.settings.plan.recipients()
	if n > maxRecipients {
		return nil
	}
	s.sentTo = slices.DeleteFunc(s.sentTo, func(r recipients) bool { return call.Time.Sub(r.time) >= time.Second })
	sum := n
	for _, r := range s.sentTo {
		sum += r.accounts
	}
	if sum <= most || !s.settings.RefusedCallsFree {
		s.sentTo = append(s.sentTo, recipients{call.Time, n})
	}
	if sum > most {
		return refuse(cmp.Or(s.settings.RecipientsCode, codeTooFast), "more than %d accounts in one second", most)
	}
	return nil
}

// recipients are the accounts of one batch.
type recipients struct {
	time     time.Time
	accounts int
}

// checkDay refuses a push beyond those of the day, of which the documentation does not say when it begins: here at
// midnight in China. It runs under the lock.
func (s *Server) checkDay(now time.Time) *refusal {
	if s.settings.quota == 0 {
		return nil
	}
	china := time.FixedZone("", 8*60*60)
	if day := now.In(china).Format(time.DateOnly); s.day != day {
		s.day, s.pushedToday = day, 0
	}
	if most := s.settings.plan.pushesADay(); s.pushedToday >= most {
		return refuse(codeDayUsedUp, "more than %d pushes in one day", most)
	}
	return nil
}

// quotaKey says which quota a call counts for. Commands with a rate of their own have one each.
func (set *settings) quotaKey(cmd command, path, host string) string {
	if cmd.rate > 0 {
		return path
	}
	switch set.QuotaScope {
	case QuotaPerApp:
		return strconv.Itoa(set.sdkAppID)
	case QuotaPerHost:
		return host
	default:
		return strconv.Itoa(set.sdkAppID) + path
	}
}

func (set *settings) newLimiter(calls int) limiter {
	if set.FixedWindow {
		return &fixedWindow{calls: calls}
	}
	return newSlidingWindow(calls, time.Second)
}

// tooManyBadSigs reports whether an identifier is blocked, see BadSignatureLimit.
func (s *Server) tooManyBadSigs(identifier string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.badSigs[identifier]
	return ok && w.full(now)
}

func (s *Server) addBadSig(identifier string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.badSigs[identifier] == nil {
		s.badSigs[identifier] = newSlidingWindow(badSigLimit, time.Minute)
	}
	s.badSigs[identifier].add(now)
}

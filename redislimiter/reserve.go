package redislimiter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The key holds "FREE LEAD BATCHES": the next free slot in microseconds of the clock of Redis, the longest lead of late in
// microseconds, and what was reserved in the last second, as "SPAN:CALLS," for spans of 5 ms. LEAD and BATCHES are left out
// while there are none. Batches are counted from the first time that more than one call is reserved at a time: single
// calls keep the quota by their even pace. Numbers are formatted, since Redis before 7 would round them.
//
// The slots start again, beyond all that may have been given before, if there is no key, if the caller was given a slot
// that is not before the next free one (Redis has lost writes) or farther back than it can be (the clock went forward), and
// if the next free one is farther ahead than it can be (the clock went back).
const reserveSource = `
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local step, horizon, quota = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local calls, lead, patience = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local last, restart, pause, keep = tonumber(ARGV[7]), ARGV[8] == '1', tonumber(ARGV[9]), tonumber(ARGV[10])
local several = calls > 1 or ARGV[11] == '1' -- are made at a time, by this replica or another one, as far as is known
local span, window = 5000, quota * step

local value = redis.call('GET', KEYS[1]) or '0'
local free, longest, batches = string.match(value, '^(%d+) ?(%d*) ?([%d:,]*)$')
if not free then
	return redis.error_reply('` + foreignValue + `')
end
free = tonumber(free)
longest = math.min(math.max(lead, math.floor((tonumber(longest) or 0) * 0.999)), horizon / 2)

local function batch(s, n)
	return string.format('%.0f:%.0f,', s, n)
end

local function answer(at, outcome)
	return {now, at, longest, outcome, batches ~= '' and 1 or 0}
end

local function save()
	local text = string.format('%.0f', free)
	if longest > 0 or batches ~= '' then
		text = text .. string.format(' %.0f', longest)
	end
	if batches ~= '' then
		text = text .. ' ' .. batches
	end
	redis.call('SET', KEYS[1], text, 'PX', 86400000)
end

-- The earliest time, not before at, with room for the calls in the second before it, the batches that still count then, and how many calls
-- there are in the second before at in smaller batches.
local function fit(at)
	local counted, sum, smaller = {}, calls, 0
	for s, n in string.gmatch(batches, '(%d+):(%d+),') do
		if s * span + window > at then
			table.insert(counted, {tonumber(s), tonumber(n)})
			sum = sum + n
			if tonumber(n) < calls then
				smaller = smaller + n
			end
		end
	end
	while sum > quota do
		local oldest = table.remove(counted, 1)
		at = math.max(at, oldest[1] * span + window)
		sum = sum - oldest[2]
	end
	return at, counted, smaller
end

local function add(counted, at)
	local newest, s = counted[#counted], math.floor(at / span)
	if newest and newest[1] == s then
		newest[2] = newest[2] + calls
	else
		table.insert(counted, {s, calls})
	end
	local text = ''
	for _, b in ipairs(counted) do
		text = text .. batch(b[1], b[2])
	end
	return text
end

restart = restart or free == 0 or free <= last or (last > 0 and now > last + 2 * horizon)
if free > now + 2 * horizon + window then
	free, restart = 0, true
end
if restart then
	free = math.max(free, now + horizon + step)
end
local unknown = (restart and batches ~= '') or (several and batches == '')
if unknown then
	batches = batch(math.floor(free / span), quota) -- what was reserved before is not known, so as much as there can be
end
if pause > 0 then
	free = math.max(free, now + pause)
end
if restart or unknown or pause > 0 or patience < 0 then
	save() -- also where no slot is wanted, since a replica refuses it, or none is near enough
end

local at, counted, smaller = math.max(free, now + lead), {}, 0
if batches ~= '' then
	at, counted, smaller = fit(at)
end
if at - now > patience then
	-- Fewer leave gaps that it finds by itself, since the window is 36 ms longer than the horizon. 28 that come one after the other leave none.
	if at <= free or at - now >= keep or smaller < math.min(quota / 2, 25) then
		return answer(at, 0)
	end
	free = at -- nothing is put before it any more
	save()
	return answer(at, 2)
end
if batches ~= '' then
	batches = add(counted, at)
end
free = at + calls * step
save()
return answer(at, 1)
`

const foreignValue = "FOREIGN value in the key"

var reserveScript = redis.NewScript(reserveSource)

// noSlot is the patience of a request that reserves nothing.
const noSlot = -time.Microsecond

// request asks Redis for a slot.
type request struct {
	calls    int           // that leave in the slot, at least 1
	patience time.Duration // a slot that is farther away is not reserved
	keep     time.Duration // but is kept from others if it is nearer than this
	restart  bool          // all slots start again beyond the horizon
	pause    time.Duration // the next slot comes after it
}

// answer is what Redis said. Its times are in microseconds of its own clock.
type answer struct {
	asked, answered time.Time     // by the clock of this process
	now             int64         // when the script ran
	at              int64         // the next free slot
	longest         time.Duration // the longest lead of all replicas
	reserved        bool          // the slot is the caller's
	kept            bool          // it is not the caller's yet, but others get none before it
	batches         bool          // some replica has asked for more than one call at a time
	local           time.Time     // the slot by the clock of this process
	known           bool          // local is right: the distance to Redis was known before, or the answer was quick
}

// wait is how far ahead the slot was when the script ran.
func (a answer) wait() time.Duration { return time.Duration(a.at-a.now) * time.Microsecond }

// ask runs the script and learns from the answer. An error that is not of ctx means that Redis cannot be used. If ctx ends first, the
// question goes on: also callers that have less time than the timeout must learn that Redis does not answer.
func (l *Limiter) ask(ctx context.Context, r request) (answer, error) {
	question, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.patienceWithRedis(ctx))
	type result struct {
		answer
		err      error
		late     bool
		panicked any
	}
	results := make(chan result, 1)
	calls, args := r.calls, l.arguments(r)
	dialed, stop := l.dialIfSlow(question)
	go func() { // since go-redis does not stop reading when its context ends
		var r result
		defer func() {
			r.panicked = recover() // of a hook of the client, for instance: it is the caller's
			stop()                 // also where the caller has gone
			results <- r
		}()
		r.answer, r.err = l.run(question, l.rdb, args)
		r.late = question.Err() != nil
	}()
	select {
	case <-ctx.Done():
		context.AfterFunc(question, func() {
			defer cancel()
			select {
			case r := <-results:
				if r.err == nil {
					return
				}
			default:
			}
			l.failed(l.silence(dialed))
		})
		return answer{}, ctx.Err()
	case r := <-results:
		cancel()
		switch {
		case r.panicked != nil:
			panic(r.panicked)
		case r.err == nil:
			return l.learn(r.answer, calls), nil
		case !r.late:
			_, answered := errors.AsType[redis.Error](r.err)
			if !answered || isReadOnly(r.err) { // a shorter timeout of go-redis, or a reset; or connections to what was the master
				l.useIdle()
			}
			return answer{}, l.explain(r.err)
		}
	case <-question.Done():
		cancel()
	}
	return answer{}, l.silence(dialed)
}

// patienceWithRedis is how long to wait for an answer. While Redis is down, half of the time to a deadline is left to go on without it.
func (l *Limiter) patienceWithRedis(ctx context.Context) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down != nil && l.alone.calls > 0 {
		return min(l.timeout, patience(ctx)/2)
	}
	return l.timeout
}

func (l *Limiter) arguments(r request) []any {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, restart, several := l.last, 0, 0
	if time.Since(l.lastAt) > horizon {
		last = 0 // long over, and perhaps of another clock
	}
	if r.restart {
		restart = 1
	}
	if l.batches {
		several = 1
	}
	return []any{
		l.step.Microseconds(), horizon.Microseconds(), l.quota,
		r.calls, max(l.lead-near, 0).Microseconds(), r.patience.Microseconds(), last, restart, r.pause.Microseconds(),
		r.keep.Microseconds(), several,
	}
}

// run runs the script, which Redis does not know at first and after a restart.
func (l *Limiter) run(ctx context.Context, rdb redis.Scripter, args []any) (answer, error) {
	keys, asked := []string{l.key}, time.Now()
	numbers, err := reserveScript.EvalSha(ctx, rdb, keys, args...).Int64Slice()
	if err != nil && strings.Contains(err.Error(), "NOSCRIPT") { // some proxies put words before it
		asked = time.Now()
		numbers, err = reserveScript.Eval(ctx, rdb, keys, args...).Int64Slice()
	}
	if err != nil {
		return answer{}, err
	}
	if len(numbers) != 5 {
		return answer{}, fmt.Errorf("the script returned %d numbers, want 5", len(numbers))
	}
	return answer{
		asked: asked, answered: time.Now(), now: numbers[0], at: numbers[1],
		longest: time.Duration(numbers[2]) * time.Microsecond, reserved: numbers[3] == 1, kept: numbers[3] == 2, batches: numbers[4] == 1,
	}, nil
}

// learn takes an answer of Redis into account: Redis is not down, its clock shows this, and it is that far away. It returns
// the answer to a question for that many calls with the slot by the clock of this process.
func (l *Limiter) learn(a answer, calls int) answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = nil
	if a.batches && !l.batches {
		l.countAlone()
	}
	l.clock.observe(a)
	trip := a.answered.Sub(a.asked)
	if !l.measured {
		l.lead = min(trip, maxLead)
	}
	l.lead = nextLead(l.lead, trip)
	l.longest = a.longest
	a.local, a.known = l.clock.local(a.at), l.measured || l.clock.trip <= near
	if a.reserved {
		l.free = a.local.Add(l.step)
		l.last, l.lastAt = a.at, a.local
		l.rate.count(a.answered)
	} else if calls == 1 { // several may have to wait where there is room for fewer
		l.free = a.local
	}
	return a
}

package redislimiter

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The key holds the next free slot, in microseconds of the clock of Redis. Answers are times from now, so that no
// other clock matters. Numbers are formatted, since Redis before 7 would round them.
//
// The slots start anew, beyond all that may have been given before, if there is no key, if it is older than a slot that
// the caller was given (Redis came back with old data), and if it is farther ahead than it can be (the clock went back).
const reserveSource = `
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local step, horizon, patience, anew = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[5] == '1'
local last = now - ARGV[4]

local function save(slot)
	redis.call('SET', KEYS[1], string.format('%.0f', slot), 'PX', 86400000)
end

local free = tonumber(redis.call('GET', KEYS[1]) or '0')
if free > now + 2 * horizon + step then
	free = 0
end
if anew or free == 0 or free < last - horizon then
	free = math.max(free, now + horizon)
	save(free)
end
free = math.max(free, now)
if free - now > patience then
	return now - free
end
save(free + step)
return free - now
`

var reserveScript = redis.NewScript(reserveSource)

// nothing is the patience of a caller that wants no slot.
const nothing = -time.Microsecond

// reserve books the next free slot if it is not farther away than patience, and returns the time until then. If it is,
// the time is negative. With anew, the slots start again beyond the horizon.
func (l *Limiter) reserve(ctx context.Context, patience time.Duration, anew bool) (time.Duration, error) {
	type answer struct {
		wait time.Duration
		err  error
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	answers := make(chan answer, 1)
	args := l.arguments(patience, anew)
	go func() { // since go-redis does not stop reading when ctx ends
		wait, err := l.run(ctx, args)
		answers <- answer{wait, err}
	}()
	select {
	case a := <-answers:
		return a.wait, a.err
	case <-ctx.Done():
		return 0, fmt.Errorf("no answer within %v", l.timeout)
	}
}

func (l *Limiter) arguments(patience time.Duration, anew bool) []any {
	l.mu.Lock()
	defer l.mu.Unlock()
	start := 0
	if anew {
		start = 1
	}
	return []any{
		l.step.Microseconds(), l.horizon.Microseconds(), patience.Microseconds(), time.Since(l.last).Microseconds(), start,
	}
}

func (l *Limiter) run(ctx context.Context, args []any) (time.Duration, error) {
	keys := []string{l.key}
	wait, err := reserveScript.EvalSha(ctx, l.rdb, keys, args...).Int64()
	if err != nil && strings.Contains(err.Error(), "NOSCRIPT") { // some proxies put words before it
		wait, err = reserveScript.Eval(ctx, l.rdb, keys, args...).Int64()
	}
	return time.Duration(wait) * time.Microsecond, err
}

// RedisError tells that Redis could not be asked for a slot, so that none was given. It passes when Redis is back.
//
// It does not unwrap: a timeout on the way to Redis would pass for the end of the caller's context.
type RedisError struct {
	Err error // as go-redis gave it
}

// Error returns the text of the cause, which may name the address of Redis and holds no secrets.
func (e *RedisError) Error() string { return "redislimiter: no slot without Redis: " + e.Err.Error() }

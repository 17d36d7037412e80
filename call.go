package timpush

import (
	"context"
	"sync"
	"sync/atomic"
)

// execute is the whole path of a call. The Result is nil if the input is not valid.
func execute[T any](ctx context.Context, c *call, e *endpoint[T], input []T) (result *Result, err error) {
	b := buffers.Get().(*buffer)
	defer b.release()
	written, err := validate(e, input, b)
	if err != nil {
		return nil, err
	}
	items, itemOf, err := merge(e, input, b)
	if err != nil {
		return nil, err
	}
	entries := encode(e, items, itemOf, written)
	s, finish := c.begin(ctx, &e.command, len(input))
	defer func() { finish(result, err) }()
	if e.precheck != nil {
		e.precheck(s, items, entries)
	}
	s.send(split(entries, s.limit(&e.command)))
	return gather(e, input, entries, itemOf, s.requests.Load())
}

// run executes a call of its own.
func run[T any](ctx context.Context, e *engine, to *endpoint[T], input []T) (*Result, error) {
	call := newCall(e)
	defer call.end()
	return execute(ctx, call, to, input)
}

// send sends requests, as many at a time as the client may have in flight, and returns when each of their entries has its
// outcome.
func (s *sender) send(requests [][]*entry) {
	parallel := min(len(requests), s.maxInFlight)
	if s.command.serial || parallel == 1 {
		for _, request := range requests {
			s.backOff(min(s.retryAfter, maxRetryAfter), len(request), 1) // as the last answer asked, though its request is not repeated
			s.retryAfter = 0
			s.request(request, history{})
		}
		return
	}
	var next atomic.Int64
	work := func() {
		for n := next.Add(1); n <= int64(len(requests)); n = next.Add(1) {
			s.request(requests[n-1], history{})
		}
	}
	var workers sync.WaitGroup
	var panicked atomic.Pointer[escape]
	for range parallel {
		workers.Go(func() {
			guard(work, func(e *escape) {
				panicked.CompareAndSwap(nil, e)
				s.stop(errPanic)
			})
		})
	}
	workers.Wait()
	panicked.Load().resume()
}

// ask sends one request that is not about accounts, with retries. The error is a *CallError.
func (c *call) ask(ctx context.Context, cmd *command, body []byte) (a answer, err error) {
	var end state
	var result *Result
	s, finish := c.begin(ctx, cmd, 0)
	defer func() { finish(result, err) }()
	var h history
	for {
		if cause := s.stopped(); cause != nil {
			end.abort(cause)
			break
		}
		var v verdict
		a, v = s.attempt(&h, body, 0)
		if v.outcome == Done {
			result = &Result{Requests: int(s.requests.Load())}
			return a, nil
		}
		s.apply(v)
		if v.class == classData || v.class == classMalformed {
			end.settle(cmd, v.outcome, v.err)
			break
		}
		end.record(v.outcome, v.err, s.over())
		if !s.repeat(v, &h, 0) {
			break
		}
	}
	result = &Result{Requests: int(s.requests.Load())}
	return answer{}, &CallError{cmd.path, end.outcome, end.err}
}

// ask sends one request that is not about accounts, in a call of its own, and returns what was read of the answer.
func ask[T any](ctx context.Context, e *engine, cmd *command, body []byte) (T, error) {
	call := newCall(e)
	defer call.end()
	a, err := call.ask(ctx, cmd, body)
	found, _ := a.value.(T)
	return found, err
}

// askIfValid is ask with the JSON of request, unless there are faults.
func askIfValid[T any](ctx context.Context, e *engine, cmd *command, faults []*InputError, request any) (found T, err error) {
	if err := invalid(faults); err != nil {
		return found, err
	}
	body, faults := encodeRequest(request)
	if err := invalid(faults); err != nil {
		return found, err
	}
	return ask[T](ctx, e, cmd, body)
}

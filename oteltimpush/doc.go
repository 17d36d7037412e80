// Package oteltimpush makes OpenTelemetry spans and metrics of the calls of a client of
// [github.com/timpush/timpush-go]:
//
//	observer, err := oteltimpush.New()
//	...
//	client, err := timpush.NewClient(config, timpush.WithObserver(observer))
//
// They have endpoints, hosts, counts, codes and durations, and never an account, an attribute, a tag, a title or text of a push, the
// query or the UserSig, which the client does not give to an observer. For that reason there is no url.full, which the semantic conventions require in a
// span of an HTTP request. Nothing is added to requests: the service does not get a trace ID.
//
// # Spans
//
// A call has a span, which is a child of the span in the context that the call was given, and each HTTP request of it has
// a child of that. In a stream and in a Batcher each request is a call of its own. A Batcher's has no parent, since a
// request has many callers. A call with invalid input, which sends nothing, makes no span and is not counted.
//
//	span              kind      attributes
//	timpush set_attr  internal  timpush.endpoint, server.*, timpush.users, timpush.done, timpush.rejected,
//	                            timpush.unknown, timpush.not_sent, timpush.requests
//	                            if it failed for some users, or at all: error.type, timpush.code
//	POST /v4/timpush/set_attr
//	                  client    timpush.endpoint, server.*, timpush.users, http.request.method,
//	                            http.request.resend_count (from the second attempt on), http.response.status_code
//	                            if it failed: error.type, timpush.code
//
// A span of a failure has the status error. Its text is the code's, and for a call with users how many are not done: error.type
// and timpush.code are then those of the first. A call that is not about accounts (attribute names, Push, Revoke, scheduled pushes,
// statistics) has no users and none of their counts. A wait of at least 1 ms is an event timpush.wait of the call's span, with
// timpush.wait.reason and timpush.wait.duration (seconds).
//
// # Metrics
//
//	metric                        kind             unit         attributes except timpush.endpoint and server.*
//	timpush.call.duration         histogram        s            error.type
//	timpush.attempt.duration      histogram        s            error.type, http.response.status_code
//	http.client.request.duration  histogram        s            the same and http.request.method, and no endpoint
//	timpush.wait.duration         histogram        s            timpush.wait.reason
//	timpush.users                 counter          {user}       timpush.outcome
//	timpush.attempts              counter          {attempt}
//	timpush.retries               counter          {retry}      error.type
//	timpush.active_calls          up-down counter  {call}
//	timpush.active_attempts       up-down counter  {attempt}
//	timpush.quota.limit           gauge            {attempt}/s  (none, and no endpoint, as those below)
//	timpush.limiter.waiting       up-down counter  {call}       timpush.limiter
//	timpush.limiter.tokens        gauge            {token}      timpush.limiter
//	timpush.queue.backlog         gauge            {update}
//	timpush.queue.oldest          gauge            s
//	timpush.queue.waiting         gauge            {update}
//	timpush.queue.dead_letters    gauge            {update}
//	timpush.queue.lost            gauge            {message}
//	timpush.queue.bytes           gauge            By
//	timpush.queue.max_bytes       gauge            By
//	timpush.queue.paused          gauge            {queue}
//
// http.client.request.duration is what the semantic conventions of OpenTelemetry say, with their buckets. Its error.type is about
// HTTP: an answer with an ErrorCode has none. timpush.limiter.* are there for a Limiter of [Observer.WatchLimiter], and
// timpush.queue.* for a queue of package dispatch, with [Observer.WatchQueue].
//
// The share of the quota that is used is the rate of timpush.attempts, over all processes of the app, divided by
// timpush.quota.limit, for each endpoint of attributes and tags. The others have smaller quotas.
//
// # Attributes
//
//	timpush.endpoint           the path, such as v4/timpush/set_attr
//	server.address             host of the base URL
//	server.port                its port, if the URL has one; of http.client.request.duration 443 if not
//	error.type                 absent if there was no failure; the ErrorCode of the answer; the status of an HTTP error; or
//	                           timeout, canceled, unreachable, connection, http, malformed, api, unsent, panic
//	timpush.outcome            done, rejected, unknown, not_sent
//	timpush.wait.reason        slot, quota, backoff
//	timpush.limiter            the name that WatchLimiter got
//	http.response.status_code  absent if no answer came
//
// error.type of timpush.retries is that of the attempt before, or _OTHER if that failed only for some accounts. A call of several
// requests has them in flight at the same time, and then it is the latest failure of an attempt with the number before: the
// sums are right unless some requests are not retried. It is also _OTHER, in all metrics, once there are 1,000 sets of
// attributes.
//
// timpush.users has all outcomes from the first call on, also those that have not occurred, so that the first one shows in a rate.
// Calls without users add nothing to it.
package oteltimpush

// Package timpush is a client for the server API of Tencent Cloud Chat's push service. It sets attributes and tags of users,
// and sends pushes to those whose attributes or tags match.
//
//	client, err := timpush.NewClient(timpush.Config{
//		SDKAppID:   1400000000,
//		Identifier: "administrator",
//		SecretKey:  os.Getenv("TIMPUSH_SECRET_KEY"),
//		Region:     timpush.RegionSingapore,
//	})
//	...
//	result, err := client.SetAttr(ctx, []timpush.UserAttrs{
//		{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}},
//	})
//
// Every user ends in exactly one of four outcomes that the caller can see, the quota is used fully and never exceeded, and
// the secret key does not leak.
//
// # Calls
//
// [Client.SetAttr] takes users in a slice, [Client.SetAttrSeq] takes any number of them from an iterator, and a [Batcher]
// takes single users from many goroutines. All three send full requests, keep to the quota, and never let an earlier value of
// an account overtake a later one within the call, stream or Batcher. [Client.GetAttr], [Client.GetAttrSeq] and
// [Client.RemoveAttr] read and remove attributes. [Client.SetAttrNames] and [Client.AttrNames] set and list the names of an
// app's attributes. [Client.Preflight] predicts who will be refused for them, and [Client.Verify] finds out what was applied.
//
// [Client.AddTags], [Client.ReplaceTags], [Client.RemoveTags], [Client.ClearTags] and [Client.GetTags] do the same for tags.
// [Client.Push] sends a push to an [Audience], [Client.PushTo] to listed accounts, and [Client.Revoke] withdraws it.
// [Client.AddTask] and the other methods of tasks schedule pushes. [Client.PushStats] and the like read statistics, and
// [NewCallbackHandler] receives the events of pushes.
//
// # Outcomes
//
// A user is [Done] if the server said so, [Rejected] if it said no or a user in a stream is not valid, [Unknown] if it was sent
// and no clear answer came, so that it may or may not have been applied, and [NotSent] if nothing reached the server. The
// error of a call is nil exactly if every user is Done:
//
//	var partial *timpush.PartialError
//	switch {
//	case err == nil: // every user is Done
//	case errors.As(err, &partial): // see partial.Users(); send timpush.Remaining(err, users) later
//	default: // *InputErrors: the input is not valid, and nothing was sent
//	}
//
// A call that is not about single users, such as SetAttrNames or Push, returns a [*CallError] with one outcome instead of a
// [*PartialError].
//
// errors.Is and errors.As find the causes through all wrappers: a [Code] of the API, an [*APIError] with the text of the
// server, an [*HTTPError] if a gateway or a proxy answered, a *url.Error for the network, and the error of ctx beside the last
// failure before it. A *url.Error may be an attempt that timed out, which matches context.DeadlineExceeded too: ctx.Err()
// tells whether ctx has ended.
//
// Done needs proof: ActionStatus is OK, ErrorCode is 0, and ErrorList does not name the account. If the list names an
// account that was not in the request, it may mean one that was, in another spelling: the request is halved until it is
// clear which accounts that may be, and these are Unknown.
//
// # Retries
//
// The API answers HTTP 200 to nearly everything, so the code in the body decides (see [Code.Retryable]):
//
//   - Throttle codes (60007, 60011, 60018, 60019) pause all calls of the client that use the same [Quota] (60011: all calls) for
//     0.1 to 0.3 s, or for 1 s up to 16 s if they go on, and then let them continue at a lower rate that recovers within seconds.
//   - Transient faults (91000, timeouts, 5xx, a lost connection) are retried after a random pause of at most 0.2 s, 0.4 s,
//     0.8 s and so on up to 20 s. Accounts that ErrorList names with such a code are sent again alone.
//   - After a 429 or 503 with Retry-After the client waits as long as that says, at most 60 s ([RetryAfter]).
//   - After 70001 a new UserSig is made, once. If that is called expired too, the clock of this machine is probably wrong:
//     [APIError.ClockAhead] tells by how much it differs from the server's.
//   - A request that is too large (90018, 93000) is halved, and the next requests are smaller; the size recovers.
//   - A request refused for its data (90033, 90001) is halved until the accounts at fault are alone: about 14 more requests for
//     one account in 100, and never more than 300. If 100 accounts in a row were sent alone and none was accepted, one account of
//     a refused request is tried first from then on, and if it is refused too, all of that request are Rejected.
//   - Fatal codes (a wrong key, no administrator, the app disabled) stop the call: requests in flight finish, the rest is
//     NotSent. A code about the UserSig drops it, so that the next call signs again. After 70050 the client sends nothing for
//     a minute.
//   - Any other code fails its request, and three such requests in a row stop the call.
//
// A request is sent at most four times ([WithMaxAttempts], [WithRetryBudget]). After a lost answer an account stays Unknown
// unless a later attempt is Done or refused for the account's own data. A request that was abandoned may still arrive, so
// what is Unknown may also be applied later.
//
// A push that may have gone out is never sent again, so that no one gets it twice: Push and PushTo retry only if nothing left
// this machine, after a throttle code, and after an expired UserSig. After anything else without a clear answer the outcome is
// Unknown, and [Remaining] leaves it out. A refused PushTo is not halved.
//
// A deadline on ctx bounds a call: when ctx ends, the call returns at once with what is known. What still waits for its quota when there is
// too little time for an answer is NotSent then: twice what one usually takes, but at most half of the time that was left. docs/timing.md in the
// repository has the bound without one: with the defaults 42 s for 100 users while the service fails, and 101 s while it throttles.
//
// # Quota
//
// The service allows an app [DefaultQPS] calls a second for each endpoint of attributes and tags, and the client sends at most
// 97.5. Pushes have quotas of their own (see [Quota]). Clients of one
// app must share one limiter: see [WithLimiter], [WithQuota] and [NewLimiter]. If other programs use a part of the quota, the
// client learns it from the throttle codes and slows down to about what they leave. A call waits for its own [Quota] only. [LowPriority]
// lets a nightly job use what other callers leave.
//
// # Your own code in a call
//
// A [Limiter], a [Signer], an [Observer], a transport and the function of [WithAccountTypes] are called concurrently, also from
// goroutines of the client. A panic in one of them comes out of the call that needed it, wherever it happened; requests in
// flight finish first. In a stream it comes out of the loop. In a Batcher it comes out of SetAttr of each user in that
// request, and other pending users are NotSent. The client and the Batcher stay usable.
//
// What they return as an error is found by errors.Is and errors.As in the error of the call, except the errors of this package, such as a
// [Code]: those tell only what the service has answered to this call.
//
// A transport that you give with [WithHTTPClient] may retry by itself. The client then claims NotSent only if no try can have
// reached the server, and Rejected only if an earlier one was refused too, as far as [net/http/httptrace] shows the tries; a request
// may be applied more than once, which does no harm to attributes and tags if each try has ended before the next one begins. Give no client a
// transport that sends a second copy while the first is under way (hedging), or gives up a try early: the service may apply that copy behind a
// later value that is Done, and the account has the old value again. A push may go out twice: give a client for pushes a transport that does
// not retry, and that adds no header Idempotency-Key, which lets net/http do so.
//
// # Secrets
//
// The UserSig, which is as good as the key while it is valid, travels in the query of each URL. Errors, logs and observers get
// the URL without it, and no attribute value of 4 bytes or more. A transport of your own, and a tracing one around it, sees
// the whole URL.
//
// # Testing
//
// Package [github.com/timpush/timpush-go/timpushtest] is a fake of the service that is as strict as the real one.
//
// # Platforms
//
// All 64-bit platforms of Go. The official UserSig module does not compile for 32 bits.
package timpush

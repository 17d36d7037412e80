// Package timpush is a client of the admin API of Tencent Cloud Chat's push service. It sets, reads and removes
// attributes of users.
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
// Every user handed to it ends in exactly one of four outcomes that the caller can see, the quota of the service is
// used and kept, and the secret key does not leak.
//
// # Ways to call
//
// [Client.SetAttr] takes users in a slice, [Client.SetAttrSeq] any number of them as they come, and a [Batcher] one by one
// from many goroutines. All three make full requests, keep to the quota, and never let a later value of an account be
// overtaken by an earlier one within the call, stream or Batcher. [Client.GetAttr], [Client.GetAttrSeq] and
// [Client.RemoveAttr] read and remove. [Client.SetAttrNames] and [Client.AttrNames] are about the names that an app has,
// [Client.Preflight] foresees who will be refused for them, and [Client.Verify] finds out what was applied.
//
// # Outcomes
//
// A user is [Done] if the server said so, [Rejected] if it said no, [Unknown] if no clear answer came, so that the
// attributes may or may not have been set, and [NotSent] if nothing reached the server. A call's error is nil exactly
// if all are Done, so that a partial failure cannot be missed:
//
//	var partial *timpush.PartialError
//	switch {
//	case err == nil: // all are Done
//	case errors.As(err, &partial): // ask partial.Users(); send partial.Remaining(users) again later
//	default: // *InputError: nothing was sent
//	}
//
// Causes are found with errors.Is and errors.As through all wrappers: a [Code] of the API, an [*APIError] with the
// text of the server, an [*HTTPError] for a gateway's page, a *url.Error for the network, and the error of ctx beside the
// last real failure. A *url.Error may be an attempt that timed out, which matches context.DeadlineExceeded too: ctx.Err()
// tells whether ctx has ended.
//
// Done is claimed only where ActionStatus is OK, ErrorCode is 0 and ErrorList does not name the account. If the list
// names an account that was not in the request, it may mean one that was, under another spelling: the request is
// divided until it is clear for which accounts that happens, and these are Unknown.
//
// # Retries
//
// The API answers HTTP 200 to nearly everything, so the code in the body decides (see [Code.Retryable]):
//
//   - Throttle codes (60007, 60011, 60018, 60019) stop all calls of the client for a second, longer if they go on, and
//     let them come back at a lower rate that recovers.
//   - Passing faults (91000, timeouts, 5xx, a lost connection) are tried again after a random pause of at most 0.2 s,
//     0.4 s, 0.8 s and so on up to 20 s. Accounts that ErrorList names with such a code are sent again alone.
//   - After 70001 a new UserSig is made, once.
//   - A request that is too large (90018, 93000) is halved, and for an hour later ones are made smaller at once.
//   - A request refused for its data (90033, 90001) is halved until the accounts at fault stand alone: about 14 more
//     requests for one account in 100, and never more than 300. If 100 accounts in a row were sent alone and none was
//     accepted, the fault is hardly one account's: from then on one account of a refused request is tried first, and if
//     it is refused too, all of that request are Rejected.
//   - Fatal codes (a wrong key, no administrator, the app disabled) stop the call; requests under way end, the rest is
//     NotSent. After 70050 the client sends nothing for a minute.
//   - Any other code fails its request, and three such in a row stop the call.
//
// After a lost answer an account stays Unknown unless a later attempt is Done or refused for the account's own data.
// A request that was given up may still be on its way, so that what is Unknown may be applied later, too.
//
// # How long a call takes
//
// A call of R requests (users divided by 100, rounded up), with F [WithMaxInFlight], A [WithMaxAttempts], T
// [WithAttemptTimeout], pauses P between attempts and Q calls a second let through, ends after at most
//
//	(R/F, rounded up) x (A x T + (A-1) x P) + R x A / Q
//
// P is at most 20 s; after passing faults it is 0.2 s at first and doubles, after throttle codes it is 1 s at first and
// doubles to 16 s. Q is what the limiter lets through, and after throttle codes at least 10. With the defaults, up to 100
// users take at most 42 s if faults pass or stay, and at most 101 s whatever happens. More is possible in these cases:
// requests of other calls of the client use slots and quota too; a UserSig that has expired costs T more, and so does
// [WithPreflight] where the names must be read; a Signer may take T before each attempt; a request that is divided counts
// as the requests that come of it, one after the other. A deadline on ctx bounds all of it: when ctx ends a call returns
// at once with what is known.
//
// # Quota
//
// The service allows an app [DefaultQPS] calls a second for each endpoint. A client keeps to 97.5 by default. Clients of
// one app must share one limiter: see [WithLimiter] and [NewLimiter]. If others use a part of the quota, the client finds
// out by the throttle codes, and settles near what they leave.
//
// # Secrets
//
// The UserSig, which is as good as the key while it lasts, travels in the query of each URL. Errors, logs and
// observers get the URL without it. A transport of your own, and a tracing one around it, sees the whole URL.
//
// # Interfaces
//
// A [Limiter], a [Signer] and an [Observer] are called from goroutines of the client's: they must not panic, nor call
// runtime.Goexit.
//
// # Testing
//
// Package [github.com/timpush/timpush-go/timpushtest] has a fake of the service that is as strict as the real one.
//
// # Platforms
//
// All 64-bit platforms of Go. The official UserSig module does not compile for 32 bits.
package timpush

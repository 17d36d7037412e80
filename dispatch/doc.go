// Package dispatch makes updates of attributes durable: it stores them on NATS JetStream and sends them from there, so
// that neither a crash nor a deploy nor an outage of the push service loses one.
//
//	queue, err := dispatch.OpenEmbedded(ctx, "/var/lib/myservice/timpush", sdkAppID)
//	...
//	go queue.Run(ctx, client)      // sends until ctx ends
//	err = queue.SetAttr(ctx, user) // nil: stored durably
//
// [OpenEmbedded] needs nothing but a folder. [Open] does the same on a cluster for any number of processes.
//
// # What is promised
//
//   - What [Queue.SetAttr] has returned nil for is sent until the service has done it or refused it for its own data. The
//     latter, and what becomes older than [WithMaxAge], ends as a dead letter. Nothing is dropped: where there is no room,
//     SetAttr says so.
//   - The values of an account are sent in the order in which they were stored. Those that wait together are merged, so
//     that values which have been overtaken may not be sent at all.
//   - An update can be sent more than once: after a fault that leaves open whether it was applied, and after a crash.
//     Then too nothing goes back: what is sent again is the latest value that the crashed process can have sent, or a
//     later one.
//
// # Under which failure
//
//   - The process crashes or is killed: nothing is lost. With [OpenEmbedded] it goes on when it is started again, at once;
//     with [Open] another process takes over within twice the time of [WithLease].
//   - The machine loses power: nothing is lost that was synced, which is all with OpenEmbedded, and up to the servers with
//     Open (see there).
//   - One of three servers is gone: nothing is lost with [WithReplicas] of 3, and SetAttr waits while another one is
//     elected, for about 10 s. Two are gone: SetAttr fails and nothing is sent until one of them is back.
//   - A dispatcher is cut off from NATS, or hangs: it stops sending before another one takes over. Only what it has
//     handed to the network can still arrive, in whatever order; the service has no condition for a write.
//   - The push service is out of order, or has to be mended by an operator: all is kept, and tried again ever later, at
//     most after a minute.
//
// # How
//
// The stream is a log. A dispatcher reads it in order, far ahead of what it sends, keeps the updates by account in memory
// and sends up to a hundred accounts in a request. An account is in one request at a time. All that the next dispatcher
// has to know is one record in a bucket: the floor, before which all is settled; the horizon, beyond which nothing can have
// been sent; and the few accounts that keep failing while others do not, which would hold the floor. Only who has written
// the record last can write it again, and who cannot renew it in time stops. A new dispatcher reads up to the horizon
// before it sends anything, so that it begins with the latest values and not with those of the past.
//
// A consumer of JetStream that acknowledges each message would not do: after a crash it delivers new messages at once and
// those that were under way only when their time is over, so that an old value would overwrite a new one.
package dispatch

// Package dispatch makes updates of attributes durable: it stores them on NATS JetStream and sends them from there, so
// that a crash, a deploy or an outage of the push service loses none of them.
//
//	queue, err := dispatch.OpenEmbedded(ctx, "/var/lib/myservice/timpush", sdkAppID)
//	...
//	go queue.Run(ctx, client)      // sends until ctx ends
//	err = queue.SetAttr(ctx, user) // nil: stored durably
//	...
//	err = queue.Close()            // after Run has returned; what is not sent stays stored
//
// [OpenEmbedded] needs a folder and nothing else. [Open] does the same on a cluster, for any number of processes.
//
// # What is promised
//
//   - An update for which [Queue.SetAttr] has returned nil is sent until the service has accepted it or refused it for its
//     own data. In the latter case, or when it becomes older than [WithMaxAge], it ends as a dead letter. Nothing is
//     dropped: where there is no room, SetAttr says so.
//   - The values of an account are sent in the order in which they were stored. Those that wait together are merged, so
//     that a value that has been replaced may not be sent at all.
//   - An update can be sent more than once: after a fault that leaves open whether it was applied, and after a crash.
//     Even then no value goes back: what is sent again is the latest value that the crashed process can have sent, or a
//     later one. Only if one of the updates of the account is refused for its own data, so that they cannot be sent together, do
//     values before the latest return until that one is sent.
//   - What is lost by a damaged disk or by an operator who deletes it is counted in [Stats].Lost and logged as an error with its
//     sequences. Everything else is sent.
//
// # Under which failure
//
//   - The process crashes or is killed: nothing is lost. With [OpenEmbedded] it continues when it is started again, at once;
//     with [Open] another process takes over within twice the time of [WithLease].
//   - The machine loses power: nothing is lost that was synced, which is all with OpenEmbedded, and depends on the servers with
//     Open (see there).
//   - One of three servers fails: nothing is lost with [WithReplicas] of 3. JetStream elects another leader in 4 to 9 s, by
//     constants of the server, and in up to 18 s in the rare case that both of the others stand for election at the same moment, so
//     that they have to vote again; SetAttr waits for that time and nothing is sent. If the dispatchers fail together with it, the new
//     ones wait for the old lease during the election, so that it takes hardly longer. Two of three fail: SetAttr fails and nothing is
//     sent until one of them is back.
//   - A dispatcher is cut off from NATS, hangs or is frozen: it stops sending before another one takes over, since the lease is
//     checked immediately before each request leaves. Only what it has handed to the network can still arrive, in
//     whatever order; the service has no conditional writes.
//   - The push service is out of order, or an operator has to correct something: everything is kept and tried again, at most
//     15 s apart (after a Retry-After as long as that says, at most a minute) or when [Queue.Resume] is called; a single account that fails is tried at most a minute apart.
//   - The disk of OpenEmbedded is full: SetAttr returns [ErrFull], and the queue stores again within seconds of space coming back.
//     If other programs have taken the last of it, so that the record cannot be written, sending stops too until then: the lease is
//     on the same disk. A server of your own that cannot write has to be restarted; the error of SetAttr and [Stats].Paused name it.
//   - A server may open no more files, or cannot read its data for another reason that passes: nothing behind what it cannot read is sent
//     until it can, and [Stats].Paused says so. It counts as damaged after a minute in which OpenEmbedded could open the files, or after
//     ten minutes with a server of your own, which does not tell the reason: each damaged place takes that long.
//   - Stored data is damaged: with OpenEmbedded every acknowledged message that cannot be sent is counted. On servers of your own
//     all are, except messages at the end of the stream that no dispatcher had read before the server lost them. Where a server
//     has lost the end of the stream or the record in the bucket, settled updates may be sent again from the rest.
//   - A stream is deleted and made again, or the bucket is: sending continues with what is there, and what had been read and not
//     settled is counted as lost. Streams that are edited so that they would lose updates make SetAttr return an error.
//   - A stream is restored from a backup: it goes on as the record says, which is restored with the bucket. What lies in it may have been sent
//     before, and is merged so that no value goes back, up to 300,000 updates at a time. What was stored after the backup is gone.
//
// # How
//
// The stream is a log. A dispatcher reads it in order, far ahead of what it sends, keeps the updates by account in memory
// and sends up to a hundred accounts in a request. An account is in one request at a time. All that the next dispatcher
// has to know is one record in a bucket: the floor, up to which all is settled; the horizon, beyond which nothing can have
// been sent; and the few accounts that keep failing while others do not, which would hold the floor. Only the process that has
// written the record last can write it again, and a process that cannot renew it in time stops. A new dispatcher reads up to the
// horizon before it sends anything, so that it begins with the latest values and not with old ones.
//
// Only the dispatcher deletes messages, and only those below the floor. So a sequence that is missing above it is a message that was
// lost. The record also has the last sequence that was read and its time: if the stream ends before it, or has another
// message there, the stream has lost its end or is another one.
//
// A consumer of JetStream that acknowledges each message would not do: after a crash it delivers new messages at once, and
// those that were in flight only after a timeout, so that an old value would overwrite a new one.
package dispatch

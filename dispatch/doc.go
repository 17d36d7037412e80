// Package dispatch makes updates of attributes durable: it stores them on NATS JetStream and sends them from there, so
// that neither a crash nor a deploy nor an outage of the push service loses one.
//
//	queue, err := dispatch.OpenEmbedded(ctx, "/var/lib/myservice/timpush", sdkAppID)
//	...
//	go queue.Run(ctx, client)         // sends until ctx ends
//	err = queue.SetAttr(ctx, user)    // nil: stored durably
//
// [OpenEmbedded] needs nothing but a folder. [Open] does the same on a cluster for any number of processes.
package dispatch

package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// prepare finds or makes the streams and the bucket, all three at once.
func (q *Queue) prepare(ctx context.Context) error {
	updates := q.streamConfig()
	letters := updates
	letters.Name, letters.Subjects, letters.Description = q.name+"_DEAD", []string{q.subject + ".dead"}, "updates that cannot be sent"
	letters.MaxBytes /= 4
	roles := []role{
		{subject: updates.Subjects[0], updates: true}, {subject: letters.Subjects[0], deletes: true}, {subject: "$KV." + q.name + ".>", bucket: true},
	}
	streams, faults := make([]jetstream.Stream, len(roles)), make([]error, len(roles))
	var all sync.WaitGroup
	for k, config := range []jetstream.StreamConfig{updates, letters, {Name: "KV_" + q.name}} {
		all.Go(func() { streams[k], faults[k] = q.ensure(ctx, config, roles[k]) })
	}
	all.Wait()
	if size := q.js.Conn().MaxPayload(); size > 0 && size < maxStoredSize && !q.settings.existing { // 0: there was no connection yet
		faults = append(faults, fmt.Errorf("the NATS server takes messages of %d bytes at most, want %d or more (max_payload in its configuration)", size, maxStoredSize))
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	q.stream, q.dead = streams[0], streams[1]
	for k, s := range streams {
		q.assets = append(q.assets, asset{s, roles[k]})
	}
	err := retry(ctx, requestTimeout, func(ctx context.Context) (err error) {
		q.state, err = q.js.KeyValue(ctx, q.name)
		return err
	})
	if err != nil || q.settings.existing {
		return err
	}
	return q.firstRecord(ctx)
}

func (q *Queue) streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: q.name, Subjects: []string{q.subject + ".set.*"}, Description: "updates of attributes to be sent",
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage,
		MaxBytes: q.settings.maxBytes, Replicas: q.settings.replicas, Duplicates: q.settings.duplicate, AllowDirect: true,
	}
}

// ensure finds or makes a stream and checks its settings.
func (q *Queue) ensure(ctx context.Context, config jetstream.StreamConfig, r role) (s jetstream.Stream, err error) {
	find := func(ctx context.Context) (err error) { s, err = q.js.Stream(ctx, config.Name); return err }
	err = retry(ctx, requestTimeout, find)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if q.settings.existing {
			return nil, ErrNoQueue
		}
		if err = retry(ctx, makeTimeout, func(ctx context.Context) error { return notYet(q.make(ctx, config, r)) }); err == nil {
			err = retry(ctx, requestTimeout, func(ctx context.Context) error { return notYet(find(ctx)) })
		}
	}
	if err == nil && !q.settings.existing {
		err = q.update(ctx, s, config)
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == noStorage {
		err = fmt.Errorf("%w: raise max_file_store of the servers, or give WithMaxBytes less", err)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", config.Name, err)
	}
	if q.settings.existing {
		return s, nil
	}
	return s, r.faults(&s.CachedInfo().Config)
}

// errNotYet says that not all servers of a cluster know of a stream that was made just now, by this process or another.
var errNotYet = errors.New("the servers do not serve it yet")

// notYet makes an errNotYet of what they answer meanwhile.
func notYet(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		return fmt.Errorf("%w: %w", errNotYet, err)
	}
	return err
}

// make makes a stream, unless another process is faster.
func (q *Queue) make(ctx context.Context, config jetstream.StreamConfig, r role) (err error) {
	if r.bucket {
		_, err = q.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: q.name, Replicas: q.settings.replicas, Description: "who sends the updates, and how far it has come",
			MaxBytes: leastBucket, // some accounts take no stream without
		})
	} else {
		_, err = q.js.CreateStream(ctx, config)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || errors.Is(err, jetstream.ErrBucketExists) {
		return nil
	}
	return err
}

// update changes what may be changed in a stream that exists: the replicas if that is asked for, and the limits on an embedded
// server, which no other tool can reach.
func (q *Queue) update(ctx context.Context, s jetstream.Stream, want jetstream.StreamConfig) error {
	config := s.CachedInfo().Config
	changed := false
	if n := q.settings.replicas; q.settings.given["replicas"] && config.Replicas != n {
		if !q.settings.change {
			return fmt.Errorf("it has %d replicas, and WithReplicas says %d (nats stream edit %s --replicas=%d, or WithReplicaChange)", config.Replicas, n, config.Name, n)
		}
		config.Replicas, changed = n, true
	}
	limits := q.embedded && want.MaxBytes != 0 // not of the bucket
	if limits && q.settings.given["bytes"] && config.MaxBytes != want.MaxBytes {
		config.MaxBytes, changed = want.MaxBytes, true
	}
	if limits && q.settings.given["window"] && config.Duplicates != want.Duplicates {
		config.Duplicates, changed = want.Duplicates, true
	}
	if !changed {
		return nil
	}
	return retry(ctx, makeTimeout, func(ctx context.Context) error {
		_, err := q.js.UpdateStream(ctx, config)
		return err
	})
}

// firstRecord writes the first record of a new queue. A stream that has had messages and has no record beside it is one whose
// record was lost.
func (q *Queue) firstRecord(ctx context.Context) error {
	info := q.stream.CachedInfo()
	if info.State.LastSeq > 0 {
		return nil
	}
	value, err := json.Marshal(record{Created: info.Created})
	if err != nil {
		return err
	}
	err = retry(ctx, requestTimeout, func(ctx context.Context) error {
		_, err := q.state.Get(ctx, recordKey)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			_, err = q.state.Create(ctx, recordKey, value)
		}
		return notYet(err)
	})
	if errors.Is(err, jetstream.ErrKeyExists) { // another process was faster, or the retry finds what the first try wrote
		return nil
	}
	return err
}

// retry calls f, with a timeout for each call, until it succeeds or its error is not one of servers that elect a leader or have not begun to
// serve a stream that was made just now.
func retry(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, max(openTimeout, timeout))
	defer cancel()
	for {
		attempt, cancel := context.WithTimeout(ctx, timeout)
		err := f(attempt)
		cancel()
		api, ok := errors.AsType[*jetstream.APIError](err)
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errNotYet) && (!ok || api.Code != 503) {
			return err
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

// info returns the state of a stream, and its error within a second.
func (q *Queue) info(ctx context.Context, s jetstream.Stream, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return s.Info(ctx, opts...)
}

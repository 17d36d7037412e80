// Nightly is the job that most backends run at night: it reads users from PostgreSQL and sets their attributes. The rows are
// streamed, so that a table of any size takes little memory. It stops on Ctrl-C or SIGTERM, and the next run continues
// where it stopped.
//
// It needs DATABASE_URL, TIMPUSH_SDKAPPID, TIMPUSH_IDENTIFIER, TIMPUSH_SECRET_KEY and TIMPUSH_REGION, and uses the server that
// TIMPUSH_BASE_URL names, if any. The exit code is 0 if all users are done, 1 if some are rejected, and 3 if it ended
// early: then it should run again.
package main

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/lib/pq"

	timpush "github.com/timpush/timpush-go"
)

// Schema is the tables. The second has a row for a job whose last run has ended early.
const Schema = `
create table if not exists customers (account text primary key, city text not null, level int not null);
create table if not exists nightly (job text primary key, account text not null);`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once, since the driver waits for a database that hangs. Two at the same time count as one: timeout(1)
	// sends its signal to the program, and also to its group.
	context.AfterFunc(ctx, func() { time.AfterFunc(100*time.Millisecond, stop) })
	rejected, err := run(ctx)
	switch {
	case err != nil:
		slog.Error("nightly ended early; run it again", "error", err)
		os.Exit(3)
	case rejected > 0:
		os.Exit(1)
	}
}

func run(ctx context.Context) (rejected int, err error) {
	client, err := newClient(ctx)
	if err != nil {
		return 0, err
	}
	connector, err := pq.NewConnector(os.Getenv("DATABASE_URL"))
	if err != nil { // it may repeat the URL, which has the password, as each query through sql.Open would
		return 0, errors.New("DATABASE_URL is not valid: characters of a password such as % and # must be escaped")
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	return send(ctx, db, client)
}

// grace is how long requests in flight may take once ctx has ended.
const grace = 10 * time.Second

// send sends the users after the last one that an earlier run has settled. When ctx ends it reads no more of them and, with a client of
// newClient, sends nothing more: it waits for the requests in flight.
func send(ctx context.Context, db *sql.DB, client *timpush.Client) (rejected int, err error) {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()

	p, err := loadProgress(sending, db)
	if err != nil {
		return 0, err
	}
	var early error
	for batch, err := range client.SetAttrSeq(sending, customers(ctx, db, p.after)) {
		rejected += batch.Rejected
		if partial, ok := errors.AsType[*timpush.PartialError](err); ok {
			report(ctx, partial) // these users are not done, and the stream goes on
		} else if err != nil {
			early = err // a *sourceError, or the reason for which the stream has ended
		}
		if err := p.settle(sending, batch); err != nil {
			return rejected, err // leaves the stream
		}
	}
	return rejected, p.end(context.WithoutCancel(ctx), early)
}

// report logs users that are not done, except those that are left for the next run since ctx has ended. Their attributes stay out of the log.
func report(ctx context.Context, partial *timpush.PartialError) {
	for user := range partial.Users() {
		if ctx.Err() == nil || user.Outcome != timpush.NotSent {
			slog.Warn("user is not done", "account", user.ToAccount, "outcome", user.Outcome, "error", user.Err)
		}
	}
}

// untilStopped lets no request through once the program is to stop: a stream has read thousands of users ahead.
type untilStopped struct {
	limiter timpush.Limiter
	stopped <-chan struct{}
}

// Wait waits for the limiter. Its error costs a request an attempt, so that soon all that wait are not sent.
func (l untilStopped) Wait(ctx context.Context) error {
	if err := l.isStopped(); err != nil {
		return err
	}
	if err := l.limiter.Wait(ctx); err != nil {
		return err
	}
	return l.isStopped()
}

func (l untilStopped) isStopped() error {
	select {
	case <-l.stopped:
		return errors.New("the program is to stop")
	default:
		return nil
	}
}

// Behind returns the limiter, which also keeps its rate where requests have waited for their connections.
func (l untilStopped) Behind() timpush.Limiter { return l.limiter }

// sourceError is an error of the database. Its type tells it from those of the push service.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// customers streams the users after an account, in the order of the accounts.
func customers(ctx context.Context, db *sql.DB, after string) iter.Seq2[timpush.UserAttrs, error] {
	return func(yield func(timpush.UserAttrs, error) bool) {
		rows, err := db.QueryContext(ctx, `select account, city, level from customers where account > $1 order by account`, after)
		if err != nil {
			yield(timpush.UserAttrs{}, &sourceError{err})
			return
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var account, city string
			var level int
			if err := rows.Scan(&account, &city, &level); err != nil {
				yield(timpush.UserAttrs{}, &sourceError{err})
				return
			}
			user := timpush.UserAttrs{ToAccount: account, Attrs: timpush.Attrs{"city": city, "level": strconv.Itoa(level)}}
			if !yield(user, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil { // also when ctx has ended: not all rows were read
			yield(timpush.UserAttrs{}, &sourceError{err})
		}
	}
}

func newClient(ctx context.Context) (*timpush.Client, error) {
	id, err := strconv.Atoi(os.Getenv("TIMPUSH_SDKAPPID"))
	if err != nil {
		return nil, errors.New("TIMPUSH_SDKAPPID is not the number that the console shows")
	}
	region, err := timpush.ParseRegion(os.Getenv("TIMPUSH_REGION"))
	if err != nil {
		return nil, err
	}
	limiter := timpush.NewLimiter(0.975 * timpush.DefaultQPS) // as a client has by itself
	options := []timpush.Option{timpush.WithLimiter(untilStopped{limiter, ctx.Done()})}
	if base := os.Getenv("TIMPUSH_BASE_URL"); base != "" {
		options = append(options, timpush.WithBaseURL(base))
	}
	return timpush.NewClient(timpush.Config{
		SDKAppID: id, Identifier: os.Getenv("TIMPUSH_IDENTIFIER"), SecretKey: os.Getenv("TIMPUSH_SECRET_KEY"), Region: region,
	}, options...)
}

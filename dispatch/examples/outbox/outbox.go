// Package outbox shows how a row in PostgreSQL and an attribute of the push service change together: the transaction that
// changes the row also puts the update into a table, the outbox, and a feeder moves it from there to the dispatcher.
package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
)

// Schema is the tables.
const Schema = `
create table if not exists customers (account text primary key, city text not null);
create table if not exists outbox (
	id      bigint generated always as identity primary key,
	account text not null,
	attrs   jsonb not null
);`

// Move changes a customer's city, in the row and in the push service, or in neither.
//
// The row comes first: it stays locked until the commit, so that the entries of an account get their ids in the order in
// which its rows change.
func Move(ctx context.Context, db *sql.DB, account, city string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	_, err = tx.ExecContext(ctx, `insert into customers values ($1, $2) on conflict (account) do update set city = excluded.city`, account, city)
	if err != nil {
		return err
	}
	attrs, err := json.Marshal(timpush.Attrs{"city": city})
	if err != nil {
		return err
	}
	if _, err = tx.ExecContext(ctx, `insert into outbox (account, attrs) values ($1, $2)`, account, attrs); err != nil {
		return err
	}
	return tx.Commit()
}

// Feed moves entries from the outbox to the queue until ctx ends. Any number of processes may run it; one works at a time.
func Feed(ctx context.Context, db *sql.DB, q *dispatch.Queue) error {
	for {
		n, err := feedSome(ctx, db, q)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // what is left stays in the outbox
		}
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// idle is how long PostgreSQL keeps the lock of a feeder that says nothing. Of a machine that has gone without a word it would keep it for two
// hours, and to store an entry takes 30 seconds at most.
var idle = time.Minute

// feedSome moves at most a hundred entries and returns how many. After a crash between storing and deleting they come
// again, with the same ids: within the duplicate window they are not stored twice, and after it they are, in the same order. A feeder
// that has stood still stores no more of them, since another one may have stored them all, and later ones.
func feedSome(ctx context.Context, db *sql.DB, q *dispatch.Queue) (int, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if _, err := tx.ExecContext(ctx, `select set_config('idle_in_transaction_session_timeout', $1, true)`, fmt.Sprint(idle.Milliseconds(), "ms")); err != nil {
		return 0, err
	}
	var mine bool
	if err := tx.QueryRowContext(ctx, `select pg_try_advisory_xact_lock(hashtext('outbox'))`).Scan(&mine); err != nil || !mine {
		return 0, err
	}
	asked := time.Now().Round(0) // not the monotonic clock, which stops where a machine sleeps
	ids, users, err := oldest(ctx, tx)
	if err != nil {
		return 0, err
	}
	for k, user := range users {
		if time.Since(asked) > idle/2 {
			return 0, errors.New("the feeder stood still, and its lock may be gone")
		}
		if err := store(ctx, q, ids[k], user); err != nil {
			return 0, err
		}
		asked = time.Now().Round(0)
		if _, err := tx.ExecContext(ctx, `delete from outbox where id = $1`, ids[k]); err != nil {
			return 0, err
		}
	}
	return len(ids), tx.Commit()
}

func store(ctx context.Context, q *dispatch.Queue, id int64, user timpush.UserAttrs) error {
	err := q.SetAttrOnce(ctx, fmt.Sprint("outbox ", id), user)
	if _, ok := errors.AsType[*timpush.InputError](err); ok {
		return nil // it can never be sent; a service would keep it in a table of its own
	}
	return err
}

// oldest reads the oldest entries.
func oldest(ctx context.Context, tx *sql.Tx) (ids []int64, users []timpush.UserAttrs, err error) {
	rows, err := tx.QueryContext(ctx, `select id, account, attrs from outbox order by id limit 100`)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		var user timpush.UserAttrs
		var attrs []byte
		if err := rows.Scan(&id, &user.ToAccount, &attrs); err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal(attrs, &user.Attrs); err != nil {
			return nil, nil, err
		}
		ids, users = append(ids, id), append(users, user)
	}
	return ids, users, rows.Err()
}

package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	timpush "github.com/timpush/timpush-go"
)

// progress is how far a run has come: an account up to which all users are settled. A position in the stream would not do,
// since rows may be added and deleted between two runs.
type progress struct {
	db    *sql.DB
	after string

	accounts map[int64]string // of the users after it that have an outcome, by their positions
	passed   int64            // users up to it
	stuck    bool             // a user is left that is worth sending again: this run goes no further than it
	stored   time.Time        // when it was last stored
}

// maxAhead is how many users may have an outcome after one that has none. One that is retried for so long will hardly be done.
const maxAhead = 500_000

func loadProgress(ctx context.Context, db *sql.DB) (*progress, error) {
	p := &progress{db: db, accounts: map[int64]string{}, stored: time.Now()}
	err := db.QueryRowContext(ctx, `select account from nightly where job = 'customers'`).Scan(&p.after)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil // the last run came to its end
	}
	return p, err
}

// settle takes a result, and stores how far the run has come once a second.
func (p *progress) settle(ctx context.Context, batch *timpush.BatchResult) error {
	for k, user := range batch.Users {
		p.accounts[batch.Positions[k]] = user.ToAccount
	}
	for ; !p.stuck && p.passed < batch.Checkpoint(); p.passed++ {
		p.after = p.accounts[p.passed]
		delete(p.accounts, p.passed)
	}
	if p.stuck = p.stuck || len(p.accounts) > maxAhead; p.stuck {
		clear(p.accounts)
	}
	if time.Since(p.stored) < time.Second {
		return nil
	}
	return p.store(ctx)
}

func (p *progress) store(ctx context.Context) error {
	p.stored = time.Now()
	_, err := p.db.ExecContext(ctx, `insert into nightly values ('customers', $1) on conflict (job) do update set account = excluded.account`, p.after)
	return err
}

// end stores how far the run has come if it has ended early, or if users are left that are worth sending again. Otherwise the
// next run begins with the first user.
func (p *progress) end(ctx context.Context, early error) error {
	if early == nil && (p.stuck || len(p.accounts) > 0) {
		early = errors.New("some users are not done, for reasons that pass")
	}
	if early != nil {
		return errors.Join(early, p.store(ctx))
	}
	_, err := p.db.ExecContext(ctx, `delete from nightly where job = 'customers'`)
	return err
}

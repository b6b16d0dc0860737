package pg

import (
	"context"
	"database/sql"
	"net/url"

	"github.com/google/uuid"
	"github.com/lib/pq"
)

// LostSettings names the settings that a connection asked for when it was opened, and that do not hold: something
// between this process and PostgreSQL dropped them.
func (d *DB) LostSettings(ctx context.Context) (lost []string, err error) {
	u, err := url.Parse(d.dsn)
	if err != nil {
		return nil, err
	}
	asked := u.Query()
	for _, name := range []string{"enable_seqscan", "plan_cache_mode", "jit", "statement_timeout"} {
		var same bool
		if err := d.GetContext(ctx, &same, `SELECT setting = $2 FROM pg_settings WHERE name = $1`, name,
			asked.Get(name)); err != nil {
			return nil, err
		}
		if !same {
			lost = append(lost, name)
		}
	}
	return lost, nil
}

// sharedRounds is how often it is tried to have two connections share one.
const sharedRounds = 5

// Shared says whether two connections of this process are served by one of PostgreSQL's in turn, as poolers do by
// transaction: then a connection's settings and prepared statements are another's, too.
func (d *DB) Shared(ctx context.Context) (shared bool, err error) {
	for range sharedRounds {
		if shared, err = d.sharedOnce(ctx); shared || err != nil {
			return shared, err
		}
	}
	return false, nil
}

// sharedOnce leaves a mark in one session and looks for it in another one that is busy meanwhile: a pooler gives that
// the connection which has just become free.
func (d *DB) sharedOnce(ctx context.Context) (bool, error) {
	plain, err := pq.NewConnector(d.dsn)
	if err != nil {
		return false, err
	}
	x := sql.OpenDB(plain)
	defer func() { _ = x.Close() }()
	first, err := x.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = first.Close() }()
	second, err := x.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = second.Close() }()
	mark, seen := uuid.NewString(), ""
	//keyturn:autocommit it is a setting of a session that ends
	if err := first.QueryRowContext(ctx, `SELECT set_config('keyturn.mark', '`+mark+`', false)`).Scan(&seen); err != nil {
		return false, err
	}
	tx, err := second.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }()
	const look = `SELECT coalesce(current_setting('keyturn.mark', true), '')`
	if err := tx.QueryRowContext(ctx, look).Scan(&seen); err != nil || seen == mark {
		return seen == mark, err
	}
	if err := first.QueryRowContext(ctx, look).Scan(&seen); err != nil {
		return false, err
	}
	return seen != mark, nil
}

package db

import (
	"context"
	"net/url"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// newestRowSQL is when something was last written that this database knows of, but for what a restore demanded, and
// never later than now. Whatever is missing was committed afterwards: a base backup holds all that was committed before
// its end, a dump all before its beginning.
const newestRowSQL = `
	SELECT CASE WHEN newest IS NOT NULL THEN least(newest, now()) END
	FROM (SELECT greatest((SELECT max(created_at) FROM orders), (SELECT max(created_at) FROM batches),
		(SELECT max(at) FROM line_log WHERE by <> '` + byRestore + `'), (SELECT max(at) FROM access_log),
		(SELECT max(sent_at) FROM deliveries), (SELECT max(ended_at) FROM attempts),
		(SELECT max(finished_at) FROM audits)) AS newest) AS n`

// InspectRestored looks at a database that was restored, and changes nothing. It gives the time since which something
// may be missing: that of the newest row, or claimed if that is earlier; a zero claimed claims nothing. KindConflict
// while other processes of Keyturn are connected, while the database cannot be written, and when it holds nothing;
// KindConfiguration when the key file is another one's.
func (d *DB) InspectRestored(ctx context.Context, claimed time.Time) (since time.Time, err error) {
	var found struct {
		Standby bool   `db:"standby"`
		Others  string `db:"others"`
	}
	if err := d.pg.GetContext(ctx, &found, `
		SELECT pg_is_in_recovery() AS standby, coalesce((SELECT string_agg(format('%s (process %s)', application_name, pid),
			', ' ORDER BY pid) FROM pg_stat_activity
			WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
				AND backend_type = 'client backend'
				AND application_name <> current_setting('application_name')), '') AS others`); err != nil {
		return since, pg.AsKind(err)
	}
	switch {
	case found.Standby:
		return since, keyturn.Errorf(keyturn.KindConflict,
			"the database is still recovering and cannot be written: end the recovery first (SELECT pg_promote())")
	case found.Others != "":
		return since, keyturn.Errorf(keyturn.KindConflict,
			"others are connected to the database: %s. Stop every API and worker, and whatever else writes", found.Others)
	}
	if err := d.CheckKeys(ctx); err != nil {
		return since, err
	}
	newest, err := d.newestRow(ctx)
	switch {
	case err != nil:
		return since, err
	case newest == nil:
		return since, keyturn.Errorf(keyturn.KindConflict,
			"the database holds no order and no key: it is not the one that was restored")
	case !claimed.IsZero() && claimed.Before(*newest):
		return claimed.UTC(), nil
	}
	return newest.UTC(), nil
}

func (d *DB) newestRow(ctx context.Context) (newest *time.Time, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := pg.AllowSeqScans(ctx, tx); err != nil {
			return err
		}
		return tx.GetContext(ctx, &newest, newestRowSQL)
	})
	return newest, err
}

// restorePoint is where a restore began.
type restorePoint struct {
	At      time.Time `db:"at"`       // when it was first seen
	LastKey int64     `db:"last_key"` // no key of the backup has a greater ID
}

// restorePoint notes a restore, or finds the one that is repeated: it has the same time, or nothing was written since.
// Otherwise it is another restore, of a backup that knows of earlier ones.
func (d *DB) restorePoint(ctx context.Context, since time.Time) (p restorePoint, err error) {
	newest, err := d.newestRow(ctx)
	if err != nil {
		return p, err
	}
	if newest == nil {
		newest = &since
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &p, `
			WITH known AS (
				SELECT at, last_key FROM restores WHERE since = $1 OR at >= $2 ORDER BY at DESC LIMIT 1
			), noted AS (
				INSERT INTO restores (since, last_key)
				SELECT $1, coalesce((SELECT max(id) FROM pool_keys), 0) WHERE NOT EXISTS (SELECT FROM known)
				RETURNING at, last_key
			)
			SELECT at, last_key FROM known UNION ALL SELECT at, last_key FROM noted`, since, *newest)
	})
	return p, err
}

// NewestFulfillments gives the first line of each of the newest orders, for a look whether Temporal knows them.
func (d *DB) NewestFulfillments(ctx context.Context, orders int) (ids []string, err error) {
	err = d.pg.SelectContext(ctx, &ids, `
		SELECT l.fulfillment_id FROM (SELECT id, created_at FROM orders ORDER BY created_at DESC, id DESC LIMIT $1) o
			CROSS JOIN LATERAL (SELECT fulfillment_id FROM line_items WHERE order_id = o.id ORDER BY position LIMIT 1) l
		ORDER BY o.created_at DESC`, orders)
	return ids, pg.AsKind(err)
}

// UnknownOutcomes are the outcomes of all undecided lines when Temporal has lost its state, too: each may have got its
// keys since the backup.
func (d *DB) UnknownOutcomes(ctx context.Context) (out []WorkflowOutcome, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		out = nil
		if err := pg.AllowSeqScans(ctx, tx); err != nil {
			return err
		}
		var ids []string
		if err := tx.SelectContext(ctx, &ids, `
			SELECT fulfillment_id FROM line_items WHERE status NOT IN ('DELIVERED', 'CANCELED') AND NOT blocked
			ORDER BY created_at, id`); err != nil {
			return err
		}
		for _, id := range ids {
			l, err := lockLine(ctx, tx, id)
			if err != nil {
				return err
			}
			out = append(out, WorkflowOutcome{
				FulfillmentID: id, LineID: l.ID, OrderID: l.OrderID, ProductID: l.ProductID, Source: l.source().Name(),
			})
		}
		return nil
	})
	return out, err
}

// CheckSchema says whether the database of the DSN has this version's schema. KindConflict.
func CheckSchema(ctx context.Context, dsn string) error {
	x, err := pg.Open(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = x.Close() }()
	have, _, err := schemaVersion(ctx, x)
	if err != nil {
		return err
	}
	want, err := neededVersion()
	switch {
	case err != nil:
		return err
	case have < want:
		return keyturn.Errorf(keyturn.KindConflict,
			"the database has the schema of an older version (migration %d of %d): run `keyturn migrate` first", have, want)
	case have > want:
		return keyturn.Errorf(keyturn.KindConflict,
			"the database has the schema of a newer version (migration %d, this build knows %d): use that version's build",
			have, want)
	}
	return nil
}

// WithApplication gives the DSN of connections that PostgreSQL shows under a name of this process's own.
func WithApplication(dsn, name string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn // Open says what is wrong with it
	}
	q := u.Query()
	q.Set("application_name", name)
	u.RawQuery = q.Encode()
	return u.String()
}

package db

import (
	"context"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn/pg"
)

// Server is what the database says of itself.
type Server struct {
	Version int           // such as 150004
	Commit  time.Duration // how long a commit takes, to the disk and back
}

// commits is how many are measured.
const commits = 5

// Server says what the database says of itself. It writes nothing but empty messages to the write-ahead log.
func (d *DB) Server(ctx context.Context) (s Server, err error) {
	if err := d.pg.GetContext(ctx, &s.Version,
		`SELECT CAST(current_setting('server_version_num') AS int)`); err != nil {
		return s, pg.AsKind(err)
	}
	took := make([]time.Duration, commits)
	for i := range took {
		begun := time.Now()
		if err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
			// a commit waits for the disk only if its transaction wrote something to the log
			_, err := tx.ExecContext(ctx, `SELECT pg_logical_emit_message(true, 'keyturn', '')`)
			return err
		}); err != nil {
			return s, err
		}
		took[i] = time.Since(begun)
	}
	slices.Sort(took)
	s.Commit = took[commits/2]
	return s, nil
}

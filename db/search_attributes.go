package db

import (
	"context"
	"strings"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// WatchSearchAttributes opens the alert that a namespace of Temporal's lacks search attributes, once, or closes it if
// none is missing. howTo is the command that creates them.
func (d *DB) WatchSearchAttributes(ctx context.Context, namespace string, missing []string, howTo string) error {
	subject := "temporal/" + namespace
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if len(missing) == 0 {
			return closeAlertOf(ctx, tx, subject, keyturn.AlertSearchAttributes)
		}
		return openAlertOf(ctx, tx, subject, keyturn.AlertSearchAttributes, AlertDetail{
			Happened: "Temporal's namespace " + namespace + " lacks the search attributes " + strings.Join(missing, ", ") +
				", without which no workflow starts: " + howTo,
		})
	})
}

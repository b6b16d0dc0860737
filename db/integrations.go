package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// readIntegration is an integration with its secrets.
type readIntegration struct {
	integration keyturn.Integration
	version     int64 // stands for this content for ever
}

// integrationFor gives an integration as it is, in a transaction; without one as it was when it was read last, and who
// uses that makes sure of its version.
func (d *DB) integrationFor(ctx context.Context, tx *sqlx.Tx, id string) (keyturn.Integration, int64, error) {
	if tx != nil {
		return d.integration(ctx, tx, id)
	}
	if r, ok := d.integrations.get(id); ok {
		return r.integration, r.version, nil
	}
	in, version, err := d.integration(ctx, d.pg, id)
	if err == nil {
		d.integrations.put(id, readIntegration{in, version})
	}
	return in, version, err
}

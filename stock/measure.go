package stock

import (
	"context"
	"fmt"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Measure is what `keyturn bench pools` measures. It leaves keys behind that belong to no line: it is for a database
// of its own.
type Measure struct{ s *Stock }

// NewMeasure allows as many connections as there are clients.
func NewMeasure(s *Stock, clients int) *Measure {
	s.pg.SetMaxOpenConns(clients + 4)
	s.pg.SetMaxIdleConns(clients + 4)
	return &Measure{s}
}

// Claim takes keys for a line that does not exist, by the statement and in the transaction of a line's first claim.
// Concurrent claims may hold the last keys for a moment: it asks again.
func (m *Measure) Claim(ctx context.Context, pool string, units int) error {
	for {
		taken, err := m.s.Take(ctx, m.s.pg.Implicit(), Claim{Pool: pool, Line: newID(), Units: units})
		if err != nil || len(taken) == units {
			return err
		}
	}
}

// Figures reads what the API shows of a pool.
func (m *Measure) Figures(ctx context.Context, pool string) (keyturn.PoolView, error) {
	return m.s.Pool(ctx, pool)
}

// Vacuum says how often PostgreSQL has vacuumed the keys by itself.
func (m *Measure) Vacuum(ctx context.Context) (text string, err error) {
	var n int
	err = m.s.pg.GetContext(ctx, &n, `SELECT autovacuum_count FROM pg_stat_user_tables WHERE relname = 'pool_keys'`)
	return fmt.Sprintf("%d automatic vacuums", n), pg.AsKind(err)
}

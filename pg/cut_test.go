package pg_test

import (
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A connection is reset while a transaction rests on it. Whatever the driver says of the next statement, of which it
// cannot send a byte: it is an outage, and whoever asked may ask again.
func TestAConnectionThatIsResetWithinATransactionIsAnOutage(t *testing.T) {
	t.Parallel()
	d, p := behindProxy(t)
	for n := range 20 {
		err := d.Tx(t.Context(), func(tx *sqlx.Tx) error {
			if err := insert(t.Context(), tx, 2*n); err != nil {
				return err
			}
			p.Cut(true)
			return insert(t.Context(), tx, 2*n+1)
		})
		require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "%v", err)
	}
}

package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/pg"
)

// What no row may say, whoever writes it.
func TestTablesRefuseWhatIsInconsistent(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "K-1", "K-2")
	f := s.order("o1", lineOf("game", 1))[0]
	s.claimed(f)
	s.delivered(f)
	for _, set := range []string{`status = 'PENDING'`, `lines_delivered = 0`} {
		_, err := s.pg.ExecContext(s.ctx, `UPDATE orders SET `+set) //keyturn:autocommit it is refused
		require.ErrorContains(t, err, "orders_status", set)
	}
	s.exec(`ALTER TABLE orders DROP CONSTRAINT orders_status`) // it would find these, too
	for table, sets := range map[string][]string{
		"orders": {
			`currency = 'eur'`, `gross_minor = -1`, `lines_total = 0`, `lines_trouble = -1`, `lines_delivered = -1`,
			`lines_canceling = -1`, `lines_canceled = -1`,
			`lines_trouble = 1`, // of one, which is delivered
		},
		"line_items": {
			`status = 'LOST'`, `quantity = 0`, `gross_minor = -1`, `status = 'WAITING_FOR_STOCK'`, `waiting_pool = 'games'`,
			`obtained_at = NULL`, `delivered_at = NULL`,
			`status = 'OBTAINED', obtained_at = NULL`, `status = 'CANCELED'`, `canceled_at = now()`,
			`license_id = gen_random_uuid()`, `operation_no = 1`, `blocked = true`,
		},
		"deliveries": {`kind = 'news'`, `status = 'LOST'`},
		"pool_keys": {
			`state = 'lost'`, `state = 'available'`, `state = 'expired'`, `state = 'withdrawn'`, `line_id = NULL`,
			`unit_no = NULL`, `line_id = NULL, unit_no = NULL`,
			`state = 'quarantined', unit_no = NULL`,
		},
	} {
		where := ""
		if table == "pool_keys" {
			where = ` WHERE state = 'delivered'`
		}
		for _, set := range sets {
			_, err := s.pg.ExecContext(s.ctx, `UPDATE `+table+` SET `+set+where) //keyturn:autocommit it is refused
			require.Equal(t, "23514", pg.SQLState(err), "%s: %s: %v", table, set, err)
			require.ErrorContains(t, err, table+"_consistent", set)
		}
	}
	for _, set := range []string{
		`line_id = gen_random_uuid(), unit_no = 0`, `state = 'claimed'`, `state = 'lost'`,
		`unit_no = 1`,
	} {
		//keyturn:autocommit it is refused
		_, err := s.pg.ExecContext(s.ctx, `UPDATE pool_keys SET `+set+` WHERE state = 'available'`)
		require.ErrorContains(t, err, "pool_keys_consistent", set)
	}
}

package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// CancelLink ends an open link. A repetition changes nothing. KindNotFound; KindConflict for one that is used, and
// while a customer is paying: end the payment first (PayableOf).
func (d *DB) CancelLink(ctx context.Context, id, by, reason string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		row, err := lockLink(ctx, tx, id)
		if err != nil {
			return err
		}
		switch row.statusNow() {
		case keyturn.LinkCanceled:
			return nil
		case keyturn.LinkUsed:
			return keyturn.Errorf(keyturn.KindConflict, "the checkout link is used: cancel its order %s", row.OrderID)
		case keyturn.LinkExpired:
			return keyturn.Errorf(keyturn.KindConflict, "the checkout link has expired: nobody can buy by it")
		case keyturn.LinkPaying:
			return keyturn.Errorf(keyturn.KindConflict, "a customer is paying by the checkout link at this moment")
		case keyturn.LinkOpen:
		}
		return moveLink(ctx, tx, &row, keyturn.LinkCanceled, by, reason)
	})
}

// ReopenLink allows MaxLinkPayments further payments of an open link. While so many are left a repetition changes
// nothing. KindNotFound; KindConflict for a link that has ended.
func (d *DB) ReopenLink(ctx context.Context, id, by, reason string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		row, err := lockLink(ctx, tx, id)
		if err != nil {
			return err
		}
		most := row.PaymentsBegun + keyturn.MaxLinkPayments
		switch status := row.statusNow(); {
		case status != keyturn.LinkOpen && status != keyturn.LinkPaying:
			return keyturn.Errorf(keyturn.KindConflict, "the checkout link is %s: make another one", status)
		case row.PaymentsMost >= most:
			return nil
		}
		return pg.ExpectOne(tx.ExecContext(ctx, `
			WITH reopened AS (
				UPDATE checkout_links SET payments_most = $3, version = version + 1 WHERE id = $1 AND version = $2
				RETURNING id, version, status
			)
			INSERT INTO link_log (link_id, version, from_status, to_status, by, reason)
			SELECT id, version, status, status, $4, $5 FROM reopened`, row.ID, row.Version, most, by, reason))
	})
}

// ExpireLinks ends the links whose time is over, at most 500 at once, and says how many there were. Others do it at the
// same time without harm.
func (d *DB) ExpireLinks(ctx context.Context) (n int, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var ids []string
		err := tx.SelectContext(ctx, &ids, `
			WITH due AS MATERIALIZED (
				SELECT id FROM checkout_links WHERE status = 'OPEN' AND expires_at <= now() ORDER BY expires_at LIMIT 500
				FOR UPDATE SKIP LOCKED
			), moved AS (
				UPDATE checkout_links k SET status = 'EXPIRED', version = version + 1, ended_at = clock_timestamp()
				FROM due WHERE k.id = due.id RETURNING k.id, k.version
			)
			INSERT INTO link_log (link_id, version, from_status, to_status, by)
			SELECT id, version, 'OPEN', 'EXPIRED', 'clock' FROM moved RETURNING link_id`)
		n = len(ids)
		return err
	})
	return n, err
}

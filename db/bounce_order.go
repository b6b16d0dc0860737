package db

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// paymentBounced books a report about an e-mail about a payment, or about the order that it made. Where there is an
// order, somebody can do something about it: operations are told, and the order page asks for another address. What the
// mail server said is not kept. BounceForeign: there is no such e-mail.
func (d *DB) paymentBounced(ctx context.Context, tx *sqlx.Tx, id string, r BounceReport) (BounceResult, error) {
	var found []struct {
		PaymentID  string                  `db:"payment_id"`
		CustomerID string                  `db:"customer_id"`
		Kind       keyturn.PaymentMailKind `db:"kind"`
	}
	if err := tx.SelectContext(ctx, &found, `
		SELECT m.payment_id, p.customer_id, m.kind FROM payment_mails m JOIN payments p ON p.id = m.payment_id
		WHERE m.id = $1`, id); err != nil || len(found) == 0 {
		return BounceForeign, err
	}
	if err := lockCustomer(ctx, tx, found[0].CustomerID); err != nil {
		return "", err
	}
	p, err := scanPayment(ctx, tx, `p.id = $1`, found[0].PaymentID)
	if err != nil {
		return "", err
	}
	snapshot, _, err := d.snapshot(p)
	erased := keyturn.KindOf(err) == keyturn.KindErased
	if err != nil && !erased {
		return "", err
	}
	var booked []bool
	if err := tx.SelectContext(ctx, &booked, `
		INSERT INTO bounces (id, payment_mail_id, kind, status, via, replaced)
		SELECT $1, y.id, $3, $4, $5, $6 OR y.kind = 'addressChanged' OR NOT `+newestMailSQL+`
		FROM payment_mails y WHERE y.id = $2
		ON CONFLICT (payment_mail_id, kind) WHERE payment_mail_id IS NOT NULL DO NOTHING RETURNING replaced`,
		newID(), id, r.Kind, r.Status, r.Via, erased); err != nil {
		return "", err
	}
	switch {
	case len(booked) == 0:
		return BounceKnown, nil
	case booked[0] || !r.Kind.Alerts() || p.OrderID == nil:
		return BounceBooked, nil
	}
	before, err := goOn(ctx, tx, "payment_mails", *p.OrderID, id, r.Kind)
	if err != nil {
		return "", err
	}
	if r.Kind == keyturn.BounceBadAddress && !before {
		to, err := d.presentAddress(ctx, tx, p, snapshot.Customer.Email)
		if err != nil {
			return "", err
		}
		if err := d.markAddress(ctx, tx, p.CustomerID, r.Recipient, d.EmailTag(to)); err != nil {
			return "", err
		}
	}
	return BounceBooked, p.alert(ctx, tx, keyturn.AlertBounced,
		fmt.Sprintf("%s. It was about the order as a whole (%s)", happenedTo(r), found[0].Kind))
}

// libraryBounced books a report about an e-mail with a link to a library. Nobody is told: whoever asked for the link
// can ask again, and the orders' own e-mails tell whether they arrive. BounceForeign: there is no such e-mail.
func (d *DB) libraryBounced(ctx context.Context, tx *sqlx.Tx, id string, r BounceReport) (BounceResult, error) {
	var found []string
	if err := tx.SelectContext(ctx, &found, `
		SELECT customer_id FROM library_links WHERE id = $1 AND customer_id IS NOT NULL`, id); err != nil ||
		len(found) == 0 {
		return BounceForeign, err
	}
	if err := lockCustomer(ctx, tx, found[0]); err != nil {
		return "", err
	}
	var booked [][]byte
	if err := tx.SelectContext(ctx, &booked, `
		WITH new AS (
			INSERT INTO bounces (id, library_link_id, kind, status, via, replaced) VALUES ($1, $2, $3, $4, $5, false)
			ON CONFLICT (library_link_id, kind) WHERE library_link_id IS NOT NULL DO NOTHING RETURNING library_link_id
		)
		SELECT coalesce(k.email_tag, '') FROM new JOIN library_links k ON k.id = new.library_link_id`,
		newID(), id, r.Kind, r.Status, r.Via); err != nil {
		return "", err
	}
	switch {
	case len(booked) == 0:
		return BounceKnown, nil
	case r.Kind != keyturn.BounceBadAddress || len(booked[0]) == 0:
		return BounceBooked, nil
	}
	return BounceBooked, d.markAddress(ctx, tx, found[0], r.Recipient, booked[0])
}

// lockCustomer locks a customer before what is theirs, in the order in which an erasure does.
func lockCustomer(ctx context.Context, tx *sqlx.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `SELECT FROM customers WHERE id = $1 FOR NO KEY UPDATE`, id)
	return err
}

package db

import (
	"context"
	"net/netip"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

// whatOrdered is what access_log says of a customer who pressed "order and pay".
const whatOrdered = "ordered"

// whatResent is what it says of a customer who had a line's e-mail sent again.
const whatResent = "resend"

// whatAddress is what it says of whoever gave another e-mail address.
const whatAddress = "address"

// addressAt is where the address in a row of access_log stands: about is the line, or the row's subject.
func addressAt(about string) string { return "access_log/" + about }

// sealAddress encrypts where somebody did something from; nil: it is not known.
func sealAddress(dk vault.DataKey, about string, from netip.Addr) ([]byte, error) {
	if !from.IsValid() {
		return nil, nil
	}
	return dk.Seal([]byte(from.String()), addressAt(about))
}

// logLook records that the customer looked at a line's keys, and from where.
func (d *DB) logLook(ctx context.Context, tx *sqlx.Tx, l *line, what string, from netip.Addr) error {
	dk, err := d.keyOfCustomer(ctx, tx, l.CustomerID)
	if err != nil {
		return err
	}
	address, err := sealAddress(dk, l.ID, from)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO access_log (line_id, by, what, address) VALUES ($1, $2, $3, $4)`,
		l.ID, byCustomer, what, address)
	return err
}

// logOrdered records from where a payment was begun.
func logOrdered(ctx context.Context, tx *sqlx.Tx, paymentID string, address []byte) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO access_log (subject, by, what, address) VALUES ($1, $2, $3, $4)`,
		"payment/"+paymentID, byCustomer, whatOrdered, address)
	return err
}

// orderedFrom is where the payment of an order was begun from; empty: it is not known, or not any more.
func (d *DB) orderedFrom(ctx context.Context, p *payment) (string, error) {
	var sealed [][]byte
	subject := "payment/" + p.ID
	//keyturn:autocommit it reads
	err := d.pg.SelectContext(ctx, &sealed, `
		SELECT address FROM access_log WHERE subject = $1 AND what = '`+whatOrdered+`' AND address IS NOT NULL LIMIT 1`,
		subject)
	if err != nil || len(sealed) == 0 || len(p.DataKey) == 0 {
		return "", pg.AsKind(err)
	}
	dk, err := d.keys.OpenDataKey(p.DataKey, "customer/"+p.CustomerID)
	if err != nil {
		return "", err
	}
	plain, err := dk.Open(sealed[0], addressAt(subject))
	return string(plain), err
}

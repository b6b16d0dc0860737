package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"golang.org/x/net/idna"
)

// emailTagSize is the length of an e-mail tag in bytes.
const emailTagSize = 16

// EmailTag is a keyed hash by which the orders of an e-mail address are found. Addresses that differ in the case of
// ASCII letters, or in how their domain is written, have one tag; all others have different ones. It survives rotations
// of the key file.
func (d *DB) EmailTag(address string) []byte {
	return d.keys.MAC("email/" + normalAddress(address))[:emailTagSize]
}

// normalAddress is the form of an address that its other forms are compared by. Nothing but ASCII is folded before the
// @: by Unicode's rules the Kelvin sign is a k, and whoever has one address could ask for the orders of the other.
func normalAddress(address string) string {
	address = strings.TrimSpace(address)
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return lowerASCII(address)
	}
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	if err != nil {
		domain = address[at+1:]
	}
	return lowerASCII(address[:at]) + "@" + lowerASCII(domain)
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// tagChunk bounds one transaction that tags orders: each is opened.
const tagChunk = 200

// TagOrders gives orders of earlier versions their e-mail tag, from the oldest, until there are most or none is left,
// and says how many got one. It may be repeated and run twice at once. One that does not open does not stop the others.
func (d *DB) TagOrders(ctx context.Context, most int) (n int, err error) {
	var failed error
	after, afterID := time.Time{}, ""
	for {
		var rows []struct {
			ID         string    `db:"id"`
			CustomerID string    `db:"customer_id"`
			Customer   []byte    `db:"customer"`
			DataKey    []byte    `db:"data_key"`
			CreatedAt  time.Time `db:"created_at"`
		}
		var ids []string
		err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
			rows, ids = nil, nil
			if err := tx.SelectContext(ctx, &rows, `
				SELECT o.id, o.customer_id, o.customer, c.data_key, o.created_at
				FROM orders o JOIN customers c ON c.id = o.customer_id
				WHERE o.email_tag IS NULL AND o.customer <> '' AND (o.created_at, o.id) > ($1, $2)
				ORDER BY o.created_at, o.id LIMIT $3 FOR NO KEY UPDATE OF o SKIP LOCKED`,
				after, afterID, tagChunk); err != nil || len(rows) == 0 {
				return err
			}
			var tags pq.ByteaArray
			for _, row := range rows {
				c, err := d.OpenCustomer(row.DataKey, row.CustomerID, row.ID, row.Customer)
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("order %s cannot be tagged: %w", row.ID, err))
					continue
				}
				ids, tags = append(ids, row.ID), append(tags, d.EmailTag(c.Email))
			}
			_, err := tx.ExecContext(ctx, `
				UPDATE orders o SET email_tag = t.tag
				FROM unnest(CAST($1 AS text[]), CAST($2 AS bytea[])) AS t (id, tag) WHERE o.id = t.id`, pq.Array(ids), tags)
			return err
		})
		if err != nil {
			return n, errors.Join(failed, err)
		}
		if n += len(ids); len(rows) < tagChunk || n >= most {
			return n, failed
		}
		last := rows[len(rows)-1]
		after, afterID = last.CreatedAt, last.ID
	}
}

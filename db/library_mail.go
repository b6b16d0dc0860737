package db

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

// LibraryMail is an e-mail with a link to a library that is about to be sent.
type LibraryMail struct {
	ID      string
	Message []byte

	try int // whose lease it is: the number of this attempt
}

// LibraryMailFacts is everything that an e-mail with a link to a library is made of. It holds personal data.
type LibraryMailFacts struct {
	ID        string // of the e-mail
	Ref       string // what it is called in its envelope
	Now       time.Time
	Customer  keyturn.Customer // of the latest order of the address, to which the e-mail goes
	Token     string           // of the link
	ExpiresAt time.Time
	Shop      keyturn.Shop
}

// RenderLibraryMail makes the bytes of an e-mail with a link to a library. KindInvalid when it cannot be made of these
// facts.
type RenderLibraryMail func(LibraryMailFacts) ([]byte, error)

// libraryMailAgain is when an e-mail with a link that did not go out is tried again; doubling, until the link is over.
const libraryMailAgain = 10 * time.Second

// DueLibraryMails gives the IDs of links to libraries that are due to be sent, the oldest first.
func (d *DB) DueLibraryMails(ctx context.Context, limit int) (ids []string, err error) {
	err = d.pg.SelectContext(ctx, &ids,
		`SELECT id FROM library_links WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT $1`, limit)
	return ids, pg.AsKind(err)
}

// BeginLibraryMail takes the lease on the e-mail of a link, and returns its bytes, which render makes at its first
// attempt, and which are stored then. A nil LibraryMail: another process has it, its time is over, or nobody has an
// order with the address that was asked for. It goes to the address as the order has it, never as somebody typed it.
func (d *DB) BeginLibraryMail(ctx context.Context, id string, render RenderLibraryMail) (out *LibraryMail, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		out = nil
		to, err := d.libraryCustomer(ctx, tx, id)
		if err != nil {
			return err
		}
		var rows []libraryMailRow
		if err := tx.SelectContext(ctx, &rows, `
			SELECT id, email_tag, message, attempts, expires_at, clock_timestamp() AS now FROM library_links
			WHERE id = $1 AND due_at <= clock_timestamp() FOR UPDATE SKIP LOCKED`, id); err != nil || len(rows) == 0 {
			return err
		}
		m := rows[0]
		if to == nil || !m.ExpiresAt.After(m.Now) {
			return endLibraryMail(ctx, tx, id, "")
		}
		message, sealed, err := d.libraryMail(ctx, tx, m, to, render)
		if kind := keyturn.KindOf(err); kind == keyturn.KindErased || cannotBeMade(err) {
			return endLibraryMail(ctx, tx, id, kind)
		}
		if err != nil {
			return err
		}
		out = &LibraryMail{ID: id, Message: message, try: m.Attempts + 1}
		_, err = tx.ExecContext(ctx, `
			UPDATE library_links SET status = 'SENDING', attempts = attempts + 1, customer_id = $2, token_hash = $3,
				message = $4, due_at = clock_timestamp() + make_interval(secs => $5)
			WHERE id = $1`, id, to.ID, pageHash(d.LibraryToken(id)), sealed, sendLease.Seconds())
		return err
	})
	return out, err
}

type libraryMailRow struct {
	ID        string    `db:"id"`
	EmailTag  []byte    `db:"email_tag"`
	Message   []byte    `db:"message"`
	Attempts  int       `db:"attempts"`
	ExpiresAt time.Time `db:"expires_at"`
	Now       time.Time `db:"now"`
}

// libraryCustomer is a customer to whom a link is sent.
type libraryCustomer struct {
	ID      string
	OrderID string
	Order   []byte // the latest order's customer, encrypted
	key     vault.DataKey
}

// libraryCustomer finds whom a link is sent to, and locks their row before the link's, in the order in which an erasure
// does. nil: nobody has an order with the address.
func (d *DB) libraryCustomer(ctx context.Context, tx *sqlx.Tx, linkID string) (*libraryCustomer, error) {
	var found []struct {
		OrderID    string `db:"order_id"`
		CustomerID string `db:"customer_id"`
		Customer   []byte `db:"customer"`
	}
	if err := tx.SelectContext(ctx, &found, `
		SELECT o.id AS order_id, o.customer_id, o.customer
		FROM library_links k JOIN orders o ON o.email_tag = k.email_tag
		WHERE k.id = $1 AND (k.customer_id IS NULL OR o.customer_id = k.customer_id)
		ORDER BY o.created_at DESC, o.id DESC LIMIT 1`, linkID); err != nil || len(found) == 0 {
		return nil, err
	}
	to := libraryCustomer{ID: found[0].CustomerID, OrderID: found[0].OrderID, Order: found[0].Customer}
	var wrapped []byte
	if err := tx.GetContext(ctx, &wrapped, `SELECT data_key FROM customers WHERE id = $1 FOR KEY SHARE`,
		to.ID); err != nil {
		return nil, err
	}
	var err error
	to.key, err = d.keys.OpenDataKey(wrapped, "customer/"+to.ID)
	if keyturn.KindOf(err) == keyturn.KindErased {
		return nil, nil
	}
	return &to, err
}

// libraryMail gives the bytes of an e-mail, and as they are stored.
func (d *DB) libraryMail(ctx context.Context, tx *sqlx.Tx, m libraryMailRow, to *libraryCustomer,
	render RenderLibraryMail,
) (message, sealed []byte, err error) {
	if m.Message != nil {
		message, err = to.key.Open(m.Message, "library_links/"+m.ID)
		return message, m.Message, err
	}
	plain, err := to.key.Open(to.Order, "orders/"+to.OrderID)
	if err != nil {
		return nil, nil, err
	}
	var c storedCustomer
	if err := json.Unmarshal(plain, &c); err != nil {
		return nil, nil, err
	}
	if !bytes.Equal(d.EmailTag(c.Email), m.EmailTag) { // it would show one address what another has bought
		return nil, nil, keyturn.Errorf(keyturn.KindInvalid, "order %s is found by another address than its own", to.OrderID)
	}
	f := LibraryMailFacts{
		ID: m.ID, Ref: d.MailRef(m.ID), Now: m.Now.UTC(), Customer: c.Customer, Token: d.LibraryToken(m.ID),
		ExpiresAt: m.ExpiresAt.UTC(),
	}
	if f.Shop, err = specOf[keyturn.Shop](ctx, tx, "shop", "entry", theShop); err != nil &&
		keyturn.KindOf(err) != keyturn.KindNotFound {
		return nil, nil, err
	}
	if message, err = render(f); err != nil {
		return nil, nil, err
	}
	sealed, err = to.key.Seal(message, "library_links/"+m.ID)
	return message, sealed, err
}

// endLibraryMail ends the attempts to send a link, with the kind of failure if there was one.
func endLibraryMail(ctx context.Context, tx *sqlx.Tx, id string, kind keyturn.Kind) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE library_links SET status = 'READY', due_at = NULL, message = '', error = coalesce(nullif($2, ''), error)
		WHERE id = $1`, id, string(kind))
	return err
}

// FinishLibraryMail books what the mail server said. One that did not go out is tried again until its link is over. The
// failure of a process that has lost its lease is not booked.
func (d *DB) FinishLibraryMail(ctx context.Context, sent *LibraryMail, failed error) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if failed == nil {
			_, err := tx.ExecContext(ctx, `
				UPDATE library_links SET status = 'SENT', sent_at = clock_timestamp(), due_at = NULL, error = NULL
				WHERE id = $1 AND status <> 'SENT'`, sent.ID)
			return err
		}
		_, err := tx.ExecContext(ctx, `
			UPDATE library_links SET status = 'READY', error = $3, due_at = clock_timestamp() + make_interval(secs => $4)
			WHERE id = $1 AND status = 'SENDING' AND attempts = $2`,
			sent.ID, sent.try, string(keyturn.KindOf(failed)), (libraryMailAgain << min(sent.try-1, 6)).Seconds())
		return err
	})
}

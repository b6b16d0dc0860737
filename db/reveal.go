package db

import (
	"context"
	"net/netip"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// whyRevealed is why a line is delivered whose customer has looked at its keys on the order page, because its e-mail
// did not go out. The step has byCustomer as its author.
const whyRevealed = "the customer opened the keys on the order page"

// mayReveal says whether the customer may look at the line's keys: once it is delivered, and as soon as the first try
// to send them has failed, once they are ours and paid for. tried: it was tried to send an e-mail with them.
func (l *line) mayReveal(tried bool) bool {
	if l.product.PageKeys == keyturn.PageKeysNever || l.CancelReason != nil || l.isNotice() {
		return false
	}
	f := l.failure()
	failed := l.Failures > 0 && (tried || f != nil && f.Kind == keyturn.KindConfiguration)
	return l.Status == keyturn.LineDelivered ||
		l.Status == keyturn.LineRetrying && l.ObtainedAt != nil && l.charged() && !l.Blocked && failed
}

// RevealToCustomer gives the keys of a line of the order behind the link, and records that they were looked at, and
// from where. what says at what: keys or file. Of a line whose e-mail does not go out, this look is the delivery: the
// e-mail is not sent any more, unless it is being sent at this moment. KindNotFound as for CustomerPageOf; KindConflict
// while the line has nothing to show, because who has seen a key must not also get the money, and once it is to be
// cancelled.
func (d *DB) RevealToCustomer(ctx context.Context, token, fulfillmentID, what string, from netip.Addr) (Deliverables,
	error,
) {
	var out Deliverables
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := d.lineByToken(ctx, tx, token, fulfillmentID)
		if err != nil {
			return err
		}
		out, err = d.reveal(ctx, tx, l, what, from)
		return err
	})
	return out, err
}

// RevealAllToCustomer is RevealToCustomer of the delivered lines on a page (from 1) of the order, by fulfillment ID.
// With always, it is of the products alone that have the page show their keys.
func (d *DB) RevealAllToCustomer(ctx context.Context, token string, page int, always bool, from netip.Addr) (
	map[string]Deliverables, error,
) {
	out := map[string]Deliverables{}
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		clear(out)
		o, _, err := d.orderByToken(ctx, tx, token)
		if err != nil {
			return err
		}
		var ids []string
		first := (page - 1) * CustomerPageLines
		if err := tx.SelectContext(ctx, &ids, `
			SELECT fulfillment_id FROM line_items WHERE order_id = $1 AND position > $2 AND position <= $3
				AND status = 'DELIVERED' ORDER BY position`, o.ID, first, first+CustomerPageLines); err != nil {
			return err
		}
		for _, id := range ids {
			l, err := lockLine(ctx, tx, id)
			if err != nil {
				return err
			}
			if l.Status != keyturn.LineDelivered || !l.mayReveal(true) ||
				always && l.product.PageKeys != keyturn.PageKeysAlways {
				continue
			}
			shown, err := d.reveal(ctx, tx, l, "keys", from)
			if keyturn.KindOf(err) == keyturn.KindConflict { // its licence was cancelled
				continue
			}
			if err != nil {
				return err
			}
			out[id] = shown
		}
		return nil
	})
	return out, err
}

// lineByToken locks a line of the order behind the link.
func (d *DB) lineByToken(ctx context.Context, tx *sqlx.Tx, token, fulfillmentID string) (*line, error) {
	id, ok := canonicalID(fulfillmentID)
	if !ok {
		return nil, keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
	}
	o, _, err := d.orderByToken(ctx, tx, token)
	if err != nil {
		return nil, err
	}
	l, err := lockLine(ctx, tx, id) // the page is no way to hold up other orders: they are refused right below
	if err != nil {
		return nil, err
	}
	if l.OrderID != o.ID {
		return nil, keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
	}
	return l, nil
}

// reveal is RevealToCustomer of a locked line.
func (d *DB) reveal(ctx context.Context, tx *sqlx.Tx, l *line, what string, from netip.Addr) (out Deliverables,
	err error,
) {
	var tried bool
	if err := tx.GetContext(ctx, &tried, `
		SELECT EXISTS (SELECT FROM deliveries WHERE line_id = $1 AND kind = 'keys' AND attempts > 0)`, l.ID); err != nil {
		return out, err
	}
	if !l.mayReveal(tried) {
		return out, keyturn.Errorf(keyturn.KindConflict, "the line is %s: there is nothing to show", l.Status)
	}
	if l.Status != keyturn.LineDelivered {
		if err := d.deliverByReveal(ctx, tx, l); err != nil {
			return out, err
		}
	}
	if l.LicenseID != nil { // what the licence has, whether this operation brought it or left it as it was
		out, err = d.licenseDeliverables(ctx, tx, *l.LicenseID, l.CustomerID)
	} else {
		out, err = d.deliverables(ctx, tx, l.ID, l.CustomerID)
	}
	if err != nil {
		return out, err
	}
	return out, d.logLook(ctx, tx, l, what, from)
}

// deliverByReveal delivers a line in the transaction in which its customer sees its keys. Its workflow, which waits to
// send the e-mail, is woken to end.
func (d *DB) deliverByReveal(ctx context.Context, tx *sqlx.Tx, l *line) error {
	if _, err := tx.ExecContext(ctx, cancelMailsSQL, l.ID, l.Now); err != nil {
		return err
	}
	if err := closeLineAlerts(ctx, tx, l); err != nil {
		return err
	}
	if l.LicenseID != nil {
		if err := d.applyOperation(ctx, tx, l); err != nil {
			return err
		}
	}
	l.markDelivered()
	if err := l.wakeNext(ctx, tx); err != nil {
		return err
	}
	var w pg.StmtBuilder
	if err := l.appendLineUpdate(&w, byCustomer, whyRevealed, ""); err != nil {
		return err
	}
	l.appendShown(&w)
	if err := l.runUpdate(ctx, tx, &w); err != nil {
		return err
	}
	return enqueue(ctx, tx, WorkflowWake, l.FulfillmentID)
}

// cancelMailsSQL keeps the e-mails with a line's keys from being sent. One that is being sent comes to its end; one
// whose process died may have arrived.
const cancelMailsSQL = `
	UPDATE deliveries SET message = '', error = 'revealed', exposed = exposed OR status = 'SENDING', status = 'READY',
		lease_until = NULL
	WHERE line_id = $1 AND kind = 'keys' AND (status = 'READY' OR status = 'SENDING' AND lease_until <= $2)`

// revealedSQL is the condition on an e-mail that its line was delivered by a look at the order page.
const revealedSQL = `EXISTS (SELECT FROM line_log g WHERE g.line_id = deliveries.line_id AND g.by = '` + byCustomer + `'
	AND g.to_status = 'DELIVERED')`

// resendsPerDay is how often a day a customer may have a line's e-mail sent again.
const resendsPerDay = 3

// ResendToCustomer has the e-mail of a delivered line of the order behind the link sent again, to the order's address.
// KindNotFound as for CustomerPageOf, KindConflict for a line without keys to send, KindRateLimited after three times
// in a day.
func (d *DB) ResendToCustomer(ctx context.Context, token, fulfillmentID string, render RenderMail) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := d.lineByToken(ctx, tx, token, fulfillmentID)
		if err != nil {
			return err
		}
		if l.Status != keyturn.LineDelivered || l.CancelReason != nil || l.isNotice() {
			return keyturn.Errorf(keyturn.KindConflict, "the line is %s: there are no keys to send again", l.Status)
		}
		var asked int
		if err := tx.GetContext(ctx, &asked, `
			SELECT count(*) FROM access_log WHERE line_id = $1 AND by = $2 AND what = '`+whatResent+`' AND at > $3`,
			l.ID, byCustomer, l.Now.Add(-24*time.Hour)); err != nil {
			return err
		}
		if asked >= resendsPerDay {
			return keyturn.Errorf(keyturn.KindRateLimited, "its e-mail was sent again %d times today", asked)
		}
		out, err := d.newDelivery(ctx, tx, l, newMail{kind: keyturn.DeliveryKeys, render: render})
		if err != nil {
			return err
		}
		if err := logAccess(ctx, tx, byCustomer, whatResent, l.ID); err != nil {
			return err
		}
		return enqueue(ctx, tx, WorkflowSend, out.ID)
	})
}

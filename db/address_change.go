package db

import (
	"cmp"
	"context"
	"encoding/json"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// addressChange is one change of an order's address, in a transaction that has locked the line that it is about, and
// then the order.
type addressChange struct {
	d       *DB
	tx      *sqlx.Tx
	id      string
	order   pageOrder
	was     storedCustomer
	line    *line // whose e-mail came back; nil: one about the order as a whole did
	address string
	by      string
	render  RenderMail
}

// lockOrder locks the order, so that one change follows the other, and reads it.
func (a *addressChange) lockOrder(ctx context.Context, where string, arg any) (err error) {
	if _, err := a.tx.ExecContext(ctx, `SELECT FROM orders o WHERE `+where+` FOR NO KEY UPDATE`, arg); err != nil {
		return err
	}
	a.order, a.was, err = a.d.pageOrderWhere(ctx, a.tx, where, arg)
	return err
}

// refuse refuses what a customer may not do.
func (a *addressChange) refuse(ctx context.Context) error {
	lost, err := a.lost(ctx)
	switch {
	case err != nil:
		return err
	case !lost || a.order.CancelReason != nil || a.line != nil && !a.line.mayGoElsewhere():
		return keyturn.Errorf(keyturn.KindConflict, "no e-mail came back that is still to be delivered")
	case a.was.Email == a.address:
		return keyturn.Errorf(keyturn.KindInvalid, "it is the order's address already")
	}
	return nil
}

// mayGoElsewhere says that the line is paid, and its keys are still the customer's.
func (l *line) mayGoElsewhere() bool { return l.CancelReason == nil && l.charged() && !refundedLine(l) }

func refundedLine(l *line) bool {
	return l.Status == keyturn.LineCanceling || l.Status == keyturn.LineCanceled
}

// lost says that the line's newest e-mail with the keys came back, or one about the order as a whole.
func (a *addressChange) lost(ctx context.Context) (lost bool, err error) {
	if a.line == nil {
		return a.d.orderMailLost(ctx, a.tx, a.order)
	}
	return lost, a.tx.GetContext(ctx, &lost, `SELECT EXISTS (SELECT FROM deliveries y WHERE y.line_id = $1 AND `+
		newestLostSQL+`)`, a.line.ID)
}

// newestLostSQL is the condition on the e-mail y that it is its line's newest with the keys, and came back.
var newestLostSQL = `y.kind = 'keys' AND ` + lostSQL + ` AND NOT EXISTS (
	SELECT FROM deliveries n WHERE n.line_id = y.line_id AND n.kind = 'keys' AND n.number > y.number)`

// orderMailLost says that an e-mail about the order as a whole, to its present address, came back.
func (d *DB) orderMailLost(ctx context.Context, q sqlx.QueryerContext, o pageOrder) (lost bool, err error) {
	if o.PaymentID == nil {
		return false, nil
	}
	return lost, sqlx.GetContext(ctx, q, &lost, `
		SELECT EXISTS (SELECT FROM payment_mails y WHERE y.payment_id = $1 AND `+newestMailLostSQL+`
			AND y.created_at > coalesce($2, y.created_at - interval '1 day'))`, *o.PaymentID, o.CorrectedAt)
}

// newestMailLostSQL is the condition on the e-mail y about a payment that it is the newest of its kind, and came back.
// That of the news to an old address is not asked for.
var newestMailLostSQL = `y.kind <> 'addressChanged' AND EXISTS (
		SELECT FROM bounces b WHERE b.payment_mail_id = y.id AND b.kind IN (` + lostKindsSQL + `))
	AND ` + newestMailSQL

// newestMailSQL is the condition on the e-mail y about a payment that it is the newest of its kind.
const newestMailSQL = `NOT EXISTS (
	SELECT FROM payment_mails n WHERE n.payment_id = y.payment_id AND n.kind = y.kind AND n.created_at > y.created_at)`

// store stores the address. number is that of a customer's corrections; 0: an operator's.
func (a *addressChange) store(ctx context.Context, number int) error {
	if number > MostCorrections {
		return keyturn.Errorf(keyturn.KindRateLimited, "the order was given another address %d times", MostCorrections)
	}
	dk, err := a.d.keyOfCustomer(ctx, a.tx, a.order.CustomerID)
	if err != nil {
		return err
	}
	a.id = newID()
	sealed, err := dk.Seal([]byte(a.address), changePlace(a.id))
	if err != nil {
		return err
	}
	var lineID *string
	if a.line != nil {
		lineID = &a.line.ID
	}
	if _, err := a.tx.ExecContext(ctx, `
		INSERT INTO address_changes (id, order_id, number, line_id, address, by) VALUES ($1, $2, nullif($3, 0), $4, $5, $6)`,
		a.id, a.order.ID, number, lineID, sealed, a.by); err != nil {
		return err
	}
	if a.line == nil {
		return logPersonal(ctx, a.tx, a.by, whatAddress, "order/"+a.order.ID)
	}
	return logAccess(ctx, a.tx, a.by, whatAddress, a.line.ID)
}

func changePlace(id string) string { return "address_changes/" + id }

// neverShown says that a product of the order never shows its keys on the order page.
func (a *addressChange) neverShown(ctx context.Context) (bool, error) {
	var specs []struct {
		ID   string `db:"id"`
		Spec string `db:"spec"`
	}
	if err := a.tx.SelectContext(ctx, &specs, `
		SELECT p.id, p.spec FROM products p WHERE p.id IN (
			SELECT l.product_id FROM line_items l WHERE l.order_id = $1 AND l.status NOT IN ('CANCELING', 'CANCELED'))`,
		a.order.ID); err != nil {
		return false, err
	}
	for _, s := range specs {
		product, err := readStored(s.ID, s.Spec)
		if err != nil || product.PageKeys == keyturn.PageKeysNever {
			return true, err
		}
	}
	return false, nil
}

// ask tells operations that the change waits for them.
func (a *addressChange) ask(ctx context.Context) error {
	const waits = "an e-mail came back, and the customer gave another address on the order page. A product of the order " +
		"never shows its keys there, so that the address waits for your yes"
	if a.line == nil {
		subject := "payment/" + *a.order.PaymentID
		if err := closeAlertOf(ctx, a.tx, subject, keyturn.AlertBounced); err != nil {
			return err
		}
		return openAlertOf(ctx, a.tx, subject, keyturn.AlertBounced, AlertDetail{OrderID: a.order.ID, Happened: waits})
	}
	if err := closeLineAlert(ctx, a.tx, a.line, keyturn.AlertBounced); err != nil {
		return err
	}
	return openLineAlert(ctx, a.tx, a.line, keyturn.AlertBounced, waits)
}

// carryOut gives the order its new address, has the e-mail of the change's line made anew and the old address told, and
// gives the ID of the line's e-mail, or else of the other one. The order's other e-mails follow one by one (carryOn),
// so that the change is one short transaction however large the order is.
func (a *addressChange) carryOut(ctx context.Context) (deliveryID string, err error) {
	sealed, err := a.readdress(ctx)
	if err != nil {
		return "", err
	}
	if a.line == nil {
		return a.tellOldOfOrder(ctx)
	}
	old := a.was.Email
	a.line.CustomerSealed = sealed
	anew, _, err := a.d.mailAnew(ctx, a.tx, a.line, a.id, a.by, a.render)
	if err != nil {
		return "", err
	}
	notice, err := a.tellOld(ctx, old)
	return cmp.Or(anew, notice), err
}

// readdress changes the order's address.
func (a *addressChange) readdress(ctx context.Context) (sealed []byte, err error) {
	dk, err := a.d.keyOfCustomer(ctx, a.tx, a.order.CustomerID)
	if err != nil {
		return nil, err
	}
	c := a.was
	c.Email = a.address
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if sealed, err = dk.Seal(plain, "orders/"+a.order.ID); err != nil {
		return nil, err
	}
	if err := pg.ExpectOne(a.tx.ExecContext(ctx, `
		UPDATE orders SET customer = $2, email_tag = $3 WHERE id = $1 AND customer <> ''`,
		a.order.ID, sealed, a.d.EmailTag(a.address))); err != nil {
		return nil, err
	}
	return sealed, pg.ExpectOne(a.tx.ExecContext(ctx, `
		UPDATE address_changes SET done_at = clock_timestamp(), done_by = $2, carry_at = clock_timestamp()
		WHERE id = $1 AND done_at IS NULL`, a.id, a.by))
}

// tellOld tells the old address all the same: a report may be wrong, or the change somebody else's.
func (a *addressChange) tellOld(ctx context.Context, old string) (deliveryID string, err error) {
	l, err := lockLine(ctx, a.tx, a.line.FulfillmentID) // as it is now
	if err != nil {
		return "", err
	}
	notice, err := a.d.newDelivery(ctx, a.tx, l,
		newMail{kind: keyturn.DeliveryAddressChanged, to: old, render: a.render})
	if err != nil {
		return "", err
	}
	if err := madeFor(ctx, a.tx, notice.ID, a.id); err != nil {
		return "", err
	}
	return notice.ID, enqueue(ctx, a.tx, WorkflowSend, notice.ID)
}

// tellOldOfOrder is tellOld of a change that is about no line: the payment's workflow sends it.
func (a *addressChange) tellOldOfOrder(ctx context.Context) (mailID string, err error) {
	mailID = newID()
	if _, err := a.tx.ExecContext(ctx, `
		INSERT INTO payment_mails (id, payment_id, kind, change_id, due_at)
		VALUES ($1, $2, 'addressChanged', $3, clock_timestamp())`, mailID, *a.order.PaymentID, a.id); err != nil {
		return "", err
	}
	return mailID, enqueue(ctx, a.tx, WorkflowPayment, *a.order.PaymentID)
}

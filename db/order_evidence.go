package db

import (
	"context"
	"fmt"
	"strings"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// OrderEvidence gathers what there is to say in a dispute of an order. With customer it says who that is, and
// records that by saw it. KindNotFound.
func (d *DB) OrderEvidence(ctx context.Context, orderID string, customer bool, by string) (
	keyturn.OrderEvidence, error,
) {
	order, err := d.Order(ctx, orderID)
	if customer && err == nil {
		order, err = d.OrderWithCustomer(ctx, orderID, by)
	}
	if err != nil {
		return keyturn.OrderEvidence{}, err
	}
	out := keyturn.OrderEvidence{
		OrderID: order.ID, Customer: order.Customer, CreatedAt: order.CreatedAt, Mails: []keyturn.EvidenceOfMail{},
		Accesses: []keyturn.EvidenceOfAccess{}, Text: map[string]string{},
	}
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &out.Mails, `
		SELECT m.kind AS what, 0 AS line, m.sent_at AS accepted_at FROM payments p JOIN payment_mails m ON m.payment_id = p.id
		WHERE p.order_id = $1 AND m.status = 'SENT'
		UNION ALL
		SELECT s.kind, l.position + 1, s.sent_at FROM line_items l JOIN deliveries s ON s.line_id = l.id
		WHERE l.order_id = $1 AND s.status = 'SENT' ORDER BY 3`, orderID); err != nil {
		return out, pg.AsKind(err)
	}
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &out.Accesses, `
		SELECT l.position + 1 AS line, a.by, a.what, a.at FROM line_items l JOIN access_log a ON a.line_id = l.id
		WHERE l.order_id = $1 AND a.by = '`+byCustomer+`' ORDER BY a.at`, orderID); err != nil {
		return out, pg.AsKind(err)
	}
	if out.Disputes, err = d.disputes(ctx, orderID); err != nil {
		return out, err
	}
	if p, err := scanPayment(ctx, d.pg, `p.order_id = $1`, orderID); err == nil {
		snapshot, _, err := d.snapshot(p)
		if err != nil && keyturn.KindOf(err) != keyturn.KindErased {
			return out, err
		}
		out.Consent = snapshot.Consent
	} else if keyturn.KindOf(err) != keyturn.KindNotFound {
		return out, err
	}
	out.Text = evidenceText(order, out)
	return out, nil
}

func (d *DB) disputes(ctx context.Context, orderID string) (out []keyturn.DisputeView, err error) {
	var rows []struct {
		ID       string     `db:"id"`
		Status   string     `db:"status"`
		Minor    int64      `db:"amount_minor"`
		Currency string     `db:"currency"`
		Reason   string     `db:"reason"`
		DueAt    *time.Time `db:"due_at"`
		ClosedAt *time.Time `db:"closed_at"`
	}
	//keyturn:autocommit it reads
	err = d.pg.SelectContext(ctx, &rows, `
		SELECT a.id, a.status, a.amount_minor, a.currency, a.reason, a.due_at, a.closed_at
		FROM payments p JOIN payment_aftermath a ON a.payment_id = p.id
		WHERE p.order_id = $1 AND a.kind = '`+afterDispute+`' ORDER BY a.noted_at`, orderID)
	for _, r := range rows {
		out = append(out, keyturn.DisputeView{
			ID: r.ID, Status: r.Status, Amount: keyturn.Money{Minor: r.Minor, Currency: r.Currency}.String(),
			Currency: r.Currency, Reason: r.Reason, DueAt: utc(r.DueAt), ClosedAt: utc(r.ClosedAt),
		})
	}
	return out, pg.AsKind(err)
}

// evidenceText says it in English, by the names of Stripe's fields.
func evidenceText(order keyturn.OrderView, e keyturn.OrderEvidence) map[string]string {
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }
	text := map[string]string{}
	var goods, log strings.Builder
	fmt.Fprintf(&goods, "Order %s of %s, %s %s, digital goods that are delivered by e-mail:\n", order.ID,
		at(order.CreatedAt), order.GrossPrice, order.Currency)
	for i, l := range order.LineItems {
		fmt.Fprintf(&goods, "%d. %s, quantity %d, %s %s: %s\n", i+1, l.ProductID, l.Quantity, l.GrossPrice, order.Currency,
			l.Status)
	}
	for _, m := range e.Mails {
		fmt.Fprintf(&log, "%s: the customer's mail server accepted the e-mail %q", at(m.AcceptedAt), m.What)
		if m.Line > 0 {
			fmt.Fprintf(&log, " of line %d", m.Line)
		}
		log.WriteString("\n")
	}
	for _, a := range e.Accesses {
		fmt.Fprintf(&log, "%s: the customer opened line %d on the order's page (%s)\n", at(a.At), a.Line, a.What)
	}
	text["product_description"], text["access_activity_log"] = goods.String(), log.String()
	if e.Consent != nil {
		text["uncategorized_text"] = "On " + at(e.Consent.At) + " the customer agreed to: " + e.Consent.Text
	}
	if e.Customer != nil {
		text["customer_email_address"] = e.Customer.Email
		text["customer_name"] = strings.TrimSpace(e.Customer.FirstName + " " + e.Customer.LastName)
	}
	return text
}

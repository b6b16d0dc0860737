package db

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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
		SELECT m.kind AS what, 0 AS line, m.sent_at AS accepted_at,
			(SELECT min(b.at) FROM bounces b WHERE b.payment_mail_id = m.id AND b.kind IN (`+lostKindsSQL+`)) AS came_back_at
		FROM payments p JOIN payment_mails m ON m.payment_id = p.id
		WHERE p.order_id = $1 AND m.status = 'SENT'
		UNION ALL
		SELECT s.kind, l.position, s.sent_at,
			(SELECT min(b.at) FROM bounces b WHERE b.delivery_id = s.id AND b.kind IN (`+lostKindsSQL+`))
		FROM line_items l JOIN deliveries s ON s.line_id = l.id
		WHERE l.order_id = $1 AND s.status = 'SENT' ORDER BY 3`, orderID); err != nil {
		return out, pg.AsKind(err)
	}
	if out.Accesses, err = d.accesses(ctx, orderID, customer); err != nil {
		return out, err
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
		if customer {
			if out.OrderedFrom, err = d.orderedFrom(ctx, p); err != nil {
				return out, err
			}
		}
	} else if keyturn.KindOf(err) != keyturn.KindNotFound {
		return out, err
	}
	names, err := d.productNames(ctx, orderID)
	if err != nil {
		return out, err
	}
	for i, l := range order.LineItems {
		if l.Name == "" { // no checkout link has given it another one
			order.LineItems[i].Name = names[l.ProductID]
		}
	}
	out.Text = evidenceText(order, out)
	return out, nil
}

// productNames are the names of an order's products, as far as they are still in the catalog.
func (d *DB) productNames(ctx context.Context, orderID string) (map[string]string, error) {
	var rows []struct {
		ID   string `db:"id"`
		Name string `db:"name"`
	}
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &rows, `
		SELECT DISTINCT p.id, CAST(p.spec AS json) ->> 'name' AS name
		FROM line_items l JOIN products p ON p.id = l.product_id WHERE l.order_id = $1`, orderID); err != nil {
		return nil, pg.AsKind(err)
	}
	names := map[string]string{}
	for _, r := range rows {
		names[r.ID] = r.Name
	}
	return names, nil
}

// accesses are the looks at the keys of an order's lines on its page; where from is told to those who may know who the
// customer is.
func (d *DB) accesses(ctx context.Context, orderID string, where bool) ([]keyturn.EvidenceOfAccess, error) {
	var rows []struct {
		keyturn.EvidenceOfAccess

		LineID     string `db:"line_id"`
		CustomerID string `db:"customer_id"`
		Sealed     []byte `db:"sealed"`
		DataKey    []byte `db:"data_key"`
	}
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &rows, `
		SELECT l.position AS line, a.by, a.what, a.at, l.id AS line_id, o.customer_id, a.address AS sealed, c.data_key
		FROM orders o JOIN customers c ON c.id = o.customer_id JOIN line_items l ON l.order_id = o.id
			JOIN access_log a ON a.line_id = l.id
		WHERE o.id = $1 AND a.by = '`+byCustomer+`' ORDER BY a.at`, orderID); err != nil {
		return nil, pg.AsKind(err)
	}
	out := make([]keyturn.EvidenceOfAccess, len(rows))
	for i, r := range rows {
		out[i] = r.EvidenceOfAccess
		if !where || len(r.Sealed) == 0 || len(r.DataKey) == 0 {
			continue
		}
		dk, err := d.keys.OpenDataKey(r.DataKey, "customer/"+r.CustomerID)
		if err != nil {
			return nil, err
		}
		plain, err := dk.Open(r.Sealed, addressAt(r.LineID))
		if err != nil {
			return nil, err
		}
		out[i].Address = string(plain)
	}
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
		FROM `+afterOrderSQL+` WHERE o.id = $1 AND a.kind = '`+afterDispute+`' ORDER BY a.noted_at`, orderID)
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
	text := map[string]string{"product_description": goodsText(order), "access_activity_log": logText(e)}
	if e.Consent != nil {
		text["uncategorized_text"] = "On " + evidenceTime(e.Consent.At) + " the customer agreed to: " + e.Consent.Text
	}
	if e.OrderedFrom != "" {
		text["customer_purchase_ip"] = e.OrderedFrom
	}
	if e.Customer != nil {
		text["customer_email_address"] = e.Customer.Email
		text["customer_name"] = strings.TrimSpace(e.Customer.FirstName + " " + e.Customer.LastName)
	}
	return text
}

func evidenceTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

func goodsText(order keyturn.OrderView) string {
	var goods strings.Builder
	fmt.Fprintf(&goods, "Order %s of %s, %s %s, digital goods that are delivered by e-mail:\n", order.ID,
		evidenceTime(order.CreatedAt), order.GrossPrice, order.Currency)
	for i, l := range order.LineItems {
		fmt.Fprintf(&goods, "%d. %s, quantity %d, %s %s: %s\n", i+1, cmp.Or(l.Name, l.ProductID), l.Quantity,
			l.GrossPrice, order.Currency, l.Status)
	}
	return goods.String()
}

// logText says what was sent and looked at, in the order of time.
func logText(e keyturn.OrderEvidence) string {
	type entry struct {
		at   time.Time
		text string
	}
	var log []entry
	for _, m := range e.Mails {
		mail := fmt.Sprintf("the e-mail %q", m.What)
		if m.Line > 0 {
			mail += fmt.Sprintf(" of line %d", m.Line)
		}
		log = append(log, entry{m.AcceptedAt, "the customer's mail server accepted " + mail})
		if m.CameBackAt != nil {
			log = append(log, entry{*m.CameBackAt, mail + " came back"})
		}
	}
	for _, a := range e.Accesses {
		log = append(log, entry{a.At, accessText(a)})
	}
	slices.SortStableFunc(log, func(a, b entry) int { return a.at.Compare(b.at) })
	var out strings.Builder
	for _, l := range log {
		out.WriteString(evidenceTime(l.at) + ": " + l.text + "\n")
	}
	return out.String()
}

func accessText(a keyturn.EvidenceOfAccess) string {
	text := fmt.Sprintf("the customer opened line %d on the order's page (%s)", a.Line, a.What)
	switch a.What {
	case whatResent:
		text = fmt.Sprintf("the customer had the e-mail of line %d sent again", a.Line)
	case whatAddress:
		text = fmt.Sprintf("the customer gave another e-mail address, on the order's page at line %d", a.Line)
	}
	if a.Address != "" {
		text += " from " + a.Address
	}
	return text
}

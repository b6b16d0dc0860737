package db

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// PaymentStart is what a customer sends who presses "order and pay".
type PaymentStart struct {
	Token    string
	Version  int              // of the page
	Customer keyturn.Customer // as filled in; its ID is the link's
	Consent  *keyturn.Consent
	// Withdrawal is what becomes of the customer's right of withdrawal; empty of one who has none
	Withdrawal keyturn.Withdrawal
	From       netip.Addr // where the customer orders from, if that is known
	// PayWithin is how long the customer has to pay.
	PayWithin    time.Duration
	CheckAddress func(string) error // the rule for e-mail addresses
	Respond      func(Accepted) ([]byte, error)
}

// PaymentBegun is a payment that was stored.
type PaymentBegun struct {
	ID       string
	Repeated bool // it was begun before, perhaps by somebody else who has the link's address
	// Accepted is the order of a link whose total is zero: there is nothing to pay.
	Accepted *Accepted
}

// openAfter is when the workflow opens a payment's session whose page has not done so: its process died.
const openAfter = 30 * time.Second

// BeginPayment freezes what the customer buys and stores a payment for it, before the processor is asked. Pressed
// twice, it gives the same payment. Errors: KindInvalid for what is filled in wrongly, by field; ErrOlderPage;
// KindConflict while the link is not for sale, with the field `sell` where a product is not sold in its state;
// KindRateLimited when a payment was begun too often.
func (d *DB) BeginPayment(ctx context.Context, in PaymentStart) (PaymentBegun, error) {
	v, err := d.visit(ctx, in.Token)
	if err != nil {
		return PaymentBegun{}, err
	}
	page, err := d.checkoutPage(ctx, v)
	if err != nil {
		return PaymentBegun{}, err
	}
	row, link, dk := v.row, v.link, v.dk
	in.Customer.ID = row.CustomerID
	if in.Customer.Locale == "" {
		in.Customer.Locale = link.Locale
	}
	p := payment{
		ID: newID(), LinkID: row.ID, Number: row.PaymentsBegun + 1, Provider: row.Provider, Capture: link.Capture,
		Mixed: link.Mixed, CustomerID: row.CustomerID, Currency: row.Currency, TotalMinor: page.Total.Minor,
		Status: keyturn.PaymentCreated, Version: 1, saved: keyturn.PaymentCreated,
	}
	if p.TotalMinor == 0 {
		p.Provider = keyturn.PaymentNone
	}
	snapshot := PaymentSnapshot{
		Reference: link.Reference, Customer: in.Customer, Consent: in.Consent, AdditionalData: link.AdditionalData,
		Withdrawal: in.Withdrawal,
		Promise:    keyturn.Duration(page.Promise),
	}
	for _, l := range page.Lines {
		snapshot.Lines = append(snapshot.Lines, l.frozen())
	}
	if err := snapshot.order(row.OrderID, p.Provider, p.ID, row.Currency).Check(in.CheckAddress); err != nil {
		return PaymentBegun{}, err
	}
	plain, err := json.Marshal(snapshot)
	if err != nil {
		return PaymentBegun{}, err
	}
	if p.Snapshot, err = dk.Seal(plain, "payments/"+p.ID); err != nil {
		return PaymentBegun{}, err
	}
	p.DataKey = row.DataKey
	from, err := sealAddress(dk, "payment/"+p.ID, in.From)
	if err != nil {
		return PaymentBegun{}, err
	}
	var accept acceptance
	if p.TotalMinor == 0 { // there is nothing to wait for: the order is accepted along with it
		if accept, err = d.prepareAcceptance(ctx, &p, snapshot, row, in.Respond); err != nil {
			return PaymentBegun{}, err
		}
	}
	out := PaymentBegun{ID: p.ID}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		out = PaymentBegun{ID: p.ID}
		row, err := lockLink(ctx, tx, row.ID)
		if err != nil {
			return err
		}
		if row.Status == keyturn.LinkPaying { // pressed twice, or in another tab
			out.Repeated = true
			err := tx.GetContext(ctx, &out.ID,
				`SELECT id FROM payments WHERE link_id = $1 AND status IN ('CREATED', 'OPEN', 'PROCESSING')`, row.ID)
			if errors.Is(err, sql.ErrNoRows) {
				return keyturn.Errorf(keyturn.KindConflict, "the checkout link was paid, and a person is to decide on that")
			}
			return err
		}
		switch {
		case !bytes.Equal(row.DataKey, p.DataKey): // its customer is being erased
			return ErrOlderPage
		case row.statusNow() != keyturn.LinkOpen:
			return keyturn.Errorf(keyturn.KindConflict, "the checkout link is %s", row.statusNow())
		case row.PaymentsBegun >= row.PaymentsMost:
			return keyturn.Errorf(keyturn.KindRateLimited, "the payment was begun %d times, which is all that a link allows",
				row.PaymentsBegun)
		case row.Version != in.Version || row.Version != page.Version:
			return ErrOlderPage
		}
		for i, l := range page.Lines {
			if l.Sellability.Refused {
				return &keyturn.Error{
					Kind: keyturn.KindConflict, Message: "product " + l.ProductID + " is not sold now",
					Fields: []keyturn.FieldError{{Location: "sell", Message: lineAt(i) + " is " + string(l.Sellability.Code)}},
				}
			}
		}
		p := p
		if err := p.insert(ctx, tx, in.PayWithin, page.takes); err != nil {
			return err
		}
		if from != nil {
			if err := logOrdered(ctx, tx, p.ID, from); err != nil {
				return err
			}
		}
		if p.TotalMinor > 0 {
			if err := moveLink(ctx, tx, &row, keyturn.LinkPaying, byCustomer, ""); err != nil {
				return err
			}
			return p.wake(ctx, tx)
		}
		p.move(keyturn.PaymentCaptured)
		out.Accepted, err = d.acceptPayment(ctx, tx, &p, &row, accept, byCustomer)
		return err
	})
	return out, err
}

// reservable is the part of a pool's stock that may be set aside for customers who are paying: what they begin to pay
// and leave must not keep a pool from selling. Beyond it selling goes on: what cannot be delivered is not charged.
const reservable = 5 // the fifth part

// insert stores a new payment of a link whose row is locked, and sets aside the units of pools that it takes. Customers
// who begin at the same moment do not see each other's, so the part that is set aside can be a little larger.
func (p *payment) insert(ctx context.Context, tx *sqlx.Tx, payWithin time.Duration, takes map[string]int) error {
	if err := tx.GetContext(ctx, &p.Now, `SELECT clock_timestamp()`); err != nil {
		return err
	}
	p.CreatedAt, p.PayUntil = p.Now, p.Now.Add(payWithin)
	p.LookAt, p.OpenNo, p.CaptureNo = ptr(p.Now.Add(openAfter)), 1, 1
	var pools []string
	var units []int64
	if p.TotalMinor > 0 { // else the order is accepted along with it
		for _, pool := range slices.Sorted(maps.Keys(takes)) {
			pools, units = append(pools, pool), append(units, int64(takes[pool]))
		}
	}
	_, err := tx.ExecContext(ctx, insertPaymentSQL,
		p.ID, p.LinkID, p.Number, p.Provider, p.Capture, p.Mixed, p.CustomerID, p.Snapshot, p.Currency, p.TotalMinor,
		p.PayUntil, p.LookAt, p.CreatedAt, pq.Array(pools), pq.Array(units))
	return err
}

var insertPaymentSQL = `
	WITH begun AS (
		UPDATE checkout_links SET payments_begun = payments_begun + 1 WHERE id = $2 RETURNING order_id
	), reserved AS (
		INSERT INTO reservations (payment_id, pool_id, units)
		SELECT $1, t.pool, t.units FROM unnest(CAST($14 AS text[]), CAST($15 AS bigint[])) AS t (pool, units)
		WHERE t.units + ` + reservedSQL("t.pool") + ` <=
			coalesce((SELECT sum(k.available) FROM pool_stock k WHERE k.pool_id = t.pool), 0) / ` + itoa(reservable) + `
	)
	INSERT INTO payments (id, link_id, number, provider, capture, mixed, customer_id, snapshot, currency, total_minor,
		pay_until, look_at, created_at, link_order_id)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, (SELECT order_id FROM begun))`

// frozen is the line as a payment keeps it.
func (l CheckoutPageLine) frozen() SnapshotLine {
	return SnapshotLine{
		LineItem: keyturn.LineItem{
			ProductID: l.ProductID, Quantity: l.Quantity.Value, GrossPrice: l.Price.String(), Operation: l.Operation,
			LicenseID: l.LicenseID, SubscriptionID: l.SubscriptionID, TrialContext: l.TrialContext, ExpiresAt: l.ExpiresAt,
		},
		SoldAs: l.LinkLine.SoldAs(l.OfferID, l.Product.Promised()),
	}
}

// order is the order that the payment makes.
func (s PaymentSnapshot) order(id, provider, reference, currency string) keyturn.Order {
	o := keyturn.Order{
		ID: id, Currency: currency, Payment: keyturn.Payment{Provider: provider, Reference: reference}, Customer: s.Customer,
	}
	for _, l := range s.Lines {
		item := l.LineItem
		item.SoldAs = l.SoldAs
		o.LineItems = append(o.LineItems, item)
	}
	return o
}

// acceptance is an order of a payment that is ready to be stored.
type acceptance struct {
	in    AcceptInput
	known acceptContext
}

// prepareAcceptance reads what the order of a payment rests on, before the payment's row is locked.
func (d *DB) prepareAcceptance(ctx context.Context, p *payment, s PaymentSnapshot, link linkRow,
	respond func(Accepted) ([]byte, error),
) (acceptance, error) {
	hash := sha256.Sum256(p.Snapshot)
	in := AcceptInput{
		Order: s.order(link.OrderID, p.Provider, p.ID, p.Currency), Client: link.Client, IdempotencyKey: "checkout-" + p.ID,
		RequestHash: hash[:], Respond: respond, PaymentID: p.ID,
	}
	known, err := d.readAcceptContext(ctx, in)
	return acceptance{in: in, known: known}, err
}

// acceptPayment stores the order of a payment that has been moved to AUTHORIZED or CAPTURED, saves the payment with it
// and ends the link, in the caller's transaction.
func (d *DB) acceptPayment(ctx context.Context, tx *sqlx.Tx, p *payment, link *linkRow, a acceptance, by string) (
	*Accepted, error,
) {
	in := a.in
	if p.PaymentReference != nil {
		in.Order.Payment.Reference = *p.PaymentReference
	}
	// less than the sum only where a person has accepted it
	p.ChargeableMinor, p.FirstTries = min(p.TotalMinor, p.AuthorizedMinor), len(in.Order.LineItems)
	in.captureBy = p.CaptureBy
	if p.Status == keyturn.PaymentCaptured {
		in.captureBy = nil
	}
	if err := p.save(ctx, tx, by, ""); err != nil { // the order refers to the payment
		return nil, err
	}
	accepted, _, err := d.acceptIn(ctx, tx, in, a.known)
	if err != nil {
		return nil, err
	}
	p.OrderID = &in.Order.ID
	if err := pg.ExpectOne(tx.ExecContext(ctx, `
		UPDATE payments SET order_id = $2, keys_wait_until = clock_timestamp() + make_interval(secs => $3) WHERE id = $1`,
		p.ID, in.Order.ID, keysWait.Seconds())); err != nil {
		return nil, err
	}
	if err := p.tell(ctx, tx, keyturn.MailConfirmation, by); err != nil {
		return nil, err
	}
	return accepted, moveLink(ctx, tx, link, keyturn.LinkUsed, by, "")
}

package db

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// PageToken is the unguessable part of the link to an order's page: whoever has it sees the order and its keys.
func (d *DB) PageToken(orderID string) string {
	return base64.RawURLEncoding.EncodeToString(d.keys.MAC("page/" + orderID)[:18])
}

// PageHash is what the order is stored under for the address of its page, which a database alone cannot name.
func (d *DB) PageHash(orderID string) []byte { return pageHash(d.PageToken(orderID)) }

func pageHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

const orderSQL = `
	SELECT id, status, currency, gross_minor, created_at, payment_provider, payment_reference, payment_id
	FROM orders WHERE id = $1`

// orderRow is what an order's row shows of itself.
type orderRow struct {
	ID         string              `db:"id"`
	Status     keyturn.OrderStatus `db:"status"`
	Currency   string              `db:"currency"`
	GrossMinor int64               `db:"gross_minor"`
	CreatedAt  time.Time           `db:"created_at"`

	// Of a look at one order alone.
	PaymentProvider  string  `db:"payment_provider"`
	PaymentReference string  `db:"payment_reference"`
	PaymentID        *string `db:"payment_id"` // of an order that a checkout link made
}

// Order gives an order with its lines in the order of the request, without its links. KindNotFound.
func (d *DB) Order(ctx context.Context, id string) (keyturn.OrderView, error) {
	if !keyturn.CleanText(id, 1, 100) {
		return keyturn.OrderView{}, keyturn.Errorf(keyturn.KindNotFound, "there is no such order")
	}
	var o orderRow
	if err := d.pg.GetContext(ctx, &o, orderSQL, id); err != nil {
		return keyturn.OrderView{}, pg.NotFound(err, "there is no order %s", id)
	}
	lines, err := d.lineViews(ctx, shownLineSQL+`WHERE l.order_id = $1 ORDER BY l.position`, id)
	if err != nil {
		return keyturn.OrderView{}, err
	}
	v := keyturn.OrderView{
		ID: o.ID, Status: o.Status, Currency: o.Currency, CreatedAt: o.CreatedAt.UTC(),
		LineItems:  make([]keyturn.LineView, len(lines)),
		GrossPrice: keyturn.Money{Minor: o.GrossMinor, Currency: o.Currency}.String(),
	}
	for i, l := range lines {
		v.LineItems[i] = l.view()
	}
	return v, d.showPayment(ctx, o, &v)
}

const shownLineSQL = `SELECT` + lineColumns + `, r.status AS refund_status, r.amount_minor AS refund_minor,
		r.reason AS refund_reason, r.done_at AS refund_done_at, r.provider_id AS refund_provider_id,
		r.confirmed_by AS refund_confirmed_by,
		EXISTS (SELECT FROM partner_queue q JOIN partner_gates g ON g.integration = q.integration
			WHERE q.line_id = l.id AND g.opened_at IS NOT NULL) AS partner_down,
		CASE WHEN l.status IN ('DELIVERED', 'CANCELED') THEN
			(SELECT count(*) FROM attempts a WHERE a.line_id = l.id AND a.operation <> 'cancel') ELSE 0 END AS calls` + lineTables + `
	LEFT JOIN refunds r ON r.line_id = l.id
	`

// shownLine is a line as it is read, without a lock, with its refund.
type shownLine struct {
	line
	RefundStatus *keyturn.RefundStatus `db:"refund_status"`
	RefundMinor  *int64                `db:"refund_minor"`
	RefundReason *string               `db:"refund_reason"`
	RefundDoneAt *time.Time            `db:"refund_done_at"`
	RefundID     *string               `db:"refund_provider_id"`
	RefundedBy   *string               `db:"refund_confirmed_by"`
	// PartnerDown: it waits until its partner answers again, and no time can be told.
	PartnerDown bool `db:"partner_down"`
	Calls       int  `db:"calls"` // of partners, once the line is decided
}

func (d *DB) lineViews(ctx context.Context, query string, args ...any) ([]shownLine, error) {
	var lines []shownLine
	if err := sqlx.SelectContext(ctx, d.pg, &lines, query, args...); err != nil {
		return nil, pg.AsKind(err)
	}
	for i := range lines {
		if err := lines[i].derive(); err != nil { // the deadline is the one of today's policy
			return nil, err
		}
	}
	return lines, nil
}

// view shows the line. What is only true of an undecided line is left out of a decided one.
func (l *shownLine) view() keyturn.LineView {
	v := keyturn.LineView{
		ID: l.ID, FulfillmentID: l.FulfillmentID, ProductID: l.ProductID, Quantity: l.Quantity,
		GrossPrice: keyturn.Money{Minor: l.GrossMinor, Currency: l.Currency}.String(),
		Operation:  keyturn.OperationName(l.Operation),
		Status:     l.Status, Source: l.source().Name(), Attempts: l.Attempts, LastError: l.failure(),
		DeliveredAt: utc(l.DeliveredAt), CanceledAt: utc(l.CanceledAt), LicenseID: value(l.LicenseID),
	}
	if l.sold != nil {
		v.Name, v.SKU, v.OfferID = l.sold.Name, l.sold.SKU, l.sold.OfferID
	}
	if l.LicenseID == nil && l.Status == keyturn.LineDelivered {
		v.LicenseID = l.FulfillmentID
	}
	if !l.Status.Open() {
		v.Attempts = max(v.Attempts, l.Calls)
	}
	if l.Status.Open() && l.Status != keyturn.LineCanceling {
		v.NextAttemptAt, v.GiveUpAt = utc(l.NextAttemptAt), utc(&l.GiveUpAt)
		if l.PartnerDown {
			v.NextAttemptAt, v.PartnerDown = nil, true
		}
	}
	if l.RefundStatus != nil {
		v.Refund = &keyturn.RefundView{
			Status: *l.RefundStatus, Amount: keyturn.Money{Minor: *l.RefundMinor, Currency: l.Currency}.String(),
			Reason: *l.RefundReason, DoneAt: utc(l.RefundDoneAt),
			Reference: value(l.RefundID), ConfirmedBy: value(l.RefundedBy),
		}
	}
	return v
}

// canonicalID gives a UUID in the form in which it is stored. Anything else names nothing, and must not reach
// PostgreSQL, which answers a malformed one with an error.
func canonicalID(text string) (string, bool) {
	id, err := uuid.Parse(text)
	return id.String(), err == nil && len(text) == 36
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return ptr(t.UTC())
}

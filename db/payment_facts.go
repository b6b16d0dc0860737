package db

import (
	"context"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// PaymentFacts is what a call of the processor needs to know of a payment.
type PaymentFacts struct {
	ID               string
	LinkID           string
	LinkToken        string
	OrderID          string // of the order that it makes or has made
	Status           keyturn.PaymentStatus
	Provider         string
	Capture          keyturn.CaptureWhen
	OpenNo           int
	OpenFailed       time.Duration // how long ago the processor first answered, under OpenNo, that it has failed; 0: never
	SessionReference string
	PaymentReference string
	SessionURL       string // a secret
	Total            keyturn.Money
	PayUntil         time.Time
	Locale           string
	ReturnURL        string
	Snapshot         PaymentSnapshot
	CreatedAt        time.Time
	Now              time.Time // the database's clock
}

// Payment gives what a call of the processor needs to know. Of one whose customer was erased the snapshot is empty: it
// can be asked for and given back, but not opened. KindNotFound.
func (d *DB) Payment(ctx context.Context, id string) (PaymentFacts, error) {
	p, err := scanPayment(ctx, d.pg, `p.id = $1`, id)
	if err != nil {
		return PaymentFacts{}, err
	}
	snapshot, dk, err := d.snapshot(p)
	if err != nil && keyturn.KindOf(err) != keyturn.KindErased {
		return PaymentFacts{}, err
	}
	f := PaymentFacts{
		ID: p.ID, LinkID: p.LinkID, LinkToken: d.LinkToken(p.LinkID), Status: p.Status, Provider: p.Provider,
		Capture: p.Capture, OpenNo: p.OpenNo, Total: keyturn.Money{Minor: p.TotalMinor, Currency: p.Currency},
		PayUntil: p.PayUntil, Locale: snapshot.Customer.Locale, Snapshot: snapshot,
		CreatedAt: p.CreatedAt, Now: p.Now,
	}
	if p.OpenFailedAt != nil {
		f.OpenFailed = max(p.Now.Sub(*p.OpenFailedAt), time.Nanosecond)
	}
	if p.SessionReference != nil {
		f.SessionReference = *p.SessionReference
	}
	if p.PaymentReference != nil {
		f.PaymentReference = *p.PaymentReference
	}
	if len(p.SessionURL) > 0 {
		address, err := dk.Open(p.SessionURL, "payments/"+p.ID+"/url")
		if err != nil {
			return f, err
		}
		f.SessionURL = string(address)
	}
	f.OrderID, err = d.OrderOfLink(ctx, p.LinkID)
	return f, err
}

// PaymentPlace says which link a payment is of, and which order that makes. KindNotFound.
func (d *DB) PaymentPlace(ctx context.Context, id string) (place struct {
	LinkID  string `db:"link_id"`
	OrderID string `db:"order_id"`
}, err error,
) {
	err = d.pg.GetContext(ctx, &place, `
		SELECT p.link_id, k.order_id FROM payments p JOIN checkout_links k ON k.id = p.link_id WHERE p.id = $1`, id)
	return place, pg.NotFound(err, "there is no such payment")
}

// PaymentOf finds the payment that a processor names by its session or its payment reference. KindNotFound.
func (d *DB) PaymentOf(ctx context.Context, provider, session, reference string) (string, error) {
	var id string
	err := d.pg.GetContext(ctx, &id, `
		SELECT id FROM payments WHERE provider = $1 AND session_reference = $2
		UNION ALL SELECT id FROM payments WHERE provider = $1 AND payment_reference = $3
		LIMIT 1`, provider, session, reference)
	return id, pg.NotFound(err, "there is no such payment")
}

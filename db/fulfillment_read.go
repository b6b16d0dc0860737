package db

import (
	"context"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

// Fulfillment gives a line with the story of its attempts, decisions and e-mails, for operators: requests and replies
// are shown without personal data. KindNotFound.
func (d *DB) Fulfillment(ctx context.Context, fulfillmentID string) (keyturn.LineView, error) {
	l, err := d.readShownLine(ctx, fulfillmentID)
	if err != nil {
		return keyturn.LineView{}, err
	}
	v := l.view()
	v.OrderID = l.OrderID
	if v.AttemptLog, err = d.attemptLog(ctx, &l.line); err != nil {
		return v, err
	}
	if v.Resolutions, err = d.resolutions(ctx, l.ID); err != nil {
		return v, err
	}
	if v.Deliveries, err = d.deliveriesOf(ctx, l); err != nil {
		return v, err
	}
	asked, err := askedAddress(ctx, d.pg, l.OrderID)
	if asked != nil {
		v.NewAddress = &keyturn.AskedAddress{At: asked.At.UTC()}
	}
	return v, pg.AsKind(err)
}

// FulfillmentWithAddress is Fulfillment with the address that waits for a yes, and records who looked at it.
func (d *DB) FulfillmentWithAddress(ctx context.Context, fulfillmentID, by string) (keyturn.LineView, error) {
	v, err := d.Fulfillment(ctx, fulfillmentID)
	if err != nil || v.NewAddress == nil {
		return v, err
	}
	return v, d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(ctx, tx, v.FulfillmentID)
		if err != nil {
			return err
		}
		asked, err := askedAddress(ctx, tx, l.OrderID)
		if v.NewAddress = nil; err != nil || asked == nil { // it was answered meanwhile
			return err
		}
		address, err := d.openAsked(ctx, tx, l.CustomerID, asked)
		if err != nil {
			return err
		}
		v.NewAddress = &keyturn.AskedAddress{Email: address, At: asked.At.UTC()}
		return logPersonal(ctx, tx, by, "customer", "order/"+l.OrderID)
	})
}

func (d *DB) readShownLine(ctx context.Context, fulfillmentID string) (*shownLine, error) {
	id, ok := canonicalID(fulfillmentID)
	if !ok {
		return nil, keyturn.Errorf(keyturn.KindNotFound, "there is no such fulfillment: its ID is a UUID")
	}
	lines, err := d.lineViews(ctx, shownLineSQL+`WHERE l.fulfillment_id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, keyturn.Errorf(keyturn.KindNotFound, "there is no fulfillment %s", id)
	}
	return &lines[0], nil
}

// Resolved says whether the decision with this ID was carried out on the line already, and what time it is by the clock
// that judges decisions.
func (d *DB) Resolved(ctx context.Context, fulfillmentID, resolutionID string) (known bool, now time.Time, err error) {
	id, ok := canonicalID(fulfillmentID)
	if !ok {
		return false, now, nil
	}
	err = d.pg.QueryRowxContext(ctx, `
		SELECT EXISTS (SELECT FROM resolutions r JOIN line_items l ON l.id = r.line_id WHERE l.fulfillment_id = $1
			AND r.id = $2),
			clock_timestamp()`, id, resolutionID).Scan(&known, &now)
	return known, now, pg.AsKind(err)
}

func (d *DB) resolutions(ctx context.Context, lineID string) ([]keyturn.ResolutionView, error) {
	var rows []keyturn.ResolutionView
	err := d.pg.SelectContext(ctx, &rows, `
		SELECT action, until, reason, by, at FROM resolutions WHERE line_id = $1 ORDER BY at, id LIMIT 200`, lineID)
	for i := range rows {
		rows[i].Until, rows[i].At = utc(rows[i].Until), rows[i].At.UTC()
	}
	return rows, pg.AsKind(err)
}

func (d *DB) deliveriesOf(ctx context.Context, l *shownLine) ([]keyturn.DeliveryView, error) {
	var rows []struct {
		ID     string                 `db:"id"`
		Number int                    `db:"number"`
		Kind   keyturn.DeliveryKind   `db:"kind"`
		Status keyturn.DeliveryStatus `db:"status"`
		SentAt *time.Time             `db:"sent_at"`
	}
	err := d.pg.SelectContext(ctx, &rows, `
		SELECT id, number, kind, status, sent_at FROM deliveries WHERE line_id = $1 ORDER BY number LIMIT 200`, l.ID)
	if err != nil {
		return nil, pg.AsKind(err)
	}
	bounces, err := d.bouncesOf(ctx, l)
	var out []keyturn.DeliveryView
	for _, r := range rows {
		out = append(out, keyturn.DeliveryView{
			ID: r.ID, Number: r.Number, Kind: r.Kind, Status: r.Status,
			SentAt: utc(r.SentAt), Bounces: bounces[r.ID],
		})
	}
	return out, err
}

// Deliverables gives what the customer gets of a line and records who looked, under the line's lock: a key that was
// seen never goes back to its pool. KindNotFound; KindConflict before the line has its keys, and once it is given up.
func (d *DB) Deliverables(ctx context.Context, fulfillmentID, by string) (Deliverables, error) {
	var out Deliverables
	id, ok := canonicalID(fulfillmentID)
	if !ok {
		return out, keyturn.Errorf(keyturn.KindNotFound, "there is no such fulfillment: its ID is a UUID")
	}
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(ctx, tx, id)
		if err != nil {
			return err
		}
		if l.ObtainedAt == nil || slices.Contains([]keyturn.LineStatus{keyturn.LineCanceling, keyturn.LineCanceled},
			l.Status) {
			return keyturn.Errorf(keyturn.KindConflict, "the line is %s: there is nothing to show", l.Status)
		}
		if len(l.CustomerSealed) == 0 { // a pool's keys are there still, and whose they were is not to be known any more
			return vault.ErrErased
		}
		if out, err = d.deliverables(ctx, tx, l.ID, l.CustomerID); err != nil {
			return err
		}
		return logAccess(ctx, tx, by, "deliverables", l.ID)
	})
	return out, err
}

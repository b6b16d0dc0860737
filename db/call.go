package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// CallFacts is everything a request to a partner is made of. It holds personal data and secrets.
type CallFacts struct {
	Integration         keyturn.Integration // of an endpoint source; zero for a dynamic URL
	IntegrationVersion  int64
	Source              keyturn.Source
	Operation           keyturn.OperationName
	LicenseID           string // the fulfillmentId; for further units one derived from it
	Units               int    // codes this call must bring
	UnitNo              int
	FulfillmentID       string
	OrderID             string
	Line                keyturn.LineItem
	Product             keyturn.Product
	Price               keyturn.Money
	AcceptedAt          time.Time
	Customer            keyturn.Customer
	CartExternalContext string
}

// Call is one try that was booked before it leaves.
type Call struct {
	CallFacts
	Attempt  int
	Request  []byte    // as Render made it at the first try
	Deadline time.Time // nothing of this call happens later
}

// CallResult is what became of a call.
type CallResult struct {
	Attempt     int
	UnitNo      int
	Sent        bool // the partner may have seen the request
	Unknown     bool // it may have been carried out: no answer, or one that does not say
	HTTPStatus  int
	Duration    time.Duration
	Setback     *Setback // nil: success
	PartnerSays string   // the partner's own words on a failure, made printable; stays in the database
	Codes       []keyturn.Secret
	Link        string
	File        *File
	Additional  map[string][]string
	Reply       []byte // redacted
}

// File is a deliverable that is a file.
type File struct {
	Name        string `json:"name"`
	ContentType string `json:"contentType"`
	Data        []byte `json:"data"`
}

// BeginCall books a try of the line's current source in the database before anything leaves: the attempt, and at the
// first try the request that render makes, which every later try sends again. A nil Call with a Next means that there
// is nothing to call. While another try is under way, the error is KindConflict and wait says until when. A request that
// cannot be rendered is a failed try.
func (d *DB) BeginCall(ctx context.Context, fulfillmentID string, timeout func(keyturn.Integration) time.Duration, render func(CallFacts) ([]byte, error)) (call *Call, next keyturn.Next, wait time.Duration, err error) {
	err = d.tx(ctx, func(tx *sqlx.Tx) error {
		call, wait = nil, 0
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		stopped, err := d.stop(ctx, tx, l, keyturn.DoCall)
		if !stopped && err == nil {
			call, wait, err = d.beginCall(ctx, tx, l, timeout, render)
		}
		if err == nil {
			next = l.next()
		}
		return err
	})
	return call, next, wait, err
}

func (d *DB) beginCall(ctx context.Context, tx *sqlx.Tx, l *line, timeout func(keyturn.Integration) time.Duration, render func(CallFacts) ([]byte, error)) (*Call, time.Duration, error) {
	var running struct {
		No         *int       `db:"no"`
		DeadlineAt *time.Time `db:"deadline_at"`
		LastNo     int        `db:"last_no"`
		Units      int        `db:"units"`
	}
	if l.Version > 1 { // nothing was tried before a line's first step
		err := tx.GetContext(ctx, &running, `
		SELECT max(no) FILTER (WHERE outcome = 'running' AND operation <> 'cancel') AS no,
			max(deadline_at) FILTER (WHERE outcome = 'running' AND operation <> 'cancel') AS deadline_at, coalesce(max(no), 0) AS last_no, (SELECT count(*) FROM deliverables WHERE line_id = $1 AND kind = 'code') AS units
		FROM attempts WHERE line_id = $1`, l.ID)
		if err != nil {
			return nil, 0, err
		}
	}
	if running.No != nil {
		if wait := running.DeadlineAt.Sub(l.Now); wait > 0 {
			return nil, wait, keyturn.Errorf(keyturn.KindConflict, "another try of this call is under way until %s", running.DeadlineAt.Format(time.TimeOnly))
		}
		// Its process died before the answer came: the partner may have carried it out.
		if _, err := tx.ExecContext(ctx, `UPDATE attempts SET outcome = 'unknown', sent = true, message = 'the process that waited for the answer stopped' WHERE line_id = $1 AND outcome = 'running' AND operation <> 'cancel'`, l.ID); err != nil {
			return nil, 0, err
		}
	}
	l.Attempts++
	l.WakeAt = nil
	facts, dk, err := d.facts(ctx, tx, l, running.Units)
	call := &Call{CallFacts: facts, Attempt: running.LastNo + 1, Deadline: l.Now.Add(timeout(facts.Integration))}
	if err == nil {
		call.Request, err = d.request(ctx, tx, l, facts, dk, render)
	}
	if kind := keyturn.KindOf(err); kind == keyturn.KindConfiguration || kind == keyturn.KindInvalid {
		return nil, 0, d.fail(ctx, tx, l, Setback{Failure: keyturn.Failure{Kind: keyturn.KindConfiguration, Message: err.Error()}})
	}
	if err != nil {
		return nil, 0, err
	}
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO attempts (line_id, no, source, operation, unit_no, outcome, started_at, deadline_at)
		VALUES ($1, $2, $3, $4, $5, 'running', $6, $7)`,
		l.ID, call.Attempt, l.source().Name(), facts.Operation, facts.UnitNo, l.Now, call.Deadline); err != nil {
		return nil, 0, err
	}
	return call, 0, l.save(ctx, tx, byWorkflow, "")
}

// request gives the stored request of this source and unit, or makes and stores it.
func (d *DB) request(ctx context.Context, tx *sqlx.Tx, l *line, f CallFacts, dk dataKey, render func(CallFacts) ([]byte, error)) ([]byte, error) {
	where := fmt.Sprintf("partner_requests/%s/%s/%s/%d", l.ID, f.Source.Name(), f.Operation, f.UnitNo)
	var sealed []byte
	err := sql.ErrNoRows
	if l.Version > 1 {
		err = tx.GetContext(ctx, &sealed, `
			SELECT request FROM partner_requests WHERE line_id = $1 AND source = $2 AND operation = $3 AND unit_no = $4`,
			l.ID, f.Source.Name(), f.Operation, f.UnitNo)
	}
	if err == nil {
		return dk.unseal(sealed, where)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	plain, err := render(f)
	if err != nil {
		return nil, err
	}
	if sealed, err = dk.seal(plain, where); err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO partner_requests (line_id, source, operation, unit_no, request) VALUES ($1, $2, $3, $4, $5)`,
		l.ID, f.Source.Name(), f.Operation, f.UnitNo, sealed)
	return plain, err
}

// facts collects what a request is made of. done units have their code already.
func (d *DB) facts(ctx context.Context, tx *sqlx.Tx, l *line, done int) (CallFacts, dataKey, error) {
	c, dk, err := d.customerOf(ctx, tx, l)
	if err != nil {
		return CallFacts{}, dk, err
	}
	f := CallFacts{
		Source: l.source(), Operation: keyturn.OperationName(l.Operation), FulfillmentID: l.FulfillmentID, OrderID: l.OrderID,
		Product: l.product, Price: keyturn.Money{Minor: l.GrossMinor, Currency: l.Currency}, AcceptedAt: l.CreatedAt,
		Customer: c.Customer, CartExternalContext: c.CartExternalContext, Units: 1,
		Line: keyturn.LineItem{
			ID: l.ID, FulfillmentID: l.FulfillmentID, ProductID: l.ProductID, Quantity: l.Quantity,
			Operation: keyturn.OperationName(l.Operation), SubscriptionID: l.SubscriptionID, TrialContext: l.TrialContext,
		},
	}
	switch l.product.QuantityMode {
	case keyturn.OnePerUnit:
		f.UnitNo = done
	case keyturn.OneCall:
		f.Units = l.units()
	case keyturn.OnePerLine:
	}
	f.LicenseID = unitID(l.FulfillmentID, f.UnitNo)
	if l.source().Type == keyturn.SourceEndpoint {
		f.Integration, f.IntegrationVersion, err = d.integration(ctx, tx, l.source().Integration)
	}
	return f, dk, err
}

// unitID is the licence ID of one unit: the fulfillmentId itself for the first, derived ones for the others, because a
// partner answers the same ID with the same key.
func unitID(fulfillmentID string, unit int) string {
	if unit == 0 {
		return fulfillmentID
	}
	return uuid.NewSHA1(uuid.MustParse(fulfillmentID), []byte("unit/"+itoa(unit))).String()
}

// customerOf decrypts whom the line's order is for.
func (d *DB) customerOf(ctx context.Context, q sqlx.QueryerContext, l *line) (storedCustomer, dataKey, error) {
	sealed, wrapped := l.CustomerSealed, l.CustomerKey
	if len(sealed) == 0 { // the line was read, not locked
		var row struct {
			Customer []byte `db:"customer"`
			DataKey  []byte `db:"data_key"`
		}
		if err := sqlx.GetContext(ctx, q, &row, `
			SELECT o.customer, c.data_key FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = $1`, l.OrderID); err != nil {
			return storedCustomer{}, dataKey{}, err
		}
		sealed, wrapped = row.Customer, row.DataKey
	}
	dk, err := d.keys.dataKey(wrapped, "customer/"+l.CustomerID)
	if err != nil {
		return storedCustomer{}, dk, err
	}
	plain, err := dk.unseal(sealed, "orders/"+l.OrderID)
	if err != nil {
		return storedCustomer{}, dk, err
	}
	var c storedCustomer
	return c, dk, json.Unmarshal(plain, &c)
}

// FinishCall books what became of a call. A success that comes after the source was abandoned is not delivered: it is
// owed back to the partner. Idempotent: an attempt is finished once.
func (d *DB) FinishCall(ctx context.Context, fulfillmentID string, r CallResult) (keyturn.Next, error) {
	_, next, err := d.FinishCallToSend(ctx, fulfillmentID, r, nil)
	return next, err
}

// FinishCallToSend is FinishCall that goes on as BeginDelivery in the same transaction when the line has all its keys:
// it gives the e-mail that render makes, with the lease on sending it.
func (d *DB) FinishCallToSend(ctx context.Context, fulfillmentID string, r CallResult, render func(MailFacts) ([]byte, error)) (out *Delivery, next keyturn.Next, err error) {
	next, err = d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		out = nil
		source, outcome, err := d.finishAttempt(ctx, tx, l, r)
		if err != nil || outcome == "" {
			return err
		}
		if outcome == "late" {
			return d.oweLate(ctx, tx, l, source)
		}
		if l.ObtainedAt != nil || !l.Status.Open() || l.Status == keyturn.LineCanceling || l.source().Name() != source {
			return nil // it never left, and nobody waits for it any more
		}
		if l.CancelReason != nil {
			return d.giveUp(ctx, tx, l, byWorkflow, *l.CancelReason)
		}
		if r.Setback != nil {
			if l.Status == keyturn.LineHeld {
				return nil
			}
			return d.fail(ctx, tx, l, *r.Setback)
		}
		done, err := d.storeDeliverable(ctx, tx, l, r)
		if err != nil {
			return err
		}
		l.Failures = 0
		switch {
		case !done:
			l.NextAttemptAt = nil
		case l.Status == keyturn.LineHeld: // ours, but a person said to wait
			l.ObtainedAt = &l.Now
		default:
			l.obtained()
			out, err = d.obtainedToSend(ctx, tx, l, r.whole(l), render)
			return err
		}
		return l.save(ctx, tx, byWorkflow, "")
	})
	return out, next, err
}

// whole is what the line delivers if this one call brought it, nil if there were others.
func (r CallResult) whole(l *line) *Deliverables {
	if l.product.QuantityMode == keyturn.OnePerUnit && l.units() > 1 {
		return nil
	}
	all := &Deliverables{Codes: r.Codes, Link: r.Link, Additional: r.Additional}
	if r.File != nil {
		all.Files = []File{*r.File}
	}
	return all
}

// finishAttempt closes the attempt's row and says whether its source is still wanted. An empty outcome: it was closed
// before.
func (d *DB) finishAttempt(ctx context.Context, tx *sqlx.Tx, l *line, r CallResult) (source, outcome string, err error) {
	var row struct {
		Source  string `db:"source"`
		Outcome string `db:"outcome"`
	}
	if err := tx.GetContext(ctx, &row, `SELECT source, outcome FROM attempts WHERE line_id = $1 AND no = $2`, l.ID, r.Attempt); err != nil {
		return "", "", err
	}
	wanted := l.ObtainedAt == nil && l.Status.Open() && l.Status != keyturn.LineCanceling && l.source().Name() == row.Source
	switch {
	case row.Outcome != "running" && row.Outcome != "unknown":
		return row.Source, "", nil
	case r.Sent && !wanted:
		outcome = "late"
	case r.Setback == nil:
		outcome = "success"
	case r.Unknown:
		outcome = "unknown"
	default:
		outcome = "failed"
	}
	var kind, code *string
	message := r.PartnerSays
	if r.Setback != nil {
		kind, code = ptr(string(r.Setback.Failure.Kind)), ptr(r.Setback.Failure.Code)
		if message == "" {
			message = r.Setback.Failure.Message
		}
	}
	customer, dk, err := d.customerOf(ctx, tx, l)
	if err != nil {
		return "", "", err
	}
	message = personalData(customer).text(message) // a partner may quote whom it was asked for
	var sealed []byte
	if len(r.Reply) > 0 {
		if sealed, err = dk.seal(r.Reply, fmt.Sprintf("attempts/%s/%d", l.ID, r.Attempt)); err != nil {
			return "", "", err
		}
	}
	return row.Source, outcome, mustAffect(tx.ExecContext(ctx, `
		UPDATE attempts SET outcome = $3, sent = $4, duration_ms = $5, http_status = nullif($6, 0), error_kind = $7, error_code = nullif($8, ''),
			message = nullif($9, ''), reply = $10
		WHERE line_id = $1 AND no = $2`,
		l.ID, r.Attempt, outcome, r.Sent, r.Duration.Milliseconds(), r.HTTPStatus, kind, code, message, sealed))
}

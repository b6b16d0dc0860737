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
	"keyturn.dev/keyturn/vault"
)

// CallFacts is everything a request to a partner is made of. It holds personal data and secrets.
type CallFacts struct {
	Integration         keyturn.Integration // of an endpoint source; zero for a dynamic URL
	IntegrationVersion  int64
	Source              keyturn.Source
	Operation           keyturn.OperationName
	LicenseID           string // the fulfillmentId of the create; for further units one derived from it
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
	License             LicenseFacts // of an operation on a licence that exists
}

// Call is one try that was booked before it leaves.
type Call struct {
	CallFacts
	Attempt  int
	Request  []byte    // as Render made it at the first try
	Expires  time.Time // by this process's clock: nothing of this call happens later
	Troubled bool      // the partner has failed of late: a success is worth booking
	Probe    bool      // it finds out whether a partner that is down is back

	deadline time.Time // Expires by the database's clock, and never before it: until then nobody else calls
	line     *line     // as it was saved with this call; nil if this is not its first try
}

// newCall is a call that begins now. A call that takes its process by surprise (a long pause, a slow answer of the
// database) has less time, never more than its row says.
func (l *line) newCall(f CallFacts, attempt int, timeout time.Duration) *Call {
	return &Call{CallFacts: f, Attempt: attempt, Expires: l.readAt.Add(timeout), deadline: l.Now.Add(timeout)}
}

// Result begins the account of what became of the call.
func (c *Call) Result() CallResult {
	return CallResult{Attempt: c.Attempt, UnitNo: c.UnitNo, Troubled: c.Troubled, Probe: c.Probe, line: c.line}
}

// CallResult is what became of a call.
type CallResult struct {
	Attempt     int
	Troubled    bool // of the Call
	Probe       bool // of the Call
	UnitNo      int
	Sent        bool // the partner may have seen the request
	Unknown     bool // it may have been carried out: no answer, or one that does not say
	NotIssued   bool // the answer to a look-up: the create was not carried out
	HTTPStatus  int
	Duration    time.Duration
	Failed      *StepFailure // nil: success
	PartnerSays string       // for the attempt's message: the partner's own words on a failure, made printable, or what is odd about a success; stays in the database
	Codes       []keyturn.Secret
	Link        string
	File        *File
	Additional  map[string][]string
	Reply       []byte // redacted

	line *line // of the Call
}

// File is a deliverable that is a file.
type File struct {
	Name        string `json:"name"`
	ContentType string `json:"contentType"`
	Data        []byte `json:"data"`
}

// BeginCall books a try of the line's current source in the database before anything leaves: the attempt, and at the
// first try the request that render makes, which every later try sends again. A nil Call with a Next means that there
// is nothing to call. While another try is under way, the error is KindConflict and wait says how long; while the line
// waits for its turn at its partner, or for a partner that is down, it is KindRateLimited. A request that cannot be
// rendered is a failed try.
func (d *DB) BeginCall(ctx context.Context, fulfillmentID string, timeout func(keyturn.Integration) time.Duration, render func(CallFacts) ([]byte, error)) (call *Call, next keyturn.Next, wait time.Duration, err error) {
	if call, next, ok := d.beginFast(ctx, fulfillmentID, timeout, render); ok {
		return call, next, 0, nil
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		call, wait = nil, 0
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		status, source := l.Status, l.source().Name()
		stopped, err := d.stop(ctx, tx, l, keyturn.DoCall)
		if !stopped && err == nil {
			stopped, err = d.refuse(ctx, tx, l)
		}
		if !stopped && err == nil {
			call, wait, err = d.beginCall(ctx, tx, l, timeout, render)
		}
		if err != nil {
			return err
		}
		next = l.next()
		if wait > 0 && (next.Do != keyturn.DoCall || next.Status != status || next.Source != source) { // the workflow should know
			wait = 0
			if next.Do == keyturn.DoCall {
				next.Wait = 0
			}
		}
		return nil
	})
	switch {
	case err == nil && wait > 0:
		err = keyturn.Errorf(keyturn.KindRateLimited, "the line waits for its turn at %s", next.Source)
	case err != nil && keyturn.KindOf(err) != keyturn.KindConflict:
		wait = 0 // its place in the queue was undone with all else, so nobody would call it
	}
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
		SELECT max(no) FILTER (WHERE outcome = 'running' AND (operation <> 'cancel' OR $2 = 'cancel')) AS no,
			max(deadline_at) FILTER (WHERE outcome = 'running' AND (operation <> 'cancel' OR $2 = 'cancel')) AS deadline_at, coalesce(max(no), 0) AS last_no, (SELECT count(*) FROM deliverables WHERE line_id = $1 AND kind = 'code') AS units
		FROM attempts WHERE line_id = $1`, l.ID, l.Operation)
		if err != nil {
			return nil, 0, err
		}
	}
	if running.No != nil {
		if wait := running.DeadlineAt.Sub(l.Now); wait > 0 {
			return nil, wait, keyturn.Errorf(keyturn.KindConflict, "another try of this call is under way, for %s at most", keyturn.Duration(wait.Round(time.Millisecond)))
		}
		// Its process died before the answer came: the partner may have carried it out.
		if _, err := tx.ExecContext(ctx, `UPDATE attempts SET outcome = 'unknown', sent = true, ended_at = deadline_at, message = 'the process that waited for the answer stopped' WHERE line_id = $1 AND outcome = 'running' AND (operation <> 'cancel' OR $2 = 'cancel')`, l.ID, l.Operation); err != nil {
			return nil, 0, err
		}
	}
	facts, dk, err := d.facts(ctx, tx, l, running.Units)
	call := l.newCall(facts, running.LastNo+1, timeout(facts.Integration))
	if err == nil {
		if err := lookUpFirst(ctx, tx, l, &call.CallFacts, running.LastNo); err != nil {
			return nil, 0, err
		}
		facts = call.CallFacts
		if ok, wait, err := d.enter(ctx, tx, l, call); !ok || err != nil {
			return nil, wait, err
		}
	}
	l.Attempts++
	l.WakeAt = nil
	if err == nil {
		call.Request, err = d.request(ctx, tx, l, facts, dk, render)
	}
	if kind := keyturn.KindOf(err); kind == keyturn.KindConfiguration || kind == keyturn.KindInvalid {
		return nil, 0, d.fail(ctx, tx, l, StepFailure{Permanent: keyturn.IsPermanent(err), Failure: keyturn.Failure{Kind: keyturn.KindConfiguration, Message: err.Error()}})
	}
	if err != nil {
		return nil, 0, err
	}
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO attempts (line_id, no, source, operation, unit_no, outcome, started_at, deadline_at)
		VALUES ($1, $2, $3, $4, $5, 'running', $6, $7)`,
		l.ID, call.Attempt, l.source().Name(), facts.Operation, facts.UnitNo, l.Now, call.deadline); err != nil {
		return nil, 0, err
	}
	return call, 0, l.save(ctx, tx, byWorkflow, "")
}

// request gives the stored request of this source and unit, or makes and stores it.
func (d *DB) request(ctx context.Context, tx *sqlx.Tx, l *line, f CallFacts, dk vault.DataKey, render func(CallFacts) ([]byte, error)) ([]byte, error) {
	where := requestAt(l.ID, f.Source.Name(), string(f.Operation), f.UnitNo)
	var sealed []byte
	err := sql.ErrNoRows
	if l.Version > 1 {
		err = tx.GetContext(ctx, &sealed, `
			SELECT request FROM partner_requests WHERE line_id = $1 AND source = $2 AND operation = $3 AND unit_no = $4`,
			l.ID, f.Source.Name(), f.Operation, f.UnitNo)
	}
	if err == nil {
		return dk.Open(sealed, where)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	plain, err := render(f)
	if err != nil {
		return nil, err
	}
	if sealed, err = dk.Seal(plain, where); err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO partner_requests (line_id, source, operation, unit_no, request) VALUES ($1, $2, $3, $4, $5)`,
		l.ID, f.Source.Name(), f.Operation, f.UnitNo, sealed)
	return plain, err
}

// requestAt is what a stored request is bound to.
func requestAt(lineID, source, operation string, unit int) string {
	return fmt.Sprintf("partner_requests/%s/%s/%s/%d", lineID, source, operation, unit)
}

// replyAt is what a stored reply is bound to.
func replyAt(lineID string, attempt int) string {
	return fmt.Sprintf("attempts/%s/%d", lineID, attempt)
}

// facts collects what a request is made of. done units have their code already. Without a transaction it may be of an
// integration that has changed since.
func (d *DB) facts(ctx context.Context, tx *sqlx.Tx, l *line, done int) (CallFacts, vault.DataKey, error) {
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
			Operation: keyturn.OperationName(l.Operation), SubscriptionID: l.SubscriptionID, TrialContext: l.TrialContext, ExpiresAt: l.ExpiresAt,
		},
	}
	switch l.product.QuantityMode {
	case keyturn.OnePerUnit:
		f.UnitNo = done
	case keyturn.OneCall:
		f.Units = l.units()
	case keyturn.OnePerLine:
	}
	if l.LicenseID != nil {
		if err := d.licenseFacts(ctx, tx, l, &f); err != nil {
			return f, dk, err
		}
	}
	f.LicenseID = unitID(l.licenseID(), f.UnitNo)
	if l.source().Type.HasIntegration() {
		f.Integration, f.IntegrationVersion, err = d.integrationFor(ctx, tx, l.source().Integration)
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
func (d *DB) customerOf(ctx context.Context, q sqlx.QueryerContext, l *line) (storedCustomer, vault.DataKey, error) {
	if len(l.CustomerSealed) == 0 { // the line is not for a step
		var row struct {
			Customer []byte `db:"customer"`
			DataKey  []byte `db:"data_key"`
		}
		if err := sqlx.GetContext(ctx, q, &row, `
			SELECT o.customer, c.data_key FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = $1`, l.OrderID); err != nil {
			return storedCustomer{}, vault.DataKey{}, err
		}
		l.CustomerSealed, l.CustomerKey = row.Customer, row.DataKey
	}
	return d.customer(l)
}

// customer is customerOf a line that a step is for.
func (d *DB) customer(l *line) (storedCustomer, vault.DataKey, error) {
	dk, err := d.keys.OpenDataKey(l.CustomerKey, "customer/"+l.CustomerID)
	if err != nil {
		return storedCustomer{}, dk, err
	}
	plain, err := dk.Open(l.CustomerSealed, "orders/"+l.OrderID)
	if err != nil {
		return storedCustomer{}, dk, err
	}
	var c storedCustomer
	return c, dk, json.Unmarshal(plain, &c)
}

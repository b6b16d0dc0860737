package db

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// licenseID is the licence of a line: what its operation acts on, or what its create makes.
func (l *line) licenseID() string {
	if l.LicenseID != nil {
		return *l.LicenseID
	}
	return l.FulfillmentID
}

func (l *line) operation() keyturn.OperationName { return keyturn.OperationName(l.Operation) }

// fromIssuer leaves an operation on a licence one source: the one that issued it, because no other one knows it. An
// upgrade is issued anew by the sources of its own product.
func (l *line) fromIssuer() {
	if l.LicenseID != nil && l.operation() != keyturn.OpUpgrade {
		l.product.Sources, l.SourceNo = []keyturn.Source{keyturn.ParseSource(value(l.LicenseSource))}, 0
	}
}

// asksSource says that the line needs something of its source. Only a source with an integration can be told what
// happens to a licence later: with the others, all but a create and an upgrade is booked and that is it.
func (l *line) asksSource() bool {
	return l.LicenseID == nil || l.operation() == keyturn.OpUpgrade || l.source().Type.HasIntegration()
}

// isNotice says that the line is done when its source has done it, and its e-mail only tells of it.
func (l *line) isNotice() bool { return l.LicenseID != nil && !l.operation().BringsKeys() }

// issuer is the source that the licence comes from which a create or an upgrade brings.
func (l *line) issuer() string {
	if l.LicenseSource != nil { // a person supplied the keys
		return *l.LicenseSource
	}
	return l.source().Name()
}

// license is a licence's row.
type license struct {
	ID         string                `db:"id"`
	LineID     string                `db:"line_id"`
	CustomerID string                `db:"customer_id"`
	ProductID  string                `db:"product_id"`
	Status     keyturn.LicenseStatus `db:"status"` // without the clock
	Source     string                `db:"source"`
	ExpiresAt  *time.Time            `db:"expires_at"`
	CreatedAt  time.Time             `db:"created_at"`
}

// licenseSQL finds the source of licences that an earlier version delivered by what there is of it.
const licenseSQL = `
	SELECT c.id, c.line_id, c.customer_id, c.product_id, c.status, c.expires_at, c.created_at, coalesce(c.source,
		(SELECT 'pool/' || k.pool_id FROM pool_keys k WHERE k.line_id = c.line_id AND k.state <> 'recalled' LIMIT 1),
		(SELECT y.source FROM deliverables y WHERE y.line_id = c.line_id LIMIT 1),
		(SELECT a.source FROM attempts a WHERE a.line_id = c.line_id AND a.outcome = 'success' LIMIT 1), '') AS source
	FROM licenses c `

// readLicense gives a licence; nil before its create is delivered.
func readLicense(ctx context.Context, q sqlx.QueryerContext, id string) (*license, error) {
	var c license
	err := sqlx.GetContext(ctx, q, &c, licenseSQL+`WHERE c.id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // there is none yet
	}
	return &c, err
}

// refuse gives an operation up that the licence's status does not allow any more: what came before it went otherwise
// than it looked when it was accepted. It returns true when the step must not go on; the line is saved then.
func (d *DB) refuse(ctx context.Context, tx *sqlx.Tx, l *line) (bool, error) {
	if l.LicenseID == nil {
		return false, nil
	}
	c, err := readLicense(ctx, tx, *l.LicenseID)
	if err != nil {
		return true, err
	}
	// given up or taken back: there is nothing left to cancel
	if l.operation() == keyturn.OpCancel && (c == nil || c.Status == keyturn.LicenseCanceled) {
		return d.callNobody(ctx, tx, l)
	}
	status := keyturn.LicenseCanceled
	if c != nil {
		status = c.Status.At(l.Now, c.ExpiresAt)
	}
	if _, ok := status.After(l.operation()); ok {
		return false, nil
	}
	l.SourceNo = len(l.product.Sources) - 1 // no other source could do it either
	return true, d.fail(ctx, tx, l, StepFailure{Permanent: true, Failure: keyturn.Failure{
		Kind: keyturn.KindConflict, Message: "the licence is " + string(status) + " by now: " + l.Operation +
			" makes no sense",
	}})
}

// callNobody has a cancel booked without telling the licence's source: whoever ended the licence told it.
func (d *DB) callNobody(ctx context.Context, tx *sqlx.Tx, l *line) (bool, error) {
	if !l.asksSource() {
		return false, nil
	}
	l.LicenseSource = ptr("")
	l.fromIssuer()
	if err := pg.ExpectOne(tx.ExecContext(ctx, `UPDATE line_items SET license_source = '' WHERE id = $1`,
		l.ID)); err != nil {
		return true, err
	}
	return true, l.save(ctx, tx, byWorkflow, "")
}

// Apply books an operation that needs nobody outside and stores the e-mail that render makes of it.
func (d *DB) Apply(ctx context.Context, fulfillmentID string, render RenderMail) (keyturn.Next, error) {
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		stopped, err := d.stop(ctx, tx, l, keyturn.DoApply)
		if !stopped && err == nil {
			stopped, err = d.refuse(ctx, tx, l)
		}
		if stopped || err != nil {
			return err
		}
		l.markObtained()
		return d.saveObtained(ctx, tx, l, &Deliverables{}, render)
	})
}

// WorkflowLicense is no workflow: the relay lets the next operation on the licence begin that waits for its turn. Its
// subject is the licence.
const WorkflowLicense = "license"

// wakeNext has the relay look after the operations that wait for this line, once it is decided.
func (l *line) wakeNext(ctx context.Context, tx *sqlx.Tx) error {
	decided := l.Status == keyturn.LineDelivered || l.Status == keyturn.LineCanceling
	if !l.Awaited || !decided || l.saved == l.Status || l.saved == keyturn.LineDelivered {
		return nil
	}
	return enqueue(ctx, tx, WorkflowLicense, l.licenseID())
}

// undecided are the lines that an operation waits for. A line that is being refunded is decided: it will not be
// delivered.
const undecided = `status NOT IN ('DELIVERED', 'CANCELING', 'CANCELED')`

// AdvanceLicense lets the first operation that waits on the licence begin, if all before it are decided, and has the
// relay start or wake its workflow. Idempotent.
func (d *DB) AdvanceLicense(ctx context.Context, licenseID string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var first string
		err := tx.GetContext(ctx, &first, `
			SELECT fulfillment_id FROM line_items WHERE license_id = $1 AND blocked AND `+undecided+` ORDER BY operation_no
				LIMIT 1`, licenseID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		l, err := lockLine(ctx, tx, first)
		if err != nil || !l.Blocked {
			return err
		}
		var waits bool
		if err := tx.GetContext(ctx, &waits, `
			SELECT EXISTS (SELECT FROM line_items WHERE (fulfillment_id = $1 OR license_id = $1 AND operation_no < $2)
				AND `+undecided+`)`,
			licenseID, *l.OperationNo); err != nil || waits {
			return err
		}
		issuer := ""
		c, err := readLicense(ctx, tx, licenseID)
		if err != nil {
			return err
		}
		if c != nil {
			issuer = c.Source
		}
		return pg.ExpectOne(tx.ExecContext(ctx, `
			UPDATE line_items SET blocked = false, wake_at = now(), license_source = CASE WHEN operation <> 'upgrade' THEN $2 END
				WHERE id = $1`, l.ID, issuer))
	})
}

// nameExpiry is the response path that says until when a licence runs, in epoch milliseconds or as RFC 3339.
const nameExpiry = "expirationTimestamp"

// storeTerm keeps the end of the term that a partner named. A line of several units has the earliest one. What cannot
// be read stays additional data.
func storeTerm(ctx context.Context, tx *sqlx.Tx, l *line, unit int, additional map[string][]string) error {
	values := additional[nameExpiry]
	if len(values) == 0 {
		return nil
	}
	at, ok := parseTerm(values[0])
	if !ok {
		return nil
	}
	return tx.GetContext(ctx, &l.ExpiresAt, `
		UPDATE line_items SET expires_at = CASE WHEN $3 > 0 THEN least(expires_at, $2) ELSE CAST($2 AS timestamptz) END
			WHERE id = $1 RETURNING expires_at`,
		l.ID, at, unit)
}

// parseTerm reads epoch milliseconds, RFC 3339 or a date between the years 2000 and 2200.
func parseTerm(text string) (time.Time, bool) {
	var at time.Time
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		at = time.UnixMilli(ms)
	} else if at, err = time.Parse(time.RFC3339, text); err != nil {
		if at, err = time.Parse(time.DateOnly, text); err != nil {
			return at, false
		}
	}
	at = at.UTC()
	return at, at.Year() >= 2000 && at.Year() < 2200
}

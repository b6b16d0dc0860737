package db

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
)

// applyOperation makes of the licence what the delivered operation does to it, and keeps what it was before.
func (d *DB) applyOperation(ctx context.Context, tx *sqlx.Tx, l *line) error {
	c, err := readLicense(ctx, tx, *l.LicenseID)
	// nothing is left to cancel
	if err != nil || c == nil || l.operation() == keyturn.OpCancel && c.Status == keyturn.LicenseCanceled {
		return err
	}
	from := c.Status.At(l.Now, c.ExpiresAt)
	to, ok := from.After(l.operation())
	if !ok { // the order of the create was taken back while the e-mail was on its way
		return openLineAlert(ctx, tx, l, keyturn.AlertRevocation,
			"the licence became "+string(from)+" while its "+l.Operation+" was under way: refund the order if it was paid for")
	}
	product, source, expires := c.ProductID, c.Source, c.ExpiresAt
	switch l.operation() { //nolint:exhaustive // the others change the status alone
	case keyturn.OpRenew: // a new term; its end is what somebody said, or not known
		expires = l.ExpiresAt
	case keyturn.OpResume:
		if l.ExpiresAt != nil {
			expires = l.ExpiresAt
		}
	case keyturn.OpUpgrade: // another product for the rest of the same term
		product, source = l.ProductID, l.issuer()
		if err := d.retire(ctx, tx, c, source); err != nil {
			return err
		}
	case keyturn.OpCancel:
		if err := d.quarantine(ctx, tx, l, c); err != nil {
			return err
		}
	}
	return pg.ExpectOne(tx.ExecContext(ctx, `
		WITH step AS (
			INSERT INTO license_steps (license_id, no, line_id, operation, from_status, to_status, product_before, source_before,
				expires_before)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		)
		UPDATE licenses SET status = $6, product_id = $10, source = $11, expires_at = $12, updated_at = now() WHERE id = $1`,
		c.ID, *l.OperationNo, l.ID, l.Operation, from, to, c.ProductID, c.Source, c.ExpiresAt, product, source, expires))
}

// linesOfLicensesSQL are the lines whose keys licences have or had: of each its create and what was done to it since,
// in order.
const linesOfLicensesSQL = `
	SELECT l.fulfillment_id AS license_id, l.id, l.fulfillment_id, l.operation, 0 AS no FROM line_items l
		WHERE l.fulfillment_id = ANY(CAST($1 AS uuid[]))
	UNION ALL
	SELECT s.license_id, l.id, l.fulfillment_id, l.operation, s.no
		FROM license_steps s JOIN line_items l ON l.id = s.line_id
		WHERE s.license_id = ANY(CAST($1 AS uuid[])) AND s.withdrawn_at IS NULL
	ORDER BY no`

type licenseLine struct {
	LicenseID     string                `db:"license_id"`
	ID            string                `db:"id"`
	FulfillmentID string                `db:"fulfillment_id"`
	Operation     keyturn.OperationName `db:"operation"`
	No            int                   `db:"no"`
}

func linesOfLicense(ctx context.Context, q sqlx.QueryerContext, licenseID string) ([]licenseLine, error) {
	var lines []licenseLine
	return lines, sqlx.SelectContext(ctx, q, &lines, linesOfLicensesSQL, pq.Array([]string{licenseID}))
}

// retire ends what an upgrade has replaced: recalled keys are not replaced any more, and the partner that issued the
// licence is told to cancel it, once another source has issued it anew. A key of a pool stays booked on the line that
// it was delivered to: it is never sold again.
func (d *DB) retire(ctx context.Context, tx *sqlx.Tx, c *license, source string) error {
	lines, err := linesOfLicense(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	for _, old := range slices.Backward(lines) {
		if old.No != 0 && old.Operation != keyturn.OpUpgrade {
			continue
		}
		if err := voidReplacements(ctx, tx, old.ID); err != nil { // the one that its present issuer issued
			return err
		}
		if !keyturn.ParseSource(c.Source).Type.HasIntegration() || c.Source == source {
			return nil
		}
		return storeRevocations(ctx, tx, &line{ID: old.ID, FulfillmentID: old.FulfillmentID}, c.Source, nil, false)
	}
	return nil
}

const whyLicenseCanceled = "the licence was cancelled"

// quarantine ends the hold on a cancelled licence's keys, and tells operations of those that nobody can be told to
// block.
func (d *DB) quarantine(ctx context.Context, tx *sqlx.Tx, l *line, c *license) error {
	lines, err := linesOfLicense(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	for _, old := range lines {
		if err := d.freeKeys(ctx, tx, &line{ID: old.ID}, byWorkflow, whyLicenseCanceled); err != nil {
			return err
		}
	}
	if of := keyturn.ParseSource(c.Source).Type; !of.CallsPartner() || of.HasIntegration() {
		return nil
	}
	return openLineAlert(ctx, tx, l, keyturn.AlertRevocation,
		"a dynamic URL cannot be told of a cancel: block the licence's keys at the publisher")
}

// withdraw undoes a delivered renewal or upgrade whose order is taken back: the licence is again what it was before,
// unless something was done to it since. Its partner has no operation for that: scheduleOperationRevocation alerts
// operations. A pause, a resume and a cancel stay: their opposite is an operation of its own.
func (d *DB) withdraw(ctx context.Context, tx *sqlx.Tx, l *line) error {
	if l.isNotice() {
		return nil
	}
	_, err := tx.ExecContext(ctx, `
		WITH gone AS (
			UPDATE license_steps SET withdrawn_at = now() WHERE line_id = $1 AND withdrawn_at IS NULL
			RETURNING license_id, no, product_before, source_before, expires_before
		), since AS (
			SELECT g.*, (SELECT to_status FROM license_steps s WHERE s.license_id = g.license_id AND s.no < g.no
				AND s.withdrawn_at IS NULL
				ORDER BY s.no DESC LIMIT 1) AS status_before
			FROM gone g WHERE NOT EXISTS (SELECT FROM license_steps s WHERE s.license_id = g.license_id AND s.no > g.no
				AND s.withdrawn_at IS NULL)
		)
		UPDATE licenses c SET status = coalesce(b.status_before, 'Running'), product_id = b.product_before,
			source = b.source_before,
			expires_at = b.expires_before, updated_at = now()
		FROM since b WHERE c.id = b.license_id AND c.status <> 'Canceled'`, l.ID)
	if err != nil || l.operation() != keyturn.OpUpgrade {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		UPDATE replacements r SET status = CASE WHEN b.recalled_at IS NULL OR b.replace_sold THEN 'OWED'
			ELSE 'LISTED' END, done_at = NULL
		FROM line_items l, batches b
		WHERE r.status = 'VOID' AND b.id = r.batch_id AND l.id = r.line_id AND l.status = 'DELIVERED' AND l.id <> $2
			AND coalesce(l.license_id, l.fulfillment_id) = $1
				AND NOT `+stock.RetiredSQL, *l.LicenseID, l.ID) // those keys are the licence's again
	return err
}

// scheduleOperationRevocation is scheduleRevocation for an operation on an existing licence. A cancel would end the
// whole licence, so the partner that issued it gets none: a person corrects what that partner may have done. Another
// partner, which an upgrade asked in vain, is told to cancel what it may have issued.
func scheduleOperationRevocation(ctx context.Context, tx *sqlx.Tx, l *line, source string, forgotten bool) error {
	issuer := value(l.LicenseSource)
	if l.operation() == keyturn.OpUpgrade {
		c, err := readLicense(ctx, tx, *l.LicenseID)
		if err != nil {
			return err
		}
		if c != nil {
			issuer = c.Source
		}
		if l.Status == keyturn.LineDelivered { // it is not the licence's any more once its upgrade is withdrawn
			if err := tx.GetContext(ctx, &issuer,
				`SELECT coalesce(max(source_before), '') FROM license_steps WHERE line_id = $1`, l.ID); err != nil {
				return err
			}
		}
		if err := storeRevocations(ctx, tx, l, source, []string{issuer}, forgotten); err != nil {
			return err
		}
	}
	overruled := l.CancelReason != nil && *l.CancelReason == whyLicense // the partner gets the cancel right after this
	if overruled || l.Status == keyturn.LineDelivered && l.isNotice() {
		return nil
	}
	var asked bool
	err := tx.GetContext(ctx, &asked, `
		SELECT EXISTS (SELECT FROM attempts WHERE line_id = $1 AND source = $2 AND (sent OR outcome IN ('running', 'unknown'))
			AND outcome <> 'failed')`, l.ID, issuer)
	if err != nil || !asked {
		return err
	}
	return openLineAlert(ctx, tx, l, keyturn.AlertRevocation,
		issuer+" may have carried out the "+l.Operation+" that was given up: see there that the licence is as it was")
}

// LicenseFacts is what a request about a licence that exists is made of, besides the order. It holds keys.
type LicenseFacts struct {
	ID         string // empty: the request makes the licence
	StartedAt  time.Time
	ExpiresAt  *time.Time
	Link       string
	Additional map[string][]string // all that was captured by earlier operations, with activationCode
}

// licenseFacts adds what is known of the licence, and which of its units is next.
func (d *DB) licenseFacts(ctx context.Context, tx *sqlx.Tx, l *line, f *CallFacts) (err error) {
	if l.product.QuantityMode == keyturn.OnePerUnit && l.Version > 1 {
		if err := tx.GetContext(ctx, &f.UnitNo, `
			SELECT count(DISTINCT unit_no) FROM attempts WHERE line_id = $1 AND source = $2 AND operation = $3
				AND outcome = 'success'`,
			l.ID, l.source().Name(), l.Operation); err != nil {
			return err
		}
	}
	f.License, err = d.licenseData(ctx, tx, l, f.UnitNo)
	return err
}

// licenseData collects what earlier operations on a line's licence stored: of the unit that is asked for, or of all if
// one call answers for the line.
func (d *DB) licenseData(ctx context.Context, q sqlx.QueryerContext, l *line, unit int) (LicenseFacts, error) {
	f := LicenseFacts{ID: l.licenseID()}
	c, err := readLicense(ctx, q, f.ID)
	if err != nil {
		return f, err
	}
	if c != nil {
		f.StartedAt, f.ExpiresAt = c.CreatedAt, c.ExpiresAt
	}
	if l.erased() { // what it had is gone
		return f, nil
	}
	have, err := d.licenseParts(ctx, q, f.ID, l.CustomerID, "")
	if err != nil {
		return f, err
	}
	wanted := func(no int) bool { return l.product.QuantityMode != keyturn.OnePerUnit || no == unit }
	f.Additional = map[string][]string{}
	for _, p := range have {
		if !wanted(p.unit) {
			continue
		}
		switch p.kind {
		case "code":
			f.Additional["activationCode"] = append(f.Additional["activationCode"], string(p.plain))
		case "link":
			f.Link = cmp.Or(f.Link, string(p.plain))
		case "additional":
			var values map[string][]string
			if err := json.Unmarshal(p.plain, &values); err != nil {
				return f, err
			}
			maps.Copy(f.Additional, values)
		}
	}
	return f, nil
}

// licenseDeliverables is what the customer has of a licence today. KindConflict once it is cancelled.
func (d *DB) licenseDeliverables(ctx context.Context, q sqlx.QueryerContext, licenseID,
	customerID string,
) (Deliverables, error) {
	c, err := readLicense(ctx, q, licenseID)
	if err != nil {
		return Deliverables{}, err
	}
	if c == nil || c.Status == keyturn.LicenseCanceled {
		return Deliverables{}, keyturn.Errorf(keyturn.KindConflict, "the licence is cancelled: there is nothing to show")
	}
	parts, err := d.licenseParts(ctx, q, licenseID, customerID, "")
	if err != nil {
		return Deliverables{}, err
	}
	return assemble(parts)
}

// licensesDeliverables is what a customer has today of each of the licences, which are not cancelled.
func (d *DB) licensesDeliverables(ctx context.Context, q sqlx.QueryerContext, licenses []string,
	customerID string,
) (map[string]Deliverables, error) {
	var lines []licenseLine
	if err := sqlx.SelectContext(ctx, q, &lines, linesOfLicensesSQL, pq.Array(licenses)); err != nil {
		return nil, err
	}
	parts, err := d.partsOf(ctx, q, idsOf(lines), customerID)
	if err != nil {
		return nil, err
	}
	of := map[string][]licenseLine{}
	for _, l := range lines {
		of[l.LicenseID] = append(of[l.LicenseID], l)
	}
	out := map[string]Deliverables{}
	for id, lines := range of {
		if out[id], err = assemble(presentParts(lines, parts)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func idsOf(lines []licenseLine) []string {
	ids := make([]string, len(lines))
	for i, l := range lines {
		ids[i] = l.ID
	}
	return ids
}

// keysOfLicense are all keys that the line's licence ever had.
func (d *DB) keysOfLicense(ctx context.Context, q sqlx.QueryerContext, l *line) ([]string, error) {
	var lines, keys []string
	if err := sqlx.SelectContext(ctx, q, &lines, `SELECT id FROM line_items WHERE fulfillment_id = $1 OR license_id = $1`,
		l.licenseID()); err != nil {
		return nil, err
	}
	for _, id := range lines {
		parts, err := d.parts(ctx, q, id, l.CustomerID)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			if p.kind == "code" || p.kind == "replaced" {
				keys = append(keys, string(p.plain))
			}
		}
	}
	return keys, nil
}

// keptCodes are the fingerprints of the keys that the licence of an operation has already. Of a create: none.
func (d *DB) keptCodes(ctx context.Context, q sqlx.QueryerContext, l *line) (map[string]bool, error) {
	if l.LicenseID == nil {
		return nil, nil
	}
	parts, err := d.licenseParts(ctx, q, *l.LicenseID, l.CustomerID, "")
	out := map[string]bool{}
	for _, p := range parts {
		if p.kind == "code" {
			out[string(d.keys.Fingerprint(string(p.plain)))] = true
		}
	}
	return out, err
}

// licenseParts is what a licence has today: of each unit the last code, link and file that an operation brought, in the
// order of units, and all additional data in the order in which it came; or, if a line is named, what it had before
// that.
func (d *DB) licenseParts(ctx context.Context, q sqlx.QueryerContext, licenseID, customerID, before string) ([]part,
	error,
) {
	lines, err := linesOfLicense(ctx, q, licenseID)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(lines, func(l licenseLine) bool { return l.ID == before }); i >= 0 {
		lines = lines[:i]
	}
	parts, err := d.partsOf(ctx, q, idsOf(lines), customerID)
	if err != nil {
		return nil, err
	}
	return presentParts(lines, parts), nil
}

// presentParts is what a licence has after these of its lines, by what each has brought.
func presentParts(lines []licenseLine, brought map[string][]part) (out []part) {
	for _, l := range lines {
		parts := brought[l.ID]
		replaced := func(old part) bool { // by the same unit's, or, as another product has other units, by an upgrade's
			return old.kind != "additional" && old.kind != "replaced" && slices.ContainsFunc(parts, func(p part) bool {
				return p.kind == old.kind && (p.unit == old.unit || l.Operation == keyturn.OpUpgrade)
			})
		}
		out = append(slices.DeleteFunc(out, replaced), parts...)
	}
	slices.SortStableFunc(out, func(a, b part) int {
		if a.kind != b.kind || a.kind == "additional" {
			return strings.Compare(a.kind, b.kind)
		}
		return a.unit - b.unit
	})
	return out
}

package db

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// WorkflowRevoke is the workflow that the outbox starts for a revocation; its subject is `<fulfillmentId>/<source>`.
const WorkflowRevoke = "CancelAtPartner"

// scheduleRevocation has the partner of the line's current source told to cancel, if it may have carried out a call,
// and with it the partners that the line called before the merchant took them out of the product.
func scheduleRevocation(ctx context.Context, tx *sqlx.Tx, l *line) error {
	if err := leaveQueue(ctx, tx, l); err != nil {
		return err
	}
	if l.LicenseID != nil {
		return scheduleOperationRevocation(ctx, tx, l, l.source().Name(), true)
	}
	return storeRevocations(ctx, tx, l, l.source().Name(), nil, true)
}

// scheduleLateRevocation does the same for an answer that came after the line had left its source. A late answer may
// also be the second one of the source that the line has its keys from, to an attempt that was believed lost: what that
// source issued is delivered, and must not be taken back.
func (d *DB) scheduleLateRevocation(ctx context.Context, tx *sqlx.Tx, l *line, source string) error {
	var owed bool
	if err := tx.GetContext(ctx, &owed, `SELECT EXISTS (SELECT FROM revocations WHERE line_id = $1 AND source = $2)`, l.ID,
		source); err != nil {
		return err
	}
	if !owed && l.ObtainedAt != nil && l.source().Name() == source {
		return nil
	}
	if l.LicenseID != nil {
		return scheduleOperationRevocation(ctx, tx, l, source, false)
	}
	return storeRevocations(ctx, tx, l, source, nil, false)
}

// storeRevocations stores the revocation of a source and an outbox entry that starts it. The call waits until the last
// attempt that may still be under way has passed its deadline, so that no create reaches the partner after its cancel;
// one that was answered is over, and the cancel goes at once. An acknowledged cancel covers all. forgotten adds every
// source that was asked and has no revocation yet; except names those that get none.
func storeRevocations(ctx context.Context, tx *sqlx.Tx, l *line, source string, except []string,
	forgotten bool,
) error {
	_, err := tx.ExecContext(ctx, `
		WITH calls AS (
			SELECT source, max(CASE WHEN outcome IN ('running', 'unknown') THEN deadline_at ELSE ended_at END) AS until
			FROM attempts a
			WHERE line_id = $1 AND operation <> 'cancel' AND (sent OR outcome IN ('running', 'unknown'))
				AND source <> ALL($6) AND (source = $2 OR $5 AND NOT EXISTS (SELECT FROM revocations r WHERE r.line_id = $1
					AND r.source = a.source))
			GROUP BY source
		), owed AS (
			INSERT INTO revocations (line_id, source, not_before)
			SELECT $1, source, greatest(until, now()) FROM calls
			ON CONFLICT (line_id, source) DO UPDATE SET status = 'OWED', not_before = excluded.not_before, done_at = NULL
			WHERE revocations.status <> 'DONE'
			RETURNING source, not_before
		)
		INSERT INTO outbox (workflow, subject, due_at) SELECT $3, $4 || source, not_before FROM owed
		ON CONFLICT (workflow, subject) DO UPDATE
			SET due_at = excluded.due_at, tries = 0`, l.ID, source, WorkflowRevoke, l.FulfillmentID+"/", forgotten,
		pq.Array(append([]string{}, except...)))
	return err
}

// leaveOtherSources has the partners told to cancel that the line asked before and that are not its source any more,
// because the product was changed, and forgets what they gave. Whatever the line gets from here on, it has it from the
// source now alone. told: that one was told to cancel in turn, so it must not be asked again; a cancel that has not
// left yet is taken back.
func leaveOtherSources(ctx context.Context, tx *sqlx.Tx, l *line, now string) (told bool, err error) {
	except := []string{now}
	if l.LicenseID != nil { // a cancel would end the whole licence
		if l.operation() != keyturn.OpUpgrade {
			return false, nil
		}
		c, err := readLicense(ctx, tx, *l.LicenseID)
		if err != nil {
			return false, err
		}
		if c != nil {
			except = append(except, c.Source)
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM deliverables WHERE line_id = $1 AND source <> $2`, l.ID,
		now); err != nil {
		return false, err
	}
	if err := storeRevocations(ctx, tx, l, "", except, true); err != nil {
		return false, err
	}
	err = tx.GetContext(ctx, &told, `
		WITH back AS (
			DELETE FROM revocations WHERE line_id = $1 AND source = $2 AND status = 'OWED' AND attempts = 0 RETURNING source
		), forget AS (
			DELETE FROM outbox WHERE workflow = $3 AND subject = $4 AND EXISTS (SELECT FROM back)
		)
		SELECT EXISTS (SELECT FROM revocations WHERE line_id = $1 AND source = $2) AND NOT EXISTS (SELECT FROM back)`,
		l.ID, now, WorkflowRevoke, l.FulfillmentID+"/"+now)
	return told, err
}

// BeginRevocation books an attempt of telling the partner of source to cancel. A nil Call and no error: nothing is owed
// any more. Render is as in BeginCall; the request carries the same fulfillmentId as the create.
func (d *DB) BeginRevocation(ctx context.Context, fulfillmentID, source string, timeout CallTimeout,
	render RenderCall,
) (*Call, error) {
	var call *Call
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		call = nil
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		var owed struct {
			Status keyturn.RevocationStatus `db:"status"`
			Tries  int                      `db:"attempts"`
			LastNo int                      `db:"last_no"`
			Unit   int                      `db:"unit"`
		}
		// The units are revoked one after the other, one that the partner refuses after the others; a source that answers for
		// the whole line has one.
		err = tx.GetContext(ctx, &owed, `
			SELECT status, attempts, (SELECT coalesce(max(no), 0) FROM attempts WHERE line_id = $1) AS last_no,
				coalesce((SELECT unit_no FROM attempts WHERE line_id = $1 AND source = $2 GROUP BY unit_no
					HAVING bool_or(operation <> 'cancel') AND NOT bool_or(operation = 'cancel' AND outcome = 'success')
					ORDER BY count(*) FILTER (WHERE operation = 'cancel' AND outcome = 'failed'), unit_no LIMIT 1), 0) AS unit
			FROM revocations WHERE line_id = $1 AND source = $2 FOR UPDATE`, l.ID, source)
		if errors.Is(err, sql.ErrNoRows) || err == nil && owed.Status != keyturn.RevocationOwed {
			return nil
		}
		if err != nil {
			return err
		}
		// A create whose process died was overtaken by the decision that is taken back here, and a cancel by this one.
		if _, err := tx.ExecContext(ctx, `
			UPDATE attempts SET outcome = 'unknown', sent = true, ended_at = deadline_at,
				message = CASE WHEN $3 THEN NULL ELSE CAST($4 AS text) END
			WHERE line_id = $1 AND source = $2 AND outcome = 'running'
				AND (operation = 'cancel' OR deadline_at < now())`, l.ID, source, l.erased(), processStopped); err != nil {
			return err
		}
		l.turnTo(source)
		if !l.source().Type.HasIntegration() {
			return d.endRevocation(ctx, tx, l, source, keyturn.RevocationImpossible, "this source has no way to be told")
		}
		facts, dk, err := d.facts(ctx, tx, l, 0)
		if keyturn.KindOf(err) == keyturn.KindConfiguration { // its integration is gone
			return d.endRevocation(ctx, tx, l, source, keyturn.RevocationImpossible, err.Error())
		}
		if err != nil {
			return err
		}
		facts.Operation, facts.UnitNo = keyturn.OpCancel, owed.Unit
		facts.LicenseID = unitID(l.licenseID(), owed.Unit)
		if facts.License, err = d.licenseData(ctx, tx, l, owed.Unit); err != nil {
			return err
		}
		call = l.newCall(facts, owed.LastNo+1, timeout(facts.Integration))
		var sealed []byte
		if call.Request, sealed, err = d.request(ctx, tx, l, facts, dk, render); err != nil {
			if keyturn.KindOf(err) == keyturn.KindConfiguration {
				call = nil
				return d.endRevocation(ctx, tx, l, source, keyturn.RevocationImpossible, err.Error())
			}
			return err
		}
		g, err := d.lockAdmission(ctx, tx, l, facts.Integration)
		if err != nil {
			return err
		}
		g.Older = 0 // a cancel waits for no create
		if ok, _ := g.decide(facts.Integration.Limits.WithDefaults()); !ok {
			return keyturn.Errorf(keyturn.KindRateLimited, "the cancel waits for its turn at %s", source)
		}
		if err := d.bookAdmission(ctx, tx, l, g, call); err != nil {
			return err
		}
		var w pg.StmtBuilder
		w.With("moved", `
			UPDATE revocations SET attempts = attempts + 1 WHERE line_id = ? AND source = ?
			RETURNING line_id AS id`, l.ID, source)
		l.appendAttempt(&w, call, sealed)
		return w.Select(ctx, tx, &[]string{}, `SELECT id FROM moved`)
	})
	return call, err
}

// FinishRevocation books what became of the attempt; done says that nothing more is owed. The failure of an attempt
// that another one has overtaken changes nothing, nor does one once the revocation is over.
func (d *DB) FinishRevocation(ctx context.Context, fulfillmentID, source string, r CallResult) (done bool, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		done = false
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		outcome, message := keyturn.AttemptSuccess, ""
		if r.Failed != nil {
			outcome, message = keyturn.AttemptFailed, r.Failed.Failure.Message // the partner may quote whom the cancel is for
		}
		if l.erased() {
			message = ""
		}
		var ours []int
		if err := tx.SelectContext(ctx, &ours, `
			UPDATE attempts SET outcome = $3, sent = $4, duration_ms = $5, http_status = nullif($6, 0), message = nullif($7, ''),
				ended_at = clock_timestamp()
			WHERE line_id = $1 AND no = $2 AND (outcome = 'running' OR outcome = 'unknown' AND $8) RETURNING no`,
			l.ID, r.Attempt, outcome, r.Sent, r.Duration.Milliseconds(), r.HTTPStatus, message, r.Failed == nil); err != nil {
			return err
		}
		var status keyturn.RevocationStatus
		if err := tx.GetContext(ctx, &status, `SELECT status FROM revocations WHERE line_id = $1 AND source = $2 FOR UPDATE`,
			l.ID, source); err != nil {
			return err
		}
		if len(ours) == 0 || status == keyturn.RevocationDone || status != keyturn.RevocationOwed && r.Failed != nil {
			done = status != keyturn.RevocationOwed
			return nil
		}
		if _, err := d.bookPartner(ctx, tx, l.ID, source, r); err != nil {
			return err
		}
		if r.Failed != nil {
			var since time.Time // what was delivered long ago may be taken back today
			if err := tx.GetContext(ctx, &since, `SELECT created_at FROM revocations WHERE line_id = $1 AND source = $2`, l.ID,
				source); err != nil {
				return err
			}
			if l.Now.Sub(since) > revokeFor && l.Now.Sub(l.GiveUpAt) > revokeFor {
				done = true
				return d.endRevocation(ctx, tx, l, source, keyturn.RevocationImpossible,
					"the partner did not acknowledge the cancel in time")
			}
			return openLineAlert(ctx, tx, l, keyturn.AlertRevocation,
				source+" has not acknowledged the cancel of what it may have issued")
		}
		var open int
		if err := tx.GetContext(ctx, &open, `
			SELECT count(DISTINCT unit_no) FILTER (WHERE operation <> 'cancel')
				- count(DISTINCT unit_no) FILTER (WHERE operation = 'cancel' AND outcome = 'success')
			FROM attempts WHERE line_id = $1 AND source = $2`, l.ID, source); err != nil {
			return err
		}
		if open > 0 {
			return nil
		}
		done = true
		return d.endRevocation(ctx, tx, l, source, keyturn.RevocationDone, "")
	})
	return done, err
}

// revokeFor is how long after a line's deadline, and after it was decided, its partner is still told to cancel.
const revokeFor = 7 * 24 * time.Hour

func (d *DB) endRevocation(ctx context.Context, tx *sqlx.Tx, l *line, source string, status keyturn.RevocationStatus,
	why string,
) error {
	if status == keyturn.RevocationDone {
		var others bool
		if err := tx.GetContext(ctx, &others, `
			WITH returned AS ( -- the partner may issue it again
				UPDATE deliverables SET shared = 'returned' WHERE line_id = $1 AND source = $2 AND kind = 'code'
			)
			SELECT EXISTS (SELECT FROM revocations WHERE line_id = $1 AND source <> $2 AND status <> 'DONE')`, l.ID,
			source); err != nil {
			return err
		}
		if !others {
			if err := closeLineAlert(ctx, tx, l, keyturn.AlertRevocation); err != nil {
				return err
			}
		}
	} else if err := openLineAlert(ctx, tx, l, keyturn.AlertRevocation,
		"what "+source+" may have issued cannot be taken back: "+why); err != nil {
		return err
	}
	return pg.ExpectOne(tx.ExecContext(ctx, `
		UPDATE revocations SET status = $3, error = nullif($4, ''), done_at = now() WHERE line_id = $1
			AND source = $2`, l.ID, source, status, why))
}

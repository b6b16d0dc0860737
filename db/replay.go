package db

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// Replay is an attempt as it was, and what a request would be made of today. It holds personal data and secrets.
type Replay struct {
	CallFacts
	No         int
	StartedAt  time.Time
	Outcome    keyturn.AttemptOutcome
	ErrorKind  string
	Message    string
	HTTPStatus int
	Request    []byte // as it was stored at the first attempt
	Reply      []byte // redacted; nil: there was none, or it was not kept
	hide       hidden
}

// HideRequest shows a stored request as operators may see it.
func (r Replay) HideRequest(stored []byte) string { return r.hide.request(stored) }

// HideReply takes the customer's personal data out of a reply.
func (r Replay) HideReply(body []byte) []byte { return []byte(r.hide.body(body)) }

// ReplayFacts collects what a replay of an attempt needs: today's catalog, and what was stored. no 0 is the newest
// attempt that has a reply, else the newest. KindNotFound: there is no such line or attempt. KindConflict: the attempt
// was a cancel, or its source is no longer one of the product's.
func (d *DB) ReplayFacts(ctx context.Context, fulfillmentID string, no int) (Replay, error) {
	var r Replay
	id, ok := canonicalID(fulfillmentID)
	if !ok {
		return r, keyturn.Errorf(keyturn.KindNotFound, "there is no such fulfillment: its ID is a UUID")
	}
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(ctx, tx, id)
		if err != nil {
			return err
		}
		return d.replayFacts(ctx, tx, l, no, &r)
	})
	return r, err
}

func (d *DB) replayFacts(ctx context.Context, tx *sqlx.Tx, l *line, no int, r *Replay) error {
	var a struct {
		No         int                    `db:"no"`
		Source     string                 `db:"source"`
		Operation  string                 `db:"operation"`
		UnitNo     int                    `db:"unit_no"`
		Outcome    keyturn.AttemptOutcome `db:"outcome"`
		StartedAt  time.Time              `db:"started_at"`
		HTTPStatus *int                   `db:"http_status"`
		ErrorKind  *string                `db:"error_kind"`
		Message    *string                `db:"message"`
		Reply      []byte                 `db:"reply"`
		Request    []byte                 `db:"request"`
	}
	err := tx.GetContext(ctx, &a, `
		SELECT a.no, a.source, a.operation, a.unit_no, a.outcome, a.started_at, a.http_status, a.error_kind, a.message,
			a.reply, r.request
		FROM attempts a
		LEFT JOIN partner_requests r ON r.line_id = a.line_id AND r.source = a.source AND r.operation = a.operation
			AND r.unit_no = a.unit_no
		WHERE a.line_id = $1 AND (a.no = $2 OR $2 = 0 AND a.operation = $3)
		ORDER BY (a.reply IS NOT NULL) DESC, a.no DESC LIMIT 1`, l.ID, no, l.Operation)
	if errors.Is(err, sql.ErrNoRows) {
		return keyturn.Errorf(keyturn.KindNotFound, "the line has no such attempt at a partner")
	}
	if err != nil {
		return err
	}
	if a.Operation == "cancel" && a.Operation != l.Operation {
		return keyturn.Errorf(keyturn.KindConflict,
			"attempt %d told the partner to cancel: only the line's own operation can be replayed", a.No)
	}
	l.SourceNo = slices.IndexFunc(l.product.Sources, func(s keyturn.Source) bool { return s.Name() == a.Source })
	if l.SourceNo < 0 || !l.source().Type.CallsPartner() {
		return keyturn.Errorf(keyturn.KindConflict, "attempt %d asked %s, which is no source of the product any more", a.No,
			a.Source)
	}
	facts, dk, err := d.facts(ctx, tx, l, a.UnitNo)
	if err != nil {
		return err
	}
	facts.Operation = keyturn.OperationName(a.Operation)
	customer, _, err := d.customerOf(ctx, tx, l)
	if err != nil {
		return err
	}
	var keys []string
	if l.LicenseID != nil { // a request about a licence may name its key
		if keys, err = d.keysOfLicense(ctx, tx, l); err != nil {
			return err
		}
	}
	*r = Replay{
		CallFacts: facts, No: a.No, StartedAt: a.StartedAt.UTC(), Outcome: a.Outcome, ErrorKind: value(a.ErrorKind),
		hide: personalData(customer, keys...),
	}
	r.Message = r.hide.text(value(a.Message))
	if a.HTTPStatus != nil {
		r.HTTPStatus = *a.HTTPStatus
	}
	if a.Request != nil {
		if r.Request, err = dk.Open(a.Request, requestAt(l.ID, a.Source, a.Operation, a.UnitNo)); err != nil {
			return err
		}
	}
	if a.Reply != nil {
		r.Reply, err = dk.Open(a.Reply, replyAt(l.ID, a.No))
	}
	return err
}

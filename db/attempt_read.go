package db

import (
	"context"
	"fmt"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

const (
	shownAttempts = 100       // the newest ones; the others stay in the table
	shownBytes    = 8 << 10   // of one request or reply
	readBytes     = 256 << 10 // larger replies are not even fetched
)

const attemptsSQL = `
	SELECT no, source, operation, unit_no, outcome, started_at, duration_ms, http_status, error_kind, error_code, message,
		reply, reply_size, request
	FROM (
		SELECT a.no, a.source, a.operation, a.unit_no, a.outcome, a.started_at, a.duration_ms, a.http_status, a.error_kind,
			a.error_code, a.message,
			CASE WHEN octet_length(a.reply) <= $3 THEN a.reply END AS reply, octet_length(a.reply) AS reply_size, r.request
		FROM attempts a
		LEFT JOIN partner_requests r ON r.line_id = a.line_id AND r.source = a.source AND r.operation = a.operation
			AND r.unit_no = a.unit_no
		WHERE a.line_id = $1
		ORDER BY a.no DESC LIMIT $2
	) newest ORDER BY no`

// attemptLog shows the newest attempts in the order in which they were made.
func (d *DB) attemptLog(ctx context.Context, l *line) ([]keyturn.AttemptView, error) {
	var rows []struct {
		No         int                    `db:"no"`
		Source     string                 `db:"source"`
		Operation  string                 `db:"operation"`
		UnitNo     int                    `db:"unit_no"`
		Outcome    keyturn.AttemptOutcome `db:"outcome"`
		StartedAt  time.Time              `db:"started_at"`
		DurationMs *int                   `db:"duration_ms"`
		HTTPStatus *int                   `db:"http_status"`
		ErrorKind  *string                `db:"error_kind"`
		ErrorCode  *string                `db:"error_code"`
		Message    *string                `db:"message"`
		Reply      []byte                 `db:"reply"`
		ReplySize  *int                   `db:"reply_size"`
		Request    []byte                 `db:"request"`
	}
	if err := d.pg.SelectContext(ctx, &rows, attemptsSQL, l.ID, shownAttempts, readBytes); err != nil || len(rows) == 0 {
		return nil, pg.AsKind(err)
	}
	customer, dk, err := d.customerOf(ctx, d.pg, l)
	erased := keyturn.KindOf(err) == keyturn.KindErased
	if err != nil && !erased {
		return nil, pg.AsKind(err)
	}
	var keys []string
	// a request about a licence may name its key
	if !erased && (l.LicenseID != nil || rows[len(rows)-1].Operation == string(keyturn.OpCancel)) {
		if keys, err = d.keysOfLicense(ctx, d.pg, l); err != nil {
			return nil, pg.AsKind(err)
		}
	}
	hide := personalData(customer, keys...)
	out := make([]keyturn.AttemptView, len(rows))
	for i, r := range rows {
		out[i] = keyturn.AttemptView{
			No: r.No, StartedAt: r.StartedAt.UTC(), DurationMs: r.DurationMs, Source: r.Source, Operation: r.Operation,
			Outcome:    r.Outcome,
			HTTPStatus: r.HTTPStatus, ErrorKind: value(r.ErrorKind), ErrorCode: value(r.ErrorCode),
			Message: hide.text(value(r.Message)),
		}
		if erased {
			continue
		}
		if r.Request != nil {
			plain, err := dk.Open(r.Request, requestAt(l.ID, r.Source, r.Operation, r.UnitNo))
			if err != nil {
				return nil, err
			}
			out[i].Request = cut(hide.request(plain))
		}
		switch {
		case r.Reply != nil:
			plain, err := dk.Open(r.Reply, replyAt(l.ID, r.No))
			if err != nil {
				return nil, err
			}
			out[i].Reply = cut(hide.body(plain))
		case r.ReplySize != nil:
			out[i].Reply = fmt.Sprintf("[a reply of %d bytes]", *r.ReplySize)
		}
	}
	return out, nil
}

// value is what a pointer points to, or nothing.
func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

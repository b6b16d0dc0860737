package db

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// sandboxSession is a session of the sandbox processor as it is stored.
type sandboxSession struct {
	ID              string                  `db:"id"`
	Key             string                  `db:"key"`
	Request         []byte                  `db:"request"`
	TokenHash       []byte                  `db:"token_hash"`
	PaymentID       string                  `db:"payment_id"`
	OrderID         string                  `db:"order_id"`
	Currency        string                  `db:"currency"`
	TotalMinor      int64                   `db:"total_minor"`
	Lines           string                  `db:"lines"`
	Locale          string                  `db:"locale"`
	BackURL         string                  `db:"back_url"`
	ReturnURL       string                  `db:"return_url"`
	Authorize       keyturn.CaptureWhen     `db:"authorize"`
	Script          string                  `db:"script"`
	Status          keyturn.ProcessorStatus `db:"status"`
	Reference       *string                 `db:"reference"`
	Method          string                  `db:"method"`
	AuthorizedMinor int64                   `db:"authorized_minor"`
	CapturedMinor   int64                   `db:"captured_minor"`
	CaptureKey      string                  `db:"capture_key"`
	CaptureTries    int                     `db:"capture_tries"`
	CaptureBy       *time.Time              `db:"capture_by"`
	SettlesAt       *time.Time              `db:"settles_at"`
	CreatedAt       time.Time               `db:"created_at"`
	ExpiresAt       time.Time               `db:"expires_at"`
	RefundedMinor   int64                   `db:"refunded_minor"`
	Now             time.Time               `db:"now"`
}

const sandboxColumns = `
	SELECT s.id, s.key, s.request, s.token_hash, s.payment_id, s.order_id, s.currency, s.total_minor, s.lines, s.locale,
		s.back_url, s.return_url, s.authorize, s.script, s.status, s.reference, s.method, s.authorized_minor,
		s.captured_minor, s.capture_key, s.capture_tries, s.capture_by, s.settles_at, s.created_at, s.expires_at,
		coalesce((SELECT sum(r.amount_minor) FROM sandbox_refunds r WHERE r.reference = s.reference
			AND r.order_id = s.order_id AND r.applied_at IS NOT NULL), 0) AS refunded_minor,
		clock_timestamp() AS now
	FROM sandbox_sessions s
	WHERE `

// OpenSandboxSession is payment.Sessions': it stores a session under its key, once. If there is one under the key, it
// gives that one as it is.
func (d *DB) OpenSandboxSession(ctx context.Context, in keyturn.SandboxSession) (keyturn.SandboxSession, error) {
	lines, err := json.Marshal(in.Lines)
	if err != nil {
		return in, err
	}
	var row sandboxSession
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO sandbox_sessions (id, key, request, token_hash, payment_id, order_id, currency, total_minor, lines,
				locale, back_url, return_url, authorize, script, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
			ON CONFLICT (key) DO NOTHING`,
			in.ID, in.Key, in.Request, in.TokenHash, in.PaymentID, in.OrderID, in.Total.Currency, in.Total.Minor, string(lines),
			in.Locale, in.BackURL, in.ReturnURL, in.AuthorizeAs, in.Script, in.ExpiresAt); err != nil {
			return err
		}
		return tx.GetContext(ctx, &row, sandboxColumns+`s.key = $1`, in.Key)
	})
	if err != nil {
		return in, err
	}
	return row.session()
}

// ChangeSandboxSession is payment.Sessions': it locks a session, lets change change it, and stores what it has changed.
// What it captures goes into the sandbox's books of payments. KindNotFound; an error of change changes nothing.
func (d *DB) ChangeSandboxSession(ctx context.Context, ref keyturn.SandboxRef,
	change func(*keyturn.SandboxSession) error,
) (keyturn.SandboxSession, error) {
	var out keyturn.SandboxSession
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		where, arg := `s.id = $1`, any(ref.ID)
		switch {
		case ref.ID != "":
		case ref.Reference != "":
			where, arg = `s.reference = $1`, ref.Reference
		case len(ref.TokenHash) > 0:
			where, arg = `s.token_hash = $1`, ref.TokenHash
		case keyturn.ValidPaymentID(ref.PaymentID):
			where, arg = `s.payment_id = $1 ORDER BY s.created_at DESC, s.id DESC LIMIT 1`, ref.PaymentID
		}
		var row sandboxSession
		if err := tx.GetContext(ctx, &row, sandboxColumns+where+` FOR UPDATE OF s`, arg); err != nil {
			return pg.NotFound(err, "the sandbox has no such session")
		}
		s, err := row.session()
		if err != nil {
			return err
		}
		before := s
		if err := change(&s); err != nil {
			return err
		}
		out = s
		if sameSession(s, before) {
			return nil
		}
		if err := pg.ExpectOne(tx.ExecContext(ctx, `
			UPDATE sandbox_sessions SET status = $2, reference = nullif($3, ''), method = $4, authorized_minor = $5,
				captured_minor = $6, capture_key = $7, capture_tries = $8, capture_by = $9, settles_at = $10
			WHERE id = $1`,
			s.ID, s.Status, s.Reference, s.Method, s.Authorized.Minor, s.Captured.Minor, s.CaptureKey, s.CaptureTries,
			timeOrNull(s.CaptureBy), timeOrNull(s.SettlesAt))); err != nil {
			return err
		}
		if s.Captured == before.Captured {
			return nil
		}
		return pg.ExpectOne(tx.ExecContext(ctx, `
			INSERT INTO sandbox_payments (reference, order_id, captured_minor, currency) VALUES ($1, $2, $3, $4)`,
			s.Reference, s.OrderID, s.Captured.Minor, s.Captured.Currency))
	})
	return out, err
}

// sameSession says that nothing has changed of what can.
func sameSession(a, b keyturn.SandboxSession) bool {
	return a.Status == b.Status && a.Reference == b.Reference && a.Method == b.Method && a.Authorized == b.Authorized &&
		a.Captured == b.Captured && a.CaptureKey == b.CaptureKey && a.CaptureTries == b.CaptureTries &&
		a.CaptureBy.Equal(b.CaptureBy) && a.SettlesAt.Equal(b.SettlesAt)
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (r sandboxSession) session() (keyturn.SandboxSession, error) {
	money := func(minor int64) keyturn.Money { return keyturn.Money{Minor: minor, Currency: r.Currency} }
	when := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return t.UTC()
	}
	s := keyturn.SandboxSession{
		ID: r.ID, Key: r.Key, Request: r.Request, TokenHash: r.TokenHash, PaymentID: r.PaymentID, OrderID: r.OrderID,
		Total: money(r.TotalMinor), Locale: r.Locale, BackURL: r.BackURL, ReturnURL: r.ReturnURL, AuthorizeAs: r.Authorize,
		Script: r.Script, Status: r.Status, Method: r.Method, Authorized: money(r.AuthorizedMinor),
		Captured: money(r.CapturedMinor), CaptureKey: r.CaptureKey, CaptureTries: r.CaptureTries,
		CaptureBy: when(r.CaptureBy), SettlesAt: when(r.SettlesAt), CreatedAt: r.CreatedAt.UTC(),
		ExpiresAt: r.ExpiresAt.UTC(), Refunded: money(r.RefundedMinor), Now: r.Now.UTC(),
	}
	if r.Reference != nil {
		s.Reference = *r.Reference
	}
	return s, json.Unmarshal([]byte(r.Lines), &s.Lines)
}

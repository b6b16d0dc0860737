package db

import (
	"context"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn/pg"
)

// Retention says how long is kept what nothing depends on any more. Orders, money, keys, steps and idempotency records
// are kept for good: they prove what was sold, and keep it from being sold twice.
type Retention struct {
	Audits   time.Duration // reports of audits; the newest is always kept
	Accesses time.Duration // who looked at keys
	Traffic  time.Duration // partners' requests and replies, once their line is decided
	Emails   time.Duration // the text of e-mails that went out, once their line is decided
	Links    time.Duration // whom a checkout link was for, once it has ended unused
	Payments time.Duration // who began a payment and what for, once it has ended without an order; with its e-mails
	Events   time.Duration // events, and what became of them at webhooks
}

// DefaultRetention keeps a quarter of reports, a year and a month of accesses and e-mails, and traffic and payments
// that came to nothing for as long as a customer or a partner may complain.
var DefaultRetention = Retention{
	Audits: 90 * day, Accesses: 400 * day, Traffic: 90 * day, Emails: 400 * day, Links: 30 * day, Payments: 90 * day,
	Events: 30 * day,
}

const day = 24 * time.Hour

// Tidied counts what Tidy removed.
type Tidied struct{ Audits, Accesses, Requests, Replies, Emails, Links, Payments, Events int64 }

// tidyChunk bounds one transaction of Tidy, so that nobody waits for it.
const tidyChunk = 2000

// Tidy removes what was kept long enough, in small transactions. It may run at any time, also twice at once. What
// cannot be removed of one kind keeps none of the others.
func (d *DB) Tidy(ctx context.Context, r Retention) (Tidied, error) {
	var t Tidied
	var failed error
	for _, part := range []struct {
		n     *int64
		age   time.Duration
		query string
	}{
		{&t.Audits, r.Audits, tidyAuditsSQL},
		{&t.Accesses, r.Accesses, tidyAccessesSQL},
		{&t.Requests, r.Traffic, tidyRequestsSQL},
		{&t.Replies, r.Traffic, tidyRepliesSQL},
		{&t.Emails, r.Emails, tidyEmailsSQL},
		{&t.Emails, r.Emails, tidyPaymentMailsSQL},
		{&t.Emails, r.Emails, tidyBouncesSQL},
		{&t.Payments, r.Payments, tidyPaymentsSQL},
		{&t.Events, r.Events, tidyEventsSQL},
	} {
		for {
			n, err := d.tidy(ctx, part.query, part.age)
			*part.n += n
			failed = errors.Join(failed, err)
			if err != nil || n < tidyChunk {
				break
			}
		}
	}
	var err error
	t.Links, err = d.blankLinks(ctx, r.Links)
	return t, errors.Join(failed, err)
}

func (d *DB) tidy(ctx context.Context, query string, age time.Duration) (n int64, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := pg.AllowSeqScans(ctx, tx); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, query, age.Seconds(), tidyChunk)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return n, err
}

const tidyAuditsSQL = `
	DELETE FROM audits WHERE id IN (
		SELECT id FROM audits
		WHERE started_at < now() - make_interval(secs => $1) AND id <> (SELECT id FROM audits ORDER BY started_at DESC,
			id DESC LIMIT 1)
		ORDER BY started_at LIMIT $2)`

const tidyAccessesSQL = `
	DELETE FROM access_log WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM access_log WHERE at < now() - make_interval(secs => $1) LIMIT $2))`

// decidedFor: a revocation that is owed repeats the line's own request.
const decidedFor = `l.status IN ('DELIVERED', 'CANCELED')
	AND coalesce(l.canceled_at, l.delivered_at) < now() - make_interval(secs => $1)
	AND NOT EXISTS (SELECT FROM revocations v WHERE v.line_id = l.id AND v.status = 'OWED')`

const tidyRequestsSQL = `
	DELETE FROM partner_requests WHERE ctid = ANY(ARRAY(
		SELECT r.ctid FROM partner_requests r JOIN line_items l ON l.id = r.line_id
		WHERE r.created_at < now() - make_interval(secs => $1) AND ` + decidedFor + ` LIMIT $2))`

const tidyRepliesSQL = `
	UPDATE attempts SET reply = NULL WHERE ctid = ANY(ARRAY(
		SELECT a.ctid FROM attempts a JOIN line_items l ON l.id = a.line_id
		WHERE a.reply IS NOT NULL AND a.started_at < now() - make_interval(secs => $1) AND ` + decidedFor + ` LIMIT $2))`

// tidyEmailsSQL leaves of an e-mail what proves that it went out. Of those that did not, only keys whose line was
// canceled are owed to nobody. Whoever wants an e-mail again gets one that is rendered anew.
const tidyEmailsSQL = `
	UPDATE deliveries SET message = '' WHERE ctid = ANY(ARRAY(
		SELECT y.ctid FROM deliveries y JOIN line_items l ON l.id = y.line_id
		WHERE y.message <> '' AND y.created_at < now() - make_interval(secs => $1) AND ` + decidedFor + `
			AND (y.status = 'SENT' AND y.sent_at < now() - make_interval(secs => $1)
				OR y.kind = 'keys' AND l.status = 'CANCELED')
		ORDER BY y.created_at LIMIT $2))`

// tidyPaymentMailsSQL does the same for e-mails about payments.
const tidyPaymentMailsSQL = `
	UPDATE payment_mails SET message = '' WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM payment_mails WHERE message <> '' AND created_at < now() - make_interval(secs => $1)
			AND due_at IS NULL AND (sent_at IS NULL OR sent_at < now() - make_interval(secs => $1))
		ORDER BY created_at LIMIT $2))`

// tidyBouncesSQL removes what mail servers said of e-mails. That they came back stays, and why.
const tidyBouncesSQL = `
	UPDATE bounces SET diagnostic = '' WHERE id IN (
		SELECT id FROM bounces WHERE diagnostic <> '' AND at < now() - make_interval(secs => $1) ORDER BY at LIMIT $2)`

// tidyEventsSQL removes the oldest events, whatever became of them: the longest schedule is a tenth of their time.
const tidyEventsSQL = `
	WITH old AS MATERIALIZED (
		SELECT id FROM events WHERE created_at < now() - make_interval(secs => $1) AND id <= (
			SELECT max(id) FROM (SELECT id FROM events ORDER BY id LIMIT $2) first)
		ORDER BY id LIMIT $2
	), gone AS (
		DELETE FROM event_deliveries WHERE event_id IN (SELECT id FROM old)
	)
	DELETE FROM events WHERE id IN (SELECT id FROM old)`

package db

import (
	"context"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// reviewEvery is how often a processor is asked for what came of payments, and reviewAgain how soon after it did not
// answer.
const (
	reviewEvery = 20 * time.Hour
	reviewAgain = 10 * time.Minute
)

// TakeReview says whether a processor is to be asked now for what came of payments, and books that it is.
func (d *DB) TakeReview(ctx context.Context, provider string) (now time.Time, due bool, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var at []time.Time
		err := tx.SelectContext(ctx, &at, `
			INSERT INTO processor_reviews AS r (provider, at) VALUES ($1, clock_timestamp())
			ON CONFLICT (provider) DO UPDATE SET at = clock_timestamp()
			WHERE r.at < clock_timestamp() - make_interval(secs => $2) RETURNING at`, provider, reviewEvery.Seconds())
		if due = len(at) > 0; due {
			now = at[0]
		}
		return err
	})
	return now, due, err
}

// ReviewFailed books that a processor did not answer a review: the next one comes soon.
func (d *DB) ReviewFailed(ctx context.Context, provider string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			UPDATE processor_reviews SET at = clock_timestamp() - make_interval(secs => $2) WHERE provider = $1`,
			provider, (reviewEvery - reviewAgain).Seconds())
		return err
	})
}

// BooksCompared is what a processor's lists say that the database does not.
type BooksCompared struct {
	Unknown []keyturn.MadePayment // that have no row here
	Open    []keyturn.MadeSession // that can still be paid, and have no row here
	Behind  []BehindPayment
	Refunds []keyturn.MadeRefund // ours, that are not DONE here or that nobody here knows of
	// After are the payments, by the processor's references, of which something came that is not booked: refunds of
	// others, refunds that failed, disputes, warnings.
	After []string
}

// BehindPayment is a payment that its processor has further on than we do.
type BehindPayment struct {
	keyturn.MadePayment

	Ordered bool // it has made its order
}

// CompareBooks compares what a processor has with what the database has of it. It changes nothing.
func (d *DB) CompareBooks(ctx context.Context, provider string, b keyturn.ProcessorBooks) (BooksCompared, error) {
	var out BooksCompared
	if err := d.comparePayments(ctx, provider, b, &out); err != nil {
		return out, err
	}
	if err := d.compareRefunds(ctx, provider, b.Refunds, &out); err != nil {
		return out, err
	}
	return out, d.compareAfter(ctx, provider, b, &out)
}

func (d *DB) comparePayments(ctx context.Context, provider string, b keyturn.ProcessorBooks, out *BooksCompared) error {
	var ids pq.StringArray
	for _, p := range b.Payments {
		ids = append(ids, p.ID)
	}
	for _, s := range b.Open {
		ids = append(ids, s.ID)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !keyturn.ValidPaymentID(id) })
	var rows []struct {
		ID      string                `db:"id"`
		Status  keyturn.PaymentStatus `db:"status"`
		Ordered bool                  `db:"ordered"`
	}
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &rows, `
		SELECT CAST(id AS text) AS id, status, order_id IS NOT NULL AS ordered FROM payments
		WHERE id = ANY(CAST($1 AS uuid[])) AND provider = $2`, ids, provider); err != nil {
		return pg.AsKind(err)
	}
	here := map[string]keyturn.PaymentStatus{}
	ordered := map[string]bool{}
	for _, r := range rows {
		here[r.ID], ordered[r.ID] = r.Status, r.Ordered
	}
	for _, m := range b.Payments {
		status, ok := here[m.ID]
		switch {
		case !ok:
			out.Unknown = append(out.Unknown, m)
		case isBehind(status, m.Status):
			out.Behind = append(out.Behind, BehindPayment{m, ordered[m.ID]})
		}
	}
	for _, s := range b.Open {
		if _, ok := here[s.ID]; !ok {
			out.Open = append(out.Open, s)
		}
	}
	return nil
}

// isBehind says that the processor has a payment further on than we do: a look brings it there.
func isBehind(here keyturn.PaymentStatus, there keyturn.ProcessorStatus) bool {
	paid := there == keyturn.AtProcessorAuthorized || there == keyturn.AtProcessorCaptured
	switch here {
	case keyturn.PaymentCreated, keyturn.PaymentOpen:
		return paid || there == keyturn.AtProcessorProcessing
	case keyturn.PaymentProcessing, keyturn.PaymentExpired, keyturn.PaymentFailed:
		return paid
	case keyturn.PaymentAuthorized, keyturn.PaymentCapturing, keyturn.PaymentVoiding:
		return there != keyturn.AtProcessorAuthorized
	case keyturn.PaymentVoided, keyturn.PaymentLost:
		return there == keyturn.AtProcessorCaptured
	case keyturn.PaymentCaptured, keyturn.PaymentMismatch:
	}
	return false
}

func (d *DB) compareRefunds(ctx context.Context, provider string, refunds []keyturn.MadeRefund, out *BooksCompared,
) error {
	var ids, made pq.StringArray
	for _, r := range refunds {
		if id, ours := canonicalID(r.OurID); ours {
			ids, made = append(ids, id), append(made, r.ID)
		}
	}
	var rows []struct {
		ID     string `db:"id"`
		Failed bool   `db:"failed"`
	}
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &rows, `
		SELECT r.provider_id AS id, r.failed_at IS NOT NULL AS failed
		FROM unnest(CAST($1 AS uuid[]), CAST($2 AS text[])) AS m (owner, id)
			JOIN refunds r ON r.line_id = m.owner AND r.provider_id = m.id AND r.status = 'DONE' AND r.provider = $3
		UNION ALL
		SELECT y.provider_id, y.failed_at IS NOT NULL
		FROM unnest(CAST($1 AS uuid[]), CAST($2 AS text[])) AS m (owner, id)
			JOIN payment_refunds y ON y.payment_id = m.owner AND y.provider_id = m.id AND y.status = 'DONE'`,
		ids, made, provider); err != nil {
		return pg.AsKind(err)
	}
	done := map[string]bool{} // of those that are booked: whether they are booked as failed
	for _, r := range rows {
		done[r.ID] = r.Failed
	}
	for _, r := range refunds {
		_, ours := canonicalID(r.OurID)
		failed, booked := done[r.ID]
		switch {
		case ours && !booked && !r.Failed:
			out.Refunds = append(out.Refunds, r)
		case ours && booked && r.Failed && !failed:
			out.After = append(out.After, r.Reference)
		}
	}
	return nil
}

func (d *DB) compareAfter(ctx context.Context, provider string, b keyturn.ProcessorBooks, out *BooksCompared) error {
	now := map[string][2]string{} // reference and status by the processor's ID
	for _, r := range b.Refunds {
		if _, ours := canonicalID(r.OurID); ours {
			continue
		}
		now[r.ID] = [2]string{r.Reference, ""}
		if r.Failed {
			now[r.ID] = [2]string{r.Reference, "failed"}
		}
	}
	for _, x := range b.Disputes {
		now[x.ID] = [2]string{x.Reference, string(x.Status)}
	}
	for _, w := range b.Warnings {
		now[w.ID] = [2]string{w.Reference, ""}
	}
	var ids pq.StringArray
	for id := range now {
		ids = append(ids, id)
	}
	var rows []struct {
		ID     string `db:"id"`
		Status string `db:"status"`
	}
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &rows,
		`SELECT id, status FROM payment_aftermath WHERE provider = $1 AND id = ANY($2)`, provider, ids); err != nil {
		return pg.AsKind(err)
	}
	for _, r := range rows {
		if now[r.ID][1] == r.Status {
			delete(now, r.ID)
		}
	}
	for _, x := range now {
		out.After = append(out.After, x[0])
	}
	slices.Sort(out.After)
	out.After = slices.Compact(out.After)
	return nil
}

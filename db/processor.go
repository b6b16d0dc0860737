package db

import (
	"context"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// A processor is down when the calls for so many different payments failed in a row, over all processes, or when none
// was answered for so long: a shop that sells little hears of it, too.
const (
	processorDownPayments = breakerLines
	processorDownAfter    = 5 * time.Minute
)

func processorSubject(provider string) string { return "processor/" + provider }

// ProcessorFailed books that a processor did not answer a call for a payment, and alerts once it is down. Its next
// answer, which Reconcile or a capture books, ends both.
func (d *DB) ProcessorFailed(ctx context.Context, provider, paymentID string, kind keyturn.Kind) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var t struct {
			Failing  pq.StringArray `db:"failing"`
			Since    time.Time      `db:"since"`
			OpenedAt *time.Time     `db:"opened_at"`
			Now      time.Time      `db:"now"`
		}
		if err := tx.GetContext(ctx, &t, `
			INSERT INTO processor_troubles AS t (provider, failing, failure) VALUES ($1, ARRAY[$2], $3)
			ON CONFLICT (provider) DO UPDATE SET failure = excluded.failure,
				failing = CASE WHEN $2 = ANY (t.failing) OR cardinality(t.failing) >= $4 THEN t.failing
					ELSE t.failing || $2 END
			RETURNING failing, since, opened_at, clock_timestamp() AS now`,
			provider, paymentID, kind, processorDownPayments); err != nil {
			return err
		}
		if t.OpenedAt != nil || len(t.Failing) < processorDownPayments && t.Now.Sub(t.Since) < processorDownAfter {
			return nil
		}
		if _, err := tx.ExecContext(ctx,
			`UPDATE processor_troubles SET opened_at = now() WHERE provider = $1`, provider); err != nil {
			return err
		}
		return openAlertOf(ctx, tx, processorSubject(provider), keyturn.AlertProcessorDown, AlertDetail{
			Happened: "the payment provider " + provider + " does not answer: " + string(kind) + ". Nobody can pay by it; " +
				"payments under way are asked for until it does",
		})
	})
}

// alertRefused alerts that the payment's processor refuses to open its session, and says what to correct.
func (p *payment) alertRefused(ctx context.Context, tx *sqlx.Tx, kind keyturn.Kind) error {
	correct := "its settings here or its account do not fit, correct them"
	if kind != keyturn.KindConfiguration {
		correct = "look at the link's currency, prices and `capture`, and at what its account may take"
	}
	return openAlertOf(ctx, tx, processorSubject(p.Provider), keyturn.AlertProcessorRefuses, AlertDetail{
		Happened: "the payment provider " + p.Provider + " refuses to open a payment of checkout link " + p.LinkID + " (" +
			string(kind) + "): " + correct,
	})
}

// alertMissing alerts that the payment's processor is not one of ours any more. known: it may know the payment.
func (p *payment) alertMissing(ctx context.Context, tx *sqlx.Tx, known bool) error {
	happened := "the payment provider " + p.Provider + " is not configured any more, and a "
	if known {
		happened += "payment of checkout link " + p.LinkID + " is " + string(p.Status) +
			" there: configure it until its payments have ended"
	} else {
		happened += "customer wanted to pay checkout link " + p.LinkID +
			" by it. The payment has ended, and nothing was charged"
	}
	return openAlertOf(ctx, tx, processorSubject(p.Provider), keyturn.AlertProcessorRefuses,
		AlertDetail{Happened: happened})
}

// askedAt is when the processor was asked for what it says.
func (p *payment) askedAt(s keyturn.ProcessorState) time.Time {
	if s.AskedAt.IsZero() {
		return p.Now
	}
	return s.AskedAt
}

// answered books when the payment's processor was asked that has now said where the payment stands, and that it
// answers.
func (p *payment) answered(ctx context.Context, tx *sqlx.Tx, s keyturn.ProcessorState) error {
	asked := p.askedAt(s)
	if p.AskedAt == nil || p.AskedAt.Before(asked) {
		p.AskedAt = &asked
	}
	if p.Failure != nil && *p.Failure == string(keyturn.KindNotFound) { // it is known again
		p.Failure = nil
		if err := closeAlertOf(ctx, tx, "payment/"+p.ID, keyturn.AlertUnknownPayment); err != nil {
			return err
		}
	}
	if !p.Troubled {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM processor_troubles WHERE provider = $1`, p.Provider); err != nil {
		return err
	}
	return closeAlertOf(ctx, tx, processorSubject(p.Provider), keyturn.AlertProcessorDown)
}

// toldSinceAsked says that somebody has told of the payment after its processor was asked for what is being booked.
func (p *payment) toldSinceAsked() bool {
	return p.ToldAt != nil && (p.AskedAt == nil || p.AskedAt.Before(*p.ToldAt))
}

// UnknownPayment books that a processor does not know a payment whose session it has opened, and alerts: the account
// may be another one. The payment stays as it is, and is asked for on.
func (d *DB) UnknownPayment(ctx context.Context, id string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		p, err := lockPayment(ctx, tx, id)
		if err != nil {
			return err
		}
		if p.Failure == nil || *p.Failure != string(keyturn.KindNotFound) {
			p.Failure = ptr(string(keyturn.KindNotFound))
			if err := p.save(ctx, tx, byWorkflow, ""); err != nil {
				return err
			}
		}
		return p.alert(ctx, tx, keyturn.AlertUnknownPayment, "the payment provider "+p.Provider+
			" does not know a payment that is "+string(p.Status)+". It is asked for on")
	})
}

// Card testing: somebody tries out stolen cards.
const (
	cardTestingWithin  = 10 * time.Minute
	cardTestingRefused = 20
	cardTestingOfTen   = 9 // refusals of ten tries
)

// WatchCardTesting opens the alert of each processor that refuses almost all of many payments, and closes those of all
// others. It knows what the processors' events tell.
func (d *DB) WatchCardTesting(ctx context.Context) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var rows []struct {
			Provider string `db:"provider"`
			Refused  int    `db:"refused"`
			Paid     int    `db:"paid"`
		}
		if err := tx.SelectContext(ctx, &rows, `
			SELECT provider, count(*) FILTER (WHERE outcome = 'refused') AS refused,
				count(DISTINCT payment_id) FILTER (WHERE outcome = 'paid') AS paid
			FROM provider_events WHERE received_at > now() - make_interval(secs => $1) AND outcome <> ''
			GROUP BY provider`, cardTestingWithin.Seconds()); err != nil {
			return err
		}
		var open []string
		if err := tx.SelectContext(ctx, &open, `SELECT subject FROM alerts WHERE cause = $1 AND closed_at IS NULL`,
			keyturn.AlertCardTesting); err != nil {
			return err
		}
		for _, r := range rows {
			subject := processorSubject(r.Provider)
			if r.Refused < cardTestingRefused || 10*r.Refused < cardTestingOfTen*(r.Refused+r.Paid) {
				continue
			}
			if i := slices.Index(open, subject); i >= 0 {
				open = slices.Delete(open, i, i+1)
				continue
			}
			if err := openAlertOf(ctx, tx, subject, keyturn.AlertCardTesting, AlertDetail{
				Happened: r.Provider + " has refused " + itoa(r.Refused) + " of " + itoa(r.Refused+r.Paid) +
					" payments in ten minutes",
			}); err != nil {
				return err
			}
		}
		for _, subject := range open {
			if err := closeAlertOf(ctx, tx, subject, keyturn.AlertCardTesting); err != nil {
				return err
			}
		}
		return nil
	})
}

// OtherMode alerts of a processor whose events are of another mode than its key.
func (d *DB) OtherMode(ctx context.Context, provider, happened string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		return openAlertOf(ctx, tx, processorSubject(provider), keyturn.AlertProcessorMode, AlertDetail{Happened: happened})
	})
}

package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// ResolvePayment carries out a person's decision on a payment that is MISMATCH, whose processor has just said where it
// stands. Accepting it accepts its order in the same transaction, takes at most what the order costs, and gives back
// what is more. KindConflict for a payment in another status, for an acceptance of what is no longer there or is in
// another currency, and where the order cannot be accepted.
func (d *DB) ResolvePayment(ctx context.Context, id string, r keyturn.PaymentResolution, by string,
	s keyturn.ProcessorState, respond func(Accepted) ([]byte, error),
) (Reconciled, error) {
	var out Reconciled
	p, err := scanPayment(ctx, d.pg, `p.id = $1`, id)
	if err != nil {
		return out, err
	}
	snapshot, _, err := d.snapshot(p)
	if err != nil {
		return out, err
	}
	link, err := d.linkWhere(ctx, d.pg, `k.id = $1`, p.LinkID)
	if err != nil {
		return out, err
	}
	accept, err := d.prepareAcceptance(ctx, p, snapshot, link, respond)
	if err != nil {
		return out, err
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		out = Reconciled{}
		p, err := lockPayment(ctx, tx, id)
		if err != nil {
			return err
		}
		link, err := lockLink(ctx, tx, p.LinkID)
		if err != nil {
			return err
		}
		if p.Status != keyturn.PaymentMismatch {
			return keyturn.Errorf(keyturn.KindConflict, "the payment is %s: there is nothing to decide", p.Status)
		}
		reason := string(r.Action) + ": " + r.Reason
		if r.Action == keyturn.PaymentAccept {
			out.Accepted, err = d.acceptMismatch(ctx, tx, p, &link, s, accept, by, reason)
		} else {
			err = p.giveBackMismatch(ctx, tx, &link, s, by, reason)
		}
		if err != nil {
			return err
		}
		out.Next = p.next()
		_, err = tx.ExecContext(ctx, `
			UPDATE alerts SET closed_at = now(), closed_by = $3, close_reason = $4
			WHERE subject = $1 AND cause = $2 AND closed_at IS NULL`, "payment/"+p.ID, keyturn.AlertMismatch, by, r.Reason)
		return err
	})
	return out, err
}

func (d *DB) acceptMismatch(ctx context.Context, tx *sqlx.Tx, p *payment, link *linkRow, s keyturn.ProcessorState,
	accept acceptance, by, reason string,
) (*Accepted, error) {
	paid := s.Authorized
	if s.Status == keyturn.AtProcessorCaptured {
		paid = s.Captured
	}
	switch {
	case s.Status != keyturn.AtProcessorAuthorized && s.Status != keyturn.AtProcessorCaptured:
		return nil, keyturn.Errorf(keyturn.KindConflict, "the provider has it as %s: there is nothing to accept", s.Status)
	case paid.Minor <= 0:
		return nil, keyturn.Errorf(keyturn.KindConflict, "nothing was paid: give it back")
	case paid.Currency != p.Currency:
		return nil, keyturn.Errorf(keyturn.KindConflict, "it was paid in %s and not in %s: give it back", paid.Currency,
			p.Currency)
	}
	p.AuthorizedMinor = paid.Minor
	p.paid(s)
	if err := p.save(ctx, tx, by, reason); err != nil {
		return nil, err
	}
	accepted, err := d.acceptPayment(ctx, tx, p, link, accept, by)
	if err != nil || p.Status != keyturn.PaymentCaptured {
		return accepted, err
	}
	return accepted, p.owe(ctx, tx, p.CapturedMinor-p.TotalMinor)
}

func (p *payment) giveBackMismatch(ctx context.Context, tx *sqlx.Tx, link *linkRow, s keyturn.ProcessorState, by,
	reason string,
) error {
	if err := p.returnAll(ctx, tx, s, by, reason); err != nil {
		return err
	}
	if link.Status != keyturn.LinkPaying {
		return nil
	}
	return moveLink(ctx, tx, link, keyturn.LinkOpen, by, reason)
}

// owedBack is what a line of an order that was charged is owed: its price, and no more than what is left where a person
// has accepted less than was asked for.
func (p *payment) owedBack(ctx context.Context, tx *sqlx.Tx, price int64) (int64, error) {
	if p.CapturedMinor >= p.TotalMinor {
		return price, nil
	}
	var left int64
	err := tx.GetContext(ctx, &left, `
		SELECT $2 - coalesce((SELECT sum(r.amount_minor) FROM `+refundsOfOrderSQL+` = $1), 0)`, *p.OrderID, p.CapturedMinor)
	return min(price, max(left, 0)), err
}

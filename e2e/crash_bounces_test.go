package e2e_test

import (
	"context"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// corrects has an e-mail come back, and its customer give another address: because of a line, or of the whole order.
// It may be repeated.
func (l *life) corrects(ctx context.Context, f, mailSQL string) error {
	if l.w.one(`SELECT count(*) FROM address_changes WHERE done_at IS NOT NULL`) != "0" {
		return nil
	}
	_, err := l.db.Bounced(ctx, db.BounceReport{
		Refs: []string{l.db.MailRef(l.w.one(mailSQL))}, Kind: keyturn.BounceBadAddress, Status: "5.1.1",
		Via: keyturn.InletSMTP,
	})
	if err != nil {
		return err
	}
	_, err = l.db.CorrectAddress(ctx, l.db.PageToken(l.w.one(`SELECT id FROM orders`)), f, "jean@new.test",
		l.acts.Letters.Render)
	return err
}

package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// mailOfPayment is the ID of the newest e-mail of a kind about a payment.
func (s *shop) mailOfPayment(pay string, kind keyturn.PaymentMailKind) string {
	s.t.Helper()
	return read[string](s, `SELECT id FROM payment_mails WHERE payment_id = $1 AND kind = $2 ORDER BY created_at DESC LIMIT 1`,
		pay, kind)
}

func TestAConfirmationThatCameBack(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.exec(`INSERT INTO webhooks (id, spec, secrets, max_concurrent, called) VALUES ('w', '{}', '', 1, false)`)
	s.exec(`INSERT INTO webhook_types (pattern, webhook, prefix) VALUES ('email.*', 'w', '')`)
	pay, f := s.paidLink("k")
	facts := s.paymentMails(pay)
	require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailConfirmation}, kindsOf(facts))
	old, token := facts[0].To, s.tokenOf(f)
	require.Equal(t, s.MailRef(facts[0].ID), facts[0].Ref)
	_, err := s.CorrectAddress(s.ctx, token, "", "jean@buyer.test", renderMail)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "nothing came back")

	id := facts[0].ID
	require.Equal(t, BounceBooked, s.bounced(id, keyturn.BounceDelayed))
	require.Zero(t, s.openOf(keyturn.AlertBounced), "it is still being tried")
	require.Equal(t, BounceBooked, s.bounced(id, keyturn.BounceRefused))
	require.Equal(t, BounceKnown, s.bounced(id, keyturn.BounceRefused))
	require.Equal(t, 1, s.openOf(keyturn.AlertBounced))
	require.Equal(t, "payment/"+pay, read[string](s, `SELECT subject FROM alerts WHERE cause = 'Bounced'`))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM events WHERE type = 'email.bounced'`))
	require.Zero(t, read[int](s, `SELECT count(*) FROM bounces WHERE diagnostic <> ''`), "nobody would see it")
	page, err := s.CustomerPage(s.ctx, token, 1)
	require.NoError(t, err)
	require.Equal(t, &ReturnedMail{SentTo: MaskAddress(old), MayCorrect: true}, page.Returned)
	_, err = s.CorrectAddress(s.ctx, token, "", old, renderMail)
	require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))

	became, err := s.CorrectAddress(s.ctx, token, "", "jean@buyer.test", renderMail)
	require.NoError(t, err)
	require.Equal(t, CorrectionDone, became)
	page, err = s.CustomerPage(s.ctx, token, 1)
	require.NoError(t, err)
	require.Nil(t, page.Returned, "it is on its way")
	_, err = s.CorrectAddress(s.ctx, token, "", "ann@buyer.test", renderMail)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "the new one has not come back")
	require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
	told := map[keyturn.PaymentMailKind]string{}
	for _, m := range s.paymentMails(pay) {
		require.Empty(t, told[m.Kind], "once")
		told[m.Kind] = m.To
		if m.Kind == keyturn.MailAddressChanged {
			require.Equal(t, "jean@buyer.test", m.NewAddress)
		}
	}
	require.Equal(t, map[keyturn.PaymentMailKind]string{
		keyturn.MailAddressChanged: old, keyturn.MailConfirmation: "jean@buyer.test",
	}, told)
	require.Equal(t, "jean@buyer.test", s.address(f), "the keys go there, too")
	require.Equal(t, BounceBooked, s.bounced(s.mailOfPayment(pay, keyturn.MailAddressChanged), keyturn.BounceBadAddress),
		"nobody has the old address")
	require.Equal(t, 1, s.openOf(keyturn.AlertBounced))

	s.later(25 * time.Hour)
	require.NoError(t, s.CloseBounced(s.ctx))
	require.Zero(t, s.openOf(keyturn.AlertBounced), "the new one has not come back for a day")
	require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
	require.Zero(t, read[int](s, `SELECT count(*) FROM address_changes WHERE carry_at IS NOT NULL`), "that is all")

	require.Equal(t, BounceBooked, s.bounced(s.mailOfPayment(pay, keyturn.MailConfirmation), keyturn.BounceBadAddress))
	require.Equal(t, 1, s.openOf(keyturn.AlertBounced))
	require.Equal(t, s.EmailTag("jean@buyer.test"), read[[]byte](s, `SELECT bad_address_tag FROM customers`))
	_, err = s.CorrectAddress(s.ctx, token, "", "ann@buyer.test", renderMail)
	require.NoError(t, err)
	require.Equal(t, "jean@buyer.test", s.paymentMails(pay)[0].To, "the address before is told")
}

// An operator gives the address, and what a line has is sent there.
func TestAnOperatorCorrectsTheAddressOfAnOrder(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("K", 20)...)
	waiting, w := s.paidLink("waiting")
	sent, f := s.capturedLink("sent")
	for _, pay := range []string{waiting, sent} {
		s.paymentMails(pay)
		s.bounced(s.mailOfPayment(pay, keyturn.MailConfirmation), keyturn.BounceBadAddress)
	}
	s.delivered(f)
	_, err := s.Resend(s.ctx, w, "jean@buyer.test", "ops", renderMail)
	require.NoError(t, err, "there is no key yet, and an address all the same")
	require.Equal(t, "jean@buyer.test", s.address(w))
	id, err := s.Resend(s.ctx, f, "jean@buyer.test", "ops", renderMail)
	require.NoError(t, err)
	require.Equal(t, s.newestMail(f), id)
	require.Equal(t, "jean@buyer.test", s.address(f))
	require.Contains(t, s.mails(f)[1], "keys to jean@buyer.test")
	for _, pay := range []string{waiting, sent} {
		require.Len(t, s.paymentMails(pay), 2)
	}
}

func TestALinkToALibraryThatCameBack(t *testing.T) {
	s := newShop(t)
	s.product("game", byHand)
	s.bought("o1", "ada@buyer.test")
	require.Len(t, s.asked("ada@buyer.test"), 1)
	id := read[string](s, `SELECT id FROM library_links`)
	require.Equal(t, BounceBooked, s.bounced(id, keyturn.BounceBadAddress))
	require.Equal(t, BounceKnown, s.bounced(id, keyturn.BounceBadAddress))
	require.Equal(t, BounceBooked, s.bounced(id, keyturn.BounceComplaint))
	require.Zero(t, s.openOf(keyturn.AlertBounced), "nobody can do anything")
	require.Equal(t, s.EmailTag("ada@buyer.test"), read[[]byte](s, `SELECT bad_address_tag FROM customers`))
	require.Len(t, s.asked("ada@buyer.test"), 1, "whoever asks is answered as before")

	customer := read[string](s, `SELECT customer_id FROM library_links LIMIT 1`)
	s.exec(`UPDATE library_links SET email_tag = NULL`)
	require.NoError(t, s.ForgetLibraryLinks(s.ctx))
	s.exec(`UPDATE customers SET bad_address_tag = NULL`)
	require.Equal(t, BounceBooked, s.bounced(read[string](s, `SELECT id FROM library_links ORDER BY number DESC LIMIT 1`),
		keyturn.BounceBadAddress), "its address is forgotten")
	require.Zero(t, read[int](s, `SELECT count(*) FROM customers WHERE id = $1 AND bad_address_tag IS NOT NULL`, customer))
}

func TestAnEmailAboutAPaymentWithoutAnOrderThatCameBack(t *testing.T) {
	s := newShop(t)
	s.product("game", byHand)
	_, token := s.link(linkOf("k", "game"))
	pay := s.openPayment(token)
	s.exec(`INSERT INTO payment_mails (id, payment_id, kind, due_at) VALUES ($1, $2, 'refused', now())`, newID(), pay)
	require.Len(t, s.paymentMails(pay), 1)
	require.Equal(t, BounceBooked, s.bounced(s.mailOfPayment(pay, keyturn.MailRefused), keyturn.BounceBadAddress))
	require.Zero(t, s.openOf(keyturn.AlertBounced), "nobody can do anything")
}

func TestAnErasureAndAConfirmationThatCameBack(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("K", 20)...)
	pay, f := s.capturedLink("k")
	s.paymentMails(pay)
	id := s.mailOfPayment(pay, keyturn.MailConfirmation)
	s.bounced(id, keyturn.BounceBadAddress)
	s.delivered(f)
	_, err := s.CorrectAddress(s.ctx, s.tokenOf(f), "", "jean@buyer.test", renderMail)
	require.NoError(t, err)
	s.paymentMails(pay)
	_, err = s.EraseCustomer(s.ctx, "", s.customerIDOf(f), "ops")
	require.NoError(t, err)
	require.Zero(t, read[int](s, `SELECT count(*) FROM address_changes WHERE address <> '' OR carry_at IS NOT NULL`))
	require.Zero(t, read[int](s, `SELECT count(*) FROM customers WHERE bad_address_tag IS NOT NULL`))
	s.exec(`UPDATE alerts SET closed_at = now() WHERE cause = 'Bounced'`)
	require.Equal(t, BounceBooked, s.bounced(s.mailOfPayment(pay, keyturn.MailConfirmation), keyturn.BounceRefused))
	require.Equal(t, BounceBooked, s.bounced(id, keyturn.BounceRefused))
	require.Zero(t, s.openOf(keyturn.AlertBounced), "nobody is told anew")
	require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
}

package db

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// mails are the stored e-mails of a line, opened, in their order.
func (s *shop) mails(f string) []string {
	s.t.Helper()
	dk, err := s.keyOfCustomer(s.ctx, s.pg, s.customerIDOf(f))
	require.NoError(s.t, err)
	var out []string
	for _, d := range reads[struct {
		ID      string `db:"id"`
		Message []byte `db:"message"`
	}](s, `SELECT id, message FROM deliveries WHERE line_id = $1 ORDER BY number`, s.lineID(f)) {
		text, err := dk.Open(d.Message, "deliveries/"+d.ID)
		require.NoError(s.t, err)
		out = append(out, string(text))
	}
	return out
}

func TestACustomerCorrectsTheAddress(t *testing.T) {
	s := newShop(t)
	f, first := s.sent()
	token := s.tokenOf(f)
	_, err := s.CorrectAddress(s.ctx, token, f, "jean@buyer.test", renderMail)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "nothing came back")
	s.bounced(first, keyturn.BounceBadAddress)
	_, err = s.CorrectAddress(s.ctx, token, f, "ada@buyer.test", renderMail)
	require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), "it is the same")

	became, err := s.CorrectAddress(s.ctx, token, f, "jean@buyer.test", renderMail)
	require.NoError(t, err)
	require.Equal(t, CorrectionDone, became)
	mails := s.mails(f)
	require.Len(t, mails, 3)
	second := s.newestMail(f)
	require.Equal(t, "keys to jean@buyer.test "+second+" K-00000", mails[1], "the same key")
	require.Regexp(t, `^addressChanged to ada@buyer.test \S+$`, mails[2], "without the key")
	require.Equal(t, 2, read[int](s, `SELECT count(*) FROM outbox WHERE workflow = $1`, WorkflowSend))
	require.Equal(t, s.EmailTag("jean@buyer.test"), read[[]byte](s, `SELECT email_tag FROM orders`), "it is found by it")
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM access_log WHERE what = 'address' AND by = 'customer'`))
	page, err := s.CustomerPage(s.ctx, token, 1)
	require.NoError(t, err)
	l := page.Lines[0]
	require.False(t, l.CameBack)
	require.True(t, l.Corrected)
	require.Equal(t, "j…@buyer.test", l.SentTo)
	require.Nil(t, l.SentAgainAt, "it is on its way")
	_, err = s.CorrectAddress(s.ctx, token, f, "ann@buyer.test", renderMail)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "the new one has not come back")

	for i, to := range []string{"b@buyer.test", "c@buyer.test"} {
		s.bounced(s.newestMail(f), keyturn.BounceBadAddress)
		_, err = s.CorrectAddress(s.ctx, token, f, to, renderMail)
		require.NoError(t, err, i)
	}
	s.bounced(s.newestMail(f), keyturn.BounceBadAddress)
	page, err = s.CustomerPage(s.ctx, token, 1)
	require.NoError(t, err)
	require.False(t, page.Lines[0].MayCorrect)
	_, err = s.CorrectAddress(s.ctx, token, f, "d@buyer.test", renderMail)
	require.Equal(t, keyturn.KindRateLimited, keyturn.KindOf(err))

	_, err = s.Resend(s.ctx, f, "d@buyer.test", "ops", renderMail)
	require.NoError(t, err, "an operator may")
	require.Equal(t, "d@buyer.test", s.address(f))
	require.Len(t, s.mails(f), 9, "and the old address is told again")
}

// address is the present address of a line's order.
func (s *shop) address(f string) string {
	s.t.Helper()
	l, err := s.readLine(s.ctx, f)
	require.NoError(s.t, err)
	c, _, err := s.customer(l)
	require.NoError(s.t, err)
	return c.Email
}

// One address is the order's: each of its e-mails that came back is made anew, and those that did not stay.
func TestAnAddressIsTheOrders(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("K", 20)...)
	lines := s.order("several", lineOf("game", 1), lineOf("game", 1), lineOf("game", 1), lineOf("game", 1))
	for _, f := range lines[:2] {
		s.claimed(f)
		s.delivered(f)
		s.bounced(s.newestMail(f), keyturn.BounceRefused)
	}
	s.claimed(lines[2])
	s.delivered(lines[2])
	s.claimed(lines[3])
	s.failDelivery(lines[3], s.beginDelivery(lines[3]), false)
	_, err := s.CorrectAddress(s.ctx, s.tokenOf(lines[0]), lines[0], "jean@buyer.test", renderMail)
	require.NoError(t, err)
	for i, want := range []int{3, 2, 1, 2} {
		require.Len(t, s.mails(lines[i]), want, "line %d", i)
	}
	d := s.beginDelivery(lines[3])
	require.Contains(t, string(d.Message), "keys to jean@buyer.test", "what was not sent yet goes there, too")
}

func TestAProductThatShowsNoKeysNeedsAYes(t *testing.T) {
	s := newShop(t)
	f, first := s.sent()
	p, err := s.Product(s.ctx, "game")
	require.NoError(t, err)
	p.PageKeys = keyturn.PageKeysNever
	s.put(p)
	s.bounced(first, keyturn.BounceBadAddress)
	_, err = s.AcceptAddress(s.ctx, f, "", "ops", renderMail)
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err), "nobody has asked")
	s.exec(`UPDATE alerts SET mailed_at = now()`)
	for _, to := range []string{"b@buyer.test", "jean@buyer.test"} {
		became, err := s.CorrectAddress(s.ctx, s.tokenOf(f), f, to, renderMail)
		require.NoError(t, err)
		require.Equal(t, CorrectionAsked, became)
	}
	require.Len(t, s.mails(f), 1, "nothing is sent")
	require.Equal(t, "ada@buyer.test", s.address(f))
	require.Contains(t, read[string](s, `SELECT detail FROM alerts WHERE closed_at IS NULL AND mailed_at IS NULL`),
		"waits for your yes")
	page, err := s.CustomerPage(s.ctx, s.tokenOf(f), 1)
	require.NoError(t, err)
	require.True(t, page.Lines[0].Asked)

	id, err := s.AcceptAddress(s.ctx, f, "", "ops", renderMail)
	require.NoError(t, err)
	require.Equal(t, id, s.newestMail(f))
	require.Equal(t, "jean@buyer.test", s.address(f), "the one that was given last")
	require.Len(t, s.mails(f), 3)
	_, err = s.AcceptAddress(s.ctx, f, "", "ops", renderMail)
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err))
}

func TestCorrectionsAtTheSameMoment(t *testing.T) {
	s := newShop(t)
	f, first := s.sent()
	s.bounced(first, keyturn.BounceBadAddress)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = s.CorrectAddress(s.ctx, s.tokenOf(f), f, "jean"+string(rune('a'+i))+"@buyer.test", renderMail)
		})
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
			continue
		}
		require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), err)
	}
	require.Equal(t, 1, done)
	require.Len(t, s.mails(f), 3)
}

func TestWhoMayNotCorrectTheAddress(t *testing.T) {
	s := newShop(t)
	f, first := s.sent()
	s.bounced(first, keyturn.BounceBadAddress)
	other := s.sell("game")
	_, err := s.CorrectAddress(s.ctx, s.tokenOf(other), f, "jean@buyer.test", renderMail)
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err), "by another order's page")
	require.NoError(t, s.CancelOrder(s.ctx, read[string](s, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, f),
		"fraud"))
	_, err = s.CorrectAddress(s.ctx, s.tokenOf(f), f, "jean@buyer.test", renderMail)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "its order is to be cancelled")
}

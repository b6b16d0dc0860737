package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// What is personal of links and payments that came to nothing goes after its time, and of nothing else. What was sold,
// at what price and what became of it can still be looked at, and says that it is blanked.
func TestLinksAndPaymentsThatCameToNothingAreBlanked(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1", "K-2")
	in := func(key string) LinkInput {
		in := linkOf(key, "game")
		in.Link.AdditionalData = map[string]string{"crm": "personal"}
		return in
	}
	id, token := s.link(in("expired"))
	failed := s.openPayment(token)
	s.processorSays(failed, keyturn.ProcessorState{Status: keyturn.AtProcessorProcessing})
	s.processorSays(failed, keyturn.ProcessorState{Status: keyturn.AtProcessorFailed})
	require.Len(t, s.paymentMails(failed), 1)
	s.exec(`UPDATE checkout_links SET expires_at = now() WHERE id = $1`, id)
	_, err := s.ExpireLinks(s.ctx)
	require.NoError(t, err)
	canceled, token := s.link(in("canceled"))
	late := s.openPayment(token)
	s.processorSays(late, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
	require.NoError(t, s.CancelLink(s.ctx, canceled, "test", "over"))
	s.processorSays(late, s.capturedAs(late, 1000)) // and is owed back
	require.Len(t, s.paymentMails(late), 1)
	open, _ := s.link(in("open"))
	used, token := s.link(in("used"))
	before := s.openPayment(token)
	s.processorSays(before, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
	sold := s.openPayment(token)
	s.processorSays(sold, s.authorized(sold, 1000))

	blanked := func(table string) []string {
		return reads[string](s, `SELECT CAST(id AS text) FROM `+table+` WHERE blanked_at IS NOT NULL ORDER BY ended_at`)
	}
	got, err := s.Tidy(s.ctx, DefaultRetention)
	require.NoError(t, err)
	require.Zero(t, got, "nothing is old")
	s.later(31 * day)
	got, err = s.Tidy(s.ctx, DefaultRetention)
	require.NoError(t, err)
	require.Equal(t, Tidied{Links: 2}, got)
	require.Equal(t, []string{id, canceled}, blanked("checkout_links"))
	s.later(60 * day)
	got, err = s.Tidy(s.ctx, DefaultRetention)
	require.NoError(t, err)
	require.Equal(t, Tidied{Payments: 2}, got, "what is owed back waits")
	require.ElementsMatch(t, []string{failed, before}, blanked("payments"))
	_, err = s.FinishPaymentRefund(s.ctx, late, "re-1")
	require.NoError(t, err)
	got, err = s.Tidy(s.ctx, DefaultRetention)
	require.NoError(t, err)
	require.Equal(t, Tidied{Payments: 1}, got)
	require.Equal(t, []string{sold},
		reads[string](s, `SELECT CAST(payment_id AS text) FROM payment_mails WHERE message IS DISTINCT FROM ''`))

	v, err := s.LinkWithCustomer(s.ctx, id, "ana")
	require.NoError(t, err)
	require.NotNil(t, v.BlankedAt)
	require.Nil(t, v.Customer)
	require.Equal(t, "A game", v.LineItems[0].Name)
	require.Equal(t, "10.00", v.Total)
	require.NotNil(t, v.Payments[0].BlankedAt)
	require.Equal(t, keyturn.PaymentFailed, v.Payments[0].Status)
	row, err := s.linkWhere(s.ctx, s.pg, "k.id = $1", id)
	require.NoError(t, err)
	spec, _, _, err := s.openLink(row)
	require.NoError(t, err)
	require.Zero(t, spec.Customer)
	require.Empty(t, spec.AdditionalData)
	for _, id := range []string{open, used} {
		v, err := s.LinkWithCustomer(s.ctx, id, "ana")
		require.NoError(t, err)
		require.Nil(t, v.BlankedAt)
		require.Equal(t, "ada@buyer.test", v.Customer.Email)
	}

	// Whoever pays after all of that gets it back, and nobody can be told.
	s.processorSays(failed, s.authorized(failed, 1000))
	require.Equal(t, keyturn.PaymentVoiding, s.paymentStatus(failed))
	s.processorSays(failed, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	require.Empty(t, s.paymentMails(failed))
	require.Zero(t, s.alerts(`cause = 'Undelivered'`))
	require.Equal(t, 1, s.count(`alerts WHERE cause = 'LatePayment' AND subject = $1`, "payment/"+failed))
}

// Many links are blanked in slices, and one that nobody can open keeps none of the others.
func TestLinksAreBlankedInSlices(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	const n = 2*blankChunk + 3
	for i := range n {
		id, _ := s.link(linkOf("k"+itoa(i), "game"))
		require.NoError(t, s.CancelLink(s.ctx, id, "test", "over"))
	}
	s.exec(`UPDATE checkout_links SET spec = 'x' WHERE idempotency_key = 'k1'`)
	s.later(31 * day)
	got, err := s.Tidy(s.ctx, DefaultRetention)
	require.ErrorContains(t, err, "cannot be blanked")
	require.Equal(t, Tidied{Links: n - 1}, got)
	require.Equal(t, 1, s.count(`checkout_links WHERE blanked_at IS NULL`))
}

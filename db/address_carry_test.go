package db

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// sentOrder is an order of so many lines whose e-mails went out.
func (s *shop) sentOrder(id string, lines int) []string {
	s.t.Helper()
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed(id, lines)...)
	items := make([]keyturn.LineItem, lines)
	for i := range items {
		items[i] = lineOf("game", 1)
	}
	fs := s.order(id, items...)
	for _, f := range fs {
		s.claimed(f)
		s.delivered(f)
	}
	return fs
}

// A large order is given its address at once, and its e-mails one by one, whoever dies in between.
func TestALargeOrdersEmailsFollowItsAddress(t *testing.T) {
	s := newShop(t)
	const lines = 50
	fs := s.sentOrder("large", lines)
	for _, f := range fs {
		s.bounced(s.newestMail(f), keyturn.BounceBadAddress)
	}
	_, err := s.CorrectAddress(s.ctx, s.tokenOf(fs[30]), fs[30], "jean@buyer.test", renderMail)
	require.NoError(t, err)
	count := func() int {
		return read[int](s, `SELECT count(*) FROM deliveries WHERE kind = 'keys' AND change_id IS NOT NULL`)
	}
	require.Equal(t, 1+carriedAtOnce, count(), "a request makes some of them")

	made, broken := 0, keyturn.Errorf(keyturn.KindInternal, "the process dies")
	require.ErrorIs(t, s.CarryAddresses(s.ctx, func(f MailFacts) ([]byte, error) {
		if made++; made > 10 {
			return nil, broken
		}
		return renderMail(f)
	}), broken)
	require.Equal(t, 1+carriedAtOnce+10, count())
	for range 3 {
		require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
		require.Equal(t, lines, count(), "each once")
	}
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM address_changes WHERE carry_at IS NOT NULL`), "for a minute")
	s.later(2 * time.Minute)
	require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
	require.Zero(t, read[int](s, `SELECT count(*) FROM address_changes WHERE carry_at IS NOT NULL`))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM deliveries WHERE kind = 'addressChanged'`), "told once")
	require.Equal(t, lines+1, read[int](s, `SELECT count(*) FROM outbox WHERE workflow = $1`, WorkflowSend))
}

// One line whose e-mail cannot be made keeps none of the others.
func TestAnEmailThatCannotBeMadeAnewKeepsNoOther(t *testing.T) {
	s := newShop(t)
	fs := s.sentOrder("several", 5)
	for _, f := range fs {
		s.bounced(s.newestMail(f), keyturn.BounceBadAddress)
	}
	_, err := s.CorrectAddress(s.ctx, s.tokenOf(fs[0]), fs[0], "jean@buyer.test", func(f MailFacts) ([]byte, error) {
		if f.Line.FulfillmentID == fs[2] {
			return nil, keyturn.Errorf(keyturn.KindInvalid, "the template is broken")
		}
		return renderMail(f)
	})
	require.NoError(t, err)
	for i, f := range fs {
		want := 2
		if i == 2 {
			want = 1
		}
		if i == 0 {
			want = 3 // the old address is told
		}
		require.Len(t, s.mails(f), want, "line %d", i)
	}
	require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
	require.Len(t, s.mails(fs[2]), 2, "it can be made now")
}

// A report about an e-mail to the address before has it made anew for the one that there is, and the customer has
// nothing to do.
func TestAReportThatComesAfterTheCorrection(t *testing.T) {
	s := newShop(t)
	fs := s.sentOrder("several", 3)
	s.bounced(s.newestMail(fs[0]), keyturn.BounceRefused)
	_, err := s.CorrectAddress(s.ctx, s.tokenOf(fs[0]), fs[0], "jean@buyer.test", renderMail)
	require.NoError(t, err)
	s.later(time.Hour)
	require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
	require.Len(t, s.mails(fs[1]), 1)

	late := s.newestMail(fs[1])
	require.Equal(t, BounceBooked, s.bounced(late, keyturn.BounceBadAddress))
	require.Equal(t, 2, s.openOf(keyturn.AlertBounced), "operations know of each")
	require.Zero(t, read[int](s, `SELECT count(*) FROM customers WHERE bad_address_tag IS NOT NULL`), "it is not the new one")
	require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
	require.Contains(t, s.mails(fs[1])[1], "keys to jean@buyer.test")
	require.Len(t, s.mails(fs[2]), 1, "it has not come back")
	require.Equal(t, BounceBooked, s.bounced(late, keyturn.BounceRefused), "a second report, of another kind")
	require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
	require.Len(t, s.mails(fs[1]), 2, "once")
	require.Equal(t, BounceBooked, s.bounced(s.newestMail(fs[1]), keyturn.BounceBadAddress))
	require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
	require.Len(t, s.mails(fs[1]), 2, "what came back from the new address is for the customer to correct")
	require.Equal(t, s.EmailTag("jean@buyer.test"), read[[]byte](s, `SELECT bad_address_tag FROM customers`))
}

// An e-mail that is being sent is not replaced before that has ended.
func TestAnEmailUnderWayIsNotReplaced(t *testing.T) {
	s := newShop(t)
	fs := s.sentOrder("several", 1)
	s.stock("p", "ANOTHER-1")
	other := s.order("more", lineOf("game", 1), lineOf("game", 1))
	s.stock("p", "ANOTHER-2")
	for _, f := range other {
		s.claimed(f)
	}
	s.delivered(other[0])
	s.bounced(s.newestMail(other[0]), keyturn.BounceRefused)
	d := s.beginDelivery(other[1])
	_, err := s.Resend(s.ctx, other[1], "", "ops", renderMail)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "it is being sent")
	_, err = s.CorrectAddress(s.ctx, s.tokenOf(other[0]), other[0], "jean@buyer.test", renderMail)
	require.NoError(t, err)
	require.Len(t, s.mails(other[1]), 1)
	s.failDelivery(other[1], d, false)
	require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
	require.Contains(t, s.mails(other[1])[1], "keys to jean@buyer.test")
	require.Len(t, s.mails(fs[0]), 1, "another order's stays")

	// and of two e-mails with a line's keys one is sent after the other
	first, err := s.Resend(s.ctx, other[0], "", "ops", renderMail)
	require.NoError(t, err)
	second, err := s.Resend(s.ctx, other[0], "", "ops", renderMail)
	require.NoError(t, err)
	sending, _, err := s.BeginSend(s.ctx, first)
	require.NoError(t, err)
	_, wait, err := s.BeginSend(s.ctx, second)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err))
	require.InDelta(t, sendLease, wait, float64(10*time.Second))
	require.NoError(t, s.FinishSend(s.ctx, sending, nil))
	_, _, err = s.BeginSend(s.ctx, second)
	require.NoError(t, err)
}

// Whoever has the address of the page must not get the keys of a product that never shows them there, not by a line of
// another product either, and not before there is a key.
func TestOneProductThatShowsNoKeysIsEnough(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	s.put(keyturn.Product{ID: "secret", Sources: []keyturn.Source{fromPool("q")}, PageKeys: keyturn.PageKeysNever})
	for i, status := range []string{"PENDING", "DELIVERED"} {
		s.stock("p", fmt.Sprintf("MORE-%d", i))
		fs := s.order("o"+status, lineOf("game", 1), lineOf("secret", 1))
		s.claimed(fs[0])
		s.delivered(fs[0])
		if status == "DELIVERED" {
			s.stock("q", "S-1")
			s.claimed(fs[1])
			s.delivered(fs[1])
		}
		s.bounced(s.newestMail(fs[0]), keyturn.BounceRefused)
		became, err := s.CorrectAddress(s.ctx, s.tokenOf(fs[0]), fs[0], "eve@buyer.test", renderMail)
		require.NoError(t, err)
		require.Equal(t, CorrectionAsked, became, status)
		require.NotEqual(t, "eve@buyer.test", s.address(fs[1]))

		v, err := s.Fulfillment(s.ctx, fs[1])
		require.NoError(t, err)
		require.NotNil(t, v.NewAddress)
		require.Empty(t, v.NewAddress.Email)
		v, err = s.FulfillmentWithAddress(s.ctx, fs[1], "ops")
		require.NoError(t, err)
		require.Equal(t, "eve@buyer.test", v.NewAddress.Email)
		require.Equal(t, i+1, read[int](s, `SELECT count(*) FROM access_log WHERE by = 'ops' AND what = 'customer'`))
		_, err = s.AcceptAddress(s.ctx, fs[1], "jean@buyer.test", "ops", renderMail)
		require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "it is another than the operator saw")
		id, err := s.AcceptAddress(s.ctx, fs[1], "eve@buyer.test", "ops", renderMail)
		require.NoError(t, err)
		require.Equal(t, s.newestMail(fs[0]), id, "that of the line whose e-mail came back")
		v, err = s.Fulfillment(s.ctx, fs[1])
		require.NoError(t, err)
		require.Nil(t, v.NewAddress)
	}
}

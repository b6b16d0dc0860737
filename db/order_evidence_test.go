package db

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// The evidence says where the customer ordered from and opened the keys, to those who may know who the customer is, and
// only for as long as looks are kept, and until the customer is erased.
func TestEvidenceSaysWhereFrom(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "AAAA")
	pay, token, lines := s.soldTo("k", keyturn.WithdrawalWaived, "game")
	s.chargedAndDelivered(pay, lines[0], 1000)
	_, err := s.RevealToCustomer(s.ctx, token, lines[0], "keys", home)
	require.NoError(t, err)
	order := read[string](s, `SELECT id FROM orders`)

	e, err := s.OrderEvidence(s.ctx, order, true, "ana")
	require.NoError(t, err)
	require.Equal(t, home.String(), e.OrderedFrom)
	require.Len(t, e.Accesses, 1)
	require.Equal(t, home.String(), e.Accesses[0].Address)
	require.Equal(t, home.String(), e.Text["customer_purchase_ip"])
	require.Contains(t, e.Text["access_activity_log"], "(keys) from "+home.String())

	e, err = s.OrderEvidence(s.ctx, order, false, "ana")
	require.NoError(t, err)
	require.Empty(t, e.OrderedFrom)
	require.Empty(t, e.Accesses[0].Address)
	require.NotContains(t, e.Text["access_activity_log"], home.String())
	require.NotContains(t, e.Text, "customer_purchase_ip")
	require.NotContains(t, read[string](s, `SELECT string_agg(encode(address, 'escape'), '') FROM access_log`), home.String())

	s.later(73 * time.Hour)
	s.exec(`UPDATE payment_mails SET due_at = NULL`)
	_, err = s.EraseCustomer(s.ctx, "", s.customerIDOf(lines[0]), "ana")
	require.NoError(t, err)
	require.Zero(t, read[int](s, `SELECT count(*) FROM access_log WHERE address IS NOT NULL`))
	e, err = s.OrderEvidence(s.ctx, order, true, "ana")
	require.NoError(t, err)
	require.Empty(t, e.OrderedFrom)
	require.Empty(t, e.Accesses[0].Address)
}

// What a bank reads names the products, numbers the lines as the list of what was ordered does, and goes by time.
func TestEvidenceReadsByTime(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "AAAA", "BBBB")
	fs := s.order("ORD-1", lineOf("game", 1), lineOf("game", 1))
	for _, f := range fs {
		s.claimed(f)
		s.delivered(f)
	}
	token := s.tokenOf(fs[1])
	require.NoError(t, s.ResendToCustomer(s.ctx, token, fs[1], renderMail))
	_, err := s.RevealToCustomer(s.ctx, token, fs[1], "keys", home)
	require.NoError(t, err)
	s.exec(`UPDATE deliveries SET sent_at = sent_at + interval '1 hour' WHERE line_id =
		(SELECT id FROM line_items WHERE position = 1)`)

	s.exec(`INSERT INTO bounces (id, delivery_id, kind, status, via, replaced)
		SELECT id, id, 'bad_address', '5.1.1', 'smtp', false FROM deliveries WHERE line_id =
			(SELECT id FROM line_items WHERE position = 2) AND status = 'SENT'`)

	e, err := s.OrderEvidence(s.ctx, "ORD-1", true, "ana")
	require.NoError(t, err)
	require.Contains(t, e.Text["product_description"], "\n1. GAME, quantity 1, 10.00 EUR: DELIVERED\n2. GAME, quantity 1")
	log := strings.Split(strings.TrimSpace(e.Text["access_activity_log"]), "\n")
	for i, what := range []string{
		`accepted the e-mail "keys" of line 2`, "had the e-mail of line 2 sent again",
		"opened line 2 on the order's page (keys) from " + home.String(), `the e-mail "keys" of line 2 came back`,
		`accepted the e-mail "keys" of line 1`,
	} {
		require.Contains(t, log[i], what)
	}
	require.Len(t, log, 5)
}

// Where a payment was begun from goes with everything else of one that came to nothing.
func TestWhereFromIsForgotten(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, token := s.link(linkOf("k", "game"))
	pay := s.openPayment(token)
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM access_log WHERE what = 'ordered'`))
	s.later(91 * 24 * time.Hour)
	_, err := s.Tidy(s.ctx, DefaultRetention)
	require.NoError(t, err)
	require.Zero(t, read[int](s, `SELECT count(*) FROM access_log WHERE what = 'ordered'`))
}

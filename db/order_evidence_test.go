package db

import (
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

package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// By default an order that nothing can deliver now is accepted, and its answer says so.
func TestOrdersOfAnEmptyPoolAreWarnedOf(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	a, _, err := s.Accept(s.ctx, orderOf("O-1", lineOf("game", 1)))
	require.NoError(t, err)
	require.Empty(t, a.Warnings)
	a, _, err = s.Accept(s.ctx, orderOf("O-2", lineOf("game", 1), lineOf("game", 1)))
	require.NoError(t, err)
	require.Len(t, a.Warnings, 1, "one of the two lines gets the key")
	w := a.Warnings[0]
	require.Equal(t, []any{"lineItems[1].productId", "game", keyturn.ShortageStock},
		[]any{w.Location, w.ProductID, w.Shortage})

	// Keys that are left belong to the line that waits.
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(s.order("big", lineOf("game", 2))[0]).Status)
	a, _, err = s.Accept(s.ctx, orderOf("O-3", lineOf("game", 1)))
	require.NoError(t, err)
	require.Len(t, a.Warnings, 1)
}

// While the breaker of its only partner is open, a product is sold as its rule says.
func TestOrdersWhileThePartnerIsDown(t *testing.T) {
	s := newShop(t)
	partner := keyturn.Source{Type: keyturn.SourceEndpoint, Integration: "acme"}
	s.product("warns", partner)
	s.put(keyturn.Product{
		ID: "allows", Sources: []keyturn.Source{partner},
		Sell: keyturn.Sell{WhenPartnerDown: keyturn.SellAllow},
	})
	refuse := keyturn.Sell{WhenPartnerDown: keyturn.SellRefuse}
	s.put(keyturn.Product{ID: "refuses", Sources: []keyturn.Source{partner}, Sell: refuse})
	s.put(keyturn.Product{
		ID: "falls-back", Sources: []keyturn.Source{partner, {Type: keyturn.SourceManual}},
		Sell: refuse,
	})

	order := func(id, product string) ([]keyturn.Warning, error) {
		a, _, err := s.Accept(s.ctx, orderOf(id, lineOf(product, 1)))
		if err != nil {
			return nil, err
		}
		return a.Warnings, nil
	}
	for _, product := range []string{"warns", "allows", "refuses", "falls-back"} {
		found, err := order("up-"+product, product)
		require.NoError(t, err)
		require.Empty(t, found, product)
	}
	s.exec(`INSERT INTO partner_gates (integration, opened_at, next_try_at)
		VALUES ('acme', now(), now() + interval '1 h')`)
	found, err := order("down-warns", "warns")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, keyturn.ShortagePartner, found[0].Shortage)
	for _, product := range []string{"allows", "falls-back"} {
		found, err := order("down-"+product, product)
		require.NoError(t, err)
		require.Empty(t, found, product)
	}
	before := read[int](s, `SELECT count(*) FROM orders`)
	_, err = order("down-refuses", "refuses")
	wantKind(t, err, keyturn.KindConflict, "lineItems[0].productId")
	require.Equal(t, before, read[int](s, `SELECT count(*) FROM orders`))
}

package db

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddressesThatAreOneHaveOneTag(t *testing.T) {
	s := newShop(t)
	tag := s.EmailTag("ada@buyer.test")
	require.Len(t, tag, 16)
	for _, same := range []string{"Ada@buyer.test", "ADA@BUYER.TEST", " ada@buyer.test "} {
		require.Equal(t, tag, s.EmailTag(same), same)
	}
	require.Equal(t, s.EmailTag("joerg@müllershop.example"), s.EmailTag("Joerg@xn--mllershop-q9a.example"))
	for _, other := range []string{
		"ada+shop@buyer.test", "a.da@buyer.test", "ada@buyer.test.example", "ada@mail.buyer.test", "ada", "",
		"ad\u0430@buyer.test", // a Cyrillic letter
	} {
		require.NotEqual(t, tag, s.EmailTag(other), other)
	}
	require.NotEqual(t, s.EmailTag("mike@buyer.test"), s.EmailTag("mi\u212ae@buyer.test"),
		"by Unicode's rules the Kelvin sign is a k")
}

// Orders of earlier versions are found once housekeeping has come to them. One that does not open, and one of an erased
// customer, stop nobody.
func TestOrdersOfEarlierVersionsAreTagged(t *testing.T) {
	s := newShop(t)
	s.product("game", byHand)
	for _, id := range []string{"o1", "o2", "o3", "o4"} {
		s.order(id, lineOf("game", 1))
	}
	require.Equal(t, 4, read[int](s, `SELECT count(*) FROM orders WHERE email_tag = $1`, s.EmailTag("ada@buyer.test")))
	was := read[[]byte](s, `SELECT customer FROM orders WHERE id = 'o2'`)
	s.exec(`UPDATE orders SET email_tag = NULL, customer = CASE id WHEN 'o2' THEN 'broken' WHEN 'o3' THEN ''
		ELSE customer END WHERE id <> 'o4'`)
	n, err := s.TagOrders(s.ctx, 100)
	require.ErrorContains(t, err, "order o2 cannot be tagged")
	require.Equal(t, 1, n)
	require.Equal(t, []string{"o1", "o4"}, reads[string](s,
		`SELECT id FROM orders WHERE email_tag = $1 ORDER BY id`, s.EmailTag("ada@buyer.test")))
	s.exec(`UPDATE orders SET customer = $1 WHERE id = 'o2'`, was)
	n, err = s.TagOrders(s.ctx, 100)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = s.TagOrders(s.ctx, 100)
	require.NoError(t, err)
	require.Zero(t, n)
}

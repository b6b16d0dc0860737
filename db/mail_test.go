package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// What no e-mail can carry is on the order page, to which its e-mail leads; its acceptance delivers the line. Where the
// product shows no keys there, the line is in trouble, as before.
func TestAnEmailThatCannotCarryTheKeysLeadsToThePage(t *testing.T) {
	s := newShop(t)
	render := func(f MailFacts) ([]byte, error) {
		if f.ByPage {
			return []byte("see " + f.PageToken), nil
		}
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the mail must have at most 10 MiB")
	}
	s.product("game", fromPool("p"))
	s.stock("p", "K-1", "K-2")
	f := s.sell("game")
	_, err := s.Claim(s.ctx, f, render)
	require.NoError(t, err)
	d, _, _, err := s.BeginDelivery(s.ctx, f, render)
	require.NoError(t, err)
	require.Equal(t, "see "+s.tokenOf(f), string(d.Message))
	require.True(t, read[bool](s, `SELECT by_page FROM deliveries`))
	_, err = s.FinishDelivery(s.ctx, f, d, nil, false)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineDelivered, s.status(f))
	got, err := s.reveals(f)
	require.NoError(t, err)
	require.Equal(t, []keyturn.Secret{"K-1"}, got.Codes)

	s.put(keyturn.Product{ID: "game", PageKeys: keyturn.PageKeysNever, Sources: []keyturn.Source{fromPool("p")}})
	f = s.sell("game")
	_, err = s.Claim(s.ctx, f, render)
	require.NoError(t, err)
	d, _, _, err = s.BeginDelivery(s.ctx, f, render)
	require.NoError(t, err)
	require.Nil(t, d)
	require.Equal(t, keyturn.LineRetrying, s.status(f))
}

// Where the product shows no keys on the page, a line of more units than an e-mail carries is refused with the limit.
func TestWhatNoPageShowsFitsAnEmail(t *testing.T) {
	s := newShop(t)
	s.put(keyturn.Product{ID: "hidden", PageKeys: keyturn.PageKeysNever, Sources: []keyturn.Source{fromPool("p")}})
	s.put(keyturn.Product{
		ID: "volume", PageKeys: keyturn.PageKeysNever, QuantityMode: keyturn.OnePerLine,
		Sources: []keyturn.Source{fromPool("p")},
	})
	_, _, err := s.Accept(s.ctx, orderOf("o1", lineOf("hidden", keyturn.MaxUnitsByMail+1)))
	wantKind(t, err, keyturn.KindInvalid, "lineItems[0].quantity")
	require.ErrorContains(t, err, "must be at most 1000")
	s.order("o2", lineOf("hidden", keyturn.MaxUnitsByMail), lineOf("volume", keyturn.MaxUnitsByMail+1))
}

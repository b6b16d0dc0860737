package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

func TestAUnitCostsWhatItsLinkSaysOrTheNearest(t *testing.T) {
	for _, c := range []struct {
		minor    int64
		quantity int
		sold     *keyturn.SoldAs
		want     int64
	}{
		{2999, 1, nil, 2999},
		{2999, 2, nil, 1500}, // 14.995
		{10000, 3, nil, 3333},
		{20000, 3, nil, 6667},
		{0, 5, nil, 0},
		{2998, 2, &keyturn.SoldAs{UnitPrice: "14.99"}, 1499},
		{2999, 2, &keyturn.SoldAs{}, 1500},
	} {
		got := unitPrice(db.MailFacts{
			Price: keyturn.Money{Minor: c.minor, Currency: "EUR"}, Line: keyturn.LineItem{Quantity: c.quantity, SoldAs: c.sold},
		})
		require.Equal(t, keyturn.Money{Minor: c.want, Currency: "EUR"}, got)
	}
}

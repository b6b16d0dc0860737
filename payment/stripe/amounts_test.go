package stripe

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// counted is how Stripe counts 12, or 12.30, of each ISO 4217 currency that is in use; "" for those that it does not
// take. It is written down a second time, by Stripe's lists of special cases alone.
func counted(code, sum string) (n int64, taken bool) {
	not := "BOV BTN CHE CHW CLF COU CUC CUP ERN GHS IQD IRR KPW LYD MRU MXV SDG SSP STN SVC SYP TMT UYI UYW VED VES ZWG"
	zero := "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
	three := "BHD JOD KWD OMR TND"
	if strings.Contains(not, code) {
		return 0, false
	}
	switch fraction := sum == "12.30"; {
	case strings.Contains(zero, code):
		return 12, !fraction
	case strings.Contains(three, code) && fraction:
		return 12300, true
	case strings.Contains(three, code):
		return 12000, true
	case fraction:
		return 1230, true
	}
	return 1200, true
}

// Every sum that Stripe takes comes back as it was, and no other is sent.
func TestAmountsOfEveryCurrency(t *testing.T) {
	t.Parallel()
	seen := 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			for c := 'A'; c <= 'Z'; c++ {
				code := string([]rune{a, b, c})
				if !keyturn.ValidCurrency(code) {
					_, err := amount(keyturn.Money{Minor: 100, Currency: code})
					require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), code)
					continue
				}
				seen++
				for _, sum := range []string{"12", "12.30"} {
					m, err := keyturn.ParseMoney(sum, code)
					if err != nil { // a fraction of what has none
						continue
					}
					want, taken := counted(code, sum)
					n, err := amount(m)
					require.Equal(t, taken, err == nil, "%s %s: %v", sum, code, err)
					if !taken {
						require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
						continue
					}
					require.Equal(t, want, n, "%s %s", sum, code)
					require.Equal(t, m, money(n, strings.ToLower(code)))
				}
			}
		}
	}
	require.Greater(t, seen, 150)
}

func TestSumsThatStripeDoesNotTake(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		minor    int64
		currency string
		says     string
	}{
		{12341, "KWD", "end in 0"},
		{1250, "MGA", "no fractions"},
		{100_000_000, "EUR", "at most 999999.99"},
		{1_000_000, "ISK", "at most 999999"},
		{10_000_000_000, "MGA", "at most 99999999.00"},
		{-1, "EUR", "at most"},
		{100, "IRR", "not in IRR"},
	} {
		_, err := amount(keyturn.Money{Minor: c.minor, Currency: c.currency})
		require.ErrorContains(t, err, c.says, "%d %s", c.minor, c.currency)
	}
	x := Processor{}
	require.NoError(t, x.CheckTotal(keyturn.Money{Minor: 50, Currency: "EUR"}))
	require.ErrorContains(t, x.CheckTotal(keyturn.Money{Minor: 49, Currency: "EUR"}), "at least 0.50 EUR")
	require.NoError(t, x.CheckSum(keyturn.Money{Minor: 1, Currency: "EUR"}), "a unit may cost less than the whole")
	require.NotEqual(t, keyturn.Money{Minor: 12, Currency: "ISK"}, money(1250, "isk"), "half a króna is no sum of ours")
	require.Equal(t, keyturn.Money{Minor: 7, Currency: "XYZ"}, money(7, "xyz"))
}

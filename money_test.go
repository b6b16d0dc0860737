package keyturn_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
)

// currencies are one or more of each number of digits after the point.
var currencies = []string{"EUR", "USD", "GBP", "CHF", "JPY", "KRW", "CLP", "BHD", "KWD", "TND", "CLF", "UYW"}

func TestParseMoney(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, currency string
		minor          int64
		printed        string
	}{
		{"29.99", "EUR", 2999, "29.99"},
		{"29.9", "EUR", 2990, "29.90"},
		{"29", "EUR", 2900, "29.00"},
		{"29.9900", "EUR", 2999, "29.99"},
		{"2999.00", "JPY", 2999, "2999"},
		{"0", "EUR", 0, "0.00"},
		{"0.01", "EUR", 1, "0.01"},
		{"007.50", "EUR", 750, "7.50"},
		{"2999", "JPY", 2999, "2999"},
		{"1.234", "BHD", 1234, "1.234"},
		{"1.2", "KWD", 1200, "1.200"},
		{"0.0001", "CLF", 1, "0.0001"},
		{"10000000000.00", "EUR", 1_000_000_000_000, "10000000000.00"},
	} {
		m, err := keyturn.ParseMoney(c.text, c.currency)
		require.NoError(t, err, c.text)
		require.Equal(t, keyturn.Money{Minor: c.minor, Currency: c.currency}, m, c.text)
		require.Equal(t, c.printed, m.String())
	}
}

func TestParseMoneyRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, currency, rule string }{
		{"", "EUR", "decimal string"},
		{".", "EUR", "decimal string"},
		{"1.", "EUR", "decimal string"},
		{".5", "EUR", "decimal string"},
		{"-1", "EUR", "decimal string"},
		{"-0", "EUR", "decimal string"},
		{"+1", "EUR", "decimal string"},
		{"1e3", "EUR", "decimal string"},
		{"1e400", "EUR", "decimal string"},
		{"0x10", "EUR", "decimal string"},
		{"1_000", "EUR", "decimal string"},
		{"1,50", "EUR", "decimal string"},
		{"1.2.3", "EUR", "decimal string"},
		{" 1", "EUR", "decimal string"},
		{"1 ", "EUR", "decimal string"},
		{"1\x00", "EUR", "decimal string"},
		{"NaN", "EUR", "decimal string"},
		{"Infinity", "EUR", "decimal string"},
		{"١٢", "EUR", "decimal string"}, // digits, but not ours
		{"0.30000000000000004", "EUR", "at most 2 digits"},
		{"29.999", "EUR", "at most 2 digits"},
		{"29.01", "JPY", "at most 0 digits"},
		{"29.9910", "EUR", "at most 2 digits"},
		{"10000000000.01", "EUR", "at most 10000000000.00"},
		{"9007199254740993", "EUR", "decimal string"}, // above 2^53
		{"999999999999999", "JPY", "at most 1000000000000"},
		{strings.Repeat("9", 400), "EUR", "decimal string"},
		{"1", "", "ISO 4217"},
		{"1", "eur", "ISO 4217"},
		{"1", "EURO", "ISO 4217"},
		{"1", "XXX", "ISO 4217"},
		{"1", "E\x00R", "ISO 4217"},
	} {
		_, err := keyturn.ParseMoney(c.text, c.currency)
		require.ErrorContains(t, err, c.rule, "%q %s", c.text, c.currency)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
	}
}

// What is printed is read back as the same amount, in every currency.
func TestMoneyPrintsWhatItParses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := keyturn.Money{
			Minor:    rapid.Int64Range(0, 1_000_000_000_000).Draw(t, "minor"),
			Currency: rapid.SampledFrom(currencies).Draw(t, "currency"),
		}
		got, err := keyturn.ParseMoney(m.String(), m.Currency)
		require.NoError(t, err)
		require.Equal(t, m, got)
		require.Equal(t, m.String(), got.String())
	})
}

// Whatever the text is, parsing it does not panic, and what is accepted is within bounds.
func TestParseMoneyOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9.,eE+-]{0,24}`)).Draw(t, "text")
		m, err := keyturn.ParseMoney(text, rapid.SampledFrom(currencies).Draw(t, "currency"))
		if err == nil {
			require.GreaterOrEqual(t, m.Minor, int64(0))
			require.LessOrEqual(t, m.Minor, int64(1_000_000_000_000))
		}
	})
}

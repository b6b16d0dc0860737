package web

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A customer lives in a country: neither in a group of countries nor in a part of one that has no code of its own.
func TestCountriesAreCountries(t *testing.T) {
	var codes []string
	for _, c := range countriesIn("en") {
		codes = append(codes, c.Code)
	}
	require.Subset(t, codes, []string{"DE", "FR", "GB", "GR", "US", "XK"})
	for _, code := range []string{"EU", "EZ", "UN", "IC", "AC", "TA", "ZZ", "UK"} {
		require.NotContains(t, codes, code)
	}
	require.Len(t, codes, 250, "those of ISO 3166, and Kosovo")
}

package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// licenses is a customer's purchase history, with the keys.
func (s *shop) licenses(customerID, by string) ([]keyturn.LicenseView, error) {
	page, err := s.Licenses(s.ctx, "", customerID, true, by, "", MaxLicenses)
	return page.Licenses, err
}

// A customer's licences come in pages, each in as many statements, however many they are.
func TestACustomersLicencesInPages(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.product("app", fromEndpoint("acme"))
	s.stock("games", keysNamed("K", 5)...)
	lines := s.order("many", lineOf("game", 1), lineOf("game", 1), lineOf("game", 1), lineOf("app", 1), lineOf("game", 1))
	for i, f := range lines {
		if i == 3 {
			s.finishCall(f, answered(s.beginCall(f), "APP-1"))
		} else {
			s.claimed(f)
		}
		s.delivered(f)
	}
	s.exec(`UPDATE licenses SET created_at = now()`) // at the same moment: told apart by their IDs
	customer := s.customerIDOf(lines[0])
	all, err := s.licenses(customer, "ops")
	require.NoError(t, err)
	require.Len(t, all, 5)

	var got []keyturn.LicenseView
	cursor := ""
	for _, n := range []int{2, 2, 1} {
		page, err := s.Licenses(s.ctx, "", customer, true, "ops", cursor, 2)
		require.NoError(t, err)
		require.Len(t, page.Licenses, n)
		got, cursor = append(got, page.Licenses...), page.NextCursor
	}
	require.Empty(t, cursor)
	require.Equal(t, all, got)
	keys := map[string]bool{}
	for _, v := range got {
		require.Len(t, v.ActivationCodes, 1)
		keys[v.ActivationCodes[0]] = true
	}
	require.Len(t, keys, 5, "each its own")
	require.Equal(t, 10, read[int](s, `SELECT count(*) FROM access_log WHERE what = 'licenses'`))

	trips := func(limit int) int64 {
		before := s.RoundTrips()
		_, err := s.Licenses(s.ctx, "", customer, true, "ops", "", limit)
		require.NoError(t, err)
		return s.RoundTrips() - before
	}
	trips(5) // prepares them
	require.Equal(t, trips(4), trips(5))

	for _, c := range []struct{ customer, cursor, field string }{
		{customer, "AAAA", "cursor"},
		{customer, s.cursor("", all[0].CreatedAt, all[0].ID), "cursor"},
	} {
		_, err := s.Licenses(s.ctx, "", c.customer, false, "ops", c.cursor, 2)
		wantKind(t, err, keyturn.KindInvalid)
		require.ErrorContains(t, err, c.field)
	}
	_, err = s.Licenses(s.ctx, "", customer, false, "ops", "", MaxLicenses+1)
	wantKind(t, err, keyturn.KindInvalid)
}

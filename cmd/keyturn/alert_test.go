package main

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestAlertsAreListedAndClosed(t *testing.T) {
	s := newPoolShop(t)
	require.Contains(t, s.run("alert", "list"), "no open alerts")
	s.run("pool", "import", "games", s.file("keys.txt", "K-1\nK-2\nK-3\n"))
	f := s.sell()
	delivery, err := s.d.Resend(t.Context(), f, "", "ops", s.mails.Render)
	require.NoError(t, err)
	sending, _, err := s.d.BeginSend(t.Context(), delivery)
	require.NoError(t, err)
	require.NoError(t, s.d.FinishSend(t.Context(), sending, keyturn.Errorf(keyturn.KindUnavailable, "down")))

	open := into[[]keyturn.AlertView](s, "alert", "list", "--cause", "Undelivered")
	require.Len(t, open, 1)
	id := strconv.FormatInt(open[0].ID, 10)
	out := s.run("alert", "list")
	require.Contains(t, out, id+"*")
	require.Contains(t, out, f)
	_, err = execute(t, "alert", "close", id)
	require.ErrorContains(t, err, "reason")
	_, err = execute(t, "alert", "close", "first", "--reason", "seen")
	require.ErrorContains(t, err, "keyturn alert list")
	require.Contains(t, s.run("alert", "close", id, "--reason", "rang the customer"), "by dev")
	require.NotContains(t, s.run("alert", "list"), f)
	require.Contains(t, s.run("alert", "list", "--all"), f)
}

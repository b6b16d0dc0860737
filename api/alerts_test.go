package api_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

func TestAlertsAreListedAndClosedByWhoSawToThem(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	id := b.order(t, "ORD-1", "acme-pro")
	b.deliver(t, id)
	delivery, err := b.db.Resend(t.Context(), id, "", "ops", func(db.MailFacts) ([]byte, error) {
		return []byte("mail"),
			nil
	})
	require.NoError(t, err)
	sending, _, err := b.db.BeginSend(t.Context(), delivery)
	require.NoError(t, err)
	require.NoError(t, b.db.FinishSend(t.Context(), sending, keyturn.Errorf(keyturn.KindUnavailable, "down")))
	other := b.order(t, "ORD-2", "acme-pro") // there is no key left
	_, err = b.db.Claim(t.Context(), other, nil)
	require.NoError(t, err)

	open, err := b.client().Alerts(t.Context(), false, "", 10)
	require.NoError(t, err)
	require.Len(t, open, 2)
	require.Equal(t, []any{keyturn.AlertOutOfStock, "ORD-2", false},
		[]any{open[0].Cause, open[0].OrderID, open[0].Closable})
	require.Equal(t, []any{keyturn.AlertUndelivered, id, true},
		[]any{open[1].Cause, open[1].FulfillmentID, open[1].Closable})
	at := "/v1/alerts/" + strconv.FormatInt(open[1].ID, 10) + "/close"
	b.play(t, []scenario{
		{"one cause", "GET", "/v1/alerts?cause=OutOfStock", nil, "", 200, []string{"ORD-2"}, []string{"ORD-1", "KEY-1"}},
		{"too many", "GET", "/v1/alerts?limit=1000", nil, "", 400, []string{"limit"}, nil},
		{"no reason", "POST", at, nil, `{}`, 422, []string{`"reason"`}, nil},
		{"an unknown field", "POST", at, nil, `{"reason": "seen", "why": "x"}`, 422, []string{"why"}, nil},
		{
			"one that closes by itself", "POST", "/v1/alerts/" + strconv.FormatInt(open[0].ID, 10) + "/close", nil,
			`{"reason": "seen"}`, 409,
			[]string{"OutOfStock", "by itself"},
			nil,
		},
		{"no such alert", "POST", "/v1/alerts/4711/close", nil, `{"reason": "seen"}`, 404, nil, nil},
		{
			"closed", "POST", at, nil, `{"reason": "rang the customer"}`, 200,
			[]string{`"closedBy":"dev"`, `"closeReason":"rang the customer"`},
			nil,
		},
		{
			"closed again", "POST", at, nil, `{"reason": "and wrote"}`, 200,
			[]string{"rang the customer"},
			[]string{"and wrote"},
		},
		{"what is open", "GET", "/v1/alerts", nil, "", 200, []string{"ORD-2"}, []string{"ORD-1"}},
		{"what was", "GET", "/v1/alerts?all=true", nil, "", 200, []string{"ORD-1", "ORD-2"}, nil},
	})
}

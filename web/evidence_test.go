package web_test

import (
	"encoding/hex"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// Where a customer ordered and opened the keys from comes from the pages into the evidence of a dispute. What a trusted
// proxy says counts, not what the customer claims. Nobody else can read it: not in the database, not in a log, and not
// without the right to know who the customer is.
func TestTheEvidenceSaysWhereThePagesWereUsedFrom(t *testing.T) {
	const (
		ordered = "203.0.113.77"
		opened  = "2001:db8::c0de"
		claimed = "198.51.100.66"
	)
	c := openCheckoutShop(t)
	id, page := c.link(nil)
	_, body := c.do("GET", page, nil)
	resp, _ := c.do("POST", page+"/order", ada(c.version(body)), "X-Forwarded-For", claimed+", "+ordered)
	require.Equal(t, 303, resp.StatusCode, c.logged.String())
	resp, _ = c.do("POST", resp.Header.Get("Location"), url.Values{"action": {"pay"}})
	_, _ = c.do("GET", resp.Header.Get("Location"), nil, "X-Forwarded-For", opened)

	v, err := c.db.Order(t.Context(), id)
	require.NoError(t, err, c.logged.String())
	o := order{
		shop: c.shop, id: id, path: "/o/" + c.db.PageToken(id), lines: []string{v.LineItems[0].FulfillmentID},
	}
	o.claim(0)
	due, _, _, err := c.db.BeginCapture(t.Context(), o.lines[0])
	require.NoError(t, err)
	state, err := c.desk.Capture(t.Context(), due)
	require.NoError(t, err)
	_, err = c.db.FinishCapture(t.Context(), o.lines[0], state)
	require.NoError(t, err)
	c.exec(`UPDATE payments SET keys_wait_until = NULL`) // the confirmation was tried
	o.send(0, nil, true)
	seen := c.ask("POST", o.path+"/lines/"+o.lines[0]+"/keys", nil, "X-Forwarded-For", opened)
	require.Equal(t, 200, seen.status)

	e, err := c.db.OrderEvidence(t.Context(), id, true, "ana")
	require.NoError(t, err)
	require.Equal(t, ordered, e.OrderedFrom)
	require.Len(t, e.Accesses, 1)
	require.Equal(t, opened, e.Accesses[0].Address)
	require.Equal(t, ordered, e.Text["customer_purchase_ip"])
	require.Contains(t, e.Text["access_activity_log"], opened)

	e, err = c.db.OrderEvidence(t.Context(), id, false, "ana")
	require.NoError(t, err)
	require.Empty(t, e.OrderedFrom)
	stored := func(text string) int { // in so many tables
		return c.count(`
			SELECT count(*) FROM information_schema.tables t WHERE table_schema = 'public' AND query_to_xml(
				format('SELECT 1 FROM %I x WHERE position(%L IN CAST(x AS text)) > 0', table_name, CAST($1 AS text)),
				false, false, '')::text LIKE '%row%'`, text)
	}
	require.NotZero(t, stored(id))
	for _, address := range []string{ordered, opened, claimed} {
		require.NotContains(t, c.logged.String(), address)
		require.NotContains(t, e.Text["access_activity_log"]+e.Text["customer_purchase_ip"], address)
		require.Zero(t, stored(address))
		require.Zero(t, stored(hex.EncodeToString([]byte(address))))
	}
}

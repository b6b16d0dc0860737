package activities

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
)

// A partner that moves gets the same body at its new address as long as its template is the same, because every value
// in it is the order's; with today's address, headers and signature. A template that came with the new address is used.
func TestAMovedPartnerGetsTheSameBody(t *testing.T) {
	t.Parallel()
	at := func(url, shop, secret string) keyturn.Integration {
		in := signed("acme", url)
		in.HTTPHeaders = map[string][]keyturn.HeaderValue{"X-Shop": keyturn.Texts(shop)}
		create := in.Operations["create"]
		create.BodyTemplate = "" // the default one, with all that is known of the order
		create.Signature.Secret.Value = secret
		in.Operations["create"] = create
		return in
	}
	f := db.CallFacts{
		Source: keyturn.FromIntegration("acme"), Operation: keyturn.OpCreate, LicenseID: "f-1",
		Integration:   at("https://old.partner.test", "shop-1", "k3y"),
		FulfillmentID: "f-1", OrderID: "o-1", AcceptedAt: time.Now().Add(-time.Hour), Units: 1,
		Customer: keyturn.Customer{ID: "c-1", Email: "jean@buyer.test", Country: "FR", Locale: "fr-FR"},
		Product:  keyturn.Product{ID: "app", Name: "App"}, Line: keyturn.LineItem{ID: "l-1", Quantity: 1},
		Price: keyturn.Money{Minor: 100, Currency: "EUR"}, OrderPrice: keyturn.Money{Minor: 100, Currency: "EUR"},
	}
	render := func() endpoint.Request {
		t.Helper()
		raw, err := renderRequest(f)
		require.NoError(t, err)
		var r endpoint.Request
		require.NoError(t, json.Unmarshal(raw, &r))
		return r
	}
	old := render()
	var err error
	f.Stored, err = json.Marshal(old)
	require.NoError(t, err)
	require.Equal(t, old, render(), "at the same address it is the stored one, byte for byte")

	f.Integration = at("https://new.partner.test", "shop-2", "k4y")
	_, err = renderRequest(f)
	require.ErrorIs(t, err, db.ErrMoved)
	f.Stored = nil // as the database has it once nothing is open at the old address
	moved := render()
	require.Equal(t, string(old.Body), string(moved.Body))
	require.Contains(t, moved.URL, "https://new.partner.test/")
	require.Equal(t, []string{"shop-2"}, moved.Header["X-Shop"])
	require.NotEmpty(t, moved.Header.Get(endpoint.DefaultSignatureHeader))
	require.NotEqual(t, old.Header.Get(endpoint.DefaultSignatureHeader), moved.Header.Get(endpoint.DefaultSignatureHeader))

	create := f.Integration.Operations["create"]
	create.BodyTemplate = `{"v2": "{{.LicenseID}}"}`
	f.Integration.Operations["create"] = create
	require.JSONEq(t, `{"v2": "f-1"}`, string(render().Body))
}

package web_test

import (
	"bytes"
	"image"
	"image/png"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
)

// settings puts the shop's settings into the catalog, as the API does.
func (s *shop) settings(v keyturn.Shop) {
	s.t.Helper()
	v, err := catalog.CheckShop(v)
	require.NoError(s.t, err)
	_, _, err = s.db.PutShop(s.t.Context(), v)
	require.NoError(s.t, err)
}

// picture is a PNG of this size.
func picture(t *testing.T, width, height int) keyturn.Image {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, png.Encode(&out, image.NewGray(image.Rect(0, 0, width, height))))
	return keyturn.Image{Data: out.Bytes()}
}

// The checkout page asks what the shop's settings say, and every page shows who sells.
func TestTheShopsSettingsOnPages(t *testing.T) {
	c := openCheckoutShop(t)
	logo := picture(t, 90, 30)
	c.settings(keyturn.Shop{
		Name: "Corner Shop", Logo: logo,
		Legal: keyturn.Legal{
			Terms: "https://corner.example/terms", Seller: "Corner Ltd, 1 Street", Contact: "help@corner.example",
		},
		Checkout: keyturn.CheckoutSettings{
			Fields: keyturn.CheckoutFields{
				FirstName: keyturn.FieldHidden, LastName: keyturn.FieldRequired, Phone: keyturn.FieldOptional,
			},
			Consent: map[string]string{"en": "Words of the merchant."},
		},
	})
	_, page := c.link(func(l *keyturn.CheckoutLink) { l.Locale = "en" })
	_, body := c.do("GET", page, nil)
	require.Contains(t, body, `alt="Corner Shop"`)
	require.Contains(t, body, `width="90" height="30"`)
	require.Contains(t, body, "Sold by Corner Ltd, 1 Street")
	require.Contains(t, body, `href="mailto:help@corner.example"`)
	require.Contains(t, body, "https://corner.example/terms")
	require.Contains(t, body, "Words of the merchant.")
	require.NotContains(t, body, `name="firstName"`)
	require.Contains(t, body, `name="phone"`)

	form := url.Values{
		"version": {c.version(body)}, "email": {"ada@buyer.test"}, "country": {"FR"}, "firstName": {"Ada"},
		"consent": {consentVersion}, // of other words than those that are shown now
	}
	resp, body := c.do("POST", page+"/order", form)
	require.Equal(t, 422, resp.StatusCode)
	require.Contains(t, body, "Last name: please fill this in.")
	require.Contains(t, body, "Please agree to immediate delivery")
	c.settings(keyturn.Shop{Checkout: keyturn.CheckoutSettings{Withdrawal: keyturn.WithdrawalOffered}})
	_, body = c.do("GET", page, nil)
	require.NotContains(t, body, `name="consent"`)
	require.Contains(t, body, "Kiosk", "without a name it is that of the e-mails")
	form.Del("consent")
	resp, _ = c.do("POST", page+"/order", form)
	require.Equal(t, 303, resp.StatusCode)

	// The logo has gone with the settings that had it.
	described, err := catalog.CheckShop(keyturn.Shop{Logo: logo})
	require.NoError(t, err)
	at := "/images/" + described.Logo.SHA256
	resp, _ = c.do("GET", at, nil)
	require.Equal(t, 404, resp.StatusCode)
	for _, name := range []string{"%00", "%ff", "logo"} {
		resp, _ = c.do("GET", "/images/"+name, nil)
		require.Equal(t, 404, resp.StatusCode, name)
	}
	c.settings(keyturn.Shop{Logo: logo})
	resp, body = c.do("GET", at, nil)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, string(logo.Data), body)
	require.Equal(t, "image/png", resp.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	require.Equal(t, "default-src 'none'; sandbox", resp.Header.Get("Content-Security-Policy"))
	require.Contains(t, resp.Header.Get("Cache-Control"), "immutable")
}

// What is on file is not shown to whoever has the link; what a browser has typed is shown to it alone.
func TestWhatIsOnFileStaysHidden(t *testing.T) {
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) {
		l.Locale = "en"
		l.Customer = keyturn.Customer{Email: "jean@buyer.test", Country: "FR", LastName: "Dupont"}
	})
	_, body := c.do("GET", page, nil)
	require.Contains(t, body, "j…@buyer.test")
	for _, personal := range []string{"jean@", "Dupont", `value="FR" selected`} {
		require.NotContains(t, body, personal)
	}
	resp, _ := c.do("POST", page+"/order", url.Values{
		"version": {c.version(body)}, "firstName": {"Jacques"}, "consent": {consentVersion},
	})
	require.Equal(t, 303, resp.StatusCode)
	_, _ = c.do("POST", page+"/reopen", nil)
	_, body = c.do("GET", page, nil)
	require.Contains(t, body, "Jacques", "who turns back finds what was typed")
	require.NotContains(t, body, "Dupont")
	c.client.Jar = nil
	_, body = c.do("GET", page, nil)
	require.NotContains(t, body, "Jacques")
}

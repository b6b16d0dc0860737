package web_test

import (
	"bytes"
	"encoding/hex"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
)

// E-mails in a browser: every kind fits a window and a telephone in each language, and shows the shop's logo. What they
// are like in dark colors is looked at in scenes.
func TestMailsInABrowser(t *testing.T) {
	mails := map[string]string{}
	var picture bytes.Buffer
	require.NoError(t, png.Encode(&picture, logo()))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/images/") {
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write(picture.Bytes())
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(mails[r.URL.Path]))
	}))
	defer server.Close()
	shop := keyturn.Shop{
		Name: "Boutique Été", Color: "#7a1fa2",
		Logo: keyturn.Image{
			SHA256: hex.EncodeToString(bytes.Repeat([]byte{10}, 32)), Type: "image/png", Width: 360, Height: 90,
		},
		Legal: keyturn.Legal{
			Seller: "Boutique Été SARL, 1 rue de la Paix, 75001 Paris, France", Contact: "aide@boutique.example",
			Terms: "https://boutique.example/a-rather-long-address/of-the-terms-and-conditions-that-nobody-reads",
		},
	}
	letters := activities.Letters{From: "cles@boutique.example", PublicURL: server.URL}
	for _, locale := range []string{"en", "fr", "de"} {
		for _, kind := range keyturn.SampleKinds {
			m, err := letters.RenderSample(activities.Sample{
				Kind: kind, Product: activities.SampleProduct(), Shop: shop, Locale: locale, To: "jean@buyer.example",
				ID: "sample-1", Now: time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC),
			})
			require.NoError(t, err)
			parts, err := m.Parts()
			require.NoError(t, err)
			mails["/"+kind+"-"+locale] = parts.HTML
		}
	}
	b := surf(t)
	for path := range mails {
		b.run(chromedp.Navigate(server.URL + path))
		b.fitsScreens("mail " + path[1:])
		require.True(t, b.evaluate(`document.querySelector("img").naturalWidth === 360`), path)
	}
	b.calm()
}

// logo is a picture that is neither light nor dark.
func logo() image.Image {
	out := image.NewRGBA(image.Rect(0, 0, 360, 90))
	for x := range 360 {
		for y := range 90 {
			if (x/30+y/30)%2 == 0 {
				out.Set(x, y, color.RGBA{122, 31, 162, 255})
			}
		}
	}
	return out
}

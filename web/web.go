// Package web is the pages for people. This is the customer's order page, behind an unguessable link: it says where
// each item stands, shows keys to whoever asks for them by a button, and lets a customer whose item is late take the
// money instead, where the merchant allows it. It works without JavaScript and loads nothing from anywhere.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// Config is what the pages need.
type Config struct {
	DB *db.DB
	// Resolve carries out a decision on a line and answers where the line stands then. Nil: there is no refund button.
	Resolve  func(ctx context.Context, fulfillmentID string, r keyturn.Resolution) (keyturn.Next, error)
	ShopName string // heads the page
	Logger   *slog.Logger
}

// New gives the handler of everything below /o/.
func New(c Config) http.Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	p := &pages{Config: c}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /o/{token}", p.order)
	mux.HandleFunc("GET /o/{token}/lines/{line}/{action}", p.back) // a reload or a bookmark of an answer
	mux.HandleFunc("POST /o/{token}/lines/{line}/keys", p.reveal)
	mux.HandleFunc("POST /o/{token}/lines/{line}/refund", p.refund)
	mux.HandleFunc("POST /o/{token}/files/{line}/{n}", p.file) // files are keys too: no GET gives them
	mux.HandleFunc("GET /o/{token}/files/{line}/{n}", p.back)
	mux.HandleFunc("/o/", func(w http.ResponseWriter, r *http.Request) {
		p.fail(w, r, keyturn.Errorf(keyturn.KindNotFound, "there is no such page"))
	})
	return p.guard(mux)
}

type pages struct{ Config }

const (
	maxBody = 4 << 10 // our largest form is a UUID
	// resolveTimeout is how long a customer waits for a decision to be carried out; the page tells when it took longer.
	resolveTimeout = 15 * time.Second
)

// order shows the order, never a key.
func (p *pages) order(w http.ResponseWriter, r *http.Request) {
	n, ok := pageNumber(r)
	if !ok {
		p.fail(w, r, keyturn.Errorf(keyturn.KindNotFound, "there is no such page"))
		return
	}
	p.show(w, r, n, answer{})
}

// back leads from the address of an answer to a POST to the page itself.
func (p *pages) back(w http.ResponseWriter, r *http.Request) {
	n, err := p.DB.CustomerPageOf(r.Context(), r.PathValue("token"), r.PathValue("line"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	//nolint:gosec // to a link of our own, below /o/, that the database has just known
	http.Redirect(w, r, pageLink(r.PathValue("token"), n)+"#"+lineAnchor(r.PathValue("line")), http.StatusSeeOther)
}

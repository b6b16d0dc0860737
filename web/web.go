// Package web serves the customer's order page behind an unguessable link. The page shows the status of each item,
// reveals keys at the press of a button and, where the merchant allows it, lets a customer whose item is late take a
// refund instead. It works without JavaScript and loads nothing from other servers.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/checkout"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/throttle"
)

// Config holds what the pages depend on.
type Config struct {
	DB *db.DB
	// Resolve carries out a decision on a line and returns the line's new status. If it is nil there is no refund button.
	Resolve func(ctx context.Context, fulfillmentID string, r keyturn.Resolution) (keyturn.Next, error)
	// RenderKeys makes the e-mail that a customer has sent again. If it is nil there is no button for it.
	RenderKeys db.RenderMail
	ShopName   string // heads the page, unless the shop's settings have a name
	Logger     *slog.Logger
	Throttle   *throttle.Throttle // of wrong addresses; nil: one that trusts no proxy
	Desk       *checkout.Desk     // settles payments; nil: there are no checkout pages
	Secure     bool               // customers come by https

	UnknownLinks *throttle.Throttle // of wrong addresses of checkout pages; nil: they are not counted
	OrderPosts   *throttle.Throttle // of "order and pay"; nil: it is not counted
	LibraryPosts *throttle.Throttle // of asking for a link to a library; nil: it is not counted
}

// New returns the handler of /library and of all paths below /o/, /c/, /library/ and /images/.
func New(c Config) http.Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Throttle == nil {
		c.Throttle = &throttle.Throttle{}
	}
	p := &pages{Config: c}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /o/{token}", p.order)
	mux.HandleFunc("GET /o/{token}/lines/{line}/{action}", p.back) // a reload or a bookmark of an answer
	mux.HandleFunc("POST /o/{token}/lines/{line}/keys", p.reveal)
	mux.HandleFunc("POST /o/{token}/lines/{line}/refund", p.refund)
	mux.HandleFunc("POST /o/{token}/lines/{line}/list", p.list)
	mux.HandleFunc("POST /o/{token}/lines/{line}/resend", p.sendAgain)
	mux.HandleFunc("POST /o/{token}/lines/{line}/address", p.correct)
	mux.HandleFunc("POST /o/{token}/address", p.correctOrder)
	mux.HandleFunc("GET /o/{token}/address", p.backToOrder)
	mux.HandleFunc("POST /o/{token}/keys", p.revealAll)
	mux.HandleFunc("GET /o/{token}/keys", p.backToOrder)
	mux.HandleFunc("POST /o/{token}/files/{line}/{n}", p.file) // files are keys too: no GET gives them
	mux.HandleFunc("GET /o/{token}/files/{line}/{n}", p.back)
	mux.HandleFunc("POST /o/{token}/withdrawal", p.withdraw)
	mux.HandleFunc("POST /o/{token}/again", p.orderAgain)
	mux.HandleFunc("GET /o/{token}/withdrawal", p.backToOrder)
	mux.HandleFunc("GET /o/{token}/again", p.backToOrder)
	mux.HandleFunc("/o/", func(w http.ResponseWriter, r *http.Request) {
		p.fail(w, r, keyturn.Errorf(keyturn.KindNotFound, "there is no such page"))
	})
	mux.HandleFunc("GET /images/{sha256}", p.image)
	mux.HandleFunc("GET /images/none", func(w http.ResponseWriter, _ *http.Request) { // the icon of a shop without a logo
		w.WriteHeader(http.StatusNoContent)
	})
	p.libraryRoutes(mux)
	if c.Desk != nil {
		p.checkoutRoutes(mux)
	}
	return p.guard(mux)
}

type pages struct {
	Config

	settings atomic.Pointer[keyturn.Shop] // as last read, for pages that are shown when nothing can be read
}

const (
	maxBody = 16 << 10 // our largest form is the checkout page's
	// resolveTimeout is how long a customer waits for a decision to be carried out. After that the page says that it is
	// still under way.
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

// back redirects a GET of a POST's address to the page itself.
func (p *pages) back(w http.ResponseWriter, r *http.Request) {
	n, err := p.DB.CustomerPageOf(r.Context(), r.PathValue("token"), r.PathValue("line"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	//nolint:gosec // to a link of our own, below /o/, that the database has just known
	http.Redirect(w, r, pageLink(r.PathValue("token"), n)+"#"+lineAnchor(r.PathValue("line")), http.StatusSeeOther)
}

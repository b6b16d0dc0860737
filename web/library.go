package web

import (
	"net/http"
	"net/url"
	"strings"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
)

// libraryRoutes serves the library, which shows a customer all that one e-mail address has bought. Whoever asks for it
// is sent a link, which opens it once. What opens is a session, and not one page: orders are on several pages, and have
// receipts. Opening takes a button, because scanners of mailboxes follow links.
func (p *pages) libraryRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /library", p.library)
	mux.HandleFunc("POST /library", p.askForLibrary)
	mux.HandleFunc("GET /library/{token}", p.libraryLink)
	mux.HandleFunc("POST /library/{token}", p.openLibrary)
	mux.HandleFunc("GET /library/orders", p.libraryOrders)
	mux.HandleFunc("GET /library/receipts/{order}", p.libraryReceipt)
	mux.HandleFunc("POST /library/close", p.closeLibrary)
	mux.HandleFunc("GET /library/close", func(w http.ResponseWriter, r *http.Request) { // a reload of its answer
		http.Redirect(w, r, libraryPath, http.StatusSeeOther)
	})
	mux.HandleFunc("/library/", func(w http.ResponseWriter, r *http.Request) {
		p.fail(w, r, keyturn.Errorf(keyturn.KindNotFound, "there is no such page"))
	})
}

const (
	libraryPath   = "/library"
	libraryOrders = "/library/orders"
)

// library shows the form in which an address is given; to a browser that has opened a library, its orders.
func (p *pages) library(w http.ResponseWriter, r *http.Request) {
	if p.libraryCookie(r) != "" {
		http.Redirect(w, r, libraryOrders, http.StatusSeeOther) // which says so if its time is over
		return
	}
	p.renderLibrary(w, r, http.StatusOK, libraryAsk(libraryWordsOf(r)))
}

// askForLibrary has a link sent. The answer is the same for every address.
func (p *pages) askForLibrary(w http.ResponseWriter, r *http.Request) {
	if wait := p.LibraryPosts.Failed(r); wait > 0 {
		p.tooMany(w, r, wait)
		return
	}
	words := libraryWordsOf(r)
	l := &words.library
	address := strings.TrimSpace(r.PostForm.Get("email"))
	if mail.CheckAddress(address) != nil {
		v := libraryAsk(words)
		v.Ask.Email, v.Ask.Wrong = address, l.WrongAddress
		p.renderLibrary(w, r, http.StatusUnprocessableEntity, v)
		return
	}
	if err := p.DB.AskForLibrary(r.Context(), address); err != nil {
		p.fail(w, r, err)
		return
	}
	p.renderLibrary(w, r, http.StatusOK, libraryView{Title: l.SentTitle, Texts: []string{l.Sent, l.SentLimits}})
}

// libraryLink shows the button that uses a link. It changes nothing.
func (p *pages) libraryLink(w http.ResponseWriter, r *http.Request) {
	token := r.PathValue("token")
	if err := p.DB.CheckLibraryLink(r.Context(), token); err != nil {
		p.libraryLinkFailed(w, r, err)
		return
	}
	l := &libraryWordsOf(r).library
	p.renderLibrary(w, r, http.StatusOK, libraryView{
		Title: l.Title, Texts: []string{l.OpenText}, Button: l.Open, Link: libraryPath + "/" + url.PathEscape(token),
	})
}

// openLibrary uses a link. It works once, whoever comes first.
func (p *pages) openLibrary(w http.ResponseWriter, r *http.Request) {
	session, err := p.DB.OpenLibrary(r.Context(), r.PathValue("token"))
	if err != nil {
		p.libraryLinkFailed(w, r, err)
		return
	}
	p.setLibraryCookie(w, session, int(db.LibrarySession.Seconds()))
	http.Redirect(w, r, libraryOrders, http.StatusSeeOther)
}

// libraryLinkFailed says that a link opens nothing any more, and offers another one.
func (p *pages) libraryLinkFailed(w http.ResponseWriter, r *http.Request, err error) {
	if keyturn.KindOf(err) != keyturn.KindConflict {
		p.fail(w, r, err)
		return
	}
	words := libraryWordsOf(r)
	v := libraryAsk(words)
	v.Notice = words.library.LinkOver
	p.renderLibrary(w, r, http.StatusGone, v)
}

// libraryOrders lists orders of the session's address, a page at a time.
func (p *pages) libraryOrders(w http.ResponseWriter, r *http.Request) {
	page, err := p.DB.Library(r.Context(), p.libraryCookie(r), r.URL.Query().Get("after"))
	if err != nil {
		p.libraryClosed(w, r, err)
		return
	}
	p.renderLibrary(w, r, http.StatusOK, p.libraryList(libraryWordsOf(r), page, r.URL.Query().Get("after") != ""))
}

// libraryReceipt shows what was paid for an order and what went back, to be printed.
func (p *pages) libraryReceipt(w http.ResponseWriter, r *http.Request) {
	order, err := p.DB.LibraryReceipt(r.Context(), p.libraryCookie(r), r.PathValue("order"))
	if err != nil {
		p.libraryClosed(w, r, err)
		return
	}
	p.renderLibrary(w, r, http.StatusOK, libraryReceiptOf(libraryWordsOf(r), order))
}

// libraryClosed answers who has no session, or none any more.
func (p *pages) libraryClosed(w http.ResponseWriter, r *http.Request, err error) {
	if keyturn.KindOf(err) != keyturn.KindForbidden {
		p.fail(w, r, err)
		return
	}
	words := libraryWordsOf(r)
	if p.libraryCookie(r) != "" { // it may be a guess
		if wait := p.Throttle.Failed(r); wait > 0 {
			p.tooMany(w, r, wait)
			return
		}
	}
	p.setLibraryCookie(w, "", -1)
	v := libraryAsk(words)
	v.Notice = words.library.Over
	p.renderLibrary(w, r, http.StatusForbidden, v)
}

func (p *pages) closeLibrary(w http.ResponseWriter, r *http.Request) {
	if session := p.libraryCookie(r); session != "" {
		if err := p.DB.CloseLibrary(r.Context(), session); err != nil {
			p.fail(w, r, err)
			return
		}
	}
	p.setLibraryCookie(w, "", -1)
	l := &libraryWordsOf(r).library
	p.renderLibrary(w, r, http.StatusOK, libraryView{Title: l.ClosedTitle, Texts: []string{l.Closed}})
}

// libraryCookieName is the cookie by which the browser is known that used a link. By https no other host can set it.
func (p *pages) libraryCookieName() string {
	if p.Secure {
		return "__Host-keyturn-library"
	}
	return "keyturn-library"
}

func (p *pages) setLibraryCookie(w http.ResponseWriter, session string, seconds int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // in development customers come by http
		Name: p.libraryCookieName(), Value: session, Path: "/", HttpOnly: true, Secure: p.Secure,
		SameSite: http.SameSiteStrictMode, MaxAge: seconds,
	})
}

func (p *pages) libraryCookie(r *http.Request) string {
	c, err := r.Cookie(p.libraryCookieName())
	if err != nil {
		return ""
	}
	return c.Value
}

// libraryWordsOf are those of the browser's language: a library has orders in several.
func libraryWordsOf(r *http.Request) *words { return wordsAccepted(r.Header.Get("Accept-Language")) }

package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"slices"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
	//go:embed times.js
	timesJS string // of every page that has a script

	//go:embed shop.html
	shopHTML string

	pageTemplate = template.Must(template.Must(template.New("page").Option("missingkey=error").Parse(pageHTML)).
			Parse(shopHTML))
)

// show renders page n of the order behind the request's link, with the answer to the customer's action.
func (p *pages) show(w http.ResponseWriter, r *http.Request, n int, a answer) {
	token := r.PathValue("token")
	page, err := p.DB.CustomerPage(r.Context(), token, n)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	v := p.viewOf(token, page, a)
	if v.State != "" {
		tag := `"` + v.State + `"`
		w.Header().Set("ETag", tag) // for our own script alone: nothing may keep the page
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if a.keys == nil && r.Method != http.MethodHead && alwaysShows(page) {
		a.keys, err = p.DB.RevealAllToCustomer(r.Context(), token, page.Page, true, p.Throttle.Address(r))
		if err != nil {
			p.fail(w, r, err)
			return
		}
		shown := p.viewOf(token, page, a)
		shown.Refresh, shown.State, v = v.Refresh, v.State, shown // news come all the same
	}
	p.render(w, r, max(a.status, http.StatusOK), v)
}

// alwaysShows says whether a page has keys of products that have it show them.
func alwaysShows(page db.CustomerPage) bool {
	return slices.ContainsFunc(page.Lines, func(l db.CustomerLine) bool {
		return l.Product.PageKeys == keyturn.PageKeysAlways && l.MayReveal && l.Status == keyturn.LineDelivered
	})
}

// render writes a page. The page is complete before its first byte is sent.
func (p *pages) render(w http.ResponseWriter, r *http.Request, status int, v view) {
	if v.Order != nil {
		p.readShop(r.Context())
	}
	v.Nonce, v.Shop = nonceOf(r), p.shopView(v.Lang)
	v.CSS, v.Script = template.CSS(pageCSS), template.JS(timesJS+pageJS) //nolint:gosec // our own files
	p.write(w, status, v.Lang, pageTemplate, v)
}

func (p *pages) write(w http.ResponseWriter, status int, lang string, t *template.Template, v any) {
	var out bytes.Buffer
	if err := t.Execute(&out, v); err != nil {
		p.Logger.Error("a page could not be made", "kind", string(keyturn.KindInternal), "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", lang)
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // a reader who left does not matter
}

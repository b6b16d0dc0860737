package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

type nonceKey struct{}

// guard sets the headers of every answer and refuses requests that none of our pages sends.
func (p *pages) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nonce := newNonce()
		h := w.Header()
		// Only what we put into the page ourselves: no other origin, no frame around it, no base that redirects links.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; script-src 'nonce-"+nonce+"'; "+
			"img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer") // the address of the page is its key
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Robots-Tag", "noindex, nofollow, noarchive")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
		h.Set("Cache-Control", "no-store")
		r = r.WithContext(context.WithValue(r.Context(), nonceKey{}, nonce))
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodPost:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			if !sameOrigin(r) {
				p.refuse(w, r, http.StatusForbidden)
				return
			}
			if err := r.ParseForm(); err != nil {
				p.refuse(w, r, http.StatusBadRequest)
				return
			}
		default:
			h.Set("Allow", "GET, HEAD, POST")
			p.refuse(w, r, http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sameOrigin reports whether a POST can come from our own page. Sec-Fetch-Site decides where a browser sends it. Other
// browsers send `Origin: null` from our page, because of its referrer policy, and name any other site.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

func newNonce() string {
	raw := make([]byte, 18)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(raw)
}

func nonceOf(r *http.Request) string {
	nonce, _ := r.Context().Value(nonceKey{}).(string)
	return nonce
}

// fail serves the constant page of an error. It does not reveal which link, order or line was asked for.
func (p *pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	words := wordsAccepted(r.Header.Get("Accept-Language"))
	if keyturn.KindOf(err) == keyturn.KindNotFound {
		guesses := p.Throttle
		if strings.HasPrefix(r.URL.Path, "/c/") {
			guesses = p.UnknownLinks
		}
		if wait := guesses.Failed(r); wait > 0 { // somebody guesses addresses; right ones are shown all the same
			p.tooMany(w, r, wait)
			return
		}
		p.render(w, r, http.StatusNotFound, failure(words, words.fail.notFoundTitle, words.fail.notFound))
		return
	}
	if r.Context().Err() == nil {
		p.Logger.Error("an order page could not be shown", "kind", string(keyturn.KindOf(err)), "error", err)
	}
	w.Header().Set("Retry-After", "30")
	p.render(w, r, http.StatusServiceUnavailable, failure(words, words.fail.brokenTitle, words.fail.broken))
}

// tooMany serves the page of a client that does too much of one thing. It says when to try again.
func (p *pages) tooMany(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	words := wordsAccepted(r.Header.Get("Accept-Language"))
	seconds := int((wait + time.Second - 1) / time.Second)
	in := strconv.Itoa(seconds) + " s"
	if seconds > 60 {
		in = strconv.Itoa((seconds+59)/60) + " min"
	}
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	p.render(w, r, http.StatusTooManyRequests,
		failure(words, words.fail.tooManyTitle, say(words.fail.tooMany, values{"time": text(in)}).String()))
}

// refuse serves a constant page for a request that none of our pages makes.
func (p *pages) refuse(w http.ResponseWriter, r *http.Request, status int) {
	words := wordsAccepted(r.Header.Get("Accept-Language"))
	p.render(w, r, status, failure(words, words.fail.refusedTitle, words.fail.refused))
}

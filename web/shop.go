package web

import (
	"context"
	"encoding/hex"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"keyturn.dev/keyturn"
)

// shopView is how the shop appears on every page.
type shopView struct {
	Name      string
	Logo      *imageView
	Seller    string
	Questions string // introduces Contact
	Contact   string
	Links     []shopLink

	ContactLink template.URL // checked where it is saved
}

type shopLink struct{ Text, URL string }

// imageView is an image with its size, so that the page does not jump when it comes.
type imageView struct {
	Link          string
	Width, Height int
}

func viewOfImage(i keyturn.Image) *imageView {
	if i.SHA256 == "" {
		return nil
	}
	return &imageView{Link: "/images/" + url.PathEscape(i.SHA256), Width: i.Width, Height: i.Height}
}

// readShop reads the shop's settings. When they cannot be read, the page does with those that it knew.
func (p *pages) readShop(ctx context.Context) keyturn.Shop {
	s, err := p.DB.Shop(ctx)
	if err == nil {
		p.settings.Store(&s)
	} else if ctx.Err() == nil {
		p.Logger.Warn("the shop's settings could not be read", "kind", string(keyturn.KindOf(err)), "error", err)
	}
	return p.shop()
}

// shop are the settings that were read last.
func (p *pages) shop() keyturn.Shop {
	var s keyturn.Shop
	if known := p.settings.Load(); known != nil {
		s = *known
	}
	if s.Name == "" {
		s.Name = p.ShopName
	}
	return s.WithDefaults()
}

func (p *pages) shopView(lang string) shopView {
	s, w := p.shop(), &wordsFor(lang).shop
	v := shopView{Name: s.Name, Logo: viewOfImage(s.Logo)}
	if s.Legal.Seller != "" {
		v.Seller = say(w.seller, values{"seller": text(s.Legal.Seller)}).String()
	}
	if c := s.Legal.Contact; c != "" {
		v.Questions, v.Contact = w.questions, c
		link := c
		if !strings.HasPrefix(c, "https://") {
			link = "mailto:" + c
		}
		v.ContactLink = template.URL(link) //nolint:gosec // an address of https or of e-mail: checked where it is saved
	}
	for _, l := range []shopLink{{w.terms, s.Legal.Terms}, {w.privacy, s.Legal.Privacy}, {w.imprint, s.Legal.Imprint}} {
		if l.URL != "" {
			v.Links = append(v.Links, l)
		}
	}
	return v
}

// image serves a stored image. Its address is a hash of its bytes, so it may be kept for ever. What a browser is told
// to take for an image, it must not take for anything else.
func (p *pages) image(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("sha256")
	if _, err := hex.DecodeString(name); err != nil { // the database takes no NUL
		name = ""
	}
	content, mediaType, err := p.DB.Image(r.Context(), name)
	switch kind := keyturn.KindOf(err); {
	case kind == keyturn.KindNotFound:
		http.Error(w, "there is no such image", http.StatusNotFound)
		return
	case err != nil:
		p.Logger.Error("an image could not be read", "kind", string(kind), "error", err)
		w.Header().Set("Retry-After", "30")
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(content) //nolint:gosec // an image by its bytes, and sandboxed; a reader who left does not matter
}

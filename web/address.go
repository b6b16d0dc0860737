package web

import (
	"net/http"
	"net/url"
	"strings"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
)

// addressView is the form in which the customer gives another address.
type addressView struct{ Question, Label, Button, Link, Value string }

// correct gives the order another address, because an e-mail of the line came back.
func (p *pages) correct(w http.ResponseWriter, r *http.Request) {
	page, l, ok := p.line(w, r)
	if !ok {
		return
	}
	p.giveAddress(w, r, page, l.FulfillmentID)
}

// correctOrder gives the order another address, because an e-mail about the order as a whole came back.
func (p *pages) correctOrder(w http.ResponseWriter, r *http.Request) {
	if _, page, ok := p.firstPage(w, r); ok {
		p.giveAddress(w, r, page, "")
	}
}

// giveAddress gives the order another address, because of a line's e-mail, or of one about the order as a whole.
func (p *pages) giveAddress(w http.ResponseWriter, r *http.Request, page db.CustomerPage, line string) {
	words := wordsFor(page.Locale).address
	given := strings.TrimSpace(r.PostForm.Get("email"))
	if mail.CheckAddress(given) != nil {
		p.show(w, r, page.Page, answer{
			status: http.StatusUnprocessableEntity, notice: words.wrong, line: line, given: given,
		})
		return
	}
	a := answer{line: line, notice: words.done}
	var became db.Correction
	var err error
	if p.RenderKeys == nil {
		err = keyturn.Errorf(keyturn.KindConflict, "this process sends no e-mail")
	} else {
		became, err = p.DB.CorrectAddress(r.Context(), r.PathValue("token"), line, given, p.RenderKeys)
	}
	switch keyturn.KindOf(err) {
	case "":
		if became == db.CorrectionAsked {
			a.notice = words.waits
		}
	case keyturn.KindInvalid:
		a.status, a.notice = http.StatusUnprocessableEntity, words.same
	case keyturn.KindRateLimited:
		a.status, a.notice = http.StatusTooManyRequests, words.enough
	case keyturn.KindConflict, keyturn.KindConfiguration:
		a.status, a.notice = http.StatusConflict, words.none
	default:
		p.fail(w, r, err)
		return
	}
	p.show(w, r, page.Page, a)
}

// addressOf is the form, if the customer may give another address.
func (p *pages) addressOf(w *words, token string, l db.CustomerLine) *addressView {
	if !l.MayCorrect || p.RenderKeys == nil {
		return nil
	}
	return &addressView{
		Question: say(w.address.question, ofKeys(l.Product.Units(l.Quantity))).String(), Label: w.address.label,
		Button: w.address.button, Link: lineLink(token, l.FulfillmentID, "address"),
	}
}

// returnedView tells of an e-mail about the order as a whole that came back.
type returnedView struct {
	Story   []phrase
	Address *addressView
}

// returnedOf tells of it; nil: there is nothing to tell. Where a line asks for another address, asking once is enough.
func (p *pages) returnedOf(w *words, token string, m *db.ReturnedMail, asks bool, a answer) *returnedView {
	if m == nil || asks {
		return nil
	}
	v := values{"address": text(m.SentTo)}
	out := &returnedView{Story: []phrase{say(w.address.cameBackFrom, v)}}
	if m.Asked {
		out.Story = append(out.Story, say(w.address.asked, v))
	}
	if m.MayCorrect && p.RenderKeys != nil {
		out.Address = &addressView{
			Question: w.address.questionOrder, Label: w.address.label, Button: w.address.buttonOrder,
			Link: "/o/" + url.PathEscape(token) + "/address",
		}
		if a.line == "" {
			out.Address.Value = a.given
		}
	}
	return out
}

// returned tells of a line whose e-mail came back.
func returned(w *words, l db.CustomerLine, v values) []phrase {
	out := []phrase{say(w.address.cameBackFrom, v)}
	if l.SentTo == "" {
		out = []phrase{say(w.address.cameBack, v)}
	}
	if l.MayReveal {
		out = append(out, say(w.address.canOpen, v))
	}
	if l.Asked {
		out = append(out, say(w.address.asked, v))
	}
	return out
}

// corrected tells of a line whose e-mail went, or goes, to an address that was given later.
func corrected(w *words, l db.CustomerLine, v values, at func(string, part) phrase) []phrase {
	if l.SentAgainAt == nil {
		return []phrase{say(w.address.onItsWay, v)}
	}
	return []phrase{at(w.address.sentTo, w.date.since(*l.SentAgainAt))}
}

// cameBack counts the keys of the page's lines whose e-mail came back.
func cameBack(p db.CustomerPage) (keys int) {
	for _, l := range p.Lines {
		if situationOf(l) == isReturned {
			keys += l.Product.Units(l.Quantity)
		}
	}
	return keys
}

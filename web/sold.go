package web

import (
	"net/http"

	"github.com/google/uuid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// soldView is what the customer of an order that a checkout link made may do about it.
type soldView struct {
	Until, Withdraw, WithdrawLink string
	Withdrawn                     string
	AgainText, Again, AgainLink   string
}

// soldOf is nil where there is nothing to do and nothing to say.
func soldOf(w *words, token string, page db.CustomerPage) *soldView {
	v := &soldView{}
	if page.WithdrawnAt != nil {
		v.Withdrawn = say(w.sold.Withdrawn, values{"when": w.date.since(*page.WithdrawnAt)}).String()
	}
	if page.MayWithdraw {
		v.Withdraw, v.WithdrawLink = w.sold.Withdraw, pageLink(token, 1)+"/withdrawal"
		if page.WithdrawBefore != nil && page.Now.Before(*page.WithdrawBefore) {
			v.Until = say(w.sold.Until, values{"day": text(w.date.LastDay(*page.WithdrawBefore))}).String()
		}
	}
	if page.AgainUntil != nil {
		v.AgainText = say(w.sold.AgainText, values{"day": text(w.date.LastDay(*page.AgainUntil))}).String()
		v.Again, v.AgainLink = w.sold.Again, pageLink(token, 1)+"/again"
	}
	if *v == (soldView{}) {
		return nil
	}
	return v
}

// firstPage reads the order behind a request's link. If there is none it has answered already.
func (p *pages) firstPage(w http.ResponseWriter, r *http.Request) (token string, page db.CustomerPage, ok bool) {
	token = r.PathValue("token")
	page, err := p.DB.CustomerPage(r.Context(), token, 1)
	if err != nil {
		p.fail(w, r, err)
	}
	return token, page, err == nil
}

// withdraw asks for confirmation first. Once confirmed, the customer has withdrawn from the contract.
func (p *pages) withdraw(w http.ResponseWriter, r *http.Request) {
	token, page, ok := p.firstPage(w, r)
	if !ok {
		return
	}
	words := wordsFor(page.Locale)
	switch decision := r.PostForm.Get("decision"); {
	case page.WithdrawnAt != nil: // the button of a page from before, or a second press
		p.backToOrder(w, r)
	case decision == "" && page.MayWithdraw:
		p.show(w, r, 1, answer{withdraw: true})
	case decision == "":
		p.show(w, r, 1, answer{status: http.StatusConflict, notice: words.sold.Nothing})
	case uuid.Validate(decision) != nil || len(decision) != 36:
		p.refuse(w, r, http.StatusBadRequest)
	default:
		switch err := p.DB.Withdraw(r.Context(), token); keyturn.KindOf(err) {
		case "":
			p.backToOrder(w, r)
		case keyturn.KindConflict:
			p.show(w, r, 1, answer{status: http.StatusConflict, notice: words.sold.Nothing})
		default:
			p.fail(w, r, err)
		}
	}
}

func confirmWithdrawal(w *words, token string, page db.CustomerPage) *confirmView {
	c := &confirmView{
		Question: say(w.sold.Ask, values{"order": text(page.OrderID)}).String(), Means: w.sold.MeansUndelivered,
		Link: pageLink(token, 1) + "/withdrawal", Decision: uuid.NewString(), Back: pageLink(token, 1), Yes: w.sold.Confirm,
		No: w.sold.Keep,
	}
	if page.WithdrawAll {
		c.Means = w.sold.MeansAll
	}
	return c
}

// orderAgain leads to the page that sells the same once more. There is one such page for an order, whoever asks.
func (p *pages) orderAgain(w http.ResponseWriter, r *http.Request) {
	token, page, ok := p.firstPage(w, r)
	if !ok {
		return
	}
	words := wordsFor(page.Locale)
	link, err := p.DB.OrderAgain(r.Context(), token)
	switch kind := keyturn.KindOf(err); kind {
	case "":
		http.Redirect(w, r, checkoutLink(link), http.StatusSeeOther) //nolint:gosec // to a page of our own, below /c/
	case keyturn.KindConflict, keyturn.KindInvalid, keyturn.KindForbidden: // the catalog has changed, or it is too late
		p.Logger.Warn("an order could not be made again", "orderId", page.OrderID, "kind", string(kind), "error", err)
		p.show(w, r, 1, answer{status: http.StatusConflict, notice: words.sold.NotAgain})
	default:
		p.fail(w, r, err)
	}
}

func (p *pages) backToOrder(w http.ResponseWriter, r *http.Request) {
	if token, _, ok := p.firstPage(w, r); ok {
		//nolint:gosec // to a page of our own, below /o/
		http.Redirect(w, r, pageLink(token, 1), http.StatusSeeOther)
	}
}

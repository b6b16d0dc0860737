package web

import (
	"context"
	"crypto/hmac"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
)

const (
	// payWithin is how long a customer has to pay once "order and pay" was pressed.
	payWithin = 30 * time.Minute
	// returnTime is how long a customer who comes back waits for the processor's word. Without it the page asks again.
	returnTime = 3 * time.Second
	// thanksFor is how long the page leads the browser that ordered to its order.
	thanksFor = time.Hour
)

// checkoutRoutes serves the page that sells once, below /c/.
func (p *pages) checkoutRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /c/{token}", p.checkout)
	mux.HandleFunc("POST /c/{token}/quantity", p.chooseQuantity)
	mux.HandleFunc("POST /c/{token}/offers/{id}", p.answerOffer)
	mux.HandleFunc("POST /c/{token}/order", p.orderAndPay)
	mux.HandleFunc("GET /c/{token}/return", p.returned)
	mux.HandleFunc("POST /c/{token}/reopen", p.reopen)
	mux.HandleFunc("POST /c/{token}/resend", p.resend)
	mux.HandleFunc("GET /c/{token}/{action}", p.backToCheckout) // a reload or a bookmark of an answer
	mux.HandleFunc("GET /c/{token}/offers/{id}", p.backToCheckout)
	mux.HandleFunc("/c/", func(w http.ResponseWriter, r *http.Request) {
		p.fail(w, r, keyturn.Errorf(keyturn.KindNotFound, "there is no such page"))
	})
}

func checkoutLink(token string) string { return "/c/" + url.PathEscape(token) }

func (p *pages) backToCheckout(w http.ResponseWriter, r *http.Request) {
	//nolint:gosec // to a page of our own, below /c/
	http.Redirect(w, r, checkoutLink(r.PathValue("token")), http.StatusSeeOther)
}

// checkout shows the page. It changes nothing but the note that it was opened, so that previews and scanners of
// mailboxes do no harm.
func (p *pages) checkout(w http.ResponseWriter, r *http.Request) {
	page, err := p.DB.CheckoutPage(r.Context(), r.PathValue("token"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" && page.Status == keyturn.LinkOpen {
		if err := p.DB.OpenedCheckout(r.Context(), r.PathValue("token")); err != nil {
			p.Logger.Warn("a checkout page was opened, which was not noted", "kind", string(keyturn.KindOf(err)))
		}
	}
	p.showCheckout(w, r, page, checkoutAnswer{})
}

// checkoutAnswer is what a customer's action gave, shown on the page.
type checkoutAnswer struct {
	status int
	notice func(*checkoutWords) string
	form   url.Values        // as it was typed
	wrong  map[string]string // field: what is wrong with it
}

func (p *pages) chooseQuantity(w http.ResponseWriter, r *http.Request) {
	line, lineErr := strconv.Atoi(r.PostForm.Get("line"))
	n, nErr := strconv.Atoi(r.PostForm.Get("quantity"))
	if lineErr != nil {
		line = -1
	}
	if nErr != nil {
		n = 0 // which no line allows
	}
	err := p.DB.ChooseQuantity(r.Context(), r.PathValue("token"), versionOf(r), line, n)
	if keyturn.KindOf(err) != keyturn.KindInvalid {
		p.changed(w, r, err)
		return
	}
	page, readErr := p.DB.CheckoutPage(r.Context(), r.PathValue("token"))
	if readErr != nil {
		p.fail(w, r, readErr)
		return
	}
	a := checkoutAnswer{
		status: http.StatusUnprocessableEntity, notice: func(c *checkoutWords) string { return c.NotAllowed },
	}
	if line >= 0 && line < len(page.Lines) && !page.Lines[line].Quantity.Fixed() {
		a.notice = func(c *checkoutWords) string { return c.quantityRange(page.Lines[line].Quantity) }
	}
	p.showCheckout(w, r, page, a)
}

func (c *checkoutWords) quantityRange(q keyturn.LinkQuantity) string {
	return say(c.Range, values{"min": text(strconv.Itoa(q.Min)), "max": text(strconv.Itoa(q.Max))}).String()
}

func (p *pages) answerOffer(w http.ResponseWriter, r *http.Request) {
	p.changed(w, r, p.DB.AnswerOffer(r.Context(), r.PathValue("token"), versionOf(r), r.PathValue("id"),
		db.OfferAnswer(r.PostForm.Get("answer"))))
}

func versionOf(r *http.Request) int {
	n, err := strconv.Atoi(r.PostForm.Get("version"))
	if err != nil {
		return -1
	}
	return n
}

// changed answers a change of what the page sells.
func (p *pages) changed(w http.ResponseWriter, r *http.Request, err error) {
	switch keyturn.KindOf(err) {
	case "":
		p.backToCheckout(w, r)
	case keyturn.KindConflict:
		p.again(w, r, checkoutAnswer{status: http.StatusConflict, notice: func(c *checkoutWords) string { return c.Changed }})
	case keyturn.KindInvalid:
		p.again(w, r, checkoutAnswer{
			status: http.StatusUnprocessableEntity, notice: func(c *checkoutWords) string { return c.NotAllowed },
		})
	default:
		p.fail(w, r, err)
	}
}

// again shows the page as it is now, with the answer.
func (p *pages) again(w http.ResponseWriter, r *http.Request, a checkoutAnswer) {
	page, err := p.DB.CheckoutPage(r.Context(), r.PathValue("token"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.showCheckout(w, r, page, a)
}

// orderAndPay freezes what is bought, opens the payment at its processor, and leads the customer there.
func (p *pages) orderAndPay(w http.ResponseWriter, r *http.Request) {
	token := r.PathValue("token")
	page, err := p.DB.CheckoutPage(r.Context(), token)
	if err != nil { // who knows no link takes the place of no customer in the count
		p.fail(w, r, err)
		return
	}
	if wait := p.OrderPosts.Failed(r); wait > 0 {
		p.tooMany(w, r, wait)
		return
	}
	words, settings := p.checkoutWordsOf(r, page), p.readShop(r.Context()).Checkout
	customer := filledIn(page.Customer, r.PostForm, settings.Fields)
	if customer.Locale == "" {
		customer.Locale = words.lang
	}
	a := checkoutAnswer{status: http.StatusUnprocessableEntity, form: r.PostForm, wrong: words.checkout.wrong(customer,
		settings.Fields)}
	consent, withdrawal := consentOf(words, settings), settings.Withdrawal
	switch {
	case !isConsumer(customer):
		consent, withdrawal = nil, ""
	case consent != nil && r.PostForm.Get("consent") != consent.Version: // nothing was agreed to, or other words
		a.wrong["consent"] = words.checkout.ConsentMissing
	case consent != nil:
		consent.At = page.Now
	}
	switch {
	case len(a.wrong) == 0:
	case page.Status == keyturn.LinkOpen:
		p.showCheckout(w, r, page, a)
		return
	default: // there is nothing to fill in any more: the page says where things stand
		p.backToCheckout(w, r)
		return
	}
	begun, err := p.DB.BeginPayment(r.Context(), db.PaymentStart{
		Token: token, Version: versionOf(r), Customer: customer, Consent: consent, Withdrawal: withdrawal,
		From:         p.Throttle.Address(r),
		PayWithin:    payWithin,
		CheckAddress: mail.CheckAddress, Respond: func(db.Accepted) ([]byte, error) { return nil, nil },
	})
	if err != nil {
		p.notBegun(w, r, words, a, err)
		return
	}
	if !begun.Repeated { // whoever has the address may press the button, and must not see the other's order
		p.remember(w, token, begun.ID)
	}
	if begun.Accepted != nil {
		if p.Desk.Accepted != nil {
			p.Desk.Accepted(begun.Accepted.Starts)
		}
		p.backToCheckout(w, r)
		return
	}
	if _, err := p.Desk.Open(r.Context(), begun.ID); err != nil {
		p.Logger.Warn("a payment could not be opened", "paymentId", begun.ID, "kind", string(keyturn.KindOf(err)), "error",
			err)
	}
	page, err = p.DB.CheckoutPage(r.Context(), token)
	switch {
	case err != nil:
		p.fail(w, r, err)
	case page.Payment != nil && page.Payment.SessionURL != "":
		http.Redirect(w, r, page.Payment.SessionURL, http.StatusSeeOther)
	case page.Status == keyturn.LinkOpen: // the processor refused it
		p.showCheckout(w, r, page, checkoutAnswer{
			status: http.StatusBadGateway, notice: func(c *checkoutWords) string { return c.Refused }, form: r.PostForm,
		})
	default: // nobody knows yet: the same payment is opened again
		p.showCheckout(w, r, page, checkoutAnswer{
			status: http.StatusServiceUnavailable, notice: func(c *checkoutWords) string { return c.NotOpened },
		})
	}
}

// notBegun tells why nothing was stored.
func (p *pages) notBegun(w http.ResponseWriter, r *http.Request, words *words, a checkoutAnswer, err error) {
	switch keyturn.KindOf(err) {
	case keyturn.KindConflict:
		a.status, a.notice = http.StatusConflict, func(c *checkoutWords) string { return c.Changed }
		if hasField(err, "sell") {
			a.notice = func(c *checkoutWords) string { return c.NotSold }
		}
	case keyturn.KindRateLimited:
		a.status, a.notice = http.StatusTooManyRequests, func(c *checkoutWords) string { return c.TooOften }
	case keyturn.KindInvalid:
		a.status, a.notice = http.StatusUnprocessableEntity, func(c *checkoutWords) string { return c.CheckForm }
		for _, f := range checkoutFields { // a rule of orders that the form does not know
			if hasField(err, "customer."+f.name) {
				a.notice = nil
				a.wrong[f.name] = say(words.checkout.WrongText, values{"field": text(words.checkout.Fields[f.name])}).String()
			}
		}
	default:
		p.fail(w, r, err)
		return
	}
	p.again(w, r, a)
}

func hasField(err error, name string) bool {
	e, ok := errors.AsType[*keyturn.Error](err)
	return ok && slices.ContainsFunc(e.Fields, func(f keyturn.FieldError) bool { return f.Location == name })
}

// returned is where the processor sends the customer after paying.
func (p *pages) returned(w http.ResponseWriter, r *http.Request) {
	page, err := p.DB.CheckoutPage(r.Context(), r.PathValue("token"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	if page.Payment != nil && page.Status == keyturn.LinkPaying && p.mayAsk(r, page.Payment.ID) {
		p.look(r.Context(), page.Payment.ID)
	}
	p.backToCheckout(w, r) // which looks again by itself
}

// mayAsk says whether the processor may be asked for the payment because somebody presses or loads something: once in
// db.PressEvery, whoever does it.
func (p *pages) mayAsk(r *http.Request, paymentID string) bool {
	ok, err := p.DB.MayAsk(r.Context(), paymentID)
	if err != nil {
		p.Logger.Warn("a customer's return was not looked at", "paymentId", paymentID, "kind", string(keyturn.KindOf(err)))
	}
	return ok && err == nil
}

// look asks the processor, for a moment; if it does not answer, the payment's workflow goes on asking.
func (p *pages) look(ctx context.Context, paymentID string) {
	ctx, cancel := context.WithTimeout(ctx, returnTime)
	defer cancel()
	_, err := p.Desk.Look(ctx, paymentID)
	if err == nil { // it is booked, and whoever has something to do for it was told
		return
	}
	p.Logger.Warn("a processor did not say whether a customer has paid", "paymentId", paymentID, "kind",
		string(keyturn.KindOf(err)), "error", err)
	if err := p.DB.LookAtPayment(context.WithoutCancel(ctx), paymentID); err != nil {
		p.Logger.Warn("a payment's workflow was not told of a return", "paymentId", paymentID, "kind",
			string(keyturn.KindOf(err)), "error", err)
	}
}

// reopen ends a payment that the customer does not want to go on with, once the processor has confirmed that it cannot
// be paid any more. If it was paid after all, the link is used.
func (p *pages) reopen(w http.ResponseWriter, r *http.Request) {
	page, err := p.DB.CheckoutPage(r.Context(), r.PathValue("token"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	if page.Status == keyturn.LinkPaying && page.Payment != nil && page.Payment.Status != keyturn.PaymentProcessing {
		if !p.mayAsk(r, page.Payment.ID) {
			p.tooMany(w, r, db.PressEvery)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), returnTime)
		defer cancel()
		if _, err := p.Desk.Expire(ctx, page.Payment.ID); err != nil {
			p.again(w, r, checkoutAnswer{
				status: http.StatusServiceUnavailable, notice: func(c *checkoutWords) string { return c.ProcessorDown },
			})
			return
		}
	}
	p.backToCheckout(w, r)
}

// resend sends the address of the order's page to the customer. It never shows it, nor where it goes.
func (p *pages) resend(w http.ResponseWriter, r *http.Request) {
	a := checkoutAnswer{notice: func(c *checkoutWords) string { return c.Resent }}
	switch err := p.DB.SendOrderPage(r.Context(), r.PathValue("token")); keyturn.KindOf(err) {
	case "":
	case keyturn.KindConflict: // the button of no page of ours
		p.backToCheckout(w, r)
		return
	case keyturn.KindRateLimited:
		a = checkoutAnswer{
			status: http.StatusTooManyRequests, notice: func(c *checkoutWords) string { return c.ResentOften },
		}
	default:
		p.fail(w, r, err)
		return
	}
	p.again(w, r, a)
}

// checkoutCookie is the cookie by which the browser that ordered is known.
const checkoutCookie = "keyturn-checkout"

func (p *pages) remember(w http.ResponseWriter, token, paymentID string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // in development customers come by http
		Name: checkoutCookie, Value: p.DB.CheckoutCookie(paymentID), Path: checkoutLink(token), HttpOnly: true,
		Secure: p.Secure, SameSite: http.SameSiteLaxMode, MaxAge: int((payWithin + thanksFor) / time.Second),
	})
}

// ordered says whether this is the browser that ordered.
func (p *pages) ordered(r *http.Request, page db.CheckoutPage) bool {
	c, err := r.Cookie(checkoutCookie)
	return err == nil && page.Payment != nil &&
		hmac.Equal([]byte(c.Value), []byte(p.DB.CheckoutCookie(page.Payment.ID)))
}

package web

import (
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

var (
	//go:embed checkout.html
	checkoutHTML string
	//go:embed checkout.css
	checkoutCSS string
	//go:embed checkout.js
	checkoutJS string

	checkoutTemplate = template.Must(template.New("checkout").Option("missingkey=error").Funcs(template.FuncMap{
		"offer": func(page checkoutView, o offerView) offerPage { return offerPage{page, o} },
	}).Parse(checkoutHTML + shopHTML))
)

// offerPage is an offer with the page that it is on.
type offerPage struct {
	Page  checkoutView
	Offer offerView
}

// checkoutView is the template's data.
type checkoutView struct {
	Lang, Title, Nonce string
	Shop               shopView
	CSS                template.CSS
	Script             template.JS
	Refresh            int    // seconds until the page looks for news; 0: it does not
	Here               string // its address
	Now                string // by which times are near or far
	Times              string // the formats of times, for the script
	Zone               string // names the zone of times that no script has changed

	Heading, Notice string
	Lead            phrase
	Wrong           []wrongView
	W               *checkoutWords

	Open    *openView
	Buttons []buttonView
}

// TellsTime says whether the page has a time.
func (v checkoutView) TellsTime() bool {
	return v.Lead.tellsTime() || v.Open != nil && v.Open.Promise.tellsTime()
}

type wrongView struct{ Field, Text string }

// buttonView is a link, or a form of one button where Post is set.
type buttonView struct {
	Text, Link string
	Post       bool
	Primary    bool
}

// openView is the page of an open link.
type openView struct {
	Link    string // of the page: actions stand below it
	Version int
	Lines   []checkoutLineView
	Total   string
	OnVisit []offerView
	OnLeave []offerView
	Fields  []fieldView
	Consent *consentView
	Email   string // on file, masked
	GoesTo  string // introduces it
	Promise phrase
	PayNext string
	Several string
	Cancel  string
	Closed  bool // no payment is left: the page says whom to ask
}

// consentView is the question that consumers are asked.
type consentView struct {
	Text, Version, Wrong string
	Countries            string // whose consumers are asked
	OnFile               string // of the customer on file: "asked" or "not asked"; empty: nobody is on file
	Ticked               bool
}

type checkoutLineView struct {
	No                                        int
	Image                                     *imageView
	Name, Description, Unit, List, Sum, Stock string
	Quantity                                  keyturn.LinkQuantity
	Choices                                   bool
	Undo                                      string // the offer that replaced it
}

type offerView struct {
	ID, Headline, Text, Name, Description, List, Price, Instead string
	Image                                                       *imageView
}

func (p *pages) checkoutWordsOf(r *http.Request, page db.CheckoutPage) *words {
	if page.Locale != "" {
		return wordsFor(page.Locale)
	}
	return wordsAccepted(r.Header.Get("Accept-Language"))
}

// showCheckout renders the page of the link's status, with the answer to the customer's action.
func (p *pages) showCheckout(w http.ResponseWriter, r *http.Request, page db.CheckoutPage, a checkoutAnswer) {
	words := p.checkoutWordsOf(r, page)
	c := &words.checkout
	settings := p.readShop(r.Context()).Checkout
	v := checkoutView{
		Lang: words.lang, Shop: p.shopView(words.lang), Nonce: nonceOf(r), W: c, Title: c.Title,
		CSS: template.CSS(pageCSS + checkoutCSS), Script: template.JS(timesJS + checkoutJS), //nolint:gosec // our own files
		Now: page.Now.Format(time.RFC3339), Times: words.date.localTimes(), Zone: words.zone,
	}
	if a.notice != nil {
		v.Notice = a.notice(c)
	}
	token := r.PathValue("token")
	v.Here = checkoutLink(token)
	switch page.Status {
	case keyturn.LinkOpen:
		v.Heading = c.Heading
		if page.Left <= 0 && v.Notice == "" { // said before the form is filled in
			v.Notice = c.TooOften
		}
		v.Open = p.openCheckout(words, token, page, a)
		v.Open.Fields = fieldViews(words, settings.Fields, page.Customer, p.typedBefore(r, page, a), a)
		v.Open.Consent = consentViewOf(words, settings, page.Customer, a)
		for _, f := range v.Open.Fields {
			if f.Wrong != "" {
				v.Wrong = append(v.Wrong, wrongView{f.Name, f.Wrong})
			}
		}
		if c := v.Open.Consent; c != nil && c.Wrong != "" {
			v.Wrong = append(v.Wrong, wrongView{"consent", c.Wrong})
		}
	case keyturn.LinkPaying:
		p.payingCheckout(&v, words, token, page)
	case keyturn.LinkUsed:
		v.Heading, v.Lead = c.UsedHeading, say(c.Used, values{"when": words.date.since(*page.EndedAt)})
		v.Buttons = []buttonView{{Text: c.Resend, Link: checkoutLink(token) + "/resend", Post: true}}
		if p.ordered(r, page) && page.Now.Sub(*page.EndedAt) < thanksFor {
			if v.Heading, v.Lead = c.ThanksHeading, thanks(c, page); page.Ending {
				v.Heading, v.Lead = c.UsedHeading, say(c.Stands, nil)
			}
			v.Buttons = []buttonView{{
				Text: c.ToOrder, Link: "/o/" + p.DB.PageToken(page.OrderID), Primary: true,
			}}
		}
	case keyturn.LinkExpired:
		v.Notice = "" // nothing can be tried again
		v.Heading, v.Lead = c.ExpiredHeading, say(c.Expired, values{"when": words.date.since(page.ExpiresAt)})
	case keyturn.LinkCanceled:
		v.Notice = ""
		v.Heading, v.Lead = c.CanceledHeading, say(c.Canceled, nil)
	}
	p.renderCheckout(w, r, max(a.status, http.StatusOK), v, page.Provider)
}

func thanks(c *checkoutWords, page db.CheckoutPage) phrase {
	v := values{}
	if unitsOf(page) > 1 {
		v[several] = part{}
	}
	return say(c.Thanks, v)
}

// unitsOf is how many units a page sells.
func unitsOf(page db.CheckoutPage) (n int) {
	for _, l := range page.Lines {
		n += l.Quantity.Value
	}
	return n
}

func (p *pages) payingCheckout(v *checkoutView, words *words, token string, page db.CheckoutPage) {
	c := &words.checkout
	v.Refresh = fastRefresh
	if page.Payment == nil {
		return
	}
	until := values{"by": words.date.until(page.Payment.PayUntil, page.Now), "sum": words.date.money(page.Total)}
	switch page.Payment.Status {
	case keyturn.PaymentProcessing:
		v.Heading, v.Lead = c.ProcessingHeading, say(c.Processing, nil)
		v.Refresh = slowRefresh
	case keyturn.PaymentMismatch:
		v.Heading, v.Lead = c.CheckingHeading, say(c.Checking, nil)
		v.Refresh = slowRefresh
	case keyturn.PaymentOpen:
		v.Heading, v.Lead = c.PayingHeading, say(c.Paying, until)
		if page.Payment.SessionURL != "" {
			v.Buttons = append(v.Buttons, buttonView{Text: c.GoOn, Link: page.Payment.SessionURL, Primary: true})
		}
		v.Buttons = append(v.Buttons, buttonView{Text: c.Reopen, Link: checkoutLink(token) + "/reopen", Post: true})
	default:
		v.Heading, v.Lead = c.PayingHeading, say(c.Opening, nil)
	}
}

// openCheckout builds the page of an open link.
func (p *pages) openCheckout(words *words, token string, page db.CheckoutPage, a checkoutAnswer) *openView {
	c := &words.checkout
	money := func(m keyturn.Money) string { return words.date.money(m).Text }
	unit := func(text string) string {
		m, err := keyturn.ParseMoney(text, page.Currency)
		if err != nil {
			return text
		}
		return money(m)
	}
	v := &openView{
		Link: checkoutLink(token), Version: page.Version, Total: money(page.Total), Cancel: page.CancelURL,
	}
	if page.Customer.Email != "" {
		v.Email = db.MaskAddress(page.Customer.Email)
	}
	for i, l := range page.Lines {
		line := checkoutLineView{
			No: i, Name: l.Name, Description: l.Description, Unit: unit(l.UnitPrice), Sum: money(l.Price),
			Quantity: l.Quantity, Choices: !l.Quantity.Fixed(), Undo: l.OfferID, Image: viewOfImage(page.Images[l.ProductID]),
		}
		if l.ListPrice != "" && l.ListPrice != l.UnitPrice {
			line.List = unit(l.ListPrice)
		}
		switch l.Sellability.Code {
		case keyturn.SellableLow:
			line.Stock = say(c.Low, values{"n": text(strconv.Itoa(l.Sellability.Left))}).String()
		case keyturn.SellableOutOfStock:
			line.Stock = c.OutOfStock
		case keyturn.SellablePartnerDown:
			line.Stock = c.PartnerDown
		case keyturn.SellableOK:
		}
		v.Lines = append(v.Lines, line)
	}
	offers := func(some []keyturn.LinkOffer) (out []offerView) {
		for _, o := range some {
			offer := offerView{
				ID: o.ID, Headline: o.Headline, Text: o.Text, Name: o.LineItem.Name, Description: o.LineItem.Description,
				Price: unit(o.LineItem.UnitPrice), Image: viewOfImage(page.Images[o.LineItem.ProductID]),
				Instead: say(c.Instead, values{"name": text(page.Lines[o.Replaces].Name)}).String(),
			}
			if o.LineItem.ListPrice != "" && o.LineItem.ListPrice != o.LineItem.UnitPrice {
				offer.List = unit(o.LineItem.ListPrice)
			}
			out = append(out, offer)
		}
		return out
	}
	if v.Closed = page.Left <= 0; v.Closed {
		for i := range v.Lines {
			v.Lines[i].Choices, v.Lines[i].Undo = false, ""
		}
		return v
	}
	v.OnVisit, v.OnLeave = offers(page.OnVisit), offers(page.OnLeave)
	v.PayNext = say(c.PayNext, values{"n": text(strconv.Itoa(int(payWithin / time.Minute)))}).String()
	by := values{"by": words.date.until(page.Now.Add(page.Promise), page.Now)}
	if unitsOf(page) > 1 {
		by[several] = part{}
	}
	v.GoesTo = say(c.KeyGoesTo, by).String()
	switch {
	case page.Total.Minor == 0:
		v.Promise = say(c.PromiseFree, by)
	case page.Capture == keyturn.CaptureAtOnce:
		v.Promise = say(c.PromiseAtOnce, by)
	case page.Capture == keyturn.CaptureWhenObtained:
		v.Promise = say(c.Promise, by)
	default:
		v.Promise = slices.Concat(say(c.Promise, by), phrase{text(" ")}, say(c.PromiseSome, by))
	}
	if len(page.Lines) > 1 && page.Total.Minor > 0 {
		v.Several = c.SeveralAll
		if page.Mixed == keyturn.MixedChargeReady {
			v.Several = c.SeveralReady
		}
	}
	return v
}

// typedBefore is what this browser has typed before it turned back: it alone is shown it.
func (p *pages) typedBefore(r *http.Request, page db.CheckoutPage, a checkoutAnswer) keyturn.Customer {
	if a.form != nil || !p.ordered(r, page) {
		return keyturn.Customer{}
	}
	payment, err := p.DB.Payment(r.Context(), page.Payment.ID)
	if err != nil {
		p.Logger.Warn("what a customer had typed could not be read", "kind", string(keyturn.KindOf(err)), "error", err)
	}
	return payment.Snapshot.Customer
}

func consentViewOf(w *words, s keyturn.CheckoutSettings, onFile keyturn.Customer, a checkoutAnswer) *consentView {
	consent := consentOf(w, s)
	if consent == nil {
		return nil
	}
	v := &consentView{
		Text: consent.Text, Version: consent.Version, Wrong: a.wrong["consent"],
		Countries: strings.TrimSpace(consumerCountries), Ticked: a.form.Get("consent") == consent.Version,
	}
	if onFile.Country != "" {
		v.OnFile = "asked"
		if !isConsumer(onFile) {
			v.OnFile = "not asked"
		}
	}
	return v
}

// renderCheckout writes the page. Forms may lead to the processor's page, too: browsers apply form-action to redirects.
func (p *pages) renderCheckout(w http.ResponseWriter, r *http.Request, status int, v checkoutView, provider string) {
	if processor, ok := p.Desk.Processors[provider]; ok && processor.Origin() != "" {
		policy := w.Header().Get("Content-Security-Policy")
		w.Header().Set("Content-Security-Policy",
			strings.Replace(policy, "form-action 'self'", "form-action 'self' "+processor.Origin(), 1))
	}
	p.write(w, status, v.Lang, checkoutTemplate, v)
}

// countriesIn lists the countries in the order of their names in a language.
var countriesIn = func() func(lang string) []countryView {
	var mu sync.Mutex
	known := map[string][]countryView{}
	return func(lang string) []countryView {
		mu.Lock()
		defer mu.Unlock()
		if known[lang] == nil {
			known[lang] = countryNames(lang)
		}
		return known[lang]
	}
}()

func countryNames(lang string) []countryView {
	tag := language.Make(lang)
	names := display.Regions(tag)
	var out []countryView
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string(a) + string(b)
			if !knownCountry(code) {
				continue
			}
			if name := names.Name(language.MustParseRegion(code)); name != "" {
				out = append(out, countryView{code, name})
			}
		}
	}
	order := collate.New(tag)
	slices.SortFunc(out, func(x, y countryView) int { return order.CompareString(x.Name, y.Name) })
	return out
}

// notCountries are what CLDR has names of and ISO 3166 has no country for: groups, and parts of countries.
var notCountries = []string{"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN"}

func knownCountry(code string) bool {
	region, err := language.ParseRegion(code)
	return err == nil && len(code) == 2 && region.IsCountry() && region.String() == code &&
		region.Canonicalize() == region && !slices.Contains(notCountries, code)
}

package mail

import (
	"fmt"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// Confirmation is the input of RenderConfirmation besides the Content, whose product, keys and attachments it ignores.
type Confirmation struct {
	Lines   []OrderLine
	Total   keyturn.Money
	Promise Promise
	By      time.Time // when the promise is kept at the latest
	Several Several
	Consent *Consent // nil: the customer was asked for none
	// Withdrawal says until when the customer may withdraw
	Withdrawal     Withdrawal
	WithdrawBefore time.Time // of WithdrawalOffered: the moment at which it ends
}

// units is how many units were ordered: at least one.
func (p Confirmation) units() (n int) {
	for _, l := range p.Lines {
		n += l.Quantity
	}
	return max(n, 1)
}

// OrderLine is a line of an order.
type OrderLine struct {
	Name        string
	Quantity    int
	Each, Price keyturn.Money
}

// Promise is what the customer was promised.
type Promise string

// The promises.
const (
	PromiseCharge Promise = "charge" // charged when the key is ready, or not at all
	PromisePaid   Promise = "paid"   // charged already: the key, or the money back
	PromiseFree   Promise = "free"   // nothing to pay
)

// Several says how an order of several lines is charged; empty of one line.
type Several string

// The ways in which several lines are charged.
const (
	SeveralTogether Several = "together" // what cannot be delivered is refunded
	SeveralReady    Several = "ready"    // what cannot be delivered is not charged
)

// Consent is what the customer agreed to, in its words.
type Consent struct {
	Text string
	At   time.Time
}

// Withdrawal says how a customer may withdraw from the contract.
type Withdrawal string

// The ways of a withdrawal.
const (
	WithdrawalUndelivered Withdrawal = "undelivered" // only from what is not delivered yet
	WithdrawalWaived      Withdrawal = "waived"      // the right ends with the delivery, to which the customer agreed
	WithdrawalOffered     Withdrawal = "offered"     // for some days
)

// RenderConfirmation renders the mail that an order was accepted: what was bought, what was promised, and what the
// customer agreed to, in the words of then. The error is KindInvalid: a wrong envelope.
func RenderConfirmation(c Content, p Confirmation) (Message, error) {
	w := wordsFor(c.Locale)
	o := w.orders
	f := newFrame(w, orderOnly(c))
	promise := fmt.Sprintf(map[Promise][2]string{
		PromiseCharge: o.promiseCharge, PromisePaid: o.promisePaid, PromiseFree: o.promiseFree,
	}[p.Promise][min(p.units()-1, 1)], w.Moment(p.By))
	if p.Promise == PromiseCharge {
		promise = joinNonEmpty(" ", promise, map[Several]string{
			SeveralTogether: o.severalTogether, SeveralReady: o.severalReady,
		}[p.Several])
	}
	f.Paragraphs = []string{o.confirmed, promise}
	for _, l := range p.Lines {
		value := w.Money(l.Price)
		if l.Quantity != 1 {
			value = fmt.Sprintf("%d × %s = %s", l.Quantity, w.Money(l.Each), w.Money(l.Price))
		}
		f.Rows = append(f.Rows, row{Label: oneLine(l.Name), Value: value})
	}
	f.Rows = append(f.Rows, row{Label: o.totalWithTax, Value: w.Money(p.Total)})
	if p.Consent != nil {
		f.Sections = append(f.Sections, section{
			Heading: fmt.Sprintf(o.consent, w.Moment(p.Consent.At)), Quote: oneLine(p.Consent.Text),
		})
	}
	right := o.withdrawUndelivered
	switch p.Withdrawal {
	case WithdrawalWaived:
		right = o.withdrawWaived
	case WithdrawalOffered:
		right = fmt.Sprintf(o.withdrawOffered, w.LastDay(p.WithdrawBefore))
	case WithdrawalUndelivered:
	}
	f.Sections = append(f.Sections, section{Heading: o.withdrawal, Text: right})
	return f.composeParagraphs(c.Envelope, fmt.Sprintf(o.confirmSubject, oneLine(c.OrderID)))
}

// Again is where the customer can buy the same once more, and until when; the zero value: nowhere.
type Again struct {
	URL   string
	Until time.Time
}

// RenderRefused renders the mail that a means of payment that takes time has refused: there is no order. The error is
// KindInvalid: a wrong envelope.
func RenderRefused(c Content, amount keyturn.Money, again Again) (Message, error) {
	w := wordsFor(c.Locale)
	o := w.orders
	f := newFrame(w, noOrder(c))
	f.Paragraphs = []string{fmt.Sprintf(o.refused, w.Money(amount))}
	if again.URL != "" {
		f.Button = w.payAgainButton(again)
	} else {
		f.Paragraphs = append(f.Paragraphs, o.askForLink)
	}
	return f.composeParagraphs(c.Envelope, o.refusedSubject)
}

func (w *words) payAgainButton(again Again) *button {
	return &button{
		Lead: fmt.Sprintf(w.orders.payAgain, w.Moment(again.Until)), Label: w.orders.payAgainButton, Link: oneLine(again.URL),
		Href: webURL(again.URL),
	}
}

// Ended is the input of RenderEnded besides the Content.
type Ended struct {
	Items    []string      // that were not delivered; none: the payment made no order
	Bought   []string      // what a payment was for that made no order
	Amount   keyturn.Money // what was paid, or authorized
	Returned bool          // it was taken and goes back; else it was never taken
	Reason   Reason
	Again    Again // on the page of the order
	PayAgain Again // by the same link, of a payment that made no order
}

// RenderEnded renders the mail that nothing comes of a payment: it was never taken, or all of it goes back. The error
// is KindInvalid: a wrong envelope.
func RenderEnded(c Content, e Ended) (Message, error) {
	w := wordsFor(c.Locale)
	o := w.orders
	orderID := oneLine(c.OrderID)
	f := newFrame(w, orderOnly(c))
	var happened, money, subject string
	switch {
	case len(e.Items) == 0:
		f = newFrame(w, noOrder(c))
		happened, subject = fmt.Sprintf(o.noOrder, w.Money(e.Amount), w.list(e.Bought)), o.noOrderSubject
	case e.Reason == ReasonWithdrawn:
		happened = fmt.Sprintf(w.withdrew, w.list(e.Items), orderID)
		subject = fmt.Sprintf(o.withdrawnSubject, orderID)
	default:
		happened = joinNonEmpty(" ", fmt.Sprintf(w.sorry, w.list(e.Items), orderID), w.reasons[e.Reason])
		subject = fmt.Sprintf(o.unchargedSubject, orderID)
	}
	if money = o.notCharged; e.Returned {
		money = fmt.Sprintf(o.goesBack, w.Money(e.Amount)) + " " + w.patience
		if len(e.Items) > 0 && e.Reason != ReasonWithdrawn {
			subject = fmt.Sprintf(w.canceledSubject, orderID)
		}
	}
	f.Paragraphs = []string{happened, money}
	if e.Again.URL != "" {
		f.Button = &button{
			Lead: fmt.Sprintf(o.orderAgain, w.LastDay(e.Again.Until)), Label: o.orderAgainButton, Link: oneLine(e.Again.URL),
			Href: webURL(e.Again.URL),
		}
		f.Page = "" // the button leads there
	}
	if e.PayAgain.URL != "" && len(e.Items) == 0 {
		f.Button = w.payAgainButton(e.PayAgain)
	}
	return f.composeParagraphs(c.Envelope, subject)
}

// RenderCorrected renders the mail that more was taken than the customer was told before, and goes back. The error is
// KindInvalid: a wrong envelope.
func RenderCorrected(c Content, amount keyturn.Money) (Message, error) {
	w := wordsFor(c.Locale)
	f := newFrame(w, orderOnly(c))
	f.Paragraphs = []string{w.orders.corrected, fmt.Sprintf(w.orders.goesBack, w.Money(amount)) + " " + w.patience}
	return f.composeParagraphs(c.Envelope, w.orders.correctedSubject)
}

// RenderOrderPage renders the mail that gives the address of the order's page once more. The error is KindInvalid: a
// wrong envelope.
func RenderOrderPage(c Content) (Message, error) {
	w := wordsFor(c.Locale)
	f := newFrame(w, orderOnly(c))
	f.Paragraphs = []string{w.orders.pageAsked, w.orders.pageSecret}
	return f.composeParagraphs(c.Envelope, fmt.Sprintf(w.orders.pageSubject, oneLine(c.OrderID)))
}

// RenderLibrary renders the mail with a link that shows once, until then, all that its address has bought. The error is
// KindInvalid: a wrong envelope.
func RenderLibrary(c Content, link string, until time.Time) (Message, error) {
	w := wordsFor(c.Locale)
	o := w.orders
	f := newFrame(w, noOrder(c))
	f.Paragraphs = []string{o.libraryAsked, o.libraryIgnore}
	f.Button = &button{
		Lead: fmt.Sprintf(o.libraryUse, w.Moment(until)), Label: o.libraryButton, Link: oneLine(link), Href: webURL(link),
	}
	return f.composeParagraphs(c.Envelope, fmt.Sprintf(o.librarySubject, f.Seller))
}

// RenderWithdrawal renders the mail that the customer's withdrawal has arrived, and when. revoked: keys that were
// delivered are taken back. The error is KindInvalid: a wrong envelope.
func RenderWithdrawal(c Content, at time.Time, revoked bool) (Message, error) {
	w := wordsFor(c.Locale)
	o := w.orders
	f := newFrame(w, orderOnly(c))
	f.Paragraphs = []string{fmt.Sprintf(o.withdrawn, oneLine(c.OrderID), w.Moment(at)), o.withdrawnNext}
	if revoked {
		f.Paragraphs = append(f.Paragraphs, o.withdrawnKeys)
	}
	return f.composeParagraphs(c.Envelope, fmt.Sprintf(o.withdrawalSubject, oneLine(c.OrderID)))
}

// orderOnly is the content of a mail about a whole order.
func orderOnly(c Content) Content {
	return Content{
		Envelope: c.Envelope, Shop: c.Shop, Locale: c.Locale, OrderID: c.OrderID, OrderedAt: c.OrderedAt,
		OrderPage: c.OrderPage, Customer: c.Customer,
	}
}

// noOrder is the content of a mail about a payment that made no order.
func noOrder(c Content) Content {
	return Content{Envelope: c.Envelope, Shop: c.Shop, Locale: c.Locale, Customer: c.Customer}
}

// list joins names as a sentence does.
func (w *words) list(names []string) string {
	clean := make([]string, len(names))
	for i, n := range names {
		clean[i] = oneLine(n)
	}
	if last := len(clean) - 1; last > 0 {
		return strings.Join(clean[:last], ", ") + " " + w.and + " " + clean[last]
	}
	return strings.Join(clean, "")
}

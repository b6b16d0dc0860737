package mail

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"keyturn.dev/keyturn"
)

// RenderKeys renders the mail that delivers the keys: a greeting, the merchant's text with its tags replaced, the
// order's details, the seller's name and the link to the order page, as plain text and as HTML. The same Template and
// Content give the same bytes. Keys appear byte for byte. If the template has no {KEY} the keys follow its text, so a
// mistake in the catalog costs nobody a paid key. The error is KindInvalid: a wrong envelope, or a key that no mail can
// carry.
func RenderKeys(t Template, c Content) (Message, error) {
	if err := checkDeliverable(c); err != nil {
		return Message{}, err
	}
	w := wordsFor(c.Locale)
	t = t.withDefaults(w, c)
	if !strings.Contains(t.Text, "{KEY}") {
		t.Text += "\n\n" + w.yourKey + "\n\n{KEY}"
	}
	if t.HTML != "" && !strings.Contains(t.HTML, "{KEY}") {
		t.HTML += "<p>" + w.yourKey + "</p><p>{KEY}</p>"
	}
	values := tagValues(w, c)
	html, err := merchantHTML(t, values, keyLines(c))
	if err != nil {
		return Message{}, keyturn.Errorf(keyturn.KindInternal, "the e-mail template does not render: %w", err)
	}
	f := newFrame(w, c)
	f.Text, f.HTML = expand(strings.TrimSpace(normalLines(t.Text)), values), html
	f.Face.Light = ownColors(t.HTML)
	for _, number := range c.TrackingNumbers {
		if number == oneLine(number) { // a block of several lines stands in the text alone
			f.Rows = append(f.Rows, row{Label: w.tracking, Value: joinNonEmpty(w.colon, oneLine(c.ProductName), number)})
		}
	}
	if len(c.Keys) > 0 {
		for _, link := range c.Links {
			f.Rows = append(f.Rows, row{Label: w.link, Value: oneLine(link), Href: webURL(link)})
		}
	}
	for _, a := range c.Attachments {
		f.Rows = append(f.Rows, row{Label: w.file, Value: fileName(a.Name)})
	}
	if f.Page != "" && len(html) > clipped {
		f.Notice = w.longMail
	}
	return f.compose(c.Envelope, expand(t.Subject, values), c.Attachments)
}

// RenderKeysOnPage renders the mail that leads to the order page in place of keys that no mail can carry. It contains
// no key and no attachment, whatever the Content holds. The error is KindInvalid: a wrong envelope, or no page.
func RenderKeysOnPage(c Content) (Message, error) {
	if c.OrderPage == "" {
		return Message{}, keyturn.Errorf(keyturn.KindInvalid, "the mail has no page to lead to")
	}
	w := wordsFor(c.Locale)
	c.Replaced = nil
	f := newFrame(w, c)
	f.Paragraphs = []string{fmt.Sprintf(w.onPage, oneLine(c.ProductName)), w.onPageWhy}
	f.Button = &button{Lead: w.orders.pageSecret, Label: w.onPageButton, Link: f.Page, Href: f.PageHref}
	f.Page = "" // the button leads there
	return f.composeParagraphs(c.Envelope, expand(w.subjectOf(c), tagValues(w, c)))
}

// clipped is how many bytes of HTML the merchant's part may have before mailboxes cut the mail off: Gmail shows the
// first 102 KB. The frame around it has less than 8.
const clipped = 92 << 10

// RenderCanceled renders the mail that a line could not be fulfilled, why, and what is refunded. It contains no key and
// no attachment, whatever the Content holds. The error is KindInvalid: a wrong envelope.
func RenderCanceled(c Content, why Cancellation) (Message, error) {
	w := wordsFor(c.Locale)
	subject, refund := w.canceledSubject, w.refund+" "+w.patience
	if why.Amount.Currency != "" {
		refund = fmt.Sprintf(w.refundAmount, w.Money(why.Amount)) + " " + w.patience
	}
	if why.Free {
		subject, refund = w.canceledFreeSubject, w.refundFree
	}
	if why.Uncharged {
		subject, refund = w.canceledFreeSubject, w.uncharged
	}
	orderID := oneLine(c.OrderID)
	happened := joinNonEmpty(" ", fmt.Sprintf(w.sorry, oneLine(c.ProductName), orderID), w.reasons[why.Reason])
	if why.Reason == ReasonWithdrawn {
		happened = fmt.Sprintf(w.withdrew, oneLine(c.ProductName), orderID)
		if subject = w.withdrawnSubject; why.Free || why.Uncharged {
			subject = w.orders.withdrawnSubject
		}
	}
	f := newFrame(w, c)
	f.Paragraphs = []string{happened, refund}
	return f.composeParagraphs(c.Envelope, fmt.Sprintf(subject, orderID))
}

// checkDeliverable reports whether a mail can carry the deliverable. A key that it rejects got in by mistake and must
// stop here, because a key that arrives changed looks like a used one to the customer.
func checkDeliverable(c Content) error {
	var bad keyturn.Problems
	for i, key := range c.Keys {
		at := "keys[" + strconv.Itoa(i) + "]"
		bad.Check(key != "" && utf8.RuneCountInString(key) <= keyturn.MaxKeyLength, at, "must have 1 to %d characters",
			keyturn.MaxKeyLength)
		bad.Check(utf8.ValidString(key) && !strings.ContainsAny(key, "\x00\r"), at, "must be UTF-8 in lines that end with LF")
	}
	return bad.Err("the mail cannot carry a key")
}

func normalLines(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

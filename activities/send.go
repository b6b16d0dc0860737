package activities

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/metrics"
)

// Sending asks for a stored e-mail to be sent.
type Sending struct {
	DeliveryID string `json:"deliveryId"`
}

// lookAgain is when a process that found another one sending an e-mail asks whether that is done.
const lookAgain = 2 * time.Second

// An e-mail with keys waits for the first attempt to send its order's confirmation. Whoever comes first makes it: the
// payment's workflow, or a line that has its keys. The other one waits inside the activity for so long, so that its
// line's history does not grow while the mail server is fast.
const (
	confirmTime = 1500 * time.Millisecond
	confirmLook = 50 * time.Millisecond // doubling
)

// pause waits, unless the activity is to end.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// sendTime is how long one attempt to send an e-mail may take, even if the activity's own time is over sooner: an
// e-mail whose sending is broken off may be on its way, and would follow a second time. It is shorter than the lease on
// the e-mail.
const sendTime = 30 * time.Second

// SendEmail sends the line's keys to the customer: the e-mail is rendered and stored once, and sent again byte for byte
// until the mail server takes it. One that takes longer than the activity may is not broken off: it comes to its end
// and is booked, and the activity's next attempt finds it under way, or sent.
func (a *Activities) SendEmail(ctx context.Context, in Step) (keyturn.Next, error) {
	delivery, next, wait, err := a.beginDelivery(ctx, in.FulfillmentID)
	if wait > 0 { // mostly the other one is done at once; a dead one is waited out, a look at a time
		return next, asTemporal(err, min(wait, lookAgain))
	}
	if err != nil || delivery == nil {
		return a.answer(in, keyturn.DoDeliver, next, err)
	}
	a.underWay.Add(1)
	defer a.underWay.Done()
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
	defer cancel()
	var failed *db.StepFailure
	exposed := false
	if err := a.post(sendCtx, delivery.Message); err != nil {
		exposed = mail.Ambiguous(err)
		failed = stepFailure(keyturn.KindOf(err), "the e-mail did not go out: "+messageOf(err))
		a.Logger.Warn("an e-mail did not go out", "deliveryId", delivery.ID, "kind", string(keyturn.KindOf(err)), "error",
			err)
	}
	next, err = booked(ctx, func(ctx context.Context) (keyturn.Next, error) {
		return a.DB.FinishDelivery(ctx, in.FulfillmentID, delivery, failed, exposed)
	})
	return a.answer(in, keyturn.DoDeliver, next, err)
}

// beginDelivery takes the lease on the line's e-mail, after its order's confirmation was sent.
func (a *Activities) beginDelivery(ctx context.Context, fulfillmentID string) (*db.Delivery, keyturn.Next,
	time.Duration, error,
) {
	end := time.Now().Add(confirmTime)
	for look := confirmLook; ; look *= 2 {
		delivery, next, wait, err := a.DB.BeginDelivery(ctx, fulfillmentID, a.Letters.Render)
		first, ok := errors.AsType[*db.ConfirmationFirst](err)
		if !ok || time.Now().After(end) {
			return delivery, next, wait, err
		}
		if tried, _, _ := a.sendPaymentEmail(ctx, first.PaymentID); !tried && !pause(ctx, look) {
			return delivery, next, wait, err
		}
	}
}

// Wait waits until every e-mail under way was sent and every capture made, and booked, for a process that stops:
// Temporal does not wait for a local activity that took too long.
func (a *Activities) Wait() { a.underWay.Wait() }

// SendFollowUpEmail sends a stored e-mail that is not a line's first: keys once more, new keys, or the news of a
// refund.
func (a *Activities) SendFollowUpEmail(ctx context.Context, in Sending) error {
	delivery, wait, err := a.DB.BeginSend(ctx, in.DeliveryID)
	if wait > 0 { // waited out at once: each look is an attempt, after many of which the next waits for an hour
		return asTemporal(err, wait)
	}
	if err != nil || delivery == nil {
		return asTemporal(err, 0)
	}
	sent := a.post(ctx, delivery.Message)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := a.DB.FinishSend(ctx, delivery, sent); err != nil {
		return asTemporal(err, 0)
	}
	if sent != nil {
		return asTemporal(keyturn.Errorf(keyturn.KindUnavailable, "the e-mail did not go out: %s", sent.Error()), 0)
	}
	return nil
}

// post hands stored bytes to the mail server.
func (a *Activities) post(ctx context.Context, stored []byte) error {
	var message mail.Message
	if err := message.UnmarshalBinary(stored); err != nil {
		return err
	}
	err := a.Mail.Send(ctx, message)
	metrics.Email(err)
	return err
}

// Letters renders e-mails.
type Letters struct {
	From       string       // bare address of the sender
	Bounces    string       // bare address for reports about e-mails, each with a tag of its own; empty: none
	Refs       bool         // e-mails name their reference in a header, for reports
	Signer     *mail.Signer // signs them; nil: nobody does
	SenderName string       // of a shop whose settings have no name
	PublicURL  string       // of our pages, without a trailing slash
}

// Render makes the e-mail of a delivery, as it is stored.
func (l Letters) Render(f db.MailFacts) ([]byte, error) {
	message, err := l.message(f)
	if err != nil {
		return nil, err
	}
	return l.sealed(message)
}

// sealed is a message as it is stored: signed, if somebody signs.
func (l Letters) sealed(m mail.Message) ([]byte, error) {
	m, err := l.Signer.Sign(m)
	if err != nil {
		return nil, err
	}
	return m.MarshalBinary()
}

func (l Letters) message(f db.MailFacts) (mail.Message, error) {
	c := l.content(f)
	switch {
	case f.Kind == keyturn.DeliveryCanceled:
		return mail.RenderCanceled(c, mail.Cancellation{
			Uncharged: f.Uncharged,
			Amount:    f.Price, Free: f.Price.Minor == 0,
			Reason: reasonOf(f.EndedBy, f.FailureKind),
		})
	case f.Kind == keyturn.DeliveryAddressChanged:
		return mail.RenderAddressChanged(c, db.MaskAddress(f.Order.Customer.Email))
	case f.ByPage:
		return mail.RenderKeysOnPage(c)
	case f.Line.LicenseID != "" && f.Deliverables.Empty():
		return mail.RenderNotice(c, mail.Notice{Operation: f.Line.Operation})
	}
	return mail.RenderKeys(mail.Template(f.Product.Email.In(c.Locale)), c)
}

// tagged has reports about an e-mail come to an address of its own, and gives it its reference.
func (l Letters) tagged(e mail.Envelope, ref string) mail.Envelope {
	if ref == "" {
		return e
	}
	if local, domain, ok := strings.Cut(l.Bounces, "@"); ok {
		e.ReturnPath = local + "+" + ref + "@" + domain
	}
	if l.Refs {
		e.Ref = ref
	}
	return e
}

func (l Letters) content(f db.MailFacts) mail.Content {
	customer := f.Order.Customer
	c := mail.Content{
		Envelope: l.tagged(l.envelope(f.Shop, f.DeliveryID, f.To, f.Now), f.Ref), Shop: l.shop(f.Shop),
		Locale: customer.Locale, OrderID: f.Order.ID, OrderedAt: f.AcceptedAt, OrderPage: l.orderPage(f.PageToken),
		ProductID: f.Product.ID, ProductName: f.Product.Name, ProductShort: f.Product.ShortName, Quantity: f.Line.Quantity,
		UnitPrice:  unitPrice(f),
		TotalPrice: f.Price, ValidUntil: f.Line.ExpiresAt, LicenseFor: licensee(customer.Licensee),
		AdditionalInfo: customer.AdditionalInfo,
		Customer: mail.Customer{
			FirstName: customer.FirstName, LastName: customer.LastName, Email: customer.Email, Phone: customer.Phone,
			Company: customer.CompanyName,
			Country: customer.Country, City: customer.City, Zip: customer.ZipCode, Address: customer.Street,
		},
		InstructionsURL: f.Product.URLToInstructions, DownloadURL: f.Product.URLToDownload,
	}
	var parent []string
	for _, code := range f.ParentKeys {
		parent = append(parent, code.Reveal())
	}
	c.ParentKey = strings.Join(parent, ", ")
	for _, code := range f.Deliverables.Codes {
		c.Keys = append(c.Keys, code.Reveal())
	}
	if f.Deliverables.Tracked {
		c.TrackingNumbers = c.Keys
	}
	for _, code := range f.Deliverables.Replaced {
		c.Replaced = append(c.Replaced, code.Reveal())
	}
	c.Links = append(c.Links, f.Deliverables.Links...)
	for _, file := range f.Deliverables.Files {
		c.Attachments = append(c.Attachments, mail.Attachment{
			Name: file.Name, ContentType: file.ContentType,
			Data: file.Data,
		})
	}
	return c
}

// unitPrice is what one unit was sold for: as the checkout link said, or the line's price divided, to the nearest.
func unitPrice(f db.MailFacts) keyturn.Money {
	if f.Line.SoldAs != nil {
		if each, err := keyturn.ParseMoney(f.Line.SoldAs.UnitPrice, f.Price.Currency); err == nil {
			return each
		}
	}
	n := int64(f.Line.Quantity)
	return keyturn.Money{Minor: (f.Price.Minor + n/2) / n, Currency: f.Price.Currency}
}

// licensee is who owns what was bought, on one line; empty: the customer.
func licensee(who keyturn.Licensee) string {
	name := strings.TrimSpace(who.FirstName + " " + who.LastName)
	return strings.Join(slices.DeleteFunc([]string{name, who.Email, who.Phone, who.CompanyName}, func(s string) bool {
		return strings.TrimSpace(s) == ""
	}), ", ")
}

// reasonOf is how a customer is told why something is cancelled.
func reasonOf(cause db.CancelCause, failure keyturn.Kind) mail.Reason {
	switch cause {
	case db.CancelAsked:
		return mail.ReasonRequested
	case db.CancelWithdrawn:
		return mail.ReasonWithdrawn
	case db.CancelPayment:
		return mail.ReasonPayment
	case db.CancelOthers:
		return mail.ReasonOthers
	case db.CancelFailed:
	}
	switch failure { //nolint:exhaustive // the others have no words of their own
	case keyturn.KindOutOfStock:
		return mail.ReasonOutOfStock
	case keyturn.KindRejected, keyturn.KindUnavailable, keyturn.KindBadReply, keyturn.KindRateLimited,
		keyturn.KindDuplicateKey:
		return mail.ReasonSupplier
	}
	return mail.ReasonOther
}

func domainOf(address string) string {
	for i := len(address) - 1; i >= 0; i-- {
		if address[i] == '@' {
			return address[i+1:]
		}
	}
	return "keyturn.invalid"
}

package activities

import (
	"cmp"
	"context"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
)

// SendPaymentEmail sends the payment's oldest e-mail that is due: rendered and stored once, and sent again byte for
// byte. One attempt: what does not go out is the workflow's to try again, which has more to do meanwhile.
func (a *Activities) SendPaymentEmail(ctx context.Context, in PaymentStep) (keyturn.PaymentNext, error) {
	_, next, err := a.sendPaymentEmail(ctx, in.PaymentID)
	return next, asTemporal(err, 0)
}

// sendPaymentEmail is SendPaymentEmail; tried is false where nothing was due, or another process sends it.
func (a *Activities) sendPaymentEmail(ctx context.Context, paymentID string) (tried bool, next keyturn.PaymentNext,
	err error,
) {
	due, next, err := a.DB.BeginPaymentMail(ctx, paymentID, a.Letters.RenderPayment)
	if err != nil || due == nil {
		return false, next, err
	}
	a.underWay.Add(1)
	defer a.underWay.Done()
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
	defer cancel()
	sent := a.post(sendCtx, due.Message)
	if sent != nil {
		a.Logger.Warn("an e-mail about a payment did not go out", "paymentId", paymentID, "deliveryId", due.ID, "kind",
			string(keyturn.KindOf(sent)), "error", sent)
	}
	next, err = booked(ctx, func(ctx context.Context) (keyturn.PaymentNext, error) {
		return a.DB.FinishPaymentMail(ctx, paymentID, due, sent)
	})
	return true, next, err
}

// RenderPayment makes an e-mail about a payment, as it is stored.
func (l Letters) RenderPayment(f db.PaymentMailFacts) ([]byte, error) {
	message, err := l.paymentMessage(f)
	if err != nil {
		return nil, err
	}
	return l.sealed(message)
}

func (l Letters) paymentMessage(f db.PaymentMailFacts) (mail.Message, error) {
	customer := f.Snapshot.Customer
	c := mail.Content{
		Envelope: l.tagged(l.envelope(f.Shop, f.ID, f.To, f.Now), f.Ref), Shop: l.shop(f.Shop), Locale: customer.Locale,
		OrderID: f.OrderID, OrderedAt: f.OrderedAt,
		Customer: mail.Customer{FirstName: customer.FirstName, LastName: customer.LastName},
	}
	if f.PageToken != "" {
		c.OrderPage = l.orderPage(f.PageToken)
	}
	switch f.Kind {
	case keyturn.MailRefused:
		return mail.RenderRefused(c, f.Total, l.payAgain(f))
	case keyturn.MailEnded:
		e := mail.Ended{Items: f.Items, Amount: f.Paid, Returned: f.Returned, Reason: reasonOf(f.EndedBy, f.FailedBy)}
		if f.OrderID == "" {
			e.Bought, e.PayAgain = namesOf(f.Snapshot.Lines), l.payAgain(f)
		}
		if f.AgainUntil != nil {
			e.Again = mail.Again{URL: c.OrderPage, Until: *f.AgainUntil}
		}
		return mail.RenderEnded(c, e)
	case keyturn.MailCorrected:
		return mail.RenderCorrected(c, f.Paid)
	case keyturn.MailOrderPage:
		return mail.RenderOrderPage(c)
	case keyturn.MailAddressChanged:
		return mail.RenderAddressChanged(c, db.MaskAddress(f.NewAddress))
	case keyturn.MailWithdrawal:
		return mail.RenderWithdrawal(c, f.AskedAt, f.WithdrawBefore != nil)
	case keyturn.MailConfirmation:
	}
	return mail.RenderConfirmation(c, confirmation(f))
}

func namesOf(lines []db.SnapshotLine) (names []string) {
	for _, line := range lines {
		names = append(names, line.SoldAs.Name)
	}
	return names
}

func (l Letters) payAgain(f db.PaymentMailFacts) mail.Again {
	if f.OpenUntil == nil {
		return mail.Again{}
	}
	return mail.Again{URL: l.PublicURL + "/c/" + f.LinkToken, Until: *f.OpenUntil}
}

func confirmation(f db.PaymentMailFacts) mail.Confirmation {
	out := mail.Confirmation{
		Total: f.Total, By: f.DeliverBy, Promise: mail.PromiseCharge,
	}
	switch {
	case f.Total.Minor == 0:
		out.Promise = mail.PromiseFree
	case f.AtOnce:
		out.Promise = mail.PromisePaid
	}
	for _, line := range f.Snapshot.Lines {
		price, _ := keyturn.ParseMoney(line.GrossPrice, f.Total.Currency)
		each, _ := keyturn.ParseMoney(line.SoldAs.UnitPrice, f.Total.Currency)
		out.Lines = append(out.Lines, mail.OrderLine{
			Name: line.SoldAs.Name, Quantity: line.Quantity, Each: each, Price: price,
		})
	}
	if len(out.Lines) > 1 {
		out.Several = mail.SeveralTogether
		if f.Mixed == keyturn.MixedChargeReady {
			out.Several = mail.SeveralReady
		}
	}
	if consent := f.Snapshot.Consent; consent != nil {
		out.Consent = &mail.Consent{Text: consent.Text, At: consent.At}
	}
	switch {
	case f.WithdrawBefore != nil:
		out.Withdrawal, out.WithdrawBefore = mail.WithdrawalOffered, *f.WithdrawBefore
	case f.Snapshot.Consent != nil:
		out.Withdrawal = mail.WithdrawalWaived
	}
	return out
}

func (l Letters) orderPage(token string) string { return l.PublicURL + "/o/" + token }

// envelope is that of the stored e-mail with this ID. Answers go where the shop says, or to whom customers ask.
func (l Letters) envelope(s keyturn.Shop, id, to string, now time.Time) mail.Envelope {
	e := mail.Envelope{
		From: l.From, SenderName: cmp.Or(s.Name, l.SenderName), ReplyTo: s.ReplyTo, To: to, Date: now,
		MessageID: id + "@" + domainOf(l.From),
	}
	if e.ReplyTo == "" && mail.CheckAddress(s.Legal.Contact) == nil {
		e.ReplyTo = s.Legal.Contact
	}
	return e
}

// shop is how the merchant appears in e-mails. Outlook shows no WebP.
func (l Letters) shop(s keyturn.Shop) mail.Shop {
	out := mail.Shop{
		Color: s.Color, Seller: s.Legal.Seller, Contact: s.Legal.Contact, Terms: s.Legal.Terms, Privacy: s.Legal.Privacy,
		Imprint: s.Legal.Imprint,
	}
	if s.Logo.SHA256 != "" && s.Logo.Type != "image/webp" {
		out.Logo = mail.Logo{URL: l.PublicURL + "/images/" + s.Logo.SHA256, Width: s.Logo.Width, Height: s.Logo.Height}
	}
	return out
}

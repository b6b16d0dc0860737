package activities

import (
	"fmt"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
)

// Sample is an e-mail to a customer that is to be made of invented data, in the shop's face and a product's words.
type Sample struct {
	Kind    string // of keyturn.SampleKinds
	Product keyturn.Product
	Shop    keyturn.Shop
	Locale  string
	To      string
	ID      string // in its Message-ID, where it is no delivery's
	Now     time.Time
}

// sampleQuantity is how many units were bought.
const sampleQuantity = 2

// SampleProduct is what a sample is about unless it names a product.
func SampleProduct() keyturn.Product {
	return keyturn.Product{
		ID: "sample", Name: "Orbit Editor Professional", ShortName: "Orbit Editor",
		URLToInstructions: "https://shop.example/install", URLToDownload: "https://shop.example/download",
	}.WithDefaults()
}

// RenderSample makes an e-mail of invented data. The error is KindInvalid.
func (l Letters) RenderSample(s Sample) (mail.Message, error) {
	m, err := l.sample(s)
	if err != nil {
		return mail.Message{}, err
	}
	return l.Signer.Sign(m)
}

func (l Letters) sample(s Sample) (mail.Message, error) {
	customer := keyturn.Customer{
		ID: "sample", Email: s.To, Country: "FR", Locale: s.Locale, FirstName: "Jean", LastName: "Dupont",
		CompanyName: "Dupont SARL", Street: "1 rue de la Paix", City: "Paris", ZipCode: "75001", Phone: "+33 1 23 45 67 89",
		AdditionalInfo: "What the customer filled in",
		Licensee:       keyturn.Licensee{FirstName: "Ada", LastName: "Martin", Email: "ada@buyer.example"},
	}
	each := keyturn.Money{Minor: 4990, Currency: "EUR"}
	total := keyturn.Money{Minor: sampleQuantity * each.Minor, Currency: each.Currency}
	if s.Kind == keyturn.SampleLibrary {
		return l.libraryMessage(db.LibraryMailFacts{
			ID: s.ID, Now: s.Now, Customer: customer, Token: "sample", ExpiresAt: s.Now.Add(15 * time.Minute), Shop: s.Shop,
		})
	}
	if kind := keyturn.PaymentMailKind(s.Kind); s.Kind != keyturn.SampleKeys && s.Kind != keyturn.SampleCanceled &&
		s.Kind != keyturn.SampleNotice && s.Kind != keyturn.SampleAddressChanged {
		return l.paymentMessage(s.payment(kind, customer, each, total))
	}
	f := db.MailFacts{
		Kind: keyturn.DeliveryKeys, DeliveryID: s.ID, AcceptedAt: s.Now, Product: s.Product, Shop: s.Shop,
		Order: keyturn.Order{ID: "ORD-2026-000123", Currency: total.Currency, Customer: customer},
		Line:  keyturn.LineItem{ProductID: s.Product.ID, Quantity: sampleQuantity, Operation: keyturn.OpCreate},
		Price: total, PageToken: "sample", Now: s.Now, To: s.To,
	}
	switch s.Kind {
	case keyturn.SampleCanceled:
		f.Kind, f.EndedBy, f.FailureKind = keyturn.DeliveryCanceled, db.CancelFailed, keyturn.KindOutOfStock
	case keyturn.SampleAddressChanged:
		f.Kind = keyturn.DeliveryAddressChanged
	case keyturn.SampleNotice:
		ends := s.Now.AddDate(1, 0, 0)
		f.Line.Operation, f.Line.LicenseID, f.Line.ExpiresAt = keyturn.OpRenew, "sample", &ends
	default:
		for i := range s.Product.Units(sampleQuantity) {
			code := fmt.Sprintf("SAMPLE-%04d-NOT-A-REAL-KEY", i+1)
			f.Deliverables.Codes = append(f.Deliverables.Codes, keyturn.Secret(code))
		}
		f.ParentKeys = []keyturn.Secret{"SAMPLE-0000-NOT-A-REAL-KEY"}
	}
	return l.message(f)
}

// payment are the facts of an e-mail about a payment.
func (s Sample) payment(kind keyturn.PaymentMailKind, customer keyturn.Customer, each,
	total keyturn.Money,
) db.PaymentMailFacts {
	week := s.Now.AddDate(0, 0, 7)
	f := db.PaymentMailFacts{
		ID: s.ID, Kind: kind, AskedAt: s.Now, Now: s.Now, Total: total, Paid: total, Shop: s.Shop, LinkToken: "sample",
		To: s.To,
		Snapshot: db.PaymentSnapshot{Customer: customer, Lines: []db.SnapshotLine{{
			LineItem: keyturn.LineItem{Quantity: sampleQuantity, GrossPrice: total.String()},
			SoldAs:   &keyturn.SoldAs{Name: s.Product.Name, UnitPrice: each.String()},
		}}},
		DeliverBy: s.Now.AddDate(0, 0, 3), Items: []string{s.Product.Name}, EndedBy: db.CancelFailed,
		FailedBy: keyturn.KindOutOfStock, OpenUntil: &week, AgainUntil: &week,
	}
	if kind != keyturn.MailRefused {
		f.OrderID, f.OrderedAt, f.PageToken = "ORD-2026-000123", s.Now, "sample"
	}
	if s.Shop.WithDefaults().Checkout.Withdrawal == keyturn.WithdrawalOffered {
		ends := s.Now.AddDate(0, 0, 14)
		f.WithdrawBefore = &ends
	}
	return f
}

// Probe makes an e-mail to an address that does not exist, which is to come back.
func (l Letters) Probe(p db.MailProbe, to string, now time.Time) (mail.Message, error) {
	e := l.tagged(l.envelope(keyturn.Shop{}, p.ID, to, now), p.Ref)
	m, err := mail.RenderAlert(mail.Alert{Envelope: e, Subject: "A probe of keyturn doctor: this address does not exist"})
	if err != nil {
		return mail.Message{}, err
	}
	return l.Signer.Sign(m)
}

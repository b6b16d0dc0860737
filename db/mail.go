package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

// MailFacts is everything an e-mail about a line is made of. It holds personal data and keys.
type MailFacts struct {
	Kind         keyturn.DeliveryKind
	DeliveryID   string
	Ref          string        // what the e-mail is called in its envelope
	Order        keyturn.Order // without lines
	AcceptedAt   time.Time
	Line         keyturn.LineItem
	Price        keyturn.Money
	Product      keyturn.Product
	Shop         keyturn.Shop
	Deliverables Deliverables
	// of an operation on a licence: the keys that it had before, if the product's e-mail prints them
	ParentKeys  []keyturn.Secret
	PageToken   string
	Now         time.Time
	To          string       // the order's address, or the one that a resend names
	EndedBy     CancelCause  // of a cancelled line
	FailureKind keyturn.Kind // of CancelFailed
	Uncharged   bool         // of a cancelled line whose payment was authorized and never taken
	ByPage      bool         // no e-mail can carry the keys: it leads to the order page, which shows them
}

// RenderMail makes the bytes of an e-mail. KindInvalid and KindConfiguration when it cannot be made of these facts.
type RenderMail func(MailFacts) ([]byte, error)

// cannotBeMade is the error of a key that no e-mail can carry.
func cannotBeMade(err error) bool {
	kind := keyturn.KindOf(err)
	return kind == keyturn.KindInvalid || kind == keyturn.KindConfiguration
}

// newMail says what e-mail is to be made.
type newMail struct {
	kind   keyturn.DeliveryKind
	to     string        // empty: the order's address
	have   *Deliverables // nil: read them
	parent []keyturn.Secret
	cause  CancelCause  // of a cancelled line
	why    keyturn.Kind // of CancelFailed
	// of a cancelled line: its payment was authorized and never taken
	uncharged bool
	render    RenderMail
}

// newDelivery renders an e-mail about a locked line and stores its bytes, ready to be sent. Nobody can have seen the
// keys of an e-mail before a process has taken the lease on sending it.
func (d *DB) newDelivery(ctx context.Context, tx *sqlx.Tx, l *line, m newMail) (*Delivery, error) {
	if err := d.completeMail(ctx, tx, l, &m); err != nil {
		return nil, err
	}
	return d.storeDelivery(ctx, tx, l, m)
}

// completeMail reads what an e-mail with keys is to show and its caller does not have in its hands.
func (d *DB) completeMail(ctx context.Context, tx *sqlx.Tx, l *line, m *newMail) error {
	if m.kind != keyturn.DeliveryKeys {
		return nil
	}
	if m.have == nil {
		have, err := d.deliverables(ctx, tx, l.ID, l.CustomerID)
		if err != nil {
			return err
		}
		m.have = &have
	}
	if l.LicenseID == nil || !l.product.Email.PrintsParentKey() {
		return nil
	}
	before, err := d.licenseParts(ctx, tx, *l.LicenseID, l.CustomerID, l.ID)
	if err != nil {
		return err
	}
	parent, err := assemble(before)
	m.parent = parent.Codes
	return err
}

// storeDelivery renders a complete e-mail and stores it, in one statement. KindConflict when the line has another
// version by now.
func (d *DB) storeDelivery(ctx context.Context, q pg.Queryer, l *line, m newMail) (*Delivery, error) {
	var w pg.StmtBuilder
	w.With("moved", `SELECT id FROM line_items WHERE id = ? AND version = ? FOR UPDATE`, l.ID, l.Version)
	out, err := d.appendDelivery(&w, l, m)
	if err != nil {
		return nil, err
	}
	var stored []string
	if err := w.Select(ctx, q, &stored, `SELECT id FROM moved`); err != nil {
		return nil, err
	}
	if len(stored) != 1 {
		return nil, errLineChanged()
	}
	return out, nil
}

// appendDelivery renders a complete e-mail and appends that it is stored. It appends nothing when it returns an error.
func (d *DB) appendDelivery(w *pg.StmtBuilder, l *line, m newMail) (*Delivery, error) {
	c, dk, err := d.customer(l)
	if err != nil {
		return nil, err
	}
	f, err := d.mailFacts(l, c, m.kind)
	if err != nil {
		return nil, err
	}
	f.EndedBy, f.FailureKind, f.ParentKeys, f.Uncharged = m.cause, m.why, m.parent, m.uncharged
	if m.to != "" {
		f.To = m.to
	}
	if m.have != nil {
		f.Deliverables = *m.have
	}
	message, err := m.render(f)
	if cannotBeMade(err) && m.kind == keyturn.DeliveryKeys && !l.isNotice() &&
		l.product.PageKeys != keyturn.PageKeysNever {
		f.ByPage = true
		if message, byPageErr := m.render(f); byPageErr == nil {
			return d.appendMessage(w, f, dk, message)
		}
	}
	if err != nil {
		return nil, err
	}
	return d.appendMessage(w, f, dk, message)
}

func (d *DB) appendMessage(w *pg.StmtBuilder, f MailFacts, dk vault.DataKey, message []byte) (*Delivery, error) {
	sealed, err := dk.Seal(message, "deliveries/"+f.DeliveryID)
	if err != nil {
		return nil, err
	}
	w.With("mailed", `
		INSERT INTO deliveries (id, line_id, number, kind, message, status, by_page)
		SELECT ?, id, 1 + coalesce((SELECT max(number) FROM deliveries d WHERE d.line_id = moved.id), 0), ?, ?, 'READY', ?
		FROM moved`,
		f.DeliveryID, f.Kind, sealed, f.ByPage)
	return &Delivery{ID: f.DeliveryID, Message: message, try: 1}, nil
}

func (d *DB) mailFacts(l *line, c storedCustomer, kind keyturn.DeliveryKind) (MailFacts, error) {
	shop, err := shopFrom(l.ShopSpec)
	id := newID()
	return MailFacts{
		Kind: kind, DeliveryID: id, Ref: d.MailRef(id), AcceptedAt: l.CreatedAt, Product: l.product, Shop: shop, Now: l.Now,
		To:    c.Email,
		Order: keyturn.Order{ID: l.OrderID, Currency: l.Currency, Customer: c.Customer},
		Line: keyturn.LineItem{
			ID: l.ID, FulfillmentID: l.FulfillmentID, ProductID: l.ProductID, Quantity: l.Quantity,
			Operation: keyturn.OperationName(l.Operation),
			LicenseID: value(l.LicenseID), ExpiresAt: l.ExpiresAt, SoldAs: l.sold,
		},
		Price: keyturn.Money{Minor: l.GrossMinor, Currency: l.Currency}, PageToken: d.PageToken(l.OrderID),
	}, err
}

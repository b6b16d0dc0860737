package db

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

// CheckoutPage is a checkout link as whoever has its address sees it.
type CheckoutPage struct {
	LinkID    string
	Status    keyturn.LinkStatus
	Version   int // of the draft: what is sent with another one was chosen on an older page
	Locale    string
	Currency  string
	Lines     []CheckoutPageLine
	Total     keyturn.Money
	OnVisit   []keyturn.LinkOffer      // those that can still be accepted
	OnLeave   []keyturn.LinkOffer      // none once the customer has accepted one
	Images    map[string]keyturn.Image // of lines and offers, by product
	Customer  keyturn.Customer         // what the page is filled in with
	ReturnURL string
	CancelURL string
	Provider  string
	Capture   keyturn.CaptureWhen
	Mixed     keyturn.MixedCapture
	ExpiresAt time.Time
	EndedAt   *time.Time
	Now       time.Time     // the database's clock
	Promise   time.Duration // within which the customer has what was bought, or is not charged
	Left      int           // how often a payment may still be begun

	Payment *CheckoutPayment // the last one
	OrderID string           // of a used link
	Ending  bool             // its order was withdrawn from or cancelled

	takes map[string]int // units by pool that the lines would take
}

// CheckoutPageLine is a line of the page.
type CheckoutPageLine struct {
	keyturn.LinkLine

	OfferID     string // the offer that replaced it, which can be undone
	Product     keyturn.Product
	Price       keyturn.Money
	Sellability keyturn.LineSellability
}

// CheckoutPayment is the last payment of the page's link.
type CheckoutPayment struct {
	ID         string
	Status     keyturn.PaymentStatus
	SessionURL string // where the customer goes on paying; empty while it is not known
	PayUntil   time.Time
	CaptureBy  *time.Time
}

// CheckoutPage gives the page behind an unguessable address. KindNotFound for an unknown one, and for a link whose
// customer was erased.
func (d *DB) CheckoutPage(ctx context.Context, token string) (CheckoutPage, error) {
	v, err := d.visit(ctx, token)
	if err != nil {
		return CheckoutPage{}, err
	}
	return d.checkoutPage(ctx, v)
}

// visited is a link as it is read for its page.
type visited struct {
	row   linkRow
	link  linkSpec
	draft linkDraft
	dk    vault.DataKey
}

func (d *DB) visit(ctx context.Context, token string) (v visited, err error) {
	if v.row, err = d.linkWhere(ctx, d.pg, `k.page_hash = $1`, pageHash(token)); err != nil {
		return v, err
	}
	v.link, v.draft, v.dk, err = d.openSpec(v.row)
	if keyturn.KindOf(err) == keyturn.KindErased {
		err = keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
	}
	return v, err
}

func (d *DB) checkoutPage(ctx context.Context, v visited) (CheckoutPage, error) {
	row, link, draft, dk := v.row, v.link, v.draft, v.dk
	lines, offers := draft.chosen(link.CheckoutLink)
	p := CheckoutPage{
		LinkID: row.ID, Status: row.statusNow(), Version: row.Version, Locale: link.Locale, Currency: row.Currency,
		Total: total(row.Currency, lines), Customer: link.Customer, ReturnURL: link.ReturnURL, CancelURL: link.CancelURL,
		Provider: row.Provider, Capture: link.Capture, Mixed: link.Mixed, ExpiresAt: row.ExpiresAt.UTC(),
		EndedAt: utc(row.EndedAt), Now: row.Now.UTC(), Left: row.PaymentsMost - row.PaymentsBegun,
	}
	if p.Status == keyturn.LinkUsed {
		p.OrderID = row.OrderID
		//keyturn:autocommit it reads
		if err := d.pg.GetContext(ctx, &p.Ending, `
			SELECT o.cancel_reason IS NOT NULL OR o.status = 'CANCELED' OR EXISTS (SELECT FROM payment_mails m
				WHERE m.payment_id = o.payment_id AND m.kind = 'withdrawal')
			FROM orders o WHERE o.id = $1`, row.OrderID); err != nil {
			return p, pg.AsKind(err)
		}
	}
	open := func(some []keyturn.LinkOffer) (out []keyturn.LinkOffer) {
		for _, o := range some {
			if !slices.Contains(draft.Declined, o.ID) && draft.Accepted[o.Replaces] == "" {
				out = append(out, o)
			}
		}
		return out
	}
	p.OnVisit = open(link.Offers.OnVisit)
	if len(draft.Accepted) == 0 {
		p.OnLeave = open(link.Offers.OnLeave)
	}
	known, err := d.readAcceptContext(ctx, AcceptInput{Order: linkProducts(link.CheckoutLink)})
	if err != nil {
		return p, err
	}
	products := map[string]keyturn.Product{}
	p.Images = map[string]keyturn.Image{}
	for i, id := range known.ProductIDs {
		product, err := readStored(id, known.Specs[i])
		if err != nil {
			return p, err
		}
		products[id] = link.promised(id, product)
		p.Images[id] = product.Image
	}
	sellability, takes, err := d.linkSellability(ctx, lines, row.Currency, products, known)
	if err != nil {
		return p, err
	}
	p.takes = takes
	for i, l := range lines {
		p.Lines = append(p.Lines, CheckoutPageLine{
			LinkLine: l, OfferID: offers[i], Product: products[l.ProductID], Price: l.Price(row.Currency, l.Quantity.Value),
			Sellability: sellability[i],
		})
		p.Promise = max(p.Promise, time.Duration(products[l.ProductID].WithDefaults().Retry.GiveUpAfter))
	}
	payments, err := d.lastPayment(ctx, row.ID)
	if err != nil || payments == nil {
		return p, err
	}
	p.Payment = &CheckoutPayment{
		ID: payments.ID, Status: payments.Status, PayUntil: payments.PayUntil.UTC(), CaptureBy: utc(payments.CaptureBy),
	}
	if len(payments.SessionURL) > 0 && payments.Status == keyturn.PaymentOpen {
		address, err := dk.Open(payments.SessionURL, "payments/"+payments.ID+"/url")
		if err != nil {
			return p, err
		}
		p.Payment.SessionURL = string(address)
	}
	return p, nil
}

// lastPayment is the payment of a link that was begun last; nil if there is none.
func (d *DB) lastPayment(ctx context.Context, linkID string) (*payment, error) {
	p, err := scanPayment(ctx, d.pg, `p.link_id = $1 ORDER BY p.number DESC LIMIT 1`, linkID)
	if keyturn.KindOf(err) == keyturn.KindNotFound {
		return nil, nil //nolint:nilnil // none is no error
	}
	return p, err
}

// PayableOf gives the payment of a link that a customer may be paying at this moment; empty if there is none.
func (d *DB) PayableOf(ctx context.Context, linkID string) (string, error) {
	var ids []string
	//keyturn:autocommit it reads
	err := d.pg.SelectContext(ctx, &ids,
		`SELECT id FROM payments WHERE link_id = $1 AND status IN ('CREATED', 'OPEN', 'PROCESSING')`, linkID)
	if err != nil || len(ids) == 0 {
		return "", pg.AsKind(err)
	}
	return ids[0], nil
}

// OpenedCheckout notes that somebody has opened the page, the first time. It is a note, and no step of the link.
func (d *DB) OpenedCheckout(ctx context.Context, token string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx,
			`UPDATE checkout_links SET opened_at = now() WHERE page_hash = $1 AND opened_at IS NULL`, pageHash(token))
		return err
	})
}

// OfferAnswer is what a visitor says to an offer.
type OfferAnswer string

// The answers to an offer.
const (
	OfferAccept  OfferAnswer = "accept"
	OfferDecline OfferAnswer = "decline"
	OfferUndo    OfferAnswer = "undo"
)

// ChooseQuantity sets how many units of a line the visitor wants. version is that of the page on which it was chosen.
// KindConflict for an older one, and while the link is not open; KindInvalid for what the link does not allow.
func (d *DB) ChooseQuantity(ctx context.Context, token string, version, line, n int) error {
	return d.changeDraft(ctx, token, version, func(link keyturn.CheckoutLink, draft *linkDraft) error {
		lines, _ := draft.chosen(link)
		if line < 0 || line >= len(lines) || !lines[line].Quantity.Allows(n) {
			return keyturn.Errorf(keyturn.KindInvalid, "the quantity is not one that the checkout link allows")
		}
		draft.choose(line, n)
		return nil
	})
}

func (draft *linkDraft) choose(line, n int) {
	if draft.Quantities == nil {
		draft.Quantities = map[int]int{}
	}
	draft.Quantities[line] = n
}

// AnswerOffer accepts or declines an offer, or undoes an acceptance. A second acceptance for the same line replaces the
// first. Errors are those of ChooseQuantity.
func (d *DB) AnswerOffer(ctx context.Context, token string, version int, offerID string, a OfferAnswer) error {
	return d.changeDraft(ctx, token, version, func(link keyturn.CheckoutLink, draft *linkDraft) error {
		all := link.Offers.All()
		i := slices.IndexFunc(all, func(o keyturn.LinkOffer) bool { return o.ID == offerID })
		if i < 0 {
			return keyturn.Errorf(keyturn.KindInvalid, "the checkout link has no such offer")
		}
		line := all[i].Replaces
		switch a {
		case OfferAccept:
			if draft.Accepted == nil {
				draft.Accepted = map[int]string{}
			}
			if n, chosen := draft.Quantities[line]; chosen && draft.Accepted[line] == "" {
				if draft.Before == nil {
					draft.Before = map[int]int{}
				}
				draft.Before[line] = n
			}
			draft.Accepted[line] = offerID
			delete(draft.Quantities, line)
		case OfferDecline:
			if !slices.Contains(draft.Declined, offerID) {
				draft.Declined = append(draft.Declined, offerID)
			}
		case OfferUndo:
			if draft.Accepted[line] == offerID {
				delete(draft.Accepted, line)
				delete(draft.Quantities, line)
				if n, chosen := draft.Before[line]; chosen {
					draft.choose(line, n)
				}
				delete(draft.Before, line)
			}
		default:
			return keyturn.Errorf(keyturn.KindInvalid, "an offer is accepted, declined or undone")
		}
		return nil
	})
}

// ErrOlderPage: what is asked for was chosen on a page that is not the current one any more.
var ErrOlderPage = keyturn.Errorf(keyturn.KindConflict, "the page has changed since")

func (d *DB) changeDraft(ctx context.Context, token string, version int,
	change func(keyturn.CheckoutLink, *linkDraft) error,
) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		row, err := d.lockLinkByToken(ctx, tx, token)
		if err != nil {
			return err
		}
		if row.statusNow() != keyturn.LinkOpen {
			return keyturn.Errorf(keyturn.KindConflict, "the checkout link is %s", row.statusNow())
		}
		if row.Version != version {
			return ErrOlderPage
		}
		link, draft, _, err := d.openLink(row)
		if err != nil {
			return err
		}
		if err := change(link, &draft); err != nil {
			return err
		}
		text, err := json.Marshal(draft)
		if err != nil {
			return err
		}
		return pg.ExpectOne(tx.ExecContext(ctx,
			`UPDATE checkout_links SET draft = $2, version = version + 1 WHERE id = $1`, row.ID, string(text)))
	})
}

func (d *DB) lockLinkByToken(ctx context.Context, tx *sqlx.Tx, token string) (linkRow, error) {
	var row linkRow
	err := tx.GetContext(ctx, &row, linkColumns+`k.page_hash = $1 FOR UPDATE OF k`, pageHash(token))
	return row, pg.NotFound(err, "there is no such page")
}

// CheckoutCookie is what the browser that began a payment is known by.
func (d *DB) CheckoutCookie(paymentID string) string {
	return base64.RawURLEncoding.EncodeToString(d.keys.MAC("checkout/" + paymentID)[:16])
}

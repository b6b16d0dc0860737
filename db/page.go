package db

import (
	"context"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// CustomerPageLines is how many lines one page of an order shows its customer.
const CustomerPageLines = 200

// byCustomer is who looked at keys through the unguessable link.
const byCustomer = "customer"

// CustomerPage is an order as its customer sees it, without anything that is secret or meant for operators.
type CustomerPage struct {
	OrderID   string
	Locale    string
	FirstName string
	Status    keyturn.OrderStatus
	Price     keyturn.Money
	CreatedAt time.Time
	Now       time.Time // the database's clock, by which deadlines count
	Counts    keyturn.LineCounts
	Canceling bool // the whole order is to be cancelled; lines follow one after the other
	// Of an order that a checkout link made.
	MayWithdraw    bool
	WithdrawAll    bool       // a withdrawal is from all of the order, and not only from what is not delivered
	WithdrawBefore *time.Time // when the right of withdrawal ends that the shop offers; nil: it offers none
	WithdrawnAt    *time.Time
	AgainUntil     *time.Time // until when the same can be ordered once more; nil: it cannot
	Page, Pages    int
	Lines          []CustomerLine
	Returned       *ReturnedMail // an e-mail about the order as a whole came back; nil: none did
}

// Final says that nothing of the order will change by itself any more.
func (p CustomerPage) Final() bool {
	return p.Counts.Delivered+p.Counts.Canceled == p.Counts.Total && !(p.Canceling && p.Counts.Delivered > 0)
}

// CustomerLine is a line as its customer sees it. It says what happens, not why: causes are for operators.
type CustomerLine struct {
	FulfillmentID string
	Position      int // from 1
	Product       keyturn.Product
	Quantity      int
	Price         keyturn.Money
	Operation     keyturn.OperationName
	Changes       bool // an operation on a licence that exists
	Status        keyturn.LineStatus
	Source        keyturn.SourceType // where the keys are to come from now
	Canceling     bool               // its order is to be cancelled
	Obtained      bool               // the keys are the customer's; their e-mail may be late
	Attempts      int                // tries of the current step
	NextAttemptAt *time.Time
	PartnerDown   bool      // it goes on as soon as the partner answers again
	GiveUpAt      time.Time // keys or money by then
	HeldUntil     *time.Time
	DeliveredAt   *time.Time
	SentTo        string     // masked address of the first e-mail; empty when it went somewhere else
	SentAgainAt   *time.Time // the latest e-mail that followed it
	Refund        keyturn.Money
	RefundedAt    *time.Time
	Capturing     bool // its key is in hand, and its payment is being completed
	Unpaid        bool // its payment is authorized, and nothing has been charged yet
	Uncharged     bool // it was given up before anything was charged
	MayReveal     bool // its keys are to be shown on request
	MaySendAgain  bool // its e-mail is to be sent again on request
	ShownHere     bool // it was delivered by a look at this page, and not by e-mail
	CameBack      bool // its newest e-mail did not reach the order's address, or another one that somebody sent it to
	MayCorrect    bool // another address may be given for it
	Asked         bool // another address was given, and waits for the shop's yes
	Corrected     bool // SentTo was given later, and the e-mail to it went at SentAgainAt, or is on its way
	MayRefund     bool // the merchant leaves it to the customer to stop waiting
}

// pageOrder is the row behind an unguessable link.
type pageOrder struct {
	orderRow
	keyturn.LineCounts
	CustomerID   string    `db:"customer_id"`
	Customer     []byte    `db:"customer"`
	DataKey      []byte    `db:"data_key"`
	CancelReason *string   `db:"cancel_reason"`
	Now          time.Time `db:"now"`
	corrections
}

// orderByToken finds the order of a link, and whom it is for. One error for all that is not to be seen, so that it
// tells nothing: unknown links and erased customers.
func (d *DB) orderByToken(ctx context.Context, q sqlx.QueryerContext, token string) (pageOrder, storedCustomer, error) {
	return d.pageOrderWhere(ctx, q, `o.page_hash = $1`, pageHash(token))
}

// pageOrderWhere is orderByToken of the order o that is found otherwise.
func (d *DB) pageOrderWhere(ctx context.Context, q sqlx.QueryerContext, where string, arg any) (pageOrder,
	storedCustomer, error,
) {
	var o pageOrder
	var c storedCustomer
	err := sqlx.GetContext(ctx, q, &o, `
		SELECT o.id, o.status, o.currency, o.gross_minor, o.created_at, o.lines_total AS total, o.lines_trouble AS trouble,
			o.lines_delivered AS delivered, o.lines_canceling AS canceling, o.lines_canceled AS canceled, o.customer_id,
				o.customer, c.data_key, o.cancel_reason, o.payment_id, clock_timestamp() AS now, `+correctionsSQL+`
		FROM orders o JOIN customers c ON c.id = o.customer_id
		WHERE `+where, arg)
	if err != nil {
		return o, c, pg.NotFound(err, "there is no such page")
	}
	if o.DataKey == nil {
		return o, c, keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
	}
	dk, err := d.keys.OpenDataKey(o.DataKey, "customer/"+o.CustomerID)
	if err != nil {
		return o, c, err
	}
	plain, err := dk.Open(o.Customer, "orders/"+o.ID)
	if keyturn.KindOf(err) == keyturn.KindErased { // of a customer who came back afterwards
		return o, c, keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
	}
	if err != nil {
		return o, c, err
	}
	return o, c, json.Unmarshal(plain, &c)
}

// CustomerPage gives one page (from 1) of the order behind an unguessable link. KindNotFound for an unknown link and
// for a page that the order does not have.
func (d *DB) CustomerPage(ctx context.Context, token string, page int) (CustomerPage, error) {
	o, c, err := d.orderByToken(ctx, d.pg, token)
	if err != nil {
		return CustomerPage{}, pg.AsKind(err)
	}
	p := CustomerPage{
		OrderID: o.ID, Locale: c.Locale, FirstName: c.FirstName, Status: o.Status,
		Price:     keyturn.Money{Minor: o.GrossMinor, Currency: o.Currency},
		CreatedAt: o.CreatedAt.UTC(), Now: o.Now.UTC(), Counts: o.LineCounts, Canceling: o.CancelReason != nil,
		Page: page, Pages: (o.Total + CustomerPageLines - 1) / CustomerPageLines,
	}
	if page < 1 || page > p.Pages {
		return CustomerPage{}, keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
	}
	if p.Returned, err = d.showReturned(ctx, o, MaskAddress(c.Email)); err != nil {
		return CustomerPage{}, err
	}
	if o.PaymentID != nil {
		if err := d.showRights(ctx, *o.PaymentID, &p); err != nil {
			return CustomerPage{}, err
		}
	}
	// The lines are read after the counts: a page that calls its order final never shows a line that is not.
	first := (page - 1) * CustomerPageLines
	lines, err := d.lineViews(ctx,
		shownLineSQL+`WHERE l.order_id = $1 AND l.position > $2 AND l.position <= $3 ORDER BY l.position`, o.ID, first,
		first+CustomerPageLines)
	if err != nil {
		return CustomerPage{}, err
	}
	mails, err := d.keyMails(ctx, lines)
	if err != nil {
		return CustomerPage{}, err
	}
	for i := range lines {
		m := mails[lines[i].ID]
		v := lines[i].forCustomer(m, MaskAddress(c.Email), o.Delivered > 0)
		lines[i].showCorrections(&v, m, o.corrections)
		v.Position = first + i + 1
		p.Lines = append(p.Lines, v)
	}
	return p, nil
}

// ReturnedMail is an e-mail about an order as a whole that came back.
type ReturnedMail struct {
	SentTo     string // masked
	MayCorrect bool   // another address may be given
	Asked      bool   // another address was given, and waits for the shop's yes
}

// showReturned says that an e-mail about the order as a whole came back; nil: none did, or it is of no matter.
func (d *DB) showReturned(ctx context.Context, o pageOrder, address string) (*ReturnedMail, error) {
	lost, err := d.orderMailLost(ctx, d.pg, o)
	if err != nil || !lost || o.CancelReason != nil || o.Canceled == o.Total {
		return nil, pg.AsKind(err)
	}
	return &ReturnedMail{SentTo: address, MayCorrect: o.Corrections < MostCorrections, Asked: o.Asked}, nil
}

// showRights adds what the customer may do about an order that a checkout link made.
func (d *DB) showRights(ctx context.Context, paymentID string, page *CustomerPage) error {
	p, err := scanPayment(ctx, d.pg, `p.id = $1`, paymentID)
	if err != nil {
		return err
	}
	snapshot, _, err := d.snapshot(p)
	if err != nil {
		return err
	}
	o, err := readSold(ctx, d.pg, p, snapshot)
	if err != nil {
		return err
	}
	page.MayWithdraw, page.WithdrawAll, page.WithdrawBefore = o.MayWithdraw, o.WholeOrder, o.WithdrawBefore
	page.WithdrawnAt, page.AgainUntil = o.WithdrawnAt, o.AgainUntil
	return nil
}

// CustomerPageOf says on which page of the order behind the link a line stands. KindNotFound when the order has no such
// line, also when another order has it.
func (d *DB) CustomerPageOf(ctx context.Context, token, fulfillmentID string) (int, error) {
	id, ok := canonicalID(fulfillmentID)
	if !ok {
		return 0, keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
	}
	var position int
	err := d.pg.GetContext(ctx, &position, `
		SELECT l.position FROM line_items l JOIN orders o ON o.id = l.order_id
		WHERE o.page_hash = $1 AND l.fulfillment_id = $2`, pageHash(token), id)
	if err != nil {
		return 0, pg.NotFound(err, "there is no such page")
	}
	return (position-1)/CustomerPageLines + 1, nil
}

// keyMail is what became of the e-mails with a line's keys.
type keyMail struct {
	LineID      string     `db:"line_id"`
	FirstSentAt *time.Time `db:"first_sent_at"` // of the first one, which went to the order's address
	LaterSentAt *time.Time `db:"later_sent_at"` // of those that were sent by hand, to whatever address
	Exposed     bool       `db:"exposed"`       // a mail server may have taken one, or is about to
	Tried       bool       `db:"tried"`         // it was tried to send one
	CameBack    bool       `db:"came_back"`     // the newest one
}

func (d *DB) keyMails(ctx context.Context, lines []shownLine) (map[string]keyMail, error) {
	var ids []string
	for _, l := range lines {
		if l.ObtainedAt != nil {
			ids = append(ids, l.ID)
		}
	}
	out := map[string]keyMail{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []keyMail
	//keyturn:autocommit it reads
	err := d.pg.SelectContext(ctx, &rows, `
		SELECT line_id, max(sent_at) FILTER (WHERE number = 1) AS first_sent_at,
			max(sent_at) FILTER (WHERE number > 1) AS later_sent_at,
			bool_or(exposed OR status <> 'READY') AS exposed, bool_or(attempts > 0) AS tried,
			bool_or(`+newestLostSQL+`) AS came_back
		FROM deliveries y WHERE line_id = ANY(CAST($1 AS uuid[])) AND kind = 'keys' GROUP BY line_id`, pq.Array(ids))
	for _, r := range rows {
		out[r.LineID] = r
	}
	return out, pg.AsKind(err)
}

// forCustomer shows a line to the one who paid for it.
func (l *shownLine) forCustomer(m keyMail, address string, orderHasKeys bool) CustomerLine {
	v := CustomerLine{
		FulfillmentID: l.FulfillmentID, Product: l.product, Quantity: l.Quantity,
		Price:     keyturn.Money{Minor: l.GrossMinor, Currency: l.Currency},
		Operation: keyturn.OperationName(l.Operation), Changes: l.LicenseID != nil, Status: l.Status, Source: l.source().Type,
		Canceling: l.CancelReason != nil,
		Obtained:  l.ObtainedAt != nil, Attempts: l.Attempts, NextAttemptAt: utc(l.NextAttemptAt), GiveUpAt: l.GiveUpAt.UTC(),
		PartnerDown: l.PartnerDown && l.Status.InTrouble(),
		HeldUntil:   utc(l.HeldUntil), DeliveredAt: utc(l.DeliveredAt), RefundedAt: utc(l.RefundDoneAt),
	}
	if l.RefundMinor != nil {
		v.Refund = keyturn.Money{Minor: *l.RefundMinor, Currency: l.Currency}
	}
	v.Capturing = l.ObtainedAt != nil && !l.charged() && l.Status.Open() && l.Status != keyturn.LineCanceling
	v.Unpaid = l.GrossMinor > 0 && !l.charged()
	v.Uncharged = l.PaymentID != nil && l.RefundMinor != nil && *l.RefundMinor == 0 && l.GrossMinor > 0
	if m.FirstSentAt != nil || l.Status != keyturn.LineDelivered {
		v.SentTo = address
	}
	if m.FirstSentAt != nil {
		v.SentAgainAt = utc(m.LaterSentAt)
	}
	v.MayReveal = l.mayReveal(m.Tried)
	v.MaySendAgain = l.Status == keyturn.LineDelivered && !v.Canceling && !l.isNotice()
	v.ShownHere = v.MaySendAgain && m.FirstSentAt == nil && m.LaterSentAt == nil
	// Nobody gets the key and the money: not when an e-mail may have arrived although its answer was lost, and not when
	// giving up this line would take back others that were delivered.
	takesOthers := l.product.OnGiveUp == keyturn.CancelOrder && orderHasKeys
	v.MayRefund = l.product.CustomerMayRefund && l.Status.InTrouble() && !v.Canceling && !m.Exposed && !takesOthers
	return v
}

// showCorrections adds that the line's e-mail came back, and what its customer may do about it. An e-mail before the
// order's present address went elsewhere.
func (l *shownLine) showCorrections(v *CustomerLine, m keyMail, c corrections) {
	if !v.Canceling && !refundedLine(&l.line) {
		v.CameBack, v.Asked = m.CameBack, m.CameBack && c.Asked
		v.MayCorrect = m.CameBack && l.charged() && c.Corrections < MostCorrections
	}
	if c.CorrectedAt != nil && m.FirstSentAt != nil && m.FirstSentAt.Before(*c.CorrectedAt) && !m.CameBack {
		v.Corrected = true
		if m.LaterSentAt == nil || m.LaterSentAt.Before(*c.CorrectedAt) {
			v.SentAgainAt = nil
		}
	}
}

// MaskAddress leaves of an e-mail address what its owner recognises: j…@buyer.test.
func MaskAddress(address string) string {
	for i := len(address) - 1; i > 0; i-- {
		if address[i] == '@' {
			_, size := utf8.DecodeRuneInString(address)
			return address[:size] + "…" + address[i:]
		}
	}
	return "…"
}

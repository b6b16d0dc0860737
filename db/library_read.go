package db

import (
	"bytes"
	"context"
	"encoding/hex"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

const (
	// LibraryOrders is how many orders one page of a library shows.
	LibraryOrders = 20
	// LibraryLines is how many lines it shows of each; the order's own page has all.
	LibraryLines = 20
)

// LibraryPage is one page of what an e-mail address has bought.
type LibraryPage struct {
	Orders     []LibraryOrder // from the newest to the oldest
	NextCursor string         // of the page that follows; empty: none does
	Now, Until time.Time      // until when the browser may look
}

// LibraryOrder is an order as its customer sees it among all of theirs. Its lines are the first ones.
type LibraryOrder struct {
	CustomerPage
	PageToken string
	Customer  keyturn.Customer

	Paid      keyturn.Money // what was taken for it
	Unpaid    bool          // its payment is authorized, and nothing has been taken yet
	Uncharged bool          // nothing was taken, and nothing will be
	Refunded  keyturn.Money // what has gone back of it
	Returning keyturn.Money // what is on its way back
	Licenses  map[string]LibraryLicense
	Files     map[string]int // how many files a line has that may be shown, by fulfillment ID
}

// LibraryLicense is the licence of a line.
type LibraryLicense struct {
	ID        string
	Status    keyturn.LicenseStatus
	ExpiresAt *time.Time // nil: its term has no end that is known
}

// Library gives one page of the orders whose present address is that of the session's link, from the newest, from where
// an earlier page's cursor points. KindForbidden without a session that lives; KindNotFound for a cursor that is none.
func (d *DB) Library(ctx context.Context, session, cursor string) (LibraryPage, error) {
	s, err := d.librarySession(ctx, session)
	if err != nil {
		return LibraryPage{}, err
	}
	list := "library/" + hex.EncodeToString(s.EmailTag)
	before, beforeID, ok := d.readCursor(list, cursor)
	if !ok {
		return LibraryPage{}, keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
	}
	rows, err := d.libraryRows(ctx, s,
		`(o.created_at, o.id) < ($2, $3) ORDER BY o.created_at DESC, o.id DESC LIMIT $4`, before, beforeID,
		LibraryOrders+1)
	if err != nil {
		return LibraryPage{}, err
	}
	page := LibraryPage{Now: s.Now.UTC(), Until: s.Until.UTC()}
	if len(rows) > LibraryOrders {
		rows = rows[:LibraryOrders]
		last := rows[LibraryOrders-1]
		page.NextCursor = d.cursor(list, last.CreatedAt, last.ID)
	}
	page.Orders, err = d.libraryOrders(ctx, s, rows, LibraryLines)
	return page, err
}

// LibraryReceipt gives one of the orders that Library lists, with the lines that one page of an order has.
// KindForbidden as for Library; KindNotFound for any other order.
func (d *DB) LibraryReceipt(ctx context.Context, session, orderID string) (LibraryOrder, error) {
	s, err := d.librarySession(ctx, session)
	if err != nil {
		return LibraryOrder{}, err
	}
	if !keyturn.CleanText(orderID, 1, 100) {
		return LibraryOrder{}, keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
	}
	rows, err := d.libraryRows(ctx, s, `o.id = $2`, orderID)
	if err != nil {
		return LibraryOrder{}, err
	}
	orders, err := d.libraryOrders(ctx, s, rows, CustomerPageLines)
	if err == nil && len(orders) == 0 {
		err = keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
	}
	if err != nil {
		return LibraryOrder{}, err
	}
	return orders[0], nil
}

// libraryRows reads orders that are found by the session's address.
func (d *DB) libraryRows(ctx context.Context, s librarySession, where string, args ...any) (rows []pageOrder,
	err error,
) {
	//keyturn:autocommit it reads
	err = d.pg.SelectContext(ctx, &rows, `
		SELECT o.id, o.status, o.currency, o.gross_minor, o.created_at, o.lines_total AS total, o.lines_trouble AS trouble,
			o.lines_delivered AS delivered, o.lines_canceling AS canceling, o.lines_canceled AS canceled, o.customer_id,
			o.customer, c.data_key, o.cancel_reason, o.payment_id, clock_timestamp() AS now
		FROM orders o JOIN customers c ON c.id = o.customer_id
		WHERE o.email_tag = $1 AND `+where, append([]any{s.EmailTag}, args...)...)
	return rows, pg.AsKind(err)
}

// libraryOrders shows orders of the session's address. One whose address is another by now is left out: the audit (G2)
// names it.
func (d *DB) libraryOrders(ctx context.Context, s librarySession, rows []pageOrder, lines int) (out []LibraryOrder,
	err error,
) {
	for _, o := range rows {
		c, err := d.OpenCustomer(o.DataKey, o.CustomerID, o.ID, o.Customer)
		if keyturn.KindOf(err) == keyturn.KindErased { // at this moment
			continue
		}
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(d.EmailTag(c.Email), s.EmailTag) {
			continue
		}
		out = append(out, LibraryOrder{
			PageToken: d.PageToken(o.ID), Customer: c, Paid: keyturn.Money{Minor: o.GrossMinor, Currency: o.Currency},
			CustomerPage: CustomerPage{
				OrderID: o.ID, Locale: c.Locale, FirstName: c.FirstName, Status: o.Status,
				Price: keyturn.Money{Minor: o.GrossMinor, Currency: o.Currency}, CreatedAt: o.CreatedAt.UTC(), Now: o.Now.UTC(),
				Counts: o.LineCounts, Canceling: o.CancelReason != nil,
			},
		})
	}
	if err := d.addLibraryLines(ctx, out, lines); err != nil {
		return nil, err
	}
	return out, d.addLibraryMoney(ctx, out)
}

// addLibraryLines adds the first lines of orders, with their licences and files.
func (d *DB) addLibraryLines(ctx context.Context, orders []LibraryOrder, most int) error {
	lines, err := d.lineViews(ctx,
		shownLineSQL+`WHERE l.order_id = ANY($1) AND l.position <= $2 ORDER BY l.order_id, l.position`,
		pq.Array(orderIDs(orders)), most)
	if err != nil {
		return err
	}
	mails, err := d.keyMails(ctx, lines)
	if err != nil {
		return err
	}
	licenses, err := d.libraryLicenses(ctx, lines)
	if err != nil {
		return err
	}
	files, err := d.libraryFiles(ctx, lines)
	if err != nil {
		return err
	}
	at := map[string]int{}
	for i := range orders {
		at[orders[i].OrderID] = i
		orders[i].Licenses, orders[i].Files = map[string]LibraryLicense{}, map[string]int{}
	}
	for i := range lines {
		l := &lines[i]
		o := &orders[at[l.OrderID]]
		v := l.forCustomer(mails[l.ID], MaskAddress(o.Customer.Email), o.Counts.Delivered > 0)
		v.Position = len(o.Lines) + 1
		o.Lines = append(o.Lines, v)
		if c, ok := licenses[l.licenseID()]; ok {
			o.Licenses[l.FulfillmentID] = c
		}
		if v.MayReveal {
			o.Files[l.FulfillmentID] = files[l.ID]
		}
	}
	return nil
}

func orderIDs(orders []LibraryOrder) []string {
	ids := make([]string, len(orders))
	for i, o := range orders {
		ids[i] = o.OrderID
	}
	return ids
}

// libraryLicenses gives the licences of lines, by ID.
func (d *DB) libraryLicenses(ctx context.Context, lines []shownLine) (map[string]LibraryLicense, error) {
	ids := make([]string, len(lines))
	for i := range lines {
		ids[i] = lines[i].licenseID()
	}
	var rows []struct {
		ID        string                `db:"id"`
		Status    keyturn.LicenseStatus `db:"status"`
		ExpiresAt *time.Time            `db:"expires_at"`
		Now       time.Time             `db:"now"`
	}
	err := d.pg.SelectContext(ctx, &rows, `
		SELECT id, status, expires_at, clock_timestamp() AS now FROM licenses WHERE id = ANY(CAST($1 AS uuid[]))`,
		pq.Array(ids))
	out := map[string]LibraryLicense{}
	for _, r := range rows {
		out[r.ID] = LibraryLicense{ID: r.ID, Status: r.Status.At(r.Now, r.ExpiresAt), ExpiresAt: utc(r.ExpiresAt)}
	}
	return out, pg.AsKind(err)
}

// libraryFiles counts the files of lines, by the line's ID.
func (d *DB) libraryFiles(ctx context.Context, lines []shownLine) (map[string]int, error) {
	ids := make([]string, len(lines))
	for i := range lines {
		ids[i] = lines[i].ID
	}
	var rows []struct {
		LineID string `db:"line_id"`
		N      int    `db:"n"`
	}
	err := d.pg.SelectContext(ctx, &rows, `
		SELECT line_id, count(*) AS n FROM deliverables
		WHERE line_id = ANY(CAST($1 AS uuid[])) AND kind = 'file' GROUP BY line_id`, pq.Array(ids))
	out := map[string]int{}
	for _, r := range rows {
		out[r.LineID] = r.N
	}
	return out, pg.AsKind(err)
}

// addLibraryMoney adds what was taken for orders and what goes back. An order that came in by the API was paid by then.
func (d *DB) addLibraryMoney(ctx context.Context, orders []LibraryOrder) error {
	var rows []struct {
		OrderID   string                 `db:"order_id"`
		Status    *keyturn.PaymentStatus `db:"status"` // of an order that a checkout link made
		Captured  int64                  `db:"captured"`
		Back      int64                  `db:"back"`
		Elsewhere int64                  `db:"elsewhere"` // gone back, but not by us
		OnItsWay  int64                  `db:"on_its_way"`
	}
	if err := d.pg.SelectContext(ctx, &rows, libraryMoneySQL, pq.Array(orderIDs(orders))); err != nil {
		return pg.AsKind(err)
	}
	at := map[string]int{}
	for i := range orders {
		at[orders[i].OrderID] = i
	}
	for _, r := range rows {
		o := &orders[at[r.OrderID]]
		if r.Status != nil {
			o.Paid.Minor, o.Uncharged = r.Captured, r.Status.Uncharged()
			o.Unpaid = *r.Status == keyturn.PaymentAuthorized || *r.Status == keyturn.PaymentCapturing
		}
		o.Refunded, o.Returning = o.Paid, o.Paid
		o.Refunded.Minor = min(o.Paid.Minor, r.Back+r.Elsewhere)
		o.Returning.Minor = min(o.Paid.Minor-o.Refunded.Minor, r.OnItsWay)
	}
	return nil
}

// libraryMoneySQL: a refund that failed after it counted as done has not arrived.
const libraryMoneySQL = `
	SELECT o.id AS order_id, p.status, coalesce(p.captured_minor, 0) AS captured, coalesce(b.back, 0) AS back,
		coalesce(b.on_its_way, 0) AS on_its_way,
		coalesce((SELECT sum(a.amount_minor) FROM payment_aftermath a WHERE a.payment_id = p.id AND a.kind = '` +
	afterRefund + `' AND a.status = ''), 0) AS elsewhere
	FROM orders o LEFT JOIN payments p ON p.id = o.payment_id
	LEFT JOIN LATERAL (
		SELECT sum(r.amount_minor) FILTER (WHERE r.status = 'DONE' AND r.failed_at IS NULL) AS back,
			sum(r.amount_minor) FILTER (WHERE r.status <> 'DONE' OR r.failed_at IS NOT NULL) AS on_its_way
		FROM line_items l JOIN refunds r ON r.line_id = l.id WHERE l.order_id = o.id
	) b ON true
	WHERE o.id = ANY($1)`

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

// LinkInput is a checkout link that a token asks for.
type LinkInput struct {
	Link           keyturn.CheckoutLink
	Client         string
	Prefix         keyturn.Prefix // of the order and the products that it may name
	IdempotencyKey string
	RequestHash    []byte
	// Complete fills in and checks the link, by the database's clock.
	Complete func(keyturn.CheckoutLink, time.Time) (keyturn.CheckoutLink, error)
}

// linkRow is a checkout link as it is stored.
type linkRow struct {
	ID            string             `db:"id"`
	Client        string             `db:"client"`
	RequestHash   []byte             `db:"request_hash"`
	Reference     *string            `db:"reference"`
	OrderID       string             `db:"order_id"`
	Status        keyturn.LinkStatus `db:"status"`
	Version       int                `db:"version"`
	Provider      string             `db:"provider"`
	Currency      string             `db:"currency"`
	CustomerID    string             `db:"customer_id"`
	Spec          []byte             `db:"spec"`
	Draft         string             `db:"draft"`
	PaymentsBegun int                `db:"payments_begun"`
	PaymentsMost  int                `db:"payments_most"`
	CreatedAt     time.Time          `db:"created_at"`
	ExpiresAt     time.Time          `db:"expires_at"`
	OpenedAt      *time.Time         `db:"opened_at"`
	EndedAt       *time.Time         `db:"ended_at"`
	EndReason     *string            `db:"end_reason"`
	BlankedAt     *time.Time         `db:"blanked_at"` // nothing personal is left of it
	DataKey       []byte             `db:"data_key"`
	Now           time.Time          `db:"now"`
}

const linkColumns = `
	SELECT k.id, k.client, k.request_hash, k.reference, k.order_id, k.status, k.version, k.provider, k.currency,
		k.customer_id, k.spec, k.draft, k.payments_begun, k.payments_most, k.created_at, k.expires_at, k.opened_at,
		k.ended_at, k.end_reason, k.blanked_at, c.data_key, clock_timestamp() AS now
	FROM checkout_links k JOIN customers c ON c.id = k.customer_id
	WHERE `

// linkSpec is what is encrypted of a link.
type linkSpec struct {
	keyturn.CheckoutLink

	Promised map[string]keyturn.Promised `json:"promised,omitempty"` // by product
}

// promised gives products as the link sells them.
func (s linkSpec) promised(id string, p keyturn.Product) keyturn.Product {
	if was, ok := s.Promised[id]; ok {
		return was.Apply(p)
	}
	return p
}

// linkDraft is what a visitor has chosen on the page. It holds nothing personal.
type linkDraft struct {
	Quantities map[int]int    `json:"quantities,omitempty"` // by line; of an offer that replaced it, too
	Accepted   map[int]string `json:"accepted,omitempty"`   // by line: the offer that replaced it
	Declined   []string       `json:"declined,omitempty"`   // offers
	Before     map[int]int    `json:"before,omitempty"`     // by line: its quantity before an offer replaced it
}

// LinkToken is the unguessable part of the address of a link's page: whoever has it can buy.
func (d *DB) LinkToken(linkID string) string {
	return base64.RawURLEncoding.EncodeToString(d.keys.MAC("link/" + linkID)[:16])
}

// CreateLink stores a checkout link. repeated says that the request was made before: the answer is the link as it is
// now. Errors: KindInvalid for a link or a product that is not valid, and for another request under the same
// Idempotency-Key; KindConflict for a reference or an order ID that is taken. An order that comes in at the same moment
// may take the order's ID all the same; the link's payment is given back then.
func (d *DB) CreateLink(ctx context.Context, in LinkInput) (v keyturn.LinkView, repeated bool, err error) {
	if v, repeated, err = d.repeatedLink(ctx, in); repeated || err != nil {
		return v, repeated, err
	}
	id := "lnk-" + newID()
	link := in.Link
	if link.Customer.ID == "" {
		link.Customer.ID = id
	}
	known, err := d.readAcceptContext(ctx, AcceptInput{Order: linkProducts(link), Client: in.Client})
	if err != nil {
		return v, false, err
	}
	if link, err = in.Complete(link, known.Now); err != nil {
		return v, false, err
	}
	if link.OrderID == "" {
		link.OrderID = id
	}
	if err := in.Prefix.CheckNew("orderId", link.OrderID); err != nil {
		return v, false, err
	}
	products, err := linkedProducts(link, known, in.Prefix)
	if err != nil {
		return v, false, err
	}
	sellability, _, err := d.linkSellability(ctx, link.LineItems, link.Currency, products, known)
	if err != nil {
		return v, false, err
	}
	dk, wrapped, err := d.customerKey(link.Customer.ID, known)
	if err != nil {
		return v, false, err
	}
	stored := linkSpec{CheckoutLink: link, Promised: map[string]keyturn.Promised{}}
	for id, p := range products {
		stored.Promised[id] = p.Promised()
	}
	plain, err := json.Marshal(stored)
	if err != nil {
		return v, false, err
	}
	spec, err := dk.Seal(plain, "checkout_links/"+id)
	if err != nil {
		return v, false, err
	}
	if err := d.insertLink(ctx, in, id, link, spec, wrapped); err != nil {
		return v, false, err
	}
	row, err := d.linkWhere(ctx, d.pg, "k.id = $1", id)
	if err != nil {
		return v, false, err
	}
	v = row.view(link, linkDraft{})
	v.Sellability = sellability
	return v, false, nil
}

// repeatedLink finds the link of an earlier request with the same key, or with the same reference and content.
func (d *DB) repeatedLink(ctx context.Context, in LinkInput) (v keyturn.LinkView, repeated bool, err error) {
	row, err := d.linkWhere(ctx, d.pg, `k.client = $1 AND k.idempotency_key = $2`, in.Client, in.IdempotencyKey)
	byReference := false
	if keyturn.KindOf(err) == keyturn.KindNotFound && in.Link.Reference != "" {
		row, err = d.linkWhere(ctx, d.pg, `k.client = $1 AND k.reference = $2`, in.Client, in.Link.Reference)
		byReference = true
	}
	switch {
	case keyturn.KindOf(err) == keyturn.KindNotFound:
		return v, false, nil
	case err != nil:
		return v, false, err
	case string(row.RequestHash) == string(in.RequestHash):
		v, err = d.viewOfLink(row)
		return v, true, err
	case byReference:
		return v, false, &keyturn.Error{
			Kind: keyturn.KindConflict, Message: "the reference belongs to another checkout link",
			Fields: []keyturn.FieldError{{Location: "reference", Message: "belongs to link " + row.ID +
				", whose content is different"}},
		}
	}
	return v, false, &keyturn.Error{
		Kind: keyturn.KindInvalid, Message: "the Idempotency-Key was used for another request",
		Fields: []keyturn.FieldError{{Location: "Idempotency-Key", Message: "belongs to link " + row.ID +
			", whose request was different: use a new key"}},
	}
}

func (d *DB) insertLink(ctx context.Context, in LinkInput, id string, link keyturn.CheckoutLink, spec, wrapped []byte,
) error {
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var taken bool
		if err := tx.GetContext(ctx, &taken, `SELECT EXISTS (SELECT FROM orders WHERE id = $1)`, link.OrderID); err != nil {
			return err
		}
		if taken {
			return orderIDTaken(link.OrderID)
		}
		var stored []string
		if err := tx.SelectContext(ctx, &stored, `
			INSERT INTO customers (id, data_key) VALUES ($1, $2)
			ON CONFLICT (id) DO UPDATE SET data_key = coalesce(customers.data_key, excluded.data_key)
				WHERE customers.data_key IS NULL OR customers.data_key = excluded.data_key
			RETURNING id`, link.Customer.ID, wrapped); err != nil {
			return err
		}
		if len(stored) == 0 {
			return keyturn.Errorf(keyturn.KindUnavailable, "the customer has changed at the same time: try again")
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO checkout_links (id, client, idempotency_key, request_hash, reference, order_id, provider, currency,
				customer_id, spec, page_hash, expires_at)
			VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7, $8, $9, $10, $11, $12)`,
			id, in.Client, in.IdempotencyKey, in.RequestHash, link.Reference, link.OrderID, link.Provider, link.Currency,
			link.Customer.ID, spec, pageHash(d.LinkToken(id)), *link.ExpiresAt)
		return err
	})
	switch {
	case pg.IsUniqueViolation(err, "checkout_links_order"):
		return orderIDTaken(link.OrderID)
	case pg.SQLState(err) == pg.UniqueViolation: // the same request at the same time
		return keyturn.Errorf(keyturn.KindUnavailable, "the same link is being made at this moment: try again")
	}
	return err
}

func orderIDTaken(id string) error {
	return &keyturn.Error{
		Kind: keyturn.KindConflict, Message: "there is an order or an open checkout link with the order ID " + id,
		Fields: []keyturn.FieldError{{Location: "orderId", Message: "is taken"}},
	}
}

// linkProducts is an order of every product that a link can sell.
func linkProducts(link keyturn.CheckoutLink) keyturn.Order {
	o := keyturn.Order{Customer: link.Customer}
	for _, l := range link.LineItems {
		o.LineItems = append(o.LineItems, keyturn.LineItem{ProductID: l.ProductID})
	}
	for _, offer := range link.Offers.All() {
		o.LineItems = append(o.LineItems, keyturn.LineItem{ProductID: offer.LineItem.ProductID})
	}
	return o
}

// linkedProducts are the products of a link, by ID. Every unknown one is named with its field, and every one that no
// source serves in the link's currency.
func linkedProducts(link keyturn.CheckoutLink, known acceptContext, prefix keyturn.Prefix) (map[string]keyturn.Product,
	error,
) {
	found := map[string]keyturn.Product{}
	for i, id := range known.ProductIDs {
		p, err := readStored(id, known.Specs[i])
		if err != nil {
			return nil, err
		}
		found[id] = p
	}
	only := known.currencies()
	var bad keyturn.Problems
	check := func(at string, l keyturn.LinkLine) {
		p, ok := found[l.ProductID]
		if !ok || !prefix.Covers(l.ProductID) {
			bad.Addf(at+"productId", "names a product that is not in the catalog: %s", l.ProductID)
			return
		}
		bad.Check(len(sourcesFor(p, only[l.ProductID], link.Currency)) > 0, at+"productId",
			"no pool of product %s sells in %s", l.ProductID, link.Currency)
	}
	for i, l := range link.LineItems {
		check(lineAt(i)+".", l)
	}
	for i, o := range link.Offers.OnVisit {
		check("offers.onVisit["+itoa(i)+"].lineItem.", o.LineItem)
	}
	for i, o := range link.Offers.OnLeave {
		check("offers.onLeave["+itoa(i)+"].lineItem.", o.LineItem)
	}
	return found, bad.Err("the checkout link is not valid")
}

// shownLeft is how few units of a product are left when a page says so.
const shownLeft = 5

// linkSellability says of each line whether it can be delivered at the moment, at its quantity, and how many units of
// which pools the lines would take: of each line the first source that can deliver, where that is a pool.
func (d *DB) linkSellability(ctx context.Context, lines []keyturn.LinkLine, currency string,
	products map[string]keyturn.Product, known acceptContext,
) (out []keyturn.LineSellability, takes map[string]int, err error) {
	only, have := known.currencies(), known.shortages()
	needed := map[string]int{}
	takes = map[string]int{}
	out = make([]keyturn.LineSellability, len(lines))
	for i, l := range lines {
		p := products[l.ProductID]
		out[i] = keyturn.LineSellability{LineItem: i, Code: keyturn.SellableOK}
		if l.Operation != keyturn.OpCreate && l.Operation != keyturn.OpUpgrade {
			continue
		}
		short, left, units := map[string]keyturn.Shortage{}, -1, p.Units(l.Quantity.Value)
		sources := sourcesFor(p, only[l.ProductID], currency)
		for _, s := range sources {
			switch {
			case s.Type.HasIntegration() && have.down[s.Integration]:
				short[s.Name()] = keyturn.ShortagePartner
			case s.Type.HasPool():
				needed[s.Pool] += units
				n, err := d.stockLeft(ctx, s.Pool, needed[s.Pool]+shownLeft)
				if err != nil {
					return nil, nil, err
				}
				if n < needed[s.Pool] {
					short[s.Name()] = keyturn.ShortageStock
				}
				left = max(left, n-needed[s.Pool]+units)
			default:
				left = -1
			}
		}
		first := slices.IndexFunc(sources, func(s keyturn.Source) bool { return short[s.Name()] == "" })
		if first >= 0 && sources[first].Type.HasPool() {
			takes[sources[first].Pool] += units
		}
		rule, why := p.Sell.Sellable(sources, func(s keyturn.Source) keyturn.Shortage { return short[s.Name()] })
		switch {
		case why == keyturn.ShortageStock:
			out[i].Code = keyturn.SellableOutOfStock
		case why == keyturn.ShortagePartner && rule != keyturn.SellAllow:
			out[i].Code = keyturn.SellablePartnerDown
		case left >= 0 && left <= shownLeft && len(sources) == 1 && p.Sell.ShowStock == keyturn.ShowStockLow:
			out[i].Code, out[i].Left = keyturn.SellableLow, left
		}
		out[i].Refused = why != "" && rule == keyturn.SellRefuse
	}
	return out, takes, nil
}

func (d *DB) linkWhere(ctx context.Context, q sqlx.QueryerContext, where string, args ...any) (linkRow, error) {
	var row linkRow
	err := sqlx.GetContext(ctx, q, &row, linkColumns+where, args...)
	return row, pg.NotFound(err, "there is no such checkout link")
}

// openLink decrypts what the link sells. KindErased once its customer was erased.
func (d *DB) openLink(row linkRow) (keyturn.CheckoutLink, linkDraft, vault.DataKey, error) {
	spec, draft, dk, err := d.openSpec(row)
	return spec.CheckoutLink, draft, dk, err
}

// openSpec is openLink with what was promised of the products.
func (d *DB) openSpec(row linkRow) (linkSpec, linkDraft, vault.DataKey, error) {
	var spec linkSpec
	var draft linkDraft
	if len(row.DataKey) == 0 || len(row.Spec) == 0 {
		return spec, draft, vault.DataKey{}, keyturn.Errorf(keyturn.KindErased, "the link's customer was erased")
	}
	dk, err := d.keys.OpenDataKey(row.DataKey, "customer/"+row.CustomerID)
	if err != nil {
		return spec, draft, dk, err
	}
	plain, err := dk.Open(row.Spec, "checkout_links/"+row.ID)
	if err != nil {
		return spec, draft, dk, err
	}
	if err := json.Unmarshal(plain, &spec); err != nil {
		return spec, draft, dk, err
	}
	return spec, draft, dk, json.Unmarshal([]byte(row.Draft), &draft)
}

// chosen are the link's lines as the visitor has chosen them, with the offer that replaced each.
func (draft linkDraft) chosen(link keyturn.CheckoutLink) (lines []keyturn.LinkLine, offers []string) {
	lines = append(lines, link.LineItems...)
	offers = make([]string, len(lines))
	for i := range lines {
		for _, o := range link.Offers.All() {
			if o.Replaces == i && draft.Accepted[i] == o.ID {
				lines[i], offers[i] = o.LineItem, o.ID
			}
		}
		if n, ok := draft.Quantities[i]; ok && lines[i].Quantity.Allows(n) {
			lines[i].Quantity.Value = n
		}
	}
	return lines, offers
}

func total(currency string, lines []keyturn.LinkLine) keyturn.Money {
	return keyturn.CheckoutLink{Currency: currency, LineItems: lines}.Total()
}

// viewOfLink is the link as the API shows it. A link of an erased customer shows what is left.
func (d *DB) viewOfLink(row linkRow) (keyturn.LinkView, error) {
	link, draft, _, err := d.openLink(row)
	if err != nil && keyturn.KindOf(err) != keyturn.KindErased {
		return keyturn.LinkView{}, err
	}
	return row.view(link, draft), nil
}

func (r linkRow) view(link keyturn.CheckoutLink, draft linkDraft) keyturn.LinkView {
	lines, offers := draft.chosen(link)
	v := keyturn.LinkView{
		ID: r.ID, Status: r.statusNow(), Version: r.Version, Currency: r.Currency,
		Total: total(r.Currency, lines).String(), Provider: r.Provider, Capture: link.Capture, Mixed: link.Mixed,
		OrderID: r.OrderID, ExpiresAt: r.ExpiresAt.UTC(), CreatedAt: r.CreatedAt.UTC(), OpenedAt: utc(r.OpenedAt),
		EndedAt: utc(r.EndedAt), BlankedAt: utc(r.BlankedAt), PaymentsLeft: r.PaymentsMost - r.PaymentsBegun,
		Locale: link.Locale, ReturnURL: link.ReturnURL, CancelURL: link.CancelURL, Offers: link.Offers,
		LineItems: make([]keyturn.LinkLineView, len(lines)),
	}
	if r.Reference != nil {
		v.Reference = *r.Reference
	}
	if r.EndReason != nil {
		v.EndReason = *r.EndReason
	}
	for i, l := range lines {
		v.LineItems[i] = keyturn.LinkLineView{
			ProductID: l.ProductID, Name: l.Name, SKU: l.SKU, UnitPrice: l.UnitPrice, ListPrice: l.ListPrice,
			Quantity: l.Quantity, OfferID: offers[i],
		}
	}
	return v
}

// statusNow is EXPIRED from the moment on, also before housekeeping has written it down.
func (r linkRow) statusNow() keyturn.LinkStatus {
	if r.Status == keyturn.LinkOpen && !r.Now.Before(r.ExpiresAt) {
		return keyturn.LinkExpired
	}
	return r.Status
}

// Link gives a checkout link with its payments. KindNotFound.
func (d *DB) Link(ctx context.Context, id string) (keyturn.LinkView, error) {
	v, _, err := d.linkView(ctx, id)
	return v, err
}

// LinkWithCustomer is Link with what the link's page is filled in with, and records that by saw it. The customer is
// absent once they were erased, or the link blanked.
func (d *DB) LinkWithCustomer(ctx context.Context, id, by string) (keyturn.LinkView, error) {
	v, customer, err := d.linkView(ctx, id)
	if err != nil || customer == nil {
		return v, err
	}
	v.Customer = customer
	return v, d.pg.Tx(ctx, func(tx *sqlx.Tx) error { return logPersonal(ctx, tx, by, "link/"+id) })
}

// linkView gives a link, and whom its page is filled in for; nil once they were erased, or the link blanked.
func (d *DB) linkView(ctx context.Context, id string) (keyturn.LinkView, *keyturn.Customer, error) {
	if !keyturn.ValidID(id) {
		return keyturn.LinkView{}, nil, keyturn.Errorf(keyturn.KindNotFound, "there is no such checkout link")
	}
	row, err := d.linkWhere(ctx, d.pg, "k.id = $1", id)
	if err != nil {
		return keyturn.LinkView{}, nil, err
	}
	link, draft, _, err := d.openLink(row)
	erased := keyturn.KindOf(err) == keyturn.KindErased
	if err != nil && !erased {
		return keyturn.LinkView{}, nil, err
	}
	v := row.view(link, draft)
	v.Payments, err = d.paymentsWhere(ctx, "p.link_id = $1 ORDER BY p.number", id)
	if erased || row.BlankedAt != nil {
		return v, nil, err
	}
	return v, &link.Customer, err
}

// OrderOfLink says which order a link makes: whose order it is, the link is. KindNotFound.
func (d *DB) OrderOfLink(ctx context.Context, id string) (string, error) {
	var order string
	err := d.pg.GetContext(ctx, &order, `SELECT order_id FROM checkout_links WHERE id = $1`, id)
	return order, pg.NotFound(err, "there is no such checkout link")
}

// moveLink takes a link from one status to another and notes who did it. The link's row is locked.
func moveLink(ctx context.Context, tx *sqlx.Tx, row *linkRow, to keyturn.LinkStatus, by, reason string) error {
	if !row.Status.CanBecome(to) {
		return keyturn.Errorf(keyturn.KindConflict, "a checkout link that is %s cannot become %s", row.Status, to)
	}
	ended := to == keyturn.LinkUsed || to == keyturn.LinkExpired || to == keyturn.LinkCanceled
	err := pg.ExpectOne(tx.ExecContext(ctx, `
		WITH moved AS (
			UPDATE checkout_links SET status = $3, version = version + 1,
				ended_at = CASE WHEN $6 THEN clock_timestamp() END, end_reason = CASE WHEN $6 THEN nullif($5, '') END
			WHERE id = $1 AND version = $2 RETURNING id, version
		)
		INSERT INTO link_log (link_id, version, from_status, to_status, by, reason)
		SELECT id, version, $7, $3, $4, $5 FROM moved`, row.ID, row.Version, to, by, reason, ended, row.Status))
	row.Status = to
	row.Version++
	return err
}

func lockLink(ctx context.Context, tx *sqlx.Tx, id string) (linkRow, error) {
	var row linkRow
	err := tx.GetContext(ctx, &row, linkColumns+`k.id = $1 FOR UPDATE OF k`, id)
	return row, pg.NotFound(err, "there is no such checkout link")
}

// CancelLink ends an open link. A repetition changes nothing. KindNotFound; KindConflict for one that is used, and
// while a customer is paying: end the payment first (PayableOf).
func (d *DB) CancelLink(ctx context.Context, id, by, reason string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		row, err := lockLink(ctx, tx, id)
		if err != nil {
			return err
		}
		switch row.statusNow() {
		case keyturn.LinkCanceled:
			return nil
		case keyturn.LinkUsed:
			return keyturn.Errorf(keyturn.KindConflict, "the checkout link is used: cancel its order %s", row.OrderID)
		case keyturn.LinkExpired:
			return keyturn.Errorf(keyturn.KindConflict, "the checkout link has expired: nobody can buy by it")
		case keyturn.LinkPaying:
			return keyturn.Errorf(keyturn.KindConflict, "a customer is paying by the checkout link at this moment")
		case keyturn.LinkOpen:
		}
		return moveLink(ctx, tx, &row, keyturn.LinkCanceled, by, reason)
	})
}

// ReopenLink allows MaxLinkPayments further payments of an open link. While so many are left a repetition changes
// nothing. KindNotFound; KindConflict for a link that has ended.
func (d *DB) ReopenLink(ctx context.Context, id, by, reason string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		row, err := lockLink(ctx, tx, id)
		if err != nil {
			return err
		}
		most := row.PaymentsBegun + keyturn.MaxLinkPayments
		switch status := row.statusNow(); {
		case status != keyturn.LinkOpen && status != keyturn.LinkPaying:
			return keyturn.Errorf(keyturn.KindConflict, "the checkout link is %s: make another one", status)
		case row.PaymentsMost >= most:
			return nil
		}
		return pg.ExpectOne(tx.ExecContext(ctx, `
			WITH reopened AS (
				UPDATE checkout_links SET payments_most = $3, version = version + 1 WHERE id = $1 AND version = $2
				RETURNING id, version, status
			)
			INSERT INTO link_log (link_id, version, from_status, to_status, by, reason)
			SELECT id, version, status, status, $4, $5 FROM reopened`, row.ID, row.Version, most, by, reason))
	})
}

// ExpireLinks ends the links whose time is over, at most 500 at once, and says how many there were. Others do it at the
// same time without harm.
func (d *DB) ExpireLinks(ctx context.Context) (n int, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var ids []string
		err := tx.SelectContext(ctx, &ids, `
			WITH due AS MATERIALIZED (
				SELECT id FROM checkout_links WHERE status = 'OPEN' AND expires_at <= now() ORDER BY expires_at LIMIT 500
				FOR UPDATE SKIP LOCKED
			), moved AS (
				UPDATE checkout_links k SET status = 'EXPIRED', version = version + 1, ended_at = clock_timestamp()
				FROM due WHERE k.id = due.id RETURNING k.id, k.version
			)
			INSERT INTO link_log (link_id, version, from_status, to_status, by)
			SELECT id, version, 'OPEN', 'EXPIRED', 'clock' FROM moved RETURNING link_id`)
		n = len(ids)
		return err
	})
	return n, err
}

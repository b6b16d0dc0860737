package db

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

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

// statusNow is EXPIRED from the moment on, also before housekeeping has written it down.
func (r linkRow) statusNow() keyturn.LinkStatus {
	if r.Status == keyturn.LinkOpen && !r.Now.Before(r.ExpiresAt) {
		return keyturn.LinkExpired
	}
	return r.Status
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
